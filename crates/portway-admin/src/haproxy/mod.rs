//! What HAProxy's users and tools see of a running balancer: its page of statistics with CSV and JSON, its metrics, and
//! its socket with commands.
//!
//! Columns, names, orders and messages are those of HAProxy 2.6, because programs read them; the page is our own.
//! Nothing here knows more than [`portway_control::figures`] says, and every change is an operation of
//! [`portway_control`].

mod action;
pub(crate) mod asked;
pub(crate) mod field;
pub(crate) mod http;
pub(crate) mod info;
pub(crate) mod page;
pub(crate) mod print;
pub(crate) mod prometheus;
pub(crate) mod row;
pub(crate) mod socket;
