//! Files that are sent in place of our own answers.

use std::sync::Arc;

use portway_model::diagnostic::{Code, Diagnostic, Diagnostics};
use portway_model::settings::ErrorPageSource;
use portway_model::snapshot::{Listener, Snapshot};
use portway_model::span::Sources;

use crate::sources::{folder_of, read_limited};

/// Bytes of one page. They are held in memory once.
pub const MAX_PAGE_BYTES: u64 = 256 * 1024;

/// The pages of one listener: status and contents.
pub type Pages = Vec<(u16, Arc<[u8]>)>;

/// Reads the pages of every listener.
pub fn load(snapshot: &Snapshot, sources: &Sources) -> (Vec<Pages>, Diagnostics) {
    let mut found = Diagnostics::default();
    let of_listener = |listener: &Listener| {
        let pages = listener.error_pages.iter();
        pages
            .filter_map(|page| {
                let ErrorPageSource::File(file) = &page.page else {
                    // Refused by `support` of the data plane.
                    return None;
                };
                let path = folder_of(sources, page.origin.0).join(file);
                match read_limited(&path, MAX_PAGE_BYTES) {
                    Ok(bytes) => Some((page.status, bytes.into())),
                    Err(reason) => {
                        let message = format!("cannot read `{}`: {reason}", path.display());
                        let span = page.origin.0;
                        found.push(Diagnostic::error(Code::Unreadable, span, message));
                        None
                    }
                }
            })
            .collect()
    };
    let pages = snapshot.listeners.iter().map(of_listener).collect();
    (pages, found)
}
