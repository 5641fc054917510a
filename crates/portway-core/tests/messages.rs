//! Properties of what comes from servers of names and from responders: whatever the bytes, nothing panics, and what is read is
//! sound. The same is fuzzed (`fuzz/fuzz_targets/dns.rs`, `ocsp.rs`).

#![cfg(test)]

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use portway_core::dns::{Data, Kind, Question, Reply, question, read};
use portway_core::ocsp::{CertificateId, Response, certificate_id, request};
use proptest::prelude::*;

const NUMBER: u16 = 7;
const KINDS: [Kind; 3] = [Kind::A, Kind::Aaaa, Kind::Srv];

fn asked(kind: Kind) -> Question {
    Question::new("app.example", kind).expect("a name")
}

/// The head of an answer to a question, with these counts of records, and what follows.
fn answer(kind: Kind, counts: [u16; 3], rest: &[u8]) -> Vec<u8> {
    let mut bytes = question(NUMBER, &asked(kind), None).expect("a question");
    bytes[2] |= 0x80;
    for (at, count) in [6, 8, 10].into_iter().zip(counts) {
        bytes[at..at + 2].copy_from_slice(&count.to_be_bytes());
    }
    bytes.extend_from_slice(rest);
    bytes
}

/// A record of the name that was asked for, by a pointer to it.
fn record(kind: u16, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).expect("short");
    let head = [0xC0, 12, 0, 0, 0, 1, 0, 0, 0, 60];
    let mut bytes = head.to_vec();
    bytes[2..4].copy_from_slice(&kind.to_be_bytes());
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(data);
    bytes
}

/// Records that are nearly right: of known kinds, with data of any length.
fn records() -> impl Strategy<Value = Vec<u8>> {
    let kinds = proptest::sample::select(vec![1_u16, 5, 6, 28, 33, 41]);
    let data = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..24),
        Just(vec![0xC0, 12]),
        Just(vec![0, 1, 0, 2, 0, 80, 1, b'a', 0xC0, 12]),
        Just(vec![192, 0, 2, 1]),
    ];
    let one = (kinds, data).prop_map(|(kind, data)| record(kind, &data));
    proptest::collection::vec(one, 0..12).prop_map(|all| all.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_of_a_server_of_names(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        counts in any::<[u16; 3]>(),
    ) {
        for kind in KINDS {
            let _ = read(&bytes, NUMBER, &asked(kind));
            let _ = read(&answer(kind, counts, &bytes), NUMBER, &asked(kind));
        }
    }

    #[test]
    fn records_that_are_nearly_right(rest in records(), count in 0u16..16) {
        for kind in KINDS {
            let bytes = answer(kind, [count, 0, 0], &rest);
            if let Ok(Reply::Found(data, _)) = read(&bytes, NUMBER, &asked(kind)) {
                prop_assert!(!data.is_empty());
                let distinct: HashSet<&Data> = data.iter().collect();
                prop_assert_eq!(distinct.len(), data.len());
                let fits = |it: &Data| match (it, kind) {
                    (Data::Address(ip), Kind::A) => ip.is_ipv4(),
                    (Data::Address(ip), Kind::Aaaa) => ip.is_ipv6(),
                    (Data::Service(_), Kind::Srv) => true,
                    _ => false,
                };
                prop_assert!(data.iter().all(fits));
            }
        }
    }

    #[test]
    fn any_bytes_of_a_responder(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Response::read(&bytes);
        let _ = CertificateId::read(&bytes);
        // Behind the heads of an answer.
        let wrap = |tag: u8, inner: &[u8]| {
            let length = u16::try_from(inner.len()).expect("short").to_be_bytes();
            [&[tag, 0x82, length[0], length[1]], inner].concat()
        };
        let basic = [6, 9, 43, 6, 1, 5, 5, 7, 48, 1, 1];
        let response = wrap(0x30, &[&basic[..], &wrap(4, &wrap(0x30, &bytes))].concat());
        let whole = wrap(0x30, &[&[10, 1, 0][..], &wrap(0xA0, &response)].concat());
        let _ = Response::read(&whole);
    }

    #[test]
    fn certificates_are_called_what_they_are(
        name in any::<[u8; 20]>(),
        key in any::<[u8; 20]>(),
        serial in proptest::collection::vec(any::<u8>(), 1..160),
    ) {
        let id = certificate_id(&name, &key, &serial);
        let read = CertificateId::read(&id).expect("one of ours");
        prop_assert_eq!(read.issuer_name, &name);
        prop_assert_eq!(read.issuer_key, &key);
        prop_assert!(serial.ends_with(read.serial));
        let asked = request(id.clone());
        prop_assert!(asked.ends_with(&id));
    }
}

/// As many records as a message holds: all different, and all the same. What it takes grows with the message and not with its square, by
/// a bound that is far from either.
#[test]
fn the_longest_answer_is_read_in_no_time() {
    for same in [false, true] {
        let records = (0..4096_u32).map(|number| {
            let number = if same { 9 } else { number };
            let ip = Ipv4Addr::from(0x0A00_0000 + number);
            record(1, &ip.octets())
        });
        let rest: Vec<u8> = records.flatten().collect();
        let bytes = answer(Kind::A, [4096, 0, 0], &rest);
        let begun = Instant::now();
        let Ok(Reply::Found(data, _)) = read(&bytes, NUMBER, &asked(Kind::A)) else {
            panic!("an answer");
        };
        assert_eq!(data.len(), if same { 1 } else { 4096 });
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}
