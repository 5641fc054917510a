//! Values: a word (`source`), a function (``header(`X-A`)``), a variable (`var.exchange.x`) or a literal.
//!
//! The tables hold each word once, for reading and for printing.

use super::cursor::{Cursor, Parsed, Token};
use super::transform::write_call;
pub(crate) use super::words::{
    CERTIFICATE_FIELDS, CERTIFICATE_INFO, CERTIFICATE_INFOS, CERTIFICATE_PARTS, COUNTERS, ENDS,
    FUNCTIONS, GROUP_FIGURES, LISTENER_FIGURES, LOG_VALUES, NUMBERED_COUNTERS, PLAIN, PROXY_FIELDS,
    SCOPES, TABLE_FIGURES, TARGET_FIGURES, TIMEOUTS, TLS_FIELDS,
};
use super::{write_expression, write_plain, write_text};
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::expression::{
    CertificateField, Counter, CounterEntry, EntryFigure, HeaderPart, MatchGroup, Matched, Message,
    NamePart, Touch, Value, Variable, Within,
};
use portway_model::first_answer::AnswerPart;
use portway_model::name::Name;
use portway_model::proxied::ProxyField;
use portway_model::span::Spanned;
use portway_model::stage::Named;

/// The word of a member of a table. Every member of a closed set is in its table; a test holds it.
pub(crate) fn word_of<T: PartialEq>(table: &[(&'static str, T)], value: &T) -> &'static str {
    table
        .iter()
        .find(|(_, known)| known == value)
        .map_or("", |(word, _)| *word)
}

impl Cursor<'_, '_> {
    /// A value without transforms.
    pub(super) fn value(&mut self) -> Parsed<Value<Named>> {
        match self.token().clone() {
            Token::Text(text) => {
                self.advance()?;
                Ok(Value::Text(text))
            }
            Token::Number(number) => {
                self.advance()?;
                Ok(Value::Number(number))
            }
            Token::Word(word) => self.named_value(word),
            Token::Symbol(_) | Token::End => self.unexpected("a value or a condition"),
        }
    }

    fn named_value(&mut self, word: &str) -> Parsed<Value<Named>> {
        let plain = PLAIN.iter().find(|(known, _)| *known == word);
        let function = FUNCTIONS.iter().find(|(known, _)| *known == word);
        if plain.is_none() && function.is_none() {
            let known = PLAIN.iter().map(|(known, _)| *known);
            let known = known.chain(FUNCTIONS.iter().map(|(known, _)| *known));
            let known = known.chain(
                super::condition::SHORT_FORMS
                    .iter()
                    .map(|(known, _)| *known),
            );
            return self.unknown("value", word, known);
        }
        let span = self.span();
        self.advance()?;
        if word == "var" {
            return Ok(Value::Variable(self.dotted_variable()?));
        }
        if self.is("(") && function.is_some() {
            self.advance()?;
            let value = self.call(word)?;
            self.expect(")")?;
            return Ok(value);
        }
        match (plain, function) {
            (Some((_, value)), _) => Ok(value.clone()),
            (None, Some((_, shape))) => {
                let message = format!("`{word}` needs arguments");
                let diagnostic = Diagnostic::error(Code::Syntax, span, message);
                self.stop(diagnostic.help(format!("write for example {shape}")))
            }
            (None, None) => self.unexpected("a value"),
        }
    }

    fn call(&mut self, word: &str) -> Parsed<Value<Named>> {
        Ok(match word {
            "header" => Value::Header(self.text("a header name")?.0),
            "address" => self.address()?,
            "header_line"
            | "response_header_line"
            | "header_item"
            | "response_header_item"
            | "header_count"
            | "response_header_count"
            | "header_item_count"
            | "response_header_item_count"
            | "header_names"
            | "response_header_names"
            | "cookie_count"
            | "response_cookie_count" => self.message_value(word)?,
            "argument" => self.argument()?,
            "body_argument" => Value::BodyArgument(self.text("an argument's name")?.0),
            "bearer" => Value::Bearer(Some(self.text("a header name")?.0)),
            "in_user_group" => {
                let users = self.reference("a user list")?;
                let mut groups = Vec::new();
                while self.takes(",")? {
                    groups.push(self.text("the name of a group")?.0);
                }
                Value::InUserGroup { users, groups }
            }
            "of_group" => {
                let figure = self.one_of("number of a group", GROUP_FIGURES)?;
                self.expect(",")?;
                let group = self.reference("a target group")?;
                Value::OfGroup { figure, group }
            }
            "of_listener" => {
                let figure = self.one_of("number of a listener", LISTENER_FIGURES)?;
                self.expect(",")?;
                let listener = self.reference("a listener")?;
                Value::OfListener { figure, listener }
            }
            "of_target" => {
                let figure = self.one_of("number of a target", TARGET_FIGURES)?;
                self.expect(",")?;
                let group = self.reference("a target group")?;
                self.expect(",")?;
                let target = Name::new(self.text("the name of a target")?.0);
                Value::OfTarget {
                    figure,
                    group,
                    target,
                }
            }
            "cookie" => Value::Cookie(self.text("a cookie name")?.0),
            "query" => Value::QueryParameter(self.text("an argument's name")?.0),
            "response_header" => Value::ResponseHeader(self.text("a header name")?.0),
            "response_cookie" => Value::ResponseCookie(self.text("a cookie name")?.0),
            "client_certificate" => Value::ClientCertificate(self.certificate_field()?),
            "shown_certificate" => Value::ShownCertificate(self.certificate_field()?),
            "target_certificate" => Value::TargetCertificate(self.certificate_field()?),
            "target_tls" => Value::TargetTls(self.one_of("field of TLS", TLS_FIELDS)?),
            "proxied" => Value::Proxied(match self.token() {
                Token::Number(_) => ProxyField::Type(self.number("a type from 0 to 255")?),
                _ => self.one_of("part of the PROXY protocol", PROXY_FIELDS)?,
            }),
            "hello_extension" => Value::HelloExtension(self.number("an extension's number")?),
            "payload_block" | "response_payload_block" => {
                let length_at = self.number("an offset in bytes")?;
                self.expect(",")?;
                let length_bytes = self.number("the bytes of the length")?;
                self.expect(",")?;
                let at = self.number("an offset in bytes")?;
                match word {
                    "payload_block" => Value::PayloadBlock {
                        length_at,
                        length_bytes,
                        at,
                    },
                    _ => Value::OfAnswer(AnswerPart::Block {
                        length_at,
                        length_bytes,
                        at,
                    }),
                }
            }
            "payload" | "response_payload" => {
                let offset = self.number("an offset in bytes")?;
                self.expect(",")?;
                let length = self.number("a length in bytes")?;
                match word {
                    "payload" => Value::Payload { offset, length },
                    _ => Value::OfAnswer(AnswerPart::Bytes { offset, length }),
                }
            }
            "variable" => {
                let scope = self.one_of("scope", SCOPES)?;
                self.expect(",")?;
                let name = Name::new(self.text("a variable's name")?.0);
                Value::Variable(Variable { scope, name })
            }
            "response_capture" => Value::ResponseCapture(self.number("a slot")?),
            "capture" => Value::Capture(self.number("a slot")?),
            "authenticated_user" => Value::AuthenticatedUser(self.reference("a user list")?),
            "matched" => self.matched()?,
            "with_source" => Value::WithSource(Box::new(self.expression()?)),
            "authenticated" => Value::Authenticated(self.reference("a user list")?),
            "counter" => self.counter_value(Touch::Read)?,
            "raised" => self.counter_value(Touch::Raise)?,
            "cleared" => self.counter_value(Touch::Clear)?,
            "trackers" => self.of_entry(EntryFigure::Trackers)?,
            "expires_in" => self.of_entry(EntryFigure::ExpiresIn)?,
            "idle_for" => self.of_entry(EntryFigure::Idle)?,
            "of_table" => {
                let figure = self.one_of("figure of a stick table", TABLE_FIGURES)?;
                self.expect(",")?;
                let table = self.reference("a stick table")?;
                Value::OfTable { figure, table }
            }
            "healthy_targets" => Value::HealthyTargets(self.reference("a target group")?),
            "group_connections" => Value::GroupConnections(self.reference("a target group")?),
            "accepted" => Value::Accepted(self.one_of("end", &ENDS)?),
            "timeout" => Value::Timeout(self.one_of("timeout", TIMEOUTS)?),
            "random" => Value::Random(self.number("a limit")?),
            "environment" => Value::Environment(self.text("a variable's name")?.0),
            "log" => Value::Log(self.one_of("log value", LOG_VALUES)?),
            _ => return self.unexpected("a value; this one stands within `counter(…)` only"),
        })
    }

    /// A group, and where it is looked for: a value and regular expressions.
    fn matched(&mut self) -> Parsed<Value<Named>> {
        let group = match self.token() {
            Token::Text(_) => MatchGroup::Name(self.text("the name of a group")?.0),
            _ => MatchGroup::Number(self.number("the number or the name of a group")?),
        };
        let mut within = None;
        if self.takes(",")? {
            let expression = self.expression()?;
            let mut any_of = Vec::new();
            while any_of.is_empty() || self.is(",") {
                self.expect(",")?;
                let (pattern, span) = self.text("a regular expression")?;
                any_of.push(Spanned::new(pattern, span));
            }
            within = Some(Within { expression, any_of });
        }
        Ok(Value::Matched(Box::new(Matched { group, within })))
    }

    fn address(&mut self) -> Parsed<Value<Named>> {
        let (text, span) = self.text("an address")?;
        match text.parse() {
            Ok(address) => Ok(Value::Address(address)),
            Err(_) => {
                let message = format!("`{text}` is not an address");
                let diagnostic = Diagnostic::error(Code::OutOfRange, span, message);
                self.stop(diagnostic.help("write for example `10.0.0.1`"))
            }
        }
    }

    /// What is known of the headers and cookies of either message.
    fn message_value(&mut self, word: &str) -> Parsed<Value<Named>> {
        let (of, word) = match word.strip_prefix("response_") {
            Some(word) => (Message::Response, word),
            None => (Message::Request, word),
        };
        let index = "a place from 1, or from the end below 0";
        Ok(match word {
            "header_line" => {
                let name = self.text("a header name")?.0;
                self.expect(",")?;
                let part = HeaderPart::Line(self.number(index)?);
                Value::HeaderPart { of, name, part }
            }
            "header_item" => {
                let name = self.text("a header name")?.0;
                let place = match self.takes(",")? {
                    true => Some(self.number(index)?),
                    false => None,
                };
                let part = HeaderPart::Item(place);
                Value::HeaderPart { of, name, part }
            }
            "header_names" => {
                let delimiter = self.text("what stands between names")?.0;
                Value::HeaderNames { of, delimiter }
            }
            _ => {
                let name = match self.is(")") {
                    true => None,
                    false => Some(self.text("a name")?.0),
                };
                match word {
                    "cookie_count" => Value::CookieCount { of, name },
                    _ => Value::HeaderCount {
                        of,
                        name,
                        items: word == "header_item_count",
                    },
                }
            }
        })
    }

    fn argument(&mut self) -> Parsed<Value<Named>> {
        let name = match self.takes_word("any")? {
            true => None,
            false => Some(self.text("an argument's name, or `any`")?.0),
        };
        let mut delimiter = None;
        if self.takes(",")? {
            let (text, span) = self.text("a character")?;
            let mut chars = text.chars();
            delimiter = chars.next();
            if delimiter.is_none() || chars.next().is_some() {
                let message = format!("`{text}` is not one character");
                return self.stop(Diagnostic::error(Code::OutOfRange, span, message));
            }
        }
        Ok(Value::Argument { name, delimiter })
    }

    /// A variable: `var.exchange.x`, or ``variable(exchange, `x`)``.
    pub(super) fn variable(&mut self) -> Parsed<Variable> {
        if self.takes_word("var")? {
            return self.dotted_variable();
        }
        if !self.takes_word("variable")? {
            return self.unexpected("a variable such as var.exchange.NAME");
        }
        self.expect("(")?;
        let scope = self.one_of("scope", SCOPES)?;
        self.expect(",")?;
        let name = Name::new(self.text("a variable's name")?.0);
        self.expect(")")?;
        Ok(Variable { scope, name })
    }

    /// The name of another object.
    pub(super) fn reference(&mut self, what: &str) -> Parsed<Spanned<Name>> {
        let (text, span) = self.text(&format!("the name of {what}"))?;
        Ok(Spanned::new(Name::new(text), span))
    }

    /// A counter's name, with its number where it has one.
    pub(super) fn counter(&mut self) -> Parsed<Counter> {
        let Some(word) = self.word() else {
            return self.unexpected("a counter");
        };
        if !NUMBERED_COUNTERS.contains(&word) {
            if COUNTERS.iter().all(|(known, _)| *known != word) {
                let known = COUNTERS.iter().map(|(known, _)| *known);
                return self.unknown("counter", word, known.chain(NUMBERED_COUNTERS));
            }
            return self.one_of("counter", COUNTERS);
        }
        self.advance()?;
        self.expect("(")?;
        let number = self.number("a counter's number")?;
        self.expect(")")?;
        Ok(match word {
            "general" => Counter::General(number),
            "general_rate" => Counter::GeneralRate(number),
            _ => Counter::Mark(number),
        })
    }

    /// A field of a certificate, with the attribute where it takes one.
    fn certificate_field(&mut self) -> Parsed<CertificateField> {
        for word in CERTIFICATE_PARTS {
            if !self.takes_word(word)? {
                continue;
            }
            self.expect(",")?;
            let attribute = self.text("an attribute's short name")?.0;
            let occurrence = if self.takes(",")? {
                self.number("which of several")?
            } else {
                1
            };
            let part = NamePart {
                attribute,
                occurrence,
            };
            return Ok(match word {
                "subject_part" => CertificateField::SubjectPart(part),
                _ => CertificateField::IssuerPart(part),
            });
        }
        if self.takes_word(CERTIFICATE_INFO)? {
            let mut parts = Vec::new();
            while self.takes(",")? {
                parts.push(self.one_of("part of a certificate", CERTIFICATE_INFOS)?);
            }
            if parts.is_empty() {
                return self.unexpected("`,` and a part, such as `subject_cn`");
            }
            parts.sort();
            parts.dedup();
            return Ok(CertificateField::Info(parts));
        }
        self.one_of("certificate field", CERTIFICATE_FIELDS)
    }

    fn counter_value(&mut self, touch: Touch) -> Parsed<Value<Named>> {
        let counter = self.counter()?;
        self.expect(",")?;
        let of = self.counter_entry()?;
        Ok(Value::Counter { counter, of, touch })
    }

    fn of_entry(&mut self, figure: EntryFigure) -> Parsed<Value<Named>> {
        let of = self.counter_entry()?;
        Ok(Value::OfEntry { figure, of })
    }

    fn counter_entry(&mut self) -> Parsed<CounterEntry<Named>> {
        if self.takes_word("tracked")? {
            self.expect("(")?;
            let slot = self.number("a slot")?;
            self.expect(")")?;
            return Ok(CounterEntry::Tracked(slot));
        }
        if self.takes_word("entry")? {
            self.expect("(")?;
            let table = self.reference("a stick table")?;
            self.expect(",")?;
            if self.takes_word("tracked")? {
                self.expect("(")?;
                let slot = self.number("a slot")?;
                self.expect(")")?;
                self.expect(")")?;
                return Ok(CounterEntry::TrackedKey { table, slot });
            }
            let key = Box::new(self.expression()?);
            self.expect(")")?;
            return Ok(CounterEntry::Key { table, key });
        }
        self.unexpected("`tracked(SLOT)` or `entry(`TABLE`, KEY)`")
    }

    /// `.scope.name` after `var`.
    fn dotted_variable(&mut self) -> Parsed<Variable> {
        self.expect(".")?;
        let scope = self.one_of("scope", SCOPES)?;
        self.expect(".")?;
        let Some(word) = self.word() else {
            return self.unexpected("a variable's name");
        };
        let name = Name::new(word);
        self.advance()?;
        Ok(Variable { scope, name })
    }
}

pub(super) fn write_value(out: &mut String, value: &Value<Named>) {
    if let Some((word, _)) = PLAIN.iter().find(|(_, known)| known == value) {
        return out.push_str(word);
    }
    match value {
        Value::Text(text) => write_text(out, text),
        Value::Number(number) => write_plain(out, number),
        Value::Variable(variable) => write_variable(out, variable),
        Value::Header(name) => call_text(out, "header", name),
        Value::Address(address) => call_text(out, "address", &address.to_string()),
        Value::HeaderPart { .. }
        | Value::HeaderCount { .. }
        | Value::HeaderNames { .. }
        | Value::CookieCount { .. }
        | Value::Argument { .. } => write_message_value(out, value),
        Value::BodyArgument(name) => call_text(out, "body_argument", name),
        Value::Bearer(Some(header)) => call_text(out, "bearer", header),
        Value::InUserGroup { users, groups } => {
            let mut arguments = vec![users.value.as_str()];
            arguments.extend(groups.iter().map(String::as_str));
            write_call(out, "in_user_group", &arguments);
        }
        Value::OfGroup { figure, group } => {
            write_plain(
                out,
                format_args!("of_group({}, ", word_of(GROUP_FIGURES, figure)),
            );
            write_text(out, group.value.as_str());
            out.push(')');
        }
        Value::OfListener { figure, listener } => {
            let figure = word_of(LISTENER_FIGURES, figure);
            write_plain(out, format_args!("of_listener({figure}, "));
            write_text(out, listener.value.as_str());
            out.push(')');
        }
        Value::OfTarget {
            figure,
            group,
            target,
        } => {
            write_plain(
                out,
                format_args!("of_target({}, ", word_of(TARGET_FIGURES, figure)),
            );
            write_text(out, group.value.as_str());
            out.push_str(", ");
            write_text(out, target.as_str());
            out.push(')');
        }
        Value::Cookie(name) => call_text(out, "cookie", name),
        Value::QueryParameter(name) => call_text(out, "query", name),
        Value::ResponseHeader(name) => call_text(out, "response_header", name),
        Value::ResponseCookie(name) => call_text(out, "response_cookie", name),
        Value::Authenticated(users) => call_text(out, "authenticated", users.value.as_str()),
        Value::AuthenticatedUser(users) => {
            call_text(out, "authenticated_user", users.value.as_str())
        }
        Value::Matched(matched) => write_matched(out, matched),
        Value::WithSource(of) => {
            out.push_str("with_source(");
            write_expression(out, of);
            out.push(')');
        }
        Value::HealthyTargets(group) => call_text(out, "healthy_targets", group.value.as_str()),
        Value::GroupConnections(group) => call_text(out, "group_connections", group.value.as_str()),
        Value::Environment(name) => call_text(out, "environment", name),
        Value::ResponseCapture(slot) => {
            write_plain(out, format_args!("response_capture({slot})"));
        }
        Value::Capture(slot) => write_plain(out, format_args!("capture({slot})")),
        Value::Accepted(end) => {
            write_plain(out, format_args!("accepted({})", word_of(&ENDS, end)));
        }
        Value::Timeout(of) => {
            write_plain(out, format_args!("timeout({})", word_of(TIMEOUTS, of)));
        }
        Value::Random(limit) => write_plain(out, format_args!("random({limit})")),
        Value::Payload { offset, length } => {
            write_plain(out, format_args!("payload({offset}, {length})"));
        }
        Value::OfAnswer(AnswerPart::Bytes { offset, length }) => {
            write_plain(out, format_args!("response_payload({offset}, {length})"));
        }
        Value::OfAnswer(AnswerPart::Block {
            length_at,
            length_bytes,
            at,
        }) => {
            let arguments =
                format_args!("response_payload_block({length_at}, {length_bytes}, {at})");
            write_plain(out, arguments);
        }
        Value::HelloExtension(number) => {
            write_plain(out, format_args!("hello_extension({number})"))
        }
        Value::Proxied(ProxyField::Type(of)) => write_plain(out, format_args!("proxied({of})")),
        Value::Proxied(field) => {
            write_plain(
                out,
                format_args!("proxied({})", word_of(PROXY_FIELDS, field)),
            );
        }
        Value::PayloadBlock {
            length_at,
            length_bytes,
            at,
        } => {
            let arguments = format_args!("payload_block({length_at}, {length_bytes}, {at})");
            write_plain(out, arguments);
        }
        Value::ClientCertificate(field) => write_certificate_field(out, "client", field),
        Value::ShownCertificate(field) => write_certificate_field(out, "shown", field),
        Value::TargetCertificate(field) => write_certificate_field(out, "target", field),
        Value::TargetTls(field) => {
            let word = word_of(TLS_FIELDS, field);
            write_plain(out, format_args!("target_tls({word})"));
        }
        Value::Log(value) => {
            write_plain(out, format_args!("log({})", word_of(LOG_VALUES, value)));
        }
        Value::Counter { counter, of, touch } => {
            out.push_str(match touch {
                Touch::Read => "counter(",
                Touch::Raise => "raised(",
                Touch::Clear => "cleared(",
            });
            write_counter(out, *counter);
            out.push_str(", ");
            write_counter_entry(out, of);
            out.push(')');
        }
        Value::OfEntry { figure, of } => {
            out.push_str(match figure {
                EntryFigure::Trackers => "trackers(",
                EntryFigure::ExpiresIn => "expires_in(",
                EntryFigure::Idle => "idle_for(",
            });
            write_counter_entry(out, of);
            out.push(')');
        }
        Value::OfTable { figure, table } => {
            let figure = word_of(TABLE_FIGURES, figure);
            write_plain(out, format_args!("of_table({figure}, "));
            write_text(out, table.value.as_str());
            out.push(')');
        }
        // The rest is in PLAIN; a test prints and parses every value.
        _ => {}
    }
}

fn write_certificate_field(out: &mut String, whose: &str, field: &CertificateField) {
    let [subject, issuer] = CERTIFICATE_PARTS;
    let (word, part) = match field {
        CertificateField::SubjectPart(part) => (subject, part),
        CertificateField::IssuerPart(part) => (issuer, part),
        CertificateField::Info(parts) => {
            write_plain(out, format_args!("{whose}_certificate({CERTIFICATE_INFO}"));
            for part in parts {
                write_plain(out, format_args!(", {}", word_of(CERTIFICATE_INFOS, part)));
            }
            out.push(')');
            return;
        }
        plain => {
            let word = word_of(CERTIFICATE_FIELDS, plain);
            return write_plain(out, format_args!("{whose}_certificate({word})"));
        }
    };
    write_plain(out, format_args!("{whose}_certificate({word}, "));
    write_text(out, &part.attribute);
    if part.occurrence != 1 {
        write_plain(out, format_args!(", {}", part.occurrence));
    }
    out.push(')');
}

fn write_message_value(out: &mut String, value: &Value<Named>) {
    let prefix = |of: &Message| match of {
        Message::Request => "",
        Message::Response => "response_",
    };
    let counted = |out: &mut String, of, word: &str, name: &Option<String>| {
        let function = format!("{}{word}", prefix(of));
        let arguments: Vec<&str> = name.iter().map(String::as_str).collect();
        write_call(out, &function, &arguments);
    };
    match value {
        Value::HeaderPart { of, name, part } => {
            let (word, index) = match part {
                HeaderPart::Line(index) => ("header_line", Some(index)),
                HeaderPart::Item(index) => ("header_item", index.as_ref()),
            };
            write_plain(out, format_args!("{}{word}(", prefix(of)));
            write_text(out, name);
            if let Some(index) = index {
                write_plain(out, format_args!(", {index}"));
            }
            out.push(')');
        }
        Value::HeaderCount { of, name, items } => {
            let word = if *items {
                "header_item_count"
            } else {
                "header_count"
            };
            counted(out, of, word, name);
        }
        Value::CookieCount { of, name } => counted(out, of, "cookie_count", name),
        Value::HeaderNames { of, delimiter } => {
            call_text(out, &format!("{}header_names", prefix(of)), delimiter);
        }
        Value::Argument { name, delimiter } => {
            out.push_str("argument(");
            match name {
                Some(name) => write_text(out, name),
                None => out.push_str("any"),
            }
            if let Some(delimiter) = delimiter {
                out.push_str(", ");
                write_text(out, &delimiter.to_string());
            }
            out.push(')');
        }
        _ => {}
    }
}

fn write_matched(out: &mut String, matched: &Matched<Named>) {
    out.push_str("matched(");
    match &matched.group {
        MatchGroup::Number(number) => write_plain(out, number),
        MatchGroup::Name(name) => write_text(out, name),
    }
    if let Some(Within { expression, any_of }) = &matched.within {
        out.push_str(", ");
        write_expression(out, expression);
        for pattern in any_of {
            out.push_str(", ");
            write_text(out, &pattern.value);
        }
    }
    out.push(')');
}

fn call_text(out: &mut String, function: &str, text: &str) {
    out.push_str(function);
    out.push('(');
    write_text(out, text);
    out.push(')');
}

pub(super) fn write_variable(out: &mut String, variable: &Variable) {
    let scope = word_of(SCOPES, &variable.scope);
    let name = variable.name.as_str();
    if is_word(name) {
        return write_plain(out, format_args!("var.{scope}.{name}"));
    }
    write_plain(out, format_args!("variable({scope}, "));
    write_text(out, name);
    out.push(')');
}

/// True where the cursor reads this as one word.
pub(crate) fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn write_counter_entry(out: &mut String, of: &CounterEntry<Named>) {
    match of {
        CounterEntry::Tracked(slot) => write_plain(out, format_args!("tracked({slot})")),
        CounterEntry::TrackedKey { table, slot } => {
            out.push_str("entry(");
            write_text(out, table.value.as_str());
            write_plain(out, format_args!(", tracked({slot}))"));
        }
        CounterEntry::Key { table, key } => {
            out.push_str("entry(");
            write_text(out, table.value.as_str());
            out.push_str(", ");
            write_expression(out, key);
            out.push(')');
        }
    }
}

pub(super) fn write_counter(out: &mut String, counter: Counter) {
    let [general, general_rate, mark] = NUMBERED_COUNTERS;
    match counter {
        Counter::General(number) => write_plain(out, format_args!("{general}({number})")),
        Counter::GeneralRate(number) => write_plain(out, format_args!("{general_rate}({number})")),
        Counter::Mark(number) => write_plain(out, format_args!("{mark}({number})")),
        plain => out.push_str(word_of(COUNTERS, &plain)),
    }
}
