//! The report: the workloads on Palimpsest and on its peers, interleaved in one run, and the tables and pictures of what came out.

pub mod draw;
pub mod measure;
pub mod results;
