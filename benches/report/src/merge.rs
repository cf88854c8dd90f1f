//! Several reports made into one: parts that were measured one after the other.
//!
//! Figures of one part were measured in turns, and are compared with each other only. So no two reports may have the same part, and
//! all are of one machine.

use crate::results::{Part, Results};
use std::collections::BTreeSet;

/// What has to agree.
const SAME: [&str; 3] = ["processor", "processors", "kernel"];
/// What each report says of itself.
const OWN: &str = "effort";

/// One report of these. The circumstances are the first one's.
///
/// # Errors
/// Where they do not belong together, with why.
pub fn merged(reports: Vec<Results>) -> Result<Results, String> {
    let mut reports = reports.into_iter();
    let mut all = reports.next().ok_or("there is no report")?;
    for report in reports {
        for name in SAME {
            let [one, other] = [&all, &report].map(|report| value(report, name));
            if one != other {
                return Err(format!(
                    "the reports are of different machines: {name} is {one:?} and {other:?}"
                ));
            }
        }
        if let Some(part) = parts(&all).intersection(&parts(&report)).next() {
            return Err(format!(
                "two reports have the part {part:?}: what was not measured in turns is not compared"
            ));
        }
        if all.timeline.is_some() && report.timeline.is_some() {
            return Err("two reports have a timeline".into());
        }
        let measured: Vec<String> = parts(&report).iter().map(|part| format!("{part:?}")).collect();
        all.machine.push((
            format!("also, from {}", report.date),
            format!("{}: {}", measured.join(", "), value(&report, OWN).unwrap_or("nothing is known")),
        ));
        all.command = format!("{}; {}", all.command, report.command);
        for skipped in report.skipped {
            if !all.skipped.contains(&skipped) {
                all.skipped.push(skipped);
            }
        }
        all.warnings.extend(report.warnings);
        all.runs.extend(report.runs);
        all.timeline = all.timeline.or(report.timeline);
    }
    Ok(all)
}

fn parts(report: &Results) -> BTreeSet<Part> {
    report.runs.iter().map(|run| run.part).collect()
}

fn value<'a>(report: &'a Results, name: &str) -> Option<&'a str> {
    report.machine.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{Run, Timeline};
    use std::collections::BTreeMap;

    fn report(part: Part, kernel: &str) -> Results {
        let run = Run {
            part,
            peer: "malloc".into(),
            workload: "churn".into(),
            params: "1".into(),
            x: 1.0,
            round: 0,
            wall_s: 1.0,
            cpu_s: 1.0,
            pss_mib: None,
            rss_mib: 1.0,
            gcs: 0,
            pauses_ms: Vec::new(),
            slow_ops_ms: Vec::new(),
            latency_ms: BTreeMap::new(),
            checksum: "1".into(),
            gc: serde_json::Value::Null,
            noisy: false,
        };
        let machine = vec![("kernel".into(), kernel.into()), (OWN.into(), "a quick run".into())];
        Results { runs: vec![run], machine, command: "report".into(), ..Results::default() }
    }

    #[test]
    fn parts_come_together() {
        let timeline =
            Results { timeline: Some(Timeline::default()), runs: Vec::new(), ..report(Part::Lox, "6.18") };
        let all = merged(vec![report(Part::Programs, "6.18"), report(Part::Lox, "6.18"), timeline]).unwrap();
        assert_eq!(parts(&all), BTreeSet::from([Part::Programs, Part::Lox]));
        assert!(all.timeline.is_some() && all.machine.len() == 4 && all.command == "report; report; report");
    }

    #[test]
    fn what_does_not_belong_together_stays_apart() {
        let programs = || report(Part::Programs, "6.18");
        assert!(merged(vec![programs(), programs()]).unwrap_err().contains("Programs"));
        assert!(merged(vec![programs(), report(Part::Lox, "6.1")]).unwrap_err().contains("kernel"));
        assert!(merged(Vec::new()).is_err());
    }
}
