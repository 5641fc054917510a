//! Blocks of fields as we send them.

use super::integer;
use super::static_table::place_of;

/// What the first block of a connection begins with: a table of no size.
pub const NO_TABLE: u8 = 0x20;

/// Begins the first block of a connection: the peer learns that we use no table (RFC 7541 section 4.2).
pub fn begin(out: &mut Vec<u8>) {
    out.push(NO_TABLE);
}

/// Writes the status of a response.
#[inline]
pub fn status(status: u16, out: &mut Vec<u8>) {
    let place = match status {
        200 => 8,
        204 => 9,
        206 => 10,
        304 => 11,
        400 => 12,
        404 => 13,
        500 => 14,
        _ => {
            let digits = [status / 100, status / 10 % 10, status % 10].map(|it| b'0' + it as u8);
            integer::write(8, 4, 0, out);
            string(&digits, out);
            return;
        }
    };
    integer::write(place, 7, 0x80, out);
}

/// Writes a field. The name is in lower case. A secret is said to be one: nobody on the way may keep it (section 7.1.3).
#[inline]
pub fn field(name: &[u8], value: &[u8], secret: bool, out: &mut Vec<u8>) {
    let pattern = if secret { 0x10 } else { 0 };
    let place = place_of(name);
    integer::write(place, 4, pattern, out);
    if place == 0 {
        string(name, out);
    }
    string(value, out);
}

#[inline]
fn string(text: &[u8], out: &mut Vec<u8>) {
    integer::write(text.len(), 7, 0, out);
    out.extend_from_slice(text);
}
