//! What a target has of its own: its check, whom it is like, where its first address comes from.

use super::form::{Fields, Form, Out, Reader, fields, words};
use crate::tree::{Content, Item};
use portway_model::check::{AgentDraft, Observation, ObservedLayer, OnErrors, TargetCheckDraft};
use portway_model::choice::{FirstAddress, TrackedDraft};
use portway_model::span::Spanned;
use std::net::IpAddr;

fields!(TargetCheckDraft {
    "enabled" => enabled,
    "interval" => interval,
    "fast_interval" => fast_interval,
    "unhealthy_interval" => unhealthy_interval,
    "timeout" => timeout,
    "healthy_threshold" => healthy_threshold,
    "unhealthy_threshold" => unhealthy_threshold,
    "port" => port,
    "address" => address,
    "tls" => tls,
    "send_proxy" => send_proxy,
    "server_name" => server_name,
    "alpn" => alpn,
    "observe" => observe,
});

fields!(AgentDraft {
    "port" => port,
    "address" => address,
    "interval" => interval,
    "jitter_percent" => jitter_percent,
    "timeout" => timeout,
    "send" => send,
});

impl Form for AgentDraft {
    const WHAT: &'static str = "the port of an agent or a table";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        let mut agent = Self::default();
        match &item.content {
            Content::Table(table) => agent.read_table(table, &[], reader),
            _ => agent.port = Some(Spanned::read(item, reader)?),
        }
        Some(agent)
    }

    fn write(&self) -> Out {
        let mut out = Vec::new();
        self.write_fields(&mut out);
        match out.as_slice() {
            [(key, port)] if key == "port" => port.clone(),
            _ => Out::Table(out),
        }
    }
}

/// Every key and word of these settings.
pub(crate) const KEYS: &[&str] = &[
    "enabled",
    "fast_interval",
    "address",
    "tls",
    "send_proxy",
    "server_name",
    "alpn",
    "observe",
    "agent",
    "send",
    "layer",
    "errors",
    "then",
    "group",
    "target",
    "last",
    "resolver",
    "none",
];

impl Form for TargetCheckDraft {
    const WHAT: &'static str = "false or a table";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        let mut check = Self::default();
        match &item.content {
            Content::Boolean(enabled) => check.enabled = Some(Spanned::new(*enabled, item.span)),
            Content::Table(table) => check.read_table(table, &[], reader),
            _ => return reader.wrong_type(item, Self::WHAT),
        }
        Some(check)
    }

    fn write(&self) -> Out {
        let mut out = Vec::new();
        self.write_fields(&mut out);
        match out.as_slice() {
            [(key, enabled)] if key == "enabled" => enabled.clone(),
            _ => Out::Table(out),
        }
    }
}

words!(ObservedLayer, "\"connection\" or \"response\"", LAYERS:
    "connection" => ObservedLayer::Connection,
    "response" => ObservedLayer::Response,
);

words!(OnErrors, "what errors do, such as \"mark_down\"", ON_ERRORS:
    "check_sooner" => OnErrors::CheckSooner,
    "fail_check" => OnErrors::FailCheck,
    "last_chance" => OnErrors::LastChance,
    "mark_down" => OnErrors::MarkDown,
);

/// Errors in a row where a file does not say how many, HAProxy's.
const ERRORS: u16 = 10;

impl Form for Observation {
    const WHAT: &'static str = "a table with `layer`";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        let keyed = reader.keyed(item, Self::WHAT, &["layer", "errors", "then"])?;
        Some(Self {
            layer: keyed.required("layer", reader)?,
            errors: keyed.optional("errors", reader).unwrap_or(ERRORS),
            then: keyed
                .optional("then", reader)
                .unwrap_or(OnErrors::FailCheck),
        })
    }

    fn write(&self) -> Out {
        let mut out = vec![("layer".to_owned(), self.layer.write())];
        if self.errors != ERRORS {
            out.push(("errors".to_owned(), self.errors.write()));
        }
        if self.then != OnErrors::FailCheck {
            out.push(("then".to_owned(), self.then.write()));
        }
        Out::Table(out)
    }
}

impl Form for TrackedDraft {
    const WHAT: &'static str = "the name of a target, or a table with `group` and `target`";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        if matches!(item.content, Content::Table(_)) {
            let keyed = reader.keyed(item, Self::WHAT, &["group", "target"])?;
            return Some(Self {
                group: keyed.optional("group", reader),
                target: keyed.required("target", reader)?,
            });
        }
        Some(Self {
            group: None,
            target: Spanned::read(item, reader)?,
        })
    }

    fn write(&self) -> Out {
        match &self.group {
            None => self.target.write(),
            Some(group) => Out::Table(vec![
                ("group".to_owned(), group.write()),
                ("target".to_owned(), self.target.write()),
            ]),
        }
    }
}

impl Form for FirstAddress {
    const WHAT: &'static str = "\"resolver\", \"none\", \"last\" or an address";
    const ALONE: bool = true;

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.text(item, Self::WHAT)?.text;
        Some(match text {
            "last" => FirstAddress::Last,
            "resolver" => FirstAddress::Resolver,
            "none" => FirstAddress::None,
            _ => FirstAddress::Ip(IpAddr::read(item, reader)?),
        })
    }

    fn write(&self) -> Out {
        match self {
            FirstAddress::Last => Out::text("last"),
            FirstAddress::Resolver => Out::text("resolver"),
            FirstAddress::None => Out::text("none"),
            FirstAddress::Ip(ip) => ip.write(),
        }
    }
}

impl Form for IpAddr {
    const WHAT: &'static str = "an address such as \"10.0.0.1\"";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.text(item, Self::WHAT)?.text;
        match text.parse() {
            Ok(ip) => Some(ip),
            Err(_) => {
                let message = format!("`{text}` is not an IP address");
                reader.refuse(
                    item.span,
                    message,
                    "write for example \"10.0.0.1\" or \"::1\"",
                )
            }
        }
    }

    fn write(&self) -> Out {
        Out::text(self.to_string())
    }
}
