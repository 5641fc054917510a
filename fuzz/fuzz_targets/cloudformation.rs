//! CloudFormation templates: no panic, places within the text, and what was read prints to a native file that reads as the
//! same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portway_dialects::cloudformation::{File, Given, Unset, parse_all};
use portway_dialects::native;
use portway_model::span::FileId;

fuzz_target!(|text: &str| {
    let pairs = |pairs: &[(&str, &str)]| {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    };
    let given = Given {
        placeholders: pairs(&[("a", "1"), ("b", "@c.pem")]),
        parameters: pairs(&[("A", "1,2"), ("AWS::Region", "x")]),
        targets: pairs(&[("A", "10.0.0.1:80"), ("B", "a.b")]),
        certificates: pairs(&[("C", "c.pem,c.key")]),
        source_groups: pairs(&[("A", "10.0.0.0/8,::1/128")]),
        unset: if text.len() % 2 == 0 {
            Unset::Warned
        } else {
            Unset::Refused
        },
        ignore_other_resources: text.len() % 3 == 0,
        ..Given::default()
    };
    let file = File {
        id: FileId(0),
        text,
    };
    let (draft, found) = parse_all(&[file], &given);
    for label in found.iter().flat_map(|diagnostic| &diagnostic.labels) {
        assert!(text.get(label.span.range()).is_some(), "{label:?}");
    }
    if !found.has_errors() {
        let printed = native::print(&draft);
        let (again, found) = native::parse(FileId(0), &printed);
        assert!(!found.has_errors(), "{found:?}\n{printed}");
        assert_eq!(native::print(&again), printed);
    }
});
