//! `[target_group.NAME]`.

use super::form::{Fields, Form, Out, Reader, fields, nested, words};
use super::rule::{self, Owner};
use super::{check, check_step, choice, form::Field, passive, resolution, target};
use crate::tree::{Content, Entry, Item, Table};
use portway_model::draft::{
    GroupDraft, GroupTimeoutsDraft, TargetDraft, TargetTlsDraft, UpstreamTlsDraft, Verify,
};
use portway_model::name::Name;
use portway_model::proxied::{NAMED_TYPES, PassOn};
use portway_model::resolution::ResolutionDraft;
use portway_model::settings::{
    ConnectionReuse, NoneHealthy, ProxyPart, ProxyProtocol, SendProxy, ServerName, TargetSendProxy,
    VerifyName,
};
use portway_model::span::Spanned;

fields!(GroupDraft {
    "protocol" => protocol,
    "targets" => targets,
    "algorithm" => algorithm,
    "stickiness" => stickiness,
    "when_none_healthy" => none_healthy,
    "min_healthy" => min_healthy,
    "keep_share" => keep_share,
    "hash_balance_factor" => hash_balance_factor,
    "min_zone_healthy" => min_zone_healthy,
    "deregistration_delay" => deregistration_delay,
    "retries" => retries,
    "retry_budget" => retry_budget,
    "retry_body_bytes" => retry_body_bytes,
    "retry_backoff" => retry_backoff,
    "retry_within" => retry_within,
    "retry_idempotent_only" => retry_idempotent_only,
    "max_connections" => max_connections,
    "max_pending" => max_pending,
    "retry_to" => retry_to,
    "retry_on" => retry_on,
    "backups_together" => backups_together,
    "keep_when_down" => keep_when_down,
    "full_connections" => full_connections,
    "pool_size" => pool_size,
    "connection_reuse" => connection_reuse,
    "max_connection_requests" => life.max_requests,
    "max_connection_age" => life.max_age,
    "send_proxy" => send_proxy,
    "log" => log,
    "log_health_checks" => log_health_checks,
    "number" => number,
    "tags" => tags,
    "close" => close,
    "abort_on_close" => abort_on_close,
    "target_name_header" => target_name_header,
    "tcp_keep_alive" => tcp.keep_alive,
    "tcp_user_timeout" => tcp.user_timeout,
    "health_check" => health_check,
    "passive_health" => passive_health,
    "timeouts" => timeouts,
    "tls" => tls,
    "error_pages" => error_pages,
});

fields!(TargetDraft {
    "name" => name,
    "weight" => weight,
    "zone" => zone,
    "backup" => backup,
    "disabled" => disabled,
    "max_connections" => max_connections,
    "number" => number,
    "min_connections" => min_connections,
    "max_queue" => max_queue,
    "cookie" => cookie,
    "stick" => stick,
    "slow_start" => slow_start,
    "slow_start_when_new" => slow_start_when_new,
    "agent" => agent,
    "shutdown_on_down" => shutdown_on_down,
    "shutdown_backups_on_up" => shutdown_backups_on_up,
    "tls" => tls,
    "send_proxy" => send_proxy,
    "track" => track,
    "check" => check,
    "first_address" => first_address,
    "resolve" => resolve,
    "redirect" => redirect,
    "path_prefix" => path_prefix,
    "source" => source,
    "tcp_user_timeout" => tcp_user_timeout,
});

fields!(GroupTimeoutsDraft {
    "connect" => connect,
    "response" => response,
    "queue" => queue,
    "attempt" => attempt,
    "total" => total,
    "idle" => idle,
    "tunnel" => tunnel,
    "tunnel_target" => tunnel_target,
    "tunnel_ending" => tunnel_ending,
    "inspect" => inspect,
    "inspect_response" => inspect_response,
});

fields!(UpstreamTlsDraft {
    "verify" => verify,
    "server_name" => server_name,
    "judge" => judge,
    "resume" => resume,
    "verify_name" => verify_name,
    "alpn" => alpn,
    "crl" => crl,
    "policy" => policy.name,
    "min_version" => policy.min_version,
    "max_version" => policy.max_version,
    "suites" => policy.suites,
    "curves" => policy.curves,
    "certificate" => certificate,
});

nested!(GroupTimeoutsDraft, UpstreamTlsDraft);

words!(ConnectionReuse, "never, safe, aggressive or always", CONNECTION_REUSE:
    "never" => ConnectionReuse::Never,
    "safe" => ConnectionReuse::Safe,
    "aggressive" => ConnectionReuse::Aggressive,
    "always" => ConnectionReuse::Always,
);

words!(NoneHealthy, "refuse or fail_open", NONE_HEALTHY:
    "refuse" => NoneHealthy::Refuse,
    "fail_open" => NoneHealthy::FailOpen,
);

words!(ProxyProtocol, "a version of the PROXY protocol", PROXY_PROTOCOLS:
    "v1" => ProxyProtocol::V1,
    "v2" => ProxyProtocol::V2,
);

words!(ProxyPart, "a part of the PROXY protocol", PROXY_PARTS:
    "tls" => ProxyPart::Tls,
    "common_name" => ProxyPart::CommonName,
    "cipher" => ProxyPart::Cipher,
    "key" => ProxyPart::Key,
    "signature" => ProxyPart::Signature,
    "authority" => ProxyPart::Authority,
    "alpn" => ProxyPart::Alpn,
    "checksum" => ProxyPart::Checksum,
    "unique_id" => ProxyPart::UniqueId,
);

/// The keys of a table under `send_proxy`.
pub(crate) const SEND_PROXY_KEYS: &[&str] = &["version", "with", "pass_on"];

impl Form for SendProxy {
    const WHAT: &'static str = "\"v1\", \"v2\" or a table";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        if !matches!(item.content, Content::Table(_)) {
            return ProxyProtocol::read(item, reader).map(SendProxy::from);
        }
        let table = reader.keyed(item, Self::WHAT, SEND_PROXY_KEYS)?;
        Some(Self {
            version: table.required("version", reader)?,
            parts: table.optional("with", reader).unwrap_or_default(),
            pass_on: table.optional("pass_on", reader).unwrap_or_default(),
        })
    }

    fn write(&self) -> Out {
        let mut out = vec![("version".to_owned(), self.version.write())];
        if !self.parts.is_empty() {
            out.push(("with".to_owned(), self.parts.write()));
        }
        if !self.pass_on.is_nothing() {
            out.push(("pass_on".to_owned(), self.pass_on.write()));
        }
        match out.len() {
            1 => self.version.write(),
            _ => Out::Table(out),
        }
    }
}

impl Form for TargetSendProxy {
    const WHAT: &'static str = "true, false, \"v1\", \"v2\" or a table";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        match item.content {
            Content::Boolean(true) => Some(Self::Group),
            Content::Boolean(false) => Some(Self::Off),
            _ => SendProxy::read(item, reader).map(|own| Self::Own(Box::new(own))),
        }
    }

    fn write(&self) -> Out {
        match self {
            Self::Group => Out::Boolean(true),
            Self::Off => Out::Boolean(false),
            Self::Own(own) => own.write(),
        }
    }
}

/// Everything is passed on.
const ALL: &str = "all";

/// A type of part: by its name, or its number.
struct PartType(u8);

impl Form for PartType {
    const WHAT: &'static str = "a part of the PROXY protocol, or its number";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        if matches!(item.content, Content::Integer(_)) {
            return u8::read(item, reader).map(Self);
        }
        let written = reader.text(item, Self::WHAT)?;
        match NAMED_TYPES.iter().find(|(name, _)| *name == written.text) {
            Some((_, of)) => Some(Self(*of)),
            None => {
                let known = NAMED_TYPES.iter().map(|(name, _)| *name);
                reader.unknown(item.span, "part of the PROXY protocol", written.text, known)
            }
        }
    }

    fn write(&self) -> Out {
        match NAMED_TYPES.iter().find(|(_, of)| *of == self.0) {
            Some((name, _)) => Out::text(*name),
            None => Out::Integer(self.0.into()),
        }
    }
}

impl Form for PassOn {
    const WHAT: &'static str = "\"all\", or a list of parts of the PROXY protocol";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        if matches!(&item.content, Content::Text { text, .. } if text == ALL) {
            return Some(Self::All);
        }
        let types = Vec::<PartType>::read(item, reader)?;
        Some(Self::Types(types.into_iter().map(|of| of.0).collect()))
    }

    fn write(&self) -> Out {
        match self {
            Self::All => Out::text(ALL),
            Self::Types(types) => Out::List(types.iter().map(|of| PartType(*of).write()).collect()),
        }
    }
}

/// Keys that are read with the rest of the table at hand.
pub(crate) const MORE_KEYS: &[&str] = &["rule"];

/// Reads a group; what is wrong in it is left out.
pub(crate) fn read(name: Spanned<Name>, table: &Table, reader: &mut Reader<'_>) -> GroupDraft {
    let mut group = GroupDraft::new(name);
    group.read_table(table, MORE_KEYS, reader);
    group.rules = rule::read_all(table, Owner::Group, reader);
    group
}

/// The entries of a group's table.
pub(crate) fn write(group: &GroupDraft) -> Vec<(String, Out)> {
    let mut out = Vec::new();
    group.write_fields(&mut out);
    rule::write_all(&group.rules, Owner::Group, &mut out);
    out
}

impl Field for Vec<TargetDraft> {
    fn fill(&mut self, entry: &Entry, reader: &mut Reader<'_>) {
        for item in reader.elements(&entry.item) {
            self.extend(read_target(item, reader));
        }
    }

    fn emit(&self) -> Option<Out> {
        (!self.is_empty()).then(|| Out::List(self.iter().map(write_target).collect()))
    }
}

/// The key of a target's address, beside those of its fields.
pub(crate) const ADDRESS_KEY: &str = "address";

fn read_target(item: &Item, reader: &mut Reader<'_>) -> Option<TargetDraft> {
    let Content::Table(table) = &item.content else {
        return Spanned::read(item, reader).map(TargetDraft::new);
    };
    let mut keys = vec![ADDRESS_KEY];
    keys.extend(TargetDraft::KEYS);
    let keyed = reader.keyed(item, "a target", &keys)?;
    let mut target = TargetDraft::new(keyed.required(ADDRESS_KEY, reader)?);
    for entry in table.entries() {
        target.read_field(entry, reader);
    }
    Some(target)
}

pub(crate) fn write_target(target: &TargetDraft) -> Out {
    let mut out = vec![(ADDRESS_KEY.to_owned(), target.address.write())];
    target.write_fields(&mut out);
    match out.as_slice() {
        [(_, alone)] => alone.clone(),
        _ => Out::Table(out),
    }
}

impl Form for Verify {
    const WHAT: &'static str = "\"off\", \"system\" or { ca = \"FILE\" }";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        if matches!(item.content, Content::Table(_)) {
            let table = reader.keyed(item, Self::WHAT, &["ca"])?;
            return table.required("ca", reader).map(Verify::Ca);
        }
        match reader.text(item, Self::WHAT)?.text {
            "off" => Some(Verify::Off),
            "system" => Some(Verify::System),
            other => {
                let message = format!("unknown word `{other}`");
                reader.refuse(item.span, message, "a file of CAs is { ca = \"FILE\" }")
            }
        }
    }

    fn write(&self) -> Out {
        match self {
            Verify::Off => Out::text("off"),
            Verify::System => Out::text("system"),
            Verify::Ca(file) => Out::one("ca", file.write()),
        }
    }
}

/// Server names that are rules, not names.
const SERVER_NAMES: [(&str, ServerName); 3] = [
    ("client", ServerName::Client),
    ("host", ServerName::Host),
    ("none", ServerName::None),
];

impl Form for ServerName {
    const WHAT: &'static str = "\"client\", \"host\", \"none\" or a name";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        if matches!(item.content, Content::Table(_)) {
            let table = reader.keyed(item, Self::WHAT, &["name"])?;
            return table.required("name", reader).map(ServerName::Fixed);
        }
        let text = reader.text(item, Self::WHAT)?.text;
        let word = SERVER_NAMES.into_iter().find(|(known, _)| *known == text);
        Some(word.map_or_else(|| ServerName::Fixed(text.to_owned()), |(_, word)| word))
    }

    fn write(&self) -> Out {
        let word = SERVER_NAMES.iter().find(|(_, known)| known == self);
        match (self, word) {
            (_, Some((word, _))) => Out::text(*word),
            (ServerName::Fixed(name), _) if SERVER_NAMES.iter().any(|(word, _)| word == name) => {
                Out::one("name", name.write())
            }
            (ServerName::Fixed(name), _) => name.write(),
            // The other three are in SERVER_NAMES.
            _ => Out::text(""),
        }
    }
}

/// Names to verify that are rules, not names.
const VERIFY_NAMES: [(&str, VerifyName); 2] = [
    ("or_address", VerifyName::SentOrAddress),
    ("or_any", VerifyName::SentOrAny),
];

impl Form for VerifyName {
    const WHAT: &'static str = "\"or_address\", \"or_any\" or a name";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.text(item, Self::WHAT)?.text;
        let word = VERIFY_NAMES.into_iter().find(|(known, _)| *known == text);
        Some(word.map_or_else(|| VerifyName::SentOr(text.to_owned()), |(_, word)| word))
    }

    fn write(&self) -> Out {
        Out::text(match self {
            VerifyName::SentOrAddress => "or_address",
            VerifyName::SentOrAny => "or_any",
            VerifyName::SentOr(name) => name,
        })
    }
}

impl Form for TargetTlsDraft {
    const WHAT: &'static str = "false or a table";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        Some(match &item.content {
            Content::Boolean(tls) => TargetTlsDraft::Group(*tls),
            Content::Table(table) => {
                let mut own = UpstreamTlsDraft::default();
                own.read_table(table, &[], reader);
                TargetTlsDraft::Own(Box::new(own))
            }
            _ => return reader.wrong_type(item, Self::WHAT),
        })
    }

    fn write(&self) -> Out {
        match self {
            TargetTlsDraft::Group(tls) => tls.write(),
            TargetTlsDraft::Own(own) => {
                let mut out = Vec::new();
                own.write_fields(&mut out);
                Out::Table(out)
            }
        }
    }
}

/// Every key under `[target_group.NAME]`, for the reference to be held against.
pub(crate) fn vocabulary() -> Vec<&'static str> {
    let lists: [&[&str]; 20] = [
        GroupDraft::KEYS,
        TargetDraft::KEYS,
        GroupTimeoutsDraft::KEYS,
        UpstreamTlsDraft::KEYS,
        MORE_KEYS,
        choice::KEYS,
        super::min_healthy::MIN_HEALTHY_KEYS,
        target::KEYS,
        ResolutionDraft::KEYS,
        resolution::TAKES,
        resolution::FAMILIES,
        NONE_HEALTHY,
        PROXY_PROTOCOLS,
        PROXY_PARTS,
        SEND_PROXY_KEYS,
        check::KEYS,
        passive::KEYS,
        check::HTTP_KEYS,
        check_step::KEYS,
        check_step::WORDS,
    ];
    let words = lists.concat().into_iter().chain(choice::words());
    let parts = NAMED_TYPES.iter().map(|(name, _)| *name);
    words.chain([ADDRESS_KEY, ALL]).chain(parts).collect()
}
