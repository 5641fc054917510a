//! Headers as the specification and HAProxy write them, and every header there and back.

use super::*;
use portway_model::proxied::ProxyField;
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
        Some(Header {
            parts: Parts::checked(&[4, 0, 2, 1, 2, 0xE0, 0, 0]).unwrap(),
            ..header(ends("192.0.2.1:1", "198.51.100.2:2"))
        }),
    );
    assert_eq!(read(&binary(0x21, 0x11, &[0; MAX_HEADER])), Read::Refused);
}

/// A header of version 2 for a client of IPv4 with these parts.
fn with_parts(parts: &[u8]) -> Vec<u8> {
    let mut out = SIGNATURE.to_vec();
    out.extend([PROXY, TCP4]);
    out.extend((12 + parts.len() as u16).to_be_bytes());
    out.extend([192, 0, 2, 1, 198, 51, 100, 2, 0, 1, 0, 2]);
    out.extend(parts);
    out
}

/// What clouds and proxies tell, as their documents have it.
#[test]
fn parts_of_clouds_and_of_tls() {
    let check = |parts: &[u8], expected: &[(ProxyField, Option<Part<'_>>)]| {
        let bytes = with_parts(parts);
        let Read::Whole(header, _) = read(&bytes) else {
            panic!("refused: {parts:?}");
        };
        for (field, value) in expected {
            assert_eq!(header.parts.field(*field), *value, "{field:?} of {parts:?}");
        }
    };
    let bytes = |text: &'static str| Some(Part::Bytes(text.as_bytes()));
    check(
        b"\xEA\0\x0B\x01vpce-08d2b",
        &[
            (ProxyField::AwsEndpoint, bytes("vpce-08d2b")),
            (ProxyField::Type(0xEA), bytes("\x01vpce-08d2b")),
            (ProxyField::AzureEndpoint, None),
            (ProxyField::Tls, Some(Part::Truth(false))),
        ],
    );
    // Another subtype, and none.
    check(b"\xEA\0\x02\x02x", &[(ProxyField::AwsEndpoint, None)]);
    check(b"\xEA\0\0", &[(ProxyField::AwsEndpoint, None)]);
    check(
        b"\xEE\0\x05\x01\x78\x56\x34\x12",
        &[(ProxyField::AzureEndpoint, Some(Part::Number(0x1234_5678)))],
    );
    check(
        b"\xEE\0\x04\x01\0\0\0",
        &[(ProxyField::AzureEndpoint, None)],
    );
    check(
        b"\xE0\0\x08\0\0\0\x01\0\0\0\x02",
        &[(ProxyField::GcpConnection, Some(Part::Number(0x1_0000_0002)))],
    );
    check(
        b"\xE0\0\x07\0\0\0\x01\0\0\0",
        &[(ProxyField::GcpConnection, None)],
    );
    let tls = b"\x20\0\x2A\x07\0\0\0\0\x21\0\x07TLSv1.3\x22\0\x02me\x25\0\x05EC256\x24\0\x06SHA256\x23\0\x02AB";
    check(
        tls,
        &[
            (ProxyField::Tls, Some(Part::Truth(true))),
            (ProxyField::Verified, Some(Part::Truth(true))),
            (ProxyField::TlsVersion, bytes("TLSv1.3")),
            (ProxyField::CommonName, bytes("me")),
            (ProxyField::Key, bytes("EC256")),
            (ProxyField::Signature, bytes("SHA256")),
            (ProxyField::Cipher, bytes("AB")),
        ],
    );
    // A client without TLS has no details of it, and one whose certificate did not hold is not verified.
    check(
        b"\x20\0\x0C\0\0\0\0\0\x21\0\x04TLSv",
        &[
            (ProxyField::Tls, Some(Part::Truth(false))),
            (ProxyField::TlsVersion, None),
        ],
    );
    check(
        b"\x20\0\x05\x07\0\0\0\x0A",
        &[(ProxyField::Verified, Some(Part::Truth(false)))],
    );
    check(
        b"\x02\0\x01a\x02\0\x01b\x30\0\x03net",
        &[
            (ProxyField::Authority, bytes("b")),
            (ProxyField::NetworkNamespace, bytes("net")),
        ],
    );
    let long = |of: u8, length: u8| [&[of, 0, length][..], &vec![b'x'; length.into()]].concat();
    for (parts, fits) in [
        (long(2, 255), true),
        ([&[2, 1, 0][..], &[b'x'; 256]].concat(), false),
        (long(5, 128), true),
        (long(5, 129), false),
        (b"\x20\0\x04\x01\0\0\0".to_vec(), false),
        (b"\x20\0\x06\x01\0\0\0\0\x21".to_vec(), false),
        (b"\x02\0".to_vec(), false),
    ] {
        let bytes = with_parts(&parts);
        assert_eq!(matches!(read(&bytes), Read::Whole(..)), fits, "{parts:?}");
    }
}

/// A client of a UNIX socket has no address, but what is told of it counts.
#[test]
fn parts_behind_paths() {
    let mut out = SIGNATURE.to_vec();
    out.extend([PROXY, UNIX]);
    out.extend((216_u16 + 4).to_be_bytes());
    out.extend([0; 216]);
    out.extend(b"\x02\0\x01a");
    let Read::Whole(header, _) = read(&out) else {
        panic!("refused");
    };
    assert_eq!((header.ends, header.parts.of(2)), (None, Some(&b"a"[..])));
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
        verify in prop_oneof![Just(0_u32), 1_u32..100],
        others in proptest::collection::vec((0xE0..=0xFF_u8, proptest::collection::vec(any::<u8>(), 0..40)), 0..5),
        flags: [bool; 5], rest: Vec<u8>, cut: prop::sample::Index, flip: prop::sample::Index,
    ) {
        let [checksum, with_tls, spoken, certificate, resumed] = flags;
        let certificate = certificate.then_some(TellCertificate { resumed, verify });
        let tls = TellTls {
            spoken, certificate, version: version.as_deref(), common_name: name.as_deref(),
            ..TellTls::default()
        };
        let others: Vec<(u8, &[u8])> = others.iter().map(|(of, value)| (*of, value.as_slice())).collect();
        let tell = Tell {
            alpn: alpn.as_deref(), authority: authority.as_deref(), unique_id: None,
            tls: with_tls.then_some(tls), checksum, others: &others,
        };
        let mut out = Vec::new();
        write_v2(ends, tell, &mut out);
        prop_assert_eq!(read(&out[..cut.index(out.len())]), Read::Partial);
        let length = out.len();
        out.extend(rest);
        let Read::Whole(told, whole) = read(&out) else {
            panic!("what we write is a header");
        };
        prop_assert_eq!((told.ends, whole), (ends, length));
        let of = |field| told.parts.field(field);
        if ends.is_none() {
            prop_assert_eq!(told.parts, Parts::default());
        } else {
            let with = with_tls && spoken;
            let bytes = |value: &Option<Vec<u8>>, told: bool| value.clone().filter(|_| told);
            for (field, expected) in [
                (ProxyField::Alpn, bytes(&alpn, true)),
                (ProxyField::Authority, bytes(&authority, true)),
                (ProxyField::UniqueId, None),
                (ProxyField::TlsVersion, bytes(&version, with)),
                (ProxyField::CommonName, bytes(&name, with)),
                (ProxyField::Cipher, None),
            ] {
                prop_assert_eq!(of(field), expected.as_deref().map(Part::Bytes));
            }
            prop_assert_eq!(of(ProxyField::Tls), Some(Part::Truth(with)));
            prop_assert_eq!(of(ProxyField::Verified), Some(Part::Truth(with && certificate.is_some() && verify == 0)));
            for (at, (of, _)) in others.iter().enumerate() {
                let last = others[at..].iter().rfind(|(it, _)| it == of);
                prop_assert_eq!(told.parts.of(*of), last.map(|(_, value)| *value));
            }
            let again = told.parts.passable().filter(|(of, _)| *of >= 0xE0).collect::<Vec<_>>();
            prop_assert_eq!(again, others);
        }
        if checksum && ends.is_some() {
            let index = flip.index(length);
            out[index] ^= 0x40;
            let damaged = matches!(read(&out), Read::Whole(it, _) if it.ends.is_some());
            // Unless it is the checksum's own type, which is not looked for then, or the length, which can end
            // the header in front of it.
            let v4 = ends.is_some_and(|ends| ends.source.is_ipv4());
            let own = if v4 { 28 } else { 52 };
            prop_assert!(!damaged || index == own || index == 15);
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
