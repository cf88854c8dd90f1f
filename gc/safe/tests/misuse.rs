//! Misuse does not compile: the programs in `ui`, each with what the compiler says to it.
//!
//! The messages are those of one compiler, and with another one the test says that it was skipped. `TRYBUILD=overwrite` writes them
//! anew. What stays on its thread is asserted here instead: the compiler's messages about that list the private fields of the types.

use std::process::Command;

use palimpsest_safe::{Arena, Gc, GcWeak, Mutation, Rootable};
use static_assertions::assert_not_impl_any;

assert_not_impl_any!(Arena<Rootable![()]>: Send, Sync);
assert_not_impl_any!(Gc<'static, u64>: Send, Sync);
assert_not_impl_any!(GcWeak<'static, u64>: Send, Sync);
assert_not_impl_any!(Mutation<'static>: Send, Sync);

/// Whose messages they are.
const COMPILER: &str = "rustc 1.95.";

#[test]
fn misuse_does_not_compile() {
    let rustc = std::env::var_os("RUSTC").unwrap_or("rustc".into());
    let version = Command::new(rustc).arg("--version").output().expect("the compiler").stdout;
    let version = String::from_utf8_lossy(&version);
    if !version.starts_with(COMPILER) && std::env::var_os("TRYBUILD").is_none() {
        eprintln!("skipped: the expected messages are those of {COMPILER}x, and this is {version}");
        return;
    }
    let tests = trybuild::TestCases::new();
    tests.compile_fail("tests/ui/*.rs");
    tests.pass("tests/ui/right/*.rs");
}
