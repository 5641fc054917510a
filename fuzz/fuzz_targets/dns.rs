//! Answers of servers of names: no panic, and what is read is of the kind that was asked for, each once.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portway_core::dns::{Data, Kind, Question, Reply, read};
use std::collections::HashSet;

fuzz_target!(|bytes: &[u8]| {
    let number = bytes.first_chunk().map_or(0, |it| u16::from_be_bytes(*it));
    for kind in [Kind::A, Kind::Aaaa, Kind::Srv] {
        let asked = Question::new("app.example", kind).unwrap();
        let Ok(Reply::Found(data, _)) = read(bytes, number, &asked) else {
            continue;
        };
        assert!(!data.is_empty());
        assert_eq!(data.iter().collect::<HashSet<_>>().len(), data.len());
        assert!(data.iter().all(|it| match (it, kind) {
            (Data::Address(ip), Kind::A) => ip.is_ipv4(),
            (Data::Address(ip), Kind::Aaaa) => ip.is_ipv6(),
            (Data::Service(_), kind) => kind == Kind::Srv,
            _ => false,
        }));
    }
});
