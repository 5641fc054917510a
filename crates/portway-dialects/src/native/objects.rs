//! `[process]`, `[certificate.NAME]`, `[stick_table.NAME]`, `[map.NAME]` and `[userlist.NAME]`.

use super::form::{Field, Fields, Form, Out, Reader, fields, nested};
use super::pairs;
use super::{action, authorize, cors, form::words, jwt, mirror, traces};
use crate::expression::{self, Written};
use crate::tree::{Content, Entry, Item};
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::draft::{
    CertificateDraft, CertificateTlsDraft, MapDraft, ProcessDraft, StickTableDraft, UserDraft,
    UserlistDraft,
};
use portway_model::expression::{StoredCounter, Template, TextMatch};
use portway_model::name::Name;
use portway_model::ocsp::{OcspDraft, Responder};
use portway_model::settings::{KeyType, MapLines, MapMatch, Password, TargetKey, WhenFull};
use portway_model::span::Spanned;
use portway_model::stage::Named;
use std::time::Duration;

fields!(ProcessDraft {
    "workers" => workers,
    "admin" => admin,
    "max_connections" => max_connections,
    "strict_limits" => strict_limits,
    "max_memory" => max_memory,
    "max_pipes" => max_pipes,
    "max_connection_rate" => max_connection_rate,
    "max_session_rate" => max_session_rate,
    "max_tls_rate" => max_tls_rate,
    "max_tls_connections" => max_tls_connections,
    "ready_delay" => ready_delay,
    "shutdown_deadline" => shutdown_deadline,
    "drain_deadline" => drain_deadline,
    "zone" => zone,
    "user" => user,
    "group" => group,
    "chroot" => chroot,
    "pid_file" => pid_file,
    "daemon" => daemon,
    "master" => master,
    "max_reloads" => max_reloads,
    "node" => node,
    "description" => description,
    "variables" => variables,
    "log" => log,
    "traces" => traces,
    "control_timeout" => control_timeout,
    "control_connections" => control_connections,
    "control_sockets" => control_sockets,
});

fields!(CertificateDraft {
    "file" => file,
    "key" => key,
    "pem" => pem,
    "names" => names,
    "issuer" => issuer,
    "ocsp" => ocsp.file,
    "ocsp_fetch" => ocsp.fetch,
    "ocsp_responder" => ocsp.responder,
    "ocsp_min_refresh" => ocsp.min_refresh,
    "ocsp_max_refresh" => ocsp.max_refresh,
    "tls" => tls,
});

fields!(CertificateTlsDraft {
    "policy" => policy.name,
    "min_version" => policy.min_version,
    "max_version" => policy.max_version,
    "suites" => policy.suites,
    "curves" => policy.curves,
    "alpn" => alpn,
    "client_auth" => clients.auth,
    "client_ca" => clients.ca,
    "client_unnamed_ca" => clients.unnamed_ca,
    "client_crl" => clients.crl,
    "client_judge" => clients.judge,
    "client_ignored" => clients.ignored,
    "client_ignored_above" => clients.ignored_above,
});

nested!(CertificateTlsDraft);

fields!(StickTableDraft {
    "key" => key,
    "size" => size,
    "expire" => expire,
    "when_full" => when_full,
    "target_key" => target_key,
    "store" => store,
});

fields!(MapDraft {
    "file" => file,
    "lines" => lines,
    "match" => compare,
    "ignore_case" => ignore_case,
    "entries" => entries,
});

fields!(UserlistDraft {
    "users" => users,
});

words!(MapMatch, "a way to compare", MAP_MATCHES:
    "exact" => MapMatch::Text(TextMatch::Exact),
    "prefix" => MapMatch::Text(TextMatch::Prefix),
    "suffix" => MapMatch::Text(TextMatch::Suffix),
    "contains" => MapMatch::Text(TextMatch::Contains),
    "glob" => MapMatch::Text(TextMatch::Glob),
    "segment" => MapMatch::Text(TextMatch::Segment),
    "label" => MapMatch::Text(TextMatch::Label),
    "regex" => MapMatch::Regex,
    "address" => MapMatch::Address,
    "number" => MapMatch::Number,
);

words!(WhenFull, "what becomes of a new key", WHEN_FULL:
    "evict" => WhenFull::Evict,
    "refuse" => WhenFull::Refuse,
);

words!(TargetKey, "name or address", TARGET_KEYS:
    "name" => TargetKey::Name,
    "address" => TargetKey::Address,
);

words!(MapLines, "what a line is", MAP_LINES:
    "pairs" => MapLines::Pairs,
    "keys" => MapLines::Keys,
);

/// An object that begins with nothing but its name.
pub(crate) trait Object: Fields {
    fn new(name: Spanned<Name>) -> Self;
    fn name(&self) -> &Spanned<Name>;
}

impl Object for CertificateDraft {
    fn new(name: Spanned<Name>) -> Self {
        Self {
            name,
            file: None,
            key: None,
            pem: None,
            names: Vec::new(),
            issuer: None,
            ocsp: OcspDraft::default(),
            tls: CertificateTlsDraft::default(),
        }
    }

    fn name(&self) -> &Spanned<Name> {
        &self.name
    }
}

impl Object for StickTableDraft {
    fn new(name: Spanned<Name>) -> Self {
        Self {
            name,
            key: None,
            size: None,
            expire: None,
            when_full: None,
            target_key: None,
            store: Vec::new(),
        }
    }

    fn name(&self) -> &Spanned<Name> {
        &self.name
    }
}

impl Object for MapDraft {
    fn new(name: Spanned<Name>) -> Self {
        Self {
            name,
            file: None,
            lines: None,
            entries: Vec::new(),
            compare: None,
            ignore_case: None,
        }
    }

    fn name(&self) -> &Spanned<Name> {
        &self.name
    }
}

impl Object for UserlistDraft {
    fn new(name: Spanned<Name>) -> Self {
        let users = Vec::new();
        Self { name, users }
    }

    fn name(&self) -> &Spanned<Name> {
        &self.name
    }
}

impl Field for Vec<(Spanned<String>, Spanned<String>)> {
    fn fill(&mut self, entry: &Entry, reader: &mut Reader<'_>) {
        // A list of texts is a list without values.
        for item in reader.elements(&entry.item) {
            if let Content::Text { text, .. } = &item.content {
                let key = Spanned::new(text.clone(), item.span);
                self.push((key, Spanned::new(String::new(), item.span)));
            } else {
                self.extend(pairs::read(item, reader));
            }
        }
    }

    fn emit(&self) -> Option<Out> {
        if !self.is_empty() && self.iter().all(|(_, value)| value.value.is_empty()) {
            return Some(Out::List(self.iter().map(|(key, _)| key.write()).collect()));
        }
        let pairs = self.iter();
        let pairs = pairs.map(|(key, value)| (key.value.clone(), value.write()));
        pairs::section(pairs.collect())
    }
}

impl Field for Vec<(Spanned<Name>, Spanned<Template<Named>>)> {
    fn fill(&mut self, entry: &Entry, reader: &mut Reader<'_>) {
        let pairs = pairs::read::<Spanned<Template<Named>>>(&entry.item, reader).into_iter();
        self.extend(pairs.map(|(name, value)| (name.map(Name::from), value)));
    }

    fn emit(&self) -> Option<Out> {
        let pairs = self.iter();
        let pairs = pairs.map(|(name, value)| (name.value.to_string(), value.value.write()));
        pairs::section(pairs.collect())
    }
}

impl Field for Vec<UserDraft> {
    fn fill(&mut self, entry: &Entry, reader: &mut Reader<'_>) {
        let users = pairs::read::<Account>(&entry.item, reader).into_iter();
        self.extend(users.map(|(name, account)| UserDraft {
            name,
            password: account.password,
            groups: account.groups,
        }));
    }

    fn emit(&self) -> Option<Out> {
        let users = self.iter().map(|user| {
            let account = Account {
                password: user.password.clone(),
                groups: user.groups.clone(),
            };
            (user.name.value.clone(), account.write())
        });
        pairs::section(users.collect())
    }
}

/// What stands beside a user's name.
struct Account {
    password: Spanned<Password>,
    groups: Vec<Spanned<String>>,
}

/// The keys of a user's table.
pub(crate) const USER_KEYS: &[&str] = &["password", "plain_password", "groups"];

impl Form for Account {
    const WHAT: &'static str = "a password hash or { password, groups }";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        if !matches!(item.content, Content::Table(_)) {
            let hash = reader.text(item, Self::WHAT)?.text;
            let password = Password::Crypt(hash.to_owned());
            return Some(Self {
                password: Spanned::new(password, item.span),
                groups: Vec::new(),
            });
        }
        let table = reader.keyed(item, Self::WHAT, USER_KEYS)?;
        if let (Some(first), Some(second)) =
            (table.entry("password"), table.entry("plain_password"))
        {
            let message = "`password` and `plain_password` exclude each other";
            reader.push(
                Diagnostic::error(Code::Conflict, second.key_span, message)
                    .label(first.key_span, "the hash is here"),
            );
            return None;
        }
        let password = match table.entry("plain_password") {
            Some(_) => table
                .required::<Spanned<String>>("plain_password", reader)?
                .map(Password::Plain),
            None => table
                .required::<Spanned<String>>("password", reader)?
                .map(Password::Crypt),
        };
        Some(Self {
            password,
            groups: table.optional("groups", reader).unwrap_or_default(),
        })
    }

    fn write(&self) -> Out {
        let (key, password) = match &self.password.value {
            Password::Crypt(hash) if self.groups.is_empty() => return hash.write(),
            Password::Crypt(hash) => ("password", hash.write()),
            Password::Plain(text) => ("plain_password", text.write()),
        };
        let mut out = vec![(key.to_owned(), password)];
        if !self.groups.is_empty() {
            out.push(("groups".to_owned(), self.groups.write()));
        }
        Out::Table(out)
    }
}

impl Form for Responder {
    const WHAT: &'static str = "a URL, or { \"URL in certificates\" = \"URL that is asked\" }";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        let Content::Table(table) = &item.content else {
            return Some(Self::At(reader.text(item, Self::WHAT)?.text.to_owned()));
        };
        let pairs = table.entries().iter().map(|entry| {
            let to = String::read(&entry.item, reader)?;
            Some((entry.key.clone(), to))
        });
        pairs.collect::<Option<Vec<_>>>().map(Self::InPlaceOf)
    }

    fn write(&self) -> Out {
        match self {
            Self::At(url) => url.write(),
            Self::InPlaceOf(pairs) => {
                let pairs = pairs.iter().map(|(from, to)| (from.clone(), to.write()));
                Out::Table(pairs.collect())
            }
        }
    }
}

/// The length of text keys where none is said, HAProxy's.
const KEY_LENGTH: u16 = 32;

/// Types of keys.
pub(crate) const KEY_TYPES: [&str; 4] = ["address", "address6", "number", "text"];

impl Form for KeyType {
    const WHAT: &'static str =
        "\"address\", \"address6\", \"number\", \"text\", { text = LENGTH } or { binary = LENGTH }";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        if matches!(item.content, Content::Table(_)) {
            let table = reader.keyed(item, Self::WHAT, &["text", "binary"])?;
            return if table.entry("binary").is_some() {
                let length = table.required("binary", reader)?;
                Some(KeyType::Binary { length })
            } else {
                let length = table.required("text", reader)?;
                Some(KeyType::Text { length })
            };
        }
        match reader.text(item, Self::WHAT)?.text {
            "address" => Some(KeyType::Address),
            "address6" => Some(KeyType::Address6),
            "number" => Some(KeyType::Number),
            "text" => Some(KeyType::Text { length: KEY_LENGTH }),
            other => reader.unknown(item.span, "type", other, KEY_TYPES),
        }
    }

    fn write(&self) -> Out {
        match self {
            KeyType::Address => Out::text("address"),
            KeyType::Address6 => Out::text("address6"),
            KeyType::Number => Out::text("number"),
            KeyType::Text { length: KEY_LENGTH } => Out::text("text"),
            KeyType::Text { length } => Out::one("text", length.write()),
            KeyType::Binary { length } => Out::one("binary", length.write()),
        }
    }
}

/// The word between a rate and its period.
const PER: &str = " per ";

impl Form for StoredCounter {
    const WHAT: &'static str = "a counter such as \"requests\" or \"request_rate per 10s\"";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        let written = reader.text(item, Self::WHAT)?;
        let (name, period) = match written.text.split_once(PER) {
            Some((name, period)) => (name, Some(period)),
            None => (written.text, None),
        };
        let part = Written {
            text: name,
            ..written
        };
        let counter = expression::parse_counter(part, reader.found)?;
        let period = match period {
            Some(text) => match super::scalar::read_duration(text.trim()) {
                Some(period) => Some(period),
                None => {
                    let message = format!("`{text}` is not a duration");
                    return reader.refuse(item.span, message, "write for example \"10s\"");
                }
            },
            None => None,
        };
        Some(StoredCounter { counter, period })
    }

    fn write(&self) -> Out {
        let counter = expression::print_counter(self.counter);
        let per = |period: Duration| format!("{PER}{}", super::scalar::print_duration(period));
        let period = self.period.map_or_else(String::new, per);
        Out::text(counter + &period)
    }
}

/// Every key of these objects, for the reference to be held against.
pub(crate) fn vocabulary() -> Vec<&'static str> {
    let lists: [&[&str]; 15] = [
        ProcessDraft::KEYS,
        CertificateDraft::KEYS,
        StickTableDraft::KEYS,
        MapDraft::KEYS,
        UserlistDraft::KEYS,
        USER_KEYS,
        MAP_MATCHES,
        TARGET_KEYS,
        &KEY_TYPES,
        action::ACTION_KEYS,
        &authorize::KEYS,
        &jwt::KEYS,
        &cors::KEYS,
        &traces::KEYS,
        &mirror::KEYS,
    ];
    lists.concat()
}
