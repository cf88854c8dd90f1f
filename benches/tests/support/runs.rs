//! Small runs of all workloads, for the program in Rust and for those in C.

/// Arguments, and the checksum that every program prints for them.
pub const RUNS: [(&str, u64); 10] = [
    ("gcbench 8 10", 62_906),
    ("binarytrees 8 1", 147_454),
    ("binarytrees 8 3", 147_454),
    ("msgmap 300 3", 617_551),
    ("graph 1 5000", 71_170_329),
    ("larson 3 100 4", 995_729),
    ("server 40 500 0 1", 17_239_405_886_269_806_494),
    // Neither the rate nor the threads change what is read.
    ("server 40 500 20000 2", 17_239_405_886_269_806_494),
    ("churn 1 300 5000 2", 47_514_054),
    ("churn 1 1000 5000 1", 58_721_691),
];

/// The figures of one operation or more, in every result of a workload that times its operations.
pub const LATENCIES: [&str; 6] = ["p50", "p90", "p99", "p99.9", "p99.99", "max"];

/// Whether the workload of this run times its operations; the others have no latencies.
pub fn is_timed(run: &str) -> bool {
    !run.starts_with("gcbench") && !run.starts_with("binarytrees")
}
