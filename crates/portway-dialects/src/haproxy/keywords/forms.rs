//! What stands behind words that have no effect here: HAProxy refuses what it cannot read there, and so do we.

use super::super::sections::SectionKind;
use super::super::units::{self, Unit};
use super::super::{Reader, Word};
use super::ranges;
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::span::Span;

/// The arguments of a word.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// None.
    Nothing,
    /// One, whatever it says.
    One,
    /// So many at least.
    Least(usize),
    /// One number within these bounds. HAProxy takes the digits that it begins with, and 0 where there are none.
    Loose(i64, i64),
    /// One number within these bounds, and nothing else.
    Number(i64, i64),
    /// One time, a bare number in this unit.
    Time(Unit),
    /// A number of bytes.
    Size,
    /// A name, and an address with a port.
    Server,
    /// What was answered, and a time.
    Hold,
    /// One of these words.
    Of(&'static [&'static str]),
    /// As [`Form::Loose`], and not 0.
    NotZero(i64, i64),
    /// One time, and no other word.
    OneTime(Unit),
    /// Numbers of processes, of which there is one.
    Processes,
    /// Numbers of processes and threads, and of the processors they run on.
    Processors,
    /// Two names of a header that are the same but for case.
    Case,
    /// The name of a section of this kind.
    Section(SectionKind),
    /// A file that can be read.
    File,
    /// Words of `filter trace`.
    Trace,
}

const MOST: i64 = i32::MAX as i64;
/// What `hold` of resolvers may name.
const HELD: [&str; 6] = ["nx", "obsolete", "other", "refused", "timeout", "valid"];
const SWITCH: Form = Form::Of(&["on", "off"]);

/// Keywords of sections and of proxies. Every `option` takes nothing.
const KEYWORDS: &[(&str, Form)] = &[
    ("busy-polling", Form::Nothing),
    ("noepoll", Form::Nothing),
    ("noevports", Form::Nothing),
    ("nokqueue", Form::Nothing),
    ("nopoll", Form::Nothing),
    ("nosplice", Form::Nothing),
    ("nogetaddrinfo", Form::Nothing),
    ("noreuseport", Form::Nothing),
    ("quiet", Form::Nothing),
    ("set-dumpable", Form::Nothing),
    ("tune.ssl.force-private-cache", Form::Nothing),
    ("h1-accept-payload-with-any-method", Form::Nothing),
    ("h2-workaround-bogus-websocket-clients", Form::Nothing),
    ("insecure-fork-wanted", Form::Nothing),
    ("insecure-setuid-wanted", Form::Nothing),
    ("tune.pipesize", Form::One),
    ("tune.rcvbuf.client", Form::One),
    ("tune.rcvbuf.server", Form::One),
    ("tune.sndbuf.client", Form::One),
    ("tune.sndbuf.server", Form::One),
    ("tune.recv_enough", Form::One),
    ("tune.runqueue-depth", Form::One),
    ("tune.maxpollevents", Form::One),
    ("maxcomprate", Form::One),
    ("maxzlibmem", Form::One),
    ("maxpipes", Form::One),
    ("fd-hard-limit", Form::One),
    ("ulimit-n", Form::One),
    ("localpeer", Form::One),
    ("cluster-secret", Form::One),
    ("server-state-base", Form::Least(1)),
    ("server-state-file", Form::Least(1)),
    ("cpu-map", Form::Processors),
    ("h1-case-adjust", Form::Case),
    ("bind-process", Form::Processes),
    ("grace", Form::Time(Unit::Milliseconds)),
    ("ssl-dh-param-file", Form::File),
    ("ssl-propquery", Form::One),
    ("ssl-provider", Form::One),
    ("thread-groups", Form::Loose(1, 1)),
    ("tune.maxaccept", Form::Loose(-1, MOST)),
    ("tune.ssl.cachesize", Form::Loose(0, MOST)),
    ("tune.ssl.maxrecord", Form::Loose(0, MOST)),
    ("tune.ssl.capture-buffer-size", Form::Loose(0, MOST)),
    ("tune.ssl.default-dh-param", Form::Loose(1_024, MOST)),
    ("tune.h2.header-table-size", Form::Loose(4_096, 65_536)),
    ("tune.h2.max-frame-size", Form::Loose(16_384, 16_777_215)),
    ("tune.pattern.cache-size", Form::Loose(0, MOST)),
    ("tune.pool-high-fd-ratio", Form::Loose(0, 100)),
    ("tune.pool-low-fd-ratio", Form::Loose(0, 100)),
    ("tune.comp.maxlevel", Form::Loose(1, 9)),
    ("maxcompcpuusage", Form::Loose(0, 100)),
    ("max-keep-alive-queue", Form::Number(i64::MIN, i64::MAX)),
    ("tune.ssl.lifetime", Form::OneTime(Unit::Seconds)),
    ("tune.idletimer", Form::OneTime(Unit::Milliseconds)),
    ("close-spread-time", Form::Time(Unit::Milliseconds)),
    ("max-spread-checks", Form::OneTime(Unit::Milliseconds)),
    ("tcp-response inspect-delay", Form::Time(Unit::Milliseconds)),
    ("tune.vars.global-max-size", Form::Size),
    ("tune.vars.proc-max-size", Form::Size),
    ("tune.vars.reqres-max-size", Form::Size),
    ("tune.vars.sess-max-size", Form::Size),
    ("tune.vars.txn-max-size", Form::Size),
    ("tune.idle-pool.shared", SWITCH),
    ("tune.listener.multi-queue", SWITCH),
    ("tune.sched.low-latency", SWITCH),
    ("filter cache", Form::Section(SectionKind::Cache)),
    ("filter trace", Form::Trace),
    (
        "httpclient.resolvers.id",
        Form::Section(SectionKind::Resolvers),
    ),
    ("profiling.tasks", Form::Of(&["on", "auto", "off"])),
    ("httpclient.ssl.verify", Form::Of(&["none", "required"])),
    ("httpclient.resolvers.prefer", Form::Of(&["ipv4", "ipv6"])),
    (
        "load-server-state-from-file",
        Form::Of(&["global", "local", "none"]),
    ),
    // Of the section `resolvers`.
    ("nameserver", Form::Server),
    ("hold", Form::Hold),
    ("resolve_retries", Form::One),
    ("accepted_payload_size", Form::Loose(12, 65_535)),
    ("timeout resolve", Form::Time(Unit::Milliseconds)),
    ("timeout retry", Form::Time(Unit::Milliseconds)),
    ("parse-resolv-conf", Form::Nothing),
];

/// Options of `bind` and `server`: of their one value. Others say how many words they take, and nothing else.
const OPTIONS: &[(&str, Form)] = &[
    ("mss", Form::NotZero(-65_535, 65_535)),
    ("shards", Form::Of(&["by-thread"])),
    ("severity-output", Form::Of(&["none", "number", "string"])),
    ("ws", Form::Of(&["auto", "h1", "h2"])),
];

/// Actions of rules.
const ACTIONS: &[(&str, Form)] = &[
    ("strict-mode", SWITCH),
    ("set-nice", Form::One),
    ("cache-use", Form::Section(SectionKind::Cache)),
    ("cache-store", Form::Section(SectionKind::Cache)),
    ("wait-for-handshake", Form::Nothing),
];

/// Holds what follows a keyword; `words` are all of them to the end of the line.
pub(super) fn keyword(name: &str, span: Span, words: &[Word], reader: &mut Reader<'_>) {
    let form = match name.starts_with("option ") {
        true => Some(Form::Nothing),
        false => find(KEYWORDS, name),
    };
    if let Some(form) = form {
        hold(form, name, span, words, reader);
    }
}

/// Holds the value of an option.
pub(super) fn option(name: &Word, words: &[Word], reader: &mut Reader<'_>) {
    let number = words
        .first()
        .is_some_and(|word| word.as_str().parse::<u16>().is_ok_and(|it| it > 0));
    if name.as_str() == "shards" && number {
        return;
    }
    if let Some(word) = words.first()
        && let Err(message) = ranges::of_option(name.as_str(), word.as_str())
    {
        reader.error(Code::OutOfRange, word.span, message);
        return;
    }
    if let Some(form) = find(OPTIONS, name.as_str()) {
        hold(form, name.as_str(), name.span, words, reader);
    }
}

/// Holds what follows an action, without its condition.
pub(super) fn action(name: &Word, words: &[Word], reader: &mut Reader<'_>) {
    let end = words
        .iter()
        .position(|word| matches!(word.as_str(), "if" | "unless"));
    let words = words.get(..end.unwrap_or(words.len())).unwrap_or_default();
    if let Some(form) = find(ACTIONS, name.as_str()) {
        hold(form, name.as_str(), name.span, words, reader);
    }
}

fn find(table: &[(&str, Form)], name: &str) -> Option<Form> {
    table
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, form)| *form)
}

fn hold(form: Form, name: &str, span: Span, words: &[Word], reader: &mut Reader<'_>) {
    let (least, most) = match form {
        Form::Nothing => (0, 0),
        Form::Least(least) => (least, usize::MAX),
        Form::Server | Form::Hold | Form::Processors => (2, usize::MAX),
        Form::Case => (2, 2),
        Form::Processes | Form::Trace => (0, usize::MAX),
        // HAProxy does not look behind some of them.
        Form::Number(..) | Form::Time(_) | Form::Size => (1, usize::MAX),
        _ => (1, 1),
    };
    if words.len() < least {
        let what = if least == 1 { "a value" } else { "two values" };
        reader.error(Code::Missing, span, format!("`{name}` needs {what}"));
        return;
    }
    if let Some(extra) = words.get(most) {
        let message = format!("`{name}` takes no `{}`", extra.text);
        reader.error(Code::Syntax, extra.span, message);
        return;
    }
    let Some(word) = words.first() else {
        return;
    };
    match form {
        Form::Hold | Form::Server => of_resolvers(form, span, words, reader),
        Form::Processes | Form::Processors => processes(form, span, words, reader),
        Form::Trace => trace(words, reader),
        Form::Case => same_but_case(word, words.get(1), reader),
        _ => value(form, name, word, reader),
    }
}

/// Holds the one value of a word.
fn value(form: Form, name: &str, word: &Word, reader: &mut Reader<'_>) {
    match form {
        Form::Loose(least, most) => bounded(digits(word.as_str()), (least, most), word, reader),
        Form::Number(least, most) => {
            bounded(word.as_str().parse().ok(), (least, most), word, reader);
        }
        Form::NotZero(least, most) => {
            let number = digits(word.as_str()).filter(|number| *number != 0);
            bounded(number, (least, most), word, reader);
        }
        Form::Section(kind) => {
            let asked = (kind, word.spanned(word.text.clone()));
            reader.asked_sections.push(asked);
        }
        Form::File => readable(word, reader),
        Form::Time(unit) | Form::OneTime(unit) => {
            units::duration(word, unit, reader);
        }
        Form::Size => {
            units::size(word, reader);
        }
        Form::Of(known) if !known.contains(&word.as_str()) => {
            let what = format!("value of `{name}`");
            let found = crate::unknown_word(word.span, &what, word.as_str(), known.iter().copied());
            reader.push(found);
        }
        _ => {}
    }
}

/// Holds what stands behind `hold` and `nameserver`.
fn of_resolvers(form: Form, span: Span, words: &[Word], reader: &mut Reader<'_>) {
    let (Some(word), second) = (words.first(), words.get(1)) else {
        return;
    };
    if let Form::Server = form {
        nameserver(word, reader);
        let address = second.map_or("", Word::as_str);
        if !address.starts_with('/') && !address.contains(':') {
            let span = second.map_or(span, |word| word.span);
            let message = format!("there is no port in `{address}`");
            reader.error(Code::Missing, span, message);
        }
        return;
    }
    if !HELD.contains(&word.as_str()) {
        let what = "answer that `hold` is for";
        reader.push(crate::unknown_word(word.span, what, word.as_str(), HELD));
    }
    if let Some(time) = second {
        units::duration(time, Unit::Milliseconds, reader);
    }
}

/// Holds numbers of processes and threads.
fn processes(form: Form, span: Span, words: &[Word], reader: &mut Reader<'_>) {
    if let Form::Processors = form {
        if let Err((index, message)) = ranges::map(words.iter().map(Word::as_str)) {
            let span = words.get(index).map_or(span, |word| word.span);
            reader.error(Code::OutOfRange, span, message);
        }
        return;
    }
    for word in words.iter().take_while(|word| word.as_str() != "all") {
        if let Err(message) = ranges::process(word.as_str()) {
            reader.error(Code::OutOfRange, word.span, message);
            return;
        }
    }
}

fn same_but_case(word: &Word, other: Option<&Word>, reader: &mut Reader<'_>) {
    let other = other.map_or("", Word::as_str);
    if !word.as_str().eq_ignore_ascii_case(other) {
        let message = format!("`{}` and `{other}` may differ in case alone", word.text);
        reader.error(Code::Conflict, word.span, message);
    }
}

fn readable(word: &Word, reader: &mut Reader<'_>) {
    let path = reader.path(word.as_str(), word.span);
    if let Err(why) = (reader.inputs.read)(&path) {
        let message = format!("cannot read `{path}`: {why}");
        reader.error(Code::Unreadable, word.span, message);
    }
}

/// Holds what a `filter trace` is told.
fn trace(words: &[Word], reader: &mut Reader<'_>) {
    const KNOWN: [&str; 5] = [
        "name",
        "quiet",
        "random-parsing",
        "random-forwarding",
        "hexdump",
    ];
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if !KNOWN.contains(&word.as_str()) {
            let what = "word of `filter trace`";
            reader.push(crate::unknown_word(word.span, what, word.as_str(), KNOWN));
            return;
        }
        if word.as_str() == "name" && words.next().is_none() {
            reader.error(Code::Missing, word.span, "`name` needs a value");
        }
    }
}

/// Holds the name of a nameserver, which has one place in its section.
fn nameserver(name: &Word, reader: &mut Reader<'_>) {
    let odd = |letter: &char| !letter.is_ascii_alphanumeric() && !"-_.:".contains(*letter);
    if let Some(odd) = name.as_str().chars().find(odd) {
        let message = format!("`{}` is no name: it may not have `{odd}`", name.text);
        reader.error(Code::Syntax, name.span, message);
    }
    if reader.nameservers.contains(&name.text) {
        let message = format!("there is a nameserver `{}` already", name.text);
        reader.error(Code::Duplicate, name.span, message);
    }
    reader.nameservers.push(name.text.clone());
}

/// The number that a text begins with, as atol(3) has it.
fn digits(text: &str) -> Option<i64> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let end = rest.find(|letter: char| !letter.is_ascii_digit());
    let number = rest.get(..end.unwrap_or(rest.len()))?;
    match number {
        "" => Some(0),
        number => Some(sign * number.parse::<i64>().unwrap_or(i64::MAX)),
    }
}

fn bounded(number: Option<i64>, (least, most): (i64, i64), word: &Word, reader: &mut Reader<'_>) {
    if number.is_some_and(|number| (least..=most).contains(&number)) {
        return;
    }
    let message = match (least, most) {
        (i64::MIN, _) => format!("`{}` is not a number", word.text),
        _ => format!("`{}` is not a number from {least} to {most}", word.text),
    };
    reader.push(Diagnostic::error(Code::OutOfRange, word.span, message));
}
