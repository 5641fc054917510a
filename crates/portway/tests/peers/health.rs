//! Health checks against a real nginx that dies, comes back and answers this or that.

use crate::support::{Portway, Process, Scene, free_port, local};

/// nginx as a target on `port`: `/ok` is 200, `/moved` 302, `/ill` 503; anything else answers the name.
fn target(scene: &Scene, port: u16, name: &str) -> Process {
    let block = format!(
        r#"server {{
    listen 127.0.0.1:{port};
    location / {{ return 200 "{name}\n"; }}
    location /ok {{ return 200 "fine, $http_host\n"; }}
    location /moved {{ return 302 /ok; }}
    location /ill {{ return 503; }}
}}"#
    );
    scene.nginx(port, &block)
}

/// An HTTP listener in front of `targets`, with `group` as further lines of the group.
fn portway(scene: &Scene, port: u16, targets: &[u16], group: &str) -> Portway {
    let targets: Vec<String> = targets
        .iter()
        .map(|it| format!("'127.0.0.1:{it}'"))
        .collect();
    scene.portway(&format!(
        "[listener.web]\nbind = '127.0.0.1:{port}'\nforward = 'app'\n\
         [target_group.app]\ntargets = [{}]\n{group}\n",
        targets.join(", ")
    ))
}

/// The sorted answers of ten requests, each once; a request without answer fails.
fn answers(scene: &Scene, port: u16) -> Vec<String> {
    let url = format!("http://127.0.0.1:{port}/");
    let all = scene.curl(&["-f", &format!("{url}?[1-10]")]).good();
    let mut seen: Vec<String> = all.lines().map(str::to_owned).collect();
    assert_eq!(seen.len(), 10, "{all}");
    seen.sort();
    seen.dedup();
    seen
}

#[test]
fn a_target_leaves_and_comes_back() {
    for kind in ["tcp = true", "http = '/ok'"] {
        let scene = Scene::new();
        let [port, a, b] = [(); 3].map(|()| free_port());
        let _a = target(&scene, a, "a");
        let killed = target(&scene, b, "b");
        let check = format!("health_check = {{ {kind}, interval = '100ms', timeout = '5s' }}");
        let portway = portway(&scene, port, &[a, b], &check);
        portway.wait_for_health("app", local(a), "healthy");
        assert!(
            portway
                .wait_for_health("app", local(b), "healthy")
                .contains("passed")
        );
        assert_eq!(answers(&scene, port), ["a", "b"], "{kind}");

        drop(killed);
        // Dead and not yet known to be: another target is asked, the client sees nothing of it.
        assert_eq!(answers(&scene, port), ["a"], "{kind}");
        let reason = portway.wait_for_health("app", local(b), "unhealthy");
        assert!(reason.contains("connection refused"), "{kind}: {reason}");
        assert_eq!(answers(&scene, port), ["a"], "{kind}");

        let _b = target(&scene, b, "b");
        portway.wait_for_health("app", local(b), "healthy");
        assert_eq!(answers(&scene, port), ["a", "b"], "{kind}");
        let log = portway.stop();
        for event in ["is unhealthy (was healthy)", "is healthy (was unhealthy)"] {
            assert!(log.contains(event), "{kind}: {log}");
        }
    }
}

#[test]
fn what_counts_as_healthy() {
    let scene = Scene::new();
    let [port, a, https, nobody] = [(); 4].map(|()| free_port());
    let _a = target(&scene, a, "a");
    let key = [
        "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=a", "-keyout", "a.key",
    ];
    scene
        .run("openssl", &[&key[..], &["-out", "a.pem"]].concat())
        .good();
    let block = format!(
        "server {{ listen 127.0.0.1:{https} ssl; ssl_certificate a.pem; ssl_certificate_key a.key; \
         location / {{ return 200 secret; }} }}"
    );
    let _https = scene.nginx(https, &block);
    let override_ok = format!("tcp = true, port = {a}");
    let override_bad = format!("tcp = true, port = {nobody}");
    let over_https = format!("https = '/', port = {https}");
    let tls_there = format!("tls = true, port = {https}");
    let cases: &[Case<'_>] = &[
        ("http = '/ok'", a, "healthy", "passed"),
        ("http = '/moved'", a, "healthy", "passed"),
        ("http = '/moved', expect = 200", a, "unhealthy", "302"),
        ("http = '/ill'", a, "unhealthy", "503"),
        ("http = '/ill', expect = [200, 503]", a, "healthy", "passed"),
        ("http = '/ok', method = 'HEAD'", a, "healthy", "passed"),
        (
            "http = '/ok', host = 'app.internal', body = 'fine, app.internal'",
            a,
            "healthy",
            "passed",
        ),
        ("http = '/ok', body = 'not fine'", a, "unhealthy", "body"),
        ("http = '/'", nobody, "unhealthy", "connection refused"),
        ("http = '/'", https, "unhealthy", "400"),
        ("https = '/'", a, "unhealthy", "TLS"),
        (&over_https, a, "healthy", "passed"),
        (&tls_there, a, "healthy", "passed"),
        ("tls = true", a, "unhealthy", "TLS"),
        (&override_ok, nobody, "healthy", "passed"),
        (&override_bad, a, "unhealthy", "connection refused"),
    ];
    judged(&scene, port, cases, |_| "interval = '200ms'");
}

/// A check in the words of the file, the port of its target, the health that comes of it, and a part of the reason.
pub(crate) type Case<'a> = (&'a str, u16, &'a str, &'a str);

/// Has Portway check all of these at once; `times` says those of a check by the health that it is to come to.
#[track_caller]
pub(crate) fn judged(
    scene: &Scene,
    port: u16,
    cases: &[Case<'_>],
    times: impl Fn(&str) -> &'static str,
) {
    let mut text = format!("[listener.web]\nbind = '127.0.0.1:{port}'\n");
    for (number, _) in cases.iter().enumerate() {
        text.push_str(&format!(
            "[[listener.web.rule]]\nwhen = 'Path(`/{number}`)'\nforward = 'g{number}'\n"
        ));
    }
    text.push_str("[[listener.web.rule]]\nrespond = { status = 404 }\n");
    for (number, (check, target, health, _)) in cases.iter().enumerate() {
        let times = times(health);
        text.push_str(&format!(
            "[target_group.g{number}]\ntargets = ['127.0.0.1:{target}']\n\
             health_check = {{ {check}, {times} }}\n"
        ));
    }
    let portway = scene.portway(&text);
    for (number, (check, target, health, part)) in cases.iter().enumerate() {
        let group = format!("g{number}");
        let reason = portway.wait_for_health(&group, local(*target), health);
        assert!(reason.contains(part), "{check}: {reason}");
    }
    portway.stop();
}

#[test]
fn when_nobody_is_healthy() {
    let scene = Scene::new();
    let [port, a] = [(); 2].map(|()| free_port());
    let _a = target(&scene, a, "a");
    let check = "health_check = { http = '/ill', interval = '100ms' }";
    let url = format!("http://127.0.0.1:{port}/");
    for (option, status) in [
        ("", "503"),
        ("when_none_healthy = 'refuse'", "503"),
        ("when_none_healthy = 'fail_open'", "200"),
    ] {
        let portway = portway(&scene, port, &[a], &format!("{option}\n{check}"));
        let reason = portway.wait_for_health("app", local(a), "unhealthy");
        assert!(reason.contains("503"), "{reason}");
        assert_eq!(scene.status(&[&url]), status, "{option}");
        portway.stop();
    }
}

#[test]
fn without_checks_the_dead_are_answered_for() {
    let scene = Scene::new();
    let [port, a, b] = [(); 3].map(|()| free_port());
    let url = format!("http://127.0.0.1:{port}/");
    let both_dead = portway(&scene, port, &[a, b], "");
    assert_eq!(scene.status(&[&url]), "502");
    // The first that comes answers all; nobody has to tell Portway.
    let _b = target(&scene, b, "b");
    assert_eq!(answers(&scene, port), ["b"]);
    both_dead.stop();
}
