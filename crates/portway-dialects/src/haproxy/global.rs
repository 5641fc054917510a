//! The section `global`: what concerns the process as a whole, and what proxies take from it where they say nothing.
//!
//! A configuration may have several; what is said again replaces what was said. The environment and `default-path`
//! were done while the text was taken apart.

use super::lower::Base;
use super::place::Place;
use super::proxy::{
    Versions, is_node, log_targets, node_fault, of_files_only, on_or_off, permissions, version,
    version_flag,
};
use super::reader::Reader;
use super::sections::{Section, SectionKind};
use super::units::{self, Unit};
use super::word::{Line, Modifier, Word};
use super::{address, keywords, sample, variable};
use keywords::OptionOf;
use portway_model::address::BindAddress;
use portway_model::compile::limits::{
    MAX_HEAD_FIELDS, MAX_HTTP2_STREAMS, MAX_HTTP2_WINDOW, MAX_PIPES, MIN_HTTP2_WINDOW,
};
use portway_model::defaults::TARGET_BYTES;
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::draft::{ControlSocketDraft, Draft, ProcessDraft};
use portway_model::expression::{Scope, Template, TemplatePart};
use portway_model::log::LogHostname;
use portway_model::settings::ControlLevel;
use portway_model::span::{Span, Spanned};
use std::time::Duration;

/// Workers at most, as many as HAProxy's threads.
const MAX_THREADS: u64 = 64;
/// Percent of `spread-checks` at most, as in HAProxy.
const MOST_SPREAD: u64 = 50;
/// Bytes of a buffer where nothing is said (`tune.bufsize`), HAProxy's.
const BUFFER: u32 = 16_384;
/// What a head leaves free of a buffer where nothing is said (`tune.maxrewrite`), HAProxy's.
const REWRITE: u32 = 1_024;

/// What the sections say, beside what goes into the draft.
#[derive(Debug, Default)]
pub(crate) struct Global {
    /// For the proxies.
    pub(crate) base: Base,
    /// Bytes of a buffer.
    buffer: Option<Spanned<u32>>,
    /// Bytes of it that are kept free of heads.
    rewrite: Option<Spanned<u32>>,
    /// Fields of a head at most.
    head_fields: Option<Spanned<u16>>,
    /// Streams of HTTP/2 at a time.
    streams: Option<Spanned<u32>>,
    /// The window of such a stream.
    window: Option<Spanned<u32>>,
}

/// `set-var proc.NAME EXPRESSION`, `set-var-fmt proc.NAME FORMAT`.
fn variable(line: &Line, process: &mut ProcessDraft, reader: &mut Reader<'_>) {
    let (Some(name), Some(value)) = (line.word(1), line.word(2)) else {
        let message = format!("`{}` needs a variable and a value", line.text(0));
        let help = "write for example `set-var proc.limit int(10)`";
        reader.push(Diagnostic::error(Code::Missing, line.span, message).help(help));
        return;
    };
    if let Some(extra) = line.word(3) {
        let message = format!("`{}` stands behind the value and is not read", extra.text);
        reader.warn(Code::Syntax, extra.span, message);
    }
    let variable = match variable::variable(name.as_str()) {
        Ok(variable) if variable.scope == Scope::Process => variable,
        Ok(_) => {
            let message = format!("`{}` does not begin with `proc.`", name.text);
            reader.error(Code::WrongPhase, name.span, message);
            return;
        }
        Err(why) => {
            reader.error(Code::Unknown, name.span, why);
            return;
        }
    };
    let written = match line.text(0) {
        "set-var" => {
            let expression = sample::expression(value, Place::START, reader);
            expression.map(|it| Template(vec![TemplatePart::Expression(it)]))
        }
        _ => super::proxy::set_var::format(value, Place::START, reader),
    };
    if let Some(written) = written {
        let name = Spanned::new(variable.name, name.span);
        process
            .variables
            .push((name, Spanned::new(written, value.span)));
    }
}

/// Reads every `global` section: the process' settings into the draft, the rest given back.
pub(crate) fn read(sections: &[Section], draft: &mut Draft, reader: &mut Reader<'_>) -> Global {
    let mut global = Global::default();
    let mut first = None;
    for section in sections {
        first.get_or_insert(section.header.span);
        if section.kind != SectionKind::Global {
            continue;
        }
        if let Some(extra) = section.header.word(1) {
            reader.error(Code::Syntax, extra.span, "`global` has no name");
        }
        for line in &section.lines {
            global.line(line, &mut draft.process, reader);
        }
    }
    global.paths(first, reader);
    global
}

impl Global {
    /// Limits of every listener that the lines of proxies do not set.
    pub(crate) fn finish(&self, draft: &mut Draft, reader: &mut Reader<'_>) {
        let head = self.head_bytes(reader);
        for listener in &mut draft.listeners {
            if let Some(head) = head {
                listener.head_bytes.get_or_insert(head);
                // All of a buffer may be the URI.
                if head.value > TARGET_BYTES {
                    listener.target_bytes.get_or_insert(head);
                }
            }
            listener.head_fields = listener.head_fields.or(self.head_fields);
            if listener.protocol.is_some_and(|it| it.value.is_http()) {
                listener.http2.max_streams = self.streams;
                listener.http2.initial_window = self.window;
            }
        }
    }

    /// Bytes of a head, where something is said of buffers.
    fn head_bytes(&self, reader: &mut Reader<'_>) -> Option<Spanned<u32>> {
        let span = self.buffer.or(self.rewrite)?.span;
        let buffer = self.buffer.map_or(BUFFER, |it| it.value);
        let rewrite = self.rewrite.map_or(REWRITE, |it| it.value);
        let head = buffer.checked_sub(rewrite).filter(|head| *head > 0);
        if head.is_none() {
            let message = "`tune.maxrewrite` leaves nothing of `tune.bufsize` for heads";
            reader.error(Code::Conflict, span, message);
        }
        head.map(|head| Spanned::new(head, span))
    }

    fn line(&mut self, line: &Line, process: &mut ProcessDraft, reader: &mut Reader<'_>) {
        match line.text(0) {
            "nbthread" => {
                let count = number(line, 1, MAX_THREADS, reader);
                process.workers = count.map(|it| it.map(|it| u16::try_from(it).unwrap_or(1)));
            }
            "maxconn" => {
                let count = count(line, reader);
                process.max_connections = count.filter(|count| count.value > 0);
            }
            "maxconnrate" => process.max_connection_rate = count(line, reader),
            "maxsessrate" => process.max_session_rate = count(line, reader),
            "maxpipes" => {
                // 0 is the default in HAProxy, and `nosplice` counts wherever it stands.
                let count = count(line, reader).filter(|count| count.value > 0);
                let count = count.map(|it| it.map(|count| count.min(MAX_PIPES)));
                if process.max_pipes.is_none_or(|it| it.value > 0) {
                    process.max_pipes = count;
                }
            }
            "nosplice" => {
                no_argument(line, 1, reader);
                process.max_pipes = Some(Spanned::new(0, line.span));
            }
            "maxsslrate" => process.max_tls_rate = count(line, reader),
            "maxsslconn" => process.max_tls_connections = count(line, reader),
            "user" | "uid" => process.user = identity(line, reader),
            "group" | "gid" => process.group = identity(line, reader),
            "chroot" => process.chroot = text(line, reader),
            "pidfile" => process.pid_file = text(line, reader),
            "daemon" => {
                no_argument(line, 1, reader);
                process.daemon = Some(Spanned::new(true, line.span));
            }
            "master-worker" => {
                if let Some(word) = line
                    .word(1)
                    .filter(|word| word.text != "no-exit-on-failure")
                {
                    let known = ["no-exit-on-failure"];
                    let what = "word of `master-worker`";
                    reader.push(crate::unknown_word(word.span, what, &word.text, known));
                } else if let Some(word) = line.word(1) {
                    no_argument(line, 2, reader);
                    let message = format!(
                        "`{}` has no effect here: a master ends with its worker",
                        word.text
                    );
                    reader.warn(Code::NotRun, word.span, message);
                }
                process.master = Some(Spanned::new(true, line.span));
            }
            "mworker-max-reloads" => process.max_reloads = count(line, reader),
            "expose-experimental-directives" => {
                no_argument(line, 1, reader);
                reader.experimental = true;
            }
            "strict-limits" => {
                no_argument(line, 1, reader);
                let strict = line.modifier != Modifier::No;
                process.strict_limits = Some(Spanned::new(strict, line.span));
            }
            "set-var" | "set-var-fmt" => variable(line, process, reader),
            "node" => {
                process.node = text(line, reader);
                if let Some(name) = line.word(1).filter(|name| !is_node(&name.text)) {
                    node_fault(name, reader);
                }
            }
            "description" => {
                let words: Vec<&str> = line.from(1).iter().map(Word::as_str).collect();
                process.description = Some(Spanned::new(words.join(" "), line.span));
            }
            "hard-stop-after" => {
                let word = value(line, reader);
                let time = word.and_then(|word| {
                    let time = units::duration(word, Unit::Milliseconds, reader)?;
                    Some(word.spanned(time))
                });
                process.shutdown_deadline = time;
            }
            "log" => self.log(line, reader),
            "log-tag" => self.base.log_tag = text(line, reader).map(|it| it.value),
            "log-send-hostname" => {
                self.base.log_hostname = Some(match line.text(1) {
                    "" => LogHostname::Machine,
                    name => LogHostname::Named(name.to_owned()),
                });
            }
            "spread-checks" => {
                let word = value(line, reader);
                let percent = word.and_then(|word| {
                    let percent = units::loose_number(word, 0, MOST_SPREAD, reader)?;
                    Some(word.spanned(u16::try_from(percent).unwrap_or_default()))
                });
                self.base.jitter_percent = percent;
            }
            "stats" => stats(line, process, reader),
            "tune.bufsize" => self.buffer = bytes(line, reader),
            "tune.maxrewrite" => self.rewrite = bytes(line, reader),
            "tune.h2.max-concurrent-streams" => {
                // 0 is no limit in HAProxy.
                let streams = of_http2(line, (1, MAX_HTTP2_STREAMS), reader);
                let all = |it: u32| if it == 0 { MAX_HTTP2_STREAMS } else { it };
                self.streams = streams.map(|it| it.map(all));
            }
            "tune.h2.initial-window-size" => {
                let range = (MIN_HTTP2_WINDOW, MAX_HTTP2_WINDOW);
                let window = of_http2(line, range, reader);
                self.window = window.map(|it| it.map(|it| it.max(MIN_HTTP2_WINDOW)));
            }
            "tune.http.maxhdr" => self.head_fields = head_fields(line, reader),
            _ => self.tls(line, reader),
        }
    }

    fn log(&mut self, line: &Line, reader: &mut Reader<'_>) {
        if line.modifier != Modifier::None {
            self.base.logs.clear();
            return;
        }
        self.base.logs.extend(log_targets(line, reader));
    }

    fn tls(&mut self, line: &Line, reader: &mut Reader<'_>) {
        let base = &mut self.base;
        match line.text(0) {
            "ca-base" => base.ca_base = based(base.ca_base.is_some(), line, reader),
            "crt-base" => base.crt_base = based(base.crt_base.is_some(), line, reader),
            "ssl-default-bind-ciphers" => base.bind_ciphers = text(line, reader),
            "ssl-default-bind-curves" => base.bind_curves = text(line, reader),
            "ssl-default-bind-ciphersuites" => base.bind_ciphersuites = text(line, reader),
            "ssl-default-bind-options" => {
                tls_options(&mut base.bind_options, OptionOf::Bind, line, reader);
            }
            "ssl-default-server-ciphers" => base.server_ciphers = text(line, reader),
            "ssl-default-server-ciphersuites" => base.server_ciphersuites = text(line, reader),
            "ssl-default-server-options" => {
                tls_options(&mut base.server_options, OptionOf::Server, line, reader);
            }
            "ssl-load-extra-del-ext" => {
                no_argument(line, 1, reader);
                base.cut_extension = true;
            }
            "ssl-load-extra-files" => extra_files(base, line, reader),
            "tune.ssl.ocsp-update.maxdelay" | "ocsp-update.maxdelay" => {
                base.ocsp_updates.max_delay = seconds(line, reader);
            }
            "tune.ssl.ocsp-update.mindelay" | "ocsp-update.mindelay" => {
                base.ocsp_updates.min_delay = seconds(line, reader);
            }
            "ocsp-update.mode" => {
                base.ocsp_updates.mode =
                    value(line, reader).and_then(|word| on_or_off(word, reader));
            }
            "ssl-server-verify" => {
                let Some(word) = value(line, reader) else {
                    return;
                };
                match word.as_str() {
                    "none" => base.verify_none = true,
                    "required" => base.verify_none = false,
                    other => {
                        let known = ["none", "required"];
                        let what = "value of `ssl-server-verify`";
                        reader.push(crate::unknown_word(word.span, what, other, known));
                    }
                }
            }
            other => {
                // A keyword in state `Supported` that nothing above reads.
                let message = format!("`{other}` is not supported yet");
                reader.error(Code::NotRun, line.span, message);
            }
        }
    }

    /// Relative paths of certificates begin where `default-path` says, where no base is given.
    fn paths(&mut self, first: Option<Span>, reader: &Reader<'_>) {
        let folder = first.and_then(|span| reader.folders.get(&span.file));
        let Some(folder) = folder.filter(|folder| !folder.is_empty()) else {
            return;
        };
        for base in [&mut self.base.ca_base, &mut self.base.crt_base] {
            base.get_or_insert_with(|| folder.clone());
        }
    }
}

/// `stats socket …` and `stats timeout …`.
fn stats(line: &Line, process: &mut ProcessDraft, reader: &mut Reader<'_>) {
    match line.text(1) {
        "socket" => sockets(line, process, reader),
        "timeout" => {
            let Some(word) = line.word(2) else {
                return missing(line, "a time", reader);
            };
            let time = units::duration(word, Unit::Milliseconds, reader);
            process.control_timeout = time.map(|time| word.spanned(time));
        }
        _ => {
            let Some(word) = line.word(2) else {
                return missing(line, "a number", reader);
            };
            let count = units::number(word, 1, u64::from(u32::MAX), reader);
            process.control_connections = count.map(|count| limit(word.spanned(count)));
        }
    }
}

fn sockets(line: &Line, process: &mut ProcessDraft, reader: &mut Reader<'_>) {
    let Some(word) = line.word(2) else {
        return missing(
            line,
            "an address, such as `/run/haproxy/admin.sock`",
            reader,
        );
    };
    let binds = address::bind(word, reader);
    let mut socket = ControlSocketDraft::new(Spanned::new(BindAddress::Inherited(0), word.span));
    let mut words = line.from(3).iter();
    while let Some(option) = words.next() {
        let name = option.as_str();
        let takes = keywords::arguments(OptionOf::Bind, name);
        if !keywords::option(OptionOf::Bind, option, reader) {
            let _ = words.nth(takes.saturating_sub(1)).filter(|_| takes > 0);
            continue;
        }
        if takes == 0 {
            continue;
        }
        let Some(value) = words.next() else {
            let message = format!("`{name}` needs a value");
            reader.error(Code::Missing, option.span, message);
            break;
        };
        socket_option(&mut socket, name, value, reader);
    }
    let owner = [&socket.user, &socket.group];
    let said = owner.into_iter().flatten().map(|it| it.span);
    let said = said.chain(socket.mode.map(|it| it.span));
    of_files_only(&binds, said, reader);
    for bind in binds {
        let mut socket = socket.clone();
        if !matches!(bind.value, BindAddress::Unix(_)) {
            (socket.mode, socket.user, socket.group) = (None, None, None);
        }
        socket.bind = bind;
        process.control_sockets.push(socket);
    }
}

fn socket_option(
    socket: &mut ControlSocketDraft,
    name: &str,
    value: &Word,
    reader: &mut Reader<'_>,
) {
    let text = || Some(value.spanned(value.text.clone()));
    match name {
        "mode" => socket.mode = permissions(value, reader),
        "user" | "uid" => socket.user = text(),
        "group" | "gid" => socket.group = text(),
        "expose-fd" => {
            if value.as_str() != "listeners" {
                let known = ["listeners"];
                let what = "value of `expose-fd`";
                reader.push(crate::unknown_word(value.span, what, value.as_str(), known));
            }
            socket.expose_listeners = Some(value.spanned(true));
        }
        "level" => {
            socket.level = match value.as_str() {
                "user" => Some(value.spanned(ControlLevel::User)),
                "operator" => Some(value.spanned(ControlLevel::Operator)),
                "admin" => Some(value.spanned(ControlLevel::Admin)),
                other => {
                    let known = ["user", "operator", "admin"];
                    reader.push(crate::unknown_word(value.span, "level", other, known));
                    None
                }
            };
        }
        _ => {
            let message = format!("`{name}` has no effect on a control socket");
            reader.warn(Code::NotRun, value.span, message);
        }
    }
}

/// `ssl-load-extra-files KIND…`. Timestamps that lie beside a certificate are not sent.
fn extra_files(base: &mut Base, line: &Line, reader: &mut Reader<'_>) {
    const KINDS: [&str; 7] = ["all", "bundle", "issuer", "key", "none", "ocsp", "sctl"];
    if line.words.len() < 2 {
        return missing(line, "kinds of files, such as `key`", reader);
    }
    let words = line.from(1);
    for word in words {
        if !KINDS.contains(&word.as_str()) {
            let what = "value of `ssl-load-extra-files`";
            reader.push(crate::unknown_word(word.span, what, word.as_str(), KINDS));
        }
    }
    let has = |kind: &str| {
        words
            .iter()
            .any(|word| [kind, "all"].contains(&word.as_str()))
    };
    base.no_bundles = !has("bundle");
    base.no_key_files = !has("key");
    base.no_ocsp_files = !has("ocsp");
    base.no_issuer_files = !has("issuer");
}

fn tls_options(versions: &mut Versions, of: OptionOf, line: &Line, reader: &mut Reader<'_>) {
    let mut words = line.from(1).iter();
    if line.words.len() < 2 {
        return missing(line, "options, such as `ssl-min-ver TLSv1.2`", reader);
    }
    while let Some(word) = words.next() {
        if !keywords::option(of, word, reader) || version_flag(versions, word, reader) {
            continue;
        }
        match word.as_str() {
            "ssl-min-ver" | "ssl-max-ver" => match words.next() {
                Some(value) => version(versions, word, value, reader),
                None => return missing(line, "a version of TLS", reader),
            },
            "tls-tickets" => {}
            other => {
                let message = format!("`{other}` cannot be a default");
                reader.error(Code::Conflict, word.span, message);
            }
        }
    }
}

/// The one value of a line.
fn value<'l>(line: &'l Line, reader: &mut Reader<'_>) -> Option<&'l Word> {
    let Some(word) = line.word(1).filter(|word| !word.text.is_empty()) else {
        missing(line, "a value", reader);
        return None;
    };
    no_argument(line, 2, reader);
    Some(word)
}

fn text(line: &Line, reader: &mut Reader<'_>) -> Option<Spanned<String>> {
    value(line, reader).map(|word| word.spanned(word.text.clone()))
}

fn number(line: &Line, least: u64, most: u64, reader: &mut Reader<'_>) -> Option<Spanned<u64>> {
    let word = value(line, reader)?;
    units::number(word, least, most, reader).map(|number| word.spanned(number))
}

/// A number of seconds.
fn seconds(line: &Line, reader: &mut Reader<'_>) -> Option<Spanned<Duration>> {
    let seconds = number(line, 1, u64::from(u32::MAX), reader)?;
    Some(seconds.map(Duration::from_secs))
}

fn count(line: &Line, reader: &mut Reader<'_>) -> Option<Spanned<u32>> {
    let word = value(line, reader)?;
    let count = units::loose_number(word, 0, u64::from(u32::MAX), reader)?;
    Some(limit(word.spanned(count)))
}

fn bytes(line: &Line, reader: &mut Reader<'_>) -> Option<Spanned<u32>> {
    let word = value(line, reader)?;
    let count = units::loose_number(word, 1, u64::from(u32::MAX), reader)?;
    Some(limit(word.spanned(count)))
}

/// The first line of a head counts among its headers there.
fn head_fields(line: &Line, reader: &mut Reader<'_>) -> Option<Spanned<u16>> {
    let word = value(line, reader)?;
    let lines = units::loose_number(word, 2, u64::from(MAX_HEAD_FIELDS), reader)?;
    let fields = u16::try_from(lines.saturating_sub(1)).unwrap_or(u16::MAX);
    Some(word.spanned(fields))
}

/// A number of HTTP/2; what is out of range here is said, 0 is as it is.
fn of_http2(
    line: &Line,
    (least, most): (u32, u32),
    reader: &mut Reader<'_>,
) -> Option<Spanned<u32>> {
    let word = value(line, reader)?;
    no_argument(line, 2, reader);
    let said = units::loose_number(word, 0, i32::MAX as u64, reader)?;
    let said = u32::try_from(said).unwrap_or(u32::MAX);
    let taken = if said == 0 {
        0
    } else {
        said.clamp(least, most)
    };
    if taken != said || (said == 0 && least > 1) {
        let taken = taken.max(least);
        let message = format!("`{}` is {taken} here, not {said}", line.text(0));
        let help = format!("from {least} to {most}");
        reader.push(Diagnostic::warning(Code::OutOfRange, word.span, message).help(help));
    }
    Some(word.spanned(taken))
}

fn limit(number: Spanned<u64>) -> Spanned<u32> {
    number.map(|number| u32::try_from(number).unwrap_or(u32::MAX))
}

/// A folder in which paths begin, from the working directory on.
fn based(again: bool, line: &Line, reader: &mut Reader<'_>) -> Option<String> {
    if again {
        let message = format!("`{}` is said twice", line.text(0));
        reader.error(Code::Duplicate, line.span, message);
    }
    let word = value(line, reader)?;
    Some(reader.path(word.as_str(), word.span))
}

/// A name for `user` and `group`, a number for `uid` and `gid`.
fn identity(line: &Line, reader: &mut Reader<'_>) -> Option<Spanned<String>> {
    let word = value(line, reader)?;
    let number = word.as_str().parse::<u32>().is_ok();
    let (wanted, other) = match line.text(0) {
        "user" => (!number, "`uid` takes a number"),
        "group" => (!number, "`gid` takes a number"),
        "uid" => (number, "`user` takes a name"),
        _ => (number, "`group` takes a name"),
    };
    if !wanted {
        let message = format!("`{}` does not take `{}`", line.text(0), word.text);
        let wrong = Diagnostic::error(Code::WrongType, word.span, message);
        reader.push(wrong.help(other));
        return None;
    }
    Some(word.spanned(word.text.clone()))
}

fn missing(line: &Line, what: &str, reader: &mut Reader<'_>) {
    let message = format!("`{}` needs {what}", line.text(0));
    reader.error(Code::Missing, line.span, message);
}

fn no_argument(line: &Line, from: usize, reader: &mut Reader<'_>) {
    if let Some(extra) = line.word(from).filter(|word| !word.text.is_empty()) {
        let message = format!("`{}` takes no `{}` here", line.text(0), extra.text);
        let help = "put a value with blanks in quotes";
        reader.push(Diagnostic::error(Code::Syntax, extra.span, message).help(help));
    }
}

#[cfg(test)]
mod tests {
    use crate::haproxy::parse;
    use crate::inputs::Inputs;
    use crate::native;
    use portway_model::span::FileId;

    /// The native text of what a `global` section says, and what is said about it.
    fn check(lines: &str, expected: &str, wrong: &[&str]) {
        let text = format!("global\n{lines}\n");
        let (draft, found) = parse(FileId(0), &text, &Inputs::NOTHING);
        let printed = native::print(&draft);
        let printed = printed.trim().strip_prefix("[process]").unwrap_or(&printed);
        assert_eq!(printed.trim(), expected, "{lines}");
        let found: Vec<&str> = found.iter().map(|it| it.message.as_str()).collect();
        assert_eq!(found.len(), wrong.len(), "{lines}: {found:?}");
        for (found, wrong) in found.iter().zip(wrong) {
            assert!(found.contains(wrong), "{lines}: {found}");
        }
    }

    #[test]
    fn the_process() {
        check(
            " nbthread 2\n maxconn 4000\n user haproxy\n group haproxy\n chroot /var/lib/haproxy\n pidfile /run/h.pid\n daemon\n node n1\n description The \"one\" here\n hard-stop-after 30s",
            "workers = 2\nmax_connections = 4000\nshutdown_deadline = \"30s\"\nuser = \"haproxy\"\ngroup = \"haproxy\"\nchroot = \"/var/lib/haproxy\"\npid_file = \"/run/h.pid\"\ndaemon = true\nnode = \"n1\"\ndescription = \"The one here\"",
            &[],
        );
        check(
            " uid 99\n gid 98\n maxconn 0",
            "user = \"99\"\ngroup = \"98\"",
            &[],
        );
        check(" no strict-limits", "strict_limits = false", &[]);
        check(
            " no strict-limits\n strict-limits",
            "strict_limits = true",
            &[],
        );
        check(
            " master-worker\n mworker-max-reloads 3",
            "master = true\nmax_reloads = 3",
            &[],
        );
        check(
            " master-worker no-exit-on-failure",
            "master = true",
            &["has no effect here"],
        );
        check(" nbthread 65", "", &["not from 1 to 64"]);
        check(" chroot", "", &["`chroot` needs a value"]);
        check(" daemon x", "daemon = true", &["takes no `x`"]);
        check(" tune.maxaccept -1", "", &["no effect"]);
        check(
            " tune.bufsize 100\n tune.maxrewrite 100",
            "",
            &["leaves nothing"],
        );
    }

    #[test]
    fn control_sockets() {
        check(
            " stats socket /run/a.sock mode 660 level admin user u group g expose-fd listeners\n stats timeout 30s\n stats maxconn 5",
            "control_timeout = \"30s\"\ncontrol_connections = 5\ncontrol_sockets = [\n    { bind = \"unix:/run/a.sock\", level = \"admin\", mode = \"660\", user = \"u\", group = \"g\", expose_listeners = true },\n]",
            &[],
        );
        check(
            " stats socket /run/a level root",
            "control_sockets = [\"unix:/run/a\"]",
            &["unknown level `root`"],
        );
        check(" stats socket", "", &["needs an address"]);
        check(
            " stats socket 127.0.0.1:9 user u",
            "control_sockets = [\"127.0.0.1:9\"]",
            &["only the file of a UNIX socket"],
        );
        check(
            " stats socket /run/a process 1 level",
            "control_sockets = [\"unix:/run/a\"]",
            &["no effect", "`level` needs a value"],
        );
    }

    #[test]
    fn tls_defaults() {
        check(
            " ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets\n ssl-default-server-options force-tlsv13\n ssl-server-verify none",
            "",
            &["no effect"],
        );
        check(" ssl-default-bind-options", "", &["needs options"]);
        check(
            " ssl-default-bind-options verify",
            "",
            &["cannot be a default"],
        );
        check(" ssl-server-verify maybe", "", &["unknown value"]);
        check(
            " ssl-load-extra-files bundle sctl ocsp issuer key\n ssl-load-extra-del-ext",
            "",
            &[],
        );
        check(" ssl-load-extra-files none", "", &[]);
        check(" ssl-load-extra-files", "", &["needs kinds of files"]);
        check(" ssl-load-extra-files keys", "", &["unknown value"]);
    }
}
