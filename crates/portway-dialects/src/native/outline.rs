//! What the canonical text says, piece by piece: for who compares configurations or tells of their parts. What is secret
//! is told from what is shown here, and nowhere else.

use super::form::{Fields, Out};
use super::print::{entry, inline, key};
use super::{group, listener, rule};
use portway_model::action::Rule;
use portway_model::draft::{
    CertificateDraft, GroupDraft, ListenerDraft, MapDraft, ProcessDraft, StickTableDraft,
    TargetDraft, UserlistDraft,
};
use portway_model::stage::Named;

/// A key with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutlinedField {
    /// The key; `timeouts.connect` where it stands in a table.
    pub key: String,
    /// The value, as the text has it; each element of a list by itself.
    pub values: Vec<String>,
    /// The same without secrets.
    pub shown: Vec<String>,
    /// It is a list.
    pub is_list: bool,
}

/// What is shown in place of a secret.
const SECRET: &str = "(secret)";

/// Keys of the native form whose values are secret wherever they stand.
const SECRET_KEYS: [&str; 5] = ["password", "plain_password", "pem", "sealed", "dynamic"];

/// Functions of conditions whose argument is the name of something that a client sends.
const ASKING: [&str; 5] = [
    "eader(`",
    "eaderRegexp(`",
    "ookie(`",
    "uery(`",
    "QueryRegexp(`",
];

/// True for the name of a header, a cookie or a variable that mostly holds a secret.
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let parts = [
        "authorization",
        "authentication",
        "token",
        "secret",
        "passw",
        "api-key",
        "apikey",
        "api_key",
        "session",
    ];
    parts.iter().any(|part| name.contains(part))
}

/// What is said of the process.
pub fn outline_process(process: &ProcessDraft) -> Vec<OutlinedField> {
    of_fields("process", process)
}

/// What is said of a listener.
pub fn outline_listener(listener: &ListenerDraft) -> Vec<OutlinedField> {
    outlined("listener", listener::write(listener))
}

/// What is said of a target group.
pub fn outline_group(group: &GroupDraft) -> Vec<OutlinedField> {
    outlined("target_group", group::write(group))
}

/// What is said of a target.
pub fn outline_target(target: &TargetDraft) -> Vec<OutlinedField> {
    let entries = match group::write_target(target) {
        Out::Table(entries) | Out::Section(entries) => entries,
        short => vec![("address".to_owned(), short)],
    };
    outlined("target", entries)
}

/// What is said of a certificate.
pub fn outline_certificate(certificate: &CertificateDraft) -> Vec<OutlinedField> {
    of_fields("certificate", certificate)
}

/// What is said of a stick table.
pub fn outline_stick_table(table: &StickTableDraft) -> Vec<OutlinedField> {
    of_fields("stick_table", table)
}

/// What is said of a map.
pub fn outline_map(map: &MapDraft) -> Vec<OutlinedField> {
    of_fields("map", map)
}

/// What is said of a list of users.
pub fn outline_userlist(users: &UserlistDraft) -> Vec<OutlinedField> {
    of_fields("userlist", users)
}

/// A rule on one line, as it stands in braces.
pub fn rule_text(rule: &Rule<Named>) -> String {
    let entries = rule::write_one(rule);
    let texts = entries.iter().map(|(name, value)| entry(name, value));
    texts.collect::<Vec<_>>().join(", ")
}

fn of_fields<T: Fields>(kind: &str, object: &T) -> Vec<OutlinedField> {
    let mut entries = Vec::new();
    object.write_fields(&mut entries);
    outlined(kind, entries)
}

fn outlined(kind: &str, entries: Vec<(String, Out)>) -> Vec<OutlinedField> {
    let mut fields = Vec::new();
    let shown = discreet(kind, entries.clone());
    flatten(&mut fields, "", &entries, &shown);
    fields
}

/// What is said, and what is shown of it: both have the same shape.
fn flatten(
    fields: &mut Vec<OutlinedField>,
    prefix: &str,
    entries: &[(String, Out)],
    shown: &[(String, Out)],
) {
    for ((name, value), (_, shown)) in entries.iter().zip(shown) {
        one(fields, &format!("{prefix}{}", key(name)), value, shown);
    }
}

fn one(fields: &mut Vec<OutlinedField>, name: &str, value: &Out, shown: &Out) {
    match (value, shown) {
        (Out::Table(inner) | Out::Section(inner), Out::Table(shown) | Out::Section(shown))
            if !inner.is_empty() =>
        {
            flatten(fields, &format!("{name}."), inner, shown)
        }
        (Out::Dotted(inner, value), Out::Dotted(_, shown)) => {
            one(fields, &format!("{name}.{}", key(inner)), value, shown);
        }
        _ => fields.push(OutlinedField {
            key: name.to_owned(),
            values: elements(value),
            shown: elements(shown),
            is_list: matches!(value, Out::List(_) | Out::Sections(_)),
        }),
    }
}

fn elements(value: &Out) -> Vec<String> {
    match value {
        Out::List(items) => items.iter().map(inline).collect(),
        Out::Sections(tables) => {
            let tables = tables.iter();
            tables.map(|it| inline(&Out::Table(it.clone()))).collect()
        }
        value => vec![inline(value)],
    }
}

/// The same without secrets.
pub(super) fn discreet(kind: &str, entries: Vec<(String, Out)>) -> Vec<(String, Out)> {
    let entries = entries.into_iter();
    // All that a list of users says of them is secret, but for their groups.
    let users = kind == "userlist";
    entries
        .map(|(name, value)| {
            let value = hidden(&name, value, users);
            (name, value)
        })
        .collect()
}

/// A value under a key, without secrets. `all`: every text is one.
fn hidden(name: &str, value: Out, all: bool) -> Out {
    let is_secret = all && name != "groups" || SECRET_KEYS.contains(&name) || is_secret_name(name);
    match value {
        Out::Text(_) if is_secret => Out::text(SECRET),
        Out::Text(text) => Out::Text(without_arguments(&without_answers(&text))),
        Out::List(items) => {
            let items = items.into_iter();
            Out::List(items.map(|it| hidden(name, it, all)).collect())
        }
        Out::Table(inner) => Out::Table(hidden_in(name, inner, all)),
        Out::Section(inner) => Out::Section(hidden_in(name, inner, all)),
        Out::Sections(tables) => {
            let tables = tables.into_iter();
            Out::Sections(tables.map(|it| hidden_in(name, it, all)).collect())
        }
        Out::Dotted(inner, value) => {
            let value = hidden(&inner, *value, all || is_secret);
            Out::Dotted(inner, Box::new(value))
        }
        other => other,
    }
}

/// The entries of a table. Where one of them names what is secret (`{ name = "Authorization", with = "…" }`), the texts
/// of the others are.
fn hidden_in(name: &str, entries: Vec<(String, Out)>, all: bool) -> Vec<(String, Out)> {
    let names_secret = entries.iter().any(|(key, value)| {
        matches!((key.as_str(), value), ("name", Out::Text(text)) if is_secret_name(text))
    });
    let inside = all && name != "groups";
    let entries = entries.into_iter();
    entries
        .map(|(key, value)| {
            let value = match (key.as_str(), value) {
                ("name", value) => value,
                (_, Out::Text(_)) if names_secret => Out::text(SECRET),
                (key, value) => hidden(key, value, inside),
            };
            (key, value)
        })
        .collect()
}

/// A condition that asks for a secret, without what it is to be: every text behind the name.
fn without_answers(text: &str) -> String {
    let mut out = String::new();
    let mut hides = false;
    for (at, part) in text.split('`').enumerate() {
        let is_quoted = at % 2 == 1;
        if at > 0 {
            out.push('`');
        }
        let asks = is_quoted && ASKING.iter().any(|it| out.ends_with(it));
        match is_quoted && hides && !asks {
            true => out.push_str(SECRET),
            false => out.push_str(part),
        }
        // The name of what is asked for, or of a variable.
        hides |= (asks || !is_quoted) && is_secret_name(part);
    }
    out
}

/// A text without the values of arguments (`?token=VALUE&…`) that are secret by their names. What a template puts there
/// stays: it is none.
pub fn without_arguments(text: &str) -> String {
    let is_name = |it: char| it.is_ascii_alphanumeric() || "_-.[]%".contains(it);
    let ends = |it: char| it.is_whitespace() || "&#;\"'`".contains(it);
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('=') {
        out.push_str(before);
        out.push('=');
        let name = before.rsplit(|it| !is_name(it)).next().unwrap_or_default();
        let value = after.split(ends).next().unwrap_or_default();
        rest = after;
        if is_secret_name(name) && !value.is_empty() && !value.starts_with(['$', '=', '~']) {
            out.push_str(SECRET);
            rest = after.strip_prefix(value).unwrap_or_default();
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::super::{parse, print_discreet};
    use super::*;
    use portway_model::span::FileId;

    fn texts(fields: &[OutlinedField]) -> Vec<String> {
        let field = |it: &OutlinedField| format!("{} {}", it.key, it.shown.join(" | "));
        fields.iter().map(field).collect()
    }

    #[test]
    fn objects_and_their_fields() {
        let text = "[target_group.a]\ntargets = ['10.0.0.1:80', { address = '10.0.0.2:80', weight = 3 }]\n\
             timeouts = { connect = '2s', queue = '3s' }\n";
        let (draft, found) = parse(FileId(0), text);
        assert!(!found.has_errors(), "{found:?}");
        let [group] = draft.groups.as_slice() else {
            panic!("{draft:?}")
        };
        let fields = texts(&outline_group(group));
        for expected in ["timeouts.connect \"2s\"", "timeouts.queue \"3s\""] {
            assert!(fields.iter().any(|it| it == expected), "{fields:?}");
        }
        let target = |at: usize| texts(&outline_target(&group.targets[at]));
        assert_eq!(target(0), ["address \"10.0.0.1:80\""]);
        assert!(
            target(1).contains(&"weight 3".to_owned()),
            "{:?}",
            target(1)
        );
    }

    #[test]
    fn arguments_are_kept_by_their_names() {
        for (text, shown) in [
            (
                "/a?x=1&apikey=s3=c&password=t#y",
                "/a?x=1&apikey=(secret)&password=(secret)#y",
            ),
            ("access_token=s", "access_token=(secret)"),
            (
                "\"/up?token=s\" → \"/b\"",
                "\"/up?token=(secret)\" → \"/b\"",
            ),
            ("/a?token=${query(`t`)}&b=c", "/a?token=${query(`t`)}&b=c"),
            ("token = \"a\" == b= =", "token = \"a\" == b= ="),
        ] {
            assert_eq!(without_arguments(text), shown);
        }
        let condition = "var.exchange.token == `s` && Host(`a`)";
        assert!(!without_answers(condition).contains("`s`"));
    }

    #[test]
    fn secrets_are_not_shown() {
        let text = r#"
[listener.web]
bind = ":80"
[[listener.web.rule]]
when = "Host(`a.example`) && Header(`X-Token`, `t0p`)"
set_header = { Authorization = "Basic t0p", X-Plain = "shown" }
[[listener.web.rule]]
replace_header = { name = "X-Api-Key", pattern = "t0p", with = "t0p" }
[[listener.web.rule]]
set_target = "/up?apikey=t0p"
[[listener.web.rule]]
when = "var.exchange.secret == `t0p`"
respond = 403
[[listener.web.rule]]
forward = "a"
[target_group.a]
targets = ["10.0.0.1:80"]
stickiness = { cookie = "SRV", values = { sealed = "t0p-t0p-t0p-t0p-t0p-t0p-t0p-t0p-" } }
[certificate.c]
pem = "t0p"
[userlist.staff]
users = { anna = "$6$t0p", berta = { plain_password = "t0p", groups = ["shown"] } }
"#;
        let (draft, found) = parse(FileId(0), text);
        assert!(!found.has_errors(), "{found:?}");
        let printed = print_discreet(&draft);
        assert!(!printed.contains("t0p"), "{printed}");
        for shown in [
            "X-Token",
            "a.example",
            "X-Plain = \"shown\"",
            "anna",
            "[\"shown\"]",
            "SRV",
        ] {
            assert!(printed.contains(shown), "{shown}: {printed}");
        }
        let users = &outline_userlist(&draft.userlists[0]);
        assert!(users.iter().any(|it| it.values != it.shown));
    }
}
