//! W3C Trace Context: which trace a request belongs to, and which step of it this is (`traceparent` and `tracestate`,
//! W3C Recommendation "Trace Context", level 1).
//!
//! What is not exactly in the form of the recommendation is as if it were not there: a trace begins anew.

/// Digits of a `traceparent`.
const LENGTH: usize = 55;
/// Bytes of `tracestate` that are passed on: what the recommendation asks for at least (section 3.3.1.5).
const STATE_BYTES: usize = 512;
/// Members of `tracestate` that there may be (section 3.3.1.1).
const STATE_MEMBERS: usize = 32;

/// A step of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext([u8; LENGTH]);

/// A part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TracePart {
    /// The whole trace.
    Trace,
    /// This step.
    Span,
}

fn write_hex(number: u128, out: &mut [u8]) {
    for (place, digit) in out.iter_mut().rev().enumerate() {
        let nibble = (number >> (place * 4) & 0xf) as u8;
        *digit = match nibble {
            0..=9 => b'0' + nibble,
            _ => b'a' + nibble - 10,
        };
    }
}

impl TraceContext {
    /// The first step of a trace. The numbers are random; 0 is none.
    pub fn begin(trace: u128, span: u64, sampled: bool) -> Self {
        let mut text = *b"00-00000000000000000000000000000001-0000000000000000-00";
        if let Some(place) = text.get_mut(3..35) {
            write_hex(trace.max(1), place);
        }
        if let Some(flags) = text.get_mut(53..) {
            write_hex(sampled.into(), flags);
        }
        Self(text).step(span)
    }

    /// What a caller says; `None`: nothing that is valid.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let mut text: [u8; LENGTH] = value.get(..LENGTH)?.try_into().ok()?;
        let fits = text.iter().enumerate().all(|(at, byte)| match at {
            2 | 35 | 52 => *byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        });
        let part = |from, to| text.get(from..to).unwrap_or_default();
        let is_none = |from, to| part(from, to).iter().all(|byte| *byte == b'0');
        // Later versions may say more behind it.
        let ends = match (part(0, 2), value.get(LENGTH)) {
            (b"ff", _) => false,
            (b"00", more) => more.is_none(),
            (_, more) => more.is_none_or(|byte| *byte == b'-'),
        };
        if !fits || !ends || is_none(3, 35) || is_none(36, 52) {
            return None;
        }
        // Of the flags only the one that is known is passed on.
        let sampled = text.last().is_some_and(|digit| {
            matches!(digit, b'1' | b'3' | b'5' | b'7' | b'9' | b'b' | b'd' | b'f')
        });
        if let Some(version) = text.get_mut(..2) {
            version.fill(b'0');
        }
        if let Some(flags) = text.get_mut(53..) {
            write_hex(sampled.into(), flags);
        }
        Some(Self(text))
    }

    /// The next step of the same trace.
    #[must_use]
    pub fn step(mut self, span: u64) -> Self {
        if let Some(place) = self.0.get_mut(36..52) {
            write_hex(span.max(1).into(), place);
        }
        self
    }

    /// True where somebody takes the trace down.
    pub fn is_sampled(&self) -> bool {
        // Of the flags only this one is ever set.
        self.0.last() == Some(&b'1')
    }

    /// As it stands in `traceparent`.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// A part of it in hexadecimal digits.
    pub fn part(&self, part: TracePart) -> &[u8] {
        let range = match part {
            TracePart::Trace => 3..35,
            TracePart::Span => 36..52,
        };
        self.0.get(range).unwrap_or_default()
    }
}

/// True where a `tracestate` may be passed on.
pub fn is_acceptable_state(value: &[u8]) -> bool {
    value.len() <= STATE_BYTES
        && value.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t'))
        && value.split(|byte| *byte == b',').count() <= STATE_MEMBERS
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_callers_say() {
        let check = |text: &str, expected: Option<&str>| {
            let found = TraceContext::parse(text.as_bytes());
            let found = found.map(|it| String::from_utf8_lossy(it.as_bytes()).into_owned());
            assert_eq!(found.as_deref(), expected, "{text}");
        };
        check(GOOD, Some(GOOD));
        let off = GOOD.replace("-01", "-00");
        check(&GOOD.replace("-01", "-fe"), Some(&off));
        check(&GOOD.replace("-01", "-ff"), Some(GOOD));
        check(&GOOD.replacen("00-", "cc-", 1), Some(GOOD));
        check(&(GOOD.replacen("00-", "cc-", 1) + "-more"), Some(GOOD));
        for bad in [
            "",
            "00",
            &GOOD.replacen("00-", "ff-", 1),
            &(GOOD.to_owned() + "-more"),
            &(GOOD.replacen("00-", "cc-", 1) + "more"),
            &GOOD.to_uppercase(),
            &GOOD.replace('-', "_"),
            &GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)),
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn steps_of_a_trace() {
        let first = TraceContext::begin(0xabc, 0xde, true);
        let text = "00-00000000000000000000000000000abc-00000000000000de-01";
        assert_eq!(first.as_bytes(), text.as_bytes());
        assert_eq!(TraceContext::parse(first.as_bytes()), Some(first));
        let next = first.step(0xf);
        assert_eq!(next.part(TracePart::Trace), first.part(TracePart::Trace));
        assert_eq!(next.part(TracePart::Span), b"000000000000000f");
        // Nothing is no number.
        assert!(TraceContext::parse(TraceContext::begin(0, 0, false).as_bytes()).is_some());
    }

    #[test]
    fn states() {
        assert!(is_acceptable_state(b"a=1, b=2"));
        assert!(!is_acceptable_state(&[b'a'; 513]));
        assert!(!is_acceptable_state(b"a=1\x01"));
        assert!(!is_acceptable_state("a=1,".repeat(32).as_bytes()));
    }
}
