//! `authorize`: another service is asked whether a request may go on.

use super::form::{Form, Keyed, Out, Reader, words};
use super::limit::given;
use super::pairs;
use crate::tree::{Content, Item};
use portway_model::authorize::{Authorize, ON_FAILURE, Trust};
use portway_model::expression::Template;
use portway_model::name::Name;
use portway_model::span::Spanned;
use portway_model::stage::Named;

/// The keys of the table.
pub(super) const KEYS: [&str; 13] = [
    "group",
    "target",
    "keep_method",
    "request_headers",
    "set_headers",
    "trust",
    "body_bytes",
    "copy_headers",
    "copy_matching",
    "copy_cookies",
    "answer_bytes",
    "location_base",
    "on_failure",
];

words!(Trust, "\"nobody\", \"proxies\" or \"everybody\"", TRUSTS:
    "nobody" => Trust::Nobody,
    "proxies" => Trust::Proxies,
    "everybody" => Trust::Everybody,
);

/// What a request becomes that nobody could be asked about.
#[derive(PartialEq)]
struct OnFailure(Option<u16>);

impl Form for OnFailure {
    const WHAT: &'static str = "a status or \"pass\"";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        if matches!(item.content, Content::Integer(_)) {
            return Some(Self(Some(u16::read(item, reader)?)));
        }
        match reader.text(item, Self::WHAT)?.text {
            "pass" => Some(Self(None)),
            _ => reader.refuse(
                item.span,
                "this is no status",
                "say a status such as 503, or \"pass\"",
            ),
        }
    }

    fn write(&self) -> Out {
        match self.0 {
            Some(status) => status.write(),
            None => Out::text("pass"),
        }
    }
}

/// A key that may be left out.
fn maybe<T: Form>(table: &Keyed<'_>, key: &str, reader: &mut Reader<'_>) -> Option<Option<T>> {
    match table.entry(key) {
        Some(_) => table.required(key, reader).map(Some),
        None => Some(None),
    }
}

impl Form for Authorize<Named> {
    const WHAT: &'static str = "the name of a target group, or a table with `group`";
    const ALONE: bool = true;

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        if matches!(item.content, Content::Text { .. }) {
            let group: Spanned<Name> = Spanned::read(item, reader)?;
            return Some(Self::new(group));
        }
        let table = reader.keyed(item, Self::WHAT, &KEYS)?;
        let group: Option<Spanned<Name>> = table.required("group", reader);
        let headers = table.entry("set_headers");
        let headers = headers.map(|entry| pairs::read::<Template<Named>>(&entry.item, reader));
        let headers = headers.unwrap_or_default().into_iter();
        let usual = Self::new(group?);
        let failure = given(&table, "on_failure", OnFailure(Some(ON_FAILURE)), reader);
        Some(Self {
            target: given(&table, "target", usual.target, reader)?,
            keep_method: given(&table, "keep_method", false, reader)?,
            request_headers: maybe(&table, "request_headers", reader)?,
            headers: headers.map(|(name, value)| (name.value, value)).collect(),
            trust: given(&table, "trust", usual.trust, reader)?,
            body_bytes: maybe(&table, "body_bytes", reader)?,
            copy_headers: given(&table, "copy_headers", Vec::new(), reader)?,
            copy_matching: maybe(&table, "copy_matching", reader)?,
            copy_cookies: given(&table, "copy_cookies", Vec::new(), reader)?,
            answer_bytes: given(&table, "answer_bytes", usual.answer_bytes, reader)?,
            location_base: maybe(&table, "location_base", reader)?,
            on_failure: failure?.0,
            group: usual.group,
        })
    }

    fn write(&self) -> Out {
        let usual = Self::new(self.group.clone());
        if *self == usual {
            return self.group.write();
        }
        let mut out = vec![("group".to_owned(), self.group.write())];
        let mut put = |key: &str, said: bool, value: &dyn Fn() -> Out| {
            if said {
                out.push((key.to_owned(), value()));
            }
        };
        put("target", self.target != usual.target, &|| {
            self.target.write()
        });
        put("keep_method", self.keep_method, &|| true.write());
        put("request_headers", self.request_headers.is_some(), &|| {
            self.request_headers.clone().unwrap_or_default().write()
        });
        put("set_headers", !self.headers.is_empty(), &|| {
            let headers = self.headers.iter();
            let headers = headers.map(|(name, value)| (name.clone(), value.write()));
            pairs::write(headers.collect())
        });
        put("trust", self.trust != usual.trust, &|| self.trust.write());
        if let Some(bytes) = &self.body_bytes {
            put("body_bytes", true, &|| bytes.write());
        }
        put("copy_headers", !self.copy_headers.is_empty(), &|| {
            self.copy_headers.write()
        });
        if let Some(pattern) = &self.copy_matching {
            put("copy_matching", true, &|| pattern.write());
        }
        put("copy_cookies", !self.copy_cookies.is_empty(), &|| {
            self.copy_cookies.write()
        });
        put(
            "answer_bytes",
            self.answer_bytes != usual.answer_bytes,
            &|| self.answer_bytes.write(),
        );
        if let Some(base) = &self.location_base {
            put("location_base", true, &|| base.write());
        }
        put("on_failure", self.on_failure != usual.on_failure, &|| {
            OnFailure(self.on_failure).write()
        });
        Out::Table(out)
    }
}
