//! Decides the next snapshot and installs it.
//!
//! In the order of the path: [`sources`] (files → snapshot), [`certificates`] and [`error_pages`] (what else it names),
//! [`bind`] (addresses), [`install`] (everything together, and its end). While it runs: [`targets`] hold what is known of
//! each target, [`resolve`] finds their addresses, [`health`] checks them, [`logs`] writes access records, [`status`] says
//! how it all is. [`tls`] is about certificates, keys and rustls.
//!
//! Nothing here touches traffic, and nothing of it runs on a data worker's thread.

pub mod bind;
pub mod certificates;
pub mod change;
mod circuits;
pub mod descriptors;
pub mod drain_orders;
pub mod drains;
pub mod error_pages;
pub mod explain;
mod fetch;
pub mod figures;
pub mod files;
pub mod health;
pub mod history;
pub mod install;
pub mod key_sets;
mod listening;
pub mod live_state;
pub mod logs;
pub mod maps;
mod members;
pub mod memory;
mod names;
mod parts;
pub mod pid_file;
pub mod plan;
pub mod planning;
mod privileges;
pub mod operations;
mod outliers;
pub mod ocsp;
mod own_descriptors;
mod recertify;
pub mod reload;
pub mod renewal;
pub mod resolve;
mod running;
#[cfg(test)]
mod simulation;
pub mod services;
pub mod sources;
pub mod status;
pub mod supervisor;
pub mod targets;
mod targets_plan;
pub mod tidings;
pub mod tls;
pub mod turns;
pub mod upgrade;
pub mod variables;
pub mod watch;
pub mod world;

/// What this machine is called.
pub(crate) fn hostname() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into_owned()
}
