//! `[listener.NAME]`.

use super::action::REDIRECT_STATUS;
use super::form::{Field, Fields, Form, Out, Reader, fields, nested, words};
use super::rule::{self, Owner};
use super::{clients, pairs, path_policy, preset};
use crate::tree::{Content, Entry, Item, Table};
use portway_model::draft::{
    CertificateDraft, CertificateTlsDraft, ErrorPageDraft, ForwardedDraft, ListenerDraft,
    ListenerTimeoutsDraft, ListenerTlsDraft, SocketDraft,
};
use portway_model::http2::{Http2Draft, PriorKnowledge};
use portway_model::name::Name;
use portway_model::ocsp::OcspDraft;
use portway_model::settings::{
    CertificateJudge, ClientAuth, ErrorAnswer, ErrorPageSource, Faults, ForwardedMode, OwnAnswers,
    Protocol, TlsVersion,
};
use portway_model::span::Spanned;
use portway_model::stage::Named;

fields!(ListenerDraft {
    "bind" => binds,
    "protocol" => protocol,
    "certificates" => certificates,
    "request_id" => request_id,
    "accept_proxy" => accept_proxy,
    "max_connections" => max_connections,
    "max_session_rate" => max_session_rate,
    "max_connection_requests" => life.max_requests,
    "max_connection_age" => life.max_age,
    "head_bytes" => head_bytes,
    "max_head_fields" => head_fields,
    "max_target_bytes" => target_bytes,
    "known_as" => known_as,
    "number" => number,
    "tags" => tags,
    "access_log" => access_log,
    "log" => log,
    "capture_cookie" => capture_cookie,
    "min_rate" => min_rate,
    "own_answers" => own_answers,
    "lenient_heads" => lenient_heads,
    "close" => close,
    "close_targets" => close_targets,
    "ignore_probes" => ignore_probes,
    "socket" => socket,
    "tls" => tls,
    "http2" => http2,
    "timeouts" => timeouts,
    "forwarded" => forwarded,
    "error_pages" => error_pages,
});

fields!(ListenerTlsDraft {
    "policy" => policy.name,
    "min_version" => policy.min_version,
    "max_version" => policy.max_version,
    "suites" => policy.suites,
    "curves" => policy.curves,
    "alpn" => alpn,
    "accept_other_alpn" => accept_other_alpn,
    "strict_sni" => strict_sni,
    "accept_clear" => accept_clear,
    "client_auth" => clients.auth,
    "client_ca" => clients.ca,
    "client_unnamed_ca" => clients.unnamed_ca,
    "client_crl" => clients.crl,
    "client_judge" => clients.judge,
    "client_ignored" => clients.ignored,
    "client_ignored_above" => clients.ignored_above,
    "expected_names" => expected_names,
});

fields!(Http2Draft {
    "prior_knowledge" => prior_knowledge,
    "max_concurrent_streams" => max_streams,
    "initial_window" => initial_window,
    "max_window" => max_window,
    "connection_window" => connection_window,
    "max_reset_rate" => max_reset_rate,
    "max_idle_frame_rate" => max_idle_frame_rate,
});

fields!(ListenerTimeoutsDraft {
    "request_head" => request_head,
    "request_head_renews" => request_head_renews,
    "keep_alive" => keep_alive,
    "client" => client,
    "tunnel" => tunnel,
    "inspect" => inspect,
    "tunnel_ending" => tunnel_ending,
});

fields!(SocketDraft {
    "interface" => interface,
    "v6_only" => v6_only,
    "backlog" => backlog,
    "transparent" => transparent,
    "shared" => shared,
    "packets_from" => packets_from,
    "tcp_keep_alive" => tcp.keep_alive,
    "tcp_user_timeout" => tcp.user_timeout,
});

fields!(ForwardedDraft {
    "x_forwarded_for" => x_forwarded_for,
    "x_forwarded_proto" => x_forwarded_proto,
    "x_forwarded_port" => x_forwarded_port,
    "x_forwarded_host" => x_forwarded_host,
    "forwarded" => forwarded,
    "client_port" => client_port,
    "trusted_proxies" => trusted_proxies,
});

nested!(
    SocketDraft,
    ListenerTlsDraft,
    Http2Draft,
    ListenerTimeoutsDraft,
    ForwardedDraft
);

words!(Protocol, "a protocol", PROTOCOLS:
    "http" => Protocol::Http,
    "https" => Protocol::Https,
    "tcp" => Protocol::Tcp,
    "tls" => Protocol::Tls,
);

words!(ForwardedMode, "append, preserve or remove", FORWARDED_MODES:
    "append" => ForwardedMode::Append,
    "preserve" => ForwardedMode::Preserve,
    "remove" => ForwardedMode::Remove,
);

words!(OwnAnswers, "portway or haproxy", OWN_ANSWERS:
    "portway" => OwnAnswers::Portway,
    "haproxy" => OwnAnswers::Haproxy,
);

words!(PriorKnowledge, "refused, optional or required", PRIOR_KNOWLEDGE:
    "refused" => PriorKnowledge::Refused,
    "optional" => PriorKnowledge::Optional,
    "required" => PriorKnowledge::Required,
);

words!(TlsVersion, "a version of TLS", TLS_VERSIONS:
    "1.2" => TlsVersion::V12,
    "1.3" => TlsVersion::V13,
);

words!(ClientAuth, "off, optional, required, optional_any or required_any", CLIENT_AUTH:
    "off" => ClientAuth::Off,
    "optional" => ClientAuth::Optional,
    "required" => ClientAuth::Required,
    "optional_any" => ClientAuth::OptionalAny,
    "required_any" => ClientAuth::RequiredAny,
);

words!(CertificateJudge, "portway or openssl", CERTIFICATE_JUDGES:
    "portway" => CertificateJudge::Portway,
    "openssl" => CertificateJudge::Openssl,
);

impl Form for Faults {
    const WHAT: &'static str = "OpenSSL's numbers of faults such as \"10,23\", or \"all\"";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.text(item, Self::WHAT)?.text;
        let faults = Faults::read(text);
        if faults.is_none() {
            let highest = Faults::HIGHEST;
            let message = format!("`{text}` is no list of numbers from 1 to {highest}");
            return reader.refuse(
                item.span,
                message,
                "write for example \"10,23\", or \"all\"",
            );
        }
        faults
    }

    fn write(&self) -> Out {
        Out::text(self.to_string())
    }
}

/// Keys that are read with the rest of the table at hand.
pub(crate) const MORE_KEYS: &[&str] = &[
    "certificate_files",
    "forward",
    "preset",
    "rule",
    clients::KEYS[0],
    clients::KEYS[1],
    path_policy::KEY,
];

/// Reads a listener; what is wrong in it is left out.
pub(crate) fn read(name: Spanned<Name>, table: &Table, reader: &mut Reader<'_>) -> ListenerDraft {
    let mut listener = ListenerDraft::new(name);
    listener.read_table(table, MORE_KEYS, reader);
    if let Some(entry) = table.get("certificate_files") {
        certificate_files(&mut listener, entry, reader);
    }
    let owner = Owner::of_listener(listener.protocol.as_ref().map(|p| p.value));
    // What a preset stands for is not looked at beside it.
    if table.get("preset").is_none() || table.get("forward").is_none() {
        listener.rules = rule::read_all(table, owner, reader);
    }
    if let Some(entry) = table.get("preset") {
        preset::fill(&mut listener, entry, table, reader);
    }
    let mut first = clients::rules(&listener, table, reader);
    first.extend(path_policy::rules(&listener, table, reader));
    listener.rules.splice(..0, first);
    listener
}

/// Makes a certificate object for each file and names it by the file.
fn certificate_files(listener: &mut ListenerDraft, entry: &Entry, reader: &mut Reader<'_>) {
    let files = Vec::<Spanned<String>>::read(&entry.item, reader).unwrap_or_default();
    for file in files {
        let name = Spanned::new(Name::new(file.value.as_str()), file.span);
        listener.certificates.push(name.clone());
        if reader.certificate_names.insert(name.value.clone()) {
            reader.certificates.push(CertificateDraft {
                name,
                file: Some(file),
                key: None,
                pem: None,
                names: Vec::new(),
                issuer: None,
                ocsp: OcspDraft::default(),
                tls: CertificateTlsDraft::default(),
            });
        }
    }
}

/// The entries of a listener's table.
pub(crate) fn write(listener: &ListenerDraft) -> Vec<(String, Out)> {
    let mut out = Vec::new();
    listener.write_fields(&mut out);
    let owner = Owner::of_listener(listener.protocol.as_ref().map(|p| p.value));
    rule::write_all(&listener.rules, owner, &mut out);
    out
}

impl Field for Vec<ErrorPageDraft> {
    fn fill(&mut self, entry: &Entry, reader: &mut Reader<'_>) {
        for (key, page) in pairs::read::<Spanned<ErrorPageSource<Named>>>(&entry.item, reader) {
            match key.value.parse() {
                Ok(status) => self.push(ErrorPageDraft {
                    status: Spanned::new(status, key.span),
                    page,
                }),
                Err(_) => {
                    let message = format!("`{}` is not a status", key.value);
                    let _: Option<()> = reader.refuse(key.span, message, "write for example 503");
                }
            }
        }
    }

    fn emit(&self) -> Option<Out> {
        let pages = self.iter();
        let pages = pages.map(|page| (page.status.value.to_string(), page.page.write()));
        pairs::section(pages.collect())
    }
}

/// The keys of an error page that is a redirect.
pub(crate) const ERROR_PAGE_KEYS: &[&str] =
    &["redirect", "status", "body", "content_type", "headers"];

impl Form for ErrorPageSource<Named> {
    const WHAT: &'static str = "a file, { redirect, status } or { body, content_type, headers }";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        if !matches!(item.content, Content::Table(_)) {
            let file = reader.text(item, Self::WHAT)?.text;
            return Some(ErrorPageSource::File(file.to_owned()));
        }
        let table = reader.keyed(item, Self::WHAT, ERROR_PAGE_KEYS)?;
        if table.entry("body").is_some() {
            return Some(ErrorPageSource::Answer(ErrorAnswer {
                body: table.required("body", reader)?,
                content_type: table.required("content_type", reader)?,
                headers: table.entry("headers").map_or_else(Vec::new, |entry| {
                    let pairs = pairs::read(&entry.item, reader).into_iter();
                    pairs.map(|(name, value)| (name.value, value)).collect()
                }),
            }));
        }
        Some(ErrorPageSource::Redirect {
            location: table.required("redirect", reader)?,
            status: match table.entry("status") {
                Some(_) => table.required("status", reader)?,
                None => REDIRECT_STATUS,
            },
        })
    }

    fn write(&self) -> Out {
        match self {
            ErrorPageSource::File(file) => file.write(),
            ErrorPageSource::Redirect { location, status } => {
                let mut out = vec![("redirect".to_owned(), location.write())];
                if *status != REDIRECT_STATUS {
                    out.push(("status".to_owned(), status.write()));
                }
                Out::Table(out)
            }
            ErrorPageSource::Answer(answer) => {
                let mut out = vec![
                    ("body".to_owned(), answer.body.write()),
                    ("content_type".to_owned(), answer.content_type.write()),
                ];
                if !answer.headers.is_empty() {
                    let headers = answer.headers.iter();
                    let pairs = headers.map(|(name, value)| (name.clone(), value.write()));
                    out.push(("headers".to_owned(), pairs::write(pairs.collect())));
                }
                Out::Table(out)
            }
        }
    }
}
