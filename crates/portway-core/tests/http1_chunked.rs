//! The chunked coding: what is data, what is refused, and that it does not matter how the bytes are cut.
#![cfg(test)]

use portway_core::http1::{
    ChunkedLimits, Decoder, LAST_CHUNK, Refusal, write_chunk_head, write_last_chunk,
};
use proptest::prelude::*;

/// What decoding makes of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Body {
    data: Vec<u8>,
    trailers: Vec<u8>,
    /// Bytes of the body, when its end was seen.
    len: Option<usize>,
}

/// Decodes `bytes` cut into pieces of the given lengths, in turn; the rest in one.
fn decode(bytes: &[u8], cuts: &[usize], limits: &ChunkedLimits) -> Result<Body, Refusal> {
    let mut decoder = Decoder::new();
    let mut body = Body {
        data: Vec::new(),
        trailers: Vec::new(),
        len: None,
    };
    let mut at = 0;
    let mut cuts = cuts.iter().copied();
    while at < bytes.len() {
        let len = cuts.next().unwrap_or(usize::MAX).min(bytes.len() - at);
        let mut piece = bytes[at..at + len].to_vec();
        let decoded = decoder.decode_in_place(&mut piece, &mut body.trailers, limits)?;
        body.data.extend_from_slice(&piece[decoded.data()]);
        at += decoded.consumed;
        assert_eq!(decoded.finished, decoder.is_finished());
        if decoded.finished {
            body.len = Some(at);
            break;
        }
        assert_eq!(
            decoded.consumed, len,
            "an unfinished body consumes everything"
        );
    }
    Ok(body)
}

fn check_with(
    bytes: &[u8],
    limits: &ChunkedLimits,
    expected: Result<(&str, &str, Option<usize>), Refusal>,
) {
    let expected = expected.map(|(data, trailers, len)| Body {
        data: data.as_bytes().to_vec(),
        trailers: trailers.as_bytes().to_vec(),
        len,
    });
    let name = bytes.escape_ascii().to_string();
    assert_eq!(decode(bytes, &[], limits), expected, "{name}");
    assert_eq!(
        decode(bytes, &vec![1; bytes.len()], limits),
        expected,
        "bytewise {name}"
    );
}

fn check(bytes: &[u8], expected: Result<(&str, &str), Refusal>) {
    let expected = expected.map(|(data, trailers)| (data, trailers, Some(bytes.len())));
    check_with(bytes, &ChunkedLimits::default(), expected);
}

#[test]
fn bodies() {
    check(b"0\r\n\r\n", Ok(("", "")));
    check(b"5\r\nhello\r\n0\r\n\r\n", Ok(("hello", "")));
    check(
        b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
        Ok(("hello world", "")),
    );
    check(b"a\r\n0123456789\r\n0\r\n\r\n", Ok(("0123456789", "")));
    check(b"A\r\n0123456789\r\n0\r\n\r\n", Ok(("0123456789", "")));
    check(
        b"000000000000000a\r\n0123456789\r\n0000000000000000\r\n\r\n",
        Ok(("0123456789", "")),
    );
    check(b"2\r\n\r\n\r\n0\r\n\r\n", Ok(("\r\n", "")));
    let limits = ChunkedLimits::default();
    check_with(b"", &limits, Ok(("", "", None)));
    check_with(b"5\r\nhel", &limits, Ok(("hel", "", None)));
    check_with(b"ffffffffffffffff\r\nhel", &limits, Ok(("hel", "", None)));
    check_with(b"0\r\n\r\nGET /", &limits, Ok(("", "", Some(5))));
    check_with(
        b"1\r\na\r\n0\r\nX: y\r\n\r\nGET /",
        &limits,
        Ok(("a", "X: y\r\n", Some(17))),
    );
}

#[test]
fn extensions_are_checked_and_dropped() {
    check(b"1;a\r\nx\r\n0;b=c\r\n\r\n", Ok(("x", "")));
    check(b"1;a=\"b \\\" \t;c\"\r\nx\r\n0\r\n\r\n", Ok(("x", "")));
    check(b"1;a=b;c;d=\"\"\r\nx\r\n0\r\n\r\n", Ok(("x", "")));
    for bytes in [
        b"1;\r\nx\r\n0\r\n\r\n".as_slice(),
        b"1;;a\r\n",
        b"1; a\r\n",
        b"1;a =b\r\n",
        b"1;a= b\r\n",
        b"1;a=\r\n",
        b"1;=b\r\n",
        b"1;a=\"b\r\n",
        b"1;a=\"b\"c\r\n",
        b"1;a=\"\\\x01\"\r\n",
        b"1;a\0\r\n",
        b"1;a=\"\r\n\"\r\n",
    ] {
        check(bytes, Err(Refusal::BadChunkExtension));
    }
    check(b"1;a\n", Err(Refusal::BareLf));
    check(b"1;a=\"b\n", Err(Refusal::BareLf));
    check(b"1;a\rx", Err(Refusal::BareCr));
    let limits = ChunkedLimits {
        line_extension_bytes: 4,
        total_extension_bytes: 6,
        ..ChunkedLimits::default()
    };
    check_with(
        b"1;abcd\r\nx\r\n0\r\n\r\n",
        &limits,
        Err(Refusal::ChunkExtensionTooLong),
    );
    check_with(
        b"1;abc\r\nx\r\n1;ab\r\n",
        &limits,
        Err(Refusal::ChunkExtensionTooLong),
    );
    check_with(b"1;ab\r\nx\r\n1;a\r\n", &limits, Ok(("x", "", None)));
    let endless = [b"1;a=\"".to_vec(), b"b".repeat(300)].concat();
    check(&endless, Err(Refusal::ChunkExtensionTooLong));
}

#[test]
fn sizes_and_ends_are_strict() {
    for bytes in [
        b"\r\n".as_slice(),
        b"\n",
        b";a\r\n",
        b"g\r\n",
        b"0x5\r\n",
        b"-1\r\n",
        b"+1\r\n",
        b" 5\r\n",
        b"5 \r\n",
        b"5\t\r\n",
        b"5 ;a\r\n",
        b"5\0\r\n",
        b"5,5\r\n",
        b"1\r\nx\r\n\r\n",
    ] {
        check(bytes, Err(Refusal::BadChunkSize));
    }
    check(b"00000000000000005\r\n", Err(Refusal::ChunkSizeOverflow));
    check(b"10000000000000000\r\n", Err(Refusal::ChunkSizeOverflow));
    check(b"5\nhello", Err(Refusal::BareLf));
    check(b"5\rhello", Err(Refusal::BareCr));
    check(b"5\r\rhello", Err(Refusal::BareCr));
    check(b"0\n\r\n", Err(Refusal::BareLf));
    check(b"5\r\nhello\n0\r\n\r\n", Err(Refusal::BadChunkEnd));
    check(b"5\r\nhello!\r\n", Err(Refusal::BadChunkEnd));
    check(b"5\r\nhello\r5", Err(Refusal::BadChunkEnd));
    check(b"5\r\nhello\r\r\n", Err(Refusal::BadChunkEnd));
}

#[test]
fn trailers_are_fields() {
    check(b"0\r\nA: b\r\nc:d \r\n\r\n", Ok(("", "A: b\r\nc: d\r\n")));
    check(b"0\r\nA:\r\n\r\n", Ok(("", "A: \r\n")));
    check(
        b"0\r\nContent-Length: 5\r\nX: y\r\nHost: z\r\n\r\n",
        Ok(("", "X: y\r\n")),
    );
    for name in [
        "Transfer-Encoding",
        "Connection",
        "Authorization",
        "Cookie",
        "Set-Cookie",
        "X-Forwarded-For",
    ] {
        check(format!("0\r\n{name}: a\r\n\r\n").as_bytes(), Ok(("", "")));
    }
    check(b"0\r\n a: b\r\n\r\n", Err(Refusal::ObsFold));
    check(b"0\r\na: b\r\n c\r\n\r\n", Err(Refusal::ObsFold));
    check(b"0\r\na : b\r\n\r\n", Err(Refusal::WhitespaceBeforeColon));
    check(b"0\r\na\r\n\r\n", Err(Refusal::MissingColon));
    check(b"0\r\n: a\r\n\r\n", Err(Refusal::EmptyFieldName));
    check(b"0\r\na: b\n\r\n", Err(Refusal::BareLf));
    check(b"0\r\n\n", Err(Refusal::BareLf));
    check(b"0\r\na: b\rc: d\r\n\r\n", Err(Refusal::BareCr));
    check(b"0\r\na: \0\r\n\r\n", Err(Refusal::Nul));
    let limits = ChunkedLimits {
        trailer_bytes: 12,
        trailer_fields: 2,
        ..ChunkedLimits::default()
    };
    check_with(
        b"0\r\na: b\r\nc: d\r\n\r\n",
        &limits,
        Ok(("", "a: b\r\nc: d\r\n", Some(17))),
    );
    check_with(
        b"0\r\na: b\r\nc: de\r\n\r\n",
        &limits,
        Err(Refusal::TrailersTooLarge),
    );
    check_with(
        b"0\r\na:\r\nb:\r\nc:\r\n\r\n",
        &limits,
        Err(Refusal::TrailersTooLarge),
    );
    check(
        &[b"0\r\na: ".to_vec(), b"b".repeat(9000)].concat(),
        Err(Refusal::TrailersTooLarge),
    );
}

#[test]
fn a_buffer_within_one_chunk_is_not_moved() {
    let mut decoder = Decoder::new();
    let mut buf = *b"5\r\nhello\r\n";
    let decoded = decoder
        .decode_in_place(&mut buf, &mut Vec::new(), &ChunkedLimits::default())
        .unwrap();
    assert_eq!(
        (decoded.data(), decoded.consumed, decoded.finished),
        (3..8, 10, false)
    );
}

/// Pieces of chunked bodies, well-formed and not, so that random sequences of them get far into the grammar.
fn fragment() -> impl Strategy<Value = Vec<u8>> {
    let texts: Vec<&'static [u8]> = vec![
        b"0\r\n",
        b"1\r\nx\r\n",
        b"5\r\nhello\r\n",
        b"3;a=\"b\"\r\n\r\n\n\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b"a: b\r\n",
        b"Host: x\r\n",
        b"2",
        b"f",
        b";e",
        b" ",
        b"\0",
        b"0\r\n\r\n",
        b"x",
    ];
    prop_oneof![
        6 => proptest::sample::select(texts).prop_map(<[u8]>::to_vec),
        1 => proptest::collection::vec(any::<u8>(), 0..4),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn cuts_do_not_matter(
        fragments in proptest::collection::vec(fragment(), 0..12),
        cuts in proptest::collection::vec(1usize..8, 0..40),
    ) {
        let bytes = fragments.concat();
        let limits = ChunkedLimits { trailer_bytes: 20, total_extension_bytes: 8, ..ChunkedLimits::default() };
        prop_assert_eq!(decode(&bytes, &[], &limits), decode(&bytes, &cuts, &limits));
    }

    #[test]
    fn what_is_encoded_is_decoded(
        chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..6),
        trailer in proptest::option::of("[a-z]{1,8}"),
        cuts in proptest::collection::vec(1usize..200, 0..20),
    ) {
        let mut wire = Vec::new();
        for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
            write_chunk_head(&mut wire, chunk.len());
            wire.extend_from_slice(chunk);
            wire.extend_from_slice(b"\r\n");
        }
        let trailers = trailer.map(|value| format!("X-Sum: {value}\r\n")).unwrap_or_default().into_bytes();
        if trailers.is_empty() {
            wire.extend_from_slice(LAST_CHUNK);
        } else {
            write_last_chunk(&mut wire, &trailers);
        }
        let expected = Body { data: chunks.concat(), trailers, len: Some(wire.len()) };
        prop_assert_eq!(decode(&wire, &cuts, &ChunkedLimits::default()), Ok(expected));
    }
}
