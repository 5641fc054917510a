//! The fetches: what HAProxy calls a value, and which value of the model it is.

pub(super) mod counters;
mod structured;
mod tables;

use super::arguments::Call;
use super::place::{Place, When};
use super::sample::{Refusal, Sample, Type, chain, of};
use super::{Reader, patterns, variable};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portway_model::action::End;
use portway_model::expression::{
    CertificateField, GroupFigure, HashKind, Hashing, HeaderPart, ListenerFigure, Message,
    NamePart, Operand, Operation, TargetFigure, Transform, Value,
};
use portway_model::name::Name;
use portway_model::span::{Span, Spanned};
use portway_model::stage::Named;
use std::net::IpAddr;
use tables::{FUNCTIONS, PLAIN, Plain};

/// Every name that is read here.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let plain = PLAIN.iter().map(|Plain(name, ..)| *name);
    plain.chain(FUNCTIONS.iter().map(|(name, _)| *name))
}

/// What a fetch is read from.
struct Reading<'c, 'r, 'i> {
    call: &'c Call<'c>,
    place: Place,
    span: Span,
    reader: &'r mut Reader<'i>,
}

type Found = Result<Sample, Refusal>;

/// The fetch of this name. A refusal without a reason means that there is none.
pub(super) fn find(call: &Call<'_>, place: Place, span: Span, reader: &mut Reader<'_>) -> Found {
    let name = call.name;
    if let Some(Plain(_, when, kind, value)) = PLAIN.iter().find(|Plain(known, ..)| *known == name)
    {
        if call.count() > 0 {
            return Err(Refusal::wrong("it takes no arguments"));
        }
        return Ok(of(name, *when, *kind, value.clone()));
    }
    let function = FUNCTIONS.iter().find(|(known, _)| *known == name);
    if let Some((_, most)) = function {
        call.at_most(*most)?;
    }
    let mut reading = Reading {
        call,
        place,
        span,
        reader,
    };
    if function.is_none() {
        let counters = reading.counters();
        return counters.unwrap_or_else(|| Err(Refusal::wrong("")));
    }
    reading
        .literal()
        .or_else(|| reading.live())
        .or_else(|| reading.headers())
        .or_else(|| reading.request())
        .unwrap_or_else(|| Err(Refusal::wrong("")))
}

impl Reading<'_, '_, '_> {
    fn of(&self, when: When, kind: Type, value: Value<Named>) -> Found {
        Ok(of(self.call.name, when, kind, value))
    }

    fn chain(
        &self,
        when: When,
        kind: Type,
        value: Value<Named>,
        transforms: Vec<Transform<Named>>,
    ) -> Found {
        Ok(of(self.call.name, when, kind, chain(value, transforms)))
    }

    /// The first argument, which must be there.
    fn named(&self, missing: &str) -> Result<String, Refusal> {
        let given = self.call.given(0).map(str::to_owned);
        given.ok_or_else(|| Refusal::wrong(missing))
    }

    /// What the configuration itself says, and what the machine knows.
    fn literal(&mut self) -> Option<Found> {
        Some(match self.call.name {
            "bool" => match self.call.text(0) {
                "true" | "1" => self.of(When::Always, Type::Boolean, Value::Boolean(true)),
                "false" | "0" => self.of(When::Always, Type::Boolean, Value::Boolean(false)),
                _ => Err(Refusal::wrong("it is 'true', 'false', '0' or '1'")),
            },
            "int" => integer(self.call.text(0))
                .and_then(|number| self.of(When::Always, Type::Number, Value::Number(number))),
            "str" | "meth" => {
                let text = self.call.text(0).to_owned();
                self.of(When::Always, Type::Text, Value::Text(text))
            }
            "bin" => self.binary(),
            name @ ("ipv4" | "ipv6") => match self.call.text(0).parse::<IpAddr>() {
                Ok(address) if address.is_ipv4() == (name == "ipv4") => {
                    self.of(When::Always, Type::Address, Value::Address(address))
                }
                _ => Err(Refusal::wrong(format!(
                    "its argument is not an {name} address"
                ))),
            },
            "var" => self.variable(),
            "env" => self
                .named("say which variable, as in env(HOME)")
                .and_then(|name| {
                    // What the file says of it stands in the file, not in the process.
                    let value = match self.reader.environment.given(&name) {
                        Some(given) => Value::Text(given.to_owned()),
                        None => Value::Environment(name),
                    };
                    self.of(When::Always, Type::Text, value)
                }),
            "rand" => self.random(),
            "date" => self.date(),
            "date_us" => {
                let operand = Operand::Number(1_000_000);
                let part = Transform::Calculate(Operation::Modulo, operand);
                self.chain(
                    When::Always,
                    Type::Number,
                    Value::NowMicroseconds,
                    vec![part],
                )
            }
            "src_is_local" => self.local(Value::Source),
            "dst_is_local" => self.local(Value::Destination),
            "fc_src_is_local" => self.local(Value::Accepted(End::Source)),
            "fc_dst_is_local" => self.local(Value::Accepted(End::Destination)),
            "thread" => {
                // HAProxy counts its threads from 0.
                let from_zero = Transform::Calculate(Operation::Subtract, Operand::Number(1));
                self.chain(When::Always, Type::Number, Value::Worker, vec![from_zero])
            }
            "uuid" if matches!(self.call.text(0), "" | "4") => {
                self.of(When::Always, Type::Text, Value::Uuid)
            }
            "uuid" => Err(Refusal::wrong("version 4 is the only one")),
            "wait_end" => {
                // Only the inspection of a connection waits; everything later is at its end.
                let value = match self.place.step {
                    super::place::Step::TcpContent | super::place::Step::TcpResponse => {
                        Value::WaitEnded
                    }
                    _ if self.place == Place::ACL => Value::WaitEnded,
                    _ => Value::Boolean(true),
                };
                self.of(When::Always, Type::Boolean, value)
            }
            "req.proto_http" | "req_proto_http" => {
                self.of(When::Exchange, Type::Boolean, Value::IsHttp)
            }
            _ => return None,
        })
    }

    fn local(&self, address: Value<Named>) -> Found {
        let steps = vec![Transform::IsLocal];
        self.chain(When::Always, Type::Boolean, address, steps)
    }

    fn binary(&self) -> Found {
        if self.call.given(0).is_none() {
            return Err(Refusal::wrong(
                "write hexadecimal digits, two for each byte",
            ));
        }
        let digits = patterns::hexadecimal(self.call.text(0)).map_err(Refusal::Wrong)?;
        let bytes = digits.as_bytes().chunks(2).filter_map(|pair| {
            let pair = std::str::from_utf8(pair).ok()?;
            u8::from_str_radix(pair, 16).ok()
        });
        let bytes: Vec<u8> = bytes.collect();
        match String::from_utf8(bytes) {
            Ok(text) => self.of(When::Always, Type::Binary, Value::Text(text)),
            Err(other) => {
                let text = Value::Text(STANDARD.encode(other.as_bytes()));
                self.chain(
                    When::Always,
                    Type::Binary,
                    text,
                    vec![Transform::Base64Decode],
                )
            }
        }
    }

    fn variable(&self) -> Found {
        let variable = variable::variable(self.call.text(0)).map_err(Refusal::Wrong)?;
        let default = self
            .call
            .given(1)
            .map(|text| Transform::Default(text.to_owned()));
        let steps = default.into_iter().collect();
        self.chain(When::Always, Type::Any, Value::Variable(variable), steps)
    }

    fn random(&self) -> Found {
        let bound = match self.call.given(0) {
            Some(bound) => u32::try_from(integer(bound)?),
            None => Ok(u32::MAX),
        };
        let bound = bound.ok().filter(|bound| *bound > 0);
        let bound = bound.ok_or_else(|| Refusal::wrong("its bound is out of range"))?;
        self.of(When::Always, Type::Number, Value::Random(bound))
    }

    fn date(&self) -> Found {
        let offset = self.call.given(0).map(integer).transpose()?.unwrap_or(0);
        let units = self.call.arguments.as_ref().and_then(|all| all.get(1));
        let per_second = match units.map_or("s", String::as_str) {
            "s" => 1,
            "ms" => 1_000,
            "us" => 1_000_000,
            _ => return Err(Refusal::wrong("its unit is 's', 'ms' or 'us'")),
        };
        let mut steps = Vec::new();
        let value = if per_second == 1 {
            Value::Now
        } else {
            if per_second < 1_000_000 {
                let divisor = Operand::Number(1_000_000 / per_second);
                steps.push(Transform::Calculate(Operation::Divide, divisor));
            }
            Value::NowMicroseconds
        };
        if offset != 0 {
            let operand = Operand::Number(offset.saturating_mul(per_second));
            steps.push(Transform::Calculate(Operation::Add, operand));
        }
        self.chain(When::Always, Type::Number, value, steps)
    }

    /// What is counted of backends, frontends and servers.
    fn live(&mut self) -> Option<Found> {
        let name = self.call.name;
        let group = |figure| move |group| Value::OfGroup { figure, group };
        Some(match name {
            "nbsrv" => self.of_backend(Value::HealthyTargets),
            "be_conn" => self.of_backend(Value::GroupConnections),
            "be_sess_rate" => self.of_backend(group(GroupFigure::ConnectionRate)),
            "queue" => self.of_backend(group(GroupFigure::Queued)),
            "avg_queue" => self.of_backend(group(GroupFigure::AverageQueue)),
            "connslots" => self.of_backend(group(GroupFigure::FreeSlots)),
            "be_conn_free" => self.of_backend(group(GroupFigure::FreeConnections)),
            "fe_conn" => self.of_frontend(Value::ListenerConnections, ListenerFigure::Connections),
            "fe_sess_rate" => {
                let own = Value::ListenerConnectionRate;
                self.of_frontend(own, ListenerFigure::ConnectionRate)
            }
            "fe_req_rate" => {
                self.of_frontend(Value::ListenerRequestRate, ListenerFigure::RequestRate)
            }
            "srv_iweight" => self.of_server(TargetFigure::ConfiguredWeight, Type::Number),
            "srv_conn_free" => self.of_server(TargetFigure::FreeConnections, Type::Number),
            "srv_is_up" => self.of_server(TargetFigure::Usable, Type::Boolean),
            "srv_conn" => self.of_server(TargetFigure::Connections, Type::Number),
            "srv_queue" => self.of_server(TargetFigure::Queued, Type::Number),
            "srv_weight" | "srv_uweight" => self.of_server(TargetFigure::Weight, Type::Number),
            "srv_sess_rate" => self.of_server(TargetFigure::ConnectionRate, Type::Number),
            _ => return None,
        })
    }

    /// Of the frontend that is named, or of the own one.
    fn of_frontend(&self, own: Value<Named>, figure: ListenerFigure) -> Found {
        let value = match self.call.given(0) {
            None => own,
            Some(name) => Value::OfListener {
                figure,
                listener: Spanned::new(Name::new(name), self.span),
            },
        };
        self.of(When::Always, Type::Number, value)
    }

    fn of_backend(&mut self, value: impl FnOnce(Spanned<Name>) -> Value<Named>) -> Found {
        let group = match self.call.given(0) {
            Some(name) => {
                let asked = (name.to_owned(), Spanned::new(String::new(), self.span));
                self.reader.asked_servers.push(asked);
                name.to_owned()
            }
            None => self.own_backend()?,
        };
        let group = Spanned::new(Name::new(group), self.span);
        self.of(When::Always, Type::Number, value(group))
    }

    /// The proxy that the expression stands in.
    fn own_backend(&self) -> Result<String, Refusal> {
        let own = self.reader.proxy.clone();
        own.ok_or_else(|| Refusal::wrong("say of which backend"))
    }

    fn of_server(&mut self, figure: TargetFigure, kind: Type) -> Found {
        let (group, target) = match self.call.text(0).split_once('/') {
            Some((group, target)) => (group.to_owned(), target),
            // A defaults section has no servers of its own.
            None => match self.own_backend()? {
                own if own.is_empty() => return Err(Refusal::wrong("say of which backend")),
                own => (own, self.call.text(0)),
            },
        };
        if target.is_empty() {
            return Err(Refusal::wrong(
                "say of which server, as in srv_is_up(backend/server)",
            ));
        }
        let asked = (group.clone(), Spanned::new(target.to_owned(), self.span));
        let value = Value::OfTarget {
            figure,
            group: Spanned::new(Name::new(group), self.span),
            target: Name::new(target),
        };
        self.reader.asked_servers.push(asked);
        self.of(When::Always, kind, value)
    }

    /// Headers and cookies.
    fn headers(&mut self) -> Option<Found> {
        let name = self.call.name;
        let (message, when, word) = match name.split_once('.') {
            Some(("req", word)) => (Message::Request, When::Request, word),
            Some(("res", word)) => (Message::Response, When::Response, word),
            _ => match name {
                "shdr" | "shdr_cnt" | "shdr_ip" | "shdr_val" | "scook" | "scook_cnt"
                | "scook_val" => (Message::Response, When::Response, name.get(1..)?),
                "hdr" | "cookie" if self.place.is_response() => {
                    (Message::Response, When::Message, name)
                }
                "hdr" | "cookie" => (Message::Request, When::Message, name),
                _ => (Message::Request, When::Request, name),
            },
        };
        Some(match word {
            "hdr" => self.header(message, when, Type::Text, Vec::new()),
            "hdr_ip" => self.header(message, when, Type::Address, vec![Transform::ADDRESS]),
            "hdr_val" => self.header(message, when, Type::Number, vec![Transform::Number]),
            "fhdr" => self.full_header(message, when),
            "hdr_cnt" | "fhdr_cnt" => {
                let value = Value::HeaderCount {
                    of: message,
                    name: self.call.given(0).map(str::to_owned),
                    items: word == "hdr_cnt",
                };
                self.of(when, Type::Number, value)
            }
            "hdr_names" => {
                let delimiter = self.call.given(0).unwrap_or(",").to_owned();
                let value = Value::HeaderNames {
                    of: message,
                    delimiter,
                };
                self.of(when, Type::Text, value)
            }
            "cook" | "cookie" => self.cookie(message, when, Type::Text, Vec::new()),
            "cook_val" => self.cookie(message, when, Type::Number, vec![Transform::Number]),
            "cook_cnt" => {
                let value = Value::CookieCount {
                    of: message,
                    name: self.call.given(0).map(str::to_owned),
                };
                self.of(when, Type::Number, value)
            }
            _ => return None,
        })
    }

    /// The place of an occurrence, from 1 or from the end below 0.
    fn occurrence(&self) -> Result<Option<i32>, Refusal> {
        let Some(text) = self.call.given(1) else {
            return Ok(None);
        };
        match i32::try_from(integer(text)?) {
            Ok(0) => Ok(None),
            Ok(place) => Ok(Some(place)),
            Err(_) => Err(Refusal::wrong("the occurrence is out of range")),
        }
    }

    fn header(
        &self,
        of: Message,
        when: When,
        kind: Type,
        transforms: Vec<Transform<Named>>,
    ) -> Found {
        let name = self.named("say which header, as in hdr(host)")?;
        let occurrence = self.occurrence()?;
        if of == Message::Request && occurrence.is_none() && name.eq_ignore_ascii_case("host") {
            // It never holds a comma: a name cannot.
            return self.chain(when, kind, Value::Header(name), transforms);
        }
        let part = HeaderPart::Item(occurrence);
        self.chain(when, kind, Value::HeaderPart { of, name, part }, transforms)
    }

    fn full_header(&self, of: Message, when: When) -> Found {
        let name = self.named("say which header, as in req.fhdr(user-agent)")?;
        let value = match (self.occurrence()?, of) {
            (Some(place), _) => Value::HeaderPart {
                of,
                name,
                part: HeaderPart::Line(place),
            },
            (None, Message::Request) => Value::Header(name),
            (None, Message::Response) => Value::ResponseHeader(name),
        };
        self.of(when, Type::Text, value)
    }

    fn cookie(
        &self,
        of: Message,
        when: When,
        kind: Type,
        transforms: Vec<Transform<Named>>,
    ) -> Found {
        let value = match (of, self.call.given(0).map(str::to_owned)) {
            (of, None) => Value::AnyCookie(of),
            (Message::Request, Some(name)) => Value::Cookie(name),
            (Message::Response, Some(name)) => Value::ResponseCookie(name),
        };
        self.chain(when, kind, value, transforms)
    }

    /// The rest of requests and responses, and the first bytes of a connection.
    fn request(&mut self) -> Option<Found> {
        let spread = Transform::Hash(Hashing {
            function: HashKind::Sdbm,
            seed: 1,
        });
        Some(match self.call.name {
            "urlp" | "url_param" => self.argument(Type::Text, Vec::new()),
            "urlp_val" => self.argument(Type::Number, vec![Transform::Number]),
            "base32" => self.chain(When::Request, Type::Number, Value::HostPath, vec![spread]),
            "base32+src" => self.hash_and_source(Value::HostPath, spread),
            "url32+src" => self.hash_and_source(Value::Base, spread),
            "url32" => {
                // HAProxy hashes the host before it.
                self.chain(When::Request, Type::Number, Value::Base, vec![spread])
            }
            "rdp_cookie" | "req.rdp_cookie" => self.rdp_cookie(Type::Text, Vec::new()),
            "rdp_cookie_cnt" | "req.rdp_cookie_cnt" => {
                // There is one or none.
                let one = vec![
                    Transform::Length,
                    Transform::Calculate(Operation::Or, Operand::Number(1)),
                    Transform::Calculate(Operation::And, Operand::Number(1)),
                    Transform::Default("0".to_owned()),
                    Transform::Number,
                ];
                self.rdp_cookie(Type::Number, one)
            }
            // The first that the client offers.
            "req.ssl_alpn" => {
                let first = Transform::Field {
                    index: 1,
                    delimiters: ",".to_owned(),
                    count: 1,
                };
                self.chain(When::Request, Type::Text, Value::HelloAlpn, vec![first])
            }
            "req.ver" | "req_ver" => self.version(When::Request, Value::HttpVersion, ""),
            "res.ver" | "resp_ver" => self.version(When::Response, Value::ResponseVersion, ""),
            "capture.req.ver" => self.version(When::Exchange, Value::HttpVersion, "HTTP/"),
            "capture.res.ver" => self.version(When::Exchange, Value::ResponseVersion, "HTTP/"),
            "capture.req.hdr" | "capture.res.hdr" => self.capture(),
            "http_auth" | "http_auth_group" => self.authenticated(),
            "http_auth_bearer" => {
                let header = self.call.given(0).map(str::to_owned);
                self.of(When::Request, Type::Text, Value::Bearer(header))
            }
            "req.payload" | "res.payload" | "payload" => self.payload(),
            "req.payload_lv" | "res.payload_lv" | "payload_lv" => self.payload_block(),
            "req.body_len" | "res.body_len" => {
                // A message without a body has none of length 0.
                let none = Transform::Default("0".to_owned());
                let length = vec![Transform::Length, none, Transform::Number];
                let (when, body) = match self.call.name {
                    "req.body_len" => (When::Request, Value::Body),
                    _ => (When::Response, Value::ResponseBody),
                };
                self.chain(when, Type::Number, body, length)
            }
            "req.body_param" => match self.call.given(0) {
                Some(name) => {
                    let value = Value::BodyArgument(name.to_owned());
                    self.of(When::Request, Type::Binary, value)
                }
                None => Err(Refusal::NotYet),
            },
            "fc_http_major" => {
                let number = vec![Transform::Number];
                self.chain(When::Client, Type::Number, Value::HttpVersion, number)
            }
            "ssl_fc_has_sni" => {
                let steps = vec![
                    Transform::Length,
                    Transform::Truth,
                    Transform::Default("0".to_owned()),
                    Transform::Number,
                ];
                self.chain(When::Session, Type::Boolean, Value::Sni, steps)
            }
            "ssl_c_s_dn" | "ssl_c_i_dn" | "ssl_f_s_dn" | "ssl_f_i_dn" | "ssl_s_s_dn"
            | "ssl_s_i_dn" => self.distinguished_name(),
            _ => return None,
        })
    }

    fn argument(&self, kind: Type, transforms: Vec<Transform<Named>>) -> Found {
        let mut delimiter = self.call.text(1).chars();
        let value = Value::Argument {
            name: self.call.given(0).map(str::to_owned),
            delimiter: delimiter.next(),
        };
        if delimiter.next().is_some() {
            return Err(Refusal::wrong("the delimiter is one character"));
        }
        self.chain(When::Request, kind, value, transforms)
    }

    /// A version as HAProxy writes it: two digits, also for HTTP/2.
    fn version(&self, when: When, value: Value<Named>, before: &str) -> Found {
        let replace = |pattern: &str, with: String| Transform::Replace {
            pattern: Spanned::new(pattern.to_owned(), self.span),
            with,
            all: false,
        };
        if before.is_empty() {
            return self.of(when, Type::Text, value);
        }
        // Of requests in HTTP/2 HAProxy captures what they become.
        let steps = vec![
            replace("^2[.]0$", "1.1".to_owned()),
            replace("^", before.to_owned()),
        ];
        self.chain(when, Type::Text, value, steps)
    }

    fn capture(&self) -> Found {
        let slot = u16::try_from(integer(self.call.text(0))?);
        let slot = slot.map_err(|_| Refusal::wrong("there is no such capture"))?;
        match self.call.name {
            "capture.res.hdr" => self.of(When::Answered, Type::Text, Value::ResponseCapture(slot)),
            _ => self.of(When::Exchange, Type::Text, Value::Capture(slot)),
        }
    }

    fn authenticated(&self) -> Found {
        let users = self.named("say which userlist")?;
        let users = Spanned::new(Name::new(users), self.span);
        let value = match self.call.name {
            "http_auth" => Value::Authenticated(users),
            // As a sample it is the name of the user.
            _ if self.place != Place::ACL => {
                return self.of(When::Request, Type::Text, Value::AuthenticatedUser(users));
            }
            _ => Value::InUserGroup {
                users,
                groups: Vec::new(),
            },
        };
        self.of(When::Request, Type::Boolean, value)
    }

    /// The four bytes of a hash and those of the client's address, as a key of stick tables.
    fn hash_and_source(&self, value: Value<Named>, spread: Transform<Named>) -> Found {
        let last_four = Transform::Bytes {
            offset: 4,
            length: None,
        };
        let hash = chain(value, vec![spread, Transform::Binary, last_four]);
        let both = Value::WithSource(Box::new(hash));
        self.of(When::Request, Type::Binary, both)
    }

    fn rdp_cookie(&self, kind: Type, then: Vec<Transform<Named>>) -> Found {
        let name = self.call.given(0).map(str::to_owned);
        let mut transforms = vec![Transform::RdpCookie(name)];
        transforms.extend(then);
        let first_bytes = Value::Payload {
            offset: 0,
            length: 0,
        };
        self.chain(When::Request, kind, first_bytes, transforms)
    }
}

/// A whole number.
pub(super) fn integer(text: &str) -> Result<i64, Refusal> {
    text.parse()
        .map_err(|_| Refusal::wrong(format!("'{text}' is not a whole number")))
}

/// A whole number from 0 to 2^32 - 1.
pub(super) fn small(text: &str) -> Result<u32, Refusal> {
    let number = integer(text)?;
    u32::try_from(number).map_err(|_| Refusal::wrong(format!("{number} is out of range")))
}
