//! The same haproxy.cfg and the same requests through HAProxy 2.6 and through Portway: `tests/differential/README.md`.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use serde_json::Value;

use crate::certificates;
use crate::echo::Echo;
use crate::support::{PATIENCE, PORTWAY, Process, Scene, free_port, local};

/// A test for each file of the folder, and one that sees that none is left out.
macro_rules! files {
    ($($test:ident)*) => {
        $(#[test]
        fn $test() {
            let failed = run(&folder(), &stringify!($test).replace('_', "-"));
            assert!(failed.is_empty(), "\n{}", failed.join("\n"));
        })*

        #[test]
        fn every_file_has_a_test() {
            let mut names: Vec<String> = fs::read_dir(folder())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .filter_map(|name| name.strip_suffix(".cfg").map(|name| name.replace('-', "_")))
                .collect();
            names.sort();
            assert_eq!(names, [$(stringify!($test)),*]);
        }
    };
}
files! { acl balance basic client_faults closing conditions ended errors expressions frontend_alone headers heads hosts lesser_words listen listener_tls log_default log_format look_around maps own_answers protocols redirects request_rules request_targets response_rules retry rule_changes samples servers_tls sizes stats stick sticky_insert sticky_rewrite tables targets tcp tcp_inspect tokens use_server users variables }

/// The same over HTTP/2, which a proxy makes of the requests for both.
macro_rules! over_http2 {
    ($($test:ident $file:literal)*) => {
        $(#[test]
        fn $test() {
            let failed = run_over_http2(&folder(), $file);
            assert!(failed.is_empty(), "\n{}", failed.join("\n"));
        })*
    };
}
over_http2! {
    http2_acl "acl"
    http2_basic "basic"
    http2_conditions "conditions"
    http2_expressions "expressions"
    http2_headers "headers"
    http2_log_format "log-format"
    http2_maps "maps"
    http2_redirects "redirects"
    http2_request_rules "request-rules"
    http2_response_rules "response-rules"
    http2_samples "samples"
    http2_sticky_insert "sticky-insert"
    http2_sticky_rewrite "sticky-rewrite"
    http2_use_server "use-server"
    http2_users "users"
    http2_variables "variables"
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential")
}

/// The programs that are held against HAProxy.
const RIVALS: [&str; 2] = ["haproxy.cfg", "converted"];

/// Runs one file over HTTP/2. What differs over HTTP/1.1 may differ here too.
fn run_over_http2(folder: &Path, name: &str) -> Vec<String> {
    let known = allowed(&folder.join(format!("{name}.differs")));
    let more = allowed(&folder.join(format!("{name}.http2-differs")));
    let found = compare(&Scene::new(), folder, name, RIVALS[0], Version::Http2);
    let all: Vec<Allowed> = known.into_iter().chain(more).collect();
    let (failed, _) = judged(&found, RIVALS[0], name, &all);
    failed
}

/// What requests come in.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Version {
    Http1,
    Http2,
}

/// Runs one file against all rivals at once; what differs and may not, and what does not and should.
fn run(folder: &Path, name: &str) -> Vec<String> {
    let allowed = &allowed(&folder.join(format!("{name}.differs")));
    thread::scope(|scope| {
        let rivals =
            RIVALS.map(|rival| scope.spawn(move || run_against(rival, folder, name, allowed)));
        rivals
            .into_iter()
            .flat_map(|it| it.join().unwrap())
            .collect()
    })
}

fn run_against(rival: &str, folder: &Path, name: &str, allowed: &[Allowed]) -> Vec<String> {
    let found = compare(&Scene::new(), folder, name, rival, Version::Http1);
    let (mut failed, unused) = judged(&found, rival, name, allowed);
    let unused = unused.iter();
    failed.extend(
        unused.map(|it| format!("{name} ({rival}): nothing differs as `{}` says", it.line)),
    );
    failed
}

/// What differs and may not, and what may differ and does not.
fn judged<'a>(
    found: &Value,
    rival: &str,
    name: &str,
    allowed: &'a [Allowed],
) -> (Vec<String>, Vec<&'a Allowed>) {
    let mut failed = Vec::new();
    let mut unused: Vec<&Allowed> = allowed.iter().filter(|it| it.concerns(rival)).collect();
    for request in found["compared"].as_array().unwrap() {
        let title = request["title"].as_str().unwrap();
        for difference in request["differences"].as_array().unwrap() {
            let what = difference["what"].as_str().unwrap();
            let covers = |it: &&Allowed| it.concerns(rival) && it.covers(title, what);
            if allowed.iter().any(|it| covers(&it)) {
                unused.retain(|it| !it.covers(title, what));
            } else {
                let text = |side: &str| difference[side].as_str().unwrap_or("(none)").to_owned();
                let (old, new) = (text("old"), text("new"));
                failed.push(format!(
                    "{name} ({rival}), {title}: {what}\n    haproxy  {old:?}\n    portway  {new:?}"
                ));
            }
        }
    }
    (failed, unused)
}

/// A line of a `.differs` file.
struct Allowed {
    line: String,
    rival: Option<String>,
    title: String,
    what: String,
}

impl Allowed {
    fn concerns(&self, rival: &str) -> bool {
        self.rival.as_deref().is_none_or(|it| it == rival)
    }

    fn covers(&self, title: &str, what: &str) -> bool {
        (self.title == "*" || self.title == title) && self.what == what
    }
}

fn allowed(path: &Path) -> Vec<Allowed> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .map(|line| line.split('#').next().unwrap().trim())
        .filter(|line| !line.is_empty())
        .map(|line| {
            let (rival, rest) = match line.strip_prefix('[').and_then(|it| it.split_once(']')) {
                Some((rival, rest)) => (Some(rival.to_owned()), rest.trim()),
                None => (None, line),
            };
            let (title, what) = rest.rsplit_once(": ").unwrap();
            Allowed {
                line: line.to_owned(),
                rival,
                title: title.to_owned(),
                what: what.to_owned(),
            }
        })
        .collect()
}

/// What `portway compare` finds between HAProxy and a rival.
fn compare(scene: &Scene, folder: &Path, name: &str, rival: &str, version: Version) -> Value {
    let file = folder.join(format!("{name}.cfg"));
    if fs::read_to_string(&file).unwrap().contains("${CERTS}") {
        certificates::everybody(scene);
    }
    let targets: Vec<Echo> = ["s1", "s2", "s3", "s4"].map(Echo::start).into();
    let dead = free_port();
    let surroundings = || {
        let mut all: BTreeMap<String, String> = BTreeMap::new();
        for (target, number) in targets.iter().zip(1..) {
            all.insert(format!("S{number}"), target.port.to_string());
        }
        for variable in ["PORT", "PORT2", "PORT3"] {
            all.insert(variable.to_owned(), free_port().to_string());
        }
        // The socket that claims a port stays open: compare must be able to bind its own.
        all.insert("LOG".to_owned(), unclaimed_udp_port().to_string());
        all.insert("DEAD".to_owned(), dead.to_string());
        all.insert("DIR".to_owned(), folder.display().to_string());
        all.insert("CERTS".to_owned(), scene.path("").display().to_string());
        all
    };
    let (old, new) = (surroundings(), surroundings());
    let file = file.display().to_string();
    // With one thread a connection is counted as closed before the next is accepted: logs tell how many there are.
    let threads = scene.file("threads.cfg", "global\n  nbthread 1\n");
    let threads = threads.display().to_string();
    let haproxy = serve(
        scene,
        &old,
        "haproxy",
        &["-db", "-f", &threads, "-f", &file],
    );
    let portway = match rival {
        "haproxy.cfg" => serve(scene, &new, &link(scene), &["-db", "-f", &file]),
        _ => {
            let mut convert = scene.command(PORTWAY, &["convert", "--as", "haproxy", &file]);
            let output = convert.envs(&new).output().unwrap();
            assert!(
                output.status.success(),
                "{name}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            scene.file("converted.toml", &output.stdout);
            let admin = format!("127.0.0.1:{}", free_port());
            serve(
                scene,
                &new,
                PORTWAY,
                &["run", "converted.toml", "--admin", &admin],
            )
        }
    };
    let requests = folder.join(format!("{name}.http")).display().to_string();
    let address = |of: &BTreeMap<String, String>, key: &str| format!("127.0.0.1:{}", of[key]);
    let translators =
        [&old, &new].map(|of| (version == Version::Http2).then(|| translator(scene, &of["PORT"])));
    let front = |of: &BTreeMap<String, String>, place: usize| match &translators[place] {
        Some((port, _)) => format!("127.0.0.1:{port}"),
        None => address(of, "PORT"),
    };
    let output = scene.run(
        PORTWAY,
        &[
            "compare",
            "--json",
            "--from",
            &requests,
            "--old",
            &front(&old, 0),
            "--new",
            &front(&new, 1),
            "--old-syslog",
            &address(&old, "LOG"),
            "--new-syslog",
            &address(&new, "LOG"),
        ],
    );
    drop((haproxy, portway));
    serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{name}: {output}"))
}

/// A proxy that makes requests of HTTP/2 in clear of those that it gets, and its port.
fn translator(scene: &Scene, to: &str) -> (u16, Process) {
    let port = free_port();
    let front = format!("--frontend=127.0.0.1,{port};no-tls");
    let back = format!("--backend=127.0.0.1,{to};;proto=h2");
    let plain = [
        "--conf=/dev/null",
        "--workers=1",
        "--no-via",
        "--no-server-rewrite",
        "--no-location-rewrite",
        "--no-add-x-forwarded-proto",
        "--no-strip-incoming-x-forwarded-proto",
    ];
    let mut process = scene.spawn("nghttpx", &[&[front.as_str(), &back], &plain[..]].concat());
    process.wait_for(local(port));
    (port, process)
}

/// Portway by the name of haproxy.
fn link(scene: &Scene) -> String {
    let path: PathBuf = scene.path("haproxy");
    if !path.exists() {
        std::os::unix::fs::symlink(PORTWAY, &path).unwrap();
    }
    path.display().to_string()
}

fn serve(
    scene: &Scene,
    surroundings: &BTreeMap<String, String>,
    program: &str,
    arguments: &[&str],
) -> Process {
    let mut command: Command = scene.command(program, arguments);
    command.envs(surroundings);
    let mut process = scene.spawn_command(command);
    let address = local(surroundings["PORT"].parse().unwrap());
    process.wait_for(address);
    answers_an_end(address);
    process
}

/// Waits until a client that says nothing has been let go: it counts, as the one before it does, until then.
fn answers_an_end(address: SocketAddr) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.read_to_end(&mut Vec::new()).ok();
}

pub(crate) fn unclaimed_udp_port() -> u16 {
    let socket = std::net::UdpSocket::bind(local(0)).unwrap();
    socket.local_addr().unwrap().port()
}
