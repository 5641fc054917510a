//! Requests as steps of traces: whose word counts, and what targets and logs are told.

use std::fs;

use serde_json::Value;

use crate::echo::Echo;
use crate::stage::{Stage, group};
use crate::support::{eventually, free_port};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn listener(name: &str, port: u16, more: &str) -> String {
    format!(
        "[listener.{name}]\nbind = '127.0.0.1:{port}'\naccess_log = {{ format = 'json', to = 'file:log' }}\n{more}\
         [[listener.{name}.rule]]\nactions = [{{ trace_context = {{ sampled = 0 }} }}, {{ forward = 'app' }}]\n\
         [[listener.{name}.rule]]\nphase = 'response'\nset_header = {{ X-Trace = '${{trace_id}}/${{span_id}}' }}\n"
    )
}

/// What the target was told, and what the client is.
fn ask(stage: &Stage, port: u16, headers: &[&str]) -> (String, String, Option<String>) {
    let url = format!("http://127.0.0.1:{port}/");
    let mut arguments = vec!["-s", "-i"];
    for header in headers {
        arguments.extend(["-H", header]);
    }
    arguments.push(&url);
    let answer = stage.scene.curl(&arguments).good();
    let line = |name: &str| {
        let mut lines = answer.lines().filter_map(|it| it.strip_prefix(name));
        lines.next().map(|it| it.trim().to_owned())
    };
    let trace = line("X-Trace: ").unwrap_or_else(|| panic!("{answer}"));
    let parent = line("traceparent: ").unwrap_or_else(|| panic!("{answer}"));
    (parent, trace, line("tracestate: "))
}

#[test]
fn traces_of_trusted_proxies_go_on() {
    let app = Echo::start("app");
    let [trusting, careful, dead] = [(); 3].map(|()| free_port());
    let trusts = "forwarded = { trusted_proxies = ['127.0.0.0/8'] }\n";
    let listeners = listener("trusting", trusting, trusts) + &listener("careful", careful, "");
    let stage = Stage::new(&(listeners.clone() + &group("app", &[dead, app.port])));
    let said_parent = format!("traceparent: {PARENT}");
    let said = [said_parent.as_str(), "tracestate: a=1", "tracestate: b=2"];
    let parts = |parent: &str| parent.split('-').map(str::to_owned).collect::<Vec<_>>();
    let theirs = parts(PARENT);
    // The same trace, another step; also where a target does not answer.
    let mut steps = Vec::new();
    for _ in 0..4 {
        let (parent, told, state) = ask(&stage, trusting, &said);
        let of = parts(&parent);
        assert_eq!((&of[1], &*of[3]), (&theirs[1], "01"), "{parent}");
        assert_eq!(told, format!("{}/{}", of[1], of[2]));
        assert_eq!(state.as_deref(), Some("a=1,b=2"));
        steps.push(of[2].clone());
    }
    steps.push(theirs[2].clone());
    steps.sort();
    steps.dedup();
    assert_eq!(steps.len(), 5);
    // Who is not trusted, or says nothing that is valid, begins a new one. It is sampled as the rule says.
    let broken = ["traceparent: 00-4bf9", "tracestate: a=1"];
    for (port, said) in [
        (careful, &said[..]),
        (trusting, &broken[..]),
        (trusting, &[][..]),
    ] {
        let (parent, _, state) = ask(&stage, port, said);
        let of = parts(&parent);
        assert!(
            of[1] != theirs[1] && of[1].len() == 32 && of[3] == "00",
            "{parent}"
        );
        assert_eq!(state, None);
    }
    // It goes on over a reload.
    stage.becomes(&(listeners + &group("app", &[app.port])));
    let (parent, _, _) = ask(&stage, trusting, &said);
    let last = parts(&parent);
    let logged = eventually("the last request is logged", || {
        let text = fs::read_to_string(stage.scene.path("log")).unwrap_or_default();
        let mut records = text
            .lines()
            .filter_map(|it| serde_json::from_str::<Value>(it).ok());
        records.next_back().filter(|it| it["span_id"] == last[2])
    });
    assert_eq!(logged["trace_id"], last[1]);
}
