//! The fetches: from a [`Value`] and the [`Facts`] to what is there.

use super::encoding::percent_decode;
use super::transform::base64_decode;
use super::{Facts, Fetched, TlsFacts, Whose, cipher, counters, evaluate};
use super::{message, sought};
use crate::proxy_protocol::Part;
use crate::trace::TracePart;
use portway_model::expression::{Expression, Message, PriorityPart, TlsField, Value};
use portway_model::first_answer::AnswerPart;
use portway_model::stage::Resolved;
use std::borrow::Cow;
use std::net::IpAddr;
use std::ops::ControlFlow::{self, Break, Continue};

/// The one value. Of several occurrences a header gives the last, a cookie or an argument the first.
pub fn fetch<'a, F: Facts>(value: &'a Value<Resolved>, facts: &'a F) -> Fetched<'a> {
    match value {
        Value::Text(text) => text.as_str().into(),
        Value::Number(number) => (*number).into(),
        Value::Boolean(truth) => (*truth).into(),
        Value::Host => facts.host().into(),
        Value::Path => facts.path().into(),
        Value::Address(address) => (*address).into(),
        Value::Header(_)
        | Value::ResponseHeader(_)
        | Value::HeaderPart { .. }
        | Value::Cookie(_)
        | Value::ResponseCookie(_) => last(value, facts),
        Value::AnyCookie(_) => first(value, facts),
        Value::QueryParameter(_) | Value::Argument { .. } | Value::BodyArgument(_) => {
            first(value, facts)
        }
        Value::HeaderCount { of, name, items } => {
            message::count(*of, name.as_deref(), *items, facts).into()
        }
        Value::HeaderNames { of, delimiter } => message::names(*of, delimiter, facts),
        Value::CookieCount { of, name } => message::cookies(*of, name.as_deref(), facts).into(),
        Value::Method => facts.method().into(),
        Value::Scheme => facts.scheme().into(),
        Value::HttpVersion => facts.http_version().into(),
        Value::Query => facts.query().into(),
        Value::Target | Value::Url | Value::Base | Value::HostPath => joined(value, facts),
        Value::ReceivedMethod => facts.received_method().into(),
        Value::ReceivedTarget => match facts.received_target() {
            Some(target) => target.into(),
            None => joined(&Value::Target, facts),
        },
        Value::Body => facts.body().into(),
        Value::BodyLength => facts.body_length().into(),
        Value::BasicUser => credentials(facts).map(|(user, _)| user).into(),
        Value::BasicPassword => credentials(facts).map(|(_, password)| password).into(),
        Value::AuthorizationScheme => scheme(facts).map(|(scheme, _)| scheme).into(),
        Value::Bearer(header) => bearer(header.as_deref(), facts).into(),
        Value::FirstRequest => facts.first_request().into(),
        Value::ResponseVersion => facts.response_version().into(),
        Value::RequestId => facts.request_id().into(),
        Value::TraceId => facts.trace(TracePart::Trace).into(),
        Value::SpanId => facts.trace(TracePart::Span).into(),
        Value::Status => facts.status().into(),
        Value::ResponseBody => facts.response_body().into(),
        Value::ResponseBodyLength => facts.response_body_length().into(),
        Value::Variable(variable) => facts.variable(variable),
        Value::Capture(slot) => facts.capture(*slot).into(),
        Value::ResponseCapture(slot) => facts.response_capture(*slot).into(),
        Value::Authenticated(users) => facts.authenticated(*users).into(),
        Value::AuthenticatedUser(users) => match facts.authenticated(*users) {
            Some(true) => credentials(facts).map(|(user, _)| user).into(),
            _ => Fetched::Absent,
        },
        Value::WithSource(of) => with_source(of, facts).into(),
        Value::Matched(matched) => super::matched::found(matched, facts).into(),
        Value::InUserGroup { users, groups } => facts.in_user_group(*users, groups).into(),
        Value::OfGroup { figure, group } => facts.of_group(*figure, *group).into(),
        Value::OfListener { figure, listener } => facts.of_listener(*figure, *listener).into(),
        Value::OfTarget {
            figure,
            group,
            target,
        } => facts.of_target(*figure, *group, target.as_str()),
        Value::Counter { counter, of, touch } => counters::counter(*counter, of, *touch, facts),
        Value::OfEntry { figure, of } => counters::of_entry(*figure, of, facts),
        Value::OfTable { figure, table } => counters::of_table(*figure, *table, facts),
        Value::HealthyTargets(group) => facts.healthy_targets(*group).into(),
        Value::GroupConnections(group) => facts.group_connections(*group).into(),
        Value::ListenerConnections => facts.listener_connections().into(),
        Value::ListenerConnectionRate => facts.listener_connection_rate().into(),
        Value::ListenerRequestRate => facts.listener_request_rate().into(),
        Value::GroupName => facts.group_name().into(),
        Value::TargetName => facts.target_name().into(),
        Value::TargetNumber => facts.target_number().into(),
        Value::Accepted(end) => facts.accepted(*end),
        Value::Timeout(of) => facts.timeout(*of).into(),
        Value::Priority(PriorityPart::Class) => i64::from(facts.priority().class()).into(),
        Value::Priority(PriorityPart::Offset) => i64::from(facts.priority().offset()).into(),
        Value::HeaderBlock(of) => message::block(*of, facts),
        Value::TargetAddress => facts.target_address().into(),
        Value::Random(bound) => facts.random().map(|bits| scale(bits, *bound)).into(),
        Value::Now => facts.now().into(),
        Value::NowMicroseconds => facts.now_microseconds().into(),
        Value::Uuid => uuid(facts).into(),
        Value::Worker => facts.worker().into(),
        Value::Draining => facts.draining().into(),
        Value::Hostname => facts.hostname().into(),
        Value::Environment(name) => facts.environment(name).into(),
        Value::Log(value) => facts.log(*value),
        of_connection => fetch_connection(of_connection, facts),
    }
}

/// Calls `visit` with each occurrence until it breaks; once, with an absent value, where there is none.
pub fn each<'a, F: Facts>(
    value: &'a Value<Resolved>,
    facts: &'a F,
    visit: &mut impl FnMut(Fetched<'a>) -> ControlFlow<()>,
) {
    let mut found = false;
    let mut one = |fetched: Fetched<'a>| {
        found = true;
        visit(fetched)
    };
    match value {
        Value::Header(name) => facts.header(name, &mut |value| one(value.into())),
        Value::ResponseHeader(name) => facts.response_header(name, &mut |value| one(value.into())),
        Value::Cookie(name) => facts.header("cookie", &mut |header| {
            cookies(header, name.as_bytes(), &mut one)
        }),
        Value::ResponseCookie(name) => facts.response_header("set-cookie", &mut |header| {
            let pair = header.split(|&byte| byte == b';').next();
            match pair.and_then(|pair| cookie_value(pair, name.as_bytes())) {
                Some(value) => one(value.into()),
                None => Continue(()),
            }
        }),
        Value::AnyCookie(Message::Request) => facts.header("cookie", &mut |header| {
            let mut pairs = header.split(|&byte| byte == b';');
            pairs.try_for_each(|pair| any_cookie(pair, &mut one))
        }),
        Value::AnyCookie(Message::Response) => {
            facts.response_header("set-cookie", &mut |header| {
                let pair = header.split(|&byte| byte == b';').next();
                pair.map_or(Continue(()), |pair| any_cookie(pair, &mut one))
            });
        }
        Value::QueryParameter(name) => arguments(facts.query(), name.as_bytes(), &mut one),
        Value::HeaderPart { of, name, part } => {
            message::parts(*of, name, *part, facts, &mut |value| one(value.into()));
        }
        Value::Argument { name, delimiter } => {
            raw_arguments(name.as_deref(), *delimiter, facts, &mut one);
        }
        Value::BodyArgument(name) => {
            let body = facts.body().unwrap_or_default();
            let _ = message::pairs(body, b'&', Some(name), &mut |value| one(value.into()));
        }
        single => {
            let _ = one(fetch(single, facts));
        }
    }
    if !found {
        let _ = visit(Fetched::Absent);
    }
}

/// Appends the value without an intermediate copy.
pub(super) fn append<F: Facts>(value: &Value<Resolved>, facts: &F, out: &mut Vec<u8>) {
    match value {
        Value::Base | Value::HostPath => {
            let host = last_header("host", facts).or_else(|| facts.host());
            out.extend_from_slice(host.unwrap_or_default());
            match value {
                Value::Base => append_target(facts, out),
                _ => out.extend_from_slice(facts.path().unwrap_or_default()),
            }
        }
        Value::Target => append_target(facts, out),
        Value::Url => {
            append_origin(facts, out);
            append_target(facts, out);
        }
        Value::Log(value) => facts.write_log(*value, out),
        other => fetch(other, facts).write(out),
    }
}

/// What was agreed on with the target.
fn target_tls<F: Facts>(field: TlsField, facts: &F) -> Fetched<'_> {
    let Some(tls) = facts.target_tls() else {
        return match field {
            TlsField::Spoken | TlsField::Resumed => false.into(),
            _ => Fetched::Absent,
        };
    };
    match field {
        TlsField::Spoken => true.into(),
        TlsField::Version => tls.version.into(),
        TlsField::Cipher => tls.cipher.into(),
        TlsField::CipherOpenssl => cipher::openssl_name(tls.cipher).into(),
        TlsField::KeyBits => cipher::key_bits(tls.cipher).into(),
        TlsField::Resumed => tls.resumed.into(),
        TlsField::Alpn => tls.alpn.into(),
    }
}

/// The values of a connection; the rest of [`fetch`].
fn fetch_connection<'a, F: Facts>(value: &'a Value<Resolved>, facts: &'a F) -> Fetched<'a> {
    let of_tls = |field: fn(TlsFacts<'a>) -> Fetched<'a>| facts.tls().map(field).into();
    match value {
        Value::Source => facts.source().into(),
        Value::SourcePort => facts.source_port().into(),
        Value::Destination => facts.destination().into(),
        Value::DestinationPort => facts.destination_port().into(),
        Value::ListenerName => facts.listener_name().into(),
        Value::Tls => facts.tls().is_some().into(),
        Value::TlsVersion => of_tls(|tls| tls.version.into()),
        Value::TlsCipher => of_tls(|tls| tls.cipher.into()),
        Value::TlsCipherOpenssl => of_tls(|tls| cipher::openssl_name(tls.cipher).into()),
        Value::TlsKeyBits => of_tls(|tls| cipher::key_bits(tls.cipher).into()),
        Value::TlsResumed => of_tls(|tls| tls.resumed.into()),
        Value::TlsSessionId => of_tls(|tls| tls.session_id.into()),
        Value::Sni => of_tls(|tls| tls.sni.into()),
        Value::Alpn => of_tls(|tls| tls.alpn.into()),
        Value::ClientCertificate(field) => facts.certificate(Whose::Client, field),
        Value::ShownCertificate(field) => facts.certificate(Whose::Shown, field),
        Value::TargetCertificate(field) => facts.certificate(Whose::Target, field),
        Value::TargetTls(field) => target_tls(*field, facts),
        Value::ProxyReceived => facts.proxy_received().unwrap_or(false).into(),
        Value::Proxied(field) => match facts.proxied().unwrap_or_default().field(*field) {
            Some(Part::Bytes(bytes)) => bytes.into(),
            Some(Part::Number(number)) => number.into(),
            Some(Part::Truth(truth)) => truth.into(),
            None => Fetched::Absent,
        },
        Value::HelloSni => facts.hello_sni().into(),
        Value::HelloAlpn => facts.hello_alpn().into(),
        Value::HelloType => facts.hello_type().into(),
        Value::HelloVersion => facts.hello_version().into(),
        Value::HelloSessionId => facts.hello_session_id().into(),
        Value::OfAnswer(part) => answer(*part, facts),
        Value::HelloExtension(number) => facts.hello_extension(*number).into(),
        Value::IsHttp => is_http(facts).into(),
        Value::WaitEnded => facts.wait_ended().into(),
        Value::PayloadBlock {
            length_at,
            length_bytes,
            at,
        } => payload_block(facts.payload(), *length_at, *length_bytes, *at).into(),
        Value::PayloadLength => facts.payload().map(|bytes| bytes.len() as u64).into(),
        Value::Payload { offset, length } => payload(facts.payload(), *offset, *length).into(),
        _ => Fetched::Absent,
    }
}

/// A part of what the target of a stream has sent first.
fn answer<F: Facts>(part: AnswerPart, facts: &F) -> Fetched<'_> {
    let bytes = facts.answer();
    match part {
        AnswerPart::Length => bytes.map(|bytes| bytes.len() as u64).into(),
        AnswerPart::Bytes { offset, length } => payload(bytes, offset, length).into(),
        AnswerPart::Block {
            length_at,
            length_bytes,
            at,
        } => payload_block(bytes, length_at, length_bytes, at).into(),
        AnswerPart::HelloType => facts.answer_hello_type().into(),
        AnswerPart::SessionId => facts.answer_session_id().into(),
    }
}

fn first<'a, F: Facts>(value: &'a Value<Resolved>, facts: &'a F) -> Fetched<'a> {
    let mut kept = Fetched::Absent;
    each(value, facts, &mut |fetched| {
        kept = fetched;
        Break(())
    });
    kept
}

fn last<'a, F: Facts>(value: &'a Value<Resolved>, facts: &'a F) -> Fetched<'a> {
    let mut kept = Fetched::Absent;
    each(value, facts, &mut |fetched| {
        kept = fetched;
        Continue(())
    });
    kept
}

fn last_header<'a, F: Facts>(name: &str, facts: &'a F) -> Option<&'a [u8]> {
    let mut kept = None;
    facts.header(name, &mut |value| {
        kept = Some(value);
        Continue(())
    });
    kept
}

fn append_target<F: Facts>(facts: &F, out: &mut Vec<u8>) {
    out.extend_from_slice(facts.path().unwrap_or_default());
    if let Some(query) = facts.query() {
        out.push(b'?');
        out.extend_from_slice(query);
    }
}

fn append_origin<F: Facts>(facts: &F, out: &mut Vec<u8>) {
    if let Some((scheme, authority)) = facts.origin() {
        out.extend_from_slice(scheme);
        out.extend_from_slice(b"://");
        out.extend_from_slice(authority);
    }
}

/// Values of several parts, borrowed where one part is all.
fn joined<'a, F: Facts>(value: &'a Value<Resolved>, facts: &'a F) -> Fetched<'a> {
    let Some(path) = facts.path() else {
        return Fetched::Absent;
    };
    let one_part = match value {
        Value::Target => facts.query().is_none(),
        Value::Url => facts.query().is_none() && facts.origin().is_none(),
        _ => false,
    };
    if one_part {
        return path.into();
    }
    let mut text = Vec::new();
    append(value, facts, &mut text);
    text.into()
}

/// `length` bytes from `offset`, or all from there where it is 0; `None` unless all of them are there.
/// Where a request is known, it is one of HTTP; before, its first bytes tell.
fn is_http<F: Facts>(facts: &F) -> bool {
    let head = |bytes| sought::request_head(bytes).found().is_some();
    facts.method().is_some() || facts.payload().is_some_and(head)
}

fn payload(bytes: Option<&[u8]>, offset: u32, length: u32) -> Option<&[u8]> {
    let rest = bytes?.get(offset as usize..)?;
    match length {
        0 => Some(rest),
        length => rest.get(..length as usize),
    }
}

/// The block at `at` whose length stands in `bytes` at `length_at`, big-endian. As with HAProxy an empty one is none.
fn payload_block(bytes: Option<&[u8]>, length_at: u32, length_bytes: u8, at: u32) -> Option<&[u8]> {
    match block_length(bytes, length_at, length_bytes)? {
        0 => None,
        length => payload(bytes, at, length),
    }
}

/// The length of a block, once it is there.
pub fn block_length(bytes: Option<&[u8]>, length_at: u32, length_bytes: u8) -> Option<u32> {
    let length = payload(bytes, length_at, u32::from(length_bytes.max(1)))?;
    let sum = |sum, byte: &u8| (sum << 8) | u32::from(*byte);
    Some(length.iter().fold(0_u32, sum))
}

/// `bits` of 2⁶⁴ as the same share of `bound`.
fn scale(bits: u64, bound: u32) -> u32 {
    let share = (u128::from(bits) * u128::from(bound)) >> 64;
    // The share is below the bound, which is 32 bits wide.
    u32::try_from(share).unwrap_or(0)
}

/// Visits the values of the cookies `name` in a Cookie header (RFC 6265 §4.2.1).
fn cookies<'a>(
    header: &'a [u8],
    name: &[u8],
    visit: &mut impl FnMut(Fetched<'a>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    header
        .split(|&byte| byte == b';')
        .filter_map(|pair| cookie_value(pair, name))
        .try_for_each(|value| visit(value.into()))
}

/// Visits the value of `name=value`, whatever the name.
fn any_cookie<'a>(
    pair: &'a [u8],
    visit: &mut impl FnMut(Fetched<'a>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let pair = split_at_byte(pair, b'=');
    pair.map_or(Continue(()), |(_, value)| visit(value.trim_ascii().into()))
}

/// The bytes of an expression with those of the client's address behind them.
fn with_source<F: Facts>(of: &Expression<Resolved>, facts: &F) -> Option<Vec<u8>> {
    let mut bytes = evaluate(of, facts).into_text()?.into_owned();
    match facts.source()? {
        IpAddr::V4(address) => bytes.extend_from_slice(&address.octets()),
        IpAddr::V6(address) => bytes.extend_from_slice(&address.octets()),
    }
    Some(bytes)
}

/// The value of `name=value` with blanks around either; names of cookies differ by case.
fn cookie_value<'a>(pair: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (key, value) = split_at_byte(pair, b'=')?;
    (key.trim_ascii() == name).then(|| value.trim_ascii())
}

/// Visits the decoded values of the arguments `name` of a query string. An argument without `=` is empty.
fn arguments<'a>(
    query: Option<&'a [u8]>,
    name: &[u8],
    visit: &mut impl FnMut(Fetched<'a>) -> ControlFlow<()>,
) {
    let pairs = query
        .into_iter()
        .flat_map(|query| query.split(|&byte| byte == b'&'));
    for pair in pairs.filter(|pair| !pair.is_empty()) {
        let (key, value) = split_at_byte(pair, b'=').unwrap_or((pair, b""));
        let same = key == name || percent_decode(key, true) == name;
        if same && visit(percent_decode(value, true).into()).is_break() {
            return;
        }
    }
}

/// Visits the arguments of the query string as they stand there, or those behind another character of the target.
fn raw_arguments<'a, F: Facts>(
    name: Option<&str>,
    delimiter: Option<char>,
    facts: &'a F,
    visit: &mut impl FnMut(Fetched<'a>) -> ControlFlow<()>,
) {
    let delimiter = delimiter.and_then(|delimiter| u8::try_from(delimiter).ok());
    match delimiter {
        None | Some(b'?') => {
            let query = facts.query().unwrap_or_default();
            let _ = message::pairs(query, b'?', name, &mut |value| visit(value.into()));
        }
        Some(delimiter) => {
            let Fetched::Bytes(target) = joined(&Value::Target, facts) else {
                return;
            };
            // What was joined for this cannot be lent.
            match target {
                Cow::Borrowed(target) => {
                    message::arguments(target, delimiter, name, &mut |value| visit(value.into()));
                }
                Cow::Owned(target) => {
                    message::arguments(&target, delimiter, name, &mut |value| {
                        visit(value.to_vec().into())
                    });
                }
            }
        }
    }
}

/// A random UUID (RFC 9562 §5.4).
fn uuid<F: Facts>(facts: &F) -> Option<Vec<u8>> {
    let bits = (u128::from(facts.random()?) << 64) | u128::from(facts.random()?);
    let bits = bits & !(0xf << 76) & !(0b11 << 62) | (4 << 76) | (0b10 << 62);
    let digits = format!("{bits:032x}");
    let part = |from, to| digits.get(from..to).unwrap_or_default();
    let parts = [
        part(0, 8),
        part(8, 12),
        part(12, 16),
        part(16, 20),
        part(20, 32),
    ];
    Some(parts.join("-").into_bytes())
}

/// The scheme of the Authorization header, and what comes after it.
fn scheme<F: Facts>(facts: &F) -> Option<(&[u8], &[u8])> {
    split_at_byte(last_header("authorization", facts)?, b' ')
}

/// The token after `Bearer` in a header.
fn bearer<'a, F: Facts>(header: Option<&str>, facts: &'a F) -> Option<&'a [u8]> {
    let value = last_header(header.unwrap_or("authorization"), facts)?;
    let (scheme, token) = split_at_byte(value, b' ')?;
    scheme
        .eq_ignore_ascii_case(b"bearer")
        .then(|| token.trim_ascii())
        .filter(|token| !token.is_empty())
}

/// User and password of Basic authorization (RFC 7617 §2).
pub fn credentials<F: Facts>(facts: &F) -> Option<(Vec<u8>, Vec<u8>)> {
    let (scheme, credentials) = scheme(facts)?;
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return None;
    }
    let mut user = base64_decode(credentials.trim_ascii())?;
    let colon = memchr::memchr(b':', &user)?;
    let password = user.split_off(colon + 1);
    user.truncate(colon);
    Some((user, password))
}

fn split_at_byte(text: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(byte, text)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Exchange, show};
    use super::*;
    use portway_model::expression::{
        CertificateField, LogValue, MatchGroup, Matched, Message, Scope, Variable, Within,
    };
    use portway_model::name::Name;
    use portway_model::snapshot::{GroupId, UserlistId};
    use portway_model::stage::Pattern;
    use proptest::prelude::*;

    /// `value` of the request `exchange`, shown as `<absent>`, `text`, `#number`, `?boolean`, `@address`.
    fn count(name: &str) -> Value<Resolved> {
        Value::HeaderCount {
            of: Message::Request,
            name: Some(name.into()),
            items: false,
        }
    }

    #[track_caller]
    fn check(exchange: &Exchange, value: Value<Resolved>, expected: &str) {
        assert_eq!(show(&fetch(&value, exchange)), expected, "{value:?}");
    }

    fn all(exchange: &Exchange, value: Value<Resolved>) -> Vec<String> {
        let mut seen = Vec::new();
        each(&value, exchange, &mut |fetched| {
            seen.push(show(&fetched));
            Continue(())
        });
        seen
    }

    fn shop() -> Exchange {
        Exchange::get("https://shop.example/a%20b?x=1&y=a+b%21&x=2&flag&%7a=9")
            .header("Host", "Shop.example:8443")
            .header("X-One", "1")
            .header("x-one", "2")
            .header("Cookie", "a=1; b = 2 ;c=\"3\"")
            .header("Cookie", "a=4;nothing")
            .header("Authorization", "bAsIc YWxpY2U6cDphc3M=")
    }

    #[test]
    fn of_the_request() {
        let request = shop();
        let header = |name: &str| Value::Header(name.into());
        let cookie = |name: &str| Value::Cookie(name.into());
        let argument = |name: &str| Value::QueryParameter(name.into());
        for (value, expected) in [
            (Value::Text("t".into()), "t"),
            (Value::Number(-3), "#-3"),
            (Value::Method, "GET"),
            (Value::Scheme, "https"),
            (Value::HttpVersion, "1.1"),
            (Value::Host, "shop.example"),
            (Value::Path, "/a%20b"),
            (Value::Query, "x=1&y=a+b%21&x=2&flag&%7a=9"),
            (Value::Target, "/a%20b?x=1&y=a+b%21&x=2&flag&%7a=9"),
            (
                Value::Base,
                "Shop.example:8443/a%20b?x=1&y=a+b%21&x=2&flag&%7a=9",
            ),
            (argument("x"), "1"),
            (argument("y"), "a b!"),
            (argument("z"), "9"),
            (argument("flag"), ""),
            (argument("w"), "<absent>"),
            (header("X-ONE"), "2"),
            (header("x-two"), "<absent>"),
            (count("x-one"), "#2"),
            (count("x-two"), "#0"),
            (cookie("a"), "4"),
            (cookie("b"), "2"),
            (cookie("c"), "\"3\""),
            (cookie("A"), "<absent>"),
            (cookie("nothing"), "<absent>"),
            (Value::BasicUser, "alice"),
            (Value::Body, "<absent>"),
            (Value::BodyLength, "<absent>"),
            (Value::Status, "<absent>"),
        ] {
            check(&request, value, expected);
        }
        let matched = |group, value, patterns: &[&str]| {
            let any_of = patterns.iter().map(|it| Pattern::new(it).unwrap());
            let within = Some(Within {
                expression: Expression::from(value),
                any_of: any_of.collect(),
            });
            Value::Matched(Box::new(Matched { group, within }))
        };
        let number = MatchGroup::Number;
        for (group, value, patterns, expected) in [
            (number(0), Value::Path, &["%(..)(x)?"][..], "%20"),
            (number(1), Value::Path, &["%(..)(x)?"], "20"),
            // A group that is no part of what is found, and one that is not there.
            (number(2), Value::Path, &["%(..)(x)?"], "<absent>"),
            (number(3), Value::Path, &["%(..)(x)?"], "<absent>"),
            (
                MatchGroup::Name("b".into()),
                Value::Path,
                &["(?<b>b)$"],
                "b",
            ),
            // The first occurrence in which something is found, by the first that finds it.
            (number(0), header("x-one"), &["2", "."], "1"),
            (number(0), header("x-one"), &["2"], "2"),
            (number(0), header("x-one"), &["3"], "<absent>"),
            (number(0), header("x-two"), &[""], "<absent>"),
            (number(1), Value::Path, &["^(?!/b)/(.)"], "a"),
            (number(1), Value::Path, &["^(?!/a)/(.)"], "<absent>"),
        ] {
            check(&request, matched(group, value, patterns), expected);
        }
        assert_eq!(all(&request, header("x-one")), ["1", "2"]);
        assert_eq!(all(&request, cookie("a")), ["1", "4"]);
        assert_eq!(all(&request, argument("x")), ["1", "2"]);
        assert_eq!(all(&request, header("x-two")), ["<absent>"]);
    }

    #[test]
    fn target_without_query_is_borrowed() {
        let request = Exchange::get("http://a/p");
        assert!(matches!(
            fetch(&Value::Target, &request),
            Fetched::Bytes(Cow::Borrowed(b"/p"))
        ));
    }

    #[test]
    fn of_the_connection_and_the_rest() {
        let mut exchange = Exchange::get("https://a/");
        exchange.payload = Some(b"\x16\x03\x01abc".to_vec());
        for (value, expected) in [
            (Value::Source, "@192.0.2.7"),
            (Value::SourcePort, "#51000"),
            (Value::Destination, "@198.51.100.1"),
            (Value::DestinationPort, "#443"),
            (Value::ListenerName, "web"),
            (Value::Tls, "?true"),
            (Value::TlsVersion, "TLSv1.3"),
            (Value::TlsCipher, "TLS_AES_128_GCM_SHA256"),
            (Value::Sni, "a"),
            (Value::Alpn, "<absent>"),
            (Value::TlsCipherOpenssl, "TLS_AES_128_GCM_SHA256"),
            (Value::TlsKeyBits, "#128"),
            (Value::TlsResumed, "?false"),
            (Value::TlsSessionId, "session"),
            (Value::WaitEnded, "?true"),
            (Value::HelloVersion, "<absent>"),
            (Value::HelloExtension(10), "<absent>"),
            (Value::PayloadLength, "#6"),
            (
                Value::Payload {
                    offset: 3,
                    length: 0,
                },
                "abc",
            ),
            (
                Value::Payload {
                    offset: 3,
                    length: 2,
                },
                "ab",
            ),
            (
                Value::Payload {
                    offset: 3,
                    length: 4,
                },
                "<absent>",
            ),
            (
                Value::Payload {
                    offset: 7,
                    length: 0,
                },
                "<absent>",
            ),
            (Value::HelloSni, "<absent>"),
            (
                Value::ClientCertificate(CertificateField::Subject),
                "<absent>",
            ),
            (Value::Authenticated(UserlistId(0)), "<absent>"),
            (Value::HealthyTargets(GroupId(2)), "#2"),
            (Value::GroupConnections(GroupId(2)), "<absent>"),
            (Value::Random(10), "#5"),
            (Value::Random(0), "#0"),
            (Value::Now, "#1700000000"),
            (Value::Log(LogValue::BytesIn), "<absent>"),
        ] {
            check(&exchange, value, expected);
        }
        check(&Exchange::get("http://a/"), Value::Tls, "?false");
        check(&Exchange::get("http://a/"), Value::Sni, "<absent>");
    }

    #[test]
    fn of_the_response_and_rules() {
        let mut exchange = Exchange::get("http://a/");
        exchange.status = Some(404);
        exchange.response_headers = vec![
            ("Set-Cookie".into(), b"id=7; Path=/; other=8".to_vec()),
            ("set-cookie".into(), b"x=9".to_vec()),
        ];
        let variable = Variable {
            scope: Scope::Exchange,
            name: Name::from("v"),
        };
        exchange.variables.push((variable.clone(), b"set".to_vec()));
        let cookie = |name: &str| Value::ResponseCookie(name.into());
        check(&exchange, Value::Status, "#404");
        check(&exchange, cookie("id"), "7");
        check(&exchange, cookie("x"), "9");
        check(&exchange, cookie("other"), "<absent>");
        check(&exchange, Value::Variable(variable), "set");
        check(&exchange, Value::ResponseHeader("Set-Cookie".into()), "x=9");
    }

    #[test]
    fn nothing_is_known_of_an_empty_connection() {
        struct Nothing;
        impl Facts for Nothing {}
        for value in [
            Value::Source,
            Value::Host,
            Value::Target,
            Value::Base,
            Value::Header("a".into()),
            count("a"),
            Value::Cookie("a".into()),
            Value::QueryParameter("a".into()),
            Value::Random(9),
        ] {
            assert_eq!(
                fetch::<Nothing>(&value, &Nothing),
                Fetched::Absent,
                "{value:?}"
            );
        }
    }

    #[test]
    fn broken_basic_authorization() {
        for header in ["", "Basic", "Basic !!!", "Basic YWJj", "Bearer YTpi"] {
            let request = Exchange::get("http://a/").header("Authorization", header);
            check(&request, Value::BasicUser, "<absent>");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(query: Vec<u8>, header: Vec<u8>) {
            let mut exchange = Exchange::get("http://a/");
            exchange.query = Some(query);
            for name in ["Cookie", "Authorization"] {
                exchange.headers.push((name.into(), header.clone()));
            }
            for name in ["", "a", "%"] {
                all(&exchange, Value::QueryParameter(name.into()));
                all(&exchange, Value::Cookie(name.into()));
            }
            let _ = fetch(&Value::BasicUser, &exchange);
        }
    }
}
