//! The data plane between scripted peers on real sockets: what arrives, byte for byte, on both sides.

#![cfg(test)]

mod bodies;
mod forwarding;
mod harness;
mod row;
