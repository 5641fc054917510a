//! The chunked decoder: no panic, and the same result in one piece and in pieces of any sizes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portway_core::http1::{ChunkedLimits, Decoder, Refusal};

fuzz_target!(|input: ([u8; 4], &[u8])| {
    let (sizes, bytes) = input;
    let whole = decode(bytes, std::iter::repeat(bytes.len().max(1)));
    let pieces = decode(
        bytes,
        sizes
            .into_iter()
            .map(|size| usize::from(size % 16) + 1)
            .cycle(),
    );
    assert_eq!(whole, pieces);
});

/// Data, trailers and the length of the body if its end was seen.
type Body = (Vec<u8>, Vec<u8>, Option<usize>);

fn decode(bytes: &[u8], mut sizes: impl Iterator<Item = usize>) -> Result<Body, Refusal> {
    let limits = ChunkedLimits {
        line_extension_bytes: 16,
        total_extension_bytes: 40,
        trailer_bytes: 60,
        trailer_fields: 4,
    };
    let mut decoder = Decoder::new();
    let (mut data, mut trailers, mut at) = (Vec::new(), Vec::new(), 0);
    while at < bytes.len() {
        let len = sizes.next().unwrap_or(1).min(bytes.len() - at);
        let mut piece = bytes[at..at + len].to_vec();
        let decoded = decoder.decode_in_place(&mut piece, &mut trailers, &limits)?;
        data.extend_from_slice(&piece[decoded.data()]);
        at += decoded.consumed;
        if decoded.finished {
            return Ok((data, trailers, Some(at)));
        }
        assert_eq!(decoded.consumed, len);
    }
    Ok((data, trailers, None))
}
