//! The JSON form: one object a line, with stable keys.

use std::time::Duration;

use super::date::Date;
use super::{address, escaped, hex_digit, number};
use crate::record::{ConnectionRecord, Durations, FaultCode, Record, Tls, Upstream};

/// A key of the JSON form. A key whose value is unknown is left out of the object.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// As it stands in the line; keys stand in the order of [`KEYS`].
    pub name: &'static str,
    /// JSON type and unit.
    pub form: &'static str,
    /// What it says.
    pub meaning: &'static str,
    /// Which records have it.
    pub scope: Scope,
}

/// Which records have a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// HTTP exchanges and TCP connections.
    Both,
    /// HTTP exchanges only.
    Http,
}

const fn both(name: &'static str, form: &'static str, meaning: &'static str) -> Key {
    Key {
        name,
        form,
        meaning,
        scope: Scope::Both,
    }
}

const fn http(name: &'static str, form: &'static str, meaning: &'static str) -> Key {
    Key {
        name,
        form,
        meaning,
        scope: Scope::Http,
    }
}

/// Every key, in the order of the line.
pub const KEYS: [Key; 38] = [
    both(
        "time",
        "string, RFC 3339, UTC, milliseconds",
        "when the first byte of the request arrived, or the connection was accepted",
    ),
    both(
        "kind",
        "`\"http\"` or `\"tcp\"`",
        "an HTTP exchange or a TCP connection",
    ),
    both("listener", "string", "name of the listener"),
    both("client", "string, IP address", "address of the client"),
    both("client_port", "number", "port of the client"),
    both("local_port", "number", "port that the client connected to"),
    both(
        "tls_version",
        "string",
        "TLS version towards the client, if Portway terminated TLS",
    ),
    both(
        "tls_cipher",
        "string",
        "IANA name of the cipher suite towards the client",
    ),
    both("sni", "string", "server name of the client's ClientHello"),
    http(
        "method",
        "string",
        "method; empty if the request line was not understood",
    ),
    http(
        "scheme",
        "`\"http\"` or `\"https\"`",
        "scheme that the client used",
    ),
    http("host", "string", "host that the request was for"),
    http(
        "request_target",
        "string",
        "path and query as the client sent them",
    ),
    http("version", "string", "version of HTTP that the client used"),
    http(
        "request_id",
        "string",
        "identity of the request, as sent on to the target",
    ),
    http("trace_id", "string", "trace that the request belongs to"),
    http("span_id", "string", "the request as a step of its trace"),
    http(
        "status",
        "number",
        "status sent to the client; 0 if none was sent",
    ),
    both(
        "bytes_in",
        "number, bytes",
        "everything received from the client for this record, without TLS",
    ),
    both(
        "bytes_out",
        "number, bytes",
        "everything sent to the client for this record, without TLS",
    ),
    http("body_bytes_in", "number, bytes", "content of the request"),
    http("body_bytes_out", "number, bytes", "content of the response"),
    both(
        "target_group",
        "string",
        "target group that it was forwarded to",
    ),
    both("target", "string", "name of the target of the last attempt"),
    both(
        "target_address",
        "string, IP address",
        "address of that target",
    ),
    both("target_port", "number", "port of that target"),
    both(
        "attempts",
        "number",
        "attempts made; 0 if Portway answered by itself",
    ),
    both(
        "targets_attempted",
        "array of strings",
        "names of the targets that were tried, where there was more than one attempt, the last one last; of more than 17 the first 16 and the last",
    ),
    both(
        "target_connection_reused",
        "boolean",
        "the last attempt used a connection that was open already",
    ),
    both(
        "request_head_seconds",
        "number, seconds",
        "from the first byte of the request to its complete head",
    ),
    both(
        "queue_seconds",
        "number, seconds",
        "waiting for a free place at a target",
    ),
    both(
        "connect_seconds",
        "number, seconds",
        "connecting in the last attempt, TLS included",
    ),
    both(
        "response_head_seconds",
        "number, seconds",
        "from the complete request head to the complete head of the final response",
    ),
    both(
        "total_seconds",
        "number, seconds",
        "from the first to the last byte",
    ),
    both(
        "fault",
        "string",
        "what went wrong, see below; left out if nothing did",
    ),
    http("user_agent", "string", "the User-Agent field"),
    http("referer", "string", "the Referer field"),
    http(
        "client_connection_reused",
        "boolean",
        "the client's connection had served a request before",
    ),
];

/// A key as it stands in the line, put together by the compiler: there are some thirty in a line.
macro_rules! key {
    ($name:literal) => {
        concat!(",\"", $name, "\":").as_bytes()
    };
}

/// Appends the line of an exchange.
pub(super) fn exchange(record: &Record<'_>, date: &Date, out: &mut Vec<u8>) {
    let mut line = Line { out };
    line.begin(date, "http", record.listener);
    line.client(record.client, record.local_port);
    line.tls(record.tls, record.sni);
    line.text(key!("method"), record.method);
    line.text(key!("scheme"), record.scheme.as_bytes());
    line.optional(key!("host"), record.host);
    line.text(key!("request_target"), record.request_target);
    line.text(key!("version"), record.version.as_bytes());
    line.optional(key!("request_id"), record.request_id);
    line.optional(key!("trace_id"), record.trace_id);
    line.optional(key!("span_id"), record.span_id);
    line.number(key!("status"), u64::from(record.status));
    line.number(key!("bytes_in"), record.bytes_in);
    line.number(key!("bytes_out"), record.bytes_out);
    line.number(key!("body_bytes_in"), record.body_bytes_in);
    line.number(key!("body_bytes_out"), record.body_bytes_out);
    line.upstream(&record.upstream);
    line.durations(&record.durations);
    line.fault(record.fault);
    line.optional(key!("user_agent"), record.user_agent);
    line.optional(key!("referer"), record.referer);
    line.boolean(
        key!("client_connection_reused"),
        record.client_connection_reused,
    );
    line.out.extend_from_slice(b"}\n");
}

/// Appends the line of a TCP connection.
pub(super) fn connection(record: &ConnectionRecord<'_>, date: &Date, out: &mut Vec<u8>) {
    let mut line = Line { out };
    line.begin(date, "tcp", record.listener);
    line.client(record.client, record.local_port);
    line.tls(record.tls, record.sni);
    line.number(key!("bytes_in"), record.bytes_in);
    line.number(key!("bytes_out"), record.bytes_out);
    line.upstream(&record.upstream);
    line.durations(&record.durations);
    line.fault(record.fault);
    line.out.extend_from_slice(b"}\n");
}

/// An object being written.
struct Line<'a> {
    out: &'a mut Vec<u8>,
}

impl Line<'_> {
    fn begin(&mut self, date: &Date, kind: &str, listener: &str) {
        self.out.extend_from_slice(b"{\"time\":\"");
        date.write_rfc3339(self.out);
        self.out.push(b'"');
        self.text(key!("kind"), kind.as_bytes());
        self.text(key!("listener"), listener.as_bytes());
    }

    fn client(&mut self, client: Option<std::net::SocketAddr>, local_port: u16) {
        self.socket(key!("client"), key!("client_port"), client);
        self.number(key!("local_port"), u64::from(local_port));
    }

    fn tls(&mut self, tls: Option<Tls<'_>>, sni: Option<&str>) {
        if let Some(tls) = tls {
            self.text(key!("tls_version"), tls.version.as_bytes());
            self.text(key!("tls_cipher"), tls.cipher.as_bytes());
        }
        self.optional(key!("sni"), sni.map(str::as_bytes));
    }

    fn upstream(&mut self, upstream: &Upstream<'_>) {
        self.optional(
            key!("target_group"),
            upstream.target_group.map(str::as_bytes),
        );
        self.optional(key!("target"), upstream.target.map(str::as_bytes));
        self.socket(
            key!("target_address"),
            key!("target_port"),
            upstream.address,
        );
        self.number(key!("attempts"), u64::from(upstream.attempts));
        if let ([_, ..], Some(last)) = (upstream.earlier, upstream.target) {
            self.key(key!("targets_attempted"));
            self.out.push(b'[');
            for name in upstream.earlier {
                self.quoted(name.as_str());
                self.out.push(b',');
            }
            self.quoted(last);
            self.out.push(b']');
        }
        if upstream.attempts > 0 {
            self.boolean(key!("target_connection_reused"), upstream.connection_reused);
        }
    }

    fn durations(&mut self, durations: &Durations) {
        self.seconds(key!("request_head_seconds"), durations.request_head);
        self.seconds(key!("queue_seconds"), durations.queue);
        self.seconds(key!("connect_seconds"), durations.connect);
        self.seconds(key!("response_head_seconds"), durations.response_head);
        self.seconds(key!("total_seconds"), durations.total);
    }

    fn fault(&mut self, fault: Option<FaultCode>) {
        if let Some(fault) = fault {
            self.key(key!("fault"));
            self.out.push(b'"');
            string(fault.code().as_bytes(), self.out);
            if let Some(reason) = fault.reason() {
                self.out.push(b':');
                string(reason.as_bytes(), self.out);
            }
            self.out.push(b'"');
        }
    }

    fn quoted(&mut self, text: &str) {
        self.out.push(b'"');
        string(text.as_bytes(), self.out);
        self.out.push(b'"');
    }

    fn key(&mut self, key: &[u8]) {
        self.out.extend_from_slice(key);
    }

    fn optional(&mut self, key: &[u8], value: Option<&[u8]>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }

    fn text(&mut self, key: &[u8], value: &[u8]) {
        self.key(key);
        self.out.push(b'"');
        string(value, self.out);
        self.out.push(b'"');
    }

    fn number(&mut self, key: &[u8], value: u64) {
        self.key(key);
        number(value, self.out);
    }

    fn boolean(&mut self, key: &[u8], value: bool) {
        self.key(key);
        let word: &[u8] = if value { b"true" } else { b"false" };
        self.out.extend_from_slice(word);
    }

    /// Seconds with microseconds: `0.001234`.
    fn seconds(&mut self, key: &[u8], value: Option<Duration>) {
        let Some(value) = value else { return };
        self.key(key);
        number(value.as_secs(), self.out);
        // Seven digits of which the first, a 1, becomes the point: what is left has its leading zeros.
        let point = self.out.len();
        number(1_000_000 + u64::from(value.subsec_micros()), self.out);
        if let Some(digit) = self.out.get_mut(point) {
            *digit = b'.';
        }
    }

    fn socket(&mut self, ip: &[u8], port: &[u8], socket: Option<std::net::SocketAddr>) {
        let Some(socket) = socket else { return };
        self.key(ip);
        self.out.push(b'"');
        address(socket.ip(), self.out);
        self.out.push(b'"');
        self.number(port, u64::from(socket.port()));
    }
}

/// Appends the inside of a JSON string (RFC 8259 section 7). Bytes that are not UTF-8 become `\u00XX`, as if they were
/// Latin-1. Everything that some reader takes for the end of a line, or a terminal for a command, is escaped as well:
/// control characters from U+0000 to U+001F and U+007F to U+009F, U+2028 and U+2029.
fn string(text: &[u8], out: &mut Vec<u8>) {
    let ascii = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
    // Without leaving early: the compiler makes it look at many bytes at once.
    if text.iter().fold(true, |all, &byte| all & ascii(byte)) {
        out.extend_from_slice(text);
        return;
    }
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' => out.extend_from_slice(b"\\\""),
                '\\' => out.extend_from_slice(b"\\\\"),
                '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' => {
                    // All of them fit 16 bits.
                    unicode_escape(character as u32 as u16, out);
                }
                other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        escaped(
            chunk.invalid(),
            |_| false,
            |byte, out| unicode_escape(u16::from(byte), out),
            out,
        );
    }
}

fn unicode_escape(unit: u16, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\\u");
    for byte in unit.to_be_bytes() {
        out.push(hex_digit(byte >> 4, b'a'));
        out.push(hex_digit(byte, b'a'));
    }
}
