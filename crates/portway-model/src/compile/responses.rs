//! What rules on a request say of the response to it: its compression, and pages in its place.

use super::expressions::{Moment, Place};
use super::rules::place_error;
use super::text::check_status;
use super::{Compiler, limits};
use crate::action::Phase;
use crate::compression::{Compression, CompressionRules};
use crate::diagnostic::Code;
use crate::page::{PageFrom, has_no_content};
use crate::stage::Named;

impl Compiler<'_> {
    pub(super) fn check_pages(&mut self, place: Place, pages: &[PageFrom<Named>]) {
        if pages.is_empty() {
            let message = "pages for nothing".to_owned();
            self.found.push(place_error(place, Code::Missing, message));
        }
        for page in pages {
            if page.status.is_empty() {
                let message = "a page for no status".to_owned();
                let wrong = place_error(place, Code::Missing, message);
                self.found
                    .push(wrong.help("such as `status = [404, \"500-599\"]`"));
            }
            for range in &page.status {
                for bound in [range.min, range.max] {
                    let of = (200, 599);
                    limits::within(&mut self.found, "a status", bound, of, place.span);
                }
            }
            if let Some(status) = page.answer_as {
                check_status(&mut self.found, status, (200, 599), place.span);
                if has_no_content(status) {
                    let message = format!("a page cannot be answered with the status {status}");
                    let wrong = place_error(place, Code::OutOfRange, message);
                    self.found.push(wrong.help("that status has no body"));
                }
            }
            self.check_forward(place, &page.forward);
            let when = Place {
                moment: Moment::Phase(Phase::Response),
                ..place
            };
            match (&page.target, &page.headers, page.answer_as) {
                (Some(target), _, _) => self.check_rooted(when, "the path of a page", target),
                (None, None, None) => {}
                (None, _, _) => {
                    let message =
                        "a request that is made again has its own headers and its own status";
                    let wrong = place_error(place, Code::Conflict, message.to_owned());
                    self.found
                        .push(wrong.help("take `headers` and `answer_as` out"));
                }
            }
        }
    }

    pub(super) fn check_compression(&mut self, place: Place, compression: &Compression) {
        let Compression {
            codings,
            types,
            except,
            min_bytes,
            rules,
            ..
        } = compression;
        if codings.is_empty() && *rules == CompressionRules::Usual {
            let message = "no coding to compress with".to_owned();
            self.found.push(place_error(place, Code::Missing, message));
        }
        let range = (0, limits::MAX_BODY_BYTES);
        limits::within(
            &mut self.found,
            "a body's size",
            *min_bytes,
            range,
            place.span,
        );
        let beginnings = *rules == CompressionRules::Haproxy;
        for media in types.iter().filter(|_| !beginnings).chain(except) {
            let known = media.split_once('/').is_some_and(|(kind, rest)| {
                !kind.is_empty() && !rest.is_empty() && !media.contains([' ', ';', ','])
            });
            if !known {
                let message = format!("`{media}` is no media type");
                let wrong = place_error(place, Code::OutOfRange, message);
                self.found
                    .push(wrong.help("such as `text/html` or `text/*`"));
            }
        }
    }
}
