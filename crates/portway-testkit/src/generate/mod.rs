//! Valid configurations over the whole model, for properties: every draft from here compiles.
//!
//! proptest makes a list of numbers, and `Choices` reads a draft off them: each number decides one thing, and 0,
//! which also stands for every number after the end, is always the simplest. So shrinking the list shrinks the
//! draft, and what depends on what was made before (names to refer to, values that are known in a phase) needs
//! no strategy of its own.

mod action;
mod choice;
mod expression;
mod transform;
mod object;
mod ocsp;
mod policy;
mod stream;
mod text;
mod tls;

use ipnet::IpNet;
use portway_model::draft::Draft;
use portway_model::expression::{Condition, Expression, StoredCounter, Template};
use portway_model::name::Name;
use portway_model::settings::{KeyType, MapMatch};
use portway_model::stage::Named;
use proptest::collection::vec;
use proptest::prelude::{Strategy, any};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

pub use expression::Place;

/// Most numbers that a draft is read off: three listeners and three groups take about 600.
const MOST_CHOICES: usize = 1_000;

/// Drafts that compile, from empty ones to several objects of every kind.
pub fn drafts() -> impl Strategy<Value = Draft> {
    vec(any::<u32>(), 0..MOST_CHOICES).prop_map(|numbers| Choices::new(numbers).draft())
}

/// Conditions that are known when `place` says. They refer to nothing outside of themselves.
pub fn conditions(place: Place) -> impl Strategy<Value = Condition<Named>> {
    vec(any::<u32>(), 0..100).prop_map(move |numbers| Choices::new(numbers).condition(place))
}

/// Expressions, as [`conditions`].
pub fn expressions(place: Place) -> impl Strategy<Value = Expression<Named>> {
    vec(any::<u32>(), 0..50).prop_map(move |numbers| Choices::new(numbers).expression(place))
}

/// Templates with any text between expressions, as [`conditions`].
pub fn templates(place: Place) -> impl Strategy<Value = Template<Named>> {
    vec(any::<u32>(), 0..100).prop_map(move |numbers| Choices::new(numbers).template(place))
}

/// Numbers that decide, and what was made of them so far that can be referred to.
struct Choices {
    numbers: std::vec::IntoIter<u32>,
    groups: Vec<KnownGroup>,
    listeners: Vec<Name>,
    certificates: Vec<Name>,
    stick_tables: Vec<KnownTable>,
    maps: Vec<(Name, MapMatch)>,
    userlists: Vec<Name>,
    /// How deep keys stand within keys.
    depth: u32,
}

/// A target group that may be referred to.
#[derive(Clone)]
struct KnownGroup {
    name: Name,
    /// It speaks http or https.
    http: bool,
    /// It says what it speaks.
    said: bool,
}

/// A stick table that may be referred to.
#[derive(Clone)]
struct KnownTable {
    name: Name,
    key: KeyType,
    store: Vec<StoredCounter>,
}

impl Choices {
    fn new(numbers: Vec<u32>) -> Self {
        Self {
            numbers: numbers.into_iter(),
            groups: Vec::new(),
            listeners: Vec::new(),
            certificates: Vec::new(),
            stick_tables: Vec::new(),
            maps: Vec::new(),
            userlists: Vec::new(),
            depth: 0,
        }
    }

    /// A number below `bound`, which is above 0.
    fn below(&mut self, bound: u32) -> u32 {
        self.numbers.next().unwrap_or(0) % bound.max(1)
    }

    /// A number of things, below `bound`.
    fn count(&mut self, bound: u32) -> usize {
        self.below(bound) as usize
    }

    /// True in one of `n` cases.
    fn one_in(&mut self, n: u32) -> bool {
        self.below(n) == n - 1
    }

    /// `first`, or one of the others.
    fn one<T: Clone>(&mut self, first: T, others: &[T]) -> T {
        let index = self.count(u32::try_from(others.len() + 1).unwrap_or(1));
        let other = index.checked_sub(1).and_then(|index| others.get(index));
        other.cloned().unwrap_or(first)
    }

    /// One of these, `None` where there are none.
    fn among<T: Clone>(&mut self, these: &[T]) -> Option<T> {
        let index = self.count(u32::try_from(these.len()).unwrap_or(1));
        these.get(index).cloned()
    }

    /// Something or nothing.
    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.one_in(3).then(|| make(self))
    }

    /// From none to `bound - 1` of something.
    fn some<T>(&mut self, bound: u32, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.count(bound)).map(|_| make(self)).collect()
    }

    /// From one to `bound` of something.
    fn at_least_one<T>(&mut self, bound: u32, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..=self.count(bound)).map(|_| make(self)).collect()
    }

    /// A whole number of milliseconds, seldom very long.
    fn duration(&mut self) -> Duration {
        let bound = self.one(1, &[100, 10_000, 1_000_000, 2_000_000_000]);
        let number = u64::from(self.below(bound)) + 1;
        let unit = if bound <= 10_000 {
            self.one(1, &[1_000, 60_000])
        } else {
            1
        };
        Duration::from_millis(number * unit)
    }

    fn address(&mut self) -> IpAddr {
        let bits = self.below(u32::MAX);
        if self.one_in(3) {
            let high = u128::from(self.below(u32::MAX)) << 96;
            IpAddr::V6(Ipv6Addr::from(high | u128::from(bits)))
        } else {
            IpAddr::V4(Ipv4Addr::from(bits))
        }
    }

    /// A network without bits of a host, so that its text says all of it.
    fn network(&mut self) -> IpNet {
        let address = self.address();
        let most = if address.is_ipv4() { 32 } else { 128 };
        let length = u8::try_from(self.below(most + 1)).unwrap_or(0);
        match IpNet::new(address, length) {
            Ok(network) => network.trunc(),
            Err(_) => IpNet::from(address),
        }
    }
}
