//! The workloads in C with an allocator that never frees: all of it, `main` included, is compiled and linked by the build script.
#![no_main]
