//! The workloads in C on the collector of Boehm, Demers and Weiser; where that is missing, a line that says what to install: all of it, `main` included, is compiled and linked by the build script.
#![no_main]
