//! Headers as the specification and HAProxy write them, and every header there and back.

use super::*;
use proptest::prelude::*;

fn ends(source: &str, destination: &str) -> Option<Ends> {
    Some(Ends {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
    })
}

fn header(ends: Option<Ends>) -> Header<'static> {
    Header {
        ends,
        ..Header::default()
    }
}

#[test]
fn lines() {
    let check = |text: &str, expected: Option<Option<Ends>>| {
        let expected = match expected {
            Some(ends) => Read::Whole(header(ends), text.find('\n').unwrap() + 1),
            None => Read::Refused,
        };
        assert_eq!(read(text.as_bytes()), expected, "{text:?}");
    };
    check(
        "PROXY TCP4 192.0.2.1 198.51.100.2 65535 1\r\nGET / HTTP/1.1\r\n",
        Some(ends("192.0.2.1:65535", "198.51.100.2:1")),
    );
    check(
        "PROXY TCP6 2001:db8::1 ::ffff:192.0.2.1 1 2\r\n",
        Some(ends("[2001:db8::1]:1", "[::ffff:192.0.2.1]:2")),
    );
    check("PROXY UNKNOWN\r\n", Some(None));
    check(
        "PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n",
        Some(None),
    );
    for wrong in [
        "PROXY TCP4 192.0.2.1 198.51.100.2 65536 1\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 1 2 3\r\n",
        "PROXY TCP4  192.0.2.1 198.51.100.2 1 2\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 +1 2\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 1 2\n",
        "PROXY UDP4 192.0.2.1 198.51.100.2 1 2\r\n",
        "PROXY \r\n",
        "PROXYTCP4 ",
        "proxy UNKNOWN\r\n",
        "GET / HTTP/1.1\r\n",
    ] {
        check(wrong, None);
    }
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(91));
    check(&long, Some(None));
    check(&format!("PROXY UNKNOWN {}\r\n", "x".repeat(92)), None);
}

#[test]
fn commands_families_and_checksums() {
    let binary = |command: u8, family: u8, content: &[u8]| {
        let mut out = SIGNATURE.to_vec();
        out.extend([command, family]);
        out.extend((content.len() as u16).to_be_bytes());
        out.extend(content);
        out
    };
    let v4 = [192, 0, 2, 1, 198, 51, 100, 2, 0, 1, 0, 2];
    let check = |bytes: &[u8], expected: Option<Header<'_>>| {
        let expected = expected.map_or(Read::Refused, |it| Read::Whole(it, bytes.len()));
        assert_eq!(read(bytes), expected, "{bytes:?}");
    };
    check(
        &binary(0x21, 0x11, &v4),
        Some(header(ends("192.0.2.1:1", "198.51.100.2:2"))),
    );
    check(&binary(0x20, 0x11, &v4), Some(header(None)));
    check(&binary(0x20, 0x00, b"anything"), Some(header(None)));
    check(&binary(0x21, 0x00, b""), Some(header(None)));
    check(&binary(0x21, 0x31, &[0; 216]), Some(header(None)));
    // UDP is not what this connection is.
    check(&binary(0x21, 0x12, &v4), Some(header(None)));
    check(&binary(0x21, 0x11, &v4[..11]), None);
    check(&binary(0x21, 0x21, &[0; 35]), None);
    check(&binary(0x22, 0x11, &v4), None);
    check(&binary(0x11, 0x11, &v4), None);
    check(
        &binary(0x21, 0x11, &[&v4[..], &[4, 0, 9, 1]].concat()),
        None,
    );
    check(
        &binary(0x21, 0x11, &[&v4[..], &[3, 0, 4, 1, 2, 3, 4]].concat()),
        None,
    );
    check(
        &binary(0x21, 0x11, &[&v4[..], &[3, 0, 3, 1, 2, 3]].concat()),
        None,
    );
    check(
        &binary(
            0x21,
            0x11,
            &[&v4[..], &[4, 0, 2, 1, 2, 0xE0, 0, 0]].concat(),
        ),
        Some(header(ends("192.0.2.1:1", "198.51.100.2:2"))),
    );
    assert_eq!(read(&binary(0x21, 0x11, &[0; MAX_HEADER])), Read::Refused);
}

#[test]
fn unlike_families_are_written_as_one() {
    let mixed = ends("192.0.2.1:1", "[2001:db8::1]:2");
    let mut out = Vec::new();
    write_v1(mixed, &mut out);
    assert_eq!(out, b"PROXY UNKNOWN\r\n");
    out.clear();
    write_v2(mixed, Tell::default(), &mut out);
    let expected = header(ends("[::ffff:192.0.2.1]:1", "[2001:db8::1]:2"));
    assert_eq!(read(&out), Read::Whole(expected, out.len()));
}

fn any_ends() -> impl Strategy<Value = Option<Ends>> {
    let port = any::<u16>();
    let v4 = (any::<[u8; 4]>(), any::<[u8; 4]>())
        .prop_map(|(a, b)| (std::net::IpAddr::from(a), std::net::IpAddr::from(b)));
    let v6 = (any::<[u16; 7]>(), any::<[u16; 7]>()).prop_map(|(a, b)| {
        let of =
            |[b, c, d, e, f, g, h]: [u16; 7]| std::net::IpAddr::from([0x2001, b, c, d, e, f, g, h]);
        (of(a), of(b))
    });
    proptest::option::of(
        (prop_oneof![v4, v6], port, port).prop_map(|((a, b), p, q)| Ends {
            source: (a, p).into(),
            destination: (b, q).into(),
        }),
    )
}

fn value() -> impl Strategy<Value = Option<Vec<u8>>> {
    proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40))
}

proptest! {
    #[test]
    fn lines_there_and_back(ends in any_ends(), rest: Vec<u8>, cut: prop::sample::Index) {
        let mut out = Vec::new();
        write_v1(ends, &mut out);
        prop_assert_eq!(read(&out[..cut.index(out.len())]), Read::Partial);
        let length = out.len();
        out.extend(rest);
        prop_assert_eq!(read(&out), Read::Whole(header(ends), length));
    }

    #[test]
    fn headers_there_and_back(
        ends in any_ends(), alpn in value(), authority in value(), version in value(), name in value(),
        flags: [bool; 4], rest: Vec<u8>, cut: prop::sample::Index, flip: prop::sample::Index,
    ) {
        let [checksum, with_tls, spoken, certificate] = flags;
        let tls = TellTls { spoken, certificate, version: version.as_deref(), common_name: name.as_deref(), cipher: None };
        let tell = Tell {
            alpn: alpn.as_deref(), authority: authority.as_deref(), unique_id: None,
            tls: with_tls.then_some(tls), checksum,
        };
        let mut out = Vec::new();
        write_v2(ends, tell, &mut out);
        prop_assert_eq!(read(&out[..cut.index(out.len())]), Read::Partial);
        let length = out.len();
        let told = Tls { verified: certificate, version: tls.version, common_name: tls.common_name, cipher: None };
        let expected = if ends.is_some() {
            Header {
                ends, alpn: tell.alpn, authority: tell.authority, unique_id: None,
                tls: (with_tls && spoken).then_some(told),
            }
        } else {
            header(None)
        };
        out.extend(rest);
        prop_assert_eq!(read(&out), Read::Whole(expected, length));
        if checksum && ends.is_some() {
            let index = flip.index(length);
            out[index] ^= 0x40;
            let damaged = matches!(read(&out), Read::Whole(it, _) if it.ends.is_some());
            // Unless it is the checksum's own type: then it is not looked for.
            let v4 = ends.is_some_and(|ends| ends.source.is_ipv4());
            let own = if v4 { 28 } else { 52 };
            prop_assert!(!damaged || index == own);
        }
    }

    #[test]
    fn nothing_panics(bytes: Vec<u8>, kind in 0..3) {
        let front: &[u8] = match kind { 0 => b"", 1 => b"PROXY ", _ => &SIGNATURE };
        let bytes = [front, &bytes].concat();
        if let Read::Whole(_, length) = read(&bytes) {
            prop_assert!(length <= bytes.len() && length <= MAX_HEADER);
        }
    }
}
