//! Requests in HTTP/2 as the head and trailers of HTTP/1.1 that say the same (RFC 9113 section 8).
//!
//! What is judged here is what HTTP/1.1 has no place for: pseudo-fields, names in upper case, fields of a connection. The rest is
//! judged where heads of HTTP/1.1 are, so that there is one judge of what a request is.

use super::response::Asked;
use crate::http1::{
    Version, write_content_length, write_end_of_head, write_field, write_request_line,
    write_transfer_chunked,
};
use std::mem;

/// How the body of a message comes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// There is none.
    None,
    /// As it is, so many bytes.
    Length(u64),
    /// In chunks.
    Chunked,
    /// As it is, both ways, until each side has ended: a tunnel.
    Tunnel,
}

/// Memory for lines that is kept from one message to the next.
const KEPT_BYTES: usize = 4 * 1024;

/// Why fields are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// They are not as they have to be (RFC 9113 section 8.1.1).
    Malformed,
    /// There is more of them than wanted.
    TooLarge,
}

/// The fields of a request's head, or of its trailers, as they come.
#[derive(Debug, Default)]
pub struct RequestFields {
    /// Bytes that they may have, as lines of HTTP/1.1.
    most: usize,
    bytes: usize,
    /// Targets are written with scheme and authority.
    absolute: bool,
    method: Vec<u8>,
    scheme: Vec<u8>,
    authority: Option<Vec<u8>>,
    path: Vec<u8>,
    protocol: Option<Vec<u8>>,
    host: Option<Vec<u8>>,
    /// Lines of HTTP/1.1.
    lines: Vec<u8>,
    cookies: Vec<u8>,
    content_length: Option<u64>,
    /// A field that is none of the pseudo-fields has come.
    past_pseudo: bool,
    has_pseudo: bool,
    malformed: bool,
}

/// A token (RFC 9110 section 5.6.2), nothing of it in upper case.
fn is_name(name: &[u8]) -> bool {
    let is_of_name = |byte: &u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(byte)
    };
    !name.is_empty() && name.iter().all(is_of_name)
}

/// RFC 9113 section 8.2.1.
fn is_value(value: &[u8]) -> bool {
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    !is_blank(value.first())
        && !is_blank(value.last())
        && memchr::memchr3(0, b'\r', b'\n', value).is_none()
}

/// A word in a request line.
fn is_word(word: &[u8]) -> bool {
    !word.is_empty() && word.iter().all(|byte| *byte > b' ' && *byte != 0x7F)
}

impl RequestFields {
    /// Says how many bytes of fields are taken, as lines of HTTP/1.1. A few bytes on the wire may stand for very many.
    pub fn allow(&mut self, most: usize) {
        self.most = most;
    }

    /// From now on targets are written in absolute form where there is an authority, as HAProxy makes them.
    pub fn write_absolute_targets(&mut self) {
        self.absolute = true;
    }

    /// Takes the next field.
    pub fn field(&mut self, name: &[u8], value: &[u8]) {
        self.bytes = self.bytes.saturating_add(name.len() + value.len() + 4);
        if self.bytes > self.most {
            return;
        }
        if let Some(pseudo) = name.strip_prefix(b":") {
            self.pseudo(pseudo, value);
            return;
        }
        self.past_pseudo = true;
        if !is_name(name) || !is_value(value) {
            self.malformed = true;
            return;
        }
        match name {
            // Of a connection of HTTP/1.1 (section 8.2.2).
            b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding"
            | b"upgrade" => self.malformed = true,
            b"te" if value != b"trailers" => self.malformed = true,
            b"host" => {
                self.malformed |= self.host.as_ref().is_some_and(|before| before != value);
                self.host = Some(value.to_vec());
            }
            // In pieces, so that they can be compressed; to others they are one field (section 8.2.3).
            b"cookie" => {
                if !self.cookies.is_empty() {
                    self.cookies.extend_from_slice(b"; ");
                }
                self.cookies.extend_from_slice(value);
            }
            b"content-length" => self.length(value),
            // It is made here (RFC 8441 section 5).
            b"sec-websocket-key" if self.protocol.is_some() => {}
            _ => write_field(&mut self.lines, name, value),
        }
    }

    fn pseudo(&mut self, name: &[u8], value: &[u8]) {
        self.has_pseudo = true;
        let is_new = match name {
            b"method" => mem::replace(&mut self.method, value.to_vec()).is_empty(),
            b"scheme" => mem::replace(&mut self.scheme, value.to_vec()).is_empty(),
            b"path" => mem::replace(&mut self.path, value.to_vec()).is_empty(),
            b"authority" => self.authority.replace(value.to_vec()).is_none(),
            b"protocol" => self.protocol.replace(value.to_vec()).is_none(),
            _ => false,
        };
        self.malformed |= self.past_pseudo || !is_new || !is_word(value);
    }

    fn length(&mut self, value: &[u8]) {
        let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        let number = str::from_utf8(value).ok().and_then(|it| it.parse().ok());
        let number = number.filter(|_| is_number);
        self.malformed |=
            number.is_none() || self.content_length.is_some_and(|it| Some(it) != number);
        self.content_length = number;
    }

    /// Forgets what has come.
    pub fn clear(&mut self) {
        *self = Self {
            most: self.most,
            absolute: self.absolute,
            lines: mem::take(&mut self.lines),
            ..Self::default()
        };
        self.lines.clear();
        self.lines.shrink_to(KEPT_BYTES);
    }

    /// Writes the head, and says how its body comes out and its answer is read; all its fields have come. `end`: the message ends with it. `key`: a value of Sec-WebSocket-Key, for a request that
    /// becomes one of HTTP/1.1 to speak WebSocket.
    ///
    /// # Errors
    /// They are no request.
    pub fn head(
        &mut self,
        end: bool,
        key: impl FnOnce() -> [u8; 24],
        out: &mut Vec<u8>,
    ) -> Result<(Body, Asked), Unfit> {
        let written = match self.bytes > self.most {
            true => Err(Unfit::TooLarge),
            false => self.write_head(end, key, out).ok_or(Unfit::Malformed),
        };
        self.clear();
        written
    }

    fn write_head(
        &mut self,
        end: bool,
        key: impl FnOnce() -> [u8; 24],
        out: &mut Vec<u8>,
    ) -> Option<(Body, Asked)> {
        let is_connect = self.method == b"CONNECT";
        let is_plain_connect = is_connect && self.protocol.is_none();
        let is_whole = match is_plain_connect {
            true => self.scheme.is_empty() && self.path.is_empty() && self.authority.is_some(),
            false => !self.scheme.is_empty() && self.has_good_path(),
        };
        let is_extended = self.protocol.is_some();
        if self.malformed || !is_whole || self.method.is_empty() || (is_extended && !is_connect) {
            return None;
        }
        let host = self.the_host()?;
        let body = match self.content_length {
            _ if is_connect && !end => Body::Tunnel,
            Some(1..) if end || is_connect => return None,
            Some(length) => Body::Length(length),
            None if end => Body::None,
            None => Body::Chunked,
        };
        let target = match is_plain_connect {
            true => self.authority.as_deref().unwrap_or_default(),
            false => &self.path,
        };
        let url = self.url().filter(|_| !is_plain_connect);
        let method = if is_extended {
            b"GET"
        } else {
            self.method.as_slice()
        };
        let target = url.as_deref().unwrap_or(target);
        write_request_line(out, method, target, None, Version::Http11);
        if let Some(host) = host {
            write_field(out, b"host", host);
        }
        if let Some(protocol) = &self.protocol {
            write_field(out, b"connection", b"upgrade");
            write_field(out, b"upgrade", protocol);
            if protocol == b"websocket" {
                write_field(out, b"sec-websocket-key", &key());
            }
        }
        out.extend_from_slice(&self.lines);
        if !self.cookies.is_empty() {
            write_field(out, b"cookie", &self.cookies);
        }
        match body {
            Body::Length(length) => write_content_length(out, length),
            Body::Chunked => write_transfer_chunked(out),
            Body::None | Body::Tunnel => {}
        }
        write_end_of_head(out);
        Some((body, self.asked()))
    }

    /// How an answer to what has come is to be read.
    pub fn asked(&self) -> Asked {
        match self.method.as_slice() {
            b"HEAD" => Asked::Head,
            b"CONNECT" if self.protocol.is_some() => Asked::Upgrade,
            b"CONNECT" => Asked::Connect,
            _ => Asked::Any,
        }
    }

    /// The target in absolute form, where it is wanted so.
    fn url(&self) -> Option<Vec<u8>> {
        let authority = self.authority.as_ref().filter(|_| self.absolute)?;
        if !matches!(self.scheme.as_slice(), b"http" | b"https") {
            return None;
        }
        let of_server = self.path == b"*";
        let path = if of_server { &[][..] } else { &self.path };
        Some([&self.scheme, &b"://"[..], authority, path].concat())
    }

    /// A path, or that of OPTIONS for the server as a whole (section 8.3.1).
    fn has_good_path(&self) -> bool {
        self.path.starts_with(b"/") || (self.path == b"*" && self.method == b"OPTIONS")
    }

    /// What Host says: what `:authority` does, which it may not contradict. `None`: it contradicts.
    fn the_host(&self) -> Option<Option<&[u8]>> {
        let default_port: &[u8] = match self.scheme.as_slice() {
            b"https" => b":443",
            _ => b":80",
        };
        let bare = |host: &'_ [u8]| {
            host.strip_suffix(default_port)
                .unwrap_or(host)
                .to_ascii_lowercase()
        };
        match (self.authority.as_deref(), self.host.as_deref()) {
            (Some(authority), Some(host)) if bare(authority) != bare(host) => None,
            (Some(authority), _) => Some(Some(authority)),
            (None, host) => Some(host),
        }
    }

    /// Writes the lines of the trailers; all their fields have come.
    ///
    /// # Errors
    /// They are no trailers.
    pub fn trailers(&mut self, out: &mut Vec<u8>) -> Result<(), Unfit> {
        let found = match () {
            () if self.bytes > self.most => Err(Unfit::TooLarge),
            () if self.malformed || self.has_pseudo => Err(Unfit::Malformed),
            () => {
                out.extend_from_slice(&self.lines);
                Ok(())
            }
        };
        self.clear();
        found
    }
}
