//! Rules: `[[listener.NAME.rule]]`, `[[target_group.NAME.rule]]` and the short `forward = "group"`.

use super::action;
use super::form::{Form, Out, Reader, words};
use super::forward;
use super::print_action;
use crate::expression::condition;
use crate::tree::{Content, Entry, Item, Table};
use portway_model::action::{Action, Phase, Places, Rule};
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::expression::{Condition, Matcher, NumberRange, Test, Value};
use portway_model::settings::Protocol;
use portway_model::span::{Origin, Span, Spanned};
use portway_model::stage::Named;

/// Whose rules they are, which decides the phase where none is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A listener that reads requests.
    Http,
    /// A listener that passes bytes on.
    Stream,
    /// A target group.
    Group,
}

impl Owner {
    /// A listener of this protocol; one that says none speaks HTTP or HTTPS.
    pub(crate) fn of_listener(protocol: Option<Protocol>) -> Self {
        match protocol {
            Some(Protocol::Tcp | Protocol::Tls) => Owner::Stream,
            Some(Protocol::Http | Protocol::Https) | None => Owner::Http,
        }
    }

    fn default_phase(self) -> Phase {
        match self {
            Owner::Http | Owner::Group => Phase::Request,
            Owner::Stream => Phase::Connection,
        }
    }

    /// The phase of the short `forward`: the last in which these rules choose a group.
    fn forward_phase(self, rules: &[Rule<Named>]) -> Phase {
        let inspects = rules.iter().any(|rule| rule.phase == Phase::ClientHello);
        match self {
            Owner::Stream if inspects => Phase::ClientHello,
            _ => self.default_phase(),
        }
    }
}

words!(Phase, "a phase", PHASES:
    "connection" => Phase::Connection,
    "session" => Phase::Session,
    "client_hello" => Phase::ClientHello,
    "request" => Phase::Request,
    "response" => Phase::Response,
    "after_response" => Phase::AfterResponse,
);

/// The keys of a rule beside those of its action.
pub(crate) const KEYS: &[&str] = &["when", "phase", "actions"];

impl Form for Condition<Named> {
    const WHAT: &'static str = "a condition such as \"Host(`a.example`)\"";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        let written = reader.text(item, Self::WHAT)?;
        condition::parse(written, reader.found)
    }

    fn write(&self) -> Out {
        Out::text(condition::print(self))
    }
}

/// Reads `rule` and the short `forward` of an object's table.
pub(crate) fn read_all(table: &Table, owner: Owner, reader: &mut Reader<'_>) -> Vec<Rule<Named>> {
    let mut rules = Vec::new();
    if let Some(entry) = table.get("rule") {
        for item in reader.elements(&entry.item) {
            rules.extend(read(item, owner, reader));
        }
    }
    if owner == Owner::Group {
        return rules;
    }
    if let Some(entry) = table.get("forward")
        && let Some(groups) = forward::read(&entry.item, reader)
    {
        rules.push(Rule {
            phase: owner.forward_phase(&rules),
            condition: Condition::All(Vec::new()),
            actions: vec![Action::Forward(groups)],
            origin: Origin(entry.key_span.to(entry.item.span)),
            places: Places::default(),
        });
    }
    rules
}

/// Adds what [`read_all`] reads.
pub(crate) fn write_all(rules: &[Rule<Named>], owner: Owner, out: &mut Vec<(String, Out)>) {
    let (rules, forward) = match rules.split_last() {
        Some((last, before))
            if owner != Owner::Group && is_short(last, owner.forward_phase(before)) =>
        {
            (before, last.actions.first())
        }
        _ => (rules, None),
    };
    if let Some(Action::Forward(groups)) = forward {
        out.push(("forward".to_owned(), forward::write(groups)));
    }
    if !rules.is_empty() {
        let rules = rules.iter().map(|rule| write(rule, owner)).collect();
        out.push(("rule".to_owned(), Out::Sections(rules)));
    }
}

fn is_short(rule: &Rule<Named>, phase: Phase) -> bool {
    rule.phase == phase
        && rule.condition.is_always()
        && matches!(rule.actions.as_slice(), [Action::Forward(_)])
}

/// Reads one rule. Half of one would do something else, but nothing runs where something is wrong: what could be read of it
/// is checked all the same.
fn read(item: &Item, owner: Owner, reader: &mut Reader<'_>) -> Option<Rule<Named>> {
    let keys: Vec<&str> = KEYS.iter().copied().chain(action::keys()).collect();
    let table = reader.keyed(item, "a rule", &keys)?;
    let when = table.entry("when");
    let condition = match when {
        Some(entry) => Condition::read(&entry.item, reader),
        None => Some(Condition::All(Vec::new())),
    };
    let phase = match table.entry("phase") {
        Some(entry) => Phase::read(&entry.item, reader),
        None => Some(owner.default_phase()),
    };
    let Content::Table(inner) = &item.content else {
        return None;
    };
    let stated = inner.entries().iter();
    let stated: Vec<&Entry> = stated
        .filter(|entry| entry.key == "actions" || action::keys().any(|key| key == entry.key))
        .collect();
    let actions = match stated.as_slice() {
        [] => {
            // An unknown key was most likely meant to be the action.
            let complete = inner
                .entries()
                .iter()
                .all(|entry| keys.contains(&entry.key.as_str()));
            if complete {
                let message = "this rule has no action";
                let diagnostic = Diagnostic::error(Code::Missing, item.span, message);
                reader.push(diagnostic.help("add for example forward = \"GROUP\""));
            }
            None
        }
        [entry] if entry.key == "actions" => read_list(entry, reader),
        [entry] => action::read(entry, reader).map(|actions| placed(actions, entry)),
        [first, second, ..] => {
            let message = format!("`{}` and `{}` in one rule", first.key, second.key);
            reader.push(
                Diagnostic::error(Code::Conflict, second.key_span, message)
                    .label(first.key_span, "the first action")
                    .help("write actions = [{ … }, { … }]: they run in this order"),
            );
            None
        }
    };
    let (actions, places): (Vec<_>, _) = actions?.into_iter().unzip();
    Some(Rule {
        condition: condition.unwrap_or_else(sometimes),
        phase: phase?,
        actions,
        origin: Origin(when.map_or(item.span, |entry| item.span.to(entry.item.span))),
        places: Places(places),
    })
}

/// In the place of a condition that is wrong: it may hold, and may not.
fn sometimes() -> Condition<Named> {
    let (min, max) = (0, 0);
    let any_of = vec![NumberRange { min, max }];
    Condition::Test(Spanned::bare(Test {
        expression: Value::Random(2).into(),
        matcher: Matcher::Number { any_of },
    }))
}

/// An action and where it stands.
type Placed = (Action<Named>, Span);

fn placed(actions: Vec<Action<Named>>, entry: &Entry) -> Vec<Placed> {
    let place = entry.key_span.to(entry.item.span);
    actions.into_iter().map(|action| (action, place)).collect()
}

/// `actions = [{ … }, { … }]`.
fn read_list(entry: &Entry, reader: &mut Reader<'_>) -> Option<Vec<Placed>> {
    let keys: Vec<&str> = action::keys().collect();
    let mut actions = Vec::new();
    let mut complete = true;
    for item in reader.elements(&entry.item) {
        let known = reader.keyed(item, "an action such as { forward = \"GROUP\" }", &keys);
        let Content::Table(table) = &item.content else {
            complete = false;
            continue;
        };
        complete &= known.is_some();
        if table.entries().is_empty() {
            let message = "this action is empty";
            reader.push(Diagnostic::error(Code::Missing, item.span, message));
            complete = false;
        }
        for entry in table.entries() {
            if !keys.contains(&entry.key.as_str()) {
                complete = false;
                continue;
            }
            match action::read(entry, reader) {
                Some(read) => actions.extend(placed(read, entry)),
                None => complete = false,
            }
        }
    }
    (complete || !actions.is_empty()).then_some(actions)
}

/// What is said of one rule, whatever its phase.
pub(crate) fn write_one(rule: &Rule<Named>) -> Vec<(String, Out)> {
    let mut out = Vec::new();
    if !rule.condition.is_always() {
        out.push(("when".to_owned(), rule.condition.write()));
    }
    out.append(&mut print_action::write_all(&rule.actions));
    out
}

fn write(rule: &Rule<Named>, owner: Owner) -> Vec<(String, Out)> {
    let mut out = Vec::new();
    if !rule.condition.is_always() {
        out.push(("when".to_owned(), rule.condition.write()));
    }
    if rule.phase != owner.default_phase() {
        out.push(("phase".to_owned(), rule.phase.write()));
    }
    let mut actions = print_action::write_all(&rule.actions);
    if actions.len() == 1 {
        out.append(&mut actions);
    } else {
        let actions = actions.into_iter().map(|action| Out::Table(vec![action]));
        out.push(("actions".to_owned(), Out::List(actions.collect())));
    }
    out
}
