//! Rules with actions that are possible in their phase.

use super::expression::scopes;
use super::{Choices, Place};
use portway_model::action::{
    Action, AnswerBody, End, FixedResponse, NamePattern, NewTimeout, Normalization, Phase, Places,
    Rule, Service, StatsPage, TimeoutKind, Weighted,
};
use portway_model::choice::{StickTo, StickinessUse};
use portway_model::circuit::{CircuitBreaker, Comparison, Figure, Opens};
use portway_model::compression::{Compression, CompressionRules, ContentCoding};
use portway_model::expression::{
    Condition, Counter, NumberRange, PriorityPart, Scope, StoredCounter, Template, TemplatePart,
    TextMatch, Value,
};
use portway_model::limit::Limit;
use portway_model::name::Name;
use portway_model::page::PageFrom;
use portway_model::settings::ProxyHeader;
use portway_model::span::{Origin, Span, Spanned};
use portway_model::stage::Named;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

type A = Action<Named>;

impl Choices {
    /// A rule of a place that has a phase.
    pub(super) fn rule(&mut self, place: Place, forward: &[Name]) -> Rule<Named> {
        let phase = place.phase.unwrap_or(Phase::Request);
        Rule {
            phase,
            condition: self.condition(place),
            actions: self.at_least_one(2, |c| c.action(place, phase, forward)),
            origin: Origin(Span::NONE),
            places: Places::default(),
        }
    }

    /// A rule that always forwards to one of these.
    pub(super) fn last_rule(&mut self, phase: Phase, forward: &[Name]) -> Rule<Named> {
        Rule {
            phase,
            condition: Condition::All(Vec::new()),
            actions: vec![self.forward(forward)],
            origin: Origin(Span::NONE),
            places: Places::default(),
        }
    }

    fn forward(&mut self, forward: &[Name]) -> A {
        if forward.is_empty() {
            return Action::Reject { silent: false };
        }
        let group = |c: &mut Self| c.among(forward).map(Spanned::bare);
        let mut weighted = Vec::new();
        for rank in 0..self.one(1, &[1, 3]) {
            for _ in 0..=self.count(3) {
                if let Some(group) = group(self) {
                    let weight = u16::try_from(self.below(3)).unwrap_or(0) + 1;
                    weighted.push(Weighted {
                        rank,
                        ..Weighted::new(group, weight)
                    });
                }
            }
        }
        let last = weighted.last().map_or(0, |it| it.rank);
        if self.one_in(4)
            && let Some(idle) = group(self)
        {
            weighted.push(Weighted {
                rank: last,
                ..Weighted::new(idle, 0)
            });
        }
        Action::Forward(weighted)
    }

    /// An action that is possible in the phase; routing where there is somewhere to go.
    fn action(&mut self, place: Place, phase: Phase, forward: &[Name]) -> A {
        let choice = self.below(6);
        match (phase, choice) {
            (_, 0) => self.any_time(place, phase),
            (Phase::Connection, 1) if forward.is_empty() => {
                let others = [ProxyHeader::Optional, ProxyHeader::Ignored];
                Action::ExpectProxy(self.one(ProxyHeader::Required, &others))
            }
            (Phase::Session | Phase::ClientHello, 1) if forward.is_empty() => Action::Accept,
            (Phase::Connection | Phase::Session | Phase::ClientHello, 1) => {
                self.route(place, forward)
            }
            (Phase::Connection | Phase::Session | Phase::ClientHello, _) => {
                self.before_after(place, phase)
            }
            (Phase::Request, 1) => self.rewrite(place),
            (Phase::Request, 2) if self.one_in(8) => self.compress(),
            (Phase::Request, 2) if self.one_in(8) && !forward.is_empty() => self.page_from(forward),
            (Phase::Request, 2) if self.one_in(16) => Action::TraceContext(self.one(100, &[0, 10])),
            (Phase::Request, 2) if self.one_in(8) => self.jwt(),
            (Phase::Request, 2) if self.one_in(8) => self.digest_auth(),
            (Phase::Request, 2) if self.one_in(8) => self.cors(),
            (Phase::Response | Phase::AfterResponse, 3) if self.one_in(6) => {
                self.security_headers()
            }
            (Phase::Request, 3) if self.one_in(6) => match self.one_in(2) {
                true => Action::RemoveArgument(self.token()),
                false => Action::SetArgument {
                    name: self.token(),
                    value: self.template(place),
                },
            },
            (Phase::Request, 2) if self.one_in(8) && !forward.is_empty() => {
                self.authorize(place, forward)
            }
            (Phase::Request, 2) if self.one_in(8) && !forward.is_empty() => self.mirror(forward),
            (Phase::Request, 2) => self.answer(place, forward),
            (Phase::Request, 5) if place.group => {
                Action::UseTarget(Template(vec![TemplatePart::Expression(Spanned::bare(
                    self.expression(place),
                ))]))
            }
            (Phase::Request | Phase::Response, 4) if place.group && self.one_in(2) => {
                self.stick(place, phase)
            }
            (Phase::Request, 4) if self.one_in(4) => Action::DisableL7Retry,
            (Phase::Request, 4) if place.group => {
                Action::SetStickiness(self.one(StickinessUse::Ignore, &[StickinessUse::Force]))
            }
            (Phase::Response, 2) => self.respond(place),
            (Phase::Response | Phase::AfterResponse, 1) => Action::SetStatus {
                // Statuses without a body are refused.
                status: u16::try_from(self.below(290)).unwrap_or(0) + 305,
                reason: self.maybe(Self::line),
            },
            (Phase::AfterResponse | Phase::Request | Phase::Response, 3) => {
                self.header_action(place)
            }
            (phase, _) => self.before_after(place, phase),
        }
    }

    /// Only by a table that remembers targets.
    pub(super) fn stick(&mut self, place: Place, phase: Phase) -> A {
        let mut tables = self.stick_tables.clone();
        let remembers = |stored: &StoredCounter| stored.counter == Counter::Target;
        tables.retain(|table| table.store.iter().any(remembers));
        let Some(table) = self.among(&tables) else {
            return Action::Accept;
        };
        Action::Stick {
            to: match phase {
                Phase::Request => self.one(StickTo::Both, &[StickTo::Match, StickTo::Store]),
                _ => StickTo::Store,
            },
            key: self.key(place, table.key),
            table: Spanned::bare(table.name),
        }
    }

    /// Possible in every phase.
    fn any_time(&mut self, place: Place, phase: Phase) -> A {
        let scope = self.one(Scope::Connection, scopes(Some(phase)));
        match self.below(5) {
            1 => Action::Accept,
            2 => Action::UnsetVariable(self.variable(scope)),
            3 | 4 => Action::SetVariable {
                variable: self.variable(scope),
                value: self.template(place),
            },
            _ => Action::SetLog(self.one_in(2).then(|| self.log_level())),
        }
    }

    /// Possible in nearly every phase.
    fn before_after(&mut self, place: Place, phase: Phase) -> A {
        let slot = u8::try_from(self.below(12)).unwrap_or(0);
        match (self.below(6), phase) {
            (1, Phase::ClientHello | Phase::Request | Phase::Response | Phase::AfterResponse) => {
                let length = u16::try_from(self.below(1_000)).unwrap_or(0) + 1;
                let stated = place.group || self.one_in(2);
                Action::Capture {
                    value: self.expression(place),
                    length,
                    slot: stated.then_some(u16::from(slot)),
                }
            }
            (_, Phase::AfterResponse) => Action::Accept,
            (2, Phase::Request | Phase::Response) if self.one_in(2) => self.map_change(place),
            (2, Phase::Request | Phase::Response) => Action::SetTimeout {
                which: self.one(
                    TimeoutKind::Response,
                    &[
                        TimeoutKind::Tunnel,
                        TimeoutKind::Attempt,
                        TimeoutKind::Total,
                    ],
                ),
                to: if self.one_in(3) {
                    NewTimeout::Milliseconds(Value::Number(i64::from(self.below(9_000))).into())
                } else {
                    NewTimeout::Fixed(self.duration())
                },
            },
            (5, Phase::Request) if self.one_in(2) => {
                let kind = self.below(3);
                Action::Limit(self.limit(place, kind))
            }
            (5, Phase::Connection | Phase::Session | Phase::ClientHello) => {
                let kind = 1 + self.below(2);
                Action::Limit(self.limit(place, kind))
            }
            (5, Phase::Request | Phase::Response) => Action::WaitForBody {
                time: self.duration(),
                at_least: self.one(0, &[1, 16_384]),
            },
            (3, _) => Action::Increment {
                slot,
                counter: Counter::General(slot),
            },
            (6, _) => Action::SetMark {
                slot,
                mark: Counter::Mark(slot),
                to: Value::Number(i64::from(self.below(9_000))).into(),
            },
            (4, _) => match self.among(&self.stick_tables.clone()) {
                Some(table) => Action::Track {
                    slot,
                    key: self.key(place, table.key),
                    table: Spanned::bare(table.name),
                },
                None => Action::Accept,
            },
            (0, Phase::Connection | Phase::Session | Phase::ClientHello | Phase::Request) => {
                match self.one_in(3) {
                    true => self.set_priority(),
                    false => self.set_end(),
                }
            }
            _ => Action::Reject {
                silent: self.one_in(2),
            },
        }
    }

    /// A rule that changes a map or a list.
    fn map_change(&mut self, place: Place) -> A {
        let Some((map, _)) = self.among(&self.maps.clone()) else {
            return Action::Accept;
        };
        let map = Spanned::bare(map);
        let key = self.template(place);
        match self.below(3) {
            1 => Action::RemoveEntry { map, key },
            value => Action::PutEntry {
                map,
                key,
                value: (value == 0).then(|| self.template(place)),
            },
        }
    }

    fn circuit_breaker(&mut self) -> CircuitBreaker {
        let one = |c: &mut Self| {
            let codes = Figure::ResponseCodeRatio([500, 600, 0, 600]);
            let others = [codes, Figure::LatencyAtQuantileMs(99.5)];
            let figure = c.one(Figure::NetworkErrorRatio, &others);
            let comparison = c.one(Comparison::Above, &Comparison::ALL);
            Opens::Is(figure, comparison, f64::from(c.below(1000)) / 8.0)
        };
        let opens_when = match self.below(3) {
            1 => Opens::Any(vec![one(self), Opens::All(vec![one(self), one(self)])]),
            2 => Opens::All(vec![Opens::Any(vec![one(self), one(self)]), one(self)]),
            _ => one(self),
        };
        // What is one has one name: a name of its own each time.
        let (status, min_requests) = (self.one(503, &[429]), self.below(50) + 1);
        let number = self.below(u32::MAX);
        CircuitBreaker {
            name: format!("{number}-{status}-{min_requests}-{opens_when}")
                .as_str()
                .into(),
            opens_when,
            check_period: Duration::from_millis(100),
            min_requests,
            open_for: Duration::from_secs(10),
            recover_over: Duration::from_secs(1),
            status,
        }
    }

    fn limit(&mut self, place: Place, kind: u32) -> Limit<Named> {
        let most = |c: &mut Self| c.below(9_000) + 1;
        match kind {
            // Whatever has the same name says the same.
            1 => {
                let (average, period, burst) = (most(self), self.duration(), most(self));
                let name = format!("{}-{average}-{period:?}-{burst}", self.name(0));
                Limit::Rate {
                    name: name.as_str().into(),
                    key: self.expression(place),
                    average,
                    period,
                    burst,
                }
            }
            2 => {
                let amount = most(self);
                Limit::Concurrency {
                    name: format!("{}-{amount}", self.name(0)).as_str().into(),
                    key: self.expression(place),
                    amount,
                }
            }
            _ if self.one_in(3) => Limit::Circuit(Arc::new(self.circuit_breaker())),
            _ => {
                let request = self.maybe(|c| u64::from(most(c)) << 20);
                let response = u64::from(most(self));
                Limit::Body {
                    request,
                    response: (request.is_none() || self.one_in(2)).then_some(response),
                }
            }
        }
    }

    fn compress(&mut self) -> A {
        let coding = |c: &mut Self| {
            c.one(
                ContentCoding::Gzip,
                &[
                    ContentCoding::Brotli,
                    ContentCoding::Zstd,
                    ContentCoding::Deflate,
                    ContentCoding::RawDeflate,
                    ContentCoding::Identity,
                ],
            )
        };
        let media = |c: &mut Self| c.one("text/html", &["text/*", "a/b+c"]).to_owned();
        let mut compression = Compression::default();
        if self.one_in(2) {
            compression = Compression {
                codings: self.at_least_one(2, coding),
                default: self.maybe(coding),
                types: self.some(2, media),
                except: self.some(2, media),
                min_bytes: self.one(1024, &[0, 5]),
                rules: self.one(CompressionRules::Usual, &[CompressionRules::Haproxy]),
                offload: self.one_in(3),
            };
        }
        Action::Compress(Arc::new(compression))
    }

    fn page_from(&mut self, forward: &[Name]) -> A {
        let page = |c: &mut Self| {
            let min = 200 + i64::from(c.below(300));
            let max = min + i64::from(c.below(100));
            let forward = match c.forward(forward) {
                Action::Forward(groups) => groups,
                _ => Vec::new(),
            };
            let status = Value::Status.into();
            let mut target = vec![TemplatePart::Text("/".to_owned())];
            if c.one_in(2) {
                target.push(TemplatePart::Expression(Spanned::bare(status)));
            }
            let target = (!c.one_in(4)).then_some(Template(target));
            PageFrom {
                status: vec![NumberRange { min, max }],
                forward,
                answer_as: target.as_ref().and(c.maybe(|c| c.one(500, &[404, 200]))),
                headers: match target {
                    Some(_) => c.maybe(|c| c.some(2, |c| c.one("Accept", &["X-A"]).to_owned())),
                    None => None,
                },
                target,
            }
        };
        Action::PageFrom(Arc::new(self.at_least_one(2, page)))
    }

    fn set_end(&mut self) -> A {
        let end = self.one(
            End::Source,
            &[End::SourcePort, End::Destination, End::DestinationPort],
        );
        let value = match end {
            End::Source | End::Destination => Value::Source,
            End::SourcePort | End::DestinationPort => Value::SourcePort,
        };
        Action::SetEnd {
            end,
            to: value.into(),
        }
    }

    fn set_priority(&mut self) -> A {
        Action::SetPriority {
            part: self.one(PriorityPart::Class, &[PriorityPart::Offset]),
            to: Value::SourcePort.into(),
        }
    }

    fn route(&mut self, place: Place, forward: &[Name]) -> A {
        if self.one_in(3) {
            Action::ForwardByName {
                name: self.template(place),
                fallback: self.among(forward).map(Spanned::bare),
            }
        } else {
            match self.forward(forward) {
                Action::Forward(mut groups) if self.one_in(4) => {
                    let mut known = HashSet::new();
                    groups.retain(|it| known.insert(it.group.value.clone()));
                    // Ranks have no gaps.
                    groups.iter_mut().for_each(|it| it.rank = 0);
                    Action::ForwardByHash {
                        hash: Value::Source.into(),
                        groups,
                    }
                }
                forward => forward,
            }
        }
    }

    /// Ends the request phase.
    fn answer(&mut self, place: Place, forward: &[Name]) -> A {
        match self.below(6) {
            1 => self.respond(place),
            2 => Action::Tarpit {
                delay: self.duration(),
                response: self.fixed_response(place),
            },
            3 if self.one_in(2) => Action::Service(Service::Metrics),
            3 => Action::Service(Service::Stats(Box::new(self.stats_page(place)))),
            4 => Action::Authenticate {
                users: self.among(&self.userlists.clone()).map(Spanned::bare),
                realm: self.line(),
            },
            5 if !forward.is_empty() => self.route(place, forward),
            _ => Action::Reject { silent: true },
        }
    }

    fn stats_page(&mut self, place: Place) -> StatsPage<Named> {
        if self.one_in(4) {
            return StatsPage::default();
        }
        let users = self.userlists.clone();
        StatsPage {
            uri_prefix: self.maybe(Self::path),
            refresh: self.maybe(Self::duration),
            users: self.among(&users).map(Spanned::bare),
            realm: self.line(),
            admin: self.maybe(|c| c.condition(place)),
            // Names that are there for sure are none.
            scope: Vec::new(),
            node: self.maybe(Self::text),
            description: self.maybe(Self::text),
            show_legends: self.one_in(2),
            show_modules: self.one_in(2),
            hide_version: self.one_in(2),
        }
    }

    fn respond(&mut self, place: Place) -> A {
        if self.one_in(2) {
            return Action::Redirect {
                location: self.template_of(place, "", Self::word),
                status: self.one(302, &[301, 303, 307, 308]),
            };
        }
        let response = self.fixed_response(place);
        if self.one_in(3) {
            Action::Deny(response)
        } else {
            Action::Respond(response)
        }
    }

    fn fixed_response(&mut self, place: Place) -> FixedResponse<Named> {
        FixedResponse {
            status: self.one(500, &[200, 404, 599, 403]),
            content_type: self.maybe(|c| {
                let types = ["text/html; charset=\"utf-8\"", "a/b"];
                c.one("text/plain", &types).to_owned()
            }),
            body: match self.below(6) {
                1 => AnswerBody::File(self.file()),
                2 => AnswerBody::ErrorPage,
                3 => AnswerBody::ErrorPageFile(self.file()),
                _ => AnswerBody::Text(self.template(place)),
            },
            headers: self.some(3, |c| (c.header(), c.template_of(place, "", Self::line))),
        }
    }

    fn header_action(&mut self, place: Place) -> A {
        let name = self.header();
        // Host is set or rewritten, never added or removed.
        let other = if name == "host" { "X-A" } else { &name }.to_owned();
        match self.below(5) {
            4 => Action::RemoveHeaders(match self.below(5) {
                1 => NamePattern::Regex(Spanned::bare(self.pattern())),
                2 => NamePattern::Line(Spanned::bare(self.pattern())),
                _ => NamePattern::Text {
                    how: self.one(
                        TextMatch::Prefix,
                        &[TextMatch::Suffix, TextMatch::Contains, TextMatch::Glob],
                    ),
                    text: self.token(),
                },
            }),
            1 => Action::AddHeader {
                name: other,
                value: self.template_of(place, "", Self::line),
            },
            2 => Action::RemoveHeader { name: other },
            3 => {
                let (pattern, with) = self.replacement(place, Self::line);
                Action::ReplaceHeader {
                    name,
                    pattern,
                    with,
                    elements: self.one_in(3),
                }
            }
            _ => Action::SetHeader {
                name,
                value: self.template_of(place, "", Self::line),
            },
        }
    }

    /// Changes what is asked for.
    fn rewrite(&mut self, place: Place) -> A {
        match self.below(11) {
            9 => {
                let (pattern, with) = self.replacement(place, Self::word);
                Action::ReplaceUrl { pattern, with }
            }
            10 => {
                let start = self.one("/", &["https://"]);
                Action::SetUrl(self.template_of(place, start, Self::word))
            }
            1 => {
                let (pattern, with) = self.replacement(place, Self::word);
                Action::ReplacePath { pattern, with }
            }
            7 => {
                let (pattern, with) = self.replacement(place, Self::word);
                Action::ReplaceTarget { pattern, with }
            }
            2 => Action::StripPrefix(self.at_least_one(2, Self::path)),
            3 => Action::AddPrefix(self.path()),
            4 => Action::SetQuery(self.template_of(place, "", Self::word)),
            5 => Action::SetTarget(self.template_of(place, "/", Self::word)),
            6 => Action::SetMethod(Template::text(self.token())),
            8 => Action::Normalize(self.one(Normalization::MergeSlashes, &Normalization::ALL)),
            _ => Action::SetPath(self.template_of(place, "/", Self::word)),
        }
    }
}
