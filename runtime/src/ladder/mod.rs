//! The ladder: what a heap tries when it is made, from the best way of keeping a snapshot to the one that needs nothing.
//!
//! A *rung* is a way of keeping the snapshot, with a way of noticing writes and a way to the userfaultfd where it has
//! those. [`climb`] tries rungs in order and notes for each why it was refused, until one holds. What was chosen, and why,
//! is a value that the embedder can read ([`Ladder`]): nothing degrades silently.
//!
//! A rung can be forced, by the embedder or by the environment variable [`VARIABLE`]. A forced rung that cannot be had is
//! an error that says what to change, and no other is tried.

mod footing;
mod machine;
mod missing;
mod rung;

pub use footing::Footing;
pub use machine::Machine;
pub use missing::Missing;
pub use rung::{Rung, Snapshot, Wish};

use crate::barrier::DeliveryKind;
use crate::error::Error;
use crate::unit::Bytes;
use std::fmt;

/// The environment variable that forces a rung, unless the embedder forces one: `snapshot[/delivery[/door]]`.
pub const VARIABLE: &str = "PALIMPSEST_RUNG";

/// Who said which rungs to try.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum By {
    /// Nobody: the best that holds.
    Default,
    /// The embedder.
    Builder,
    /// The environment variable of this name: [`VARIABLE`], or one that says it among other things.
    Environment(&'static str),
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            By::Default => "default",
            By::Builder => "the program",
            By::Environment(variable) => variable,
        })
    }
}

/// A rung that was tried.
#[derive(Clone, Debug)]
pub struct Step {
    /// Which one.
    pub rung: Rung,
    /// Why it does not hold; `None` if it does.
    pub refused: Option<Error>,
}

/// What was tried, and what was chosen: the last step.
#[derive(Clone, Debug)]
pub struct Ladder {
    steps: Vec<Step>,
    by: By,
}

impl Ladder {
    /// The rungs that were tried, in order. All but the last were refused.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Who said what to try.
    pub fn by(&self) -> By {
        self.by
    }

    /// The rung that holds.
    pub fn chosen(&self) -> Rung {
        // `climb` makes ladders only with a rung that holds.
        self.steps[self.steps.len() - 1].rung
    }

    /// Why the heap does less than it could elsewhere: nothing, if the first rung that was tried holds. Another way to the
    /// same userfaultfd is not less, but for a monitor, which does not hear of the kernel's writes through each.
    pub fn degraded(&self) -> Option<String> {
        let (first, chosen) = (self.steps[0].rung, self.chosen());
        let hears = |rung: Rung| {
            rung.delivery != Some(DeliveryKind::Monitor)
                || rung.door.is_some_and(|door| door.sees_kernel_writes())
        };
        let same = (first.snapshot, first.delivery) == (chosen.snapshot, chosen.delivery);
        if same && hears(first) == hears(chosen) {
            return None;
        }
        Some(format!("{chosen} is used: {}", Reasons(&self.steps)))
    }
}

impl fmt::Display for Ladder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.chosen())?;
        match self.by {
            By::Default => {}
            by => write!(f, ", forced by {by}")?,
        }
        if self.steps.len() > 1 {
            write!(f, " ({})", Reasons(&self.steps))?;
        }
        Ok(())
    }
}

/// Why each refused step was refused; the same reason once.
struct Reasons<'a>(&'a [Step]);

impl fmt::Display for Reasons<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut groups: Vec<(String, Vec<Rung>)> = Vec::new();
        for step in self.0 {
            let Some(why) = step.refused.as_ref().map(Error::to_string) else { continue };
            match groups.iter_mut().find(|(reason, _)| *reason == why) {
                Some((_, rungs)) => rungs.push(step.rung),
                None => groups.push((why, vec![step.rung])),
            }
        }
        for (k, (why, rungs)) in groups.iter().enumerate() {
            f.write_str(if k > 0 { "; " } else { "" })?;
            for (k, rung) in rungs.iter().enumerate() {
                write!(f, "{}{rung}", if k > 0 { ", " } else { "" })?;
            }
            write!(f, ": {why}")?;
        }
        Ok(())
    }
}

/// No rung that was to be tried holds.
#[derive(Clone, Debug)]
pub struct Refused {
    wish: Wish,
    by: By,
    steps: Vec<Step>,
}

impl Refused {
    /// The rungs that were tried.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.by {
            By::Default => f.write_str("no heap can be made here")?,
            by => write!(f, "{} was asked for by {by} and cannot be had here", self.wish)?,
        }
        write!(f, " - {}", Reasons(&self.steps))
    }
}

impl std::error::Error for Refused {}

/// Finds the first rung of `wish` that holds, and what stands on it: a heap with two halves of `half` bytes, with at most
/// `preimages` bytes of pre-images.
///
/// # Errors
/// Where none of them holds. If all were refused for one reason, such as a limit, it is that.
pub fn climb(wish: Wish, by: By, half: Bytes, preimages: Bytes) -> Result<(Footing, Ladder), Error> {
    wish.check().map_err(Error::NoSuchRung)?;
    let candidates = wish.candidates();
    let machine = Machine::look_for(&candidates);
    let mut steps: Vec<Step> = Vec::new();
    for rung in candidates {
        let footing =
            machine.allows(&rung).map_err(Error::from).and_then(|()| Footing::on(&rung, half, preimages));
        match footing {
            Ok(footing) => {
                steps.push(Step { rung, refused: None });
                return Ok((footing, Ladder { steps, by }));
            }
            Err(why) => steps.push(Step { rung, refused: Some(why) }),
        }
    }
    let mut reasons = steps.iter().filter_map(|step| step.refused.as_ref());
    if by == By::Default
        && let Some(first) = reasons.next()
        && reasons.all(|other| other.to_string() == first.to_string())
    {
        return Err(first.clone());
    }
    Err(Error::Refused(Box::new(Refused { wish, by, steps })))
}

/// What [`VARIABLE`] asks for, if it is set and not empty.
///
/// # Errors
/// [`Error::NoSuchRung`] where it names none.
pub fn from_environment() -> Result<Option<Wish>, Error> {
    let Some(text) = std::env::var_os(VARIABLE).filter(|text| !text.is_empty()) else { return Ok(None) };
    let text = text.to_string_lossy();
    text.parse().map(Some).map_err(|why| Error::NoSuchRung(format!("{VARIABLE}={text}: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::Errno;
    use crate::sys::uffd::Door;

    #[test]
    fn the_default_ladder_ends_with_what_needs_nothing() {
        let rungs = Wish::default().candidates();
        let names: Vec<_> = rungs.iter().map(Rung::to_string).collect();
        assert_eq!(
            names,
            [
                "preimage/signal/user-call",
                "preimage/signal/call",
                "preimage/signal/device",
                "preimage/protect",
                "forkcow",
                "stw"
            ]
        );
    }

    #[test]
    fn a_ladder_says_why_it_is_not_at_the_top() {
        let closed = |door, errno| Some(Error::from(Missing::Closed(door, errno)));
        let mut rungs = Wish::default().candidates().into_iter();
        let mut step = |refused| Step { rung: rungs.next().unwrap(), refused };
        let mut steps = vec![step(closed(Door::SystemCallUserOnly, Errno::PERM)), step(None)];
        let ladder = Ladder { steps: steps.clone(), by: By::Default };
        assert_eq!(ladder.degraded(), None, "another door is not less");
        let monitor: Wish = "preimage/monitor".parse().unwrap();
        let [call, _, user] = monitor.candidates()[..] else { panic!("three doors") };
        let refused = closed(Door::SystemCall, Errno::PERM);
        let deaf = [Step { rung: call, refused }, Step { rung: user, refused: None }];
        let ladder = Ladder { steps: deaf.into(), by: By::Builder };
        assert!(ladder.degraded().is_some(), "a monitor that does not hear of the kernel's writes is less");
        steps[1].refused = closed(Door::SystemCall, Errno::PERM);
        steps.push(step(closed(Door::Device, Errno::ACCESS)));
        steps.push(step(None));
        let ladder = Ladder { steps, by: By::Default };
        let why = ladder.degraded().unwrap();
        for part in ["preimage/protect is used", "seccomp", "/dev/userfaultfd"] {
            assert!(why.contains(part), "{why}");
        }
    }

    #[test]
    fn a_heap_stands_somewhere() {
        let (footing, ladder) =
            climb(Wish::default(), By::Default, Bytes::mib(2), Bytes::mib(2)).expect("a rung");
        assert_eq!(footing.rung, ladder.chosen());
        footing.leave();
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let wish = "preimage/async".parse::<Wish>().unwrap_err();
        assert!(wish.contains("afterwards"), "{wish}");
        let half = Bytes::mib(2);
        let (protect, stw) = (Some(DeliveryKind::Protect), Snapshot::StopTheWorld);
        for rung in [
            Rung { snapshot: Snapshot::Preimage, delivery: None, door: None },
            Rung { snapshot: Snapshot::Preimage, delivery: protect, door: Some(Door::Device) },
            Rung { snapshot: stw, delivery: Some(DeliveryKind::Signal), door: None },
        ] {
            let refused = climb(rung.into(), By::Builder, half, half);
            assert!(matches!(refused, Err(Error::NoSuchRung(_))), "{rung}");
        }
        for nonsense in ["", "preimage/signal/window", "stw/signal", "preimage/protect/device", "a/b/c/d"] {
            assert!(nonsense.parse::<Wish>().is_err(), "{nonsense:?}");
        }
    }
}
