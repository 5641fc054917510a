//! Request heads: no panic, the same verdict in one piece and in two, and a canonical form that is read as itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portway_core::http1::{
    HOP_BY_HOP, HeadLimits, Known, Parsed, RequestHead, client_address, copy_end_to_end,
    parse_request, request_framing, write_end_of_head, write_field, write_request_line,
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
    let mut head = RequestHead::new();
    let whole = parse_request(bytes, 0, &limits, &mut head);
    in_two_pieces(bytes, usize::from(cut) % (bytes.len() + 1), whole, &limits);
    if let Parsed::Complete { head_len } = whole {
        let arena = &bytes[..head_len];
        if request_framing(&head, arena).is_ok() {
            let _ = client_address(head.fields(), arena, [127, 0, 0, 1].into(), |_| true);
            let canonical = canonical(&head, arena);
            let mut again = RequestHead::new();
            // Host is added where an HTTP/1.0 request has none.
            let larger = HeadLimits {
                head_bytes: 8192,
                fields: limits.fields + 1,
                ..limits
            };
            let parsed = parse_request(&canonical, 0, &larger, &mut again);
            assert_eq!(
                parsed,
                Parsed::Complete {
                    head_len: canonical.len()
                }
            );
            assert!(request_framing(&again, &canonical).is_ok());
            assert_eq!(canonical, self::canonical(&again, &canonical));
        }
    }
});

/// A head that comes in two pieces is judged like one that comes at once, though a fault before its end may be seen later.
fn in_two_pieces(bytes: &[u8], cut: usize, whole: Parsed, limits: &HeadLimits) {
    let mut head = RequestHead::new();
    let first = parse_request(&bytes[..cut], 0, limits, &mut head);
    let pieces = match first {
        Parsed::Partial => parse_request(bytes, cut, limits, &mut head),
        verdict => verdict,
    };
    match (whole, pieces) {
        (Parsed::Refused(_), Parsed::Refused(_) | Parsed::Partial) => {}
        (whole, pieces) => assert_eq!(whole, pieces),
    }
}

fn canonical(head: &RequestHead, arena: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let path = head.path(arena);
    let target = if path.is_empty() {
        head.target(arena)
    } else {
        path
    };
    write_request_line(
        &mut out,
        head.method_bytes(arena),
        target,
        head.query(arena),
        head.version(),
    );
    write_field(&mut out, b"Host", head.authority(arena));
    copy_end_to_end(head.fields(), arena, HOP_BY_HOP.with(Known::Host), &mut out);
    write_end_of_head(&mut out);
    out
}
