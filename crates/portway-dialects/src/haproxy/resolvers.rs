//! The section `resolvers`: servers of names, and how long their answers count.
//!
//! What HAProxy refuses in its lines is refused when they are gathered (`keywords`); here they are taken for what they mean.

use super::sections::{Section, SectionKind};
use super::units::{self, Unit};
use super::{Line, Reader, Word};
use portway_model::diagnostic::Code;
use portway_model::resolution::{Family, ResolutionDraft};
use portway_model::span::Spanned;
use std::net::SocketAddr;
use std::time::Duration;

/// Time between two look-ups of a name (`timeout resolve`): HAProxy's default. It does not look at TTLs.
const RESOLVE: Duration = Duration::from_secs(1);
/// Time for one answer (`timeout retry`).
const RETRY: Duration = Duration::from_secs(1);
/// Questions to each server (`resolve_retries`).
const RETRIES: u16 = 3;
/// How long the last good answer counts while there is no other (`hold`).
const HOLD: Duration = Duration::from_secs(30);
/// Bytes of an answer (`accepted_payload_size`).
const PAYLOAD: u16 = 512;

/// The section that HAProxy makes of the machine's own servers where there is none of this name.
const DEFAULT: &str = "default";

/// The settings of one section.
#[derive(Debug, Clone)]
pub(crate) struct Resolvers {
    name: String,
    settings: ResolutionDraft,
}

/// Reads every section `resolvers`, for servers that name them.
pub(crate) fn read(sections: &[Section], reader: &mut Reader<'_>) {
    let of_names = sections
        .iter()
        .filter(|it| it.kind == SectionKind::Resolvers);
    for section in of_names {
        let read = Resolvers {
            name: section.header.text(1).to_owned(),
            settings: settings(&section.lines, reader),
        };
        reader.resolvers.push(read);
    }
    let is_default = |it: &Resolvers| it.name == DEFAULT;
    if !reader.resolvers.iter().any(is_default) {
        reader.resolvers.push(Resolvers {
            name: DEFAULT.to_owned(),
            settings: defaults(),
        });
    }
}

/// How servers that name this section are resolved; `None`: there is none, which is said elsewhere.
pub(crate) fn named(name: &Spanned<String>, reader: &Reader<'_>) -> Option<ResolutionDraft> {
    let mut all = reader.resolvers.iter();
    let found = all.find(|it| it.name == name.value)?;
    let prefer = Some(Spanned::new(Family::Ipv6, name.span));
    Some(ResolutionDraft {
        prefer,
        ..found.settings.clone()
    })
}

fn defaults() -> ResolutionDraft {
    let hold = Some(Spanned::bare(HOLD));
    ResolutionDraft {
        attempts: Some(Spanned::bare(RETRIES)),
        timeout: Some(Spanned::bare(RETRY)),
        min_ttl: Some(Spanned::bare(RESOLVE)),
        max_ttl: Some(Spanned::bare(RESOLVE)),
        payload_size: Some(Spanned::bare(PAYLOAD)),
        hold_missing: hold,
        hold_refused: hold,
        hold_timeout: hold,
        hold_other: hold,
        ..ResolutionDraft::default()
    }
}

fn settings(lines: &[Line], reader: &mut Reader<'_>) -> ResolutionDraft {
    let mut read = defaults();
    let mut servers: Vec<Spanned<SocketAddr>> = Vec::new();
    let mut of_machine = None;
    for line in lines {
        let time = |at: usize| {
            let word = line.word(at)?;
            let (time, _) = units::parse_duration(word.as_str(), Unit::Milliseconds).ok()?;
            Some(word.spanned(time))
        };
        let number = |at: usize| {
            let word = line.word(at)?;
            Some(word.spanned(word.as_str().parse::<u16>().ok()?))
        };
        match (line.text(0), line.text(1)) {
            ("nameserver", _) => servers.extend(line.word(2).and_then(|it| server(it, reader))),
            ("parse-resolv-conf", _) => of_machine = Some(line.span),
            ("resolve_retries", _) => read.attempts = number(1).or(read.attempts),
            ("accepted_payload_size", _) => {
                let least = |it: Spanned<u16>| it.map(|bytes| bytes.max(PAYLOAD));
                read.payload_size = number(1).map(least).or(read.payload_size);
            }
            ("timeout", "resolve") => {
                let resolve = time(2).or(read.max_ttl);
                (read.min_ttl, read.max_ttl) = (resolve, resolve);
            }
            ("timeout", "retry") => read.timeout = time(2).or(read.timeout),
            ("hold", "nx") => read.hold_missing = time(2).or(read.hold_missing),
            ("hold", "refused") => read.hold_refused = time(2).or(read.hold_refused),
            ("hold", "timeout") => read.hold_timeout = time(2).or(read.hold_timeout),
            ("hold", "other") => read.hold_other = time(2).or(read.hold_other),
            ("hold", "obsolete") => read.hold_obsolete = time(2).or(read.hold_obsolete),
            // `hold valid` is about look-ups that rules ask for.
            _ => {}
        }
    }
    if let (Some(_), Some(span)) = (servers.first(), of_machine) {
        let message =
            "`parse-resolv-conf` has no effect beside `nameserver`: those are asked alone";
        reader.warn(Code::NotRun, span, message);
    }
    if let Some(first) = servers.first() {
        let span = first.span;
        read.nameservers = Some(Spanned::new(servers, span));
    }
    read
}

/// The address of `nameserver`.
fn server(word: &Word, reader: &mut Reader<'_>) -> Option<Spanned<SocketAddr>> {
    let text = word.as_str();
    let (family, address) = text.split_once('@').unwrap_or(("", text));
    let over_tcp = family.starts_with("tcp");
    if over_tcp {
        let message = format!(
            "`{text}`: servers of names are asked over UDP, and over TCP where an answer does not fit"
        );
        reader.error(Code::NotRun, word.span, message);
        return None;
    }
    match address.parse() {
        Ok(address) => Some(word.spanned(address)),
        // One without a port was told of.
        Err(_) if !text.contains(':') && !text.starts_with('/') => None,
        Err(_) => {
            let message = format!("`{text}` is no address and port of a server of names");
            reader.error(Code::NotRun, word.span, message);
            None
        }
    }
}
