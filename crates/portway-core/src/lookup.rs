//! Maps and lists, made ready to be asked: from a key to its value, without allocating.
//!
//! Whole texts, prefixes, suffixes and networks are found by hashing, whatever their number; of several prefixes or
//! networks that fit, the longest counts. Everything else is tried one after the other, the first counts. That is how
//! HAProxy orders them too.

use ipnet::IpNet;
use portway_model::expression::{NumberRange, TextMatch};
use portway_model::settings::MapMatch;
use portway_model::stage::Pattern;
use std::collections::HashMap;
use std::net::IpAddr;

/// A map or a list.
#[derive(Debug, Default)]
pub struct Lookup {
    keys: Keys,
    values: Vec<Box<[u8]>>,
}

/// Keys of one length, each with the index of its value.
type OfLength = (usize, HashMap<Box<[u8]>, usize>);

/// The keys, each with the index of its value.
#[derive(Debug)]
enum Keys {
    /// Whole texts.
    Exact(HashMap<Box<[u8]>, usize>),
    /// Beginnings or ends, by their lengths, the longest first.
    Edges {
        at_end: bool,
        by_length: Vec<OfLength>,
    },
    /// Whole texts in lower case, sorted.
    Sorted(Vec<(Box<[u8]>, usize)>),
    /// Texts that are tried in order.
    Texts {
        how: TextMatch,
        ignore_case: bool,
        keys: Vec<Box<[u8]>>,
    },
    Patterns(Vec<Pattern>),
    Ranges(Vec<NumberRange>),
    /// By prefix length, the longest first; addresses as numbers, those of IPv4 apart.
    Networks {
        v4: Vec<(u8, HashMap<u32, usize>)>,
        v6: Vec<(u8, HashMap<u128, usize>)>,
    },
}

impl Default for Keys {
    fn default() -> Self {
        Keys::Exact(HashMap::new())
    }
}

/// An entry that is none of its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongKey {
    /// Which entry, from 0.
    pub entry: usize,
    /// What is wrong with it.
    pub message: String,
}

impl Lookup {
    /// Makes the entries ready. Of equal keys the first counts.
    pub fn build<'e>(
        compare: MapMatch,
        ignore_case: bool,
        entries: impl Iterator<Item = (&'e str, &'e str)>,
    ) -> Result<Self, WrongKey> {
        let (keys, values): (Vec<&str>, Vec<Box<[u8]>>) = entries
            .map(|(key, value)| (key, Box::from(value.as_bytes())))
            .unzip();
        let keys = match compare {
            MapMatch::Text(TextMatch::Exact) if ignore_case => sorted(&keys),
            MapMatch::Text(TextMatch::Exact) => {
                Keys::Exact(hashed(keys.iter().copied().enumerate()))
            }
            MapMatch::Text(how @ (TextMatch::Prefix | TextMatch::Suffix)) if !ignore_case => {
                edges(&keys, how == TextMatch::Suffix)
            }
            MapMatch::Text(how) => Keys::Texts {
                how,
                ignore_case,
                keys: keys.iter().map(|key| Box::from(key.as_bytes())).collect(),
            },
            MapMatch::Regex => Keys::Patterns(patterns(&keys, ignore_case)?),
            MapMatch::Number => Keys::Ranges(ranges(&keys)?),
            MapMatch::Address => networks(&keys)?,
        };
        Ok(Self { keys, values })
    }

    /// Gives the entry at this place another value.
    pub fn set_value(&mut self, at: usize, value: &str) {
        if let Some(known) = self.values.get_mut(at) {
            *known = value.as_bytes().into();
        }
    }

    /// Adds an entry behind the others, where keys are whole texts; nothing happens elsewhere.
    pub fn push(&mut self, key: &str, value: &str) {
        if let Keys::Exact(keys) = &mut self.keys {
            keys.entry(key.as_bytes().into())
                .or_insert(self.values.len());
            self.values.push(value.as_bytes().into());
        }
    }

    /// Takes away the entries at these places, sorted, where keys are whole texts: all those with one key.
    pub fn remove(&mut self, gone: &[usize]) {
        let Keys::Exact(keys) = &mut self.keys else {
            return;
        };
        keys.retain(|_, at| match gone.binary_search(at) {
            Ok(_) => false,
            Err(before) => {
                *at -= before;
                true
            }
        });
        let mut at = 0;
        self.values.retain(|_| {
            at += 1;
            gone.binary_search(&(at - 1)).is_err()
        });
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// True without entries.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The value of the entry that fits; empty in a list.
    pub fn find(&self, text: &[u8]) -> Option<&[u8]> {
        self.values.get(self.position(text)?).map(Box::as_ref)
    }

    /// Which entry fits, in the order in which they were given.
    pub fn position(&self, text: &[u8]) -> Option<usize> {
        match &self.keys {
            Keys::Exact(keys) => keys.get(text).copied(),
            Keys::Edges { at_end, by_length } => edge(by_length, *at_end, text),
            Keys::Sorted(keys) => found(keys, text),
            Keys::Texts {
                how,
                ignore_case,
                keys,
            } => keys
                .iter()
                .position(|key| crate::evaluate::text_matches(*how, text, key, *ignore_case)),
            Keys::Patterns(patterns) => patterns.iter().position(|pattern| pattern.is_match(text)),
            Keys::Ranges(ranges) => {
                let number: i64 = std::str::from_utf8(text).ok()?.parse().ok()?;
                ranges
                    .iter()
                    .position(|range| (range.min..=range.max).contains(&number))
            }
            Keys::Networks { v4, v6 } => {
                network(v4, v6, crate::evaluate::Fetched::from(text).address()?)
            }
        }
    }

    /// True where its entries are found by hashing or sorting, false where each is tried.
    pub fn is_indexed(&self) -> bool {
        !matches!(
            self.keys,
            Keys::Texts { .. } | Keys::Patterns(_) | Keys::Ranges(_)
        )
    }
}

impl Lookup {
    /// As [`Self::find`] with regular expressions: `\\0` to `\\9` in the value are the match and its groups, and
    /// a backslash before anything else is left out.
    pub fn find_groups(&self, text: &[u8]) -> Option<Vec<u8>> {
        let Keys::Patterns(patterns) = &self.keys else {
            return self.find(text).map(<[u8]>::to_vec);
        };
        let mut tried = patterns.iter().enumerate();
        let (index, found) =
            tried.find_map(|(index, pattern)| Some((index, pattern.captures(text)?)))?;
        let mut out = Vec::new();
        let mut value = self.values.get(index)?.iter();
        while let Some(byte) = value.next() {
            match byte {
                b'\\' => match value.next() {
                    Some(digit @ b'0'..=b'9') => {
                        let group = found.get(usize::from(digit - b'0'));
                        out.extend_from_slice(group.map_or(b"", |group| group.as_bytes()));
                    }
                    other => out.extend(other),
                },
                other => out.push(*other),
            }
        }
        Some(out)
    }
}

fn hashed<'k>(keys: impl Iterator<Item = (usize, &'k str)>) -> HashMap<Box<[u8]>, usize> {
    let mut map = HashMap::new();
    for (index, key) in keys {
        map.entry(Box::from(key.as_bytes())).or_insert(index);
    }
    map
}

fn sorted(keys: &[&str]) -> Keys {
    let lower = keys.iter().enumerate().map(|(index, key)| {
        (
            key.to_ascii_lowercase().into_bytes().into_boxed_slice(),
            index,
        )
    });
    let mut lower: Vec<_> = lower.collect();
    lower.sort();
    lower.dedup_by(|later, first| later.0 == first.0);
    Keys::Sorted(lower)
}

/// The text among keys in lower case.
fn found(keys: &[(Box<[u8]>, usize)], text: &[u8]) -> Option<usize> {
    let lower = || text.iter().map(u8::to_ascii_lowercase);
    let at = keys.binary_search_by(|(key, _)| key.iter().copied().cmp(lower()));
    keys.get(at.ok()?).map(|(_, index)| *index)
}

fn edges(keys: &[&str], at_end: bool) -> Keys {
    let mut by_length: HashMap<usize, Vec<(usize, &str)>> = HashMap::new();
    for (index, key) in keys.iter().enumerate() {
        by_length.entry(key.len()).or_default().push((index, key));
    }
    let mut by_length: Vec<_> = by_length
        .into_iter()
        .map(|(length, keys)| (length, hashed(keys.into_iter())))
        .collect();
    by_length.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
    Keys::Edges { at_end, by_length }
}

/// The longest beginning of a text, or of its ends the one that was said first.
fn edge(by_length: &[OfLength], at_end: bool, text: &[u8]) -> Option<usize> {
    let mut fitting = by_length.iter().filter_map(|(length, keys)| {
        let part = match at_end {
            true => text.get(text.len().checked_sub(*length)?..),
            false => text.get(..*length),
        };
        keys.get(part?).copied()
    });
    if at_end {
        fitting.min()
    } else {
        fitting.next()
    }
}

fn patterns(keys: &[&str], ignore_case: bool) -> Result<Vec<Pattern>, WrongKey> {
    let flags = if ignore_case { "(?i)" } else { "" };
    let compile = |(entry, key): (usize, &&str)| {
        Pattern::new(&format!("{flags}{key}")).map_err(|_| WrongKey {
            entry,
            message: format!("the regular expression `{key}` does not compile"),
        })
    };
    keys.iter().enumerate().map(compile).collect()
}

fn ranges(keys: &[&str]) -> Result<Vec<NumberRange>, WrongKey> {
    let read = |(entry, key): (usize, &&str)| {
        NumberRange::parse(key).ok_or_else(|| WrongKey {
            entry,
            message: format!("`{key}` is neither a number nor a range"),
        })
    };
    keys.iter().enumerate().map(read).collect()
}

fn networks(keys: &[&str]) -> Result<Keys, WrongKey> {
    let mut v4: HashMap<u8, HashMap<u32, usize>> = HashMap::new();
    let mut v6: HashMap<u8, HashMap<u128, usize>> = HashMap::new();
    for (entry, key) in keys.iter().enumerate() {
        let whole = || key.parse::<IpAddr>().map(IpNet::from);
        let network: IpNet = key.parse().or_else(|_| whole()).map_err(|_| WrongKey {
            entry,
            message: format!("`{key}` is neither an address nor a network"),
        })?;
        let bits = network.prefix_len();
        match network.network() {
            IpAddr::V4(address) => {
                let of_length = v4.entry(bits).or_default();
                of_length.entry(address.to_bits()).or_insert(entry);
            }
            IpAddr::V6(address) => {
                let of_length = v6.entry(bits).or_default();
                of_length.entry(address.to_bits()).or_insert(entry);
            }
        }
    }
    let mut v4: Vec<_> = v4.into_iter().collect();
    let mut v6: Vec<_> = v6.into_iter().collect();
    v4.sort_by_key(|(bits, _)| std::cmp::Reverse(*bits));
    v6.sort_by_key(|(bits, _)| std::cmp::Reverse(*bits));
    Ok(Keys::Networks { v4, v6 })
}

/// The longest network of an address. One of IPv4 inside IPv6 is in the networks of either notation.
fn network(
    v4: &[(u8, HashMap<u32, usize>)],
    v6: &[(u8, HashMap<u128, usize>)],
    address: IpAddr,
) -> Option<usize> {
    if let IpAddr::V4(address) = address.to_canonical() {
        let bits = address.to_bits();
        let found = v4.iter().find_map(|(length, networks)| {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub((*length).into()));
            networks.get(&(bits & mask.unwrap_or(0))).copied()
        });
        if found.is_some() {
            return found;
        }
    }
    let wide = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    let bits = wide.to_bits();
    v6.iter().find_map(|(length, networks)| {
        let mask = u128::MAX.checked_shl(128_u32.saturating_sub((*length).into()));
        networks.get(&(bits & mask.unwrap_or(0))).copied()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(compare: MapMatch, ignore_case: bool, keys: &[&str], asked: &[(&str, Option<&str>)]) {
        let entries = keys.iter().map(|key| (*key, *key));
        let lookup = Lookup::build(compare, ignore_case, entries).unwrap();
        for (text, expected) in asked {
            let found = lookup.find(text.as_bytes());
            let found = found.map(|found| std::str::from_utf8(found).unwrap());
            assert_eq!(found, *expected, "{compare:?} {text}");
        }
    }

    #[test]
    fn groups_of_expressions() {
        let entries = [
            (r"^(.*)\.(org|net)$", r"\1_AND_\2-\0\\"),
            ("^b(x)?", r"<\1\9>"),
        ];
        let lookup = Lookup::build(MapMatch::Regex, false, entries.into_iter()).unwrap();
        let check = |text: &str, expected: Option<&str>| {
            let found = lookup.find_groups(text.as_bytes());
            let found = found.map(|found| String::from_utf8(found).unwrap());
            assert_eq!(found.as_deref(), expected, "{text}");
        };
        check("a.org", Some(r"a_AND_org-a.org\"));
        check("b", Some("<>"));
        check("bx", Some("<x>"));
        check("c", None);
    }

    #[test]
    fn texts() {
        let text = MapMatch::Text;
        check(
            text(TextMatch::Exact),
            false,
            &["a", "B"],
            &[("a", Some("a")), ("b", None)],
        );
        check(
            text(TextMatch::Exact),
            true,
            &["a", "B"],
            &[("A", Some("a")), ("b", Some("B")), ("c", None)],
        );
        let paths = ["/a", "/a/b", "/"];
        let asked = [
            ("/a/b/c", Some("/a/b")),
            ("/ab", Some("/a")),
            ("/x", Some("/")),
            ("x", None),
        ];
        check(text(TextMatch::Prefix), false, &paths, &asked);
        let hosts = [".example", ".shop.example"];
        let asked = [("x.shop.example", Some(".example")), ("example", None)];
        check(text(TextMatch::Suffix), false, &hosts, &asked);
        check(
            text(TextMatch::Contains),
            true,
            &["bc"],
            &[("ABCD", Some("bc")), ("acb", None)],
        );
        check(
            text(TextMatch::Label),
            false,
            &["shop"],
            &[("a.shop.b", Some("shop")), ("ashop", None)],
        );
        check(
            MapMatch::Regex,
            true,
            &["^a+$", "b"],
            &[("AA", Some("^a+$")), ("abb", Some("b"))],
        );
    }

    #[test]
    fn numbers_and_networks() {
        let asked = [
            ("5", Some("5")),
            ("8", Some("7..9")),
            ("6", None),
            ("x", None),
        ];
        check(MapMatch::Number, false, &["5", "7..9"], &asked);
        let networks = [
            "10.0.0.0/8",
            "10.1.0.0/16",
            "192.0.2.7",
            "2001:db8::/32",
            "0.0.0.0/0",
        ];
        let asked = [
            ("10.1.2.3", Some("10.1.0.0/16")),
            ("10.2.2.3", Some("10.0.0.0/8")),
            ("192.0.2.7", Some("192.0.2.7")),
            ("192.0.2.8", Some("0.0.0.0/0")),
            ("::ffff:10.1.0.1", Some("10.1.0.0/16")),
            ("2001:db8::1", Some("2001:db8::/32")),
            ("2001:db9::1", None),
            ("name", None),
        ];
        check(MapMatch::Address, false, &networks, &asked);
    }

    #[test]
    fn wrong_keys() {
        for compare in [MapMatch::Regex, MapMatch::Number, MapMatch::Address] {
            let entries = [("5", ""), ("(", "")]
                .into_iter()
                .skip(usize::from(compare == MapMatch::Address));
            let wrong = Lookup::build(compare, false, entries).unwrap_err();
            assert!(wrong.message.contains("`(`"), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn of_equal_keys_the_first_counts(keys in prop::collection::vec("[abAB]{0,2}", 0..6), text in "[abAB]{0,3}") {
            for ignore_case in [false, true] {
                for how in [TextMatch::Exact, TextMatch::Suffix] {
                    let values: Vec<String> = (0..keys.len()).map(|index| index.to_string()).collect();
                    let entries = keys.iter().zip(&values).map(|(key, value)| (key.as_str(), value.as_str()));
                    let lookup = Lookup::build(MapMatch::Text(how), ignore_case, entries).unwrap();
                    let naive = keys.iter().position(|key| {
                        crate::evaluate::text_matches(how, text.as_bytes(), key.as_bytes(), ignore_case)
                    });
                    let expected = naive.map(|index| index.to_string().into_bytes());
                    prop_assert_eq!(lookup.find(text.as_bytes()).map(<[u8]>::to_vec), expected);
                }
            }
        }
    }
}
