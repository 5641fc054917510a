//! What is checked of the collector that traces go to.

use super::Compiler;
use super::text::{Use, check_header_written, check_text};
use crate::diagnostic::{Code, Diagnostic};
use crate::jwt::UrlParts;
use crate::span::Spanned;
use crate::traces::Traces;

impl Compiler<'_> {
    pub(super) fn check_traces(&mut self, traces: &Spanned<Traces>) {
        let (span, traces) = (traces.span, &traces.value);
        let mut wrong = |message: String, help: &str| {
            let wrong = Diagnostic::error(Code::OutOfRange, span, message);
            self.found.push(wrong.help(help));
        };
        let parts = UrlParts::of(&traces.url);
        if parts.is_none() {
            let message = format!("`{}` is no URL of a collector", traces.url.escape_debug());
            wrong(message, "such as `http://127.0.0.1:4318`");
        }
        let of_tls = [
            ("ca", traces.ca.is_some()),
            ("verify", !traces.verify),
            ("certificate", traces.certificate.is_some()),
        ];
        for (key, _) in of_tls.into_iter().filter(|(_, is_said)| *is_said) {
            if parts.as_ref().is_some_and(|url| !url.tls) {
                let message = format!("`{key}` is for `https`, and this is `http`");
                wrong(message, &format!("write `https`, or leave `{key}` away"));
            }
        }
        if traces.ca.is_some() && !traces.verify {
            let message = "nothing is held against `ca` where `verify` is `false`".to_owned();
            wrong(message, "leave one of them away");
        }
        if traces.key.is_some() && traces.certificate.is_none() {
            let message = "a `key` without a `certificate`".to_owned();
            wrong(
                message,
                "say which certificate it is of, or leave `key` away",
            );
        }
        for (name, value) in &traces.headers {
            check_header_written(&mut self.found, name, span);
            check_text(
                &mut self.found,
                "a header's value",
                value,
                Use::HeaderValue,
                span,
            );
        }
    }
}
