//! Commands about maps and lists (ACLs from files).

use std::fmt::Write;
use std::sync::Arc;

use portway_control::maps::{Asked, MapMatch, MapSet, NotChanged, TextMatch, Which};

use super::Session;
use super::command::Answer;

const EXPECTS_ADD_MAP: &str = "'add map' expects three parameters (map identifier, key and value) or one parameter \
    (map identifier) and a payload\n";
const EXPECTS_ADD_ACL: &str = "'add acl' expects two parameters: ACL identifier and pattern.\n";
const EXPECTS_SET: &str = "'set map' expects three parameters: map identifier, key and value.\n";
const OUT_OF_RANGE: &str = "Version number out of range.\n";

/// What HAProxy calls it in messages.
fn word(is_list: bool) -> &'static str {
    if is_list { "ACL" } else { "map" }
}

fn set(session: &Session, name: &str, is_list: bool) -> Result<Arc<MapSet>, String> {
    let found = session.running.maps().named(name, is_list);
    found.ok_or_else(|| {
        let what = word(is_list);
        format!("Unknown {what} identifier. Please use #<id> or <file>.\n")
    })
}

/// The version in front, as `@1`, and what follows it.
fn version<'w, 'a>(words: &'w [&'a str]) -> Result<(Option<u32>, &'w [&'a str]), String> {
    if let [first, rest @ ..] = words
        && let Some(number) = first.strip_prefix('@')
    {
        let number = number.parse().map_err(|_| OUT_OF_RANGE)?;
        return Ok((Some(number), rest));
    }
    Ok((None, words))
}

/// An entry by its key, or by its number in hexadecimal.
fn which<'a>(word: &'a str) -> Which<'a> {
    let number = word.strip_prefix("#0x");
    match number.and_then(|it| u64::from_str_radix(it, 16).ok()) {
        Some(number) => Which::Number(number),
        None => Which::Key(word),
    }
}

fn why(why: NotChanged, no_entry: &str) -> String {
    match why {
        NotChanged::NoEntry => no_entry.to_owned(),
        NotChanged::Key(message) => format!("{message}.\n"),
        NotChanged::NoVersion => OUT_OF_RANGE.to_owned(),
        NotChanged::TooMuch => "Out of memory error.\n".to_owned(),
    }
}

/// `show map [@VERSION] [MAP]`.
pub(super) fn show_map(session: &mut Session, words: &[&str]) -> Answer {
    show(session, words, false)
}

/// `show acl [@VERSION] [ACL]`.
pub(super) fn show_acl(session: &mut Session, words: &[&str]) -> Answer {
    show(session, words, true)
}

fn show(session: &Session, words: &[&str], is_list: bool) -> Answer {
    let (version, words) = version(words)?;
    let mut text = String::new();
    // Writing to a String cannot fail.
    let Some(name) = words.first() else {
        text.push_str("# id (file) description\n");
        let maps = session.running.maps();
        for (number, set) in maps.iter().filter(|(_, set)| set.is_list == is_list) {
            let versions = set.versions();
            let _ = writeln!(
                text,
                "{number} ({0}) pattern loaded from file '{0}' used by {1} at file {2}. curr_ver={3} next_ver={4} \
                 entry_cnt={5}",
                set.name,
                if is_list { "acl" } else { "map" },
                set.place,
                versions.current,
                versions.latest,
                versions.entries,
            );
        }
        return Ok(text);
    };
    for entry in set(session, name, is_list)?.entries(version) {
        let _ = match is_list {
            true => writeln!(text, "{:#x} {}", entry.number, entry.key),
            false => writeln!(text, "{:#x} {} {}", entry.number, entry.key, entry.value),
        };
    }
    Ok(text)
}

/// `get map MAP KEY`.
pub(super) fn get_map(session: &mut Session, words: &[&str]) -> Answer {
    get(session, words, false)
}

/// `get acl ACL KEY`.
pub(super) fn get_acl(session: &mut Session, words: &[&str]) -> Answer {
    get(session, words, true)
}

fn get(session: &Session, words: &[&str], is_list: bool) -> Answer {
    let [name, key, ..] = words else {
        let what = word(is_list);
        return Err(format!("Missing {what} identifier and/or key.\n"));
    };
    let asked = set(session, name, is_list)?.ask(key);
    let lines = asked.iter().map(|it| of_asked(it, is_list));
    Ok(lines.collect())
}

fn of_asked(asked: &Asked, is_list: bool) -> String {
    let case = match asked.ignore_case {
        true => "insensitive",
        false => "sensitive",
    };
    let found = if is_list { "match" } else { "found" };
    let mut text = format!("type={}, case={case}, {found}=", method(asked.compare));
    let Some(entry) = &asked.entry else {
        text.push_str("no\n");
        return text;
    };
    let index = if asked.is_indexed { "tree" } else { "list" };
    // Writing to a String cannot fail.
    let _ = match is_list {
        true => writeln!(text, "yes, idx={index}, pattern=\"{}\"", entry.key),
        false => writeln!(
            text,
            "yes, idx={index}, key=\"{}\", value=\"{}\", type=\"str\"",
            entry.key, entry.value
        ),
    };
    text
}

/// HAProxy's word for how keys are compared.
fn method(compare: MapMatch) -> &'static str {
    match compare {
        MapMatch::Text(TextMatch::Exact) => "str",
        MapMatch::Text(TextMatch::Prefix) => "beg",
        MapMatch::Text(TextMatch::Suffix) => "end",
        MapMatch::Text(TextMatch::Contains) => "sub",
        MapMatch::Text(TextMatch::Segment) => "dir",
        MapMatch::Text(TextMatch::Label) => "dom",
        MapMatch::Text(TextMatch::Glob) => "glob",
        MapMatch::Regex => "reg",
        MapMatch::Number => "int",
        MapMatch::Address => "ip",
    }
}

/// `add map [@VERSION] MAP KEY VALUE`, or `add map [@VERSION] MAP <<` and a line for each entry.
pub(super) fn add_map(session: &mut Session, words: &[&str]) -> Answer {
    let (version, words) = version(words)?;
    let pairs = match (words, &session.payload) {
        ([_], Some(payload)) => payload.lines().map(pair).collect::<Result<_, _>>()?,
        ([_, key, value, ..], None) => vec![(key.to_string(), value.to_string())],
        _ => return Err(EXPECTS_ADD_MAP.to_owned()),
    };
    add(session, words, false, (version, pairs))
}

/// Key and value of a line of a payload.
fn pair(line: &str) -> Result<(String, String), String> {
    let (key, value) = line.trim().split_once([' ', '\t']).unwrap_or((line, ""));
    match value.is_empty() {
        true => Err(format!("Missing value for key '{}'.\n", key.trim())),
        false => Ok((key.to_owned(), value.trim().to_owned())),
    }
}

/// `add acl [@VERSION] ACL PATTERN`, or `add acl [@VERSION] ACL <<` and a line for each pattern.
pub(super) fn add_acl(session: &mut Session, words: &[&str]) -> Answer {
    let (version, words) = version(words)?;
    let alone = |key: &str| (key.to_owned(), String::new());
    let pairs = match (words, &session.payload) {
        ([_], Some(payload)) => payload.lines().map(alone).collect(),
        ([_, key, ..], None) => vec![alone(key)],
        _ => return Err(EXPECTS_ADD_ACL.to_owned()),
    };
    add(session, words, true, (version, pairs))
}

fn add(
    session: &Session,
    words: &[&str],
    is_list: bool,
    (version, pairs): (Option<u32>, Vec<(String, String)>),
) -> Answer {
    let name = words.first().copied().unwrap_or_default();
    let added = set(session, name, is_list)?.add(version, pairs);
    added
        .map(|()| String::new())
        .map_err(|reason| match reason {
            NotChanged::NoVersion => {
                let what = word(is_list).to_ascii_lowercase();
                format!("Version number in the future, please use 'prepare {what}' before.\n")
            }
            reason => why(reason, ""),
        })
}

/// `set map MAP KEY VALUE`.
pub(super) fn set_map(session: &mut Session, words: &[&str]) -> Answer {
    let [name, key, value, ..] = words else {
        return Err(EXPECTS_SET.to_owned());
    };
    let done = set(session, name, false)?.set(which(key), value);
    done.map(|()| String::new())
        .map_err(|reason| why(reason, "entry not found.\n"))
}

/// `del map MAP KEY`.
pub(super) fn delete_map(session: &mut Session, words: &[&str]) -> Answer {
    delete(session, words, false)
}

/// `del acl ACL PATTERN`.
pub(super) fn delete_acl(session: &mut Session, words: &[&str]) -> Answer {
    delete(session, words, true)
}

fn delete(session: &Session, words: &[&str], is_list: bool) -> Answer {
    let [name, key, ..] = words else {
        let what = word(is_list);
        return Err(format!(
            "This command expects two parameters: {what} identifier and key.\n"
        ));
    };
    let done = set(session, name, is_list)?.remove(which(key));
    done.map(|()| String::new())
        .map_err(|reason| why(reason, "Key not found.\n"))
}

/// `clear map [@VERSION] MAP`.
pub(super) fn clear_map(session: &mut Session, words: &[&str]) -> Answer {
    clear(session, words, false)
}

/// `clear acl [@VERSION] ACL`.
pub(super) fn clear_acl(session: &mut Session, words: &[&str]) -> Answer {
    clear(session, words, true)
}

fn missing(is_list: bool) -> String {
    format!("Missing {} identifier.\n", word(is_list))
}

fn clear(session: &Session, words: &[&str], is_list: bool) -> Answer {
    let (version, words) = version(words)?;
    let name = words.first().ok_or_else(|| missing(is_list))?;
    set(session, name, is_list)?.clear(version);
    Ok(String::new())
}

/// `prepare map MAP`.
pub(super) fn prepare_map(session: &mut Session, words: &[&str]) -> Answer {
    prepare(session, words, false)
}

/// `prepare acl ACL`.
pub(super) fn prepare_acl(session: &mut Session, words: &[&str]) -> Answer {
    prepare(session, words, true)
}

fn prepare(session: &Session, words: &[&str], is_list: bool) -> Answer {
    let name = words.first().copied().unwrap_or_default();
    match set(session, name, is_list)?.prepare() {
        Ok(version) => Ok(format!("New version created: {version}\n")),
        Err(reason) => Err(why(reason, "")),
    }
}

/// `commit map @VERSION MAP`.
pub(super) fn commit_map(session: &mut Session, words: &[&str]) -> Answer {
    commit(session, words, false)
}

/// `commit acl @VERSION ACL`.
pub(super) fn commit_acl(session: &mut Session, words: &[&str]) -> Answer {
    commit(session, words, true)
}

fn commit(session: &Session, words: &[&str], is_list: bool) -> Answer {
    let (version, words) = version(words)?;
    let version = version.ok_or("Missing version number.\n")?;
    let name = words.first().ok_or_else(|| missing(is_list))?;
    let done = set(session, name, is_list)?.commit(version);
    done.map(|()| String::new())
        .map_err(|reason| why(reason, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        let check = |word: &str, expected: Result<Option<u32>, &str>| {
            let words = [word, "file"];
            let found = version(&words).map(|(version, _)| version);
            assert_eq!(found, expected.map_err(str::to_owned), "{word}");
        };
        check("file", Ok(None));
        check("@0", Ok(Some(0)));
        check("@4294967295", Ok(Some(u32::MAX)));
        for word in ["@", "@junk", "@4294967296", "@1x", "@-1"] {
            check(word, Err(OUT_OF_RANGE));
        }
    }
}
