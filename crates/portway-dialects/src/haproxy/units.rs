//! Numbers, times and sizes as HAProxy writes them.

use super::reader::Reader;
use super::word::Word;
use portway_model::diagnostic::{Code, Diagnostic};
use std::time::Duration;

/// A unit of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// `us`.
    Microseconds,
    /// `ms`, what most keywords take a bare number for.
    Milliseconds,
    /// `s`.
    Seconds,
    /// `m`.
    Minutes,
    /// `h`.
    Hours,
    /// `d`.
    Days,
}

impl Unit {
    const ALL: [(&'static str, Unit); 6] = [
        ("us", Unit::Microseconds),
        ("ms", Unit::Milliseconds),
        ("s", Unit::Seconds),
        ("m", Unit::Minutes),
        ("h", Unit::Hours),
        ("d", Unit::Days),
    ];

    fn microseconds(self) -> u64 {
        match self {
            Unit::Microseconds => 1,
            Unit::Milliseconds => 1_000,
            Unit::Seconds => 1_000_000,
            Unit::Minutes => 60_000_000,
            Unit::Hours => 3_600_000_000,
            Unit::Days => 86_400_000_000,
        }
    }
}

/// The longest time in milliseconds, as in HAProxy (24.8 days).
pub(crate) const MAX_MILLISECONDS: u64 = 2_147_483_647;

/// A time. A bare number is of `default_unit`; less than a millisecond counts as one, as in HAProxy.
pub(crate) fn duration(
    word: &Word,
    default_unit: Unit,
    reader: &mut Reader<'_>,
) -> Option<Duration> {
    match parse_duration(word.as_str(), default_unit) {
        Ok((duration, "")) => Some(duration),
        Ok((duration, rest)) => {
            let message = format!("`{rest}` after the unit is not read");
            let help = "write one number with one unit: us, ms, s, m, h or d";
            reader.push(Diagnostic::warning(Code::WrongType, word.span, message).help(help));
            Some(duration)
        }
        Err(message) => {
            let help = "write a number and its unit: us, ms, s, m, h or d";
            reader.push(Diagnostic::error(Code::WrongType, word.span, message).help(help));
            None
        }
    }
}

/// As [`duration`], with what stands after the unit (HAProxy 2.6 only warns of it), or the message.
pub(crate) fn parse_duration(text: &str, default_unit: Unit) -> Result<(Duration, &str), String> {
    let (number, rest) = digits(text);
    let unit = match rest {
        "" => Some((default_unit, "")),
        rest => Unit::ALL
            .into_iter()
            .find_map(|(word, unit)| Some((unit, rest.strip_prefix(word)?))),
    };
    let (false, Some((unit, rest))) = (number.is_empty(), unit) else {
        return Err(format!("`{text}` is not a time"));
    };
    let microseconds = number.parse::<u64>().ok();
    let microseconds = microseconds.and_then(|number| number.checked_mul(unit.microseconds()));
    let milliseconds = microseconds.map(|micros| micros.div_ceil(1_000));
    match milliseconds.filter(|milliseconds| *milliseconds <= MAX_MILLISECONDS) {
        Some(milliseconds) => Ok((Duration::from_millis(milliseconds), rest)),
        None => Err(format!(
            "`{text}` is too long: at most {MAX_MILLISECONDS} ms, 24.8 days"
        )),
    }
}

/// A number of bytes: `k`, `m` and `g` (of either case) multiply by 1024, 1024² and 1024³.
pub(crate) fn size(word: &Word, reader: &mut Reader<'_>) -> Option<u64> {
    let (number, rest) = digits(word.as_str());
    let shift = match rest {
        "" => Some(0),
        "k" | "K" => Some(10),
        "m" | "M" => Some(20),
        "g" | "G" => Some(30),
        _ => None,
    };
    let size = number
        .parse::<u64>()
        .ok()
        .zip(shift)
        .and_then(|(number, shift)| number.checked_mul(1 << shift));
    if size.is_none() {
        let message = format!("`{}` is not a size", word.text);
        let help = "write a number of bytes; `k`, `m` and `g` after it multiply it by 1024, 1024² and 1024³";
        reader.push(Diagnostic::error(Code::WrongType, word.span, message).help(help));
    }
    size
}

/// A whole number from `least` to `most`.
pub(crate) fn number(word: &Word, least: u64, most: u64, reader: &mut Reader<'_>) -> Option<u64> {
    let (number, rest) = digits(word.as_str());
    if number.is_empty() || !rest.is_empty() {
        let message = format!("`{}` is not a number", word.text);
        reader.error(Code::WrongType, word.span, message);
        return None;
    }
    let parsed = number.parse::<u64>().ok();
    let parsed = parsed.filter(|number| (least..=most).contains(number));
    if parsed.is_none() {
        let message = format!("`{}` is not from {least} to {most}", word.text);
        reader.error(Code::OutOfRange, word.span, message);
    }
    parsed
}

/// As [`number`] for words of which HAProxy reads the digits that they begin with, and 0 where there are none.
pub(crate) fn loose_number(
    word: &Word,
    least: u64,
    most: u64,
    reader: &mut Reader<'_>,
) -> Option<u64> {
    let (read, rest) = digits(word.as_str());
    let read = if read.is_empty() { "0" } else { read };
    let read = read.parse().ok();
    let read = read.filter(|number| (least..=most).contains(number));
    match read {
        Some(read) if !rest.is_empty() && !rest.starts_with('-') => {
            let message = format!("`{}` is read as {read}", word.text);
            let help = "the digits at its beginning count, as in HAProxy: write the number and nothing else";
            reader.push(Diagnostic::warning(Code::WrongType, word.span, message).help(help));
            Some(read)
        }
        _ => number(word, least, most, reader),
    }
}

/// The digits that `text` begins with, and the rest.
fn digits(text: &str) -> (&str, &str) {
    let end = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inputs::Inputs;
    use portway_model::span::{FileId, Span};

    fn word(text: &str) -> Word {
        Word {
            text: text.to_owned(),
            span: Span::new(FileId(0), 0..text.len()),
        }
    }

    #[test]
    fn times() {
        let check = |text: &str, expected: Result<u64, &str>| {
            let found = parse_duration(text, Unit::Milliseconds);
            match expected {
                Ok(milliseconds) => {
                    let found = found.map(|(duration, _)| duration);
                    assert_eq!(found, Ok(Duration::from_millis(milliseconds)), "{text}");
                }
                Err(part) => assert!(found.unwrap_err().contains(part), "{text}"),
            }
        };
        check("5", Ok(5));
        check("5ms", Ok(5));
        check("5s", Ok(5_000));
        check("2m", Ok(120_000));
        check("1h", Ok(3_600_000));
        check("1d", Ok(86_400_000));
        check("0", Ok(0));
        check("0us", Ok(0));
        check("1us", Ok(1));
        check("1500us", Ok(2));
        check("2147483647", Ok(2_147_483_647));
        check("2147483648", Err("too long"));
        check("25d", Err("too long"));
        check("99999999999999999999", Err("too long"));
        check("99999999999999d", Err("too long"));
        for text in ["", "s", "-1", "+5", "5.5s", "5x", "infinite"] {
            check(text, Err("is not a time"));
        }
        assert_eq!(
            parse_duration("5", Unit::Seconds),
            Ok((Duration::from_secs(5), ""))
        );
        let (hour, rest) = parse_duration("1h30m", Unit::Seconds).unwrap();
        assert_eq!((hour.as_secs(), rest), (3_600, "30m"));
    }

    #[test]
    fn sizes_and_numbers() {
        let check = |text: &str, size: Option<u64>, number: Option<u64>| {
            let mut reader = Reader::new(FileId(0), &Inputs::NOTHING);
            assert_eq!(super::size(&word(text), &mut reader), size, "{text}");
            let found = super::number(&word(text), 1, 100, &mut reader);
            assert_eq!(found, number, "{text}");
            let missing = usize::from(size.is_none()) + usize::from(number.is_none());
            assert_eq!(reader.diagnostics.iter().count(), missing, "{text}");
        };
        check("16", Some(16), Some(16));
        check("0", Some(0), None);
        check("101", Some(101), None);
        check("16k", Some(16 * 1024), None);
        check("1M", Some(1024 * 1024), None);
        check("2g", Some(2 * 1024 * 1024 * 1024), None);
        check("99999999999999999999", None, None);
        check("99999999999999999g", None, None);
        for text in ["", "x", "-1", "1kb", "1 k"] {
            check(text, None, None);
        }
    }
}
