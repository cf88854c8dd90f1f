//! How threads ask the collector's thread for cycles and wait for them.

use crate::events::Reason;
use crate::sync::mutation;
use palimpsest_runtime::crash::{Canary, violated};
use palimpsest_runtime::sys::lock::{Condvar, HoldAcrossFork, Mutex};
use std::time::{Duration, Instant};

/// How often a thread that waits for the collector to rest looks whether that can be.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Requests and how far the collector is.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    state: Mutex<State>,
    to_collector: Condvar,
    to_threads: Condvar,
    canary: Canary,
}

#[derive(Debug, Default)]
struct State {
    /// Cycles begun, ended.
    begun: u64,
    ended: u64,
    /// A cycle is wanted that begins after so many have begun.
    wanted: u64,
    /// The last cycle that is wanted to be a full one; to be one of the young.
    full: u64,
    young: u64,
    /// Why: as the first said who asked for that cycle, unless a thread waits at the limit.
    reason: Reason,
    shutdown: bool,
    /// Whether the collector's thread waits for a request.
    idle: bool,
    /// Threads that want to fork, for which no cycle begins.
    forks: u32,
    /// Something has happened for which the collector's thread is to look around, short of a request.
    stirred: bool,
    /// Threads that wait for the collector's thread to have nothing to do.
    awaited: u32,
}

/// What the collector's thread is to do next.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Next {
    /// The cycle of this number, which has begun; what was asked for, and why.
    Cycle { number: u64, wanted: Wanted, reason: Reason },
    /// Nothing was wanted for as long as it would wait; or something stirred.
    LookAround,
    /// The heap is going away.
    End,
}

/// A cycle that was asked for: the one with this number, or a later one, will have begun after the request.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Ticket(u64);

impl Ticket {
    /// One for the cycle of this number.
    pub(crate) fn of(number: u64) -> Self {
        Self(number)
    }

    /// The cycle's number.
    pub(crate) fn number(self) -> u64 {
        self.0
    }
}

/// What a cycle is asked for.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Wanted {
    /// Everything that can be reclaimed.
    Full,
    /// The young, if that can be.
    Young,
    /// Room: how is for the collector to say.
    Any,
}

impl Mailbox {
    /// Reports that something has written over the mailbox, or that its counts are none that there can be.
    pub(crate) fn check(&self) {
        self.canary.check("the mailbox of a heap");
        let state = self.state.lock();
        let (begun, ended, wanted) = (state.begun, state.ended, state.wanted);
        if ended > begun || wanted > begun + 1 {
            violated(
                None,
                format_args!(
                    "the mailbox says that {begun} cycles have begun, {ended} ended, {wanted} are wanted"
                ),
            );
        }
    }

    /// Asks for a cycle that begins after this call. One that is to be full is.
    pub(crate) fn request(&self, wanted: Wanted, reason: Reason) -> Ticket {
        let mut state = self.state.lock();
        let at_work = mutation!("mailbox: a request is for the cycle at work");
        let number = state.begun + u64::from(!at_work);
        match wanted {
            Wanted::Full => state.full = number,
            Wanted::Young => state.young = number,
            Wanted::Any => {}
        }
        if state.wanted < number {
            state.wanted = number;
            state.reason = reason;
            self.to_collector.notify_one();
        } else if reason == Reason::Limit {
            state.reason = reason;
        }
        Ticket(number)
    }

    /// The cycle that is at work, if one is.
    pub(crate) fn current(&self) -> Option<Ticket> {
        let state = self.state.lock();
        (state.begun > state.ended).then_some(Ticket(state.begun))
    }

    /// Waits until the cycle has ended. The caller is in a blocking region.
    pub(crate) fn wait(&self, ticket: Ticket) {
        let mut state = self.state.lock();
        while state.ended < ticket.0 && !state.shutdown {
            self.to_threads.wait(&mut state);
        }
    }

    /// The collector's side: waits for a request, for at most so long, and begins the cycle.
    pub(crate) fn next(&self, patience: Option<Duration>) -> Next {
        let since = Instant::now();
        let mut state = self.state.lock();
        let next = loop {
            let mut left = None;
            if state.shutdown {
                break Next::End;
            }
            if state.forks == 0 || mutation!("mailbox: a cycle begins while a thread forks") {
                if state.wanted > state.begun {
                    state.begun += 1;
                    let wanted = if state.full == state.begun {
                        Wanted::Full
                    } else if state.young == state.begun {
                        Wanted::Young
                    } else {
                        Wanted::Any
                    };
                    break Next::Cycle { number: state.begun, wanted, reason: state.reason };
                }
                left = patience.map(|patience| patience.saturating_sub(since.elapsed()));
                if std::mem::take(&mut state.stirred) || left == Some(Duration::ZERO) {
                    break Next::LookAround;
                }
            }
            state.idle = true;
            let is_told = !mutation!("mailbox: nobody is told that the collector rests");
            if (state.forks > 0 || state.awaited > 0) && is_told {
                self.to_threads.notify_all();
            }
            self.to_collector.wait_for(&mut state, left);
        };
        state.idle = false;
        next
    }

    /// Has the collector's thread look around.
    pub(crate) fn stir(&self) {
        self.state.lock().stirred = true;
        self.to_collector.notify_one();
    }

    /// Waits until the work after the cycle is over, or a later cycle has begun. The caller is in a blocking region.
    pub(crate) fn wait_for_rest(&self, ticket: Ticket) {
        let mut state = self.state.lock();
        state.awaited += 1;
        while !state.idle && state.begun <= ticket.0 && !state.shutdown {
            self.to_threads.wait(&mut state);
        }
        state.awaited -= 1;
    }

    /// The collector's side: the cycle has ended.
    pub(crate) fn ended(&self) {
        let mut state = self.state.lock();
        state.ended = state.begun;
        if !mutation!("mailbox: nobody is told that the cycle has ended") {
            self.to_threads.notify_all();
        }
    }

    /// Whether the collector's thread has something better to do than background work.
    pub(crate) fn is_wanted(&self) -> bool {
        let state = self.state.lock();
        state.wanted > state.begun || state.shutdown || state.forks > 0
    }

    /// Whether the heap is going away.
    pub(crate) fn is_shut_down(&self) -> bool {
        self.state.lock().shutdown
    }

    /// Before a fork whose child gets a copy: waits until the collector rests, and has it rest until [`Mailbox::go_on`].
    /// Threads go on asking for cycles. `false`: the heap is going away, or the collector does not come to rest; it goes on.
    pub(crate) fn rest(&self, is_hopeless: impl Fn() -> bool) -> bool {
        let mut state = self.state.lock();
        state.forks += 1;
        let mut rests = true;
        while rests && !state.idle && !state.shutdown {
            self.to_threads.wait_for(&mut state, Some(LOOK_AGAIN));
            rests = state.idle || !is_hopeless();
        }
        rests &= !state.shutdown;
        if !rests {
            state.forks -= 1;
            self.to_collector.notify_all();
        }
        rests
    }

    /// Lets the collector go on.
    pub(crate) fn go_on(&self) {
        self.state.lock().forks -= 1;
        self.to_collector.notify_all();
    }

    /// While it rests: takes the lock. `false`: the heap is going away.
    pub(crate) fn hold(&self) -> bool {
        self.state.hold();
        // SAFETY: held.
        unsafe { !self.state.held().shutdown }
    }

    /// Gives the lock back, in the parent.
    ///
    /// # Safety
    /// Held by this thread.
    pub(crate) unsafe fn let_go(&self) {
        // SAFETY: passed on to the caller.
        unsafe { self.state.let_go() };
    }

    /// Gives the lock back in the child. Its collector, which is not started so far, rests. Async-signal-safe.
    ///
    /// # Safety
    /// Held by the thread that this one is the image of.
    pub(crate) unsafe fn begin_anew(&self) {
        // SAFETY: passed on to the caller.
        unsafe {
            let state = self.state.held();
            state.forks = 0;
            state.awaited = 0;
            state.idle = true;
            self.state.let_go();
        }
    }

    /// Ends the collector's thread.
    pub(crate) fn shut_down(&self) {
        self.state.lock().shutdown = true;
        self.to_collector.notify_all();
        self.to_threads.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_during_a_cycle_is_for_the_next_one() {
        let mailbox = Mailbox::default();
        let first = mailbox.request(Wanted::Young, Reason::Stress);
        assert_eq!(mailbox.request(Wanted::Full, Reason::Explicit), first, "one cycle serves both");
        let next = Next::Cycle { number: 1, wanted: Wanted::Full, reason: Reason::Stress };
        assert_eq!(mailbox.next(None), next, "the first reason counts");
        assert_eq!(mailbox.current(), Some(first));
        let second = mailbox.request(Wanted::Any, Reason::Allocation);
        assert_eq!(mailbox.request(Wanted::Any, Reason::Limit), second);
        assert!(second > first);
        mailbox.ended();
        mailbox.wait(first);
        let next = Next::Cycle { number: 2, wanted: Wanted::Any, reason: Reason::Limit };
        assert_eq!((mailbox.current(), mailbox.next(None)), (None, next));
        mailbox.shut_down();
        mailbox.wait(second);
        assert_eq!(mailbox.next(None), Next::End);
    }

    #[test]
    fn a_collector_without_requests_looks_around() {
        let mailbox = Mailbox::default();
        let short = Some(Duration::from_millis(20));
        let since = Instant::now();
        assert_eq!(mailbox.next(short), Next::LookAround);
        assert!(since.elapsed() >= Duration::from_millis(20));
        mailbox.stir();
        assert_eq!(mailbox.next(None), Next::LookAround);
        mailbox.request(Wanted::Any, Reason::Allocation);
        mailbox.stir();
        assert!(matches!(mailbox.next(short), Next::Cycle { .. }), "a request comes first");
    }

    #[test]
    fn rest_is_waited_for_until_the_collector_has_nothing_to_do() {
        let mailbox = Mailbox::default();
        let ticket = mailbox.request(Wanted::Full, Reason::Explicit);
        assert!(matches!(mailbox.next(None), Next::Cycle { number: 1, .. }));
        mailbox.ended();
        std::thread::scope(|s| {
            let waiting = s.spawn(|| mailbox.wait_for_rest(ticket));
            std::thread::sleep(Duration::from_millis(20));
            assert!(!waiting.is_finished());
            assert_eq!(mailbox.next(Some(Duration::from_millis(200))), Next::LookAround);
            waiting.join().unwrap();
        });
    }
}
