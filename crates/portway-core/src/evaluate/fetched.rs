//! A value that was fetched, and its conversions between types.
//!
//! Text is the common form: a number is its decimal digits, a boolean `1` or `0` (as HAProxy writes it), an
//! address its usual notation. Text that is wholly a decimal number is that number.

use std::borrow::Cow;
use std::io::Write;
use std::net::IpAddr;

/// Bytes that the text of a number or an address takes at most: an IPv6 address with an IPv4 tail has 45.
const TEXT_MAX: usize = 48;

/// What a fetch or a transform gives.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Fetched<'a> {
    /// There is no such value.
    #[default]
    Absent,
    /// Text or any other bytes.
    Bytes(Cow<'a, [u8]>),
    /// A whole number.
    Number(i64),
    /// A boolean.
    Boolean(bool),
    /// An address without a port.
    Address(IpAddr),
}

/// Room for the text of a value that is not text.
pub(crate) struct Scratch([u8; TEXT_MAX]);

impl Scratch {
    pub(crate) fn new() -> Self {
        Self([0; TEXT_MAX])
    }
}

impl<'a> Fetched<'a> {
    /// True where there is a value.
    pub fn is_present(&self) -> bool {
        !matches!(self, Fetched::Absent)
    }

    /// The number: of a text that is a decimal number with optional minus sign, 1 or 0 of a boolean.
    pub fn number(&self) -> Option<i64> {
        match self {
            Fetched::Number(number) => Some(*number),
            Fetched::Boolean(truth) => Some(i64::from(*truth)),
            Fetched::Bytes(bytes) => parse_number(bytes.trim_ascii()),
            Fetched::Absent | Fetched::Address(_) => None,
        }
    }

    /// The number that anything present stands for: of a text the digits at its start, after an optional sign, 0
    /// where there are none; of an IPv4 address its bits. An IPv6 address is none.
    pub(crate) fn cast_number(&self) -> Option<i64> {
        match self {
            Fetched::Bytes(bytes) => Some(leading_number(bytes)),
            Fetched::Address(address) => match address.to_canonical() {
                IpAddr::V4(address) => Some(i64::from(address.to_bits())),
                IpAddr::V6(_) => None,
            },
            other => other.number(),
        }
    }

    /// The address, also of a text that is one, or one of IPv4 with a port.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Fetched::Address(address) => Some(*address),
            Fetched::Bytes(bytes) => {
                let text = std::str::from_utf8(bytes.trim_ascii()).ok()?;
                text.parse().ok().or_else(|| without_port(text))
            }
            Fetched::Absent | Fetched::Number(_) | Fetched::Boolean(_) => None,
        }
    }

    /// True for a true boolean, a number other than 0, a text that is not empty, an address.
    pub fn truth(&self) -> bool {
        match self {
            Fetched::Absent => false,
            Fetched::Bytes(bytes) => !bytes.is_empty(),
            Fetched::Number(number) => *number != 0,
            Fetched::Boolean(truth) => *truth,
            Fetched::Address(_) => true,
        }
    }

    /// Appends the text; nothing where the value is absent.
    pub fn write(&self, out: &mut Vec<u8>) {
        if let Some(text) = self.text(&mut Scratch::new()) {
            out.extend_from_slice(text);
        }
    }

    /// The text, owned only where it had to be made.
    pub fn into_text(self) -> Option<Cow<'a, [u8]>> {
        match self {
            Fetched::Bytes(bytes) => Some(bytes),
            other => {
                let mut scratch = Scratch::new();
                let text = other.text(&mut scratch)?;
                Some(Cow::Owned(text.to_vec()))
            }
        }
    }

    /// The same value, borrowed from this one.
    pub fn lent(&self) -> Fetched<'_> {
        match self {
            Fetched::Absent => Fetched::Absent,
            Fetched::Bytes(bytes) => Fetched::Bytes(Cow::Borrowed(bytes)),
            Fetched::Number(number) => Fetched::Number(*number),
            Fetched::Boolean(truth) => Fetched::Boolean(*truth),
            Fetched::Address(address) => Fetched::Address(*address),
        }
    }

    /// The same value, borrowing nothing.
    pub fn into_owned(self) -> Fetched<'static> {
        match self {
            Fetched::Absent => Fetched::Absent,
            Fetched::Bytes(bytes) => Fetched::Bytes(Cow::Owned(bytes.into_owned())),
            Fetched::Number(number) => Fetched::Number(number),
            Fetched::Boolean(truth) => Fetched::Boolean(truth),
            Fetched::Address(address) => Fetched::Address(address),
        }
    }

    /// The text, written into `scratch` where it had to be made.
    pub(crate) fn text<'t>(&'t self, scratch: &'t mut Scratch) -> Option<&'t [u8]> {
        match self {
            Fetched::Absent => None,
            Fetched::Bytes(bytes) => Some(bytes),
            Fetched::Boolean(true) => Some(b"1"),
            Fetched::Boolean(false) => Some(b"0"),
            Fetched::Number(number) => format(scratch, format_args!("{number}")),
            Fetched::Address(address) => format(scratch, format_args!("{address}")),
        }
    }
}

/// What `arguments` say; `None` if that were longer than a scratch, which no number and no address is.
fn format<'t>(scratch: &'t mut Scratch, arguments: std::fmt::Arguments<'_>) -> Option<&'t [u8]> {
    let mut rest: &mut [u8] = &mut scratch.0;
    rest.write_fmt(arguments).ok()?;
    let left = rest.len();
    scratch.0.get(..TEXT_MAX - left)
}

/// An IPv4 address that a colon and a port follow.
fn without_port(text: &str) -> Option<IpAddr> {
    let (address, port) = text.split_once(':')?;
    port.parse::<u16>().ok()?;
    address.parse().ok().map(IpAddr::V4)
}

/// A decimal number with optional minus sign that fits; `None` for anything else.
fn parse_number(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    if digits.is_empty() {
        return None;
    }
    // Gathered below zero, where the range is one larger.
    let mut number: i64 = 0;
    for byte in digits {
        if !byte.is_ascii_digit() {
            return None;
        }
        number = number
            .checked_mul(10)?
            .checked_sub(i64::from(byte - b'0'))?;
    }
    if negative {
        Some(number)
    } else {
        number.checked_neg()
    }
}

/// The number at the start of a text; it stops at the ends of its range.
fn leading_number(text: &[u8]) -> i64 {
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0_i64, |number, digit| {
        let digit = i64::from(digit - b'0');
        let signed = if negative { -digit } else { digit };
        number.saturating_mul(10).saturating_add(signed)
    })
}

impl<'a> From<&'a [u8]> for Fetched<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Fetched::Bytes(Cow::Borrowed(bytes))
    }
}

impl<'a> From<&'a str> for Fetched<'a> {
    fn from(text: &'a str) -> Self {
        Fetched::Bytes(Cow::Borrowed(text.as_bytes()))
    }
}

impl<'a> From<Cow<'a, [u8]>> for Fetched<'a> {
    fn from(bytes: Cow<'a, [u8]>) -> Self {
        Fetched::Bytes(bytes)
    }
}

impl From<Vec<u8>> for Fetched<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Fetched::Bytes(Cow::Owned(bytes))
    }
}

impl From<i64> for Fetched<'_> {
    fn from(number: i64) -> Self {
        Fetched::Number(number)
    }
}

impl From<u32> for Fetched<'_> {
    fn from(number: u32) -> Self {
        Fetched::Number(i64::from(number))
    }
}

impl From<u16> for Fetched<'_> {
    fn from(number: u16) -> Self {
        Fetched::Number(i64::from(number))
    }
}

impl From<u8> for Fetched<'_> {
    fn from(number: u8) -> Self {
        Fetched::Number(i64::from(number))
    }
}

impl From<u64> for Fetched<'_> {
    fn from(number: u64) -> Self {
        Fetched::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<bool> for Fetched<'_> {
    fn from(truth: bool) -> Self {
        Fetched::Boolean(truth)
    }
}

impl From<IpAddr> for Fetched<'_> {
    fn from(address: IpAddr) -> Self {
        Fetched::Address(address)
    }
}

impl<'a, T: Into<Fetched<'a>>> From<Option<T>> for Fetched<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Fetched::Absent, Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_and_numbers() {
        let check = |text: &str, number: Option<i64>| {
            assert_eq!(Fetched::from(text).number(), number, "{text:?}");
        };
        check("0", Some(0));
        check("-0", Some(0));
        check("007", Some(7));
        check(" 12 ", Some(12));
        check("-12", Some(-12));
        check("9223372036854775807", Some(i64::MAX));
        check("9223372036854775808", None);
        check("-9223372036854775808", Some(i64::MIN));
        check("-9223372036854775809", None);
        for text in ["", "-", "+1", "1.5", "0x10", "1 2", "12a", "١"] {
            check(text, None);
        }
        assert_eq!(Fetched::from(true).number(), Some(1));
        assert_eq!(Fetched::from(IpAddr::from([1, 2, 3, 4])).number(), None);
    }

    #[test]
    fn texts_of_other_types() {
        let check = |fetched: Fetched<'_>, text: &str| {
            let mut out = b"<".to_vec();
            fetched.write(&mut out);
            assert_eq!(out, format!("<{text}").as_bytes());
            let owned = fetched.into_text().map(|text| text.to_vec());
            assert_eq!(owned.unwrap_or_default(), text.as_bytes());
        };
        check(Fetched::Absent, "");
        check(i64::MIN.into(), "-9223372036854775808");
        check(true.into(), "1");
        check(false.into(), "0");
        check(IpAddr::from([10, 0, 0, 255]).into(), "10.0.0.255");
        check(
            IpAddr::from([0xffff_u16; 8]).into(),
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        );
        check(
            IpAddr::from([0, 0, 0, 0, 0, 0xffff, 0xffff, 0xffff]).into(),
            "::ffff:255.255.255.255",
        );
        check("a".into(), "a");
    }

    #[test]
    fn addresses_and_truth() {
        let address = |text: &str| Fetched::from(text).address();
        assert_eq!(address(" 10.1.2.3 "), Some(IpAddr::from([10, 1, 2, 3])));
        assert_eq!(address("::1").map(|a| a.to_string()), Some("::1".into()));
        assert_eq!(address("10.1.2.3:80"), Some(IpAddr::from([10, 1, 2, 3])));
        assert_eq!(address("10.1.2.3:http"), None);
        assert_eq!(Fetched::from(7_i64).address(), None);
        for (fetched, truth) in [
            (Fetched::Absent, false),
            ("".into(), false),
            ("0".into(), true),
            (0_i64.into(), false),
            ((-1_i64).into(), true),
            (false.into(), false),
            (true.into(), true),
        ] {
            assert_eq!(fetched.truth(), truth, "{fetched:?}");
        }
    }

    proptest! {
        #[test]
        fn any_number_survives_its_text(number: i64) {
            let text = Fetched::from(number).into_text().unwrap().into_owned();
            prop_assert_eq!(Fetched::from(text).number(), Some(number));
        }

        #[test]
        fn any_bytes_convert(bytes: Vec<u8>) {
            let fetched = Fetched::from(bytes);
            let _ = (fetched.number(), fetched.address(), fetched.truth());
        }
    }
}
