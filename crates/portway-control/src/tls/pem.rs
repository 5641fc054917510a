//! Reads PEM text in every shape that people have.
//!
//! Decides which blocks a text holds and what they are; does not look inside a certificate, does not pair it with a key and does
//! not order a chain: `identity` does. The hard thing is telling people what is wrong in their own terms, so every way to get a
//! file wrong that we know of is a member of [`PemError`] with the line it was found on and the command that mends it.
//!
//! Accepted beyond RFC 7468: text before, between and after blocks, line ends LF, CRLF and CR in any mix, a UTF-8 byte order mark,
//! UTF-16 (what a Windows shell writes by `>`), blanks around lines, blank lines, `END` and the next `BEGIN` on one line (what `cat`
//! makes of a file without a last line end), and the old labels of OpenSSL.

use std::borrow::Cow;

use rustls_pki_types::pem::{PemObject, SectionKind};
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer,
};

mod error;

pub use error::{BinaryForm, PemError};

/// The largest PEM text we read, in bytes. The certificate bundle of Debian has 220 KB; a file of more than this is a mistake.
pub const MAX_PEM_BYTES: usize = 1 << 20;

/// The longest label we remember from a `BEGIN` line, in bytes; the longest known one has 22.
const MAX_LABEL_BYTES: usize = 64;

/// What a PEM text holds, in the order of the text.
#[derive(Debug, Default)]
pub struct PemContents {
    /// Certificates, not yet looked into.
    pub certificates: Vec<PemCertificate>,
    /// Private keys, none of them encrypted.
    pub keys: Vec<PemKey>,
    /// Blocks that are neither; they are skipped, and explain an absence.
    pub others: Vec<OtherBlock>,
}

/// A certificate block.
#[derive(Debug)]
pub struct PemCertificate {
    /// Its DER, of which only the outer length is known to be right.
    pub der: CertificateDer<'static>,
    /// The line of its `BEGIN`, counted from 1.
    pub line: u32,
}

/// A private key block.
#[derive(Debug)]
pub struct PemKey {
    /// Its DER by the form its label states.
    pub der: PrivateKeyDer<'static>,
    /// The line of its `BEGIN`, counted from 1.
    pub line: u32,
}

/// A block that is neither a certificate nor a private key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherBlock {
    /// What it is.
    pub kind: OtherKind,
    /// The line of its `BEGIN`, counted from 1.
    pub line: u32,
}

/// Kinds of blocks that we step over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OtherKind {
    /// `EC PARAMETERS`: the name of the curve, which the key repeats.
    EcParameters,
    /// `DH PARAMETERS`: for key exchanges that we do not speak.
    DhParameters,
    /// A certificate signing request.
    Request,
    /// A public key on its own.
    PublicKey,
    /// A PKCS#7 bundle, which can hold certificates but is not read by us.
    Pkcs7,
    /// Any other label.
    Unknown(String),
}

impl OtherKind {
    fn of(label: &str) -> Self {
        match label {
            "EC PARAMETERS" => Self::EcParameters,
            "DH PARAMETERS" | "X9.42 DH PARAMETERS" => Self::DhParameters,
            "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => Self::Request,
            "PUBLIC KEY" | "RSA PUBLIC KEY" => Self::PublicKey,
            "PKCS7" | "PKCS #7 SIGNED DATA" | "CMS" => Self::Pkcs7,
            other => Self::Unknown(other.chars().take(MAX_LABEL_BYTES).collect()),
        }
    }

    fn instead_of_certificate(&self) -> Cow<'static, str> {
        match self {
            Self::EcParameters | Self::DhParameters => "only parameters and no certificate are in it".into(),
            Self::Request => "this is a certificate signing request; send it to your authority and use the certificate that comes back, or sign it yourself: `openssl x509 -req -in REQUEST -signkey KEY -days 365 -out CERTIFICATE`".into(),
            Self::PublicKey => "this is a public key alone; the certificate that holds it is needed".into(),
            Self::Pkcs7 => "this is a PKCS#7 bundle (.p7b); convert it: `openssl pkcs7 -print_certs -in FILE -out FILE.pem`".into(),
            Self::Unknown(label) => format!("the file holds `{label}`").into(),
        }
    }
}

/// Reads all blocks of a PEM text.
///
/// A text that holds only certificates, or only a key, is fine: [`PemContents::pair`] says what is missing once all files are read.
///
/// # Errors
/// The first thing found wrong. Blocks that we step over are not decoded and therefore cannot be wrong inside.
pub fn read(text: &[u8]) -> Result<PemContents, PemError> {
    if text.len() > MAX_PEM_BYTES {
        return Err(PemError::TooLarge { bytes: text.len() });
    }
    let plain = to_bytes(text);
    let mut contents = PemContents::default();
    let mut open: Option<OpenBlock> = None;
    for (line, words) in lines(&plain) {
        let mut rest = words;
        loop {
            open = match open.take() {
                None => begin(rest, line)?,
                Some(block) => match block.take_line(rest, line)? {
                    Taken::More(block) => Some(block),
                    Taken::End { block, after } => {
                        block.close(line, &mut contents)?;
                        if !after.is_empty() {
                            rest = after;
                            continue;
                        }
                        None
                    }
                },
            };
            break;
        }
    }
    if let Some(block) = open {
        return Err(PemError::MissingEnd {
            label: block.label,
            line: block.line,
        });
    }
    if contents.certificates.is_empty() && contents.keys.is_empty() && contents.others.is_empty() {
        return Err(why_nothing(text));
    }
    Ok(contents)
}

/// Reads certificates alone, such as the roots to trust; keys and other blocks are stepped over.
///
/// # Errors
/// As [`read`], and [`PemError::NoCertificate`].
pub fn read_certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let contents = read(text)?;
    if contents.certificates.is_empty() {
        return Err(contents.no_certificate());
    }
    Ok(contents
        .certificates
        .into_iter()
        .map(|certificate| certificate.der)
        .collect())
}

impl PemContents {
    /// The certificates and the one key. The same key given twice counts once.
    ///
    /// # Errors
    /// [`PemError::NoCertificate`], [`PemError::NoKey`] or [`PemError::TwoKeys`].
    pub fn pair(mut self) -> Result<(Vec<PemCertificate>, PemKey), PemError> {
        if self.certificates.is_empty() {
            return Err(self.no_certificate());
        }
        if self.keys.is_empty() {
            return Err(PemError::NoKey);
        }
        let key = self.keys.swap_remove(0);
        if let Some(second) = self.keys.iter().find(|other| other.der != key.der) {
            return Err(PemError::TwoKeys {
                first: key.line,
                second: second.line,
            });
        }
        Ok((self.certificates, key))
    }

    fn no_certificate(&self) -> PemError {
        PemError::NoCertificate(self.lookalike().cloned())
    }

    /// A block that may have been taken for a certificate.
    pub(super) fn lookalike(&self) -> Option<&OtherBlock> {
        let is_parameter =
            |kind: &OtherKind| matches!(kind, OtherKind::EcParameters | OtherKind::DhParameters);
        self.others.iter().find(|block| !is_parameter(&block.kind))
    }
}

/// A block whose `BEGIN` line was read.
struct OpenBlock {
    label: String,
    line: u32,
    kind: BlockKind,
    base64: Vec<u8>,
}

enum BlockKind {
    Certificate,
    TrustedCertificate,
    Pkcs1,
    Pkcs8,
    Sec1,
    EncryptedKey,
    ForeignKey,
    Other,
}

enum Taken<'t> {
    More(OpenBlock),
    End { block: OpenBlock, after: &'t [u8] },
}

/// Opens a block if the line is a `BEGIN` line; any other line outside of blocks is text for people.
fn begin(line_text: &[u8], line: u32) -> Result<Option<OpenBlock>, PemError> {
    let Some(rest) = line_text.strip_prefix(b"-----BEGIN ") else {
        return Ok(None);
    };
    let label = rest
        .strip_suffix(b"-----")
        .ok_or(PemError::MalformedBegin { line })?;
    if label.is_empty() || label.len() > MAX_LABEL_BYTES || label.contains(&b'-') {
        return Err(PemError::MalformedBegin { line });
    }
    let label = String::from_utf8_lossy(label).into_owned();
    let kind = match label.as_str() {
        "CERTIFICATE" | "X509 CERTIFICATE" => BlockKind::Certificate,
        "TRUSTED CERTIFICATE" => BlockKind::TrustedCertificate,
        "RSA PRIVATE KEY" => BlockKind::Pkcs1,
        "PRIVATE KEY" => BlockKind::Pkcs8,
        "EC PRIVATE KEY" => BlockKind::Sec1,
        "ENCRYPTED PRIVATE KEY" => BlockKind::EncryptedKey,
        other if other.ends_with("PRIVATE KEY") => BlockKind::ForeignKey,
        _ => BlockKind::Other,
    };
    Ok(Some(OpenBlock {
        label,
        line,
        kind,
        base64: Vec::new(),
    }))
}

impl OpenBlock {
    fn take_line(mut self, text: &[u8], line: u32) -> Result<Taken<'_>, PemError> {
        if let Some(rest) = text.strip_prefix(b"-----END ") {
            let after = rest
                .strip_prefix(self.label.as_bytes())
                .and_then(|rest| rest.strip_prefix(b"-----"));
            return match after {
                Some(after) => Ok(Taken::End {
                    block: self,
                    after: after.trim_ascii_start(),
                }),
                None => Err(PemError::MismatchedEnd {
                    label: self.label,
                    line,
                }),
            };
        }
        if text.starts_with(b"-----BEGIN ") {
            return Err(PemError::MissingEnd {
                label: self.label,
                line: self.line,
            });
        }
        if matches!(self.kind, BlockKind::Other) {
            return Ok(Taken::More(self));
        }
        if text.contains(&b':') {
            // A header of RFC 1421; the one that matters is `Proc-Type: 4,ENCRYPTED`.
            if text.starts_with(b"Proc-Type:") && text.ends_with(b"ENCRYPTED") {
                self.kind = BlockKind::EncryptedKey;
            }
            return Ok(Taken::More(self));
        }
        let is_base64 = |byte: &u8| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b' ' | b'\t')
        };
        if !text.iter().all(is_base64) {
            return Err(PemError::BadBase64 { line });
        }
        self.base64
            .extend(text.iter().filter(|byte| !matches!(byte, b' ' | b'\t')));
        Ok(Taken::More(self))
    }

    fn close(self, end: u32, contents: &mut PemContents) -> Result<(), PemError> {
        let line = self.line;
        let key = match self.kind {
            BlockKind::EncryptedKey => return Err(PemError::EncryptedKey { line }),
            BlockKind::ForeignKey => {
                return Err(PemError::ForeignKey {
                    label: self.label,
                    line,
                });
            }
            BlockKind::Other => {
                contents.others.push(OtherBlock {
                    kind: OtherKind::of(&self.label),
                    line,
                });
                return Ok(());
            }
            BlockKind::Certificate | BlockKind::TrustedCertificate => {
                let der = self.decode(SectionKind::Certificate, end)?;
                contents.certificates.push(PemCertificate {
                    der: CertificateDer::from(der),
                    line,
                });
                return Ok(());
            }
            BlockKind::Pkcs1 => {
                PrivatePkcs1KeyDer::from(self.decode(SectionKind::RsaPrivateKey, end)?).into()
            }
            BlockKind::Pkcs8 => {
                PrivatePkcs8KeyDer::from(self.decode(SectionKind::PrivateKey, end)?).into()
            }
            BlockKind::Sec1 => {
                PrivateSec1KeyDer::from(self.decode(SectionKind::EcPrivateKey, end)?).into()
            }
        };
        contents.keys.push(PemKey { der: key, line });
        Ok(())
    }

    /// Base64 to DER by `rustls-pki-types`, whose decoder takes constant time for secrets; it wants its own labels.
    fn decode(&self, kind: SectionKind, end: u32) -> Result<Vec<u8>, PemError> {
        let label: &[u8] = match kind {
            SectionKind::RsaPrivateKey => b"RSA PRIVATE KEY",
            SectionKind::PrivateKey => b"PRIVATE KEY",
            SectionKind::EcPrivateKey => b"EC PRIVATE KEY",
            _ => b"CERTIFICATE",
        };
        let base64: &[u8] = &self.base64;
        let block = [
            b"-----BEGIN ",
            label,
            b"-----\n",
            base64,
            b"\n-----END ",
            label,
            b"-----\n",
        ]
        .concat();
        let last_line = end.saturating_sub(1).max(self.line);
        let (_, mut der) = <(SectionKind, Vec<u8>)>::from_pem_slice(&block)
            .map_err(|_| PemError::BadBase64 { line: last_line })?;
        let not_der = || PemError::NotDer {
            label: self.label.clone(),
            line: self.line,
        };
        let length = element_length(&der).ok_or_else(not_der)?;
        match self.kind {
            // OpenSSL appends its trust settings as a second element.
            BlockKind::TrustedCertificate => der.truncate(length),
            _ if length != der.len() => return Err(not_der()),
            _ => {}
        }
        Ok(der)
    }
}

/// The length in bytes of the DER SEQUENCE that `der` begins with, header included; `None` if there is no whole one.
fn element_length(der: &[u8]) -> Option<usize> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    if tag != 0x30 {
        return None;
    }
    let (header, content) = match first {
        0..=0x7f => (2, usize::from(first)),
        0x81..=0x83 => {
            let count = usize::from(first & 0x7f);
            let length = rest
                .get(..count)?
                .iter()
                .fold(0, |sum, &byte| (sum << 8) | usize::from(byte));
            (2 + count, length)
        }
        _ => return None,
    };
    let length = header + content;
    (length <= der.len()).then_some(length)
}

/// Takes byte order marks away and UTF-16 apart; characters beyond ASCII only occur in text for people.
fn to_bytes(text: &[u8]) -> Cow<'_, [u8]> {
    let narrow = |decode: fn([u8; 2]) -> u16, units: &[u8]| {
        let (pairs, _) = units.as_chunks::<2>();
        pairs
            .iter()
            .map(|&pair| u8::try_from(decode(pair)).unwrap_or(b'?'))
            .collect()
    };
    match text {
        [0xef, 0xbb, 0xbf, rest @ ..] => Cow::Borrowed(rest),
        [0xff, 0xfe, rest @ ..] => Cow::Owned(narrow(u16::from_le_bytes, rest)),
        [0xfe, 0xff, rest @ ..] => Cow::Owned(narrow(u16::from_be_bytes, rest)),
        _ => Cow::Borrowed(text),
    }
}

/// Lines with their numbers, blanks around them taken away. LF, CRLF and CR end a line.
fn lines(text: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    let mut rest = Some(text);
    let mut number = 0u32;
    std::iter::from_fn(move || {
        let current = rest?;
        number = number.saturating_add(1);
        let end = current
            .iter()
            .position(|byte| matches!(byte, b'\n' | b'\r'));
        let (line, after) = match end.and_then(|end| current.split_at_checked(end)) {
            Some((line, [b'\r', b'\n', after @ ..] | [_, after @ ..])) => (line, Some(after)),
            _ => (current, None),
        };
        rest = after;
        Some((number, line.trim_ascii()))
    })
}

/// Says what a text without any block is.
fn why_nothing(text: &[u8]) -> PemError {
    if text.trim_ascii().is_empty() {
        return PemError::Empty;
    }
    if text.starts_with(&[0xfe, 0xed, 0xfe, 0xed]) {
        return PemError::Binary(BinaryForm::JavaKeyStore);
    }
    let Some(inside) = sequence_content(text) else {
        return PemError::NoBlock;
    };
    match inside {
        // PFX begins with version 3 (RFC 7292 section 4).
        [0x02, 0x01, 0x03, ..] => PemError::Binary(BinaryForm::Pkcs12),
        // PKCS#1 and PKCS#8 begin with version 0, SEC1 and PKCS#8 v2 with 1 (RFC 8017 A.1.2, RFC 5958, RFC 5915).
        [0x02, 0x01, 0x00 | 0x01, ..] => PemError::Binary(BinaryForm::Key),
        [0x30, ..] => PemError::Binary(BinaryForm::Certificate),
        _ => PemError::NoBlock,
    }
}

fn sequence_content(der: &[u8]) -> Option<&[u8]> {
    // None of them fits into the 127 bytes of the short form; text may well begin with `0`.
    let [0x30, first @ 0x81..=0x83, rest @ ..] = der else {
        return None;
    };
    rest.get(usize::from(first & 0x7f)..)
}
