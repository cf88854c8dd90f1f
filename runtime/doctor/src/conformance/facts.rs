//! What a question found out, fact by fact, each beside what it should have been.

use crate::kernel::{Answer, Errno};
use serde::{Deserialize, Serialize};
use std::fmt::{self, Display};

/// How what was seen compares with what was expected.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every fact is as expected.
    AsExpected,
    /// At least one is not.
    Different,
    /// Kernels may differ here; the facts say what this one does.
    Informative,
    /// The question cannot be asked here, for the reason given.
    NotAvailable,
    /// No answer within the time limit.
    Hung,
    /// The process that asked was killed by a signal, or gave no answer.
    Died,
}

impl Verdict {
    /// Whether a runtime can live with it: it knows what it gets, or knows that it gets nothing.
    pub fn is_fine(self) -> bool {
        matches!(self, Verdict::AsExpected | Verdict::Informative | Verdict::NotAvailable)
    }
}

impl Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::AsExpected => "as expected",
            Verdict::Different => "DIFFERENT",
            Verdict::Informative => "informative",
            Verdict::NotAvailable => "not available",
            Verdict::Hung => "HUNG",
            Verdict::Died => "DIED",
        })
    }
}

/// Why a question has no facts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// What it needs is not to be had here, which says nothing about the barrier.
    NotAvailable(String),
    /// A call failed that should not have.
    Failed(String, Errno),
}

/// Says what failed.
pub trait Doing<T> {
    /// Names the call.
    fn doing(self, what: &str) -> Result<T, Trouble>;
}

impl<T> Doing<T> for Answer<T> {
    fn doing(self, what: &str) -> Result<T, Trouble> {
        self.map_err(|errno| Trouble::Failed(what.into(), errno))
    }
}

/// Facts found so far.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    texts: Vec<String>,
    compared: bool,
    different: bool,
    instead: Option<String>,
}

impl Facts {
    /// No facts yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What was seen, and what it should be.
    pub fn check<T: PartialEq + Display>(&mut self, what: &str, seen: T, expected: T) {
        if seen == expected {
            self.check_that(what, seen, true);
        } else {
            self.check_that(what, format_args!("{seen} (not {expected})"), false);
        }
    }

    /// What was seen, and whether that is as it should be.
    pub fn check_that(&mut self, what: &str, seen: impl Display, holds: bool) {
        self.texts.push(format!("{what}: {seen}{}", if holds { "" } else { " [!]" }));
        self.compared = true;
        self.different |= !holds;
    }

    /// What was seen where kernels may differ.
    pub fn note(&mut self, what: &str, seen: impl Display) {
        self.texts.push(format!("{what}: {seen}"));
    }

    /// Puts another expectation in place of the table's, because of what could be had here.
    pub fn expect_instead(&mut self, expected: &str) {
        self.instead = Some(expected.into());
    }
}

/// What comes back from the process that asked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// In words.
    pub observed: String,
    /// The comparison.
    pub verdict: Verdict,
    /// What was expected, where that is not what the table says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead: Option<String>,
}

impl From<Result<Facts, Trouble>> for Finding {
    fn from(result: Result<Facts, Trouble>) -> Self {
        let (observed, verdict, instead) = match result {
            Ok(facts) => {
                let verdict = match (facts.different, facts.compared) {
                    (true, _) => Verdict::Different,
                    (false, true) => Verdict::AsExpected,
                    (false, false) => Verdict::Informative,
                };
                (facts.texts.join(", "), verdict, facts.instead)
            }
            Err(Trouble::NotAvailable(why)) => (why, Verdict::NotAvailable, None),
            Err(Trouble::Failed(what, errno)) => {
                (format!("{what} failed: {errno}"), Verdict::Different, None)
            }
        };
        Self { observed, verdict, instead }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(facts: Facts) -> Verdict {
        Finding::from(Ok(facts)).verdict
    }

    #[test]
    fn one_wrong_fact_makes_a_row_different() {
        let mut facts = Facts::new();
        facts.check("a", 1, 1);
        assert_eq!(verdict(facts.clone()), Verdict::AsExpected);
        facts.check("b", 1, 2);
        facts.check("c", 1, 1);
        assert_eq!(verdict(facts), Verdict::Different);
    }

    #[test]
    fn facts_without_a_comparison_are_informative() {
        let mut facts = Facts::new();
        facts.note("a", 1);
        assert_eq!(verdict(facts), Verdict::Informative);
    }

    #[test]
    fn a_failing_call_is_different_and_a_missing_thing_is_not_available() {
        let failed = Err(Trouble::Failed("arming".into(), Errno(libc::EINVAL)));
        assert_eq!(Finding::from(failed).verdict, Verdict::Different);
        assert_eq!(Finding::from(Err(Trouble::NotAvailable(String::new()))).verdict, Verdict::NotAvailable);
    }
}
