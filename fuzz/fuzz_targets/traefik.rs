//! Files of Traefik and compose files: no panic, places within the text, and what was read prints to a native file that reads
//! as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portway_dialects::traefik::{File, Options, parse_all};
use portway_dialects::{Inputs, native};
use portway_model::span::FileId;

fuzz_target!(|text: &str| {
    let inputs = Inputs {
        environment: &|name| (name.len() % 2 == 0).then(|| format!("{name} x\"y")),
        read: &|path| match path.len() % 2 {
            0 => Err("it does not exist".to_owned()),
            _ => Ok(b"anna:$2y$05$x\n# x\n".to_vec()),
        },
        list: &|_| None,
        resolve: &|_| Vec::new(),
    };
    let options = Options {
        addresses: vec![("app".to_owned(), "10.0.0.1".to_owned())],
    };
    for name in ["a.yml", "a.toml"] {
        let file = File {
            id: FileId(0),
            name,
            text,
        };
        let (draft, found) = parse_all(&[file], &options, &inputs);
        for label in found.iter().flat_map(|diagnostic| &diagnostic.labels) {
            assert!(text.get(label.span.range()).is_some(), "{label:?}");
        }
        if !found.has_errors() {
            let printed = native::print(&draft);
            let (again, found) = native::parse(FileId(0), &printed);
            assert!(!found.has_errors(), "{found:?}\n{printed}");
            assert_eq!(native::print(&again), printed);
        }
    }
});
