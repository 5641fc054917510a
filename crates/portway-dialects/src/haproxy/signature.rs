//! Arguments that HAProxy holds against the types in its tables before the fetch or the converter looks at them.

use super::Reader;
use super::arguments::Call;
use super::proxy::Proxy;
use super::sample::{Refusal, Type};
use super::sections::SectionKind;
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::draft::StickTableDraft;
use portway_model::settings::KeyType;
use std::collections::{BTreeSet, HashMap};

/// Converters that need more arguments than the first, and how many.
const LEAST: [(&str, usize); 4] = [("add_item", 2), ("hmac", 2), ("iif", 2), ("regsub", 2)];

/// Whole numbers: which argument, from 0.
const NUMBERS: [(&str, usize); 6] = [
    ("date", 0),
    ("http_date", 0),
    ("url_dec", 0),
    ("ssl_c_s_dn", 1),
    ("ssl_c_i_dn", 1),
    ("ssl_f_s_dn", 1),
];

/// Refuses a call whose arguments do not have these types.
pub(super) fn hold(call: &Call<'_>) -> Result<(), Refusal> {
    let name = call.name;
    let least = LEAST.iter().find(|(known, _)| *known == name);
    if let Some((_, least)) = least
        && call.arguments.as_ref().map_or(0, Vec::len) < *least
    {
        return Err(Refusal::wrong(format!(
            "it needs {least} arguments, an empty one too is written: {name}(a,b)"
        )));
    }
    let number = NUMBERS.iter().find(|(known, _)| *known == name);
    let number = number.map(|(_, index)| *index);
    // The second argument of such a map is what it gives for what is not in it.
    let number =
        number.or_else(|| (name.starts_with("map_") && name.ends_with("_int")).then_some(1));
    let number = number.filter(|_| name != "map_int");
    let Some(index) = number else {
        return Ok(());
    };
    let all = call.arguments.as_deref().unwrap_or_default();
    match all.get(index).map(String::as_str) {
        None => Ok(()),
        Some("") if index + 1 == all.len() => Ok(()),
        Some("") => Err(Refusal::wrong("write a number before the next argument")),
        Some(text) if text.parse::<i64>().is_ok() => Ok(()),
        Some(text) => Err(Refusal::wrong(format!("'{text}' is not a whole number"))),
    }
}

/// The servers of each backend as the texts have them.
pub(super) fn servers(proxies: &[Proxy]) -> HashMap<String, Vec<String>> {
    let names = |proxy: &Proxy| {
        let names = proxy.servers.iter().map(|server| server.name.value.clone());
        (proxy.name.value.clone(), names.collect())
    };
    let serving = proxies.iter().filter(|proxy| proxy.kind.serves());
    serving.map(names).collect()
}

/// Holds the servers that values ask for, and backends where no server is named, against those of the texts, when all is read. One that went since is no fault.
pub(super) fn hold_servers(known: &HashMap<String, Vec<String>>, reader: &mut Reader<'_>) {
    for (backend, server) in std::mem::take(&mut reader.asked_servers) {
        let Some(names) = known.get(&backend) else {
            let message = format!("there is no backend `{backend}`");
            let wrong = Diagnostic::error(Code::UnknownReference, server.span, message);
            let known: BTreeSet<&str> = known.keys().map(String::as_str).collect();
            reader.push(wrong.nearest(&backend, known));
            continue;
        };
        if !server.value.is_empty() && !names.contains(&server.value) {
            let message = format!(
                "there is no server `{}` in backend `{backend}`",
                server.value
            );
            let wrong = Diagnostic::error(Code::UnknownReference, server.span, message);
            let names = names.iter().map(String::as_str);
            reader.push(wrong.nearest(&server.value, names));
        }
    }
}

/// Holds the keys that are tracked against the types of their tables, when all is read: bytes are no address and no number.
pub(super) fn hold_keys(tables: &[StickTableDraft], reader: &mut Reader<'_>) {
    for (name, kind) in std::mem::take(&mut reader.asked_keys) {
        let mut tables = tables.iter();
        let table = tables.find(|table| table.name.value.as_str() == name);
        let of = table
            .and_then(|table| table.key.as_ref())
            .map(|key| key.value);
        let what = match of {
            Some(KeyType::Address | KeyType::Address6) => "addresses",
            Some(KeyType::Number) => "numbers",
            _ => continue,
        };
        if kind.value == Type::Binary {
            let message = format!("table `{name}` has {what} for keys, and this gives bytes");
            reader.error(Code::WrongComparison, kind.span, message);
        }
    }
}

/// Holds the sections that lines name, of kinds of which nothing is read, against those of the texts.
pub(super) fn hold_sections(reader: &mut Reader<'_>) {
    for (kind, name) in std::mem::take(&mut reader.asked_sections) {
        let sections = reader.unread_sections.iter();
        let same = sections.filter(|(other, _)| *other == kind);
        let known: Vec<&str> = same.map(|(_, name)| name.as_str()).collect();
        // HAProxy makes these itself, of the machine's own.
        let own = kind == SectionKind::Resolvers && name.value == "default";
        if !own && !known.contains(&name.value.as_str()) {
            let message = format!("there is no section `{} {}`", kind.as_str(), name.value);
            let wrong = Diagnostic::error(Code::UnknownReference, name.span, message);
            let wrong = wrong.nearest(&name.value, known);
            reader.push(wrong);
        }
    }
}
