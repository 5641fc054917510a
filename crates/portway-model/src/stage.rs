//! How expressions and actions refer to other objects: by name before compile, by index after.
//!
//! The closed sets in [`crate::expression`] and [`crate::action`] are defined once for both stages. `compile`
//! converts [`Named`] into [`Resolved`] and reports what does not exist; `lift` converts back.

use crate::name::Name;
use crate::snapshot::{GroupId, ListenerId, MapId, StickTableId, UserlistId};
use crate::span::Spanned;
use regex::bytes::Regex;
use std::fmt::Debug;
use std::sync::Arc;

/// How references are held.
pub trait Stage: Clone + Debug + PartialEq + 'static {
    /// A reference to a listener.
    type Listener: Clone + Debug + PartialEq;
    /// A reference to a target group.
    type Group: Clone + Debug + PartialEq;
    /// A reference to a stick table.
    type StickTable: Clone + Debug + PartialEq;
    /// A reference to a map or list of patterns.
    type Map: Clone + Debug + PartialEq;
    /// A reference to a list of users.
    type Userlist: Clone + Debug + PartialEq;
    /// A regular expression.
    type Pattern: Clone + Debug + PartialEq;
}

/// Before compile: names and texts, each with its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named;

impl Stage for Named {
    type Listener = Spanned<Name>;
    type Group = Spanned<Name>;
    type StickTable = Spanned<Name>;
    type Map = Spanned<Name>;
    type Userlist = Spanned<Name>;
    type Pattern = Spanned<String>;
}

/// After compile: indices into the snapshot and compiled patterns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resolved;

impl Stage for Resolved {
    type Listener = ListenerId;
    type Group = GroupId;
    type StickTable = StickTableId;
    type Map = MapId;
    type Userlist = UserlistId;
    type Pattern = Pattern;
}

/// A compiled regular expression over bytes; equal where its text is. Matching takes linear time.
#[derive(Debug, Clone)]
pub struct Pattern(Arc<Regex>);

impl Pattern {
    /// Compiles `text`; the error says what is wrong with it and where.
    pub fn new(text: &str) -> Result<Self, regex::Error> {
        Regex::new(text).map(|regex| Self(Arc::new(regex)))
    }

    /// The text it was compiled from.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The compiled form.
    pub fn regex(&self) -> &Regex {
        &self.0
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Pattern {}
