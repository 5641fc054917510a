//! decisions that are functions of their arguments.

pub mod agent;
pub mod balance;
pub mod breaker;
pub mod budget;
pub mod priority;
pub mod certificate;
pub mod client_hello;
pub mod coding;
mod der;
pub mod dns;
pub mod drain;
pub mod evaluate;
pub mod hash;
pub mod health;
pub mod http1;
pub mod jwt;
pub mod lookup;
pub mod ocsp;
pub mod outlier;
pub mod password;
pub mod proxy_protocol;
pub mod rate;
pub mod retry;
pub mod route;
pub mod stick;
pub mod sticky;
pub mod trace;
