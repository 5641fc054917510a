//! How servers of a service are checked.

use super::super::matcher::escaped;
use super::super::schema::Section;
use super::Lowering;
use super::middleware::canonical;
use portway_model::check::{
    CheckConnect, CheckExpect, CheckKind, CheckStep, Expectation, HealthCheckDraft, HttpCheck,
};
use portway_model::check_grpc::{GrpcCall, GrpcCheck};
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::expression::NumberRange;
use portway_model::span::{Span, Spanned};
use portway_model::stage::Named;
use std::time::Duration;

/// Bytes that a check of a TCP service sends, or waits for, at most.
const PAYLOAD: usize = 65_535;

/// An answer that begins with this.
fn begins_with(text: Spanned<&str>) -> CheckExpect<Named> {
    let pattern = format!("^{}", escaped(text.value));
    CheckExpect {
        min_bytes: u32::try_from(text.value.len()).ok(),
        ..CheckExpect::new(Expectation::Pattern(Spanned::new(pattern, text.span)))
    }
}

/// A check of this kind, as often as the section says.
fn checked(section: &Section, kind: Spanned<CheckKind<Named>>) -> Spanned<HealthCheckDraft> {
    let at = kind.span;
    let seconds = |seconds| Spanned::new(Duration::from_secs(seconds), at);
    let port = section
        .number("port")
        .map(|port| Spanned::new(u16::try_from(port.value).unwrap_or(0), port.span));
    let retries = section
        .number("retries")
        .and_then(|it| u16::try_from(it.value).ok());
    let draft = HealthCheckDraft {
        kind: Some(kind),
        interval: section.duration("interval").or(Some(seconds(30))),
        unhealthy_interval: section.duration("unhealthyInterval"),
        timeout: section.duration("timeout").or(Some(seconds(5))),
        healthy_threshold: Some(Spanned::new(1, at)),
        unhealthy_threshold: Some(Spanned::new(retries.unwrap_or(1).max(1), at)),
        port,
        ..HealthCheckDraft::default()
    };
    Spanned::new(draft, at)
}

impl Lowering<'_> {
    pub(super) fn health_check(
        &mut self,
        balancer: &Section,
        https: bool,
    ) -> Option<Spanned<HealthCheckDraft>> {
        let entry = balancer.get("healthCheck")?;
        let section = balancer.section("healthCheck")?;
        let mode = section.some_text("mode");
        let kind = match mode.map_or("http", |it| it.value) {
            "grpc" => self.grpc_check(section, https),
            other => {
                if let Some(mode) = mode.filter(|_| other != "http") {
                    let message = format!("`{other}` is no `mode` of health checks");
                    let one = Diagnostic::error(Code::OutOfRange, mode.span, message);
                    self.found.push(one.help("one of: http, grpc"));
                }
                self.http_check(section, entry.key, https)?
            }
        };
        Some(checked(section, Spanned::new(kind, entry.key)))
    }

    /// The check of servers of a TCP service: a connection, what is sent, and how the answer begins.
    pub(super) fn tcp_check(
        &mut self,
        balancer: &Section,
        tls: bool,
    ) -> Option<Spanned<HealthCheckDraft>> {
        let entry = balancer.get("healthCheck")?;
        let section = balancer.section("healthCheck")?;
        let [send, expect] = ["send", "expect"].map(|name| section.some_text(name));
        for text in [send, expect].into_iter().flatten() {
            if text.value.len() > PAYLOAD {
                let message = format!("{} bytes are too many", text.value.len());
                let one = Diagnostic::error(Code::OutOfRange, text.span, message);
                self.found.push(one.help(format!("at most {PAYLOAD}")));
            }
        }
        let kind = match (send, expect) {
            (None, None) if tls => CheckKind::Tls,
            (None, None) => CheckKind::Tcp,
            (send, expect) => {
                let connect = CheckConnect {
                    tls,
                    ..CheckConnect::default()
                };
                let send = send.map(|it| CheckStep::Send(it.value.as_bytes().to_vec()));
                let expect = expect.map(|it| CheckStep::Expect(begins_with(it)));
                let steps = [Some(CheckStep::Connect(connect)), send, expect];
                CheckKind::Script(steps.into_iter().flatten().collect())
            }
        };
        Some(checked(section, Spanned::new(kind, entry.key)))
    }

    /// A request, whose status passes.
    fn http_check(&mut self, section: &Section, at: Span, https: bool) -> Option<CheckKind<Named>> {
        let Some(path) = section.some_text("path") else {
            self.error(Code::Missing, at, "a health check without `path`");
            return None;
        };
        if path.value.contains("://") {
            let message = format!("`{}` is no path", path.value);
            let one = Diagnostic::error(Code::OutOfRange, path.span, message);
            self.found
                .push(one.help("such as `/health`; `hostname`, `port` and `scheme` say the rest"));
        }
        let path = path.value;
        let path = if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("/{path}")
        };
        let status = section
            .number("status")
            .map(|it| it.value)
            .filter(|it| *it != 0);
        let expect = match status {
            Some(status) => NumberRange {
                min: status,
                max: status,
            },
            None => NumberRange { min: 200, max: 399 },
        };
        let headers = section.map("headers").iter();
        let headers = headers.map(|(name, value)| (canonical(&name.value), value.value.clone()));
        let check = HttpCheck {
            method: section
                .some_text("method")
                .map_or("GET", |it| it.value)
                .to_ascii_uppercase(),
            path,
            host: section.some_text("hostname").map(|it| it.value.to_owned()),
            headers: headers.collect(),
            expect: vec![expect],
            body: None,
        };
        let tls = section
            .some_text("scheme")
            .map_or(https, |it| it.value == "https");
        Some(match tls {
            true => CheckKind::Https(check),
            false => CheckKind::Http(check),
        })
    }

    /// The health protocol of gRPC: the server as a whole is asked for.
    fn grpc_check(&mut self, section: &Section, https: bool) -> CheckKind<Named> {
        for name in ["path", "method", "status", "headers", "hostname"] {
            if let Some(entry) = section.get(name) {
                let message = format!("`{name}` has no effect on health checks by gRPC");
                self.found
                    .push(Diagnostic::warning(Code::Unused, entry.key, message));
            }
        }
        let check = GrpcCheck {
            call: GrpcCall::Health {
                service: String::new(),
            },
            authority: None,
            metadata: Vec::new(),
        };
        let scheme = section.some_text("scheme");
        match scheme.map_or(https, |it| it.value == "https") {
            true => CheckKind::Grpcs(check),
            false => CheckKind::Grpc(check),
        }
    }
}
