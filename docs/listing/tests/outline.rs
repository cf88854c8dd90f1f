//! What a listing shows, on crates that are made for it; and that it shows everything or fails.

use palimpsest_listing::{Error, listings};
use std::path::Path;

fn of(names: &[&str], listed: &[&str]) -> Result<Vec<String>, Error> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixture");
    let crates: Vec<_> = names.iter().map(|name| (*name, folder.join(name))).collect();
    listings(&crates, listed)
}

const OUTER: &str = r#"pub mod outer
    pub struct Again
        impl From<crate::Kind> for Again
    #[must_use]
    #[non_exhaustive]
    pub struct Deep<'a, T: ?Sized + 'a>
        #[cfg(feature = "extra")]
        pub first: &'a T
        ..
        impl<'a, T: ?Sized> Deep<'a, T> where T: Clone
            pub const A: u8
            #[doc(hidden)]
            pub fn take(self, times: usize) -> Option<&'a T>
        impl<T: ?Sized> Drop for Deep<'_, T>
    #[cfg(feature = "extra")]
    pub const EXTRA: usize
    // as Form
    pub unsafe trait Shape: Send + 'static
        const SIDES: u8
        fn area(&self) -> f64
        fn name(&self) -> &str { .. }
        type Side: Clone
        unsafe impl<T: Shape> Shape for [T]
            type Side = T::Side
    #[derive(Default)]
    pub enum Kind
        #[default]
        Plain
        Tuple(u8, Part)
        Named { of: u8, with: Vec<u8> }
        unsafe impl Shape for Kind
            type Side = u8
    #[derive(Clone, Debug)]
    pub struct Part(_)
        impl Part
            pub fn number(&self) -> u8
    pub use some_crate::Thing
    #[macro_export]
    macro_rules! exported {() => { 1 }; }
    pub mod open
    pub mod pieces

pub mod outer::open
    pub use outer::Again
    pub type Alias<T> = Result<T, Again>

pub mod outer::pieces
    pub use outer::Part
    pub struct Unseen

made by macros
"#;

#[test]
fn all_that_is_public_is_listed_and_nothing_else() {
    let made = of(&["inner", "outer"], &["outer"]).expect("a listing");
    let (listing, by_macros) = made[0].split_once("made by macros\n").expect("a part on macros");
    assert_eq!(format!("{listing}made by macros\n"), OUTER);
    assert!(by_macros.contains("shaped! (u8, u16)") || by_macros.contains("shaped!(u8, u16)"), "{by_macros}");
    assert!(by_macros.contains("macro_rules!"), "{by_macros}");
}

#[test]
fn what_has_been_listed_is_referred_to() {
    let made = of(&["inner", "outer"], &["inner", "outer"]).expect("listings");
    assert!(made[0].contains("pub struct Part(_)\n"), "{}", made[0]);
    assert!(made[1].contains("    pub use inner::parts::Part\n"), "{}", made[1]);
    assert!(!made[1].contains("pub struct Part"), "{}", made[1]);
}

#[test]
fn what_cannot_be_found_is_an_error() {
    for (name, why) in [
        ("missing", "missing: `nowhere::Thing` leads to nothing that can be found in the sources"),
        (
            "unknown_macro",
            "unknown_macro: what the macro `made_elsewhere!` makes, which is not defined in this crate, cannot be listed",
        ),
        ("glob", "glob: `pub use std::fmt::*` cannot be listed"),
    ] {
        assert_eq!(of(&[name], &[name]).expect_err(name).to_string(), why);
    }
}
