//! A record as one line of an access log.
//!
//! A line never contains a line feed but its last byte, whatever peers sent: that is the one hard thing here, since every
//! text in it may come from an attacker. Writing allocates nothing but what the buffer grows by.

mod alb;
mod combined;
mod date;
mod json;

use crate::record::{ConnectionRecord, Record};
pub use date::{Date, Dates};

pub use json::{KEYS, Key, Scope};

/// The forms of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// One JSON object a line, with the keys of [`KEYS`].
    Json,
    /// Apache's combined format, as nginx writes it.
    Combined,
    /// The form of an Application Load Balancer's log.
    Alb,
}

/// Writes records in one format. Each worker has its own: it remembers the text of the current second.
#[derive(Debug)]
pub struct Formatter {
    format: Format,
    dates: Dates,
}

impl Formatter {
    /// A formatter.
    pub fn new(format: Format) -> Formatter {
        Formatter {
            format,
            dates: Dates::default(),
        }
    }

    /// Appends the line of an exchange, with its line feed.
    pub fn exchange(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        let dates = &mut self.dates;
        match self.format {
            Format::Json => json::exchange(record, dates.at(record.start), out),
            Format::Combined => combined::exchange(record, dates.at(record.start), out),
            Format::Alb => alb::exchange(record, dates, out),
        }
    }

    /// Appends the line of a TCP connection, with its line feed.
    pub fn connection(&mut self, record: &ConnectionRecord<'_>, out: &mut Vec<u8>) {
        let dates = &mut self.dates;
        match self.format {
            Format::Json => json::connection(record, dates.at(record.start), out),
            Format::Combined => combined::connection(record, dates.at(record.start), out),
            Format::Alb => alb::connection(record, dates, out),
        }
    }
}

/// Appends a number in decimal.
pub fn number(mut value: u64, out: &mut Vec<u8>) {
    // 2^64 has 20 digits.
    let mut digits = [b'0'; 20];
    let mut used = 0;
    for place in digits.iter_mut().rev() {
        *place = b'0' + (value % 10) as u8;
        value /= 10;
        used += 1;
        if value == 0 {
            break;
        }
    }
    // `used` is 1 to 20.
    out.extend_from_slice(digits.get(20 - used..).unwrap_or(&digits));
}

/// Appends an IP address; IPv4 addresses in their IPv6 form as IPv4.
pub fn address(ip: std::net::IpAddr, out: &mut Vec<u8>) {
    match ip.to_canonical() {
        std::net::IpAddr::V4(v4) => {
            for (place, octet) in v4.octets().into_iter().enumerate() {
                if place > 0 {
                    out.push(b'.');
                }
                number(u64::from(octet), out);
            }
        }
        std::net::IpAddr::V6(v6) => {
            // Writing into a Vec does not fail.
            let _ = std::io::Write::write_fmt(out, format_args!("{v6}"));
        }
    }
}

/// Appends `text`, copying runs of bytes that are `plain` and giving every other one to `escape`.
fn escaped(
    mut text: &[u8],
    plain: impl Fn(u8) -> bool,
    mut escape: impl FnMut(u8, &mut Vec<u8>),
    out: &mut Vec<u8>,
) {
    while !text.is_empty() {
        let run = text.iter().position(|&b| !plain(b)).unwrap_or(text.len());
        // `run` is at most the length of `text`.
        let (copied, rest) = text.split_at(run);
        out.extend_from_slice(copied);
        text = match rest.split_first() {
            Some((&byte, rest)) => {
                escape(byte, out);
                rest
            }
            None => rest,
        };
    }
}

/// Appends a text as HAProxy writes what clients chose (its manual, section 8.6): what is not printable ASCII, `"` and `#`
/// become `#` and two hexadecimal digits; where it stands in braces, `{`, `|` and `}` too.
pub fn encode(text: &[u8], in_braces: bool, out: &mut Vec<u8>) {
    let plain = |byte: u8| {
        let printable = matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'#');
        printable && !(in_braces && matches!(byte, b'{' | b'|' | b'}'))
    };
    let escape = |byte: u8, out: &mut Vec<u8>| {
        out.push(b'#');
        out.push(hex_digit(byte >> 4, b'A'));
        out.push(hex_digit(byte, b'A'));
    };
    escaped(text, plain, escape, out);
}

/// The lower four bits as a hexadecimal digit.
fn hex_digit(nibble: u8, letter: u8) -> u8 {
    match nibble & 15 {
        digit @ 0..=9 => b'0' + digit,
        more => letter + (more - 10),
    }
}

#[cfg(test)]
mod tests;
