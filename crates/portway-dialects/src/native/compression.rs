//! `compress`: which responses are compressed, and how.

use super::form::{Form, Out, Reader, words};
use crate::tree::{Content, Item};
use portway_model::compression::{Compression, CompressionRules, ContentCoding};

words!(ContentCoding, "a coding: \"gzip\", \"br\", \"zstd\", \"deflate\", \"raw-deflate\" or \"identity\"", CODINGS:
    "gzip" => ContentCoding::Gzip,
    "br" => ContentCoding::Brotli,
    "zstd" => ContentCoding::Zstd,
    "deflate" => ContentCoding::Deflate,
    "raw-deflate" => ContentCoding::RawDeflate,
    "identity" => ContentCoding::Identity,
);

words!(CompressionRules, "rules: \"usual\" or \"haproxy\"", RULES:
    "usual" => CompressionRules::Usual,
    "haproxy" => CompressionRules::Haproxy,
);

/// The keys of the table.
const KEYS: [&str; 7] = [
    "rules",
    "codings",
    "default",
    "types",
    "except",
    "min_bytes",
    "offload",
];

impl Form for Compression {
    const WHAT: &'static str = "true or a table";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        match item.content {
            Content::Boolean(true) => return Some(Self::default()),
            Content::Boolean(false) => {
                return reader.refuse(item.span, "`compress` is false", "leave the key away");
            }
            _ => {}
        }
        let table = reader.keyed(item, Self::WHAT, &KEYS)?;
        let usual = Self::default();
        let default = match table.entry("default") {
            Some(_) => Some(table.required("default", reader)?),
            None => None,
        };
        Some(Self {
            codings: match table.entry("codings") {
                Some(_) => table.required("codings", reader)?,
                None => usual.codings,
            },
            rules: table.optional("rules", reader).unwrap_or(usual.rules),
            default,
            types: table.optional("types", reader).unwrap_or_default(),
            except: table.optional("except", reader).unwrap_or_default(),
            min_bytes: match table.entry("min_bytes") {
                Some(_) => table.required("min_bytes", reader)?,
                None => usual.min_bytes,
            },
            offload: table.optional("offload", reader).unwrap_or(false),
        })
    }

    fn write(&self) -> Out {
        let usual = Self::default();
        if *self == usual {
            return Out::Boolean(true);
        }
        let mut out = Vec::new();
        let mut add = |key: &str, value: Out| out.push((key.to_owned(), value));
        if self.rules != usual.rules {
            add("rules", self.rules.write());
        }
        if self.codings != usual.codings {
            add("codings", self.codings.write());
        }
        if let Some(default) = &self.default {
            add("default", default.write());
        }
        if !self.types.is_empty() {
            add("types", self.types.write());
        }
        if !self.except.is_empty() {
            add("except", self.except.write());
        }
        if self.min_bytes != usual.min_bytes {
            add("min_bytes", self.min_bytes.write());
        }
        if self.offload {
            add("offload", self.offload.write());
        }
        Out::Table(out)
    }
}
