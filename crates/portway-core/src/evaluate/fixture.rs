//! An exchange made of plain values, for tests.

use super::{Facts, Fetched, TlsFacts, Visitor};
use portway_model::expression::{Message, Variable};
use portway_model::snapshot::{GroupId, MapId};
use std::borrow::Cow;
use std::net::IpAddr;
use std::ops::ControlFlow;

/// A request as GET of a URL, with headers as given; what a test does not say has a fixed value.
#[derive(Debug, Clone, Default)]
pub(crate) struct Exchange {
    pub(crate) https: bool,
    pub(crate) host: Vec<u8>,
    pub(crate) path: Vec<u8>,
    pub(crate) query: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) status: Option<u16>,
    pub(crate) response_headers: Vec<(String, Vec<u8>)>,
    pub(crate) payload: Option<Vec<u8>>,
    pub(crate) variables: Vec<(Variable, Vec<u8>)>,
}

impl Exchange {
    /// `scheme://host/path?query`; the host is lowered.
    pub(crate) fn get(url: &str) -> Self {
        let (scheme, rest) = url.split_once("://").unwrap();
        let (host, target) = rest.split_at(rest.find('/').unwrap());
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.into())),
            None => (target, None),
        };
        Self {
            https: scheme == "https",
            host: host.to_ascii_lowercase().into(),
            path: path.into(),
            query,
            ..Self::default()
        }
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// A value as `<absent>`, `text`, `#number`, `?boolean` or `@address`.
pub(crate) fn show(fetched: &Fetched<'_>) -> String {
    match fetched {
        Fetched::Absent => "<absent>".into(),
        Fetched::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Fetched::Number(number) => format!("#{number}"),
        Fetched::Boolean(truth) => format!("?{truth}"),
        Fetched::Address(address) => format!("@{address}"),
    }
}

fn visit_named<'a>(headers: &'a [(String, Vec<u8>)], name: &str, visit: &mut Visitor<'_, 'a>) {
    for (key, value) in headers {
        if key.eq_ignore_ascii_case(name) && visit(value).is_break() {
            return;
        }
    }
}

impl Facts for Exchange {
    fn source(&self) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, 7]))
    }

    fn source_port(&self) -> Option<u16> {
        Some(51000)
    }

    fn destination(&self) -> Option<IpAddr> {
        Some(IpAddr::from([198, 51, 100, 1]))
    }

    fn destination_port(&self) -> Option<u16> {
        Some(443)
    }

    fn listener_name(&self) -> Option<&str> {
        Some("web")
    }

    fn tls(&self) -> Option<TlsFacts<'_>> {
        self.https.then_some(TlsFacts {
            version: "TLSv1.3",
            cipher: "TLS_AES_128_GCM_SHA256",
            resumed: false,
            session_id: Some(b"session"),
            sni: Some(&self.host),
            alpn: None,
        })
    }

    fn payload(&self) -> Option<&[u8]> {
        self.payload.as_deref()
    }

    fn method(&self) -> Option<&[u8]> {
        Some(b"GET")
    }

    fn scheme(&self) -> Option<&str> {
        Some(if self.https { "https" } else { "http" })
    }

    fn http_version(&self) -> Option<&str> {
        Some("1.1")
    }

    fn host(&self) -> Option<&[u8]> {
        Some(&self.host)
    }

    fn path(&self) -> Option<&[u8]> {
        Some(&self.path)
    }

    fn query(&self) -> Option<&[u8]> {
        self.query.as_deref()
    }

    fn header<'a>(&'a self, name: &str, visit: &mut Visitor<'_, 'a>) {
        visit_named(&self.headers, name, visit);
    }

    fn fields<'a>(
        &'a self,
        of: Message,
        visit: &mut dyn FnMut(&'a [u8], &'a [u8]) -> ControlFlow<()>,
    ) {
        let headers = match of {
            Message::Request => &self.headers,
            Message::Response => &self.response_headers,
        };
        for (name, value) in headers {
            if visit(name.as_bytes(), value).is_break() {
                return;
            }
        }
    }

    fn status(&self) -> Option<u16> {
        self.status
    }

    fn response_header<'a>(&'a self, name: &str, visit: &mut Visitor<'_, 'a>) {
        visit_named(&self.response_headers, name, visit);
    }

    fn variable(&self, variable: &Variable) -> Fetched<'_> {
        let found = self.variables.iter().find(|(key, _)| key == variable);
        found.map(|(_, value)| value.as_slice()).into()
    }

    /// Map 0 has `known` with the value `found`.
    fn lookup(&self, map: MapId, key: &[u8]) -> Option<Cow<'_, [u8]>> {
        (map == MapId(0) && key == b"known").then_some(Cow::Borrowed(b"found"))
    }

    /// As many as its index.
    fn healthy_targets(&self, group: GroupId) -> Option<u32> {
        Some(group.0)
    }

    fn random(&self) -> Option<u64> {
        Some(1 << 63)
    }

    fn now(&self) -> Option<i64> {
        Some(1_700_000_000)
    }
}
