//! Candidates by host and path: maps of exact hosts and of host suffixes, and for each of them a map of exact
//! paths and a table of path prefixes.
//!
//! Keys come from the configuration, so no request can make them collide; a foreign host costs one probe for
//! itself and one for each of its endings that is as short as a configured one.

use super::keys::{HostKey, Key, PathKey, keys};
use portway_model::action::Rule;
use portway_model::stage::Resolved;
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

type ByText<V> = HashMap<Box<[u8]>, V, BuildHasherDefault<TextHasher>>;

/// Indices of rules, ascending.
type List = Box<[u32]>;

/// All rules of a list, filed by what they need.
#[derive(Debug, Clone)]
pub(super) struct Index {
    hosts: ByText<Paths>,
    /// By suffixes that begin with a dot.
    suffixes: ByText<Paths>,
    /// Dots of the suffix that has most.
    suffix_dots: usize,
    /// Rules that need no host.
    any_host: Paths,
    /// By rule: it needs a host or a path.
    keyed: Box<[bool]>,
}

impl Index {
    pub(super) fn build(rules: &[Rule<Resolved>]) -> Self {
        let mut hosts: BTreeMap<HostKey, Drawer> = BTreeMap::new();
        let mut keyed = Vec::with_capacity(rules.len());
        for (number, rule) in (0_u32..).zip(rules) {
            let keys = keys(&rule.condition);
            keyed.push(keys != [Key::ANY]);
            for key in keys {
                hosts.entry(key.host).or_default().file(key.path, number);
            }
        }
        let mut index = Index {
            hosts: ByText::default(),
            suffixes: ByText::default(),
            suffix_dots: 0,
            any_host: Paths::default(),
            keyed: keyed.into(),
        };
        for (host, drawer) in hosts {
            let paths = Paths::build(drawer);
            match host {
                HostKey::Any => index.any_host = paths,
                HostKey::Exact(host) => {
                    index.hosts.insert(host.into(), paths);
                }
                HostKey::Suffix(suffix) => {
                    let dots = memchr::memchr_iter(b'.', &suffix).count();
                    index.suffix_dots = index.suffix_dots.max(dots);
                    index.suffixes.insert(suffix.into(), paths);
                }
            }
        }
        index
    }

    /// How many rules need a host or a path.
    pub(super) fn keyed_rules(&self) -> usize {
        self.keyed.iter().filter(|&&keyed| keyed).count()
    }

    /// Whether this rule needs a host or a path.
    pub(super) fn is_keyed(&self, rule: usize) -> bool {
        self.keyed.get(rule).copied().unwrap_or(false)
    }

    /// Calls `visit` with every list that may hold a rule for this host and path, narrow ones first. A rule may be
    /// in several.
    pub(super) fn lists(
        &self,
        host: Option<&[u8]>,
        path: Option<&[u8]>,
        visit: &mut impl FnMut(&[u32]),
    ) {
        if let Some(host) = host {
            if let Some(paths) = self.hosts.get(host) {
                paths.lists(path, visit);
            }
            for dot in memchr::memrchr_iter(b'.', host).take(self.suffix_dots) {
                let found = host.get(dot..).and_then(|end| self.suffixes.get(end));
                if let Some(paths) = found {
                    paths.lists(path, visit);
                }
            }
        }
        self.any_host.lists(path, visit);
    }
}

/// Rules of one host by path, while the index is built.
#[derive(Debug, Default)]
struct Drawer {
    paths: BTreeMap<PathKey, Vec<u32>>,
}

impl Drawer {
    /// Rules come in ascending order; one with the same key twice is filed once.
    fn file(&mut self, path: PathKey, rule: u32) {
        let list = self.paths.entry(path).or_default();
        if list.last() != Some(&rule) {
            list.push(rule);
        }
    }
}

/// Rules of one host by path.
#[derive(Debug, Clone, Default)]
struct Paths {
    exact: ByText<List>,
    prefixes: Prefixes,
    any: List,
}

impl Paths {
    fn build(drawer: Drawer) -> Self {
        let mut paths = Paths::default();
        let mut prefixes = Vec::new();
        for (path, list) in drawer.paths {
            match path {
                PathKey::Any => paths.any = list.into(),
                PathKey::Exact(path) => {
                    paths.exact.insert(path.into(), list.into());
                }
                PathKey::Prefix(prefix) => prefixes.push((prefix, list)),
            }
        }
        paths.prefixes = Prefixes::build(prefixes);
        paths
    }

    fn lists(&self, path: Option<&[u8]>, visit: &mut impl FnMut(&[u32])) {
        if let Some(path) = path {
            if let Some(list) = self.exact.get(path) {
                visit(list);
            }
            self.prefixes.lists(path, visit);
        }
        if !self.any.is_empty() {
            visit(&self.any);
        }
    }
}

/// Prefixes in the order of their bytes, each with the longest other that it begins with.
///
/// Everything between a prefix of a path and the path itself, in this order, begins with that prefix. So all
/// prefixes of a path are the last entry that is not behind it, or among those that this one begins with.
#[derive(Debug, Clone, Default)]
struct Prefixes(Box<[Prefix]>);

#[derive(Debug, Clone)]
struct Prefix {
    text: Box<[u8]>,
    shorter: Option<u32>,
    rules: List,
}

impl Prefixes {
    /// From prefixes in the order of their bytes.
    fn build(sorted: Vec<(Vec<u8>, Vec<u32>)>) -> Self {
        let mut entries: Vec<Prefix> = Vec::with_capacity(sorted.len());
        // Each is a beginning of the one after it.
        let mut open: Vec<u32> = Vec::new();
        for (number, (text, rules)) in (0_u32..).zip(sorted) {
            let begins = |entry: &u32| {
                entries
                    .get(*entry as usize)
                    .is_some_and(|entry| text.starts_with(&entry.text))
            };
            while open.last().is_some_and(|entry| !begins(entry)) {
                open.pop();
            }
            let shorter = open.last().copied();
            open.push(number);
            entries.push(Prefix {
                text: text.into(),
                shorter,
                rules: rules.into(),
            });
        }
        Prefixes(entries.into())
    }

    /// Visits the rules of every prefix of `path`, the longest first.
    fn lists(&self, path: &[u8], visit: &mut impl FnMut(&[u32])) {
        let behind = self.0.partition_point(|entry| *entry.text <= *path);
        let Some(last) = behind.checked_sub(1).and_then(|last| self.0.get(last)) else {
            return;
        };
        let pairs = last.text.iter().zip(path);
        let common = pairs.take_while(|(entry, path)| entry == path).count();
        let mut next = Some(last);
        while let Some(entry) = next {
            if entry.text.len() <= common {
                visit(&entry.rules);
            }
            next = entry
                .shorter
                .and_then(|shorter| self.0.get(shorter as usize));
        }
    }
}

/// A fast hash of short texts: eight bytes a step, the halves of a wide product folded at the end. Not for keys
/// that a stranger may choose.
#[derive(Debug, Clone, Copy, Default)]
struct TextHasher(u64);

/// Odd, its bits without a pattern: 2⁶⁴ divided by the golden ratio.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

impl Hasher for TextHasher {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            for (to, from) in word.iter_mut().zip(chunk) {
                *to = *from;
            }
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(MIX);
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn finish(&self) -> u64 {
        let wide = u128::from(self.0) * u128::from(MIX);
        (wide >> 64) as u64 ^ wide as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::hash::BuildHasher;

    proptest! {
        #[test]
        fn every_prefix_is_found(
            texts in proptest::collection::btree_set("[ab]{1,5}", 0..20),
            path in "[abc]{0,7}",
        ) {
            let texts: Vec<Vec<u8>> = texts.into_iter().map(String::into_bytes).collect();
            let numbered = (0_u32..).zip(&texts).map(|(number, text)| (text.clone(), vec![number]));
            let prefixes = Prefixes::build(numbered.collect());
            let mut found = Vec::new();
            prefixes.lists(path.as_bytes(), &mut |list| found.extend_from_slice(list));
            let longest_first = found.is_sorted_by_key(|&number| {
                std::cmp::Reverse(texts[number as usize].len())
            });
            prop_assert!(longest_first);
            let expected: BTreeSet<u32> = (0_u32..)
                .zip(&texts)
                .filter(|(_, text)| path.as_bytes().starts_with(text))
                .map(|(number, _)| number)
                .collect();
            prop_assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
        }
    }

    #[test]
    fn hashes_spread() {
        let hash =
            |text: String| BuildHasherDefault::<TextHasher>::default().hash_one(text.as_bytes());
        let hashes: Vec<u64> = (0..4096)
            .map(|n| hash(format!("host-{n}.example.com")))
            .collect();
        // Of 4096 texts in 4096 places about 63 % of the places are taken by an even hash.
        for shift in [0, 20, 52] {
            let places: BTreeSet<u64> = hashes.iter().map(|hash| hash >> shift & 4095).collect();
            assert!(places.len() > 2300, "{} places at {shift}", places.len());
        }
    }
}
