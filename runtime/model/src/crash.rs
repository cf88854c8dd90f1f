//! A violated invariant fails the schedule.

#[path = "../../src/crash/line.rs"]
mod line;

pub(crate) use line::Line;

use crate::unit::Address;
use std::fmt;

/// Nobody is heard.
#[derive(Debug)]
pub struct Account(());

impl Account {
    pub fn line(&mut self, _about: &str, _text: fmt::Arguments<'_>) {}
}

/// Nobody writes over it.
#[derive(Debug, Default)]
pub struct Canary(());

impl Canary {
    pub fn check(&self, _of: &str) {}
}

pub fn violated(_at: Option<Address>, what: fmt::Arguments<'_>) -> ! {
    panic!("{what}")
}
