//! Each question is a test: what a runtime may rely on holds on the kernel that runs the tests.
//!
//! A row that is not available is printed as skipped, with its reason, and passes.

mod support;

use palimpsest_doctor::conformance::{self, Verdict};
use std::collections::BTreeSet;
use support::conformance;

/// Asks all rows of a question.
fn ask(question: &str) {
    let report = conformance(&["--only", &format!("{question}/"), "--deadline", "60"]).report();
    assert!(report.rows.iter().any(|row| row.question == question), "{question} is not asked");
    for row in report.rows.iter().filter(|row| row.question == question) {
        let name = format!("{question}/{}/{}", row.memory, row.delivery);
        match row.verdict {
            Verdict::NotAvailable => println!("skipped {name}: {}", row.observed),
            verdict => assert!(
                verdict.is_fine(),
                "{name} is {verdict}\nexpected: {}\nobserved: {}",
                row.expected,
                row.observed
            ),
        }
    }
}

/// Makes a test of each question, and the list of them.
macro_rules! questions {
    ($($test:ident: $question:literal,)+) => {
        $(#[test] fn $test() { ask($question); })+
        const ASKED: &[&str] = &[$($question),+];
    };
}

questions! {
    the_first_store_to_an_armed_page_is_noticed_once: "first-write",
    the_first_atomic_operation_is_noticed_once_and_done_once: "first-atomic",
    pages_that_do_not_exist_are_noticed_where_they_are_protected: "unpopulated",
    pages_that_do_not_exist_are_noticed_with_the_feature: "unpopulated-feature",
    a_missing_page_is_told_of_before_its_protection: "missing-and-armed",
    signals_during_faults_lose_no_page: "signal-storm",
    two_writers_of_a_page_both_succeed: "two-writers",
    a_thread_with_its_signals_blocked_dies_at_its_first_trap: "blocked-signal",
    read_into_an_armed_page_fails_waits_or_succeeds_by_delivery: "read-into-armed",
    process_vm_writev_into_an_armed_page_does_the_same: "writev-into-armed",
    a_debugger_does_not_wait_for_the_monitor: "debugger-write",
    taking_a_pin_of_an_armed_page_is_a_write: "pin-armed",
    a_write_through_an_older_pin_is_not_noticed: "write-through-pin",
    read_only_protection_is_told_of_first: "mprotect-read-only",
    no_access_is_told_of_first: "mprotect-none",
    no_access_is_told_of_before_a_missing_page: "mprotect-none-missing",
    a_second_userfaultfd_is_refused: "second-uffd",
    closing_the_last_descriptor_opens_every_page: "close",
    closing_the_last_descriptor_wakes_waiting_writers: "close-wakes",
    a_write_of_the_parent_after_fork_is_noticed: "fork-then-parent-writes",
    a_write_of_the_child_after_fork_is_not: "fork-then-child-writes",
    the_fork_event_gives_the_parent_the_childs_descriptor: "fork-event",
    a_copy_that_a_read_enforces_is_silent: "read-breaks-cow",
    a_pagemap_descriptor_acts_on_the_process_that_opened_it: "inherited-pagemap",
    a_userfaultfd_acts_on_the_process_that_made_it: "inherited-uffd",
    dropping_pages_drops_the_protection_of_anonymous_memory_only: "madvise-dontneed",
    punching_a_hole_keeps_the_protection: "hole-punch",
    a_new_mapping_at_the_same_place_is_not_armed: "unmap-and-map",
    a_moved_mapping_is_not_armed: "mremap",
    small_pages_of_an_armed_huge_page_are_noticed_one_by_one: "huge-whole",
    arming_a_part_of_a_huge_page_leaves_its_neighbours_open: "huge-part",
    a_scan_reports_a_written_page_once_and_arms_it: "scan-rearm",
    a_scan_can_be_resumed_where_its_vector_was_full: "scan-resume",
    a_scan_cannot_arm_what_is_not_tracked_asynchronously: "scan-not-async",
    a_scan_that_cannot_report_arms_all_the_same: "scan-lost",
}

#[test]
fn every_question_has_a_test() {
    let asked: BTreeSet<_> = ASKED.iter().copied().collect();
    let all: BTreeSet<_> = conformance::rows().map(|(question, _)| question.name).collect();
    assert_eq!(asked, all);
}
