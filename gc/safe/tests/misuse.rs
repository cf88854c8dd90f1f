//! Misuse does not compile: the programs in `ui`, each with what the compiler says to it.
//!
//! The messages are those of the stable compiler; with another one, `TRYBUILD=overwrite` writes them anew.

#[test]
fn misuse_does_not_compile() {
    let tests = trybuild::TestCases::new();
    tests.compile_fail("tests/ui/*.rs");
    tests.pass("tests/ui/right/*.rs");
}
