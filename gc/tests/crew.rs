//! The processes of several workers: whose children they are, and what comes of it when one is killed, stopped, or denied.
//!
//! All of this is the process's, so each test has one of its own.

mod common;

use common::shapes::graph;
use common::{Nodes, alone, forking_rungs};
use palimpsest::{CycleRecord, Heap, HeapBuilder, PlainPointers, StackScan};
use palimpsest_runtime::sys::Errno;
use palimpsest_runtime::sys::inject::{self, Call};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

const NODES: u64 = 300_000;

fn heap() -> HeapBuilder<PlainPointers> {
    Heap::builder(PlainPointers).limit(128 << 20).verify(true).poison(true).workers(4)
}

/// This process's children, zombies too, the oldest first.
fn children() -> Vec<i32> {
    let own = std::process::id().to_string();
    let is_child = |pid: &i32| {
        // Behind the program's name: state, parent.
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.split(' ').nth(1) == Some(&own))
    };
    let numbers = std::fs::read_dir("/proc")
        .expect("/proc")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let mut children: Vec<i32> = numbers.filter(is_child).collect();
    children.sort_unstable();
    children
}

/// Makes cycles until there were `enough`, while another thread looks at the children, two at least, of each. Returns the
/// records of the cycles.
fn cycles_under(
    builder: HeapBuilder<PlainPointers>,
    disturb: impl Fn(&[i32]) + Sync,
    enough: impl Fn(&[CycleRecord]) -> bool,
) -> Vec<CycleRecord> {
    let nodes = Nodes::new(builder);
    let mut m = nodes.heap.attach(StackScan::None).unwrap();
    let _root = graph(&mut m, nodes.kind, NODES);
    let done = AtomicBool::new(false);
    let mut records = Vec::new();
    std::thread::scope(|s| {
        s.spawn(|| {
            while !done.load(SeqCst) {
                let children = children();
                if children.len() > 1 {
                    disturb(&children);
                }
                std::thread::sleep(Duration::from_micros(children.len() as u64 * 313));
            }
        });
        let start = Instant::now();
        while !enough(&records) && start.elapsed() < Duration::from_secs(60) {
            records.push(m.collect());
            assert_eq!(children(), [], "workers are gone after their cycle");
        }
        done.store(true, SeqCst);
    });
    assert!(enough(&records), "{records:#?}");
    records
}

fn send(pid: i32, signal: i32) {
    // SAFETY: a signal to a child of this process; its number is its own until the collector has waited for it. That may have
    // happened in this moment; then it is nobody's for a while.
    unsafe { libc::kill(pid, signal) };
}

fn passed(case: Option<std::process::ExitStatus>) {
    assert!(case.is_none_or(|status| status.success()));
}

#[test]
fn the_host_does_not_notice_its_workers() {
    passed(alone("the_host_does_not_notice_its_workers", || {
        for rung in forking_rungs() {
            let seen = AtomicBool::new(false);
            let look = |children: &[i32]| {
                let mut status = 0;
                // SAFETY: asks for any child that has ended.
                let waited = unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG) };
                let error = std::io::Error::last_os_error().raw_os_error();
                assert_eq!((waited, error), (-1, Some(libc::ECHILD)));
                seen.fetch_or(children.len() == 4, SeqCst);
            };
            let records =
                cycles_under(heap().rung(rung), look, |records| records.len() >= 5 && seen.load(SeqCst));
            for record in records {
                assert_eq!((record.failure, record.lost_workers, record.workers), (None, 0, 4));
                assert_eq!(record.marked_objects, NODES);
            }
        }
    }));
}

#[test]
fn siblings_killed_at_any_moment_cost_time_only() {
    passed(alone("siblings_killed_at_any_moment_cost_time_only", || {
        for rung in forking_rungs() {
            let kill = |children: &[i32]| {
                let now =
                    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock");
                let victim = 1 + now.subsec_micros() as usize % (children.len() - 1);
                send(children[victim], libc::SIGKILL);
            };
            let records = cycles_under(heap().rung(rung), kill, |records| {
                records.iter().filter(|record| record.takeovers > 0).count() >= 3
            });
            assert!(records.iter().all(|record| record.fallback.is_none()), "{records:#?}");
        }
    }));
}

#[test]
fn a_stopped_sibling_is_given_up() {
    passed(alone("a_stopped_sibling_is_given_up", || {
        let stop = |children: &[i32]| send(children[1], libc::SIGSTOP);
        // Where workers mark; one such rung is as good as another.
        let Some(rung) = forking_rungs().into_iter().next() else { return };
        let builder = heap().rung(rung).worker_patience(Duration::from_millis(600));
        let records = cycles_under(builder, stop, |records| {
            records.iter().any(|record| record.takeovers > 0 && record.failure.is_none())
        });
        assert!(records.iter().all(|record| record.mark_ms < 5_000.0), "{records:#?}");
    }));
}

#[test]
fn when_the_leader_is_killed_all_are_gone_and_the_cycle_fails() {
    passed(alone("when_the_leader_is_killed_all_are_gone_and_the_cycle_fails", || {
        for rung in forking_rungs() {
            let kill = |children: &[i32]| send(children[0], libc::SIGKILL);
            let failures = std::sync::Arc::new(AtomicBool::new(false));
            let failed = failures.clone();
            let builder = heap().rung(rung).on_cycle(move |record| {
                failed.fetch_or(record.failure.as_ref().is_some_and(|why| why.contains("signal 9")), SeqCst);
            });
            cycles_under(builder, kill, |_| failures.load(SeqCst));
        }
    }));
}

#[test]
fn where_siblings_are_denied_fewer_mark() {
    passed(alone("where_siblings_are_denied_fewer_mark", || {
        for rung in forking_rungs() {
            let nodes = Nodes::new(heap().rung(rung));
            let mut m = nodes.heap.attach(StackScan::None).unwrap();
            let _root = graph(&mut m, nodes.kind, 50_000);
            let cases = [
                (Call::ForkSibling, 0, 1, "RLIMIT_NPROC"),
                (Call::ForkSibling, 1, 2, "RLIMIT_NPROC"),
                (Call::ForkSibling, 2, 3, "forking a further"),
                (Call::Adopt, 0, 1, "watching a further"),
            ];
            for (call, after, workers, why) in cases {
                // In the leader's own image the count begins anew each time; the parent's goes on.
                inject::arm(call, after, u32::MAX, Errno::AGAIN);
                let record = m.collect();
                inject::disarm();
                assert_eq!((record.workers, record.marked_objects), (workers, 50_000), "{record}");
                assert!(record.fewer_workers.as_ref().is_some_and(|text| text.contains(why)), "{record}");
                assert_eq!((&record.failure, record.lost_workers), (&None, 0), "{record}");
                assert_eq!(children(), []);
            }
            assert!(nodes.heap.stats().last_trouble.is_some_and(|why| why.contains("further")));
            assert_eq!(m.collect().workers, 4);
        }
    }));
}
