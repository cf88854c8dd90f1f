//! Runs the workload program as a child, and never waits for it forever: a collector that hangs must fail a test.

#[allow(dead_code, reason = "not every test runs all workloads")]
pub mod runs;

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(120);

/// Runs the program with these arguments, separated by spaces.
pub fn workload(arguments: &str) -> Output {
    workload_with(arguments, &[])
}

/// The same with these environment variables.
pub fn workload_with(arguments: &str, variables: &[(&str, &str)]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_workload"))
        .args(arguments.split_whitespace())
        .env_remove("PEER")
        .envs(variables.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().expect("wait").is_none() {
        if Instant::now() > deadline {
            child.kill().expect("kill");
            let output = child.wait_with_output().expect("wait");
            panic!("`{arguments}` hung; it wrote: {}", String::from_utf8_lossy(&output.stderr));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().expect("wait")
}

/// What the program wrote to standard error.
pub fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
