//! From a snapshot back to a draft, which is how a configuration is printed.
//!
//! `compile(lift(s))` gives `s` again. What equals its default is left out, so that what is printed is short;
//! nothing has a place, since no text made it.

use crate::action::Rule;
use crate::check::{AgentDraft, CheckKind, HealthCheckDraft, TargetCheckDraft};
use crate::choice::{Algorithm, TrackedDraft};
use crate::compile::names::{Kind, index_name};
use crate::compile::protocols::{Users, default_of_listener, forwards_to};
use crate::compile::{
    default_admin, default_alpn, default_check_timeout, default_target_name, default_upstream_alpn,
};
use crate::convert::{self, Convert};
use crate::defaults;
use crate::draft::{
    AccessLogDraft, CertificateDraft, CertificateTlsDraft, ClientsDraft, ControlSocketDraft, Draft,
    ErrorPageDraft, ForwardedDraft, GroupDraft, GroupTimeoutsDraft, ListenerDraft,
    ListenerTimeoutsDraft, ListenerTlsDraft, LogFormat, MapDraft, ProcessDraft, RequestIdDraft,
    SocketDraft, StickTableDraft, TargetDraft, TargetTlsDraft, TcpWatchDraft, TlsPolicyDraft,
    UpstreamTlsDraft, UserDraft, UserlistDraft,
};
use crate::expression::{Expression, Template};
use crate::log::LogDestination;
use crate::members;
use crate::name::Name;
use crate::ocsp::OcspDraft;
use crate::settings::{
    CertificateJudge, ClientAuth, Faults, ForwardedMode, GroupTimeouts, ListenerTimeouts,
    OwnAnswers, Protocol, SocketOptions, Tags, TargetSendProxy,
};
use crate::snapshot::{
    AccessLog, Agent, Certificate, CertificateId, CertificateTls, Clients, ControlSocket,
    ErrorPage, Forwarded, GroupId, HealthCheck, Listener, ListenerId, ListenerTls, MapId, Process,
    RequestId, Rules, Snapshot, StickTableId, Target, TargetGroup, TargetRef, TargetTls, TlsPolicy,
    UpstreamTls, User, UserlistId,
};
use crate::span::Spanned;
use crate::stage::{Named, Pattern, Resolved};
use crate::tcp::{TcpKeepAlive, TcpWatch};
use std::convert::Infallible;
use std::time::Duration;

/// The draft that compiles to this snapshot, with everything left out that need not be said.
pub fn lift(snapshot: &Snapshot) -> Draft {
    match members::collapse(snapshot) {
        Some(written) => lift_written(&written),
        None => lift_written(snapshot),
    }
}

fn lift_written(snapshot: &Snapshot) -> Draft {
    let mut lift = Lift {
        snapshot,
        users: users(snapshot),
    };
    Draft {
        process: lift.process(&snapshot.process),
        listeners: snapshot
            .listeners
            .iter()
            .map(|x| lift.listener(x))
            .collect(),
        groups: (0..)
            .zip(&snapshot.groups)
            .map(|(id, group)| lift.target_group(GroupId(id), group))
            .collect(),
        certificates: snapshot
            .certificates
            .iter()
            .map(|certificate| CertificateDraft {
                name: Spanned::bare(certificate.name.clone()),
                file: match certificate.pem {
                    None => Some(Spanned::bare(certificate.file.clone())),
                    Some(_) => None,
                },
                key: certificate.key.clone().map(Spanned::bare),
                pem: certificate.pem.clone().map(Spanned::bare),
                names: certificate
                    .names
                    .iter()
                    .cloned()
                    .map(Spanned::bare)
                    .collect(),
                issuer: certificate.issuer.clone().map(Spanned::bare),
                ocsp: ocsp(certificate),
                tls: certificate
                    .tls
                    .as_deref()
                    .map_or_else(CertificateTlsDraft::default, certificate_tls),
            })
            .collect(),
        stick_tables: snapshot
            .stick_tables
            .iter()
            .map(|table| StickTableDraft {
                name: Spanned::bare(table.name.clone()),
                key: Some(Spanned::bare(table.key)),
                size: Some(Spanned::bare(table.size)),
                expire: table.expire.map(Spanned::bare),
                when_full: unless(&table.when_full, &defaults::WHEN_FULL),
                target_key: unless(&table.target_key, &defaults::TARGET_KEY),
                store: table.store.iter().copied().map(Spanned::bare).collect(),
            })
            .collect(),
        maps: snapshot
            .maps
            .iter()
            .map(|map| MapDraft {
                name: Spanned::bare(map.name.clone()),
                file: map.file.clone().map(Spanned::bare),
                lines: unless(&map.lines, &defaults::MAP_LINES),
                entries: pairs(&map.entries),
                compare: unless(&map.compare, &defaults::MAP_COMPARE),
                ignore_case: unless(&map.ignore_case, &false),
            })
            .collect(),
        unfinished: false,
        userlists: snapshot
            .userlists
            .iter()
            .map(|userlist| UserlistDraft {
                name: Spanned::bare(userlist.name.clone()),
                users: userlist.users.iter().map(user).collect(),
            })
            .collect(),
    }
}

/// An expression with names in place of indices.
pub fn lift_expression(
    snapshot: &Snapshot,
    expression: &Expression<Resolved>,
) -> Expression<Named> {
    let mut lift = Lift {
        snapshot,
        users: Users::default(),
    };
    let Ok(lifted) = convert::expression(&mut lift, expression);
    lifted
}

/// A rule with names in place of indices.
pub fn lift_rule(snapshot: &Snapshot, rule: &Rule<Resolved>) -> Rule<Named> {
    let mut lift = Lift {
        snapshot,
        users: Users::default(),
    };
    let Ok(lifted) = convert::rule(&mut lift, rule);
    lifted
}

/// A run of lift.
struct Lift<'a> {
    snapshot: &'a Snapshot,
    /// What groups would speak if they did not say.
    users: Users<GroupId>,
}

fn users(snapshot: &Snapshot) -> Users<GroupId> {
    let mut users = Users::default();
    for listener in &snapshot.listeners {
        for group in listener.rules.iter().flat_map(forwards_to) {
            users.forwards(*group, listener.protocol);
        }
    }
    users
}

/// A value that must be said, since the default is another.
fn unless<T: PartialEq + Clone>(value: &T, default: &T) -> Option<Spanned<T>> {
    (value != default).then(|| Spanned::bare(value.clone()))
}

/// What a snapshot says with `Option` alike in a draft.
fn some<T: Clone>(value: &Option<T>) -> Option<Spanned<T>> {
    value.clone().map(Spanned::bare)
}

fn bare<T: Clone>(values: &[T]) -> Vec<Spanned<T>> {
    values.iter().cloned().map(Spanned::bare).collect()
}

fn pairs(pairs: &[(String, String)]) -> Vec<(Spanned<String>, Spanned<String>)> {
    pairs
        .iter()
        .map(|(key, value)| (Spanned::bare(key.clone()), Spanned::bare(value.clone())))
        .collect()
}

fn control_socket(socket: &ControlSocket) -> ControlSocketDraft {
    ControlSocketDraft {
        bind: socket.bind.clone(),
        level: unless(&socket.level, &defaults::CONTROL_LEVEL),
        mode: some(&socket.mode),
        user: some(&socket.user),
        group: some(&socket.group),
        expose_listeners: unless(&socket.expose_listeners, &false),
    }
}

impl Lift<'_> {
    fn process(&mut self, process: &Process) -> ProcessDraft {
        let variables = process.variables.iter();
        let variables = variables
            .map(|(name, value)| {
                let Ok(value) = convert::template(self, value);
                (Spanned::bare(name.clone()), Spanned::bare(value))
            })
            .collect();
        ProcessDraft {
            workers: unless(&process.workers, &0),
            admin: unless(&process.admin, &default_admin()),
            max_connections: unless(&process.max_connections, &0),
            max_memory: unless(&process.max_memory, &0),
            max_pipes: unless(&process.max_pipes, &defaults::MAX_PIPES),
            strict_limits: unless(&process.strict_limits, &true),
            max_connection_rate: unless(&process.max_connection_rate, &0),
            max_session_rate: unless(&process.max_session_rate, &0),
            max_tls_rate: unless(&process.max_tls_rate, &0),
            max_tls_connections: unless(&process.max_tls_connections, &0),
            ready_delay: unless(&process.ready_delay, &defaults::READY_DELAY),
            drain_deadline: unless(&process.drain_deadline, &defaults::DRAIN_DEADLINE),
            zone: some(&process.zone),
            shutdown_deadline: unless(&process.shutdown_deadline, &defaults::SHUTDOWN_DEADLINE),
            user: process.user.clone(),
            group: process.group.clone(),
            chroot: process.chroot.clone(),
            pid_file: process.pid_file.clone(),
            daemon: unless(&process.daemon, &false),
            master: unless(&process.master, &false),
            max_reloads: process.max_reloads.map(Spanned::bare),
            node: some(&process.node),
            description: some(&process.description),
            variables,
            log: bare(&process.log),
            traces: process.traces.clone(),
            control_sockets: process.control_sockets.iter().map(control_socket).collect(),
            control_timeout: unless(&process.control_timeout, &defaults::CONTROL_TIMEOUT),
            control_connections: unless(
                &process.control_connections,
                &defaults::CONTROL_CONNECTIONS,
            ),
        }
    }

    fn listener(&mut self, listener: &Listener) -> ListenerDraft {
        let tls = listener.tls.as_ref();
        let certificates = tls.map_or(&[][..], |tls| &tls.certificates);
        ListenerDraft {
            name: Spanned::bare(listener.name.clone()),
            known_as: unless(&listener.known_as, &listener.name),
            number: some(&listener.number),
            tags: unless(&listener.tags, &Tags::default()),
            binds: listener.binds.clone(),
            socket: socket(&listener.socket, listener.protocol),
            protocol: unless(
                &listener.protocol,
                &default_of_listener(!certificates.is_empty()),
            ),
            certificates: certificates
                .iter()
                .map(|id| self.certificate(*id))
                .collect(),
            tls: tls.map_or_else(ListenerTlsDraft::default, |tls| {
                listener_tls(tls, listener.protocol)
            }),
            rules: self.rules(&listener.rules),
            timeouts: listener_timeouts(&listener.timeouts),
            forwarded: forwarded(&listener.forwarded),
            request_id: listener
                .request_id
                .as_ref()
                .map(|id| Spanned::bare(self.request_id(id))),
            accept_proxy: unless(&listener.accept_proxy, &false),
            max_connections: unless(&listener.max_connections, &defaults::MAX_CONNECTIONS),
            max_session_rate: unless(&listener.max_session_rate, &0),
            life: listener.life.into(),
            http2: listener.http2.into(),
            head_bytes: unless(&listener.head_bytes, &defaults::HEAD_BYTES),
            head_fields: unless(&listener.head_fields, &defaults::HEAD_FIELDS),
            target_bytes: unless(&listener.target_bytes, &defaults::TARGET_BYTES),
            access_log: listener
                .access_log
                .as_ref()
                .map(|log| Spanned::bare(self.access_log(log, listener.protocol))),
            log: bare(&listener.log),
            capture_cookie: some(&listener.capture_cookie),
            min_rate: some(&listener.min_rate),
            error_pages: self.error_pages(&listener.error_pages),
            own_answers: unless(&listener.own_answers, &OwnAnswers::Portway),
            lenient_heads: unless(&listener.lenient_heads, &false),
            close: unless(&listener.close, &false),
            close_targets: unless(&listener.close_targets, &false),
            ignore_probes: unless(&listener.ignore_probes, &false),
        }
    }

    fn rules(&mut self, rules: &Rules) -> Vec<Rule<Named>> {
        rules
            .iter()
            .map(|rule| {
                let Ok(rule) = convert::rule(self, rule);
                rule
            })
            .collect()
    }

    fn error_pages(&mut self, pages: &[ErrorPage]) -> Vec<ErrorPageDraft> {
        let pages = pages.iter().map(|page| {
            let Ok(source) = convert::error_page(self, &page.page);
            ErrorPageDraft {
                status: Spanned::bare(page.status),
                page: Spanned::bare(source),
            }
        });
        pages.collect()
    }

    fn access_log(&mut self, log: &AccessLog, protocol: Protocol) -> AccessLogDraft {
        let Ok(format) = convert::log_format(self, &log.format);
        let default = log.to == [LogDestination::Stdout];
        AccessLogDraft {
            format: unless(&format, &LogFormat::Json),
            to: bare(if default { &[] } else { &log.to }),
            error_format: self.template(log.error_format.as_ref()),
            structured_data: self.template(log.structured_data.as_ref()),
            log_null: unless(&log.log_null, &!protocol.is_http()),
            only_faults: unless(&log.only_faults, &false),
            raise_faults: unless(&log.raise_faults, &false),
            early: unless(&log.early, &false),
            when: log.when.as_ref().map(|condition| {
                let Ok(condition) = convert::condition(self, condition);
                Spanned::bare(condition)
            }),
            without: bare(&log.without),
        }
    }

    fn request_id(&mut self, id: &RequestId) -> RequestIdDraft {
        RequestIdDraft {
            header: some(&id.header),
            format: self.template(id.format.as_ref()),
        }
    }

    fn template(
        &mut self,
        template: Option<&Template<Resolved>>,
    ) -> Option<Spanned<Template<Named>>> {
        template.map(|template| {
            let Ok(template) = convert::template(self, template);
            Spanned::bare(template)
        })
    }

    fn target_group(&mut self, id: GroupId, group: &TargetGroup) -> GroupDraft {
        let Ok(algorithm) = convert::algorithm(self, &group.algorithm);
        let stickiness = group
            .stickiness
            .as_ref()
            .map(|stickiness| Spanned::bare(stickiness.clone()));
        GroupDraft {
            name: Spanned::bare(group.name.clone()),
            number: some(&group.number),
            tags: unless(&group.tags, &Tags::default()),
            protocol: unless(&group.protocol, &self.users.protocol_of(&id)),
            targets: self.targets(id, group),
            algorithm: unless(&algorithm, &Algorithm::RoundRobin),
            stickiness,
            health_check: group
                .health_check
                .as_ref()
                .map(|check| Spanned::bare(self.health_check(check))),
            passive_health: some(&group.passive_health),
            timeouts: group_timeouts(&group.timeouts),
            tls: group
                .tls
                .as_ref()
                .map_or_else(UpstreamTlsDraft::default, |tls| {
                    self.upstream_tls(tls, group.protocol)
                }),
            rules: self.rules(&group.rules),
            none_healthy: unless(&group.none_healthy, &defaults::NONE_HEALTHY),
            min_healthy: unless(&group.min_healthy, &defaults::MIN_HEALTHY),
            keep_share: unless(&group.keep_share, &false),
            hash_balance_factor: unless(&group.hash_balance_factor, &0),
            min_zone_healthy: unless(&group.min_zone_healthy, &defaults::MIN_ZONE_HEALTHY),
            deregistration_delay: some(&group.deregistration_delay),
            retries: unless(&group.retries, &defaults::RETRIES),
            retry_budget: unless(&group.retry_budget, &defaults::RETRY_BUDGET),
            retry_body_bytes: unless(&group.retry_body_bytes, &0),
            retry_backoff: unless(&group.retry_backoff, &Duration::ZERO),
            retry_within: some(&group.retry_within),
            retry_idempotent_only: unless(&group.retry_idempotent_only, &false),
            max_connections: unless(&group.max_connections, &0),
            max_pending: unless(&group.max_pending, &0),
            retry_to: unless(&group.retry_to, &defaults::RETRY_TO),
            retry_on: group.retry_on.as_ref().map(|all| {
                let all = all.iter().copied().map(Spanned::bare);
                Spanned::bare(all.collect())
            }),
            backups_together: unless(&group.backups_together, &false),
            keep_when_down: unless(&group.keep_when_down, &false),
            full_connections: unless(&group.full_connections, &0),
            pool_size: unless(&group.pool_size, &defaults::POOL_SIZE),
            life: group.life.into(),
            connection_reuse: unless(&group.connection_reuse, &defaults::CONNECTION_REUSE),
            log: bare(&group.log),
            log_health_checks: unless(&group.log_health_checks, &false),
            error_pages: self.error_pages(&group.error_pages),
            close: unless(&group.close, &false),
            abort_on_close: unless(&group.abort_on_close, &false),
            target_name_header: some(&group.target_name_header),
            tcp: tcp(&group.tcp, group.protocol),
            send_proxy: some(&group.send_proxy),
        }
    }

    fn health_check(&mut self, check: &HealthCheck) -> HealthCheckDraft {
        let Ok(kind) = convert::check_kind(self, &check.kind);
        HealthCheckDraft {
            kind: unless(&kind, &CheckKind::Tcp),
            interval: unless(&check.interval, &defaults::CHECK_INTERVAL),
            fast_interval: unless(&check.fast_interval, &check.interval),
            unhealthy_interval: unless(&check.unhealthy_interval, &check.interval),
            jitter_percent: unless(&check.jitter_percent, &defaults::JITTER_PERCENT),
            timeout: unless(&check.timeout, &default_check_timeout(check.interval)),
            connect_timeout: unless(&check.connect_timeout, &check.timeout),
            healthy_threshold: unless(&check.healthy_threshold, &defaults::HEALTHY_THRESHOLD),
            unhealthy_threshold: unless(&check.unhealthy_threshold, &defaults::UNHEALTHY_THRESHOLD),
            port: check.port.map(Spanned::bare),
            first_failure_is_down: unless(
                &check.first_failure_is_down,
                &defaults::FIRST_FAILURE_IS_DOWN,
            ),
            wait_for_first_check: unless(&check.wait_for_first_check, &false),
            drain_on_404: unless(&check.drain_on_404, &false),
        }
    }

    fn targets(&self, own: GroupId, group: &TargetGroup) -> Vec<TargetDraft> {
        let mut drafts: Vec<TargetDraft> = Vec::with_capacity(group.targets.len());
        for target in &group.targets {
            let mut draft = self::target(target, group.health_check.as_ref());
            draft.tls = match &target.tls {
                TargetTls::Group => None,
                TargetTls::Off => Some(TargetTlsDraft::Group(false)),
                TargetTls::Own(own) => Some(TargetTlsDraft::Own(Box::new(
                    self.upstream_tls(own, group.protocol),
                ))),
            }
            .map(Spanned::bare);
            draft.track = target.track.map(|it| Spanned::bare(self.tracked(own, it)));
            drafts.push(draft);
        }
        drafts
    }

    fn tracked(&self, own: GroupId, it: TargetRef) -> TrackedDraft {
        let group = self.snapshot.groups.get(it.group.index());
        let target = group.and_then(|group| group.targets.get(it.target as usize));
        let target = target.map_or_else(|| Name::from(""), |target| target.name.clone());
        TrackedDraft {
            group: (it.group != own)
                .then(|| named(Kind::Group, it.group.0, group.map(|group| &group.name))),
            target: Spanned::bare(target),
        }
    }

    fn upstream_tls(&self, tls: &UpstreamTls, protocol: Protocol) -> UpstreamTlsDraft {
        UpstreamTlsDraft {
            verify: unless(&tls.verify, &defaults::VERIFY),
            server_name: unless(&tls.server_name, &defaults::SERVER_NAME),
            judge: unless(&tls.judge, &CertificateJudge::Portway),
            verify_name: unless(&tls.verify_name, &defaults::VERIFY_NAME),
            alpn: unless(&tls.alpn, &default_upstream_alpn(protocol)),
            crl: some(&tls.crl),
            policy: tls_policy(&tls.policy),
            certificate: tls.certificate.map(|id| self.certificate(id)),
            resume: unless(&tls.resume, &true),
        }
    }

    fn certificate(&self, id: CertificateId) -> Spanned<Name> {
        let name = self.snapshot.certificates.get(id.index());
        named(Kind::Certificate, id.0, name.map(|x| &x.name))
    }
}

fn listener_tls(tls: &ListenerTls, protocol: Protocol) -> ListenerTlsDraft {
    ListenerTlsDraft {
        policy: tls_policy(&tls.policy),
        alpn: unless(&tls.alpn, &default_alpn(protocol)),
        accept_other_alpn: unless(&tls.accept_other_alpn, &false),
        strict_sni: unless(&tls.strict_sni, &false),
        accept_clear: unless(&tls.accept_clear, &false),
        clients: clients(&tls.clients),
        expected_names: bare_each(tls.expected_names.iter().map(|it| &it.value)),
    }
}

fn bare_each<'t>(texts: impl IntoIterator<Item = &'t String>) -> Vec<Spanned<String>> {
    let texts = texts.into_iter();
    texts.map(|it| Spanned::bare(it.clone())).collect()
}

fn clients(clients: &Clients) -> ClientsDraft {
    ClientsDraft {
        auth: unless(&clients.auth, &ClientAuth::Off),
        ca: bare_each(&clients.ca),
        unnamed_ca: some(&clients.unnamed_ca),
        crl: some(&clients.crl),
        judge: unless(&clients.judge, &CertificateJudge::Portway),
        ignored: unless(&clients.ignored, &Faults::default()),
        ignored_above: unless(&clients.ignored_above, &Faults::default()),
    }
}

fn ocsp(certificate: &Certificate) -> OcspDraft {
    let fetch = certificate.ocsp_fetch.as_ref();
    OcspDraft {
        file: certificate.ocsp.clone().map(Spanned::bare),
        fetch: fetch.map(|_| Spanned::bare(true)),
        responder: fetch.and_then(|it| it.responder.clone().map(Spanned::bare)),
        min_refresh: fetch.and_then(|it| unless(&it.min_refresh, &defaults::OCSP_MIN_REFRESH)),
        max_refresh: fetch.and_then(|it| it.max_refresh.map(Spanned::bare)),
    }
}

fn certificate_tls(tls: &CertificateTls) -> CertificateTlsDraft {
    CertificateTlsDraft {
        policy: tls_policy(&tls.policy),
        alpn: some(&tls.alpn),
        clients: ClientsDraft {
            auth: Some(Spanned::bare(tls.clients.auth)),
            ..clients(&tls.clients)
        },
    }
}

fn tls_policy(policy: &TlsPolicy) -> TlsPolicyDraft {
    let list = |list: &Option<Vec<String>>| {
        let list = list.as_ref()?.iter().cloned().map(Spanned::bare);
        Some(Spanned::bare(list.collect()))
    };
    TlsPolicyDraft {
        name: unless(&policy.name, &defaults::TLS_POLICY.to_owned()),
        min_version: policy.min_version.map(Spanned::bare),
        max_version: policy.max_version.map(Spanned::bare),
        suites: list(&policy.suites),
        curves: list(&policy.curves),
    }
}

fn listener_timeouts(timeouts: &ListenerTimeouts) -> ListenerTimeoutsDraft {
    ListenerTimeoutsDraft {
        request_head: unless(&timeouts.request_head, &defaults::REQUEST_HEAD),
        request_head_renews: unless(&timeouts.request_head_renews, &false),
        keep_alive: unless(&timeouts.keep_alive, &defaults::KEEP_ALIVE),
        client: unless(&timeouts.client, &defaults::CLIENT),
        tunnel: unless(&timeouts.tunnel, &defaults::TUNNEL),
        inspect: unless(&timeouts.inspect, &defaults::INSPECT),
        tunnel_ending: some(&timeouts.tunnel_ending),
    }
}

fn socket(socket: &SocketOptions, protocol: Protocol) -> SocketDraft {
    SocketDraft {
        interface: some(&socket.interface),
        v6_only: unless(&socket.v6_only, &true),
        backlog: some(&socket.backlog),
        transparent: unless(&socket.transparent, &false),
        shared: unless(&socket.shared, &false),
        packets_from: some(&socket.packets_from),
        tcp: tcp(&socket.tcp, protocol),
    }
}

fn tcp(watch: &TcpWatch, protocol: Protocol) -> TcpWatchDraft {
    TcpWatchDraft {
        keep_alive: unless(&watch.keep_alive, &TcpKeepAlive::default_of(protocol)),
        user_timeout: some(&watch.user_timeout),
    }
}

fn group_timeouts(timeouts: &GroupTimeouts) -> GroupTimeoutsDraft {
    GroupTimeoutsDraft {
        connect: unless(&timeouts.connect, &defaults::CONNECT),
        response: unless(&timeouts.response, &defaults::RESPONSE),
        queue: unless(&timeouts.queue, &defaults::QUEUE),
        attempt: some(&timeouts.attempt),
        total: some(&timeouts.total),
        idle: unless(&timeouts.idle, &defaults::POOL_IDLE),
        tunnel: some(&timeouts.tunnel),
        tunnel_target: some(&timeouts.tunnel_target),
        tunnel_ending: some(&timeouts.tunnel_ending),
        inspect: unless(&timeouts.inspect, &defaults::INSPECT),
        inspect_response: unless(&timeouts.inspect_response, &defaults::INSPECT),
    }
}

fn forwarded(forwarded: &Forwarded) -> ForwardedDraft {
    let mode = |mode: &ForwardedMode| unless(mode, &defaults::FORWARDED);
    ForwardedDraft {
        x_forwarded_for: mode(&forwarded.x_forwarded_for),
        x_forwarded_proto: mode(&forwarded.x_forwarded_proto),
        x_forwarded_port: mode(&forwarded.x_forwarded_port),
        x_forwarded_host: mode(&forwarded.x_forwarded_host),
        forwarded: unless(&forwarded.forwarded, &ForwardedMode::Remove),
        client_port: unless(&forwarded.client_port, &false),
        trusted_proxies: forwarded
            .trusted_proxies
            .iter()
            .copied()
            .map(Spanned::bare)
            .collect(),
    }
}

fn user(user: &User) -> UserDraft {
    UserDraft {
        name: Spanned::bare(user.name.clone()),
        password: Spanned::bare(user.password.clone()),
        groups: user.groups.iter().cloned().map(Spanned::bare).collect(),
    }
}

fn target(target: &Target, check: Option<&HealthCheck>) -> TargetDraft {
    TargetDraft {
        name: unless(&target.name, &default_target_name(&target.address)),
        number: some(&target.number),
        address: Spanned::bare(target.address.clone()),
        weight: unless(&target.weight, &defaults::WEIGHT),
        zone: some(&target.zone),
        backup: unless(&target.backup, &false),
        disabled: unless(&target.disabled, &false),
        max_connections: unless(&target.max_connections, &defaults::MAX_CONNECTIONS),
        min_connections: unless(&target.min_connections, &0),
        max_queue: unless(&target.max_queue, &0),
        cookie: some(&target.cookie),
        stick: unless(&target.stick, &true),
        slow_start: unless(&target.slow_start, &Duration::ZERO),
        slow_start_when_new: unless(&target.slow_start_when_new, &true),
        shutdown_on_down: unless(&target.shutdown_on_down, &false),
        shutdown_backups_on_up: unless(&target.shutdown_backups_on_up, &false),
        tls: None,
        send_proxy: unless(&target.send_proxy, &TargetSendProxy::Group),
        track: None,
        agent: target.agent.as_ref().map(agent),
        check: check
            .filter(|_| target.track.is_none())
            .and_then(|group| target_check(target, group)),
        first_address: unless(&target.first_address, &defaults::FIRST_ADDRESS.to_vec()),
        resolve: target.resolve.lift(),
        redirect: some(&target.redirect),
        path_prefix: some(&target.path_prefix),
        source: some(&target.source),
        tcp_user_timeout: some(&target.tcp_user_timeout),
    }
}

fn agent(agent: &Agent) -> Spanned<AgentDraft> {
    Spanned::bare(AgentDraft {
        port: Some(Spanned::bare(agent.port)),
        address: agent.address.map(Spanned::bare),
        interval: unless(&agent.interval, &defaults::AGENT_INTERVAL),
        jitter_percent: unless(&agent.jitter_percent, &defaults::JITTER_PERCENT),
        timeout: unless(&agent.timeout, &agent.interval),
        send: unless(&agent.send, &String::new()),
    })
}

/// What a target's check has of its own; `None` where that is nothing.
fn target_check(target: &Target, group: &HealthCheck) -> Option<Spanned<TargetCheckDraft>> {
    let group = group.of_target();
    let Some(own) = &target.check else {
        return Some(Spanned::bare(TargetCheckDraft {
            enabled: Some(Spanned::bare(false)),
            ..TargetCheckDraft::default()
        }));
    };
    if *own == group {
        return None;
    }
    let moved = own.interval != group.interval;
    Some(Spanned::bare(TargetCheckDraft {
        enabled: None,
        interval: unless(&own.interval, &group.interval),
        fast_interval: (moved || own.fast_interval != group.fast_interval)
            .then_some(Spanned::bare(own.fast_interval)),
        unhealthy_interval: (moved || own.unhealthy_interval != group.unhealthy_interval)
            .then_some(Spanned::bare(own.unhealthy_interval)),
        timeout: unless(&own.timeout, &group.timeout),
        healthy_threshold: unless(&own.healthy_threshold, &group.healthy_threshold),
        unhealthy_threshold: unless(&own.unhealthy_threshold, &group.unhealthy_threshold),
        port: own
            .port
            .filter(|_| own.port != group.port)
            .map(Spanned::bare),
        address: own.address.map(Spanned::bare),
        tls: own.tls.map(Spanned::bare),
        send_proxy: unless(&own.send_proxy, &false),
        server_name: some(&own.server_name),
        alpn: unless(&own.alpn, &Vec::new()),
        observe: own.observe.map(Spanned::bare),
    }))
}

/// The name of what an index refers to; a name made of the index where it refers to nothing, which no snapshot
/// of compile has.
fn named(kind: Kind, index: u32, name: Option<&Name>) -> Spanned<Name> {
    Spanned::bare(name.cloned().unwrap_or_else(|| index_name(kind, index)))
}

impl Convert for Lift<'_> {
    type Before = Resolved;
    type After = Named;
    type Failure = Infallible;

    fn listener(&mut self, id: &ListenerId) -> Result<Spanned<Name>, Infallible> {
        let listener = self.snapshot.listeners.get(id.index());
        Ok(named(Kind::Listener, id.0, listener.map(|x| &x.name)))
    }

    fn group(&mut self, id: &GroupId) -> Result<Spanned<Name>, Infallible> {
        let group = self.snapshot.groups.get(id.index());
        Ok(named(Kind::Group, id.0, group.map(|x| &x.name)))
    }

    fn stick_table(&mut self, id: &StickTableId) -> Result<Spanned<Name>, Infallible> {
        let table = self.snapshot.stick_tables.get(id.index());
        Ok(named(Kind::StickTable, id.0, table.map(|x| &x.name)))
    }

    fn map(&mut self, id: &MapId) -> Result<Spanned<Name>, Infallible> {
        let map = self.snapshot.maps.get(id.index());
        Ok(named(Kind::Map, id.0, map.map(|x| &x.name)))
    }

    fn userlist(&mut self, id: &UserlistId) -> Result<Spanned<Name>, Infallible> {
        let userlist = self.snapshot.userlists.get(id.index());
        Ok(named(Kind::Userlist, id.0, userlist.map(|x| &x.name)))
    }

    fn pattern(&mut self, pattern: &Pattern) -> Result<Spanned<String>, Infallible> {
        Ok(Spanned::bare(pattern.as_str().to_owned()))
    }
}
