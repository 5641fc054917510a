//! Another service is asked whether requests may go on: what it says holds, and without it nobody passes.

use std::thread;
use std::time::Duration;

use crate::echo::Echo;
use crate::stage::{Client, Stage, group, listener};
use crate::support::{eventually, free_port};

/// A listener whose requests say what the service is asked, and so what it answers: `X-Ask: status/403`.
fn asking(port: u16, more: &str) -> String {
    let target = "target = '/${header(`X-Ask`)}'";
    format!(
        "[listener.web]\nbind = '127.0.0.1:{port}'\naccess_log = 'json'\n\
         [[listener.web.rule]]\nauthorize = {{ group = 'auth', {target}, copy_headers = ['X-User'], \
         copy_matching = '^X-Right-', copy_cookies = ['session'], answer_bytes = 2000{more} }}\n\
         [[listener.web.rule]]\nforward = 'app'\n"
    )
}

/// Asks with these headers; head and body of the answer.
fn ask(stage: &Stage, port: u16, headers: &[&str]) -> String {
    let url = format!("http://127.0.0.1:{port}/page?a=1");
    let mut arguments = vec!["-s", "-i", "-m", "10"];
    for header in headers {
        arguments.extend(["-H", header]);
    }
    arguments.push(&url);
    stage.scene.curl(&arguments).good()
}

#[test]
fn what_the_service_says_holds() {
    let (app, auth, web) = (Echo::start("app"), Echo::start("auth"), free_port());
    let groups = group("app", &[app.port]) + &group("auth", &[auth.port]);
    let stage = Stage::new(&(asking(web, ", body_bytes = 20") + &groups));
    let yes = ask(
        &stage,
        web,
        &[
            "X-Ask: header/X-User/anna/x-right-a/read/Set-Cookie/session%3D1",
            "x-user: eve",
            "X-RIGHT-b: write",
            // Targets may take these for the same.
            "X_User: eve",
            "X_Right-c: write",
        ],
    );
    let line = |text: &str| yes.lines().any(|it| it.trim_end() == text);
    assert!(line("x-user: anna") && line("x-right-a: read"), "{yes}");
    assert!(!yes.contains("eve") && !yes.contains("write"), "{yes}");
    assert!(
        line("Set-Cookie: session=1") && line("GET /page?a=1 HTTP/1.1"),
        "{yes}"
    );
    // Of no the client is told all, and the service was told of the request.
    let no = ask(
        &stage,
        web,
        &["X-Ask: status/403", "X-Forwarded-Uri: /else", "X-Own: 1"],
    );
    assert!(
        no.starts_with("HTTP/1.1 403 ") && no.contains("X-Server: auth\r\n"),
        "{no}"
    );
    for told in [
        "GET /status/403 HTTP/1.1",
        "x-forwarded-method: GET",
        "x-forwarded-uri: /page?a=1",
        "x-forwarded-proto: http",
        "x-forwarded-for: 127.0.0.1",
        &format!("x-forwarded-host: 127.0.0.1:{web}"),
        "x-own: 1",
    ] {
        assert!(no.lines().any(|it| it == told), "{told}: {no}");
    }
    // Its body goes along, to both.
    let url = format!("http://127.0.0.1:{web}/form");
    let form = |ask: &str, body: &str| {
        let output = stage.scene.curl(&["-s", "-i", "-H", ask, "-d", body, &url]);
        output.good()
    };
    for (ask, line) in [
        ("X-Ask: ", "POST /form HTTP/1.1"),
        ("X-Ask: status/409", "x-forwarded-method: POST"),
    ] {
        let answer = form(ask, "name=anna");
        assert!(
            answer.contains(line) && answer.ends_with("\nname=anna"),
            "{answer}"
        );
    }
    let long = form("X-Ask: ", "name=anna&and=many&more");
    assert!(long.starts_with("HTTP/1.1 413 "), "{long}");
    // What is no answer lets nobody pass.
    for silence in ["reset", "junk", "bytes/3000", "status/101"] {
        let answer = ask(&stage, web, &[&format!("X-Ask: {silence}")]);
        assert!(answer.starts_with("HTTP/1.1 503 "), "{silence}: {answer}");
    }
    let count = "portway_listener_faults_total{listener=\"web\",fault=\"not_authorized\"} ";
    assert_eq!(stage.metric(count), "4");
    assert_eq!(
        stage.metric("portway_target_group_requests_total{target_group=\"auth\",code=\"4xx\"} "),
        "2"
    );
}

/// A client cannot say what an expression lets the service say, in whichever spelling the operator, the service and it have.
#[test]
fn no_spelling_gets_past_an_expression() {
    let (app, auth, web) = (Echo::start("app"), Echo::start("auth"), free_port());
    let text = |pattern: &str| {
        asking(web, "").replace("^X-Right-", pattern)
            + &group("app", &[app.port])
            + &group("auth", &[auth.port])
    };
    let stage = Stage::new(&text("^X-Right-"));
    for pattern in [
        "^X-Right-Of",
        "^X-Right_Of",
        "^x_rIGHT-of",
        "^X_RIGHT_[A-Z]",
    ] {
        stage.becomes(&text(pattern));
        for name in [
            "X-Right-Of-a",
            "X-Right_Of-a",
            "X_Right-Of-a",
            "x_right_of_a",
            "X-RIGHT-OF_A",
            "x-rIGHT-oF-A",
        ] {
            let sent = format!("{name}: eve");
            let said = ask(&stage, web, &["X-Ask: status/200", &sent]);
            assert!(said.contains("X-Server: app\r\n"), "{pattern}: {said}");
            assert!(!said.contains("eve"), "{pattern} {name}: {said}");
        }
        let said = ask(&stage, web, &["X-Ask: status/200", "X-Right: ann"]);
        assert!(said.contains("x-right: ann"), "{pattern}: {said}");
    }
    // To the edge of a word `_` is a letter, and `-` is none: what is found as it is written is taken away too.
    stage.becomes(&text(r"\BOf"));
    let said = ask(&stage, web, &["X-Ask: status/200", "X_Right_Of: eve"]);
    assert!(
        said.contains("X-Server: app\r\n") && !said.contains("eve"),
        "{said}"
    );
}

#[test]
fn long_bodies_go_along() {
    let (app, auth, web) = (Echo::start("app"), Echo::start("auth"), free_port());
    let dead = free_port();
    let text = |most: u32| {
        asking(web, &format!(", body_bytes = {most}")).replace("bytes = 2000", "bytes = 1000000")
            + &group("app", &[dead, app.port])
            + &group("auth", &[dead, auth.port])
    };
    let stage = Stage::new(&text(400_000));
    let body = "all work and no play ".repeat(15_000);
    stage.scene.file("body", &body);
    let url = format!("http://127.0.0.1:{web}/form");
    let send = |ask: &str, coding: &str| {
        let body = ["-H", ask, "-H", coding, "--data-binary", "@body", &url];
        let arguments = [&["-s", "-i", "-m", "30"], &body[..]].concat();
        stage.scene.curl(&arguments).good()
    };
    // One of either group's targets is dead: the question is asked again with it, and the request made.
    for coding in ["X-Coding: none", "Transfer-Encoding: chunked"] {
        for (ask, server) in [("X-Ask: ", "app"), ("X-Ask: status/403", "auth")] {
            for _ in 0..3 {
                let answer = send(ask, coding);
                let whole = answer.contains(&format!("X-Server: {server}\r\n"));
                assert!(
                    whole && answer.ends_with(&body),
                    "{coding} {server}: {}",
                    answer.len()
                );
            }
        }
    }
    stage.becomes(&text(300_000));
    for coding in ["X-Coding: none", "Transfer-Encoding: chunked"] {
        let answer = send("X-Ask: ", coding);
        assert!(answer.contains("HTTP/1.1 413 "), "{coding}: {answer}");
    }
}

#[test]
fn without_the_service_nobody_passes() {
    let (app, auth, web) = (Echo::start("app"), Echo::start("auth"), free_port());
    let (dead, open) = (free_port(), free_port());
    let text = |ports: &[u16], more: &str| {
        let rest =
            group("app", &[app.port]) + &group("auth", ports) + &listener("open", open, "app");
        asking(web, more) + &rest
    };
    let stage = Stage::new(&text(&[dead], ""));
    let spoofed = ["X-Ask: ", "X-User: eve"];
    let answer = ask(&stage, web, &spoofed);
    assert!(
        answer.starts_with("HTTP/1.1 503 ") && !answer.contains("app"),
        "{answer}"
    );
    assert_eq!(Client::new(open).ask("/"), "app");
    stage.becomes(&text(&[dead], ", on_failure = 403"));
    assert!(ask(&stage, web, &spoofed).starts_with("HTTP/1.1 403 "));
    // Who lets pass then does not believe the client.
    stage.becomes(&text(&[dead], ", on_failure = 'pass'"));
    let answer = ask(&stage, web, &spoofed);
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && !answer.contains("eve"),
        "{answer}"
    );
    // Another target is asked in place of a dead one.
    stage.becomes(&text(&[dead, auth.port], ""));
    for _ in 0..4 {
        let answer = ask(&stage, web, &["X-Ask: header/X-User/anna"]);
        assert!(answer.contains("x-user: anna"), "{answer}");
    }
    assert!(stage.metric("portway_target_group_retries_total{target_group=\"auth\"} ") != "0");
    // A question goes on over a reload, and ends with its client.
    let mut slow = Client::new(web);
    slow.send("GET / HTTP/1.1\r\nHost: a\r\nX-Ask: slow/700\r\n\r\n");
    thread::sleep(Duration::from_millis(200));
    stage.becomes(&text(&[auth.port], ", on_failure = 403"));
    assert!(slow.answer().starts_with("http/1.1 200 "));
    let mut leaves = Client::new(web);
    leaves.send("GET / HTTP/1.1\r\nHost: a\r\nX-Ask: slow/300\r\n\r\n");
    thread::sleep(Duration::from_millis(100));
    drop(leaves);
    eventually("nobody is served", || {
        let served = stage.metric("portway_listener_requests_in_flight{listener=\"web\"} ");
        (served == "0").then_some(())
    });
    let idle = format!(
        "portway_target_requests_in_flight{{target_group=\"auth\",target=\"127.0.0.1:{}\"}} ",
        auth.port
    );
    assert_eq!(stage.metric(&idle), "0");
}
