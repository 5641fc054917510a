//! One line of a proxy: which keyword it is, where it may stand, and the keywords that are one value.

use super::log::log_line;
use super::option::option_line;
use super::{Args, Capture, CaptureSlot, CookieCapture, List, Mode, Proxy};
use super::{
    balance, bind, check, check_rule, compression, cookie, http_rule, keep_alive, redirect,
    respond, rule, server, source, stats, stick, table, tcp_rule,
};
use crate::haproxy::units::{self, Unit};
use crate::haproxy::{Line, Reader, Word, old};
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::settings::ConnectionReuse;
use portway_model::span::Spanned;

/// Any number that is kept.
const ANY: (u64, u64) = (0, u32::MAX as u64);
/// Bytes that are captured at most.
const MAX_CAPTURE: u64 = 65_535;

/// Reads a line that the tables of keywords let through.
pub(super) fn read(proxy: &mut Proxy, line: &Line, reader: &mut Reader<'_>) {
    match line.text(0) {
        "bind" | "mode" | "maxconn" | "rate-limit" | "backlog" | "default_backend"
        | "use_backend" | "monitor-uri" | "monitor" | "monitor-net" | "capture" | "declare"
        | "unique-id-format" | "unique-id-header" => frontend(proxy, line, reader),
        "server"
        | "source"
        | "persist"
        | "default-server"
        | "server-template"
        | "balance"
        | "hash-type"
        | "cookie"
        | "hash-balance-factor"
        | "dynamic-cookie-key"
        | "dispatch"
        | "retries"
        | "retry-on"
        | "fullconn"
        | "http-reuse"
        | "http-send-name-header"
        | "use-server"
        | "force-persist"
        | "ignore-persist"
        | "http-check"
        | "tcp-check" => backend(proxy, line, reader),
        "http-request" | "http-response" | "http-after-response" => {
            http_rule::line(proxy, line, reader)
        }
        "tcp-request" | "tcp-response" => tcp_rule::line(proxy, line, reader),
        "redirect" => redirect::line(proxy, line, reader),
        "acl" => acl(proxy, line, reader),
        "option" => option_line(proxy, line, reader),
        "timeout" => timeout(proxy, line.text(1), line, 2, reader),
        "log" | "log-format" | "log-format-sd" | "error-log-format" | "log-tag" => {
            log_line(proxy, line, reader);
        }
        "stats" => stats::line(proxy, line, reader),
        "clitcpka-cnt" | "clitcpka-idle" | "clitcpka-intvl" | "srvtcpka-cnt" | "srvtcpka-idle"
        | "srvtcpka-intvl" => keep_alive::line(proxy, line, reader),
        "compression" => compression::line(proxy, line, reader),
        "filter" => compression::filter(proxy, line, reader),
        "stick-table" => table::line(proxy, line, reader),
        "stick" => stick::line(proxy, line, reader),
        "errorfile" | "errorloc" | "errorloc302" | "errorloc303" | "errorfiles" | "http-error" => {
            respond::error_line(proxy, line, reader);
        }
        "disabled" | "enabled" => {
            extra(line, 1, reader);
            proxy.disabled = Some(Spanned::new(line.text(0) == "disabled", line.span));
        }
        "id" => proxy_number(proxy, line, reader),
        _ => {
            if !old::line(proxy, line, reader) {
                nothing(line, reader);
            }
        }
    }
}

/// `id NUMBER`, which no other proxy has.
fn proxy_number(proxy: &mut Proxy, line: &Line, reader: &mut Reader<'_>) {
    let Some(number) = number(line, 1, 1, u64::from(u32::MAX), reader) else {
        return;
    };
    let mut taken = reader.proxy_numbers.iter();
    if let Some((_, first)) = taken.find(|(taken, _)| *taken == number.value) {
        let message = format!("the id {} is given twice", number.value);
        let wrong = Diagnostic::error(Code::Duplicate, number.span, message);
        let wrong = wrong.label(*first, "it is given here");
        reader.push(wrong);
        return;
    }
    reader.proxy_numbers.push((number.value, number.span));
    proxy.number = Some(number);
}

/// A keyword whose state says that it is read, and that has no part here.
fn nothing(line: &Line, reader: &mut Reader<'_>) {
    let message = format!("not run yet: `{}`", line.text(0));
    reader.error(Code::NotRun, line.span, message);
}

/// Keywords of what accepts.
fn frontend(proxy: &mut Proxy, line: &Line, reader: &mut Reader<'_>) {
    let keyword = line.text(0);
    match keyword {
        "mode" => mode(proxy, line, reader),
        "bind" => bind::line(proxy, line, reader),
        "use_backend" => rule::use_backend(proxy, line, reader),
        "maxconn" => proxy.maxconn = number(line, 1, 0, u64::from(u32::MAX), reader),
        "rate-limit" => proxy.session_rate = number(line, 2, 0, u64::from(u32::MAX), reader),
        "backlog" => proxy.backlog = loose_number(line, 1, ANY, reader),
        "default_backend" => proxy.default_backend = word(line, 1, "the name of a backend", reader),
        "monitor-uri" => proxy.monitor_uri = word(line, 1, "a path", reader),
        "monitor" => monitor_fail(proxy, line, reader),
        "monitor-net" => old::monitor_net(proxy, line, reader),
        "capture" => capture(proxy, line, reader),
        "declare" => declare(proxy, line, reader),
        "unique-id-format" => match line.word(1).filter(|format| !format.text.is_empty()) {
            Some(format) => {
                extra(line, 2, reader);
                proxy.unique_id_format = Some(format.clone());
            }
            None => missing(line, "a format, such as `%{+X}o %ci:%cp`", reader),
        },
        "unique-id-header" => {
            proxy.unique_id_header = word(line, 1, "the name of a header", reader)
        }
        _ => {}
    }
}

/// Keywords of what has servers.
fn backend(proxy: &mut Proxy, line: &Line, reader: &mut Reader<'_>) {
    let keyword = line.text(0);
    match keyword {
        "server" => server::line(proxy, line, reader),
        "default-server" => server::default_line(proxy, line, reader),
        "server-template" => server::template_line(proxy, line, reader),
        "dispatch" => server::dispatch_line(proxy, line, reader),
        "balance" => balance::line(proxy, line, reader),
        "hash-type" => balance::hash_type_line(proxy, line, reader),
        "hash-balance-factor" => {
            proxy.hash_balance_factor = number(line, 1, 0, u64::from(u32::MAX), reader)
        }
        "cookie" => cookie::line(proxy, line, reader),
        "dynamic-cookie-key" => proxy.dynamic_cookie_key = word(line, 1, "the secret key", reader),
        "retries" => proxy.retries = loose_number(line, 1, ANY, reader),
        "retry-on" => {
            if line.word(1).is_none() {
                missing(
                    line,
                    "what is to be tried again, such as `conn-failure`",
                    reader,
                );
            }
            let words = line
                .from(1)
                .iter()
                .map(|word| word.spanned(word.text.clone()));
            proxy.retry_on = Some(Spanned::new(words.collect(), line.span));
        }
        "fullconn" => proxy.fullconn = loose_number(line, 1, ANY, reader),
        "http-reuse" => http_reuse(proxy, line, reader),
        "http-send-name-header" => {
            proxy.send_name_header = word(line, 1, "the name of a header", reader)
        }
        "use-server" => rule::use_server(proxy, line, reader),
        "force-persist" => rule::persist(proxy, line, List::ForcePersist, reader),
        "ignore-persist" => rule::persist(proxy, line, List::IgnorePersist, reader),
        "http-check" => check::http_line(proxy, line, reader),
        "tcp-check" => check_rule::tcp_line(proxy, line, reader),
        "source" => source::line(proxy, line, reader),
        "persist" => balance::persist_line(proxy, line, reader),
        _ => {}
    }
}

fn mode(proxy: &mut Proxy, line: &Line, reader: &mut Reader<'_>) {
    let Some(word) = line.word(1) else {
        missing(line, "`tcp` or `http`", reader);
        return;
    };
    let mode = match word.as_str() {
        "tcp" => Mode::Tcp,
        "http" => Mode::Http,
        "health" => {
            let message = "`mode health` no longer exists";
            let help = "write `mode http` and `http-request return status 200`";
            reader.push(Diagnostic::error(Code::Unknown, word.span, message).help(help));
            return;
        }
        other => {
            reader.push(
                Diagnostic::error(Code::Unknown, word.span, format!("unknown mode `{other}`"))
                    .nearest(other, ["tcp", "http"])
                    .at("`tcp` or `http`"),
            );
            return;
        }
    };
    proxy.mode = Some(word.spanned(mode));
    extra(line, 2, reader);
}

/// The one value of a keyword.
pub(super) fn word(
    line: &Line,
    index: usize,
    what: &str,
    reader: &mut Reader<'_>,
) -> Option<Spanned<String>> {
    match line.word(index) {
        Some(word) => {
            extra(line, index + 1, reader);
            Some(word.spanned(word.text.clone()))
        }
        None => {
            missing(line, what, reader);
            None
        }
    }
}

/// A whole number as the one value of a keyword.
pub(super) fn number<T: TryFrom<u64>>(
    line: &Line,
    index: usize,
    min: u64,
    max: u64,
    reader: &mut Reader<'_>,
) -> Option<Spanned<T>> {
    let Some(word) = line.word(index) else {
        missing(line, "a number", reader);
        return None;
    };
    let value = whole(word, min, max, reader)?;
    extra(line, index + 1, reader);
    Some(word.spanned(T::try_from(value).ok()?))
}

/// As [`number`], read as HAProxy reads what it does not check.
fn loose_number<T: TryFrom<u64>>(
    line: &Line,
    index: usize,
    (min, max): (u64, u64),
    reader: &mut Reader<'_>,
) -> Option<Spanned<T>> {
    let Some(word) = line.word(index) else {
        missing(line, "a number", reader);
        return None;
    };
    let value = units::loose_number(word, min, max, reader)?;
    extra(line, index + 1, reader);
    Some(word.spanned(T::try_from(value).ok()?))
}

/// A whole number within bounds.
pub(super) fn whole(word: &Word, min: u64, max: u64, reader: &mut Reader<'_>) -> Option<u64> {
    let value = word.as_str().parse::<u64>().ok();
    if let Some(value) = value.filter(|value| (min..=max).contains(value)) {
        return Some(value);
    }
    let message = format!("`{}` is not a number from {min} to {max}", word.text);
    reader.error(Code::OutOfRange, word.span, message);
    None
}

/// Says that something is not there.
pub(super) fn missing(line: &Line, what: &str, reader: &mut Reader<'_>) {
    let words: Vec<&str> = line.words.iter().take(2).map(Word::as_str).collect();
    let message = format!("`{}` needs {what}", words.join(" "));
    reader.error(Code::Missing, line.span, message);
}

/// Words behind the last that a keyword takes.
pub(super) fn extra(line: &Line, from: usize, reader: &mut Reader<'_>) {
    if let Some(word) = line.word(from) {
        let message = format!("`{}` takes no `{}` here", line.text(0), word.text);
        reader.error(Code::Syntax, word.span, message);
    }
}

fn acl(proxy: &mut Proxy, line: &Line, reader: &mut Reader<'_>) {
    proxy.acls.declare(line, reader);
}

/// `timeout NAME TIME`; the time stands at `index`.
pub(crate) fn timeout(
    proxy: &mut Proxy,
    name: &str,
    line: &Line,
    index: usize,
    reader: &mut Reader<'_>,
) {
    let Some(word) = line.word(index) else {
        missing(line, "a time, such as `30s`", reader);
        return;
    };
    let time = units::duration(word, Unit::Milliseconds, reader);
    let time = time.map(|time| word.spanned(time));
    let timeouts = &mut proxy.timeouts;
    let place = match name {
        "client" => &mut timeouts.client,
        "server" => &mut timeouts.server,
        "connect" => &mut timeouts.connect,
        "queue" => &mut timeouts.queue,
        "check" => &mut timeouts.check,
        "tunnel" => &mut timeouts.tunnel,
        "http-request" => &mut timeouts.http_request,
        "http-keep-alive" => &mut timeouts.http_keep_alive,
        "tarpit" => &mut timeouts.tarpit,
        "client-fin" => &mut timeouts.client_fin,
        "server-fin" => &mut timeouts.server_fin,
        // Said by the table of timeouts: what has no effect here, and what does not exist.
        _ => return,
    };
    if let Some(time) = time {
        *place = Some(time);
    }
    extra(line, index + 1, reader);
}

fn monitor_fail(proxy: &mut Proxy, line: &Line, reader: &mut Reader<'_>) {
    let mut args = Args::new(line, 2);
    if line.text(1) != "fail" || !args.at_condition() {
        let message = "`monitor` is followed by `fail` and a condition";
        let help = "such as `monitor fail if { nbsrv(app) lt 1 }`";
        reader.push(Diagnostic::error(Code::Syntax, line.span, message).help(help));
        return;
    }
    let place = ("monitor fail", List::Content);
    rule::warn_order(proxy, place, line.span, reader);
    let condition = rule::condition(proxy, List::HttpRequest, &mut args, reader);
    proxy.monitor_fail.extend(condition);
}

/// `capture cookie NAME len N`, `capture request|response header NAME len N`.
fn capture(proxy: &mut Proxy, line: &Line, reader: &mut Reader<'_>) {
    let (name, length) = match (line.text(1), line.text(2)) {
        ("cookie", _) => (2, 3),
        ("request" | "response", "header") => (3, 4),
        _ => {
            let message =
                "`capture` is followed by `cookie`, `request header` or `response header`";
            reader.error(Code::Syntax, line.span, message);
            return;
        }
    };
    if line.text(length) != "len" || line.text(name).is_empty() {
        missing(line, "a name and `len` with a number", reader);
        return;
    }
    let Some(length) = loose_number::<u16>(line, length + 1, (1, MAX_CAPTURE), reader) else {
        return;
    };
    let name = line.text(name).to_owned();
    let slot = Capture {
        slot: CaptureSlot::Header(name.clone()),
        length: length.value,
        span: line.span,
    };
    match line.text(1) {
        "cookie" => {
            proxy.cookie_capture = Some(CookieCapture {
                name,
                length: length.value,
                span: line.span,
            });
        }
        "request" => proxy.request_captures.push(slot),
        _ => proxy.response_captures.push(slot),
    }
}

/// `declare capture request|response len N`.
fn declare(proxy: &mut Proxy, line: &Line, reader: &mut Reader<'_>) {
    let to = line.text(2);
    if line.text(1) != "capture" || !matches!(to, "request" | "response") || line.text(3) != "len" {
        let message = "`declare` is followed by `capture request|response len` and a number";
        reader.error(Code::Syntax, line.span, message);
        return;
    }
    let Some(length) = loose_number::<u16>(line, 4, (1, MAX_CAPTURE), reader) else {
        return;
    };
    let slot = Capture {
        slot: CaptureSlot::Declared,
        length: length.value,
        span: line.span,
    };
    if to == "request" {
        proxy.request_captures.push(slot);
    } else {
        proxy.response_captures.push(slot);
    }
}

fn http_reuse(proxy: &mut Proxy, line: &Line, reader: &mut Reader<'_>) {
    const KNOWN: [(&str, ConnectionReuse); 4] = [
        ("never", ConnectionReuse::Never),
        ("safe", ConnectionReuse::Safe),
        ("aggressive", ConnectionReuse::Aggressive),
        ("always", ConnectionReuse::Always),
    ];
    let Some(word) = word(line, 1, "`never`, `safe`, `aggressive` or `always`", reader) else {
        return;
    };
    match KNOWN.iter().find(|(name, _)| *name == word.value) {
        Some((_, reuse)) => proxy.http_reuse = Some(Spanned::new(*reuse, word.span)),
        None => reader.push(crate::unknown_word(
            word.span,
            "mode of `http-reuse`",
            &word.value,
            KNOWN.map(|(name, _)| name),
        )),
    }
}
