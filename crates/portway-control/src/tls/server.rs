//! The configuration of rustls for a listener.
//!
//! Puts the resolver, the policy and the tickets together; everything else that rustls lets one choose is chosen here, once.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::compress::CompressionCache;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::ResolvesServerCert;
use rustls::server::danger::ClientCertVerifier;

use super::policy::Policy;
use super::tickets::Resumption;

/// TLS 1.3 tickets sent after a handshake. OpenSSL and rustls send two; one is enough, because every connection, resumed ones
/// included, brings its client another, and each costs the client's first round trip some 250 bytes.
pub const TICKETS_PER_HANDSHAKE: usize = 1;

/// The configuration of a listener.
///
/// `clients` judges their certificates; without it none is asked for. `alpn` are protocols in the server's order of preference; none at all leaves ALPN out, and a client that offers only others is
/// refused (RFC 7301 section 3.2), unless it is given [`without_alpn`]. Cipher suites are chosen in the server's order. Early data is off, since it can be replayed
/// (RFC 8446 section 8), and so is answering before the client's handshake is complete; certificates are not compressed.
///
/// # Errors
/// Only for a policy that was not made by [`Policy`]'s own functions.
pub fn server_config(
    resolver: Arc<dyn ResolvesServerCert>,
    policy: &Policy,
    alpn: &[Vec<u8>],
    resumption: Resumption,
    clients: Option<Arc<dyn ClientCertVerifier>>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let config = ServerConfig::builder_with_provider(provider(policy))
        .with_protocol_versions(&policy.versions)?;
    let config = match clients {
        None => config.with_no_client_auth(),
        Some(clients) => config.with_client_cert_verifier(clients),
    };
    let mut config = config.with_cert_resolver(resolver);
    config.ignore_client_order = true;
    config.alpn_protocols = alpn.to_vec();
    config.ticketer = resumption.tickets;
    config.session_storage = resumption.by_id;
    config.send_tls13_tickets = TICKETS_PER_HANDSHAKE;
    config.max_early_data_size = 0;
    config.send_half_rtt_data = false;
    config.cert_compressors = Vec::new();
    config.cert_decompressors = Vec::new();
    config.cert_compression_cache = Arc::new(CompressionCache::Disabled);
    Ok(Arc::new(config))
}

/// The same for clients that none of its protocols suits: no protocol is agreed on. `None` where it has none.
pub fn without_alpn(config: &ServerConfig) -> Option<Arc<ServerConfig>> {
    if config.alpn_protocols.is_empty() {
        return None;
    }
    let mut config = config.clone();
    config.alpn_protocols.clear();
    Some(Arc::new(config))
}

/// aws-lc-rs with the suites and groups of a policy.
pub(super) fn provider(policy: &Policy) -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.clone_from(&policy.suites);
    if !policy.groups.is_empty() {
        provider.kx_groups.clone_from(&policy.groups);
    }
    Arc::new(provider)
}
