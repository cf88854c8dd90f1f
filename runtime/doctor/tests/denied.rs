//! Where userfaultfd is denied, or there are no privileges, the questions are answered all the same: each with a verdict or
//! with the reason why there is none.

mod support;

use palimpsest_doctor::conformance::{Delivery, Verdict};
use palimpsest_doctor::kernel::process::is_root;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use support::{conformance, run};

/// The user `nobody`.
const NOBODY: u32 = 65534;

/// Where any user can execute a copy of the program; the original may be below somebody's home.
struct Copy(PathBuf);

impl Copy {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("doctor-{name}-{}", std::process::id()));
        std::fs::copy(env!("CARGO_BIN_EXE_doctor"), &path).expect("copying the program");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("making it executable");
        Self(path)
    }

    /// The program, to be run without privileges.
    fn unprivileged(&self) -> Command {
        let mut command = Command::new(&self.0);
        command.args(["--conformance", "--json"]);
        if is_root() {
            // A root process that changes its user loses its capabilities with that.
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // Nothing else can be done about a file that does not go away.
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn under_a_filter_userfaultfd_is_not_available_and_mprotect_is_answered() {
    let run = conformance(&["--deny-userfaultfd", "--only", "first-"]);
    assert_eq!(run.code(), Some(0), "{}", run.errors());
    let rows = run.report().rows;
    assert!(rows.len() > 8);
    for row in
        rows.iter().filter(|row| !matches!(row.memory, palimpsest_doctor::conformance::Memory::Hugetlb))
    {
        if row.delivery == Delivery::Mprotect {
            assert_eq!(row.verdict, Verdict::AsExpected, "{row:?}");
        } else {
            assert_eq!(row.verdict, Verdict::NotAvailable, "{row:?}");
            for part in ["UFFD_USER_MODE_ONLY", "/dev/userfaultfd", "EPERM"] {
                assert!(row.observed.contains(part), "{}", row.observed);
            }
        }
    }
}

#[test]
fn without_privileges_every_question_is_answered_or_says_why_not() {
    let copy = Copy::new("unprivileged");
    let run = run(&mut copy.unprivileged());
    let report = run.report();
    assert!(!report.privileged);
    assert_eq!(
        run.code(),
        Some(0),
        "{:#?}",
        report.rows.iter().filter(|r| !r.verdict.is_fine()).collect::<Vec<_>>()
    );
    let forks: Vec<_> = report.rows.iter().filter(|row| row.question == "fork-event").collect();
    assert!(!forks.is_empty());
    for row in forks {
        assert_eq!(row.verdict, Verdict::NotAvailable, "{row:?}");
    }
}

#[test]
fn without_privileges_and_under_a_filter_it_still_works() {
    let copy = Copy::new("filtered");
    let run = run(copy.unprivileged().args(["--deny-userfaultfd", "--only", "read-into-armed"]));
    assert_eq!(run.code(), Some(0), "{}", run.errors());
    let rows = run.report().rows;
    assert!(rows.iter().any(|row| row.verdict == Verdict::AsExpected));
    assert!(rows.iter().any(|row| row.verdict == Verdict::NotAvailable));
}
