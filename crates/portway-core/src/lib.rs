//! decisions that are functions of their arguments.

pub mod balance;
pub mod evaluate;
pub mod health;
pub mod http1;
pub mod retry;
pub mod route;
