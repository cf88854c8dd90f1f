//! The `lox` command. All it adds to the library is the allocator for native memory.

use std::process::ExitCode;

/// The collector's heap does not go through this; the compiler's and the output's buffers do.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    palimpsest_lox::cli::run()
}
