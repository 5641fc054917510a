//! Files of HAProxy: no panic, places within the text, and what was read prints to a native file that reads as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portway_dialects::{Inputs, haproxy, native};
use portway_model::span::FileId;

fuzz_target!(|text: &str| {
    let inputs = Inputs {
        environment: &|name| (name.len() % 2 == 0).then(|| format!("{name} x\"y")),
        read: &|path| match path.len() % 3 {
            0 => Err("it does not exist".to_owned()),
            1 => Ok(Vec::new()),
            _ => Ok(format!("{path}\n# x\n1.2.3.4 y\n").into_bytes()),
        },
        list: &|path| {
            path.ends_with('/')
                .then(|| vec!["a".to_owned(), "b.key".to_owned()])
        },
        resolve: &|name| match name.len() % 2 {
            0 => vec![std::net::IpAddr::from([127, 0, 0, 1])],
            _ => Vec::new(),
        },
    };
    let (draft, found) = haproxy::parse(FileId(0), text, &inputs);
    for label in found.iter().flat_map(|diagnostic| &diagnostic.labels) {
        assert!(text.get(label.span.range()).is_some(), "{label:?}");
    }
    if !found.has_errors() {
        let printed = native::print(&draft);
        let (again, found) = native::parse(FileId(0), &printed);
        assert!(!found.has_errors(), "{found:?}\n{printed}");
        assert_eq!(native::print(&again), printed);
    }
    let _ = haproxy::condition_holds(text, inputs.environment);
});
