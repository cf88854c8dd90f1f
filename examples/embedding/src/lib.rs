//! Small programs that embed the collector, each in one file: see `examples`. There is nothing in the library.
