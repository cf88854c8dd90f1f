//! The command: read a program from somewhere, run it, say how it ended.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;
use palimpsest::Stats;

use crate::diagnostics::text_of;
use crate::options::{Options, StatsFormat};
use crate::repl;
use crate::vm::{InterpretError, Vm};

/// The command line is wrong.
const USAGE: u8 = 64;
/// The program does not compile.
const COMPILE_ERROR: u8 = 65;
/// The program failed, or the collector could not start.
const RUNTIME_ERROR: u8 = 70;
/// Reading the program or writing the output failed.
const IO_ERROR: u8 = 74;

/// Larger programs are not read (an endless file, say).
const LARGEST_SOURCE: u64 = 1 << 30;

/// Runs the `lox` command with the arguments of this process.
pub fn run() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) => {
            // Help and version are "errors" that go to standard output. There is no one to tell if this fails.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let mut vm = match Vm::new(&options.heap()) {
        Ok(vm) => vm,
        Err(error) => {
            complain(format_args!("lox: {error}\n"));
            return ExitCode::from(RUNTIME_ERROR);
        }
    };
    let code = match &options.file {
        None if io::stdin().is_terminal() => repl::run(&mut vm),
        None => run_program(&mut vm, "standard input", read_input),
        Some(file) if file == Path::new("-") => run_program(&mut vm, "standard input", read_input),
        Some(file) => run_program(&mut vm, &file.display().to_string(), || read_file(file)),
    };
    let (stats, pauses) = (vm.stats(), vm.pauses());
    // Ends the collector too, so that its log cannot come after the statistics.
    drop(vm);
    if options.gc_log {
        complain(format_args!("pauses: {pauses}\n"));
    }
    print_stats(&stats, options.gc_stats);
    ExitCode::from(code)
}

fn read_input() -> io::Result<Vec<u8>> {
    read_limited(io::stdin(), 0)
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    read_limited(file, size)
}

/// Reads all of `source`, of which `expected` bytes are probably there.
fn read_limited(source: impl io::Read, expected: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(expected.min(LARGEST_SOURCE) as usize + 1);
    source.take(LARGEST_SOURCE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST_SOURCE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the program is larger than 1 GiB"));
    }
    Ok(bytes)
}

fn run_program(vm: &mut Vm, name: &str, read: impl FnOnce() -> io::Result<Vec<u8>>) -> u8 {
    let source = match vm.blocking(read) {
        Ok(source) => source,
        Err(error) => {
            complain(format_args!("lox: cannot read {name}: {error}\n"));
            return IO_ERROR;
        }
    };
    let outcome = text_of(source).map_err(InterpretError::Compile).and_then(|source| vm.run_script(&source));
    match outcome {
        Ok(()) => 0,
        Err(error) => report(&error),
    }
}

/// Tells the user how a program or an entry failed. Returns the exit code for it.
pub(crate) fn report(error: &InterpretError) -> u8 {
    match error {
        InterpretError::Compile(errors) => {
            complain(format_args!("{errors}"));
            COMPILE_ERROR
        }
        InterpretError::Runtime(message) => {
            complain(format_args!("{message}"));
            RUNTIME_ERROR
        }
        // Whoever read the output, such as `head`, has seen enough. That is no failure of ours.
        InterpretError::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
        InterpretError::Output(error) => {
            complain(format_args!("lox: cannot write the output: {error}\n"));
            IO_ERROR
        }
    }
}

/// Writes to standard error; if that is closed, nobody wants to know.
pub(crate) fn complain(message: std::fmt::Arguments<'_>) {
    let _ = io::stderr().lock().write_fmt(message);
}

fn print_stats(stats: &Stats, format: Option<StatsFormat>) {
    match format {
        None => {}
        Some(StatsFormat::Human) => complain(format_args!("{stats}\n")),
        Some(StatsFormat::Json) => complain(format_args!("{}\n", serde_json::json!(stats))),
    }
}
