//! What is checked of CORS, and of what browsers are told for safety.

use super::Compiler;
use super::expressions::Place;
use super::limits;
use super::rules::place_error;
use super::text::{Use, check_text, is_token};
use crate::cors::{ANY, Cors, SecurityHeaders};
use crate::diagnostic::Code;

impl Compiler<'_> {
    pub(super) fn check_cors(&mut self, place: Place, cors: &Cors) {
        let mut wrong = |message: String, help: &str| {
            let wrong = place_error(place, Code::OutOfRange, message);
            self.found.push(wrong.help(help));
        };
        if cors.origins.is_empty() {
            wrong(
                "no origin may read".to_owned(),
                "such as `https://app.example`, or `*` for all",
            );
        }
        for origin in cors.origins.iter().filter(|it| !is_origin(it)) {
            let message = format!("`{}` is no origin", origin.escape_debug());
            wrong(
                message,
                "scheme, host and port as a browser says them, without a path: `https://app.example`, `https://*.app.example`, `*`, `null`",
            );
        }
        let is_for_anybody = cors.is_for_all() || cors.origins.iter().any(|it| it == "null");
        if cors.credentials && is_for_anybody {
            wrong(
                "every page could act for its user".to_owned(),
                "with `credentials`, name the origins: browsers refuse `*` then, and any page can make itself the origin `null`",
            );
        }
        let lists = [&cors.methods, &cors.headers, &cors.expose];
        for word in lists.into_iter().flatten().filter(|it| !is_token(it)) {
            let message = format!("`{}` is no method, and no header", word.escape_debug());
            wrong(message, "such as `PUT`, or `X-Total`");
        }
        if let Some(age) = cors.max_age.filter(|age| !age.is_zero()) {
            limits::check_duration(&mut self.found, "the time", age, place.span);
        }
    }

    pub(super) fn check_security_headers(&mut self, place: Place, headers: &SecurityHeaders) {
        let texts = [
            &headers.frame,
            &headers.referrer,
            &headers.content,
            &headers.permissions,
            &headers.opener,
        ];
        for text in texts {
            check_text(
                &mut self.found,
                "a header's value",
                text,
                Use::HeaderValue,
                place.span,
            );
        }
    }
}

/// As browsers say it (RFC 6454 section 6.2), perhaps with a star for hosts below.
fn is_origin(text: &str) -> bool {
    if matches!(text, ANY | "null") {
        return true;
    }
    let Some((scheme, host)) = text.split_once("://") else {
        return false;
    };
    let host = host.strip_prefix("*.").unwrap_or(host);
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    let letters = |it: &str| {
        it.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    };
    !scheme.is_empty() && letters(scheme) && !host.is_empty() && host.bytes().all(good)
}
