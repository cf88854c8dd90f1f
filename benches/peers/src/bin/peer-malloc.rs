//! The workloads in C with the C library's `malloc` and explicit frees: all of it, `main` included, is compiled and linked by the build script.
#![no_main]
