//! Operations on a heap, compared with a model: the random programs of the tests of `gc`, made of bytes.

use crate::programs::{self, Program, ops};
use crate::rungs;
use arbitrary::{Arbitrary, Unstructured};

/// The first byte chooses the rung; the rest is a program, or all of it is the text of one.
pub fn heap_operations(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let text = str::from_utf8(bytes).ok().and_then(|text| text.parse().ok());
    let program = text.or_else(|| Program::arbitrary(&mut Unstructured::new(rest)).ok());
    let Some(mut program) = program else { return };
    // A text may ask for what this machine does not have, or for days of patience.
    if (0..=255).all(|bits| ops::options(bits) != program.options) {
        program.options = ops::options(*first);
    }
    let rung = rungs::pick(*first);
    if let Err(why) = programs::run(&program, Some(rung), None) {
        panic!("{rung}: {why}\n{program}");
    }
}
