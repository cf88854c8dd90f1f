//! Strings of options: for the collector, for its C interface, and back from a heap that was made with them.

use palimpsest::{Heap, PlainPointers, options};
use palimpsest_c::by_path::{
    palimpsest_config_free, palimpsest_config_new, palimpsest_config_options, palimpsest_status as Status,
};
use std::ffi::CString;

/// Whatever the string is, it is read or refused with a message, by all who read it alike. What a heap says of its options makes a
/// heap with the same.
pub fn options_string(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let checked = options::check(text);
    if let Err(why) = &checked {
        assert!(!why.to_string().is_empty());
    }
    let builder = Heap::builder(PlainPointers).options(text);
    assert_eq!(builder.is_ok(), checked.is_ok(), "{text:?}: {checked:?}");
    of_c(text, checked.is_ok());
    // What the machine does not have, or has too little of, is refused here.
    let Ok(builder) = builder else { return };
    let Ok(heap) = builder.limit(4 << 20).build() else { return };
    let said = heap.options();
    drop(heap);
    let again = Heap::builder(PlainPointers).options(&said).and_then(|builder| builder.build());
    match again {
        Ok(again) => assert_eq!(again.options(), said, "of {text:?}"),
        Err(why) => panic!("{text:?} makes a heap with the options {said:?}, which do not: {why}"),
    }
}

fn of_c(text: &str, is_good: bool) {
    let Ok(text) = CString::new(text) else { return };
    let config = palimpsest_config_new();
    // SAFETY: a new configuration, and a string.
    let (read, freed) =
        unsafe { (palimpsest_config_options(config, text.as_ptr()), palimpsest_config_free(config)) };
    let wanted = if is_good { Status::PALIMPSEST_OK } else { Status::PALIMPSEST_BAD_OPTION };
    assert_eq!((read, freed), (wanted, Status::PALIMPSEST_OK), "{text:?}");
}
