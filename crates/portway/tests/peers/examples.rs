//! The examples as a reader tries them: run.sh starts stand-ins and Portway, try.sh shows that it works, and Ctrl-C ends
//! everything. Every folder of `examples` is tried.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::support::{PORTWAY, Scene, eventually, free_offset, free_offset_up_to, local};

/// An example, and how it is called.
struct Example {
    folder: &'static str,
    /// Which of its variants.
    chosen: Option<(&'static str, &'static str)>,
    /// What must be free of what it uses, before the offset.
    ports: &'static [u16],
    /// The certificate that try.sh trusts, in the folder of run.sh.
    trusted: Option<&'static str>,
    /// Portway has something to warn of.
    warns: bool,
}

const EXAMPLES: [Example; 7] = [
    Example {
        folder: "codestream",
        chosen: Some(("SCHEME", "http")),
        ports: &[80, 81, 12_080, 12_081],
        trusted: None,
        warns: false,
    },
    Example {
        folder: "codestream",
        chosen: Some(("SCHEME", "https")),
        ports: &[443, 444, 12_443, 12_444],
        trusted: Some("balancer.crt"),
        // Of the policy ELBSecurityPolicy-2016-08.
        warns: true,
    },
    Example {
        folder: "electricflow",
        chosen: None,
        ports: &[80, 81, 443, 1936, 8000, 8001, 8443, 61_613, 61_614],
        trusted: Some("server.crt"),
        // Of `option tcplog` in a backend, and of the node that try.sh stops.
        warns: true,
    },
    Example {
        folder: "flow-enterprise",
        chosen: None,
        ports: &[80, 443, 8800, 8801],
        trusted: Some("ca.pem"),
        warns: false,
    },
    Example {
        folder: "hazelcast-flow",
        chosen: None,
        ports: &[80, 8080, 9021, 9022, 9023],
        trusted: None,
        warns: false,
    },
    Example {
        folder: "outscale",
        chosen: Some(("MODE", "termination")),
        ports: &[80, 81, 143, 144, 443, 444, 993],
        trusted: None,
        warns: false,
    },
    Example {
        folder: "outscale",
        chosen: Some(("MODE", "passthrough")),
        ports: &[80, 81, 143, 144, 443, 444, 993],
        trusted: None,
        warns: false,
    },
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

fn runs(example: &Example) {
    let scene = Scene::new();
    let highest = example.ports.iter().max().copied().unwrap_or(0);
    let offset = match highest {
        0..=40_000 => free_offset(example.ports),
        _ => free_offset_up_to(u16::MAX - highest, example.ports),
    };
    let admin = free_offset(&[0]);
    let run_dir = scene.path("run");
    let command = |script: &str| {
        let script = folder().join(example.folder).join(script);
        // As a reader calls it: by its name.
        let mut command = scene.command(&script.display().to_string(), &[]);
        command
            .env("PORTWAY", PORTWAY)
            .env("RUN_DIR", &run_dir)
            .env("PORT_OFFSET", offset.to_string())
            .env("ADMIN_PORT", admin.to_string())
            .envs(example.chosen);
        if let Some(file) = example.trusted {
            command.env("CA_FILE", run_dir.join(file));
        }
        command
    };
    let mut running = scene.spawn_command(command("run.sh"));
    running.wait_for(local(admin));
    let mut trying = scene.spawn_command(command("try.sh"));
    let tried = trying.wait();
    let (said, log) = (trying.log(), running.log());
    let good = tried.success() && said.ends_with("all is well\n");
    assert!(good, "{}: {said}\n{log}", example.folder);
    running.signal(Signal::TERM);
    assert_eq!(running.wait().code(), Some(0), "{}", running.log());
    let log = running.log();
    assert_eq!(log.to_lowercase().contains("warn"), example.warns, "{log}");
    eventually("nothing of it is left", || {
        let mut ports = example.ports.iter();
        let free = |port: &u16| std::net::TcpListener::bind(("0.0.0.0", offset + port)).is_ok();
        ports.all(free).then_some(())
    });
}

/// Those of a folder; run.sh and try.sh are called by their names.
fn try_folder(name: &str) {
    let examples = EXAMPLES.iter().filter(|it| it.folder == name);
    assert!(examples.clone().count() > 0);
    examples.for_each(runs);
}

#[test]
fn codestream() {
    try_folder("codestream");
}

#[test]
fn electricflow() {
    try_folder("electricflow");
}

#[test]
fn flow_enterprise() {
    try_folder("flow-enterprise");
}

#[test]
fn hazelcast_flow() {
    try_folder("hazelcast-flow");
}

#[test]
fn outscale() {
    try_folder("outscale");
}

#[test]
fn every_folder_is_tried() {
    let folders = fs::read_dir(folder()).unwrap().map(|it| it.unwrap());
    let folders: BTreeSet<String> = folders
        .filter(|it| it.path().is_dir())
        .map(|it| it.file_name().into_string().unwrap())
        .collect();
    let tried: BTreeSet<String> = EXAMPLES.iter().map(|it| it.folder.to_owned()).collect();
    assert_eq!(folders, tried);
    for name in folders {
        assert!(folder().join(&name).join("README.md").is_file(), "{name}");
    }
}
