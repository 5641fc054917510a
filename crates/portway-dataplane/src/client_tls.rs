//! How TLS of clients is terminated: what a ClientHello is answered with.

use rustls::ServerConfig;
use rustls::server::ClientHello;
use rustls::sign::CertifiedKey;
use std::fmt;
use std::sync::Arc;

/// What control made of a listener's certificates.
pub trait AnswersHello: Send + Sync + fmt::Debug {
    /// Decides by what the client asks for.
    fn answer(&self, hello: &ClientHello<'_>) -> Terms;
}

/// How a handshake goes on.
#[derive(Debug)]
pub struct Terms {
    /// What is spoken.
    pub config: Arc<ServerConfig>,
    /// What the client is shown; `None`: it is refused.
    pub certificate: Option<Arc<CertifiedKey>>,
}
