//! Goes through the models of `runtime`; see [`palimpsest_runtime_model::explore`].

use palimpsest_runtime_model::{explore, models};
use std::process::ExitCode;

fn main() -> ExitCode {
    explore::main(models::ALL)
}
