//! What static files and flags say: entry points, the Docker provider, and a few settings for all.

use super::docker;
use super::matcher::Syntax;
use super::schema::Section;
use portway_model::address::BindAddress;
use portway_model::diagnostic::{Code, Diagnostic, Diagnostics};
use portway_model::span::{Span, Spanned};
use std::time::Duration;

/// An entry point.
#[derive(Debug)]
pub(super) struct EntryPoint {
    pub(super) name: Spanned<String>,
    pub(super) bind: Spanned<BindAddress>,
    /// Routers that name no entry point are here too.
    pub(super) is_default: bool,
    /// Nobody has stated it.
    pub(super) implied: bool,
    pub(super) section: Section,
}

impl EntryPoint {
    pub(super) fn port(&self) -> u16 {
        match self.bind.value {
            BindAddress::Tcp { first_port, .. } => first_port,
            _ => 0,
        }
    }
}

/// All that is not dynamic.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) entry_points: Vec<EntryPoint>,
    pub(super) syntax: Syntax,
    pub(super) transport: Option<Section>,
    /// Resolvers of certificates, by the place of their section.
    pub(super) resolvers: Option<Span>,
    docker: Option<Section>,
    pub(super) access_log: Option<Section>,
    pub(super) tracing: Option<Section>,
    pub(super) ocsp: Option<Section>,
}

impl Settings {
    pub(super) fn docker(&self) -> docker::Provider {
        let section = self.docker.as_ref();
        let exposed = section.and_then(|it| it.flag("exposedByDefault"));
        let rule = section.and_then(|it| it.some_text("defaultRule"));
        docker::Provider {
            exposed_by_default: exposed.is_none_or(|it| it.value),
            default_rule: rule.map(|it| it.map(str::to_owned)),
        }
    }

    /// True where no static configuration states entry points.
    pub(super) fn are_implied(&self) -> bool {
        self.entry_points.iter().all(|it| it.implied)
    }

    pub(super) fn find(&self, name: &str) -> Option<&EntryPoint> {
        let mut all = self.entry_points.iter();
        // Names in flags lose their case, and so do references to them.
        all.find(|it| it.name.value.eq_ignore_ascii_case(name))
    }

    /// The longest of a duration over all entry points.
    pub(super) fn longest(&self, section: &str, name: &str) -> Option<Spanned<Duration>> {
        let all = self.entry_points.iter();
        let all = all.filter_map(|it| it.section.section(section)?.duration(name));
        all.max_by_key(|it| it.value)
    }
}

/// Reads all static configuration.
pub(super) fn read(fixed: &[Section], old: bool, found: &mut Diagnostics) -> Settings {
    let mut entry_points: Vec<EntryPoint> = Vec::new();
    for root in fixed {
        for (entry, section) in root.named("entryPoints") {
            let same = |it: &&EntryPoint| it.name.value.eq_ignore_ascii_case(&entry.name);
            if let Some(earlier) = entry_points.iter().find(same) {
                let message = format!("the entry point `{}` is stated twice", entry.name);
                let one = Diagnostic::error(Code::Duplicate, entry.key, message);
                found.push(one.label(earlier.name.span, "first stated here"));
                continue;
            }
            if let Some(bind) = bind_of(section, entry.key, found) {
                entry_points.push(EntryPoint {
                    name: Spanned::new(entry.name.clone(), entry.key),
                    bind,
                    is_default: false,
                    implied: false,
                    section: section.clone(),
                });
            }
        }
    }
    let marked = entry_points.iter().any(|it| it.section.is_on("asDefault"));
    for entry in &mut entry_points {
        let internal = entry.name.value == "traefik";
        entry.is_default = if marked {
            entry.section.is_on("asDefault")
        } else {
            !internal
        };
    }
    if entry_points.is_empty() {
        entry_points = vec![implied("web", 80), implied("websecure", 443)];
    }
    let first = |path: &str| fixed.iter().find_map(|root| root.section(path).cloned());
    let said = fixed
        .iter()
        .find_map(|root| root.section("core")?.some_text("defaultRuleSyntax"));
    let syntax = match said {
        Some(said) => syntax_of(said, found),
        None if old => Syntax::V2,
        None => Syntax::Either,
    };
    Settings {
        entry_points,
        syntax,
        transport: first("serversTransport"),
        resolvers: fixed
            .iter()
            .find_map(|root| Some(root.get("certificatesResolvers")?.key)),
        access_log: first("accessLog"),
        tracing: first("tracing"),
        ocsp: first("ocsp"),
        docker: first("providers.docker").or_else(|| first("providers.swarm")),
    }
}

/// What `ruleSyntax` and `defaultRuleSyntax` say.
pub(super) fn syntax_of(said: Spanned<&str>, found: &mut Diagnostics) -> Syntax {
    match said.value {
        "v3" => Syntax::V3,
        "v2" => Syntax::V2,
        other => {
            let message = format!("`{other}` is no syntax of rules");
            let one = Diagnostic::error(Code::OutOfRange, said.span, message);
            found.push(one.help("one of: v3, v2"));
            Syntax::Either
        }
    }
}

fn implied(name: &str, port: u16) -> EntryPoint {
    EntryPoint {
        name: Spanned::bare(name.to_owned()),
        bind: Spanned::bare(BindAddress::tcp(None, port)),
        is_default: true,
        implied: true,
        section: Section::new(Span::NONE),
    }
}

/// `[HOST]:PORT[/tcp]`.
fn bind_of(section: &Section, key: Span, found: &mut Diagnostics) -> Option<Spanned<BindAddress>> {
    let Some(address) = section.some_text("address") else {
        let one = Diagnostic::error(Code::Missing, key, "an entry point without `address`");
        found.push(one.help("such as `address: \":80\"`"));
        return None;
    };
    let (text, protocol) = address
        .value
        .split_once('/')
        .unwrap_or((address.value, "tcp"));
    if protocol.eq_ignore_ascii_case("udp") {
        let message = "entry points for UDP are not done yet";
        found.push(Diagnostic::error(Code::NotRun, address.span, message));
        return None;
    }
    let parsed = text.rsplit_once(':').and_then(|(host, port)| {
        let port = port.parse::<u16>().ok().filter(|port| *port > 0)?;
        let ip = match host.trim_matches(['[', ']']) {
            "" => None,
            "localhost" => Some("127.0.0.1".parse().ok()?),
            host => Some(host.parse().ok()?),
        };
        Some(BindAddress::tcp(ip, port))
    });
    if parsed.is_none() || !protocol.eq_ignore_ascii_case("tcp") {
        let message = format!("`{}` is no address to accept on", address.value);
        let one = Diagnostic::error(Code::OutOfRange, address.span, message);
        found.push(one.help("such as `:80`, `192.0.2.1:80` or `[::1]:80`"));
        return None;
    }
    parsed.map(|bind| Spanned::new(bind, address.span))
}
