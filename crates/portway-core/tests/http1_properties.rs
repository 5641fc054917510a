//! Properties of heads over arbitrary and nearly valid bytes: no panic, cuts do not matter, the canonical form is stable.
#![cfg(test)]

use portway_core::http1::{
    HOP_BY_HOP, HeadLimits, Known, KnownSet, Parsed, RequestHead, ResponseHead, client_address,
    copy_end_to_end, parse_request, parse_response, request_framing, response_framing,
    write_end_of_head, write_request_line, write_status_line,
};
use proptest::prelude::*;

/// Pieces of heads, well-formed and not, so that random sequences of them get far into the grammar.
fn fragment() -> impl Strategy<Value = Vec<u8>> {
    let texts: Vec<&'static [u8]> = vec![
        b"GET / HTTP/1.1\r\n",
        b"POST http://a:1/b?c HTTP/1.1\r\n",
        b"OPTIONS * HTTP/1.0\r\n",
        b"CONNECT a:1 HTTP/1.1\r\n",
        b"GET /a HTTP/1.3\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.0 404\r\n",
        b"HTTP/1.2 204 \r\n",
        b"Host: a\r\n",
        b"host:b:80\r\n",
        b"Content-Length: 5\r\n",
        b"Content-Length: 05\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close, x-a\r\n",
        b"X-A: b \r\n",
        b"X-A: b\n",
        b"X-A:\r\n",
        b"\xe9: x\r\n",
        b"X: \xe9\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b" ",
        b"\t",
        b":",
        b"\0",
        b"#",
        b"X",
        b"/",
        b"HTTP/1.1",
        b"X-Forwarded-For: 10.0.0.1, x\r\n",
    ];
    prop_oneof![
        8 => proptest::sample::select(texts).prop_map(<[u8]>::to_vec),
        1 => proptest::collection::vec(any::<u8>(), 0..4),
    ]
}

fn nearly_request() -> impl Strategy<Value = Vec<u8>> {
    (
        any::<bool>(),
        proptest::collection::vec(fragment(), 0..8),
        any::<bool>(),
    )
        .prop_map(|(start, middle, end)| {
            let start: &[u8] = if start {
                b"GET / HTTP/1.1\r\nHost: a\r\n"
            } else {
                b""
            };
            let end: &[u8] = if end { b"\r\n" } else { b"" };
            [start, &middle.concat(), end].concat()
        })
}

fn nearly_response() -> impl Strategy<Value = Vec<u8>> {
    (
        any::<bool>(),
        proptest::collection::vec(fragment(), 0..8),
        any::<bool>(),
    )
        .prop_map(|(start, middle, end)| {
            let start: &[u8] = if start { b"HTTP/1.1 200 OK\r\n" } else { b"" };
            let end: &[u8] = if end { b"\r\n" } else { b"" };
            [start, &middle.concat(), end].concat()
        })
}

/// The verdict when bytes come in pieces that end at the given places.
fn in_pieces(
    bytes: &[u8],
    cuts: &[usize],
    mut parse: impl FnMut(&[u8], usize) -> Parsed,
) -> Parsed {
    let mut scanned = 0;
    let mut end = 0;
    for cut in cuts.iter().copied().chain([bytes.len()]) {
        end = (end + cut).min(bytes.len());
        match parse(&bytes[..end], scanned) {
            Parsed::Partial => scanned = end,
            parsed => return parsed,
        }
    }
    Parsed::Partial
}

/// Whether the two verdicts are the same. A fault in a head that has not ended may be found later when it comes in pieces.
fn agree(whole: Parsed, pieces: Parsed, complete: bool) -> bool {
    let late = matches!(whole, Parsed::Refused(_)) && pieces == Parsed::Partial && !complete;
    whole == pieces || late
}

/// What is sent on for a request, without regard to forwarding fields.
fn canonical_request(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut head = RequestHead::new();
    let Parsed::Complete { head_len } = parse_request(bytes, 0, &HeadLimits::default(), &mut head)
    else {
        return None;
    };
    let arena = &bytes[..head_len];
    request_framing(&head, arena).ok()?;
    let mut out = Vec::new();
    let target = if head.path(arena).is_empty() {
        head.target(arena)
    } else {
        head.path(arena)
    };
    write_request_line(
        &mut out,
        head.method_bytes(arena),
        target,
        head.query(arena),
        head.version(),
    );
    out.extend_from_slice(b"Host: ");
    out.extend_from_slice(head.authority(arena));
    out.extend_from_slice(b"\r\n");
    copy_end_to_end(head.fields(), arena, HOP_BY_HOP.with(Known::Host), &mut out);
    write_end_of_head(&mut out);
    Some(out)
}

fn canonical_response(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut head = ResponseHead::new();
    let Parsed::Complete { head_len } = parse_response(bytes, 0, &HeadLimits::default(), &mut head)
    else {
        return None;
    };
    let arena = &bytes[..head_len];
    let mut out = Vec::new();
    write_status_line(&mut out, head.status(), head.reason(arena));
    copy_end_to_end(head.fields(), arena, KnownSet::EMPTY, &mut out);
    write_end_of_head(&mut out);
    Some(out)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), scanned in 0usize..300) {
        let mut request = RequestHead::new();
        let mut response = ResponseHead::new();
        parse_request(&bytes, scanned, &HeadLimits::default(), &mut request);
        parse_response(&bytes, scanned, &HeadLimits::default(), &mut response);
    }

    #[test]
    fn accessors_do_not_panic_over_another_arena(bytes in nearly_request(), other in proptest::collection::vec(any::<u8>(), 0..40)) {
        let mut head = RequestHead::new();
        parse_request(&bytes, 0, &HeadLimits::default(), &mut head);
        for arena in [bytes.as_slice(), &other] {
            let _ = request_framing(&head, arena);
            let _ = (head.host(arena), head.path(arena), head.query(arena), head.authority(arena), head.target(arena));
            client_address(head.fields(), arena, std::net::Ipv4Addr::LOCALHOST.into(), |_| true);
            copy_end_to_end(head.fields(), arena, HOP_BY_HOP, &mut Vec::new());
        }
    }

    #[test]
    fn cuts_of_a_request_do_not_matter(
        bytes in nearly_request(),
        cuts in proptest::collection::vec(0usize..20, 0..20),
        complete in any::<bool>(),
    ) {
        let limits = HeadLimits::default();
        let bytes = if complete { [&bytes, b"\r\n\r\n".as_slice()].concat() } else { bytes };
        let (mut whole, mut pieces) = (RequestHead::new(), RequestHead::new());
        let verdict = parse_request(&bytes, 0, &limits, &mut whole);
        let piecewise = in_pieces(&bytes, &cuts, |bytes, scanned| {
            parse_request(bytes, scanned, &limits, &mut pieces)
        });
        prop_assert!(agree(verdict, piecewise, complete), "{:?} {:?}", verdict, piecewise);
        if let Parsed::Complete { .. } = verdict {
            prop_assert_eq!(format!("{whole:?}"), format!("{pieces:?}"));
        }
    }

    #[test]
    fn cuts_of_a_response_do_not_matter(
        bytes in nearly_response(),
        cuts in proptest::collection::vec(0usize..20, 0..20),
        complete in any::<bool>(),
    ) {
        let limits = HeadLimits::default();
        let bytes = if complete { [&bytes, b"\r\n\r\n".as_slice()].concat() } else { bytes };
        let (mut whole, mut pieces) = (ResponseHead::new(), ResponseHead::new());
        let verdict = parse_response(&bytes, 0, &limits, &mut whole);
        let piecewise = in_pieces(&bytes, &cuts, |bytes, scanned| {
            parse_response(bytes, scanned, &limits, &mut pieces)
        });
        prop_assert!(agree(verdict, piecewise, complete), "{:?} {:?}", verdict, piecewise);
        if let Parsed::Complete { .. } = verdict {
            prop_assert_eq!(format!("{whole:?}"), format!("{pieces:?}"));
        }
    }

    #[test]
    fn the_canonical_request_is_stable(bytes in nearly_request()) {
        if let Some(canonical) = canonical_request(&bytes) {
            let again = canonical_request(&canonical);
            prop_assert_eq!(Some(canonical.escape_ascii().to_string()), again.map(|bytes| bytes.escape_ascii().to_string()));
        }
    }

    #[test]
    fn the_canonical_response_is_stable(bytes in nearly_response()) {
        if let Some(canonical) = canonical_response(&bytes) {
            let again = canonical_response(&canonical);
            prop_assert_eq!(Some(canonical.escape_ascii().to_string()), again.map(|bytes| bytes.escape_ascii().to_string()));
        }
    }

    #[test]
    fn framing_of_a_parsed_response_does_not_panic(bytes in nearly_response()) {
        let mut head = ResponseHead::new();
        if let Parsed::Complete { head_len } = parse_response(&bytes, 0, &HeadLimits::default(), &mut head) {
            for method in [portway_core::http1::Method::Get, portway_core::http1::Method::Head, portway_core::http1::Method::Connect] {
                let _ = response_framing(&head, &bytes[..head_len], method);
            }
        }
    }
}
