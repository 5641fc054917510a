//! How targets of a group are chosen, kept, tried again and checked.

use super::expression::TEXT_MATCHES;
use super::{Choices, Place};
use portway_model::address::{Host, TargetAddress};
use portway_model::check::{ComputedForm, Observation, ObservedLayer, OnErrors};
use portway_model::check_grpc::{GrpcCall, GrpcCheck};
use portway_model::draft::*;
use portway_model::expression::{NumberRange, Scope, Template, TemplatePart, Value};
use portway_model::passive::{PassiveHealth, SERVER_ERRORS};
use portway_model::resolution::{Family, ResolutionDraft, Take};
use portway_model::settings::{
    Borrowed, NoneHealthy, PortRange, SameSite, SourceAddress, TargetSendProxy,
};
use portway_model::span::Spanned;
use portway_model::stage::Named;
use portway_model::tcp::{KeepAliveTimes, TcpKeepAlive};
use std::net::SocketAddr;
use std::time::Duration;

impl Choices {
    pub(super) fn passive_health(&mut self, http: bool) -> PassiveHealth {
        let usual = PassiveHealth::default();
        let too_many = NumberRange { min: 429, max: 429 };
        PassiveHealth {
            failures: self.one(usual.failures, &[1, 100]),
            connection_failures: self.below(3),
            within: self.one(usual.within, &[Duration::from_secs(10)]),
            statuses: self.one(
                usual.statuses.clone(),
                &[Vec::new(), vec![too_many, SERVER_ERRORS]],
            ),
            slow_after: match http {
                true => self.one(usual.slow_after, &[Duration::from_millis(1500)]),
                false => usual.slow_after,
            },
            failure_percent: self.below(101),
            slower_than_others: match http {
                true => self.one(0, &[2, 10]),
                false => 0,
            },
            window: self.one(usual.window, &[Duration::from_secs(60)]),
            min_requests: self.one(usual.min_requests, &[1]),
            eject_time: self.one(usual.eject_time, &[Duration::from_secs(1)]),
            max_eject_time: self.one(usual.max_eject_time, &[Duration::from_secs(30)]),
            max_ejected_percent: self.below(101),
        }
    }

    pub(super) fn algorithm(&mut self, place: Place) -> Algorithm<Named> {
        match self.below(8) {
            1 => Algorithm::LeastOutstanding,
            7 => Algorithm::LeastTime,
            2 => Algorithm::SourceHash(self.hash_method()),
            3 => Algorithm::Random {
                draws: self.one(2, &[1, 3]),
            },
            4 => Algorithm::First,
            5 => Algorithm::Hash {
                value: self.expression(place),
                method: self.hash_method(),
            },
            6 => Algorithm::StaticRoundRobin,
            _ => Algorithm::RoundRobin,
        }
    }

    fn hash_method(&mut self) -> HashMethod {
        let functions = [HashFunction::Djb2, HashFunction::Wt6, HashFunction::Crc32];
        let function = self.one(HashFunction::Sdbm, &functions);
        let avalanche = self.one_in(2);
        match self.below(3) {
            1 => HashMethod::Table {
                function,
                avalanche,
            },
            2 => HashMethod::Ring {
                function,
                avalanche,
            },
            _ => HashMethod::Consistent,
        }
    }

    pub(super) fn stickiness(&mut self, http: bool) -> Option<StickyCookie> {
        (http && self.one_in(3)).then(|| self.sticky_cookie())
    }

    fn sticky_cookie(&mut self) -> StickyCookie {
        let age = |c: &mut Self| Duration::from_secs(u64::from(c.below(1_000_000)) + 1);
        let mode = self.one(
            CookieMode::Insert,
            &[CookieMode::Rewrite, CookieMode::Prefix, CookieMode::Passive],
        );
        let mut cookie = StickyCookie::new(self.token());
        cookie.mode = mode;
        cookie.values = match self.below(3) {
            1 => CookieValues::Given,
            2 => CookieValues::Dynamic { key: self.token() },
            _ => CookieValues::Generated,
        };
        cookie.max_age = self.maybe(age);
        cookie.path = self.one("/", &["/a", "/a`\"'"]).to_owned();
        cookie.domains = self.some(3, Self::host_name);
        cookie.secure = self.one_in(2);
        cookie.http_only = self.one_in(2);
        cookie.same_site =
            self.maybe(|c| c.one(SameSite::Lax, &[SameSite::Strict, SameSite::None]));
        cookie.attributes = self.some(3, Self::token);
        cookie.indirect = mode != CookieMode::Rewrite && self.one_in(2);
        cookie.no_cache = self.one_in(2);
        cookie.preserve = (mode == CookieMode::Insert || cookie.indirect) && self.one_in(2);
        cookie.post_only = self.one_in(2);
        cookie.max_idle = self.maybe(age);
        cookie.max_life = self.maybe(age);
        if mode == CookieMode::Insert && self.one_in(2) {
            cookie.cross_site = Some(format!("{}-other", cookie.name));
        }
        cookie.expires = self.one_in(2);
        if mode == CookieMode::Insert && self.one_in(4) {
            let keys = self.some(3, Self::token);
            cookie.values = CookieValues::Sealed { keys };
        }
        cookie
    }

    pub(super) fn group_choices(&mut self, draft: &mut GroupDraft) {
        draft.retry_to = self.setting(|c| {
            let often = [
                RetryTo::Same,
                RetryTo::SameThenAnother { every: -1 },
                RetryTo::SameThenAnother { every: 2 },
            ];
            c.one(RetryTo::Another, &often)
        });
        draft.retry_on = self.setting(|c| {
            let others = [
                RetryOn::EmptyResponse,
                RetryOn::JunkResponse,
                RetryOn::ResponseTimeout,
                RetryOn::EarlyDataRejected,
                RetryOn::Safe,
                RetryOn::Misdirected,
                RetryOn::TooEarly,
                RetryOn::Unavailable,
                RetryOn::Status(503),
                RetryOn::Statuses(500, 504),
            ];
            c.some(3, |c| {
                Spanned::bare(c.one(RetryOn::ConnectFailure, &others))
            })
        });
        draft.backups_together = self.setting(|c| c.one_in(2));
        draft.keep_when_down = self.setting(|c| c.one_in(2));
        draft.full_connections = self.setting(|c| c.below(10_000));
    }

    fn borrowed(&mut self) -> Borrowed {
        let header = Borrowed::Header {
            name: self.header(),
            occurrence: self.one(-1, &[1, -3]),
        };
        let address = Borrowed::Address {
            ip: self.address(),
            port: self.maybe(|c| c.one(1, &[40_000])),
        };
        let client = Borrowed::Client {
            port: self.one_in(2),
        };
        self.one(client, &[header, address])
    }

    /// What a group serves where some of its targets, or all, are not healthy.
    pub(super) fn shares(&mut self, draft: &mut GroupDraft) {
        draft.none_healthy = self.setting(|c| c.one(NoneHealthy::Refuse, &[NoneHealthy::FailOpen]));
        draft.min_healthy = self.setting(|c| MinHealthy {
            count: c.below(3) + 1,
            percent: c.one(0, &[50, 100]),
        });
        draft.keep_share = self.setting(|c| c.one_in(2));
        draft.min_zone_healthy = self.setting(|c| c.one(70, &[0, 100]));
    }

    pub(super) fn tcp_watch(&mut self) -> TcpWatchDraft {
        let seconds = |c: &mut Self| c.maybe(|c| Duration::from_secs(c.one(1, &[32_767])));
        TcpWatchDraft {
            keep_alive: self.setting(|c| {
                let times = KeepAliveTimes {
                    idle: seconds(c),
                    interval: seconds(c),
                    count: c.maybe(|c| c.one(1, &[127])),
                };
                let others = [TcpKeepAlive::Tunnels, TcpKeepAlive::All(times)];
                c.one(TcpKeepAlive::Off, &others)
            }),
            user_timeout: self.setting(Self::duration),
        }
    }

    pub(super) fn target_choices(&mut self, plain: TargetDraft) -> TargetDraft {
        let ip = FirstAddress::Ip(self.address());
        TargetDraft {
            zone: self.setting(|c| c.one("here", &["there", "else where"]).to_owned()),
            min_connections: self.setting(|c| c.below(1_000)),
            max_queue: self.setting(|c| c.below(1_000)),
            cookie: self.setting(Self::token),
            stick: self.setting(|c| c.one_in(2)),
            slow_start: self.setting(|c| c.one(Duration::ZERO, &[Duration::from_secs(30)])),
            slow_start_when_new: self.setting(|c| c.one_in(2)),
            shutdown_on_down: self.setting(|c| c.one_in(2)),
            shutdown_backups_on_up: self.setting(|c| c.one_in(2)),
            tls: self.setting(|_| TargetTlsDraft::Group(false)),
            send_proxy: self.setting(|c| match c.one_in(2) {
                true => TargetSendProxy::Off,
                false => TargetSendProxy::Own(Box::new(c.send_proxy())),
            }),
            agent: self.setting(Self::agent),
            resolve: match &plain.address.value {
                TargetAddress::Tcp {
                    host: Host::Name(_),
                    ..
                } => self.setting(Self::resolution),
                _ => None,
            },
            redirect: self.setting(Self::token),
            tcp_user_timeout: self.setting(Self::duration),
            source: self.setting(|c| SourceAddress {
                address: c.maybe(|c| c.address()),
                ports: c
                    .maybe(|c| {
                        let first = c.one(1, &[40_000]);
                        let last = c.one(first, &[40_999]);
                        PortRange::new(first, last)
                    })
                    .flatten(),
                interface: c.maybe(|_| "eth0".to_owned()),
                borrowed: c.maybe(Self::borrowed),
            }),
            first_address: self.setting(|c| {
                let others = [FirstAddress::Last, FirstAddress::None, ip];
                c.at_least_one(3, |c| c.one(FirstAddress::Resolver, &others))
            }),
            ..plain
        }
    }

    fn resolution(&mut self) -> ResolutionDraft {
        let seconds =
            |c: &mut Self| c.setting(|c| Duration::from_secs(u64::from(c.below(100) + 1)));
        ResolutionDraft {
            take: self.setting(|c| c.one(Take::First, &[Take::Distinct])),
            prefer: self.setting(|c| c.one(Family::Ipv4, &[Family::Ipv6])),
            networks: self.some(2, |c| Spanned::bare(c.network())),
            most: self.setting(|_| 7),
            nameservers: self.setting(|c| {
                let server = Spanned::bare(SocketAddr::new(c.address(), 53));
                vec![server]
            }),
            attempts: self.setting(|_| 3),
            timeout: seconds(self),
            min_ttl: self.setting(|_| Duration::ZERO),
            max_ttl: seconds(self),
            payload_size: self.setting(|_| 4096),
            hold_missing: seconds(self),
            hold_refused: seconds(self),
            hold_timeout: seconds(self),
            hold_other: seconds(self),
            hold_obsolete: seconds(self),
        }
    }

    /// The last target is like the first, which is there and is like none.
    pub(super) fn tracked(&mut self, draft: &mut GroupDraft) {
        let group = draft.name.clone();
        let [first, .., last] = draft.targets.as_mut_slice() else {
            return;
        };
        let name = first.name.clone();
        last.track = self.setting(|c| TrackedDraft {
            group: c.maybe(|_| group),
            target: name.unwrap_or_else(|| Spanned::bare(first.address.value.to_string().into())),
        });
    }

    /// Targets whose check is another than the group's.
    pub(super) fn target_checks(&mut self, draft: &mut GroupDraft, http: bool) {
        for target in draft.targets.iter_mut().filter(|_| http) {
            target.path_prefix = self.setting(|c| c.one("/base", &["/a%20b/"]).to_owned());
        }
        let checked = draft.health_check.is_some();
        for target in &mut draft.targets {
            target.check = match checked {
                true => self.setting(Self::target_check),
                false => self.setting(|_| TargetCheckDraft {
                    enabled: Some(Spanned::bare(false)),
                    ..TargetCheckDraft::default()
                }),
            };
        }
    }

    fn agent(&mut self) -> AgentDraft {
        AgentDraft {
            port: Some(Spanned::bare(self.one(1, &[80, 65_535]))),
            address: self.setting(Self::address),
            interval: self.setting(Self::duration),
            jitter_percent: self.setting(|c| c.one(10, &[0, 50])),
            timeout: self.setting(Self::duration),
            send: self.setting(Self::token),
        }
    }

    fn target_check(&mut self) -> TargetCheckDraft {
        TargetCheckDraft {
            enabled: self.setting(|c| c.one_in(2)),
            interval: self.setting(Self::duration),
            fast_interval: self.setting(Self::duration),
            unhealthy_interval: self.setting(Self::duration),
            timeout: self.setting(Self::duration),
            healthy_threshold: self.setting(|c| c.one(1, &[2, 1_000])),
            unhealthy_threshold: self.setting(|c| c.one(1, &[2, 1_000])),
            port: self.setting(|c| c.one(1, &[80, 65_535])),
            address: self.setting(Self::address),
            tls: self.setting(|c| c.one_in(2)),
            send_proxy: self.setting(|c| c.one_in(2)),
            server_name: self.setting(Self::host_name),
            alpn: self.setting(|c| c.some(2, |_| "http/1.1".to_owned())),
            observe: self.setting(|c| Observation {
                layer: c.one(ObservedLayer::Connection, &[ObservedLayer::Response]),
                errors: c.one(10, &[1, 1_000]),
                then: c.one(
                    OnErrors::FailCheck,
                    &[
                        OnErrors::CheckSooner,
                        OnErrors::LastChance,
                        OnErrors::MarkDown,
                    ],
                ),
            }),
        }
    }

    pub(super) fn health_check(&mut self) -> HealthCheckDraft {
        HealthCheckDraft {
            kind: self.setting(|c| match c.below(8) {
                1 => CheckKind::Tls,
                2 => CheckKind::Http(c.http_check()),
                3 => CheckKind::Https(c.http_check()),
                4 => CheckKind::Script(c.at_least_one(4, Self::check_step)),
                5 => CheckKind::Service(c.checked_service()),
                6 => CheckKind::Grpc(c.grpc_check()),
                7 => CheckKind::Grpcs(c.grpc_check()),
                _ => CheckKind::Tcp,
            }),
            interval: self.setting(Self::duration),
            fast_interval: self.setting(Self::duration),
            unhealthy_interval: self.setting(Self::duration),
            jitter_percent: self.setting(|c| c.one(10, &[0, 50])),
            timeout: self.setting(Self::duration),
            connect_timeout: self.setting(Self::duration),
            healthy_threshold: self.setting(|c| c.one(1, &[2, 1_000])),
            unhealthy_threshold: self.setting(|c| c.one(1, &[2, 1_000])),
            port: self.setting(|c| c.one(1, &[80, 65_535])),
            first_failure_is_down: self.setting(|c| c.one_in(2)),
            wait_for_first_check: self.setting(|c| c.one_in(2)),
            drain_on_404: self.setting(|c| c.one_in(2)),
        }
    }

    fn grpc_check(&mut self) -> GrpcCheck {
        let call = match self.below(2) {
            1 => GrpcCall::Method {
                path: self.path().replace(['?', '#'], "."),
                codes: self.at_least_one(2, |c| {
                    let min = i64::from(c.below(50));
                    let max = min + i64::from(c.below(50));
                    NumberRange { min, max }
                }),
            },
            _ => GrpcCall::Health {
                service: self.maybe(Self::token).unwrap_or_default(),
            },
        };
        GrpcCheck {
            call,
            authority: self.maybe(Self::host_name),
            metadata: self.some(3, |c| (format!("x-{}", c.header()), c.line())),
        }
    }

    fn checked_service(&mut self) -> CheckedService {
        match self.below(6) {
            1 => CheckedService::Smtp {
                hello: self.one("HELO", &["EHLO"]).to_owned(),
                domain: self.host_name(),
            },
            2 => CheckedService::Mysql {
                user: self.maybe(Self::token),
                post_41: self.one_in(2),
            },
            3 => CheckedService::Postgres { user: self.token() },
            4 => CheckedService::Redis,
            5 => CheckedService::Ldap,
            _ => CheckedService::SslHello,
        }
    }

    fn check_step(&mut self) -> CheckStep<Named> {
        match self.below(9) {
            5 => CheckStep::SendText {
                text: Template::text(self.text()),
                hex: self.one_in(2),
            },
            6 => CheckStep::Set {
                variable: self.variable(Scope::Check),
                value: Template(vec![TemplatePart::Expression(Spanned::bare(
                    Value::Variable(self.variable(Scope::Check)).into(),
                ))]),
            },
            7 => CheckStep::Unset(self.variable(Scope::Check)),
            8 => CheckStep::Comment(self.line()),
            1 => CheckStep::Send(self.bytes()),
            2 => CheckStep::Expect(self.check_expect()),
            3 => CheckStep::Http(self.http_check()),
            4 => CheckStep::Request(CheckRequest {
                method: self.token(),
                target: Template::text(self.path()),
                version: self.one("HTTP/1.0", &["HTTP/1.1"]).to_owned(),
                headers: self.some(3, |c| (c.header(), Template::text(c.line()))),
                body: Template::text(self.text()),
                send_state: self.one_in(2),
                comment: self.maybe(Self::line),
            }),
            _ => CheckStep::Connect(CheckConnect {
                as_target: self.one_in(2),
                port: self.maybe(|c| c.one(1, &[8_080])),
                address: self.maybe(Self::address),
                tls: self.one_in(2),
                server_name: self.maybe(Self::host_name),
                alpn: self.some(2, |_| "http/1.1".to_owned()),
                send_proxy: self.one_in(2),
                linger: self.one_in(2),
                comment: self.maybe(Self::line),
            }),
        }
    }

    fn bytes(&mut self) -> Vec<u8> {
        match self.below(3) {
            1 => vec![0xff, 0x00, 0x80],
            2 => vec![0, 1, 2],
            _ => self.text().into_bytes(),
        }
    }

    fn check_expect(&mut self) -> CheckExpect<Named> {
        let that = match self.below(10) {
            1 => Expectation::Bytes(self.text()),
            9 => Expectation::Computed {
                text: Template::text(self.text()),
                form: self.one(ComputedForm::Text, &[ComputedForm::Hex, ComputedForm::Body]),
            },
            8 => Expectation::Binary(self.bytes()),
            2 => Expectation::HexPattern(Spanned::bare(self.pattern())),
            3 => Expectation::Status(self.statuses()),
            4 => Expectation::StatusPattern(Spanned::bare(self.pattern())),
            5 => Expectation::Body(self.bytes()),
            6 => Expectation::BodyPattern(Spanned::bare(self.pattern())),
            7 => Expectation::Header {
                name: self.check_text(),
                value: self.maybe(Self::check_text),
                whole: self.one_in(2),
            },
            _ => Expectation::Pattern(Spanned::bare(self.pattern())),
        };
        let words = CheckWord::ALL;
        CheckExpect {
            that,
            negated: self.one_in(2),
            min_bytes: self.maybe(|c| c.below(1_000)),
            words: CheckWords {
                ok: self.maybe(|c| c.one(CheckWord::L7Ok, &words)),
                error: self.maybe(|c| c.one(CheckWord::L7Status, &words)),
                timeout: self.maybe(|c| c.one(CheckWord::L7Timeout, &words)),
            },
            on_success: self.maybe(|c| Template::text(c.line())),
            on_error: self.maybe(|c| Template::text(c.line())),
            code: self.maybe(|_| Value::Status.into()),
            comment: self.maybe(Self::line),
        }
    }

    fn check_text(&mut self) -> CheckText<Named> {
        if self.one_in(3) {
            return CheckText::Pattern(Spanned::bare(self.pattern()));
        }
        let [first, others @ ..] = &TEXT_MATCHES;
        CheckText::Text {
            how: self.one(*first, others),
            text: Template::text(self.text()),
        }
    }

    fn http_check(&mut self) -> HttpCheck<Named> {
        HttpCheck {
            method: self.token(),
            path: self.path(),
            host: self.maybe(Self::host_name),
            headers: self.some(3, |c| (c.header(), c.line())),
            expect: self.statuses(),
            body: self.maybe(|c| Spanned::bare(c.pattern())),
        }
    }

    fn statuses(&mut self) -> Vec<NumberRange> {
        self.at_least_one(2, |c| {
            let min = i64::from(c.below(400)) + 100;
            let max = min + i64::from(c.below(100));
            NumberRange { min, max }
        })
    }
}
