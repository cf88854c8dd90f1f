//! A directory with programs that stand in for the workloads and the peers, and the report run on them.
//!
//! They are shell scripts. Each takes what the real one takes, notes that it ran, does what its test wants it to do, and prints a line
//! such as the real one prints. Together they are the whole interface between the report and what it runs.

use palimpsest_report::results::Results;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A directory of its own for a test, with well-behaved programs in it.
pub struct Stage {
    pub directory: PathBuf,
}

/// What ours does before its work: takes its options, refuses one rung, and writes a timeline where it is asked for one.
const OURS: &str = r#"
rung=preimage/signal
if [ "$1" = --rung ]; then
    rung=$2; shift 2
    if [ $rung = stw/async ]; then echo "workload: stw/async cannot be had here" >&2; exit 1; fi
fi
if [ "$1" = --timeline ]; then
    echo '{"of":"graph 64","rows":[["worker",[{"name":"marking","from_ms":0,"to_ms":2}]]],"traps":[[0,3]],"traps_every_ms":1}' >"$2"
    shift 2
fi
"#;

const RESULT: &str = r#"
echo "{\"wall_s\":0.5,\"cpu_s\":0.5,\"peak_rss_mib\":10,\"gcs\":1,\"pauses_ms\":[[1,0.25]],\"latency_ms\":{\"p50\":0.001},\
\"checksum\":$checksum,\"gc\":{\"rung\":\"$rung/user-call\",\"ladder\":\"$rung/user-call\"}}"
"#;

impl Stage {
    /// For the test of this name.
    pub fn new(name: &str) -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("report-{name}"));
        if directory.exists() {
            fs::remove_dir_all(&directory).expect("what an earlier run has left");
        }
        fs::create_dir_all(&directory).expect("a directory");
        let stage = Self { directory };
        for program in ["workload", "peer-malloc", "peer-mimalloc", "peer-bump", "peer-bdwgc"] {
            stage.program(program, "");
        }
        stage
    }

    /// Puts a program there that does this, in the shell's language, before it prints its result. `$1` is the workload.
    pub fn program(&self, name: &str, does: &str) {
        let (log, options) = (self.directory.join("log"), if name == "workload" { OURS } else { "" });
        let head = format!("#!/bin/sh\n{options}\nchecksum=7\necho \"{name} $*\" >>'{}'\n", log.display());
        let path = self.directory.join(name);
        // Renamed into place: a program that was open for writing when another test forked cannot be run.
        let new = path.with_extension("new");
        fs::write(&new, format!("{head}{does}\n{RESULT}")).expect("a program");
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).expect("permissions");
        fs::rename(&new, &path).expect("a name");
    }

    /// The report on these programs, with these arguments.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_report"));
        command
            .args(["--no-build", "--wait", "0", "--programs"])
            .arg(&self.directory)
            .arg("--out")
            .arg(self.out())
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs it to its end.
    pub fn report(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the report starts")
    }

    /// Where the report goes.
    pub fn out(&self) -> PathBuf {
        self.directory.join("out")
    }

    /// Its results.
    pub fn results(&self) -> Results {
        palimpsest_report::outputs::read(&self.out().join("results.json")).expect("results")
    }

    /// How often a program ran on a workload.
    pub fn count(&self, beginning: &str) -> usize {
        let log = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
        log.lines().filter(|line| line.starts_with(beginning)).count()
    }
}

/// The exit code, after what the report has said was printed for a test that fails.
pub fn code(output: &Output) -> Option<i32> {
    println!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    output.status.code()
}
