//! `traces` of the process: the collector that spans go to.

use super::form::{Form, Out, Reader};
use super::limit::given;
use super::pairs;
use crate::tree::{Content, Item};
use portway_model::traces::Traces;

/// The keys of the table.
pub(super) const KEYS: [&str; 7] = [
    "to",
    "ca",
    "verify",
    "certificate",
    "key",
    "headers",
    "service",
];

impl Form for Traces {
    const WHAT: &'static str = "the URL of a collector, or a table with `to`";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        if let Content::Text { text, .. } = &item.content {
            return Some(Self::new(text.clone()));
        }
        let table = reader.keyed(item, Self::WHAT, &KEYS)?;
        let usual = Self::new(table.required("to", reader)?);
        let headers = table.entry("headers");
        let headers = headers.map(|entry| pairs::read::<String>(&entry.item, reader));
        let headers = headers.unwrap_or_default().into_iter();
        let mut file = |key: &str| match table.entry(key) {
            Some(_) => table.required(key, reader).map(Some),
            None => Some(None),
        };
        let (ca, certificate, key) = (file("ca")?, file("certificate")?, file("key")?);
        Some(Self {
            ca,
            certificate,
            key,
            verify: given(&table, "verify", usual.verify, reader)?,
            headers: headers.map(|(name, value)| (name.value, value)).collect(),
            service: given(&table, "service", usual.service, reader)?,
            url: usual.url,
        })
    }

    fn write(&self) -> Out {
        let usual = Self::new(self.url.clone());
        if *self == usual {
            return self.url.write();
        }
        let mut out = vec![("to".to_owned(), self.url.write())];
        out.extend(self.ca.iter().map(|ca| ("ca".to_owned(), ca.write())));
        if self.verify != usual.verify {
            out.push(("verify".to_owned(), self.verify.write()));
        }
        let own = [("certificate", &self.certificate), ("key", &self.key)];
        let own = own
            .into_iter()
            .filter_map(|(key, file)| Some((key, file.as_ref()?)));
        out.extend(own.map(|(key, file)| (key.to_owned(), file.write())));
        if !self.headers.is_empty() {
            let headers = self.headers.iter();
            let headers = headers.map(|(name, value)| (name.clone(), value.write()));
            out.push(("headers".to_owned(), pairs::write(headers.collect())));
        }
        if self.service != usual.service {
            out.push(("service".to_owned(), self.service.write()));
        }
        Out::Table(out)
    }
}
