//! The fetches: what HAProxy calls a value, and which value of the model it is.

use super::arguments::Call;
use super::place::{Place, When};
use super::sample::{Refusal, Sample, Type, chain, of};
use super::{Reader, variable};
use portway_model::expression::{Transform, Value};
use portway_model::name::Name;
use portway_model::span::{Span, Spanned};
use portway_model::stage::Named;

/// A fetch without arguments.
struct Plain(&'static str, When, Type, Value<Named>);

/// Fetches without arguments that are one value.
const PLAIN: &[Plain] = &[
    Plain(
        "always_true",
        When::Always,
        Type::Boolean,
        Value::Boolean(true),
    ),
    Plain(
        "always_false",
        When::Always,
        Type::Boolean,
        Value::Boolean(false),
    ),
    Plain("src", When::Always, Type::Address, Value::Source),
    Plain("src_port", When::Always, Type::Number, Value::SourcePort),
    Plain("dst", When::Always, Type::Address, Value::Destination),
    Plain(
        "dst_port",
        When::Always,
        Type::Number,
        Value::DestinationPort,
    ),
    Plain(
        "fe_conn",
        When::Always,
        Type::Number,
        Value::ListenerConnections,
    ),
    Plain("fe_name", When::Client, Type::Text, Value::ListenerName),
    Plain("be_name", When::Backend, Type::Text, Value::GroupName),
    Plain("srv_name", When::Target, Type::Text, Value::TargetName),
    Plain("ssl_fc", When::Session, Type::Boolean, Value::Tls),
    Plain(
        "ssl_fc_protocol",
        When::Session,
        Type::Text,
        Value::TlsVersion,
    ),
    Plain("ssl_fc_cipher", When::Session, Type::Text, Value::TlsCipher),
    Plain("ssl_fc_sni", When::Session, Type::Text, Value::Sni),
    Plain("ssl_fc_alpn", When::Session, Type::Text, Value::Alpn),
    Plain("req.ssl_sni", When::Request, Type::Text, Value::HelloSni),
    Plain("req_ssl_sni", When::Request, Type::Text, Value::HelloSni),
    Plain("req.ssl_alpn", When::Request, Type::Text, Value::HelloAlpn),
    Plain(
        "req.ssl_hello_type",
        When::Request,
        Type::Number,
        Value::HelloType,
    ),
    Plain(
        "req_ssl_hello_type",
        When::Request,
        Type::Number,
        Value::HelloType,
    ),
    Plain("req.len", When::Request, Type::Number, Value::PayloadLength),
    Plain("req_len", When::Request, Type::Number, Value::PayloadLength),
    Plain("method", When::Exchange, Type::Text, Value::Method),
    Plain("path", When::Request, Type::Text, Value::Path),
    Plain("pathq", When::Request, Type::Text, Value::Target),
    Plain("query", When::Request, Type::Text, Value::Query),
    Plain("url", When::Request, Type::Text, Value::Target),
    Plain("baseq", When::Request, Type::Text, Value::Base),
    Plain("req.ver", When::Request, Type::Text, Value::HttpVersion),
    Plain("req_ver", When::Request, Type::Text, Value::HttpVersion),
    Plain("req.body", When::Request, Type::Binary, Value::Body),
    Plain(
        "req.body_size",
        When::Request,
        Type::Number,
        Value::BodyLength,
    ),
    Plain(
        "http_auth_user",
        When::Request,
        Type::Text,
        Value::BasicUser,
    ),
    Plain("unique-id", When::Always, Type::Text, Value::RequestId),
    Plain("status", When::Answered, Type::Number, Value::Status),
    Plain("hostname", When::Always, Type::Text, Value::Hostname),
    Plain("date", When::Always, Type::Number, Value::Now),
];

/// Fetches with arguments, for suggestions.
const FUNCTIONS: &[&str] = &[
    "bool",
    "int",
    "str",
    "var",
    "env",
    "rand",
    "nbsrv",
    "be_conn",
    "hdr",
    "req.hdr",
    "req.fhdr",
    "hdr_cnt",
    "req.hdr_cnt",
    "res.hdr",
    "res.fhdr",
    "cook",
    "req.cook",
    "res.cook",
    "urlp",
    "url_param",
    "http_auth",
    "req.payload",
    "capture.req.hdr",
];

/// Every name that is read here.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let plain = PLAIN.iter().map(|Plain(name, ..)| *name);
    plain.chain(FUNCTIONS.iter().copied())
}

/// The fetch of this name. A refusal without a reason means that there is none.
pub(super) fn find(
    call: &Call<'_>,
    place: Place,
    span: Span,
    reader: &mut Reader<'_>,
) -> Result<Sample, Refusal> {
    let name = call.name;
    if let Some(Plain(_, when, kind, value)) = PLAIN.iter().find(|Plain(known, ..)| *known == name)
        && call.count() == 0
    {
        return Ok(of(name, *when, *kind, value.clone()));
    }
    let named = |message: &str| match call.given(0) {
        Some(text) => Ok(text.to_owned()),
        None => Err(Refusal::wrong(message)),
    };
    let text = |when, value| Ok(of(name, when, Type::Text, value));
    let header = || named("say which header, as in hdr(host)");
    match name {
        "bool" => {
            let truth = match call.text(0) {
                "true" | "1" => true,
                "false" | "0" => false,
                other => return Err(Refusal::wrong(format!("'{other}' is not true or false"))),
            };
            Ok(of(name, When::Always, Type::Boolean, Value::Boolean(truth)))
        }
        "int" => {
            let number = integer(call.text(0))?;
            Ok(of(name, When::Always, Type::Number, Value::Number(number)))
        }
        "str" => text(When::Always, Value::Text(call.text(0).to_owned())),
        "var" => {
            let variable = variable::variable(call.text(0)).map_err(Refusal::Wrong)?;
            Ok(of(name, When::Always, Type::Any, Value::Variable(variable)))
        }
        "env" => text(
            When::Always,
            Value::Environment(named("say which variable, as in env(HOME)")?),
        ),
        "rand" => {
            let bound = match call.given(0) {
                Some(bound) => integer(bound)?,
                None => i64::from(u32::MAX),
            };
            let bound = u32::try_from(bound).map_err(|_| Refusal::wrong("it is out of range"))?;
            Ok(of(name, When::Always, Type::Number, Value::Random(bound)))
        }
        "nbsrv" | "be_conn" => {
            let group = named("say of which backend")?;
            let group = Spanned::new(Name::new(group), span);
            let value = match name {
                "nbsrv" => Value::HealthyTargets(group),
                _ => Value::GroupConnections(group),
            };
            Ok(of(name, When::Always, Type::Number, value))
        }
        "hdr" if place.is_response() => text(When::Message, Value::ResponseHeader(header()?)),
        "hdr" => text(When::Message, Value::Header(header()?)),
        "req.hdr" | "req.fhdr" => text(When::Request, Value::Header(header()?)),
        "res.hdr" | "res.fhdr" | "shdr" => text(When::Response, Value::ResponseHeader(header()?)),
        "hdr_cnt" | "req.hdr_cnt" | "req.fhdr_cnt" => Ok(of(
            name,
            When::Request,
            Type::Number,
            Value::HeaderCount(header()?),
        )),
        "hdr_ip" | "req.hdr_ip" => Ok(of(
            name,
            When::Request,
            Type::Address,
            Value::Header(header()?),
        )),
        "hdr_val" | "req.hdr_val" => Ok(of(
            name,
            When::Request,
            Type::Number,
            chain(Value::Header(header()?), vec![Transform::Number]),
        )),
        "cook" | "req.cook" => text(When::Request, Value::Cookie(named("say which cookie")?)),
        "res.cook" | "scook" => text(
            When::Response,
            Value::ResponseCookie(named("say which cookie")?),
        ),
        "urlp" | "url_param" => text(
            When::Request,
            Value::QueryParameter(named("say which parameter")?),
        ),
        "http_auth" => {
            let users = Spanned::new(Name::new(named("say which userlist")?), span);
            Ok(of(
                name,
                When::Request,
                Type::Boolean,
                Value::Authenticated(users),
            ))
        }
        "req.payload" | "payload" => {
            let value = Value::Payload {
                offset: small(call.text(0))?,
                length: small(call.text(1))?,
            };
            Ok(of(name, When::Request, Type::Binary, value))
        }
        "capture.req.hdr" => {
            let slot = u16::try_from(integer(call.text(0))?);
            let slot = slot.map_err(|_| Refusal::wrong("there is no such capture"))?;
            text(When::Exchange, Value::Capture(slot))
        }
        _ => {
            let _ = reader;
            Err(Refusal::wrong(""))
        }
    }
}

/// A whole number.
pub(super) fn integer(text: &str) -> Result<i64, Refusal> {
    text.trim()
        .parse()
        .map_err(|_| Refusal::wrong(format!("'{text}' is not a whole number")))
}

/// A whole number from 0 to 2^32 - 1.
pub(super) fn small(text: &str) -> Result<u32, Refusal> {
    let number = integer(text)?;
    u32::try_from(number).map_err(|_| Refusal::wrong(format!("{number} is out of range")))
}
