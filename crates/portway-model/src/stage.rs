//! How expressions and actions refer to other objects: by name before compile, by index after.
//!
//! The closed sets in [`crate::expression`] and [`crate::action`] are defined once for both stages. `compile`
//! converts [`Named`] into [`Resolved`] and reports what does not exist; `lift` converts back.

use crate::name::Name;
use crate::snapshot::{GroupId, ListenerId, MapId, StickTableId, UserlistId};
use crate::span::Spanned;
use std::fmt::Debug;

pub use crate::pattern::Pattern;

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
