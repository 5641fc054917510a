//! Numbers of bytes: `4194304`, or `"4MiB"`.

use super::form::Reader;
use crate::expression::Written;

/// Units with their bytes.
const UNITS: [(&str, u64); 10] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

/// Whether the number under this key is one of bytes.
pub(super) fn is_size(key: &str) -> bool {
    matches!(
        key,
        "max_memory"
            | "head_bytes"
            | "max_target_bytes"
            | "initial_window"
            | "max_window"
            | "connection_window"
            | "retry_body_bytes"
            | "limit_body"
            | "request"
            | "response"
            | "at_least"
            | "body_bytes"
            | "answer_bytes"
            | "min_bytes"
    )
}

/// Reads a size with its unit, or says what is wrong.
pub(super) fn read(written: Written<'_>, reader: &mut Reader<'_>) -> Option<i64> {
    let bytes = bytes_of(written.text);
    if bytes.is_none() {
        let message = format!("`{}` is not a size", written.text);
        let help = "write for example \"4MiB\" or 4194304: a number is one of bytes, units are B, KiB, MiB, GiB, TiB, and KB, MB, GB, TB by thousands";
        return reader.refuse(written.span, message, help);
    }
    bytes
}

fn bytes_of(text: &str) -> Option<i64> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(end)?;
    let unit = unit.trim_start_matches(' ');
    let (_, bytes) = UNITS.iter().find(|(known, _)| *known == unit)?;
    let bytes = number.parse::<u64>().ok()?.checked_mul(*bytes)?;
    i64::try_from(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::bytes_of;

    #[test]
    fn sizes_have_units() {
        let rows = [
            ("4MiB", Some(4_194_304)),
            ("64 KiB", Some(65_536)),
            ("0B", Some(0)),
            ("1GB", Some(1_000_000_000)),
            ("2kB", Some(2_000)),
            ("1TiB", Some(1 << 40)),
            ("4M", None),
            ("4mib", None),
            ("4", None),
            ("MiB", None),
            ("", None),
            ("-1MiB", None),
            ("1.5MiB", None),
            ("9999999999999999999B", None),
            ("99999999TiB", None),
        ];
        for (text, bytes) in rows {
            assert_eq!(bytes_of(text), bytes, "{text}");
        }
    }
}
