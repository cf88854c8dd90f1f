//! The workloads in C with mimalloc and explicit frees: all of it, `main` included, is compiled and linked by the build script.
#![no_main]

/// The allocator's library is linked where something of it is used; what uses it comes later.
#[used]
static KEEP: unsafe extern "C" fn(usize) -> *mut std::ffi::c_void = libmimalloc_sys::mi_malloc;
