//! Every example of `docs/native.md` runs, or is refused by the name of the part that does not run yet.
//!
//! The examples name addresses and files of nobody's machine: each is put on free ports of this one, with a
//! certificate of its own and targets that nobody listens on, and installed as `portway run` would do it.
#![cfg(test)]

use portway_control::bind::Neighbour;
use portway_control::history::History;
use portway_control::install::{Stop, Stopped, install};
use portway_control::sources::compile_text;
use portway_control::tls::self_signed::self_signed;
use portway_model::action::{Action, AnswerBody, FixedResponse, Phase};
use portway_model::address::{BindAddress, TargetAddress};
use portway_model::diagnostic::{Code, Severity};
use portway_model::draft::Verify;
use portway_model::jwt::KeySource;
use portway_model::log::LogDestination;
use portway_model::settings::ErrorPageSource;
use portway_model::snapshot::Snapshot;
use rustls_pki_types::UnixTime;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

const REFERENCE: &str = include_str!("../../../docs/native.md");
/// So many examples run today; raise it with each part that comes.
const RUN: usize = 5;
const NOBODY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// The examples of a page, each with the line that it begins on.
fn examples(page: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut lines = page.lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        if line == "```toml" {
            let text: Vec<&str> = lines
                .by_ref()
                .map(|(line, _)| line)
                .take_while(|line| *line != "```")
                .collect();
            found.push((number, text.join("\n")));
        }
    }
    found
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// Puts a configuration onto this machine.
fn place(snapshot: &mut Snapshot, folder: &Path) {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let made = self_signed(&["a.example".into()], 30, UnixTime::now()).unwrap();
    std::fs::write(
        path("all.pem"),
        format!("{}{}", made.certificate_pem, made.key_pem),
    )
    .unwrap();
    std::fs::write(path("ca.pem"), &made.certificate_pem).unwrap();
    std::fs::write(path("page.html"), "a page").unwrap();
    for (listener, number) in snapshot.listeners.iter_mut().map(Arc::make_mut).zip(0..) {
        if let Some(tls) = &mut listener.tls {
            let clients = &mut tls.clients;
            for ca in clients.ca.iter_mut().chain(&mut clients.unnamed_ca) {
                *ca = path("ca.pem");
            }
            tls.clients.crl = None;
        }
        // This machine's interfaces, networks and rights are not the reference's.
        listener.socket.interface = None;
        listener.socket.packets_from = None;
        listener.socket.transparent = false;
        for (bind, nth) in listener.binds.iter_mut().zip(0..) {
            bind.value = match &bind.value {
                BindAddress::Unix(_) => BindAddress::unix(path(&format!("{number}-{nth}.sock"))),
                _ => BindAddress::tcp(Some(Ipv4Addr::LOCALHOST.into()), free_port()),
            };
        }
        for to in listener.access_log.iter_mut().flat_map(|log| &mut log.to) {
            if let LogDestination::File(file) = to {
                *file = path("access.log");
            }
        }
        listener
            .error_pages
            .iter_mut()
            .for_each(|page| page.page = ErrorPageSource::File(path("page.html")));
    }
    let listeners = snapshot.listeners.iter_mut().map(Arc::make_mut);
    let listeners = listeners.map(|it| &mut it.rules);
    let groups = snapshot.groups.iter_mut().map(Arc::make_mut);
    let groups = groups.map(|it| &mut it.rules);
    for rules in listeners.chain(groups) {
        for phase in Phase::ALL {
            let actions = rules.of_mut(phase).iter_mut();
            for action in actions.flat_map(|rule| &mut rule.actions) {
                if let Action::Jwt(jwt) = action {
                    place_keys(&mut Arc::make_mut(jwt).keys, path);
                }
                if let Action::Respond(FixedResponse { body, .. }) = action
                    && matches!(body, AnswerBody::File(_) | AnswerBody::ErrorPageFile(_))
                {
                    *body = AnswerBody::File(path("page.html"));
                }
            }
        }
    }
    if let Some(traces) = &mut snapshot.process.traces {
        traces.value.ca = traces.value.ca.as_ref().map(|_| path("ca.pem"));
    }
    std::fs::write(path("map"), "key value\n").unwrap();
    for map in &mut snapshot.maps {
        map.file = map.file.as_ref().map(|_| path("map"));
    }
    for certificate in &mut snapshot.certificates {
        (certificate.file, certificate.key) = (path("all.pem"), None);
    }
    for group in snapshot.groups.iter_mut().map(Arc::make_mut) {
        group
            .targets
            .iter_mut()
            .for_each(|target| target.address = TargetAddress::socket(NOBODY));
        if let Some(tls) = &mut group.tls
            && let Verify::Ca(files) = &mut tls.verify
        {
            *files = vec![path("ca.pem")];
        }
    }
}

fn place_keys(keys: &mut KeySource, path: impl Fn(&str) -> String) {
    match keys {
        KeySource::File(file) => *file = path("ca.pem"),
        KeySource::Secret(file) => {
            std::fs::write(path("secret"), [b'x'; 64]).unwrap();
            *file = path("secret");
        }
        KeySource::Url(url) => url.ca = url.ca.as_ref().map(|_| path("ca.pem")),
    }
}

/// Compiles and installs an example; what it is refused for, if it is.
async fn run(line: usize, text: &str) -> Option<String> {
    let compiled = compile_text("example.toml", text);
    let mut snapshot = compiled
        .snapshot
        .unwrap_or_else(|| panic!("line {line}: {:?}", compiled.diagnostics));
    if snapshot.listeners.is_empty() {
        return Some("a fragment without a listener".to_owned());
    }
    let folder = tempfile::tempdir().unwrap();
    place(&mut snapshot, folder.path());
    match install(
        snapshot,
        &compiled.sources,
        &Neighbour::None,
        (None, History::default()),
    )
    .await
    {
        Ok((running, _)) => {
            for listener in &running.snapshot().listeners {
                for bind in &listener.binds {
                    if let BindAddress::Tcp { first_port, .. } = bind.value {
                        let connected = TcpStream::connect((Ipv4Addr::LOCALHOST, first_port));
                        connected.unwrap_or_else(|error| {
                            panic!("line {line}: {}: {error}", listener.name)
                        });
                    }
                }
            }
            assert_eq!(
                running.stop("the test", Stop::Gracefully).await,
                Stopped::Finished,
                "line {line}: it does not end"
            );
            None
        }
        Err(refused) => {
            let errors = refused.iter().filter(|it| it.severity == Severity::Error);
            for error in errors.clone() {
                assert_eq!(error.code, Code::NotRun, "line {line}: {error:?}");
            }
            Some(
                errors
                    .map(|error| error.message.as_str())
                    .collect::<Vec<_>>()
                    .join("; "),
            )
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_example_runs_or_is_refused_by_name() {
    let examples = examples(REFERENCE);
    assert!(examples.len() > 10, "the examples are gone");
    let mut ran = 0;
    for (line, text) in &examples {
        match run(*line, text).await {
            None => ran += 1,
            Some(parts) => println!("docs/native.md:{line}: {parts}"),
        }
    }
    println!("{ran} of {} examples ran", examples.len());
    assert!(
        ran >= RUN,
        "only {ran} examples ran, {RUN} did before: a part that ran is refused"
    );
}
