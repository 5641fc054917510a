//! The data plane between scripted peers on real sockets: what arrives, byte for byte, on both sides.

#![cfg(test)]
#![expect(
    clippy::string_slice,
    reason = "messages of tests are ASCII, and a test that cuts in the wrong place fails"
)]

mod again;
mod answers;
mod bodies;
mod bulk;
mod change;
mod compression;
mod deadlines;
mod forwarding;
mod held;
mod held_bodies;
mod harness;
mod limits;
mod mixture;
mod pages;
mod pipelining;
mod pools;
mod responses;
mod row;
mod rules;
mod set_aside;
mod slow;
mod stickiness;
mod stop;
mod streams;
mod strict;
mod tables;
mod targets;
mod timeouts;
mod tunnels;
