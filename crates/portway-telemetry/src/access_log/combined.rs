//! Apache's combined format, as nginx writes it: `%h - - [%t] "%r" %>s %b "%{Referer}i" "%{User-agent}i"`.
//!
//! Like nginx: a missing field is `-`, a status that was never sent is `000`, no bytes are `0`, and in texts `"`, `\` and
//! everything but printable ASCII is `\xHH`. The time is UTC. A TCP connection has `TCP` and the listener for a request.

use super::date::Date;
use super::{address, escaped, hex_digit, number};
use crate::record::{ConnectionRecord, Record};

/// Appends the line of an exchange.
pub(super) fn exchange(record: &Record<'_>, date: &Date, out: &mut Vec<u8>) {
    begin(record.client, date, out);
    if record.method.is_empty() {
        out.push(b'-');
    } else {
        text(record.method, out);
        out.push(b' ');
        text(record.request_target, out);
        if !record.version.is_empty() {
            out.push(b' ');
            out.extend_from_slice(record.version.as_bytes());
        }
    }
    out.extend_from_slice(b"\" ");
    if record.status < 100 {
        out.extend_from_slice(b"000");
    } else {
        number(u64::from(record.status), out);
    }
    out.push(b' ');
    number(record.body_bytes_out, out);
    out.extend_from_slice(b" \"");
    text(record.referer.unwrap_or(b"-"), out);
    out.extend_from_slice(b"\" \"");
    text(record.user_agent.unwrap_or(b"-"), out);
    out.extend_from_slice(b"\"\n");
}

/// Appends the line of a TCP connection.
pub(super) fn connection(record: &ConnectionRecord<'_>, date: &Date, out: &mut Vec<u8>) {
    begin(record.client, date, out);
    out.extend_from_slice(b"TCP ");
    text(record.listener.as_bytes(), out);
    out.extend_from_slice(b"\" 000 ");
    number(record.bytes_out, out);
    out.extend_from_slice(b" \"-\" \"-\"\n");
}

fn begin(client: Option<std::net::SocketAddr>, date: &Date, out: &mut Vec<u8>) {
    match client {
        Some(client) => address(client.ip(), out),
        None => out.push(b'-'),
    }
    out.extend_from_slice(b" - - [");
    out.extend_from_slice(date.common());
    out.extend_from_slice(b"] \"");
}

fn text(text: &[u8], out: &mut Vec<u8>) {
    let plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
    let escape = |byte: u8, out: &mut Vec<u8>| {
        out.extend_from_slice(b"\\x");
        out.push(hex_digit(byte >> 4, b'A'));
        out.push(hex_digit(byte, b'A'));
    };
    escaped(text, plain, escape, out);
}
