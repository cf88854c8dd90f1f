//! Server: requests that arrive when they arrive, whether or not the ones before are done.
//!
//! Each request makes some fifty objects that are garbage when it is answered, and changes a session that lives for ever: a new
//! object is stored into old ones, and an old one is dropped. Two times are kept: how long a request was worked at, and the
//! *metered* one, from its scheduled arrival to its answer. A pause that holds up one request lets the next ones queue, which the
//! first figure hides and the second shows.
//!
//! A session belongs to one thread, and a request to its session's: so sessions change in the order of arrival, and the checksum
//! depends neither on the number of threads nor on time.

mod request;
mod schedule;
mod session;

use std::time::Instant;

use palimpsest::{Address, Error};

use crate::latency::Latency;
use crate::objects::{self, Mutator};
use crate::random::Random;
use crate::report::Outcome;
use crate::threads;
use request::Request;
use schedule::Schedule;
use session::{Kinds, Session};

/// What is asked for.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) sessions: u32,
    pub(crate) requests: u64,
    /// Arrivals in a second; 0 is one when the last was answered.
    pub(crate) rate: u32,
    pub(crate) threads: u32,
}

/// Runs the workload.
pub(crate) fn run(mutator: &mut Mutator, origin: Instant, load: Load) -> Result<Outcome, Error> {
    let heap = mutator.heap().clone();
    let kinds = Kinds::define(&heap)?;
    let sessions = load.sessions.into();
    let table = Address::from_ptr(objects::pointers::<Session>(mutator, sessions as usize));
    let _table = heap.handle(table);
    // SAFETY: within the table, which its handle keeps.
    let slot = |index: usize| unsafe { table.as_ptr::<*mut Session>().add(index) };

    let start = Instant::now();
    for index in 0..sessions {
        let session = Session::open(mutator, &kinds, &mut Random::of(index));
        // SAFETY: a slot of the table.
        unsafe { slot(index as usize).write(session) };
    }
    let build = start.elapsed();

    let schedule = Schedule::start(load.rate);
    let served = threads::on_each(mutator, load.threads, |mutator, thread| {
        schedule::wake_in_time();
        let mut sum = 0u64;
        let [mut metered, mut service] = [(); 2].map(|()| Latency::start(origin, load.threads));
        for number in 0..load.requests {
            let mut random = Random::of(number);
            let index = random.below(sessions);
            if index % load.threads as usize != thread as usize {
                continue;
            }
            let begin = schedule.wait_for(mutator, number);
            // SAFETY: every slot was filled.
            let session = unsafe { *slot(index) };
            let request = Request { number, kinds: &kinds, random: &mut random };
            // SAFETY: the table leads to the session.
            sum = sum.wrapping_add(unsafe { request.serve(mutator, session) });
            let end = Instant::now();
            service.add(begin, end);
            metered.add(schedule.arrival(number).unwrap_or(begin), end);
        }
        (sum, metered, service)
    })?;

    let mut sum = 0u64;
    let [mut metered, mut service] = [(); 2].map(|()| Latency::start(origin, load.threads));
    for (of_thread, its_metered, its_service) in served {
        sum = sum.wrapping_add(of_thread);
        metered.merge(&its_metered);
        service.merge(&its_service);
    }
    Ok(Outcome { build: Some(build), latency: Some(metered), service: Some(service), ..Outcome::new(sum) })
}
