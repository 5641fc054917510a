//! Response heads: no panic, the same verdict in one piece and in two, and a canonical form that is read as itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portway_core::http1::{
    HeadLimits, KnownSet, Method, Parsed, ResponseHead, copy_end_to_end, parse_response,
    response_framing, write_end_of_head, write_status_line,
};

fuzz_target!(|input: (u16, &[u8])| {
    let (cut, bytes) = input;
    let limits = HeadLimits {
        head_bytes: 2048,
        target_bytes: 256,
        fields: 16,
        host_required: true,
        lenient: false,
    };
    let mut head = ResponseHead::new();
    let whole = parse_response(bytes, 0, &limits, &mut head);
    in_two_pieces(bytes, usize::from(cut) % (bytes.len() + 1), whole, &limits);
    if let Parsed::Complete { head_len } = whole {
        let arena = &bytes[..head_len];
        for method in [Method::Get, Method::Head, Method::Connect] {
            let _ = response_framing(&head, arena, method);
        }
        let canonical = canonical(&head, arena);
        let mut again = ResponseHead::new();
        let larger = HeadLimits {
            head_bytes: 8192,
            ..limits
        };
        let parsed = parse_response(&canonical, 0, &larger, &mut again);
        assert_eq!(
            parsed,
            Parsed::Complete {
                head_len: canonical.len()
            }
        );
        assert_eq!(canonical, self::canonical(&again, &canonical));
    }
});

/// A head that comes in two pieces is judged like one that comes at once, though a fault before its end may be seen later.
fn in_two_pieces(bytes: &[u8], cut: usize, whole: Parsed, limits: &HeadLimits) {
    let mut head = ResponseHead::new();
    let first = parse_response(&bytes[..cut], 0, limits, &mut head);
    let pieces = match first {
        Parsed::Partial => parse_response(bytes, cut, limits, &mut head),
        verdict => verdict,
    };
    match (whole, pieces) {
        (Parsed::Refused(_), Parsed::Refused(_) | Parsed::Partial) => {}
        (whole, pieces) => assert_eq!(whole, pieces),
    }
}

fn canonical(head: &ResponseHead, arena: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_status_line(&mut out, head.status(), head.reason(arena));
    copy_end_to_end(head.fields(), arena, KnownSet::EMPTY, &mut out);
    write_end_of_head(&mut out);
    out
}
