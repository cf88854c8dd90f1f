//! Runs every example: each asserts what it claims.

#[path = "../examples/finalizer.rs"]
mod finalizer;
#[path = "../examples/hello_heap.rs"]
mod hello_heap;
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
fn no_example_is_forgotten() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    let files =
        std::fs::read_dir(folder).expect("the examples").map(|file| file.expect("a file").file_name());
    let mut names: Vec<_> = files.map(|name| name.into_string().expect("a name in ASCII")).collect();
    names.sort();
    let run = ["finalizer.rs", "hello_heap.rs", "native_collection.rs", "threads.rs", "weak_cache.rs"];
    assert_eq!(names, run);
}
