//! Shares of several groups, and their order, while targets die, drain and come back.

use std::collections::BTreeMap;

use crate::choice::{CHECK, Mortal};
use crate::stage::{Client, Stage};
use crate::support::{Scene, free_port, local};

fn text(web: u16, forward: &str, groups: &[(&str, &[String], &str)]) -> String {
    let mut text = format!("[listener.web]\nbind = '127.0.0.1:{web}'\nforward = {forward}\n");
    for (name, targets, more) in groups {
        let targets = targets.join(", ");
        text += &format!("[target_group.{name}]\ntargets = [{targets}]\n{CHECK}\n{more}\n");
    }
    text
}

/// How often each target answers a hundred requests.
fn shares(web: u16) -> BTreeMap<String, u32> {
    let mut client = Client::new(web);
    let mut shares = BTreeMap::new();
    for _ in 0..100 {
        *shares.entry(client.ask("/")).or_default() += 1;
    }
    shares
}

/// About so many, of shares that take turns on each worker.
#[track_caller]
fn near(web: u16, expected: &[(&str, u32)]) {
    let shares = shares(web);
    let known: Vec<&str> = shares.keys().map(String::as_str).collect();
    let names: Vec<&str> = expected.iter().map(|it| it.0).collect();
    assert_eq!(known, names, "{shares:?}");
    for (name, count) in expected {
        assert!(shares[*name].abs_diff(*count) <= 4, "{shares:?}");
    }
}

#[test]
fn the_share_of_a_group_without_targets_goes_to_the_others() {
    let scene = Scene::new();
    let web = free_port();
    let [mut a, mut b, mut c] = ["a", "b", "c"].map(|name| Mortal::start(&scene, name));
    let [of_a, of_b, of_c] = [&a, &b, &c].map(|it| [it.target("")]);
    let groups = [("a", &of_a[..], ""), ("b", &of_b, ""), ("c", &of_c, "")];
    let with = |forward| text(web, forward, &groups);
    let stage = Stage::with(scene, &with("{ a = 60, b = 30, c = 10 }"), &[]);
    let is = |mortal: &Mortal, wanted: &str| {
        let at = local(mortal.port);
        stage.portway.wait_for_health(mortal.name, at, wanted);
    };
    for mortal in [&a, &b, &c] {
        is(mortal, "healthy");
    }
    near(web, &[("a", 60), ("b", 30), ("c", 10)]);
    a.die();
    is(&a, "unhealthy");
    near(web, &[("b", 75), ("c", 25)]);
    let url = format!("http://127.0.0.1:{web}/");
    let explained = stage.command(&["explain", "--", "GET", &url]).good();
    let told = explained.contains("b 75 %, c 25 %; a has no healthy target");
    assert!(told, "{explained}");
    // A reload knows it as well, and so does one that changes the shares.
    stage.becomes(&with("{ a = 60, b = 10, c = 10 }"));
    near(web, &[("b", 50), ("c", 50)]);
    // What drains by command takes nothing new.
    stage.command(&["drain", "group", "b", "--wait"]).good();
    near(web, &[("c", 100)]);
    // Nobody is left: it is answered for as before.
    c.die();
    is(&c, "unhealthy");
    let status = stage.scene.status(&[&url]);
    assert_eq!(status, "503");
    stage.command(&["undrain", "group", "b"]).good();
    near(web, &[("b", 100)]);
    a.revive(&stage.scene);
    is(&a, "healthy");
    near(web, &[("a", 86), ("b", 14)]);
    b.die();
}

#[test]
fn groups_are_asked_in_order_where_too_few_of_one_are_healthy() {
    let scene = Scene::new();
    let web = free_port();
    let [mut a, mut b, mut c, mut d] = ["a", "b", "c", "d"].map(|name| Mortal::start(&scene, name));
    let first = [a.target(""), b.target("")];
    let (second, third) = ([c.target("")], [d.target("")]);
    let enough = |enough: &'static str| {
        let groups = [
            ("first", &first[..], enough),
            ("second", &second, ""),
            ("third", &third, ""),
        ];
        text(web, "['first', { second = 1 }, 'third']", &groups)
    };
    let stage = Stage::with(scene, &enough("min_healthy = '100%'"), &[]);
    let is = |group: &str, mortal: &Mortal, wanted: &str| {
        stage
            .portway
            .wait_for_health(group, local(mortal.port), wanted);
    };
    is("first", &a, "healthy");
    is("first", &b, "healthy");
    is("second", &c, "healthy");
    is("third", &d, "healthy");
    near(web, &[("a", 50), ("b", 50)]);
    // Dead and not known to be: what fails is tried again within its group.
    a.die();
    let early = shares(web);
    assert_eq!(early.values().sum::<u32>(), 100, "{early:?}");
    is("first", &a, "unhealthy");
    // One of two is not all.
    near(web, &[("c", 100)]);
    let url = format!("http://127.0.0.1:{web}/");
    let explained = stage.command(&["explain", "--", "GET", &url]).good();
    let told = explained.contains("second; first has too few healthy targets; third comes later");
    assert!(told, "{explained}");
    // A reload to half of them takes them back.
    stage.becomes(&enough("min_healthy = { count = 1, percent = 50 }"));
    near(web, &[("b", 100)]);
    stage.becomes(&enough("min_healthy = 2"));
    near(web, &[("c", 100)]);
    // The others have nobody: those that are too few serve before nobody does.
    c.die();
    is("second", &c, "unhealthy");
    near(web, &[("d", 100)]);
    d.die();
    is("third", &d, "unhealthy");
    near(web, &[("b", 100)]);
    b.die();
    is("first", &b, "unhealthy");
    assert_eq!(stage.scene.status(&[&url]), "503");
    // With fail_open all of a group are asked, also those that are not known to be back.
    c.revive(&stage.scene);
    is("second", &c, "healthy");
    near(web, &[("c", 100)]);
    a.revive(&stage.scene);
    b.revive(&stage.scene);
    is("first", &a, "healthy");
    is("first", &b, "healthy");
    near(web, &[("a", 50), ("b", 50)]);
}

/// How often each status and target answers a hundred requests.
fn answers(scene: &Scene, web: u16) -> BTreeMap<String, u32> {
    let url = format!("http://127.0.0.1:{web}/?[1-100]");
    let all = scene.curl(&[
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}%header{x-server}\n",
        &url,
    ]);
    let mut answers = BTreeMap::new();
    for line in all.good().lines() {
        *answers.entry(line.to_owned()).or_default() += 1;
    }
    answers
}

#[test]
fn a_share_that_is_kept_is_nobody_elses() {
    let scene = Scene::new();
    let web = free_port();
    let [mut a, b] = ["a", "b"].map(|name| Mortal::start(&scene, name));
    let [of_a, of_b] = [&a, &b].map(|it| [it.target("")]);
    let with = |kept: &str| {
        let groups = [("a", &of_a[..], kept), ("b", &of_b, kept)];
        text(web, "{ a = 50, b = 50 }", &groups)
    };
    let kept = "keep_share = true";
    let open = "keep_share = true\nwhen_none_healthy = 'fail_open'\nretries = 1";
    let stage = Stage::with(scene, &with(kept), &[]);
    let is = |mortal: &Mortal, wanted: &str| {
        let at = local(mortal.port);
        stage.portway.wait_for_health(mortal.name, at, wanted);
    };
    is(&a, "healthy");
    is(&b, "healthy");
    near(web, &[("a", 50), ("b", 50)]);
    a.die();
    is(&a, "unhealthy");
    // Refused by a group that has nobody, tried in vain where it fails open, and no more than its share either way.
    for (group, status) in [(kept, "503"), (open, "502")] {
        stage.becomes(&with(&format!("{group}\nlog_health_checks = true")));
        let answers = answers(&stage.scene, web);
        let known: Vec<&str> = answers.keys().map(String::as_str).collect();
        assert_eq!(known, ["200b", status], "{group}: {answers:?}");
        assert!(answers["200b"].abs_diff(50) <= 25, "{group}: {answers:?}");
    }
    // Without it the other group has all.
    stage.becomes(&with(""));
    near(web, &[("b", 100)]);
    stage.becomes(&with(kept));
    a.revive(&stage.scene);
    is(&a, "healthy");
    near(web, &[("a", 50), ("b", 50)]);
}
