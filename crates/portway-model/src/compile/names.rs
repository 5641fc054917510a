//! Names of a draft: which object has which, which are taken twice, which are referred to.

use super::limits::MAX_NAME_BYTES;
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::draft::Draft;
use crate::name::Name;
use crate::span::{Span, Spanned};
use std::collections::HashMap;

/// A kind of object that has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Listener,
    Group,
    Certificate,
    StickTable,
    Map,
    Userlist,
}

impl Kind {
    /// Kinds that others refer to.
    const REFERRED: [Kind; 5] = [
        Kind::Group,
        Kind::Certificate,
        Kind::StickTable,
        Kind::Map,
        Kind::Userlist,
    ];

    /// The word in messages.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Kind::Listener => "listener",
            Kind::Group => "target group",
            Kind::Certificate => "certificate",
            Kind::StickTable => "stick table",
            Kind::Map => "map",
            Kind::Userlist => "userlist",
        }
    }

    /// The names of this kind in the order of the draft.
    pub(crate) fn names_of(self, draft: &Draft) -> Vec<&Spanned<Name>> {
        match self {
            Kind::Listener => draft.listeners.iter().map(|x| &x.name).collect(),
            Kind::Group => draft.groups.iter().map(|x| &x.name).collect(),
            Kind::Certificate => draft.certificates.iter().map(|x| &x.name).collect(),
            Kind::StickTable => draft.stick_tables.iter().map(|x| &x.name).collect(),
            Kind::Map => draft.maps.iter().map(|x| &x.name).collect(),
            Kind::Userlist => draft.userlists.iter().map(|x| &x.name).collect(),
        }
    }
}

/// This many known names are listed where a name is not known; more are not read.
const LISTED_NAMES: usize = 8;

struct Entry {
    index: u32,
    used: bool,
}

/// Every name that may be referred to.
pub(super) struct Names {
    entries: HashMap<Kind, HashMap<Name, Entry>>,
    /// Names of groups are computed by a rule: any group may be meant.
    pub(super) any_group: bool,
}

impl Names {
    /// Collects the names of a draft and reports those that are taken twice or that cannot be names.
    pub(super) fn collect(draft: &Draft, found: &mut Diagnostics) -> Self {
        let mut entries: HashMap<Kind, HashMap<Name, Entry>> = HashMap::new();
        for kind in [Kind::Listener].into_iter().chain(Kind::REFERRED) {
            let mut places: HashMap<&str, Span> = HashMap::new();
            for (index, name) in kind.names_of(draft).into_iter().enumerate() {
                check_name(kind, name, found);
                if let Some(first) = places.get(name.value.as_str()) {
                    found.push(taken_twice(kind, name, *first));
                    continue;
                }
                places.insert(name.value.as_str(), name.span);
                let index = u32::try_from(index).unwrap_or(u32::MAX);
                let entry = Entry { index, used: false };
                let of_kind = entries.entry(kind).or_default();
                of_kind.insert(name.value.clone(), entry);
            }
        }
        Self {
            entries,
            any_group: false,
        }
    }

    /// The index of an object, without counting it as used.
    pub(super) fn index(&self, kind: Kind, name: &str) -> Option<usize> {
        let entry = self.entries.get(&kind)?.get(name)?;
        Some(entry.index as usize)
    }

    /// The index of an object that is referred to.
    pub(super) fn refer(&mut self, kind: Kind, name: &str) -> Option<u32> {
        let entry = self.entries.get_mut(&kind)?.get_mut(name)?;
        entry.used = true;
        Some(entry.index)
    }

    /// Warns of objects that nothing refers to.
    pub(super) fn report_unused(&self, draft: &Draft, found: &mut Diagnostics) {
        for kind in Kind::REFERRED {
            if kind == Kind::Group && self.any_group {
                continue;
            }
            for name in kind.names_of(draft) {
                let of_kind = self.entries.get(&kind);
                let entry = of_kind.and_then(|entries| entries.get(&name.value));
                let unused = entry.is_some_and(|entry| !entry.used);
                // It stands for the table of its name in what is shown.
                let shows_a_table = kind == Kind::Group && {
                    let mut groups = draft.groups.iter();
                    groups.any(|it| it.name.value == name.value && it.targets.is_empty())
                        && self.index(Kind::StickTable, name.value.as_str()).is_some()
                };
                if unused && !shows_a_table {
                    found.push(Diagnostic::warning(
                        Code::Unused,
                        name.span,
                        format!("nothing refers to {} `{}`", kind.word(), name.value),
                    ));
                }
            }
        }
    }
}

/// What to say where nothing of this kind has this name.
pub(super) fn unknown(kind: Kind, name: &Spanned<Name>) -> Diagnostic {
    Diagnostic::error(
        Code::UnknownReference,
        name.span,
        format!("there is no {} `{}`", kind.word(), name.value),
    )
}

/// Adds the name that was probably meant, or those that there are if they are few.
pub(super) fn suggest(
    unknown: Diagnostic,
    kind: Kind,
    name: &Spanned<Name>,
    draft: &Draft,
) -> Diagnostic {
    let known: Vec<&str> = kind
        .names_of(draft)
        .into_iter()
        .map(|name| name.value.as_str())
        .filter(|name| possible(name).is_ok())
        .collect();
    let unknown = match known.len() {
        0 => unknown.help(format!("no {} is defined", kind.word())),
        1..=LISTED_NAMES => {
            let list: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
            unknown.help(format!("known: {}", list.join(", ")))
        }
        _ => unknown,
    };
    unknown.nearest(name.value.as_str(), known)
}

/// A name for an index that refers to nothing.
pub(crate) fn index_name(kind: Kind, index: u32) -> Name {
    Name::from(format!("{} {index}", kind.word()))
}

/// The diagnostic of a name that two objects have.
pub(crate) fn taken_twice(kind: Kind, name: &Spanned<Name>, first: Span) -> Diagnostic {
    Diagnostic::error(
        Code::Duplicate,
        name.span,
        format!("two {}s are called `{}`", kind.word(), name.value),
    )
    .label(first, "the first is here")
    .help("give one of them another name")
}

pub(super) fn check_name(kind: Kind, name: &Spanned<Name>, found: &mut Diagnostics) {
    if let Err(wrong) = possible(name.value.as_str()) {
        let wrong = format!("the name of a {} {wrong}", kind.word());
        found.push(Diagnostic::error(Code::OutOfRange, name.span, wrong));
    }
}

/// Whether an object may be called so; `Err` says why not.
fn possible(name: &str) -> Result<(), String> {
    if name.is_empty() {
        Err("is empty".to_owned())
    } else if name.len() > MAX_NAME_BYTES {
        Err(format!("is longer than {MAX_NAME_BYTES} bytes"))
    } else if name.chars().any(char::is_control) {
        Err("has control characters in it".to_owned())
    } else {
        Ok(())
    }
}
