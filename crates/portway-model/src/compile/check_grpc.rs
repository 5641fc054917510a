//! Checks by gRPC.

use super::Compiler;
use super::expressions::reversed;
use super::limits::within;
use super::text::{Use, check_header_name, check_path, check_text};
use crate::check_grpc::{GrpcCall, GrpcCheck};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::span::Span;

/// The highest status code that may be expected: gRPC has 17, the matcher of AWS knows up to this.
const MAX_CODE: i64 = 99;

/// Header fields that a call has by itself.
const OWN_FIELDS: [&str; 6] = [
    "connection",
    "content-length",
    "content-type",
    "host",
    "te",
    "transfer-encoding",
];

impl Compiler<'_> {
    pub(super) fn check_grpc(&mut self, check: &GrpcCheck, span: Span) {
        let found = &mut self.found;
        match &check.call {
            GrpcCall::Health { service } => {
                check_text(found, "a service of gRPC", service, Use::Target, span);
            }
            GrpcCall::Method { path, codes } => {
                check_path(found, "a method of gRPC", path, span);
                if let Some(bad) = path.chars().find(|it| matches!(it, '?' | '#')) {
                    let message = format!("a method of gRPC may not hold `{bad}`");
                    let wrong = Diagnostic::error(Code::OutOfRange, span, message);
                    found.push(wrong.help("write `/package.Service/Method` and nothing behind it"));
                }
                let parts: Vec<&str> = path.split('/').collect();
                if !matches!(parts.as_slice(), ["", service, method] if !service.is_empty() && !method.is_empty())
                    && path.starts_with('/')
                {
                    let message = format!("`{}` names no method of a service", path.escape_debug());
                    let odd = Diagnostic::warning(Code::OutOfRange, span, message);
                    found.push(odd.help("targets of gRPC know methods by `/package.Service/Method`, such as `/grpc.health.v1.Health/Check`"));
                }
                if codes.is_empty() {
                    let message = "a check that no status code passes";
                    found.push(
                        Diagnostic::error(Code::Missing, span, message)
                            .help("say which codes pass, such as 0 or `0-99`"),
                    );
                }
                for range in codes {
                    for code in [range.min, range.max] {
                        within(found, "a status code of gRPC", code, (0, MAX_CODE), span);
                    }
                    if range.min > range.max {
                        found.push(reversed(range, span));
                    }
                }
            }
        }
        if let Some(authority) = &check.authority {
            check_authority(found, authority, span);
        }
        for (name, value) in &check.metadata {
            check_header_name(found, name, span);
            check_text(found, "a header's value", value, Use::HeaderValue, span);
            let lower = name.to_ascii_lowercase();
            if OWN_FIELDS.contains(&lower.as_str()) || lower.starts_with("grpc-") {
                let message = format!("`{name}` is of the call itself");
                found.push(Diagnostic::error(Code::Conflict, span, message).help(
                    "leave it away; `host` of the check says the authority, `timeout` the time",
                ));
            }
        }
    }
}

/// Reports what no `:authority` of a call may hold: a host, with a port or without.
fn check_authority(found: &mut Diagnostics, authority: &str, span: Span) {
    let is_bad = |it: &char| it.is_whitespace() || it.is_control() || "/?#@".contains(*it);
    if let Some(bad) = authority.chars().find(is_bad) {
        let bad = bad.escape_default();
        let message = format!("the host of a check by gRPC may not hold `{bad}`");
        let wrong = Diagnostic::error(Code::OutOfRange, span, message);
        found.push(wrong.help("write the name, and its port where it has one: `a.example:8443`"));
    }
}
