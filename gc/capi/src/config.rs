//! What a heap is to be like, before it is made.

use crate::codec::{Codec, palimpsest_codec};
use crate::events::{Listening, palimpsest_events};
use crate::kinds::{Layouts, palimpsest_layout_function};
use crate::opaque::{self, ANYBODY, Opaque as _, Shell, close, null, opaque, open, out};
use crate::status::{Answer, Status, entry, entry_or, fail, failed, palimpsest_status};
use crate::trace::{Traces, palimpsest_trace_function};
use palimpsest::{Heap, HeapBuilder, Wish};
use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_void};

/// What a heap is to be like. It is used by one thread at a time, for any number of heaps.
pub struct palimpsest_config(Shell<RefCell<Config>>);
opaque!(palimpsest_config, RefCell<Config>, b"conf");

/// What a configuration holds.
#[derive(Debug)]
pub(crate) struct Config {
    codec: palimpsest_codec,
    layouts: Option<Layouts>,
    traces: Traces,
    limit: Option<usize>,
    options: String,
    rung: Option<Wish>,
    listening: Vec<Listening>,
}

impl Config {
    /// A heap in the making, and who hears of its `OutOfMemory`.
    pub(crate) fn builder(&self) -> Answer<(HeapBuilder<Codec>, Vec<Listening>)> {
        let codec = Codec { words: self.codec, layouts: self.layouts, traces: self.traces.clone() };
        let mut builder = Heap::builder(codec).options(&self.options).map_err(|why| failed(&why))?;
        if let Some(limit) = self.limit {
            builder = builder.limit(limit);
        }
        if let Some(wish) = self.rung {
            builder = builder.rung(wish);
        }
        for listening in &self.listening {
            builder = builder.listener(*listening);
        }
        Ok((builder, self.listening.clone()))
    }
}

/// A configuration in which everything is as it is by itself: plain pointers, a limit of half of the memory. NULL where there
/// is no memory for it. It is freed by `palimpsest_config_free`.
#[unsafe(no_mangle)]
pub extern "C" fn palimpsest_config_new() -> *mut palimpsest_config {
    entry_or(std::ptr::null_mut(), || {
        let config = Config {
            codec: palimpsest_codec::POINTERS,
            layouts: None,
            traces: Traces::new(),
            limit: None,
            options: String::new(),
            rung: None,
            listening: Vec::new(),
        };
        Ok(open(RefCell::new(config), ANYBODY)?.as_ptr())
    })
}

/// Frees a configuration. Heaps that were made with it stay. NULL is no error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_config_free(config: *mut palimpsest_config) -> palimpsest_status {
    // SAFETY: what C passes; see the crate.
    entry(|| unsafe { close(config) }.map(drop))
}

/// Calls `f` with what a configuration holds.
///
/// # Safety
/// As for [`opaque::lend`].
unsafe fn with(config: *mut palimpsest_config, f: impl FnOnce(&mut Config) -> Answer) -> Status {
    entry(|| {
        // SAFETY: passed on to the caller.
        let config = unsafe { opaque::lend(config)? };
        match config.try_borrow_mut() {
            Ok(mut config) => f(&mut config),
            Err(_) => Err(fail(
                Status::PALIMPSEST_INVALID,
                format_args!("a {} is used in the middle of its use", palimpsest_config::NAME),
            )),
        }
    })
}

/// Text that C passes.
///
/// # Safety
/// NULL, or a string that ends with a NUL.
unsafe fn text<'a>(text: *const c_char, name: &str) -> Answer<&'a str> {
    if text.is_null() {
        return Err(null(name));
    }
    // SAFETY: passed on to the caller.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map_err(|why| fail(Status::PALIMPSEST_INVALID, format_args!("{name} is not UTF-8: {why}")))
}

/// Which words are references. By default they are plain pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_config_codec(
    config: *mut palimpsest_config,
    codec: palimpsest_codec,
) -> palimpsest_status {
    // SAFETY: what C passes; see the crate.
    unsafe {
        with(config, |config| {
            codec.check()?;
            config.codec = codec;
            Ok(())
        })
    }
}

/// The function that tells the layout of `PALIMPSEST_HEADED` objects, and what it is called with. NULL for none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_config_layouts(
    config: *mut palimpsest_config,
    function: palimpsest_layout_function,
    data: *mut c_void,
) -> palimpsest_status {
    // SAFETY: what C passes; see the crate.
    unsafe {
        with(config, |config| {
            config.layouts = function.map(|function| Layouts { function, data });
            Ok(())
        })
    }
}

/// Adds a function that finds the references of objects, and stores its number, for `traced_by` of a layout: so headed objects
/// can be traced by it. (`palimpsest_define_traced` does that for objects without a header.)
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_config_trace(
    config: *mut palimpsest_config,
    function: palimpsest_trace_function,
    data: *mut c_void,
    number: *mut u16,
) -> palimpsest_status {
    // SAFETY: what C passes; see the crate.
    unsafe {
        with(config, |config| {
            let number = out(number, "number")?;
            number.write(config.traces.add(function, data)? + 1);
            Ok(())
        })
    }
}

/// The most bytes that the heap uses. By default half of the memory that the process may use.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_config_limit(
    config: *mut palimpsest_config,
    bytes: usize,
) -> palimpsest_status {
    // SAFETY: what C passes; see the crate.
    unsafe {
        with(config, |config| {
            config.limit = Some(bytes);
            Ok(())
        })
    }
}

/// Options as a string, `"cycle-every=64M,workers=2"`, after those that were given before; of two equal ones the last counts. The
/// chapter on tuning lists them. What `palimpsest_config_limit` and `palimpsest_config_rung` say goes before. Options that
/// nobody gives may come from the environment, `PALIMPSEST_OPTIONS`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_config_options(
    config: *mut palimpsest_config,
    options: *const c_char,
) -> palimpsest_status {
    // SAFETY: what C passes; see the crate.
    unsafe {
        with(config, |config| {
            let options = text(options, "options")?;
            palimpsest::options::check(options).map_err(|why| failed(&why.into()))?;
            if !config.options.is_empty() && !options.is_empty() {
                config.options.push(',');
            }
            config.options.push_str(options);
            Ok(())
        })
    }
}

/// How the heap keeps its snapshots: `"preimage/signal"`, `"forkcow"`, `"stw"`, as the chapter on deployment says. By default the
/// best that this machine allows. Where it cannot be had, making the heap fails and says why.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_config_rung(
    config: *mut palimpsest_config,
    rung: *const c_char,
) -> palimpsest_status {
    // SAFETY: what C passes; see the crate.
    unsafe {
        with(config, |config| {
            let wish = text(rung, "rung")?.parse::<Wish>();
            let refused = |why| fail(Status::PALIMPSEST_BAD_OPTION, format_args!("{why}"));
            config.rung = Some(wish.map_err(refused)?);
            Ok(())
        })
    }
}

/// Has functions called when the collector does something. Those of several calls are all called, in the order of the calls. The
/// struct is copied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_config_events(
    config: *mut palimpsest_config,
    events: *const palimpsest_events,
) -> palimpsest_status {
    // SAFETY: what C passes; see the crate.
    unsafe {
        with(config, |config| {
            config.listening.push(Listening::read(events)?);
            Ok(())
        })
    }
}
