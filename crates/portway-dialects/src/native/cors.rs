//! `cors`: which pages of other origins may read; `security_headers`: what browsers are told for safety.

use super::form::{Form, Out, Reader};
use super::limit::given;
use crate::tree::{Content, Item};
use portway_model::cors::{Cors, SecurityHeaders};
use std::time::Duration;

/// The keys of both tables.
pub(super) const KEYS: [&str; 15] = [
    "origins",
    "methods",
    "headers",
    "expose",
    "credentials",
    "max_age",
    "transport",
    "subdomains",
    "preload",
    "frame",
    "referrer",
    "nosniff",
    "content",
    "permissions",
    "opener",
];

/// How many of these are of the first.
const OF_CORS: usize = 6;

impl Form for Cors {
    const WHAT: &'static str = "an origin, a list of origins, or a table with `origins`";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        if !matches!(item.content, Content::Table(_)) {
            return Some(Self::new(Vec::read(item, reader)?));
        }
        let table = reader.keyed(item, Self::WHAT, KEYS.get(..OF_CORS).unwrap_or_default())?;
        let origins: Option<Vec<String>> = table.required("origins", reader);
        let usual = Self::new(Vec::new());
        let methods = given(&table, "methods", usual.methods, reader);
        let headers = given(&table, "headers", usual.headers, reader);
        let expose = given(&table, "expose", usual.expose, reader);
        let credentials = given(&table, "credentials", false, reader);
        let max_age = match table.entry("max_age") {
            Some(_) => table.required("max_age", reader).map(Some),
            None => Some(None),
        };
        // Nothing runs where something is wrong; what is right is checked.
        Some(Self {
            methods: methods.unwrap_or_default(),
            headers: headers.unwrap_or_default(),
            expose: expose.unwrap_or_default(),
            credentials: credentials.unwrap_or_default(),
            max_age: max_age.unwrap_or_default(),
            origins: origins?,
        })
    }

    fn write(&self) -> Out {
        let usual = Self::new(self.origins.clone());
        if *self == usual {
            return self.origins.write();
        }
        let mut out = vec![("origins".to_owned(), self.origins.write())];
        let mut put = |key: &str, value: &Vec<String>, usual: &Vec<String>| {
            if value != usual {
                out.push((key.to_owned(), value.write()));
            }
        };
        put("methods", &self.methods, &usual.methods);
        put("headers", &self.headers, &usual.headers);
        put("expose", &self.expose, &usual.expose);
        if self.credentials {
            out.push(("credentials".to_owned(), true.write()));
        }
        out.extend(
            self.max_age
                .iter()
                .map(|age| ("max_age".to_owned(), age.write())),
        );
        Out::Table(out)
    }
}

impl Form for SecurityHeaders {
    const WHAT: &'static str = "true or a table";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        match item.content {
            Content::Boolean(true) => return Some(Self::default()),
            Content::Boolean(false) => {
                let help = "leave the key away";
                return reader.refuse(item.span, "`security_headers` is false", help);
            }
            _ => {}
        }
        let own = KEYS.get(OF_CORS..).unwrap_or_default();
        let keys: Vec<&str> = own.iter().copied().chain(["replace"]).collect();
        let table = reader.keyed(item, Self::WHAT, &keys)?;
        let usual = Self::default();
        let transport = given(&table, "transport", usual.transport, reader);
        let mut text = |key, usual| given::<String>(&table, key, usual, reader);
        let frame = text("frame", usual.frame);
        let referrer = text("referrer", usual.referrer);
        let content = text("content", usual.content);
        let permissions = text("permissions", usual.permissions);
        let opener = text("opener", usual.opener);
        let mut is_on = |key, usual| given::<bool>(&table, key, usual, reader);
        let subdomains = is_on("subdomains", false);
        let preload = is_on("preload", false);
        let nosniff = is_on("nosniff", true);
        let replace = is_on("replace", false);
        Some(Self {
            transport: transport.unwrap_or(usual.transport),
            subdomains: subdomains.unwrap_or_default(),
            preload: preload.unwrap_or_default(),
            frame: frame.unwrap_or_default(),
            referrer: referrer.unwrap_or_default(),
            nosniff: nosniff.unwrap_or_default(),
            content: content.unwrap_or_default(),
            permissions: permissions.unwrap_or_default(),
            opener: opener.unwrap_or_default(),
            replace: replace.unwrap_or_default(),
        })
    }

    fn write(&self) -> Out {
        let usual = Self::default();
        if *self == usual {
            return Out::Boolean(true);
        }
        let mut out = Vec::new();
        if self.transport != usual.transport {
            out.push(("transport".to_owned(), Duration::write(&self.transport)));
        }
        for (key, value, usual) in [
            ("frame", &self.frame, &usual.frame),
            ("referrer", &self.referrer, &usual.referrer),
            ("content", &self.content, &usual.content),
            ("permissions", &self.permissions, &usual.permissions),
            ("opener", &self.opener, &usual.opener),
        ] {
            if value != usual {
                out.push((key.to_owned(), value.write()));
            }
        }
        for (key, value, usual) in [
            ("subdomains", self.subdomains, false),
            ("preload", self.preload, false),
            ("nosniff", self.nosniff, true),
            ("replace", self.replace, false),
        ] {
            if value != usual {
                out.push((key.to_owned(), value.write()));
            }
        }
        Out::Table(out)
    }
}
