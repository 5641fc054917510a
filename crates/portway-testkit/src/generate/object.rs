//! Whole drafts and their objects.

use super::expression::TEXT_MATCHES;
use super::{Choices, KnownGroup, KnownTable, Place};
use portway_model::action::Phase;
use portway_model::address::{BindAddress, Host, TargetAddress, UnixSocket};
use portway_model::draft::*;
use portway_model::expression::{Scope, StoredCounter, Template, TemplatePart, TextMatch, Value};
use portway_model::life::ConnectionLifeDraft;
use portway_model::log::{
    Facility, LogDestination, LogHostname, LogLevel, RecordPart, Sample, Syslog, SyslogAddress,
    SyslogForm, SyslogFraming,
};
use portway_model::min_rate::MinRate;
use portway_model::name::Name;
use portway_model::settings::{
    CaptureCookie, CertificateJudge, ClientAuth, ConnectionReuse, ControlLevel, ErrorAnswer,
    ErrorPageSource, Faults, FileMode, ForwardedMode, KeyType, MapLines, MapMatch, OwnAnswers,
    Password, Protocol, Tags, TargetKey, WhenFull,
};
use portway_model::span::Spanned;
use portway_model::stage::Named;
use portway_model::traces::Traces;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A setting that may be left out.
type Setting<T> = Option<Spanned<T>>;

impl Choices {
    /// A setting that may be left out.
    pub(super) fn setting<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Setting<T> {
        self.maybe(make).map(Spanned::bare)
    }

    /// A whole draft.
    pub(super) fn draft(&mut self) -> Draft {
        let certificates = self.objects(3, Self::certificate);
        let maps = self.objects(3, Self::map);
        let userlists = self.objects(2, Self::userlist);
        let stick_tables = self.objects(3, Self::stick_table);
        for index in 0..self.count(4) {
            let known = KnownGroup {
                name: self.name(index),
                http: !self.one_in(3),
                said: self.one_in(2),
            };
            self.groups.push(known);
        }
        self.listeners = self.objects(4, Self::name);
        let known = self.groups.clone();
        let groups = known.iter().map(|known| self.group(known)).collect();
        let names = self.listeners.clone();
        let listeners = names.into_iter().enumerate();
        let listeners = listeners.map(|(index, name)| self.listener(index, name));
        let listeners = listeners.collect();
        Draft {
            process: self.process(),
            listeners,
            groups,
            certificates,
            stick_tables,
            maps,
            userlists,
            unfinished: false,
        }
    }

    fn objects<T>(&mut self, bound: u32, mut make: impl FnMut(&mut Self, usize) -> T) -> Vec<T> {
        let count = self.count(bound);
        (0..count).map(|index| make(self, index)).collect()
    }

    fn process(&mut self) -> ProcessDraft {
        ProcessDraft {
            workers: self.setting(|c| c.one(0, &[1, 1024])),
            admin: self.setting(|c| {
                let address = c.address();
                // Listeners are given ports from 1000 to 9000.
                SocketAddr::new(address, c.one(9901, &[65_535, 0]))
            }),
            max_connections: self.setting(|c| c.below(u32::MAX)),
            strict_limits: self.setting(|c| c.one(true, &[false])),
            max_memory: self.setting(|c| c.one(64 << 20, &[1 << 20, 1 << 40])),
            max_pipes: self.setting(|c| c.one(256, &[0, 1, 65_536])),
            max_connection_rate: self.setting(|c| c.below(u32::MAX)),
            max_session_rate: self.setting(|c| c.below(u32::MAX)),
            max_tls_rate: self.setting(|c| c.below(u32::MAX)),
            max_tls_connections: self.setting(|c| c.below(u32::MAX)),
            ready_delay: self.setting(Self::duration),
            drain_deadline: self.setting(|c| c.one(Duration::ZERO, &[Duration::from_secs(7)])),
            shutdown_deadline: self.setting(|c| c.one(Duration::ZERO, &[Duration::from_secs(5)])),
            zone: self.setting(|c| c.one("here", &["there"]).to_owned()),
            user: self.setting(|c| c.one("nobody", &["99"]).to_owned()),
            group: self.setting(|c| c.one("nogroup", &["99"]).to_owned()),
            chroot: self.setting(|c| c.one("/var/lib/portway", &["/"]).to_owned()),
            pid_file: self.setting(Self::file),
            daemon: self.setting(|c| c.one(false, &[true])),
            master: self.setting(|c| c.one(false, &[true])),
            max_reloads: self.setting(|c| c.below(u32::MAX)),
            node: self.setting(|c| format!("n{}", c.line())),
            description: self.setting(|c| format!("d{}", c.line())),
            variables: self.some(3, |c| {
                let name = c.variable(Scope::Process).name;
                let constant = Value::Number(c.below(100).into());
                let value = TemplatePart::Expression(Spanned::bare(constant.into()));
                (Spanned::bare(name), Spanned::bare(Template(vec![value])))
            }),
            log: self.some(2, |c| Spanned::bare(c.log_destination())),
            traces: self.setting(Self::traces),
            control_sockets: self.objects(3, Self::control_socket),
            control_timeout: self.setting(Self::duration),
            control_connections: self.setting(|c| c.one(1, &[10, 10_000])),
        }
    }

    fn control_socket(&mut self, index: usize) -> ControlSocketDraft {
        let bind = match self.below(3) {
            // Listeners are given other ports.
            1 => BindAddress::tcp(None, 60_000 + u16::try_from(index).unwrap_or(0)),
            _ => BindAddress::unix(format!("{}{index}", self.file())),
        };
        let levels = [ControlLevel::User, ControlLevel::Admin];
        ControlSocketDraft {
            bind: Spanned::bare(bind),
            level: self.setting(|c| c.one(ControlLevel::Operator, &levels)),
            mode: self.setting(|c| c.one(FileMode(0), &[FileMode(0o660), FileMode(0o777)])),
            user: self.setting(Self::word),
            group: self.setting(Self::word),
            expose_listeners: self.setting(|c| c.one_in(2)),
        }
    }

    /// A number for HAProxy's tools.
    fn number(&mut self) -> Setting<u32> {
        self.setting(|c| c.one(1, &[2, 1_000]))
    }

    fn certificate(&mut self, index: usize) -> CertificateDraft {
        let name = self.name(index);
        self.certificates.push(name.clone());
        let within = self.one_in(4);
        CertificateDraft {
            name: Spanned::bare(name),
            file: (!within).then(|| Spanned::bare(self.file())),
            key: self.setting(Self::file).filter(|_| !within),
            pem: within.then(|| Spanned::bare("-----BEGIN X-----\nA\n".to_owned())),
            names: self.some(3, |c| {
                let name = c.one("a.example", &["*.b.example", "!c.b.example"]);
                Spanned::bare(name.to_owned())
            }),
            issuer: self.setting(Self::file),
            ocsp: self.ocsp(),
            tls: if self.one_in(3) {
                self.certificate_tls()
            } else {
                CertificateTlsDraft::default()
            },
        }
    }

    fn certificate_tls(&mut self) -> CertificateTlsDraft {
        let required = self.one_in(2);
        let auth = if required {
            ClientAuth::Required
        } else {
            ClientAuth::Off
        };
        CertificateTlsDraft {
            policy: self.tls_policy(),
            alpn: self.setting(|_| vec!["http/1.1".to_owned()]),
            clients: ClientsDraft {
                auth: Some(Spanned::bare(auth)),
                ca: match required {
                    true => self.at_least_one(2, |c| Spanned::bare(c.file())),
                    false => Vec::new(),
                },
                crl: self.setting(Self::file),
                ..ClientsDraft::default()
            },
        }
    }

    fn map(&mut self, index: usize) -> MapDraft {
        let name = self.name(index);
        let texts = TEXT_MATCHES.map(MapMatch::Text);
        let exact = MapMatch::Text(TextMatch::Exact);
        let others = [MapMatch::Regex, MapMatch::Address, MapMatch::Number, exact];
        let compare = self.maybe(|c| {
            let text = c.one(exact, &texts);
            c.one(text, &others)
        });
        self.maps.push((name.clone(), compare.unwrap_or(exact)));
        let entries = self.some(4, |c| {
            let key = match compare {
                Some(MapMatch::Regex) => c.pattern(),
                Some(MapMatch::Address) => c.network_text(),
                Some(MapMatch::Number) => c.one("5", &["-1", "5..7", "..7"]).to_owned(),
                Some(MapMatch::Text(_)) | None => c.text(),
            };
            (Spanned::bare(key), Spanned::bare(c.text()))
        });
        let file = if entries.is_empty() || self.one_in(3) {
            Some(Spanned::bare(self.file()))
        } else {
            None
        };
        MapDraft {
            name: Spanned::bare(name),
            file,
            lines: self.maybe(|c| Spanned::bare(c.one(MapLines::Keys, &[MapLines::Pairs]))),
            entries,
            compare: compare.map(Spanned::bare),
            ignore_case: self.setting(|c| c.one_in(2)),
        }
    }

    fn userlist(&mut self, index: usize) -> UserlistDraft {
        let name = self.name(index);
        self.userlists.push(name.clone());
        UserlistDraft {
            name: Spanned::bare(name),
            users: self.objects(3, |c, index| {
                let user = c.name(index).as_str().replace(':', "");
                let hash = c.one("$6$salt$hash", &["$2y$05$abc", "$apr1$x$y"]);
                UserDraft {
                    name: Spanned::bare(user),
                    password: Spanned::bare(if c.one_in(3) {
                        Password::Plain("a b".to_owned())
                    } else {
                        Password::Crypt(hash.to_owned())
                    }),
                    groups: c.some(2, |c| Spanned::bare(c.word())),
                }
            }),
        }
    }

    fn stick_table(&mut self, index: usize) -> StickTableDraft {
        let name = self.name(index);
        let texts = [
            KeyType::Number,
            KeyType::Address6,
            KeyType::Text { length: 1 },
            KeyType::Text { length: 64 },
            KeyType::Binary { length: 20 },
        ];
        let key = self.one(KeyType::Address, &texts);
        let mut store: Vec<StoredCounter> = Vec::new();
        for _ in 0..self.count(4) {
            let counter = self.counter();
            let period = counter.is_rate().then(|| self.duration());
            if !store.iter().any(|stored| stored.counter == counter) {
                store.push(StoredCounter { counter, period });
            }
        }
        self.stick_tables.push(KnownTable {
            name: name.clone(),
            key,
            store: store.clone(),
        });
        StickTableDraft {
            name: Spanned::bare(name),
            key: Some(Spanned::bare(key)),
            size: Some(Spanned::bare(self.below(1_000_000) + 1)),
            expire: self.setting(Self::duration),
            when_full: self.setting(|c| c.one(WhenFull::Evict, &[WhenFull::Refuse])),
            target_key: self.setting(|c| c.one(TargetKey::Name, &[TargetKey::Address])),
            store: store.into_iter().map(Spanned::bare).collect(),
        }
    }

    fn listener(&mut self, index: usize, name: Name) -> ListenerDraft {
        let mut draft = ListenerDraft::new(Spanned::bare(name));
        let tls = !self.certificates.is_empty() && self.one_in(2);
        let http = !self.one_in(3);
        draft.protocol = match (http, tls) {
            (true, true) => self.setting(|_| Protocol::Https),
            (true, false) => self.setting(|_| Protocol::Http),
            (false, true) => Some(Spanned::bare(Protocol::Tls)),
            (false, false) => Some(Spanned::bare(Protocol::Tcp)),
        };
        draft.binds = self.binds(index);
        if tls {
            let first = self.count(2);
            let from = self.certificates.clone().into_iter().skip(first).take(2);
            draft.certificates = from.map(Spanned::bare).collect();
            if draft.certificates.is_empty() {
                let all = self.certificates.iter().cloned();
                draft.certificates = all.map(Spanned::bare).collect();
            }
            draft.tls = self.listener_tls(http);
        }
        draft.known_as = self.setting(|c| c.name(0));
        draft.number = self.number();
        let forward = self.reachable(http);
        for _ in 0..self.count(5) {
            let phase = self.phase(http);
            let place = Place {
                phase: Some(phase),
                tls,
                group: false,
            };
            let routes = http == (phase == Phase::Request);
            let rule = self.rule(place, if routes { &forward } else { &[] });
            draft.rules.push(rule);
        }
        let last = if http {
            Phase::Request
        } else {
            Phase::Connection
        };
        draft.rules.push(self.last_rule(last, &forward));
        self.listener_settings(&mut draft, tls);
        if http {
            draft.min_rate = self.setting(|c| MinRate {
                request: c.below(1_000) + 1,
                response: c.below(1_000),
                grace: c.duration(),
            });
        }
        draft
    }

    /// Groups that a listener may forward to.
    fn reachable(&self, http: bool) -> Vec<Name> {
        let fits = |group: &&KnownGroup| {
            if group.said {
                group.http || !http
            } else {
                group.http == http
            }
        };
        self.groups
            .iter()
            .filter(fits)
            .map(|group| group.name.clone())
            .collect()
    }

    fn phase(&mut self, http: bool) -> Phase {
        if http {
            self.one(Phase::Request, &Phase::ALL)
        } else {
            self.one(Phase::ClientHello, &[Phase::Connection, Phase::Session])
        }
    }

    fn binds(&mut self, index: usize) -> Vec<Spanned<BindAddress>> {
        let first = u16::try_from(index).unwrap_or(0) * 1_000 + 1_000;
        let mut binds = Vec::new();
        for nth in 0..=u16::try_from(self.below(3)).unwrap_or(0) {
            let port = first + nth * 100;
            let ip: Option<IpAddr> = self.maybe(Self::address);
            binds.push(Spanned::bare(match self.below(5) {
                1 => BindAddress::Tcp {
                    ip,
                    first_port: port,
                    last_port: port + 99,
                },
                2 => {
                    let path = self.one("/run/a", &["@abstract", "a b\"`'"]);
                    let mut socket = UnixSocket::at(format!("{path}{port}"));
                    if !path.starts_with('@') {
                        socket.mode =
                            self.maybe(|c| c.one(FileMode(0o660), &[FileMode(0), FileMode(0o777)]));
                        socket.user = self.maybe(|c| c.one("a", &["1000"]).to_owned());
                        socket.group = self.maybe(|c| c.one("a", &["b\"`"]).to_owned());
                    }
                    BindAddress::Unix(socket)
                }
                3 => BindAddress::Inherited(u32::from(port)),
                _ => BindAddress::tcp(ip, port),
            }));
        }
        binds
    }

    fn listener_tls(&mut self, http: bool) -> ListenerTlsDraft {
        let auth = self.setting(|c| {
            let others = [
                ClientAuth::Optional,
                ClientAuth::Required,
                ClientAuth::OptionalAny,
                ClientAuth::RequiredAny,
            ];
            c.one(ClientAuth::Off, &others)
        });
        ListenerTlsDraft {
            policy: self.tls_policy(),
            alpn: self.setting(|c| {
                let known = if http { "h2" } else { "mq tt\"" };
                let mut alpn = vec!["http/1.1".to_owned(), known.to_owned()];
                alpn.truncate(c.count(3));
                alpn
            }),
            accept_other_alpn: self.setting(|c| c.one_in(2)),
            strict_sni: self.setting(|c| c.one_in(2)),
            accept_clear: self.setting(|c| c.one_in(2)),
            clients: self.clients(auth),
            expected_names: match self.one_in(3) {
                true => {
                    let names = ["a.example", "*.b.example"].into_iter();
                    names.map(|it| Spanned::bare(it.to_owned())).collect()
                }
                false => Vec::new(),
            },
        }
    }

    fn clients(&mut self, auth: Setting<ClientAuth>) -> ClientsDraft {
        let judge =
            self.setting(|c| c.one(CertificateJudge::Portway, &[CertificateJudge::Openssl]));
        let takes_any = auth.is_some_and(|it| it.value.takes_any());
        let judge = judge.filter(|_| !takes_any);
        let openssl = judge.is_some_and(|it| it.value == CertificateJudge::Openssl);
        let mut faults = || {
            let made = self.setting(|c| {
                let some = Faults::default().with(10).and_then(|it| it.with(23));
                c.one(Faults::ALL, &[some.unwrap_or_default()])
            });
            made.filter(|_| openssl)
        };
        let (ignored, ignored_above) = (faults(), faults());
        ClientsDraft {
            auth,
            ca: match auth {
                Some(_) => self.at_least_one(2, |c| Spanned::bare(c.file())),
                None => Vec::new(),
            },
            unnamed_ca: self.setting(Self::file),
            crl: self.setting(Self::file),
            judge,
            ignored,
            ignored_above,
        }
    }

    fn tags(&mut self) -> Tags {
        Tags(self.some(3, |c| {
            (c.one("Name", &["a b", "x\"`"]).to_owned(), c.token())
        }))
    }

    fn listener_settings(&mut self, draft: &mut ListenerDraft, tls: bool) {
        draft.timeouts = ListenerTimeoutsDraft {
            request_head: self.setting(Self::duration),
            request_head_renews: self.setting(|c| c.one_in(2)),
            keep_alive: self.setting(Self::duration),
            client: self.setting(Self::duration),
            tunnel: self.setting(Self::duration),
            inspect: self.setting(Self::duration),
            tunnel_ending: self.setting(Self::duration),
        };
        draft.tags = self.setting(Self::tags);
        draft.socket = SocketDraft {
            interface: self.setting(|c| c.one("eth0", &["a\"`"]).to_owned()),
            v6_only: self.setting(|c| c.one_in(2)),
            backlog: self.setting(|c| c.below(1_000) + 1),
            transparent: self.setting(|c| c.one_in(2)),
            shared: self.setting(|c| c.one_in(2)),
            packets_from: self.setting(|c| c.some(3, Self::network)),
            tcp: self.tcp_watch(),
        };
        draft.forwarded = self.forwarded();
        draft.request_id = self.setting(|c| c.request_id(tls));
        draft.log = self.some(2, |c| Spanned::bare(c.log_destination()));
        draft.capture_cookie = self.setting(|c| CaptureCookie {
            name: c.one("SID", &["s"]).to_owned(),
            prefix: c.one_in(2),
            length: 32,
        });
        draft.accept_proxy = self.setting(|c| c.one_in(2));
        draft.max_connections = self.setting(|c| c.below(1_000_000));
        draft.max_session_rate = self.setting(|c| c.below(1_000_000));
        draft.life = self.life();
        draft.http2 = self.http2();
        draft.head_bytes = self.setting(|c| c.below(1_000_000) + 1_024);
        draft.head_fields = self.setting(|c| u16::try_from(c.below(32_000)).unwrap_or(0) + 1);
        let head = draft.head_bytes.map_or(65_536, |bytes| bytes.value);
        draft.target_bytes = self.setting(|c| c.below(head - 64) + 64);
        draft.access_log = self.setting(|c| c.access_log(tls));
        draft.error_pages = self.error_pages(Place {
            tls,
            ..Place::REQUEST
        });
        draft.own_answers = self.setting(|c| c.one(OwnAnswers::Haproxy, &[OwnAnswers::Portway]));
        draft.lenient_heads = self.setting(|c| c.one_in(2));
        draft.close = self.setting(|c| c.one_in(2));
        draft.close_targets = self.setting(|c| c.one_in(2));
        draft.ignore_probes = self.setting(|c| c.one_in(2));
    }

    fn life(&mut self) -> ConnectionLifeDraft {
        ConnectionLifeDraft {
            max_requests: self.setting(|c| c.below(10_000)),
            max_age: self.setting(Self::duration),
        }
    }

    fn error_answer(&mut self, place: Place) -> ErrorAnswer<Named> {
        ErrorAnswer {
            body: self.template_of(place, "", Self::line),
            content_type: self.line(),
            headers: self.some(1, |c| (c.header(), c.template_of(place, "", Self::line))),
        }
    }

    fn error_pages(&mut self, place: Place) -> Vec<ErrorPageDraft> {
        self.objects(3, |c, index| ErrorPageDraft {
            status: Spanned::bare(u16::try_from(index).unwrap_or(0) + 500),
            page: Spanned::bare(if c.one_in(4) {
                ErrorPageSource::Answer(c.error_answer(place))
            } else if c.one_in(3) {
                ErrorPageSource::Redirect {
                    location: c.line(),
                    status: c.one(302, &[303]),
                }
            } else {
                ErrorPageSource::File(c.file())
            }),
        })
    }

    fn forwarded(&mut self) -> ForwardedDraft {
        let mut mode = || {
            self.setting(|c| {
                let others = [ForwardedMode::Preserve, ForwardedMode::Remove];
                c.one(ForwardedMode::Append, &others)
            })
        };
        ForwardedDraft {
            x_forwarded_for: mode(),
            x_forwarded_proto: mode(),
            x_forwarded_port: mode(),
            x_forwarded_host: mode(),
            forwarded: mode(),
            client_port: self.setting(|c| c.one_in(2)),
            trusted_proxies: self.some(3, |c| Spanned::bare(c.network())),
        }
    }

    fn request_id(&mut self, tls: bool) -> RequestIdDraft {
        let place = Place {
            phase: Some(Phase::Request),
            tls,
            group: false,
        };
        RequestIdDraft {
            header: self.setting(Self::header),
            format: self.setting(|c| c.template(place)),
        }
    }

    fn traces(&mut self) -> Traces {
        let (ca, certificate) = (self.maybe(Self::file), self.maybe(Self::file));
        let key = certificate.as_ref().and_then(|_| self.maybe(Self::file));
        Traces {
            verify: ca.is_some() || !self.one_in(3),
            ca,
            certificate,
            key,
            headers: self.some(2, |c| (c.one("X-A", &["X-B"]).to_owned(), c.line())),
            service: self.one("portway", &["edge"]).to_owned(),
            ..Traces::new("https://collector.example:4318".to_owned())
        }
    }

    fn access_log(&mut self, tls: bool) -> AccessLogDraft {
        let place = Place {
            phase: None,
            tls,
            group: false,
        };
        let mut draft = AccessLogDraft {
            format: self.setting(|c| match c.below(4) {
                1 => c.one(LogFormat::Combined, &[LogFormat::Alb]),
                2 | 3 => LogFormat::Template(c.template(place)),
                _ => LogFormat::Json,
            }),
            to: self.some(3, |c| Spanned::bare(c.log_destination())),
            error_format: self.setting(|c| c.template(place)),
            structured_data: self.setting(|c| c.template(place)),
            log_null: self.setting(|c| c.one_in(2)),
            only_faults: self.setting(|c| c.one_in(2)),
            raise_faults: self.setting(|c| c.one_in(2)),
            early: self.setting(|c| c.one_in(2)),
            when: self.setting(|c| c.condition(place)),
            without: Vec::new(),
        };
        let format = draft.format.as_ref().map(|it| &it.value);
        if !matches!(format, Some(LogFormat::Template(_))) {
            let part = |c: &mut Self| c.one(RecordPart::Client, RecordPart::ALL);
            draft.without = self.some(3, |c| Spanned::bare(part(c)));
        }
        draft
    }

    pub(super) fn log_level(&mut self) -> LogLevel {
        self.one(LogLevel::Info, LogLevel::ALL)
    }

    fn log_destination(&mut self) -> LogDestination {
        match self.below(4) {
            1 => LogDestination::File(self.file()),
            2 | 3 => LogDestination::Syslog(self.syslog()),
            _ => LogDestination::Stdout,
        }
    }

    fn syslog(&mut self) -> Syslog {
        let host = |c: &mut Self| c.one("127.0.0.1", &["loghost", "::1"]).to_owned();
        let to = match self.below(6) {
            1 => SyslogAddress::Tcp {
                host: host(self),
                port: 514,
            },
            2 => SyslogAddress::Unix("/dev/log".to_owned()),
            3 => SyslogAddress::Stdout,
            4 => SyslogAddress::Stderr,
            5 => SyslogAddress::Descriptor(3),
            _ => SyslogAddress::Udp {
                host: host(self),
                port: 514,
            },
        };
        let framing = match to {
            SyslogAddress::Tcp { .. } => self.one(SyslogFraming::LineFeed, SyslogFraming::ALL),
            _ => SyslogFraming::LineFeed,
        };
        Syslog {
            framing,
            form: self.one(SyslogForm::Local, SyslogForm::ALL),
            facility: self.one(Facility::Local0, Facility::ALL),
            max_level: self.log_level(),
            min_level: self.log_level(),
            length: self.one_in(2).then(|| self.one(1024, &[80, 65_535])),
            tag: self.one_in(2).then(|| "haproxy".to_owned()),
            hostname: self.one_in(2).then(|| match self.one_in(2) {
                true => LogHostname::Machine,
                false => LogHostname::Named("web1".to_owned()),
            }),
            sample: self.one_in(2).then(|| Sample {
                ranges: vec![(1, 1), (3, 5)],
                size: 8,
            }),
            ..Syslog::new(to)
        }
    }

    fn group(&mut self, known: &KnownGroup) -> GroupDraft {
        let mut draft = GroupDraft::new(Spanned::bare(known.name.clone()));
        draft.tags = self.setting(Self::tags);
        let tls = known.said && self.one_in(2);
        draft.protocol = known.said.then(|| {
            Spanned::bare(match (known.http, tls) {
                (true, true) => Protocol::Https,
                (true, false) => Protocol::Http,
                (false, true) => Protocol::Tls,
                (false, false) => Protocol::Tcp,
            })
        });
        draft.number = self.number();
        draft.targets = self.objects(4, Self::target);
        self.tracked(&mut draft);
        let place = |phase| Place {
            phase: Some(phase),
            tls: false,
            group: true,
        };
        let keys = if known.http {
            Phase::Request
        } else {
            Phase::ClientHello
        };
        draft.algorithm = self.setting(|c| c.algorithm(place(keys)));
        draft.stickiness = self.stickiness(known.http).map(Spanned::bare);
        draft.health_check = self.setting(Self::health_check);
        self.target_checks(&mut draft, known.http);
        draft.timeouts = GroupTimeoutsDraft {
            connect: self.setting(Self::duration),
            response: self.setting(Self::duration),
            queue: self.setting(Self::duration),
            attempt: self.setting(Self::duration).filter(|_| known.http),
            total: self.setting(Self::duration).filter(|_| known.http),
            idle: self.setting(Self::duration),
            tunnel: self.setting(Self::duration),
            tunnel_target: self.setting(Self::duration),
            tunnel_ending: self.setting(Self::duration),
            inspect: self.setting(Self::duration),
            inspect_response: self.setting(Self::duration),
        };
        if tls {
            draft.tls = self.upstream_tls();
            for target in &mut draft.targets {
                if self.one_in(4) {
                    let own = TargetTlsDraft::Own(Box::new(self.upstream_tls()));
                    target.tls = Some(Spanned::bare(own));
                }
            }
        }
        draft.rules = self.some(3, |c| {
            let phase = if known.http {
                let others = [Phase::Response, Phase::AfterResponse, Phase::ClientHello];
                c.one(Phase::Request, &others)
            } else if known.said && c.one_in(3) {
                return c.answer_rule(place(Phase::Connection));
            } else {
                Phase::ClientHello
            };
            c.rule(place(phase), &[])
        });
        self.shares(&mut draft);
        draft.deregistration_delay = self.setting(Self::duration);
        draft.hash_balance_factor = self.setting(|c| c.one(0, &[101, 150]));
        draft.retries = self.setting(|c| c.below(101));
        draft.retry_budget = self.setting(|c| c.below(10_001));
        draft.retry_body_bytes = self.setting(|c| c.below(1_048_577));
        draft.retry_backoff = self.setting(|c| c.one(Duration::ZERO, &[Duration::from_millis(25)]));
        draft.retry_within = self.setting(Self::duration);
        draft.retry_idempotent_only = self.setting(|c| c.one_in(2));
        draft.max_connections = self.setting(|c| c.below(1_000));
        draft.max_pending = self.setting(|c| c.below(1_000));
        draft.life = self.life();
        draft.pool_size = self.setting(|c| c.below(65_537));
        draft.connection_reuse = self.setting(|c| {
            let others = [
                ConnectionReuse::Never,
                ConnectionReuse::Aggressive,
                ConnectionReuse::Always,
            ];
            c.one(ConnectionReuse::Safe, &others)
        });
        draft.passive_health = self.setting(|c| c.passive_health(known.http));
        draft.send_proxy = self.setting(Self::send_proxy);
        draft.log = self.some(2, |c| Spanned::bare(c.log_destination()));
        draft.log_health_checks = self.setting(|c| c.one_in(2));
        self.group_choices(&mut draft);
        draft.error_pages = self.error_pages(place(Phase::Request));
        draft.close = self.setting(|c| c.one_in(2));
        draft.abort_on_close = self.setting(|c| c.one_in(2));
        draft.target_name_header = self.setting(Self::header);
        draft.tcp = self.tcp_watch();
        draft
    }

    fn target(&mut self, index: usize) -> TargetDraft {
        let port = u16::try_from(index).unwrap_or(0) + 8_000;
        let address = match self.below(5) {
            1 => TargetAddress::Tcp {
                host: Host::Name(self.host_name()),
                port,
            },
            2 => TargetAddress::Unix(format!("{}{port}", self.file())),
            3 => TargetAddress::ClientDestination { port: Some(port) },
            4 if index == 0 => TargetAddress::ClientDestination { port: None },
            _ => TargetAddress::Tcp {
                host: Host::Ip(self.address()),
                port,
            },
        };
        let plain = TargetDraft {
            name: self.setting(|c| c.name(index)),
            number: self.setting(|c| {
                let index = u32::try_from(index).unwrap_or(0);
                c.one(index + 1, &[index + 1_000])
            }),
            weight: self.setting(|c| c.one(0, &[1, 2, 65_535])),
            backup: self.setting(|c| c.one_in(2)),
            disabled: self.setting(|c| c.one_in(2)),
            max_connections: self.setting(|c| c.below(1_000)),
            ..TargetDraft::new(Spanned::bare(address))
        };
        self.target_choices(plain)
    }
}
