//! The report: the workloads on Palimpsest and on its peers, interleaved in one run, and the tables and pictures of what came out.
//!
//! From above: [`command`] is what happens, one after the other. [`programs`] builds what is run and asks what this machine allows;
//! [`plan`] decides what runs in which order; [`run`] does it and fills the [`results`]. From there on nothing is measured: [`measure`]
//! computes, [`tables`] writes, [`draw`] draws, [`checks`] looks for what is wrong, and [`outputs`] has the files;
//! [`merge`] makes one report of several.

pub mod arguments;
pub mod checks;
pub mod command;
pub mod draw;
pub mod machine;
pub mod measure;
pub mod merge;
pub mod outputs;
pub mod plan;
pub mod programs;
pub mod results;
pub mod run;
pub mod tables;
pub mod timeline;
pub mod versions;
