//! Sections to settings: names, what is inherited from where, and the sections beside proxies.

use super::keyword;
use super::respond::{ErrorReply, replace, reply};
use super::rule::{List, Step};
use super::{Proxy, ProxyKind};
use crate::haproxy::acl::Acls;
use crate::haproxy::sections::{Section, SectionKind};
use crate::haproxy::{Line, Reader, Word, old, users};
use portway_model::action::Action;
use portway_model::diagnostic::{Code, Diagnostic, Severity};
use portway_model::span::Spanned;

/// The statuses of an `http-errors` section.
#[derive(Debug, Clone)]
pub(crate) struct ErrorSection {
    pub(crate) name: Spanned<String>,
    pub(crate) replies: Vec<(u16, ErrorReply)>,
}

/// A defaults section, and who used it how.
struct Defaults {
    proxy: Proxy,
    named: bool,
    /// The lines with rules, which mean the proxy that begins with them.
    rules: Vec<Line>,
}

/// Reads every section that concerns proxies; gives them in the order of the text, without defaults.
pub(crate) fn read(sections: &[Section], reader: &mut Reader<'_>) -> Vec<Proxy> {
    // Rules of any proxy may name these, wherever they stand.
    for section in sections {
        match section.kind {
            SectionKind::HttpErrors => error_section(section, reader),
            SectionKind::Userlist => users::read(section, reader),
            _ => {}
        }
    }
    let mut found = Vec::new();
    let mut defaults: Vec<Defaults> = Vec::new();
    for section in sections {
        match section.kind {
            SectionKind::Defaults => defaults_section(section, &mut defaults, reader),
            SectionKind::Frontend => {
                proxy(ProxyKind::Frontend, section, &defaults, &mut found, reader)
            }
            SectionKind::Backend => {
                proxy(ProxyKind::Backend, section, &defaults, &mut found, reader)
            }
            SectionKind::Listen => proxy(ProxyKind::Listen, section, &defaults, &mut found, reader),
            _ => {}
        }
    }
    found
}

fn defaults_section(section: &Section, all: &mut Vec<Defaults>, reader: &mut Reader<'_>) {
    let header = &section.header;
    let (name, rest) = match header.text(1) {
        "from" => (String::new(), header.from(1)),
        name => (name.to_owned(), header.from(2)),
    };
    let name = Spanned::new(name, header.span);
    let mut proxy = match from(rest, all, reader) {
        From::Nothing => Proxy::new(ProxyKind::Defaults, name),
        From::Named(index) => match all.get(index) {
            Some(base) => {
                check_defaults(header, &base.proxy, reader);
                Proxy::begin(ProxyKind::Defaults, name, &base.proxy)
            }
            None => Proxy::new(ProxyKind::Defaults, name),
        },
    };
    let named = !proxy.name.value.is_empty();
    reader.proxy = Some(String::new());
    lines(&mut proxy, section, reader);
    reader.proxy = None;
    let rules = match proxy.rules.is_empty() {
        true => Vec::new(),
        false => section
            .lines
            .iter()
            .filter(|line| has_rule(line))
            .cloned()
            .collect(),
    };
    all.push(Defaults {
        proxy,
        named,
        rules,
    });
}

/// Which defaults a header names.
enum From {
    /// None.
    Nothing,
    /// The one at this index.
    Named(usize),
}

/// Reads `from NAME` where it is there.
fn from(rest: &[Word], all: &[Defaults], reader: &mut Reader<'_>) -> From {
    let [keyword, name, ..] = rest else {
        if let [word] = rest {
            reader.error(
                Code::Missing,
                word.span,
                "`from` needs the name of a `defaults` section",
            );
        }
        return From::Nothing;
    };
    if keyword.as_str() != "from" {
        let message = format!(
            "`{}` is not expected here: `from` with the name of a `defaults` section may follow",
            keyword.text
        );
        reader.error(Code::Syntax, keyword.span, message);
        return From::Nothing;
    }
    let with_name = |defaults: &Defaults| defaults.named && defaults.proxy.name.value == name.text;
    let mut fitting = all
        .iter()
        .enumerate()
        .filter(|(_, defaults)| with_name(defaults));
    let Some((index, first)) = fitting.next() else {
        let names: Vec<&str> = all
            .iter()
            .map(|defaults| defaults.proxy.name.value.as_str())
            .collect();
        let message = format!("there is no `defaults` section `{}` above", name.text);
        reader.push(
            Diagnostic::error(Code::UnknownReference, name.span, message)
                .nearest(name.as_str(), names),
        );
        return From::Nothing;
    };
    if let Some((_, second)) = fitting.next() {
        let message = format!("there are two `defaults` sections `{}`", name.text);
        reader.push(
            Diagnostic::error(Code::Duplicate, name.span, message)
                .label(first.proxy.name.span, "the first is here")
                .label(second.proxy.name.span, "the second is here"),
        );
    }
    From::Named(index)
}

fn proxy(
    kind: ProxyKind,
    section: &Section,
    all: &[Defaults],
    found: &mut Vec<Proxy>,
    reader: &mut Reader<'_>,
) {
    let header = &section.header;
    let name = Spanned::new(header.text(1).to_owned(), header.span);
    check_name(header, reader);
    // `listen NAME ADDRESS`, the way of old.
    let address = header.word(2).filter(|word| word.as_str() != "from");
    let rest = header.from(if address.is_some() { 3 } else { 2 });
    let base = match from(rest, all, reader) {
        From::Named(index) => all.get(index),
        From::Nothing => all.last(),
    };
    let mut proxy = match base {
        Some(base) => Proxy::begin(kind, name, &base.proxy),
        None => Proxy::new(kind, name),
    };
    if let Some(base) = base {
        check_rules(kind, header, &base.proxy, found, reader);
        check_lists(kind, header, &base.proxy, reader);
    }
    if let Some(address) = address {
        old::header_address(&mut proxy, address, reader);
    }
    let is_second = is_second(&proxy, found, reader);
    reader.proxy = Some(proxy.name.value.clone());
    if let Some(base) = base {
        rules_again(&mut proxy, base, reader);
    }
    lines(&mut proxy, section, reader);
    reader.proxy = None;
    if !is_second {
        found.push(proxy);
    }
}

/// A defaults section takes no rules over from another.
fn check_defaults(header: &Line, base: &Proxy, reader: &mut Reader<'_>) {
    let Some(first) = base.rules.first() else {
        return;
    };
    let message = format!(
        "a `defaults` section cannot begin with the defaults `{}`, which have rules",
        base.name.value
    );
    reader.push(
        Diagnostic::error(Code::Conflict, header.span, message)
            .label(first.span, "the first rule is here")
            .help("write the rules into a `defaults` section that no other begins with"),
    );
}

/// Rules that have no place in a proxy of this kind, as it accepts or serves nothing.
fn check_lists(kind: ProxyKind, header: &Line, base: &Proxy, reader: &mut Reader<'_>) {
    let misplaced = |list: List| match list {
        List::Connection | List::Session => kind == ProxyKind::Backend,
        List::TcpResponse => kind == ProxyKind::Frontend,
        _ => false,
    };
    let Some(rule) = base.rules.iter().find(|rule| misplaced(rule.list)) else {
        return;
    };
    let message = format!(
        "a `{}` cannot begin with the defaults `{}`, which have `{}` rules",
        kind.as_str(),
        base.name.value,
        rule.list.as_str()
    );
    let found = Diagnostic::error(Code::Conflict, header.span, message);
    reader.push(found.label(rule.span, "the rule is here"));
}

fn has_rule(line: &Line) -> bool {
    match line.text(0) {
        "http-request" | "http-response" | "http-after-response" => true,
        "tcp-request" | "tcp-response" => line.text(1) != "inspect-delay",
        _ => false,
    }
}

/// Reads the rules of the defaults section anew, as what they say of their proxy is of this one. What was found in them is
/// not said again.
fn rules_again(proxy: &mut Proxy, base: &Defaults, reader: &mut Reader<'_>) {
    if base.rules.is_empty() {
        return;
    }
    proxy.rules.clear();
    proxy.request_captures.clear();
    let before = std::mem::take(&mut reader.diagnostics);
    // Its ACLs are for its own rules alone.
    proxy.acls = base.proxy.acls.clone();
    for line in &base.rules {
        keyword::read(proxy, line, reader);
    }
    proxy.acls = Acls::default();
    let again = std::mem::replace(&mut reader.diagnostics, before);
    for found in again
        .iter()
        .filter(|found| found.severity == Severity::Error)
    {
        let mut known = reader.diagnostics.iter();
        if !known.any(|known| known.message == found.message && known.labels == found.labels) {
            reader.push(found.clone());
        }
    }
}

/// Rules of a defaults section are for what accepts or for what serves, not for both.
fn check_rules(
    kind: ProxyKind,
    header: &Line,
    base: &Proxy,
    before: &[Proxy],
    reader: &mut Reader<'_>,
) {
    let Some(first) = base.rules.first() else {
        return;
    };
    let other = before.iter().find(|other| {
        let same = other
            .rules
            .first()
            .is_some_and(|rule| rule.span == first.span);
        same && (other.kind.accepts() != kind.accepts() || other.kind.serves() != kind.serves())
    });
    let message = match other {
        _ if kind == ProxyKind::Listen => format!(
            "a `listen` cannot begin with the defaults `{}`, which have rules",
            base.name.value
        ),
        Some(other) => format!(
            "{} begins with the same defaults, which have rules: they are for frontends or for backends",
            other.words()
        ),
        None => return,
    };
    reader.push(
        Diagnostic::error(Code::Conflict, header.span, message)
            .label(first.span, "the first rule is here")
            .help("write a `defaults` section of its own for each"),
    );
}

fn check_name(header: &Line, reader: &mut Reader<'_>) {
    let Some(name) = header.word(1) else {
        return;
    };
    let wrong = |c: &char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':'));
    if let Some(wrong) = name.as_str().chars().find(wrong) {
        let message = format!(
            "`{wrong}` may not stand in the name of a {}",
            header.text(0)
        );
        let help = "letters, digits, `-`, `_`, `.` and `:` are allowed";
        reader.push(Diagnostic::error(Code::OutOfRange, name.span, message).help(help));
    }
}

/// True, and said, of a proxy that could be taken for one before it with the same name.
fn is_second(proxy: &Proxy, before: &[Proxy], reader: &mut Reader<'_>) -> bool {
    let clash = |other: &&Proxy| {
        other.name.value == proxy.name.value
            && ((other.kind.accepts() && proxy.kind.accepts())
                || (other.kind.serves() && proxy.kind.serves()))
    };
    let first = before.iter().find(clash);
    if let Some(first) = first {
        let message = format!("{} has the same name as {}", proxy.words(), first.words());
        reader.push(
            Diagnostic::error(Code::Duplicate, proxy.name.span, message)
                .label(first.name.span, "the first is here")
                .help("give one of them another name; a frontend and a backend may share one"),
        );
    }
    first.is_some()
}

fn lines(proxy: &mut Proxy, section: &Section, reader: &mut Reader<'_>) {
    for line in &section.lines {
        keyword::read(proxy, line, reader);
    }
    captures_by_id(proxy, reader);
}

/// Gives rules that name a slot by its number its length: it may be declared behind them.
fn captures_by_id(proxy: &mut Proxy, reader: &mut Reader<'_>) {
    for (list, number) in std::mem::take(&mut proxy.captures_by_id) {
        if proxy
            .captures(list)
            .get(usize::from(number.value))
            .is_none()
        {
            let message = format!("there is no capture slot {}", number.value);
            let wrong = Diagnostic::error(Code::UnknownReference, number.span, message);
            reader.push(wrong.help("declare it, with `declare capture`"));
        }
    }
    if !proxy.kind.accepts() {
        return;
    }
    let mut rules = std::mem::take(&mut proxy.rules);
    for rule in &mut rules {
        let Step::Do(actions) = &mut rule.step else {
            continue;
        };
        for action in actions {
            if let Action::Capture {
                length,
                slot: Some(slot),
                ..
            } = action
            {
                let declared = proxy.captures(rule.list).get(usize::from(*slot));
                *length = declared.map_or(*length, |slot| slot.length);
            }
        }
    }
    proxy.rules = rules;
}

fn error_section(section: &Section, reader: &mut Reader<'_>) {
    let mut replies = Vec::new();
    for line in &section.lines {
        if let Some((status, reply)) = reply(line, reader) {
            replace(&mut replies, status, reply);
        }
    }
    let name = Spanned::new(section.header.text(1).to_owned(), section.header.span);
    reader.error_sections.push(ErrorSection { name, replies });
}
