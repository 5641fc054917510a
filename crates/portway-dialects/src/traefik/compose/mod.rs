//! A compose file: services with labels, where their servers are, and what a Traefik among them is told.
//!
//! Decides which containers there are and what they say; `docker` makes configuration of it, as Traefik's Docker provider
//! does. What else a compose file says is Docker's business and not looked at.

mod keys;
mod ports;
mod substitute;

use super::File;
use super::labels::Label;
use crate::inputs::Inputs;
use crate::tree::{Content, Item, Table};
use ports::{HostPorts, Port, range};
use portway_model::diagnostic::{Code, Diagnostic, Diagnostics};
use portway_model::span::{Span, Spanned};
use std::collections::HashMap;
use std::net::IpAddr;
use substitute::substitute;

/// A service, which is one container or several that are alike.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) service: Spanned<String>,
    pub(super) container_name: Option<String>,
    pub(super) labels: Vec<Label>,
    pub(super) replicas: u16,
    /// It has the network of the host, and its ports.
    on_host: bool,
    ports: Vec<Port>,
    expose: Vec<u16>,
    pub(super) check: Option<Check>,
    /// A Traefik, with its flags.
    pub(super) traefik: Option<Traefik>,
}

/// What a Traefik in the compose file is told.
#[derive(Debug, Default)]
pub(super) struct Traefik {
    pub(super) flags: Vec<Label>,
    /// Folders and files of the host by where the container has them.
    volumes: Vec<(String, String)>,
    /// Its version is 2 or less, by its image.
    pub(super) old: bool,
}

/// Docker's own check of a container's health, where it is a request that we can make too.
#[derive(Debug, Clone)]
pub(super) struct Check {
    pub(super) port: u16,
    pub(super) path: Spanned<String>,
    pub(super) interval: Option<String>,
    pub(super) timeout: Option<String>,
    pub(super) retries: Option<u16>,
}

/// All that is of interest in a compose file.
#[derive(Debug)]
pub(super) struct Project {
    pub(super) name: String,
    pub(super) containers: Vec<Container>,
}

impl Traefik {
    /// The path on the host of one in the container; `None` where no volume has it.
    pub(super) fn on_host(&self, path: &str) -> Option<String> {
        let mut found = self.volumes.iter().filter_map(|(host, inside)| {
            let rest = path.strip_prefix(inside.trim_end_matches('/'))?;
            let whole = rest.is_empty() || rest.starts_with('/');
            whole.then(|| format!("{}{rest}", host.trim_end_matches('/')))
        });
        found.next()
    }

    /// The static file that it reads where it has no flags.
    pub(super) fn static_file(&self) -> Option<String> {
        let names = ["traefik.yml", "traefik.yaml", "traefik.toml"];
        let mut paths = names.iter().map(|name| format!("/etc/traefik/{name}"));
        let by_name = |(_, inside): &&(String, String)| paths.any(|path| path == *inside);
        let mounted = self.volumes.iter().find(by_name);
        mounted
            .filter(|_| self.flags.is_empty())
            .map(|(host, _)| host.clone())
    }
}

impl Container {
    /// The lowest port that is exposed.
    pub(super) fn lowest_port(&self) -> Option<u16> {
        let published = self.ports.iter().map(|port| port.first);
        published.chain(self.expose.iter().copied()).min()
    }

    /// Where the host publishes `port` of one of the containers; `0.0.0.0` is this machine.
    pub(super) fn published(&self, port: u16, replica: u16) -> Option<(IpAddr, u16)> {
        let loopback = IpAddr::from([127, 0, 0, 1]);
        if self.on_host {
            return Some((loopback, port));
        }
        let found = self.ports.iter().find_map(|it| it.published(port, replica));
        found.map(|(ip, port)| {
            (
                ip.filter(|ip| !ip.is_unspecified()).unwrap_or(loopback),
                port,
            )
        })
    }
}

/// Reads a compose file.
pub(super) fn read(
    file: &File<'_>,
    table: &Table,
    inputs: &Inputs<'_>,
    found: &mut Diagnostics,
) -> Project {
    let mut reading = Reading {
        dotenv: dotenv(file, inputs, found),
        inputs,
        found,
    };
    reading.project(file, table)
}

/// What stands in the file `.env` beside a compose file. Values may refer to the environment and to earlier lines; in
/// single quotes they stand for themselves.
fn dotenv(
    file: &File<'_>,
    inputs: &Inputs<'_>,
    found: &mut Diagnostics,
) -> HashMap<String, String> {
    let path = super::beside(file.name, ".env");
    let bytes = (inputs.read)(&path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let mut pairs: HashMap<String, String> = HashMap::new();
    let lines = text.lines().map(str::trim).zip(1..);
    for (line, number) in lines.filter(|(line, _)| !line.is_empty() && !line.starts_with('#')) {
        let line = line.strip_prefix("export ").unwrap_or(line);
        let Some((name, value)) = line.split_once('=') else {
            let message = format!("line {number} of `{path}` is no `NAME=VALUE`");
            let place = Span::new(file.id, 0..0);
            found.push(Diagnostic::error(Code::Syntax, place, message));
            continue;
        };
        let value = value.trim();
        let quoted = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
        let value = match (quoted('\''), quoted('"')) {
            (Some(plain), _) => plain.to_owned(),
            (None, inner) => {
                let known =
                    |name: &str| (inputs.environment)(name).or_else(|| pairs.get(name).cloned());
                // A comment stands behind a blank.
                let bare = || value.split(" #").next().unwrap_or_default().trim_end();
                substitute(inner.unwrap_or_else(bare), &known).text
            }
        };
        pairs.insert(name.trim().to_owned(), value);
    }
    pairs
}

struct Reading<'r, 'i> {
    dotenv: HashMap<String, String>,
    inputs: &'r Inputs<'i>,
    found: &'r mut Diagnostics,
}

impl Reading<'_, '_> {
    fn project(&mut self, file: &File<'_>, table: &Table) -> Project {
        keys::check(table, keys::TOP, self.found);
        let named = table.get("name").and_then(|entry| self.text(&entry.item));
        let environment = self.variable("COMPOSE_PROJECT_NAME");
        let folder = || folder_name(file.name, self.inputs);
        let name = named
            .map(|it| it.value)
            .or(environment)
            .unwrap_or_else(folder);
        for key in ["include", "extends"] {
            if let Some(entry) = table.get(key) {
                self.not_yet(entry.key_span, key);
            }
        }
        let mut containers = Vec::new();
        let services = table.get("services");
        match services.map(|entry| &entry.item.content) {
            Some(Content::Table(services)) => {
                for service in services.entries() {
                    let key = Spanned::new(service.key.clone(), service.key_span);
                    match &service.item.content {
                        Content::Table(table) => containers.extend(self.service(key, table)),
                        Content::Broken => {}
                        _ => keys::wrong(
                            &service.item,
                            "a service",
                            "such as `image: …`",
                            self.found,
                        ),
                    }
                }
            }
            Some(Content::Broken) | None => {}
            Some(_) => {
                if let Some(entry) = services {
                    let help = "services stand by their names: `services: { app: { image: … } }`";
                    keys::wrong(&entry.item, "a table", help, self.found);
                }
            }
        }
        Project {
            name: project_name(&name),
            containers,
        }
    }

    /// `None` for a service that is not started.
    fn service(&mut self, service: Spanned<String>, table: &Table) -> Option<Container> {
        keys::check(table, keys::SERVICE, self.found);
        if let Some(entry) = table.get("profiles") {
            let asked = self.variable("COMPOSE_PROFILES").unwrap_or_default();
            let profiles = self.texts(&entry.item);
            let starts = |it: &Spanned<String>| asked.split(',').any(|asked| asked == it.value);
            if !profiles.is_empty() && !profiles.iter().any(starts) {
                if table.get("labels").is_some() {
                    let names = profiles.iter().map(|it| it.value.as_str());
                    let names: Vec<&str> = names.collect();
                    let message = format!(
                        "the service `{}` is left out: its profile `{}` is not asked for",
                        service.value,
                        names.join("`, `")
                    );
                    let one = Diagnostic::warning(Code::Unused, entry.key_span, message);
                    self.found.push(
                        one.help("profiles are asked for by the variable `COMPOSE_PROFILES`"),
                    );
                }
                return None;
            }
        }
        if let Some(entry) = table.get("extends") {
            self.not_yet(entry.key_span, "extends");
        }
        let traefik = self.traefik(table);
        let mut labels = Vec::new();
        if let Some(entry) = table.get("labels") {
            self.labels(&entry.item, &mut labels);
        }
        let deploy = table
            .get("deploy")
            .and_then(|entry| match &entry.item.content {
                Content::Table(deploy) => Some(deploy),
                _ => None,
            });
        if let Some(deploy) = deploy {
            keys::check(deploy, keys::DEPLOY, self.found);
        }
        if let Some(entry) = deploy.and_then(|deploy| deploy.get("labels")) {
            self.labels(&entry.item, &mut labels);
        }
        let replicas = deploy.and_then(|deploy| deploy.get("replicas"));
        let replicas = replicas.or_else(|| table.get("scale"));
        let replicas = replicas.and_then(|entry| self.replicas(&entry.item));
        let is_told = labels.iter().any(|label| !label.key.is_empty());
        let network = table.get("network_mode");
        let network = network.and_then(|entry| self.text(&entry.item));
        if let Some(mode) = network
            .as_ref()
            .filter(|it| is_told && it.value.contains(':'))
        {
            let message = format!("`network_mode: {}` is not done yet", mode.value);
            let one = Diagnostic::error(Code::NotRun, mode.span, message);
            self.found
                .push(one.help("give the labels to the service whose network it has"));
        }
        let container_name = table.get("container_name");
        let container_name = container_name.and_then(|entry| self.text(&entry.item));
        Some(Container {
            container_name: container_name.map(|it| it.value),
            labels,
            replicas: replicas.unwrap_or(1),
            on_host: network.is_some_and(|it| it.value == "host"),
            ports: table
                .get("ports")
                .map(|entry| self.ports(&entry.item))
                .unwrap_or_default(),
            expose: table
                .get("expose")
                .map(|entry| self.expose(&entry.item))
                .unwrap_or_default(),
            check: table
                .get("healthcheck")
                .and_then(|entry| self.check(&entry.item, is_told)),
            traefik,
            service,
        })
    }

    fn replicas(&mut self, item: &Item) -> Option<u16> {
        let text = self.text(item)?;
        let replicas = text.value.parse().ok();
        if replicas.is_none() {
            let message = format!("`{}` is no number of replicas", text.value);
            self.found
                .push(Diagnostic::error(Code::WrongType, item.span, message));
        }
        replicas
    }

    fn not_yet(&mut self, span: Span, what: &str) {
        let message = format!("`{what}` of compose files is not done yet");
        let help = "`docker compose config` prints one file of all";
        self.found
            .push(Diagnostic::error(Code::NotRun, span, message).help(help));
    }

    fn variable(&self, name: &str) -> Option<String> {
        (self.inputs.environment)(name).or_else(|| self.dotenv.get(name).cloned())
    }

    /// A text with its variables.
    fn text(&mut self, item: &Item) -> Option<Spanned<String>> {
        let text = match &item.content {
            Content::Text { text, .. } | Content::Other { text, .. } => text.clone(),
            Content::Integer(number) => number.to_string(),
            Content::Boolean(value) => value.to_string(),
            _ => return None,
        };
        let value = |name: &str| self.variable(name);
        let out = substitute(&text, &value);
        for message in out.errors {
            self.found
                .push(Diagnostic::error(Code::Missing, item.span, message));
        }
        for name in out.unset {
            let message = format!("the variable `{name}` has no value");
            let one = Diagnostic::warning(Code::Missing, item.span, message);
            self.found
                .push(one.help("it stands for nothing; a `$` that is no variable is written `$$`"));
        }
        Some(Spanned::new(out.text, item.span))
    }

    fn texts(&mut self, item: &Item) -> Vec<Spanned<String>> {
        match &item.content {
            Content::List(items) => items.iter().filter_map(|item| self.text(item)).collect(),
            _ => self.text(item).into_iter().collect(),
        }
    }

    fn labels(&mut self, item: &Item, labels: &mut Vec<Label>) {
        let mut all = Vec::new();
        match &item.content {
            Content::List(items) => {
                for item in items {
                    match &item.content {
                        Content::Table(_) | Content::List(_) => {
                            let help = "such as `- traefik.enable=true`; what has `: ` in it stands in quotes";
                            keys::wrong(item, "a text", help, self.found);
                        }
                        _ if is_of_interest(item) => all.extend(self.label(item)),
                        _ => {}
                    }
                }
            }
            Content::Table(table) => {
                let entries = table.entries().iter();
                for entry in entries.filter(|entry| begins_with_traefik(&entry.key)) {
                    let value = self.substituted(&entry.item);
                    all.push(Label {
                        key: entry.key.clone(),
                        key_span: entry.key_span,
                        exact: key_is_exact(&entry.key, entry.key_span),
                        value,
                    });
                }
            }
            Content::Null | Content::Broken | Content::Tagged { .. } => {}
            _ => {
                let help = "such as `labels: [traefik.enable=true]`";
                keys::wrong(item, "a list or a table of labels", help, self.found);
            }
        }
        // The same may be said to Compose and to Swarm.
        let said = |label: &Label, other: &Label| {
            let text = |item: &Item| match &item.content {
                Content::Text { text, .. } => text.clone(),
                other => format!("{other:?}"),
            };
            label.key.eq_ignore_ascii_case(&other.key) && text(&label.value) == text(&other.value)
        };
        let before = labels.len();
        for label in all {
            let earlier = labels.get(..before).unwrap_or_default();
            if !earlier.iter().any(|other| said(&label, other)) {
                labels.push(label);
            }
        }
    }

    /// A label of the form `key=value`.
    fn label(&mut self, item: &Item) -> Option<Label> {
        let Content::Text { text, exact } = &item.content else {
            return None;
        };
        let mut label = Label::of_text(text, item.span, *exact, "");
        label.value = self.substituted(&label.value);
        if label.key.contains('$') {
            let key = Content::Text {
                text: label.key.clone(),
                exact: None,
            };
            let key = Item {
                content: key,
                span: label.key_span,
            };
            label.key = self.text(&key)?.value;
            label.exact = false;
        }
        Some(label)
    }

    fn substituted(&mut self, item: &Item) -> Item {
        let Content::Text { text, exact } = &item.content else {
            return item.clone();
        };
        let Some(new) = self.text(item) else {
            return item.clone();
        };
        Item {
            content: Content::Text {
                exact: exact.filter(|_| new.value == *text),
                text: new.value,
            },
            span: item.span,
        }
    }

    fn ports(&mut self, item: &Item) -> Vec<Port> {
        let Content::List(items) = &item.content else {
            return Vec::new();
        };
        let mut ports = Vec::new();
        for item in items {
            if let Content::Table(table) = &item.content {
                ports.extend(self.long_port(table));
            } else if let Some(text) = self.text(item) {
                match Port::of_text(&text.value) {
                    Some(port) => ports.extend(port),
                    None => self.no_port(item.span, &text.value),
                }
            }
        }
        ports
    }

    fn no_port(&mut self, span: Span, text: &str) {
        let message = format!("`{text}` is no port");
        let help = "such as `8080:80`, `127.0.0.1:8080:80` or `9021-9023:9021`";
        self.found
            .push(Diagnostic::error(Code::Syntax, span, message).help(help));
    }

    fn long_port(&mut self, table: &Table) -> Option<Port> {
        keys::check(table, keys::PORT, self.found);
        let mut said = |key: &str| {
            let entry = table.get(key)?;
            self.text(&entry.item)
        };
        let (target, published) = (said("target")?, said("published"));
        let (ip, protocol) = (said("host_ip"), said("protocol"));
        if protocol.is_some_and(|protocol| protocol.value != "tcp") {
            return None;
        }
        let Some((first, last)) = range(&target.value) else {
            self.no_port(target.span, &target.value);
            return None;
        };
        let host = published.and_then(|published| {
            let (first, last) = range(&published.value)?;
            let ip = ip.and_then(|ip| ip.value.parse().ok());
            Some(HostPorts { ip, first, last })
        });
        Some(Port { first, last, host })
    }

    fn expose(&mut self, item: &Item) -> Vec<u16> {
        let texts = self.texts(item);
        let ports = texts.iter().filter_map(|text| {
            let port = text.value.split('/').next()?;
            Some(range(port)?.0)
        });
        ports.collect()
    }

    /// A check that asks the container itself for a page, by curl or wget.
    fn check(&mut self, item: &Item, is_told: bool) -> Option<Check> {
        let Content::Table(table) = &item.content else {
            return None;
        };
        keys::check(table, keys::HEALTH_CHECK, self.found);
        if matches!(
            table.get("disable").map(|it| &it.item.content),
            Some(Content::Boolean(true))
        ) {
            return None;
        }
        let test = table.get("test")?;
        let words = self.texts(&test.item);
        let command: Vec<&str> = words
            .iter()
            .flat_map(|it| it.value.split_whitespace())
            .collect();
        if command.first() == Some(&"NONE") {
            return None;
        }
        let asks = |tool: &&str| matches!(*tool, "curl" | "wget");
        let url = command.iter().find_map(|word| {
            let url = word.trim_matches(['"', '\'']).strip_prefix("http://")?;
            let (host, path) = url.split_at(url.find('/').unwrap_or(url.len()));
            let (host, port) = host.split_once(':').unwrap_or((host, "80"));
            let here = matches!(host, "localhost" | "127.0.0.1" | "0.0.0.0");
            Some((here.then(|| port.parse::<u16>().ok()).flatten()?, path))
        });
        let url = url.filter(|_| command.iter().any(asks));
        if url.is_none() && is_told {
            let message = "this health check cannot be made from outside of the container";
            let one = Diagnostic::warning(Code::NotRun, test.item.span, message);
            self.found.push(one.help(
                "its servers are taken for healthy: say `….loadbalancer.healthcheck.path=/…` in its labels",
            ));
        }
        let (port, path) = url?;
        let path = if path.is_empty() { "/" } else { path };
        let path = Spanned::new(path.to_owned(), test.item.span);
        let mut said = |key: &str| {
            let entry = table.get(key)?;
            self.text(&entry.item).map(|it| it.value)
        };
        Some(Check {
            port,
            path,
            interval: said("interval"),
            timeout: said("timeout"),
            retries: said("retries").and_then(|it| it.parse().ok()),
        })
    }

    /// The flags of a Traefik; `None` where the service is another program.
    fn traefik(&mut self, table: &Table) -> Option<Traefik> {
        let image = table.get("image").and_then(|entry| self.text(&entry.item));
        let image = image.map(|it| it.value).unwrap_or_default();
        let (name, tag) = image.rsplit_once(':').unwrap_or((&image, ""));
        let is_named = name.rsplit('/').next() == Some("traefik");
        let command = table.get("command");
        let is_told = command.is_some_and(|entry| {
            let words = plain_texts(&entry.item).join(" ").to_ascii_lowercase();
            words.contains("--providers.") || words.contains("--entrypoints.")
        });
        if !is_named && !is_told {
            return None;
        }
        if let Some(entry) = table.get("environment") {
            for text in variables(&entry.item) {
                if text.value.starts_with("TRAEFIK_") {
                    let message = format!(
                        "a Traefik that is told by variables such as `{}` is not done yet",
                        text.value
                    );
                    let one = Diagnostic::error(Code::NotRun, text.span, message);
                    self.found
                        .push(one.help("write it as a flag in `command:`, or in a static file"));
                }
            }
        }
        for key in ["configs", "secrets"] {
            if let Some(entry) = table.get(key) {
                let message = format!("files that `{key}` gives to Traefik are not looked at");
                let one = Diagnostic::warning(Code::NotRun, entry.key_span, message);
                self.found.push(
                    one.help("mount them: `volumes: [./traefik.yml:/etc/traefik/traefik.yml]`"),
                );
            }
        }
        let flags = command
            .map(|entry| self.flags(&entry.item))
            .unwrap_or_default();
        let version = tag.trim_start_matches('v');
        let volumes = table.get("volumes");
        Some(Traefik {
            flags,
            volumes: volumes
                .map(|entry| self.volumes(&entry.item))
                .unwrap_or_default(),
            old: is_named && (version.starts_with("1.") || version.starts_with('2')),
        })
    }

    /// What of the host is mounted, by where.
    fn volumes(&mut self, item: &Item) -> Vec<(String, String)> {
        let Content::List(items) = &item.content else {
            return Vec::new();
        };
        let mut volumes = Vec::new();
        for item in items {
            let pair = match &item.content {
                Content::Table(table) => {
                    let mut said = |key: &str| {
                        let entry = table.get(key)?;
                        self.text(&entry.item).map(|it| it.value)
                    };
                    said("source").zip(said("target"))
                }
                _ => self.text(item).and_then(|text| {
                    let mut parts = text.value.split(':');
                    Some((parts.next()?.to_owned(), parts.next()?.to_owned()))
                }),
            };
            // Others are volumes of Docker's own.
            volumes.extend(pair.filter(|(host, _)| host.starts_with(['.', '/'])));
        }
        volumes
    }

    fn flags(&mut self, item: &Item) -> Vec<Label> {
        let mut words: Vec<(String, Span, Option<Span>)> = Vec::new();
        match &item.content {
            Content::List(items) => {
                for item in items {
                    let exact = match &item.content {
                        Content::Text { text, exact } if !text.contains('$') => *exact,
                        _ => None,
                    };
                    if let Some(text) = self.text(item) {
                        words.push((text.value, item.span, exact));
                    }
                }
            }
            _ => {
                if let Some(text) = self.text(item) {
                    let each = text.value.split_whitespace();
                    words.extend(each.map(|word| (word.to_owned(), item.span, None)));
                }
            }
        }
        super::flags(words)
    }
}

/// The texts of a list, a table's keys, or one text.
fn plain_texts(item: &Item) -> Vec<String> {
    match &item.content {
        Content::Text { text, .. } => vec![text.clone()],
        Content::List(items) => items.iter().flat_map(plain_texts).collect(),
        Content::Table(table) => table
            .entries()
            .iter()
            .map(|entry| entry.key.clone())
            .collect(),
        _ => Vec::new(),
    }
}

/// The variables of an `environment`: a list of texts, or a table's keys.
fn variables(item: &Item) -> Vec<Spanned<String>> {
    match &item.content {
        Content::Table(table) => {
            let entries = table.entries().iter();
            let named = entries.map(|entry| Spanned::new(entry.key.clone(), entry.key_span));
            named.collect()
        }
        Content::List(items) => items.iter().flat_map(variables).collect(),
        _ => {
            let texts = plain_texts(item).into_iter();
            texts.map(|text| Spanned::new(text, item.span)).collect()
        }
    }
}

fn begins_with_traefik(key: &str) -> bool {
    key.trim_start()
        .get(..8)
        .is_some_and(|start| start.eq_ignore_ascii_case("traefik."))
}

fn is_of_interest(item: &Item) -> bool {
    matches!(&item.content, Content::Text { text, .. } if begins_with_traefik(text))
}

/// A key without quotes stands there as it is.
fn key_is_exact(key: &str, span: Span) -> bool {
    span.range().len() == key.len()
}

fn folder_name(file: &str, inputs: &Inputs<'_>) -> String {
    let folder = file.rsplit_once('/').map(|(folder, _)| folder.to_owned());
    let folder = match folder {
        Some(folder) if !folder.is_empty() && folder != "." => Some(folder),
        _ => (inputs.environment)("PWD"),
    };
    let name = folder
        .as_deref()
        .and_then(|it| it.trim_end_matches('/').rsplit('/').next());
    name.filter(|name| !name.is_empty())
        .unwrap_or("default")
        .to_owned()
}

/// As Docker Compose makes a project's name of a folder's.
fn project_name(name: &str) -> String {
    let kept = name.to_lowercase();
    let kept = kept
        .chars()
        .filter(|it| it.is_ascii_alphanumeric() || "_-".contains(*it));
    let kept: String = kept.collect();
    kept.trim_start_matches(['_', '-']).to_owned()
}
