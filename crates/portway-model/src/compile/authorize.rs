//! What is checked of a question to another service, and of copies for another.

use super::expressions::Place;
use super::rules::place_error;
use super::text::{Use, check_header_written, check_status, check_text};
use super::{Compiler, limits};
use crate::authorize::Authorize;
use crate::diagnostic::Code;
use crate::mirror::Mirror;
use crate::stage::Named;

impl Compiler<'_> {
    pub(super) fn check_mirror(&mut self, place: Place, mirror: &Mirror<Named>) {
        self.check_fits(place, &mirror.group);
        let span = place.span;
        limits::within(
            &mut self.found,
            "a percentage",
            mirror.percent,
            (0, 100),
            span,
        );
        if let Some(bytes) = mirror.body_bytes {
            let range = (1, limits::MAX_KEPT_BODY);
            limits::within(&mut self.found, "a body's bytes", bytes, range, span);
        }
    }

    pub(super) fn check_authorize(&mut self, place: Place, asked: &Authorize<Named>) {
        let span = place.span;
        self.check_fits(place, &asked.group);
        self.check_rooted(place, "the path of the question", &asked.target);
        for (name, value) in &asked.headers {
            if !name.eq_ignore_ascii_case("host") {
                check_header_written(&mut self.found, name, span);
            }
            self.check_written(place, "a header's value", value, Use::HeaderValue);
        }
        for name in &asked.copy_headers {
            check_header_written(&mut self.found, name, span);
        }
        for name in &asked.copy_cookies {
            check_text(
                &mut self.found,
                "a cookie's name",
                name,
                Use::HeaderValue,
                span,
            );
        }
        if let Some(bytes) = asked.body_bytes {
            let range = (1, limits::MAX_KEPT_BODY);
            limits::within(&mut self.found, "a body's bytes", bytes, range, span);
        }
        let range = (0, limits::MAX_KEPT_ANSWER);
        let bytes = asked.answer_bytes;
        limits::within(&mut self.found, "an answer's bytes", bytes, range, span);
        if let Some(status) = asked.on_failure {
            check_status(&mut self.found, status, (400, 599), span);
        }
        let base = asked.location_base.as_deref();
        if base.is_some_and(|base| !base.starts_with("http://") && !base.starts_with("https://")) {
            let message = "a location is relative to what is no URL".to_owned();
            let wrong = place_error(place, Code::OutOfRange, message);
            self.found
                .push(wrong.help("such as `http://login.example/`"));
        }
    }
}
