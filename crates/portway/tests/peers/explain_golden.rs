//! `portway explain` has an answer for every configuration of the golden cases, whatever its rules are made of.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;

use serde_json::Value;

use crate::support::{PORTWAY, Scene};

/// The configurations of a dialect.
fn golden(kind: &str, ending: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../portway-dialects/tests/golden");
    let files = std::fs::read_dir(folder.join(kind)).unwrap();
    let mut files: Vec<PathBuf> = files.map(|it| it.unwrap().path()).collect();
    files.retain(|it| it.extension().is_some_and(|it| it == ending));
    files.sort();
    files
}

/// The ports of its `bind` lines, at most two.
fn ports(text: &str) -> BTreeSet<u16> {
    let binds = text
        .lines()
        .map(str::trim)
        .filter(|it| it.starts_with("bind "));
    let port = |line: &str| {
        let address = line.split_whitespace().nth(1)?;
        address.rsplit(':').next()?.parse().ok()
    };
    binds.filter_map(port).take(2).collect()
}

/// Asks about a few requests; how many were explained.
fn ask(scene: &Scene, file: &Path) -> usize {
    let text = std::fs::read_to_string(file).unwrap();
    let name = file.to_str().unwrap();
    let mut explained = 0;
    for port in ports(&text) {
        let url = format!("http://127.0.0.1:{port}/api/x?id=1");
        let words = ["explain", name, "--json", "--", "GET", &url];
        let more = ["-H", "Host: www.example.com", "-H", "Cookie: SRV=a; id=1"];
        let output = scene.run(PORTWAY, &[&words[..], &more].concat());
        let code = output.status.code();
        assert!(!output.stderr.contains("panicked"), "{name}: {output}");
        if code == Some(1) {
            // It says why: what it names is on no machine, or it is no configuration to run.
            assert!(!output.stderr.is_empty(), "{name}: {output}");
            continue;
        }
        assert_eq!(code, Some(0), "{name}: {output}");
        let told: Value = serde_json::from_str(&output.stdout).unwrap();
        assert!(told["end"]["is"].is_string(), "{name}: {told:#}");
        // Who is sent on is sent to a target of the group that is named.
        if told["end"]["is"] == "target" {
            let targets = told["target_group"]["targets"].as_array().unwrap().iter();
            let taken: Vec<_> = targets.filter(|it| it["standing"] == "taken").collect();
            assert_eq!(taken.len(), 1, "{name}: {told:#}");
            assert_eq!(taken[0]["name"], told["end"]["name"], "{name}");
        }
        explained += 1;
    }
    explained
}

#[test]
fn every_golden_haproxy_cfg_is_explained() {
    let scene = Scene::new();
    let files = golden("haproxy", "cfg");
    assert!(files.len() > 40, "{files:?}");
    let left = Mutex::new(files);
    let next = || left.lock().unwrap().pop();
    let work = || {
        let mut explained = 0;
        while let Some(file) = next() {
            explained += ask(&scene, &file);
        }
        explained
    };
    let explained: usize = thread::scope(|scope| {
        let workers = [(); 4].map(|()| scope.spawn(work));
        workers.into_iter().map(|it| it.join().unwrap()).sum()
    });
    eprintln!("{explained} requests were explained");
    assert!(explained >= 40, "{explained}");
}
