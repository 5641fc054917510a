//! In which order HAProxy's tools see listeners and groups, under which names and numbers.
//!
//! A listener is a frontend, a group a backend; listeners that are known by one name are one frontend, and a listener
//! and a group that one section made are one proxy with both sides. Proxies stand in the order of the text.

use portway_model::name::Name;
use portway_model::snapshot::Snapshot;
use portway_model::span::Span;
use std::collections::HashSet;

/// A proxy as HAProxy's tools see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proxy {
    /// Its name.
    pub(crate) name: Name,
    /// Its `iid`.
    pub(crate) number: u32,
    /// Indices of its listeners; none where it is a backend only.
    pub(crate) listeners: Vec<usize>,
    /// Index of its group; none where it is a frontend only.
    pub(crate) group: Option<usize>,
    /// The `sid` of each target.
    pub(crate) targets: Vec<u32>,
}

/// A proxy on its way.
struct Found {
    name: Name,
    span: Span,
    number: Option<u32>,
    listeners: Vec<usize>,
    group: Option<usize>,
}

/// The proxies of a configuration.
pub(crate) fn proxies(snapshot: &Snapshot) -> Vec<Proxy> {
    let mut found: Vec<Found> = Vec::new();
    for (index, listener) in snapshot.listeners.iter().enumerate() {
        let known = found.iter_mut().find(|it| it.name == listener.known_as);
        match known {
            Some(known) => known.listeners.push(index),
            None => found.push(Found {
                name: listener.known_as.clone(),
                span: listener.origin.0,
                number: listener.number,
                listeners: vec![index],
                group: None,
            }),
        }
    }
    for (index, group) in snapshot.groups.iter().enumerate() {
        let span = group.origin.0;
        let one_section = |it: &&mut Found| {
            it.name == group.name && it.group.is_none() && !span.is_none() && it.span == span
        };
        match found.iter_mut().find(one_section) {
            Some(known) => known.group = Some(index),
            None => found.push(Found {
                name: group.name.clone(),
                span,
                number: group.number,
                listeners: Vec::new(),
                group: Some(index),
            }),
        }
    }
    // Stable: what no text made stays where it is.
    found.sort_by_key(|it| (it.span.file, it.span.start));
    numbered(snapshot, found)
}

/// Gives numbers as HAProxy does: those that are said, and the next free one for each other. The stats sockets are a
/// proxy of their own, the first.
fn numbered(snapshot: &Snapshot, found: Vec<Found>) -> Vec<Proxy> {
    let taken: HashSet<u32> = found.iter().filter_map(|it| it.number).collect();
    let mut next = 1;
    if !snapshot.process.control_sockets.is_empty() {
        take(&mut next, &taken);
    }
    found
        .into_iter()
        .map(|it| Proxy {
            number: it.number.unwrap_or_else(|| take(&mut next, &taken)),
            targets: it
                .group
                .and_then(|group| snapshot.groups.get(group))
                .map(|group| group.target_numbers())
                .unwrap_or_default(),
            name: it.name,
            listeners: it.listeners,
            group: it.group,
        })
        .collect()
}

/// The next number that is free.
fn take(next: &mut u32, taken: &HashSet<u32>) -> u32 {
    while taken.contains(next) {
        *next += 1;
    }
    let number = *next;
    *next += 1;
    number
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::compile_text;

    #[test]
    fn order_and_numbers() {
        let check = |text: &str, expected: &str| {
            let compiled = compile_text("test.toml", text);
            let snapshot = compiled
                .snapshot
                .unwrap_or_else(|| panic!("{:?}", compiled.diagnostics));
            let seen: Vec<String> = proxies(&snapshot)
                .iter()
                .map(|it| {
                    let side = |there: bool, side: &str| if there { side } else { "" }.to_owned();
                    let front = side(!it.listeners.is_empty(), "F");
                    let back = side(it.group.is_some(), "B");
                    let targets: Vec<String> = it.targets.iter().map(u32::to_string).collect();
                    format!(
                        "{}{front}{back} {}[{}]",
                        it.name,
                        it.number,
                        targets.join(" ")
                    )
                })
                .collect();
            assert_eq!(seen.join(", "), expected, "{text}");
        };
        let app = "[target_group.app]\ntargets = ['127.0.0.1:1', { address = '127.0.0.1:2', number = 1 }]\n";
        let web = "[listener.web]\nbind = '127.0.0.1:80'\nforward = 'app'\n";
        check(&format!("{app}{web}"), "appB 1[2 1], webF 2[]");
        check(&format!("{web}{app}"), "webF 1[], appB 2[2 1]");
        check(&format!("{web}number = 2\n{app}"), "webF 2[], appB 1[2 1]");
        let socket = "[process]\ncontrol_sockets = 'unix:/run/x'\n";
        check(&format!("{socket}{web}{app}"), "webF 2[], appB 3[2 1]");
        let tls = "[listener.other]\nbind = '127.0.0.1:81'\nknown_as = 'web'\nforward = 'app'\n";
        check(&format!("{web}{app}{tls}"), "webF 1[], appB 2[2 1]");
    }
}
