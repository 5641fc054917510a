//! Entry points whose routers have little in common: HTTP and TCP, TLS that ends here and TLS that passes through, or
//! different options of TLS. A listener looks at what a client sends first, and hands over to the one that is for it.
//!
//! The order is Traefik's: over TLS, HTTP routers that name the server, TCP routers that name it, HTTP routers for any
//! server, TCP routers for any; in the clear, TCP routers before HTTP.

use super::super::entry_point::EntryPoint;
use super::super::matcher::{Place, test};
use super::chain::rule as rule_of;
use super::entry::Attached;
use super::middleware::text_answer;
use super::terms::{Set, Terms, ends_tls};
use super::{Lowering, Speech};
use portway_model::action::{Action, Phase, Rule};
use portway_model::draft::ListenerDraft;
use portway_model::expression::{Condition, Matcher, NumberRange, Value};
use portway_model::name::Name;
use portway_model::settings::Protocol;
use portway_model::span::{Span, Spanned};
use portway_model::stage::Named;

/// TCP routers of which some end TLS here and some do not.
pub(super) fn is_mixed(routers: &[Attached<'_>]) -> bool {
    let ends = routers.iter().any(ends_tls);
    ends && !routers.iter().all(ends_tls)
}

/// The client begins with a ClientHello (RFC 8446 section 4).
fn begins_tls(at: Span) -> Condition<Named> {
    let hello = NumberRange { min: 1, max: 1 };
    let any_of = vec![hello];
    test(Value::HelloType, Matcher::Number { any_of }, at)
}

fn over(entry: &EntryPoint, what: &str, set: &Set<'_>) -> String {
    let name = &entry.name.value;
    match set.options {
        None => format!("{name} ({what})"),
        Some(_) => format!("{name} ({what}, {})", set.key()),
    }
}

fn hand_over(condition: Condition<Named>, to: &str, at: Span) -> Rule<Named> {
    let to = Spanned::new(Name::new(to), at);
    let actions = vec![Action::HandOver(to)];
    rule_of(Phase::ClientHello, condition, actions, at)
}

impl<'l> Lowering<'l> {
    pub(super) fn mixed_entry_point(
        &mut self,
        entry: &EntryPoint,
        (http, terms): (&[Attached<'l>], &Terms<'_>),
        (tcp, of_tcp): (&[Attached<'l>], &Terms<'_>),
    ) {
        let at = entry.name.span;
        let name = entry.name.value.clone();
        let mut first = self.listener(entry, &name, Protocol::Tcp);
        let (secure, plain): (Vec<_>, Vec<_>) = http.iter().cloned().partition(|it| it.tls);
        let mut inner = Vec::new();
        for set in &terms.sets {
            if let Some(names) = set.has(&Value::HelloSni, at) {
                first
                    .rules
                    .push(hand_over(names, &over(entry, "https", set), at));
            }
        }
        // Those for any server name are asked last.
        let (any, named): (Vec<_>, Vec<_>) = tcp
            .iter()
            .filter(|it| it.tls)
            .partition(|it| self.takes_all(it.rule));
        for router in named {
            self.tcp_over_tls(entry, router, of_tcp, &mut first);
        }
        let default = terms.sets.iter().find(|set| set.options.is_none());
        let rest = default.map_or(over(entry, "https", &EVERY), |set| {
            over(entry, "https", set)
        });
        let rest = (!secure.is_empty()).then(|| hand_over(begins_tls(at), &rest, at));
        let before = default.is_some_and(|set| set.any);
        first.rules.extend(rest.clone().filter(|_| before));
        for router in any {
            self.tcp_over_tls(entry, router, of_tcp, &mut first);
        }
        first.rules.extend(rest.filter(|_| !before));
        let clear = Condition::Not(Box::new(begins_tls(at)));
        for router in tcp.iter().filter(|it| !it.tls) {
            let how = (Place::Hello, Phase::ClientHello);
            self.tcp_router(router, Some(&clear), how, &mut first);
        }
        let redirects = entry.section.section("http.redirections").is_some();
        if !plain.is_empty() || (redirects && secure.is_empty()) {
            let to = format!("{name} (http)");
            first.rules.push(hand_over(clear, &to, at));
            inner.push(self.http_listener(entry, &to, &plain, Speech::Clear, None, None));
        }
        inner.extend(self.secure_listeners(entry, &secure, terms));
        for set in &of_tcp.sets {
            let of_set: Vec<_> = tcp.iter().filter(|it| ends_tls(it)).cloned().collect();
            let of_set: Vec<_> = of_set
                .into_iter()
                .filter(|it| self.options_key(it, of_tcp) == set.key())
                .collect();
            if !of_set.is_empty() {
                let name = over(entry, "tls", set);
                inner.push(self.tls_listener(entry, &name, &of_set, set.options));
            }
        }
        self.draft.listeners.push(first);
        self.draft.listeners.extend(inner);
    }

    /// Listeners for HTTP over TLS, one for each set of options.
    fn secure_listeners(
        &mut self,
        entry: &EntryPoint,
        routers: &[Attached<'l>],
        terms: &Terms<'_>,
    ) -> Vec<ListenerDraft> {
        if routers.is_empty() {
            return Vec::new();
        }
        let mut sets: Vec<&Set<'_>> = terms.sets.iter().collect();
        if sets.iter().all(|set| set.options.is_some()) {
            sets.insert(0, &EVERY);
        }
        let mut listeners = Vec::new();
        for set in &sets {
            let name = over(entry, "https", set);
            let misdirected = misdirected(set, &sets, entry.name.span);
            listeners.push(self.http_listener(
                entry,
                &name,
                routers,
                Speech::Tls,
                set.options,
                misdirected,
            ));
        }
        listeners
    }

    /// The rules of a TCP router over TLS.
    fn tcp_over_tls(
        &mut self,
        entry: &EntryPoint,
        router: &Attached<'_>,
        terms: &Terms<'_>,
        first: &mut ListenerDraft,
    ) {
        let at = router.object.key;
        let only = begins_tls(at);
        if !ends_tls(router) {
            let how = (Place::Hello, Phase::ClientHello);
            return self.tcp_router(router, Some(&only), how, first);
        }
        let condition = self.condition_of(router, Place::Hello);
        let condition = Condition::All(vec![only, condition]);
        let key = self.options_key(router, terms);
        let set = terms.sets.iter().find(|set| set.key() == key);
        let to = over(entry, "tls", set.unwrap_or(&EVERY));
        first.rules.push(hand_over(condition, &to, at));
    }

    /// The options that a TCP router's clients have.
    fn options_key(&mut self, router: &Attached<'_>, terms: &Terms<'_>) -> String {
        let names = self.names_of(router);
        let set = terms.sets.iter().find(|set| match names.first() {
            Some(name) => set.names.contains(name),
            None => set.any,
        });
        set.map(Set::key).unwrap_or_default()
    }
}

/// The default options, where no router asks for them.
static EVERY: Set<'static> = Set {
    options: None,
    names: Vec::new(),
    any: false,
};

/// A request for a name whose options are others than those of its connection is sent back.
fn misdirected(set: &Set<'_>, sets: &[&Set<'_>], at: Span) -> Option<Rule<Named>> {
    let condition = match set.options {
        Some(_) => Condition::Not(Box::new(set.has(&Value::Host, at)?)),
        None => {
            let others = sets.iter().filter(|other| other.options.is_some());
            let others: Vec<_> = others.filter_map(|it| it.has(&Value::Host, at)).collect();
            if others.is_empty() {
                return None;
            }
            Condition::Any(others)
        }
    };
    let answer = Action::Respond(text_answer(421, "Misdirected Request\n"));
    Some(rule_of(Phase::Request, condition, vec![answer], at))
}
