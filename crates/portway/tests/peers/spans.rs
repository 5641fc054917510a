//! Spans for an OpenTelemetry collector, as it is sent them.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

use crate::certificates::everybody;
use crate::echo::Echo;
use crate::queue::Gate;
use crate::stage::{Client, Stage, group};
use crate::support::{Scene, eventually, free_port};
use crate::upgrade;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A request as the collector got it: its first line, its headers by their names in small letters, and its body.
type Sent = (String, HashMap<String, String>, Value);

/// A collector: what it answers can be changed, and what it was sent is kept.
pub(crate) struct Collector {
    pub(crate) port: u16,
    answer: Arc<Mutex<(u16, String)>>,
    /// Held by whoever wants it to answer late.
    gate: Arc<Mutex<()>>,
    sent: Arc<Mutex<Vec<Sent>>>,
}

impl Collector {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let collector = Self {
            port: listener.local_addr().unwrap().port(),
            answer: Arc::new(Mutex::new((200, "{}".to_owned()))),
            gate: Arc::default(),
            sent: Arc::default(),
        };
        let (answer, gate) = (collector.answer.clone(), collector.gate.clone());
        let sent = collector.sent.clone();
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut line = String::new();
                let mut head = Vec::new();
                while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                    head.push(std::mem::take(&mut line).trim_end().to_owned());
                }
                let headers = head.iter().skip(1).filter_map(|it| it.split_once(": "));
                let headers: HashMap<String, String> = headers
                    .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                    .collect();
                let length = headers.get("content-length").and_then(|it| it.parse().ok());
                let mut body = vec![0; length.unwrap_or(0)];
                if head.is_empty() || reader.read_exact(&mut body).is_err() {
                    continue;
                }
                drop(gate.lock().unwrap());
                let (status, said) = answer.lock().unwrap().clone();
                if status == 200 {
                    let body = serde_json::from_slice(&body).unwrap();
                    sent.lock().unwrap().push((head[0].clone(), headers, body));
                }
                let text = format!(
                    "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{said}",
                    said.len()
                );
                let _ = stream.write_all(text.as_bytes());
            }
        });
        collector
    }

    fn answers(&self, status: u16) {
        self.says(status, "{}");
    }

    fn says(&self, status: u16, body: &str) {
        *self.answer.lock().unwrap() = (status, body.to_owned());
    }

    /// How often it took something.
    fn asked(&self) -> usize {
        self.sent.lock().unwrap().len()
    }

    /// All spans so far.
    pub(crate) fn spans(&self) -> Vec<Value> {
        let sent = self.sent.lock().unwrap();
        let spans = sent.iter().flat_map(|(_, _, body)| {
            let spans = body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array();
            spans.unwrap_or_else(|| panic!("{body:#}")).clone()
        });
        spans.collect()
    }
}

pub(crate) fn attribute<'s>(span: &'s Value, key: &str) -> &'s Value {
    let attributes = span["attributes"].as_array().unwrap();
    let found = attributes.iter().find(|it| it["key"] == key);
    found.map_or(&Value::Null, |it| &it["value"])
}

fn text(web: u16, traces: &str, sampled: u8, ports: &[u16]) -> String {
    format!(
        "[process]\ntraces = {traces}\n[listener.web]\nbind = '127.0.0.1:{web}'\n\
         forwarded = {{ trusted_proxies = ['127.0.0.0/8'] }}\n[[listener.web.rule]]\n\
         actions = [{{ trace_context = {{ sampled = {sampled} }} }}, {{ forward = 'app' }}]\n"
    ) + &group("app", ports)
}

#[test]
fn a_collector_gets_spans_of_sampled_requests() {
    let (app, collector) = (Echo::start("app"), Collector::start());
    let (web, dead) = (free_port(), free_port());
    let traces = format!(
        "{{ to = 'http://127.0.0.1:{}', service = 'edge', headers = {{ Authorization = 'Bearer x' }} }}",
        collector.port
    );
    // One of two targets is dead: what is tried again is one span.
    let stage = Stage::new(&text(web, &traces, 0, &[dead, app.port]));
    let ask = |path: &str, parent: &str| {
        let url = format!("http://127.0.0.1:{web}{path}");
        let parent = format!("traceparent: {parent}");
        stage
            .scene
            .curl(&["-s", "-A", "me/1", "-H", &parent, &url])
            .good()
    };
    let answers: Vec<String> = (0..3).map(|_| ask("/page?a=1", PARENT)).collect();
    // Nobody takes these down: no parent and none sampled, or a parent that is not.
    ask("/none", "");
    ask("/none", &PARENT.replace("-01", "-00"));
    ask("/status/503", PARENT);
    let spans = eventually("all spans are there", || {
        let spans = collector.spans();
        (spans.len() >= 4).then_some(spans)
    });
    assert_eq!(spans.len(), 4, "{spans:#?}");
    let (line, headers, body) = collector.sent.lock().unwrap()[0].clone();
    assert_eq!(line, "POST /v1/traces HTTP/1.1");
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(headers["authorization"], "Bearer x");
    let resource = body["resourceSpans"][0]["resource"]["attributes"].to_string();
    assert!(
        resource.contains(r#"{"key":"service.name","value":{"stringValue":"edge"}}"#),
        "{resource}"
    );
    for span in &spans {
        assert_eq!(span["traceId"], "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(span["parentSpanId"], "00f067aa0ba902b7");
        assert_eq!(span["kind"], 2);
        let nanos = |key: &str| span[key].as_str().unwrap().parse::<u64>().unwrap();
        let (begins, ends) = (nanos("startTimeUnixNano"), nanos("endTimeUnixNano"));
        assert!(
            begins > 1_500_000_000_000_000_000 && ends > begins,
            "{span}"
        );
        assert_eq!(
            attribute(span, "portway.target_group")["stringValue"],
            "app"
        );
        assert_eq!(
            attribute(span, "user_agent.original")["stringValue"],
            "me/1"
        );
    }
    // The target was told this step.
    let mut told: Vec<String> = answers
        .iter()
        .map(|answer| {
            let line = answer
                .lines()
                .find_map(|it| it.strip_prefix("traceparent: "));
            line.unwrap_or_else(|| panic!("{answer}"))
                .split('-')
                .nth(2)
                .unwrap()
                .to_owned()
        })
        .collect();
    let of_page = |span: &&Value| attribute(span, "url.path")["stringValue"] == "/page";
    let pages = spans.iter().filter(of_page);
    let mut steps: Vec<String> = pages
        .map(|span| {
            assert_eq!(
                attribute(span, "http.response.status_code")["intValue"],
                "200"
            );
            assert_eq!(attribute(span, "url.query")["stringValue"], "a=1");
            assert!(span["status"].is_null());
            span["spanId"].as_str().unwrap().to_owned()
        })
        .collect();
    told.sort();
    steps.sort();
    assert_eq!(steps, told);
    let failed = spans.iter().find(|span| !of_page(span)).unwrap();
    assert_eq!(
        (
            &failed["status"]["code"],
            &attribute(failed, "error.type")["stringValue"]
        ),
        (&Value::from(2), &Value::from("503"))
    );
    assert_eq!(stage.metric("portway_spans_total{result=\"sent\"} "), "4");
    // Another that is told of everything, from the next request on.
    let other = Collector::start();
    stage.becomes(&text(
        web,
        &format!("'http://127.0.0.1:{}/otlp'", other.port),
        100,
        &[app.port],
    ));
    ask("/all", "");
    let span = eventually("a span is there", || other.spans().pop());
    assert!(
        span["parentSpanId"].is_null() && span["traceId"] != "4bf92f3577b34da6a3ce929d0e0e4736"
    );
    assert_eq!(other.sent.lock().unwrap()[0].0, "POST /otlp HTTP/1.1");
    assert_eq!(collector.spans().len(), 4);
}

/// One that wants a certificate of those that speak to it gets none, a good one, and one that proves who it is to nobody.
#[test]
fn a_collector_is_shown_a_certificate() {
    let (scene, behind, web) = (Scene::new(), free_port(), free_port());
    everybody(&scene);
    let _nginx = scene.nginx(
        behind,
        &format!(
            "server {{ listen 127.0.0.1:{behind} ssl; ssl_certificate site.pem; ssl_certificate_key site.key;\n\
             ssl_client_certificate ca.pem; ssl_verify_client on; location / {{ return 200 '{{}}'; }} }}"
        ),
    );
    let app = Echo::start("app");
    let traces = |more: &str| {
        let traces = format!("{{ to = 'https://127.0.0.1:{behind}'{more} }}");
        text(web, &traces, 100, &[app.port])
    };
    let own = ", certificate = 'client.pem', key = 'client.key'";
    let stage = Stage::with(scene, &traces(&format!("{own}, verify = false")), &[]);
    let until = |result: &str, more: u64| {
        let line = format!("portway_spans_total{{result=\"{result}\"}} ");
        let before: u64 = stage.metric(&line).parse().unwrap();
        let mut client = Client::new(web);
        eventually(format_args!("spans are {result}"), || {
            assert_eq!(client.ask("/"), "app");
            let now: u64 = stage.metric(&line).parse().unwrap();
            (now >= before + more).then_some(())
        });
    };
    until("sent", 1);
    // Its own is for another name than the address.
    for more in [
        own.to_owned() + ", ca = 'ca.pem'",
        ", verify = false".to_owned(),
    ] {
        stage.becomes(&traces(&more));
        until("failed", 1);
    }
}

#[test]
fn a_collector_that_is_gone_costs_no_request() {
    let (app, collector) = (Echo::start("app"), Collector::start());
    let web = free_port();
    collector.answers(400);
    let traces = format!("'http://127.0.0.1:{}'", collector.port);
    let stage = Stage::new(&text(web, &traces, 100, &[app.port]));
    let mut client = Client::new(web);
    let counted = |result: &str, stage: &Stage| {
        let line = format!("portway_spans_total{{result=\"{result}\"}} ");
        stage.metric(&line).parse::<u64>().unwrap()
    };
    assert_eq!(client.ask("/"), "app");
    eventually("what it does not take is counted", || {
        (counted("failed", &stage) == 1).then_some(())
    });
    // Nobody is there: whatever is sent meanwhile waits, or is dropped and counted.
    stage.becomes(&text(
        web,
        &format!("'http://127.0.0.1:{}'", free_port()),
        100,
        &[app.port],
    ));
    let many = 3000;
    for _ in 0..many {
        assert_eq!(client.ask("/"), "app");
    }
    eventually("it is given up", || {
        (counted("failed", &stage) > 1).then_some(())
    });
    // It is back, and is told what comes from then on.
    collector.answers(200);
    stage.becomes(&text(web, &traces, 100, &[app.port]));
    eventually("it is told again", || {
        assert_eq!(client.ask("/back"), "app");
        let spans = collector.spans();
        let back = |span: &Value| attribute(span, "url.path")["stringValue"] == "/back";
        spans.iter().any(back).then_some(())
    });
    let sum = counted("sent", &stage) + counted("failed", &stage) + counted("dropped", &stage);
    assert!(sum > 1, "{sum}");
}

/// Spans that were sent, that the collector did not take, and that had no room to wait.
fn counts(metric: impl Fn(&str) -> String) -> [usize; 3] {
    let line = |result: &str| format!("portway_spans_total{{result=\"{result}\"}} ");
    ["sent", "failed", "dropped"].map(|it| metric(&line(it)).parse().unwrap())
}

fn of_path(collector: &Collector, path: &str) -> usize {
    let of_path = |span: &&Value| attribute(span, "url.path")["stringValue"] == path;
    collector.spans().iter().filter(of_path).count()
}

#[test]
fn a_collector_that_is_full_loses_what_is_counted_and_recovers() {
    let (app, collector) = (Echo::start("app"), Collector::start());
    let (web, dead) = (free_port(), free_port());
    let traces = format!("'http://127.0.0.1:{}'", collector.port);
    let text = |more: &str| text(web, &traces, 100, &[dead, app.port]) + "retries = 1\n" + more;
    let stage = Stage::new(&text(""));
    let mut client = Client::new(web);
    let long = format!("/{}", "x".repeat(6_000));
    let mut asked = 0;
    let mut ask = |path: &str| {
        assert_eq!(client.ask(path), "app");
        asked += 1;
        asked
    };
    let now = || counts(|line| stage.metric(line));
    // What it says that it did not take of what it took.
    collector.says(
        200,
        r#"{"partialSuccess":{"rejectedSpans":"1","errorMessage":"too old"}}"#,
    );
    ask("/rejected");
    eventually("a span is rejected", || (now() == [0, 1, 0]).then_some(()));
    eventually("it is told why", || {
        let log = stage.portway.process.log();
        log.contains("it rejected 1 spans: too old").then_some(())
    });
    collector.answers(429);
    eventually("spans have no room to wait", || {
        (0..100).for_each(|_| {
            ask(&long);
        });
        (now()[2] > 0).then_some(())
    });
    // A reload goes on with the same writer, and what waits stays.
    stage.becomes(&text("max_connections = 900\n"));
    ask("/after-reload");
    collector.answers(200);
    let asked = eventually("it takes spans again", || {
        let asked = ask("/back");
        (of_path(&collector, "/back") > 0).then_some(asked)
    });
    let [sent, failed, dropped] = eventually("each span is counted", || {
        let now = now();
        (now.iter().sum::<usize>() == asked).then_some(now)
    });
    assert_eq!(
        collector.spans().len(),
        sent + 1,
        "{failed} failed, {dropped} were dropped"
    );
    // 4 MiB have waited.
    assert!(sent >= 500 && dropped > 0, "{sent} {failed} {dropped}");
}

#[test]
fn a_collector_that_answers_late_is_told_many_at_once() {
    let (app, collector) = (Echo::start("app"), Collector::start());
    let web = free_port();
    let traces = format!("'http://127.0.0.1:{}'", collector.port);
    let stage = Stage::new(&text(web, &traces, 100, &[app.port]));
    let many = 300;
    let path = format!("/{}", "x".repeat(2_000));
    let gate = collector.gate.lock().unwrap();
    let mut client = Client::new(web);
    (0..many).for_each(|_| assert_eq!(client.ask(&path), "app"));
    assert_eq!(collector.asked(), 0);
    drop(gate);
    eventually("all have come", || {
        (collector.spans().len() == many).then_some(())
    });
    // In batches of 32 KiB, or what a worker has in a tenth of a second, there would be more than twenty.
    assert!(collector.asked() <= 10, "{}", collector.asked());
    eventually("all are counted", || {
        (counts(|line| stage.metric(line)) == [many, 0, 0]).then_some(())
    });
}

#[test]
fn spans_go_on_over_an_upgrade_and_what_is_lost_with_a_process_is_told() {
    let (app, collector) = (Echo::start("app"), Collector::start());
    let (web, dead) = (free_port(), free_port());
    let traces = format!("'http://127.0.0.1:{}'", collector.port);
    let gate = Gate::default();
    let rule = "[[listener.web.rule]]";
    let held = format!(
        "{rule}\nwhen = 'Path(`/held`)'\nactions = [{{ trace_context = {{ sampled = 100 }} }}, {{ forward = 'held' }}]\n{rule}"
    );
    let text = text(web, &traces, 100, &[dead, app.port]).replacen(rule, &held, 1)
        + "retries = 1\n"
        + &group("held", &[gate.target()]);
    let stage = upgrade::Stage::with(Scene::new(), &text, &[]);
    let held = thread::spawn(move || Client::new(web).ask_with("/held", ""));
    let in_flight = "portway_listener_requests_in_flight{listener=\"web\"} ";
    eventually("it is under way", || {
        (stage.metric(in_flight) == "1").then_some(())
    });
    stage.upgrade();
    assert_eq!(Client::new(web).ask("/next"), "app");
    gate.open.store(true, Ordering::SeqCst);
    assert!(held.join().unwrap().starts_with("http/1.1 200 "));
    eventually("both processes have told of theirs", || {
        let told = ["/held", "/next"].map(|path| of_path(&collector, path));
        (told == [1, 1]).then_some(())
    });
    let mut processes: Vec<String> = collector
        .sent
        .lock()
        .unwrap()
        .iter()
        .map(|(_, _, body)| body["resourceSpans"][0]["resource"]["attributes"][3].to_string())
        .collect();
    processes.sort();
    processes.dedup();
    assert_eq!(processes.len(), 2, "{processes:?}");
    // It is full when the next takes over: the one before does not wait for it, and says what it has lost.
    collector.answers(503);
    (0..50).for_each(|_| assert_eq!(Client::new(web).ask("/lost"), "app"));
    let before = stage.process();
    stage.upgrade();
    eventually("it ends", || (!upgrade::is_there(before)).then_some(()));
    assert_eq!(Client::new(web).ask("/after"), "app");
    let log = stage.first.log();
    let place = format!("access log http://127.0.0.1:{} lost ", collector.port);
    let lost = log.split(&place).skip(1);
    let lost: usize = lost
        .map(|it| it.split(' ').next().unwrap().parse::<usize>().unwrap())
        .sum();
    assert_eq!(lost, 50, "{log}");
    collector.answers(200);
    eventually(
        "the next tells of what has waited and of what comes",
        || {
            assert_eq!(Client::new(web).ask("/back"), "app");
            let told = ["/after", "/back"].map(|path| of_path(&collector, path) > 0);
            told.iter().all(|it| *it).then_some(())
        },
    );
    assert_eq!(of_path(&collector, "/lost"), 0);
}
