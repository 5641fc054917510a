//! `[listener.NAME]`.

use super::action::REDIRECT_STATUS;
use super::form::{Field, Fields, Form, Out, Reader, fields, nested, words};
use super::pairs;
use super::rule::{self, Owner};
use super::toml::{Content, Entry, Item, Table};
use portway_model::draft::{
    AccessLogDraft, CertificateDraft, ErrorPageDraft, ForwardedDraft, ListenerDraft,
    ListenerTimeoutsDraft, ListenerTlsDraft, LogFormat,
};
use portway_model::expression::Template;
use portway_model::name::Name;
use portway_model::settings::{
    ClientAuth, ErrorPageSource, ForwardedMode, LogDestination, OwnAnswers, Protocol, TlsVersion,
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
    "head_bytes" => head_bytes,
    "known_as" => known_as,
    "number" => number,
    "access_log" => access_log,
    "own_answers" => own_answers,
    "close" => close,
    "tls" => tls,
    "timeouts" => timeouts,
    "forwarded" => forwarded,
    "error_pages" => error_pages,
});

fields!(ListenerTlsDraft {
    "policy" => policy.name,
    "min_version" => policy.min_version,
    "max_version" => policy.max_version,
    "suites" => policy.suites,
    "alpn" => alpn,
    "strict_sni" => strict_sni,
    "client_auth" => client_auth,
    "client_ca" => client_ca,
    "client_crl" => client_crl,
});

fields!(ListenerTimeoutsDraft {
    "request_head" => request_head,
    "keep_alive" => keep_alive,
    "client" => client,
    "tunnel" => tunnel,
    "inspect" => inspect,
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

nested!(ListenerTlsDraft, ListenerTimeoutsDraft, ForwardedDraft);

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

words!(TlsVersion, "a version of TLS", TLS_VERSIONS:
    "1.2" => TlsVersion::V12,
    "1.3" => TlsVersion::V13,
);

words!(ClientAuth, "off, optional or required", CLIENT_AUTH:
    "off" => ClientAuth::Off,
    "optional" => ClientAuth::Optional,
    "required" => ClientAuth::Required,
);

/// Keys that are read with the rest of the table at hand.
pub(crate) const MORE_KEYS: &[&str] = &["certificate_files", "forward", "rule"];

/// Reads a listener; what is wrong in it is left out.
pub(crate) fn read(name: Spanned<Name>, table: &Table, reader: &mut Reader<'_>) -> ListenerDraft {
    let mut listener = ListenerDraft::new(name);
    listener.read_table(table, MORE_KEYS, reader);
    if let Some(entry) = table.get("certificate_files") {
        certificate_files(&mut listener, entry, reader);
    }
    let owner = Owner::of_listener(listener.protocol.as_ref().map(|p| p.value));
    listener.rules = rule::read_all(table, owner, reader);
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

impl Form for AccessLogDraft {
    const WHAT: &'static str = "\"json\", \"combined\" or a table";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        if matches!(item.content, Content::Text { .. }) {
            return Some(Self {
                format: Some(Spanned::read(item, reader)?),
                to: None,
            });
        }
        let table = reader.keyed(item, Self::WHAT, ACCESS_LOG_KEYS)?;
        Some(Self {
            format: table.optional("format", reader),
            to: table.optional("to", reader),
        })
    }

    fn write(&self) -> Out {
        match (&self.format, &self.to) {
            (None, None) => LogFormat::Json.write(),
            (Some(format), None) if matches!(format.write(), Out::Text(_)) => format.write(),
            (format, to) => {
                let mut out = Vec::new();
                if let Some(format) = format {
                    out.push(("format".to_owned(), format.write()));
                }
                if let Some(to) = to {
                    out.push(("to".to_owned(), to.write()));
                }
                Out::Table(out)
            }
        }
    }
}

/// The keys of a table under `access_log`.
pub(crate) const ACCESS_LOG_KEYS: &[&str] = &["format", "to"];

impl Form for LogFormat<Named> {
    const WHAT: &'static str = "\"json\", \"combined\" or a template";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        if matches!(item.content, Content::Table(_)) {
            let table = reader.keyed(item, Self::WHAT, &["template"])?;
            return table.required("template", reader).map(LogFormat::Template);
        }
        match reader.text(item, Self::WHAT)?.text {
            "json" => Some(LogFormat::Json),
            "combined" => Some(LogFormat::Combined),
            text if !text.contains("${") => {
                reader.unknown(item.span, "log format", text, ["json", "combined"])
            }
            _ => Template::read(item, reader).map(LogFormat::Template),
        }
    }

    fn write(&self) -> Out {
        match self {
            LogFormat::Json => Out::text("json"),
            LogFormat::Combined => Out::text("combined"),
            LogFormat::Template(template) => match template.write() {
                Out::Text(text) if text.contains("${") => Out::Text(text),
                bare => Out::one("template", bare),
            },
        }
    }
}

/// The facility of syslog where none is said.
const FACILITY: &str = "local0";

impl Form for LogDestination {
    const WHAT: &'static str = "\"stdout\", \"file:PATH\" or \"syslog:ADDRESS\"";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        if matches!(item.content, Content::Table(_)) {
            let table = reader.keyed(item, Self::WHAT, &["syslog", "facility"])?;
            let address = table.required("syslog", reader)?;
            let facility = table.optional("facility", reader);
            return Some(LogDestination::Syslog {
                address,
                facility: facility.unwrap_or_else(|| FACILITY.to_owned()),
            });
        }
        let text = reader.text(item, Self::WHAT)?.text;
        match text.split_once(':') {
            None if text == "stdout" => Some(LogDestination::Stdout),
            Some(("file", path)) if !path.is_empty() => Some(LogDestination::File(path.to_owned())),
            Some(("syslog", address)) if !address.is_empty() => Some(LogDestination::Syslog {
                address: address.to_owned(),
                facility: FACILITY.to_owned(),
            }),
            _ => {
                let message = format!("`{text}` is not a place for logs");
                reader.refuse(item.span, message, &format!("write {}", Self::WHAT))
            }
        }
    }

    fn write(&self) -> Out {
        match self {
            LogDestination::Stdout => Out::text("stdout"),
            LogDestination::File(path) => Out::text(format!("file:{path}")),
            LogDestination::Syslog { address, facility } if facility == FACILITY => {
                Out::text(format!("syslog:{address}"))
            }
            LogDestination::Syslog { address, facility } => Out::Table(vec![
                ("syslog".to_owned(), Out::text(address)),
                ("facility".to_owned(), Out::text(facility)),
            ]),
        }
    }
}

impl Field for Vec<ErrorPageDraft> {
    fn fill(&mut self, entry: &Entry, reader: &mut Reader<'_>) {
        for (key, page) in pairs::read::<Spanned<ErrorPageSource>>(&entry.item, reader) {
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
pub(crate) const ERROR_PAGE_KEYS: &[&str] = &["redirect", "status"];

impl Form for ErrorPageSource {
    const WHAT: &'static str = "a file or { redirect, status }";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        if !matches!(item.content, Content::Table(_)) {
            let file = reader.text(item, Self::WHAT)?.text;
            return Some(ErrorPageSource::File(file.to_owned()));
        }
        let table = reader.keyed(item, Self::WHAT, ERROR_PAGE_KEYS)?;
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
        }
    }
}
