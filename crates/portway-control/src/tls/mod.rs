//! TLS: certificates and keys, which of them a client is shown, and the configurations of rustls.
//!
//! Everything here is a function of its arguments: texts, names, a clock. Reading files, reloading and binding it to the model of a
//! configuration is left to the rest of control. In the order of the path:
//!
//! [`pem`] (text → blocks) ▸ [`x509`] (what a certificate says) ▸ [`identity`] (chain + key, checked) ▸ [`resolver`] (SNI → identity)
//! ▸ [`policy`] (versions and cipher suites, with the tables [`ciphers`] and [`aws_policies`]) ▸ [`tickets`] (resumption) ▸ [`server`] (downstream) and [`client`] (upstream, with `sessions`).
//! [`client_auth`] judges certificates of clients, with `judge` and `link` as OpenSSL does.
//! [`revocation`] says until when revocation lists are good. [`self_signed`] makes certificates for trying things out.

pub mod aws_policies;
pub mod ciphers;
pub mod client;
pub mod client_auth;
mod judge;
mod link;
pub mod identity;
pub mod pem;
pub mod policy;
pub mod resolver;
pub mod revocation;
pub mod self_signed;
pub mod server;
mod sessions;
mod signature;
pub mod staple;
pub mod tickets;
pub mod x509;

#[cfg(test)]
mod tests;
