//! What replaces our own answers: errorfile, errorloc, errorfiles.

use super::Lowering;
use crate::haproxy::proxy::{ErrorReply, Proxy, error_section};
use portway_model::draft::ErrorPageDraft;
use portway_model::span::Spanned;

impl Lowering<'_, '_, '_> {
    /// Error pages of a proxy: those of sections it names, then its own.
    pub(super) fn error_pages(&mut self, proxy: &Proxy) -> Vec<ErrorPageDraft> {
        let mut pages: Vec<(u16, ErrorReply)> = Vec::new();
        for (name, statuses) in &proxy.error_sections {
            let Some(section) = error_section(name, self.reader) else {
                continue;
            };
            for (status, reply) in &section.replies {
                if statuses.is_empty() || statuses.contains(status) {
                    put(&mut pages, *status, reply);
                }
            }
        }
        for (status, reply) in &proxy.errors {
            put(&mut pages, *status, reply);
        }
        pages.sort_by_key(|(status, _)| *status);
        let draft = |(status, reply): (u16, ErrorReply)| ErrorPageDraft {
            status: Spanned::new(status, reply.span),
            page: Spanned::new(reply.source, reply.span),
        };
        pages.into_iter().map(draft).collect()
    }
}

fn put(pages: &mut Vec<(u16, ErrorReply)>, status: u16, reply: &ErrorReply) {
    pages.retain(|(known, _)| *known != status);
    pages.push((status, reply.clone()));
}
