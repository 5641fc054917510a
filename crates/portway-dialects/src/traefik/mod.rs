//! Traefik's configuration: labels of compose files, dynamic files and static files in YAML and TOML, and flags.
//!
//! The way of a text: `tree` (of the crate) or `labels` make a tree of it, `schema` holds the tree against the options of
//! the reference and gives sections with typed values, `docker` adds what Traefik's Docker provider adds, `model` finds
//! objects by their names, and `lower` makes the draft. `entry_point` reads what static files say of entry points.
//! Messages speak Traefik's language: router, service, middleware.
//!
//! All files of one run are one configuration, as all providers of one Traefik are.

mod compose;
mod docker;
mod entry_point;
mod labels;
mod lower;
mod matcher;
mod model;
mod rule;
mod schema;

#[cfg(test)]
mod reference;

use crate::inputs::Inputs;
use crate::tree::{self, Content, Item, Table};
use labels::Label;
use model::{Model, Provider};
use portway_model::diagnostic::{Code, Diagnostic, Diagnostics};
use portway_model::draft::Draft;
use portway_model::span::{FileId, Span, Spanned};
use schema::{Language, Section};

/// One file of a configuration.
#[derive(Debug, Clone, Copy)]
pub struct File<'t> {
    /// For the places of messages.
    pub id: FileId,
    /// Its path.
    pub name: &'t str,
    /// What it says.
    pub text: &'t str,
}

/// What is said beside the files.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Addresses of the containers of a compose service; several for several containers.
    pub addresses: Vec<(String, String)>,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Compose,
    /// It has static configuration, and perhaps dynamic one too.
    Fixed,
    Dynamic,
}

/// Keys that stand at the top of static files alone.
const FIXED_KEYS: [&str; 6] = [
    "entrypoints",
    "providers",
    "certificatesresolvers",
    "serverstransport",
    "accesslog",
    "core",
];
/// Keys that stand at the top of dynamic files.
const DYNAMIC_KEYS: [&str; 4] = ["http", "tcp", "udp", "tls"];
/// Keys that stand below those.
const DYNAMIC_INNER: [&str; 8] = [
    "routers",
    "services",
    "middlewares",
    "serverstransports",
    "certificates",
    "options",
    "stores",
    "models",
];

/// What some editors put before a text.
const BOM: char = '\u{feff}';

/// True where a text is a compose file or one of Traefik, by its keys.
pub(crate) fn is_ours(name: &str, text: &str) -> bool {
    let text = text.trim_start_matches(BOM);
    let toml = name.to_ascii_lowercase().ends_with(".toml") || looks_like_toml(text);
    match toml {
        true => text.lines().any(|line| {
            let header = line.trim_start().trim_start_matches('[');
            let is_header = header.len() < line.trim_start().len();
            let header = header.split(']').next().unwrap_or_default().trim();
            is_header && is_ours_path(header)
        }),
        false => top_keys(text).any(|key| {
            let key = key.to_ascii_lowercase();
            key == "services"
                || FIXED_KEYS.contains(&key.as_str())
                || DYNAMIC_KEYS.contains(&key.as_str())
        }),
    }
}

/// A path in TOML such as `http.routers.a` or `entryPoints`.
fn is_ours_path(path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    let mut parts = path.split('.');
    let first = parts.next().unwrap_or_default();
    let second = parts.next();
    FIXED_KEYS.contains(&first)
        || (DYNAMIC_KEYS.contains(&first)
            && second.is_none_or(|second| DYNAMIC_INNER.contains(&second)))
}

fn looks_like_toml(text: &str) -> bool {
    let first = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#'));
    first.is_some_and(|line| line.starts_with('['))
}

/// Keys of a YAML text at the margin.
fn top_keys(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let (key, after) = line.split_once(':')?;
        let plain = key
            .chars()
            .all(|it| it.is_ascii_alphanumeric() || it == '_');
        let ends = after.is_empty() || after.starts_with([' ', '\t', '\r']);
        (plain && ends && !key.is_empty()).then_some(key)
    })
}

/// The files that these name, for the caller to read too: dynamic files of `providers.file`, and the static file that a
/// Traefik in a compose file has.
pub fn named_files(files: &[File<'_>], inputs: &Inputs<'_>) -> Vec<String> {
    let mut unsaid = Diagnostics::default();
    let found = &mut unsaid;
    let mut fixed = Vec::new();
    let mut named = Vec::new();
    let mut traefik = None;
    for file in files {
        let Some(table) = read_tree(file, found) else {
            continue;
        };
        match sort(&table) {
            Sort::Dynamic => {}
            Sort::Fixed => fixed.push((file, schema::read(&table, Language::Fixed, found))),
            Sort::Compose => {
                let project = compose::read(file, &table, inputs, found);
                fixed.extend(fixed_of(&project, found).map(|(section, _)| (file, section)));
                let mut all = project.containers.into_iter();
                let Some(own) = all.find_map(|it| it.traefik) else {
                    continue;
                };
                named.extend(own.static_file().map(|path| beside(file.name, &path)));
                traefik = traefik.or(Some((file, own)));
            }
        }
    }
    for (file, section) in &fixed {
        for (path, is_folder) in provided(section) {
            named.extend(files_at(
                &on_host(file, path.value, traefik.as_ref()),
                is_folder,
                inputs,
            ));
        }
    }
    named
}

/// Whether Traefik would read these again when they change: dynamic files, unless `providers.file.watch` says otherwise. Of
/// compose files it learns from Docker.
pub fn watches(files: &[File<'_>], inputs: &Inputs<'_>) -> bool {
    let mut unsaid = Diagnostics::default();
    let found = &mut unsaid;
    let mut dynamic = false;
    for file in files {
        let Some(table) = read_tree(file, found) else {
            continue;
        };
        let fixed = match sort(&table) {
            Sort::Dynamic => {
                dynamic = true;
                continue;
            }
            Sort::Fixed => vec![schema::read(&table, Language::Fixed, found)],
            Sort::Compose => {
                let project = compose::read(file, &table, inputs, found);
                let fixed = fixed_of(&project, found);
                fixed.map(|(section, _)| section).into_iter().collect()
            }
        };
        // A folder may have nothing in it yet.
        dynamic |= fixed.iter().any(|it| !provided(it).is_empty());
        let provider = |section: &Section| section.section("providers.file")?.flag("watch");
        let mut said = fixed.iter().filter_map(provider);
        if said.any(|watch| !watch.value) {
            return false;
        }
    }
    dynamic
}

/// The path of the dynamic file, and that of the folder of dynamic files, of static configuration.
fn provided(fixed: &Section) -> Vec<(Spanned<&str>, bool)> {
    let Some(provider) = fixed.section("providers.file") else {
        return Vec::new();
    };
    let file = provider
        .some_text("filename")
        .filter(|it| !is_self(it.value));
    let folder = provider.some_text("directory");
    let file = file.map(|path| (path, false));
    file.into_iter()
        .chain(folder.map(|path| (path, true)))
        .collect()
}

/// A path as the host has it, where a Traefik in a compose file has volumes.
fn on_host(file: &File<'_>, path: &str, traefik: Option<&(&File<'_>, compose::Traefik)>) -> String {
    let mounted = traefik.and_then(|(compose, traefik)| {
        let path = traefik.on_host(path)?;
        Some(beside(compose.name, &path))
    });
    mounted.unwrap_or_else(|| beside(file.name, path))
}

/// The file at a path, or the dynamic files of a folder and of those in it.
fn files_at(path: &str, is_folder: bool, inputs: &Inputs<'_>) -> Vec<String> {
    if !is_folder {
        // What cannot be read is said where it is named.
        let readable = (inputs.read)(path).is_ok();
        return Vec::from_iter(readable.then(|| path.to_owned()));
    }
    let names = (inputs.list)(path, is_dynamic).unwrap_or_default();
    let files = names.iter().flat_map(|name| {
        let place = cleaned(&format!("{path}/{name}"));
        match name.ends_with('/') {
            true => files_at(place.trim_end_matches('/'), true, inputs),
            false => vec![place],
        }
    });
    files.collect()
}

/// True of the names of dynamic files, and of folders that may have some.
fn is_dynamic(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let ends = ["/", ".yml", ".yaml", ".toml"];
    ends.iter().any(|end| name.ends_with(end))
}

/// A path that a file names; relative ones begin in its own folder.
fn beside(file: &str, path: &str) -> String {
    let whole = match file.rsplit_once('/') {
        Some((folder, _)) if !path.starts_with('/') => format!("{folder}/{path}"),
        _ => path.to_owned(),
    };
    cleaned(&whole)
}

/// A path in its shortest form, so that a file has one name however it is come by.
fn cleaned(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if path.starts_with('/') => {}
            part => parts.push(part),
        }
    }
    let root = if path.starts_with('/') { "/" } else { "" };
    match (root, parts.as_slice()) {
        ("", []) => ".".to_owned(),
        (root, parts) => format!("{root}{}", parts.join("/")),
    }
}

/// What stands for the file itself in Traefik's own tests.
fn is_self(path: &str) -> bool {
    path.replace(' ', "") == "{{.SelfFilename}}"
}

/// Reads all files as one configuration. Broken texts still give a draft of what could be read.
pub fn parse_all(
    files: &[File<'_>],
    options: &Options,
    inputs: &Inputs<'_>,
) -> (Draft, Diagnostics) {
    let mut found = Diagnostics::default();
    let mut all = All::default();
    let mut composes = Vec::new();
    for file in files {
        let Some(table) = read_tree(file, &mut found) else {
            continue;
        };
        match sort(&table) {
            Sort::Compose => composes.push((file, compose::read(file, &table, inputs, &mut found))),
            Sort::Fixed => {
                let section = schema::read(&table, Language::Fixed, &mut found);
                all.dynamic.push((Provider::File, section.clone()));
                all.fixed.push(section);
            }
            Sort::Dynamic => {
                let section = schema::read(&table, Language::Dynamic, &mut found);
                all.dynamic.push((Provider::File, section));
            }
        }
    }
    for (_, project) in &composes {
        if let Some((fixed, old)) = fixed_of(project, &mut found) {
            all.old |= old;
            all.fixed.push(fixed);
        }
    }
    unmerged(&composes, inputs, &mut found);
    unknown_addresses(&composes, options, &mut found);
    unreadable(files, &all.fixed, &composes, inputs, &mut found);
    let settings = entry_point::read(&all.fixed, all.old, &mut found);
    for (_, project) in &composes {
        moved_ports(project, &settings, &mut found);
        for container in &project.containers {
            let provider = settings.docker();
            let section = docker::configuration(project, container, &provider, options, &mut found);
            all.dynamic
                .extend(section.map(|section| (Provider::Docker, section)));
        }
    }
    let model = Model::of(&all.dynamic, &mut found);
    let mounted = |path: &str| on_host_of(&composes, path);
    let given = lower::Given {
        files,
        inputs,
        mounted: &mounted,
    };
    let draft = lower::lower(&model, &settings, given, &mut found);
    (draft, found)
}

/// What all files say.
#[derive(Default)]
struct All {
    fixed: Vec<Section>,
    dynamic: Vec<(Provider, Section)>,
    /// A Traefik of version 2 is among the containers.
    old: bool,
}

/// What the flags of a Traefik in a compose file say, and whether it is of version 2.
fn fixed_of(project: &compose::Project, found: &mut Diagnostics) -> Option<(Section, bool)> {
    let traefik = project
        .containers
        .iter()
        .find_map(|it| it.traefik.as_ref())?;
    let table = labels::tree(&traefik.flags, "", found);
    Some((schema::read(&table, Language::Fixed, found), traefik.old))
}

/// The path on the host of one in the container of a Traefik; `None` where no volume of it has that.
fn on_host_of(composes: &[(&File<'_>, compose::Project)], path: &str) -> Option<String> {
    composes.iter().find_map(|(file, project)| {
        let mut own = project
            .containers
            .iter()
            .filter_map(|it| it.traefik.as_ref());
        let path = own.find_map(|traefik| traefik.on_host(path))?;
        Some(beside(file.name, &path))
    })
}

/// Dynamic files, and folders of them, that are not there.
fn unreadable(
    files: &[File<'_>],
    fixed: &[Section],
    composes: &[(&File<'_>, compose::Project)],
    inputs: &Inputs<'_>,
    found: &mut Diagnostics,
) {
    let mounted = |path: &str| on_host_of(composes, path);
    for (path, is_folder) in fixed.iter().flat_map(provided) {
        let file = files.iter().find(|file| file.id == path.span.file);
        let name = file.map_or("", |file| file.name);
        let on_host = mounted(path.value);
        let is_mounted = on_host.is_some();
        let place = on_host.unwrap_or_else(|| beside(name, path.value));
        if !is_folder && let Err(reason) = (inputs.read)(&place) {
            let message = format!("cannot read `{place}`: {reason}");
            let one = Diagnostic::error(Code::Unreadable, path.span, message);
            found.push(match composes.is_empty() || is_mounted {
                true => one,
                false => one.help(format!(
                    "no volume of the Traefik has it: add `volumes: [./dynamic.yml:{}]`",
                    path.value
                )),
            });
        }
        if is_folder && (inputs.list)(&place, is_dynamic).is_none() {
            let message = format!("cannot read the folder `{place}`");
            let one = Diagnostic::error(Code::Unreadable, path.span, message);
            found.push(one.help(
                "dynamic files can be named themselves: `portway run FILE FILE`, without `directory`",
            ));
        }
    }
}

/// Entry points that users reach by another port, which Docker maps.
fn moved_ports(
    project: &compose::Project,
    settings: &entry_point::Settings,
    found: &mut Diagnostics,
) {
    let traefik = project.containers.iter().find(|it| it.traefik.is_some());
    for entry in &settings.entry_points {
        let published = traefik.and_then(|it| Some((it, it.published(entry.port(), 0)?.1)));
        let Some((container, host)) = published.filter(|(_, host)| *host != entry.port()) else {
            continue;
        };
        let (name, port) = (&entry.name.value, entry.port());
        let message = format!(
            "the entry point `{name}` accepts on port {port} here: Docker's {host} is not looked at"
        );
        let one = Diagnostic::warning(Code::NotRun, container.service.span, message);
        found.push(one.help(format!(
            "let users come to {port}, or say `--entrypoints.{name}.address=:{host}`"
        )));
    }
}

/// What Docker Compose would take together.
fn unmerged(
    composes: &[(&File<'_>, compose::Project)],
    inputs: &Inputs<'_>,
    found: &mut Diagnostics,
) {
    let help = "`docker compose config` prints one file of all";
    let mut services: Vec<&Spanned<String>> = Vec::new();
    for (file, project) in composes {
        for container in &project.containers {
            let service = &container.service;
            match services.iter().find(|it| it.value == service.value) {
                Some(first) if first.span.file != service.span.file => {
                    let message = format!(
                        "the service `{}` stands in two compose files: merging them is not done yet",
                        service.value
                    );
                    let one = Diagnostic::error(Code::NotRun, service.span, message);
                    found.push(one.label(first.span, "first stated here").help(help));
                }
                _ => services.push(service),
            }
        }
        for end in [".override.yml", ".override.yaml"] {
            let Some((start, _)) = file.name.rsplit_once('.') else {
                continue;
            };
            let beside = format!("{start}{end}");
            let is_given = composes.iter().any(|(file, _)| file.name == beside);
            if !is_given && (inputs.read)(&beside).is_ok() {
                let message = format!("`{beside}` is not read");
                let place = Span::new(file.id, 0..0);
                found.push(Diagnostic::warning(Code::Unused, place, message).help(help));
            }
        }
    }
}

/// Addresses for services that no compose file has.
fn unknown_addresses(
    composes: &[(&File<'_>, compose::Project)],
    options: &Options,
    found: &mut Diagnostics,
) {
    let services = || {
        composes
            .iter()
            .flat_map(|(_, project)| project.containers.iter())
    };
    for (name, address) in &options.addresses {
        if let Some(wrong) = docker::wrong_address(address) {
            let message = format!("--address {name}={address}: {wrong}");
            let one = Diagnostic::error(Code::OutOfRange, Span::NONE, message);
            found.push(
                one.help("such as `10.0.0.1`, `10.0.0.1:8080`, `app.example:80` or `[::1]:80`"),
            );
        }
        if !services().any(|container| container.service.value == *name) {
            let message =
                format!("--address names `{name}`, which is no service of a compose file");
            let known = services().map(|container| container.service.value.as_str());
            found.push(
                Diagnostic::error(Code::UnknownReference, Span::NONE, message).nearest(name, known),
            );
        }
    }
}

/// The tree of a file, in TOML or in YAML.
fn read_tree(file: &File<'_>, found: &mut Diagnostics) -> Option<Table> {
    if let Some(rest) = file.text.strip_prefix(BOM) {
        // Empty lines in its place: everything stays where it is.
        let text = format!("{}{rest}", "\n".repeat(BOM.len_utf8()));
        return read_tree(
            &File {
                text: &text,
                ..*file
            },
            found,
        );
    }
    let toml = file.name.to_ascii_lowercase().ends_with(".toml") || looks_like_toml(file.text);
    let is_compose = !toml && top_keys(file.text).any(|key| key == "services");
    if !is_compose && templated(file, found) {
        return None;
    }
    if toml {
        return Some(tree::toml::parse(file.id, file.text, found));
    }
    match tree::yaml::parse(file.id, file.text, found) {
        Some(Item {
            content: Content::Table(table),
            ..
        }) => Some(table),
        Some(item) => {
            let message = format!("a table is expected, not {}", item.content.kind());
            found.push(Diagnostic::error(Code::WrongType, item.span, message));
            None
        }
        None => None,
    }
}

/// True, and said, where a file is a Go template.
fn templated(file: &File<'_>, found: &mut Diagnostics) -> bool {
    let mut start = 0;
    for line in file.text.split_inclusive('\n') {
        let at = line.find("{{");
        let comment = line.trim_start().starts_with('#');
        let rest = at.and_then(|at| line.get(at..)).unwrap_or_default();
        let own = rest
            .find("}}")
            .and_then(|end| rest.get(..end + 2))
            .is_some_and(is_self);
        if let Some(at) = at.filter(|_| !comment && !own) {
            let end = start + line.trim_end().len();
            let span = Span::new(file.id, start + at..end.max(start + at));
            let message = "Go templates in files are not done yet";
            let one = Diagnostic::error(Code::NotRun, span, message);
            found.push(one.help("write out what the template would make"));
            return true;
        }
        start += line.len();
    }
    false
}

fn sort(table: &Table) -> Sort {
    let has = |keys: &[&str]| {
        let mut entries = table.entries().iter();
        entries.any(|entry| keys.contains(&entry.key.to_ascii_lowercase().as_str()))
    };
    if has(&["services"]) && !has(&DYNAMIC_KEYS) {
        return Sort::Compose;
    }
    let mut entries = table.entries().iter();
    let dynamic =
        entries.all(|entry| DYNAMIC_KEYS.contains(&entry.key.to_ascii_lowercase().as_str()));
    if dynamic { Sort::Dynamic } else { Sort::Fixed }
}

/// Flags of Traefik's command line: `--a.b=c`, `--a.b c`, `--a.b`.
fn flags(words: Vec<(String, Span, Option<Span>)>) -> Vec<Label> {
    let mut flags = Vec::new();
    let mut words = words.into_iter().peekable();
    while let Some((word, span, exact)) = words.next() {
        let Some(text) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')) else {
            continue;
        };
        let dashes = word.len() - text.len();
        let exact = exact.map(|exact| {
            Span::new(
                exact.file,
                exact.start as usize + dashes..exact.end as usize,
            )
        });
        let mut flag = Label::of_text(text, span, exact, "true");
        if !text.contains('=')
            && let Some((value, value_span, exact)) =
                words.next_if(|(word, ..)| !word.starts_with('-'))
        {
            flag.value = Item {
                content: Content::Text { text: value, exact },
                span: value_span,
            };
        }
        flags.push(flag);
    }
    flags
}
