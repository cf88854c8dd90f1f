//! Rungs, and wishes for one.

use crate::barrier::DeliveryKind;
use crate::mapping::Backing;
use crate::sys::uffd::Door;
use std::fmt;
use std::str::FromStr;

/// How the heap of the snapshot is kept while it is marked.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Default)]
pub enum Snapshot {
    /// The write barrier stores pre-images, and a forked worker marks while the mutators run.
    #[default]
    Preimage,
    /// The kernel's copy-on-write keeps it: the heap is private memory, and a forked worker marks its own copy. The pause
    /// grows with the heap, whose page tables the fork copies.
    ForkCow,
    /// Nobody: the world is stopped while the collector's thread marks.
    StopTheWorld,
}

impl Snapshot {
    /// All of them, the best first.
    pub const ALL: [Self; 3] = [Self::Preimage, Self::ForkCow, Self::StopTheWorld];

    /// The name, as it is written in options and statistics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Preimage => "preimage",
            Self::ForkCow => "forkcow",
            Self::StopTheWorld => "stw",
        }
    }

    /// What the heap is made of. Private memory is the cheaper one: its pages are populated faster.
    pub const fn backing(self) -> Backing {
        match self {
            Self::Preimage => Backing::Shared,
            Self::ForkCow | Self::StopTheWorld => Backing::Private,
        }
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Snapshot {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|snapshot| snapshot.name() == text)
            .ok_or_else(|| format!("{text:?} is no snapshot: preimage, forkcow or stw"))
    }
}

/// One way for a heap to be: how the snapshot is kept, how writes are noticed, and through which door the userfaultfd came.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub struct Rung {
    /// How the snapshot is kept.
    pub snapshot: Snapshot,
    /// How writes are noticed. `None`: they are not.
    pub delivery: Option<DeliveryKind>,
    /// The way to the userfaultfd, if the delivery has one.
    pub door: Option<Door>,
}

impl Rung {
    /// All rungs with such a snapshot and such a delivery, one for each door.
    fn with(snapshot: Snapshot, delivery: Option<DeliveryKind>) -> impl Iterator<Item = Self> {
        let doors = delivery.map_or(&[][..], DeliveryKind::doors);
        let none = doors.is_empty().then_some(Self { snapshot, delivery, door: None });
        none.into_iter().chain(doors.iter().map(move |&door| Self { snapshot, delivery, door: Some(door) }))
    }
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.snapshot.fmt(f)?;
        if let Some(delivery) = self.delivery {
            write!(f, "/{delivery}")?;
        }
        if let Some(door) = self.door {
            write!(f, "/{}", door.name())?;
        }
        Ok(())
    }
}

/// Which rungs to try: those that agree with what is named here. Nothing named: the default ladder.
///
/// In words: `preimage`, `preimage/monitor`, `preimage/signal/device`, `forkcow`, `forkcow/async`, `stw/none`.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Wish {
    snapshot: Option<Snapshot>,
    delivery: Option<Option<DeliveryKind>>,
    door: Option<Door>,
}

impl Wish {
    /// The rungs to try, in order.
    ///
    /// The monitor is never chosen by itself: where it works a signal does, and is cheaper. Nor is the tracking of
    /// writes, for which only an embedder that wants it should pay.
    pub fn candidates(&self) -> Vec<Rung> {
        let by_default = match (self.snapshot, self.delivery) {
            (Some(snapshot), Some(delivery)) => vec![(snapshot, delivery)],
            (snapshot, None) => [
                (Snapshot::Preimage, Some(DeliveryKind::Signal)),
                (Snapshot::Preimage, Some(DeliveryKind::Protect)),
                (Snapshot::ForkCow, None),
                (Snapshot::StopTheWorld, None),
            ]
            .into_iter()
            .filter(|(kind, _)| snapshot.is_none_or(|wanted| wanted == *kind))
            .collect(),
            (None, Some(delivery)) => {
                Snapshot::ALL.into_iter().map(|snapshot| (snapshot, delivery)).filter(makes_sense).collect()
            }
        };
        by_default
            .into_iter()
            .flat_map(|(snapshot, delivery)| Rung::with(snapshot, delivery))
            .filter(|rung| self.door.is_none() || rung.door == self.door)
            .collect()
    }
}

impl Wish {
    /// Whether there can be such a rung anywhere.
    pub(super) fn check(&self) -> Result<(), String> {
        if let (Some(snapshot), Some(delivery)) = (self.snapshot, self.delivery)
            && !makes_sense(&(snapshot, delivery))
        {
            return Err(match (snapshot, delivery) {
                (Snapshot::Preimage, Some(_)) => crate::error::Error::NotSynchronous.to_string(),
                (Snapshot::Preimage, None) => "preimage needs a delivery: signal, monitor or protect".into(),
                _ => format!("{snapshot} can have the delivery async, or none"),
            });
        }
        if self.candidates().is_empty() {
            return Err("only deliveries through a userfaultfd have a door".into());
        }
        Ok(())
    }
}

/// Whether a snapshot can be kept with such a delivery.
fn makes_sense((snapshot, delivery): &(Snapshot, Option<DeliveryKind>)) -> bool {
    match (snapshot, delivery) {
        (Snapshot::Preimage, Some(delivery)) => delivery.is_synchronous(),
        (Snapshot::Preimage, None) => false,
        (_, delivery) => matches!(delivery, None | Some(DeliveryKind::Async)),
    }
}

impl From<Snapshot> for Wish {
    fn from(snapshot: Snapshot) -> Self {
        Self { snapshot: Some(snapshot), ..Self::default() }
    }
}

impl From<Rung> for Wish {
    fn from(rung: Rung) -> Self {
        Self { snapshot: Some(rung.snapshot), delivery: Some(rung.delivery), door: rung.door }
    }
}

impl FromStr for Wish {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split('/');
        let snapshot: Snapshot = parts.next().unwrap_or_default().parse()?;
        let delivery = match parts.next() {
            None => None,
            Some("none") => Some(None),
            Some(name) => Some(Some(name.parse::<DeliveryKind>()?)),
        };
        let door = parts.next().map(str::parse::<Door>).transpose()?;
        if parts.next().is_some() {
            return Err("a rung is snapshot[/delivery[/door]]".into());
        }
        let wish = Self { snapshot: Some(snapshot), delivery, door };
        wish.check().map(|()| wish)
    }
}

impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.snapshot.map_or("any", Snapshot::name))?;
        if let Some(delivery) = self.delivery {
            write!(f, "/{}", delivery.map_or("none", DeliveryKind::name))?;
        }
        if let Some(door) = self.door {
            write!(f, "/{}", door.name())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_name_rungs() {
        let rungs = |text: &str| {
            let wish: Wish = text.parse().unwrap();
            assert_eq!(wish.to_string(), text);
            wish.candidates().iter().map(Rung::to_string).collect::<Vec<_>>()
        };
        assert_eq!(rungs("stw"), ["stw"]);
        assert_eq!(rungs("stw/none"), ["stw"]);
        assert_eq!(rungs("preimage/signal/device"), ["preimage/signal/device"]);
        assert_eq!(rungs("preimage/protect"), ["preimage/protect"]);
        assert_eq!(
            rungs("preimage/monitor"),
            ["preimage/monitor/call", "preimage/monitor/device", "preimage/monitor/user-call"],
            "the doors that see the kernel's writes come first"
        );
        assert_eq!(rungs("forkcow/async").len(), 3);
        assert_eq!(rungs("preimage").len(), 4);
    }
}
