//! The middleware that compresses responses.

use super::super::schema::Section;
use super::Lowering;
use super::chain::Chain;
use portway_model::action::Action;
use portway_model::compression::{Compression, ContentCoding};
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::span::{Span, Spanned};
use std::sync::Arc;

/// Traefik's codings where none are named, in its order.
const CODINGS: [ContentCoding; 3] = [
    ContentCoding::Gzip,
    ContentCoding::Brotli,
    ContentCoding::Zstd,
];

impl Lowering<'_> {
    pub(super) fn compress(&mut self, section: &Section, chain: &mut Chain, at: Span) {
        let (types, except) = (
            section.list("includedContentTypes"),
            section.list("excludedContentTypes"),
        );
        if let (Some(one), Some(other)) = (types.first(), except.first()) {
            let message = "`includedContentTypes` and `excludedContentTypes` exclude each other";
            let wrong = Diagnostic::error(Code::Conflict, other.span, message);
            self.found
                .push(wrong.label(one.span, "only these are compressed"));
        }
        let named = section.list("encodings");
        let codings: Vec<ContentCoding> = named
            .iter()
            .filter_map(|it| self.coding(it.as_ref().map(String::as_str)))
            .collect();
        let default = section.some_text("defaultEncoding");
        let default = default.and_then(|it| self.coding(it));
        let min_bytes = section.number("minResponseBodyBytes");
        let min_bytes = min_bytes.map(|it| it.value).filter(|it| *it > 0);
        if !named.is_empty() && codings.is_empty() {
            return;
        }
        let compression = Compression {
            codings: if named.is_empty() {
                CODINGS.to_vec()
            } else {
                codings
            },
            default,
            types: media_types(types),
            except: media_types(except),
            min_bytes: min_bytes
                .and_then(|it| u64::try_from(it).ok())
                .unwrap_or(1024),
            ..Compression::default()
        };
        chain.always(Action::Compress(Arc::new(compression)), at);
    }

    fn coding(&mut self, name: Spanned<&str>) -> Option<ContentCoding> {
        let mut known = CODINGS.into_iter();
        let found = known.find(|it| it.name() == name.value.trim());
        if found.is_none() {
            let message = format!("`{}` is no encoding of Traefik's", name.value);
            let wrong = Diagnostic::error(Code::Unknown, name.span, message);
            self.found
                .push(wrong.help("known are `gzip`, `br` and `zstd`"));
        }
        found
    }
}

fn media_types(list: &[Spanned<String>]) -> Vec<String> {
    let media = |it: &Spanned<String>| {
        let media = it.value.split(';').next().unwrap_or_default();
        media.trim().to_owned()
    };
    list.iter().map(media).collect()
}
