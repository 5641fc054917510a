//! On which terms TLS is spoken to whom: the options of each router, by the server names that it is for.
//!
//! Options belong to names, because they count before a request is there. A name for which routers ask for different
//! ones has the default ones, as in Traefik.

use super::super::entry_point::EntryPoint;
use super::super::matcher::{one_of, server_names};
use super::super::model::Provider;
use super::super::rule;
use super::Lowering;
use super::entry::Attached;
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::expression::{Condition, Value};
use portway_model::span::{Span, Spanned};
use portway_model::stage::Named;

/// Options by their name, as somebody says it; `None`: the default ones.
pub(super) type Said<'o> = Option<(Spanned<&'o str>, Provider)>;

/// Names that share their options.
pub(super) struct Set<'o> {
    pub(super) options: Said<'o>,
    /// With `*.` for any one label.
    pub(super) names: Vec<String>,
    /// Some router is for every name.
    pub(super) any: bool,
}

impl Set<'_> {
    /// What tells these options from others; empty for the default ones.
    pub(super) fn key(&self) -> String {
        key_of(self.options)
    }

    /// A client's name is one of these; `None`: there is none.
    pub(super) fn has(&self, value: &Value<Named>, at: Span) -> Option<Condition<Named>> {
        names(value, &self.names, at)
    }
}

/// The options of all routers with TLS on an entry point.
pub(super) struct Terms<'o> {
    pub(super) sets: Vec<Set<'o>>,
}

impl<'o> Terms<'o> {
    /// Those that all share.
    pub(super) fn only(&self) -> Said<'o> {
        self.sets.first().and_then(|set| set.options)
    }
}

/// True for a TCP router that ends TLS here.
pub(super) fn ends_tls(router: &Attached<'_>) -> bool {
    let tls = router.object.section.section("tls");
    tls.is_some_and(|tls| !tls.is_on("passthrough"))
}

fn key_of(options: Said<'_>) -> String {
    options.map_or(String::new(), |(name, provider)| {
        match name.value.contains('@') {
            true => name.value.to_owned(),
            false => format!("{}@{}", name.value, provider.as_str()),
        }
    })
}

/// A name is one of these, of which some begin with `*.`.
fn names(value: &Value<Named>, list: &[String], at: Span) -> Option<Condition<Named>> {
    let exact = list.iter().filter(|name| !name.starts_with("*."));
    let exact: Vec<String> = exact.cloned().collect();
    let mut parts = Vec::new();
    if !exact.is_empty() {
        parts.push(one_of(value.clone(), exact, true, at));
    }
    let wild = list.iter().filter_map(|name| name.strip_prefix("*."));
    parts.extend(wild.map(|rest| super::super::matcher::one_label_below(value.clone(), rest, at)));
    match parts.len() {
        0 => None,
        1 => Some(parts.remove(0)),
        _ => Some(Condition::Any(parts)),
    }
}

impl<'l> Lowering<'l> {
    /// The terms of these routers: of those that end TLS here.
    pub(super) fn terms<'o>(
        &mut self,
        entry: &'o EntryPoint,
        routers: &[Attached<'o>],
    ) -> Terms<'o> {
        // By name: whoever asks for options for it.
        let mut asked: Vec<(String, Vec<(Said<'o>, Span)>)> = Vec::new();
        let mut sets: Vec<Set<'o>> = Vec::new();
        for router in routers.iter().filter(|router| router.tls) {
            let tls = router.object.section.section("tls");
            if tls.is_some_and(|tls| tls.is_on("passthrough")) {
                continue;
            }
            let (section, provider) = match tls {
                Some(own) => (Some(own), router.object.provider),
                None => (entry.section.section("http.tls"), Provider::File),
            };
            let said = section.and_then(|it| it.some_text("options"));
            let said = said.filter(|it| it.value != "default");
            let options = said.map(|it| (it, provider));
            let names = self.names_of(router);
            if names.is_empty() {
                // It is for every name, and options belong to names.
                if let Some((name, _)) = options {
                    self.ownerless(name);
                }
                if let Some(set) = set_of(&mut sets, None) {
                    set.any = true;
                }
            }
            for name in names {
                let at = router.object.key;
                match asked.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, all)) => all.push((options, at)),
                    None => asked.push((name, vec![(options, at)])),
                }
            }
        }
        for (name, all) in asked {
            let options = self.agreed(&name, &all);
            if let Some(set) = set_of(&mut sets, options) {
                set.names.push(name);
            }
        }
        // The default ones first.
        sets.sort_by_key(|set| set.options.is_some());
        Terms { sets }
    }

    fn ownerless(&mut self, name: Spanned<&str>) {
        let message = "a router without `Host` is for every name: its `tls.options` are not used";
        let one = Diagnostic::warning(Code::Unused, name.span, message);
        let help = "clients have the options of the name that they ask for, the default ones unless a router with that `Host` names others";
        self.found.push(one.help(help));
    }

    /// The options of a name: the default ones where routers do not agree.
    fn agreed<'o>(&mut self, name: &str, all: &[(Said<'o>, Span)]) -> Said<'o> {
        let (first, at) = all.first().copied()?;
        let other = all.iter().find(|(it, _)| key_of(*it) != key_of(first));
        let Some((_, other)) = other else {
            return first;
        };
        let message = format!(
            "routers ask for different `tls.options` for `{name}`: it has the default ones"
        );
        let one = Diagnostic::warning(Code::Conflict, *other, message);
        self.found.push(one.label(at, "the first is here"));
        None
    }

    /// The names that a router is for; none: for any.
    pub(super) fn names_of(&mut self, router: &Attached<'_>) -> Vec<String> {
        let mut unsaid = portway_model::diagnostic::Diagnostics::default();
        let rule = rule::parse(self.written(router.rule), &mut unsaid);
        let mut names = rule.map(|rule| server_names(&rule)).unwrap_or_default();
        names.dedup();
        names
    }
}

/// The set with these options, made where there is none.
fn set_of<'s, 'o>(sets: &'s mut Vec<Set<'o>>, options: Said<'o>) -> Option<&'s mut Set<'o>> {
    let key = key_of(options);
    if !sets.iter().any(|set| set.key() == key) {
        sets.push(Set {
            options,
            names: Vec::new(),
            any: false,
        });
    }
    sets.iter_mut().find(|set| set.key() == key)
}
