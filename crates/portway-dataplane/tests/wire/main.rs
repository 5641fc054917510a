//! The data plane between scripted peers on real sockets: what arrives, byte for byte, on both sides.

#![cfg(test)]

mod bodies;
mod forwarding;
mod harness;
mod pipelining;
mod pools;
mod responses;
mod row;
mod rules;
mod slow;
mod stop;
mod strict;
mod targets;
mod timeouts;
mod tunnels;
