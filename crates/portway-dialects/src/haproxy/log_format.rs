//! log-format strings: text, `%variables` and `%[expressions]`.

use super::place::{Place, Step};
use super::{Reader, Word, keywords, sample};
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::expression::{Expression, LogValue, Template, TemplatePart, Transform, Value};
use portway_model::span::{Span, Spanned};
use portway_model::stage::Named;

/// The variables, and what they are in a log.
const VARIABLES: &[(&str, Value<Named>)] = &[
    ("ac", Value::Log(LogValue::ProcessConnections)),
    ("B", Value::Log(LogValue::BytesRead)),
    ("b", Value::Log(LogValue::Backend)),
    ("bc", Value::Log(LogValue::GroupConnections)),
    ("bi", Value::Log(LogValue::UpstreamAddress)),
    ("bp", Value::Log(LogValue::UpstreamPort)),
    ("bq", Value::Log(LogValue::GroupQueue)),
    ("CC", Value::Log(LogValue::CapturedRequestCookie)),
    ("ci", Value::Log(LogValue::ClientAddress)),
    ("cp", Value::Log(LogValue::ClientPort)),
    ("CS", Value::Log(LogValue::CapturedResponseCookie)),
    ("f", Value::ListenerName),
    ("fc", Value::Log(LogValue::ListenerConnections)),
    ("fi", Value::Log(LogValue::ListenerAddress)),
    ("fp", Value::Log(LogValue::ListenerPort)),
    ("ft", Value::Log(LogValue::ListenerTransport)),
    ("H", Value::Hostname),
    ("HM", Value::Log(LogValue::RequestMethod)),
    ("HP", Value::Log(LogValue::RequestUriPath)),
    ("HPO", Value::Log(LogValue::RequestPath)),
    ("HQ", Value::Log(LogValue::RequestQuery)),
    ("hr", Value::Log(LogValue::CapturedRequest)),
    ("hrl", Value::Log(LogValue::CapturedRequestList)),
    ("hs", Value::Log(LogValue::CapturedResponse)),
    ("hsl", Value::Log(LogValue::CapturedResponseList)),
    ("HU", Value::Log(LogValue::RequestUri)),
    ("HV", Value::Log(LogValue::RequestVersion)),
    ("ID", Value::RequestId),
    ("lc", Value::Log(LogValue::LogCounter)),
    ("ms", Value::Log(LogValue::AcceptMilliseconds)),
    ("pid", Value::Log(LogValue::ProcessId)),
    ("r", Value::Log(LogValue::RequestLine)),
    ("rc", Value::Log(LogValue::RetriesMarked)),
    ("rt", Value::Log(LogValue::RequestCounter)),
    ("s", Value::Log(LogValue::Server)),
    ("sc", Value::Log(LogValue::TargetConnections)),
    ("si", Value::Log(LogValue::TargetIp)),
    ("sp", Value::Log(LogValue::TargetPort)),
    ("sq", Value::Log(LogValue::TargetQueue)),
    ("sslc", Value::Log(LogValue::TlsCipher)),
    ("sslv", Value::Log(LogValue::TlsVersion)),
    ("ST", Value::Log(LogValue::Status)),
    ("T", Value::Log(LogValue::AcceptTimeCommon)),
    ("t", Value::Log(LogValue::AcceptDate)),
    ("Ta", Value::Log(LogValue::TotalTime)),
    ("Tc", Value::Log(LogValue::ConnectTime)),
    ("Td", Value::Log(LogValue::DataTime)),
    ("Th", Value::Log(LogValue::HandshakeTime)),
    ("Ti", Value::Log(LogValue::IdleTime)),
    ("Tl", Value::Log(LogValue::AcceptTimeLocal)),
    ("Tq", Value::Log(LogValue::UntilRequestTime)),
    ("TR", Value::Log(LogValue::RequestTime)),
    ("Tr", Value::Log(LogValue::ResponseTime)),
    ("tr", Value::Log(LogValue::StartDate)),
    ("trg", Value::Log(LogValue::StartTimeCommon)),
    ("trl", Value::Log(LogValue::StartTimeLocal)),
    ("Ts", Value::Log(LogValue::AcceptSeconds)),
    ("ts", Value::Log(LogValue::TerminationShort)),
    ("tsc", Value::Log(LogValue::TerminationLetters)),
    ("Tt", Value::Log(LogValue::SessionTime)),
    ("Tu", Value::Log(LogValue::UserTime)),
    ("Tw", Value::Log(LogValue::QueueTime)),
    ("U", Value::Log(LogValue::BytesUploaded)),
];

/// What some of them are elsewhere, where the same can be had without a record.
const IN_RULES: &[(&str, Value<Named>)] = &[
    ("ci", Value::Source),
    ("cp", Value::SourcePort),
    ("fi", Value::Destination),
    ("fp", Value::DestinationPort),
    ("HM", Value::Method),
];

/// Every name that is read here.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    VARIABLES.iter().map(|(name, _)| *name).chain(["o"])
}

/// Variables that the flag `X` writes in hexadecimal digits.
const HEXADECIMAL: [&str; 13] = [
    "bi", "bp", "ci", "cp", "fi", "fp", "lc", "ms", "pid", "rt", "si", "sp", "Ts",
];

/// Flags in braces: `%{+Q}o`.
#[derive(Debug, Clone, Copy, Default)]
struct Flags {
    /// `Q`: between double quotes. Expressions that become a part of a message are not quoted.
    quote: bool,
    /// `E`: with a backslash before quotes, backslashes and `]`.
    escape: bool,
    /// `X`: in hexadecimal digits.
    hexadecimal: bool,
}

/// Reads a log-format string. `None` where it is wrong; `reader` then knows why.
pub(crate) fn template(
    word: &Word,
    place: Place,
    reader: &mut Reader<'_>,
) -> Option<Template<Named>> {
    let message = matches!(
        place.step,
        Step::HttpRequest | Step::HttpResponse | Step::Id
    );
    read(word, place, !message, reader)
}

/// The same of one that makes a variable.
pub(crate) fn of_variable(
    word: &Word,
    place: Place,
    reader: &mut Reader<'_>,
) -> Option<Template<Named>> {
    read(word, place, true, reader)
}

fn read(
    word: &Word,
    place: Place,
    quotes_expressions: bool,
    reader: &mut Reader<'_>,
) -> Option<Template<Named>> {
    let mut writing = Writing {
        parts: Vec::new(),
        text: String::new(),
        everywhere: Flags::default(),
        span: word.span,
        place,
        quotes_expressions,
        spaced: true,
        failed: false,
    };
    let mut rest = word.text.as_str();
    while let Some((plain, special)) = rest.split_once('%') {
        writing.plain(plain);
        rest = writing.special(special, reader)?;
    }
    writing.plain(rest);
    writing.flush();
    (!writing.failed).then_some(Template(writing.parts))
}

struct Writing {
    parts: Vec<TemplatePart<Named>>,
    text: String,
    everywhere: Flags,
    span: Span,
    place: Place,
    /// The flag `Q` counts for expressions: HAProxy ignores it in what becomes a header, a target or a body.
    quotes_expressions: bool,
    /// White space was the last that was written, or nothing was.
    spaced: bool,
    failed: bool,
}

impl Writing {
    fn flush(&mut self) {
        if !self.text.is_empty() {
            let text = std::mem::take(&mut self.text);
            self.parts.push(TemplatePart::Text(text));
        }
    }

    /// Reads what stands behind a percent sign; gives what comes after it.
    fn special<'t>(&mut self, special: &'t str, reader: &mut Reader<'_>) -> Option<&'t str> {
        if let Some(rest) = special.strip_prefix('%') {
            self.plain("%");
            return Some(rest);
        }
        let (flags, rest) = match special.strip_prefix('{') {
            None => (None, special),
            Some(inner) => {
                let Some((flags, rest)) = inner.split_once('}') else {
                    let message =
                        format!("the flags after '%{{' are not closed with '}}': '{inner}'");
                    reader.error(Code::Syntax, self.span, message);
                    return None;
                };
                (Some(flags), rest)
            }
        };
        let mut current = self.everywhere;
        for flag in flags.unwrap_or("").split(',') {
            match flag {
                "+Q" => current.quote = true,
                "-Q" => current.quote = false,
                "+E" => current.escape = true,
                "-E" => current.escape = false,
                "+X" => current.hexadecimal = true,
                "-X" => current.hexadecimal = false,
                _ => {}
            }
        }
        if let Some(inner) = rest.strip_prefix('[') {
            let Some(end) = closing(inner) else {
                let message = format!("the expression '%[{inner}' is not closed with ']'");
                reader.error(Code::Syntax, self.span, message);
                return None;
            };
            let (text, rest) = inner.split_at_checked(end).unwrap_or((inner, ""));
            current.quote &= self.quotes_expressions;
            match sample::written(text, self.span, self.place, reader) {
                Some(expression) => self.expression(expression, current, true),
                None => self.failed = true,
            }
            return Some(rest.get(1..).unwrap_or(""));
        }
        let end = rest
            .find(|c: char| !c.is_ascii_alphanumeric())
            .unwrap_or(rest.len());
        let (name, rest) = rest.split_at_checked(end).unwrap_or((rest, ""));
        if name == "o" {
            self.everywhere = current;
            return Some(rest);
        }
        self.variable(name, current, reader);
        Some(rest)
    }

    fn variable(&mut self, name: &str, flags: Flags, reader: &mut Reader<'_>) {
        let in_rules = match self.place.step {
            Step::Log | Step::Id => &[],
            _ => IN_RULES,
        };
        let mut all = in_rules.iter().chain(VARIABLES);
        if let Some((_, value)) = all.find(|(known, _)| *known == name) {
            let mut expression = Expression::from(value.clone());
            if flags.hexadecimal && HEXADECIMAL.contains(&name) {
                expression.transforms.push(Transform::Hexadecimal);
            }
            let flags = match value {
                Value::Log(value) if !value.is_text() => Flags::default(),
                // Digits are not quoted.
                _ if flags.hexadecimal && HEXADECIMAL.contains(&name) => Flags::default(),
                _ => flags,
            };
            return self.expression(expression, flags, may_be_missing(value));
        }
        self.failed = true;
        if !name.is_empty() {
            return reader.push(keywords::alias_fault(name, self.span));
        }
        let message = "a '%' with nothing behind it";
        let diagnostic = Diagnostic::error(Code::Unknown, self.span, message);
        reader.push(diagnostic.help("write '%%' for a percent sign"));
    }

    /// `dash`: in a log `-` stands for it where there is nothing.
    fn expression(&mut self, mut expression: Expression<Named>, flags: Flags, dash: bool) {
        if flags.escape {
            expression.transforms.push(Transform::Backslashed);
        }
        if flags.quote {
            expression.transforms.push(Transform::Quoted);
        } else if dash && self.place.step == Step::Log {
            expression
                .transforms
                .push(Transform::Default("-".to_owned()));
        }
        self.flush();
        self.spaced = false;
        self.parts.push(TemplatePart::Expression(Spanned::new(
            expression, self.span,
        )));
    }

    /// Text between variables. In logs white space is one space, and none at the beginning.
    fn plain(&mut self, text: &str) {
        if !matches!(self.place.step, Step::Log | Step::Id) {
            self.text.push_str(text);
            return;
        }
        for c in text.chars() {
            let space = c.is_ascii_whitespace();
            if !space {
                self.text.push(c);
            } else if !self.spaced {
                self.text.push(' ');
            }
            self.spaced = space;
        }
    }
}

/// True for variables of which a log has `-` where there is nothing; others always are something, or nothing is written.
fn may_be_missing(value: &Value<Named>) -> bool {
    match value {
        Value::Log(value) => matches!(
            value,
            LogValue::UpstreamAddress
                | LogValue::TargetIp
                | LogValue::CapturedRequestCookie
                | LogValue::CapturedResponseCookie
                | LogValue::TlsVersion
                | LogValue::TlsCipher
        ),
        Value::ListenerName => false,
        _ => true,
    }
}

/// Where the bracket that closes an expression stands: not within quotes, nor among arguments.
fn closing(inner: &str) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    let mut arguments = false;
    for (at, c) in inner.char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (None | Some('"'), '\\') => escaped = true,
            (None, ']') if !arguments => return Some(at),
            (None, '(') => arguments = true,
            (None, ')') => arguments = false,
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            _ => {}
        }
    }
    None
}
