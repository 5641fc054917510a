//! The native dialect: TOML that says exactly what a [`Draft`] holds.
//!
//! `docs/native.md` is the reference. Reading collects every problem and leaves out what is wrong, so a broken
//! object does not lose the others; [`print()`] gives the canonical text, which parses to the same draft.

mod action;
mod authorize;
mod check;
mod check_grpc;
mod check_step;
mod choice;
mod circuit;
mod clients;
mod compression;
mod cors;
mod digest_auth;
mod form;
mod forward;
mod min_healthy;
mod group;
mod jwt;
mod limit;
mod mirror;
mod listener;
mod log;
mod min_rate;
mod name_pattern;
mod objects;
mod outline;
mod page;
mod passive;
mod pairs;
mod path_policy;
mod preset;
mod print;
mod print_action;
mod redirect;
mod resolution;
mod rule;
mod scalar;
mod service;
mod size;
mod source;
mod target;
mod tcp;
mod traces;

pub use outline::{
    OutlinedField, is_secret_name, outline_certificate, outline_group, outline_listener,
    outline_map, outline_process, outline_stick_table, outline_target, outline_userlist, rule_text,
    without_arguments,
};

use crate::tree::{Content, Entry};
use form::{Fields as _, Out, Reader};
use objects::Object;
use portway_model::diagnostic::{Code, Diagnostic, Diagnostics};
use portway_model::draft::{
    AccessLogDraft, Draft, ForwardedDraft, ListenerDraft, ListenerTimeoutsDraft, ListenerTlsDraft,
    RequestIdDraft, SocketDraft,
};
use portway_model::name::Name;
use portway_model::span::{FileId, Span, Spanned};
use std::collections::HashSet;

/// Largest file in bytes: ten thousand rules take about one mebibyte.
pub const MAX_FILE: usize = 8 * 1024 * 1024;

/// The sections of a file, in the order of printing.
pub const SECTIONS: [&str; 7] = [
    "process",
    "listener",
    "target_group",
    "certificate",
    "stick_table",
    "map",
    "userlist",
];

/// Reads a file. The draft holds what could be read, also where there are errors.
pub fn parse(file: FileId, text: &str) -> (Draft, Diagnostics) {
    let mut draft = Draft::default();
    let mut found = Diagnostics::default();
    if text.len() > MAX_FILE {
        let message = format!("this file is larger than {MAX_FILE} bytes");
        let span = Span::new(file, 0..0);
        found.push(Diagnostic::error(Code::TooLarge, span, message));
        return (draft, found);
    }
    let root = crate::tree::toml::parse(file, text, &mut found);
    let mut meaning = Diagnostics::default();
    let mut reader = Reader {
        found: &mut meaning,
        certificates: Vec::new(),
        certificate_names: HashSet::new(),
        groups: Vec::new(),
        range: None,
        is_size: false,
    };
    for entry in root.entries() {
        read_section(&mut draft, entry, &mut reader);
    }
    draft.groups.append(&mut reader.groups);
    let stated: HashSet<Name> = draft
        .certificates
        .iter()
        .map(|certificate| certificate.name.value.clone())
        .collect();
    let made = reader.certificates.into_iter();
    let made = made.filter(|certificate| !stated.contains(certificate.name.value.as_str()));
    draft.certificates.extend(made);
    (draft, joined(text, found, &meaning))
}

/// What is wrong with the form and with the meaning, by place. What stands in a line that is not well-formed is
/// left out of the latter: it is mostly made by the former.
fn joined(text: &str, form: Diagnostics, meaning: &Diagnostics) -> Diagnostics {
    let line = |diagnostic: &Diagnostic| {
        let start = diagnostic.labels.first()?.span.start as usize;
        text.get(..start)?.rfind('\n').or(Some(0))
    };
    let broken: HashSet<usize> = form
        .iter()
        .filter(|diagnostic| diagnostic.code == Code::Syntax)
        .filter_map(line)
        .collect();
    let mut found = form;
    for diagnostic in meaning {
        let hidden =
            !broken.is_empty() && line(diagnostic).is_some_and(|line| broken.contains(&line));
        if !hidden {
            found.push(diagnostic.clone());
        }
    }
    found.sort();
    found
}

/// The canonical text of a draft.
pub fn print(draft: &Draft) -> String {
    print_as(draft, |_, entries| entries)
}

/// The same without its secrets: passwords, private keys, and what headers, cookies and variables hold by whose names they
/// are secret.
pub fn print_discreet(draft: &Draft) -> String {
    print_as(draft, outline::discreet)
}

/// What is said of an object of a section.
type Entries = Vec<(String, Out)>;

fn print_as(draft: &Draft, as_shown: impl Fn(&str, Entries) -> Entries) -> String {
    let mut printer = print::Printer::default();
    let mut process = Vec::new();
    draft.process.write_fields(&mut process);
    if !process.is_empty() {
        printer.section(&["process"], &as_shown("process", process));
    }
    for listener in &draft.listeners {
        let path = ["listener", listener.name.value.as_str()];
        printer.section(&path, &as_shown("listener", listener::write(listener)));
    }
    for group in &draft.groups {
        let path = ["target_group", group.name.value.as_str()];
        printer.section(&path, &as_shown("target_group", group::write(group)));
    }
    print_objects(
        &mut printer,
        ("certificate", &draft.certificates),
        &as_shown,
    );
    print_objects(
        &mut printer,
        ("stick_table", &draft.stick_tables),
        &as_shown,
    );
    print_objects(&mut printer, ("map", &draft.maps), &as_shown);
    print_objects(&mut printer, ("userlist", &draft.userlists), &as_shown);
    printer.finish()
}

fn print_objects<T: Object>(
    printer: &mut print::Printer,
    (section, objects): (&str, &[T]),
    as_shown: &impl Fn(&str, Entries) -> Entries,
) {
    for object in objects {
        let mut out: Entries = Vec::new();
        object.write_fields(&mut out);
        let out = as_shown(section, out);
        printer.section(&[section, object.name().value.as_str()], &out);
    }
}

fn read_section(draft: &mut Draft, entry: &Entry, reader: &mut Reader<'_>) {
    let Some(section) = SECTIONS.into_iter().find(|known| *known == entry.key) else {
        reader.unknown::<()>(entry.key_span, "section", &entry.key, SECTIONS);
        return;
    };
    let Content::Table(table) = &entry.item.content else {
        let _: Option<()> = reader.wrong_type(&entry.item, "a table");
        return;
    };
    if section == "process" {
        return draft.process.read_table(table, &[], reader);
    }
    for entry in table.entries() {
        let Content::Table(table) = &entry.item.content else {
            let expected = format!("a table, as under [{section}.{}]", entry.key);
            let _: Option<()> = reader.wrong_type(&entry.item, &expected);
            continue;
        };
        let name = Spanned::new(Name::new(entry.key.as_str()), entry.item.span);
        match section {
            "listener" => draft.listeners.push(listener::read(name, table, reader)),
            "target_group" => draft.groups.push(group::read(name, table, reader)),
            "certificate" => draft.certificates.push(read_object(name, table, reader)),
            "stick_table" => draft.stick_tables.push(read_object(name, table, reader)),
            "map" => draft.maps.push(read_object(name, table, reader)),
            _ => draft.userlists.push(read_object(name, table, reader)),
        }
    }
}

fn read_object<T: Object>(
    name: Spanned<Name>,
    table: &crate::tree::Table,
    reader: &mut Reader<'_>,
) -> T {
    let mut object = T::new(name);
    object.read_table(table, &[], reader);
    object
}

/// Every key and word that files may hold, for the reference to be held against.
pub fn vocabulary() -> Vec<&'static str> {
    let lists: [&[&str]; 29] = [
        &SECTIONS,
        ListenerDraft::KEYS,
        ListenerTlsDraft::KEYS,
        SocketDraft::KEYS,
        scalar::UNIX_SOCKET_KEYS,
        ListenerTimeoutsDraft::KEYS,
        ForwardedDraft::KEYS,
        listener::MORE_KEYS,
        preset::KEYS,
        preset::WORDS,
        AccessLogDraft::KEYS,
        RequestIdDraft::KEYS,
        log::SYSLOG_KEYS,
        log::CAPTURE_COOKIE_KEYS,
        min_rate::MIN_RATE_KEYS,
        source::BORROWED_KEYS,
        source::BORROWED_WORDS,
        tcp::KEEP_ALIVE_KEYS,
        tcp::KEEP_ALIVE_WORDS,
        listener::PROTOCOLS,
        listener::FORWARDED_MODES,
        listener::TLS_VERSIONS,
        listener::CLIENT_AUTH,
        listener::OWN_ANSWERS,
        listener::ERROR_PAGE_KEYS,
        rule::PHASES,
        rule::KEYS,
        service::SERVICES,
        service::PAGE_KEYS,
    ];
    let mut words = lists.concat();
    words.extend(log::words());
    words.extend(action::REJECTIONS);
    words.extend(action::keys());
    words.extend(group::vocabulary());
    words.extend(objects::vocabulary());
    words.extend(service::vocabulary());
    words
}
