//! Retries that a group can bear, and requests that wait only as long as there is a place for them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::echo::Echo;
use crate::stage::{Client, Stage, group, listener};
use crate::support::{Scene, eventually, free_port};

/// A group whose targets are asked again where they answer 503.
fn text(web: u16, ports: &[u16], more: &str) -> String {
    format!(
        "{}{}retries = 3\nretry_on = ['connect_failure', 503]\n{more}",
        listener("web", web, "app"),
        group("app", ports)
    )
}

fn number(stage: &Stage, line: &str) -> u64 {
    stage
        .metric(&format!("{line}{{target_group=\"app\"}} "))
        .parse()
        .unwrap()
}

/// The statuses of so many requests, one after the other.
fn statuses(web: u16, path: &str, count: usize) -> Vec<String> {
    let mut client = Client::new(web);
    let ask = |_| {
        client.send(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        client.answer().split(' ').nth(1).unwrap().to_owned()
    };
    (0..count).map(ask).collect()
}

#[test]
fn retries_have_a_budget_and_connections_that_fail_spend_none() {
    let (one, two, web) = (Echo::start("one"), Echo::start("two"), free_port());
    let dead = free_port();
    let ports = [one.port, two.port, dead];
    let with = |more: &str| text(web, &ports, more);
    let stage = Stage::new(&with(""));
    let fail = |count| {
        // The last attempt may have been at the dead one.
        let all = statuses(web, "/status/503", count);
        assert!(all.iter().all(|it| it == "503" || it == "502"), "{all:?}");
    };
    // Each third is tried again at another target, which nobody has to pay for.
    assert_eq!(statuses(web, "/", 300), vec!["200"; 300]);
    let free = number(&stage, "portway_target_group_retries_total");
    assert!(free >= 100, "{free}");
    assert_eq!(
        number(&stage, "portway_target_group_retries_refused_total"),
        0
    );
    // All of them fail now: a hundred retries, and one for each five requests.
    fail(300);
    let refused = number(&stage, "portway_target_group_retries_refused_total");
    assert!((100..=290).contains(&refused), "{refused}");
    // The budget is what the file says from a reload on; 0 is none.
    stage.becomes(&with("retry_budget = 0\nretry_backoff = '1ms'\n"));
    fail(100);
    let still = number(&stage, "portway_target_group_retries_refused_total");
    assert_eq!(still, refused);
}

#[test]
fn a_group_has_only_so_many_that_wait() {
    let (one, web) = (Echo::start("one"), free_port());
    let more = "targets = [{ address = '127.0.0.1:PORT', max_connections = 1 }]\nmax_pending = 2\n";
    let more = more.replace("PORT", &one.port.to_string());
    let text = format!("{}[target_group.app]\n{more}", listener("web", web, "app"));
    let stage = Stage::new(&text);
    let clients: Vec<_> = (0..8)
        .map(|_| thread::spawn(move || statuses(web, "/slow/1500", 1).remove(0)))
        .collect();
    let full = "portway_listener_faults_total{listener=\"web\",fault=\"queue_full\"} ";
    eventually("two wait and five are refused", || {
        let queued = number(&stage, "portway_target_group_queued");
        (queued == 2 && stage.metric(full) == "5").then_some(())
    });
    // Those that wait feel nothing of a reload.
    stage.becomes(&text.replace("max_pending = 2", "max_pending = 3"));
    let mut statuses: Vec<String> = clients.into_iter().map(|it| it.join().unwrap()).collect();
    statuses.sort();
    let expected = [vec!["200"; 3], vec!["503"; 5]].concat();
    assert_eq!(statuses, expected);
    let waited = number(&stage, "portway_target_group_queue_seconds_count");
    assert_eq!(
        (waited, number(&stage, "portway_target_group_queued")),
        (2, 0)
    );
    assert_eq!(stage.metric(full), "5");
}

/// A target that takes connections and never says anything.
fn hangs() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let taken: Vec<_> = listener.incoming().collect();
        drop(taken);
    });
    port
}

#[test]
fn attempts_and_exchanges_have_times() {
    let (one, web, hangs, dead) = (Echo::start("one"), free_port(), hangs(), free_port());
    let with = |ports: &[u16], more: &str| {
        format!(
            "{}{}{more}",
            listener("web", web, "app"),
            group("app", ports)
        )
    };
    let timed = "timeouts = { attempt = '300ms' }\nretry_budget = 0\n";
    let stage = Stage::new(&with(&[hangs, dead, one.port], timed));
    // Whichever comes first: one of them answers.
    assert_eq!(statuses(web, "/", 9), vec!["200"; 9]);
    let post = |web| {
        let mut client = Client::new(web);
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        client.answer().split(' ').nth(1).unwrap().to_owned()
    };
    // What may have been done is not tried again.
    let posts: Vec<String> = (0..9).map(|_| post(web)).collect();
    let late = posts.iter().filter(|it| *it == "504").count();
    let done = posts.iter().filter(|it| *it == "200").count();
    assert!(late >= 3 && late + done == 9, "{posts:?}");
    let faults = |fault: &str| {
        let line = format!("portway_listener_faults_total{{listener=\"web\",fault=\"{fault}\"}} ");
        stage.metric(&line)
    };
    assert_eq!(faults("attempt_timeout"), late.to_string());
    // Who is served when the file changes has the time that there was.
    stage.becomes(&with(&[one.port], ""));
    let slow = thread::spawn(move || statuses(web, "/slow/1500", 1).remove(0));
    let served =
        "portway_target_requests_in_flight{target_group=\"app\",target=\"127.0.0.1:PORT\"} ";
    let served = served.replace("PORT", &one.port.to_string());
    eventually("it is served", || {
        (stage.metric(&served) == "1").then_some(())
    });
    let total =
        "timeouts = { attempt = '200ms', total = '700ms' }\nretries = 50\nretry_budget = 0\n";
    stage.becomes(&with(&[hangs, dead], total));
    assert_eq!(statuses(web, "/", 2), ["504", "504"]);
    assert_eq!(faults("total_timeout"), "2");
    assert_eq!(slow.join().unwrap(), "200");
}

/// A target that reads a whole request and answers 503, or closes without an answer.
fn refuses(closes: bool) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let (mut all, mut piece) = (Vec::new(), [0; 65536]);
                let ends =
                    |all: &[u8]| all.ends_with(b"THE END") || all.ends_with(b"\r\n0\r\n\r\n");
                while !ends(&all) {
                    match stream.read(&mut piece) {
                        Ok(n) if n > 0 => all.extend_from_slice(piece.get(..n).unwrap()),
                        _ => return,
                    }
                }
                if !closes {
                    let _ = stream.write_all(
                        b"HTTP/1.1 503 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                    );
                }
            });
        }
    });
    port
}

#[test]
fn bodies_that_are_held_are_sent_again() {
    let (app, web, dead) = (Echo::start("app"), free_port(), free_port());
    let (no, gone) = (refuses(false), refuses(true));
    let with = |ports: &[u16], more: &str| {
        format!(
            "{}{}retries = 3\nretry_budget = 0\n{more}",
            listener("web", web, "app"),
            group("app", ports)
        )
    };
    let all = [dead, no, gone, app.port];
    let on = "retry_on = ['connect_failure', 503, 'empty_response']\n";
    let held = format!("retry_body_bytes = 300000\n{on}");
    let stage = Stage::new(&with(&all, &held));
    let body = "all work and no play ".repeat(12_000) + "THE END";
    stage.scene.file("body", &body);
    let url = format!("http://127.0.0.1:{web}/form");
    let send = |method: &str, coding: &str| {
        let body = [
            "-X",
            method,
            "-H",
            coding,
            "--data-binary",
            "@body",
            &url,
            &url,
        ];
        let arguments = [&["-s", "-i", "-m", "30"], &body[..]].concat();
        stage.scene.curl(&arguments).good()
    };
    let check = |method: &str| {
        for coding in ["X-Coding: none", "Transfer-Encoding: chunked"] {
            for _ in 0..4 {
                // Two on one connection: nothing of the first is taken for the second.
                let answers = send(method, coding);
                let served = answers.matches("X-Server: app\r\n").count();
                let whole = answers.matches(&body).count();
                assert_eq!(
                    (served, whole),
                    (2, 2),
                    "{method} {coding}: {:.300}",
                    answers
                );
            }
        }
    };
    check("PUT");
    check("POST");
    let retries = number(&stage, "portway_target_group_retries_total");
    assert!(retries >= 30, "{retries}");
    // Metrics say why, and that bodies were sent again.
    let labelled = |name: &str, label: &str, value: &str| {
        let line = format!("{name}{{target_group=\"app\",{label}=\"{value}\"}} ");
        stage.metric(&line).parse::<u64>().unwrap()
    };
    let reasons = ["connect", "status", "no_response"];
    let failures = "portway_target_group_retried_failures_total";
    let counts = reasons.map(|it| labelled(failures, "reason", it));
    assert!(counts.iter().all(|it| *it > 0), "{counts:?}");
    assert_eq!(counts.iter().sum::<u64>(), retries, "{counts:?}");
    let again = number(&stage, "portway_target_group_held_body_retries_total");
    assert_eq!(again, retries);
    let bodies = "portway_target_group_held_bodies_total";
    assert_eq!(labelled(bodies, "result", "held"), 32);
    // Longer ones go on as they come, and only once they are sent.
    let short = format!("retry_body_bytes = 1000\n{on}");
    stage.becomes(&with(&[no, app.port], &short));
    let answers: String = (0..4).map(|_| send("PUT", "X-Coding: none")).collect();
    assert!(
        answers.contains("HTTP/1.1 503 ") && answers.contains("X-Server: app"),
        "{answers:.300}"
    );
    send("PUT", "Transfer-Encoding: chunked");
    assert_eq!(labelled(bodies, "result", "too_long"), 10);
    assert_eq!(labelled(bodies, "result", "held"), 32);
    stage.becomes(&with(&all, &held));
    check("PUT");
    // Nobody is there.
    stage.becomes(&with(&[dead], &held));
    let answers = send("PUT", "X-Coding: none");
    assert_eq!(
        answers.matches("HTTP/1.1 502 ").count(),
        2,
        "{answers:.300}"
    );
}

#[test]
fn bodies_are_sent_again_behind_the_middleware_retry() {
    let (app, web, dead, no) = (Echo::start("app"), free_port(), free_port(), refuses(false));
    let scene = Scene::new();
    let servers = [dead, no, app.port].map(|it| format!("{{ url: \"http://127.0.0.1:{it}\" }}"));
    let text = format!(
        "http:
  routers:
    form: {{ rule: \"PathPrefix(`/`)\", service: app, middlewares: [again] }}
  middlewares:
    again: {{ retry: {{ attempts: 4, status: [\"503\"], retryNonIdempotentMethod: true }} }}
  services:
    app: {{ loadBalancer: {{ servers: [{}] }} }}
",
        servers.join(", ")
    );
    scene.file("dynamic.yml", text);
    scene.file(
        "traefik.toml",
        format!("[entryPoints.web]\naddress = \"127.0.0.1:{web}\"\n[providers.file]\nfilename = \"dynamic.yml\"\n"),
    );
    let _portway = scene.portway_with(&["traefik.toml"]);
    let url = format!("http://127.0.0.1:{web}/form");
    for _ in 0..6 {
        let answer = scene.curl(&["-s", "-i", "-m", "30", "-d", "work THE END", &url]);
        let answer = answer.good();
        assert!(answer.contains("X-Server: app"), "{answer}");
        assert!(answer.ends_with("work THE END"), "{answer}");
    }
}

/// A target that answers every request so, and the number of those that it was asked.
fn says(answer: &'static str) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let serve = move |mut stream: TcpStream| {
        let (mut got, mut more) = (Vec::new(), [0; 4096]);
        while let Ok(length @ 1..) = stream.read(&mut more) {
            got.extend(&more[..length]);
            if got.ends_with(b"\r\n\r\n") {
                got.clear();
                count.fetch_add(1, Ordering::SeqCst);
                let sent = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n");
                stream.write_all(sent.as_bytes()).ok();
            }
        }
    };
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            thread::spawn(move || serve(stream));
        }
    });
    (port, asked)
}

/// Without `retry_on`: what a target says that it has not done is safe to ask another for, once, whatever the method.
#[test]
fn what_a_target_has_not_done_is_asked_of_another_by_default() {
    const UNDONE: &str = "421 Misdirected Request";
    const EARLY: &str = "425 Too Early";
    const CAME_EARLY: &str = "Early-Data: 1\r\n";
    let good = Echo::start("good");
    for (case, answers, more, request, status, asked) in [
        ("421", vec![UNDONE], "", "GET", "200", vec![1]),
        ("any method", vec![UNDONE], "", "POST", "200", vec![1]),
        ("425", vec![EARLY], "", "GET", "200", vec![1]),
        // Who sent it in early data is who sends it again.
        ("early", vec![EARLY], CAME_EARLY, "GET", "425", vec![1]),
        ("once", vec![UNDONE, UNDONE], "", "GET", "421", vec![1, 1]),
        (
            "later",
            vec!["503 No\r\nRetry-After: 1"],
            "",
            "GET",
            "503",
            vec![1],
        ),
        (
            "named",
            vec![UNDONE],
            "retry_on = ['connect_failure']",
            "GET",
            "421",
            vec![1],
        ),
        (
            "safe",
            vec![UNDONE],
            "retry_on = ['safe']",
            "GET",
            "200",
            vec![1],
        ),
        (
            "no retries",
            vec![UNDONE],
            "retries = 0",
            "GET",
            "421",
            vec![1],
        ),
    ] {
        let targets: Vec<_> = answers.into_iter().map(says).collect();
        let ports: Vec<u16> = targets.iter().map(|(port, _)| *port).collect();
        let (setting, header) = match more.ends_with('\n') {
            true => ("", more),
            false => (more, ""),
        };
        let web = free_port();
        let text = format!(
            "{}{}algorithm = 'first'\n{setting}\n",
            listener("web", web, "app"),
            group("app", &[ports, vec![good.port]].concat())
        );
        let _stage = Stage::new(&text);
        let mut client = Client::new(web);
        let length = if request == "POST" {
            "Content-Length: 0\r\n"
        } else {
            ""
        };
        client.send(&format!(
            "{request} / HTTP/1.1\r\nHost: a\r\n{header}{length}\r\n"
        ));
        let answer = client.answer();
        assert_eq!(answer.split(' ').nth(1), Some(status), "{case}: {answer}");
        let count = |(_, asked): &(u16, Arc<AtomicUsize>)| asked.load(Ordering::SeqCst);
        assert_eq!(
            targets.iter().map(count).collect::<Vec<_>>(),
            asked,
            "{case}"
        );
    }
    // A lone target is asked again on another connection, and its answer is told.
    let (alone, asked) = says(UNDONE);
    let web = free_port();
    let text = listener("web", web, "app") + &group("app", &[alone]);
    let _stage = Stage::new(&text);
    assert_eq!(statuses(web, "/", 1), ["421"]);
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

/// A target that answers once, closes as it is asked again, and then takes requests and answers none.
fn falters() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for (number, stream) in listener.incoming().flatten().enumerate() {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut asked = || {
                let mut line = String::new();
                while line != "\r\n" {
                    line.clear();
                    if reader.read_line(&mut line).map_or(true, |count| count == 0) {
                        return;
                    }
                }
            };
            if number == 0 {
                asked();
                let answer = b"HTTP/1.1 200 OK\r\nX-Server: first\r\nContent-Length: 0\r\n\r\n";
                (&stream).write_all(answer).unwrap();
            }
            asked();
        }
    });
    port
}

/// A connection that waited and was closed tells nothing of the request: it is tried once more elsewhere all the same.
#[test]
fn a_pooled_connection_that_is_closed_spends_no_retry_of_the_request() {
    let (second, web) = (Echo::start("second"), free_port());
    let ports = [falters(), second.port];
    let with = |more: &str| {
        let (listener, group) = (listener("web", web, "app"), group("app", &ports));
        format!("{listener}{group}algorithm = 'first'\n{more}")
    };
    let stage = Stage::new(&with("[process]\nworkers = 1\n"));
    let mut client = Client::new(web);
    assert_eq!(client.ask("/"), "first");
    for retries in [2, 3] {
        assert_eq!(client.ask("/"), "second");
        stage.becomes(&with(&format!(
            "retries = {retries}\n[process]\nworkers = 1\n"
        )));
    }
    // Who has left requests without an answer is named.
    let failed = format!(
        "portway_target_failed_attempts_total{{target_group=\"app\",target=\"127.0.0.1:{}\"}} ",
        ports[0]
    );
    assert_eq!(stage.metric(&failed), "2");
}
