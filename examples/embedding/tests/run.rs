//! Runs every example: each asserts what it claims.

#[path = "../examples/finalizer.rs"]
mod finalizer;
#[path = "../examples/hello_heap.rs"]
mod hello_heap;
#[path = "../examples/list_machine.rs"]
mod list_machine;
#[path = "../examples/native_collection.rs"]
mod native_collection;
#[path = "../examples/threads.rs"]
mod threads;
#[path = "../examples/weak_cache.rs"]
mod weak_cache;

use std::error::Error;

#[test]
fn hello_heap() -> Result<(), Box<dyn Error>> {
    hello_heap::main()
}

#[test]
fn native_collection() -> Result<(), Box<dyn Error>> {
    native_collection::main()
}

#[test]
fn threads() -> Result<(), palimpsest_safe::Error> {
    threads::main()
}

#[test]
fn weak_cache() -> Result<(), Box<dyn Error>> {
    weak_cache::main()
}

#[test]
fn finalizer() -> Result<(), Box<dyn Error>> {
    finalizer::main()
}

#[test]
fn list_machine() -> Result<(), Box<dyn Error>> {
    // As it is; with a cycle every few allocations, each verified; and with generations off.
    for options in ["", "stress=5000,verify=on", "cycle-every=256K,young=off,poison=on"] {
        let mut out = Vec::new();
        list_machine::run(&mut list_machine::DEMO.as_bytes(), options, false, &mut out)?;
        let results = "17000\n5050\n(5 4 3 2 1)\n(1 2 3)\n(3 2 1)\n((3 2 1) 2 3)\n40200000\n500500\n";
        let out = String::from_utf8(out)?;
        assert!(out.ends_with(&format!("<vector of 100>\n{results}")), "{options}: {out}");
    }
    let mut unfinished = "(car (quote (1 2".as_bytes();
    let error = list_machine::run(&mut unfinished, "", false, &mut Vec::new()).expect_err("it has no end");
    assert_eq!(error.to_string(), "the program ends in the middle of a list");
    Ok(())
}

#[test]
fn no_example_is_forgotten() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    let files =
        std::fs::read_dir(folder).expect("the examples").map(|file| file.expect("a file").file_name());
    let mut names: Vec<_> = files.map(|name| name.into_string().expect("a name in ASCII")).collect();
    names.sort();
    let run = [
        "finalizer.rs",
        "hello_heap.rs",
        "list_machine.rs",
        "native_collection.rs",
        "threads.rs",
        "weak_cache.rs",
    ];
    assert_eq!(names, run);
}
