//! The examples in C are built by the plain `make` that their reader uses, and run; and an installed library is found by
//! pkg-config. Both build the library for release.

mod programs;

use programs::{Library, compile_file, is_installed, package, run};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of all packages.
fn root() -> PathBuf {
    package().join("../..")
}

/// `make` in a folder, with the target folder that this test was built in.
fn make(folder: &Path, arguments: &[String]) -> Command {
    let target = programs::libraries().join("../..");
    let mut make = Command::new("make");
    make.arg("-C").arg(folder).args(arguments).env("CARGO_TARGET_DIR", target);
    make
}

fn temporary(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    // What an earlier run left would pass in place of what was to be made.
    match std::fs::remove_dir_all(&folder) {
        Err(why) if why.kind() != std::io::ErrorKind::NotFound => panic!("{} stays: {why}", folder.display()),
        _ => {}
    }
    std::fs::create_dir_all(&folder).expect("the test's folder is writable");
    folder
}

#[test]
fn the_examples_are_built_by_make_and_run() {
    let out = temporary("examples");
    let made = run(&mut make(&root().join("examples/c"), &[format!("OUT={}", out.display())]));
    assert_eq!(made.code, Some(0), "{}", made.stderr);

    let list = run(Command::new(out.join("list_machine")).arg("demo"));
    let results =
        "<vector of 100>\n17000\n5050\n(5 4 3 2 1)\n(1 2 3)\n(3 2 1)\n((3 2 1) 2 3)\n40200000\n500500\n";
    assert!(list.code == Some(0) && list.stdout.ends_with(results), "{}{}", list.stdout, list.stderr);
    assert!(list.stderr.contains(" cycles, longest pause "), "{}", list.stderr);
    // The roots are all there: a cycle every few allocations, each verified.
    let stress = run(Command::new(out.join("list_machine"))
        .arg("demo")
        .env("PALIMPSEST_OPTIONS", "stress=2000,verify=on"));
    assert!(stress.code == Some(0) && stress.stdout == list.stdout, "{}{}", stress.stdout, stress.stderr);

    // The sum of what the same program says in Rust: see the benches.
    for way in ["call", "inline"] {
        let trees = run(Command::new(out.join("binarytrees")).args(["10", way]));
        let says = format!("\"interface\":\"c-{way}\",\"depth\":10,\"checksum\":917342,");
        assert!(trees.code == Some(0) && trees.stdout.contains(&says), "{}{}", trees.stdout, trees.stderr);
    }
    assert_eq!(run(Command::new(out.join("binarytrees")).arg("many")).code, Some(64));
}

/// What the book shows is what works: the program of its chapter, compiled and run.
#[test]
fn the_program_in_the_book_runs() {
    let chapter = std::fs::read_to_string(root().join("docs/src/c.md")).expect("the chapter is readable");
    let (_, rest) = chapter.split_once("```c\n").expect("it has a program in C");
    let (text, _) = rest.split_once("```").expect("the program ends");
    let file = temporary("book").join("program.c");
    std::fs::write(&file, text).expect("the test's folder is writable");
    let mut program = compile_file(&file, Library::Static, &[]);
    let outcome = run(program.env("PALIMPSEST_OPTIONS", "cycle-every=4M"));
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
}

#[test]
fn an_installed_library_is_found_by_pkg_config() {
    if !is_installed("pkg-config") {
        eprintln!("skipped: pkg-config is not installed");
        return;
    }
    let prefix = temporary("prefix");
    let installed = run(&mut make(package(), &["install".into(), format!("PREFIX={}", prefix.display())]));
    assert_eq!(installed.code, Some(0), "{}", installed.stderr);
    let ask = |arguments: &[&str]| {
        let mut pkg_config = Command::new("pkg-config");
        pkg_config.args(arguments).arg("palimpsest").env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig"));
        let answer = run(&mut pkg_config);
        assert_eq!(answer.code, Some(0), "{}", answer.stderr);
        answer.stdout.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(ask(&["--modversion"]), [env!("CARGO_PKG_VERSION")]);
    let program = prefix.join("hello");
    let mut compiler = Command::new("cc");
    compiler.args(["-std=c11", "-D_GNU_SOURCE", "-o"]).arg(&program).arg(programs::source("hello.c"));
    let compiled = run(compiler.args(ask(&["--cflags", "--libs"])));
    assert_eq!(compiled.code, Some(0), "{}", compiled.stderr);
    let said = run(Command::new(program).env("LD_LIBRARY_PATH", prefix.join("lib")));
    assert_eq!((said.code, said.stdout.as_str()), (Some(0), "hello: 4999950000\n"), "{}", said.stderr);
}
