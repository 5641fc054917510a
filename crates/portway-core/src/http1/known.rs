//! The closed set of field names that the proxy itself acts upon.
//!
//! A name is recognised once, when a head is parsed; everything later compares enums and tests bits instead of comparing
//! strings. Names outside the set are [`Known::Other`] and stay reachable by their bytes.

/// A field name that the engine knows by meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u8)]
pub enum Known {
    /// Any name that is not in this set.
    #[default]
    Other,
    /// `Accept-Encoding`
    AcceptEncoding,
    /// `Authorization`
    Authorization,
    /// `Cache-Control`
    CacheControl,
    /// `Client-Cert` (RFC 9440)
    ClientCert,
    /// `Connection`
    Connection,
    /// `Content-Encoding`
    ContentEncoding,
    /// `Content-Length`
    ContentLength,
    /// `Content-Type`
    ContentType,
    /// `Cookie`
    Cookie,
    /// `Date`
    Date,
    /// `Expect`
    Expect,
    /// `Forwarded` (RFC 7239)
    Forwarded,
    /// `Host`
    Host,
    /// `HTTP2-Settings` (RFC 7540, obsolete)
    Http2Settings,
    /// `Keep-Alive`
    KeepAlive,
    /// `Location`
    Location,
    /// `Proxy-Authenticate`
    ProxyAuthenticate,
    /// `Proxy-Authentication-Info`
    ProxyAuthenticationInfo,
    /// `Proxy-Authorization`
    ProxyAuthorization,
    /// `Proxy-Connection` (never standard)
    ProxyConnection,
    /// `Range`
    Range,
    /// `Referer`
    Referer,
    /// `Server`
    Server,
    /// `Set-Cookie`
    SetCookie,
    /// `TE`
    Te,
    /// `Trailer`
    Trailer,
    /// `Transfer-Encoding`
    TransferEncoding,
    /// `Upgrade`
    Upgrade,
    /// `User-Agent`
    UserAgent,
    /// `Via`
    Via,
    /// `WWW-Authenticate`
    WwwAuthenticate,
    /// `X-Forwarded-For`
    XForwardedFor,
    /// `X-Forwarded-Host`
    XForwardedHost,
    /// `X-Forwarded-Port`
    XForwardedPort,
    /// `X-Forwarded-Proto`
    XForwardedProto,
    /// `X-Real-IP`
    XRealIp,
    /// `X-Request-Id`
    XRequestId,
}

impl Known {
    /// Every member except [`Known::Other`].
    pub const ALL: [Known; 37] = [
        Known::AcceptEncoding,
        Known::Authorization,
        Known::CacheControl,
        Known::ClientCert,
        Known::Connection,
        Known::ContentEncoding,
        Known::ContentLength,
        Known::ContentType,
        Known::Cookie,
        Known::Date,
        Known::Expect,
        Known::Forwarded,
        Known::Host,
        Known::Http2Settings,
        Known::KeepAlive,
        Known::Location,
        Known::ProxyAuthenticate,
        Known::ProxyAuthenticationInfo,
        Known::ProxyAuthorization,
        Known::ProxyConnection,
        Known::Range,
        Known::Referer,
        Known::Server,
        Known::SetCookie,
        Known::Te,
        Known::Trailer,
        Known::TransferEncoding,
        Known::Upgrade,
        Known::UserAgent,
        Known::Via,
        Known::WwwAuthenticate,
        Known::XForwardedFor,
        Known::XForwardedHost,
        Known::XForwardedPort,
        Known::XForwardedProto,
        Known::XRealIp,
        Known::XRequestId,
    ];

    /// Recognises a name, whatever its letter case. At most two comparisons are made: length and first letter narrow the
    /// choice, and the sixth letter from the end tells apart the only two names that share both.
    #[inline]
    pub fn of(name: &[u8]) -> Known {
        let Some(first) = name.first() else {
            return Known::Other;
        };
        let candidate = match (name.len(), first | 0x20) {
            (2, b't') => Known::Te,
            (3, b'v') => Known::Via,
            (4, b'h') => Known::Host,
            (4, b'd') => Known::Date,
            (5, b'r') => Known::Range,
            (6, b'c') => Known::Cookie,
            (6, b's') => Known::Server,
            (6, b'e') => Known::Expect,
            (7, b't') => Known::Trailer,
            (7, b'u') => Known::Upgrade,
            (7, b'r') => Known::Referer,
            (8, b'l') => Known::Location,
            (9, b'f') => Known::Forwarded,
            (9, b'x') => Known::XRealIp,
            (10, b'c') => Known::Connection,
            (10, b'k') => Known::KeepAlive,
            (10, b's') => Known::SetCookie,
            (10, b'u') => Known::UserAgent,
            (11, b'c') => Known::ClientCert,
            (12, b'c') => Known::ContentType,
            (12, b'x') => Known::XRequestId,
            (13, b'a') => Known::Authorization,
            (13, b'c') => Known::CacheControl,
            (14, b'c') => Known::ContentLength,
            (14, b'h') => Known::Http2Settings,
            (15, b'a') => Known::AcceptEncoding,
            (15, b'x') => Known::XForwardedFor,
            (16, b'c') => Known::ContentEncoding,
            (16, b'p') => Known::ProxyConnection,
            (16, b'w') => Known::WwwAuthenticate,
            (16, b'x') => match name.get(12).map(|byte| byte | 0x20) {
                Some(b'p') => Known::XForwardedPort,
                _ => Known::XForwardedHost,
            },
            (17, b't') => Known::TransferEncoding,
            (17, b'x') => Known::XForwardedProto,
            (18, b'p') => Known::ProxyAuthenticate,
            (19, b'p') => Known::ProxyAuthorization,
            (25, b'p') => Known::ProxyAuthenticationInfo,
            _ => return Known::Other,
        };
        let usual = candidate.name().as_bytes();
        // Most names come in their usual spelling, and comparing bytes is a fifth of the work of comparing letters.
        if name == usual || name.eq_ignore_ascii_case(usual) {
            candidate
        } else {
            Known::Other
        }
    }

    /// The name in its usual spelling; empty for [`Known::Other`].
    pub const fn name(self) -> &'static str {
        match self {
            Known::Other => "",
            Known::AcceptEncoding => "Accept-Encoding",
            Known::Authorization => "Authorization",
            Known::CacheControl => "Cache-Control",
            Known::ClientCert => "Client-Cert",
            Known::Connection => "Connection",
            Known::ContentEncoding => "Content-Encoding",
            Known::ContentLength => "Content-Length",
            Known::ContentType => "Content-Type",
            Known::Cookie => "Cookie",
            Known::Date => "Date",
            Known::Expect => "Expect",
            Known::Forwarded => "Forwarded",
            Known::Host => "Host",
            Known::Http2Settings => "HTTP2-Settings",
            Known::KeepAlive => "Keep-Alive",
            Known::Location => "Location",
            Known::ProxyAuthenticate => "Proxy-Authenticate",
            Known::ProxyAuthenticationInfo => "Proxy-Authentication-Info",
            Known::ProxyAuthorization => "Proxy-Authorization",
            Known::ProxyConnection => "Proxy-Connection",
            Known::Range => "Range",
            Known::Referer => "Referer",
            Known::Server => "Server",
            Known::SetCookie => "Set-Cookie",
            Known::Te => "TE",
            Known::Trailer => "Trailer",
            Known::TransferEncoding => "Transfer-Encoding",
            Known::Upgrade => "Upgrade",
            Known::UserAgent => "User-Agent",
            Known::Via => "Via",
            Known::WwwAuthenticate => "WWW-Authenticate",
            Known::XForwardedFor => "X-Forwarded-For",
            Known::XForwardedHost => "X-Forwarded-Host",
            Known::XForwardedPort => "X-Forwarded-Port",
            Known::XForwardedProto => "X-Forwarded-Proto",
            Known::XRealIp => "X-Real-IP",
            Known::XRequestId => "X-Request-Id",
        }
    }
}

/// A set of [`Known`] names, one bit each. [`Known::Other`] is a member like any other: a set that holds it means "every
/// name that is not known".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KnownSet(u64);

impl KnownSet {
    /// The set without members.
    pub const EMPTY: KnownSet = KnownSet(0);

    /// A set of the given names.
    pub const fn of(names: &[Known]) -> KnownSet {
        let mut set = KnownSet::EMPTY;
        let mut rest = names;
        while let [first, tail @ ..] = rest {
            set = set.with(*first);
            rest = tail;
        }
        set
    }

    /// Adds a name in place.
    #[inline]
    pub const fn insert(&mut self, known: Known) {
        self.0 |= 1 << known as u8;
    }

    /// This set and one name more.
    #[must_use]
    pub const fn with(self, known: Known) -> KnownSet {
        KnownSet(self.0 | 1 << known as u8)
    }

    /// This set without one name.
    #[must_use]
    pub const fn without(self, known: Known) -> KnownSet {
        KnownSet(self.0 & !(1 << known as u8))
    }

    /// The members of either set.
    #[must_use]
    pub const fn union(self, other: KnownSet) -> KnownSet {
        KnownSet(self.0 | other.0)
    }

    /// Whether the name is a member.
    #[inline]
    pub const fn contains(self, known: Known) -> bool {
        self.0 & (1 << known as u8) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_letter_case() {
        for known in Known::ALL {
            let name = known.name();
            assert_eq!(Known::of(name.as_bytes()), known, "{name}");
            assert_eq!(Known::of(name.to_uppercase().as_bytes()), known, "{name}");
            assert_eq!(Known::of(name.to_lowercase().as_bytes()), known, "{name}");
        }
    }

    #[test]
    fn lookalikes_are_other() {
        for name in [
            "",
            "h",
            "hosts",
            "hos7",
            "Content_Length",
            "Content-Lengtg",
            "Content-Length-X",
            "XForwarded-For",
            "Transfer-Encodin",
            "X-Forwarded-Pest",
            "X-Forwarded-Hosp",
            "Connectio\u{212a}",
        ] {
            assert_eq!(Known::of(name.as_bytes()), Known::Other, "{name}");
        }
    }

    #[test]
    fn sets_hold_what_was_put_in() {
        let set = KnownSet::of(&[Known::Host, Known::XRequestId]).with(Known::Te);
        for known in Known::ALL {
            let expected = matches!(known, Known::Host | Known::XRequestId | Known::Te);
            assert_eq!(set.contains(known), expected, "{known:?}");
        }
        assert!(!set.without(Known::Te).contains(Known::Te));
    }
}
