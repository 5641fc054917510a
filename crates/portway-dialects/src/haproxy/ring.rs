//! The section `ring`: servers of syslog over TCP, for `log ring@NAME`.
//!
//! HAProxy keeps messages in a ring in memory, which its servers read. Here they go to the servers by themselves, and wait
//! for each as messages for any syslog server over TCP do.

use super::proxy::{LENGTHS, known};
use super::sections::{Section, SectionKind};
use super::{Line, Reader, Word, units};
use portway_model::defaults;
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::log::{Syslog, SyslogAddress, SyslogForm, SyslogFraming};
use portway_model::span::{Span, Spanned};

/// Which words `log-proto` knows.
const FRAMINGS: &[(&str, SyslogFraming)] = &[
    ("legacy", SyslogFraming::LineFeed),
    ("octet-count", SyslogFraming::OctetCount),
];

/// The settings of one section.
#[derive(Debug, Clone)]
pub(crate) struct Ring {
    name: String,
    span: Span,
    form: SyslogForm,
    /// Bytes of a message at most; `None`: as the `log` line says.
    length: Option<u16>,
    servers: Vec<(SyslogAddress, SyslogFraming)>,
}

/// Reads every section `ring`, for lines that name them.
pub(crate) fn read(sections: &[Section], reader: &mut Reader<'_>) {
    for section in sections.iter().filter(|it| it.kind == SectionKind::Ring) {
        let (name, span) = (section.header.text(1), section.header.span);
        if let Some(first) = reader.rings.iter().find(|it| it.name == name) {
            let message = format!("there are two rings `{name}`");
            let wrong = Diagnostic::error(Code::Duplicate, span, message);
            let wrong = wrong.label(first.span, "the first is here");
            reader.push(wrong);
            continue;
        }
        let mut ring = Ring {
            name: name.to_owned(),
            span,
            form: SyslogForm::Raw,
            length: None,
            servers: Vec::new(),
        };
        for line in &section.lines {
            match line.text(0) {
                "format" => ring.form = format(line, reader).unwrap_or(ring.form),
                "maxlen" => ring.length = length(line, reader),
                _ => ring.servers.extend(server(line, reader)),
            }
        }
        reader.rings.push(ring);
    }
}

/// The destinations that a `log` line to the ring of this name means: each of its servers gets every message.
pub(crate) fn destinations(
    word: &Word,
    name: &str,
    line: &Spanned<Syslog>,
    reader: &mut Reader<'_>,
) -> Vec<Spanned<Syslog>> {
    let Some(ring) = reader.rings.iter().find(|it| it.name == name) else {
        let message = format!("there is no section `ring {name}`");
        let wrong = Diagnostic::error(Code::UnknownReference, word.span, message);
        let known: Vec<&str> = reader.rings.iter().map(|it| it.name.as_str()).collect();
        let wrong = wrong.nearest(name, known);
        reader.push(wrong);
        return Vec::new();
    };
    if ring.servers.is_empty() {
        let message = format!(
            "the ring `{name}` has no server: messages that only `show events` would show are not kept"
        );
        let wrong = Diagnostic::error(Code::NotRun, word.span, message);
        let wrong = wrong
            .label(ring.span, "the ring is here")
            .help("add `server NAME ADDRESS:PORT` to it, or take this line out");
        reader.push(wrong);
        return Vec::new();
    }
    let asked = line.value.length.unwrap_or(defaults::SYSLOG_LENGTH);
    let of_server = |(to, framing): &(SyslogAddress, SyslogFraming)| {
        let syslog = Syslog {
            to: to.clone(),
            framing: *framing,
            form: ring.form,
            length: ring
                .length
                .map_or(line.value.length, |it| Some(it.min(asked))),
            ..line.value.clone()
        };
        Spanned::new(syslog, line.span)
    };
    ring.servers.iter().map(of_server).collect()
}

fn format(line: &Line, reader: &mut Reader<'_>) -> Option<SyslogForm> {
    let Some(word) = line.word(1) else {
        reader.error(
            Code::Missing,
            line.span,
            "`format` needs a format of messages",
        );
        return None;
    };
    known(
        word,
        "format of `ring`",
        SyslogForm::ALL,
        SyslogForm::as_str,
        reader,
    )
}

fn length(line: &Line, reader: &mut Reader<'_>) -> Option<u16> {
    let Some(word) = line.word(1) else {
        reader.error(Code::Missing, line.span, "`maxlen` needs a number of bytes");
        return None;
    };
    let length = units::loose_number(word, 1, u32::MAX.into(), reader)?;
    u16::try_from(length.clamp(LENGTHS.0, LENGTHS.1)).ok()
}

/// `server NAME ADDRESS:PORT [log-proto legacy|octet-count]`.
fn server(line: &Line, reader: &mut Reader<'_>) -> Option<(SyslogAddress, SyslogFraming)> {
    let Some(address) = line.word(2) else {
        let message = "`server` needs a name and an address with a port";
        reader.error(Code::Missing, line.span, message);
        return None;
    };
    let text = super::address::expanded(address.as_str(), reader);
    let text = text.strip_prefix("tcp@").unwrap_or(&text);
    let to = has_port(text).then(|| SyslogAddress::parse(&format!("tcp@{text}")));
    let Some(to) = to.flatten() else {
        let message = format!("`{text}` is not the address of a server of syslog over TCP");
        let wrong = Diagnostic::error(Code::WrongType, address.span, message);
        reader.push(wrong.help("write `ADDRESS:PORT`, such as `10.0.0.9:514`"));
        return None;
    };
    let mut framing = SyslogFraming::LineFeed;
    let mut at = 3;
    while let Some(word) = line.word(at) {
        if word.as_str() != "log-proto" {
            let message = format!("`{}` of a server of a ring is not done yet", word.text);
            let wrong = Diagnostic::error(Code::NotRun, word.span, message);
            reader.push(wrong.help("`log-proto` is the one option that runs: take this out"));
            return None;
        }
        let said = line.word(at + 1);
        let Some(said) = said else {
            let message = "`log-proto` needs `legacy` or `octet-count`";
            reader.error(Code::Missing, word.span, message);
            return None;
        };
        let found = FRAMINGS.iter().find(|(name, _)| *name == said.as_str());
        let Some((_, found)) = found else {
            let names = FRAMINGS.iter().map(|(name, _)| *name);
            let what = "value of `log-proto`";
            reader.push(crate::unknown_word(said.span, what, said.as_str(), names));
            return None;
        };
        framing = *found;
        at += 2;
    }
    Some((to, framing))
}

/// HAProxy knows no port that it would take where none is said.
fn has_port(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        let port = port.parse::<u16>().is_ok_and(|it| it > 0);
        port && (!host.contains(':') || host.ends_with(']'))
    })
}
