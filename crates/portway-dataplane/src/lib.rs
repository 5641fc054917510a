//! Moves bytes.
//!
//! The modules stand in the order of the path: a connection is accepted, admitted, decrypted, read as exchanges or
//! passed through; an exchange is served by rules, a target, a connection to it, and two transfers; it leaves one
//! record. `docs/life-of-a-request.md` tells the same as a story.

mod accept;
mod connection;
mod stream;
mod peer_certificate;
mod rules;
mod establish;
mod l4;
mod h1;
mod exchange;
mod serve;
mod pages;
mod policy;
mod request_line;
mod body;
mod tarpit;
mod limits;
mod quota;
mod sticky;
pub mod seal;
mod stick;
mod credentials;
mod share;
mod group;
mod later;
mod reserve;
mod retries;
mod deadline;
mod refused;
mod proxy_header;
mod connect;
pub mod source;
pub mod keep_alive;
pub mod pace;
mod passwords;
mod pool;
mod forward;
mod subrequest;
mod authorize;
mod jwt;
mod mirror;
mod trace;
mod head;
mod compress;
mod cors;
mod fields;
mod track;
mod transfer;
mod tunnel;
mod answers;
mod reply;
mod facts;
mod fault;
mod record;
mod times;
mod termination;
mod log_buffers;
mod log_value;
mod statistics;

pub mod access_log;
mod client_rate;
pub mod client_tls;
pub mod explain;
pub mod keys;
pub mod live;
pub mod live_rate;
pub mod map;
pub mod plane;
pub mod queue;
pub mod service;
pub mod sessions;
pub mod support;
pub mod wants;
pub mod worker;

mod handed;
mod buffer;
mod captures;
mod observed;
mod scarce;
mod sys;
mod unheard;
mod timer;
mod start;
mod upload;
mod variables;

pub use answers::{Answers, Page};
pub use connect::unix_path;
pub use record::refusal_codes;
pub use scarce::is_of_ours;
pub use source::socket_from;
pub use track::now as stick_time;
