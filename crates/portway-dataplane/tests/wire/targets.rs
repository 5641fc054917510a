//! Which target is asked, and which one next where that fails.

use crate::harness::{Proxy, simple};
use portway_dataplane::live::Health;
use portway_testkit::peer::{Target, Wire, eventually};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";

/// The body of the answer, which is the name of the target; the status where it is none.
fn ask(client: &mut Wire) -> String {
    client.send(GET).unwrap();
    name_of(&client.message().unwrap())
}

fn name_of(answer: &[u8]) -> String {
    let answer = String::from_utf8_lossy(answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    match head.strip_prefix("HTTP/1.1 ").unwrap() {
        ok if ok.starts_with("200") => body.to_owned(),
        other => other[..3].to_owned(),
    }
}

fn named(names: &[&str]) -> (Vec<Target>, Vec<SocketAddr>) {
    let targets: Vec<Target> = names
        .iter()
        .map(|name| Target::saying(name).unwrap())
        .collect();
    let addresses = targets.iter().map(Target::address).collect();
    (targets, addresses)
}

fn counts(names: impl IntoIterator<Item = String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    counts
}

fn expected(counts: &[(&str, usize)]) -> BTreeMap<String, usize> {
    counts
        .iter()
        .map(|(name, count)| ((*name).to_owned(), *count))
        .collect()
}

#[test]
fn each_in_turn() {
    let (_targets, addresses) = named(&["a", "b", "c"]);
    let proxy = Proxy::start(&simple("", "", &addresses));
    let mut client = proxy.client();
    let order: Vec<String> = (0..30).map(|_| ask(&mut client)).collect();
    assert_eq!(
        counts(order.clone()),
        expected(&[("a", 10), ("b", 10), ("c", 10)])
    );
    for three in order.chunks(3) {
        assert_eq!(counts(three.to_vec()).len(), 3, "{order:?}");
    }
    drop(client);
    proxy.finish(30);
}

#[test]
fn by_weight_and_smoothly() {
    let (_targets, addresses) = named(&["a", "b", "c", "off"]);
    let text = simple("", "", &[]).replace(
        "targets = []",
        &format!(
            "targets = [{{ address = \"{}\", weight = 3 }}, \"{}\", {{ address = \"{}\", weight = 0 }}, {{ address = \"{}\", disabled = true }}]",
            addresses[0], addresses[1], addresses[2], addresses[3]
        ),
    );
    let proxy = Proxy::start(&text);
    let mut client = proxy.client();
    let order: Vec<String> = (0..40).map(|_| ask(&mut client)).collect();
    assert_eq!(counts(order.clone()), expected(&[("a", 30), ("b", 10)]));
    for four in order.chunks(4) {
        assert_eq!(counts(four.to_vec())["b"], 1, "{order:?}");
    }
    drop(client);
    proxy.finish(40);
}

#[test]
fn the_one_with_fewest_requests() {
    let over = Arc::new(AtomicBool::new(false));
    let until = Arc::clone(&over);
    let slow = Target::start(move |_, mut wire| {
        wire.message()?;
        eventually(|| until.load(Ordering::SeqCst));
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow")
    })
    .unwrap();
    let fast = Target::saying("fast").unwrap();
    let proxy = Proxy::start(&simple(
        "",
        "algorithm = \"least_outstanding\"",
        &[slow.address(), fast.address()],
    ));
    let mut waiting = proxy.client();
    let mut records = 0;
    // Who is first where both are free is not said.
    while slow.connections() == 0 {
        waiting = proxy.client();
        waiting.send(GET).unwrap();
        records += 1;
        assert!(eventually(|| slow.connections() + fast.connections() > 0));
    }
    let mut client = proxy.client();
    for _ in 0..20 {
        assert_eq!(ask(&mut client), "fast");
    }
    assert_eq!(slow.connections(), 1);
    over.store(true, Ordering::SeqCst);
    assert_eq!(name_of(&waiting.message().unwrap()), "slow");
    drop((client, waiting));
    proxy.finish(records + 20);
}

#[test]
fn by_the_clients_address() {
    let (_targets, addresses) = named(&["a", "b", "c"]);
    let proxy = Proxy::start(&simple("", "algorithm = \"source_hash\"", &addresses));
    let mut records = 0;
    let mut ask_from = |last: u8| {
        let mut client =
            Wire::connect_from(Ipv4Addr::new(127, 0, 1, last), proxy.address(0)).unwrap();
        records += 1;
        ask(&mut client)
    };
    let first: Vec<String> = (1..=40).map(&mut ask_from).collect();
    let second: Vec<String> = (1..=40).map(&mut ask_from).collect();
    assert_eq!(first, second);
    assert_eq!(counts(first.clone()).len(), 3, "{first:?}");
    // Losing a target moves its clients and nobody else's.
    proxy.target(0, 1).set_health(Health::Unhealthy);
    let third: Vec<String> = (1..=40).map(&mut ask_from).collect();
    for (before, after) in first.iter().zip(&third) {
        assert!(
            if before == "b" {
                after != "b"
            } else {
                after == before
            },
            "{before} {after}"
        );
    }
    proxy.finish(records);
}

#[test]
fn health_decides_who_may_be_asked() {
    let check = |name: &str, states: [Health; 2], group: &str, expected_names: &[(&str, usize)]| {
        println!("{name}");
        let (targets, addresses) = named(&["a", "b"]);
        let proxy = Proxy::start(&simple("", group, &addresses));
        for (index, state) in states.into_iter().enumerate() {
            proxy.target(0, index).set_health(state);
        }
        let mut client = proxy.client();
        let names = (0..6).map(|_| ask(&mut client));
        assert_eq!(counts(names), expected(expected_names), "{name}");
        for (target, state) in targets.iter().zip(states) {
            let asked = expected_names.iter().any(|(name, _)| *name != "503");
            assert!(asked || target.connections() == 0, "{name}: {state:?}");
        }
        drop(client);
        proxy.finish(6);
    };
    use Health::{Draining, Healthy, Initial, Unhealthy, Unused};
    check("both", [Healthy, Initial], "", &[("a", 3), ("b", 3)]);
    check("one", [Healthy, Unhealthy], "", &[("a", 6)]);
    check("draining", [Draining, Healthy], "", &[("b", 6)]);
    check("none", [Unhealthy, Unhealthy], "", &[("503", 6)]);
    check("none of use", [Draining, Unused], "", &[("503", 6)]);
    check(
        "fail open",
        [Unhealthy, Unhealthy],
        "when_none_healthy = \"fail_open\"",
        &[("a", 3), ("b", 3)],
    );
}

#[test]
fn a_target_that_refuses_is_passed_over() {
    let check =
        |name: &str, request: &str, dead: usize, alive: &[&str], group: &str, status: &str| {
            println!("{name}");
            let (_targets, mut addresses) = named(alive);
            for _ in 0..dead {
                addresses.insert(0, Target::refusing().unwrap());
            }
            let proxy = Proxy::start(&simple("", group, &addresses));
            let mut client = proxy.client();
            for _ in 0..6 {
                client.send(request).unwrap();
                assert_eq!(name_of(&client.message().unwrap()), status, "{name}");
                if status == "502" && request == POST {
                    client = proxy.client();
                }
            }
            drop(client);
            proxy.finish(6);
        };
    check("GET", GET, 1, &["a"], "", "a");
    check("POST, since nothing was sent", POST, 1, &["a"], "", "a");
    check("two dead ones", GET, 2, &["a"], "", "a");
    check("all dead", GET, 2, &[], "", "502");
    check("all dead, POST", POST, 2, &[], "", "502");
    check(
        "retries bound the search",
        GET,
        3,
        &[],
        "retries = 0",
        "502",
    );
}

#[test]
fn every_attempt_goes_elsewhere_first() {
    let dead: Vec<SocketAddr> = (0..3).map(|_| Target::refusing().unwrap()).collect();
    let proxy = Proxy::start(&simple("", "retries = 2", &dead));
    let mut client = proxy.client();
    assert_eq!(ask(&mut client), "502");
    for target in &dead {
        let sample = format!(
            "portway_target_connect_failures_total{{target_group=\"app\",target=\"{target}\"}}"
        );
        assert_eq!(proxy.metric(&sample), 1, "{}", proxy.metrics());
    }
    assert_eq!(
        proxy.metric("portway_target_group_retries_total{target_group=\"app\"}"),
        2
    );
    drop(client);
    let log = proxy.finish(1);
    assert!(log[0].contains("\"attempts\":3"), "{}", log[0]);
}

#[test]
fn a_backup_serves_when_no_other_may() {
    let (_targets, addresses) = named(&["a", "spare"]);
    let text = simple("", "", &[]).replace(
        "targets = []",
        &format!(
            "targets = [\"{}\", {{ address = \"{}\", backup = true }}]",
            addresses[0], addresses[1]
        ),
    );
    let proxy = Proxy::start(&text);
    let mut client = proxy.client();
    assert_eq!([ask(&mut client), ask(&mut client)], ["a", "a"]);
    proxy.target(0, 0).set_health(Health::Unhealthy);
    assert_eq!([ask(&mut client), ask(&mut client)], ["spare", "spare"]);
    proxy.target(0, 0).set_health(Health::Healthy);
    assert_eq!(ask(&mut client), "a");
    drop(client);
    proxy.finish(5);
}

#[test]
fn a_target_takes_no_more_connections_than_it_may() {
    let busy = Target::start(|_, mut wire| {
        wire.message()?;
        wire.until_end().map(drop)
    })
    .unwrap();
    let timeouts = "timeouts = { response = \"2s\", queue = \"300ms\" }";
    let text = simple("", timeouts, &[]).replace(
        "targets = []",
        &format!(
            "targets = [{{ address = \"{}\", max_connections = 2 }}]",
            busy.address()
        ),
    );
    let proxy = Proxy::start(&text);
    let mut first = proxy.client();
    let mut second = proxy.client();
    first.send(GET).unwrap();
    second.send(GET).unwrap();
    assert!(eventually(|| busy.connections() == 2));
    let mut third = proxy.client();
    assert_eq!(ask(&mut third), "503");
    let sample = "portway_limit_reached_total{limit=\"target_connections\"}";
    assert_eq!(proxy.metric(sample), 1);
    assert_eq!(busy.connections(), 2);
    assert_eq!(name_of(&first.message().unwrap()), "504");
    assert_eq!(name_of(&second.message().unwrap()), "504");
    drop((first, second, third));
    proxy.finish(3);
}

#[test]
fn who_waits_is_served_when_there_is_room() {
    let gate = Arc::new(AtomicBool::new(false));
    let open = Arc::clone(&gate);
    let slow = Target::start(move |_, mut wire| {
        loop {
            wire.message()?;
            while !open.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(2));
            }
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
        }
    })
    .unwrap();
    let text = simple("", "", &[]).replace(
        "targets = []",
        &format!(
            "targets = [{{ address = \"{}\", max_connections = 1 }}]",
            slow.address()
        ),
    );
    let proxy = Proxy::start(&text);
    let mut clients: Vec<Wire> = (0..5).map(|_| proxy.client()).collect();
    clients
        .iter_mut()
        .for_each(|client| client.send(GET).unwrap());
    assert!(eventually(
        || proxy.waiting(0) == 4 && slow.connections() == 1
    ));
    gate.store(true, Ordering::SeqCst);
    for client in &mut clients {
        assert_eq!(name_of(&client.message().unwrap()), "ok");
    }
    assert_eq!(proxy.waiting(0), 0);
    drop(clients);
    proxy.finish(5);
}

#[test]
fn hashes_of_values_and_turns_without_them() {
    let (_targets, addresses) = named(&["a", "b", "c"]);
    let algorithm = "algorithm = { hash = \"header(`X-K`)\", method = { table = \"sdbm\" } }";
    let proxy = Proxy::start(&simple("", algorithm, &addresses));
    let mut client = proxy.client();
    // As HAProxy 2.6 with `balance hdr(X-K)`.
    let keyed: String = ["/", "/a", "/a/b/c.html?x=1", "/index.php?id=12&u=joe"]
        .map(|key| {
            let request = format!("GET / HTTP/1.1\r\nHost: a\r\nX-K: {key}\r\n\r\n");
            client.send(&request).unwrap();
            name_of(&client.message().unwrap())
        })
        .concat();
    assert_eq!(keyed, "cacc");
    let absent: String = (0..4).map(|_| ask(&mut client)).collect();
    assert_eq!(absent, "abca");
    drop(client);
    proxy.finish(8);
}

#[test]
fn answers_that_are_tried_again() {
    let check = |group: &str, bad: &'static str, expected: &str| {
        let bad = Target::start(move |_, mut wire| {
            loop {
                wire.message()?;
                wire.send(bad)?;
                if !bad.starts_with("HTTP/1.1 503") {
                    return Ok(());
                }
            }
        })
        .unwrap();
        let good = Target::saying("good").unwrap();
        let proxy = Proxy::start(&simple("", group, &[bad.address(), good.address()]));
        let mut client = proxy.client();
        assert_eq!(ask(&mut client), expected, "{group}");
        drop(client);
        proxy.finish(1);
    };
    let busy = "HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno";
    check("", busy, "503");
    check("retry_on = [503]", busy, "good");
    check("retry_on = [503]\nretries = 0", busy, "503");
    check("retry_on = [\"connect_failure\"]", busy, "503");
    check("retry_on = [\"junk_response\"]", "nonsense\r\n\r\n", "good");
    check("", "nonsense\r\n\r\n", "502");
    check("retry_on = [\"empty_response\"]", "", "good");
    check("retry_on = []", "", "502");
    check("retry_on = [\"500-599\"]", busy, "good");
    check("retry_on = [\"500-502\", 504]", busy, "503");
    check("retry_on = [\"safe\"]", busy, "503");
    check("retry_on = [\"unavailable\"]", busy, "503");
    let once = "[[listener.web.rule]]\nwhen = 'Path(`/`)'\ndisable_l7_retry = true";
    check(&format!("retry_on = [503]\n{once}"), busy, "503");
    check(&format!("retry_on = ['empty_response']\n{once}"), "", "502");
    let other = once.replace("/", "/other");
    check(&format!("retry_on = [503]\n{other}"), busy, "good");
}

#[test]
fn what_a_target_says_it_has_not_done_is_tried_again() {
    let check = |on: &str, bad: &'static str, request: &str, expected: &str| {
        let bad = Target::start(move |_, mut wire| {
            loop {
                wire.message()?;
                wire.send(bad)?;
            }
        })
        .unwrap();
        let good = Target::saying("good").unwrap();
        let group = format!("retry_on = {on}\nretry_idempotent_only = true");
        let proxy = Proxy::start(&simple("", &group, &[bad.address(), good.address()]));
        let mut client = proxy.client();
        client.send(request).unwrap();
        let answer = String::from_utf8(client.message().unwrap()).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, expected, "{on} {request}");
        drop(client);
        proxy.finish(1);
    };
    let early = "HTTP/1.1 425 No\r\nContent-Length: 3\r\n\r\nbad";
    let misdirected = "HTTP/1.1 421 No\r\nContent-Length: 3\r\n\r\nbad";
    let later = "HTTP/1.1 503 No\r\nRetry-After: 5\r\nContent-Length: 3\r\n\r\nbad";
    let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    let body = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx";
    let in_early_data = "GET / HTTP/1.1\r\nHost: a\r\nEarly-Data: 1\r\n\r\n";
    // Both say that nothing was done, whatever the method.
    check("['misdirected']", misdirected, get, "good");
    check("['misdirected']", misdirected, post, "good");
    check("['safe', 'too_early']", early, get, "good");
    check("['too_early']", early, post, "good");
    // Who sent it in early data is who may send it again.
    check("['too_early']", early, in_early_data, "bad");
    // A time to come again proves nothing of what was done.
    check("['unavailable']", later, get, "good");
    check("['unavailable']", later, post, "bad");
    // A status that is named is for methods that may be done twice here.
    check("[503]", later, get, "good");
    check("[503]", later, post, "bad");
    // What was sent is not there to be sent again.
    check("['misdirected', 503]", misdirected, body, "bad");
    check("['connect_failure']", misdirected, get, "bad");
}

#[test]
fn where_retries_go() {
    let check = |to: &str, connect: &str, expected: &str| {
        let good = Target::saying("good").unwrap();
        let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = nobody.local_addr().unwrap();
        drop(nobody);
        let group = format!("{to}\nretries = 2\ntimeouts.connect = \"{connect}\"");
        let proxy = Proxy::start(&simple("", &group, &[address, good.address()]));
        let mut client = proxy.client();
        assert_eq!(ask(&mut client), expected, "{to}");
        drop(client);
        proxy.finish(1);
    };
    check("", "1s", "good");
    check("retry_to = \"same\"", "10ms", "502");
    check("rule = [{ disable_l7_retry = true }]", "1s", "good");
    // Nothing binds the request to the dead one, and the group takes turns: it is left at once.
    check("retry_to = { same_then_another = -1 }", "1s", "good");
    let first = "algorithm = \"first\"\nretry_to = { same_then_another = -1 }";
    check(first, "10ms", "good");
}

#[test]
fn groups_share_requests_by_weight() {
    let (_targets, addresses) = named(&["a", "b"]);
    let text = format!(
        "[listener.web]\nbind = \"@0\"\nforward = {{ one = 3, two = 1 }}\n\
         [target_group.one]\ntargets = [\"{}\"]\n[target_group.two]\ntargets = [\"{}\"]\n",
        addresses[0], addresses[1]
    );
    let proxy = Proxy::start(&text);
    let mut client = proxy.client();
    // Few requests keep the proportion too.
    for _ in 0..5 {
        let counts = counts((0..40).map(|_| ask(&mut client)));
        assert!((9..=11).contains(&counts["b"]), "{counts:?}");
    }
    drop(client);
    proxy.finish(200);
}

/// An address that never answers a SYN: its queue is full. The wires keep it so.
fn unanswering() -> (std::net::TcpListener, Vec<std::net::TcpStream>, SocketAddr) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    socket.bind(&any.into()).unwrap();
    socket.listen(0).unwrap();
    let listener = std::net::TcpListener::from(socket);
    let address = listener.local_addr().unwrap();
    let quick = Duration::from_millis(300);
    let wires = std::iter::from_fn(|| std::net::TcpStream::connect_timeout(&address, quick).ok());
    let wires = wires.take(16).collect();
    (listener, wires, address)
}

#[test]
fn a_target_that_does_not_take_connections_costs_its_timeout() {
    let (_listener, _wires, silent) = unanswering();
    let settings = "timeouts.connect = \"300ms\"";
    let proxy = Proxy::start(&simple("", &format!("{settings}\nretries = 0"), &[silent]));
    let mut client = proxy.client();
    assert_eq!(ask(&mut client), "504");
    drop(client);
    proxy.finish(1);
    let (_targets, mut addresses) = named(&["a"]);
    addresses.push(silent);
    let proxy = Proxy::start(&simple("", settings, &addresses));
    let mut client = proxy.client();
    assert_eq!([ask(&mut client), ask(&mut client)], ["a", "a"]);
    drop(client);
    proxy.finish(2);
}

#[test]
fn a_name_without_an_address_is_passed_over() {
    let (_targets, addresses) = named(&["a", "b"]);
    let proxy = Proxy::start(&simple("", "", &addresses));
    proxy.target(0, 0).set_address(None);
    let mut client = proxy.client();
    assert_eq!([ask(&mut client), ask(&mut client)], ["b", "b"]);
    proxy.target(0, 1).set_address(None);
    assert_eq!(ask(&mut client), "502");
    // A name that resolves again serves again, at its new address.
    proxy.target(0, 0).set_address(Some(addresses[1]));
    assert_eq!(ask(&mut client), "b");
    drop(client);
    proxy.finish(4);
}

#[test]
fn a_body_that_was_not_sent_yet_goes_to_the_next_target_whole() {
    let target = Target::saying("a").unwrap();
    let dead = [Target::refusing().unwrap(), Target::refusing().unwrap()];
    let proxy = Proxy::start(&simple("", "", &[dead[0], dead[1], target.address()]));
    let body = "0123456789".repeat(10_000);
    for _ in 0..3 {
        let mut client = proxy.client();
        let head = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        client
            .send_pieces(&[&format!("{head}0123"), &body[4..]])
            .unwrap();
        assert_eq!(name_of(&client.message().unwrap()), "a");
        assert!(
            target
                .received_in_all()
                .ends_with(&format!("\r\n\r\n{body}"))
        );
    }
    proxy.finish(3);
}

/// Two sockets on one port of two addresses of this host.
fn twins() -> [TcpListener; 2] {
    loop {
        let one = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = one.local_addr().unwrap().port();
        if let Ok(two) = TcpListener::bind((Ipv4Addr::new(127, 0, 0, 2), port)) {
            return [one, two];
        }
    }
}

#[test]
fn destinations_of_clients_are_kept_apart() {
    let twins = twins();
    let port = twins[0].local_addr().unwrap().port();
    let targets = twins.map(|socket| {
        let ip = socket.local_addr().unwrap().ip();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{ip}");
        Target::start_on(socket, move |_, mut wire| {
            loop {
                wire.message()?;
                wire.send(&answer)?;
            }
        })
        .unwrap()
    });
    let text = format!(
        "[listener.web]\nbind = [\"@0\", \"@3\"]\nforward = \"app\"\n\
         [target_group.app]\ntargets = [\"client-destination:{port}\"]\n"
    );
    let proxy = Proxy::start(&text);
    for _ in 0..3 {
        for (place, ip) in [(0, "127.0.0.1"), (3, "127.0.0.2")] {
            let mut client = Wire::connect(proxy.address(place)).unwrap();
            assert_eq!(ask(&mut client), ip);
        }
    }
    assert_eq!(targets.map(|target| target.connections()), [1, 1]);
    proxy.finish(6);
}

#[test]
fn who_waits_for_a_client_that_has_gone_gives_up() {
    let check = |target: SocketAddr, group: &str, busy: bool, letters: &str| {
        let proxy = Proxy::start(&format!(
            "[listener.web]\nbind = \"@0\"\nforward = \"app\"\naccess_log = \"${{log(termination_short)}}\"\n\
             [target_group.app]\nabort_on_close = true\n{group}\n\
             targets = [{{ address = \"{target}\", max_connections = 1 }}]\n"
        ));
        let mut first = proxy.client();
        if busy {
            first.send(GET).unwrap();
            assert!(eventually(|| proxy.target(0, 0).in_flight() == 1));
        }
        let mut client = proxy.client();
        client.send(GET).unwrap();
        assert!(client.is_quiet(Duration::from_millis(100)).unwrap());
        client.half_close().unwrap();
        assert_eq!(client.until_end().unwrap().0, b"", "{letters}");
        drop((first, client));
        let log = proxy.finish(1 + usize::from(busy));
        assert_eq!(log[0], letters, "{group}");
    };
    let silent = Target::start(|_, mut wire| wire.until_end().map(drop)).unwrap();
    let silent = silent.address();
    check(silent, "", false, "CH");
    check(silent, "", true, "CQ");
    let (_listener, _wires, deaf) = unanswering();
    check(deaf, "", false, "CC");
    let refused = Target::refusing().unwrap();
    check(refused, "retries = 3\nretry_to = \"same\"", false, "CC");
}
