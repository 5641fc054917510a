//! What texts of a configuration may hold: tokens, header names and values, paths, host names.

use super::limits::MAX_DNS_NAME;
use crate::action::is_of_connection;
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::span::Span;

/// True for a token of RFC 9110, section 5.6.2.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// Reports what is not a token.
pub(super) fn check_token(found: &mut Diagnostics, what: &str, text: &str, span: Span) -> bool {
    let token = is_token(text);
    if !token {
        found.push(
            Diagnostic::error(
                Code::OutOfRange,
                span,
                format!("`{}` is not {what}", text.escape_debug()),
            )
            .help("letters, digits and !#$%&'*+-.^_`|~ are allowed, and at least one of them"),
        );
    }
    token
}

/// Reports a name that no header has.
pub(super) fn check_header_name(found: &mut Diagnostics, name: &str, span: Span) -> bool {
    check_token(found, "a header name", name, span)
}

/// Reports a header that the engine alone writes.
pub(super) fn check_header_written(found: &mut Diagnostics, name: &str, span: Span) {
    if !check_header_name(found, name, span) {
        return;
    }
    if is_of_connection(name) {
        found.push(
            Diagnostic::error(
                Code::OutOfRange,
                span,
                format!("a rule may not write the header `{name}`"),
            )
            .help("it belongs to one connection, and Portway writes it as each side needs it"),
        );
    }
}

/// Reports a header that no rule may take away: without these a target, or a client, would end a message elsewhere than
/// we do (request smuggling), or refuse it (RFC 9112 section 3.2). Transfer-Encoding may be named: the one received goes
/// no further anyway, and ours is written after the rules.
pub(super) fn check_header_removed(found: &mut Diagnostics, name: &str, span: Span) {
    if !check_header_name(found, name, span) {
        return;
    }
    let help = match name.to_ascii_lowercase().as_str() {
        "content-length" => "it says where the message ends",
        "host" => "every request needs one; `set_header` replaces it",
        _ => return,
    };
    let message = format!("a rule may not remove the header `{name}`");
    found.push(Diagnostic::error(Code::OutOfRange, span, message).help(help));
}

/// Reports a header that may be set but not added beside one of its name: a second Host is refused by every server
/// (RFC 9112 section 3.2).
pub(super) fn check_header_added(found: &mut Diagnostics, name: &str, span: Span) {
    check_header_written(found, name, span);
    if name.eq_ignore_ascii_case("host") {
        let message = format!("a rule may not add a second `{name}`");
        found.push(
            Diagnostic::error(Code::OutOfRange, span, message)
                .help("a request has exactly one; `set_header` replaces it"),
        );
    }
}

/// What a text becomes a part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// A header's value: no CR, LF or NUL, RFC 9110 section 5.5.
    HeaderValue,
    /// A path or query: no white space or control characters either, RFC 9112 section 3.2.
    Target,
}

/// Reports characters that may not stand in `text`.
pub(super) fn check_text(found: &mut Diagnostics, what: &str, text: &str, used: Use, span: Span) {
    let bad = text.chars().find(|&c| match used {
        Use::HeaderValue => matches!(c, '\r' | '\n' | '\0'),
        Use::Target => c.is_ascii_control() || c == ' ',
    });
    if let Some(bad) = bad {
        found.push(Diagnostic::error(
            Code::OutOfRange,
            span,
            format!("{what} may not hold `{}`", bad.escape_default()),
        ));
    }
}

/// Reports a path that does not begin with a slash or holds what no path may.
pub(super) fn check_path(found: &mut Diagnostics, what: &str, path: &str, span: Span) {
    check_text(found, what, path, Use::Target, span);
    if !path.starts_with('/') {
        found.push(
            Diagnostic::error(
                Code::OutOfRange,
                span,
                format!(
                    "{what} `{}` does not begin with a slash",
                    path.escape_debug()
                ),
            )
            .help(format!("write `/{}`", path.escape_debug())),
        );
    }
}

/// Reports a file name that cannot be one.
pub(super) fn check_file(found: &mut Diagnostics, what: &str, file: &str, span: Span) {
    if file.is_empty() || file.contains('\0') {
        found.push(Diagnostic::error(
            Code::OutOfRange,
            span,
            format!("{what} is not a file name"),
        ));
    }
}

/// Reports what is no DNS name. Underscores are taken, as container names have them.
pub(super) fn check_dns_name(found: &mut Diagnostics, name: &str, span: Span) {
    let good = !name.is_empty()
        && name.len() <= MAX_DNS_NAME
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && !name.starts_with('.')
        && !name.contains("..");
    if !good {
        found.push(Diagnostic::error(
            Code::OutOfRange,
            span,
            format!("`{}` is not a host name", name.escape_debug()),
        ));
    }
}

/// Statuses that redirect, RFC 9110 section 15.4.
const REDIRECTS: [u16; 5] = [301, 302, 303, 307, 308];

/// Reports a status that is no redirect.
pub(super) fn check_redirect(found: &mut Diagnostics, status: u16, span: Span) {
    if !REDIRECTS.contains(&status) {
        found.push(
            Diagnostic::error(Code::OutOfRange, span, format!("{status} is no redirect"))
                .help("301, 302, 303, 307 or 308"),
        );
    }
}

/// Reports a status outside of `min..=max`.
pub(super) fn check_status(
    found: &mut Diagnostics,
    status: u16,
    (min, max): (u16, u16),
    span: Span,
) {
    super::limits::within(found, "a status", status, (min, max), span);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens() {
        for (text, expected) in [
            ("X-A", true),
            ("a!#$%&'*+-.^_`|~9", true),
            ("", false),
            ("a b", false),
            ("a:", false),
            ("é", false),
            ("a\0", false),
        ] {
            assert_eq!(is_token(text), expected, "{text:?}");
        }
    }

    #[test]
    fn headers_that_rules_may_not_touch() {
        type Check = fn(&mut Diagnostics, &str, Span);
        let check = |check: Check, name: &str, expected: Option<&str>| {
            let mut found = Diagnostics::default();
            check(&mut found, name, Span::NONE);
            let messages: Vec<&str> = found.iter().map(|it| it.message.as_str()).collect();
            assert_eq!(messages, expected.into_iter().collect::<Vec<_>>(), "{name}");
        };
        for (name, expected) in [
            ("X-A", None),
            ("Connection", None),
            ("X-Forwarded-For", None),
            ("a b", Some("`a b` is not a header name")),
            (
                "Content-Length",
                Some("a rule may not remove the header `Content-Length`"),
            ),
            ("transfer-encoding", None),
            ("Host", Some("a rule may not remove the header `Host`")),
        ] {
            check(check_header_removed, name, expected);
        }
        for (name, expected) in [
            ("X-A", None),
            ("hOST", Some("a rule may not add a second `hOST`")),
            ("TE", Some("a rule may not write the header `TE`")),
        ] {
            check(check_header_added, name, expected);
        }
        check(check_header_written, "Host", None);
    }

    #[test]
    fn host_names() {
        for (name, good) in [
            ("a.example", true),
            ("a.example.", true),
            ("my_service-1", true),
            ("", false),
            (".a", false),
            ("a..b", false),
            ("a b", false),
            ("a/b", false),
        ] {
            let mut found = Diagnostics::default();
            check_dns_name(&mut found, name, Span::NONE);
            assert_eq!(found.is_empty(), good, "{name:?}");
        }
    }
}
