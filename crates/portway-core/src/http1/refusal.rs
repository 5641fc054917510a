//! Why a message was refused: one closed list with the status to answer, a label for metrics and a sentence for logs.

/// The reason for refusing a message. After any of them the connection is closed: where the next message begins is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// A TLS handshake arrived where plain HTTP is spoken.
    TlsOnPlainPort,
    /// The HTTP/2 connection preface (RFC 9113 §3.4) arrived where HTTP/1 is spoken.
    Http2Preface,
    /// The fields of a request in HTTP/2 are not as they have to be (RFC 9113 §8.1.1).
    Http2Fields,
    /// More empty lines before a request line than tolerated (RFC 9112 §2.2).
    LeadingEmptyLines,
    /// LF without CR before it (RFC 9112 §2.2).
    BareLf,
    /// CR without LF after it (RFC 9112 §2.2).
    BareCr,
    /// A NUL byte (RFC 9110 §5.5).
    Nul,
    /// Another control character (RFC 9110 §5.5).
    ControlCharacter,
    /// The method is not a token (RFC 9110 §9.1).
    BadMethod,
    /// The method is longer than [`super::MAX_METHOD_BYTES`] (RFC 9112 §3).
    MethodTooLong,
    /// The request line has not the shape `method SP target SP version` (RFC 9112 §3).
    BadRequestLine,
    /// The request target is none of the four forms (RFC 9112 §3.2).
    BadTarget,
    /// The form of the request target does not go with the method (RFC 9112 §3.2.3, §3.2.4).
    BadTargetForm,
    /// The request target is longer than allowed.
    UriTooLong,
    /// The protocol version is malformed (RFC 9112 §2.3).
    BadVersion,
    /// The protocol version is well-formed and not HTTP/1 (RFC 9110 §15.6.6).
    UnsupportedVersion,
    /// The status line is malformed (RFC 9112 §4).
    BadStatusLine,
    /// The status code is not three digits from 100 on (RFC 9110 §15).
    BadStatus,
    /// A field line continues on a second line (RFC 9112 §5.2).
    ObsFold,
    /// Whitespace between field name and colon (RFC 9112 §5.1).
    WhitespaceBeforeColon,
    /// A field line without a name.
    EmptyFieldName,
    /// A field name is not a token (RFC 9110 §5.1).
    BadFieldName,
    /// A field line without a colon.
    MissingColon,
    /// The head is longer than allowed.
    HeadTooLarge,
    /// The head has more fields than allowed.
    TooManyFields,
    /// An HTTP/1.1 request without Host (RFC 9112 §3.2).
    MissingHost,
    /// More than one Host field (RFC 9112 §3.2).
    DuplicateHost,
    /// Host, or the authority of the target, is not `uri-host [":" port]` (RFC 9110 §7.2).
    BadHost,
    /// The target names one host and Host another (RFC 9112 §3.2.2 lets the target win; rules and targets must not see two).
    HostMismatch,
    /// The Connection fields name more options than [`super::MAX_CONNECTION_OPTIONS`].
    TooManyConnectionOptions,
    /// Both Transfer-Encoding and Content-Length (RFC 9112 §6.1).
    TeAndCl,
    /// Transfer-Encoding in an HTTP/1.0 message (RFC 9112 §6.1).
    TeInHttp10,
    /// Transfer-Encoding is not a list of codings.
    BadTransferEncoding,
    /// A transfer coding other than chunked below it (RFC 9112 §6.1).
    UnknownTransferCoding,
    /// Chunked is not the last transfer coding, or not among them (RFC 9112 §6.3).
    ChunkedNotFinal,
    /// Chunked is applied more than once (RFC 9112 §6.1).
    ChunkedTwice,
    /// Content-Length more than once, as fields or as a list, equal or not (RFC 9112 §6.3).
    DuplicateContentLength,
    /// Content-Length is not a run of digits (RFC 9110 §8.6).
    BadContentLength,
    /// Content-Length does not fit 64 bits.
    ContentLengthOverflow,
    /// An upgrade to WebSocket without Sec-WebSocket-Key (RFC 6455 §4.1), or a 101 without Sec-WebSocket-Accept (§4.2.2).
    NoWebsocketKey,
    /// CONNECT with content: what follows the head belongs to the tunnel (RFC 9110 §9.3.6).
    BodyOnConnect,
    /// A chunk size that is not hexadecimal digits and CRLF (RFC 9112 §7.1).
    BadChunkSize,
    /// A chunk size of more than 16 digits.
    ChunkSizeOverflow,
    /// A malformed chunk extension (RFC 9112 §7.1.1).
    BadChunkExtension,
    /// Chunk extensions longer than allowed.
    ChunkExtensionTooLong,
    /// Chunk data is not followed by CRLF.
    BadChunkEnd,
    /// The trailer section is longer than allowed or has too many fields.
    TrailersTooLarge,
}

impl Refusal {
    /// Every member, for tables of metrics and documentation.
    pub const ALL: [Refusal; 47] = [
        Refusal::TlsOnPlainPort,
        Refusal::Http2Preface,
        Refusal::Http2Fields,
        Refusal::LeadingEmptyLines,
        Refusal::BareLf,
        Refusal::BareCr,
        Refusal::Nul,
        Refusal::ControlCharacter,
        Refusal::BadMethod,
        Refusal::MethodTooLong,
        Refusal::BadRequestLine,
        Refusal::BadTarget,
        Refusal::BadTargetForm,
        Refusal::UriTooLong,
        Refusal::BadVersion,
        Refusal::UnsupportedVersion,
        Refusal::BadStatusLine,
        Refusal::BadStatus,
        Refusal::ObsFold,
        Refusal::WhitespaceBeforeColon,
        Refusal::EmptyFieldName,
        Refusal::BadFieldName,
        Refusal::MissingColon,
        Refusal::HeadTooLarge,
        Refusal::TooManyFields,
        Refusal::MissingHost,
        Refusal::DuplicateHost,
        Refusal::BadHost,
        Refusal::HostMismatch,
        Refusal::TooManyConnectionOptions,
        Refusal::TeAndCl,
        Refusal::TeInHttp10,
        Refusal::BadTransferEncoding,
        Refusal::UnknownTransferCoding,
        Refusal::ChunkedNotFinal,
        Refusal::ChunkedTwice,
        Refusal::DuplicateContentLength,
        Refusal::BadContentLength,
        Refusal::ContentLengthOverflow,
        Refusal::NoWebsocketKey,
        Refusal::BodyOnConnect,
        Refusal::BadChunkSize,
        Refusal::ChunkSizeOverflow,
        Refusal::BadChunkExtension,
        Refusal::ChunkExtensionTooLong,
        Refusal::BadChunkEnd,
        Refusal::TrailersTooLarge,
    ];

    /// The status to answer when a client sent the message. When a target sent it, the answer to the client is always 502.
    pub const fn status(self) -> u16 {
        match self {
            Refusal::UriTooLong => 414,
            Refusal::HeadTooLarge | Refusal::TooManyFields | Refusal::TrailersTooLarge => 431,
            Refusal::MethodTooLong | Refusal::UnknownTransferCoding => 501,
            Refusal::UnsupportedVersion | Refusal::Http2Preface => 505,
            _ => 400,
        }
    }

    /// A stable short name: the label of a metric and the reason in an access log.
    pub const fn code(self) -> &'static str {
        self.texts().0
    }

    /// One sentence for people.
    pub const fn description(self) -> &'static str {
        self.texts().1
    }

    const fn texts(self) -> (&'static str, &'static str) {
        match self {
            Refusal::TlsOnPlainPort => (
                "tls_on_plain_port",
                "a TLS handshake arrived on a plain HTTP port",
            ),
            Refusal::Http2Preface => (
                "http2_preface",
                "an HTTP/2 connection preface arrived where HTTP/1 is spoken",
            ),
            Refusal::Http2Fields => (
                "http2_fields",
                "the fields of a request in HTTP/2 are malformed",
            ),
            Refusal::LeadingEmptyLines => (
                "leading_empty_lines",
                "too many empty lines before the request line",
            ),
            Refusal::BareLf => ("bare_lf", "a line ends with LF instead of CRLF"),
            Refusal::BareCr => ("bare_cr", "a CR is not followed by LF"),
            Refusal::Nul => ("nul", "the head contains a NUL byte"),
            Refusal::ControlCharacter => {
                ("control_character", "the head contains a control character")
            }
            Refusal::BadMethod => ("bad_method", "the method is not a token"),
            Refusal::MethodTooLong => {
                ("method_too_long", "the method is longer than any known one")
            }
            Refusal::BadRequestLine => (
                "bad_request_line",
                "the request line is not method, target and version",
            ),
            Refusal::BadTarget => ("bad_target", "the request target is malformed"),
            Refusal::BadTargetForm => (
                "bad_target_form",
                "the form of the request target does not go with the method",
            ),
            Refusal::UriTooLong => ("uri_too_long", "the request target is too long"),
            Refusal::BadVersion => ("bad_version", "the protocol version is malformed"),
            Refusal::UnsupportedVersion => {
                ("unsupported_version", "the protocol version is not HTTP/1")
            }
            Refusal::BadStatusLine => ("bad_status_line", "the status line is malformed"),
            Refusal::BadStatus => (
                "bad_status",
                "the status code is not three digits from 100 on",
            ),
            Refusal::ObsFold => ("obs_fold", "a field continues on the next line"),
            Refusal::WhitespaceBeforeColon => (
                "whitespace_before_colon",
                "there is whitespace between a field name and its colon",
            ),
            Refusal::EmptyFieldName => ("empty_name", "a field has no name"),
            Refusal::BadFieldName => ("bad_name", "a field name is not a token"),
            Refusal::MissingColon => ("missing_colon", "a field line has no colon"),
            Refusal::HeadTooLarge => ("head_too_large", "the head is too large"),
            Refusal::TooManyFields => ("too_many_fields", "the head has too many fields"),
            Refusal::MissingHost => ("missing_host", "an HTTP/1.1 request has no Host field"),
            Refusal::DuplicateHost => ("duplicate_host", "there is more than one Host field"),
            Refusal::BadHost => ("bad_host", "the host is malformed"),
            Refusal::HostMismatch => (
                "host_mismatch",
                "the request target and Host name different hosts",
            ),
            Refusal::TooManyConnectionOptions => (
                "too_many_connection_options",
                "the Connection fields name too many options",
            ),
            Refusal::TeAndCl => (
                "te_and_cl",
                "both Transfer-Encoding and Content-Length are present",
            ),
            Refusal::TeInHttp10 => (
                "te_in_http10",
                "an HTTP/1.0 message has a Transfer-Encoding",
            ),
            Refusal::BadTransferEncoding => {
                ("bad_transfer_encoding", "Transfer-Encoding is malformed")
            }
            Refusal::UnknownTransferCoding => (
                "unknown_transfer_coding",
                "the transfer coding is not chunked",
            ),
            Refusal::ChunkedNotFinal => (
                "chunked_not_final",
                "chunked is not the last transfer coding",
            ),
            Refusal::ChunkedTwice => ("chunked_twice", "chunked is applied more than once"),
            Refusal::DuplicateContentLength => (
                "duplicate_content_length",
                "Content-Length is given more than once",
            ),
            Refusal::BadContentLength => (
                "bad_content_length",
                "Content-Length is not a decimal number",
            ),
            Refusal::ContentLengthOverflow => (
                "content_length_overflow",
                "Content-Length does not fit 64 bits",
            ),
            Refusal::NoWebsocketKey => ("no_websocket_key", "an upgrade to WebSocket has no key"),
            Refusal::BodyOnConnect => ("body_on_connect", "a CONNECT request announces content"),
            Refusal::BadChunkSize => ("bad_chunk_size", "a chunk size is malformed"),
            Refusal::ChunkSizeOverflow => {
                ("chunk_size_overflow", "a chunk size does not fit 64 bits")
            }
            Refusal::BadChunkExtension => ("bad_chunk_extension", "a chunk extension is malformed"),
            Refusal::ChunkExtensionTooLong => (
                "chunk_extension_too_long",
                "the chunk extensions are too long",
            ),
            Refusal::BadChunkEnd => (
                "bad_chunk_end",
                "the data of a chunk does not end with CRLF",
            ),
            Refusal::TrailersTooLarge => ("trailers_too_large", "the trailer section is too large"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_usable_as_labels() {
        let mut codes: Vec<_> = Refusal::ALL.iter().map(|refusal| refusal.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Refusal::ALL.len());
        for code in codes {
            assert!(
                code.bytes()
                    .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_')),
                "{code}"
            );
        }
    }

    #[test]
    fn statuses_are_client_or_server_errors() {
        for refusal in Refusal::ALL {
            assert!((400..600).contains(&refusal.status()), "{refusal:?}");
            assert!(!refusal.description().is_empty());
        }
    }
}
