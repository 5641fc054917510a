//! The header of the PROXY protocol that a target gets before anything else: what of a client is told to it.

use crate::connection::{Connection, TlsDetails};
use portway_core::certificate::Certificate;
use portway_core::evaluate::openssl_cipher_name;
use portway_core::proxy_protocol::{Ends, Tell, TellTls, write_v1, write_v2};
use portway_model::settings::{ProxyPart, ProxyProtocol, SendProxy};
use std::net::SocketAddr;

/// The header for this client. `request_id`: that of the exchange that opens the connection.
pub(crate) fn of(
    connection: &Connection,
    send: &SendProxy,
    (source, destination): (SocketAddr, SocketAddr),
    request_id: Option<&[u8]>,
) -> Box<[u8]> {
    // A client of a UNIX socket has no address, unless a proxy has said one.
    let known = source.port() != 0;
    let ends = known.then_some(Ends {
        source,
        destination,
    });
    let mut out = Vec::new();
    match send.version {
        ProxyProtocol::V1 => write_v1(ends, &mut out),
        ProxyProtocol::V2 => {
            let tls = connection.tls.as_deref();
            let subject = tls.and_then(common_name);
            let told = |part| send.parts.contains(&part);
            let tell = Tell {
                alpn: tls
                    .and_then(|tls| tls.alpn.as_deref())
                    .filter(|_| told(ProxyPart::Alpn)),
                authority: tls
                    .and_then(|tls| Some(tls.sni.as_deref()?.as_bytes()))
                    .filter(|_| told(ProxyPart::Authority)),
                unique_id: request_id.filter(|_| told(ProxyPart::UniqueId)),
                tls: told(ProxyPart::Tls).then(|| TellTls {
                    spoken: tls.is_some(),
                    certificate: tls.is_some_and(|tls| tls.certificate.is_some()),
                    version: tls.map(|tls| tls.version.as_bytes()),
                    common_name: subject.filter(|_| told(ProxyPart::CommonName)),
                    cipher: tls
                        .map(|tls| openssl_cipher_name(tls.cipher).as_bytes())
                        .filter(|_| told(ProxyPart::Cipher)),
                }),
                checksum: told(ProxyPart::Checksum),
            };
            write_v2(ends, tell, &mut out);
        }
    }
    out.into()
}

fn common_name(tls: &TlsDetails) -> Option<&[u8]> {
    let certificate = Certificate::read(tls.certificate.as_deref()?)?;
    certificate.subject.attribute("CN", 1)
}
