//! Goes through the models of `gc`; see [`palimpsest_runtime::explore`], which is that of `runtime/model`.

use palimpsest_gc_model::models;
use palimpsest_runtime::explore;
use std::process::ExitCode;

fn main() -> ExitCode {
    explore::main(models::ALL)
}
