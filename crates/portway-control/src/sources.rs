//! From the files named on the command line to a snapshot, or to everything that is wrong with them.
//!
//! Reads files (the one place that does for configurations), finds out which dialect each is written in, and leaves
//! the rest to the dialects and to compile.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use portway_dialects::{Dialect, Inputs, cloudformation, detect, haproxy, native, traefik};
use portway_model::choice::FirstAddress;
use portway_model::compile::{compile, compile_partly};
use portway_model::diagnostic::{Code, Diagnostic, Diagnostics, Severity};
use portway_model::draft::Draft;
use portway_model::draft_paths;
use portway_model::merge::merge;
use portway_model::snapshot::Snapshot;
use portway_model::span::{FileId, SourceText, Sources, Span, Spanned};

use crate::files::{self, read_limited};
use crate::{privileges, world};

/// Bytes of one configuration file. The largest that we have seen, 50,000 generated rules, had 6 MB.
pub const MAX_FILE_BYTES: u64 = 8 * 1024 * 1024;

/// What came of the files.
#[derive(Debug)]
pub struct Compiled {
    /// The configuration; `None` where there was an error.
    pub snapshot: Option<Snapshot>,
    /// The texts that diagnostics point into.
    pub sources: Sources,
    /// Everything that was found, in the order of the texts.
    pub diagnostics: Diagnostics,
    /// Where there was an error: what could be made of the rest, to see whether the files are there that it names. It must not
    /// be run.
    pub rest: Option<Box<Snapshot>>,
}

/// How files are read.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// The language of all of them; found out for each where none is given.
    pub dialect: Option<Dialect>,
    /// What is given beside CloudFormation templates.
    pub templates: cloudformation::Given,
    /// What is given beside compose files.
    pub containers: traefik::Options,
    /// The names of targets must resolve at the start, unless a target says otherwise: what HAProxy demands.
    pub names_must_resolve: bool,
    /// A haproxy.cfg may name certificates that cannot be read: it is looked at, and does not serve.
    pub certificates_may_be_missing: bool,
}

/// Reads, parses, merges and compiles `paths`, each in the language that it is found to be in.
pub fn compile_files(paths: &[PathBuf]) -> Compiled {
    compile_files_with(paths, &Reading::default())
}

/// As [`compile_files`], with what is given beside them.
pub fn compile_files_with(paths: &[PathBuf], reading: &Reading) -> Compiled {
    let dialect = reading.dialect;
    let mut sources = Sources::default();
    let mut diagnostics = Diagnostics::default();
    let mut files = Vec::new();
    let paths = paths.iter().flat_map(|path| match files_of(path) {
        Ok(inside) => inside,
        Err(diagnostic) => {
            diagnostics.push(diagnostic);
            Vec::new()
        }
    });
    for path in &paths.collect::<Vec<_>>() {
        match read(path, dialect) {
            Ok(text) => files.push(sources.add(path.display().to_string(), text)),
            Err(diagnostic) => diagnostics.push(diagnostic),
        }
    }
    compile_sources(sources, &files, reading, &[], diagnostics)
}

/// The files that a path names: of a folder those that end in `.cfg` and are not hidden, in the order of their bytes.
fn files_of(path: &Path) -> Result<Vec<PathBuf>, Diagnostic> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let name = path.display();
    let wrong = |message| Diagnostic::error(Code::Unreadable, Span::NONE, message);
    let inside = configurations_in(path)
        .map_err(|error| wrong(format!("cannot read the folder `{name}`: {error}")))?;
    if inside.is_empty() {
        let message = format!("`{name}` is a folder, and no file in it ends in `.cfg`");
        return Err(wrong(message).help("of a folder, those are read: name other files themselves"));
    }
    Ok(inside)
}

/// The files of a folder that HAProxy reads: those that end in `.cfg` and are not hidden, in the order of their bytes.
///
/// # Errors
/// What the system says of the folder.
pub fn configurations_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let is_one = |name: &str| name.ends_with(".cfg") && !name.starts_with('.');
    let Some(names) = files::list(folder, is_one) else {
        // What the system says of it.
        return fs::read_dir(folder).map(|_| Vec::new());
    };
    let paths = names.iter().map(|name| folder.join(name));
    Ok(paths.filter(|path| path.is_file()).collect())
}

/// As [`compile_files`] for one text that is at hand. `name` is what messages call it; its folder is where
/// relative paths begin.
pub fn compile_text(name: &str, text: &str) -> Compiled {
    compile_text_with(name, text, &Reading::default())
}

/// As [`compile_text`], read in this way.
pub(crate) fn compile_text_with(name: &str, text: &str, reading: &Reading) -> Compiled {
    let mut sources = Sources::default();
    let file = sources.add(name, text);
    compile_sources(sources, &[file], reading, &[], Diagnostics::default())
}

/// A server that came or went since the texts were read, in HAProxy's words.
#[derive(Debug, Clone)]
pub enum ServerChange {
    /// It came.
    Added {
        /// Its backend.
        backend: String,
        /// Its name.
        server: String,
        /// Its address and options.
        words: Vec<String>,
    },
    /// It went.
    Removed {
        /// Its backend.
        backend: String,
        /// Its name.
        server: String,
    },
}

/// What texts that were read so before say together with changes since. What the latest change says wrong is labelled in the
/// last text.
pub fn compile_changed(sources: &Sources, reading: &Reading, changes: &[ServerChange]) -> Compiled {
    let mut sources = sources.clone();
    let files: Vec<FileId> = sources.iter().map(|(id, _)| id).collect();
    // A text that nothing tells the language of was called one of HAProxy.
    let is_told = |(_, it): (FileId, &SourceText)| detect(&it.name, &it.text).is_some();
    let untold = (!sources.iter().all(is_told)).then_some(Dialect::Haproxy);
    let changes: Vec<Made<'_>> = changes
        .iter()
        .map(|change| match change {
            ServerChange::Added {
                backend,
                server,
                words,
            } => {
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                let text = haproxy::added(backend, server, &words);
                Made::Added(sources.add(format!("server {backend}/{server}"), text))
            }
            ServerChange::Removed { backend, server } => Made::Removed(backend, server),
        })
        .collect();
    let reading = Reading {
        dialect: reading.dialect.or(untold),
        ..reading.clone()
    };
    compile_sources(sources, &files, &reading, &changes, Diagnostics::default())
}

/// A change whose text is among the sources.
enum Made<'c> {
    Added(FileId),
    Removed(&'c str, &'c str),
}

/// The native text of a configuration; compiling it gives the same one.
pub fn to_native(snapshot: &Snapshot) -> String {
    native::print(&portway_model::lift::lift(snapshot))
}

/// Compiles a native text that was kept; its relative paths begin in this folder.
pub(crate) fn compile_kept(name: &str, text: &str, folder: &str) -> Compiled {
    let mut sources = Sources::default();
    let file = sources.add(name, text);
    sources.begin_paths_at(file, folder);
    let reading = Reading {
        dialect: Some(Dialect::Native),
        ..Reading::default()
    };
    compile_sources(sources, &[file], &reading, &[], Diagnostics::default())
}

/// The folders in which relative paths of texts begin, each once.
pub(crate) fn folders_of(sources: &Sources) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = Vec::new();
    for (file, _) in sources.iter() {
        let folder = folder_of(sources, Span::new(file, 0..0));
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    folders
}

/// The folder in which the relative paths of the text around `span` begin.
pub fn folder_of(sources: &Sources, span: Span) -> PathBuf {
    let Some(source) = sources.get(span.file) else {
        return PathBuf::new();
    };
    match &source.folder {
        Some(folder) => PathBuf::from(&**folder),
        None => Path::new(&*source.name)
            .parent()
            .map(Path::to_path_buf)
            .unwrap_or_default(),
    }
}

/// Gives targets that do not say where their first address comes from HAProxy's sources, of which none waits.
fn demand_addresses(draft: &mut Draft) {
    let targets = draft.groups.iter_mut().flat_map(|group| &mut group.targets);
    for target in targets.filter(|target| target.first_address.is_none()) {
        let sources = vec![FirstAddress::Last, FirstAddress::Resolver];
        target.first_address = Some(Spanned::bare(sources));
    }
}

fn compile_sources(
    mut sources: Sources,
    files: &[FileId],
    reading: &Reading,
    changes: &[Made<'_>],
    mut diagnostics: Diagnostics,
) -> Compiled {
    let parsed = parse(&mut sources, files, reading, changes, &mut diagnostics);
    let Parsed {
        drafts,
        foreign,
        templates,
    } = parsed;
    let (mut draft, found) = merge(drafts);
    diagnostics.extend(found);
    if reading.names_must_resolve {
        demand_addresses(&mut draft);
    }
    let (snapshot, found) = compile(&draft);
    let readable = diagnostics.iter().all(|one| !one.labels.is_empty());
    let broken = diagnostics.has_errors();
    for one in &found {
        // What is not there may be in a file that could not be read, or in the part of a text that is wrong.
        let follows =
            (broken && is_absence(one.code)) || (draft.unfinished && is_left_out(one.code));
        if readable && !follows {
            let one = in_its_language(one.clone(), &foreign);
            diagnostics.push(of_a_template(one, &templates));
        }
    }
    let rest = diagnostics
        .has_errors()
        .then(|| compile_partly(&draft))
        .flatten();
    for (place, path) in draft_paths::paths(&draft) {
        sources.note_path(place, path);
    }
    let whole = |it: &Snapshot| !draft.unfinished || it.serves();
    let snapshot = snapshot.filter(|it| !diagnostics.has_errors() && whole(it));
    if let Some(snapshot) = &snapshot {
        let said: Vec<FileId> = foreign.iter().chain(&templates).copied().collect();
        diagnostics.extend(short_tunnels(snapshot, &said));
    }
    if snapshot.is_none() {
        // Of a snapshot, install says it.
        diagnostics.extend(privileges::check_draft(&draft.process));
    }
    diagnostics.sort();
    Compiled {
        snapshot,
        sources,
        diagnostics,
        rest: rest.map(Box::new),
    }
}

/// How often clients commonly say over a WebSocket that they are there.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Timeouts that end WebSockets between two heartbeats, in other languages than those.
fn short_tunnels(snapshot: &Snapshot, foreign: &[FileId]) -> Diagnostics {
    let listeners = snapshot.listeners.iter().map(|it| {
        let http = it.protocol.is_http();
        (it.origin, http.then_some(it.timeouts.tunnel))
    });
    let groups = snapshot.groups.iter().map(|it| {
        let tunnel = it.timeouts.tunnel.filter(|_| it.protocol.is_http());
        (it.origin, tunnel)
    });
    let mut found = Diagnostics::default();
    for (origin, tunnel) in listeners.chain(groups) {
        let is_foreign = foreign.contains(&origin.0.file);
        if !is_foreign && tunnel.is_some_and(|tunnel| tunnel <= HEARTBEAT) {
            let message = "WebSockets that are silent for 5 seconds are closed";
            let one = Diagnostic::warning(Code::ShortTimeout, origin.0, message);
            found.push(one.help(
                "their heartbeats commonly come every 5 seconds: let `tunnel` of `timeouts` be longer",
            ));
        }
    }
    found
}

/// What compile finds worth a warning is none in a language whose own program says nothing of it: there it is a note.
fn in_its_language(mut one: Diagnostic, foreign: &[FileId]) -> Diagnostic {
    let place = one.labels.first().map(|label| label.span.file);
    if one.severity == Severity::Warning && place.is_some_and(|file| foreign.contains(&file)) {
        one.severity = Severity::Note;
    }
    one
}

/// What a template leaves to others (targets that are registered later, addresses of load balancers) is on the command line.
fn of_a_template(mut one: Diagnostic, templates: &[FileId]) -> Diagnostic {
    let place = one.labels.first().map(|label| label.span.file);
    if place.is_some_and(|file| templates.contains(&file)) {
        let help = match one.code {
            Code::NoTargets => "register them: --target GROUP=ADDRESS[:PORT]",
            Code::AddressInUse => {
                "at AWS each load balancer has addresses of its own: --bind BALANCER=ADDRESS"
            }
            _ => return one,
        };
        one.help = Some(help.to_owned());
    }
    one
}

/// What became of the texts.
struct Parsed {
    drafts: Vec<Draft>,
    /// Those in a language whose own program says nothing of what we warn of.
    foreign: Vec<FileId>,
    /// CloudFormation templates.
    templates: Vec<FileId>,
}

/// Something is missing, says a diagnostic with this code.
fn is_absence(code: Code) -> bool {
    matches!(
        code,
        Code::Missing | Code::NoTargets | Code::Unused | Code::NeverWorks | Code::NoEffect
    )
}

/// The same of what a dialect has left out.
fn is_left_out(code: Code) -> bool {
    matches!(code, Code::Missing | Code::Unused | Code::UnknownReference)
}

/// The drafts of these files: one for each, but all that are in HAProxy's language together are one configuration, and
/// so are templates.
fn parse(
    sources: &mut Sources,
    files: &[FileId],
    reading: &Reading,
    changes: &[Made<'_>],
    diagnostics: &mut Diagnostics,
) -> Parsed {
    let mut drafts = Vec::new();
    let mut of_haproxy = Vec::new();
    let mut templates = Vec::new();
    let mut of_traefik = Vec::new();
    for &file in files {
        let Some(source) = sources.get(file) else {
            continue;
        };
        match reading
            .dialect
            .or_else(|| detect(&source.name, &source.text))
        {
            Some(Dialect::Native) => {
                let (draft, found) = native::parse(file, &source.text);
                diagnostics.extend(found);
                drafts.push(draft);
            }
            Some(Dialect::Haproxy) => of_haproxy.push(file),
            Some(Dialect::CloudFormation) => templates.push(file),
            Some(Dialect::Traefik) => of_traefik.push(file),
            None => diagnostics.push(in_no_language(&source.name)),
        }
    }
    if !of_haproxy.is_empty() {
        let (draft, found) = parse_haproxy(sources, &of_haproxy, (changes, reading));
        diagnostics.extend(found);
        drafts.push(draft);
    }
    if !templates.is_empty() || reading.templates != cloudformation::Given::default() {
        let (draft, found) = parse_templates(sources, &templates, &reading.templates);
        diagnostics.extend(found);
        drafts.push(draft);
    }
    if !of_traefik.is_empty() || !reading.containers.addresses.is_empty() {
        let (draft, found) = parse_traefik(sources, of_traefik, &reading.containers);
        diagnostics.extend(found);
        drafts.push(draft);
    }
    Parsed {
        drafts,
        foreign: of_haproxy,
        templates,
    }
}

/// One configuration of these templates. The files that stand for certificates are looked for in the working directory.
fn parse_templates(
    sources: &mut Sources,
    files: &[FileId],
    given: &cloudformation::Given,
) -> (Draft, Diagnostics) {
    for &file in files {
        sources.begin_paths_at(file, "");
    }
    let texts: Vec<cloudformation::File<'_>> = files
        .iter()
        .filter_map(|&id| {
            let text = &sources.get(id)?.text;
            Some(cloudformation::File { id, text })
        })
        .collect();
    cloudformation::parse_all(&texts, given)
}

/// One configuration of Traefik in these files and in those that they name.
fn parse_traefik(
    sources: &mut Sources,
    mut files: Vec<FileId>,
    options: &traefik::Options,
) -> (Draft, Diagnostics) {
    let mut unreadable = Diagnostics::default();
    // A file counts once, however it is named: a folder may have the file in it that names the folder.
    let file = |name: &str| fs::canonicalize(name).unwrap_or_else(|_| PathBuf::from(name));
    let mut known: HashSet<PathBuf> = sources
        .iter()
        .map(|(_, source)| file(&source.name))
        .collect();
    // What is named may name more: a compose file its static file, that one dynamic files.
    loop {
        let mut new = named_by(sources, &files);
        new.retain(|name| known.insert(file(name)));
        if new.is_empty() {
            break;
        }
        for name in new {
            match read(Path::new(&name), Some(Dialect::Traefik)) {
                Ok(text) => files.push(sources.add(name, text)),
                Err(diagnostic) => unreadable.push(diagnostic),
            }
        }
    }
    let texts: Vec<traefik::File<'_>> = files
        .iter()
        .filter_map(|&id| traefik_file(sources, id))
        .collect();
    let names: Vec<&str> = texts.iter().map(|text| text.name).collect();
    let (draft, mut found) =
        world::with_inputs(&names, |inputs| traefik::parse_all(&texts, options, inputs));
    found.extend(unreadable);
    (draft, found)
}

fn traefik_file(sources: &Sources, id: FileId) -> Option<traefik::File<'_>> {
    let source = sources.get(id)?;
    Some(traefik::File {
        id,
        name: &source.name,
        text: &source.text,
    })
}

/// Whether the program that these texts are for would read them again when they change: Traefik does that with its own.
pub fn watches(sources: &Sources) -> bool {
    let is_traefiks = |it: &SourceText| detect(&it.name, &it.text) == Some(Dialect::Traefik);
    let files = sources.iter().filter(|(_, it)| is_traefiks(it));
    let files = files.filter_map(|(id, _)| traefik_file(sources, id));
    let files: Vec<traefik::File<'_>> = files.collect();
    let names: Vec<&str> = files.iter().map(|file| file.name).collect();
    world::with_inputs(&names, |inputs| traefik::watches(&files, inputs))
}

/// The files that these name.
fn named_by(sources: &Sources, files: &[FileId]) -> Vec<String> {
    let files = files.iter().filter_map(|id| traefik_file(sources, *id));
    let files: Vec<traefik::File<'_>> = files.collect();
    let names: Vec<&str> = files.iter().map(|file| file.name).collect();
    world::with_inputs(&names, |inputs| traefik::named_files(&files, inputs))
}

/// One configuration of HAProxy in these files. Its relative paths begin in the working directory.
fn parse_haproxy(
    sources: &mut Sources,
    files: &[FileId],
    (changes, reading): (&[Made<'_>], &Reading),
) -> (Draft, Diagnostics) {
    for &file in files {
        sources.begin_paths_at(file, "");
    }
    let text = |id: FileId| {
        let source = sources.get(id)?;
        Some(haproxy::File {
            id,
            name: &source.name,
            text: &source.text,
        })
    };
    let texts: Vec<haproxy::File<'_>> = files.iter().filter_map(|&id| text(id)).collect();
    let changes: Vec<haproxy::Change<'_>> = changes
        .iter()
        .filter_map(|change| match change {
            Made::Added(id) => text(*id).map(haproxy::Change::Add),
            Made::Removed(backend, server) => Some(haproxy::Change::Remove { backend, server }),
        })
        .collect();
    let names: Vec<&str> = texts.iter().map(|text| text.name).collect();
    world::with_inputs(&names, |inputs| {
        let inputs = Inputs {
            certificates_may_be_missing: reading.certificates_may_be_missing,
            ..*inputs
        };
        haproxy::parse_changed(&texts, &changes, &inputs)
    })
}

fn in_no_language(name: &str) -> Diagnostic {
    let message = format!("`{name}` is not in a language that Portway knows");
    let help = "a native file ends in `.toml` or has a section such as `[listener.web]` (docs/native.md), one of \
                HAProxy ends in `.cfg` or has a section such as `frontend web` (docs/haproxy.md), a CloudFormation \
                template has `Resources` (docs/cloudformation.md), a compose file has `services`, one of Traefik \
                `http.routers` or `entryPoints` (docs/traefik.md)";
    Diagnostic::error(Code::NotRun, Span::NONE, message).help(help)
}

fn read(path: &Path, dialect: Option<Dialect>) -> Result<String, Diagnostic> {
    let name = path.display();
    let bytes = read_limited(path, MAX_FILE_BYTES).map_err(|reason| {
        let message = format!("cannot read `{name}`: {reason}");
        Diagnostic::error(Code::Unreadable, Span::NONE, message)
    })?;
    String::from_utf8(bytes).or_else(|error| {
        let lossy = String::from_utf8_lossy(error.as_bytes());
        let dialect = dialect.or_else(|| detect(&name.to_string(), &lossy));
        if dialect == Some(Dialect::Haproxy) && only_comments_differ(&lossy) {
            // HAProxy does not look at comments, and old files have them in other encodings.
            return Ok(lossy.into_owned());
        }
        let (at, line) = match dialect {
            Some(Dialect::Haproxy) => first_outside_of_comments(error.as_bytes()),
            _ => None,
        }
        .unwrap_or_else(|| {
            let at = error.utf8_error().valid_up_to();
            let before = error.as_bytes().get(..at).unwrap_or_default();
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            (at, line)
        });
        let message =
            format!("cannot read `{name}`: byte {at} (on line {line}) is not valid UTF-8");
        Err(Diagnostic::error(Code::Unreadable, Span::NONE, message)
            .help("save the file with the encoding UTF-8"))
    })
}

/// The place and the line of the first byte that is not UTF-8 and has no `#` before it on its line.
fn first_outside_of_comments(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut begin = 0;
    for (line, text) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let broken = std::str::from_utf8(text).err().map(|it| it.valid_up_to());
        if let Some(at) = broken
            && !text.get(..at).unwrap_or_default().contains(&b'#')
        {
            return Some((begin + at, line + 1));
        }
        begin += text.len() + 1;
    }
    None
}

/// True where every character that stands for broken bytes has a `#` before it on its line.
fn only_comments_differ(lossy: &str) -> bool {
    let broken = char::REPLACEMENT_CHARACTER;
    lossy
        .lines()
        .filter_map(|line| line.find(broken).and_then(|at| line.get(..at)))
        .all(|before| before.contains('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_become_a_snapshot_or_say_why_not() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let group = write(
            "group.toml",
            "[target_group.app]\ntargets = ['127.0.0.1:1']\n",
        );
        let web = write(
            "web.toml",
            "[listener.web]\nbind = '127.0.0.1:8080'\nforward = 'app'\n",
        );
        let labels = "services:\n  a:\n    expose: [80]\n    labels: [traefik.http.routers.a.rule=Path(`/a`)]\n";
        let compose = write("compose.yaml", labels);
        let unknown = write("unknown", "hello\n");
        let none = folder.path().join("none.toml");
        let check = |paths: &[&PathBuf], expected: &[Code]| {
            let paths: Vec<PathBuf> = paths.iter().map(|it| (*it).clone()).collect();
            let compiled = compile_files(&paths);
            let codes: Vec<Code> = compiled.diagnostics.iter().map(|it| it.code).collect();
            assert_eq!(codes, expected, "{paths:?}: {:?}", compiled.diagnostics);
            assert_eq!(compiled.snapshot.is_some(), expected.is_empty());
        };
        check(&[&web, &group], &[]);
        check(&[&web], &[Code::UnknownReference]);
        // What is missing may be in the file that cannot be read.
        check(&[&web, &none], &[Code::Unreadable]);
        check(&[&compose], &[]);
        let short = "timeouts = { tunnel = '5s' }\n[target_group.app]\ntargets = ['127.0.0.1:1']\n";
        let text = format!("[listener.web]\nbind = '127.0.0.1:8080'\nforward = 'app'\n{short}");
        let compiled = compile_files(&[write("short.toml", &text)]);
        let codes: Vec<Code> = compiled.diagnostics.iter().map(|it| it.code).collect();
        assert_eq!(codes, [Code::ShortTimeout]);
        assert!(compiled.snapshot.is_some());
        check(&[&unknown, &web, &group], &[Code::NotRun]);
        check(&[&web, &group, &group], &[Code::Duplicate]);
    }

    #[test]
    fn a_folder_may_have_the_file_in_it_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let route = "http:\n  routers: { a: { rule: Path(`/a`), service: a } }\n  \
            services: { a: { loadBalancer: { servers: [{ url: 'http://127.0.0.1:1' }] } } }\n";
        write("dynamic.yml", route);
        fs::create_dir(folder.path().join("below")).unwrap();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("below/up")).unwrap();
        for place in [".", "./", "below/..", "below/up", "below/up/below/up/"] {
            let text = format!(
                "entryPoints: {{ web: {{ address: ':8080' }} }}\nproviders: {{ file: {{ directory: {place} }} }}\n"
            );
            write("traefik.yml", &text);
            let compiled = compile_files(&[folder.path().join("traefik.yml")]);
            let errors = compiled.diagnostics.has_errors();
            assert!(!errors, "{place}: {:?}", compiled.diagnostics);
            assert_eq!(compiled.sources.iter().count(), 2, "{place}");
        }
    }

    #[test]
    fn unreadable_files() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            path
        };
        let check = |path: &Path, expected: &str| {
            let diagnostic = read(path, None).unwrap_err();
            assert_eq!(diagnostic.code, Code::Unreadable);
            assert!(diagnostic.message.ends_with(expected), "{diagnostic:?}");
        };
        check(
            &write("later.cfg", b"global # caf\xe9\n caf\xe9\n"),
            ": byte 18 (on line 2) is not valid UTF-8",
        );
        check(&folder.path().join("none.toml"), ": it does not exist");
        check(folder.path(), ": it is a folder");
        check(
            &write("latin.toml", b"# a\n# \xe9\n"),
            ": byte 6 (on line 2) is not valid UTF-8",
        );
        let latin = write("latin.cfg", b"global # caf\xe9\n");
        assert!(read(&latin, None).is_ok());
        check(
            &write("broken.cfg", b"global\n caf\xe9\n"),
            ": byte 11 (on line 2) is not valid UTF-8",
        );
        let large = write("large.toml", b"");
        fs::File::options()
            .write(true)
            .open(&large)
            .unwrap()
            .set_len(MAX_FILE_BYTES + 1)
            .unwrap();
        check(&large, ": it has more than 8388608 bytes");
    }
}
