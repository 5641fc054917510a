//! Words of HAProxy 1.5 and before that later versions refuse: they work here, each with a note on what is written now.

use super::proxy::{
    Args, Bind, List, Proxy, ProxyKind, Step, add_rule, bare_condition, set_timeout,
};
use super::{Line, Reader, Word, address, regex};
use portway_model::action::{Action, FixedResponse, NamePattern};
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::expression::{Condition, Expression, Matcher, Template, Test, TextMatch, Value};
use portway_model::replacement::without_missing;
use portway_model::span::{Span, Spanned};
use portway_model::stage::Named;

/// Says what is written now.
fn note(span: Span, old: &str, now: &str, reader: &mut Reader<'_>) {
    let found = Diagnostic::note(
        Code::Stated,
        span,
        format!("`{old}` is a word of HAProxy 1.5"),
    );
    reader.push(found.help(format!("later versions want {now}")));
}

/// `listen NAME ADDRESS`.
pub(super) fn header_address(proxy: &mut Proxy, word: &Word, reader: &mut Reader<'_>) {
    if proxy.kind == ProxyKind::Backend {
        let message = format!(
            "`{}` is not expected behind the name of a backend",
            word.text
        );
        reader.error(Code::Syntax, word.span, message);
        return;
    }
    if !word.text.contains([':', '@', '/']) {
        let message = format!(
            "`{}` behind the name of a {} is no address",
            word.text,
            proxy.kind.as_str()
        );
        let wrong = Diagnostic::error(Code::Syntax, word.span, message);
        reader
            .push(wrong.help(
                "a name is one word; a line `bind :80` in the section says where it listens",
            ));
        // What is missing was said.
        proxy.bind_failed = true;
        return;
    }
    let addresses = address::bind(word, reader);
    if addresses.is_empty() {
        return;
    }
    let old = format!("{} NAME ADDRESS", proxy.kind.as_str());
    note(
        word.span,
        &old,
        &format!("a line `bind {}` in the section", word.text),
        reader,
    );
    proxy.binds.push(Bind::new(addresses, word.span));
}

/// Reads the line where it begins with an old word; false where it does not.
pub(super) fn line(proxy: &mut Proxy, line: &Line, reader: &mut Reader<'_>) -> bool {
    let keyword = line.text(0);
    match keyword {
        "contimeout" | "clitimeout" | "srvtimeout" => {
            let name = match keyword {
                "contimeout" => "connect",
                "clitimeout" => "client",
                _ => "server",
            };
            set_timeout(proxy, name, line, 1, reader);
        }
        "redispatch" => {
            proxy.redispatch = Some(Spanned::new(-1, line.span));
        }
        "block" => {
            let mut args = Args::new(line, 1);
            if let Some(condition) = bare_condition(proxy, List::HttpRequest, &mut args, reader) {
                let deny = Action::Deny(FixedResponse::error(403));
                add_rule(
                    proxy,
                    List::HttpRequest,
                    Step::Do(vec![deny]),
                    condition,
                    line.span,
                    reader,
                );
            }
        }
        "reqadd" | "rspadd" => add(proxy, line, reader),
        _ if keyword.starts_with("req") || keyword.starts_with("rsp") => {
            return by_pattern(proxy, line, reader);
        }
        _ => return false,
    }
    true
}

/// `monitor-net NETWORK`.
pub(super) fn monitor_net(proxy: &mut Proxy, line: &Line, reader: &mut Reader<'_>) {
    let Some(word) = line.word(1) else {
        reader.error(Code::Missing, line.span, "`monitor-net` needs a network");
        return;
    };
    let net = word.as_str().parse::<ipnet::IpNet>().ok();
    let net = net.or_else(|| Some(word.as_str().parse::<std::net::IpAddr>().ok()?.into()));
    match net {
        Some(net) => {
            proxy.monitor_net = Some(word.spanned(net.trunc()));
        }
        None => reader.error(
            Code::WrongType,
            word.span,
            format!("`{}` is not a network", word.text),
        ),
    }
}

/// `reqadd LINE [condition]`, `rspadd LINE [condition]`.
fn add(proxy: &mut Proxy, line: &Line, reader: &mut Reader<'_>) {
    let list = match line.text(0) {
        "reqadd" => List::HttpRequest,
        _ => List::HttpResponse,
    };
    let Some(word) = line.word(1) else {
        reader.error(
            Code::Missing,
            line.span,
            format!("`{}` needs a header", line.text(0)),
        );
        return;
    };
    let Some((name, value)) = word.as_str().split_once(':') else {
        let message = format!("`{}` is not a header: it has no colon", word.text);
        reader.error(Code::WrongType, word.span, message);
        return;
    };
    let action = Action::AddHeader {
        name: name.trim().to_owned(),
        value: Template::text(value.trim()),
    };
    let mut args = Args::new(line, 2);
    if let Some(condition) = bare_condition(proxy, list, &mut args, reader) {
        add_rule(
            proxy,
            list,
            Step::Do(vec![action]),
            condition,
            line.span,
            reader,
        );
    }
}

/// What a pattern on the lines of a message looks at.
enum Looked {
    /// The values of a header, with the pattern for them.
    Header { name: String, value: String },
    /// Path and query of the request line; for one method where it is said.
    Target {
        method: Option<String>,
        target: String,
    },
}

/// `^Name: value` and `^METHOD target` apart. `None`: it is neither.
fn looked_at(pattern: &str) -> Option<Looked> {
    let rest = pattern.strip_prefix('^')?;
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))?;
    let (word, after) = rest.split_at_checked(end)?;
    if let Some(value) = after.strip_prefix(':').filter(|_| !word.is_empty()) {
        let value = value
            .strip_prefix("[ ]*")
            .or_else(|| value.strip_prefix(" *"))
            .unwrap_or(value);
        let value = value.trim_start();
        let value = if value.is_empty() {
            String::new()
        } else {
            format!("^{value}")
        };
        return Some(Looked::Header {
            name: word.to_owned(),
            value,
        });
    }
    for any in ["[^ :]* ", "[^ ]* ", "[^:]* ", "[^ :]+ ", "[^ ]+ "] {
        if let Some(target) = rest
            .strip_prefix(any)
            .filter(|target| !target.contains(' '))
        {
            let target = format!("^{target}");
            return Some(Looked::Target {
                method: None,
                target,
            });
        }
    }
    let target = after
        .strip_prefix(' ')
        .filter(|target| !word.is_empty() && !target.contains(' '))?;
    Some(Looked::Target {
        method: Some(word.to_owned()),
        target: format!("^{target}"),
    })
}

/// The families `reqdel`, `reqrep`, `reqdeny`, `reqallow`, `reqtarpit` and those of responses.
fn by_pattern(proxy: &mut Proxy, line: &Line, reader: &mut Reader<'_>) -> bool {
    let keyword = line.text(0);
    let (side, rest) = keyword.split_at_checked(3).unwrap_or((keyword, ""));
    let (ignore_case, verb) = match rest.strip_prefix('i') {
        Some(verb) => (true, verb),
        None => (false, rest),
    };
    let list = if side == "req" {
        List::HttpRequest
    } else {
        List::HttpResponse
    };
    if !matches!(
        verb,
        "del" | "rep" | "deny" | "allow" | "tarpit" | "pass" | "setbe"
    ) {
        return false;
    }
    let Some(word) = line.word(1) else {
        reader.error(
            Code::Missing,
            line.span,
            format!("`{keyword}` needs a regular expression"),
        );
        return true;
    };
    if verb == "rep" {
        replace(proxy, list, ignore_case, line, reader);
        return true;
    }
    if verb == "del"
        && ignore_case
        && !matches!(looked_at(word.as_str()), Some(Looked::Header { .. }))
    {
        delete_lines(proxy, list, line, word, reader);
        return true;
    }
    let looked = looked_at(word.as_str()).and_then(|looked| translated(looked, ignore_case));
    let (Some(looked), false) = (looked, matches!(verb, "pass" | "setbe")) else {
        inexpressible(line, word, reader);
        return true;
    };
    let step = match verb {
        "del" => match &looked {
            Looked::Header { name, value } if value.is_empty() => {
                Step::Do(vec![Action::RemoveHeader { name: name.clone() }])
            }
            Looked::Header { name, value } => Step::Do(vec![Action::RemoveHeaders(
                NamePattern::Line(word.spanned(line_pattern(name, value))),
            )]),
            Looked::Target { .. } => {
                inexpressible(line, word, reader);
                return true;
            }
        },
        "allow" => Step::Pass,
        "tarpit" => Step::Tarpit(FixedResponse::error(500)),
        _ if list == List::HttpRequest => Step::Do(vec![Action::Deny(FixedResponse::error(403))]),
        _ => Step::Do(vec![Action::Deny(FixedResponse::error(502))]),
    };
    let mut args = Args::new(line, 2);
    let Some(mut condition) = bare_condition(proxy, list, &mut args, reader) else {
        return true;
    };
    if verb != "del" {
        condition = Condition::All(vec![test(&looked, list, word), condition]);
    }
    add_rule(proxy, list, step, condition, line.span, reader);
    true
}

/// `reqidel PATTERN` of any lines of headers, whose names are in lower case.
fn delete_lines(proxy: &mut Proxy, list: List, line: &Line, word: &Word, reader: &mut Reader<'_>) {
    let Ok(pattern) = regex::translate(word.as_str(), true) else {
        inexpressible(line, word, reader);
        return;
    };
    let remove = Action::RemoveHeaders(NamePattern::Line(word.spanned(pattern)));
    let mut args = Args::new(line, 2);
    if let Some(condition) = bare_condition(proxy, list, &mut args, reader) {
        let step = Step::Do(vec![remove]);
        add_rule(proxy, list, step, condition, line.span, reader);
    }
}

/// The patterns in our syntax.
fn translated(looked: Looked, ignore_case: bool) -> Option<Looked> {
    let pattern = |text: &str| match text {
        "" => Some(String::new()),
        text => regex::translate(text, ignore_case).ok(),
    };
    Some(match looked {
        Looked::Header { name, value } => Looked::Header {
            name,
            value: pattern(&value)?,
        },
        Looked::Target { method, target } => Looked::Target {
            method,
            target: pattern(&target)?,
        },
    })
}

/// Holds where a line of the message fits.
fn test(looked: &Looked, list: List, word: &Word) -> Condition<Named> {
    let test = |value: Value<Named>, matcher| {
        Condition::Test(Spanned::new(
            Test {
                expression: Expression::from(value),
                matcher,
            },
            word.span,
        ))
    };
    let finds = |pattern: &str| Matcher::Regex {
        any_of: vec![word.spanned(pattern.to_owned())],
    };
    match looked {
        Looked::Header { name, value } => {
            let field = match list {
                List::HttpRequest => Value::Header(name.clone()),
                _ => Value::ResponseHeader(name.clone()),
            };
            match value.as_str() {
                "" => test(field, Matcher::Present),
                value => test(field, finds(value)),
            }
        }
        Looked::Target { method, target } => {
            let target = test(Value::Target, finds(target));
            match method {
                None => target,
                Some(method) => {
                    let is = Matcher::Text {
                        how: TextMatch::Exact,
                        any_of: vec![method.clone()],
                        ignore_case: true,
                    };
                    Condition::All(vec![test(Value::Method, is), target])
                }
            }
        }
    }
}

/// A pattern on the whole line of a header, whose name is in lower case.
fn line_pattern(name: &str, value: &str) -> String {
    let (flags, value) = match value.split_once(')') {
        Some((flags, rest)) if flags.starts_with("(?") && !flags.contains(':') => {
            (format!("{flags})"), rest)
        }
        _ => (String::new(), value),
    };
    let value = value.strip_prefix('^').unwrap_or(value);
    format!("{flags}^{}: {value}", name.to_ascii_lowercase())
}

/// `reqrep SEARCH REPLACE [condition]` and its like.
fn replace(proxy: &mut Proxy, list: List, ignore_case: bool, line: &Line, reader: &mut Reader<'_>) {
    let (Some(search), Some(with)) = (line.word(1), line.word(2)) else {
        reader.error(
            Code::Missing,
            line.span,
            format!(
                "`{}` needs a regular expression and what takes its place",
                line.text(0)
            ),
        );
        return;
    };
    let (method, text, new) = one_method(search.as_str(), with.as_str());
    let action = request_line(&text, &new, ignore_case)
        .filter(|_| list == List::HttpRequest)
        .map(|(pattern, with)| Action::ReplaceTarget {
            pattern: search.spanned(pattern),
            with: Template::text(with),
        })
        .or_else(|| header_line(search, with, ignore_case));
    let Some(action) = action else {
        inexpressible(line, search, reader);
        return;
    };
    let mut args = Args::new(line, 3);
    if let Some(mut condition) = bare_condition(proxy, list, &mut args, reader) {
        if let Some(method) = method {
            let is = is_method(method, ignore_case, search);
            condition = Condition::All(vec![is, condition]);
        }
        add_rule(
            proxy,
            list,
            Step::Do(vec![action]),
            condition,
            line.span,
            reader,
        );
    }
}

/// `^([^ :]*) TARGET` and `\1 NEW`: both without the method, which stays.
fn request_line(search: &str, with: &str, ignore_case: bool) -> Option<(String, String)> {
    let methods = [
        "([^ :]*) ",
        "([^ ]*) ",
        "([^:]*) ",
        "([^ :]+) ",
        "([^ ]+) ",
        "(.*) ",
    ];
    let rest = search.strip_prefix('^')?;
    let target = methods
        .iter()
        .find_map(|method| rest.strip_prefix(method))?;
    let with = with.strip_prefix("\\1 ")?;
    // The version may be spelt out at the end of both.
    let version = |text: &str| {
        text.split_once(" HTTP/")
            .map(|(before, _)| before.to_owned())
    };
    let (target, with) = match (version(target), version(with)) {
        (Some(target), Some(with)) => (format!("{target}$"), with),
        (None, None) => (target.to_owned(), with.to_owned()),
        _ => return None,
    };
    if target.contains(' ') || with.contains(' ') {
        return None;
    }
    let with = lowered_references(&with)?;
    let pattern = regex::translate(&format!("^{target}"), ignore_case).ok()?;
    let tail = if pattern.ends_with(".*)") || pattern.ends_with('$') || pattern.ends_with(".*") {
        ""
    } else {
        "(.*)$"
    };
    let keep = if tail.is_empty() {
        String::new()
    } else {
        format!("${{{}}}", groups(&pattern) + 1)
    };
    let pattern = format!("{pattern}{tail}");
    let with = format!("{}{keep}", regex::replacement(&with));
    let (with, _) = without_missing(&pattern, &with);
    Some((pattern, with))
}

/// `^METHOD TARGET` and `METHOD NEW`: the method, and both with any method, as a group, in its place.
fn one_method(search: &str, with: &str) -> (Option<String>, String, String) {
    let as_they_are = (None, search.to_owned(), with.to_owned());
    let parts = search.strip_prefix('^').and_then(|it| it.split_once(' '));
    let (Some((method, target)), Some((same, new))) = (parts, with.split_once(' ')) else {
        return as_they_are;
    };
    let is_word = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_alphabetic());
    match raised_references(new) {
        Some(new) if is_word && method == same => (
            Some(method.to_owned()),
            format!("^([^ ]*) {target}"),
            format!("\\1 {new}"),
        ),
        _ => as_they_are,
    }
}

/// `\1` becomes `\2`: a group comes before the others. `None` where all that was found is named, or a tenth group would be.
fn raised_references(with: &str) -> Option<String> {
    other_references(with, |digit| matches!(digit, 1..=8).then_some(digit + 1))
}

/// `\2` becomes `\1`: the group of the method is gone. `None` where that group is used once more.
fn lowered_references(with: &str) -> Option<String> {
    other_references(with, |digit| (digit > 1).then(|| digit - 1))
}

/// Gives references other numbers; `None` where one has none.
fn other_references(with: &str, number: impl Fn(u32) -> Option<u32>) -> Option<String> {
    let mut out = String::with_capacity(with.len());
    let mut chars = with.chars();
    while let Some(c) = chars.next() {
        out.push(c);
        if c != '\\' {
            continue;
        }
        let next = chars.next()?;
        out.push(match next.to_digit(10) {
            Some(digit) => char::from_digit(number(digit)?, 10)?,
            None => next,
        });
    }
    Some(out)
}

fn is_method(method: String, ignore_case: bool, word: &Word) -> Condition<Named> {
    let matcher = Matcher::Text {
        how: TextMatch::Exact,
        any_of: vec![method],
        ignore_case,
    };
    let expression = Expression::from(Value::Method);
    let test = Test {
        expression,
        matcher,
    };
    Condition::Test(Spanned::new(test, word.span))
}

/// How many capturing groups a pattern opens.
fn groups(pattern: &str) -> usize {
    let mut count = 0;
    let mut chars = pattern.chars().peekable();
    let mut in_class = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                chars.next();
            }
            '[' => in_class = true,
            ']' => in_class = false,
            '(' if !in_class && chars.peek() != Some(&'?') => count += 1,
            _ => {}
        }
    }
    count
}

/// `^(Name: …` and `\1…` with the name before the group, which then has what is behind it, or is gone.
fn named_first(search: &str, with: &str) -> Option<(String, String)> {
    let rest = search.strip_prefix("^(")?;
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))?;
    let (name, after) = rest.split_at_checked(end)?;
    let after = after.strip_prefix(':').filter(|_| !name.is_empty())?;
    let after = after.strip_prefix(' ').unwrap_or(after);
    let with = with.strip_prefix("\\1")?;
    match after.strip_prefix(')') {
        Some(rest) if rest.starts_with(['?', '*', '+', '{']) => None,
        Some(rest) => {
            let with = lowered_references(with)?;
            Some((format!("^{name}: {rest}"), format!("{name}: {with}")))
        }
        None if with.contains("\\1") => None,
        None => Some((format!("^{name}: ({after}"), format!("{name}: \\1{with}"))),
    }
}

/// `^Name: SEARCH` and `Name: NEW`.
fn header_line(search: &Word, with: &Word, ignore_case: bool) -> Option<Action<Named>> {
    let named = named_first(search.as_str(), with.as_str());
    let (text, with) = match &named {
        Some((text, with)) => (text.as_str(), with.as_str()),
        None => (search.as_str(), with.as_str()),
    };
    let Looked::Header { name, value } = looked_at(text)? else {
        return None;
    };
    let (new_name, new_value) = with.split_once(':')?;
    if !new_name.eq_ignore_ascii_case(&name) {
        return None;
    }
    let pattern = regex::translate(&value, ignore_case).ok()?;
    let with = regex::replacement(new_value.trim_start());
    let (with, _) = without_missing(&pattern, &with);
    Some(Action::ReplaceHeader {
        name,
        pattern: search.spanned(pattern),
        with: Template::text(with),
        elements: false,
    })
}

/// A pattern that looks at more than one header or the request line.
fn inexpressible(line: &Line, word: &Word, reader: &mut Reader<'_>) {
    let keyword = line.text(0);
    let message = format!("`{keyword}` with this regular expression cannot be run");
    let help = "it is run where it begins with `^Name:` of one header, or with `^METHOD\\ ` or `^[^\\ ]*\\ ` of the request line; write `http-request` and `http-response` rules for the rest";
    reader.push(Diagnostic::error(Code::NotRun, word.span, message).help(help));
}
