//! log-format strings: text, `%variables` and `%[expressions]`.

use super::place::Place;
use super::{Reader, Word, sample};
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::expression::{Expression, LogValue, Template, TemplatePart, Value};
use portway_model::span::{Span, Spanned};
use portway_model::stage::Named;

/// The variables, and what they are.
const VARIABLES: &[(&str, Value<Named>)] = &[
    ("ci", Value::Source),
    ("cp", Value::SourcePort),
    ("fi", Value::Destination),
    ("fp", Value::DestinationPort),
    ("f", Value::ListenerName),
    ("ft", Value::ListenerName),
    ("fc", Value::ListenerConnections),
    ("b", Value::GroupName),
    ("s", Value::TargetName),
    ("ST", Value::Status),
    ("HM", Value::Method),
    ("HP", Value::Path),
    ("HPO", Value::Path),
    ("HQ", Value::Query),
    ("HU", Value::Target),
    ("ID", Value::RequestId),
    ("H", Value::Hostname),
    ("Ts", Value::Now),
    ("sslc", Value::TlsCipher),
    ("sslv", Value::TlsVersion),
    ("B", Value::Log(LogValue::BytesOut)),
    ("U", Value::Log(LogValue::BytesIn)),
    ("Tc", Value::Log(LogValue::ConnectTime)),
    ("Tr", Value::Log(LogValue::ResponseTime)),
    ("Ta", Value::Log(LogValue::TotalTime)),
    ("Tt", Value::Log(LogValue::TotalTime)),
    ("Tw", Value::Log(LogValue::QueueTime)),
    ("TR", Value::Log(LogValue::RequestTime)),
    ("rc", Value::Log(LogValue::Retries)),
    ("r", Value::Log(LogValue::RequestLine)),
    ("ac", Value::Log(LogValue::ProcessConnections)),
    ("sc", Value::Log(LogValue::TargetConnections)),
    ("bq", Value::Log(LogValue::GroupQueue)),
    ("sq", Value::Log(LogValue::TargetQueue)),
    ("ts", Value::Log(LogValue::TerminationLetters)),
    ("tsc", Value::Log(LogValue::TerminationLetters)),
    ("hr", Value::Log(LogValue::CapturedRequest)),
    ("hs", Value::Log(LogValue::CapturedResponse)),
];

/// Flags in braces: `%{+Q}o`.
#[derive(Debug, Clone, Copy, Default)]
struct Flags {
    quote: bool,
}

/// Reads a log-format string. `None` where it is wrong; `reader` then knows why.
pub(crate) fn template(
    word: &Word,
    place: Place,
    reader: &mut Reader<'_>,
) -> Option<Template<Named>> {
    let mut writing = Writing {
        parts: Vec::new(),
        text: String::new(),
        everywhere: Flags::default(),
        span: word.span,
        place,
        failed: false,
    };
    let mut rest = word.text.as_str();
    while let Some((plain, special)) = rest.split_once('%') {
        writing.text.push_str(plain);
        rest = writing.special(special, reader)?;
    }
    writing.text.push_str(rest);
    writing.flush();
    (!writing.failed).then_some(Template(writing.parts))
}

struct Writing {
    parts: Vec<TemplatePart<Named>>,
    text: String,
    everywhere: Flags,
    span: Span,
    place: Place,
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
            self.text.push('%');
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
            match sample::written(text, self.span, self.place, reader) {
                Some(expression) => self.expression(expression, current),
                None => self.failed = true,
            }
            return Some(rest.get(1..).unwrap_or(""));
        }
        let end = rest
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
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
        if let Some((_, value)) = VARIABLES.iter().find(|(known, _)| *known == name) {
            return self.expression(value.clone().into(), flags);
        }
        self.failed = true;
        let message = match name {
            "" => "a '%' with nothing behind it".to_owned(),
            name => format!("no such format variable '{name}'"),
        };
        let diagnostic = Diagnostic::error(Code::Unknown, self.span, message);
        reader.push(diagnostic.help("write '%%' for a percent sign"));
    }

    fn expression(&mut self, expression: Expression<Named>, flags: Flags) {
        if flags.quote {
            self.text.push('"');
        }
        self.flush();
        self.parts.push(TemplatePart::Expression(Spanned::new(
            expression, self.span,
        )));
        if flags.quote {
            self.text.push('"');
        }
    }
}

/// Where the bracket that closes an expression stands: not within quotes.
fn closing(inner: &str) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in inner.char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (None | Some('"'), '\\') => escaped = true,
            (None, ']') => return Some(at),
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            _ => {}
        }
    }
    None
}
