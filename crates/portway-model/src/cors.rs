//! Which pages of other origins may read responses (CORS, the Fetch standard), and what browsers are told for safety.

use std::time::Duration;

/// What stands for every origin, method or header.
pub const ANY: &str = "*";
/// How long browsers come by TLS alone where nothing is said: a year.
pub const TRANSPORT: Duration = Duration::from_secs(365 * 24 * 3600);

/// Which pages of other origins may ask what, and see what of the answers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Cors {
    /// Origins, `https://a.example`; `https://*.a.example` for all hosts below; `*` for all. `null` is one by name only.
    pub origins: Vec<String>,
    /// Methods that requests may have, or `*`.
    pub methods: Vec<String>,
    /// Headers that requests may have beside those that every page may send, or `*`.
    pub headers: Vec<String>,
    /// Headers of responses that pages may see beside those that every page sees, or `*`.
    pub expose: Vec<String>,
    /// Requests may have cookies and other credentials of the user.
    pub credentials: bool,
    /// How long browsers remember what they were told; as long as they like where `None`.
    pub max_age: Option<Duration>,
}

impl Cors {
    /// What counts where only origins are said.
    pub fn new(origins: Vec<String>) -> Self {
        Self {
            origins,
            methods: ["GET", "HEAD", "POST"].map(str::to_owned).to_vec(),
            headers: Vec::new(),
            expose: Vec::new(),
            credentials: false,
            max_age: None,
        }
    }

    /// Every origin may read.
    pub fn is_for_all(&self) -> bool {
        self.origins.iter().any(|it| it == ANY)
    }

    /// Whether a page of this origin may read.
    pub fn allows(&self, origin: &[u8]) -> bool {
        self.origins.iter().any(|known| fits(known, origin))
    }
}

/// Whether an origin is the known one, or one of a host below.
fn fits(known: &str, origin: &[u8]) -> bool {
    if known == ANY || origin.eq_ignore_ascii_case(known.as_bytes()) {
        return true;
    }
    let Some((scheme, domain)) = known.split_once(ANY) else {
        return false;
    };
    let below = origin
        .split_at_checked(scheme.len())
        .filter(|(it, _)| it.eq_ignore_ascii_case(scheme.as_bytes()));
    let host = below.and_then(|(_, host)| {
        let (sub, rest) = host.split_at_checked(host.len().checked_sub(domain.len())?)?;
        rest.eq_ignore_ascii_case(domain.as_bytes()).then_some(sub)
    });
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    host.is_some_and(|host| !host.is_empty() && host.iter().all(is_name))
}

/// Headers of responses that make browsers careful.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SecurityHeaders {
    /// `Strict-Transport-Security`, over TLS alone: for so long browsers come by TLS; not said where zero.
    pub transport: Duration,
    /// The same for all hosts below.
    pub subdomains: bool,
    /// The host may be on the lists that browsers come with.
    pub preload: bool,
    /// `X-Frame-Options`; not said where empty.
    pub frame: String,
    /// `Referrer-Policy`; not said where empty.
    pub referrer: String,
    /// `X-Content-Type-Options: nosniff`.
    pub nosniff: bool,
    /// `Content-Security-Policy`; not said where empty.
    pub content: String,
    /// `Permissions-Policy`; not said where empty.
    pub permissions: String,
    /// `Cross-Origin-Opener-Policy`; not said where empty.
    pub opener: String,
    /// They stand in place of what the target says; else what it says stays.
    pub replace: bool,
}

impl Default for SecurityHeaders {
    fn default() -> Self {
        Self {
            transport: TRANSPORT,
            subdomains: false,
            preload: false,
            frame: "SAMEORIGIN".to_owned(),
            referrer: "strict-origin-when-cross-origin".to_owned(),
            nosniff: true,
            content: String::new(),
            permissions: String::new(),
            opener: "same-origin".to_owned(),
            replace: false,
        }
    }
}

impl SecurityHeaders {
    /// Each with its value; that for TLS first, where it was spoken.
    pub fn fields(&self, tls: bool) -> Vec<(&'static str, String)> {
        let mut fields = Vec::new();
        if tls && !self.transport.is_zero() {
            let mut value = format!("max-age={}", self.transport.as_secs());
            for (said, word) in [
                (self.subdomains, "; includeSubDomains"),
                (self.preload, "; preload"),
            ] {
                value.push_str(if said { word } else { "" });
            }
            fields.push(("Strict-Transport-Security", value));
        }
        let nosniff = if self.nosniff { "nosniff" } else { "" };
        for (name, value) in [
            ("X-Content-Type-Options", nosniff),
            ("X-Frame-Options", &self.frame),
            ("Referrer-Policy", &self.referrer),
            ("Content-Security-Policy", &self.content),
            ("Permissions-Policy", &self.permissions),
            ("Cross-Origin-Opener-Policy", &self.opener),
        ] {
            if !value.is_empty() {
                fields.push((name, value.to_owned()));
            }
        }
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins() {
        let cors = Cors::new(
            [
                "https://a.example",
                "https://*.b.example:8443",
                "http://*.c.example",
            ]
            .map(str::to_owned)
            .to_vec(),
        );
        let check = |origin: &str, expected: bool| {
            assert_eq!(cors.allows(origin.as_bytes()), expected, "{origin}");
        };
        check("https://a.example", true);
        check("HTTPS://A.example", true);
        check("http://a.example", false);
        check("https://a.example:443", false);
        check("https://x.a.example", false);
        check("https://x.b.example:8443", true);
        check("https://x.y.b.example:8443", true);
        check("https://b.example:8443", false);
        check("https://.b.example:8443", false);
        check("https://xb.example:8443", false);
        check("https://evil/.b.example:8443", false);
        check("https://evil:80@x.b.example:8443", false);
        check("https://x.b.example", false);
        check("http://x.c.example", true);
        check("null", false);
        check("", false);
        let all = Cors::new(vec![ANY.to_owned()]);
        assert!(all.is_for_all() && all.allows(b"null"));
    }
}
