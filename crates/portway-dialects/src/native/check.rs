//! `health_check` of a target group.

use super::check_grpc;
use super::form::{Field, Form, Keyed, Out, Reader};
use super::pairs;
use crate::tree::{Content, Entry, Item};
use portway_model::check::{CheckKind, CheckStep, HealthCheckDraft, HttpCheck};
use portway_model::defaults;
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::expression::NumberRange;
use portway_model::span::Spanned;
use portway_model::stage::Named;

/// The keys of a check; of the first eight at most one.
pub(crate) const KEYS: &[&str] = &[
    "tcp",
    "tls",
    "http",
    "https",
    "grpc",
    "grpcs",
    "script",
    "service",
    "interval",
    "fast_interval",
    "unhealthy_interval",
    "jitter_percent",
    "timeout",
    "connect_timeout",
    "healthy_threshold",
    "unhealthy_threshold",
    "port",
    "first_failure_is_down",
    "wait_for_first_check",
    "drain_on_404",
];

/// The first so many of [`KEYS`] say how the check is done.
const KINDS: usize = 8;

/// The keys beside `http` and `https`; of them [`check_grpc::KEYS`] beside `grpc` and `grpcs` too.
pub(crate) const HTTP_KEYS: &[&str] = &["method", "host", "headers", "expect", "body"];

impl Form for HealthCheckDraft {
    const WHAT: &'static str = "\"tcp\", \"tls\" or a table";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        if matches!(item.content, Content::Text { .. }) {
            let kind = match reader.text(item, Self::WHAT)?.text {
                "tcp" => CheckKind::Tcp,
                "tls" => CheckKind::Tls,
                other => {
                    let message = format!("unknown kind of check `{other}`");
                    let help = "write \"tcp\", \"tls\" or { http = \"/path\" }";
                    return reader.refuse(item.span, message, help);
                }
            };
            return Some(Self {
                kind: Some(Spanned::new(kind, item.span)),
                ..Self::default()
            });
        }
        let keys = [KEYS, HTTP_KEYS].concat();
        let table = reader.keyed(item, Self::WHAT, &keys)?;
        Some(Self {
            kind: read_kind(&table, reader),
            interval: table.optional("interval", reader),
            fast_interval: table.optional("fast_interval", reader),
            unhealthy_interval: table.optional("unhealthy_interval", reader),
            jitter_percent: table.optional("jitter_percent", reader),
            timeout: table.optional("timeout", reader),
            connect_timeout: table.optional("connect_timeout", reader),
            healthy_threshold: table.optional("healthy_threshold", reader),
            unhealthy_threshold: table.optional("unhealthy_threshold", reader),
            port: table.optional("port", reader),
            first_failure_is_down: table.optional("first_failure_is_down", reader),
            wait_for_first_check: table.optional("wait_for_first_check", reader),
            drain_on_404: table.optional("drain_on_404", reader),
        })
    }

    fn write(&self) -> Out {
        let mut out = Vec::new();
        if let Some(kind) = &self.kind {
            write_kind(&kind.value, &mut out);
        }
        let mut add = |key: &str, value: Option<Out>| {
            out.extend(value.map(|value| (key.to_owned(), value)));
        };
        add("interval", self.interval.emit());
        add("fast_interval", self.fast_interval.emit());
        add("unhealthy_interval", self.unhealthy_interval.emit());
        add("jitter_percent", self.jitter_percent.emit());
        add("timeout", self.timeout.emit());
        add("connect_timeout", self.connect_timeout.emit());
        add("healthy_threshold", self.healthy_threshold.emit());
        add("unhealthy_threshold", self.unhealthy_threshold.emit());
        add("port", self.port.emit());
        add("first_failure_is_down", self.first_failure_is_down.emit());
        add("wait_for_first_check", self.wait_for_first_check.emit());
        add("drain_on_404", self.drain_on_404.emit());
        match out.as_slice() {
            [(kind, Out::Boolean(true))] if matches!(kind.as_str(), "tcp" | "tls") => {
                Out::text(kind)
            }
            [] => Out::Table(out),
            _ => Out::Section(out),
        }
    }
}

fn read_kind(table: &Keyed<'_>, reader: &mut Reader<'_>) -> Option<Spanned<CheckKind<Named>>> {
    let kinds = KEYS.iter().take(KINDS);
    let stated: Vec<&Entry> = kinds.filter_map(|kind| table.entry(kind)).collect();
    if let [first, second, ..] = stated.as_slice() {
        let message = format!("`{}` and `{}` exclude each other", first.key, second.key);
        reader.push(
            Diagnostic::error(Code::Conflict, second.key_span, message)
                .label(first.key_span, "the first of them"),
        );
        return None;
    }
    let Some(entry) = stated.first() else {
        return without_http(table, "", reader);
    };
    let kind = match entry.key.as_str() {
        "http" => CheckKind::Http(read_http(table, entry, reader)?),
        "https" => CheckKind::Https(read_http(table, entry, reader)?),
        "grpc" => CheckKind::Grpc(check_grpc::read(table, entry, reader)?),
        "grpcs" => CheckKind::Grpcs(check_grpc::read(table, entry, reader)?),
        "script" => {
            let elements = reader.elements(&entry.item).iter();
            CheckKind::Script(
                elements
                    .filter_map(|i| CheckStep::read(i, reader))
                    .collect(),
            )
        }
        "service" => CheckKind::Service(Form::read(&entry.item, reader)?),
        plain => {
            without_http::<()>(table, plain, reader);
            if !bool::read(&entry.item, reader)? {
                let help = "leave the key away";
                return reader.refuse(entry.item.span, format!("`{plain}` is false"), help);
            }
            if plain == "tcp" {
                CheckKind::Tcp
            } else {
                CheckKind::Tls
            }
        }
    };
    if let CheckKind::Script(_) | CheckKind::Service(_) | CheckKind::Grpc(_) | CheckKind::Grpcs(_) =
        kind
    {
        without_http::<()>(table, &entry.key, reader);
    }
    Some(Spanned::new(kind, entry.item.span))
}

/// Says that keys of HTTP checks are here without one.
fn without_http<T>(table: &Keyed<'_>, kind: &str, reader: &mut Reader<'_>) -> Option<T> {
    for key in HTTP_KEYS {
        let of_grpc = check_grpc::KEYS.contains(key);
        if of_grpc && matches!(kind, "grpc" | "grpcs") {
            continue;
        }
        if let Some(entry) = table.entry(key) {
            let message = match of_grpc {
                true => format!("`{key}` needs `http`, `https`, `grpc` or `grpcs`"),
                false => format!("`{key}` needs `http` or `https`"),
            };
            let diagnostic = Diagnostic::error(Code::Conflict, entry.key_span, message);
            reader.push(match table.entry(kind) {
                Some(kind) => diagnostic.label(kind.key_span, "this check has no use for it"),
                None => diagnostic,
            });
        }
    }
    None
}

fn default_expect() -> Vec<NumberRange> {
    let (min, max) = defaults::CHECK_EXPECT;
    vec![NumberRange {
        min: i64::from(min),
        max: i64::from(max),
    }]
}

pub(crate) fn read_http(
    table: &Keyed<'_>,
    entry: &Entry,
    reader: &mut Reader<'_>,
) -> Option<HttpCheck<Named>> {
    let headers = table.entry("headers");
    let headers = headers.map(|entry| pairs::read::<String>(&entry.item, reader));
    let headers = headers.unwrap_or_default().into_iter();
    Some(HttpCheck {
        method: table
            .optional("method", reader)
            .unwrap_or_else(|| "GET".to_owned()),
        path: String::read(&entry.item, reader)?,
        host: table.optional("host", reader),
        headers: headers.map(|(name, value)| (name.value, value)).collect(),
        expect: table
            .optional("expect", reader)
            .unwrap_or_else(default_expect),
        body: table.optional("body", reader),
    })
}

fn write_kind(kind: &CheckKind<Named>, out: &mut Vec<(String, Out)>) {
    match kind {
        CheckKind::Tcp => out.push(("tcp".to_owned(), Out::Boolean(true))),
        CheckKind::Tls => out.push(("tls".to_owned(), Out::Boolean(true))),
        CheckKind::Http(check) => write_http("http", check, out),
        CheckKind::Https(check) => write_http("https", check, out),
        CheckKind::Grpc(check) => check_grpc::write("grpc", check, out),
        CheckKind::Grpcs(check) => check_grpc::write("grpcs", check, out),
        CheckKind::Script(steps) => {
            let steps = steps.iter().map(Form::write).collect();
            out.push(("script".to_owned(), Out::List(steps)));
        }
        CheckKind::Service(service) => out.push(("service".to_owned(), service.write())),
    }
}

pub(crate) fn write_http(key: &str, check: &HttpCheck<Named>, out: &mut Vec<(String, Out)>) {
    let mut add = |key: &str, value: Out| out.push((key.to_owned(), value));
    add(key, check.path.write());
    if check.method != "GET" {
        add("method", check.method.write());
    }
    if let Some(host) = &check.host {
        add("host", host.write());
    }
    if !check.headers.is_empty() {
        let headers = check.headers.iter();
        let headers = headers.map(|(name, value)| (name.clone(), value.write()));
        add("headers", pairs::write(headers.collect()));
    }
    if check.expect != default_expect() {
        add("expect", check.expect.write());
    }
    if let Some(body) = &check.body {
        add("body", body.write());
    }
}
