//! The PROXY protocol: no panic, and what was read reads the same when we write it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portway_core::proxy_protocol::{Parts, Read, Tell, read, write_v1, write_v2};
use portway_model::proxied::ProxyField;

fuzz_target!(|bytes: &[u8]| {
    let Read::Whole(header, length) = read(bytes) else {
        return;
    };
    assert!(length <= bytes.len());
    assert_eq!(read(&bytes[..length]), Read::Whole(header, length));
    assert!(matches!(read(&bytes[..length - 1]), Read::Partial));
    for of in 0..=u8::MAX {
        let _ = header.parts.field(ProxyField::Type(of));
    }
    for field in [
        ProxyField::Verified,
        ProxyField::Cipher,
        ProxyField::AwsEndpoint,
        ProxyField::AzureEndpoint,
        ProxyField::GcpConnection,
    ] {
        let _ = header.parts.field(field);
    }
    let canonical = header.ends.map(|mut ends| {
        for end in [&mut ends.source, &mut ends.destination] {
            end.set_ip(end.ip().to_canonical());
        }
        ends
    });
    let same_family = canonical.is_none_or(|it| it.source.is_ipv4() == it.destination.is_ipv4());
    for second in [false, true] {
        let mut out = Vec::new();
        let others: Vec<_> = header.parts.passable().collect();
        if second {
            let tell = Tell {
                others: &others,
                checksum: bytes.len() % 2 == 0,
                ..Tell::default()
            };
            write_v2(header.ends, tell, &mut out);
        } else {
            write_v1(header.ends, &mut out);
        }
        let Read::Whole(again, whole) = read(&out) else {
            panic!("what we write is a header");
        };
        assert_eq!(whole, out.len());
        assert!(!same_family || again.ends == canonical);
        if second && header.ends.is_some() {
            assert!(again.parts.passable().eq(others));
        } else {
            assert_eq!(again.parts, Parts::default());
        }
    }
});
