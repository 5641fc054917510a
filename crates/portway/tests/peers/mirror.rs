//! Copies of requests for another group, which cost the requests nothing.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use crate::echo::Echo;
use crate::stage::{Client, Stage, group, listener};
use crate::support::{eventually, free_port};

const RESULTS: &str = "portway_listener_mirrored_requests_total{listener=\"web\",result=";

/// A target that tells of each request, head and body, once it is there, and answers when `wait` is over.
fn mirror(wait: impl Fn() + Send + Sync + 'static) -> (u16, Receiver<String>) {
    let wait = Arc::new(wait);
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = socket.local_addr().unwrap().port();
    let (tell, told) = channel();
    thread::spawn(move || {
        for stream in socket.incoming().flatten() {
            let (tell, wait) = (tell.clone(), Arc::clone(&wait));
            thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut stream = stream;
                loop {
                    let mut text = String::new();
                    while !text.ends_with("\r\n\r\n") {
                        if reader.read_line(&mut text).unwrap_or(0) == 0 {
                            return;
                        }
                    }
                    let length = text.to_ascii_lowercase();
                    let length = length.split("content-length: ").nth(1);
                    let length = length.and_then(|it| it.split("\r\n").next()?.parse().ok());
                    let mut body = vec![0; length.unwrap_or(0)];
                    reader.read_exact(&mut body).unwrap();
                    text.push_str(&String::from_utf8_lossy(&body));
                    let _ = tell.send(text);
                    wait();
                    let _ = stream.write_all(b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno");
                }
            });
        }
    });
    (port, told)
}

fn text(web: u16, app: u16, copies: u16, how: &str) -> String {
    format!(
        "[listener.web]\nbind = '127.0.0.1:{web}'\n\
         [[listener.web.rule]]\nactions = [{{ set_header = {{ X-Rule = 'yes' }} }}, {{ mirror = {how} }}, {{ forward = 'app' }}]\n"
    ) + &group("app", &[app])
        + &group("copies", &[copies])
        + "retries = 0\n"
        + "[target_group.copies.timeouts]\nresponse = '1s'\n"
}

#[test]
fn copies_are_what_the_target_is_sent() {
    let (app, web, (copies, told)) = (Echo::start("app"), free_port(), mirror(|| ()));
    let how = "{ group = 'copies', body_bytes = 20 }";
    let stage = Stage::new(&text(web, app.port, copies, how));
    let next = || told.recv_timeout(Duration::from_secs(10)).unwrap();
    assert_eq!(Client::new(web).ask("/a?b=c"), "app");
    let copy = next();
    assert!(
        copy.starts_with("GET /a?b=c HTTP/1.1\r\n") && copy.contains("\r\nX-Rule: yes\r\n"),
        "{copy}"
    );
    assert!(
        copy.contains("\r\nX-Forwarded-For: 127.0.0.1\r\n"),
        "{copy}"
    );
    let url = format!("http://127.0.0.1:{web}/form");
    let form = |body: &str, more: &[&str]| {
        let arguments = [&["-s", "-d", body, &url], more].concat();
        let answer = stage.scene.curl(&arguments).good();
        assert!(answer.ends_with(&format!("\n{body}")), "{answer}");
    };
    form("name=anna", &[]);
    assert!(next().ends_with("\r\n\r\nname=anna"));
    form("name=berta", &["-H", "Transfer-Encoding: chunked"]);
    assert!(next().ends_with("\r\n\r\nname=berta"));
    // One that is too long is no copy.
    form("name=anna&and=many&more", &[]);
    let count = |result: &str| stage.metric(&format!("{RESULTS}\"{result}\"}} "));
    eventually("all is answered", || {
        (count("answered") == "3").then_some(())
    });
    assert_eq!(
        (count("failed"), count("dropped")),
        ("0".to_owned(), "1".to_owned())
    );
    // Unless it may be as long.
    stage.becomes(&text(
        web,
        app.port,
        copies,
        "{ group = 'copies', body_bytes = 200000 }",
    ));
    let long = "all work and no play ".repeat(8_000);
    stage.scene.file("long", &long);
    for coding in ["X-Coding: none", "Transfer-Encoding: chunked"] {
        let arguments = ["-s", "-H", coding, "--data-binary", "@long", &url];
        assert!(stage.scene.curl(&arguments).good().ends_with(&long));
        assert!(next().ends_with(&format!("\r\n\r\n{long}")));
    }
    eventually("all is answered", || {
        (count("answered") == "5").then_some(())
    });
    // Without bodies, and only a share.
    stage.becomes(&text(
        web,
        app.port,
        copies,
        "{ group = 'copies', percent = 25, body_bytes = 0 }",
    ));
    let mut client = Client::new(web);
    for _ in 0..40 {
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
        assert!(client.answer().starts_with("http/1.1 200 "));
    }
    // The five before them, and 8 to 12: a worker counts on from where it stands, and other choices count too.
    eventually("a quarter is copied", || {
        let answered: usize = count("answered").parse().unwrap();
        (5 + 8..=5 + 12).contains(&answered).then_some(())
    });
    assert!(next().ends_with("Content-Length: 0\r\n\r\n"));
}

#[test]
fn a_request_is_copied_once_however_often_it_is_tried() {
    let (app, web, dead) = (Echo::start("app"), free_port(), free_port());
    let (copies, told) = mirror(|| ());
    let with = |targets: &str, retries: u32| {
        let text = text(web, app.port, copies, "'copies'");
        let one = format!("targets = ['127.0.0.1:{}']", app.port);
        assert_eq!(text.matches(&one).count(), 1, "{text}");
        let several = format!("algorithm = 'first'\nretries = {retries}\ntargets = [{targets}]");
        text.replace(&one, &several)
    };
    let both = format!("'127.0.0.1:{dead}', '127.0.0.1:{}'", app.port);
    let stage = Stage::new(&with(&both, 2));
    let mut asked = 0;
    let mut serve = || {
        for _ in 0..5 {
            let path = format!("/{asked}");
            assert_eq!(Client::new(web).ask(&path), "app");
            let copy = told.recv_timeout(Duration::from_secs(10)).unwrap();
            assert!(copy.starts_with(&format!("GET {path} ")), "{copy}");
            asked += 1;
        }
    };
    serve();
    stage.becomes(&with(&both, 3));
    serve();
    // Nobody is there: whether there is a copy of it is no matter to its client.
    stage.becomes(&with(&format!("'127.0.0.1:{dead}'"), 2));
    let url = format!("http://127.0.0.1:{web}/lost");
    assert_eq!(stage.scene.status(&[&url]), "502");
    let lost = told.recv_timeout(Duration::from_secs(10)).unwrap();
    assert!(lost.starts_with("GET /lost "), "{lost}");
    stage.becomes(&with(&both, 2));
    serve();
}

#[test]
fn a_mirror_that_is_dead_or_hangs_costs_nothing() {
    let (app, web, dead) = (Echo::start("app"), free_port(), free_port());
    let (hangs, told) = mirror(|| thread::sleep(Duration::from_secs(60)));
    let stage = Stage::new(&text(web, app.port, dead, "'copies'"));
    let count = |result: &str| stage.metric(&format!("{RESULTS}\"{result}\"}} "));
    let mut client = Client::new(web);
    for _ in 0..5 {
        assert_eq!(client.ask("/"), "app");
    }
    eventually("all have failed", || (count("failed") == "5").then_some(()));
    // None of them is an error of the listener's.
    assert_eq!(
        stage.metric("portway_listener_requests_total{listener=\"web\",code=\"2xx\"} "),
        "5"
    );
    // One that hangs takes no more copies than there are places for, and a reload does not wait for it.
    let second = text(web, app.port, hangs, "'copies'");
    stage.becomes(&second);
    let begun = Instant::now();
    for _ in 0..600 {
        assert_eq!(client.ask("/"), "app");
    }
    assert!(begun.elapsed() < Duration::from_secs(30));
    let third = second + &listener("other", free_port(), "app");
    stage.becomes(&third);
    assert_eq!(client.ask("/"), "app");
    assert!(told.recv_timeout(Duration::from_secs(10)).is_ok());
    let idle = format!(
        "portway_target_requests_in_flight{{target_group=\"copies\",target=\"127.0.0.1:{hangs}\"}} "
    );
    eventually("copies are given up", || {
        (stage.metric(&idle) == "0").then_some(())
    });
    let all = || ["failed", "dropped"].map(|it| count(it).parse::<u32>().unwrap());
    eventually("each is counted", || {
        (all().iter().sum::<u32>() == 606).then_some(())
    });
}

#[test]
fn copies_without_a_place_are_dropped_and_counted_over_a_reload() {
    let (app, web, dead) = (Echo::start("app"), free_port(), free_port());
    let gate = Arc::new(RwLock::new(()));
    let closed = gate.write().unwrap();
    let passes = Arc::clone(&gate);
    let (copies, told) = mirror(move || drop(passes.read().unwrap()));
    let with = |more: &str| {
        let app = app.port;
        let text = text(web, app, copies, "'copies'").replace("'1s'", "'1m'") + more;
        let alive = format!("'127.0.0.1:{app}'");
        text.replace(&alive, &format!("'127.0.0.1:{dead}', {alive}"))
    };
    let stage = Stage::new(&with(""));
    let count = |result: &str| -> u32 {
        let count = stage.metric(&format!("{RESULTS}\"{result}\"}} "));
        count.parse().unwrap()
    };
    let (mut client, mut asked) = (Client::new(web), 0);
    let mut ask = |times: u32| {
        (0..times).for_each(|_| assert_eq!(client.ask("/"), "app"));
        asked += times;
        asked
    };
    // Each second request is tried again, and copied once. The mirror has taken all that there are places for.
    eventually("copies are dropped", || {
        ask(100);
        (count("dropped") > 0).then_some(())
    });
    assert_eq!((count("answered"), count("failed")), (0, 0));
    let dropped = count("dropped");
    // What it has not answered keeps its place over a reload, which waits for none of it.
    stage.becomes(&with(&listener("other", free_port(), "app")));
    let asked_by_now = ask(50);
    assert_eq!(count("dropped"), dropped + 50);
    drop(closed);
    eventually("each is counted", || {
        let all = ["answered", "failed", "dropped"].map(count);
        assert_eq!(all[1..], [0, dropped + 50]);
        (all.iter().sum::<u32>() == asked_by_now).then_some(())
    });
    let answered = count("answered");
    assert_eq!(told.try_iter().count(), answered as usize);
    // There is room again.
    ask(20);
    eventually("they are answered", || {
        (count("answered") == answered + 20).then_some(())
    });
    assert_eq!(count("dropped"), dropped + 50);
}

/// Copies for a mirror that a reload takes away end, so that the one that takes over has all places.
#[test]
fn copies_end_where_a_reload_takes_their_mirror_away() {
    let (app, web) = (Echo::start("app"), free_port());
    let (first, second) = (mirror(thread::park), mirror(thread::park));
    let (third, _told) = mirror(|| ());
    let with = |copies: u16| text(web, app.port, copies, "'copies'").replace("'1s'", "'1h'");
    let stage = Stage::new(&with(first.0));
    let count = |result: &str| -> u32 {
        let count = stage.metric(&format!("{RESULTS}\"{result}\"}} "));
        count.parse().unwrap()
    };
    let mut client = Client::new(web);
    let mut fill = || {
        let dropped = count("dropped");
        eventually("the mirror has all places", || {
            (0..100).for_each(|_| assert_eq!(client.ask("/"), "app"));
            (count("dropped") > dropped).then_some(())
        });
    };
    let all_end = |before: u32| {
        eventually("all places are free", || {
            (count("failed") == before + 256).then_some(())
        });
    };
    fill();
    // Another target in the same group, and then another group.
    stage.becomes(&with(second.0));
    all_end(0);
    fill();
    stage.becomes(
        &with(third)
            .replace("'copies'", "'others'")
            .replace(".copies", ".others"),
    );
    all_end(256);
    let answered = count("answered");
    (0..20).for_each(|_| assert_eq!(client.ask("/"), "app"));
    eventually("they are answered", || {
        (count("answered") == answered + 20).then_some(())
    });
}
