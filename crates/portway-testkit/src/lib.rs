//! What tests of several crates share. Never part of what ships.

pub mod generate;
pub mod names;
pub mod peer;
