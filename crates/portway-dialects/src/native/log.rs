//! Logs: access logs, destinations, syslog, and the id of requests.

use super::form::{Fields, Form, Out, Reader, fields};
use crate::tree::{Content, Item};
use portway_model::draft::{AccessLogDraft, LogFormat, RequestIdDraft};
use portway_model::expression::Template;
use portway_model::log::{
    Facility, LogDestination, LogHostname, LogLevel, RecordPart, Sample, Syslog, SyslogAddress,
    SyslogForm, SyslogFraming,
};
use portway_model::settings::CaptureCookie;
use portway_model::span::Spanned;
use portway_model::stage::Named;

fields!(AccessLogDraft {
    "format" => format,
    "to" => to,
    "error_format" => error_format,
    "structured_data" => structured_data,
    "log_null" => log_null,
    "only_faults" => only_faults,
    "raise_faults" => raise_faults,
    "early" => early,
    "when" => when,
    "without" => without,
});

fields!(RequestIdDraft {
    "header" => header,
    "format" => format,
});

/// The keys of a destination that is a syslog server.
pub(crate) const SYSLOG_KEYS: &[&str] = &[
    "syslog",
    "format",
    "facility",
    "max_level",
    "min_level",
    "length",
    "tag",
    "hostname",
    "sample",
    "framing",
];

/// The keys of `capture_cookie`.
pub(crate) const CAPTURE_COOKIE_KEYS: &[&str] = &["name", "prefix", "length"];

/// Every word of levels, facilities and forms of syslog.
pub(crate) fn words() -> Vec<&'static str> {
    let levels = LogLevel::ALL.iter().map(|it| it.as_str());
    let facilities = Facility::ALL.iter().map(|it| it.as_str());
    let forms = SyslogForm::ALL.iter().map(|it| it.as_str());
    let framings = SyslogFraming::ALL.iter().map(|it| it.as_str());
    let parts = RecordPart::ALL.iter().map(|it| it.as_str());
    let words = levels.chain(facilities).chain(forms).chain(framings);
    let words = words.chain(parts);
    words.collect()
}

impl Form for AccessLogDraft {
    const WHAT: &'static str = "\"json\", \"combined\" or a table";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        let mut draft = Self::default();
        match &item.content {
            Content::Table(table) => draft.read_table(table, &[], reader),
            Content::Text { .. } => draft.format = Some(Spanned::read(item, reader)?),
            _ => return reader.wrong_type(item, Self::WHAT),
        }
        Some(draft)
    }

    fn write(&self) -> Out {
        let mut out = Vec::new();
        self.write_fields(&mut out);
        match out.as_slice() {
            [] => LogFormat::Json.write(),
            [(key, Out::Text(text))] if key == "format" => Out::text(text),
            _ => Out::Table(out),
        }
    }
}

impl Form for RequestIdDraft {
    const WHAT: &'static str = "the name of a header, or a table with `header` and `format`";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        let mut draft = Self::default();
        match &item.content {
            Content::Table(table) => draft.read_table(table, &[], reader),
            Content::Text { .. } => draft.header = Some(Spanned::read(item, reader)?),
            _ => return reader.wrong_type(item, Self::WHAT),
        }
        Some(draft)
    }

    fn write(&self) -> Out {
        let mut out = Vec::new();
        self.write_fields(&mut out);
        match out.as_slice() {
            [(key, header)] if key == "header" => header.clone(),
            _ => Out::Table(out),
        }
    }
}

/// The formats that have a name.
const FORMATS: [&str; 5] = ["json", "combined", "alb", "httplog", "tcplog"];

/// HAProxy's `option httplog` (manual, section 8.2.3).
const HTTP_LOG: &str = "${log(client_address)}:${log(client_port)} [${log(start_date)}] ${log(listener_transport)} ${log(backend)}/${log(server)} ${log(request_time)}/${log(queue_time)}/${log(connect_time)}/${log(response_time)}/${log(total_time)} ${log(status)} ${log(bytes_read)} ${log(captured_request_cookie).default(`-`)} ${log(captured_response_cookie).default(`-`)} ${log(termination_letters)} ${log(process_connections)}/${log(listener_connections)}/${log(group_connections)}/${log(target_connections)}/${log(retries_marked)} ${log(target_queue)}/${log(group_queue)} ${log(captured_request)} ${log(captured_response)} ${log(request_line).quoted()}";
/// HAProxy's `option tcplog` (section 8.2.2).
const TCP_LOG: &str = "${log(client_address)}:${log(client_port)} [${log(accept_date)}] ${log(listener_transport)} ${log(backend)}/${log(server)} ${log(queue_time)}/${log(connect_time)}/${log(session_time)} ${log(bytes_read)} ${log(termination_short)} ${log(process_connections)}/${log(listener_connections)}/${log(group_connections)}/${log(target_connections)}/${log(retries_marked)} ${log(target_queue)}/${log(group_queue)}";

/// A format that is a template of ours.
fn written(text: &str, item: &Item, reader: &mut Reader<'_>) -> Option<LogFormat<Named>> {
    let item = Item {
        content: Content::Text {
            text: text.to_owned(),
            exact: None,
        },
        span: item.span,
    };
    Template::read(&item, reader).map(LogFormat::Template)
}

impl Form for LogFormat<Named> {
    const WHAT: &'static str =
        "\"json\", \"combined\", \"alb\", \"httplog\", \"tcplog\" or a template";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        if matches!(item.content, Content::Table(_)) {
            let table = reader.keyed(item, Self::WHAT, &["template"])?;
            return table.required("template", reader).map(LogFormat::Template);
        }
        match reader.text(item, Self::WHAT)?.text {
            "json" => Some(LogFormat::Json),
            "combined" => Some(LogFormat::Combined),
            "alb" => Some(LogFormat::Alb),
            "httplog" => written(HTTP_LOG, item, reader),
            "tcplog" => written(TCP_LOG, item, reader),
            text if !text.contains("${") => reader.unknown(item.span, "log format", text, FORMATS),
            _ => Template::read(item, reader).map(LogFormat::Template),
        }
    }

    fn write(&self) -> Out {
        match self {
            LogFormat::Json => Out::text("json"),
            LogFormat::Combined => Out::text("combined"),
            LogFormat::Alb => Out::text("alb"),
            LogFormat::Template(template) => match template.write() {
                Out::Text(text) if text.contains("${") => Out::Text(text),
                bare => Out::one("template", bare),
            },
        }
    }
}

impl Form for LogDestination {
    const WHAT: &'static str = "\"stdout\", \"file:PATH\" or \"syslog:ADDRESS\"";
    const ALONE: bool = true;

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        if matches!(item.content, Content::Table(_)) {
            return read_syslog(item, reader).map(LogDestination::Syslog);
        }
        let text = reader.text(item, Self::WHAT)?.text;
        match text.split_once(':') {
            None if text == "stdout" => Some(LogDestination::Stdout),
            Some(("file", path)) if !path.is_empty() => Some(LogDestination::File(path.to_owned())),
            Some(("syslog", address)) => {
                let to = address_of(address, item, reader)?;
                Some(LogDestination::Syslog(Syslog::new(to)))
            }
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
            LogDestination::Syslog(syslog) => write_syslog(syslog),
        }
    }
}

fn address_of(text: &str, item: &Item, reader: &mut Reader<'_>) -> Option<SyslogAddress> {
    let address = SyslogAddress::parse(text);
    if address.is_none() {
        let message = format!("`{text}` is not the address of a syslog server");
        let help =
            "write HOST:PORT, tcp@HOST:PORT, the path of a socket, stdout, stderr or fd@NUMBER";
        return reader.refuse(item.span, message, help);
    }
    address
}

const SYSLOG: &str = "a table with `syslog`, the address of a syslog server";

fn read_syslog(item: &Item, reader: &mut Reader<'_>) -> Option<Syslog> {
    let table = reader.keyed(item, SYSLOG, SYSLOG_KEYS)?;
    let address: Option<Spanned<String>> = table.required("syslog", reader);
    let entry = table.entry("syslog")?;
    let mut syslog = Syslog::new(address_of(&address?.value, &entry.item, reader)?);
    if let Some(form) = table.optional("format", reader) {
        syslog.form = form;
    }
    if let Some(facility) = table.optional("facility", reader) {
        syslog.facility = facility;
    }
    if let Some(level) = table.optional("max_level", reader) {
        syslog.max_level = level;
    }
    if let Some(level) = table.optional("min_level", reader) {
        syslog.min_level = level;
    }
    syslog.length = table.optional("length", reader);
    if let Some(framing) = table.optional("framing", reader) {
        syslog.framing = framing;
    }
    syslog.tag = table.optional("tag", reader);
    syslog.hostname = table.optional("hostname", reader);
    syslog.sample = table.optional("sample", reader);
    Some(syslog)
}

fn write_syslog(syslog: &Syslog) -> Out {
    let default = Syslog::new(syslog.to.clone());
    if *syslog == default {
        return Out::text(format!("syslog:{}", syslog.to));
    }
    let mut out = vec![("syslog".to_owned(), Out::text(syslog.to.to_string()))];
    let mut entry = |key: &str, differs: bool, value: Out| {
        if differs {
            out.push((key.to_owned(), value));
        }
    };
    entry("format", syslog.form != default.form, syslog.form.write());
    let facility = syslog.facility;
    entry("facility", facility != default.facility, facility.write());
    let (max, min) = (syslog.max_level, syslog.min_level);
    entry("max_level", max != default.max_level, max.write());
    entry("min_level", min != default.min_level, min.write());
    if let Some(length) = syslog.length {
        entry("length", true, length.write());
    }
    if let Some(tag) = &syslog.tag {
        entry("tag", true, Out::text(tag));
    }
    if let Some(hostname) = &syslog.hostname {
        entry("hostname", true, hostname.write());
    }
    if let Some(sample) = &syslog.sample {
        entry("sample", true, sample.write());
    }
    let framing = syslog.framing;
    entry("framing", framing != default.framing, framing.write());
    Out::Table(out)
}

macro_rules! model_words {
    ($($set:ty, $what:literal;)*) => {$(
        impl Form for $set {
            const WHAT: &'static str = $what;

            fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
                let text = reader.text(item, Self::WHAT)?.text;
                match Self::parse(text) {
                    Some(member) => Some(member),
                    None => {
                        let known = Self::ALL.iter().map(|it| it.as_str());
                        reader.unknown(item.span, "word", text, known)
                    }
                }
            }

            fn write(&self) -> Out {
                Out::text(self.as_str())
            }
        }
    )*};
}

model_words! {
    LogLevel, "a level";
    Facility, "a facility of syslog";
    SyslogForm, "a form of syslog messages";
    SyslogFraming, "line_feed or octet_count";
    RecordPart, "a part of a record, such as \"client\"";
}

impl Form for LogHostname {
    const WHAT: &'static str = "a host name, or true for that of this machine";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        match &item.content {
            Content::Boolean(true) => Some(LogHostname::Machine),
            Content::Text { .. } => String::read(item, reader).map(LogHostname::Named),
            _ => reader.wrong_type(item, Self::WHAT),
        }
    }

    fn write(&self) -> Out {
        match self {
            LogHostname::Machine => Out::Boolean(true),
            LogHostname::Named(name) => Out::text(name),
        }
    }
}

impl Form for Sample {
    const WHAT: &'static str = "positions and how many make a round, such as \"1,3-5:8\"";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.text(item, Self::WHAT)?.text;
        let sample = Sample::parse(text);
        if sample.is_none() {
            let message = format!("`{text}` does not say which messages are sent");
            return reader.refuse(item.span, message, &format!("write {}", Self::WHAT));
        }
        sample
    }

    fn write(&self) -> Out {
        Out::text(self.to_string())
    }
}

/// What `set_log` holds: a level, or whether the exchange is logged.
pub(crate) fn read_level(item: &Item, reader: &mut Reader<'_>) -> Option<Option<LogLevel>> {
    match item.content {
        Content::Boolean(false) => Some(None),
        Content::Boolean(true) => Some(Some(portway_model::defaults::ACCESS_LEVEL)),
        _ => LogLevel::read(item, reader).map(Some),
    }
}

/// As [`read_level`] reads it.
pub(crate) fn write_level(level: Option<LogLevel>) -> Out {
    match level {
        None => Out::Boolean(false),
        Some(portway_model::defaults::ACCESS_LEVEL) => Out::Boolean(true),
        Some(level) => level.write(),
    }
}

impl Form for CaptureCookie {
    const WHAT: &'static str = "a table with `name` and `length`";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        let table = reader.keyed(item, Self::WHAT, CAPTURE_COOKIE_KEYS)?;
        let (name, length) = (
            table.required("name", reader),
            table.required("length", reader),
        );
        Some(Self {
            name: name?,
            prefix: table.optional("prefix", reader).unwrap_or(false),
            length: length?,
        })
    }

    fn write(&self) -> Out {
        let mut out = vec![("name".to_owned(), Out::text(&self.name))];
        if self.prefix {
            out.push(("prefix".to_owned(), Out::Boolean(true)));
        }
        out.push(("length".to_owned(), self.length.write()));
        Out::Table(out)
    }
}
