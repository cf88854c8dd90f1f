//! Compiling programs against the library that was just built, and running them with a limit on their time.

#![allow(dead_code, reason = "each test file uses its part of this module")]

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// No program needs nearly as long, not even under valgrind.
const DEADLINE: Duration = Duration::from_secs(240);

/// How a program ended.
pub struct Outcome {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Which library a program is linked to.
#[derive(Copy, Clone, PartialEq, Eq)]
pub enum Library {
    Static,
    Shared,
}

/// The package.
pub fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where the header is.
pub fn include() -> PathBuf {
    package().join("include")
}

/// A program's source.
pub fn source(name: &str) -> PathBuf {
    package().join("tests/c").join(name)
}

/// Where cargo has put the libraries, which it builds with the tests: beside the test's own program.
pub fn libraries() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own file");
    let folder = test.parent().expect("it is in a folder").to_owned();
    assert!(folder.join("libpalimpsest_c.a").exists(), "no static library in {}", folder.display());
    folder
}

/// What a program that is linked to the static library needs besides, as the pkg-config file says.
pub fn private_libraries() -> Vec<String> {
    let file = std::fs::read_to_string(package().join("palimpsest.pc.in")).expect("the file is readable");
    let line = file.lines().find_map(|line| line.strip_prefix("Libs.private: "));
    line.expect("it says what static linking needs").split_whitespace().map(str::to_owned).collect()
}

/// Compiles a program of `tests/c`. What is returned runs it.
pub fn compile(name: &str, library: Library, flags: &[&str]) -> Command {
    compile_file(&source(&format!("{name}.c")), library, flags)
}

/// Compiles a program.
pub fn compile_file(file: &Path, library: Library, flags: &[&str]) -> Command {
    let name = file.file_stem().expect("a file has a name").to_string_lossy();
    let libraries = libraries();
    let kind = if library == Library::Static { "static" } else { "shared" };
    let program = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{kind}{}", flags.concat()));
    let mut compiler = Command::new("cc");
    compiler.args(["-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-O1", "-g", "-pthread"]);
    compiler.args(flags).arg("-I").arg(include()).arg(file).arg("-o").arg(&program);
    match library {
        Library::Static => {
            compiler.arg(libraries.join("libpalimpsest_c.a")).args(private_libraries());
        }
        Library::Shared => {
            compiler.arg("-L").arg(&libraries).arg("-lpalimpsest_c");
            compiler.arg(format!("-Wl,-rpath,{}", libraries.display()));
            // The static library lies beside it; the compiler takes the shared one of two, but let it say so if it is missing.
            assert!(libraries.join("libpalimpsest_c.so").exists(), "there is no shared library");
        }
    }
    let outcome = run(&mut compiler);
    assert_eq!(outcome.code, Some(0), "{name} does not compile:\n{}", outcome.stderr);
    let mut program = Command::new(program);
    // Cargo's names the folder of `cargo build` as well, where an older library may lie; the path in the program comes after it.
    program.env_remove("LD_LIBRARY_PATH");
    program
}

/// Whether there is such a program.
pub fn is_installed(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// Whether there is a compiler that links with these flags.
pub fn compiler_has(compiler: &str, flags: &[&str]) -> bool {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("nothing.c");
    std::fs::write(&file, "int main(void) { return 0; }\n").expect("the test's folder is writable");
    let mut command = Command::new(compiler);
    command.args(flags).arg(&file).arg("-o").arg(file.with_extension(compiler)).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Runs a command. Ends it, and the test, when it takes too long.
pub fn run(command: &mut Command) -> Outcome {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap_or_else(|why| panic!("{command:?} does not start: {why}"));
    let (stdout, stderr) = (child.stdout.take().expect("a pipe"), child.stderr.take().expect("a pipe"));
    std::thread::scope(|scope| {
        let stdout = scope.spawn(move || all_of(stdout));
        let stderr = scope.spawn(move || all_of(stderr));
        let code = wait(&mut child);
        Outcome { code, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
    })
}

fn all_of(mut from: impl Read) -> String {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).expect("output can be read");
    String::from_utf8_lossy(&bytes).into_owned()
}

fn wait(child: &mut Child) -> Option<i32> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("the child can be waited for") {
            return status.code();
        }
        if started.elapsed() > DEADLINE {
            child.kill().expect("the child can be ended");
            panic!("a program takes longer than {DEADLINE:?}");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
