//! The typed meaning of a configuration.
//!
//! A dialect turns text into a [`draft::Draft`]: objects that refer to each other by name, every value with
//! the [`span::Span`] of the text that made it. [`merge`](merge::merge) makes one draft of several sources.
//! [`compile`](compile::compile) resolves, checks and completes a
//! draft and gives a [`snapshot::Snapshot`], or every [`diagnostic::Diagnostic`] at once. [`lift`](lift::lift)
//! goes back from a snapshot to a draft, which is how a configuration is printed.
//!
//! Conditions, values, templates and actions are defined once, in [`expression`] and [`action`], with a
//! [`stage::Stage`] parameter that says how they refer to other objects: by name in a draft, by index in a
//! snapshot.
//!
//! This crate does no I/O, knows no dialect and does not serialise.

pub mod action;
pub mod address;
pub mod alike;
pub mod authorize;
pub mod certificate;
pub mod check;
pub mod check_grpc;
pub mod choice;
pub mod circuit;
pub mod compile;
pub mod compression;
mod convert;
pub mod cors;
pub mod defaults;
pub mod diagnostic;
pub mod digest_auth;
pub mod draft;
pub mod draft_paths;
pub mod expression;
mod figure;
pub mod first_answer;
mod ids;
pub mod jwt;
pub mod http2;
pub mod life;
pub mod lift;
pub mod limit;
pub mod log;
mod log_value;
pub mod map_file;
mod matched;
pub mod members;
pub mod merge;
pub mod mirror;
pub mod min_rate;
pub mod name;
pub mod ocsp;
pub mod page;
pub mod passive;
pub mod pattern;
pub mod proxied;
pub mod replacement;
pub mod resolution;
pub mod settings;
pub mod snapshot;
pub mod span;
pub mod stage;
pub mod tcp;
pub mod template;
mod zone;
pub mod traces;
pub mod transform;
