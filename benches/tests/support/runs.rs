//! Small runs of all workloads, for the program in Rust and for those in C.

/// Arguments, and the checksum that every program prints for them.
pub const RUNS: [(&str, u64); 9] = [
    ("gcbench 8 10", 62_906),
    ("binarytrees 8 1", 147_454),
    ("binarytrees 8 3", 147_454),
    ("msgmap 300 3", 617_551),
    ("graph 1 5000", 71_170_329),
    // Under stress a thread waits for a cycle when it asks for the next one, so each has to live for some.
    ("larson 2 1500 2", 41_972_510),
    ("server 40 150 0 1", 8_419_055_703_905_118_059),
    // Neither the rate nor the threads change what is read.
    ("server 40 150 20000 2", 8_419_055_703_905_118_059),
    ("churn 1 300 2000 2", 17_314_233),
];

/// The figures of one operation or more, in every result of a workload that times its operations.
pub const LATENCIES: [&str; 6] = ["p50", "p90", "p99", "p99.9", "p99.99", "max"];

/// Whether the workload of this run times its operations; the others have no latencies.
pub fn is_timed(run: &str) -> bool {
    !run.starts_with("gcbench") && !run.starts_with("binarytrees")
}
