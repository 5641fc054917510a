//! What is checked of CORS, and of what browsers are told for safety.

use super::Compiler;
use super::expressions::Place;
use super::limits;
use super::rules::place_error;
use super::text::{Use, check_text, is_token};
use crate::cors::{ANY, Cors, SecurityHeaders};
use crate::diagnostic::{Code, Diagnostic, nearest};
use std::time::Duration;

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
        self.check_words(place, "frame", &headers.frame, &FRAMES, &[]);
        self.check_words(place, "referrer", &headers.referrer, &REFERRERS, &[',']);
        // Where reports go may follow.
        let opener = headers.opener.split(';').next().unwrap_or_default();
        self.check_words(place, "opener", opener, &OPENERS, &[]);
        for part in permissions(&headers.permissions) {
            if !is_permission(part) {
                let message = format!("`{part}` is no permission for `permissions`");
                let help = "a feature, `=` and who has it: `camera=()`, `geolocation=(self \"https://maps.example\")`, \
                     `fullscreen=*`; commas between them";
                let wrong = place_error(place, Code::OutOfRange, message);
                self.found.push(wrong.help(help));
            }
        }
        let listed = headers.subdomains && headers.transport >= LISTED;
        if headers.preload && !headers.transport.is_zero() && !listed {
            let message = "`preload` does nothing: no list of browsers takes this host so";
            let warning = Diagnostic::warning(Code::NoEffect, place.span, message);
            let help =
                "the lists ask for `subdomains = true` and a `transport` of \"365d\" or more";
            self.found.push(warning.help(help));
        }
    }

    /// Reports a value of a header that no browser knows. An empty one is not said.
    fn check_words(
        &mut self,
        place: Place,
        key: &str,
        value: &str,
        known: &[&str],
        between: &[char],
    ) {
        if value.is_empty() {
            return;
        }
        for word in value.split(between).map(str::trim) {
            if known.iter().any(|it| it.eq_ignore_ascii_case(word)) {
                continue;
            }
            let message = format!("`{}` is no value of `{key}`", word.escape_debug());
            let help = match (key, nearest(word, known.iter().copied())) {
                ("frame", _) if word.to_ascii_uppercase().starts_with("ALLOW") => {
                    "browsers do not know it any more: say `content = \"frame-ancestors https://app.example\"`, and `frame = \"\"`"
                        .to_owned()
                }
                (_, Some(word)) => format!("did you mean `{word}`?"),
                (_, None) => format!("one of: {}", known.join(", ")),
            };
            let wrong = place_error(place, Code::OutOfRange, message);
            self.found.push(wrong.help(help));
        }
    }
}

/// Values of `X-Frame-Options`, RFC 7034 without what browsers dropped.
const FRAMES: [&str; 2] = ["DENY", "SAMEORIGIN"];

/// Values of `Referrer-Policy`, W3C Referrer Policy section 3.
const REFERRERS: [&str; 8] = [
    "no-referrer",
    "no-referrer-when-downgrade",
    "same-origin",
    "origin",
    "strict-origin",
    "origin-when-cross-origin",
    "strict-origin-when-cross-origin",
    "unsafe-url",
];

/// Values of `Cross-Origin-Opener-Policy`, the HTML standard's.
const OPENERS: [&str; 4] = [
    "unsafe-none",
    "same-origin-allow-popups",
    "same-origin",
    "noopener-allow-popups",
];

/// For so long a host on the lists of browsers has to be reached by TLS.
const LISTED: Duration = Duration::from_secs(365 * 24 * 3600);

/// What stands between commas that are not in parentheses.
fn permissions(text: &str) -> Vec<&str> {
    let mut depth = 0_i32;
    let parts = text.split(|c| {
        depth += match c {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        c == ',' && depth <= 0
    });
    match text.is_empty() {
        true => Vec::new(),
        false => parts.map(str::trim).collect(),
    }
}

/// `feature=allowlist`, W3C Permissions Policy section 5.2: a list in parentheses, `*` or one origin.
fn is_permission(text: &str) -> bool {
    let Some((feature, who)) = text.split_once('=') else {
        return false;
    };
    // Parameters such as where reports go may follow.
    let who = who.split(';').next().unwrap_or_default();
    let is_origin = |it: &str| {
        it == "self"
            || it == "src"
            || it == "*"
            || it.len() > 2 && it.starts_with('"') && it.ends_with('"')
    };
    let listed = who.strip_prefix('(').and_then(|it| it.strip_suffix(')'));
    let known = match listed {
        Some(all) => all.split_ascii_whitespace().all(is_origin),
        None => is_origin(who),
    };
    let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    known && !feature.is_empty() && feature.bytes().all(letters)
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
