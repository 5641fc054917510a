//! What Portway answers itself: `service = "metrics"`, `service = { stats = { … } }`; and control sockets.

use super::form::{Field, Fields, Form, Keyed, Out, Reader, fields, words};
use crate::tree::{Content, Entry, Item};
use portway_model::action::{STATS_REALM, Service, StatsPage};
use portway_model::draft::ControlSocketDraft;
use portway_model::expression::Condition;
use portway_model::settings::{ControlLevel, FileMode};
use portway_model::span::Spanned;
use portway_model::stage::Named;

/// Services that are one word.
pub(crate) const SERVICES: &[&str] = &["stats", "metrics"];

/// The keys of a page of statistics.
pub(crate) const PAGE_KEYS: &[&str] = &[
    "uri_prefix",
    "refresh",
    "users",
    "realm",
    "admin",
    "scope",
    "node",
    "description",
    "show_legends",
    "show_modules",
    "hide_version",
];

const EXPECTED: &str = "\"stats\", \"metrics\" or { stats = { … } }";

/// Reads the value of `service`.
pub(crate) fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Service<Named>> {
    if matches!(item.content, Content::Table(_)) {
        let table = reader.keyed(item, EXPECTED, &["stats"])?;
        let Some(entry) = table.entry("stats") else {
            return reader.refuse(item.span, "no service", "write \"stats\" or \"metrics\"");
        };
        let page = reader.keyed(&entry.item, "a table", PAGE_KEYS)?;
        return Some(Service::Stats(Box::new(read_page(&page, reader)?)));
    }
    match reader.text(item, EXPECTED)?.text {
        "stats" => Some(Service::Stats(Box::default())),
        "metrics" => Some(Service::Metrics),
        other => reader.unknown(item.span, "word", other, SERVICES.iter().copied()),
    }
}

fn read_page(table: &Keyed<'_>, reader: &mut Reader<'_>) -> Option<StatsPage<Named>> {
    let admin = match table.entry("admin") {
        None => None,
        Some(entry) => match entry.item.content {
            Content::Boolean(true) => Some(Condition::All(Vec::new())),
            Content::Boolean(false) => None,
            // A page on which everybody may do everything must not come of an error.
            _ => Some(Condition::read(&entry.item, reader)?),
        },
    };
    // The same of one that everybody may see.
    let users = match table.entry("users") {
        Some(_) => Some(table.optional("users", reader)?),
        None => None,
    };
    let realm = table.optional("realm", reader);
    Some(StatsPage {
        uri_prefix: table.optional("uri_prefix", reader),
        refresh: table.optional("refresh", reader),
        users,
        realm: realm.unwrap_or_else(|| STATS_REALM.to_owned()),
        admin,
        scope: table.optional("scope", reader).unwrap_or_default(),
        node: table.optional("node", reader),
        description: table.optional("description", reader),
        show_legends: table.optional("show_legends", reader).unwrap_or(false),
        show_modules: table.optional("show_modules", reader).unwrap_or(false),
        hide_version: table.optional("hide_version", reader).unwrap_or(false),
    })
}

/// The inverse of [`read`].
pub(crate) fn write(service: &Service<Named>) -> Out {
    let page = match service {
        Service::Metrics => return Out::text("metrics"),
        Service::Stats(page) if **page == StatsPage::default() => return Out::text("stats"),
        Service::Stats(page) => page,
    };
    let mut out = Vec::new();
    let mut add = |key: &str, value: Option<Out>| {
        out.extend(value.map(|value| (key.to_owned(), value)));
    };
    let yes = |flag: bool| flag.then_some(Out::Boolean(true));
    add("uri_prefix", page.uri_prefix.as_ref().map(Form::write));
    add("refresh", page.refresh.as_ref().map(Form::write));
    add("users", page.users.as_ref().map(Form::write));
    let realm = Some(&page.realm).filter(|realm| *realm != STATS_REALM);
    add("realm", realm.map(Form::write));
    let admin = page.admin.as_ref().map(|admin| match admin.is_always() {
        true => Out::Boolean(true),
        false => admin.write(),
    });
    add("admin", admin);
    let scope = Some(&page.scope).filter(|scope| !scope.is_empty());
    add("scope", scope.map(Form::write));
    add("node", page.node.as_ref().map(Form::write));
    add("description", page.description.as_ref().map(Form::write));
    add("show_legends", yes(page.show_legends));
    add("show_modules", yes(page.show_modules));
    add("hide_version", yes(page.hide_version));
    Out::one("stats", Out::Table(out))
}

fields!(ControlSocketDraft {
    "level" => level,
    "mode" => mode,
    "user" => user,
    "group" => group,
    "expose_listeners" => expose_listeners,
});

words!(ControlLevel, "user, operator or admin", CONTROL_LEVELS:
    "user" => ControlLevel::User,
    "operator" => ControlLevel::Operator,
    "admin" => ControlLevel::Admin,
);

impl Form for FileMode {
    const WHAT: &'static str = "permissions in octal such as \"660\"";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.text(item, Self::WHAT)?.text;
        match u16::from_str_radix(text, 8) {
            Ok(mode) => Some(FileMode(mode)),
            Err(_) => {
                let message = format!("`{text}` is not an octal number");
                reader.refuse(item.span, message, "write for example \"660\"")
            }
        }
    }

    fn write(&self) -> Out {
        Out::text(format!("{:03o}", self.0))
    }
}

/// The key of a control socket's address, beside those of its fields.
pub(crate) const BIND_KEY: &str = "bind";

impl Field for Vec<ControlSocketDraft> {
    fn fill(&mut self, entry: &Entry, reader: &mut Reader<'_>) {
        for item in reader.elements(&entry.item) {
            self.extend(read_socket(item, reader));
        }
    }

    fn emit(&self) -> Option<Out> {
        (!self.is_empty()).then(|| Out::List(self.iter().map(write_socket).collect()))
    }
}

fn read_socket(item: &Item, reader: &mut Reader<'_>) -> Option<ControlSocketDraft> {
    let Content::Table(table) = &item.content else {
        return Spanned::read(item, reader).map(ControlSocketDraft::new);
    };
    let mut keys = vec![BIND_KEY];
    keys.extend(ControlSocketDraft::KEYS);
    let keyed = reader.keyed(item, "a control socket", &keys)?;
    let mut socket = ControlSocketDraft::new(keyed.required(BIND_KEY, reader)?);
    for entry in table.entries() {
        socket.read_field(entry, reader);
    }
    Some(socket)
}

fn write_socket(socket: &ControlSocketDraft) -> Out {
    let mut out = vec![(BIND_KEY.to_owned(), socket.bind.write())];
    socket.write_fields(&mut out);
    match out.as_slice() {
        [(_, alone)] => alone.clone(),
        _ => Out::Table(out),
    }
}

/// Every key and word of control sockets, for the reference to be held against.
pub(crate) fn vocabulary() -> Vec<&'static str> {
    [ControlSocketDraft::KEYS, CONTROL_LEVELS, &[BIND_KEY]].concat()
}
