//! Reports with nearly nothing in them, or with what nobody measures.

use super::run;
use palimpsest_report::results::{Part, Results, Run, Span, Timeline};

/// All of them, and what is odd about each.
pub fn all() -> Vec<(&'static str, Results)> {
    let with = |runs: Vec<Run>| Results { runs, ..Results::default() };
    let one = |part| run(part, "palimpsest", "graph", "512");
    let all_parts = [Part::Programs, Part::LiveHeap, Part::MutationRate, Part::Threads, Part::Lox];
    let broken = |value: f64| {
        let parts = all_parts.map(|part| Run {
            x: value,
            wall_s: value,
            cpu_s: value,
            rss_mib: value,
            pauses_ms: vec![(value, 1.0), (1.0, value)],
            latency_ms: [("p50".to_owned(), value), ("max".to_owned(), 1.0)].into(),
            ..one(part)
        });
        let memory = Run { pss_mib: Some(value), ..one(Part::Programs) };
        let timeline = Timeline {
            of: "graph".into(),
            rows: vec![("program".into(), vec![Span { name: "pause".into(), from_ms: value, to_ms: 1.0 }])],
            traps: vec![(value, 1)],
            traps_every_ms: value,
        };
        Results {
            runs: parts.into_iter().chain([memory]).collect(),
            timeline: Some(timeline),
            ..Results::default()
        }
    };
    let name =
        "a peer with a name <that> is \"much\" longer than any column & any legend has room for, \u{7}";
    let long =
        all_parts.into_iter().flat_map(|part| (0..40).map(move |peer| (part, peer))).map(|(part, peer)| {
            Run {
                x: f64::from(peer % 5 + 1),
                pauses_ms: vec![(1.0, f64::from(peer)), (5.0, 0.5)],
                latency_ms: [
                    ("p50".to_owned(), 0.1),
                    ("p99".to_owned(), f64::from(peer)),
                    ("max".to_owned(), 9.0),
                ]
                .into(),
                ..run(part, &format!("{peer} {name}"), name, name)
            }
        });
    let zero = all_parts.map(|part| Run {
        wall_s: 0.0,
        cpu_s: 0.0,
        pauses_ms: vec![(0.0, 0.0), (0.0, 0.0)],
        latency_ms: [("p50".to_owned(), 0.0), ("max".to_owned(), 0.0)].into(),
        ..one(part)
    });
    let huge = all_parts.map(|part| Run {
        x: 1e12,
        wall_s: 1e12,
        cpu_s: 1e-12,
        pauses_ms: vec![(0.0, 1e12), (1.0, 1e-12)],
        ..one(part)
    });
    vec![
        ("nothing", Results::default()),
        ("one run", with(vec![one(Part::Programs)])),
        ("one of each part", with(all_parts.map(one).to_vec())),
        ("zeros", with(zero.to_vec())),
        ("extremes", with(huge.to_vec())),
        ("not numbers", broken(f64::NAN)),
        ("infinities", broken(f64::INFINITY)),
        ("less than nothing", broken(-1.0)),
        ("many peers with long names", with(long.collect())),
        ("an empty timeline", Results { timeline: Some(Timeline::default()), ..Results::default() }),
    ]
}
