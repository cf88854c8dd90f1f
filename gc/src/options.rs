//! What an embedder can choose.

use crate::cycle::policy::Headroom;
use crate::host_fork::HostFork;
use palimpsest_runtime::Bytes;
use palimpsest_runtime::ladder::Wish;
use palimpsest_runtime::sys::clock;
use palimpsest_runtime::worker::Worker;
use std::time::Duration;

/// Misfortune for workers, dealt out at random, to show that it loses nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chaos {
    /// One worker in so many is killed or stopped at a random moment.
    one_in: Option<u32>,
}

impl Chaos {
    pub(crate) fn one_in(n: u32) -> Self {
        Self { one_in: Some(n.max(1)) }
    }

    /// Perhaps strikes a worker that has just been forked.
    pub(crate) fn strike(&self, worker: &Worker<'_>) {
        let Some(n) = self.one_in else { return };
        let random = clock::monotonic_ns().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        if random.is_multiple_of(n.into()) {
            std::thread::sleep(Duration::from_micros(random / 64 % 2_000));
            if random & 1 == 0 { worker.kill() } else { worker.stop() }
        }
    }
}

/// Nanoseconds, bytes and switches, with defaults that are meant to be left alone.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) limit: Bytes,
    /// Which rungs to try, where the embedder forces one.
    pub(crate) rung: Option<Wish>,
    pub(crate) cycle_every: Option<Bytes>,
    /// Whether there are cycles of the young, where the heap remembers what is written.
    pub(crate) young: bool,
    /// What children have of the heap.
    pub(crate) host_fork: HostFork,
    pub(crate) preimage_limit: Option<Bytes>,
    /// A cycle every so many allocations, verified.
    pub(crate) stress: Option<u64>,
    pub(crate) poison: bool,
    /// Verify the heap after every cycle.
    pub(crate) verify: bool,
    /// What befalls workers, for tests.
    pub(crate) chaos: Chaos,
    /// How long a worker may make no progress.
    pub(crate) patience: Duration,
    /// How long writers may wait for the pre-image pool before the cycle is given up.
    pub(crate) stall_limit: Duration,
    /// How much lower than the mutators' the worker's priority is.
    pub(crate) worker_nice: i32,
    /// Packets for marking, where a test wants few.
    pub(crate) mark_packets: Option<usize>,
}

impl Options {
    /// What is allocated between cycles at least.
    pub(crate) const MIN_HEADROOM: Bytes = Bytes::mib(32);
    /// What is allocated before a cycle of the young that is marked in the pause.
    pub(crate) const NURSERY: Bytes = Bytes::mib(16);

    pub(crate) fn new(limit: Bytes) -> Self {
        Self {
            limit,
            rung: None,
            cycle_every: None,
            young: true,
            host_fork: HostFork::default(),
            preimage_limit: None,
            stress: None,
            poison: false,
            verify: false,
            chaos: Chaos::default(),
            patience: Duration::from_secs(10),
            stall_limit: Duration::from_millis(100),
            worker_nice: 10,
            mark_packets: None,
        }
    }

    /// The bound of the pre-image pool.
    pub(crate) fn preimage_limit(&self) -> Bytes {
        self.preimage_limit.unwrap_or(Bytes(self.limit.0 / 2))
    }

    /// Packets of references for marking. An object is queued at most once, so an eighth of the heap in references of
    /// eight bytes is room for one object in 64 bytes being queued at a time; beyond that marking gets slower, not wrong.
    pub(crate) fn mark_packets(&self) -> usize {
        self.mark_packets.unwrap_or(self.limit.0 / 8 / crate::mark::PACKET_BYTES).max(1)
    }

    /// How much is allocated before the first cycle.
    pub(crate) fn first_cycle_at(&self) -> Bytes {
        self.headroom(Bytes(0), Headroom::Double)
    }

    /// How much is allocated from the end of a cycle to the beginning of the next, with so much live: no more than half of the
    /// room there is, since allocation goes on during the cycle.
    pub(crate) fn headroom(&self, live: Bytes, share: Headroom) -> Bytes {
        let room = Bytes(self.limit.0.saturating_sub(live.0) / 2);
        let share = match share {
            Headroom::Nursery => Self::NURSERY,
            Headroom::Quarter => Bytes(live.0 / 4).max(Self::MIN_HEADROOM),
            Headroom::Double => live.max(Self::MIN_HEADROOM),
        };
        let by_growth = share.min(room);
        self.cycle_every.map_or(by_growth, |every| every.min(room))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headroom_follows_what_is_live_and_the_room_there_is() {
        let mut options = Options::new(Bytes::mib(1000));
        let headroom = |options: &Options, live| options.headroom(live, Headroom::Double);
        assert_eq!(headroom(&options, Bytes(0)), Options::MIN_HEADROOM);
        assert_eq!(headroom(&options, Bytes::mib(200)), Bytes::mib(200));
        assert_eq!(headroom(&options, Bytes::mib(900)), Bytes::mib(50));
        assert_eq!(options.headroom(Bytes::mib(400), Headroom::Quarter), Bytes::mib(100));
        options.cycle_every = Some(Bytes::mib(8));
        assert_eq!(headroom(&options, Bytes::mib(200)), Bytes::mib(8));
        assert_eq!(headroom(&options, Bytes::mib(1000)), Bytes(0));
    }
}
