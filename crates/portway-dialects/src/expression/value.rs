//! Values: a word (`source`), a function (``header(`X-A`)``), a variable (`var.exchange.x`) or a literal.
//!
//! The tables hold each word once, for reading and for printing.

use super::cursor::{Cursor, Parsed, Token};
use super::transform::write_call;
use super::{write_expression, write_plain, write_text};
use portway_model::action::End;
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::expression::{
    CertificateField, Counter, CounterEntry, GroupFigure, HeaderPart, LogValue, Message, NamePart,
    Scope, TableFigure, TargetFigure, TimeoutOf, Touch, Value, Variable,
};
use portway_model::name::Name;
use portway_model::span::Spanned;
use portway_model::stage::Named;

/// Values that are one word.
pub(crate) const PLAIN: &[(&str, Value<Named>)] = &[
    ("true", Value::Boolean(true)),
    ("false", Value::Boolean(false)),
    ("source", Value::Source),
    ("source_port", Value::SourcePort),
    ("destination", Value::Destination),
    ("destination_port", Value::DestinationPort),
    ("listener_name", Value::ListenerName),
    ("listener_connections", Value::ListenerConnections),
    ("listener_connection_rate", Value::ListenerConnectionRate),
    ("listener_request_rate", Value::ListenerRequestRate),
    ("tls", Value::Tls),
    ("tls_version", Value::TlsVersion),
    ("tls_cipher", Value::TlsCipher),
    ("tls_cipher_openssl", Value::TlsCipherOpenssl),
    ("tls_key_bits", Value::TlsKeyBits),
    ("tls_resumed", Value::TlsResumed),
    ("sni", Value::Sni),
    ("alpn", Value::Alpn),
    ("hello_sni", Value::HelloSni),
    ("hello_alpn", Value::HelloAlpn),
    ("hello_type", Value::HelloType),
    ("hello_version", Value::HelloVersion),
    ("wait_ended", Value::WaitEnded),
    ("payload_length", Value::PayloadLength),
    ("method", Value::Method),
    ("scheme", Value::Scheme),
    ("http_version", Value::HttpVersion),
    ("host", Value::Host),
    ("path", Value::Path),
    ("query", Value::Query),
    ("target", Value::Target),
    ("base", Value::Base),
    ("host_path", Value::HostPath),
    ("received_method", Value::ReceivedMethod),
    ("received_target", Value::ReceivedTarget),
    ("body", Value::Body),
    ("body_length", Value::BodyLength),
    ("basic_user", Value::BasicUser),
    ("basic_password", Value::BasicPassword),
    ("authorization_scheme", Value::AuthorizationScheme),
    ("bearer", Value::Bearer(None)),
    ("first_request", Value::FirstRequest),
    ("response_version", Value::ResponseVersion),
    ("request_id", Value::RequestId),
    ("status", Value::Status),
    ("group_name", Value::GroupName),
    ("target_name", Value::TargetName),
    ("target_number", Value::TargetNumber),
    ("header_block", Value::HeaderBlock(Message::Request)),
    (
        "response_header_block",
        Value::HeaderBlock(Message::Response),
    ),
    ("target_address", Value::TargetAddress),
    ("now", Value::Now),
    ("now_microseconds", Value::NowMicroseconds),
    ("uuid", Value::Uuid),
    ("worker", Value::Worker),
    ("draining", Value::Draining),
    ("hostname", Value::Hostname),
];

/// Values with arguments, and how they are written.
pub(crate) const FUNCTIONS: &[(&str, &str)] = &[
    ("header", "header(`NAME`)"),
    ("address", "address(`10.0.0.1`)"),
    ("header_line", "header_line(`NAME`, 1)"),
    ("header_item", "header_item(`NAME`)"),
    ("header_count", "header_count(`NAME`)"),
    ("header_item_count", "header_item_count(`NAME`)"),
    ("header_names", "header_names(`,`)"),
    ("response_header_line", "response_header_line(`NAME`, 1)"),
    ("response_header_item", "response_header_item(`NAME`)"),
    ("response_header_count", "response_header_count(`NAME`)"),
    (
        "response_header_item_count",
        "response_header_item_count(`NAME`)",
    ),
    ("response_header_names", "response_header_names(`,`)"),
    ("cookie_count", "cookie_count(`NAME`)"),
    ("response_cookie_count", "response_cookie_count(`NAME`)"),
    ("argument", "argument(`NAME`)"),
    ("body_argument", "body_argument(`NAME`)"),
    ("bearer", "bearer(`HEADER`)"),
    ("in_user_group", "in_user_group(`USERLIST`, `GROUP`)"),
    ("of_group", "of_group(queued, `GROUP`)"),
    ("of_target", "of_target(usable, `GROUP`, `TARGET`)"),
    ("cookie", "cookie(`NAME`)"),
    ("query", "query(`NAME`)"),
    ("response_header", "response_header(`NAME`)"),
    ("response_cookie", "response_cookie(`NAME`)"),
    ("client_certificate", "client_certificate(subject)"),
    ("hello_extension", "hello_extension(10)"),
    ("payload", "payload(0, 16)"),
    ("payload_block", "payload_block(43, 1, 44)"),
    ("variable", "variable(exchange, `NAME`)"),
    ("var", "var.exchange.NAME"),
    ("capture", "capture(0)"),
    ("response_capture", "response_capture(0)"),
    ("authenticated", "authenticated(`USERLIST`)"),
    ("counter", "counter(request_rate, tracked(0))"),
    ("raised", "raised(general(0), tracked(0))"),
    ("cleared", "cleared(general(0), tracked(0))"),
    ("trackers", "trackers(tracked(0))"),
    ("of_table", "of_table(used, `clients`)"),
    ("healthy_targets", "healthy_targets(`GROUP`)"),
    ("group_connections", "group_connections(`GROUP`)"),
    ("random", "random(100)"),
    ("accepted", "accepted(source)"),
    ("timeout", "timeout(client)"),
    ("environment", "environment(`NAME`)"),
    ("log", "log(total_time)"),
    ("tracked", "tracked(0)"),
    ("entry", "entry(`TABLE`, source)"),
];

/// Fields of a client certificate.
pub(crate) const CERTIFICATE_FIELDS: &[(&str, CertificateField)] = &[
    ("present", CertificateField::Present),
    ("verified", CertificateField::Verified),
    ("verify_code", CertificateField::VerifyCode),
    ("subject", CertificateField::Subject),
    ("issuer", CertificateField::Issuer),
    ("subject_line", CertificateField::SubjectLine),
    ("issuer_line", CertificateField::IssuerLine),
    ("serial", CertificateField::Serial),
    ("serial_bytes", CertificateField::SerialBytes),
    ("fingerprint", CertificateField::Fingerprint),
    ("sha1_bytes", CertificateField::Sha1Bytes),
    ("not_before", CertificateField::NotBefore),
    ("not_after", CertificateField::NotAfter),
    ("not_before_text", CertificateField::NotBeforeText),
    ("not_after_text", CertificateField::NotAfterText),
    ("version", CertificateField::Version),
    ("key_algorithm", CertificateField::KeyAlgorithm),
    ("signature_algorithm", CertificateField::SignatureAlgorithm),
    ("der", CertificateField::Der),
    ("pem", CertificateField::Pem),
];

/// Fields of a client certificate that take the name of an attribute.
pub(crate) const CERTIFICATE_PARTS: [&str; 2] = ["subject_part", "issuer_part"];

/// What is known when an exchange ends.
pub(crate) const LOG_VALUES: &[(&str, LogValue)] = &[
    ("start_time", LogValue::StartTime),
    ("start_time_common", LogValue::StartTimeCommon),
    ("start_time_local", LogValue::StartTimeLocal),
    ("start_date", LogValue::StartDate),
    ("accept_time_common", LogValue::AcceptTimeCommon),
    ("accept_time_local", LogValue::AcceptTimeLocal),
    ("accept_date", LogValue::AcceptDate),
    ("accept_seconds", LogValue::AcceptSeconds),
    ("accept_milliseconds", LogValue::AcceptMilliseconds),
    ("handshake_time", LogValue::HandshakeTime),
    ("idle_time", LogValue::IdleTime),
    ("request_time", LogValue::RequestTime),
    ("until_request_time", LogValue::UntilRequestTime),
    ("queue_time", LogValue::QueueTime),
    ("connect_time", LogValue::ConnectTime),
    ("response_time", LogValue::ResponseTime),
    ("data_time", LogValue::DataTime),
    ("total_time", LogValue::TotalTime),
    ("session_time", LogValue::SessionTime),
    ("user_time", LogValue::UserTime),
    ("bytes_in", LogValue::BytesIn),
    ("bytes_out", LogValue::BytesOut),
    ("bytes_uploaded", LogValue::BytesUploaded),
    ("bytes_read", LogValue::BytesRead),
    ("status", LogValue::Status),
    ("retries", LogValue::Retries),
    ("retries_marked", LogValue::RetriesMarked),
    ("termination", LogValue::Termination),
    ("termination_letters", LogValue::TerminationLetters),
    ("termination_short", LogValue::TerminationShort),
    ("request_line", LogValue::RequestLine),
    ("request_method", LogValue::RequestMethod),
    ("request_uri", LogValue::RequestUri),
    ("request_uri_path", LogValue::RequestUriPath),
    ("request_path", LogValue::RequestPath),
    ("request_query", LogValue::RequestQuery),
    ("request_version", LogValue::RequestVersion),
    ("captured_request", LogValue::CapturedRequest),
    ("captured_request_list", LogValue::CapturedRequestList),
    ("captured_response", LogValue::CapturedResponse),
    ("captured_response_list", LogValue::CapturedResponseList),
    ("captured_request_cookie", LogValue::CapturedRequestCookie),
    ("captured_response_cookie", LogValue::CapturedResponseCookie),
    ("client_address", LogValue::ClientAddress),
    ("client_port", LogValue::ClientPort),
    ("listener_address", LogValue::ListenerAddress),
    ("listener_port", LogValue::ListenerPort),
    ("upstream_address", LogValue::UpstreamAddress),
    ("upstream_port", LogValue::UpstreamPort),
    ("target_ip", LogValue::TargetIp),
    ("target_port", LogValue::TargetPort),
    ("listener_transport", LogValue::ListenerTransport),
    ("backend", LogValue::Backend),
    ("server", LogValue::Server),
    ("process_connections", LogValue::ProcessConnections),
    ("listener_connections", LogValue::ListenerConnections),
    ("group_connections", LogValue::GroupConnections),
    ("target_connections", LogValue::TargetConnections),
    ("group_queue", LogValue::GroupQueue),
    ("target_queue", LogValue::TargetQueue),
    ("process_id", LogValue::ProcessId),
    ("request_counter", LogValue::RequestCounter),
    ("log_counter", LogValue::LogCounter),
    ("tls_version", LogValue::TlsVersion),
    ("tls_cipher", LogValue::TlsCipher),
    ("connection_error", LogValue::ConnectionError),
];

/// Ends of a client's connection.
pub(crate) const ENDS: [(&str, End); 4] = [
    ("source", End::Source),
    ("source_port", End::SourcePort),
    ("destination", End::Destination),
    ("destination_port", End::DestinationPort),
];

/// Timeouts.
pub(crate) const TIMEOUTS: &[(&str, TimeoutOf)] = &[
    ("client", TimeoutOf::Client),
    ("group", TimeoutOf::Group),
    ("group_tunnel", TimeoutOf::GroupTunnel),
    ("response", TimeoutOf::Response),
    ("tunnel", TimeoutOf::Tunnel),
];

/// What is counted of a group.
pub(crate) const GROUP_FIGURES: &[(&str, GroupFigure)] = &[
    ("queued", GroupFigure::Queued),
    ("average_queue", GroupFigure::AverageQueue),
    ("connection_rate", GroupFigure::ConnectionRate),
    ("free_slots", GroupFigure::FreeSlots),
    ("free_connections", GroupFigure::FreeConnections),
];

/// What is known of a target.
pub(crate) const TARGET_FIGURES: &[(&str, TargetFigure)] = &[
    ("usable", TargetFigure::Usable),
    ("connections", TargetFigure::Connections),
    ("queued", TargetFigure::Queued),
    ("weight", TargetFigure::Weight),
    ("configured_weight", TargetFigure::ConfiguredWeight),
    ("free_connections", TargetFigure::FreeConnections),
    ("connection_rate", TargetFigure::ConnectionRate),
];

/// Counters without a number.
pub(crate) const COUNTERS: &[(&str, Counter)] = &[
    ("connections", Counter::Connections),
    ("open_connections", Counter::OpenConnections),
    ("connection_rate", Counter::ConnectionRate),
    ("sessions", Counter::Sessions),
    ("session_rate", Counter::SessionRate),
    ("requests", Counter::Requests),
    ("request_rate", Counter::RequestRate),
    ("errors", Counter::Errors),
    ("error_rate", Counter::ErrorRate),
    ("failures", Counter::Failures),
    ("failure_rate", Counter::FailureRate),
    ("bytes_in", Counter::BytesIn),
    ("bytes_in_rate", Counter::BytesInRate),
    ("bytes_out", Counter::BytesOut),
    ("bytes_out_rate", Counter::BytesOutRate),
];

/// What is known of a stick table as a whole.
pub(crate) const TABLE_FIGURES: &[(&str, TableFigure)] =
    &[("used", TableFigure::Used), ("free", TableFigure::Free)];

/// Counters with a number, as in `general(0)`.
pub(crate) const NUMBERED_COUNTERS: [&str; 3] = ["general", "general_rate", "mark"];

/// How long a variable lives.
pub(crate) const SCOPES: &[(&str, Scope)] = &[
    ("process", Scope::Process),
    ("connection", Scope::Connection),
    ("exchange", Scope::Exchange),
    ("request", Scope::Request),
    ("response", Scope::Response),
    ("check", Scope::Check),
];

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
            "hello_extension" => Value::HelloExtension(self.number("an extension's number")?),
            "payload_block" => {
                let length_at = self.number("an offset in bytes")?;
                self.expect(",")?;
                let length_bytes = self.number("the bytes of the length")?;
                self.expect(",")?;
                let at = self.number("an offset in bytes")?;
                Value::PayloadBlock {
                    length_at,
                    length_bytes,
                    at,
                }
            }
            "payload" => {
                let offset = self.number("an offset in bytes")?;
                self.expect(",")?;
                let length = self.number("a length in bytes")?;
                Value::Payload { offset, length }
            }
            "variable" => {
                let scope = self.one_of("scope", SCOPES)?;
                self.expect(",")?;
                let name = Name::new(self.text("a variable's name")?.0);
                Value::Variable(Variable { scope, name })
            }
            "response_capture" => Value::ResponseCapture(self.number("a slot")?),
            "capture" => Value::Capture(self.number("a slot")?),
            "authenticated" => Value::Authenticated(self.reference("a user list")?),
            "counter" => self.counter_value(Touch::Read)?,
            "raised" => self.counter_value(Touch::Raise)?,
            "cleared" => self.counter_value(Touch::Clear)?,
            "trackers" => Value::Trackers(self.counter_entry()?),
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
        self.one_of("certificate field", CERTIFICATE_FIELDS)
    }

    fn counter_value(&mut self, touch: Touch) -> Parsed<Value<Named>> {
        let counter = self.counter()?;
        self.expect(",")?;
        let of = self.counter_entry()?;
        Ok(Value::Counter { counter, of, touch })
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
        Value::HelloExtension(number) => {
            write_plain(out, format_args!("hello_extension({number})"))
        }
        Value::PayloadBlock {
            length_at,
            length_bytes,
            at,
        } => {
            let arguments = format_args!("payload_block({length_at}, {length_bytes}, {at})");
            write_plain(out, arguments);
        }
        Value::ClientCertificate(field) => write_certificate_field(out, field),
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
        Value::Trackers(of) => {
            out.push_str("trackers(");
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

fn write_certificate_field(out: &mut String, field: &CertificateField) {
    let [subject, issuer] = CERTIFICATE_PARTS;
    let (word, part) = match field {
        CertificateField::SubjectPart(part) => (subject, part),
        CertificateField::IssuerPart(part) => (issuer, part),
        plain => {
            let word = word_of(CERTIFICATE_FIELDS, plain);
            return write_plain(out, format_args!("client_certificate({word})"));
        }
    };
    write_plain(out, format_args!("client_certificate({word}, "));
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
