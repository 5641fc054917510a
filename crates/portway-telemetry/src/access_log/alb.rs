//! The form of an Application Load Balancer's access log, so that what reads those reads ours.
//!
//! The fields stand in the order of its documentation, divided by blanks. What is missing is `-`, a time that there was
//! not is `-1`. In texts `"`, `\` and everything but printable ASCII is `\xHH`.

use super::date::Dates;
use super::{address, escaped, hex_digit, number};
use crate::record::{ConnectionRecord, Durations, FaultCode, Record, Tls, Upstream};
use std::net::SocketAddr;
use std::time::Duration;

/// Appends the line of an exchange.
pub(super) fn exchange(record: &Record<'_>, dates: &mut Dates, out: &mut Vec<u8>) {
    let Record {
        durations,
        upstream,
        ..
    } = record;
    out.extend_from_slice(record.scheme.as_bytes());
    out.push(b' ');
    dates
        .at(record.start + durations.total.unwrap_or_default())
        .write_rfc3339(out);
    ends(record.listener, record.client, upstream, out);
    let asked = upstream.attempts > 0;
    // What came to the target, as far as it is known.
    let head = durations.response_head.filter(|_| asked);
    times(durations, head, asked, out);
    if record.status < 100 {
        out.extend_from_slice(b" -");
    } else {
        out.push(b' ');
        number(u64::from(record.status), out);
    }
    let of_target = upstream.status.filter(|_| asked);
    status(of_target, out);
    counted(record.bytes_in, record.bytes_out, out);
    out.extend_from_slice(b" \"");
    match record.method {
        b"" => out.extend_from_slice(b"- - -"),
        method => {
            text(method, out);
            out.push(b' ');
            url(record, out);
            out.push(b' ');
            text(record.version.as_bytes(), out);
        }
    }
    out.extend_from_slice(b"\" ");
    quoted(record.user_agent, out);
    secured(record.tls, out);
    group(upstream, out);
    out.push(b' ');
    quoted(record.trace_id.or(record.request_id), out);
    out.push(b' ');
    quoted(record.sni.map(str::as_bytes), out);
    // Which certificate, and which rule.
    out.extend_from_slice(b" \"-\" - ");
    dates.at(record.start).write_rfc3339(out);
    let action = match (asked, record.status) {
        (true, _) => Some("forward"),
        (false, 300..=399) => Some("redirect"),
        (false, 100..) => Some("fixed-response"),
        (false, _) => None,
    };
    end(action, record.fault, (upstream.address, of_target), out);
}

/// Appends the line of a TCP connection.
pub(super) fn connection(record: &ConnectionRecord<'_>, dates: &mut Dates, out: &mut Vec<u8>) {
    let ConnectionRecord {
        durations,
        upstream,
        ..
    } = record;
    let kind = if record.tls.is_some() { "tls" } else { "tcp" };
    out.extend_from_slice(kind.as_bytes());
    out.push(b' ');
    dates
        .at(record.start + durations.total.unwrap_or_default())
        .write_rfc3339(out);
    ends(record.listener, record.client, upstream, out);
    times(durations, None, upstream.attempts > 0, out);
    out.extend_from_slice(b" - -");
    counted(record.bytes_in, record.bytes_out, out);
    out.extend_from_slice(b" \"- - -\" \"-\"");
    secured(record.tls, out);
    group(upstream, out);
    out.extend_from_slice(b" \"-\" ");
    quoted(record.sni.map(str::as_bytes), out);
    out.extend_from_slice(b" \"-\" - ");
    dates.at(record.start).write_rfc3339(out);
    let action = (upstream.attempts > 0).then_some("forward");
    end(action, record.fault, (upstream.address, None), out);
}

/// The balancer, the client and the target.
fn ends(listener: &str, client: Option<SocketAddr>, upstream: &Upstream<'_>, out: &mut Vec<u8>) {
    out.push(b' ');
    // A name with blanks would be several fields.
    let plain = |byte: u8| matches!(byte, b'!'..=b'~') && byte != b'"' && byte != b'\\';
    escaped(listener.as_bytes(), plain, hexadecimal, out);
    out.push(b' ');
    socket(client, out);
    out.push(b' ');
    socket(upstream.address.filter(|_| upstream.attempts > 0), out);
}

fn socket(end: Option<SocketAddr>, out: &mut Vec<u8>) {
    match end {
        Some(end) => {
            let v6 = end.ip().to_canonical().is_ipv6();
            out.extend_from_slice(if v6 { b"[" } else { b"" });
            address(end.ip(), out);
            out.extend_from_slice(if v6 { b"]:" } else { b":" });
            number(u64::from(end.port()), out);
        }
        None => out.push(b'-'),
    }
}

/// Until the request was sent on, until the target answered, until all was sent.
fn times(durations: &Durations, head: Option<Duration>, asked: bool, out: &mut Vec<u8>) {
    let queued = durations.queue.unwrap_or_default();
    let connected = durations.connect.unwrap_or_default();
    let received = durations.request_head.unwrap_or_default();
    let before = asked.then_some(received + queued + connected);
    let at_target = head.map(|head| head.saturating_sub(queued + connected));
    let total = durations.total.unwrap_or_default();
    let after = head.map(|head| total.saturating_sub(received + head));
    for time in [before, at_target, after] {
        match time {
            Some(time) => {
                out.push(b' ');
                number(time.as_secs(), out);
                out.push(b'.');
                let fraction = time.subsec_millis();
                for place in [100, 10, 1] {
                    // A digit.
                    out.push(b'0' + (fraction / place % 10) as u8);
                }
            }
            None => out.extend_from_slice(b" -1"),
        }
    }
}

fn status(status: Option<u16>, out: &mut Vec<u8>) {
    out.push(b' ');
    match status {
        Some(status) => number(u64::from(status), out),
        None => out.push(b'-'),
    }
}

fn counted(received: u64, sent: u64, out: &mut Vec<u8>) {
    for bytes in [received, sent] {
        out.push(b' ');
        number(bytes, out);
    }
}

/// The URL with a port in any case, as a balancer writes it.
fn url(record: &Record<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(record.scheme.as_bytes());
    out.extend_from_slice(b"://");
    let host = record.host.unwrap_or_default();
    text(host, out);
    let end = host.iter().rposition(|byte| matches!(byte, b':' | b']'));
    if end.is_none_or(|at| host.get(at) == Some(&b']')) {
        out.push(b':');
        number(u64::from(record.local_port), out);
    }
    text(record.request_target, out);
}

fn secured(tls: Option<Tls<'_>>, out: &mut Vec<u8>) {
    for part in tls.map_or(["-"; 2], |tls| [tls.cipher, tls.version]) {
        out.push(b' ');
        text(part.as_bytes(), out);
    }
}

fn group(upstream: &Upstream<'_>, out: &mut Vec<u8>) {
    out.push(b' ');
    let plain = |byte: u8| matches!(byte, b'!'..=b'~') && byte != b'"' && byte != b'\\';
    let name = upstream.target_group.unwrap_or("-");
    escaped(name.as_bytes(), plain, hexadecimal, out);
}

/// What was done, why not, and the lists of targets; what is classified, and the connection, are not told.
fn end(
    action: Option<&str>,
    fault: Option<FaultCode>,
    (target, of_target): (Option<SocketAddr>, Option<u16>),
    out: &mut Vec<u8>,
) {
    out.push(b' ');
    quoted(action.map(str::as_bytes), out);
    out.extend_from_slice(b" \"-\" ");
    quoted(fault.map(|fault| fault.code().as_bytes()), out);
    out.extend_from_slice(b" \"");
    socket(target.filter(|_| action == Some("forward")), out);
    out.extend_from_slice(b"\" \"");
    match of_target {
        Some(status) => number(u64::from(status), out),
        None => out.push(b'-'),
    }
    out.extend_from_slice(b"\" \"-\" \"-\" -\n");
}

fn quoted(said: Option<&[u8]>, out: &mut Vec<u8>) {
    out.push(b'"');
    text(said.filter(|it| !it.is_empty()).unwrap_or(b"-"), out);
    out.push(b'"');
}

fn text(text: &[u8], out: &mut Vec<u8>) {
    let plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
    escaped(text, plain, hexadecimal, out);
}

fn hexadecimal(byte: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\\x");
    out.push(hex_digit(byte >> 4, b'A'));
    out.push(hex_digit(byte, b'A'));
}
