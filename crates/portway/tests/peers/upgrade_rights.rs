//! An upgrade of a process that has become another user, has another root, or is the first of its name space.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use rustix::process::{Signal, geteuid};

use crate::echo::Echo;
use crate::stage::{Client, group, listener};
use crate::support::{Scene, eventually, free_port};
use crate::upgrade::{Stage, get, is_there, signal};

fn is_root() -> bool {
    let is_root = geteuid().is_root();
    if !is_root {
        eprintln!("skipped: only root can become somebody else");
    }
    is_root
}

#[test]
fn the_folder_of_the_history_belongs_to_who_writes_there() {
    if !is_root() {
        return;
    }
    let one = Echo::start("one");
    let scene = Scene::new();
    fs::set_permissions(scene.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    let folder = scene.path("state/portway");
    let text = format!(
        "[process]\nuser = 'nobody'\n{}{}",
        listener("web", free_port(), "app"),
        group("app", &[one.port])
    );
    let words = ["--state-dir", folder.to_str().unwrap()];
    let stage = Stage::with(scene, &text, &words);
    let kept = folder.join("generations/00000001.toml");
    eventually("it is kept", || kept.exists().then_some(()));
    for it in [&folder, &kept] {
        assert_eq!(fs::metadata(it).unwrap().uid(), 65_534, "{}", it.display());
    }
    assert!(
        !stage.first.log().contains("history"),
        "{}",
        stage.first.log()
    );
}

#[test]
fn another_user() {
    if !is_root() {
        return;
    }
    let one = Echo::start("one");
    let web = free_port();
    let scene = Scene::new();
    fs::set_permissions(scene.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    let pid_file = scene.path("pid");
    let text = |workers: usize| {
        format!(
            "[process]\nuser = 'nobody'\npid_file = '{}'\nworkers = {workers}\n{}{}",
            pid_file.display(),
            listener("web", web, "app"),
            group("app", &[one.port])
        )
    };
    let stage = Stage::with_workers_of_file(scene, &text(2));
    let says = || {
        fs::read_to_string(&pid_file)
            .unwrap()
            .trim()
            .parse::<u64>()
            .unwrap()
    };
    assert_eq!(says(), stage.process());
    // More workers than root has made sockets for.
    fs::write(&stage.file, text(4)).unwrap();
    stage.upgrade();
    let process = stage.process();
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    assert!(status.contains("Uid:\t65534\t"), "{status}");
    assert_eq!(says(), process);
    stage.upgrade();
    assert_eq!(says(), stage.process());
    for _ in 0..50 {
        assert_eq!(get(web), "200");
    }
    // What it may not do any more is said, and changes nothing.
    let secret = stage.scene.file("secret.pem", "");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let tls = listener("tls", free_port(), "app")
        + "protocol = 'https'\ncertificate_files = ['secret.pem']\n";
    fs::write(&stage.file, text(4) + &tls).unwrap();
    let answer = stage.refused(&[]);
    assert!(
        answer.to_string().contains("does not permit it"),
        "{answer:#}"
    );
    assert_eq!(get(web), "200");
}

#[test]
fn another_root() {
    if !is_root() {
        return;
    }
    let one = Echo::start("one");
    let web = free_port();
    let scene = Scene::new();
    let jail = scene.path("jail");
    fs::create_dir(&jail).unwrap();
    let text = format!(
        "[process]\nchroot = '{}'\n{}{}",
        jail.display(),
        listener("web", web, "app"),
        group("app", &[one.port])
    );
    let stage = Stage::with(scene, &text, &[]);
    let answer = stage.refused(&[]);
    let error = answer["error"].as_str().unwrap();
    assert!(
        error.contains("(`chroot`)") && error.contains("restart it instead"),
        "{error}"
    );
    assert_eq!(get(web), "200");
}

/// Process 1 stays as the parent of those that follow one another, and ends with the last.
#[test]
fn the_first_process_of_a_container() {
    let contained = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];
    let can = Scene::new().run(contained[0], &[&contained[1..], &["true"]].concat());
    if !can.status.success() {
        eprintln!("skipped: this user cannot have a name space of processes: {can}");
        return;
    }
    let (one, two) = (Echo::start("one"), Echo::start("two"));
    let web = free_port();
    let text = listener("web", web, "app") + &group("app", &[one.port]);
    let mut stage = Stage::started_by(Scene::new(), &text, &contained);
    assert_eq!(stage.process(), 1);
    for _ in 0..3 {
        stage.upgrade();
        assert_ne!(stage.process(), 1);
        assert_eq!(get(web), "200");
    }
    let log = stage.first.log();
    eventually("all but the last have finished", || {
        (stage
            .first
            .log()
            .matches("event=\"shutdown_ended\"")
            .count()
            == 3)
            .then_some(())
    });
    let outer = stage.first.id();
    let children = fs::read_to_string(format!("/proc/{outer}/task/{outer}/children")).unwrap();
    let init: u64 = children.trim().parse().unwrap();
    assert!(is_there(init), "{log}");
    // Signals go to the one that serves.
    let text = listener("web", web, "app") + &group("app", &[two.port]);
    fs::write(&stage.file, text).unwrap();
    signal(init, Signal::HUP);
    eventually("it has reloaded", || {
        (Client::new(web).ask("/") == "two").then_some(())
    });
    signal(init, Signal::TERM);
    let status = stage.first.wait();
    assert!(status.success(), "{status}: {}", stage.first.log());
    let log = stage.first.log();
    assert!(
        log.contains("stopping (SIGTERM)") && !log.contains("panicked"),
        "{log}"
    );
}
