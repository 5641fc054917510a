//! The header of the PROXY protocol that a target gets before anything else: what of a client is told to it.

use crate::connection::{Connection, TlsDetails};
use portway_core::certificate::Certificate;
use portway_core::evaluate::openssl_cipher_name;
use portway_core::proxy_protocol::{
    Ends, TYPE_OF_TLS, Tell, TellCertificate, TellTls, write_v1, write_v2,
};
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
        ProxyProtocol::V2 => write_all(connection, send, ends, request_id, &mut out),
    }
    out.into()
}

/// Appends the header of version 2 with what is to be told.
fn write_all(
    connection: &Connection,
    send: &SendProxy,
    ends: Option<Ends>,
    request_id: Option<&[u8]>,
    out: &mut Vec<u8>,
) {
    let tls = connection.tls.as_deref();
    let told = |part| send.parts.contains(&part);
    let of_tls = |part| tls.filter(|_| told(part));
    let subject = of_tls(ProxyPart::CommonName).and_then(common_name);
    let shown = |part| of_tls(part).and_then(shown);
    let key = shown(ProxyPart::Key).and_then(|it| it.key_with_bits());
    let signature = shown(ProxyPart::Signature).map(|it| it.signature_algorithm());
    let own = Tell {
        alpn: of_tls(ProxyPart::Alpn).and_then(|tls| tls.alpn.as_deref()),
        authority: of_tls(ProxyPart::Authority)
            .and_then(|tls| Some(tls.sni.as_deref()?.as_bytes())),
        unique_id: request_id.filter(|_| told(ProxyPart::UniqueId)),
        tls: told(ProxyPart::Tls).then(|| TellTls {
            spoken: tls.is_some(),
            certificate: tls.and_then(certificate),
            version: tls.map(|tls| tls.version.as_bytes()),
            common_name: subject,
            key: key.as_ref().map(String::as_bytes),
            signature: signature.as_ref().map(String::as_bytes),
            cipher: of_tls(ProxyPart::Cipher).map(|tls| openssl_cipher_name(tls.cipher).as_bytes()),
        }),
        checksum: told(ProxyPart::Checksum),
        others: &[],
    };
    if send.pass_on.is_nothing() {
        return write_v2(ends, own, out);
    }
    let received = connection.proxied().unwrap_or_default();
    let passed: Vec<_> = received
        .passable()
        .filter(|(of, _)| send.pass_on.has(*of) && !own.says(*of))
        .collect();
    // That the client speaks no TLS with us says nothing where another has spoken it.
    let elsewhere = passed.iter().any(|(of, _)| *of == TYPE_OF_TLS);
    let told = Tell {
        tls: own.tls.filter(|tls| tls.spoken || !elsewhere),
        others: &passed,
        ..own
    };
    write_v2(ends, told, out);
}

/// What is told of the client's certificate: what was found of it, where it may be any.
fn certificate(tls: &TlsDetails) -> Option<TellCertificate> {
    tls.certificate.as_ref().map(|_| TellCertificate {
        resumed: tls.resumed,
        verify: u32::from(tls.verdict.last),
    })
}

fn common_name(tls: &TlsDetails) -> Option<&[u8]> {
    let certificate = Certificate::read(tls.certificate.as_deref()?)?;
    certificate.subject.attribute("CN", 1)
}

/// The certificate that the client was shown.
fn shown(tls: &TlsDetails) -> Option<Certificate<'_>> {
    Certificate::read(tls.shown.as_ref()?.cert.first()?.as_ref())
}
