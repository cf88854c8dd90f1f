//! How much memory a workload takes, roughly: so that a run which cannot fit is skipped with a reason, instead of making the machine swap
//! or the kernel kill something.

use super::Peer;

const KIB: f64 = 1.0 / 1024.0;

/// What a workload has at a time, and what it allocates in all.
#[derive(Copy, Clone, PartialEq, Debug)]
pub struct Needs {
    /// MiB that are live at a time.
    pub live_mib: f64,
    /// MiB in all.
    pub total_mib: f64,
}

impl Needs {
    /// Of a workload with its sizes, after the descriptions in `workload --help`. Of an unknown one, little.
    pub fn of(workload: &str, sizes: &[u64]) -> Self {
        let size = |place: usize| sizes.get(place).copied().unwrap_or(0) as f64;
        let depth = |place: usize| size(place).exp2();
        let (live_mib, total_mib) = match workload {
            "gcbench" => {
                let node = 24.0 * KIB * KIB;
                let live = 32.0 + 2.0 * depth(0) * node + 2.0 * depth(1) * node;
                (live, live + (size(1) - 2.0) / 2.0 * 8.0 * depth(1) * node)
            }
            "binarytrees" => {
                let node = 16.0 * KIB * KIB;
                (6.0 * depth(0) * node, (size(0) - 2.0) / 2.0 * 32.0 * depth(0) * node)
            }
            "msgmap" => (size(0) * 1.1 * KIB, size(0) * size(1) * 1.1 * KIB),
            "graph" => {
                let operations = if size(1) == 0.0 { size(0) * 16384.0 } else { size(1) };
                (size(0) * 1.3, size(0) * 1.3 + operations * 64.0 * KIB * KIB)
            }
            "larson" => {
                let array = size(0) * size(1) * 0.6 * KIB;
                (array, array * (1.0 + size(2)))
            }
            "server" => (size(0) * 6.0 * KIB, (size(0) + size(1)) * 6.0 * KIB),
            "churn" => {
                let operations = if size(2) == 0.0 { size(0) * 32768.0 } else { size(2) };
                (size(0) * 1.1, size(0) * 1.1 + operations * 64.0 * KIB * KIB)
            }
            _ => (64.0, 64.0),
        };
        Self { live_mib, total_mib }
    }

    /// MiB that have to be there for a peer: a collector has some garbage beside the live objects before it finds that out, and where the
    /// kernel keeps the snapshot, each page once more that is written to meanwhile.
    pub fn for_peer(&self, peer: &Peer) -> f64 {
        let most = match peer {
            Peer { keeps_all: true, .. } => self.total_mib,
            Peer { copies: true, .. } => self.live_mib * 2.2,
            _ => self.live_mib * 1.6,
        };
        most * 1.1 + 256.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_frees_nothing_needs_all_that_is_allocated() {
        let needs = Needs::of("gcbench", &[18, 20]);
        assert!(needs.live_mib > 60.0 && needs.live_mib < 200.0, "{needs:?}");
        assert!(needs.total_mib > 1500.0 && needs.total_mib < 2500.0, "{needs:?}");
        let (keeps, frees) = (&Peer::others(2)[5], Peer::best("workload"));
        assert!(keeps.keeps_all && needs.for_peer(keeps) > needs.total_mib);
        assert!(needs.for_peer(&frees) < needs.for_peer(keeps));
    }

    #[test]
    fn a_large_heap_needs_a_large_machine() {
        let needs = Needs::of("churn", &[8192, 100, 0, 1]);
        let [flat, copied] = [Peer::best("workload"), Peer::rung("workload", "forkcow/async")]
            .map(|peer| needs.for_peer(&peer));
        assert!(flat > 1.5 * 8192.0 && copied > 2.0 * 8192.0, "{flat} {copied}");
    }
}
