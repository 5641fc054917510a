//! One walk over expressions, actions and settings that takes them from one [`Stage`] to another.
//!
//! Compile walks from names to indices and reports what does not exist; lift walks back. What the two do with
//! a reference is theirs ([`Convert`]); every part is visited also after a failure, so that one run of compile
//! shows everything.

mod checks;

use crate::action::{
    Action, AnswerBody, FixedResponse, NamePattern, NewTimeout, Rule, Service, StatsPage, Weighted,
};
use crate::choice::Algorithm;
use crate::draft::LogFormat;
use crate::expression::{
    Condition, CounterEntry, Expression, Matched, Matcher, Template, TemplatePart, Test, Transform,
    Value, Variable,
};
use crate::page::PageFrom;
use crate::settings::{ErrorAnswer, ErrorPageSource};
use crate::span::Spanned;
use crate::stage::Stage;
use std::sync::Arc;

pub(crate) use checks::check_kind;

/// What becomes of the references of one stage in another.
pub(crate) trait Convert: Sized {
    /// The stage that is read.
    type Before: Stage;
    /// The stage that is made.
    type After: Stage;
    /// Why there is no result.
    type Failure;

    /// A listener.
    fn listener(
        &mut self,
        listener: &<Self::Before as Stage>::Listener,
    ) -> Outcome<Self, <Self::After as Stage>::Listener>;
    /// A target group.
    fn group(
        &mut self,
        group: &<Self::Before as Stage>::Group,
    ) -> Outcome<Self, <Self::After as Stage>::Group>;
    /// A stick table.
    fn stick_table(
        &mut self,
        table: &<Self::Before as Stage>::StickTable,
    ) -> Outcome<Self, <Self::After as Stage>::StickTable>;
    /// A map.
    fn map(
        &mut self,
        map: &<Self::Before as Stage>::Map,
    ) -> Outcome<Self, <Self::After as Stage>::Map>;
    /// A list of users.
    fn userlist(
        &mut self,
        userlist: &<Self::Before as Stage>::Userlist,
    ) -> Outcome<Self, <Self::After as Stage>::Userlist>;
    /// A regular expression.
    fn pattern(
        &mut self,
        pattern: &<Self::Before as Stage>::Pattern,
    ) -> Outcome<Self, <Self::After as Stage>::Pattern>;
    /// The same of names of fields, which is asked of them however they are spelt.
    fn name_pattern(
        &mut self,
        pattern: &<Self::Before as Stage>::Pattern,
    ) -> Outcome<Self, <Self::After as Stage>::Pattern> {
        self.pattern(pattern)
    }
    /// A variable that is set, or unset, which is the same one in both.
    fn sets(&mut self, _: &Variable) {}

    /// What a regular expression finds.
    fn matched(&mut self, matched: &Matched<Self::Before>) -> Outcome<Self, Value<Self::After>> {
        matched.convert(self)
    }
}

/// The result of converting a part.
pub(crate) type Outcome<C, T> = Result<T, <C as Convert>::Failure>;

/// Matches an enum of one stage and makes it in another: variants without content, variants whose one field is
/// the same in both stages, and the rest by hand.
macro_rules! carry {
    ($kind:ident, $from:expr, [$($unit:ident),* $(,)?], [$($same:ident),* $(,)?],
     $($pattern:pat => $result:expr,)+) => {
        match $from {
            $($kind::$unit => $kind::$unit,)*
            $($kind::$same(content) => $kind::$same(content.clone()),)*
            $($pattern => $result,)+
        }
    };
}

/// Converts each item, also those after a failure.
pub(crate) fn each<C: Convert, T, U>(
    to: &mut C,
    items: &[T],
    mut convert: impl FnMut(&mut C, &T) -> Outcome<C, U>,
) -> Outcome<C, Vec<U>> {
    let mut done = Vec::with_capacity(items.len());
    let mut failure = None;
    for item in items {
        match convert(to, item) {
            Ok(item) => done.push(item),
            Err(reason) => failure = Some(reason),
        }
    }
    failure.map_or(Ok(done), Err)
}

/// A rule.
pub(crate) fn rule<C: Convert>(to: &mut C, from: &Rule<C::Before>) -> Outcome<C, Rule<C::After>> {
    let condition = condition(to, &from.condition);
    let actions = each(to, &from.actions, action);
    Ok(Rule {
        phase: from.phase,
        condition: condition?,
        actions: actions?,
        origin: from.origin,
        places: from.places.clone(),
    })
}

/// A condition.
pub(crate) fn condition<C: Convert>(
    to: &mut C,
    from: &Condition<C::Before>,
) -> Outcome<C, Condition<C::After>> {
    Ok(match from {
        Condition::All(parts) => Condition::All(each(to, parts, condition)?),
        Condition::Any(parts) => Condition::Any(each(to, parts, condition)?),
        Condition::Not(part) => Condition::Not(Box::new(condition(to, part)?)),
        Condition::Test(test) => {
            let looked_at = expression(to, &test.value.expression);
            let matcher = matcher(to, &test.value.matcher);
            let value = Test {
                expression: looked_at?,
                matcher: matcher?,
            };
            Condition::Test(Spanned::new(value, test.span))
        }
    })
}

fn matcher<C: Convert>(to: &mut C, from: &Matcher<C::Before>) -> Outcome<C, Matcher<C::After>> {
    Ok(match from {
        Matcher::Present => Matcher::Present,
        Matcher::True => Matcher::True,
        Matcher::Text {
            how,
            any_of,
            ignore_case,
        } => Matcher::Text {
            how: *how,
            any_of: any_of.clone(),
            ignore_case: *ignore_case,
        },
        Matcher::Regex { any_of } => Matcher::Regex {
            any_of: each(to, any_of, C::pattern)?,
        },
        Matcher::Number { any_of } => Matcher::Number {
            any_of: any_of.clone(),
        },
        Matcher::Address { any_of } => Matcher::Address {
            any_of: any_of.clone(),
        },
        Matcher::Listed { list } => Matcher::Listed {
            list: to.map(list)?,
        },
    })
}

/// A value with its transforms.
pub(crate) fn expression<C: Convert>(
    to: &mut C,
    from: &Expression<C::Before>,
) -> Outcome<C, Expression<C::After>> {
    let value = value(to, &from.value);
    let transforms = each(to, &from.transforms, transform);
    Ok(Expression {
        value: value?,
        transforms: transforms?,
    })
}

fn value<C: Convert>(to: &mut C, from: &Value<C::Before>) -> Outcome<C, Value<C::After>> {
    Ok(carry!(
        Value,
        from,
        [
            Source, SourcePort, Destination, DestinationPort, ListenerName, Tls, TlsVersion,
            TlsCipher, TlsCipherOpenssl, TlsKeyBits, TlsResumed, TlsSessionId, ProxyReceived, Sni, Alpn, HelloSni, HelloAlpn,
            HelloType, HelloVersion, HelloSessionId, IsHttp, WaitEnded, PayloadLength, Method, Scheme,
            HttpVersion, Host, Path, Query, Target, Url, Base, Body, BodyLength, BasicUser, RequestId, TraceId, SpanId,
            Status, ResponseBody, ResponseBodyLength, ListenerConnections, ListenerConnectionRate, ListenerRequestRate, TargetNumber, GroupName, TargetName, TargetAddress, Now, Hostname,
            HostPath, ReceivedMethod, ReceivedTarget, BasicPassword, AuthorizationScheme, FirstRequest,
            ResponseVersion, NowMicroseconds, Uuid, Worker, Draining,
        ],
        [
            Text, Number, Boolean, Address, ClientCertificate, ShownCertificate, TargetCertificate, TargetTls, Proxied, OfAnswer, HelloExtension, QueryParameter, Header, Cookie,
            BodyArgument, Bearer,
            ResponseHeader, ResponseCookie, Variable, Capture, Random, Environment, Log,
            Accepted, Timeout, Priority, HeaderBlock, ResponseCapture, AnyCookie,
        ],
        Value::Payload { offset, length } => Value::Payload {
            offset: *offset,
            length: *length,
        },
        Value::PayloadBlock { length_at, length_bytes, at } => Value::PayloadBlock {
            length_at: *length_at,
            length_bytes: *length_bytes,
            at: *at,
        },
        Value::HeaderPart { of, name, part } => Value::HeaderPart {
            of: *of,
            name: name.clone(),
            part: *part,
        },
        Value::HeaderCount { of, name, items } => Value::HeaderCount {
            of: *of,
            name: name.clone(),
            items: *items,
        },
        Value::HeaderNames { of, delimiter } => Value::HeaderNames {
            of: *of,
            delimiter: delimiter.clone(),
        },
        Value::CookieCount { of, name } => Value::CookieCount {
            of: *of,
            name: name.clone(),
        },
        Value::Argument { name, delimiter } => Value::Argument {
            name: name.clone(),
            delimiter: *delimiter,
        },
        Value::InUserGroup { users, groups } => Value::InUserGroup {
            users: to.userlist(users)?,
            groups: groups.clone(),
        },
        Value::OfGroup { figure, group } => Value::OfGroup {
            figure: *figure,
            group: to.group(group)?,
        },
        Value::OfListener { figure, listener } => Value::OfListener {
            figure: *figure,
            listener: to.listener(listener)?,
        },
        Value::OfTarget { figure, group, target } => Value::OfTarget {
            figure: *figure,
            group: to.group(group)?,
            target: target.clone(),
        },
        Value::Authenticated(userlist) => Value::Authenticated(to.userlist(userlist)?),
        Value::AuthenticatedUser(userlist) => Value::AuthenticatedUser(to.userlist(userlist)?),
        Value::Matched(matched) => to.matched(matched)?,
        Value::WithSource(of) => Value::WithSource(Box::new(expression(to, of)?)),
        Value::Counter { counter, of, touch } => Value::Counter {
            counter: *counter,
            of: counter_entry(to, of)?,
            touch: *touch,
        },
        Value::OfEntry { figure, of } => Value::OfEntry {
            figure: *figure,
            of: counter_entry(to, of)?,
        },
        Value::OfTable { figure, table } => Value::OfTable {
            figure: *figure,
            table: to.stick_table(table)?,
        },
        Value::HealthyTargets(group) => Value::HealthyTargets(to.group(group)?),
        Value::GroupConnections(group) => Value::GroupConnections(to.group(group)?),
    ))
}

fn counter_entry<C: Convert>(
    to: &mut C,
    from: &CounterEntry<C::Before>,
) -> Outcome<C, CounterEntry<C::After>> {
    Ok(match from {
        CounterEntry::Tracked(slot) => CounterEntry::Tracked(*slot),
        CounterEntry::TrackedKey { table, slot } => CounterEntry::TrackedKey {
            table: to.stick_table(table)?,
            slot: *slot,
        },
        CounterEntry::Key { table, key } => {
            let table = to.stick_table(table);
            let key = expression(to, key);
            CounterEntry::Key {
                table: table?,
                key: Box::new(key?),
            }
        }
    })
}

fn transform<C: Convert>(
    to: &mut C,
    from: &Transform<C::Before>,
) -> Outcome<C, Transform<C::After>> {
    Ok(carry!(
        Transform,
        from,
        [
            Number, Text, Binary, Truth, Not, Even, Odd, Negate, Complement, Lower, Upper, Trim, FirstLine,
            HostName, HostPort, Base64, Base64Decode, Base64Url, Hex, HexNumber, UrlDecode, FormDecode,
            UrlEncode, Length, Sha256,
            Quoted, Backslashed, Hexadecimal, HealthyTargets, IsLocal, FixMessage, MqttPacket, TargetQueue,
        ],
        [
            Default, Otherwise, Append, Join, TrimStart, TrimEnd, JsonEscape, Compare, SameSecret, Hash, Digest,
            Language, LastOutside, Chunks, Json, JwtHeader, JwtPayload, JwtVerify, FixTag, Mqtt, RdpCookie,
        ],
        Transform::Replace { pattern, with, all } => Transform::Replace {
            pattern: to.pattern(pattern)?,
            with: with.clone(),
            all: *all,
        },
        Transform::Field { index, delimiters, count } => Transform::Field {
            index: *index,
            delimiters: delimiters.clone(),
            count: *count,
        },
        Transform::Word { index, delimiters, count } => Transform::Word {
            index: *index,
            delimiters: delimiters.clone(),
            count: *count,
        },
        Transform::Choose(yes, no) => Transform::Choose(yes.clone(), no.clone()),
        Transform::SetVariable { variable, when } => {
            to.sets(variable);
            Transform::SetVariable {
                variable: variable.clone(),
                when: when.clone(),
            }
        },
        Transform::UnsetVariable(variable) => {
            to.sets(variable);
            Transform::UnsetVariable(variable.clone())
        },
        Transform::Calculate(operation, operand) => Transform::Calculate(*operation, operand.clone()),
        Transform::Hmac { digest, key } => Transform::Hmac {
            digest: *digest,
            key: key.clone(),
        },
        Transform::Date { format, offset, local } => Transform::Date {
            format: format.clone(),
            offset: *offset,
            local: *local,
        },
        Transform::Map { map, default } => Transform::Map {
            map: to.map(map)?,
            default: default.clone(),
        },
        Transform::HttpDate { offset, unit } => Transform::HttpDate { offset: *offset, unit: *unit },
        Transform::MapGroups { map, default } => Transform::MapGroups {
            map: to.map(map)?,
            default: default.clone(),
        },
        Transform::Mask { v4, v6 } => Transform::Mask { v4: *v4, v6: *v6 },
        Transform::Bytes { offset, length } => Transform::Bytes {
            offset: *offset,
            length: *length,
        },
    ))
}

/// A template. Neighbouring texts become one and empty ones none, so that equal templates are equal values.
pub(crate) fn template<C: Convert>(
    to: &mut C,
    from: &Template<C::Before>,
) -> Outcome<C, Template<C::After>> {
    let parts = each(to, &from.0, |to, part| {
        Ok(match part {
            TemplatePart::Text(text) => TemplatePart::Text(text.clone()),
            TemplatePart::Expression(inner) => {
                let value = expression(to, &inner.value)?;
                TemplatePart::Expression(Spanned::new(value, inner.span))
            }
        })
    })?;
    let mut joined: Vec<TemplatePart<C::After>> = Vec::with_capacity(parts.len());
    for part in parts {
        match (joined.last_mut(), part) {
            (_, TemplatePart::Text(text)) if text.is_empty() => {}
            (Some(TemplatePart::Text(before)), TemplatePart::Text(text)) => before.push_str(&text),
            (_, part) => joined.push(part),
        }
    }
    Ok(Template(joined))
}

/// An action.
pub(crate) fn action<C: Convert>(
    to: &mut C,
    from: &Action<C::Before>,
) -> Outcome<C, Action<C::After>> {
    Ok(match from {
        Action::Forward(groups) => Action::Forward(each(to, groups, weighted)?),
        Action::ForwardByHash { hash, groups } => {
            let hash = expression(to, hash);
            let groups = each(to, groups, weighted);
            Action::ForwardByHash {
                hash: hash?,
                groups: groups?,
            }
        }
        Action::ForwardByName { name, fallback } => {
            let name = template(to, name);
            let fallback = fallback.as_ref().map(|group| to.group(group)).transpose();
            Action::ForwardByName {
                name: name?,
                fallback: fallback?,
            }
        }
        Action::Redirect { location, status } => Action::Redirect {
            location: template(to, location)?,
            status: *status,
        },
        Action::Respond(response) => Action::Respond(fixed_response(to, response)?),
        Action::Deny(response) => Action::Deny(fixed_response(to, response)?),
        Action::Tarpit { delay, response } => Action::Tarpit {
            delay: *delay,
            response: fixed_response(to, response)?,
        },
        Action::Authenticate { users, realm } => Action::Authenticate {
            users: users.as_ref().map(|users| to.userlist(users)).transpose()?,
            realm: realm.clone(),
        },
        Action::Service(Service::Metrics) => Action::Service(Service::Metrics),
        Action::Service(Service::Stats(page)) => {
            Action::Service(Service::Stats(Box::new(stats_page(to, page)?)))
        }
        Action::HandOver(listener) => Action::HandOver(to.listener(listener)?),
        Action::Authorize(authorize) => Action::Authorize(Arc::new(authorize.convert(to)?)),
        Action::Mirror(mirror) => Action::Mirror(mirror.convert(to)?),
        Action::PageFrom(pages) => {
            Action::PageFrom(Arc::new(each(to, pages.as_slice(), PageFrom::convert)?))
        }
        other => return step(to, other),
    })
}

/// An action that neither routes nor answers with a template.
fn step<C: Convert>(to: &mut C, from: &Action<C::Before>) -> Outcome<C, Action<C::After>> {
    Ok(carry!(
        Action,
        from,
        [Accept, DisableL7Retry],
        [ExpectProxy, Compress, Cors, SecurityHeaders, RemoveArgument, DigestAuth, Jwt, StripPrefix, AddPrefix, SetLog, SetStickiness, Normalize, TraceContext],
        Action::SetHeader { name, value } => Action::SetHeader {
            name: name.clone(),
            value: template(to, value)?,
        },
        Action::AddHeader { name, value } => Action::AddHeader {
            name: name.clone(),
            value: template(to, value)?,
        },
        Action::SetArgument { name, value } => Action::SetArgument {
            name: name.clone(),
            value: template(to, value)?,
        },
        Action::RemoveHeader { name } => Action::RemoveHeader { name: name.clone() },
        Action::RemoveHeaders(names) => Action::RemoveHeaders(match names {
            NamePattern::Text { how, text } => NamePattern::Text { how: *how, text: text.clone() },
            NamePattern::Regex(pattern) => NamePattern::Regex(to.pattern(pattern)?),
            NamePattern::Line(pattern) => NamePattern::Line(to.pattern(pattern)?),
        }),
        Action::ReplaceHeader { name, pattern, with, elements } => {
            let (pattern, with) = replacement(to, pattern, with)?;
            let (name, elements) = (name.clone(), *elements);
            Action::ReplaceHeader { name, pattern, with, elements }
        },
        Action::SetPath(path) => Action::SetPath(template(to, path)?),
        Action::UseTarget(name) => Action::UseTarget(template(to, name)?),
        Action::ReplacePath { pattern, with } => {
            let (pattern, with) = replacement(to, pattern, with)?;
            Action::ReplacePath { pattern, with }
        },
        Action::ReplaceTarget { pattern, with } => {
            let (pattern, with) = replacement(to, pattern, with)?;
            Action::ReplaceTarget { pattern, with }
        },
        Action::ReplaceUrl { pattern, with } => {
            let (pattern, with) = replacement(to, pattern, with)?;
            Action::ReplaceUrl { pattern, with }
        },
        Action::SetUrl(url) => Action::SetUrl(template(to, url)?),
        Action::SetStatus { status, reason } => Action::SetStatus {
            status: *status,
            reason: reason.clone(),
        },
        Action::WaitForBody { time, at_least } => Action::WaitForBody {
            time: *time,
            at_least: *at_least,
        },
        Action::Limit(from) => Action::Limit(from.convert(to)?),
        Action::SetQuery(query) => Action::SetQuery(template(to, query)?),
        Action::SetMethod(method) => Action::SetMethod(template(to, method)?),
        Action::SetEnd { end, to: value } => Action::SetEnd {
            end: *end,
            to: expression(to, value)?,
        },
        Action::SetTarget(target) => Action::SetTarget(template(to, target)?),
        Action::SetVariable { variable, value } => {
            to.sets(variable);
            Action::SetVariable {
                variable: variable.clone(),
                value: template(to, value)?,
            }
        },
        Action::UnsetVariable(variable) => {
            to.sets(variable);
            Action::UnsetVariable(variable.clone())
        },
        Action::PutEntry { map, key, value } => {
            let map = to.map(map);
            let key = template(to, key);
            let value = value.as_ref().map(|value| template(to, value)).transpose();
            Action::PutEntry { map: map?, key: key?, value: value? }
        },
        Action::RemoveEntry { map, key } => {
            let map = to.map(map);
            let key = template(to, key);
            Action::RemoveEntry { map: map?, key: key? }
        },
        Action::Track { slot, key, table } => {
            let key = expression(to, key);
            let table = to.stick_table(table);
            Action::Track { slot: *slot, key: key?, table: table? }
        },
        Action::Stick { to: how, key, table } => {
            let key = expression(to, key);
            let table = to.stick_table(table);
            Action::Stick { to: *how, key: key?, table: table? }
        },
        Action::Increment { slot, counter } => Action::Increment {
            slot: *slot,
            counter: *counter,
        },
        Action::SetMark { slot, mark, to: value } => Action::SetMark {
            slot: *slot,
            mark: *mark,
            to: expression(to, value)?,
        },
        Action::Capture { value, length, slot } => Action::Capture {
            value: expression(to, value)?,
            length: *length,
            slot: *slot,
        },
        Action::SetPriority { part, to: value } => Action::SetPriority {
            part: *part,
            to: expression(to, value)?,
        },
        Action::SetTimeout { which, to: time } => Action::SetTimeout {
            which: *which,
            to: match time {
                NewTimeout::Fixed(time) => NewTimeout::Fixed(*time),
                NewTimeout::Milliseconds(number) => {
                    NewTimeout::Milliseconds(expression(to, number)?)
                }
            },
        },
        Action::Reject { silent } => Action::Reject { silent: *silent },
        Action::Forward(_) | Action::ForwardByHash { .. } | Action::ForwardByName { .. } | Action::HandOver(_) | Action::Authorize(_) | Action::Mirror(_) | Action::PageFrom(_) | Action::Redirect { .. }
        | Action::Respond(_) | Action::Deny(_) | Action::Tarpit { .. }
        | Action::Authenticate { .. } | Action::Service(_) => return action(to, from),
    ))
}

fn stats_page<C: Convert>(
    to: &mut C,
    from: &StatsPage<C::Before>,
) -> Outcome<C, StatsPage<C::After>> {
    let users = from
        .users
        .as_ref()
        .map(|users| to.userlist(users))
        .transpose();
    let admin = from
        .admin
        .as_ref()
        .map(|admin| condition(to, admin))
        .transpose();
    Ok(StatsPage {
        uri_prefix: from.uri_prefix.clone(),
        refresh: from.refresh,
        users: users?,
        realm: from.realm.clone(),
        admin: admin?,
        scope: from.scope.clone(),
        node: from.node.clone(),
        description: from.description.clone(),
        show_legends: from.show_legends,
        show_modules: from.show_modules,
        hide_version: from.hide_version,
    })
}

/// What is searched, and what comes in its place.
#[expect(clippy::type_complexity, reason = "two associated types of one stage")]
fn replacement<C: Convert>(
    to: &mut C,
    pattern: &<C::Before as Stage>::Pattern,
    with: &Template<C::Before>,
) -> Outcome<C, (<C::After as Stage>::Pattern, Template<C::After>)> {
    let pattern = to.pattern(pattern);
    let with = template(to, with);
    Ok((pattern?, with?))
}

pub(crate) fn weighted<C: Convert>(
    to: &mut C,
    from: &Weighted<C::Before>,
) -> Outcome<C, Weighted<C::After>> {
    Ok(Weighted {
        group: to.group(&from.group)?,
        weight: from.weight,
        rank: from.rank,
    })
}

fn fixed_response<C: Convert>(
    to: &mut C,
    from: &FixedResponse<C::Before>,
) -> Outcome<C, FixedResponse<C::After>> {
    let body = match &from.body {
        AnswerBody::Text(text) => template(to, text).map(AnswerBody::Text),
        AnswerBody::File(file) => Ok(AnswerBody::File(file.clone())),
        AnswerBody::ErrorPage => Ok(AnswerBody::ErrorPage),
        AnswerBody::ErrorPageFile(file) => Ok(AnswerBody::ErrorPageFile(file.clone())),
    };
    let headers = headers(to, &from.headers);
    Ok(FixedResponse {
        status: from.status,
        content_type: from.content_type.clone(),
        body: body?,
        headers: headers?,
    })
}

/// What is sent in place of our own answer.
pub(crate) fn error_page<C: Convert>(
    to: &mut C,
    from: &ErrorPageSource<C::Before>,
) -> Outcome<C, ErrorPageSource<C::After>> {
    let answer = match from {
        ErrorPageSource::File(file) => return Ok(ErrorPageSource::File(file.clone())),
        ErrorPageSource::Redirect { location, status } => {
            return Ok(ErrorPageSource::Redirect {
                location: location.clone(),
                status: *status,
            });
        }
        ErrorPageSource::Answer(answer) => answer,
    };
    let body = template(to, &answer.body);
    let headers = headers(to, &answer.headers);
    Ok(ErrorPageSource::Answer(ErrorAnswer {
        body: body?,
        content_type: answer.content_type.clone(),
        headers: headers?,
    }))
}

#[expect(clippy::type_complexity, reason = "an associated type of one stage")]
pub(crate) fn headers<C: Convert>(
    to: &mut C,
    from: &[(String, Template<C::Before>)],
) -> Outcome<C, Vec<(String, Template<C::After>)>> {
    each(to, from, |to, (name, value)| {
        Ok((name.clone(), template(to, value)?))
    })
}

/// How a target is chosen.
pub(crate) fn algorithm<C: Convert>(
    to: &mut C,
    from: &Algorithm<C::Before>,
) -> Outcome<C, Algorithm<C::After>> {
    Ok(match from {
        Algorithm::RoundRobin => Algorithm::RoundRobin,
        Algorithm::StaticRoundRobin => Algorithm::StaticRoundRobin,
        Algorithm::LeastOutstanding => Algorithm::LeastOutstanding,
        Algorithm::LeastTime => Algorithm::LeastTime,
        Algorithm::SourceHash(method) => Algorithm::SourceHash(*method),
        Algorithm::Random { draws } => Algorithm::Random { draws: *draws },
        Algorithm::First => Algorithm::First,
        Algorithm::Hash { value, method } => Algorithm::Hash {
            value: expression(to, value)?,
            method: *method,
        },
    })
}

/// The form of an access record.
pub(crate) fn log_format<C: Convert>(
    to: &mut C,
    from: &LogFormat<C::Before>,
) -> Outcome<C, LogFormat<C::After>> {
    Ok(match from {
        LogFormat::Json => LogFormat::Json,
        LogFormat::Combined => LogFormat::Combined,
        LogFormat::Alb => LogFormat::Alb,
        LogFormat::Template(form) => LogFormat::Template(template(to, form)?),
    })
}
