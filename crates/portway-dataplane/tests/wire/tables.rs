//! Stick tables: what is tracked, counted and decided by.

use crate::harness::{Proxy, simple};
use portway_testkit::peer::{Target, Wire};

fn ask(client: &mut Wire, path: &str) -> String {
    client
        .send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"))
        .unwrap();
    let answer = String::from_utf8(client.message().unwrap()).unwrap();
    answer
        .lines()
        .next()
        .unwrap_or_default()
        .get(9..12)
        .unwrap_or_default()
        .to_owned()
}

/// A listener with these rules and a table that stores all that is counted; every response tells of these values.
fn tables(rules: &str, tells: &[&str], target: &Target) -> Proxy {
    let tells: Vec<String> = tells.iter().map(|value| format!("${{{value}}}")).collect();
    let told = format!(
        "[[listener.web.rule]]\nphase = \"after_response\"\nset_header.X-Told = \"{}\"\n",
        tells.join(" ")
    );
    let table = "[stick_table.t]\nkey = \"address\"\nsize = 100\nstore = [\"open_connections\", \
        \"connections\", \"connection_rate per 1m\", \"sessions\", \"requests\", \"request_rate per 1m\", \"errors\", \
        \"failures\", \"bytes_in\", \"bytes_out\", \"general(0)\", \"general(1)\", \"mark(0)\"]\n";
    Proxy::start(&format!(
        "{}{table}",
        simple(&format!("{rules}{told}"), "", &[target.address()])
    ))
}

fn told(client: &mut Wire, path: &str) -> String {
    client
        .send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"))
        .unwrap();
    let answer = String::from_utf8(client.message().unwrap()).unwrap();
    let line = answer
        .lines()
        .find_map(|line| line.strip_prefix("X-Told: "));
    line.unwrap_or_default().trim().to_owned()
}

#[test]
fn what_a_connection_tracks() {
    let target = Target::saying("ok").unwrap();
    let rule = "[[listener.web.rule]]\nphase = \"connection\"\ntrack = { key = \"source\", table = \"t\" }\n";
    let values = [
        "counter(open_connections, tracked(0))",
        "counter(connections, tracked(0))",
        "counter(sessions, tracked(0))",
        "counter(requests, tracked(0))",
        "trackers(tracked(0))",
        "counter(requests, entry(`t`, source))",
        "counter(bytes_in, tracked(0))",
    ];
    let proxy = tables(rule, &values, &target);
    let mut first = proxy.client();
    assert_eq!(told(&mut first, "/"), "1 1 1 1 1 1 0");
    assert_eq!(told(&mut first, "/"), "1 1 1 2 1 2 27");
    let mut second = proxy.client();
    assert_eq!(told(&mut second, "/"), "2 2 2 3 2 3 54");
    drop(first);
    drop(second);
    proxy.quiet();
    let mut third = proxy.client();
    assert_eq!(told(&mut third, "/"), "1 3 3 4 1 4 81");
    drop(third);
    proxy.finish(4);
}

#[test]
fn what_an_exchange_tracks() {
    let target = Target::saying("ok").unwrap();
    let rule = "[[listener.web.rule]]\nwhen = \"Path(`/counted`)\"\ntrack = { slot = 1, key = \"source\", table = \"t\" }\n";
    let values = [
        "counter(requests, tracked(1))",
        "counter(open_connections, entry(`t`, source))",
        "counter(sessions, entry(`t`, source))",
        "of_table(used, `t`)",
        "of_table(free, `t`)",
    ];
    let proxy = tables(rule, &values, &target);
    let mut client = proxy.client();
    assert_eq!(told(&mut client, "/"), "0 0 0 100");
    assert_eq!(told(&mut client, "/counted"), "1 1 0 1 99");
    assert_eq!(told(&mut client, "/"), "0 0 1 99");
    assert_eq!(told(&mut client, "/counted"), "2 1 0 1 99");
    drop(client);
    proxy.finish(4);
}

#[test]
fn a_limit_of_requests() {
    let target = Target::saying("ok").unwrap();
    let rules = "[[listener.web.rule]]\ntrack = { key = \"source\", table = \"t\" }\n\
        [[listener.web.rule]]\nwhen = \"counter(request_rate, tracked(0)) > 2\"\n\
        actions = [{ increment = { counter = \"general(0)\" } }, { set_mark = { mark = \"mark(0)\", to = \"7\" } }, { deny = 429 }]\n";
    let values = [
        "counter(general(0), tracked(0))",
        "counter(mark(0), tracked(0))",
        "counter(errors, tracked(0))",
    ];
    let proxy = tables(rules, &values, &target);
    let mut client = proxy.client();
    assert_eq!(ask(&mut client, "/"), "200");
    assert_eq!(ask(&mut client, "/"), "200");
    assert_eq!(ask(&mut client, "/"), "429");
    drop(client);
    let mut client = proxy.client();
    assert_eq!(told(&mut client, "/"), "2 7 1");
    drop(client);
    proxy.finish(4);
}

#[test]
fn asking_may_change_a_counter() {
    let target = Target::saying("ok").unwrap();
    let values = [
        "raised(general(0), entry(`t`, source))",
        "cleared(general(0), entry(`t`, source))",
        "counter(general(0), entry(`t`, source))",
        "raised(general(1), entry(`t`, source))",
        // Nothing is tracked.
        "raised(general(1), tracked(0))",
    ];
    let proxy = tables("", &values, &target);
    let mut client = proxy.client();
    assert_eq!(told(&mut client, "/"), "1 1 0 1");
    assert_eq!(told(&mut client, "/"), "1 1 0 2");
    drop(client);
    proxy.finish(2);
}
