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
}

impl ContentCoding {
    /// Every coding, in the order in which they are preferred where nothing else is said.
    pub const ALL: [ContentCoding; 3] = [
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
        }
    }
}

/// Which responses are compressed, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compression {
    /// The codings that may be chosen; of those that the client likes equally, the first.
    pub codings: Vec<ContentCoding>,
    /// The coding for clients that say nothing of codings.
    pub default: Option<ContentCoding>,
    /// Media types that are compressed, `text/html` or `text/*`; all where empty.
    pub types: Vec<String>,
    /// Media types that are not compressed, in the same form.
    pub except: Vec<String>,
    /// A body that says its length is compressed from so many bytes on.
    pub min_bytes: u64,
}

impl Default for Compression {
    fn default() -> Self {
        Self {
            codings: ContentCoding::ALL.to_vec(),
            default: None,
            types: Vec::new(),
            except: Vec::new(),
            min_bytes: MIN_BYTES,
        }
    }
}
