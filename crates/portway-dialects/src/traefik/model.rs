//! The objects of all providers by their names, and references to them.

use super::schema::{Entry, Section, Value};
use portway_model::diagnostic::{Code, Diagnostic, Diagnostics};
use portway_model::span::{Span, Spanned};
use std::cell::Cell;

/// Who states an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Provider {
    File,
    Docker,
}

impl Provider {
    fn of(word: &str) -> Option<Self> {
        match word {
            "file" => Some(Provider::File),
            "docker" | "swarm" => Some(Provider::Docker),
            _ => None,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Provider::File => "file",
            Provider::Docker => "docker",
        }
    }
}

/// A router, a service, a middleware, ….
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) name: String,
    pub(super) provider: Provider,
    /// Where its name stands.
    pub(super) key: Span,
    pub(super) section: Section,
    /// Somebody refers to it.
    pub(super) used: Cell<bool>,
}

impl Object {
    /// Its name with its provider.
    pub(super) fn full_name(&self) -> String {
        format!("{}@{}", self.name, self.provider.as_str())
    }
}

/// Objects of one kind.
#[derive(Debug, Default)]
pub(super) struct Objects {
    /// What messages call one.
    kind: &'static str,
    pub(super) list: Vec<Object>,
}

/// All that dynamic configuration says.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) routers: Objects,
    pub(super) services: Objects,
    pub(super) middlewares: Objects,
    pub(super) transports: Objects,
    pub(super) tcp_routers: Objects,
    pub(super) tcp_services: Objects,
    pub(super) tcp_middlewares: Objects,
    pub(super) tcp_transports: Objects,
    pub(super) tls_options: Objects,
    pub(super) stores: Objects,
    pub(super) certificates: Vec<Section>,
}

impl Model {
    pub(super) fn of(stated: &[(Provider, Section)], found: &mut Diagnostics) -> Self {
        let mut gather = |path: &str, kind: &'static str| {
            let mut objects = Objects {
                kind,
                list: Vec::new(),
            };
            for (provider, root) in stated {
                for (entry, section) in root.named(path) {
                    objects.add(*provider, entry, section, found);
                }
            }
            // In the order of names, so that the order of texts means nothing.
            objects
                .list
                .sort_by(|a, b| (&a.name, a.provider).cmp(&(&b.name, b.provider)));
            objects
        };
        let certificates = stated.iter().filter_map(|(_, root)| root.section("tls"));
        Self {
            routers: gather("http.routers", "router"),
            services: gather("http.services", "service"),
            middlewares: gather("http.middlewares", "middleware"),
            transports: gather("http.serversTransports", "serversTransport"),
            tcp_routers: gather("tcp.routers", "TCP router"),
            tcp_services: gather("tcp.services", "TCP service"),
            tcp_middlewares: gather("tcp.middlewares", "TCP middleware"),
            tcp_transports: gather("tcp.serversTransports", "TCP serversTransport"),
            tls_options: gather("tls.options", "tls option"),
            stores: gather("tls.stores", "tls store"),
            certificates: certificates
                .flat_map(|tls| tls.objects("certificates").to_vec())
                .collect(),
        }
    }

    /// True where somebody gives certificates.
    pub(super) fn has_certificates(&self) -> bool {
        let in_store = |store: &Object| store.section.get("defaultCertificate").is_some();
        !self.certificates.is_empty() || self.stores.list.iter().any(in_store)
    }
}

impl Objects {
    /// Adds an object. One that is stated twice with the same settings is one; of a service, servers come together.
    fn add(
        &mut self,
        provider: Provider,
        entry: &Entry,
        section: &Section,
        found: &mut Diagnostics,
    ) {
        let same = |it: &&mut Object| it.name == entry.name && it.provider == provider;
        let Some(earlier) = self.list.iter_mut().find(same) else {
            self.list.push(Object {
                name: entry.name.clone(),
                provider,
                key: entry.key,
                section: section.clone(),
                used: Cell::new(false),
            });
            return;
        };
        if provider == Provider::Docker
            && without_servers(&earlier.section) == without_servers(section)
        {
            let servers = servers(section).to_vec();
            add_servers(&mut earlier.section, servers);
            return;
        }
        let (kind, name) = (self.kind, &entry.name);
        let (message, help) = match provider {
            Provider::Docker => (
                format!("the {kind} `{name}` is stated twice, with different settings"),
                "let all of them say the same, or give them names of their own",
            ),
            Provider::File => (
                format!("the {kind} `{name}` is stated twice"),
                "names of one kind are unique in all files",
            ),
        };
        found.push(
            Diagnostic::error(Code::Duplicate, entry.key, message)
                .label(earlier.key, "first stated here")
                .help(help),
        );
    }

    /// The object of a name, perhaps with its provider (`auth@file`), as somebody of `from` says it.
    pub(super) fn find(
        &self,
        name: Spanned<&str>,
        from: Provider,
        found: &mut Diagnostics,
    ) -> Option<&Object> {
        let (bare, provider) = match name.value.split_once('@') {
            None => (name.value, Some(from)),
            Some((bare, word)) => (bare, Provider::of(word)),
        };
        let fits = |it: &&Object| it.name == bare && Some(it.provider) == provider;
        if let Some(object) = self.list.iter().find(fits) {
            object.used.set(true);
            return Some(object);
        }
        let kind = self.kind;
        let message = format!("there is no {kind} `{}`", name.value);
        let one = Diagnostic::error(Code::UnknownReference, name.span, message);
        let elsewhere = self.list.iter().find(|it| it.name == bare);
        found.push(match elsewhere {
            Some(there) => one.help(format!("write `{}`", there.full_name())),
            None => one.nearest(bare, self.list.iter().map(|it| it.name.as_str())),
        });
        None
    }

    /// Warns of objects that nobody refers to.
    pub(super) fn report_unused(&self, found: &mut Diagnostics) {
        for object in self.list.iter().filter(|it| !it.used.get()) {
            let message = format!("nothing refers to the {} `{}`", self.kind, object.name);
            found.push(Diagnostic::warning(Code::Unused, object.key, message));
        }
    }

    /// The name of an object where nothing else is called so; else with its provider.
    pub(super) fn short_name(&self, object: &Object) -> String {
        let others = self.list.iter().filter(|it| it.name == object.name).count();
        match others {
            0 | 1 => object.name.clone(),
            _ => object.full_name(),
        }
    }
}

fn servers(section: &Section) -> &[Section] {
    section
        .section("loadBalancer")
        .map(|it| it.objects("servers"))
        .unwrap_or_default()
}

fn add_servers(section: &mut Section, more: Vec<Section>) {
    let balancer = section
        .entries
        .iter_mut()
        .find(|entry| entry.name == "loadBalancer");
    let Some(Value::Section(balancer)) = balancer.map(|entry| &mut entry.value) else {
        return;
    };
    let servers = balancer
        .entries
        .iter_mut()
        .find(|entry| entry.name == "servers");
    if let Some(Value::Objects(servers)) = servers.map(|entry| &mut entry.value) {
        for server in more {
            if !servers.contains(&server) {
                servers.push(server);
            }
        }
    }
}

fn without_servers(section: &Section) -> Section {
    let mut section = section.clone();
    let balancer = section
        .entries
        .iter_mut()
        .find(|entry| entry.name == "loadBalancer");
    if let Some(Value::Section(balancer)) = balancer.map(|entry| &mut entry.value) {
        balancer.remove("servers");
    }
    section
}
