//! What the results say about themselves: whether all peers did the same work, and whether they had the machine for it.

use crate::results::Results;
use std::collections::BTreeMap;

/// A sentence for each workload on which peers, or runs of one, came to different checksums. Then either a collector has lost
/// an object, or two programs do not do the same; in both cases their times are not to be compared.
pub fn different(results: &Results) -> Vec<String> {
    let mut works: BTreeMap<(&str, &str), BTreeMap<&str, Vec<&str>>> = BTreeMap::new();
    for run in &results.runs {
        let checksums = works.entry((&run.workload, &run.params)).or_default();
        let peers = checksums.entry(&run.checksum).or_default();
        if !peers.contains(&run.peer.as_str()) {
            peers.push(&run.peer);
        }
    }
    let told = |(checksum, peers): (&&str, &Vec<&str>)| format!("{checksum} ({})", peers.join(", "));
    works
        .iter()
        .filter(|(_, checksums)| checksums.len() > 1)
        .map(|((workload, params), checksums)| {
            let all: Vec<String> = checksums.iter().map(told).collect();
            format!(
                "the checksums of {} differ: {}",
                format!("{workload} {params}").trim_end(),
                all.join(", ")
            )
        })
        .collect()
}

/// A sentence about how many runs had to share the machine, if any. Those made for memory do not count: looking at them is what ran beside.
pub fn noisy(results: &Results) -> Option<String> {
    let timed = || results.runs.iter().filter(|run| run.pss_mib.is_none());
    let (noisy, all) = (timed().filter(|run| run.noisy).count(), timed().count());
    (noisy > 0).then(|| {
        format!("{noisy} of {all} runs were noisy: something else ran meanwhile, or the host took time away")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::tests::run;
    use crate::results::Run;

    #[test]
    fn a_difference_names_who_says_what() {
        let lying = |round| Run { checksum: "2".into(), round, ..run("graph", "liar", 1.0, &[]) };
        let results = Results {
            runs: vec![
                run("graph", "malloc", 1.0, &[]),
                lying(0),
                lying(1),
                run("churn", "malloc", 1.0, &[]),
            ],
            ..Results::default()
        };
        assert_eq!(different(&results), ["the checksums of graph 1 2 differ: 1 (malloc), 2 (liar)"]);
        let agreed = Results { runs: results.runs[3..].to_vec(), ..Results::default() };
        assert!(different(&agreed).is_empty());
    }

    #[test]
    fn a_peer_that_contradicts_itself_is_noticed() {
        let other = Run { checksum: "2".into(), round: 1, ..run("graph", "malloc", 1.0, &[]) };
        let results = Results { runs: vec![run("graph", "malloc", 1.0, &[]), other], ..Results::default() };
        assert_eq!(different(&results).len(), 1);
    }

    #[test]
    fn noise_is_counted() {
        let loud = Run { noisy: true, ..run("graph", "malloc", 1.0, &[]) };
        let mut results = Results { runs: vec![run("graph", "malloc", 1.0, &[])], ..Results::default() };
        assert_eq!(noisy(&results), None);
        results.runs.push(loud);
        assert!(noisy(&results).unwrap().starts_with("1 of 2 runs"));
    }
}
