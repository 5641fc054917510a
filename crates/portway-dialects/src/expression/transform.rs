//! Transforms: a chain of methods after a value, as in ``path.field(2, `/`).lower()``.

use super::cursor::{Cursor, Parsed, Token};
use super::value::{word_of, write_variable};
use super::{print_network, read_network, write_plain, write_text};
use ipnet::IpNet;
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::expression::{
    Append, ChunkForm, Chunks, DigestKind, Given, HashKind, Hashing, JsonCharset, JwtVerify,
    MqttField, MqttPart, Operand, Operation, Secret, SetWhen, TimeUnit, Transform, Variable,
};
use portway_model::span::Spanned;
use portway_model::stage::Named;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Every method, and how it is written.
pub(crate) const METHODS: &[(&str, &str)] = &[
    ("number", "number()"),
    ("text", "text()"),
    ("lower", "lower()"),
    ("upper", "upper()"),
    ("trim", "trim()"),
    ("replace", "replace(`PATTERN`, `WITH`)"),
    ("replace_all", "replace_all(`PATTERN`, `WITH`)"),
    ("field", "field(1, `,`)"),
    ("word", "word(1, ` `)"),
    ("map", "map(`MAP`)"),
    ("default", "default(`TEXT`)"),
    ("base64", "base64()"),
    ("base64_decode", "base64_decode()"),
    ("hex", "hex()"),
    ("url_decode", "url_decode()"),
    ("length", "length()"),
    ("add", "add(1)"),
    ("subtract", "subtract(1)"),
    ("multiply", "multiply(2)"),
    ("divide", "divide(2)"),
    ("modulo", "modulo(10)"),
    ("and", "and(1)"),
    ("or", "or(1)"),
    ("xor", "xor(var.exchange.NAME)"),
    ("negate", "negate()"),
    ("complement", "complement()"),
    ("truth", "truth()"),
    ("not", "not()"),
    ("even", "even()"),
    ("odd", "odd()"),
    ("binary", "binary()"),
    ("trim_start", "trim_start(` `)"),
    ("trim_end", "trim_end(` `)"),
    ("first_line", "first_line()"),
    ("host_name", "host_name()"),
    ("host_port", "host_port()"),
    ("otherwise", "otherwise(`TEXT`)"),
    ("choose", "choose(`TRUE`, `FALSE`)"),
    ("append", "append(`BEFORE`, var.exchange.NAME, `AFTER`)"),
    ("join", "join(`,`, var.exchange.NAME, `AFTER`)"),
    ("base64_url", "base64_url()"),
    ("hex_number", "hex_number()"),
    ("form_decode", "form_decode()"),
    ("url_encode", "url_encode()"),
    ("json_escape", "json_escape(utf8)"),
    ("compare", "compare(var.exchange.NAME)"),
    ("same_secret", "same_secret(var.exchange.NAME)"),
    ("set_variable", "set_variable(var.exchange.NAME, not_set)"),
    ("unset_variable", "unset_variable(var.exchange.NAME)"),
    ("hash", "hash(crc32)"),
    ("digest", "digest(sha256)"),
    ("hmac", "hmac(sha256, `BASE64`)"),
    ("map_groups", "map_groups(`MAP`)"),
    ("chunks", "chunks(decimal, `-`, 2)"),
    ("healthy_targets", "healthy_targets()"),
    ("is_local", "is_local()"),
    ("date", "date(`%Y-%m-%d`, 0)"),
    ("local_date", "local_date(`%Y-%m-%d`, 0)"),
    ("http_date", "http_date(0)"),
    ("language", "language(`en`, `fr`)"),
    ("last_outside", "last_outside(`10.0.0.0/8`, `::1`)"),
    ("mask", "mask(24, 64)"),
    ("json", "json(`$.a.b`)"),
    ("jwt_header", "jwt_header(`$.kid`)"),
    ("jwt_payload", "jwt_payload(`$.sub`)"),
    ("jwt_verify", "jwt_verify(`RS256`, `key.pem`)"),
    ("sha256", "sha256()"),
    ("quoted", "quoted()"),
    ("backslashed", "backslashed()"),
    ("hexadecimal", "hexadecimal()"),
    ("bytes", "bytes(0, 8)"),
    ("fix_message", "fix_message()"),
    ("fix_tag", "fix_tag(35)"),
    ("mqtt_packet", "mqtt_packet()"),
    ("mqtt_connect", "mqtt_connect(username)"),
    ("mqtt_connack", "mqtt_connack(reason_code)"),
    ("rdp_cookie", "rdp_cookie(`mstshash`)"),
    ("target_queue", "target_queue()"),
];

/// Calculations.
const OPERATIONS: &[(&str, Operation)] = &[
    ("add", Operation::Add),
    ("subtract", Operation::Subtract),
    ("multiply", Operation::Multiply),
    ("divide", Operation::Divide),
    ("modulo", Operation::Modulo),
    ("and", Operation::And),
    ("or", Operation::Or),
    ("xor", Operation::Xor),
];

/// Methods without arguments.
const PLAIN: &[(&str, Transform<Named>)] = &[
    ("binary", Transform::Binary),
    ("truth", Transform::Truth),
    ("not", Transform::Not),
    ("even", Transform::Even),
    ("odd", Transform::Odd),
    ("negate", Transform::Negate),
    ("complement", Transform::Complement),
    ("first_line", Transform::FirstLine),
    ("host_name", Transform::HostName),
    ("host_port", Transform::HostPort),
    ("base64_url", Transform::Base64Url),
    ("hex_number", Transform::HexNumber),
    ("form_decode", Transform::FormDecode),
    ("url_encode", Transform::UrlEncode),
    ("healthy_targets", Transform::HealthyTargets),
    ("is_local", Transform::IsLocal),
    ("fix_message", Transform::FixMessage),
    ("mqtt_packet", Transform::MqttPacket),
    ("target_queue", Transform::TargetQueue),
];

/// Fields of MQTT packets.
pub(crate) const MQTT_PARTS: &[(&str, MqttPart)] = &[
    ("flags", MqttPart::Flags),
    ("protocol_name", MqttPart::ProtocolName),
    ("protocol_version", MqttPart::ProtocolVersion),
    ("client_identifier", MqttPart::ClientIdentifier),
    ("will_topic", MqttPart::WillTopic),
    ("will_payload", MqttPart::WillPayload),
    ("username", MqttPart::Username),
    ("password", MqttPart::Password),
    ("keepalive", MqttPart::KeepAlive),
    ("reason_code", MqttPart::ReasonCode),
];

/// Hash functions.
pub(crate) const HASHES: &[(&str, HashKind)] = &[
    ("crc32", HashKind::Crc32),
    ("crc32c", HashKind::Crc32c),
    ("djb2", HashKind::Djb2),
    ("sdbm", HashKind::Sdbm),
    ("wt6", HashKind::Wt6),
    ("xxh32", HashKind::Xxh32),
    ("xxh64", HashKind::Xxh64),
    ("xxh3", HashKind::Xxh3),
];

/// Digests.
pub(crate) const DIGESTS: &[(&str, DigestKind)] = &[
    ("md5", DigestKind::Md5),
    ("sha1", DigestKind::Sha1),
    ("sha224", DigestKind::Sha224),
    ("sha256", DigestKind::Sha256),
    ("sha384", DigestKind::Sha384),
    ("sha512", DigestKind::Sha512),
];

/// Units of time.
pub(crate) const TIME_UNITS: &[(&str, TimeUnit)] = &[
    ("seconds", TimeUnit::Seconds),
    ("milliseconds", TimeUnit::Milliseconds),
    ("microseconds", TimeUnit::Microseconds),
];

/// How numbers of some bytes are written.
pub(crate) const CHUNK_FORMS: &[(&str, ChunkForm)] =
    &[("decimal", ChunkForm::Decimal), ("hex", ChunkForm::Hex)];

/// When `set_variable` sets a variable.
const SET_WHEN: &[(&str, SetWhen)] = &[
    ("set", SetWhen::Set),
    ("not_set", SetWhen::NotSet),
    ("empty", SetWhen::Empty),
    ("not_empty", SetWhen::NotEmpty),
    ("greater", SetWhen::Greater),
    ("less", SetWhen::Less),
];

/// How bytes are read that become JSON.
pub(crate) const JSON_CHARSETS: &[(&str, JsonCharset)] = &[
    ("bytes", JsonCharset::Bytes),
    ("utf8", JsonCharset::Utf8),
    ("utf8_lossy", JsonCharset::Utf8Lossy),
];

impl Cursor<'_, '_> {
    /// A text, or a variable that holds it.
    fn given(&mut self, what: &str) -> Parsed<Given> {
        Ok(match self.token() {
            Token::Text(_) => Given::Text(self.text(what)?.0),
            _ => Given::Variable(self.variable()?),
        })
    }

    /// A method after the dot.
    pub(super) fn transform(&mut self) -> Parsed<Transform<Named>> {
        let Some(word) = self.word() else {
            return self.unexpected("a transform");
        };
        if METHODS.iter().all(|(known, _)| *known != word) {
            return self.unknown("transform", word, METHODS.iter().map(|(known, _)| *known));
        }
        self.advance()?;
        self.expect("(")?;
        let transform = self.method(word)?;
        self.expect(")")?;
        Ok(transform)
    }

    fn method(&mut self, word: &str) -> Parsed<Transform<Named>> {
        if let Some((_, plain)) = PLAIN.iter().find(|(known, _)| *known == word) {
            return Ok(plain.clone());
        }
        if let Some((_, operation)) = OPERATIONS.iter().find(|(known, _)| *known == word) {
            let operand = match self.token() {
                Token::Number(_) => Operand::Number(self.number("a number")?),
                _ => Operand::Variable(self.variable()?),
            };
            return Ok(Transform::Calculate(*operation, operand));
        }
        Ok(match word {
            "number" => Transform::Number,
            "text" => Transform::Text,
            "lower" => Transform::Lower,
            "upper" => Transform::Upper,
            "trim" => Transform::Trim,
            "replace" | "replace_all" => {
                let (pattern, span) = self.text("a pattern")?;
                self.expect(",")?;
                Transform::Replace {
                    pattern: Spanned::new(pattern, span),
                    with: self.text("what comes in its place")?.0,
                    all: word == "replace_all",
                }
            }
            "field" | "word" => self.part(word == "field")?,
            "map" | "map_groups" => {
                let map = self.reference("a map")?;
                let default = match self.takes(",")? {
                    true => Some(self.text("a default")?.0),
                    false => None,
                };
                match word {
                    "map" => Transform::Map { map, default },
                    _ => Transform::MapGroups { map, default },
                }
            }
            "fix_tag" => Transform::FixTag(self.number("the number of a tag")?),
            "mqtt_connect" | "mqtt_connack" => Transform::Mqtt(MqttField {
                answer: word == "mqtt_connack",
                part: match self.token() {
                    Token::Number(_) => {
                        MqttPart::Property(self.number("the number of a property")?)
                    }
                    _ => self.one_of("field, or the number of a property", MQTT_PARTS)?,
                },
            }),
            "rdp_cookie" => Transform::RdpCookie(match self.is(")") {
                true => None,
                false => Some(self.text("the name of a cookie")?.0),
            }),
            "chunks" => Transform::Chunks(self.chunks()?),
            "default" => Transform::Default(self.text("a text")?.0),
            "otherwise" => Transform::Otherwise(self.text("a text")?.0),
            "trim_start" => Transform::TrimStart(self.text("characters")?.0),
            "trim_end" => Transform::TrimEnd(self.text("characters")?.0),
            "choose" => {
                let yes = self.text("a text")?.0;
                self.expect(",")?;
                Transform::Choose(yes, self.text("a text")?.0)
            }
            "append" => Transform::Append(self.appended()?),
            "join" => Transform::Join(self.appended()?),
            "json_escape" => Transform::JsonEscape(self.one_of("charset", JSON_CHARSETS)?),
            "compare" => Transform::Compare(self.variable()?),
            "same_secret" => Transform::SameSecret(self.variable()?),
            "unset_variable" => Transform::UnsetVariable(self.variable()?),
            "set_variable" => self.set_variable()?,
            "digest" => Transform::Digest(self.one_of("digest", DIGESTS)?),
            "http_date" => {
                let offset = self.number("a number")?;
                let unit = match self.takes(",")? {
                    true => self.one_of("unit", TIME_UNITS)?,
                    false => TimeUnit::Seconds,
                };
                Transform::HttpDate { offset, unit }
            }
            "jwt_verify" => {
                let algorithm = self.given("an algorithm")?;
                self.expect(",")?;
                let key = self.given("a secret, or the path of a key")?;
                Transform::JwtVerify(Box::new(JwtVerify { algorithm, key }))
            }
            "hash" | "hmac" | "date" | "local_date" | "language" | "last_outside" => {
                self.longer_method(word)?
            }
            "base64" => Transform::Base64,
            "base64_decode" => Transform::Base64Decode,
            "hex" => Transform::Hex,
            "url_decode" => Transform::UrlDecode,
            "length" => Transform::Length,
            "mask" => {
                let v4 = self.mask("a prefix length or a mask for IPv4", 32, |bits| {
                    Ipv4Addr::from_bits(u32::MAX.checked_shl(32 - bits).unwrap_or(0))
                })?;
                let v6 = match self.takes(",")? {
                    true => Some(
                        self.mask("a prefix length or a mask for IPv6", 128, |bits| {
                            Ipv6Addr::from_bits(u128::MAX.checked_shl(128 - bits).unwrap_or(0))
                        })?,
                    ),
                    false => None,
                };
                Transform::Mask { v4, v6 }
            }
            "json" => Transform::Json(self.text("a path")?.0),
            "jwt_header" => Transform::JwtHeader(self.text("a path")?.0),
            "jwt_payload" => Transform::JwtPayload(self.text("a path")?.0),
            "sha256" => Transform::Sha256,
            "quoted" => Transform::Quoted,
            "backslashed" => Transform::Backslashed,
            "hexadecimal" => Transform::Hexadecimal,
            _ => {
                let offset = self.number("an offset in bytes")?;
                let length = match self.takes(",")? {
                    true => Some(self.number("a length in bytes")?),
                    false => None,
                };
                Transform::Bytes { offset, length }
            }
        })
    }

    fn network(&mut self) -> Parsed<IpNet> {
        let (text, span) = self.text("a network")?;
        match read_network(&text) {
            Some(network) => Ok(network),
            None => {
                let message = format!("`{text}` is no address and no network");
                let wrong = Diagnostic::error(Code::OutOfRange, span, message);
                self.stop(wrong.help("such as `10.0.0.0/8` or `2001:db8::1`"))
            }
        }
    }

    /// A prefix length of at most so many bits, or a mask in the form of an address.
    fn mask<A: FromStr>(
        &mut self,
        what: &str,
        most: u32,
        of_length: impl FnOnce(u32) -> A,
    ) -> Parsed<A> {
        let span = self.span();
        let found = match self.token() {
            Token::Text(_) => self.text(what)?.0.parse().ok(),
            _ => {
                let bits: u32 = self.number(what)?;
                (bits <= most).then(|| of_length(bits))
            }
        };
        match found {
            Some(found) => Ok(found),
            None => {
                let message = format!("this is not {what}");
                let wrong = Diagnostic::error(Code::OutOfRange, span, message);
                self.stop(wrong.help(format!("a number from 0 to {most}, or an address")))
            }
        }
    }

    fn set_variable(&mut self) -> Parsed<Transform<Named>> {
        let variable = self.variable()?;
        let mut when = Vec::new();
        while self.takes(",")? {
            when.push(self.one_of("condition", SET_WHEN)?);
        }
        Ok(Transform::SetVariable { variable, when })
    }

    fn chunks(&mut self) -> Parsed<Chunks> {
        let form = self.one_of("form", CHUNK_FORMS)?;
        self.expect(",")?;
        let between = self.text("what stands between the numbers")?.0;
        self.expect(",")?;
        let size = self.number("a number of bytes")?;
        let whole = self.takes(",")?;
        if whole {
            self.one_of("word", &[("whole", ())])?;
        }
        Ok(Chunks {
            form,
            between,
            size,
            whole,
        })
    }

    fn part(&mut self, field: bool) -> Parsed<Transform<Named>> {
        let index = self.number("a position from 1, or from the end below 0")?;
        self.expect(",")?;
        let delimiters = self.text("the delimiters")?.0;
        let count = match self.takes(",")? {
            true => self.number("a number of fields")?,
            false => 1,
        };
        Ok(match field {
            true => Transform::Field {
                index,
                delimiters,
                count,
            },
            false => Transform::Word {
                index,
                delimiters,
                count,
            },
        })
    }

    fn longer_method(&mut self, word: &str) -> Parsed<Transform<Named>> {
        Ok(match word {
            "hash" => {
                let function = self.one_of("hash function", HASHES)?;
                let seed = match self.takes(",")? {
                    true => self.number::<i64>("a seed")?.cast_unsigned(),
                    false => 0,
                };
                Transform::Hash(Hashing { function, seed })
            }
            "hmac" => {
                let digest = self.one_of("digest", DIGESTS)?;
                self.expect(",")?;
                let key = match self.token() {
                    Token::Text(_) => Secret::Base64(self.text("a key in Base64")?.0),
                    _ => Secret::Variable(self.variable()?),
                };
                Transform::Hmac { digest, key }
            }
            "language" => {
                let mut languages = vec![self.text("a language")?.0];
                while self.takes(",")? {
                    languages.push(self.text("a language")?.0);
                }
                Transform::Language(languages)
            }
            "last_outside" => {
                let mut networks = vec![self.network()?];
                while self.takes(",")? {
                    networks.push(self.network()?);
                }
                Transform::LastOutside(networks)
            }
            _ => {
                let format = self.text("a format of strftime")?.0;
                self.expect(",")?;
                Transform::Date {
                    format,
                    offset: self.number("a number of seconds")?,
                    local: word == "local_date",
                }
            }
        })
    }

    /// Texts with a variable between them, or without.
    fn appended(&mut self) -> Parsed<Append> {
        let before = self.text("a text")?.0;
        self.expect(",")?;
        let variable = match self.token() {
            Token::Text(_) => None,
            _ => {
                let variable = self.variable()?;
                self.expect(",")?;
                Some(variable)
            }
        };
        Ok(Append {
            before,
            variable,
            after: self.text("a text")?.0,
        })
    }
}

pub(super) fn write_transform(out: &mut String, transform: &Transform<Named>) {
    if let Some((word, _)) = PLAIN.iter().find(|(_, known)| known == transform) {
        return write_plain(out, format_args!("{word}()"));
    }
    match transform {
        Transform::Number => out.push_str("number()"),
        Transform::Text => out.push_str("text()"),
        Transform::Lower => out.push_str("lower()"),
        Transform::Quoted => out.push_str("quoted()"),
        Transform::Backslashed => out.push_str("backslashed()"),
        Transform::Hexadecimal => out.push_str("hexadecimal()"),
        Transform::Upper => out.push_str("upper()"),
        Transform::Trim => out.push_str("trim()"),
        Transform::Base64 => out.push_str("base64()"),
        Transform::Base64Decode => out.push_str("base64_decode()"),
        Transform::Hex => out.push_str("hex()"),
        Transform::UrlDecode => out.push_str("url_decode()"),
        Transform::Length => out.push_str("length()"),
        Transform::Sha256 => out.push_str("sha256()"),
        Transform::Mask { v4, v6 } => {
            out.push_str("mask(");
            write_mask(out, IpAddr::V4(*v4));
            if let Some(v6) = v6 {
                out.push_str(", ");
                write_mask(out, IpAddr::V6(*v6));
            }
            out.push(')');
        }
        Transform::MapGroups { map, default } => {
            let arguments = [Some(map.value.as_str()), default.as_deref()];
            let arguments: Vec<&str> = arguments.into_iter().flatten().collect();
            write_call(out, "map_groups", &arguments);
        }
        Transform::Bytes {
            offset,
            length: None,
        } => write_plain(out, format_args!("bytes({offset})")),
        Transform::Bytes {
            offset,
            length: Some(length),
        } => write_plain(out, format_args!("bytes({offset}, {length})")),
        Transform::Replace { pattern, with, all } => {
            let method = if *all { "replace_all" } else { "replace" };
            write_call(out, method, &[&pattern.value, with]);
        }
        Transform::Field {
            index,
            delimiters,
            count,
        } => write_part(out, "field", *index, delimiters, *count),
        Transform::Word {
            index,
            delimiters,
            count,
        } => write_part(out, "word", *index, delimiters, *count),
        Transform::Map { map, default: None } => write_call(out, "map", &[map.value.as_str()]),
        Transform::Map {
            map,
            default: Some(default),
        } => write_call(out, "map", &[map.value.as_str(), default]),
        Transform::Default(text) => write_call(out, "default", &[text]),
        Transform::Json(path) => write_call(out, "json", &[path]),
        Transform::JwtHeader(path) => write_call(out, "jwt_header", &[path]),
        Transform::JwtPayload(path) => write_call(out, "jwt_payload", &[path]),
        Transform::JwtVerify(verify) => {
            out.push_str("jwt_verify(");
            write_given(out, &verify.algorithm);
            out.push_str(", ");
            write_given(out, &verify.key);
            out.push(')');
        }
        other => write_longer(out, other),
    }
}

/// A prefix length where the mask is one.
fn write_mask(out: &mut String, mask: IpAddr) {
    match ipnet::ip_mask_to_prefix(mask) {
        Ok(length) => write_plain(out, length),
        Err(_) => write_text(out, &mask.to_string()),
    }
}

fn write_given(out: &mut String, given: &Given) {
    match given {
        Given::Text(text) => write_text(out, text),
        Given::Variable(variable) => write_variable(out, variable),
    }
}

fn write_part(out: &mut String, method: &str, index: i32, delimiters: &str, count: u32) {
    write_plain(out, format_args!("{method}({index}, "));
    write_text(out, delimiters);
    if count != 1 {
        write_plain(out, format_args!(", {count}"));
    }
    out.push(')');
}

/// The methods that HAProxy's converters need.
fn write_longer(out: &mut String, transform: &Transform<Named>) {
    match transform {
        Transform::FixTag(tag) => write_plain(out, format_args!("fix_tag({tag})")),
        Transform::Mqtt(MqttField { answer, part }) => {
            out.push_str(if *answer {
                "mqtt_connack("
            } else {
                "mqtt_connect("
            });
            match part {
                MqttPart::Property(id) => write_plain(out, id),
                named => out.push_str(word_of(MQTT_PARTS, named)),
            }
            out.push(')');
        }
        Transform::RdpCookie(name) => {
            let name: Vec<&str> = name.iter().map(String::as_str).collect();
            write_call(out, "rdp_cookie", &name);
        }
        Transform::Otherwise(text) => write_call(out, "otherwise", &[text]),
        Transform::TrimStart(chars) => write_call(out, "trim_start", &[chars]),
        Transform::TrimEnd(chars) => write_call(out, "trim_end", &[chars]),
        Transform::Choose(yes, no) => write_call(out, "choose", &[yes, no]),
        Transform::Append(append) => write_append(out, "append", append),
        Transform::Join(append) => write_append(out, "join", append),
        Transform::JsonEscape(charset) => {
            let word = word_of(JSON_CHARSETS, charset);
            write_plain(out, format_args!("json_escape({word})"));
        }
        Transform::Calculate(operation, operand) => {
            write_plain(out, format_args!("{}(", word_of(OPERATIONS, operation)));
            match operand {
                Operand::Number(number) => write_plain(out, number),
                Operand::Variable(variable) => write_variable(out, variable),
            }
            out.push(')');
        }
        Transform::Compare(variable) => write_of_variable(out, "compare", variable),
        Transform::SameSecret(variable) => write_of_variable(out, "same_secret", variable),
        Transform::UnsetVariable(variable) => write_of_variable(out, "unset_variable", variable),
        Transform::SetVariable { variable, when } => {
            out.push_str("set_variable(");
            write_variable(out, variable);
            for when in when {
                write_plain(out, format_args!(", {}", word_of(SET_WHEN, when)));
            }
            out.push(')');
        }
        Transform::Hash(Hashing { function, seed }) => {
            write_plain(out, format_args!("hash({}", word_of(HASHES, function)));
            if *seed != 0 {
                write_plain(out, format_args!(", {}", seed.cast_signed()));
            }
            out.push(')');
        }
        Transform::Digest(kind) => {
            write_plain(out, format_args!("digest({})", word_of(DIGESTS, kind)));
        }
        Transform::Hmac { digest, key } => {
            write_plain(out, format_args!("hmac({}, ", word_of(DIGESTS, digest)));
            match key {
                Secret::Base64(text) => write_text(out, text),
                Secret::Variable(variable) => write_variable(out, variable),
            }
            out.push(')');
        }
        Transform::Date {
            format,
            offset,
            local,
        } => {
            out.push_str(if *local { "local_date(" } else { "date(" });
            write_text(out, format);
            write_plain(out, format_args!(", {offset})"));
        }
        Transform::Chunks(chunks) => {
            let form = word_of(CHUNK_FORMS, &chunks.form);
            write_plain(out, format_args!("chunks({form}, "));
            write_text(out, &chunks.between);
            write_plain(out, format_args!(", {}", chunks.size));
            out.push_str(if chunks.whole { ", whole)" } else { ")" });
        }
        Transform::HttpDate { offset, unit } => {
            write_plain(out, format_args!("http_date({offset}"));
            if *unit != TimeUnit::Seconds {
                write_plain(out, format_args!(", {}", word_of(TIME_UNITS, unit)));
            }
            out.push(')');
        }
        Transform::LastOutside(networks) => {
            let networks: Vec<String> = networks.iter().map(print_network).collect();
            let networks: Vec<&str> = networks.iter().map(String::as_str).collect();
            write_call(out, "last_outside", &networks);
        }
        Transform::Language(languages) => {
            let languages: Vec<&str> = languages.iter().map(String::as_str).collect();
            write_call(out, "language", &languages);
        }
        // The rest is written by `write_transform`; a test prints and parses every transform.
        _ => {}
    }
}

fn write_of_variable(out: &mut String, method: &str, variable: &Variable) {
    write_plain(out, format_args!("{method}("));
    write_variable(out, variable);
    out.push(')');
}

fn write_append(out: &mut String, method: &str, append: &Append) {
    write_plain(out, format_args!("{method}("));
    write_text(out, &append.before);
    out.push_str(", ");
    if let Some(variable) = &append.variable {
        write_variable(out, variable);
        out.push_str(", ");
    }
    write_text(out, &append.after);
    out.push(')');
}

/// A call with text arguments.
pub(super) fn write_call(out: &mut String, function: &str, arguments: &[&str]) {
    out.push_str(function);
    out.push('(');
    for (i, argument) in arguments.iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        write_text(out, argument);
    }
    out.push(')');
}
