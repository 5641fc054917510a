//! Options of Traefik that show at work alone: shares of services, what stands in for a service, how servers are checked and told of
//! clients, what entry points take. Each over a change of the dynamic file, and where servers are dead.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::choice::Mortal;
use crate::echo::Echo;
use crate::grpc_checks::Server;
use crate::haproxy_servers::less_to_do_is_chosen;
use crate::limits::{once, status};
use crate::passive::answers;
use crate::queue::Gate;
use crate::stage::{Client, own_certificate, tunnels};
use crate::support::{Scene, eventually, free_port, local};
use crate::tcp_watch::next_probe;
use crate::traefik_changes::{deployed, entry, one};
use crate::traefik_policies::{Deployed, servers};

/// Shares of clients by the weights of services: what a canary is.
#[test]
fn services_have_shares_by_weight() {
    let [old, new] = ["old", "new"].map(|name| Echo::start(name).port);
    let (web, dead) = (free_port(), free_port());
    let text = |weights: [u32; 2], of_new: &[u16]| {
        format!(
            "http:
  routers:
    web: {{ rule: \"PathPrefix(`/`)\", service: all, entryPoints: [web] }}
  services:
    all: {{ weighted: {{ services: [{{ name: old, weight: {} }}, {{ name: new, weight: {} }}] }} }}
    old: {{ loadBalancer: {{ {} }} }}
    new: {{ loadBalancer: {{ {} }} }}
",
            weights[0],
            weights[1],
            servers("http", &[old]),
            servers("http", of_new)
        )
    };
    let it = deployed(web, "", &text([3, 1], &[new]));
    // Of 400; five times the deviation of a share by chance is allowed.
    let new_has = |least: usize, most: usize| {
        let mut counts = BTreeMap::new();
        for answer in answers(web, 400) {
            *counts.entry(answer).or_insert(0) += 1;
        }
        let of_new = counts.get("200 new").copied().unwrap_or(0);
        assert_eq!(
            of_new + counts.get("200 old").copied().unwrap_or(0),
            400,
            "{counts:?}"
        );
        assert!((least..=most).contains(&of_new), "{counts:?}");
    };
    new_has(57, 143);
    it.becomes(&text([1, 3], &[new]));
    new_has(257, 343);
    // A server of it that is dead is left for another one of the same service.
    it.becomes(&text([1, 3], &[dead, new]));
    new_has(257, 343);
    it.becomes(&text([1, 0], &[new]));
    new_has(0, 0);
    it.becomes(&text([0, 1], &[new]));
    new_has(400, 400);
    it.portway.stop();
}

/// A server of TCP that keeps what its clients say first.
fn listens() -> (u16, Arc<Mutex<Vec<Vec<u8>>>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (port, heard) = (listener.local_addr().unwrap().port(), Arc::default());
    let all: Arc<Mutex<Vec<Vec<u8>>>> = Arc::clone(&heard);
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut bytes = [0; 512];
            let count = stream.read(&mut bytes).unwrap_or(0);
            all.lock().unwrap().push(bytes[..count].to_vec());
            let _ = stream.write_all(b"heard");
        }
    });
    (port, heard)
}

#[test]
fn servers_are_told_of_clients_by_the_proxy_protocol() {
    let (raw, dead) = (free_port(), free_port());
    let (port, heard) = listens();
    let text = |version: u32, ports: &[u16]| {
        let all = ports.iter();
        let all: Vec<String> = all
            .map(|port| format!("{{ address: \"127.0.0.1:{port}\" }}"))
            .collect();
        format!(
            "tcp:
  routers:
    raw: {{ rule: \"HostSNI(`*`)\", service: raw, entryPoints: [raw] }}
  services:
    raw: {{ loadBalancer: {{ proxyProtocol: {{ version: {version} }}, servers: [{}] }} }}
",
            all.join(", ")
        )
    };
    let fixed = format!("entryPoints:\n{}", entry("raw", raw, ""));
    let it = Deployed::new(Scene::new(), &fixed, &text(1, &[port]));
    let says = |begin: &[u8]| {
        let mut client = TcpStream::connect(local(raw)).unwrap();
        client
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        client.write_all(b"hello").unwrap();
        let mut answer = [0; 5];
        client.read_exact(&mut answer).unwrap();
        let said = heard.lock().unwrap().pop().unwrap();
        assert!(said.starts_with(begin), "{said:?}");
    };
    says(b"PROXY TCP4 127.0.0.1 127.0.0.1 ");
    it.becomes(&text(2, &[port]));
    let second = b"\r\n\r\n\0\r\nQUIT\n\x21\x11";
    says(second);
    // Whom a dead server was to serve, another one is told of.
    it.becomes(&text(2, &[dead, port]));
    (0..4).for_each(|_| says(second));
    it.portway.stop();
}

#[test]
fn connections_to_servers_are_probed_as_is_said() {
    let (raw, dead, server) = (free_port(), free_port(), tunnels());
    let text = |time: &str, more: &str| {
        format!(
            "tcp:
  routers:
    raw: {{ rule: \"HostSNI(`*`)\", service: raw, entryPoints: [raw] }}
  serversTransports:
    own: {{ dialKeepAlive: {time} }}
  services:
    raw: {{ loadBalancer: {{ serversTransport: own, servers: [{more}{{ address: \"127.0.0.1:{server}\" }}] }} }}
"
        )
    };
    let fixed = format!("entryPoints:\n{}", entry("raw", raw, ""));
    let it = Deployed::new(Scene::new(), &fixed, &text("40s", ""));
    let probed = || next_probe(&format!("dport = :{server}"));
    let is_within = |most: f64| {
        let seen = probed().unwrap();
        assert!(seen <= most && seen > most / 2.0, "{seen}");
    };
    let mut first = Client::tunnel(raw);
    is_within(40.0);
    it.becomes(&text(
        "400s",
        &format!("{{ address: \"127.0.0.1:{dead}\" }}, "),
    ));
    first.beats();
    is_within(40.0);
    drop(first);
    eventually("it has ended", || {
        let open = "portway_listener_connections_open{listener=\"raw\"} ";
        (it.metric(open) == 0).then_some(())
    });
    for _ in 0..2 {
        // One of them comes to the dead server first.
        let second = Client::tunnel(raw);
        is_within(400.0);
        drop(second);
        eventually("it has ended", || {
            let open = "portway_listener_connections_open{listener=\"raw\"} ";
            (it.metric(open) == 0).then_some(())
        });
    }
    it.portway.stop();
}

/// Of two servers the one that has less to do; and the same one for the same client.
#[test]
fn strategies_of_servers_are_at_work() {
    let (gates, web, dead) = ([Gate::default(), Gate::default()], free_port(), free_port());
    let ports = [gates[0].target(), gates[1].target()];
    let text = |strategy: &str, ports: &[u16]| {
        one(
            &format!("strategy: {strategy}, {}", servers("http", ports)),
            &[],
        )
    };
    let it = deployed(web, "", &text("p2c", &ports));
    let idle = format!(
        "portway_target_requests_in_flight{{target_group=\"app\",target=\"127.0.0.1:{}\"}} ",
        ports[1]
    );
    less_to_do_is_chosen(
        web,
        &gates,
        || it.metric(&idle) == 0,
        || it.becomes(&text("p2c", &[ports[1], ports[0]])),
    );
    let named = ["a", "b", "c"].map(|name| Echo::start(name).port);
    it.becomes(&text("hrw", &named));
    let serves = |client: u8| {
        let (from, url) = (
            format!("127.0.0.{client}"),
            format!("http://127.0.0.1:{web}/"),
        );
        let head = it.scene.curl(&["-fsI", "--interface", &from, &url]).good();
        let server = head.split("X-Server: ").nth(1).unwrap();
        server.split("\r\n").next().unwrap().to_owned()
    };
    let clients = 1..40_u8;
    let all = || clients.clone().map(serves).collect::<Vec<_>>();
    let first = all();
    for name in ["a", "b", "c"] {
        assert!(first.iter().any(|it| it == name), "{first:?}");
    }
    assert_eq!(all(), first);
    // One that is dead, and another order, move only those who are the new one's.
    let more = [&[dead][..], &named].concat();
    it.becomes(&text("hrw", &more));
    let moved = all().iter().zip(&first).filter(|(a, b)| a != b).count();
    assert!(moved < 25, "{moved}");
    it.becomes(&text("hrw", &named));
    assert_eq!(all(), first);
    it.portway.stop();
}

/// What an entry point takes, and what it does to paths.
#[test]
fn entry_points_say_what_they_take() {
    let live = Echo::start("live").port;
    let [small, raw, strict, plain] = [(); 4].map(|()| free_port());
    let dead = free_port();
    let fixed = [
        entry("small", small, ", http: { maxHeaderBytes: 2000 }"),
        entry(
            "raw",
            raw,
            ", http: { sanitizePath: false, underscoreHeadersStrategy: delete }",
        ),
        entry(
            "strict",
            strict,
            ", http: { encodedCharacters: { allowEncodedSlash: false, allowEncodedPercent: false }, aliasHeadersStrategy: reject }",
        ),
        entry("plain", plain, ""),
    ];
    let fixed = format!("entryPoints:\n{}", fixed.concat());
    let text = |ports: &[u16]| {
        one(&servers("http", ports), &[]).replace("[web]", "[small, raw, strict, plain]")
    };
    let it = Deployed::new(Scene::new(), &fixed, &text(&[live]));
    let long = format!("X-Long: {}", "x".repeat(3000));
    let asks = |port: u16, path: &str, headers: &[&str]| {
        let url = format!("http://127.0.0.1:{port}{path}");
        let words = ["-s", "--path-as-is", "-w", "%{http_code} ", &url];
        it.scene.curl(&[&words, headers].concat()).good()
    };
    let hold = |serves: &str| {
        for (port, headers, expected) in [
            (small, [].as_slice(), serves),
            (small, &["-H", &long], "431"),
            (plain, &["-H", &long], serves),
        ] {
            let came = asks(port, "/", headers);
            assert!(came.ends_with(&format!("{expected} ")), "{came}");
        }
        for (path, port, expected) in [
            ("/a%2Fb", strict, "400"),
            ("/a%25b", strict, "400"),
            ("/a%3Bb", strict, serves),
            ("/a%2Fb", plain, serves),
        ] {
            let came = asks(port, path, &[]);
            assert!(came.ends_with(&format!("{expected} ")), "{path}: {came}");
        }
    };
    hold("200");
    let odd = ["-H", "X_Own: 1", "-H", "X-Own: 2", "-H", "X.Own: 3"];
    for (port, there, gone) in [
        (raw, &["x-own: 2", "x.own: 3", "200 "][..], &["x_own"][..]),
        (plain, &["x-own: 2", "x.own: 3", "x_own: 1", "200 "], &[]),
        (strict, &["400 "], &["x-own"]),
    ] {
        let came = asks(port, "/", &odd);
        assert!(there.iter().all(|it| came.contains(it)), "{came}");
        assert!(!gone.iter().any(|it| came.contains(it)), "{came}");
    }
    for (port, path) in [(raw, "/a//b/../c"), (plain, "/a/c")] {
        let came = asks(port, "/a//b/../c", &[]);
        assert!(
            came.starts_with(&format!("GET {path} HTTP/1.1\n")),
            "{came}"
        );
    }
    it.becomes(&text(&[dead, live]));
    hold("200");
    it.becomes(&text(&[dead]));
    hold("502");
    it.portway.stop();
}

/// A server that takes requests, and ends the connection after a while.
fn slams() -> (u16, Arc<AtomicU32>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (port, asked) = (listener.local_addr().unwrap().port(), Arc::default());
    let count: Arc<AtomicU32> = Arc::clone(&asked);
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let count = Arc::clone(&count);
            thread::spawn(move || {
                let _ = stream.read(&mut [0; 4096]);
                count.fetch_add(1, Ordering::SeqCst);
                thread::sleep(Duration::from_millis(700));
            });
        }
    });
    (port, asked)
}

#[test]
fn attempts_have_a_time_together() {
    let (web, (port, asked)) = (free_port(), slams());
    let text = |timeout: &str| {
        let retry = format!("{{ retry: {{ attempts: 4{timeout} }} }}");
        one(&servers("http", &[port]), &[("again", &retry)])
    };
    let it = deployed(web, "", &text(""));
    // What a server may have seen is asked once more, unless its time is over by then.
    for (timeout, expected) in [("", 2), (", timeout: 500ms", 1), (", timeout: 1h", 2)] {
        it.becomes(&text(timeout));
        let before = asked.load(Ordering::SeqCst);
        assert_eq!(status(&once(web, "/")), "502");
        assert_eq!(asked.load(Ordering::SeqCst) - before, expected, "{timeout}");
    }
    it.portway.stop();
}

#[test]
fn a_server_that_is_down_is_asked_more_often() {
    let scene = Scene::new();
    let mut main = Mortal::start(&scene, "main");
    let (web, spare) = (free_port(), Echo::start("spare").port);
    main.die();
    let text = |unhealthy: &str, more: &[u16]| {
        let check = format!(", healthCheck: {{ path: /, interval: 1h, timeout: 5s{unhealthy} }}");
        let ports = [&[main.port], more].concat();
        one(&(servers("http", &ports) + &check), &[])
    };
    let often = ", unhealthyInterval: 100ms";
    let fixed = format!("entryPoints:\n{}", entry("web", web, ""));
    let texts = [text(often, &[]), text(often, &[spare])];
    let it = Deployed::new(scene, &fixed, &texts[0]);
    it.portway
        .wait_for_health("app", local(main.port), "unhealthy");
    it.becomes(&texts[1]);
    assert_eq!(it.portway.health("app", local(main.port)).0, "unhealthy");
    assert_eq!(answers(web, 10), vec!["200 spare"; 10]);
    // Its next check would be in an hour.
    main.revive(&it.scene);
    it.portway
        .wait_for_health("app", local(main.port), "healthy");
    assert!(answers(web, 10).contains(&"200 main".to_owned()));
    it.portway.stop();
}

#[test]
fn servers_are_asked_by_grpc() {
    let scene = Scene::new();
    let [a, mut b] = ["a", "b"].map(|name| Server::start(&scene, name, &[]));
    let web = free_port();
    let text = |ports: &[u16], grpc: u16| {
        let check = ", healthCheck: { mode: grpc, path: /, interval: 100ms, unhealthyInterval: 100ms, timeout: 5s, port: ";
        one(&format!("{}{check}{grpc} }}", servers("http", ports)), &[])
    };
    let fixed = format!("entryPoints:\n{}", entry("web", web, ""));
    let it = Deployed::new(scene, &fixed, &text(&[a.web], a.grpc));
    let is = |server: &Server, wanted: &str| {
        it.portway.wait_for_health("app", local(server.web), wanted)
    };
    is(&a, "healthy");
    a.says("-", "NOT_SERVING");
    is(&a, "unhealthy");
    it.becomes(&text(&[a.web, b.web], a.grpc));
    is(&a, "unhealthy");
    a.says("-", "SERVING");
    is(&a, "healthy");
    is(&b, "healthy");
    // Both are judged by this one now.
    it.becomes(&text(&[a.web, b.web], b.grpc));
    is(&a, "healthy");
    b.die();
    is(&a, "unhealthy");
    is(&b, "unhealthy");
    it.portway.stop();
}

#[test]
fn names_without_a_certificate_are_refused_where_that_is_said() {
    let scene = Scene::new();
    own_certificate(&scene, "site", "a.example");
    let (secure, live, dead) = (free_port(), Echo::start("live").port, free_port());
    let text = |strict: bool, ports: &[u16]| {
        let tls = "tls: { options: own }, entryPoints: [web]";
        let base = one(&servers("http", ports), &[]).replace("entryPoints: [web]", tls);
        format!(
            "{base}tls:\n  certificates: [{{ certFile: site.pem, keyFile: site.key }}]\n  options:\n    default: {{ sniStrict: {strict} }}\n    own: {{ sniStrict: {strict} }}\n"
        )
    };
    let fixed = format!("entryPoints:\n{}", entry("web", secure, ""));
    let it = Deployed::new(scene, &fixed, &text(true, &[live]));
    let asks = |host: &str| {
        let (way, url) = (
            format!("{host}:{secure}:127.0.0.1"),
            format!("https://{host}:{secure}/"),
        );
        let words = [
            "-k",
            "-s",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "--resolve",
            &way,
            &url,
        ];
        it.scene.curl(&words).stdout
    };
    for ports in [[live].as_slice(), &[dead, live]] {
        for (strict, other) in [(true, "000"), (false, "200")] {
            it.becomes(&text(strict, ports));
            assert_eq!(
                (asks("a.example").as_str(), asks("b.example").as_str()),
                ("200", other)
            );
        }
    }
    it.portway.stop();
}

#[test]
fn a_breaker_stays_open_over_changes() {
    let (live, web, dead) = (Echo::start("live").port, free_port(), free_port());
    let breaker =
        "{ circuitBreaker: { expression: NetworkErrorRatio() > 0.3, fallbackDuration: 1h } }";
    let text = |ports: &[u16]| one(&servers("http", ports), &[("breaker", breaker)]);
    let it = deployed(web, "", &text(&[dead]));
    eventually("it is open", || {
        answers(web, 4).contains(&"503 -".to_owned()).then_some(())
    });
    // Nobody is asked for an hour, not even one who would answer.
    it.becomes(&text(&[dead, live]));
    assert_eq!(answers(web, 10), vec!["503 -"; 10]);
    it.becomes(&one(&servers("http", &[dead, live]), &[]));
    assert_eq!(answers(web, 10), vec!["200 live"; 10]);
    it.portway.stop();
}

#[test]
fn another_service_stands_in_until_the_first_is_back() {
    let scene = Scene::new();
    let mut main = Mortal::start(&scene, "main");
    let (web, spare, dead) = (free_port(), Echo::start("spare").port, free_port());
    let port = main.port;
    let text = |of_spare: &[u16]| {
        format!(
            "http:
  routers:
    web: {{ rule: \"PathPrefix(`/`)\", service: app, entryPoints: [web] }}
  services:
    app: {{ failover: {{ service: main, fallback: spare }} }}
    main: {{ loadBalancer: {{ {}, healthCheck: {{ path: /, interval: 100ms, unhealthyInterval: 100ms, timeout: 5s }} }} }}
    spare: {{ loadBalancer: {{ {} }} }}
",
            servers("http", &[port]),
            servers("http", of_spare)
        )
    };
    let fixed = format!("entryPoints:\n{}", entry("web", web, ""));
    let it = Deployed::new(scene, &fixed, &text(&[spare]));
    let serves = |name: &str| {
        eventually(format_args!("{name} serves"), || {
            let expected = format!("200 {name}");
            answers(web, 5)
                .iter()
                .all(|it| *it == expected)
                .then_some(())
        });
    };
    serves("main");
    main.die();
    serves("spare");
    it.becomes(&text(&[dead, spare]));
    assert_eq!(answers(web, 10), vec!["200 spare"; 10]);
    main.revive(&it.scene);
    serves("main");
    it.becomes(&text(&[spare]));
    assert_eq!(answers(web, 10), vec!["200 main"; 10]);
    let mut client = Client::new(web);
    assert_eq!(client.ask("/"), "main");
    it.portway.stop();
}
