//! `accessLog.filters` and `accessLog.fields`: which requests leave a record, and what records say of people.

use super::super::matcher::test;
use super::super::schema::Section;
use super::Lowering;
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::expression::{Condition, LogValue, Matcher, NumberRange, Value};
use portway_model::log::RecordPart;
use portway_model::span::{Span, Spanned};
use portway_model::stage::Named;

/// Fields of Traefik's records, and what of ours is the same.
const PARTS: [(&str, RecordPart); 9] = [
    ("ClientAddr", RecordPart::Client),
    ("ClientHost", RecordPart::Client),
    ("ClientPort", RecordPart::Client),
    ("RequestAddr", RecordPart::Host),
    ("RequestHost", RecordPart::Host),
    ("RequestPath", RecordPart::RequestTarget),
    ("RequestLine", RecordPart::RequestTarget),
    ("ServiceURL", RecordPart::TargetAddress),
    ("ServiceAddr", RecordPart::TargetAddress),
];
/// Those that our records have in any case.
const KEPT: [&str; 17] = [
    "DownstreamContentSize",
    "DownstreamStatus",
    "Duration",
    "OriginDuration",
    "RequestContentSize",
    "RequestMethod",
    "RequestProtocol",
    "RequestScheme",
    "RetryAttempts",
    "ServiceName",
    "SpanId",
    "StartLocal",
    "StartUTC",
    "TLSCipher",
    "TLSVersion",
    "TraceId",
    "entryPointName",
];
/// Header fields that records have.
const HEADERS: [(&str, RecordPart); 2] = [
    ("User-Agent", RecordPart::UserAgent),
    ("Referer", RecordPart::Referer),
];

/// What becomes of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Keep,
    /// Dropped, or redacted.
    LeaveOut,
}

impl Lowering<'_> {
    /// Which requests are logged: those that one of the filters holds for. `None`: all.
    pub(super) fn filters(&mut self, log: &Section) -> Option<Spanned<Condition<Named>>> {
        let filters = log.section("filters")?;
        let mut any = Vec::new();
        let codes = filters.list("statusCodes");
        let ranges: Vec<NumberRange> = codes.iter().filter_map(|it| self.codes(it)).collect();
        if !ranges.is_empty() {
            any.push(number(LogValue::Status, ranges, filters.span));
        }
        if filters.is_on("retryAttempts") {
            any.push(number(LogValue::Retries, vec![from(1)], filters.span));
        }
        if let Some(least) = filters.duration("minDuration")
            && !least.value.is_zero()
        {
            let millis = i64::try_from(least.value.as_millis()).unwrap_or(i64::MAX);
            let longer = vec![from(millis.saturating_add(1))];
            any.push(number(LogValue::TotalTime, longer, least.span));
        }
        let condition = match (any.len(), any.pop()) {
            (1, Some(one)) => one,
            (_, Some(last)) => {
                any.push(last);
                Condition::Any(any)
            }
            // A filter was meant, though it says nothing that can be read.
            (_, None) => return None,
        };
        Some(Spanned::new(condition, filters.span))
    }

    /// `200` or `400-404`.
    fn codes(&mut self, text: &Spanned<String>) -> Option<NumberRange> {
        let (min, max) = text
            .value
            .split_once('-')
            .unwrap_or((&text.value, &text.value));
        let status = |text: &str| {
            text.trim()
                .parse()
                .ok()
                .filter(|it| (100..=599).contains(it))
        };
        let range = status(min).zip(status(max)).filter(|(min, max)| min <= max);
        if range.is_none() {
            let message = format!("`{}` is no status, and no range of them", text.value);
            let one = Diagnostic::error(Code::OutOfRange, text.span, message);
            self.refused(one.help("such as `200` or `500-599`"));
        }
        range.map(|(min, max)| NumberRange { min, max })
    }

    /// What records are without.
    pub(super) fn left_out(&mut self, log: &Section) -> Vec<Spanned<RecordPart>> {
        let Some(fields) = log.section("fields") else {
            return Vec::new();
        };
        let mut parts = self.of_names(fields, &PARTS, Mode::Keep, &["keep", "drop"]);
        for (name, mode) in fields.map("names") {
            if KEPT.contains(&name.value.as_str()) && mode.value != "keep" {
                let message = format!("records have what `{}` says all the same", name.value);
                let one = Diagnostic::warning(Code::NotRun, name.span, message);
                self.refused(
                    one.help("client, host, path and address of the server can be left out"),
                );
            }
        }
        if let Some(headers) = fields.section("headers") {
            let modes = ["keep", "drop", "redact"];
            parts.extend(self.of_names(headers, &HEADERS, Mode::LeaveOut, &modes));
            for (name, mode) in headers.map("names") {
                let known = HEADERS
                    .iter()
                    .any(|(it, _)| it.eq_ignore_ascii_case(&name.value));
                if !known && mode.value == "keep" {
                    let message = format!("records do not have the header `{}`", name.value);
                    let one = Diagnostic::warning(Code::NotRun, name.span, message);
                    self.refused(one.help("`User-Agent` and `Referer` are in them"));
                }
            }
        }
        parts
    }

    /// The parts of which `names` or `defaultMode` of a section say that they are left out.
    fn of_names(
        &mut self,
        section: &Section,
        parts: &[(&str, RecordPart)],
        usual: Mode,
        modes: &[&str],
    ) -> Vec<Spanned<RecordPart>> {
        let default = section.some_text("defaultMode");
        let default = default.map_or(Some(usual), |it| self.mode(it, modes));
        let names = section.map("names").iter();
        let said: Vec<_> = names
            .filter_map(|(name, mode)| {
                let mode = Spanned::new(mode.value.as_str(), mode.span);
                Some((name, self.mode(mode, modes)?))
            })
            .collect();
        let mut found: Vec<Spanned<RecordPart>> = Vec::new();
        for (name, part) in parts {
            let own = said
                .iter()
                .find(|(it, _)| it.value.eq_ignore_ascii_case(name));
            let (mode, span) = match own {
                Some((name, mode)) => (Some(*mode), name.span),
                None => (default, section.span),
            };
            let is_new = found.iter().all(|it| it.value != *part);
            if mode == Some(Mode::LeaveOut) && is_new {
                found.push(Spanned::new(*part, span));
            }
        }
        found
    }

    fn mode(&mut self, text: Spanned<&str>, modes: &[&str]) -> Option<Mode> {
        if !modes.contains(&text.value) {
            let message = format!("`{}` is no mode of fields", text.value);
            let one = Diagnostic::error(Code::OutOfRange, text.span, message);
            self.refused(one.help(format!("one of: {}", modes.join(", "))));
            return None;
        }
        Some(match text.value {
            "keep" => Mode::Keep,
            _ => Mode::LeaveOut,
        })
    }
}

fn from(min: i64) -> NumberRange {
    NumberRange { min, max: i64::MAX }
}

/// A number of the record lies in one of these ranges.
fn number(value: LogValue, any_of: Vec<NumberRange>, at: Span) -> Condition<Named> {
    test(Value::Log(value), Matcher::Number { any_of }, at)
}
