//! Msgmap: a queue of messages, most of it payload, and the insert that took longest.
//!
//! The payloads are leaf objects: never armed, never read by a worker. The nodes are small and the slots of the map are
//! overwritten from one end to the other, so the barrier traps once for each page of the map in a cycle.

use std::ptr;
use std::time::Instant;

use palimpsest::{Address, Error, Layout};

use crate::latency::Latency;
use crate::objects::{self, Mutator};
use crate::report::Outcome;

const PAYLOAD: usize = 1024;

#[derive(Clone, Copy)]
struct Message {
    payload: *mut u8,
    previous: *mut u8,
    id: u64,
}

impl Message {
    const LAYOUT: Layout = Layout::mask(0b11);
}

/// Runs the workload: `window` live messages, replaced `times` times.
pub(crate) fn run(mutator: &mut Mutator, origin: Instant, window: u32, times: u32) -> Result<Outcome, Error> {
    let heap = mutator.heap().clone();
    let kind = heap.define_layout(Message::LAYOUT)?;
    let window = u64::from(window);
    let map: *mut *mut Message = objects::pointers(mutator, window as usize);
    let _map = heap.handle(Address::from_ptr(map));

    let (mut sum, mut last) = (0u64, ptr::null_mut());
    let mut latency = Latency::start(origin, 1);
    for id in 0..window * u64::from(times) {
        let payload = objects::bytes(mutator, PAYLOAD, id as u8);
        let message = objects::new(mutator, kind, Message { payload, previous: last, id });
        let at = id as usize % PAYLOAD;
        // SAFETY: the slot is within the map, which its handle keeps; what a slot leads to is live, and the old
        // message is read before the next safepoint.
        unsafe {
            let slot = map.add((id % window) as usize);
            if let Some(old) = slot.read().as_ref() {
                sum += old.id + u64::from(*old.payload.add(at));
                if !old.previous.is_null() {
                    sum += u64::from(*old.previous.add(at));
                }
            }
            slot.write(message);
        }
        last = payload;
        latency.lap();
    }
    for slot in 0..window as usize {
        mutator.poll();
        // SAFETY: every slot was filled, and since the second round with a message that has one before it.
        unsafe {
            let message = &**map.add(slot);
            sum += message.id + u64::from(*message.payload) + u64::from(*message.previous);
        }
    }
    Ok(Outcome { latency: Some(latency), ..Outcome::new(sum) })
}
