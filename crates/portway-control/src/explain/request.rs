//! A request as somebody writes it down, and as it goes over the wire.

use std::fmt::Write;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// A request that somebody asks about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// The method.
    pub method: String,
    /// `http://…` or `https://…`; `tcp://HOST:PORT` and `tls://HOST:PORT` for a connection on which nothing else is said.
    pub url: String,
    /// Headers, in order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// Who asks; `None`: 127.0.0.1.
    pub from: Option<IpAddr>,
    /// The listener that it comes to; `None`: found out by the URL.
    pub listener: Option<String>,
}

/// The parts of a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parts {
    /// TLS is spoken.
    pub(super) is_secure: bool,
    /// It is a request of HTTP.
    pub(super) is_http: bool,
    /// The host, without the brackets of IPv6.
    pub(super) host: String,
    pub(super) port: u16,
    /// The port is said.
    pub(super) says_port: bool,
    /// Path and query.
    target: String,
}

impl Parts {
    /// The host, where it is an address.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// Takes a URL apart.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn of(url: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("`{url}` {what}: write `https://HOST[:PORT]/PATH`");
        let (scheme, rest) = url
            .split_once("://")
            .ok_or_else(|| wrong("has no scheme"))?;
        let (is_http, is_secure) = match scheme.to_ascii_lowercase().as_str() {
            "http" | "ws" => (true, false),
            "https" | "wss" => (true, true),
            "tcp" => (false, false),
            "tls" => (false, true),
            _ => {
                return Err(wrong(
                    "has a scheme that is none of http, https, tcp and tls",
                ));
            }
        };
        let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(at);
        let target = target.split('#').next().unwrap_or_default();
        let authority = authority.rsplit('@').next().unwrap_or_default();
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or_else(|| wrong("lacks a `]`"))?;
                (host, port.strip_prefix(':'))
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        if host.is_empty() || !host.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(wrong("has no host"));
        }
        let port = port.filter(|it| !it.is_empty());
        let said = port.map(str::parse::<u16>).transpose();
        let said = said.map_err(|_| wrong("has a port that is no number up to 65535"))?;
        if !is_http && said.is_none() {
            return Err(wrong("has no port"));
        }
        if target
            .bytes()
            .any(|byte| byte.is_ascii_whitespace() || byte.is_ascii_control())
        {
            return Err(wrong("has a blank in its path: write `%20`"));
        }
        let target = match target.starts_with('/') {
            true => target.to_owned(),
            false => format!("/{target}"),
        };
        Ok(Self {
            is_secure,
            is_http,
            host: host.to_owned(),
            port: said.unwrap_or(if is_secure { 443 } else { 80 }),
            says_port: said.is_some(),
            target,
        })
    }
}

/// True for what may be a method or the name of a header (RFC 9110 section 5.6.2).
fn is_token(text: &str) -> bool {
    let marks = b"!#$%&'*+-.^_`|~";
    let is_of_token = |byte: u8| byte.is_ascii_alphanumeric() || marks.contains(&byte);
    !text.is_empty() && text.bytes().all(is_of_token)
}

/// The request as a client sends it.
///
/// # Errors
/// What of it cannot be sent.
pub(super) fn wire(asked: &Asked, parts: &Parts) -> Result<Vec<u8>, String> {
    if !parts.is_http {
        return Ok(asked.body.clone());
    }
    if !is_token(&asked.method) {
        return Err(format!("`{}` is no method of HTTP", asked.method));
    }
    let mut head = format!("{} {} HTTP/1.1\r\n", asked.method, parts.target);
    let says = |name: &str| {
        asked
            .headers
            .iter()
            .any(|(it, _)| it.eq_ignore_ascii_case(name))
    };
    if !says("host") {
        let host = match parts.host.contains(':') {
            true => format!("[{}]", parts.host),
            false => parts.host.clone(),
        };
        let usual = if parts.is_secure { 443 } else { 80 };
        let port = match parts.port == usual {
            true => String::new(),
            false => format!(":{}", parts.port),
        };
        // Writing to a String cannot fail, here and below.
        let _ = write!(head, "Host: {host}{port}\r\n");
    }
    for (name, value) in &asked.headers {
        if !is_token(name) || value.contains(['\r', '\n', '\0']) {
            return Err(format!("`{name}: {value}` is no header"));
        }
        let _ = write!(head, "{name}: {value}\r\n");
    }
    if !asked.body.is_empty() && !says("content-length") && !says("transfer-encoding") {
        let _ = write!(head, "Content-Length: {}\r\n", asked.body.len());
    }
    head.push_str("\r\n");
    let mut wire = head.into_bytes();
    wire.extend_from_slice(&asked.body);
    Ok(wire)
}

/// What a client that speaks TLS says first, asking for this host: a name, or none where it is an address.
pub(super) fn hello(host: &str) -> Option<Vec<u8>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .ok()?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let name = ServerName::try_from(host.to_owned()).ok()?;
    let mut client = ClientConnection::new(Arc::new(config), name).ok()?;
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let parts = |url: &str| {
            let it = Parts::of(url).map_err(drop)?;
            Ok((it.is_secure, it.host, it.port, it.target))
        };
        let check = |url: &str, secure, host: &str, port, target: &str| {
            let expected = (secure, host.to_owned(), port, target.to_owned());
            assert_eq!(parts(url), Ok(expected), "{url}");
        };
        check(
            "https://a.example/x?y=1#z",
            true,
            "a.example",
            443,
            "/x?y=1",
        );
        check("http://a.example", false, "a.example", 80, "/");
        check("HTTP://[::1]:8080/", false, "::1", 8080, "/");
        check(
            "https://u:p@a.example:8443?q",
            true,
            "a.example",
            8443,
            "/?q",
        );
        check("tcp://10.0.0.1:25", false, "10.0.0.1", 25, "/");
        for wrong in [
            "/x",
            "ftp://a/",
            "http://",
            "http://a:x/",
            "http://[::1/",
            "tcp://a",
            "http://a/b c",
        ] {
            assert_eq!(parts(wrong), Err(()), "{wrong}");
        }
    }

    #[test]
    fn requests_go_as_clients_send_them() {
        let mut asked = Asked {
            method: "POST".to_owned(),
            url: "http://[::1]:8080/x".to_owned(),
            headers: vec![("A".to_owned(), "b".to_owned())],
            body: b"hi".to_vec(),
            ..Asked::default()
        };
        let sent = |asked: &Asked| wire(asked, &Parts::of(&asked.url)?);
        let expected =
            "POST /x HTTP/1.1\r\nHost: [::1]:8080\r\nA: b\r\nContent-Length: 2\r\n\r\nhi";
        assert_eq!(sent(&asked), Ok(expected.into()));
        asked.headers = vec![("A".to_owned(), "b\r\nc: d".to_owned())];
        assert!(sent(&asked).is_err());
        let hello = hello("a.example").expect("a ClientHello");
        assert_eq!(hello.first(), Some(&22));
    }
}
