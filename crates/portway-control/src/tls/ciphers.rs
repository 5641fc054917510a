//! Names of cipher suites: which ones are spoken here, and what the others are.
//!
//! Decides what an OpenSSL name, an IANA name or an OpenSSL expression such as `ECDHE+AESGCM:!aNULL` selects. The hard thing is to
//! tell a suite that exists but is not spoken (to be left out with a warning) from a word that means nothing (an error): a name of
//! the first kind is made of known parts only.

use rustls::SupportedCipherSuite;
use rustls::crypto::aws_lc_rs::cipher_suite as suite;

/// A suite that rustls speaks, with its names.
#[derive(Debug, Clone, Copy)]
pub struct Spoken {
    /// OpenSSL's name.
    pub openssl: &'static str,
    /// IANA's name; for TLS 1.3 the same.
    pub iana: &'static str,
    /// The suite.
    pub suite: SupportedCipherSuite,
}

/// All suites that rustls speaks: TLS 1.3 before 1.2, then in the order of Mozilla's intermediate profile (version 5.7), where AES-128
/// comes first as the cheapest of equally strong ones.
pub static SPOKEN: [Spoken; 9] = [
    Spoken::tls13("TLS_AES_128_GCM_SHA256", suite::TLS13_AES_128_GCM_SHA256),
    Spoken::tls13("TLS_AES_256_GCM_SHA384", suite::TLS13_AES_256_GCM_SHA384),
    Spoken::tls13(
        "TLS_CHACHA20_POLY1305_SHA256",
        suite::TLS13_CHACHA20_POLY1305_SHA256,
    ),
    Spoken {
        openssl: "ECDHE-ECDSA-AES128-GCM-SHA256",
        iana: "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        suite: suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    },
    Spoken {
        openssl: "ECDHE-RSA-AES128-GCM-SHA256",
        iana: "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        suite: suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    },
    Spoken {
        openssl: "ECDHE-ECDSA-AES256-GCM-SHA384",
        iana: "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        suite: suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    },
    Spoken {
        openssl: "ECDHE-RSA-AES256-GCM-SHA384",
        iana: "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        suite: suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    },
    Spoken {
        openssl: "ECDHE-ECDSA-CHACHA20-POLY1305",
        iana: "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        suite: suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    },
    Spoken {
        openssl: "ECDHE-RSA-CHACHA20-POLY1305",
        iana: "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        suite: suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    },
];

impl Spoken {
    const fn tls13(name: &'static str, suite: SupportedCipherSuite) -> Self {
        Self {
            openssl: name,
            iana: name,
            suite,
        }
    }

    /// Whether it belongs to TLS 1.3.
    #[must_use]
    pub fn is_tls13(&self) -> bool {
        self.suite.tls13().is_some()
    }
}

/// What one entry of a cipher list means.
#[derive(Debug)]
pub enum Meaning {
    /// These suites, in order.
    Suites(Vec<&'static Spoken>),
    /// Take these suites away again (`!` and `-` of OpenSSL).
    Without(Vec<&'static Spoken>),
    /// Move these suites to the end (`+` of OpenSSL).
    Last(Vec<&'static Spoken>),
    /// Known, but nothing of it is spoken; why.
    NotSpoken(&'static str),
    /// Not a name at all.
    Unknown,
}

/// Reads one entry of a cipher list.
#[must_use]
pub fn meaning(entry: &str) -> Meaning {
    if entry.starts_with('@') {
        return Meaning::NotSpoken("the order and strength of suites are not set this way");
    }
    for (sign, wrap) in [
        ('!', Meaning::Without as fn(_) -> _),
        ('-', Meaning::Without),
        ('+', Meaning::Last),
    ] {
        if let Some(rest) = entry.strip_prefix(sign) {
            return match meaning_of_words(rest) {
                Meaning::Suites(suites) => wrap(suites),
                // To exclude what is not there changes nothing: it is what `!aNULL` and the like are for.
                Meaning::NotSpoken(_) => wrap(Vec::new()),
                other => other,
            };
        }
    }
    meaning_of_words(entry)
}

fn meaning_of_words(entry: &str) -> Meaning {
    let by_name = |spoken: &&Spoken| {
        spoken.openssl.eq_ignore_ascii_case(entry) || spoken.iana.eq_ignore_ascii_case(entry)
    };
    if let Some(spoken) = SPOKEN.iter().find(by_name) {
        return Meaning::Suites(vec![spoken]);
    }
    let mut matching: Vec<&'static Spoken> =
        SPOKEN.iter().filter(|spoken| !spoken.is_tls13()).collect();
    let mut all_groups = true;
    for word in entry.split('+') {
        match group(word) {
            Some(selects) => matching.retain(|spoken| selects(spoken.openssl)),
            None => all_groups = false,
        }
    }
    match () {
        () if all_groups && !matching.is_empty() => Meaning::Suites(matching),
        () if all_groups => Meaning::NotSpoken("no suite of this group is spoken"),
        () => why_not_spoken(entry).map_or(Meaning::Unknown, Meaning::NotSpoken),
    }
}

/// Words for groups of which nothing is spoken.
const GROUPS_NOT_SPOKEN: &str = "RSA kRSA aNULL eNULL NULL EXP EXPORT EXPORT40 EXPORT56 LOW MEDIUM DES 3DES RC4 RC2 IDEA \
    SEED CAMELLIA CAMELLIA128 CAMELLIA256 ARIA ARIA128 ARIA256 ARIAGCM AESCCM AESCCM8 CBC MD5 \
    SHA SHA1 SHA256 SHA384 PSK kPSK aPSK kECDHEPSK kDHEPSK kRSAPSK SRP aSRP kSRP DSS aDSS DH \
    DHE EDH kDHE kEDH ADH AECDH ECDH kECDH aECDH kDH aDH kDHr kDHd kECDHr kECDHe KRB5 kKRB5 \
    aKRB5 GOST94 GOST89MAC aGOST kGOST SSLv2 SSLv3 TLSv1 TLSv1.0 COMPLEMENTOFALL \
    COMPLEMENTOFDEFAULT";

/// OpenSSL's words for groups (ciphers(1)), as conditions on the TLS 1.2 suites of [`SPOKEN`].
fn group(word: &str) -> Option<fn(&str) -> bool> {
    Some(match word {
        "ALL" | "DEFAULT" | "HIGH" | "ECDHE" | "EECDH" | "kECDHE" | "kEECDH" | "TLSv1.2" => {
            |_| true
        }
        "AESGCM" | "AES" | "FIPS" => |name| name.contains("-AES"),
        "AES128" => |name| name.contains("-AES128"),
        "AES256" => |name| name.contains("-AES256"),
        "CHACHA20" => |name| name.contains("CHACHA20"),
        "aRSA" => |name| name.starts_with("ECDHE-RSA"),
        "ECDSA" | "aECDSA" => |name| name.starts_with("ECDHE-ECDSA"),
        _ if GROUPS_NOT_SPOKEN.split(' ').any(|known| known == word) => |_| false,
        _ => return None,
    })
}

/// Parts of which names of suites are made, in OpenSSL's and IANA's spelling.
const PARTS: &str = "TLS SSL ECDHE ECDH DHE EDH DH ADH AECDH anon RSA ECDSA DSS PSK SRP KRB5 WITH AES AES128 \
    AES256 128 256 40 56 CBC GCM CCM CCM8 8 CHACHA20 POLY1305 CAMELLIA CAMELLIA128 \
    CAMELLIA256 ARIA ARIA128 ARIA256 SEED IDEA RC4 RC2 DES 3DES CBC3 DES40 EDE EXP EXPORT \
    NULL MD5 SHA SHA256 SHA384 GOST2001 GOST2012 GOST94 GOST89";

/// Why a suite that exists is not spoken; the first reason that holds.
const REASONS: &[(&str, &str)] = &[
    ("NULL", "no encryption"),
    ("EXP", "export grade"),
    ("RC4", "RC4"),
    ("RC2", "RC2"),
    ("DES", "DES"),
    ("IDEA", "IDEA"),
    ("SEED", "SEED"),
    ("GOST", "GOST"),
    ("CAMELLIA", "Camellia"),
    ("ARIA", "ARIA"),
    ("ADH", "no certificate"),
    ("AECDH", "no certificate"),
    ("ANON", "no certificate"),
    ("PSK", "pre-shared key"),
    ("SRP", "password key exchange"),
    ("KRB5", "Kerberos"),
    ("DSS", "DSA"),
    ("CCM", "CCM"),
];

fn why_not_spoken(name: &str) -> Option<&'static str> {
    let mut parts = name.split(['-', '_']);
    let is_part = |part: &str| {
        PARTS
            .split(' ')
            .any(|known| known.eq_ignore_ascii_case(part))
    };
    if name.len() < 6 || !parts.all(is_part) {
        return None;
    }
    let name = name.to_ascii_uppercase();
    if let Some((_, reason)) = REASONS.iter().find(|(word, _)| name.contains(word)) {
        return Some(reason);
    }
    let exchange = name.trim_start_matches("TLS_").trim_start_matches("SSL_");
    Some(match exchange.split(['-', '_']).next() {
        // Those that exist are in `SPOKEN` or have a reason above.
        Some("ECDHE") if name.contains("GCM") || name.contains("POLY1305") => return None,
        Some("ECDHE") => "CBC",
        Some("ECDH") => "static ECDH key exchange",
        Some("DHE" | "EDH") => "DHE key exchange",
        Some("DH") => "static DH key exchange",
        _ => "RSA key exchange",
    })
}

/// Splits a cipher list as people write it: by colons, commas or blanks.
pub fn split_list(list: &str) -> impl Iterator<Item = &str> {
    list.split([':', ',', ' ', '\t', '\n'])
        .filter(|entry| !entry.is_empty())
}
