//! Every picture of every report, full or odd, is sound: valid, without anything that is no number, and legible.
//!
//! Legible means here that each text is within the picture and that no two lie on each other. Widths are estimated without the
//! help of the code under test, by a wide average letter.

mod support;

use palimpsest_report::draw::{page, pictures};
use palimpsest_report::results::{Part, Results};
use roxmltree::{Document, Node};

/// A text and the box that it fills: left, top, right, bottom.
struct Placed {
    text: String,
    place: [f64; 4],
}

fn number(node: Node<'_, '_>, name: &str) -> f64 {
    let value = node.attribute(name).unwrap_or_else(|| panic!("{:?} has no {name}", node.tag_name()));
    value.parse().unwrap_or_else(|_| panic!("{name}={value:?} is no number"))
}

fn texts(svg: &Document<'_>) -> Vec<Placed> {
    let placed = |node: Node<'_, '_>| {
        let text = node.text().unwrap_or_default().to_owned();
        let size = number(node, "font-size");
        let width = text
            .chars()
            .map(|letter| if "iljtf.,:' ()/|I".contains(letter) { 0.36 } else { 0.6 })
            .sum::<f64>()
            * size;
        let (x, y) = (number(node, "x"), number(node, "y"));
        let left = match node.attribute("text-anchor") {
            None => x,
            Some("middle") => x - width / 2.0,
            Some("end") => x - width,
            Some(other) => panic!("an anchor of {other}"),
        };
        Placed { text, place: [left, y - size * 0.75, left + width, y + size * 0.2] }
    };
    svg.descendants().filter(|node| node.has_tag_name("text")).map(placed).collect()
}

/// What is wrong with a picture.
fn faults(name: &str, svg: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let document = match Document::parse(svg) {
        Ok(document) => document,
        Err(error) => return vec![format!("{name}: not XML: {error}")],
    };
    for node in document.descendants() {
        for attribute in node.attributes() {
            if attribute.name() != "class" && ["NaN", "inf"].iter().any(|bad| attribute.value().contains(bad))
            {
                faults.push(format!("{name}: {}={}", attribute.name(), attribute.value()));
            }
        }
        for bad in ["NaN", "inf "] {
            if node.is_text() && node.text().is_some_and(|text| text.contains(bad)) {
                faults.push(format!("{name}: the text {:?}", node.text()));
            }
        }
    }
    let root = document.root_element();
    let (width, height) = (number(root, "width"), number(root, "height"));
    assert_eq!(root.attribute("viewBox"), Some(format!("0 0 {width} {height}").as_str()));
    for needed in ["title", "desc"] {
        let told = root.children().find(|node| node.has_tag_name(needed)).and_then(|node| node.text());
        if told.is_none_or(|text| text.trim().is_empty()) {
            faults.push(format!("{name}: no {needed}"));
        }
    }
    let texts = texts(&document);
    for (index, one) in texts.iter().enumerate() {
        let [left, top, right, bottom] = one.place;
        if left < 0.0 || top < 0.0 || right > width || bottom > height {
            faults.push(format!("{name}: {:?} sticks out: {:?} of {width}x{height}", one.text, one.place));
        }
        for other in &texts[..index] {
            let apart = right <= other.place[0]
                || other.place[2] <= left
                || bottom <= other.place[1]
                || other.place[3] <= top;
            if !apart {
                faults.push(format!("{name}: {:?} lies on {:?}", one.text, other.text));
            }
        }
        if one.text.is_empty() {
            faults.push(format!("{name}: an empty text"));
        }
    }
    let small = document
        .descendants()
        .filter(|node| node.has_tag_name("text") && number(*node, "font-size") < 11.0)
        .count();
    if small > 0 {
        faults.push(format!("{name}: {small} texts are too small"));
    }
    faults
}

fn check(what: &str, results: &Results) {
    let drawn = pictures(results).unwrap_or_else(|error| panic!("{what}: {error}"));
    let faults: Vec<String> = drawn.iter().flat_map(|(name, svg)| faults(name, svg)).collect();
    assert!(
        faults.is_empty(),
        "{what}: {} faults\n{}",
        faults.len(),
        faults[..faults.len().min(40)].join("\n")
    );
    let page = page(results).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(!page.contains("NaN") && !page.contains(">inf"), "{what}: a page with what is no number");
}

#[test]
fn a_full_report_is_legible() {
    check("full", &support::full());
}

#[test]
fn odd_reports_are_legible() {
    for (what, results) in support::odd::all() {
        check(what, &results);
    }
}

#[test]
fn every_picture_is_there_and_no_empty_one() {
    let names = |results: &Results| -> Vec<String> {
        pictures(results).unwrap().into_iter().map(|(name, _)| name).collect()
    };
    let mut full = names(&support::full());
    full.retain(|name| {
        !support::WORKLOADS.iter().any(|(workload, ..)| *name == format!("pauses-{workload}.svg"))
    });
    let expected = [
        "pauses-by-heap.svg",
        "throughput.svg",
        "lower-bound.svg",
        "memory.svg",
        "mmu.svg",
        "latency.svg",
        "wall-by-heap.svg",
        "mutation-rate.svg",
        "threads.svg",
        "lox.svg",
        "timeline.svg",
    ];
    assert_eq!(full, expected);
    assert_eq!(names(&Results::default()), [""; 0]);
    let one = Results {
        runs: vec![support::run(Part::Programs, "palimpsest", "graph", "512")],
        ..Results::default()
    };
    assert_eq!(names(&one), ["throughput.svg", "lower-bound.svg"]);
}

#[test]
fn the_same_results_give_the_same_bytes() {
    assert!(pictures(&support::full()).unwrap() == pictures(&support::full()).unwrap());
    assert!(page(&support::full()).unwrap() == page(&support::full()).unwrap());
}

/// Who has a curve has an entry, who has none has none, and an entry is one line of text.
#[test]
fn legends_are_complete() {
    let drawn = pictures(&support::full()).unwrap();
    let names = |file: &str| -> Vec<String> {
        let (_, svg) = drawn.iter().find(|(name, _)| name == file).unwrap();
        let document = Document::parse(svg).unwrap();
        let peers = support::PEERS.map(|peer| peer.0);
        texts(&document)
            .into_iter()
            .map(|placed| placed.text)
            .filter(|text| peers.contains(&text.as_str()))
            .collect()
    };
    for (file, of_collectors) in [
        ("pauses-by-heap.svg", true),
        ("wall-by-heap.svg", false),
        ("mutation-rate.svg", false),
        ("threads.svg", false),
        ("mmu.svg", true),
        ("latency.svg", false),
    ] {
        let mut found = names(file);
        found.sort_unstable();
        let mut expected: Vec<&str> =
            support::PEERS.iter().filter(|peer| !of_collectors || peer.2 > 0.0).map(|peer| peer.0).collect();
        expected.sort_unstable();
        assert_eq!(found, expected, "{file}");
    }
}

/// A peer that did not run leaves neither a gap nor a name.
#[test]
fn who_did_not_run_is_not_named() {
    let mut results = support::full();
    results.runs.retain(|run| run.peer != "bdwgc-inc");
    results.warnings.clear();
    for (name, svg) in pictures(&results).unwrap() {
        assert!(!svg.contains("bdwgc-inc"), "{name}");
    }
}

#[test]
fn the_page_has_what_a_reader_has_to_know() {
    let mut results = support::full();
    results.warnings.push("<b>1 & 2</b>".into());
    let page = page(&results).unwrap();
    for needed in [
        "2026-11-22 09:15",
        "a3880d4+",
        "AMD EPYC",
        "8.2.2",
        "needs 31 GiB",
        "died of a signal",
        "&lt;b&gt;1 &amp; 2&lt;/b&gt;",
        "report --rounds 5",
    ] {
        assert!(page.contains(needed), "{needed}");
    }
    for (name, _) in pictures(&results).unwrap() {
        let name = name.trim_end_matches(".svg");
        assert_eq!(page.matches(&format!("id=\"{name}\"")).count(), 1, "{name}");
    }
    let ids: Vec<&str> = page.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let mut once = ids.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), ids.len(), "two things have one name");
    for foreign in ["<script", "src=", "@import", "url("] {
        assert!(!page.contains(foreign), "{foreign}");
    }
}
