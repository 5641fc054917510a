//! What listeners and target groups speak where the text does not say.
//!
//! A listener with certificates speaks https, another http. A group speaks tcp where only TCP listeners forward
//! to it, else http. Lift asks the same questions to leave out what need not be said.

use crate::action::{Action, Rule};
use crate::draft::{Draft, ListenerDraft};
use crate::settings::Protocol;
use crate::stage::Stage;
use std::collections::HashMap;
use std::hash::Hash;

/// The protocols of a draft, by index.
pub(super) struct Protocols {
    pub(super) listeners: Vec<Protocol>,
    pub(super) groups: Vec<Protocol>,
}

impl Protocols {
    pub(super) fn of_draft(draft: &Draft) -> Self {
        let listeners: Vec<Protocol> = draft.listeners.iter().map(of_listener).collect();
        let mut users = Users::default();
        for (listener, protocol) in draft.listeners.iter().zip(&listeners) {
            for group in listener.rules.iter().flat_map(forwards_to) {
                users.forwards(group.value.as_str(), *protocol);
            }
        }
        let groups = draft.groups.iter().map(|group| match &group.protocol {
            Some(protocol) => protocol.value,
            None => users.protocol_of(&group.name.value.as_str()),
        });
        Self {
            groups: groups.collect(),
            listeners,
        }
    }
}

/// What a listener speaks.
pub(super) fn of_listener(listener: &ListenerDraft) -> Protocol {
    match &listener.protocol {
        Some(protocol) => protocol.value,
        None => default_of_listener(!listener.certificates.is_empty()),
    }
}

/// What a listener speaks that does not say so.
pub(crate) fn default_of_listener(has_certificates: bool) -> Protocol {
    if has_certificates {
        Protocol::Https
    } else {
        Protocol::Http
    }
}

/// Which listeners forward to which groups.
pub(crate) struct Users<K> {
    streams: HashMap<K, bool>,
}

impl<K> Default for Users<K> {
    fn default() -> Self {
        Self {
            streams: HashMap::new(),
        }
    }
}

impl<K: Hash + Eq> Users<K> {
    /// A listener of this protocol forwards to this group.
    pub(crate) fn forwards(&mut self, group: K, listener: Protocol) {
        let stream = !listener.is_http();
        *self.streams.entry(group).or_insert(stream) &= stream;
    }

    /// What a group speaks that does not say so.
    pub(crate) fn protocol_of(&self, group: &K) -> Protocol {
        match self.streams.get(group) {
            Some(true) => Protocol::Tcp,
            _ => Protocol::Http,
        }
    }
}

/// The groups that a rule forwards to.
pub(crate) fn forwards_to<S: Stage>(rule: &Rule<S>) -> impl Iterator<Item = &S::Group> {
    rule.actions.iter().flat_map(|action| {
        let (groups, fallback, pages) = match action {
            Action::Forward(groups) | Action::ForwardByHash { groups, .. } => {
                (groups.as_slice(), None, &[][..])
            }
            Action::ForwardByName { fallback, .. } => (&[][..], fallback.as_ref(), &[][..]),
            Action::Authorize(asked) => (&[][..], Some(&asked.group), &[][..]),
            Action::Mirror(mirror) => (&[][..], Some(&mirror.group), &[][..]),
            Action::PageFrom(pages) => (&[][..], None, pages.as_slice()),
            _ => (&[][..], None, &[][..]),
        };
        let pages = pages.iter().flat_map(|page| &page.forward);
        groups
            .iter()
            .chain(pages)
            .map(|weighted| &weighted.group)
            .chain(fallback)
    })
}
