//! What rules of one frontend ask of another by its name: connections and rates, as with HAProxy.

use crate::drain::{haproxys, say};
use crate::echo::Echo;
use crate::stage::Client;
use crate::support::{Scene, eventually, free_port};

/// Frontend `busy` on two addresses, one of them with other settings, and `asks`, which tells of it.
fn configuration([busy, more, asks]: [u16; 3]) -> String {
    format!(
        "defaults\n    mode http\n    timeout connect 5s\n    timeout client 60s\n    timeout server 5s\n\
         frontend busy\n    bind 127.0.0.1:{busy}\n    bind 127.0.0.1:{more} accept-proxy\n    \
             http-request return status 200 content-type text/plain string busy\n\
         frontend asks\n    bind 127.0.0.1:{asks}\n    \
             http-request deny deny_status 429 if {{ fe_conn(busy) gt 3 }} {{ path /limited }}\n    \
             http-request return status 200 content-type text/plain lf-string \
             \"%[fe_conn(busy)] %[fe_conn] %[fe_sess_rate(busy)] %[fe_req_rate(busy)]\"\n"
    )
}

/// The four numbers, and what is answered where there are too many connections.
fn told(scene: &Scene, asks: u16) -> ([u64; 4], String) {
    let url = format!("http://127.0.0.1:{asks}/");
    let text = scene.curl(&[&url]).good();
    let numbers = text.split(' ').map(|it| it.trim().parse().unwrap());
    let numbers: Vec<u64> = numbers.collect();
    let limited = scene.status(&[&format!("{url}limited")]);
    (numbers.try_into().unwrap(), limited)
}

fn check(scene: &Scene, ports: [u16; 3]) {
    let [busy, more, asks] = ports;
    // Who has asked before may still be leaving.
    let becomes = |expected: ([u64; 2], &str)| {
        eventually(format_args!("{expected:?}"), || {
            let ([open, own, ..], limited) = told(scene, asks);
            (([open, own], limited.as_str()) == expected).then_some(())
        });
    };
    becomes(([0, 1], "200"));
    let mut clients: Vec<Client> = (0..4).map(|_| Client::new(busy)).collect();
    let mut proxied = Client::new(more);
    proxied.send("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n");
    clients.push(proxied);
    let mut ask_all = || {
        for client in &mut clients {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            assert!(client.answer().starts_with("http/1.1 200 "));
        }
    };
    ask_all();
    becomes(([5, 1], "429"));
    // A rate is that of the last second: what comes now is in it.
    eventually("requests and connections are in the rates", || {
        ask_all();
        let new: Vec<Client> = (0..3).map(|_| Client::new(busy)).collect();
        let ([_, _, connections, requests], _) = told(scene, asks);
        drop(new);
        (connections >= 3 && requests >= 5).then_some(())
    });
}

#[test]
fn rules_ask_of_other_frontends_as_with_haproxy() {
    let scene = Scene::new();
    let [ours, theirs] = [(); 2].map(|()| [(); 3].map(|()| free_port()));
    scene.file("ours.cfg", configuration(ours));
    scene.file("theirs.cfg", configuration(theirs));
    let _haproxy = scene.serve(theirs[2], "haproxy", &["-db", "-f", "theirs.cfg"]);
    check(&scene, theirs);
    let portway = scene.portway_with(&["ours.cfg"]);
    check(&scene, ours);
    portway.stop();
    scene.file(
        "wrong.cfg",
        configuration(ours).replace("fe_conn(busy)", "fe_conn(bussy)"),
    );
    let refused = scene.run(crate::support::PORTWAY, &["check", "wrong.cfg"]);
    assert!(!refused.status.success());
    assert!(refused.both().contains("bussy"), "{refused}");
}

/// How long an entry is kept yet, and since when it is idle, in units that hide the time of the test; of one that is not there, what
/// is said for that.
fn entries(port: u16) -> String {
    format!(
        "defaults\n    mode http\n    timeout connect 5s\n    timeout client 60s\n    timeout server 5s\n\
         frontend web\n    bind 127.0.0.1:{port}\n    stick-table type ip size 10 expire 55s store http_req_cnt\n    \
             http-request track-sc0 src if {{ path /track }}\n    \
             http-request return status 200 content-type text/plain lf-string \
             \"%[src,table_expire(web,-7),div(10000)] %[src,table_idle(web,-8),div(10000)] \
                [%[src,table_expire(web)]] [%[src,table_idle(web)]]\"\n"
    )
}

#[test]
fn entries_tell_how_long_they_are_kept_and_idle_as_with_haproxy() {
    let scene = Scene::new();
    let [ours, theirs] = [(); 2].map(|()| free_port());
    scene.file("ours.cfg", entries(ours));
    scene.file("theirs.cfg", entries(theirs));
    let _haproxy = scene.serve(theirs, "haproxy", &["-db", "-f", "theirs.cfg"]);
    let portway = scene.portway_with(&["ours.cfg"]);
    for port in [theirs, ours] {
        let ask = |path: &str| {
            scene
                .curl(&[&format!("http://127.0.0.1:{port}{path}")])
                .good()
        };
        // Divisions go towards 0.
        let none = ask("/");
        assert_eq!(
            none.split_whitespace().collect::<Vec<_>>(),
            ["0", "0", "[]", "[]"]
        );
        ask("/track");
        let some = ask("/");
        let some: Vec<&str> = some.split_whitespace().collect();
        assert_eq!(some[..2], ["5", "0"], "{some:?}");
        let millis = |at: usize| -> u64 { some[at].trim_matches(['[', ']']).parse().unwrap() };
        let (expires, idle) = (millis(2), millis(3));
        assert!((50_000..=55_000).contains(&expires), "{some:?}");
        assert!((54_900..=55_100).contains(&(expires + idle)), "{some:?}");
    }
    portway.stop();
}

/// What was counted goes on under another name; that it came at once does not follow.
#[test]
fn another_name_makes_no_rate_of_what_was_counted() {
    let one = Echo::start("one");
    let web = free_port();
    let stage = haproxys(web, &[one.port]);
    let text = stage.scene.read("web.toml");
    let column = |row: &str, nth: usize| -> u64 {
        let all = say(&stage, "show stat");
        let line = all.lines().find(|it| it.starts_with(row));
        let line = line.unwrap_or_else(|| panic!("{row}: {all}"));
        line.split(',').nth(nth).unwrap().parse().unwrap()
    };
    for _ in 0..30 {
        assert_eq!(Client::new(web).ask("/"), "one");
    }
    let (total, most, most_requests) = (7, 35, 47);
    let before = ["fe,FRONTEND,", "be,a,"].map(|row| column(row, total));
    assert!(before[0] >= 30 && before[1] == 30, "{before:?}");
    for (name, is_cleared) in [("x", false), ("y", true)] {
        let listens = format!("frontend {name}\n");
        let text = text.replace("frontend fe\n", &listens);
        stage.becomes(&text.replace("server a ", &format!("server {name} ")));
        let front = format!("{name},FRONTEND,");
        let back = format!("be,{name},");
        assert_eq!(column(&front, most), 0);
        assert_eq!(column(&front, most_requests), 0);
        assert_eq!(column(&back, most), 0);
        let counted = [&front, &back].map(|row| column(row, total));
        assert_eq!(counted, if is_cleared { [0, 0] } else { before });
        say(&stage, "clear counters all");
    }
}
