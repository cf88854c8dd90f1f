//! Results that nobody has measured, to draw: a full report, and reports with nearly nothing in them.

#![allow(dead_code, reason = "each test binary uses a part")]

use palimpsest_report::results::{Part, Results, Run, Span, Timeline};
use std::collections::BTreeMap;

pub mod odd;

/// Peers, how long they take beside malloc, their pause with 64 MiB of live heap in milliseconds, and by what it grows with the heap.
pub const PEERS: [(&str, f64, f64, f64); 14] = [
    ("palimpsest", 1.06, 0.21, 0.04),
    ("palimpsest preimage/signal", 1.07, 0.22, 0.04),
    ("palimpsest preimage/monitor", 1.32, 0.24, 0.05),
    ("palimpsest preimage/protect", 1.21, 0.25, 0.08),
    ("palimpsest forkcow", 1.18, 0.9, 0.9),
    ("palimpsest forkcow/async", 1.12, 1.1, 0.92),
    ("palimpsest stw", 1.02, 18.0, 1.0),
    ("palimpsest stw/async", 1.04, 16.0, 1.02),
    ("bdwgc", 1.6, 21.0, 1.03),
    ("bdwgc-par", 1.4, 13.0, 1.0),
    ("bdwgc-inc", 2.9, 4.0, 0.7),
    ("malloc", 1.0, 0.0, 0.0),
    ("mimalloc", 0.71, 0.0, 0.0),
    ("bump", 0.83, 0.0, 0.0),
];

/// Workloads, their sizes, and how long malloc takes.
pub const WORKLOADS: [(&str, &str, f64); 7] = [
    ("gcbench", "18 20", 1.67),
    ("binarytrees", "18 2", 1.08),
    ("msgmap", "200000 10", 0.5),
    ("graph", "512 2000000", 6.9),
    ("larson", "2 20000 40", 1.9),
    ("server", "20000 100000 20000 2", 5.0),
    ("churn", "256 10 2000000 1", 3.1),
];

/// Numbers that look like chance and are always the same.
pub struct Chance(u32);

impl Chance {
    /// Beginning with this one.
    pub fn new(seed: u32) -> Self {
        Self(seed | 1)
    }

    /// Between 0 and 1.
    pub fn share(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        f64::from(self.0) / f64::from(u32::MAX)
    }

    /// About `value`.
    pub fn about(&mut self, value: f64, spread: f64) -> f64 {
        value * (1.0 + (self.share() - 0.5) * spread)
    }

    /// About `value`, with a long tail above.
    pub fn skewed(&mut self, value: f64) -> f64 {
        value * (0.7 + 0.3 / (0.08 + self.share()))
    }
}

/// A run of nothing.
pub fn run(part: Part, peer: &str, workload: &str, params: &str) -> Run {
    Run {
        part,
        peer: peer.into(),
        workload: workload.into(),
        params: params.into(),
        x: 0.0,
        round: 0,
        wall_s: 1.0,
        cpu_s: 1.0,
        pss_mib: None,
        rss_mib: 64.0,
        gcs: 0,
        pauses_ms: Vec::new(),
        slow_ops_ms: Vec::new(),
        latency_ms: BTreeMap::new(),
        checksum: "1".into(),
        gc: serde_json::Value::Null,
        noisy: false,
    }
}

/// A report of all parts: 14 peers, 7 workloads, 5 rounds.
pub fn full() -> Results {
    let mut chance = Chance::new(0x2026_1122);
    let pairs = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let mut runs = Vec::new();
    for round in 0..5 {
        for (workload, params, malloc) in WORKLOADS {
            for (peer, slower, pause, _) in PEERS {
                let mut run = Run { round, ..run(Part::Programs, peer, workload, params) };
                time(&mut run, &mut chance, malloc * slower, pause * 4.0);
                if matches!(workload, "msgmap" | "graph" | "server") {
                    latencies(&mut run, &mut chance, pause * 4.0, "");
                }
                if workload == "server" {
                    latencies(&mut run, &mut chance, pause, "service ");
                }
                run.noisy = round == 2 && peer == "bdwgc";
                if round == 4 {
                    runs.push(Run { pss_mib: Some(chance.about(320.0 * slower, 0.4)), ..run });
                } else {
                    runs.push(run);
                }
            }
        }
        scaling(&mut runs, &mut chance, round);
    }
    Results {
        date: "2026-11-22 09:15".into(),
        command: "report --rounds 5".into(),
        commit: "a3880d4+".into(),
        machine: pairs(&[
            ("processor", "AMD EPYC 7B13, 2 processors, a virtual machine"),
            ("memory", "24 GiB, transparent huge pages: madvise"),
            ("kernel", "6.18.5"),
            ("snapshot", "preimage/signal: the best rung holds here"),
        ]),
        versions: pairs(&[
            ("rustc", "1.95.0"),
            ("cc", "Debian 12.2.0-14"),
            ("bdwgc", "8.2.2"),
            ("mimalloc", "2.1.7"),
        ]),
        skipped: pairs(&[("bump on churn 8192", "needs 31 GiB, and 22 are free")]),
        warnings: vec![
            "7 of 500 runs had a busy machine.".into(),
            "larson: bdwgc-inc died of a signal (6) in round 3.".into(),
        ],
        runs,
        timeline: Some(timeline(&mut chance)),
    }
}

/// Times, memory and pauses of a run.
fn time(run: &mut Run, chance: &mut Chance, wall_s: f64, pause: f64) {
    run.wall_s = chance.about(wall_s, 0.12);
    run.cpu_s = run.wall_s * chance.about(1.3, 0.2);
    if pause > 0.0 {
        run.gcs = 12;
        let every = run.wall_s * 1e3 / 12.0;
        run.pauses_ms = (0..12)
            .map(|turn| (every * (f64::from(turn) + 0.4), chance.skewed(pause).min(every * 0.5)))
            .collect();
    }
}

fn latencies(run: &mut Run, chance: &mut Chance, pause: f64, before: &str) {
    let mut latency = chance.about(0.0006, 0.2);
    for (name, bend) in
        [("p50", 0.0), ("p90", 0.0), ("p99", 0.001), ("p99.9", 0.05), ("p99.99", 0.5), ("max", 1.2)]
    {
        latency = latency * 1.7 + bend * chance.about(pause + 0.05, 0.3);
        run.latency_ms.insert(format!("{before}{name}"), latency);
    }
}

/// A round of the parts in which something grows.
fn scaling(runs: &mut Vec<Run>, chance: &mut Chance, round: u32) {
    for (peer, slower, pause, grows) in PEERS {
        for heap in [64, 128, 256, 512, 1024, 2048, 4096, 8192] {
            let x = f64::from(heap);
            let mut run = Run { x, round, ..run(Part::LiveHeap, peer, "churn", &format!("{heap} 10 0 1")) };
            time(&mut run, chance, 0.8 * slower * (x / 64.0).powf(0.9), pause * (x / 64.0).powf(grows));
            runs.push(run);
        }
        for writes in [0, 1, 10, 100, 300, 1000] {
            let x = f64::from(writes);
            let mut run =
                Run { x, round, ..run(Part::MutationRate, peer, "churn", &format!("256 {writes} 0 1")) };
            let trapped = if peer.starts_with("palimpsest") { 0.002 } else { 0.0003 };
            time(&mut run, chance, 2.0 * slower * (1.0 + trapped * x), pause);
            runs.push(run);
        }
        for threads in [1, 2, 4] {
            let x = f64::from(threads);
            let mut trees =
                Run { x, round, ..run(Part::Threads, peer, "binarytrees", &format!("18 {threads}")) };
            time(&mut trees, chance, slower * 1.1 / x.min(2.0).powf(0.9), pause);
            let mut larson =
                Run { x, round, ..run(Part::Threads, peer, "larson", &format!("{threads} 20000 40")) };
            time(&mut larson, chance, slower * 1.1 * (x / 2.0).max(1.0), pause);
            runs.extend([trees, larson]);
        }
        for (program, seconds) in
            [("calls", 0.9), ("closures", 1.4), ("strings", 0.6), ("trees", 1.1), ("queens", 1.8)]
        {
            if peer.starts_with("palimpsest") {
                let mut run = Run { round, ..run(Part::Lox, peer, program, "") };
                time(&mut run, chance, seconds * slower, pause);
                runs.push(run);
            }
        }
    }
}

fn timeline(chance: &mut Chance) -> Timeline {
    let span = |name: &str, from_ms: f64, to_ms: f64| Span { name: name.into(), from_ms, to_ms };
    Timeline {
        of: "graph 512".into(),
        rows: vec![
            ("program".into(), vec![span("pause", 31.20, 31.52)]),
            (
                "collector".into(),
                vec![
                    span("arm round 1", 0.0, 24.0),
                    span("arm round 2", 24.0, 29.5),
                    span("arm round 3", 29.5, 31.1),
                    span("stop", 31.20, 31.24),
                    span("arm", 31.24, 31.31),
                    span("fork", 31.31, 31.49),
                    span("wake", 31.49, 31.52),
                    span("finish", 435.0, 436.2),
                    span("sweep", 436.2, 458.0),
                ],
            ),
            ("worker".into(), vec![span("marking", 31.6, 435.0)]),
        ],
        traps: (0..916)
            .map(|at| {
                (f64::from(at) / 2.0, (chance.about(90.0, 0.5) * (-f64::from(at) / 300.0).exp()) as u64)
            })
            .collect(),
        traps_every_ms: 0.5,
    }
}
