//! What can be wrong with a PEM text, in words that say what to do.

use std::fmt;

use super::{MAX_PEM_BYTES, OtherBlock};

/// Which file that is not PEM was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BinaryForm {
    /// A certificate in DER.
    Certificate,
    /// A private key in DER.
    Key,
    /// A PKCS#12 file (`.p12`, `.pfx`).
    Pkcs12,
    /// A Java key store.
    JavaKeyStore,
}

/// Why a PEM text cannot be used. The text says what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PemError {
    /// More than [`MAX_PEM_BYTES`].
    TooLarge {
        /// Bytes given.
        bytes: usize,
    },
    /// Nothing at all was given, or only blanks.
    Empty,
    /// Text without any PEM block.
    NoBlock,
    /// Not PEM but a binary form.
    Binary(BinaryForm),
    /// A `BEGIN` line that is not `-----BEGIN LABEL-----` alone.
    MalformedBegin {
        /// Its line.
        line: u32,
    },
    /// A block that never ends, or another begins before it ends.
    MissingEnd {
        /// What its `BEGIN` line says.
        label: String,
        /// The line of its `BEGIN`.
        line: u32,
    },
    /// `BEGIN` and `END` name different things.
    MismatchedEnd {
        /// What its `BEGIN` line says.
        label: String,
        /// The line of the `END`.
        line: u32,
    },
    /// Characters or an ending that base64 does not have.
    BadBase64 {
        /// The line of the first wrong character, or the last line of the block.
        line: u32,
    },
    /// A block that should be DER but has no DER element in it.
    NotDer {
        /// What its `BEGIN` line says.
        label: String,
        /// The line of its `BEGIN`.
        line: u32,
    },
    /// A key that wants a passphrase.
    EncryptedKey {
        /// The line of its `BEGIN`.
        line: u32,
    },
    /// A key of a form that TLS does not use: OpenSSH or DSA.
    ForeignKey {
        /// What its `BEGIN` line says.
        label: String,
        /// The line of its `BEGIN`.
        line: u32,
    },
    /// No certificate among the blocks; the block that may have been taken for one.
    NoCertificate(Option<OtherBlock>),
    /// No private key among the blocks.
    NoKey,
    /// Two different private keys.
    TwoKeys {
        /// The line of the first one's `BEGIN`.
        first: u32,
        /// The line of the second one's `BEGIN`.
        second: u32,
    },
}

impl PemError {
    /// The line to show, where one is known, counted from 1.
    #[must_use]
    pub fn line(&self) -> Option<u32> {
        match self {
            Self::MalformedBegin { line }
            | Self::MissingEnd { line, .. }
            | Self::MismatchedEnd { line, .. }
            | Self::BadBase64 { line }
            | Self::NotDer { line, .. }
            | Self::EncryptedKey { line }
            | Self::ForeignKey { line, .. }
            | Self::TwoKeys { second: line, .. } => Some(*line),
            Self::NoCertificate(block) => block.as_ref().map(|block| block.line),
            Self::TooLarge { .. } | Self::Empty | Self::NoBlock | Self::Binary(_) | Self::NoKey => {
                None
            }
        }
    }
}

impl fmt::Display for PemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { bytes } => write!(f, "{bytes} bytes are too many for certificates and keys: the most is {MAX_PEM_BYTES}"),
            Self::Empty => f.write_str("the file is empty"),
            Self::NoBlock => f.write_str("no PEM block found: a certificate starts with a line `-----BEGIN CERTIFICATE-----`"),
            Self::Binary(form) => form.fmt(f),
            Self::MalformedBegin { .. } => f.write_str(
                "the BEGIN line must be `-----BEGIN ...-----` and nothing else: put the base64 text and the END line on lines of their own (a literal `\\n` is not a line end)",
            ),
            Self::MissingEnd { label, .. } => write!(f, "the block is cut off: `-----END {label}-----` is missing; copy the file again, as a whole"),
            Self::MismatchedEnd { label, .. } => write!(f, "this END line does not close `-----BEGIN {label}-----`"),
            Self::BadBase64 { .. } => f.write_str("this is not base64: the block is damaged; copy the file again, as a whole"),
            Self::NotDer { label, .. } => write!(f, "the {label} block does not hold what it says: it is damaged or cut off"),
            Self::EncryptedKey { .. } => f.write_str(
                "the private key is encrypted with a passphrase; decrypt it: `openssl pkey -in KEY -out KEY.plain` (and keep the result readable by its owner alone)",
            ),
            Self::ForeignKey { label, .. } if label.starts_with("OPENSSH") => f.write_str(
                "the private key is in OpenSSH's own form; convert it: `ssh-keygen -p -N '' -m PEM -f KEY`",
            ),
            Self::ForeignKey { label, .. } => write!(f, "`{label}` is not a key for TLS: use an ECDSA, RSA or Ed25519 key"),
            Self::NoCertificate(None) => f.write_str("no certificate found: a certificate starts with a line `-----BEGIN CERTIFICATE-----`"),
            Self::NoCertificate(Some(block)) => write!(f, "no certificate found: {}", block.kind.instead_of_certificate()),
            Self::NoKey => f.write_str("no private key found: give it in the same file after the certificate, or as a file of its own"),
            Self::TwoKeys { first, .. } => write!(f, "a second private key, different from the one on line {first}: keep the one that belongs to the certificate"),
        }
    }
}

impl std::error::Error for PemError {}

impl fmt::Display for BinaryForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => "this is a certificate in binary form (DER), not PEM; convert it: `openssl x509 -inform DER -in FILE -out FILE.pem`",
            Self::Key => "this is a private key in binary form (DER), not PEM; convert it: `openssl pkey -inform DER -in FILE -out FILE.pem`",
            Self::Pkcs12 => "this is a PKCS#12 file (.p12, .pfx), not PEM; convert it: `openssl pkcs12 -in FILE -nodes -out FILE.pem`",
            Self::JavaKeyStore => "this is a Java key store, not PEM; convert it: `keytool -importkeystore -srckeystore FILE -destkeystore FILE.p12 -deststoretype PKCS12`, then `openssl pkcs12 -in FILE.p12 -nodes -out FILE.pem`",
        })
    }
}
