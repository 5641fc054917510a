//! Compression of responses on their way to the client.

/// The size from which bodies are compressed where none is said: below it the fields cost what is gained.
pub const MIN_BYTES: u64 = 1024;

/// A content coding that a body may be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ContentCoding {
    /// `gzip`, RFC 1952.
    Gzip,
    /// `br`, RFC 7932.
    Brotli,
    /// `zstd`, RFC 8878.
    Zstd,
    /// `deflate` as it is defined: zlib's form, RFC 1950.
    Deflate,
    /// `deflate` as some clients want it: bare, RFC 1951.
    RawDeflate,
    /// None: the body stays as it is, in chunks.
    Identity,
}

impl ContentCoding {
    /// The codings where none are named, in the order in which they are preferred.
    pub const USUAL: [ContentCoding; 3] = [
        ContentCoding::Zstd,
        ContentCoding::Brotli,
        ContentCoding::Gzip,
    ];

    /// Its name in `Accept-Encoding` and `Content-Encoding`.
    pub fn name(self) -> &'static str {
        match self {
            ContentCoding::Gzip => "gzip",
            ContentCoding::Brotli => "br",
            ContentCoding::Zstd => "zstd",
            ContentCoding::Deflate | ContentCoding::RawDeflate => "deflate",
            ContentCoding::Identity => "identity",
        }
    }
}

/// By whose rules it is decided which responses are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CompressionRules {
    /// Those of RFC 9110 and good sense.
    Usual,
    /// HAProxy's: statuses 200 to 203 in HTTP/1.1 to clients of HTTP/1.1 that are no old Mozilla/4, a length or chunks,
    /// no `multipart`, one ETag at most and well-formed; `types` are beginnings. Of codings that a client likes equally
    /// it is the first that the client names. Vary goes with what is compressed.
    Haproxy,
}

/// Which responses are compressed, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compression {
    /// By whose rules.
    pub rules: CompressionRules,
    /// The codings that may be chosen; of those that the client likes equally, the first. By HAProxy's rules none: those
    /// that were said before count.
    pub codings: Vec<ContentCoding>,
    /// The coding for clients that say nothing of codings.
    pub default: Option<ContentCoding>,
    /// Media types that are compressed, `text/html` or `text/*`; all where empty.
    pub types: Vec<String>,
    /// Media types that are not compressed, in the same form.
    pub except: Vec<String>,
    /// A body that says its length is compressed from so many bytes on.
    pub min_bytes: u64,
    /// The target does not learn which codings the client takes, and so does not compress itself.
    pub offload: bool,
}

impl Compression {
    /// What holds where `before` was said first: by HAProxy's rules what this leaves open is taken from it.
    #[must_use]
    pub fn after(&self, before: &Compression) -> Compression {
        let mut both = self.clone();
        if self.rules == CompressionRules::Haproxy {
            if both.codings.is_empty() {
                both.codings.clone_from(&before.codings);
            }
            if both.types.is_empty() {
                both.types.clone_from(&before.types);
            }
            both.offload |= before.offload;
        }
        both
    }
}

impl Default for Compression {
    fn default() -> Self {
        Self {
            rules: CompressionRules::Usual,
            codings: ContentCoding::USUAL.to_vec(),
            default: None,
            types: Vec::new(),
            except: Vec::new(),
            min_bytes: MIN_BYTES,
            offload: false,
        }
    }
}
