//! What rules and logs of listeners want to know of a client, and no client can tell: certificates that nobody asks for, a
//! header of the PROXY protocol that nobody expects.
//!
//! A text may stand for several listeners, as the rules of a frontend with several addresses do: it is enough where one of
//! them knows.

use super::Compiler;
use crate::action::Action;
use crate::diagnostic::{Code, Diagnostic};
use crate::draft::ListenerDraft;
use crate::expression::Value;
use crate::settings::ClientAuth;
use crate::span::Span;
use crate::stage::Named;
use std::collections::HashMap;

/// What a client may tell of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Told {
    Certificate,
    ProxyHeader,
}

/// What the listener that is being compiled knows of its clients, and what has been wanted so far.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// `None`: none is compiled.
    now: Option<Knows>,
    /// Whether some listener knows it, for each place that wants it.
    places: HashMap<(Span, Told), bool>,
}

#[derive(Debug, Clone, Copy)]
struct Knows {
    certificate: bool,
    proxy_header: bool,
}

impl Wanted {
    /// From here on values are those of this listener.
    pub(super) fn begin(&mut self, draft: &ListenerDraft, handed_over_to: bool) {
        let auth = draft.tls.clients.auth.map(|auth| auth.value);
        let mut actions = draft.rules.iter().flat_map(|rule| &rule.actions);
        self.now = Some(Knows {
            certificate: handed_over_to || auth.is_some_and(|auth| auth != ClientAuth::Off),
            proxy_header: handed_over_to
                || draft.accept_proxy.is_some_and(|it| it.value)
                || actions.any(|action| matches!(action, Action::ExpectProxy(_))),
        });
    }

    /// Values are no listener's.
    pub(super) fn end(&mut self) {
        self.now = None;
    }

    /// This value stands here.
    pub(super) fn note(&mut self, value: &Value<Named>, span: Span) {
        let Some(knows) = self.now.filter(|_| !span.is_none()) else {
            return;
        };
        let (told, known) = match value {
            Value::ClientCertificate(_) => (Told::Certificate, knows.certificate),
            Value::Proxied(_) => (Told::ProxyHeader, knows.proxy_header),
            _ => return,
        };
        *self.places.entry((span, told)).or_default() |= known;
    }
}

impl Compiler<'_> {
    /// Warns of what is always absent.
    pub(super) fn check_wanted(&mut self) {
        let places = std::mem::take(&mut self.wanted.places);
        let unknown = places.into_iter().filter(|(_, known)| !known);
        let mut unknown: Vec<(Span, Told)> = unknown.map(|(place, _)| place).collect();
        unknown.sort_unstable_by_key(|(_, told)| *told);
        for (span, told) in unknown {
            let (message, help) = match told {
                Told::Certificate => (
                    "no client is asked for a certificate here: what this says of one is always absent",
                    "ask for it: `client_auth` in the `tls` of the listener (HAProxy: `verify` of the `bind` line; Traefik: `clientAuth` of the options of TLS)",
                ),
                Told::ProxyHeader => (
                    "no header of the PROXY protocol is expected here: what this says of one is always absent",
                    "set `accept_proxy` of the listener (HAProxy: `accept-proxy` of the `bind` line)",
                ),
            };
            let one = Diagnostic::warning(Code::Missing, span, message);
            self.found.push(one.help(help));
        }
    }
}
