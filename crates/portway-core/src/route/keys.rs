//! What a condition needs of host and path.
//!
//! The keys of a condition are alternatives: where it holds, the exchange has the host and the path of at least
//! one of them. The opposite is not said, so a key may leave out any part of the condition; the condition itself
//! is tested afterwards.

use portway_model::expression::{Condition, Matcher, Test, TextMatch, Value};
use portway_model::stage::Resolved;

/// Alternatives of a rule that pairs of hosts and paths may make: 8 hosts with 8 paths. Beyond it only one of the
/// two is used, so that the index stays in proportion to the text of the rules.
const PAIRS_MAX: usize = 64;

/// What the host must be. `Ord` is from wide to narrow.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum HostKey {
    /// Anything, or absent.
    Any,
    /// Ends with this, which begins with a dot.
    Suffix(Vec<u8>),
    /// This.
    Exact(Vec<u8>),
}

/// What the path must be. `Ord` is from wide to narrow.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PathKey {
    /// Anything, or absent.
    Any,
    /// Begins with this, which is not empty.
    Prefix(Vec<u8>),
    /// This.
    Exact(Vec<u8>),
}

/// One alternative.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) host: HostKey,
    pub(super) path: PathKey,
}

impl Key {
    pub(super) const ANY: Key = Key {
        host: HostKey::Any,
        path: PathKey::Any,
    };

    fn of_host(host: HostKey) -> Self {
        Key {
            host,
            path: PathKey::Any,
        }
    }

    fn of_path(path: PathKey) -> Self {
        Key {
            host: HostKey::Any,
            path,
        }
    }

    /// What both need: of each part the narrower need.
    fn and(&self, other: &Key) -> Key {
        Key {
            host: self.host.clone().max(other.host.clone()),
            path: self.path.clone().max(other.path.clone()),
        }
    }
}

/// The alternatives of a condition; [`Key::ANY`] alone where it needs nothing that is indexed, none where it
/// cannot hold.
pub(super) fn keys(condition: &Condition<Resolved>) -> Vec<Key> {
    match condition {
        Condition::All(parts) => parts.iter().map(keys).fold(vec![Key::ANY], both),
        Condition::Any(parts) => one_any(parts.iter().flat_map(keys).collect()),
        Condition::Not(_) => vec![Key::ANY],
        Condition::Test(test) => one_any(keys_of_test(&test.value)),
    }
}

/// [`Key::ANY`] says as much alone as with others.
fn one_any(keys: Vec<Key>) -> Vec<Key> {
    if keys.contains(&Key::ANY) {
        vec![Key::ANY]
    } else {
        keys
    }
}

fn both(some: Vec<Key>, other: Vec<Key>) -> Vec<Key> {
    if some == [Key::ANY] {
        return other;
    }
    if other == [Key::ANY] {
        return some;
    }
    if some.len().saturating_mul(other.len()) > PAIRS_MAX {
        return if some.len() <= other.len() {
            some
        } else {
            other
        };
    }
    some.iter()
        .flat_map(|some| other.iter().map(|other| some.and(other)))
        .collect()
}

fn keys_of_test(test: &Test<Resolved>) -> Vec<Key> {
    let Matcher::Text {
        how,
        any_of,
        ignore_case,
    } = &test.matcher
    else {
        return vec![Key::ANY];
    };
    if !test.expression.transforms.is_empty() {
        return vec![Key::ANY];
    }
    let patterns = any_of.iter().map(|pattern| pattern.as_bytes());
    match (&test.expression.value, ignore_case) {
        (Value::Host, false) => patterns
            .map(|pattern| Key::of_host(host_key(*how, pattern)))
            .collect(),
        // The host is in lower case.
        (Value::Host, true) => patterns
            .map(|pattern| Key::of_host(host_key(*how, &pattern.to_ascii_lowercase())))
            .collect(),
        (Value::Path, false) => patterns
            .map(|pattern| Key::of_path(path_key(*how, pattern)))
            .collect(),
        _ => vec![Key::ANY],
    }
}

fn host_key(how: TextMatch, pattern: &[u8]) -> HostKey {
    match how {
        TextMatch::Exact => HostKey::Exact(pattern.to_vec()),
        TextMatch::Suffix => suffix_key(pattern),
        TextMatch::Glob if !pattern.iter().any(is_wildcard) => HostKey::Exact(pattern.to_vec()),
        TextMatch::Glob => suffix_key(pattern.rsplit(is_wildcard).next().unwrap_or_default()),
        TextMatch::Prefix | TextMatch::Contains | TextMatch::Segment | TextMatch::Label => {
            HostKey::Any
        }
    }
}

/// Every host that ends with `tail` ends with its part from the first dot on.
fn suffix_key(tail: &[u8]) -> HostKey {
    let dot = tail.iter().position(|&byte| byte == b'.');
    match dot.and_then(|dot| tail.get(dot..)) {
        Some(suffix) => HostKey::Suffix(suffix.to_vec()),
        None => HostKey::Any,
    }
}

fn path_key(how: TextMatch, pattern: &[u8]) -> PathKey {
    match how {
        TextMatch::Exact => PathKey::Exact(pattern.to_vec()),
        TextMatch::Prefix => prefix_key(pattern),
        TextMatch::Glob if !pattern.iter().any(is_wildcard) => PathKey::Exact(pattern.to_vec()),
        TextMatch::Glob => prefix_key(pattern.split(is_wildcard).next().unwrap_or_default()),
        TextMatch::Suffix | TextMatch::Contains | TextMatch::Segment | TextMatch::Label => {
            PathKey::Any
        }
    }
}

fn prefix_key(prefix: &[u8]) -> PathKey {
    if prefix.is_empty() {
        PathKey::Any
    } else {
        PathKey::Prefix(prefix.to_vec())
    }
}

fn is_wildcard(byte: &u8) -> bool {
    matches!(byte, b'*' | b'?')
}
