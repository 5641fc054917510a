//! The steps of scripted checks, and the services that are known by name.

use super::check::{HTTP_KEYS, read_http, write_http};
use super::form::{Form, Keyed, Out, Reader, words};
use super::pairs;
use crate::tree::{Content, Item};
use portway_model::check::{
    CheckConnect, CheckExpect, CheckRequest, CheckStep, CheckText, CheckWord, CheckWords,
    CheckedService, ComputedForm, Expectation,
};
use portway_model::expression::{Template, TextMatch};
use portway_model::stage::Named;

/// What a step of a script does.
const STEP_KEYS: &[&str] = &[
    "connect",
    "send",
    "send_hex",
    "send_text",
    "send_hex_text",
    "request",
    "expect",
    "http",
    "set",
    "unset",
    "comment",
];

/// The keys of `set`.
const SET_KEYS: &[&str] = &["variable", "value"];

/// The keys of `connect`.
const CONNECT_KEYS: &[&str] = &[
    "as_target",
    "port",
    "address",
    "tls",
    "server_name",
    "alpn",
    "send_proxy",
    "linger",
    "comment",
];

/// The keys of `request`.
const REQUEST_KEYS: &[&str] = &[
    "method",
    "target",
    "version",
    "headers",
    "body",
    "send_state",
    "comment",
];

/// The keys of `expect`; of the first so many exactly one.
const EXPECT_KEYS: &[&str] = &[
    "bytes",
    "bytes_hex",
    "pattern",
    "hex_pattern",
    "status",
    "status_pattern",
    "body",
    "body_hex",
    "body_pattern",
    "header",
    "text",
    "hex_text",
    "body_text",
    "not",
    "min_bytes",
    "ok",
    "error",
    "timeout",
    "on_success",
    "on_error",
    "code",
    "comment",
];

/// The first so many of [`EXPECT_KEYS`] say what is waited for.
const EXPECTATIONS: usize = 13;

/// The keys of a header that is waited for.
const HEADER_KEYS: &[&str] = &["name", "value", "whole"];

/// The keys of a text that is compared.
const TEXT_KEYS: &[&str] = &[
    "exact", "prefix", "suffix", "contains", "label", "segment", "glob", "regex",
];

/// Every key of a step.
pub(crate) const KEYS: &[&str] = &[
    "connect",
    "send",
    "send_hex",
    "send_text",
    "send_hex_text",
    "set",
    "unset",
    "text",
    "hex_text",
    "body_text",
    "code",
    "request",
    "expect",
    "as_target",
    "linger",
    "comment",
    "method",
    "target",
    "version",
    "headers",
    "send_state",
    "bytes",
    "bytes_hex",
    "pattern",
    "hex_pattern",
    "status",
    "status_pattern",
    "body",
    "body_hex",
    "body_pattern",
    "header",
    "not",
    "min_bytes",
    "ok",
    "error",
    "on_success",
    "on_error",
    "whole",
    "exact",
    "prefix",
    "suffix",
    "contains",
    "label",
    "segment",
    "glob",
    "regex",
];

/// The words of services.
pub(crate) const WORDS: &[&str] = &[
    "ssl_hello",
    "smtp",
    "mysql",
    "postgres",
    "redis",
    "ldap",
    "hello",
    "domain",
    "user",
    "post_41",
];

words!(CheckWord, "a result of a check such as L7STS", CHECK_WORDS:
    "UNK" => CheckWord::Unknown,
    "INI" => CheckWord::Initializing,
    "SOCKERR" => CheckWord::SocketError,
    "HANA" => CheckWord::HealthAnalysis,
    "L4OK" => CheckWord::L4Ok,
    "L4TOUT" => CheckWord::L4Timeout,
    "L4CON" => CheckWord::L4Connection,
    "L6OK" => CheckWord::L6Ok,
    "L6TOUT" => CheckWord::L6Timeout,
    "L6RSP" => CheckWord::L6Response,
    "L7OK" => CheckWord::L7Ok,
    "L7OKC" => CheckWord::L7OkConditionally,
    "L7TOUT" => CheckWord::L7Timeout,
    "L7RSP" => CheckWord::L7Response,
    "L7STS" => CheckWord::L7Status,
);

/// A step in messages.
const STEP: &str = "a step such as { send = \"PING\" }";

impl Form for CheckStep<Named> {
    const WHAT: &'static str = STEP;

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        let Content::Table(table) = &item.content else {
            return reader.wrong_type(item, STEP);
        };
        if table.get("http").is_some() {
            let keys = [&["http"], HTTP_KEYS].concat();
            let keyed = reader.keyed(item, STEP, &keys)?;
            let entry = keyed.entry("http")?;
            return read_http(&keyed, entry, reader).map(CheckStep::Http);
        }
        let keyed = reader.keyed(item, STEP, STEP_KEYS)?;
        let [entry] = table.entries() else {
            return reader.refuse(item.span, "a step does exactly one thing", "");
        };
        Some(match entry.key.as_str() {
            "connect" => CheckStep::Connect(CheckConnect::read(&entry.item, reader)?),
            "send" => CheckStep::Send(keyed.optional::<String>("send", reader)?.into_bytes()),
            "send_hex" => CheckStep::Send(read_hex(&entry.item, reader)?),
            key @ ("send_text" | "send_hex_text") => CheckStep::SendText {
                text: Form::read(&entry.item, reader)?,
                hex: key == "send_hex_text",
            },
            "set" => {
                let keyed = reader.keyed(&entry.item, "a table with `variable`", SET_KEYS)?;
                CheckStep::Set {
                    variable: keyed.required("variable", reader)?,
                    value: keyed.required("value", reader)?,
                }
            }
            "unset" => CheckStep::Unset(Form::read(&entry.item, reader)?),
            "comment" => CheckStep::Comment(Form::read(&entry.item, reader)?),
            "request" => CheckStep::Request(CheckRequest::read(&entry.item, reader)?),
            "expect" => CheckStep::Expect(CheckExpect::read(&entry.item, reader)?),
            // Reported as unknown.
            _ => return None,
        })
    }

    fn write(&self) -> Out {
        match self {
            CheckStep::Connect(connect) => Out::one("connect", connect.write()),
            CheckStep::Send(bytes) => {
                let (key, value) = write_bytes("send", bytes);
                Out::one(&key, value)
            }
            CheckStep::SendText { text, hex } => {
                let key = if *hex { "send_hex_text" } else { "send_text" };
                Out::one(key, text.write())
            }
            CheckStep::Set { variable, value } => {
                let pair = |key: &str, value: Out| (key.to_owned(), value);
                let of = Out::Table(vec![
                    pair("variable", variable.write()),
                    pair("value", value.write()),
                ]);
                Out::one("set", of)
            }
            CheckStep::Unset(variable) => Out::one("unset", variable.write()),
            CheckStep::Comment(text) => Out::one("comment", text.write()),
            CheckStep::Request(request) => Out::one("request", request.write()),
            CheckStep::Expect(expect) => Out::one("expect", expect.write()),
            CheckStep::Http(check) => {
                let mut out = Vec::new();
                write_http("http", check, &mut out);
                Out::Table(out)
            }
        }
    }
}

/// Bytes under a key: as text where they are text, else as hexadecimal digits under the key with `_hex`.
fn write_bytes(key: &str, bytes: &[u8]) -> (String, Out) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (key.to_owned(), Out::text(text)),
        Err(_) => (format!("{key}_hex"), write_hex(bytes)),
    }
}

fn write_hex(bytes: &[u8]) -> Out {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Out::text(digits)
}

fn read_hex(item: &Item, reader: &mut Reader<'_>) -> Option<Vec<u8>> {
    const WHAT: &str = "pairs of hexadecimal digits";
    let text = reader.text(item, WHAT)?.text;
    let digit = |c: &u8| {
        char::from(*c)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    };
    let bytes: Option<Vec<u8>> = text.as_bytes().chunks(2).map(pair).collect();
    match bytes {
        Some(bytes) => Some(bytes),
        None => reader.refuse(item.span, format!("`{text}` is not {WHAT}"), ""),
    }
}

impl Form for CheckConnect {
    const WHAT: &'static str = "true or a table";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        if let Content::Boolean(true) = item.content {
            return Some(Self::default());
        }
        let keyed = reader.keyed(item, Self::WHAT, CONNECT_KEYS)?;
        let mut flag = |key: &str| keyed.optional(key, reader).unwrap_or(false);
        Some(Self {
            as_target: flag("as_target"),
            tls: flag("tls"),
            send_proxy: flag("send_proxy"),
            linger: flag("linger"),
            port: keyed.optional("port", reader),
            address: keyed.optional("address", reader),
            server_name: keyed.optional("server_name", reader),
            alpn: keyed.optional("alpn", reader).unwrap_or_default(),
            comment: keyed.optional("comment", reader),
        })
    }

    fn write(&self) -> Out {
        let mut out = Vec::new();
        let mut add = |key: &str, value: Option<Out>| {
            out.extend(value.map(|value| (key.to_owned(), value)));
        };
        let flag = |value: bool| value.then_some(Out::Boolean(true));
        add("as_target", flag(self.as_target));
        add("port", self.port.map(|port| port.write()));
        add("address", self.address.map(|address| address.write()));
        add("tls", flag(self.tls));
        add("server_name", self.server_name.as_ref().map(Form::write));
        add("alpn", (!self.alpn.is_empty()).then(|| self.alpn.write()));
        add("send_proxy", flag(self.send_proxy));
        add("linger", flag(self.linger));
        add("comment", self.comment.as_ref().map(Form::write));
        match out.as_slice() {
            [] => Out::Boolean(true),
            _ => Out::Table(out),
        }
    }
}

/// The version of a request where none is said, HAProxy's.
const REQUEST_VERSION: &str = "HTTP/1.0";

impl Form for CheckRequest<Named> {
    const WHAT: &'static str = "a table with `target`";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        let keyed = reader.keyed(item, Self::WHAT, REQUEST_KEYS)?;
        let headers = keyed.entry("headers");
        let headers = headers.map(|entry| pairs::read::<Template<Named>>(&entry.item, reader));
        let headers = headers.unwrap_or_default().into_iter();
        Some(Self {
            method: keyed
                .optional("method", reader)
                .unwrap_or_else(|| "GET".to_owned()),
            target: keyed.required("target", reader)?,
            version: keyed
                .optional("version", reader)
                .unwrap_or_else(|| REQUEST_VERSION.to_owned()),
            headers: headers.map(|(name, value)| (name.value, value)).collect(),
            body: keyed
                .optional("body", reader)
                .unwrap_or_else(|| Template::text("")),
            send_state: keyed.optional("send_state", reader).unwrap_or(false),
            comment: keyed.optional("comment", reader),
        })
    }

    fn write(&self) -> Out {
        let mut out = Vec::new();
        let mut add = |key: &str, value: Option<Out>| {
            out.extend(value.map(|value| (key.to_owned(), value)));
        };
        let unless = |text: &String, default: &str| (text != default).then(|| text.write());
        add("method", unless(&self.method, "GET"));
        add("target", Some(self.target.write()));
        add("version", unless(&self.version, REQUEST_VERSION));
        let headers = self.headers.iter();
        let headers: Vec<_> = headers
            .map(|(name, value)| (name.clone(), value.write()))
            .collect();
        add(
            "headers",
            (!headers.is_empty()).then(|| pairs::write(headers)),
        );
        add("body", (!self.body.0.is_empty()).then(|| self.body.write()));
        add("send_state", self.send_state.then_some(Out::Boolean(true)));
        add("comment", self.comment.as_ref().map(Form::write));
        Out::Table(out)
    }
}

impl Form for CheckExpect<Named> {
    const WHAT: &'static str = "a regular expression or a table";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        if matches!(item.content, Content::Text { .. }) {
            return Form::read(item, reader)
                .map(|pattern| Self::new(Expectation::Pattern(pattern)));
        }
        let keyed = reader.keyed(item, Self::WHAT, EXPECT_KEYS)?;
        Some(Self {
            that: read_expectation(item, &keyed, reader)?,
            negated: keyed.optional("not", reader).unwrap_or(false),
            min_bytes: keyed.optional("min_bytes", reader),
            words: CheckWords {
                ok: keyed.optional("ok", reader),
                error: keyed.optional("error", reader),
                timeout: keyed.optional("timeout", reader),
            },
            on_success: keyed.optional("on_success", reader),
            on_error: keyed.optional("on_error", reader),
            code: keyed.optional("code", reader),
            comment: keyed.optional("comment", reader),
        })
    }

    fn write(&self) -> Out {
        let mut out = vec![write_expectation(&self.that)];
        let mut add = |key: &str, value: Option<Out>| {
            out.extend(value.map(|value| (key.to_owned(), value)));
        };
        add("not", self.negated.then_some(Out::Boolean(true)));
        add("min_bytes", self.min_bytes.map(|bytes| bytes.write()));
        add("ok", self.words.ok.map(|word| word.write()));
        add("error", self.words.error.map(|word| word.write()));
        add("timeout", self.words.timeout.map(|word| word.write()));
        add("on_success", self.on_success.as_ref().map(Form::write));
        add("on_error", self.on_error.as_ref().map(Form::write));
        add("code", self.code.as_ref().map(Form::write));
        add("comment", self.comment.as_ref().map(Form::write));
        match out.as_slice() {
            [(key, pattern)] if key == "pattern" => pattern.clone(),
            _ => Out::Table(out),
        }
    }
}

fn read_expectation(
    item: &Item,
    keyed: &Keyed<'_>,
    reader: &mut Reader<'_>,
) -> Option<Expectation<Named>> {
    let mut stated = EXPECT_KEYS
        .iter()
        .take(EXPECTATIONS)
        .filter_map(|key| keyed.entry(key));
    let (Some(entry), None) = (stated.next(), stated.next()) else {
        return reader.refuse(item.span, "exactly one thing is expected in a step", "");
    };
    let item = &entry.item;
    Some(match entry.key.as_str() {
        "bytes" => Expectation::Bytes(Form::read(item, reader)?),
        "bytes_hex" => Expectation::Binary(read_hex(item, reader)?),
        key @ ("text" | "hex_text" | "body_text") => Expectation::Computed {
            text: Form::read(item, reader)?,
            form: match key {
                "text" => ComputedForm::Text,
                "hex_text" => ComputedForm::Hex,
                _ => ComputedForm::Body,
            },
        },
        "pattern" => Expectation::Pattern(Form::read(item, reader)?),
        "hex_pattern" => Expectation::HexPattern(Form::read(item, reader)?),
        "status" => Expectation::Status(Form::read(item, reader)?),
        "status_pattern" => Expectation::StatusPattern(Form::read(item, reader)?),
        "body" => Expectation::Body(String::read(item, reader)?.into_bytes()),
        "body_hex" => Expectation::Body(read_hex(item, reader)?),
        "body_pattern" => Expectation::BodyPattern(Form::read(item, reader)?),
        _ => {
            let keyed = reader.keyed(item, "a table with `name`", HEADER_KEYS)?;
            Expectation::Header {
                name: keyed.required("name", reader)?,
                value: keyed.optional("value", reader),
                whole: keyed.optional("whole", reader).unwrap_or(false),
            }
        }
    })
}

fn write_expectation(that: &Expectation<Named>) -> (String, Out) {
    let pair = |key: &str, value: Out| (key.to_owned(), value);
    match that {
        Expectation::Bytes(text) => pair("bytes", text.write()),
        Expectation::Binary(bytes) => pair("bytes_hex", write_hex(bytes)),
        Expectation::Computed { text, form } => {
            let key = match form {
                ComputedForm::Text => "text",
                ComputedForm::Hex => "hex_text",
                ComputedForm::Body => "body_text",
            };
            pair(key, text.write())
        }
        Expectation::Pattern(pattern) => pair("pattern", pattern.write()),
        Expectation::HexPattern(pattern) => pair("hex_pattern", pattern.write()),
        Expectation::Status(ranges) => pair("status", ranges.write()),
        Expectation::StatusPattern(pattern) => pair("status_pattern", pattern.write()),
        Expectation::Body(bytes) => write_bytes("body", bytes),
        Expectation::BodyPattern(pattern) => pair("body_pattern", pattern.write()),
        Expectation::Header { name, value, whole } => {
            let mut out = vec![pair("name", name.write())];
            out.extend(value.as_ref().map(|value| pair("value", value.write())));
            if *whole {
                out.push(pair("whole", Out::Boolean(true)));
            }
            pair("header", Out::Table(out))
        }
    }
}

/// How a text is compared, by key.
const TEXT_MATCHES: &[(&str, TextMatch)] = &[
    ("exact", TextMatch::Exact),
    ("prefix", TextMatch::Prefix),
    ("suffix", TextMatch::Suffix),
    ("contains", TextMatch::Contains),
    ("label", TextMatch::Label),
    ("segment", TextMatch::Segment),
    ("glob", TextMatch::Glob),
];

impl Form for CheckText<Named> {
    const WHAT: &'static str = "a text or a table such as { prefix = \"sess=\" }";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        let Content::Table(table) = &item.content else {
            let text = Form::read(item, reader)?;
            let how = TextMatch::Exact;
            return Some(CheckText::Text { how, text });
        };
        let keyed = reader.keyed(item, Self::WHAT, TEXT_KEYS)?;
        let [entry] = table.entries() else {
            return reader.refuse(item.span, "a text is compared in exactly one way", "");
        };
        if entry.key == "regex" {
            return keyed.optional("regex", reader).map(CheckText::Pattern);
        }
        let (_, how) = TEXT_MATCHES.iter().find(|(key, _)| *key == entry.key)?;
        let text = keyed.optional(&entry.key, reader)?;
        Some(CheckText::Text { how: *how, text })
    }

    fn write(&self) -> Out {
        match self {
            CheckText::Text {
                how: TextMatch::Exact,
                text,
            } => text.write(),
            CheckText::Text { how, text } => {
                let key = TEXT_MATCHES.iter().find(|(_, known)| known == how);
                Out::one(key.map_or("exact", |(key, _)| *key), text.write())
            }
            CheckText::Pattern(pattern) => Out::one("regex", pattern.write()),
        }
    }
}

impl Form for CheckedService {
    const WHAT: &'static str =
        "a service such as \"redis\" or { smtp = { domain = \"a.example\" } }";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        const NAMES: &[&str] = &["smtp", "mysql", "postgres"];
        const PLAIN: [&str; 3] = ["redis", "ldap", "ssl_hello"];
        let Content::Table(table) = &item.content else {
            return match reader.text(item, Self::WHAT)?.text {
                "redis" => Some(CheckedService::Redis),
                "ldap" => Some(CheckedService::Ldap),
                "ssl_hello" => Some(CheckedService::SslHello),
                other => reader.unknown(item.span, "service", other, PLAIN),
            };
        };
        let keyed = reader.keyed(item, Self::WHAT, NAMES)?;
        let [entry] = table.entries() else {
            return reader.refuse(item.span, "exactly one service is checked", "");
        };
        if entry.key == "postgres" {
            let user = keyed.optional("postgres", reader)?;
            return Some(CheckedService::Postgres { user });
        }
        let keys: &[&str] = match entry.key.as_str() {
            "smtp" => &["hello", "domain"],
            _ => &["user", "post_41"],
        };
        let inner = reader.keyed(&entry.item, "a table", keys)?;
        if entry.key == "smtp" {
            return Some(CheckedService::Smtp {
                hello: inner
                    .optional("hello", reader)
                    .unwrap_or_else(|| "HELO".to_owned()),
                domain: inner
                    .optional("domain", reader)
                    .unwrap_or_else(|| "localhost".to_owned()),
            });
        }
        Some(CheckedService::Mysql {
            user: inner.optional("user", reader),
            post_41: inner.optional("post_41", reader).unwrap_or(true),
        })
    }

    fn write(&self) -> Out {
        match self {
            CheckedService::SslHello => Out::text("ssl_hello"),
            CheckedService::Redis => Out::text("redis"),
            CheckedService::Ldap => Out::text("ldap"),
            CheckedService::Postgres { user } => Out::one("postgres", user.write()),
            CheckedService::Smtp { hello, domain } => Out::one(
                "smtp",
                Out::Table(vec![
                    ("hello".to_owned(), hello.write()),
                    ("domain".to_owned(), domain.write()),
                ]),
            ),
            CheckedService::Mysql { user, post_41 } => {
                let mut out = Vec::new();
                out.extend(user.as_ref().map(|user| ("user".to_owned(), user.write())));
                if !post_41 {
                    out.push(("post_41".to_owned(), Out::Boolean(false)));
                }
                Out::one("mysql", Out::Table(out))
            }
        }
    }
}
