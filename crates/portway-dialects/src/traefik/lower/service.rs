//! Services: target groups of servers, and where a router's requests go.

use super::super::model::{Object, Provider};
use super::super::schema::Section;
use super::chain::Chain;
use super::middleware::text_answer;
use super::retry::Attempts;
use super::{Lowering, NO_LIMIT};
use portway_model::action::{Action, Phase, Rule, Weighted};
use portway_model::address::{Host, TargetAddress};
use portway_model::choice::{Algorithm, HashMethod, StickyCookie};
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::draft::{GroupDraft, TargetDraft, TargetTlsDraft, Verify};
use portway_model::expression::{Condition, Template};
use portway_model::name::Name;
use portway_model::passive::PassiveHealth;
use portway_model::settings::{Protocol, SameSite, ServerName};
use portway_model::span::{Span, Spanned};
use portway_model::stage::Named;
use std::time::Duration;

/// The time in which failures of servers count where nothing is said of it.
const FAILURE_WINDOW: Duration = Duration::from_secs(10);

/// A server of a service.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) https: bool,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) weight: Option<Spanned<i64>>,
    /// What stands before the paths of requests; empty: nothing.
    pub(super) path: String,
    pub(super) span: Span,
}

impl Lowering<'_> {
    /// Ends a router's chain: its requests go to this service.
    pub(super) fn forward(&mut self, name: Spanned<&str>, from: Provider, chain: &mut Chain) {
        if let Some(own) = name.value.strip_suffix("@internal") {
            self.internal(own, name, chain);
            return;
        }
        let model = self.model;
        let Some(service) = model.services.find(name, from, self.found) else {
            return;
        };
        self.serve_by(service, name, chain);
    }

    /// A service is of one type.
    pub(super) fn one_type(&mut self, service: &Object) {
        if let [first, second, ..] = service.section.entries.as_slice() {
            let message = format!("the service `{}` is of several types", service.name);
            let one = Diagnostic::error(Code::Conflict, second.key, message);
            let one = one.label(first.key, "already of this type");
            self.refused(one.help("give each a name of its own"));
        }
    }

    /// Services that Traefik has of its own.
    fn internal(&mut self, own: &str, name: Spanned<&str>, chain: &mut Chain) {
        match own {
            "noop" => {
                let answer = text_answer(418, "I'm a teapot");
                chain.always(Action::Respond(answer), name.span);
            }
            "ping" => chain.always(Action::Respond(text_answer(200, "OK")), name.span),
            _ => {
                let message = format!("the service `{}` is not done yet", name.value);
                let help = "Portway shows its state on its admin address, `portway run --admin`; take the router out";
                self.found
                    .push(Diagnostic::error(Code::NotRun, name.span, message).help(help));
            }
        }
    }

    /// Reports a service that is never seen to fail, where another is to take over.
    pub(super) fn unchecked(&mut self, service: &Object, said: Spanned<&str>) {
        // That of a container may be in the compose file.
        let of_file = service.provider == Provider::File;
        let balancer = service.section.section("loadBalancer");
        if of_file && balancer.is_some_and(|it| it.section("healthCheck").is_none()) {
            let message = format!(
                "the service `{}` has no `healthCheck`: the fallback is never asked",
                said.value
            );
            let one = Diagnostic::warning(Code::Unused, said.span, message);
            self.refused(one.help("give its `loadBalancer` a `healthCheck`"));
        }
    }

    /// The group of a service's servers, made where it is not there yet.
    pub(super) fn group(
        &mut self,
        service: &Object,
        balancer: &Section,
        attempts: Option<&Attempts>,
    ) -> Option<String> {
        let short = self.model.services.short_name(service);
        let name = short + &attempts.map_or_else(String::new, Attempts::suffix);
        if self
            .draft
            .groups
            .iter()
            .any(|group| group.name.value.as_str() == name)
        {
            return Some(name);
        }
        let servers = self.servers(service, balancer)?;
        let mut group = GroupDraft::new(Spanned::new(Name::new(name.as_str()), service.key));
        let https = servers.iter().any(|server| server.https);
        let protocol = if https {
            Protocol::Https
        } else {
            Protocol::Http
        };
        group.protocol = Some(Spanned::new(protocol, service.key));
        for server in &servers {
            group.targets.extend(self.target(server, https));
        }
        if let Some(attempts) = attempts {
            attempts.apply(&mut group, service.key);
        }
        group.algorithm = self.algorithm(balancer);
        group.stickiness = self.sticky(balancer, &name);
        group.health_check = self.health_check(balancer, https);
        group.passive_health = self.passive(balancer);
        let unlimited = Spanned::bare(NO_LIMIT);
        group.timeouts.response = Some(unlimited);
        group.timeouts.tunnel = Some(unlimited);
        self.transport(service, balancer, &servers, &mut group);
        self.pass_host(balancer, &servers, &mut group);
        self.draft.groups.push(group);
        Some(name)
    }

    fn servers(&mut self, service: &Object, balancer: &Section) -> Option<Vec<Server>> {
        if let Some(entry) = balancer.get("server") {
            let one = Diagnostic::error(Code::Unknown, entry.key, "`server` stands in labels only");
            self.found
                .push(one.help("write `servers: [{ url: \"http://10.0.0.1:80\" }]`"));
        }
        let stated = balancer.objects("servers");
        if stated.is_empty() {
            let message = format!("the service `{}` has no servers", service.name);
            let one = Diagnostic::error(Code::NoTargets, service.key, message);
            self.found.push(match service.provider {
                Provider::File => one
                    .help("add `servers: [{ url: \"http://10.0.0.1:80\" }]` to its `loadBalancer`"),
                Provider::Docker => one.help(
                    "say the port of the container: `expose: [80]`, `ports:`, the label \
                     `traefik.http.services.NAME.loadbalancer.server.port=80`, or `portway run --address SERVICE=ADDRESS:PORT`",
                ),
            });
            return None;
        }
        let servers = stated.iter().filter_map(|server| {
            let Some(url) = server.some_text("url") else {
                self.error(Code::Missing, server.span, "a server without `url`");
                return None;
            };
            self.server(url, server.number("weight"), server.is_on("preservePath"))
        });
        let servers: Vec<Server> = servers.collect();
        (!servers.is_empty()).then_some(servers)
    }

    pub(super) fn server(
        &mut self,
        url: Spanned<&str>,
        weight: Option<Spanned<i64>>,
        preserve_path: bool,
    ) -> Option<Server> {
        let wrong = |this: &mut Self, message: String| {
            let one = Diagnostic::error(Code::OutOfRange, url.span, message);
            this.found
                .push(one.help("such as `http://10.0.0.1:8080` or `https://app.example`"));
            None
        };
        let Some((scheme, rest)) = url.value.split_once("://") else {
            return wrong(self, format!("`{}` is no URL", url.value));
        };
        let https = match scheme.to_ascii_lowercase().as_str() {
            "http" | "ws" => false,
            "https" | "wss" => true,
            "h2c" => {
                let message = "servers that speak HTTP/2 in clear (`h2c`) are not done yet";
                self.error(Code::NotRun, url.span, message);
                return None;
            }
            other => return wrong(self, format!("`{other}` is no scheme of a server")),
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let more = rest.get(authority.len()..).unwrap_or_default();
        let path = match preserve_path {
            true => more.split(['?', '#']).next().unwrap_or_default(),
            false => "",
        };
        if !matches!(more, "" | "/") && more != path || authority.contains('@') {
            let message = match preserve_path {
                true => "of a server's URL, scheme, host, port and path count",
                false => "of a server's URL, scheme, host and port count",
            };
            let one = Diagnostic::warning(Code::Unused, url.span, message);
            self.refused(one.help("with `preservePath` its path is put before those of requests"));
        }
        let authority = authority.rsplit('@').next().unwrap_or_default();
        let default = if https { 443 } else { 80 };
        let Some((host, port)) = host_and_port(authority, Some(default)) else {
            return wrong(self, format!("`{authority}` is no host with a port"));
        };
        Some(Server {
            https,
            host,
            port,
            weight,
            path: path.trim_end_matches('/').to_owned(),
            span: url.span,
        })
    }

    pub(super) fn target(&mut self, server: &Server, group_has_tls: bool) -> Option<TargetDraft> {
        let address = TargetAddress::Tcp {
            host: host(&server.host),
            port: server.port,
        };
        let mut target = TargetDraft::new(Spanned::new(address, server.span));
        if let Some(weight) = server.weight {
            match u16::try_from(weight.value) {
                Ok(weight_) => target.weight = Some(Spanned::new(weight_, weight.span)),
                Err(_) => self.error(Code::OutOfRange, weight.span, "a weight is 0 to 65535"),
            }
        }
        if !server.path.is_empty() {
            target.path_prefix = Some(Spanned::new(server.path.clone(), server.span));
        }
        if group_has_tls && !server.https {
            target.tls = Some(Spanned::new(TargetTlsDraft::Group(false), server.span));
        }
        Some(target)
    }

    fn algorithm(&mut self, balancer: &Section) -> Option<Spanned<Algorithm<Named>>> {
        let strategy = balancer.some_text("strategy")?;
        let algorithm = match strategy.value.to_ascii_lowercase().as_str() {
            "wrr" => Algorithm::RoundRobin,
            "p2c" => Algorithm::Random { draws: 2 },
            "hrw" => Algorithm::SourceHash(HashMethod::Consistent),
            "leasttime" => Algorithm::LeastTime,
            other => {
                let one = Diagnostic::error(
                    Code::OutOfRange,
                    strategy.span,
                    format!("`{other}` is no strategy"),
                );
                self.found
                    .push(one.help("one of: wrr, p2c, hrw, leasttime"));
                return None;
            }
        };
        Some(Spanned::new(algorithm, strategy.span))
    }

    pub(super) fn sticky(
        &mut self,
        balancer: &Section,
        name: &str,
    ) -> Option<Spanned<StickyCookie>> {
        let sticky = balancer.section("sticky")?;
        let Some(entry) = sticky.get("cookie") else {
            let message = "`sticky` without `cookie` keeps nobody";
            let one = Diagnostic::warning(Code::Unused, sticky.span, message);
            self.refused(one.help("add `cookie: {}`, in labels `….sticky.cookie=true`"));
            return None;
        };
        let section = balancer.section("sticky.cookie")?;
        let own = section.some_text("name").map(|it| it.value.to_owned());
        let mut cookie = StickyCookie::new(own.unwrap_or_else(|| cookie_name(name)));
        cookie.http_only = section.is_on("httpOnly");
        cookie.secure = section.is_on("secure");
        if let Some(path) = section.some_text("path") {
            path.value.clone_into(&mut cookie.path);
        }
        cookie
            .domains
            .extend(section.some_text("domain").map(|it| it.value.to_owned()));
        let age = section
            .number("maxAge")
            .and_then(|it| u64::try_from(it.value).ok());
        if let Some(age) = section.number("maxAge").filter(|it| it.value < 0) {
            let message = "a cookie that ends at once keeps nobody";
            let one = Diagnostic::error(Code::OutOfRange, age.span, message);
            self.refused(one.help("0 keeps it until the browser ends; or take `sticky` out"));
        }
        cookie.max_age = age.filter(|age| *age > 0).map(Duration::from_secs);
        if let Some(said) = section.some_text("sameSite") {
            cookie.same_site = match said.value.to_ascii_lowercase().as_str() {
                "none" => Some(SameSite::None),
                "lax" => Some(SameSite::Lax),
                "strict" => Some(SameSite::Strict),
                other => {
                    let message = format!("`{other}` is no `sameSite`");
                    let one = Diagnostic::error(Code::OutOfRange, said.span, message);
                    self.found.push(one.help("one of: none, lax, strict"));
                    None
                }
            };
        }
        Some(Spanned::new(cookie, entry.key))
    }

    /// How servers are spoken to.
    fn transport(
        &mut self,
        service: &Object,
        balancer: &Section,
        servers: &[Server],
        group: &mut GroupDraft,
    ) {
        let model = self.model;
        let named = match balancer.some_text("serversTransport") {
            Some(name) => model.transports.find(name, service.provider, self.found),
            None => None,
        };
        let settings = self.settings;
        let section = named.map(|it| &it.section).or(settings.transport.as_ref());
        if let Some(section) = section {
            let timeouts = section.section("forwardingTimeouts");
            let said = |name: &str| {
                timeouts
                    .and_then(|it| it.duration(name))
                    .filter(|it| !it.value.is_zero())
            };
            group.timeouts.connect = said("dialTimeout");
            group.timeouts.response = said("responseHeaderTimeout").or(group.timeouts.response);
            group.timeouts.idle = said("idleConnTimeout");
            let idle = section.number("maxIdleConnsPerHost");
            if let Some(never) = idle.filter(|it| it.value < 0) {
                group.close = Some(Spanned::new(true, never.span));
            }
            let idle = idle.filter(|it| it.value > 0);
            group.pool_size =
                idle.map(|it| Spanned::new(u32::try_from(it.value).unwrap_or(u32::MAX), it.span));
        }
        let https = servers.iter().any(|server| server.https);
        if https {
            self.upstream_tls(section, servers, group);
        }
    }

    pub(super) fn upstream_tls(
        &mut self,
        section: Option<&Section>,
        servers: &[Server],
        group: &mut GroupDraft,
    ) {
        if let Some(section) = section {
            if section.is_on("insecureSkipVerify") {
                group.tls.verify = Some(Spanned::new(Verify::Off, section.span));
            } else if let Some(first) = section.list("rootCAs").first() {
                let files = self.files(section.list("rootCAs"));
                let files = files.into_iter().map(|it| it.value).collect();
                group.tls.verify = Some(Spanned::new(Verify::Ca(files), first.span));
            }
            group.tls.certificate = self.transport_certificate(section);
            self.versions(section, &mut group.tls.policy);
        }
        let name = section.and_then(|it| it.some_text("serverName"));
        group.tls.server_name = match name {
            Some(name) => Some(name.map(|it| ServerName::Fixed(it.to_owned()))),
            None => match servers {
                [first, rest @ ..] if rest.iter().all(|it| it.host == first.host) => Some(
                    Spanned::new(ServerName::Fixed(first.host.clone()), first.span),
                ),
                _ if group
                    .tls
                    .verify
                    .as_ref()
                    .is_some_and(|it| it.value == Verify::Off) =>
                {
                    Some(Spanned::bare(ServerName::None))
                }
                _ => {
                    self.own_names(servers, group);
                    None
                }
            },
        };
    }

    /// Servers are left out because of what they serve: as long as the time in which their failures count, as Traefik does.
    fn passive(&mut self, balancer: &Section) -> Option<Spanned<PassiveHealth>> {
        let section = balancer.section("passiveHealthCheck")?;
        let said = section.duration("failureWindow");
        let window = said.map_or(FAILURE_WINDOW, |it| it.value);
        if let Some(said) = said.filter(|it| it.value.is_zero()) {
            let message = "`failureWindow` is zero";
            self.error(Code::OutOfRange, said.span, message);
        }
        let passive = PassiveHealth {
            failures: self
                .amount(section, "maxFailedAttempts")
                .unwrap_or(1)
                .max(1),
            within: window,
            eject_time: window,
            max_eject_time: window,
            max_ejected_percent: 100,
            ..PassiveHealth::default()
        };
        Some(Spanned::new(passive, section.span))
    }

    /// Servers of several hosts have certificates of their own names.
    fn own_names(&mut self, servers: &[Server], group: &mut GroupDraft) {
        for (target, server) in group.targets.iter_mut().zip(servers) {
            if server.https {
                let mut own = group.tls.clone();
                let name = ServerName::Fixed(server.host.clone());
                own.server_name = Some(Spanned::new(name, server.span));
                let own = TargetTlsDraft::Own(Box::new(own));
                target.tls = Some(Spanned::new(own, server.span));
            }
        }
    }

    /// `passHostHeader: false`: servers are asked by their own name.
    fn pass_host(&mut self, balancer: &Section, servers: &[Server], group: &mut GroupDraft) {
        let Some(said) = balancer.flag("passHostHeader").filter(|it| !it.value) else {
            return;
        };
        let authority = |server: &Server| {
            let host = match host(&server.host) {
                Host::Ip(std::net::IpAddr::V6(ip)) => format!("[{ip}]"),
                _ => server.host.clone(),
            };
            match (server.https, server.port) {
                (true, 443) | (false, 80) => host,
                (_, port) => format!("{host}:{port}"),
            }
        };
        let mut hosts: Vec<String> = servers.iter().map(authority).collect();
        hosts.dedup();
        let [only] = hosts.as_slice() else {
            let message = "`passHostHeader: false` with servers of several hosts is not done yet";
            self.error(Code::NotRun, said.span, message);
            return;
        };
        let set = Action::SetHeader {
            name: "Host".to_owned(),
            value: Template::text(only.as_str()),
        };
        group.rules.push(always(set, said.span));
    }
}

/// Done with every request to a group.
fn always(action: Action<Named>, at: Span) -> Rule<Named> {
    super::chain::rule(Phase::Request, Condition::All(Vec::new()), vec![action], at)
}

/// The value of a `Set-Cookie` header.
pub(super) fn set_cookie(cookie: &StickyCookie, value: &str) -> String {
    let mut text = format!("{}={value}; Path={}", cookie.name, cookie.path);
    for domain in &cookie.domains {
        text.push_str(&format!("; Domain={domain}"));
    }
    if let Some(age) = cookie.max_age {
        text.push_str(&format!("; Max-Age={}", age.as_secs()));
    }
    if cookie.http_only {
        text.push_str("; HttpOnly");
    }
    if cookie.secure {
        text.push_str("; Secure");
    }
    let same_site = cookie.same_site.map(|it| match it {
        SameSite::None => "None",
        SameSite::Lax => "Lax",
        SameSite::Strict => "Strict",
    });
    if let Some(same_site) = same_site {
        text.push_str(&format!("; SameSite={same_site}"));
    }
    text
}

/// Shares as whole numbers.
pub(super) fn weighted(groups: Vec<(String, f64)>, at: Span) -> Vec<Weighted<Named>> {
    let one = groups.len() == 1;
    // The smallest share above 0 is a whole number then, so that simple ones stay as they were said.
    let least = groups
        .iter()
        .map(|(_, share)| *share)
        .filter(|it| *it > 0.0);
    let least = least.fold(f64::INFINITY, f64::min);
    let factor = (1..=1000).map(f64::from).find(|factor| {
        groups.iter().all(|(_, share)| {
            let scaled = share / least * factor;
            (scaled - scaled.round()).abs() < 1e-6
        })
    });
    let factor = factor.unwrap_or(1000.0);
    let each = groups.into_iter().map(|(name, share)| {
        let weight = (share / least * factor)
            .round()
            .clamp(0.0, f64::from(u16::MAX));
        let weight = if one { 1 } else { weight as u16 };
        Weighted::new(Spanned::new(Name::new(name), at), weight)
    });
    each.collect()
}

/// `HOST:PORT`; the port may be left out where there is a default.
pub(super) fn host_and_port(text: &str, default: Option<u16>) -> Option<(String, u16)> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        match after {
            "" => (host, None),
            after => (host, Some(after.strip_prefix(':')?)),
        }
    } else {
        match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    let port = match port {
        Some(port) => port.parse().ok().filter(|port| *port > 0)?,
        None => default?,
    };
    let good = |it: char| it.is_ascii_alphanumeric() || ".-_:".contains(it);
    (!host.is_empty() && host.chars().all(good)).then(|| (host.to_owned(), port))
}

pub(super) fn host(text: &str) -> Host {
    match text.parse() {
        Ok(ip) => Host::Ip(ip),
        Err(_) => Host::Name(text.to_owned()),
    }
}

/// A name for a cookie that is the same at every start.
fn cookie_name(service: &str) -> String {
    // FNV-1a.
    let hash = service.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    format!("_{:05x}", hash & 0xf_ffff)
}
