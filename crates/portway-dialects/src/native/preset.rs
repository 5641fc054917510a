//! `preset` of a listener: a listener as load balancers of the cloud have it, with its instances in one line.
//!
//! Stands for `bind`, `protocol` and `forward` of the listener and a target group of the listener's name. What the
//! instances speak is derived where it is not said, and pairs of protocols that Outscale refuses are refused with the
//! reason. A preset is never printed: what it stands for is.

use super::form::{Form, Keyed, Out, Reader, words};
use crate::tree::{Entry, Table};
use portway_model::action::{Action, Phase, Places, Rule, Weighted};
use portway_model::address::{BindAddress, Host, TargetAddress};
use portway_model::check::{CheckKind, HealthCheckDraft};
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::draft::{GroupDraft, ListenerDraft, TargetDraft, Verify};
use portway_model::expression::Condition;
use portway_model::settings::Protocol;
use portway_model::span::{Origin, Spanned};
use std::net::IpAddr;
use std::time::Duration;

/// The keys of a preset.
pub(crate) const KEYS: &[&str] = &[
    "protocol",
    "port",
    "instance_protocol",
    "instance_port",
    "instances",
    "health_check",
];

/// Keys of a listener that a preset stands for.
const INSTEAD_OF: [&str; 3] = ["bind", "protocol", "forward"];

/// A protocol in the words of load balancers of the cloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Http,
    Https,
    Tcp,
    Ssl,
}

words!(Word, "HTTP, HTTPS, TCP or SSL", WORDS:
    "HTTP" => Word::Http,
    "HTTPS" => Word::Https,
    "TCP" => Word::Tcp,
    "SSL" => Word::Ssl,
);

impl Word {
    fn protocol(self) -> Protocol {
        match self {
            Word::Http => Protocol::Http,
            Word::Https => Protocol::Https,
            Word::Tcp => Protocol::Tcp,
            Word::Ssl => Protocol::Tls,
        }
    }

    /// What instances speak where it is not said.
    fn derived(self) -> Self {
        match self {
            Word::Http | Word::Https => Word::Http,
            Word::Tcp | Word::Ssl => Word::Tcp,
        }
    }

    /// Why instances cannot speak the other; `None`: they can.
    fn refusal(self, instance: Self) -> Option<&'static str> {
        match (self.protocol().is_http(), instance.protocol().is_http()) {
            (true, false) => {
                Some("the load balancer reads requests, and passes them on as HTTP or HTTPS alone")
            }
            (false, true) => Some(
                "the load balancer passes bytes on without reading them, over TCP or SSL alone",
            ),
            _ => None,
        }
    }
}

/// Fills a listener from its preset.
pub(crate) fn fill(
    listener: &mut ListenerDraft,
    entry: &Entry,
    table: &Table,
    reader: &mut Reader<'_>,
) {
    for key in INSTEAD_OF {
        if let Some(other) = table.get(key) {
            let message = format!("`preset` stands for `{key}`, which is there too");
            let twice = Diagnostic::error(Code::Conflict, other.key_span, message);
            reader.push(twice.label(entry.key_span, "the preset is here"));
        }
    }
    let Some(keyed) = reader.keyed(&entry.item, "a preset", KEYS) else {
        return;
    };
    let front: Option<Spanned<Word>> = keyed.required("protocol", reader);
    let port = port(&keyed, "port", reader);
    let instance_port = self::port(&keyed, "instance_port", reader);
    let back: Option<Spanned<Word>> = keyed.optional("instance_protocol", reader);
    let (Some(front), Some(port), Some(instance_port)) = (front, port, instance_port) else {
        return;
    };
    let back = back.unwrap_or(front.map(Word::derived));
    if let Some(reason) = front.value.refusal(back.value) {
        let (front, back) = (word(front.value), word(back.value));
        let message = format!("a listener that speaks {front} has no instances that speak {back}");
        let place = keyed.entry("instance_protocol");
        let place = place.map_or(entry.key_span, |it| it.item.span);
        let refused = Diagnostic::error(Code::ProtocolMismatch, place, message);
        reader.push(refused.help(reason));
        return;
    }
    let bind = BindAddress::tcp(None, port.value);
    listener.binds = vec![Spanned::new(bind, port.span)];
    listener.protocol = Some(front.map(Word::protocol));
    let group = Spanned::new(listener.name.value.clone(), entry.key_span);
    listener.rules.push(Rule {
        phase: match front.value.protocol().is_http() {
            true => Phase::Request,
            false => Phase::Connection,
        },
        condition: Condition::All(Vec::new()),
        actions: vec![Action::Forward(vec![Weighted::new(group, 1)])],
        origin: Origin(entry.key_span.to(entry.item.span)),
        places: Places::default(),
    });
    let name = Spanned::new(listener.name.value.clone(), entry.item.span);
    let mut group = GroupDraft::new(name);
    group.protocol = Some(back.map(Word::protocol));
    if back.value.protocol().is_tls() {
        group.tls.verify = Some(Spanned::bare(Verify::Off));
    }
    group.targets = instances(&keyed, instance_port.value, reader);
    let check = keyed.optional::<Spanned<HealthCheckDraft>>("health_check", reader);
    group.health_check = check.or(Some(Spanned::bare(usual_check())));
    reader.groups.push(group);
}

fn word(word: Word) -> String {
    match word.write() {
        Out::Text(text) => text,
        _ => String::new(),
    }
}

fn port(keyed: &Keyed<'_>, key: &str, reader: &mut Reader<'_>) -> Option<Spanned<u16>> {
    let port: Spanned<u16> = keyed.required(key, reader)?;
    match port.value {
        0 => reader.refuse(port.span, "a port is from 1 to 65535", ""),
        _ => Some(port),
    }
}

fn instances(keyed: &Keyed<'_>, port: u16, reader: &mut Reader<'_>) -> Vec<TargetDraft> {
    let texts: Option<Vec<Spanned<String>>> = keyed.optional("instances", reader);
    let mut targets = Vec::new();
    for text in texts.unwrap_or_default() {
        let host = match text.value.parse::<IpAddr>() {
            Ok(ip) => Host::Ip(ip),
            Err(_) if !text.value.is_empty() && !text.value.contains([':', '/', ' ']) => {
                Host::Name(text.value)
            }
            Err(_) => {
                let message = format!("`{}` is no address of an instance", text.value);
                let help = "write an address or a name; `instance_port` says the port";
                let _: Option<()> = reader.refuse(text.span, message, help);
                continue;
            }
        };
        let address = TargetAddress::Tcp { host, port };
        targets.push(TargetDraft::new(Spanned::new(address, text.span)));
    }
    targets
}

/// The check of a new load balancer: by TCP, to the port of the instances.
fn usual_check() -> HealthCheckDraft {
    HealthCheckDraft {
        kind: Some(Spanned::bare(CheckKind::Tcp)),
        interval: Some(Spanned::bare(Duration::from_secs(30))),
        timeout: Some(Spanned::bare(Duration::from_secs(5))),
        healthy_threshold: Some(Spanned::bare(10)),
        unhealthy_threshold: Some(Spanned::bare(2)),
        ..HealthCheckDraft::default()
    }
}
