//! Sealed cookies over restarts: the key of the process is kept in the folder for state, and keys of the configuration rotate.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::echo::Echo;
use crate::stage::{Client, Stage, group, listener};
use crate::support::{Scene, free_port};

fn text(web: u16, ports: &[u16], values: &str) -> String {
    format!(
        "{}{}stickiness = {{ cookie = 'KEPT', values = {values} }}\n",
        listener("web", web, "app"),
        group("app", ports)
    )
}

/// Who answers without a cookie, and the cookie that is set.
fn first(web: u16) -> (String, String) {
    let mut client = Client::new(web);
    client.send("GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n");
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut client.0, &mut answer).unwrap();
    let after = |what: &str| {
        let mut lines = answer.lines();
        let found = lines.find_map(|it| {
            let (name, value) = it.split_at_checked(what.len())?;
            name.eq_ignore_ascii_case(what).then_some(value)
        });
        found
            .unwrap_or_else(|| panic!("no {what} in {answer}"))
            .to_owned()
    };
    let cookie = after("set-cookie: kept=");
    let cookie = cookie.split(';').next().unwrap().to_owned();
    (after("x-server: "), cookie)
}

/// True where ten requests with the cookie all come to this target, and none is given another cookie.
fn is_kept(web: u16, (target, cookie): &(String, String)) -> bool {
    let mut client = Client::new(web);
    (0..10).all(|_| {
        client.send(&format!(
            "GET / HTTP/1.1\r\nHost: a.example\r\nCookie: KEPT={cookie}\r\n\r\n"
        ));
        let head = client.answer();
        head.contains(&format!("x-server: {target}\r\n")) && !head.contains("set-cookie")
    })
}

#[test]
fn the_own_key_is_kept_in_the_folder_for_state() {
    let targets = ["a", "b", "c"].map(Echo::start);
    let ports = targets.map(|it| it.port);
    let web = free_port();
    let text = text(web, &ports, "'sealed'");
    let start = |scene| Stage::with(scene, &text, &["--state-dir", "state"]);
    let stop = |stage: Stage| {
        stage.portway.stop();
        stage.scene
    };
    let stage = start(Scene::new());
    let cookie = first(web);
    assert!(is_kept(web, &cookie));
    let file = stage.scene.path("state/cookie-keys");
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let kept = fs::read_to_string(&file).unwrap();
    // A reload, then a restart.
    stage.becomes(&format!("{text}retries = 2\n"));
    assert!(is_kept(web, &cookie));
    let stage = start(stop(stage));
    assert!(is_kept(web, &cookie));
    assert_eq!(fs::read_to_string(&file).unwrap(), kept);
    // Another month: a new key seals, the old one still opens.
    let scene = stop(stage);
    let (born, secret) = kept.lines().last().unwrap().split_once(' ').unwrap();
    let born: u64 = born.parse().unwrap();
    let old = |days: u64| format!("{} {secret}\n", born - days * 86_400);
    fs::write(&file, old(31)).unwrap();
    let stage = start(scene);
    assert!(is_kept(web, &cookie));
    let rotated = fs::read_to_string(&file).unwrap();
    assert_eq!(
        rotated.lines().filter(|it| !it.starts_with('#')).count(),
        2,
        "{rotated}"
    );
    let next = first(web);
    // One that has opened for a month too is forgotten.
    let scene = stop(stage);
    let newest = rotated.lines().find(|it| !it.starts_with('#')).unwrap();
    let (born, secret) = newest.split_once(' ').unwrap();
    let aged = born.parse::<u64>().unwrap() - 31 * 86_400;
    fs::write(&file, format!("{aged} {secret}\n{}", old(62))).unwrap();
    let stage = start(scene);
    assert!(is_kept(web, &next));
    assert!(!is_kept(web, &cookie));
    // What is broken is told, and a new key is made.
    let scene = stop(stage);
    fs::write(&file, "nonsense\n").unwrap();
    let stage = start(scene);
    assert!(!is_kept(web, &next));
    let anew = first(web);
    let scene = {
        let log = stage.portway.process.log();
        assert!(log.contains("holds no keys of cookies"), "{log}");
        stop(stage)
    };
    let stage = start(scene);
    assert!(is_kept(web, &anew));
    // A target that is down is left, and the client is kept with the next.
    let (target, _) = &anew;
    let gone = ["a", "b", "c"].iter().position(|it| it == target).unwrap();
    let others: Vec<u16> = (0..3)
        .filter(|it| *it != gone)
        .map(|it| ports[it])
        .collect();
    stage.becomes(&text.replace(&ports[gone].to_string(), &free_port().to_string()));
    assert!(!is_kept(web, &anew));
    let moved = first(web);
    assert!(is_kept(web, &moved));
    assert_eq!(others.len(), 2);
}

#[test]
fn keys_of_the_configuration_rotate() {
    let targets = ["a", "b", "c"].map(Echo::start);
    let ports = targets.map(|it| it.port);
    let web = free_port();
    let with = |values: &str| text(web, &ports, values);
    let stage = Stage::new(&with("{ sealed = 'one' }"));
    let old = first(web);
    stage.becomes(&with("{ sealed = ['two', 'one'] }"));
    assert!(is_kept(web, &old));
    let new = first(web);
    stage.becomes(&with("{ sealed = 'two' }"));
    assert!(is_kept(web, &new));
    assert!(!is_kept(web, &old));
}
