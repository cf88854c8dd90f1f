//! One cycle as it went: who did what when, and the traps that the program met meanwhile.
//!
//! The pause is a thousandth of the cycle and would be a hair's breadth. So there are two panels on two scales: the whole
//! cycle, and what goes on around the pause. Lines between them say which part of the one the other is.

use super::Picture;
use crate::draw::axis::{Axis, BELOW, Frame};
use crate::draw::canvas::{Anchor, Canvas};
use crate::draw::heading::{MARGIN, WIDTH};
use crate::draw::number::{Unit, figure};
use crate::draw::scale::{Kind, Scale};
use crate::draw::text::Letter;
use crate::results::{Results, Span, Timeline};

/// The height of a row of spans.
const ROW: f64 = 34.0;
/// The height of the panel with traps.
const TRAPS: f64 = 84.0;

/// One kind of span: the word that its name begins with.
struct Sort {
    word: String,
    colour: &'static str,
    solid: bool,
}

/// The timeline, if one was taken.
pub(crate) fn cycle(results: &Results) -> Option<Picture> {
    let timeline = sane(results.timeline.as_ref()?)?;
    let sorts = sorts(&timeline);
    let spans = || timeline.rows.iter().flat_map(|(_, spans)| spans);
    let begin = spans().map(|span| span.from_ms).fold(0.0, f64::min);
    let end =
        spans().map(|span| span.to_ms).chain(timeline.traps.iter().map(|trap| trap.0)).fold(begin, f64::max);
    let desc: Vec<String> = spans()
        .map(|span| {
            format!(
                "{} from {} to {} ms",
                span.name,
                figure(span.from_ms - begin),
                figure(span.to_ms - begin)
            )
        })
        .collect();
    let traps: u64 = timeline.traps.iter().map(|trap| trap.1).sum();
    let desc = format!("{}; {traps} traps.", desc.join(", "));
    let caption = "Above, the whole cycle: pages are armed in rounds while the program runs, then it is stopped, the heap's snapshot is \
         taken by a fork, and it goes on while worker processes mark the heap as it was. Traps are first writes to armed pages: many \
         right after the pause, fewer as pages have been opened. Below, the pause on a scale of its own.";
    let subtitle =
        format!("A full cycle of {}. The program runs all the time but in the pause.", timeline.of);
    Some(Picture::new("timeline", "One cycle in time", &subtitle, caption, &desc, |canvas, top| {
        let top = key(canvas, top, &sorts);
        let names =
            timeline.rows.iter().map(|(name, _)| Letter::Plain.width(name)).fold(40.0, f64::max).min(180.0)
                + 12.0;
        let width = WIDTH - 2.0 * MARGIN - names - 24.0;
        let frame =
            Frame { left: MARGIN + names, top: top + BELOW, width, height: timeline.rows.len() as f64 * ROW };
        let whole = Axis::new(
            Scale::between(Kind::Linear, 0.0, end - begin),
            Unit::Plain,
            "time from the beginning of the cycle, ms",
        );
        whole.draw_above(canvas, &frame);
        let below = traps_panel(canvas, &timeline, &frame, &whole, begin);
        let Some(part) = around_pause(&timeline, (begin, end)) else {
            rows(canvas, &timeline, &sorts, &frame, (begin, end));
            return below;
        };
        let zoomed = Frame { top: below + 36.0, ..frame };
        let x = whole.across(&frame);
        for (at, beneath) in [(x.at(part.0 - begin), zoomed.left), (x.at(part.1 - begin), zoomed.right())] {
            // Not across the name of the traps, which stands above them.
            let traps = if below > frame.bottom() { TRAPS } else { 0.0 };
            canvas.rule("axis", (at, below - traps), (at, below));
            canvas.rule("axis", (at, below), (beneath, zoomed.top));
        }
        rows(canvas, &timeline, &sorts, &frame, (begin, end));
        let name = format!("the pause, magnified: ms after {} ms", figure(part.0 - begin));
        Axis::new(Scale::between(Kind::Linear, 0.0, part.1 - part.0), Unit::Plain, &name)
            .draw_below(canvas, &zoomed);
        rows(canvas, &timeline, &sorts, &zoomed, part);
        zoomed.bottom() + BELOW
    }))
}

/// Without spans that are no spans; nothing where no span is left.
fn sane(timeline: &Timeline) -> Option<Timeline> {
    let good = |span: &Span| span.from_ms.is_finite() && span.to_ms.is_finite() && span.from_ms <= span.to_ms;
    let mut timeline = timeline.clone();
    for (_, spans) in &mut timeline.rows {
        spans.retain(good);
    }
    timeline.rows.retain(|(_, spans)| !spans.is_empty());
    let every = timeline.traps_every_ms;
    timeline.traps.retain(|(at, _)| at.is_finite() && every.is_finite() && every >= 0.0);
    (!timeline.rows.is_empty()).then_some(timeline)
}

/// The kinds of spans in the order in which they first occur, each with a look.
fn sorts(timeline: &Timeline) -> Vec<Sort> {
    let mut words: Vec<String> = Vec::new();
    let mut spans: Vec<&Span> = timeline.rows.iter().flat_map(|(_, spans)| spans).collect();
    spans.sort_by(|a, b| a.from_ms.total_cmp(&b.from_ms));
    for span in spans {
        let word = word(&span.name);
        if !words.contains(&word) {
            words.push(word);
        }
    }
    let known = [
        ("pause", "vermillion"),
        ("stop", "vermillion"),
        ("arm", "sky"),
        ("fork", "orange"),
        ("mark", "green"),
        ("sweep", "purple"),
        ("wake", "grey"),
    ];
    let others = ["blue", "ink"];
    let mut strange = 0;
    let sort = |word: String| {
        let colour = known.iter().find(|(known, _)| word.starts_with(known)).map(|(_, colour)| *colour);
        let colour = colour.unwrap_or_else(|| {
            strange += 1;
            others[(strange - 1) % others.len()]
        });
        (word, colour)
    };
    let pairs: Vec<(String, &'static str)> = words.into_iter().map(sort).collect();
    // Of two kinds with one colour the second is an outline.
    let solid =
        |number: usize| pairs[..number].iter().filter(|pair| pair.1 == pairs[number].1).count() % 2 == 0;
    (0..pairs.len())
        .map(|number| Sort { word: pairs[number].0.clone(), colour: pairs[number].1, solid: solid(number) })
        .collect()
}

/// The kind of a span: its name without the number of a round.
fn word(name: &str) -> String {
    let kept: Vec<&str> = name.split_whitespace().filter(|part| part.parse::<f64>().is_err()).collect();
    kept.join(" ")
}

fn key(canvas: &mut Canvas, top: f64, sorts: &[Sort]) -> f64 {
    let (mut x, mut y) = (MARGIN, top + 10.0);
    for sort in sorts {
        let name = Letter::Plain.fit(&sort.word, 240.0);
        let width = 22.0 + Letter::Plain.width(&name) + 20.0;
        if x + width > WIDTH - MARGIN {
            (x, y) = (MARGIN, y + 20.0);
        }
        canvas.bar(sort.colour, sort.solid, (x, y - 6.0), (16.0, 12.0), "");
        canvas.text((x + 22.0, y), Anchor::Start, Letter::Plain, &name);
        x += width;
    }
    y + 20.0
}

/// Draws the spans between two instants.
fn rows(canvas: &mut Canvas, timeline: &Timeline, sorts: &[Sort], frame: &Frame, (begin, end): (f64, f64)) {
    let x = Scale::between(Kind::Linear, 0.0, end - begin).onto(frame.left, frame.right());
    for (number, (name, spans)) in timeline.rows.iter().enumerate() {
        let middle = frame.top + (number as f64 + 0.5) * ROW;
        canvas.rule("grid", (frame.left, middle + ROW / 2.0), (frame.right(), middle + ROW / 2.0));
        canvas.text(
            (frame.left - 12.0, middle),
            Anchor::End,
            Letter::Plain,
            &Letter::Plain.fit(name, frame.left - 12.0 - MARGIN),
        );
        for span in spans.iter().filter(|span| span.to_ms >= begin && span.from_ms <= end) {
            let sort = sorts.iter().find(|sort| sort.word == word(&span.name));
            let (colour, solid) = sort.map_or(("grey", true), |sort| (sort.colour, sort.solid));
            let (from, to) = (x.at(span.from_ms - begin), x.at(span.to_ms - begin));
            // What is too short to be seen is there all the same.
            let width = (to - from).max(1.6);
            let tip = format!("{}: {} ms", span.name, figure(span.to_ms - span.from_ms));
            let left = from.min(frame.right() - width);
            canvas.bar(colour, solid, (left, middle - 10.0), (width, 20.0), &tip);
            if Letter::Small.width(&span.name) + 8.0 <= width {
                let at = (left + width / 2.0, middle);
                let write = if solid { Canvas::on_colour } else { Canvas::text };
                write(canvas, at, Anchor::Middle, Letter::Small, &span.name);
            }
        }
    }
}

/// Draws the traps below the rows, on the same axis, and says where they end.
fn traps_panel(canvas: &mut Canvas, timeline: &Timeline, above: &Frame, time: &Axis, begin: f64) -> f64 {
    let frame = Frame { top: above.bottom() + 34.0, height: TRAPS, ..*above };
    let x = time.across(&frame);
    let narrowest = x.at(begin + timeline.traps_every_ms) - x.at(begin);
    let (every, traps) = gathered(timeline, (3.0 / narrowest.max(0.01)).ceil().max(1.0) as usize);
    let most = traps.iter().map(|trap| trap.1).max().filter(|most| *most > 0);
    let Some(scale) = most.and_then(|most| Scale::around(Kind::Linear, [most as f64])) else {
        return above.bottom();
    };
    let axis = Axis::new(scale, Unit::Plain, &format!("traps in each {} ms", Unit::Plain.tick(every)));
    axis.draw_left(canvas, &frame);
    canvas.rule("axis", (frame.left, frame.bottom()), (frame.right(), frame.bottom()));
    let y = axis.upward(&frame);
    for (at, count) in traps.into_iter().filter(|(_, count)| *count > 0) {
        let (from, to) = (x.at(at - begin), x.at(at + every - begin));
        let (top, width) = (y.at(count as f64), (to - from - 0.4).max(1.0));
        canvas.bar("blue", true, (from, top), (width, frame.bottom() - top), &format!("{count} traps"));
    }
    frame.bottom()
}

/// The traps of so many intervals together, since a bar has to be seen: the length of these, and where each begins.
fn gathered(timeline: &Timeline, together: usize) -> (f64, Vec<(f64, u64)>) {
    let sum = |part: &[(f64, u64)]| (part[0].0, part.iter().map(|trap| trap.1).sum());
    let every = timeline.traps_every_ms * together as f64;
    (every, timeline.traps.chunks(together).map(sum).collect())
}

/// What lies around the pause: half as much before it as it is long, and as much after it; nothing if that is most of the cycle.
fn around_pause(timeline: &Timeline, (begin, end): (f64, f64)) -> Option<(f64, f64)> {
    let spans = || timeline.rows.iter().flat_map(|(_, spans)| spans);
    let of = |part: &str| spans().filter(|span| span.name.contains(part)).collect::<Vec<_>>();
    let pause = of("pause");
    let pause = if pause.is_empty() { of("stop") } else { pause };
    let from = pause.iter().map(|span| span.from_ms).reduce(f64::min)?;
    let to = pause.iter().map(|span| span.to_ms).reduce(f64::max)?;
    let length = to - from;
    let part = ((from - length * 0.5).max(begin), (to + length * 0.5).min(end));
    (length > 0.0 && part.1 - part.0 < (end - begin) * 0.6).then_some(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_trap_is_lost_where_intervals_are_gathered() {
        let traps = vec![(0.0, 1), (0.5, 2), (1.0, 3), (1.5, 4), (2.0, 5)];
        let timeline = Timeline { traps, traps_every_ms: 0.5, ..Timeline::default() };
        assert_eq!(gathered(&timeline, 2), (1.0, vec![(0.0, 3), (1.0, 7), (2.0, 5)]));
        assert_eq!(gathered(&timeline, 1).1, timeline.traps);
    }

    #[test]
    fn rounds_are_of_one_kind() {
        assert_eq!(["arm round 1", "arm round 12", "arm"].map(word), ["arm round", "arm round", "arm"]);
    }

    #[test]
    fn the_part_is_around_the_pause_and_within_the_cycle() {
        let span = |name: &str, from_ms: f64, to_ms: f64| Span { name: name.into(), from_ms, to_ms };
        let spans = vec![span("pause", 10.0, 12.0), span("marking", 12.0, 90.0)];
        let timeline = Timeline { rows: vec![("program".into(), spans)], ..Timeline::default() };
        assert_eq!(around_pause(&timeline, (0.0, 100.0)), Some((9.0, 13.0)));
        assert_eq!(around_pause(&timeline, (9.5, 100.0)), Some((9.5, 13.0)));
        assert_eq!(around_pause(&timeline, (9.0, 14.0)), None, "that is all there is");
    }
}
