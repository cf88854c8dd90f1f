//! Ephemerons: weak maps of them, and single ones.

use crate::heap::Of;
use crate::mutator::{palimpsest_mutator, running};
use crate::opaque::{ANYBODY, Shell, close, lend, opaque, open, out, out_or_none, store};
use crate::status::{entry, no_memory, palimpsest_status};
use palimpsest::{Address, Ephemeron, WeakMap};
use std::ffi::c_void;
use std::ptr::null_mut;

/// A map from objects to words that keeps no key alive, and a value only as long as its key. Values go through the codec.
pub struct palimpsest_weak_map(Shell<(WeakMap, Of)>);
opaque!(palimpsest_weak_map, (WeakMap, Of), b"wmap");

/// Makes an empty map.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_weak_map_new(
    mutator: *mut palimpsest_mutator,
    map: *mut *mut palimpsest_weak_map,
) -> palimpsest_status {
    entry(|| {
        // SAFETY: what C passes; see the crate.
        let (attached, place) = unsafe { (running(mutator)?, out(map, "map")?) };
        let made = attached.with(WeakMap::new).map_err(|_| no_memory("a weak map"))?;
        place.write(open((made, Of::new(&attached.heap)), ANYBODY)?.as_ptr());
        Ok(())
    })
}

/// Puts in a value for a key, which is alive, in place of the one that was there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_weak_map_insert(
    mutator: *mut palimpsest_mutator,
    map: *mut palimpsest_weak_map,
    key: *mut c_void,
    value: u64,
) -> palimpsest_status {
    entry(|| {
        // SAFETY: what C passes; see the crate.
        let (attached, (map, heap)) = unsafe { (running(mutator)?, lend(map)?) };
        heap.must_be(&attached.heap)?;
        let key = attached.object(key, "key")?;
        let put = attached.with(|mutator| map.insert(mutator, key, value));
        put.map(drop).map_err(|_| no_memory("an entry of a weak map"))
    })
}

/// Stores whether the map has the key, which is alive, in `found`, and its value in `value`. Where there is none, `value` is
/// left as it is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_weak_map_get(
    mutator: *mut palimpsest_mutator,
    map: *const palimpsest_weak_map,
    key: *mut c_void,
    value: *mut u64,
    found: *mut bool,
) -> palimpsest_status {
    entry(|| {
        // SAFETY: what C passes; see the crate.
        let (attached, (map, heap)) = unsafe { (running(mutator)?, lend(map)?) };
        // SAFETY: likewise.
        let (value, found) = unsafe { (out(value, "value")?, out(found, "found")?) };
        heap.must_be(&attached.heap)?;
        let key = attached.object(key, "key")?;
        let there = attached.with(|mutator| map.get(mutator, key));
        found.write(there.is_some());
        if let Some(there) = there {
            value.write(there);
        }
        Ok(())
    })
}

/// Takes a key out. Stores whether it was there in `removed`, unless that is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_weak_map_remove(
    mutator: *mut palimpsest_mutator,
    map: *mut palimpsest_weak_map,
    key: *mut c_void,
    removed: *mut bool,
) -> palimpsest_status {
    entry(|| {
        // SAFETY: what C passes; see the crate.
        let removed = unsafe { out_or_none(removed, "removed")? };
        // SAFETY: what C passes; see the crate.
        let (attached, (map, heap)) = unsafe { (running(mutator)?, lend(map)?) };
        heap.must_be(&attached.heap)?;
        let key = attached.object(key, "key")?;
        let was = attached.with(|mutator| map.remove(mutator, key));
        store(removed, was.is_some());
        Ok(())
    })
}

/// Stores how many entries there are, some of which may be of keys that are dead and not yet found to be.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_weak_map_len(
    map: *const palimpsest_weak_map,
    len: *mut usize,
) -> palimpsest_status {
    entry(|| {
        // SAFETY: what C passes; see the crate.
        let ((map, heap), place) = unsafe { (lend(map)?, out(len, "len")?) };
        heap.must_live()?;
        place.write(map.len());
        Ok(())
    })
}

/// Frees a map, on any thread. Its values are garbage then, unless something else refers to them. NULL is no error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_weak_map_free(map: *mut palimpsest_weak_map) -> palimpsest_status {
    // SAFETY: what C passes; see the crate.
    entry(|| unsafe { close(map) }.map(drop))
}

/// A key and a value, of which the value is kept alive only while the key is alive otherwise.
pub struct palimpsest_ephemeron(Shell<(Ephemeron, Of)>);
opaque!(palimpsest_ephemeron, (Ephemeron, Of), b"ephe");

/// Makes an ephemeron of a key, which is alive, and a value, which goes through the codec.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_ephemeron_new(
    mutator: *mut palimpsest_mutator,
    key: *mut c_void,
    value: u64,
    ephemeron: *mut *mut palimpsest_ephemeron,
) -> palimpsest_status {
    entry(|| {
        // SAFETY: what C passes; see the crate.
        let (attached, place) = unsafe { (running(mutator)?, out(ephemeron, "ephemeron")?) };
        let key = attached.object(key, "key")?;
        let made = attached.with(|mutator| Ephemeron::new(mutator, key, value));
        let made = made.map_err(|_| no_memory("an ephemeron"))?;
        place.write(open((made, Of::new(&attached.heap)), ANYBODY)?.as_ptr());
        Ok(())
    })
}

/// Stores key and value; NULL, and 0, if the key is dead. Both stay alive if they are reachable from a root at this thread's next
/// safepoint.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_ephemeron_get(
    mutator: *mut palimpsest_mutator,
    ephemeron: *const palimpsest_ephemeron,
    key: *mut *mut c_void,
    value: *mut u64,
) -> palimpsest_status {
    entry(|| {
        // SAFETY: what C passes; see the crate.
        let (attached, (ephemeron, heap)) = unsafe { (running(mutator)?, lend(ephemeron)?) };
        // SAFETY: likewise.
        let (key, value) = unsafe { (out(key, "key")?, out(value, "value")?) };
        heap.must_be(&attached.heap)?;
        let there = attached.with(|mutator| ephemeron.get(mutator));
        key.write(there.map_or(null_mut(), |(key, _): (Address, u64)| key.as_ptr()));
        value.write(there.map_or(0, |(_, value)| value));
        Ok(())
    })
}

/// Gives the key another value, and stores whether it is alive in `alive`, unless that is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_ephemeron_set(
    mutator: *mut palimpsest_mutator,
    ephemeron: *mut palimpsest_ephemeron,
    value: u64,
    alive: *mut bool,
) -> palimpsest_status {
    entry(|| {
        // SAFETY: what C passes; see the crate.
        let alive = unsafe { out_or_none(alive, "alive")? };
        // SAFETY: what C passes; see the crate.
        let (attached, (ephemeron, heap)) = unsafe { (running(mutator)?, lend(ephemeron)?) };
        heap.must_be(&attached.heap)?;
        let is_alive = attached.with(|mutator| ephemeron.set_value(mutator, value));
        store(alive, is_alive);
        Ok(())
    })
}

/// Frees an ephemeron, on any thread. NULL is no error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_ephemeron_free(
    ephemeron: *mut palimpsest_ephemeron,
) -> palimpsest_status {
    // SAFETY: what C passes; see the crate.
    entry(|| unsafe { close(ephemeron) }.map(drop))
}
