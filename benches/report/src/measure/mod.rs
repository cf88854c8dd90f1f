//! What is made of the runs: everything that a table or a picture shows and that no program has printed.
//!
//! The figures of a report are computed here and nowhere else, so that a table and a picture of the same runs agree. The arithmetic
//! knows nothing of processes and files; each of its definitions is short enough to be checked against another way of computing
//! it, and is.
//!
//! * [`group`]: which runs belong together, and which of them count;
//! * [`stats`]: medians, spreads, quantiles of pooled samples;
//! * `mmu`: minimum mutator utilisation;
//! * [`bound`]: what each peer costs over the least that the work has been seen to cost.

pub mod bound;
pub mod group;
pub mod mmu;
pub mod stats;

pub use bound::{Bounds, bounds};
pub use group::{Group, Table, tables};
pub use mmu::mmu;
pub use stats::{Summary, median, quantile};

#[cfg(test)]
pub(crate) mod tests {
    //! Runs to compute with.

    use crate::results::{Part, Run};

    /// A quiet run of a program.
    pub(crate) fn run(workload: &str, peer: &str, wall_s: f64, pauses_ms: &[(f64, f64)]) -> Run {
        Run {
            part: Part::Programs,
            peer: peer.into(),
            workload: workload.into(),
            params: "1 2".into(),
            x: 0.0,
            round: 0,
            wall_s,
            cpu_s: wall_s,
            pss_mib: None,
            rss_mib: 10.0,
            gcs: pauses_ms.len() as u64,
            pauses_ms: pauses_ms.to_vec(),
            slow_ops_ms: Vec::new(),
            latency_ms: Default::default(),
            checksum: "1".into(),
            gc: serde_json::Value::Null,
            noisy: false,
        }
    }

    /// A run that was made for its memory.
    pub(crate) fn memory(workload: &str, peer: &str, wall_s: f64, pss_mib: f64) -> Run {
        Run { pss_mib: Some(pss_mib), ..run(workload, peer, wall_s, &[]) }
    }
}
