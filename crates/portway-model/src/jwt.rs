//! JSON Web Tokens (RFC 7519): whose are believed, and what must stand in them.
//!
//! The algorithm that a token names is never believed by itself: a key has a kind, and an algorithm of another kind does
//! not fit it. There is no way to say `none`, and a shared secret is only what is called one.

use std::time::Duration;

/// By how much clocks may differ where nothing is said.
pub const LEEWAY: Duration = Duration::from_secs(60);
/// How often a set of keys is fetched again where nothing is said.
pub const REFRESH: Duration = Duration::from_secs(600);
/// The field in which a token comes where nothing is said; `Bearer` stands before it there.
pub const AUTHORIZATION: &str = "Authorization";
/// The claim that must be there where nothing is said.
pub const EXPIRES: &str = "exp";

/// A way to sign (RFC 7518 section 3.1, RFC 8037 section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JwtAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// The same with SHA-384.
    Rs384,
    /// The same with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// The same with SHA-384.
    Ps384,
    /// The same with SHA-512.
    Ps512,
    /// ECDSA over P-256 with SHA-256.
    Es256,
    /// ECDSA over P-384 with SHA-384.
    Es384,
    /// ECDSA over P-521 with SHA-512.
    Es512,
    /// Ed25519.
    EdDsa,
    /// HMAC with SHA-256, by a secret that both sides have.
    Hs256,
    /// The same with SHA-384.
    Hs384,
    /// The same with SHA-512.
    Hs512,
}

impl JwtAlgorithm {
    /// Every algorithm.
    pub const ALL: [JwtAlgorithm; 13] = [
        JwtAlgorithm::Rs256,
        JwtAlgorithm::Rs384,
        JwtAlgorithm::Rs512,
        JwtAlgorithm::Ps256,
        JwtAlgorithm::Ps384,
        JwtAlgorithm::Ps512,
        JwtAlgorithm::Es256,
        JwtAlgorithm::Es384,
        JwtAlgorithm::Es512,
        JwtAlgorithm::EdDsa,
        JwtAlgorithm::Hs256,
        JwtAlgorithm::Hs384,
        JwtAlgorithm::Hs512,
    ];

    /// Its name in the header of a token.
    pub const fn name(self) -> &'static str {
        match self {
            JwtAlgorithm::Rs256 => "RS256",
            JwtAlgorithm::Rs384 => "RS384",
            JwtAlgorithm::Rs512 => "RS512",
            JwtAlgorithm::Ps256 => "PS256",
            JwtAlgorithm::Ps384 => "PS384",
            JwtAlgorithm::Ps512 => "PS512",
            JwtAlgorithm::Es256 => "ES256",
            JwtAlgorithm::Es384 => "ES384",
            JwtAlgorithm::Es512 => "ES512",
            JwtAlgorithm::EdDsa => "EdDSA",
            JwtAlgorithm::Hs256 => "HS256",
            JwtAlgorithm::Hs384 => "HS384",
            JwtAlgorithm::Hs512 => "HS512",
        }
    }

    /// The algorithm of this name, in these letters.
    pub fn named(name: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|it| it.name().as_bytes() == name)
    }

    /// True where both sides have the same key.
    pub const fn is_shared(self) -> bool {
        matches!(
            self,
            JwtAlgorithm::Hs256 | JwtAlgorithm::Hs384 | JwtAlgorithm::Hs512
        )
    }

    /// The shortest secret, in bytes (RFC 7518 section 3.2); 0 where there is none.
    pub const fn secret_bytes(self) -> usize {
        match self {
            JwtAlgorithm::Hs256 => 32,
            JwtAlgorithm::Hs384 => 48,
            JwtAlgorithm::Hs512 => 64,
            _ => 0,
        }
    }

    /// Those that count where none are named.
    pub fn usual(shared: bool) -> Vec<Self> {
        let kind = |it: &JwtAlgorithm| it.is_shared() == shared;
        Self::ALL.into_iter().filter(kind).collect()
    }
}

/// Where a token stands in a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TokenFrom {
    /// In this header; behind `Bearer` in `Authorization`, by itself in others.
    Header(String),
    /// In this cookie.
    Cookie(String),
    /// In this argument of the query.
    Query(String),
}

/// Where the keys are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum KeySource {
    /// A file: a JSON Web Key Set (RFC 7517), or PEM with public keys and certificates.
    File(String),
    /// A JSON Web Key Set that is fetched.
    Url(KeyUrl),
    /// A file whose contents, without a line's end behind them, are the secret of both sides.
    Secret(String),
}

/// A set of keys that is fetched.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyUrl {
    /// `https://…`, or `http://…`.
    pub url: String,
    /// A file of authorities, one of which must stand behind the server's certificate; `None`: those of the system.
    pub ca: Option<String>,
    /// How often it is fetched again.
    pub refresh: Duration,
}

/// The parts of a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UrlParts<'u> {
    /// TLS is spoken.
    pub tls: bool,
    /// Host and port as they are written: the `Host` of a request.
    pub authority: &'u str,
    /// The host, an IPv6 address without its brackets.
    pub host: &'u str,
    /// The port, that of the scheme where none is written.
    pub port: u16,
    /// Path and query.
    pub target: &'u str,
}

impl<'u> UrlParts<'u> {
    /// The parts of an absolute URL of HTTP without a user and a fragment; `None`: it is none.
    pub fn of(url: &'u str) -> Option<Self> {
        let (tls, rest) = match url.strip_prefix("https://") {
            Some(rest) => (true, rest),
            None => (false, url.strip_prefix("http://")?),
        };
        let good = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'#' | b'"' | b'<' | b'>');
        if !rest.bytes().all(good) {
            return None;
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at_checked(end)?;
        let (host, port) = match authority.strip_prefix('[') {
            Some(address) => {
                let (address, port) = address.split_once(']')?;
                address.parse::<std::net::Ipv6Addr>().ok()?;
                (address, port)
            }
            None => match authority.find(':') {
                Some(colon) => authority.split_at_checked(colon)?,
                None => (authority, ""),
            },
        };
        let port = match port.strip_prefix(':') {
            Some(port) => port.parse().ok().filter(|port| *port > 0)?,
            None if port.is_empty() && tls => 443,
            None if port.is_empty() => 80,
            None => return None,
        };
        let target = match target.is_empty() {
            true => "/",
            false => target,
        };
        let fits = !host.is_empty() && !host.contains('@') && target.starts_with('/');
        fits.then_some(Self {
            tls,
            authority,
            host,
            port,
            target,
        })
    }
}

/// How a claim is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClaimForm {
    /// A text, which must be one of the values; so may a number or a boolean, as it is written.
    Text,
    /// A list of texts, in which each value must be.
    List,
    /// A text of words between spaces, among which each value must be.
    Words,
}

/// What a claim must say.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Claim {
    /// Its name, or a path to it such as `$.realm.role`.
    pub name: String,
    /// How it is written.
    pub form: ClaimForm,
    /// What it must say.
    pub values: Vec<String>,
}

/// What happens to a request whose token is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnBadToken {
    /// It is answered with 401.
    Refuse,
    /// One without a token goes on, without the headers that a token gives; others are answered with 401.
    PassMissing,
    /// It goes on, without these headers: rules decide.
    Pass,
}

/// Whose tokens are believed, and what is done with them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Jwt {
    /// Where the token stands; the first of these that the request has counts.
    pub token: Vec<TokenFrom>,
    /// Where the keys are.
    pub keys: KeySource,
    /// The algorithms that are accepted.
    pub algorithms: Vec<JwtAlgorithm>,
    /// `iss` must be one of these; any where empty.
    pub issuers: Vec<String>,
    /// One of `aud` must be one of these; any where empty.
    pub audiences: Vec<String>,
    /// By how much clocks may differ.
    pub leeway: Duration,
    /// Claims that must be there.
    pub require: Vec<String>,
    /// Claims that must say something.
    pub claims: Vec<Claim>,
    /// Headers that the request has from then on, with the claims that they say. Those of these names that the client sent go no further.
    pub headers: Vec<(String, String)>,
    /// What the client is told to ask for; nothing where `None`.
    pub realm: Option<String>,
    /// What happens otherwise.
    pub on_failure: OnBadToken,
}

impl Jwt {
    /// What counts where only the keys are said.
    pub fn new(keys: KeySource) -> Self {
        let shared = matches!(keys, KeySource::Secret(_));
        Self {
            token: vec![TokenFrom::Header(AUTHORIZATION.to_owned())],
            keys,
            algorithms: JwtAlgorithm::usual(shared),
            issuers: Vec::new(),
            audiences: Vec::new(),
            leeway: LEEWAY,
            require: vec![EXPIRES.to_owned()],
            claims: Vec::new(),
            headers: Vec::new(),
            realm: None,
            on_failure: OnBadToken::Refuse,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::UrlParts;

    #[test]
    fn parts_of_urls() {
        let check = |url: &str, expected: Option<(bool, &str, u16, &str)>| {
            let parts = UrlParts::of(url).map(|it| (it.tls, it.host, it.port, it.target));
            assert_eq!(parts, expected, "{url}");
        };
        check(
            "https://a.example/k?x=1",
            Some((true, "a.example", 443, "/k?x=1")),
        );
        check("http://a.example", Some((false, "a.example", 80, "/")));
        check("https://a:8443/", Some((true, "a", 8443, "/")));
        check("https://[::1]:8443/k", Some((true, "::1", 8443, "/k")));
        check("https://[::1]/k", Some((true, "::1", 443, "/k")));
        for none in [
            "",
            "https://",
            "https:///k",
            "https://a:0/",
            "https://a:x/",
            "https://a:99999/",
            "ftp://a/",
            "https://u@a/",
            "https://a/k#f",
            "https://a/k k",
            "https://[::1/",
            "https://[a]/",
            "https://[::1]8/",
            "https://a?k",
        ] {
            check(none, None);
        }
    }
}
