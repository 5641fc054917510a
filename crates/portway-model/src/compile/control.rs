//! What HAProxy's tools ask for: control sockets, pages of statistics, and what objects are known as.

use super::Compiler;
use super::binds;
use super::expressions::Place;
use super::limits;
use super::names;
use super::text::{Use, check_text};
use crate::action::{Service, StatsPage};
use crate::defaults;
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::draft::{ControlSocketDraft, ListenerDraft};
use crate::name::Name;
use crate::settings::FileMode;
use crate::snapshot::ControlSocket;
use crate::span::Spanned;
use crate::stage::Named;

/// Most connections to control sockets at once: each may have an answer of its own in memory.
const MAX_CONTROL_CONNECTIONS: u32 = 10_000;
/// Permissions have nine bits.
const MAX_MODE: u16 = 0o777;

/// The control sockets, each at a possible address.
pub(super) fn sockets(
    found: &mut Diagnostics,
    drafts: &[ControlSocketDraft],
) -> Vec<ControlSocket> {
    for draft in drafts {
        binds::possible(&draft.bind, found);
        if let Some(Spanned {
            value: FileMode(mode),
            span,
        }) = draft.mode
            && mode > MAX_MODE
        {
            let message = format!("{mode:o} is out of range for permissions");
            found.push(
                Diagnostic::error(Code::OutOfRange, span, message).help("from 000 to 777, octal"),
            );
        }
    }
    let made = drafts.iter().map(|draft| ControlSocket {
        bind: draft.bind.clone(),
        level: draft.level.map_or(defaults::CONTROL_LEVEL, |x| x.value),
        mode: draft.mode.map(|x| x.value),
        user: draft.user.as_ref().map(|x| x.value.clone()),
        group: draft.group.as_ref().map(|x| x.value.clone()),
        expose_listeners: draft.expose_listeners.is_some_and(|x| x.value),
    });
    made.collect()
}

/// How many connections control sockets take together.
pub(super) fn connections(found: &mut Diagnostics, given: Option<Spanned<u32>>) -> u32 {
    let range = (1, MAX_CONTROL_CONNECTIONS);
    limits::given_within(found, "connections of control sockets", given, range);
    given.map_or(defaults::CONTROL_CONNECTIONS, |x| x.value)
}

impl Compiler<'_> {
    /// The name under which a listener is counted.
    pub(super) fn known_as(&mut self, draft: &ListenerDraft) -> Name {
        let Some(known_as) = &draft.known_as else {
            return draft.name.value.clone();
        };
        names::check_name(names::Kind::Listener, known_as, &mut self.found);
        known_as.value.clone()
    }

    /// The number of an object, where one is given.
    pub(super) fn number(&mut self, given: Option<Spanned<u32>>) -> Option<u32> {
        // HAProxy's `id` begins at 1 and is kept in a signed number.
        limits::given_within(&mut self.found, "a number", given, (1, i32::MAX as u32));
        given.map(|x| x.value)
    }

    /// Checks what Portway answers itself.
    pub(super) fn check_service(&mut self, place: Place, service: &Service<Named>) {
        match service {
            Service::Metrics => {}
            Service::Stats(page) => self.check_stats_page(place, page),
        }
    }

    fn check_stats_page(&mut self, place: Place, page: &StatsPage<Named>) {
        let span = place.span;
        if let Some(refresh) = page.refresh {
            limits::check_duration(&mut self.found, "the time to load again", refresh, span);
        }
        check_text(
            &mut self.found,
            "a realm",
            &page.realm,
            Use::HeaderValue,
            span,
        );
        if let Some(uri) = &page.uri_prefix {
            check_text(
                &mut self.found,
                "the address of the page",
                uri,
                Use::Target,
                span,
            );
        }
        if let Some(admin) = &page.admin {
            self.check_condition(place, admin);
        }
        for name in &page.scope {
            let listener = |it: &ListenerDraft| {
                it.name.value == *name || it.known_as.as_ref().is_some_and(|x| x.value == *name)
            };
            let known = self.draft.listeners.iter().any(listener)
                || self.draft.groups.iter().any(|it| it.name.value == *name);
            if !known {
                let message = format!("there is no listener and no target group `{name}`");
                self.found
                    .push(Diagnostic::error(Code::UnknownReference, span, message));
            }
        }
    }
}
