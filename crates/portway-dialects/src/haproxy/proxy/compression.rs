//! `compression`: which responses are compressed, and how.

use super::Proxy;
use super::keyword::missing;
use crate::haproxy::{Line, Reader};
use portway_model::compression::{Compression, CompressionRules, ContentCoding};
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::span::Span;

/// HAProxy's algorithms.
const ALGORITHMS: [(&str, ContentCoding); 4] = [
    ("identity", ContentCoding::Identity),
    ("deflate", ContentCoding::Deflate),
    ("raw-deflate", ContentCoding::RawDeflate),
    ("gzip", ContentCoding::Gzip),
];

/// What the lines of a proxy say, in their order.
#[derive(Debug, Clone, Default)]
pub(crate) struct CompressionSettings {
    algorithms: Vec<ContentCoding>,
    types: Vec<String>,
    offload: bool,
    span: Option<Span>,
    /// `filter compression` was said.
    filter: bool,
}

impl CompressionSettings {
    /// What a proxy begins with; `offload` is each proxy's own.
    pub(super) fn inherited(&self) -> Self {
        Self {
            offload: false,
            filter: false,
            ..self.clone()
        }
    }

    /// What it means, where anything is said.
    pub(crate) fn meaning(&self) -> Option<(Compression, Span)> {
        let span = self.span?;
        if self.algorithms.is_empty() && self.types.is_empty() && !self.offload {
            return None;
        }
        // A later word stands before earlier ones in HAProxy's list, of which `*` takes the first.
        let compression = Compression {
            rules: CompressionRules::Haproxy,
            codings: self.algorithms.iter().rev().copied().collect(),
            types: self.types.clone(),
            min_bytes: 0,
            offload: self.offload,
            ..Compression::default()
        };
        Some((compression, span))
    }
}

/// Reads `filter compression`, which the lines of `compression` imply.
pub(super) fn filter(proxy: &mut Proxy, line: &Line, reader: &mut Reader<'_>) {
    super::keyword::extra(line, 2, reader);
    if std::mem::replace(&mut proxy.compression.filter, true) {
        let message = format!("{} has one `filter compression` already", proxy.words());
        reader.error(Code::Duplicate, line.span, message);
    }
}

/// Reads `compression algo|type|offload …`.
pub(super) fn line(proxy: &mut Proxy, line: &Line, reader: &mut Reader<'_>) {
    let said = &mut proxy.compression;
    said.span = Some(line.span);
    let words = line.from(2);
    match line.text(1) {
        "algo" => {
            if words.is_empty() {
                missing(line, "algorithms: `gzip`, `deflate`, …", reader);
            }
            for word in words {
                let known = ALGORITHMS.iter().find(|(name, _)| *name == word.as_str());
                match known {
                    Some((_, coding)) => said.algorithms.push(*coding),
                    None => {
                        let message = format!("`{}` is no algorithm of compression", word.text);
                        let names = ALGORITHMS.map(|(name, _)| name);
                        reader.push(
                            Diagnostic::error(Code::Unknown, word.span, message)
                                .nearest(word.as_str(), names),
                        );
                    }
                }
            }
        }
        "type" => {
            if words.is_empty() {
                missing(line, "media types: `text/html`, …", reader);
            }
            said.types
                .extend(words.iter().map(|word| word.text.clone()));
        }
        _ => {
            if proxy.kind == super::ProxyKind::Defaults {
                let message = "`compression offload` has no effect in `defaults`";
                reader.warn(Code::NotRun, line.span, message);
            }
            said.offload = true;
        }
    }
}
