//! What replaces our own answers: errorfile, errorloc, errorfiles.

use super::Lowering;
use crate::haproxy::proxy::{ErrorLine, ErrorReply, Proxy, error_section, replace};
use portway_model::draft::ErrorPageDraft;
use portway_model::span::Spanned;

impl Lowering<'_, '_, '_> {
    /// Error pages of a proxy: what it inherits, then its own lines; for each status the last says.
    pub(super) fn error_pages(&mut self, proxy: &Proxy) -> Vec<ErrorPageDraft> {
        let mut pages: Vec<(u16, ErrorReply)> = Vec::new();
        for line in &proxy.errors {
            match line {
                ErrorLine::Reply(status, reply) => {
                    replace(&mut pages, *status, reply.clone());
                }
                ErrorLine::Own(status) => pages.retain(|(known, _)| known != status),
                ErrorLine::Section(name, statuses) => {
                    let section = error_section(name, self.reader);
                    let replies = section.into_iter().flat_map(|section| section.replies);
                    for (status, reply) in replies {
                        if statuses.is_empty() || statuses.contains(&status) {
                            replace(&mut pages, status, reply);
                        }
                    }
                }
            }
        }
        pages.sort_by_key(|(status, _)| *status);
        let draft = |(status, reply): (u16, ErrorReply)| ErrorPageDraft {
            status: Spanned::new(status, reply.span),
            page: Spanned::new(reply.source, reply.span),
        };
        pages.into_iter().map(draft).collect()
    }
}
