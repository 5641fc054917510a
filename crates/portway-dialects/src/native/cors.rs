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
        let usual = Self::new(table.required("origins", reader)?);
        Some(Self {
            methods: given(&table, "methods", usual.methods, reader)?,
            headers: given(&table, "headers", usual.headers, reader)?,
            expose: given(&table, "expose", usual.expose, reader)?,
            credentials: given(&table, "credentials", false, reader)?,
            max_age: match table.entry("max_age") {
                Some(_) => Some(table.required("max_age", reader)?),
                None => None,
            },
            origins: usual.origins,
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
        Some(Self {
            transport: given(&table, "transport", usual.transport, reader)?,
            subdomains: given(&table, "subdomains", false, reader)?,
            preload: given(&table, "preload", false, reader)?,
            frame: given(&table, "frame", usual.frame, reader)?,
            referrer: given(&table, "referrer", usual.referrer, reader)?,
            nosniff: given(&table, "nosniff", true, reader)?,
            content: given(&table, "content", usual.content, reader)?,
            permissions: given(&table, "permissions", usual.permissions, reader)?,
            opener: given(&table, "opener", usual.opener, reader)?,
            replace: given(&table, "replace", false, reader)?,
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
