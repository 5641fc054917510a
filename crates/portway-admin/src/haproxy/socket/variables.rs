//! `get var` and `set var`: variables of the process.

use portway_control::variables::NotSet;
use portway_core::evaluate::Fetched;
use std::net::IpAddr;

use super::Session;
use super::command::Answer;

const NAME_MISSING: &str = "Missing process-wide variable identifier.\n";

/// `get var NAME`: its type, and its value with a dot in place of what cannot be printed.
pub(super) fn get(session: &mut Session, words: &[&str]) -> Answer {
    let name = words.first().ok_or(NAME_MISSING)?;
    let of_process = name.strip_prefix("proc.");
    let value = of_process.map(|name| session.running.process_variable(name));
    let value = value.unwrap_or_default();
    let kind = kind(&value).ok_or("Variable not found.\n")?;
    let text = value.into_text().unwrap_or_default();
    let printed = text.iter().map(|byte| match byte {
        b' '..=b'~' => char::from(*byte),
        _ => '.',
    });
    let printed: String = printed.collect();
    Ok(format!("{name}: type={kind} value=<{printed}>"))
}

/// `set var NAME [expr|fmt] VALUE`.
pub(super) fn set(session: &mut Session, words: &[&str]) -> Answer {
    let (name, is_format, value) = match words {
        [] => return Err(NAME_MISSING.to_owned()),
        [_] => return Err("Missing either 'expr', 'fmt' or expression.\n".to_owned()),
        [name, value] => (name, false, value),
        [name, "expr", value, ..] => (name, false, value),
        [name, "fmt", value, ..] => (name, true, value),
        [_, other, ..] => {
            return Err(format!(
                "'set var': arg type must be either 'expr' or 'fmt' but got '{other}'."
            ));
        }
    };
    let set = session.running.set_process_variable(name, is_format, value);
    set.map(|()| String::new()).map_err(|why| match why {
        NotSet::Scope => {
            format!("'set var': cannot set variable '{name}', only scope 'proc' is permitted here.")
        }
        NotSet::Wrong(why) => why,
        NotSet::TooMuch => "Variables of the process take too much memory.\n".to_owned(),
    })
}

/// What HAProxy calls the type; `None` where there is no value. Bytes that are no text are binary.
fn kind(value: &Fetched<'_>) -> Option<&'static str> {
    Some(match value {
        Fetched::Absent => return None,
        Fetched::Number(_) => "sint",
        Fetched::Boolean(_) => "bool",
        Fetched::Address(IpAddr::V4(_)) => "ipv4",
        Fetched::Address(IpAddr::V6(_)) => "ipv6",
        Fetched::Bytes(bytes) if std::str::from_utf8(bytes).is_ok() => "str",
        Fetched::Bytes(_) => "bin",
    })
}
