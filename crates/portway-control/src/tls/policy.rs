//! Named and custom TLS policies: which protocol versions and cipher suites are spoken.
//!
//! Decides what of a policy rustls can honour, and names the rest: TLS 1.0 and 1.1, CBC, RSA and DHE key exchange are left out with a
//! word each, never silently. A policy of which nothing remains is an error. Groups for the key exchange are X25519, P-256, P-384
//! and the hybrid X25519MLKEM768, where no others are asked for.

use std::fmt;

use portway_model::diagnostic::nearest;
use rustls::SupportedCipherSuite;
use rustls::SupportedProtocolVersion;
use rustls::crypto::SupportedKxGroup;
use rustls::crypto::aws_lc_rs::kx_group;
use rustls::version::{TLS12, TLS13};

use super::aws_policies::{AWS_POLICIES, AwsPolicy};
use super::ciphers::{self, Meaning, SPOKEN, Spoken};

/// The policy where none is named: TLS 1.2 and 1.3 with every suite that rustls speaks.
pub const DEFAULT_POLICY: &str = "intermediate";

/// TLS 1.3 only.
const MODERN: &str = "modern";

/// Versions of TLS that configurations name, the oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// SSL 3.0; not spoken.
    Ssl30,
    /// TLS 1.0; not spoken.
    Tls10,
    /// TLS 1.1; not spoken.
    Tls11,
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

impl TlsVersion {
    /// All of them, the newest first.
    pub const ALL: [Self; 5] = [
        Self::Tls13,
        Self::Tls12,
        Self::Tls11,
        Self::Tls10,
        Self::Ssl30,
    ];

    /// Reads the spellings in use: `TLSv1.2`, `TLS1.2`, `1.2`, `TLSv12`, `VersionTLS12`, and `TLSv1` for 1.0.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        let text = text.strip_prefix("version").unwrap_or(&text);
        if matches!(text, "sslv3" | "ssl3" | "ssl30" | "sslv3.0" | "ssl3.0") {
            return Some(Self::Ssl30);
        }
        let number = text
            .strip_prefix("tls")
            .map_or(text, |rest| rest.trim_start_matches(['v', ' ', '-', '_']));
        Some(match number {
            "1" | "1.0" | "10" => Self::Tls10,
            "1.1" | "11" => Self::Tls11,
            "1.2" | "12" => Self::Tls12,
            "1.3" | "13" => Self::Tls13,
            _ => return None,
        })
    }

    fn spoken(self) -> Option<&'static SupportedProtocolVersion> {
        match self {
            Self::Tls13 => Some(&TLS13),
            Self::Tls12 => Some(&TLS12),
            Self::Tls11 | Self::Tls10 | Self::Ssl30 => None,
        }
    }
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ssl30 => "SSLv3",
            Self::Tls10 => "TLSv1",
            Self::Tls11 => "TLSv1.1",
            Self::Tls12 => "TLSv1.2",
            Self::Tls13 => "TLSv1.3",
        })
    }
}

/// What is spoken under a policy.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Protocol versions, the newest first; never empty.
    pub versions: Vec<&'static SupportedProtocolVersion>,
    /// Cipher suites, the preferred one first; at least one for each version.
    pub suites: Vec<SupportedCipherSuite>,
    /// Groups for the key exchange, the preferred one first; empty: ours.
    pub groups: Vec<&'static dyn SupportedKxGroup>,
    /// What the policy asks for and is not spoken, each with its reason: `AES128-SHA (RSA key exchange)`. For a warning.
    pub dropped: Vec<String>,
}

/// A policy written out. Empty fields stand for the default policy's.
#[derive(Debug, Clone, Copy, Default)]
pub struct Custom<'a> {
    /// The oldest version.
    pub min: Option<TlsVersion>,
    /// The newest version.
    pub max: Option<TlsVersion>,
    /// Cipher suites by OpenSSL's or IANA's names or OpenSSL's expressions, separated by colons, commas or blanks, the preferred one
    /// first. As with OpenSSL, a list without any TLS 1.3 suite leaves those of TLS 1.3 as they are, and the other way round.
    pub ciphers: Option<&'a str>,
}

/// Why there is no such policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyError {
    /// No policy has this name.
    UnknownName {
        /// The name.
        name: String,
        /// The name most like it.
        nearest: Option<&'static str>,
    },
    /// No cipher suite has this name.
    UnknownCipher {
        /// The name.
        name: String,
        /// The name most like it.
        nearest: Option<&'static str>,
    },
    /// The oldest version is newer than the newest one.
    MinAboveMax {
        /// The oldest version.
        min: TlsVersion,
        /// The newest version.
        max: TlsVersion,
    },
    /// Nothing of what the policy asks for is spoken.
    NothingLeft {
        /// What was asked for, each with its reason.
        dropped: Vec<String>,
    },
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hint = |f: &mut fmt::Formatter<'_>, nearest: &Option<&str>| match nearest {
            Some(nearest) => write!(f, "; did you mean `{nearest}`?"),
            None => Ok(()),
        };
        match self {
            Self::UnknownName { name, nearest } => {
                write!(f, "there is no TLS policy `{name}`")?;
                hint(f, nearest)
            }
            Self::UnknownCipher { name, nearest } => {
                write!(f, "there is no cipher suite `{name}`")?;
                hint(f, nearest)
            }
            Self::MinAboveMax { min, max } => write!(
                f,
                "the minimum version {min} is above the maximum version {max}"
            ),
            Self::NothingLeft { dropped } => {
                write!(
                    f,
                    "nothing of this policy is spoken: {}; TLS 1.2 with ECDHE and AES-GCM or ChaCha20, and TLS 1.3, are",
                    dropped.join(", ")
                )
            }
        }
    }
}

impl std::error::Error for PolicyError {}

impl Default for Policy {
    /// [`DEFAULT_POLICY`].
    fn default() -> Self {
        Self {
            versions: vec![&TLS13, &TLS12],
            suites: SPOKEN.iter().map(|spoken| spoken.suite).collect(),
            groups: Vec::new(),
            dropped: Vec::new(),
        }
    }
}

impl Policy {
    /// The same with these groups for the key exchange, by OpenSSL's names or those of IANA.
    ///
    /// # Errors
    /// None of them is spoken.
    pub fn with_curves(mut self, curves: &[String]) -> Result<Self, PolicyError> {
        for name in curves {
            match group(name) {
                Some(group) => self.groups.push(group),
                None => self
                    .dropped
                    .push(format!("{name} (another group of the key exchange)")),
            }
        }
        match self.groups.is_empty() {
            true => Err(PolicyError::NothingLeft {
                dropped: self.dropped,
            }),
            false => Ok(self),
        }
    }

    /// A policy by name: `modern`, `intermediate` or a name of [`AWS_POLICIES`], in any case.
    ///
    /// # Errors
    /// [`PolicyError::UnknownName`] with the nearest name.
    pub fn named(name: &str) -> Result<Self, PolicyError> {
        if name.eq_ignore_ascii_case(DEFAULT_POLICY) {
            return Ok(Self::default());
        }
        if name.eq_ignore_ascii_case(MODERN) {
            return Self::build(&[TlsVersion::Tls13], SPOKEN.iter().collect(), Vec::new());
        }
        match AWS_POLICIES
            .iter()
            .find(|policy| policy.name.eq_ignore_ascii_case(name))
        {
            Some(policy) => Self::of_aws(policy),
            None => Err(PolicyError::UnknownName {
                name: name.to_owned(),
                nearest: nearest(name, names()),
            }),
        }
    }

    /// A policy written out.
    ///
    /// # Errors
    /// An unknown cipher, a minimum above the maximum, or nothing that is spoken.
    pub fn custom(custom: &Custom<'_>) -> Result<Self, PolicyError> {
        let max = custom.max.unwrap_or(TlsVersion::Tls13);
        // A maximum below our own minimum takes the minimum along, so that what is left out can be named.
        let min = custom.min.unwrap_or(TlsVersion::Tls12.min(max));
        if min > max {
            return Err(PolicyError::MinAboveMax { min, max });
        }
        let versions: Vec<_> = TlsVersion::ALL
            .into_iter()
            .filter(|version| (min..=max).contains(version))
            .collect();
        let (suites, dropped) = match custom.ciphers {
            None => (SPOKEN.iter().collect(), Vec::new()),
            Some(list) => select(ciphers::split_list(list))?,
        };
        Self::build(&versions, suites, dropped)
    }

    fn of_aws(policy: &AwsPolicy) -> Result<Self, PolicyError> {
        let (suites, dropped) = select(policy.ciphers())?;
        Self::build(policy.protocols, suites, dropped)
    }

    fn build(
        versions: &[TlsVersion],
        suites: Vec<&Spoken>,
        dropped_suites: Vec<String>,
    ) -> Result<Self, PolicyError> {
        let mut dropped = Vec::new();
        let mut kept = Vec::new();
        for version in versions {
            let has_suite = |version| {
                suites
                    .iter()
                    .any(|spoken| spoken.suite.version() == version)
            };
            match version.spoken() {
                Some(spoken) if has_suite(spoken) => kept.push(spoken),
                Some(_) => dropped.push(format!("{version} (none of its cipher suites is spoken)")),
                None => dropped.push(format!("{version} (too old)")),
            }
        }
        dropped.extend(dropped_suites);
        let suites: Vec<_> = suites
            .into_iter()
            .map(|spoken| spoken.suite)
            .filter(|suite| kept.contains(&suite.version()))
            .collect();
        if kept.is_empty() {
            return Err(PolicyError::NothingLeft { dropped });
        }
        Ok(Self {
            groups: Vec::new(),
            versions: kept,
            suites,
            dropped,
        })
    }
}

/// All names that [`Policy::named`] knows.
pub fn names() -> impl Iterator<Item = &'static str> {
    [MODERN, DEFAULT_POLICY]
        .into_iter()
        .chain(AWS_POLICIES.iter().map(|policy| policy.name))
}

/// The suites that a list selects, and what of it is not spoken.
fn select<'a>(
    entries: impl Iterator<Item = &'a str>,
) -> Result<(Vec<&'static Spoken>, Vec<String>), PolicyError> {
    let mut chosen: Vec<&'static Spoken> = Vec::new();
    let mut banned: Vec<&'static str> = Vec::new();
    let mut dropped = Vec::new();
    let (mut speaks_of_12, mut speaks_of_13) = (false, false);
    let is_in =
        |list: &[&Spoken], spoken: &Spoken| list.iter().any(|other| other.iana == spoken.iana);
    for entry in entries {
        match ciphers::meaning(entry) {
            Meaning::Suites(suites) => {
                speaks_of_13 |= suites.iter().any(|spoken| spoken.is_tls13());
                speaks_of_12 |= suites.iter().any(|spoken| !spoken.is_tls13());
                for spoken in suites {
                    if !is_in(&chosen, spoken) && !banned.contains(&spoken.iana) {
                        chosen.push(spoken);
                    }
                }
            }
            Meaning::Without(suites) => {
                chosen.retain(|spoken| !is_in(&suites, spoken));
                if entry.starts_with('!') {
                    banned.extend(suites.iter().map(|spoken| spoken.iana));
                }
            }
            Meaning::Last(suites) => {
                let (last, first): (Vec<_>, Vec<_>) =
                    chosen.iter().partition(|spoken| is_in(&suites, spoken));
                chosen = [first, last].concat();
            }
            Meaning::NotSpoken(reason) => {
                // An order or strength (`@`) is no suite.
                speaks_of_12 |= !entry.starts_with('@');
                dropped.push(format!("{entry} ({reason})"));
            }
            Meaning::Unknown => {
                let known = SPOKEN
                    .iter()
                    .flat_map(|spoken| [spoken.openssl, spoken.iana]);
                return Err(PolicyError::UnknownCipher {
                    name: entry.to_owned(),
                    nearest: nearest(entry, known),
                });
            }
        }
    }
    let unmentioned = |spoken: &&Spoken| {
        !(if spoken.is_tls13() {
            speaks_of_13
        } else {
            speaks_of_12
        })
    };
    chosen.extend(
        SPOKEN
            .iter()
            .filter(|spoken| unmentioned(spoken) && !banned.contains(&spoken.iana)),
    );
    // Stable: TLS 1.3 first, the order given within a version.
    chosen.sort_by_key(|spoken| !spoken.is_tls13());
    Ok((chosen, dropped))
}

/// A group for the key exchange by a name of OpenSSL or IANA, in any case.
fn group(name: &str) -> Option<&'static dyn SupportedKxGroup> {
    Some(match name.to_ascii_lowercase().as_str() {
        "x25519" => kx_group::X25519,
        "p-256" | "prime256v1" | "secp256r1" => kx_group::SECP256R1,
        "p-384" | "secp384r1" => kx_group::SECP384R1,
        "x25519mlkem768" => kx_group::X25519MLKEM768,
        _ => return None,
    })
}
