//! From a container's labels to configuration, as Traefik's Docker provider makes it: servers from ports, names and rules
//! where labels say none, routers linked to services.

use super::compose::{Container, Project};
use super::schema::{Entry, Section, Value};
use super::{Options, labels, schema};
use portway_model::diagnostic::{Code, Diagnostic, Diagnostics};
use portway_model::span::{Span, Spanned};

/// What the static configuration says of the provider.
#[derive(Debug, Clone)]
pub(super) struct Provider {
    pub(super) exposed_by_default: bool,
    pub(super) default_rule: Option<Spanned<String>>,
}

/// The rule of a router that has none.
const DEFAULT_RULE: &str = "Host(`{{ normalize .Name }}`)";

/// The configuration of one service's containers; `None` where they are not exposed.
pub(super) fn configuration(
    project: &Project,
    container: &Container,
    provider: &Provider,
    options: &Options,
    found: &mut Diagnostics,
) -> Option<Section> {
    let table = labels::tree(&container.labels, "traefik", found);
    let mut root = schema::read(&table, schema::Language::Labels, found);
    let enabled = root.flag("enable").map(|flag| flag.value);
    let exposed = enabled.unwrap_or(provider.exposed_by_default);
    let says_something = container.labels.iter().any(|label| {
        let key = label.key.to_ascii_lowercase();
        [
            "traefik.http.",
            "traefik.tcp.",
            "traefik.udp.",
            "traefik.tls.",
        ]
        .iter()
        .any(|start| key.starts_with(start))
    });
    if !exposed {
        if enabled.is_none() && says_something {
            let message = format!("the service `{}` is not exposed", container.service.value);
            let one = Diagnostic::warning(Code::Unused, container.service.span, message);
            let help = "`exposedByDefault` is off: add the label `traefik.enable=true`";
            found.push(one.help(help));
        }
        return None;
    }
    let is_traefik = container.traefik.is_some();
    if !says_something && (is_traefik || container.lowest_port().is_none()) {
        return None;
    }
    let mut building = Building {
        project,
        container,
        provider,
        options,
        found,
    };
    building.tcp(&mut root);
    building.http(&mut root);
    Some(root)
}

struct Building<'b> {
    project: &'b Project,
    container: &'b Container,
    provider: &'b Provider,
    options: &'b Options,
    found: &'b mut Diagnostics,
}

/// The section of this name; made where there is none.
fn opened<'s>(section: &'s mut Section, name: &str, span: Span) -> Option<&'s mut Section> {
    if section.get(name).is_none() {
        section.add(
            name.to_owned(),
            span,
            span,
            Value::Section(Section::new(span)),
        );
    }
    let entry = section
        .entries
        .iter_mut()
        .find(|entry| entry.name == name)?;
    match &mut entry.value {
        Value::Section(inner) => Some(inner),
        _ => None,
    }
}

fn count(root: &Section, path: &str) -> usize {
    root.named(path).count()
}

impl Building<'_> {
    /// What the compose service is called where a name is needed.
    fn default_name(&self) -> String {
        format!("{}_{}", self.container.service.value, self.project.name)
    }

    fn http(&mut self, root: &mut Section) {
        let other = count(root, "tcp.routers") + count(root, "tcp.services") > 0
            || count(root, "udp.routers") + count(root, "udp.services") > 0;
        let own = ["http.routers", "http.services", "http.middlewares"];
        if other && own.iter().all(|path| count(root, path) == 0) {
            return;
        }
        let span = self.container.service.span;
        let name = normalized(&self.default_name());
        let Some(http) = opened(root, "http", span) else {
            return;
        };
        if let Some(services) = opened(http, "services", span) {
            if services.entries.is_empty()
                && let Some(service) = opened(services, &name, span)
            {
                opened(service, "loadBalancer", span);
            }
            for entry in &mut services.entries {
                self.add_servers(entry, false);
            }
        }
        let services = names(http, "services");
        let only = match services.as_slice() {
            [only] => Some(only.clone()),
            _ => None,
        };
        let Some(routers) = opened(http, "routers", span) else {
            return;
        };
        if routers.entries.is_empty() && only.is_some() {
            opened(routers, &name, span);
        }
        routers
            .entries
            .retain_mut(|entry| self.complete_router(entry, only.as_deref(), true));
    }

    fn tcp(&mut self, root: &mut Section) {
        if count(root, "tcp.routers") + count(root, "tcp.services") == 0 {
            return;
        }
        let span = self.container.service.span;
        let name = normalized(&self.default_name());
        let Some(tcp) = opened(root, "tcp", span) else {
            return;
        };
        if let Some(services) = opened(tcp, "services", span) {
            if services.entries.is_empty()
                && let Some(service) = opened(services, &name, span)
            {
                opened(service, "loadBalancer", span);
            }
            for entry in &mut services.entries {
                self.add_servers(entry, true);
            }
        }
        let services = names(tcp, "services");
        let only = match services.as_slice() {
            [only] => Some(only.clone()),
            _ => None,
        };
        if let Some(routers) = opened(tcp, "routers", span) {
            routers
                .entries
                .retain_mut(|entry| self.complete_router(entry, only.as_deref(), false));
        }
    }

    /// Gives a router a service and a rule; false where it cannot have one.
    fn complete_router(
        &mut self,
        router: &mut Entry,
        only: Option<&str>,
        default_rule: bool,
    ) -> bool {
        let (key, name) = (router.key, router.name.clone());
        let Value::Section(section) = &mut router.value else {
            return false;
        };
        if section.some_text("service").is_none() {
            section.remove("service");
            match only {
                Some(only) => {
                    let value = Value::Text(only.to_owned());
                    section.add("service".to_owned(), key, key, value);
                }
                None => {
                    let message =
                        format!("the router `{name}` names no service, and there are several");
                    let one = Diagnostic::error(Code::Missing, key, message);
                    self.found
                        .push(one.help(format!("add `….routers.{name}.service=NAME`")));
                    return false;
                }
            }
        }
        if default_rule && section.some_text("rule").is_none() {
            section.remove("rule");
            match self.default_rule() {
                Some(rule) => section.add("rule".to_owned(), key, key, Value::Text(rule)),
                None => return false,
            }
        }
        true
    }

    fn default_rule(&mut self) -> Option<String> {
        let template = self.provider.default_rule.clone();
        let template = template.unwrap_or(Spanned::new(DEFAULT_RULE.to_owned(), Span::NONE));
        let service = self.default_name();
        let container = self.container.container_name.clone();
        let container = container
            .unwrap_or_else(|| format!("{}-{}-1", self.project.name, self.container.service.value));
        let mut rule = String::new();
        let mut rest = template.value.as_str();
        while let Some((before, after)) = rest.split_once("{{") {
            rule.push_str(before);
            let (inside, after) = after.split_once("}}")?;
            let words: Vec<&str> = inside.split_whitespace().collect();
            match words.as_slice() {
                [".Name"] => rule.push_str(&service),
                ["normalize", ".Name"] => rule.push_str(&normalized(&service)),
                [".ContainerName"] => rule.push_str(&container),
                ["normalize", ".ContainerName"] => rule.push_str(&normalized(&container)),
                _ => {
                    let message = format!("the template `{{{{{inside}}}}}` is not done yet");
                    let one = Diagnostic::error(Code::NotRun, template.span, message);
                    self.found
                        .push(one.help("give each router a `rule`, and take this out"));
                    return None;
                }
            }
            rest = after;
        }
        rule.push_str(rest);
        Some(rule)
    }

    /// The servers of a service: one for each container.
    fn add_servers(&mut self, service: &mut Entry, tcp: bool) {
        let Value::Section(section) = &mut service.value else {
            return;
        };
        let Some(balancer) = opened(section, "loadBalancer", service.key) else {
            return;
        };
        let label = balancer.remove("server");
        let label = label.and_then(|entry| match entry.value {
            Value::Section(section) => Some(section),
            _ => None,
        });
        let stated = label.unwrap_or(Section::new(service.key));
        if balancer.get("servers").is_some() {
            return;
        }
        let place = stated.text("port").map_or(service.key, |port| port.span);
        let mut servers = Vec::new();
        if let Some(url) = stated.some_text("url") {
            servers.push(server(&[("url", url.value.to_owned())], url.span));
        } else if let Some(port) = self.port(&stated) {
            let scheme = stated.some_text("scheme").map_or("http", |it| it.value);
            for replica in 0..self.container.replicas {
                for address in self.addresses(port, replica) {
                    let (key, value) = match tcp {
                        true => ("address", address),
                        false => ("url", format!("{scheme}://{address}")),
                    };
                    servers.push(server(&[(key, value)], place));
                }
            }
        }
        for server in &mut servers {
            for key in ["weight", "tls", "preservePath"] {
                server.entries.extend(stated.get(key).cloned());
            }
        }
        servers.dedup_by(|a, b| a == b);
        let value = Value::Objects(servers);
        balancer.add("servers".to_owned(), service.key, service.key, value);
        if !tcp {
            self.add_check(balancer, &stated);
        }
    }

    /// Docker's own check of the container becomes one of ours where labels have none.
    fn add_check(&self, balancer: &mut Section, stated: &Section) {
        let Some(check) = &self.container.check else {
            return;
        };
        if balancer.get("healthCheck").is_some() || self.silent_port(stated) != Some(check.port) {
            return;
        }
        let span = check.path.span;
        let mut section = Section::new(span);
        let mut say = |key: &str, value| section.add(key.to_owned(), span, span, value);
        say("path", Value::Text(check.path.value.clone()));
        let of = |text: &Option<String>| text.as_deref().and_then(schema::duration);
        let interval = of(&check.interval);
        // Docker waits for the end of a check before the next one; here the next one would be late.
        let timeout = match (of(&check.timeout), interval) {
            (Some(timeout), Some(interval)) => Some(timeout.min(interval)),
            (timeout, _) => timeout,
        };
        for (key, value) in [("interval", interval), ("timeout", timeout)] {
            if let Some(value) = value {
                say(key, Value::Duration(value));
            }
        }
        if let Some(retries) = check.retries {
            say("retries", Value::Number(i64::from(retries)));
        }
        balancer.add(
            "healthCheck".to_owned(),
            span,
            span,
            Value::Section(section),
        );
    }

    fn silent_port(&self, stated: &Section) -> Option<u16> {
        match stated.some_text("port") {
            Some(port) => port.value.parse().ok(),
            None => self.container.lowest_port(),
        }
    }

    /// A port that is given with an address of the container.
    fn given_port(&self) -> Option<u16> {
        let service = &self.container.service.value;
        let mut given = self.options.addresses.iter();
        let (_, address) = given.find(|(name, _)| name == service)?;
        address.rsplit_once(':')?.1.parse().ok()
    }

    /// The port of the container: what the label says, else the lowest that is exposed.
    fn port(&mut self, stated: &Section) -> Option<u16> {
        if let Some(port) = stated.some_text("port") {
            let parsed = port.value.parse().ok().filter(|port| *port > 0);
            if parsed.is_none() {
                let message = format!("`{}` is no port", port.value);
                self.found
                    .push(Diagnostic::error(Code::OutOfRange, port.span, message));
            }
            return parsed;
        }
        self.container.lowest_port().or_else(|| self.given_port())
    }

    /// `HOST:PORT` of the containers with this number.
    fn addresses(&self, port: u16, replica: u16) -> Vec<String> {
        let service = &self.container.service.value;
        let given = self
            .options
            .addresses
            .iter()
            .filter(|(name, address)| name == service && wrong_address(address).is_none());
        let given: Vec<&str> = given.map(|(_, address)| address.as_str()).collect();
        if !given.is_empty() {
            let all = given.iter().map(|address| with_port(address, port));
            return if replica == 0 {
                all.collect()
            } else {
                Vec::new()
            };
        }
        if let Some((ip, port)) = self.container.published(port, replica) {
            return vec![std::net::SocketAddr::new(ip, port).to_string()];
        }
        if self.container.replicas > 1 {
            let (project, number) = (&self.project.name, replica + 1);
            return vec![format!("{project}-{service}-{number}:{port}")];
        }
        let name = self.container.container_name.as_ref().unwrap_or(service);
        vec![format!("{name}:{port}")]
    }
}

/// What is wrong with an address of the command line.
pub(super) fn wrong_address(address: &str) -> Option<&'static str> {
    if address.parse::<std::net::IpAddr>().is_ok() {
        return None;
    }
    let Some((host, port)) = address.rsplit_once(':') else {
        return is_broken_ip(address).then_some("this is no address");
    };
    if port.parse::<u16>().ok().is_none_or(|port| port == 0) {
        return Some("a port is 1 to 65535");
    }
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_ip = bare.parse::<std::net::IpAddr>().is_ok();
    let broken = host.is_empty() || is_broken_ip(host) || (host.contains([':', '[']) && !is_ip);
    broken.then_some("this is no address")
}

/// Digits and dots that are no address: no host has such a name.
fn is_broken_ip(host: &str) -> bool {
    let looks_so = host
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    looks_so && host.parse::<std::net::IpAddr>().is_err()
}

fn with_port(address: &str, port: u16) -> String {
    if let Ok(ip) = address.parse::<std::net::IpAddr>() {
        return std::net::SocketAddr::new(ip, port).to_string();
    }
    match address.rsplit_once(':') {
        Some(_) => address.to_owned(),
        None => format!("{address}:{port}"),
    }
}

fn server(said: &[(&str, String)], span: Span) -> Section {
    let mut section = Section::new(span);
    for (key, value) in said {
        section.add((*key).to_owned(), span, span, Value::Text(value.clone()));
    }
    section
}

fn names(section: &Section, path: &str) -> Vec<String> {
    section
        .named(path)
        .map(|(entry, _)| entry.name.clone())
        .collect()
}

/// Every run of characters that are neither letters nor digits is one `-`.
pub(super) fn normalized(name: &str) -> String {
    let parts = name.split(|it: char| !it.is_alphanumeric());
    let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    parts.join("-")
}
