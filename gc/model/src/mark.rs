//! Packets, and the end of marking.

pub(crate) mod models;
#[path = "../../src/mark/packets.rs"]
mod packets;
#[path = "../../src/mark/tally.rs"]
mod tally;
#[path = "../../src/mark/team.rs"]
mod team;
#[path = "../../src/mark/waiting.rs"]
mod waiting;

pub(crate) use packets::Packets;
pub(crate) use tally::Tally;
pub(crate) use team::Team;
