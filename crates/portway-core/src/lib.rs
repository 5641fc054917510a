//! decisions that are functions of their arguments.

pub mod balance;
pub mod health;
pub mod http1;
pub mod retry;
