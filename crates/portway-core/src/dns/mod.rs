//! Names of targets: what is asked of a server of names, what its answer says, and how long that holds.
//!
//! `message.rs` makes questions and reads answers, `known.rs` decides what counts of a name and when it is asked for again,
//! `files.rs` reads what a machine says of names in its files. Who is asked, over what, and what becomes of the addresses is
//! control's.

mod files;
mod known;
mod message;

pub use files::{Hosts, ResolvConf, asks_others};
pub use known::{Known, Outcome, Terms, settle};
pub use message::{
    Data, Kind, MAX_MESSAGE, NotAnswered, Question, Reply, Service, is_host_name, question, read,
};
