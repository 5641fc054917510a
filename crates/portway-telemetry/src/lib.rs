//! What Portway says about itself: records of exchanges, metrics and events, each from one closed list.
//!
//! It decides nothing: the data plane and control fill these types, this crate knows how they are written. Nothing here
//! allocates, locks or waits while a request is served.
//!
//! * [`record`]: what is known of one exchange or connection when it ends;
//! * [`access_log`]: a record as a line, JSON or combined;
//! * [`metrics`]: counters, one shard for each worker, and the Prometheus text of all of them;
//! * [`events`]: what happens to the process, as types that know their log line.

pub mod access_log;
pub mod events;
pub mod metrics;
pub mod record;
pub mod syslog;
pub mod zone;
