//! Calls of the C interface, right ones and wrong ones.
//!
//! Arguments are things that the interface has given out, of whatever type and whether they were freed or not, and addresses that are
//! objects or are not. What is never passed is what the header says cannot be seen: pointers that did not come from the interface, and
//! objects that nothing keeps. A call whose arguments are right has to succeed, any other to fail with a message.

use crate::rungs;
use arbitrary::{Arbitrary, Unstructured};
use palimpsest_c::by_path::*;
use std::ffi::{CStr, CString, c_void};
use std::ptr::null_mut;

/// The most calls of an input.
const MOST: usize = 150;

/// Heaps that an input may make.
const MOST_HEAPS: usize = 3;

/// Words of an object.
const WORDS: usize = 6;

/// A call. Numbers choose among the things there are, addresses, and sizes.
#[derive(Copy, Clone, Debug, Arbitrary)]
enum Call {
    HeapNew { rung: u8 },
    Free { thing: u8, as_what: u8 },
    Attach { heap: u8, scan: bool },
    StepOut { mutator: u8 },
    StepIn { mutator: u8 },
    Poll { mutator: u8 },
    Alloc { mutator: u8, kind: u8, bytes: u16, how: u8 },
    Write { object: u8, word: u8, to: u8 },
    HandleNew { mutator: u8, object: u8, twist: u8 },
    HandleSet { mutator: u8, handle: u8, object: u8, twist: u8 },
    HandleGet { handle: u8 },
    WeakNew { mutator: u8, object: u8, twist: u8 },
    WeakGet { mutator: u8, weak: u8 },
    WeakSet { mutator: u8, weak: u8, object: u8, twist: u8 },
    MapNew { mutator: u8 },
    MapInsert { mutator: u8, map: u8, key: u8, twist: u8 },
    MapGet { mutator: u8, map: u8, key: u8, twist: u8 },
    MapRemove { mutator: u8, map: u8, key: u8, twist: u8 },
    MapLen { map: u8 },
    EphemeronNew { mutator: u8, key: u8, twist: u8 },
    EphemeronGet { mutator: u8, ephemeron: u8 },
    Register { mutator: u8, object: u8, twist: u8 },
    Take { mutator: u8 },
    IoBegin { mutator: u8, object: u8, bytes: u8, twist: u8 },
    Layout { heap: u8, mask: u8 },
    Blocking { mutator: u8 },
    Collect { mutator: u8, young: bool },
    Limit { heap: u8 },
    Text { heap: u8, which: u8, size: u8 },
}

/// What a thing is.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Is {
    Heap,
    Mutator,
    Handle,
    Weak,
    Map,
    Ephemeron,
    Io,
}

const ALL: [Is; 7] = [Is::Heap, Is::Mutator, Is::Handle, Is::Weak, Is::Map, Is::Ephemeron, Is::Io];

/// Something that the interface has given out.
#[derive(Copy, Clone, Debug)]
struct Thing {
    is: Is,
    at: *mut c_void,
    freed: bool,
    /// Which heap it belongs to.
    heap: usize,
    /// Of a handle, its object; of what is open for the kernel, too.
    object: *mut c_void,
    /// Of a mutator: whether it has stepped out, and whether the stack is scanned.
    outside: bool,
    scans: bool,
}

/// A heap, by what is left of it.
#[derive(Copy, Clone, Debug)]
struct Lives {
    freed: bool,
    layouts: usize,
}

/// All that an input has made.
#[derive(Default)]
struct State {
    things: Vec<Thing>,
    heaps: Vec<Lives>,
}

/// Interprets bytes as calls.
pub fn c_calls(bytes: &[u8]) {
    let mut bytes = Unstructured::new(bytes);
    let mut state = State::default();
    state.call(Call::HeapNew { rung: bytes.arbitrary().unwrap_or(0) });
    state.call(Call::Attach { heap: 0, scan: false });
    let Ok(calls) = bytes.arbitrary_iter::<Call>() else { return };
    for call in calls.take(MOST).flatten() {
        state.call(call);
    }
    state.end();
}

impl State {
    /// A thing, or NULL for numbers near the end.
    fn thing(&self, k: u8) -> *mut c_void {
        if k > 250 || self.things.is_empty() {
            return null_mut();
        }
        self.things[usize::from(k) % self.things.len()].at
    }

    /// What is at a pointer now, if it is of this type.
    fn resolve(&self, at: *mut c_void, is: Is) -> Option<usize> {
        self.things.iter().position(|thing| thing.at == at && thing.is == is && !thing.freed)
    }

    fn mutator(&self, at: *mut c_void) -> Option<usize> {
        self.resolve(at, Is::Mutator).filter(|k| !self.things[*k].outside)
    }

    /// An address, and the heap of the object there, if one is: that of a handle, moved a little by the twist.
    fn object(&self, k: u8, twist: u8) -> (*mut c_void, Option<usize>) {
        let handles: Vec<&Thing> =
            self.things.iter().filter(|thing| thing.is == Is::Handle && !thing.freed).collect();
        let handle = (!handles.is_empty()).then(|| handles[usize::from(k) % handles.len()]);
        match (twist, handle) {
            (0..200, Some(handle)) => (handle.object, Some(handle.heap)),
            // Never the start of an object.
            (200..225, Some(handle)) => (handle.object.wrapping_byte_add(8), None),
            (225..240, _) => (std::ptr::from_ref(self).cast_mut().cast(), None),
            _ => (null_mut(), None),
        }
    }

    fn add(&mut self, is: Is, at: *mut c_void, heap: usize, object: *mut c_void) {
        assert!(!at.is_null() && self.resolve(at, is).is_none());
        self.things.push(Thing { is, at, freed: false, heap, object, outside: false, scans: false });
    }

    /// Whether a heap still exists: it has not been freed, or a mutator keeps it.
    fn exists(&self, heap: usize) -> bool {
        !self.heaps[heap].freed
            || self.things.iter().any(|t| t.is == Is::Mutator && !t.freed && t.heap == heap)
    }

    /// Makes a call, and compares its status with what it has to be.
    fn call(&mut self, call: Call) {
        let (right, status) = self.make(call);
        assert_ne!(status, palimpsest_status::PALIMPSEST_PANIC, "{call:?}: {}", last_error());
        assert_eq!(
            right,
            status == palimpsest_status::PALIMPSEST_OK,
            "{call:?} is {status:?}: {}",
            last_error()
        );
        if !right {
            assert!(!last_error().is_empty(), "{call:?}");
        }
    }

    /// Makes a call. Whether its arguments are right, and how it ended.
    fn make(&mut self, call: Call) -> (bool, palimpsest_status) {
        // SAFETY: of everything in here. Pointers came from the interface, or are NULL, or are addresses for objects, which may be
        // anything; places for results are local. All is called on one thread.
        unsafe {
            match call {
                Call::HeapNew { rung } => self.heap_new(rung),
                Call::Free { thing, as_what } => self.free(thing, as_what),
                Call::Attach { heap, scan } => {
                    let (at, mut made) = (self.thing(heap), null_mut());
                    let heap = self.resolve(at, Is::Heap).map(|k| self.things[k].heap);
                    let attached = |t: &Thing| t.is == Is::Mutator && !t.freed && Some(t.heap) == heap;
                    let right = heap.is_some() && !self.things.iter().any(attached);
                    let status = palimpsest_attach(at.cast(), scan, &raw mut made);
                    if let (Some(heap), palimpsest_status::PALIMPSEST_OK) = (heap, status) {
                        self.add(Is::Mutator, made.cast(), heap, null_mut());
                        self.things.last_mut().expect("just added").scans = scan;
                    }
                    (right, status)
                }
                Call::StepOut { mutator } => {
                    let at = self.thing(mutator);
                    let k = self.mutator(at).filter(|k| !self.things[*k].scans);
                    k.into_iter().for_each(|k| self.things[k].outside = true);
                    (k.is_some(), palimpsest_step_out(at.cast()))
                }
                Call::StepIn { mutator } => {
                    let at = self.thing(mutator);
                    let k = self.resolve(at, Is::Mutator).filter(|k| self.things[*k].outside);
                    k.into_iter().for_each(|k| self.things[k].outside = false);
                    (k.is_some(), palimpsest_step_in(at.cast()))
                }
                Call::Poll { mutator } => {
                    let at = self.thing(mutator);
                    (self.mutator(at).is_some(), palimpsest_poll(at.cast()))
                }
                Call::Alloc { mutator, kind, bytes, how } => self.alloc(mutator, kind, bytes, how),
                Call::Write { object, word, to } => {
                    let ((from, heap), (to, other)) = (self.object(object, 0), self.object(to, 0));
                    // What the program stores is right: nobody looks.
                    if heap.is_some() && heap == other {
                        let to = if word & 64 == 0 { to as u64 } else { 0 };
                        from.cast::<u64>().add(usize::from(word) % WORDS).write(to);
                    }
                    (true, palimpsest_status::PALIMPSEST_OK)
                }
                Call::HandleNew { mutator, object, twist } => {
                    let (at, (object, heap), mut made) =
                        (self.thing(mutator), self.object(object, twist), null_mut());
                    let right = self.are_of_one_heap(at, heap);
                    let status = palimpsest_handle_new(at.cast(), object, &raw mut made);
                    self.added(right, Is::Handle, made.cast(), object);
                    (right.is_some(), status)
                }
                Call::HandleSet { mutator, handle, object, twist } => {
                    let (at, thing, (object, heap)) =
                        (self.thing(mutator), self.thing(handle), self.object(object, twist));
                    let k = self.resolve(thing, Is::Handle);
                    let right = self.are_of_one_heap(at, heap).is_some()
                        && k.is_some_and(|k| Some(self.things[k].heap) == heap);
                    let status = palimpsest_handle_set(at.cast(), thing.cast(), object);
                    if let (Some(k), true) = (k, right) {
                        self.things[k].object = object;
                    }
                    (right, status)
                }
                Call::HandleGet { handle } => {
                    let at = self.thing(handle);
                    let k = self.resolve(at, Is::Handle).filter(|k| self.exists(self.things[*k].heap));
                    let found = palimpsest_handle_get(at.cast());
                    assert_eq!(found, k.map_or(null_mut(), |k| self.things[k].object));
                    let status = if found.is_null() {
                        palimpsest_last_status()
                    } else {
                        palimpsest_status::PALIMPSEST_OK
                    };
                    (k.is_some(), status)
                }
                Call::WeakNew { mutator, object, twist } => {
                    let (at, (object, heap), mut made) =
                        (self.thing(mutator), self.object(object, twist), null_mut());
                    let right = self.are_of_one_heap(at, heap);
                    let status = palimpsest_weak_new(at.cast(), object, &raw mut made);
                    self.added(right, Is::Weak, made.cast(), null_mut());
                    (right.is_some(), status)
                }
                Call::WeakGet { mutator, weak } => {
                    let (at, thing, mut found) = (self.thing(mutator), self.thing(weak), null_mut());
                    let right = self.goes_with(at, thing, Is::Weak);
                    (right, palimpsest_weak_get(at.cast(), thing.cast(), &raw mut found))
                }
                Call::WeakSet { mutator, weak, object, twist } => {
                    let (at, thing, (object, heap)) =
                        (self.thing(mutator), self.thing(weak), self.object(object, twist));
                    let right =
                        self.goes_with(at, thing, Is::Weak) && self.are_of_one_heap(at, heap).is_some();
                    (right, palimpsest_weak_set(at.cast(), thing.cast(), object))
                }
                Call::MapNew { mutator } => {
                    let (at, mut made) = (self.thing(mutator), null_mut());
                    let heap = self.mutator(at).map(|k| self.things[k].heap);
                    let status = palimpsest_weak_map_new(at.cast(), &raw mut made);
                    self.added(heap, Is::Map, made.cast(), null_mut());
                    (heap.is_some(), status)
                }
                Call::MapInsert { mutator, map, key, twist } => {
                    let (at, thing, (key, heap)) =
                        (self.thing(mutator), self.thing(map), self.object(key, twist));
                    let right =
                        self.goes_with(at, thing, Is::Map) && self.are_of_one_heap(at, heap).is_some();
                    (right, palimpsest_weak_map_insert(at.cast(), thing.cast(), key, key as u64))
                }
                Call::MapGet { mutator, map, key, twist } => {
                    let (at, thing, (key, heap)) =
                        (self.thing(mutator), self.thing(map), self.object(key, twist));
                    let right =
                        self.goes_with(at, thing, Is::Map) && self.are_of_one_heap(at, heap).is_some();
                    let (mut value, mut found) = (0, false);
                    let status =
                        palimpsest_weak_map_get(at.cast(), thing.cast(), key, &raw mut value, &raw mut found);
                    assert!(!found || value == key as u64);
                    (right, status)
                }
                Call::MapRemove { mutator, map, key, twist } => {
                    let (at, thing, (key, heap)) =
                        (self.thing(mutator), self.thing(map), self.object(key, twist));
                    let right =
                        self.goes_with(at, thing, Is::Map) && self.are_of_one_heap(at, heap).is_some();
                    (right, palimpsest_weak_map_remove(at.cast(), thing.cast(), key, null_mut()))
                }
                Call::MapLen { map } => {
                    let (at, mut len) = (self.thing(map), 0);
                    let k = self.resolve(at, Is::Map).filter(|k| self.exists(self.things[*k].heap));
                    (k.is_some(), palimpsest_weak_map_len(at.cast(), &raw mut len))
                }
                Call::EphemeronNew { mutator, key, twist } => {
                    let (at, (key, heap), mut made) =
                        (self.thing(mutator), self.object(key, twist), null_mut());
                    let right = self.are_of_one_heap(at, heap);
                    let status = palimpsest_ephemeron_new(at.cast(), key, key as u64, &raw mut made);
                    self.added(right, Is::Ephemeron, made.cast(), null_mut());
                    (right.is_some(), status)
                }
                Call::EphemeronGet { mutator, ephemeron } => {
                    let (at, thing) = (self.thing(mutator), self.thing(ephemeron));
                    let (mut key, mut value) = (null_mut(), 0);
                    let right = self.goes_with(at, thing, Is::Ephemeron);
                    let status =
                        palimpsest_ephemeron_get(at.cast(), thing.cast(), &raw mut key, &raw mut value);
                    assert_eq!(key as u64, value);
                    (right, status)
                }
                Call::Register { mutator, object, twist } => {
                    let (at, (object, heap)) = (self.thing(mutator), self.object(object, twist));
                    let right = self.are_of_one_heap(at, heap).is_some();
                    (right, palimpsest_finalizer_register(at.cast(), object, 7, null_mut()))
                }
                Call::Take { mutator } => {
                    let (at, mut object) = (self.thing(mutator), null_mut());
                    let right = self.mutator(at).is_some();
                    (right, palimpsest_finalizer_take(at.cast(), &raw mut object, null_mut()))
                }
                Call::IoBegin { mutator, object, bytes, twist } => {
                    let (at, (object, heap), mut made) =
                        (self.thing(mutator), self.object(object, twist), null_mut());
                    // In the middle of an object is memory of the heap, too.
                    let heap = match (twist, heap) {
                        (200..225, None) => {
                            let start = object.wrapping_byte_sub(8);
                            let of = |t: &&Thing| t.is == Is::Handle && !t.freed && t.object == start;
                            self.things.iter().find(of).map(|t| t.heap)
                        }
                        (_, heap) => heap,
                    };
                    let right = self.are_of_one_heap(at, heap);
                    let status =
                        palimpsest_kernel_io_begin(at.cast(), object, usize::from(bytes) % 40, &raw mut made);
                    self.added(right, Is::Io, made.cast(), null_mut());
                    (right.is_some(), status)
                }
                Call::Layout { heap, mask } => {
                    let (at, mut kind) = (self.thing(heap), 0);
                    let k = self.resolve(at, Is::Heap).map(|k| self.things[k].heap);
                    let right = k.is_some_and(|k| self.heaps[k].layouts < 11);
                    // References in the first words, which every object has.
                    let mask = u64::from(mask) % (1 << WORDS);
                    let status = palimpsest_define_layout(at.cast(), mask, PALIMPSEST_NO_TAIL, &raw mut kind);
                    if let (Some(k), true) = (k, right) {
                        self.heaps[k].layouts += 1;
                    }
                    (right, status)
                }
                Call::Blocking { mutator } => {
                    let at = self.thing(mutator);
                    let right = self.mutator(at).is_some();
                    (right, palimpsest_blocking(at.cast(), Some(in_a_region), at))
                }
                Call::Collect { mutator, young } => {
                    let at = self.thing(mutator);
                    // Where another heap's mutator is attached to this thread, that heap does not stop for this one.
                    let right = self.mutator(at).is_some();
                    let status = if young {
                        palimpsest_collect_young(at.cast(), null_mut())
                    } else {
                        palimpsest_collect(at.cast(), null_mut())
                    };
                    (right, status)
                }
                Call::Limit { heap } => {
                    let (at, mut bytes) = (self.thing(heap), 0);
                    let right = self.resolve(at, Is::Heap).is_some();
                    (right, palimpsest_heap_limit(at.cast(), &raw mut bytes))
                }
                Call::Text { heap, which, size } => {
                    let (at, mut buffer) = (self.thing(heap), [1; 256]);
                    let right = self.resolve(at, Is::Heap).is_some() && which < 6;
                    let (to, len) = (buffer.as_mut_ptr(), usize::from(size));
                    let status = palimpsest_heap_text(at.cast(), which.into(), to.cast(), len, null_mut());
                    assert!(buffer[len..].iter().all(|byte| *byte == 1), "written beyond the buffer");
                    (right, status)
                }
            }
        }
    }

    /// The heap of a mutator that can be used, if it is this one.
    fn are_of_one_heap(&self, mutator: *mut c_void, heap: Option<usize>) -> Option<usize> {
        self.mutator(mutator).map(|k| self.things[k].heap).filter(|own| Some(*own) == heap)
    }

    /// Whether a mutator can be used, and a thing of this type with it.
    fn goes_with(&self, mutator: *mut c_void, thing: *mut c_void, is: Is) -> bool {
        let heap = self.resolve(thing, is).map(|k| self.things[k].heap);
        self.are_of_one_heap(mutator, heap).is_some()
    }

    /// Notes what a call has made, if it was right.
    fn added(&mut self, heap: Option<usize>, is: Is, at: *mut c_void, object: *mut c_void) {
        match heap {
            Some(heap) => self.add(is, at, heap, object),
            None => assert!(at.is_null(), "a call that was wrong has made something"),
        }
    }

    /// # Safety
    /// None: all is local.
    unsafe fn heap_new(&mut self, rung: u8) -> (bool, palimpsest_status) {
        if self.heaps.len() == MOST_HEAPS {
            return (true, palimpsest_status::PALIMPSEST_OK);
        }
        let rung = CString::new(rungs::pick(rung).to_string()).expect("a name");
        let mut made = null_mut();
        // SAFETY: a new configuration, strings, and a place for the heap.
        let status = unsafe {
            let config = palimpsest_config_new();
            let statuses = [
                palimpsest_config_limit(config, 4 << 20),
                palimpsest_config_rung(config, rung.as_ptr()),
                palimpsest_config_options(config, c"verify=on,poison=on,cycle-every=64K".as_ptr()),
                palimpsest_heap_new(config, &raw mut made),
                palimpsest_config_free(config),
            ];
            let wrong = statuses.into_iter().find(|status| *status != palimpsest_status::PALIMPSEST_OK);
            wrong.unwrap_or(palimpsest_status::PALIMPSEST_OK)
        };
        self.add(Is::Heap, made.cast(), self.heaps.len(), null_mut());
        self.heaps.push(Lives { freed: false, layouts: 0 });
        (true, status)
    }

    /// # Safety
    /// None: the pointer came from the interface.
    unsafe fn free(&mut self, thing: u8, as_what: u8) -> (bool, palimpsest_status) {
        let at = self.thing(thing);
        // As what it is, as a rule.
        let is = self.things.iter().find(|thing| thing.at == at).map_or(Is::Handle, |thing| thing.is);
        let is = if as_what > 200 { ALL[usize::from(as_what) % ALL.len()] } else { is };
        let k = match is {
            Is::Mutator => self.mutator(at),
            is => self.resolve(at, is),
        };
        // SAFETY: as above; nothing is used by another thread.
        let status = unsafe {
            match is {
                Is::Heap => palimpsest_heap_free(at.cast()),
                Is::Mutator => palimpsest_detach(at.cast()),
                Is::Handle => palimpsest_handle_free(at.cast()),
                Is::Weak => palimpsest_weak_free(at.cast()),
                Is::Map => palimpsest_weak_map_free(at.cast()),
                Is::Ephemeron => palimpsest_ephemeron_free(at.cast()),
                Is::Io => palimpsest_kernel_io_end(at.cast()),
            }
        };
        if let Some(k) = k {
            self.things[k].freed = true;
            if is == Is::Heap {
                self.heaps[self.things[k].heap].freed = true;
            }
        }
        (k.is_some() || at.is_null(), status)
    }

    /// # Safety
    /// None: the pointer came from the interface.
    unsafe fn alloc(&mut self, mutator: u8, kind: u8, bytes: u16, how: u8) -> (bool, palimpsest_status) {
        let at = self.thing(mutator);
        let heap = self.mutator(at).map(|k| self.things[k].heap);
        let layouts = heap.map_or(0, |heap| self.heaps[heap].layouts);
        let right = heap.is_some() && (1..=4 + layouts).contains(&usize::from(kind));
        // With room for the words that others write, and now and then a large one.
        let bytes = WORDS * 8 + usize::from(bytes) % 600 + if how > 250 { 40_000 } else { 0 };
        // SAFETY: what is not initialised is written below.
        let object = unsafe {
            match how % 3 {
                0 => palimpsest_alloc(at.cast(), kind, bytes),
                1 => palimpsest_alloc_uninit(at.cast(), kind, bytes),
                _ => palimpsest_alloc_no_safepoint(at.cast(), kind, bytes),
            }
        };
        if object.is_null() {
            let status = palimpsest_last_status();
            // A heap of four mebibytes may be full.
            let is_full = right && status == palimpsest_status::PALIMPSEST_OUT_OF_MEMORY;
            return (is_full || right, if is_full { palimpsest_status::PALIMPSEST_OK } else { status });
        }
        // SAFETY: the new object; a header with no data, and references to nothing.
        unsafe { object.cast::<u8>().write_bytes(0, bytes) };
        if !how.is_multiple_of(4) {
            let mut handle = null_mut();
            // SAFETY: a new object of this mutator's heap.
            let status = unsafe { palimpsest_handle_new(at.cast(), object, &raw mut handle) };
            assert_eq!(status, palimpsest_status::PALIMPSEST_OK, "{}", last_error());
            self.added(heap, Is::Handle, handle.cast(), object);
        }
        (right, palimpsest_status::PALIMPSEST_OK)
    }

    /// Frees everything: mutators that have stepped out step in first. The heaps work until then.
    fn end(&mut self) {
        for k in 0..self.things.len() {
            let Thing { is, at, freed, outside, .. } = self.things[k];
            if is != Is::Mutator || freed {
                continue;
            }
            // SAFETY: a mutator of this thread.
            unsafe {
                if outside {
                    assert_eq!(palimpsest_step_in(at.cast()), palimpsest_status::PALIMPSEST_OK);
                }
                self.things[k].outside = false;
                assert_eq!(palimpsest_collect(at.cast(), null_mut()), palimpsest_status::PALIMPSEST_OK);
                assert_eq!(
                    palimpsest_detach(at.cast()),
                    palimpsest_status::PALIMPSEST_OK,
                    "{}",
                    last_error()
                );
            }
            self.things[k].freed = true;
        }
        for k in 0..self.things.len() {
            if !self.things[k].freed {
                self.call(Call::Free { thing: k as u8, as_what: 0 });
            }
        }
    }
}

/// In a blocking region no call with the mutator succeeds.
unsafe extern "C" fn in_a_region(mutator: *mut c_void) {
    // SAFETY: the mutator that is blocked.
    let statuses = unsafe {
        let made = palimpsest_alloc(mutator.cast(), PALIMPSEST_LEAF, 16);
        assert!(made.is_null());
        [palimpsest_poll(mutator.cast()), palimpsest_detach(mutator.cast())]
    };
    assert_eq!(statuses, [palimpsest_status::PALIMPSEST_BLOCKED; 2]);
}

fn last_error() -> String {
    // SAFETY: a string, as long as nothing else is called.
    unsafe { CStr::from_ptr(palimpsest_last_error()) }.to_string_lossy().into_owned()
}
