//! `allow` and `deny` of a listener: whose connections it takes, in one line each.
//!
//! They stand for rules that come before all others and reject: in the connection phase, or in that of the session where the
//! PROXY protocol tells only later who the client is. They are never printed: what they stand for is.

use super::form::{Form, Reader};
use crate::expression::print_network;
use crate::tree::{Entry, Table};
use ipnet::IpNet;
use portway_model::action::{Action, Phase, Places, Rule};
use portway_model::address::BindAddress;
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::draft::ListenerDraft;
use portway_model::expression::{Condition, Matcher, Test, Value};
use portway_model::span::{Origin, Spanned};
use portway_model::stage::Named;

/// The keys.
pub(super) const KEYS: [&str; 2] = ["allow", "deny"];

/// The rules that they stand for: who is denied does not come in, whoever is allowed.
pub(super) fn rules(
    listener: &ListenerDraft,
    table: &Table,
    reader: &mut Reader<'_>,
) -> Vec<Rule<Named>> {
    let told_later = told_later(listener);
    let phase = match told_later {
        true => Phase::Session,
        false => Phase::Connection,
    };
    let mut rules = Vec::new();
    let mut denied: Vec<Spanned<IpNet>> = Vec::new();
    for key in ["deny", "allow"] {
        let Some(entry) = table.get(key) else {
            continue;
        };
        let Some(any_of) = networks(entry, reader) else {
            continue;
        };
        if !told_later && has_no_addresses(listener) {
            let message =
                format!("clients of a UNIX socket have no address that `{key}` could tell");
            let one = Diagnostic::error(Code::Conflict, entry.key_span, message);
            reader.push(one.help("leave it out, or set `accept_proxy` where a proxy tells who they are; `mode` of the socket says who may connect"));
            continue;
        }
        match key {
            "deny" => denied.clone_from(&any_of),
            _ => check_allowed(&any_of, &denied, reader),
        }
        let any_of = any_of.iter().map(|network| network.value).collect();
        let listed = Condition::Test(Spanned::new(
            Test {
                expression: Value::Source.into(),
                matcher: Matcher::Address { any_of },
            },
            entry.item.span,
        ));
        rules.push(Rule {
            phase,
            condition: match key {
                "deny" => listed,
                _ => Condition::Not(Box::new(listed)),
            },
            actions: vec![Action::Reject { silent: false }],
            origin: Origin(entry.key_span.to(entry.item.span)),
            places: Places::default(),
        });
    }
    rules
}

/// Reports who is allowed and can never connect: `deny` counts first.
fn check_allowed(allowed: &[Spanned<IpNet>], denied: &[Spanned<IpNet>], reader: &mut Reader<'_>) {
    for network in allowed {
        let Some(wider) = denied.iter().find(|it| it.value.contains(&network.value)) else {
            continue;
        };
        let (one, other) = (print_network(&network.value), print_network(&wider.value));
        let message = match network.value == wider.value {
            true => format!("`{one}` is in `allow` and in `deny`: who is denied does not come in"),
            false => format!(
                "`{one}` is allowed, and all of it is denied by `{other}`: nobody of it comes in"
            ),
        };
        let one = Diagnostic::error(Code::Conflict, network.span, message);
        let help = "take it out of one of them; `deny` may name a part of what `allow` names";
        reader.push(one.label(wider.span, "denied here").help(help));
    }
}

/// The networks of a list. `None`: there is nothing to test, or it was reported.
fn networks(entry: &Entry, reader: &mut Reader<'_>) -> Option<Vec<Spanned<IpNet>>> {
    let given = reader.elements(&entry.item).len();
    let networks = Vec::<Spanned<IpNet>>::read(&entry.item, reader)?;
    // Half of a list would let in, or keep out, whom it should not.
    if networks.len() < given {
        return None;
    }
    if networks.is_empty() && entry.key == "allow" {
        let one = Diagnostic::error(Code::Missing, entry.item.span, "nobody is allowed");
        reader.push(one.help("name networks, such as [\"10.0.0.0/8\"], or leave `allow` out: everybody is allowed then"));
    }
    for (index, network) in networks.iter().enumerate() {
        let mut before = networks.iter().take(index);
        if let Some(first) = before.find(|first| first.value == network.value) {
            let message = format!("`{}` stands here twice", print_network(&network.value));
            let one = Diagnostic::warning(Code::Duplicate, network.span, message);
            reader.push(one.label(first.span, "the first is here"));
        }
    }
    (!networks.is_empty()).then_some(networks)
}

/// Who the client is is told by the PROXY protocol, which comes behind the connection phase.
fn told_later(listener: &ListenerDraft) -> bool {
    let mut actions = listener.rules.iter().flat_map(|rule| &rule.actions);
    listener.accept_proxy.is_some_and(|it| it.value)
        || actions.any(|action| matches!(action, Action::ExpectProxy(_)))
}

fn has_no_addresses(listener: &ListenerDraft) -> bool {
    let mut binds = listener.binds.iter();
    !listener.binds.is_empty() && binds.all(|bind| matches!(bind.value, BindAddress::Unix(_)))
}
