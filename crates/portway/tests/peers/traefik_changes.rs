//! Policies of Traefik that show with several connections or servers only: limits of what is at once, servers that clients stay
//! with, shares, servers that fail, proxies in front. Each over a change of the dynamic file, and where servers are dead.

use std::net::TcpStream;
use std::thread;

use crate::echo::Echo;
use crate::limits::{once, passes, status};
use crate::passive::answers;
use crate::stage::Client;
use crate::support::{Scene, eventually, free_port, local};
use crate::traefik_policies::{Deployed, servers};

pub(crate) fn entry(name: &str, port: u16, more: &str) -> String {
    format!("  {name}: {{ address: \"127.0.0.1:{port}\"{more} }}\n")
}

/// One router for everything, with these middlewares, and one service with these keys.
pub(crate) fn one(service: &str, middlewares: &[(&str, &str)]) -> String {
    let names: Vec<&str> = middlewares.iter().map(|(name, _)| *name).collect();
    let texts = middlewares.iter();
    let texts: String = texts
        .map(|(name, text)| format!("    {name}: {text}\n"))
        .collect();
    format!(
        "http:
  routers:
    web: {{ rule: \"PathPrefix(`/`)\", service: app, entryPoints: [web], middlewares: [{}] }}
  middlewares:
{texts}  services:
    app: {{ loadBalancer: {{ {service} }} }}
",
        names.join(", ")
    )
}

/// Portway with the entry point `web`.
pub(crate) fn deployed(web: u16, more: &str, dynamic: &str) -> Deployed {
    let fixed = format!("entryPoints:\n{}", entry("web", web, more));
    Deployed::new(Scene::new(), &fixed, dynamic)
}

#[test]
fn requests_at_once_have_a_limit() {
    let live = Echo::start("live").port;
    let (web, dead) = (free_port(), free_port());
    let few = "{ inFlightReq: { amount: 2, sourceCriterion: { requestHeaderName: X-Key } } }";
    let text = |ports: &[u16]| one(&servers("http", ports), &[("few", few)]);
    let it = deployed(web, "", &text(&[dead]));
    let in_flight = |count: u64| {
        eventually(format_args!("{count} in flight"), || {
            let line = "portway_listener_requests_in_flight{listener=\"web\"} ";
            (it.metric(line) == count).then_some(())
        });
    };
    // What a dead server fails is not held.
    for _ in 0..4 {
        assert_eq!(status(&once(web, "/")), "502");
    }
    it.becomes(&text(&[dead, live]));
    in_flight(0);
    let slow: Vec<_> = (0..2)
        .map(|_| thread::spawn(move || once(web, "/slow/4000")))
        .collect();
    in_flight(2);
    assert_eq!(status(&once(web, "/")), "429");
    let other = ["-H", "X-Key: other", &format!("http://127.0.0.1:{web}/")];
    assert_eq!(it.scene.status(&other), "200");
    // They are in progress after a change too.
    it.becomes(&text(&[live, dead]));
    assert_eq!(status(&once(web, "/")), "429");
    for client in slow {
        assert_eq!(status(&client.join().unwrap()), "200");
    }
    in_flight(0);
    assert_eq!(status(&once(web, "/")), "200");
    it.portway.stop();
}

#[test]
fn connections_at_once_have_a_limit() {
    let live = Echo::start("live").port;
    let (raw, dead) = (free_port(), free_port());
    let text = |ports: &[u16]| {
        let all = ports.iter();
        let all: Vec<String> = all
            .map(|port| format!("{{ address: \"127.0.0.1:{port}\" }}"))
            .collect();
        format!(
            "tcp:
  routers:
    raw: {{ rule: \"HostSNI(`*`)\", service: raw, entryPoints: [raw], middlewares: [few] }}
  middlewares:
    few: {{ inFlightConn: {{ amount: 2 }} }}
  services:
    raw: {{ loadBalancer: {{ servers: [{}] }} }}
",
            all.join(", ")
        )
    };
    let fixed = format!("entryPoints:\n{}", entry("raw", raw, ""));
    let it = Deployed::new(Scene::new(), &fixed, &text(&[dead]));
    let connect = || TcpStream::connect(local(raw)).unwrap();
    // What a dead server fails is not held.
    for _ in 0..4 {
        assert!(!passes(&mut connect()));
    }
    it.becomes(&text(&[dead, live]));
    // The last of them may not have ended yet.
    let passing = || {
        eventually("room", || {
            let mut client = connect();
            passes(&mut client).then_some(client)
        })
    };
    let (mut first, mut second) = (passing(), passing());
    assert!(!passes(&mut connect()));
    it.becomes(&text(&[live, dead]));
    assert!(!passes(&mut connect()));
    assert!(passes(&mut first) && passes(&mut second));
    // Of another client there is none yet.
    let url = format!("http://127.0.0.1:{raw}/");
    assert_eq!(it.scene.status(&["--interface", "127.0.0.2", &url]), "200");
    drop(first);
    eventually("room", || passes(&mut connect()).then_some(()));
    it.portway.stop();
}

#[test]
fn a_server_that_fails_is_left_out() {
    let live = Echo::start("live").port;
    let (web, dead) = (free_port(), free_port());
    let passive = ", passiveHealthCheck: { failureWindow: 1h, maxFailedAttempts: 2 }";
    let text = |ports: &[u16]| one(&(servers("http", ports) + passive), &[]);
    let it = deployed(web, "", &text(&[dead, live]));
    let all_are = |expected: &str| {
        let answers = answers(web, 20);
        assert!(answers.iter().all(|it| it == expected), "{answers:?}");
    };
    all_are("200 live");
    eventually("it is left out", || {
        (it.metric("portway_target_ejections_total") == 1).then_some(())
    });
    // Two attempts were enough, and those that had begun by then.
    all_are("200 live");
    let tried = it.retries("app");
    assert!(tried >= 2, "{tried}");
    all_are("200 live");
    // And are after a change.
    it.becomes(&text(&[live, dead]));
    all_are("200 live");
    assert_eq!(it.retries("app"), tried);
    // Where nobody else is there it is asked.
    it.becomes(&text(&[dead]));
    all_are("502 -");
    it.becomes(&text(&[dead, live]));
    all_are("200 live");
    it.portway.stop();
}

#[test]
fn clients_stay_with_a_server_by_its_cookie() {
    let (a, b) = (Echo::start("a").port, Echo::start("b").port);
    let (web, dead) = (free_port(), free_port());
    let sticky = ", sticky: { cookie: { name: lb } }";
    let text = |ports: &[u16]| one(&(servers("http", ports) + sticky), &[]);
    let it = deployed(web, "", &text(&[a, b]));
    // Who answers, and the cookie that is set.
    let ask = |cookie: &str| {
        let mut client = Client::new(web);
        client.send(&format!(
            "GET / HTTP/1.1\r\nHost: a\r\nCookie: {cookie}\r\n\r\n"
        ));
        let head = client.answer();
        let value = |name: &str| {
            let value = head.split(name).nth(1)?.split("\r\n").next()?;
            Some(value.split(';').next()?.to_owned())
        };
        (
            value("x-server: ").unwrap_or(head.clone()),
            value("set-cookie: "),
        )
    };
    let stays = |server: &str, cookie: &str| {
        for _ in 0..10 {
            assert_eq!(ask(cookie), (server.to_owned(), None));
        }
    };
    let (server, cookie) = ask("none=1");
    let cookie = cookie.unwrap();
    stays(&server, &cookie);
    // Others come and go, dead ones among them.
    it.becomes(&text(&[dead, b, a]));
    stays(&server, &cookie);
    // Its own goes: another one is asked from now on.
    let (own, other, name) = if server == "a" {
        (a, b, "b")
    } else {
        (b, a, "a")
    };
    it.becomes(&text(&[dead, other]));
    let (server, moved) = ask(&cookie);
    assert_eq!(server, name);
    let moved = moved.unwrap();
    stays(name, &moved);
    it.becomes(&text(&[dead]));
    assert!(ask(&moved).0.starts_with("http/1.1 502 "));
    it.becomes(&text(&[own, other]));
    stays(name, &moved);
    it.portway.stop();
}

#[test]
fn servers_have_shares_by_weight() {
    let (a, b) = (Echo::start("a").port, Echo::start("b").port);
    let (web, dead) = (free_port(), free_port());
    let text = |shares: &[(u16, u32)]| {
        let all = shares.iter().map(|(port, weight)| {
            format!("{{ url: \"http://127.0.0.1:{port}\", weight: {weight} }}")
        });
        let all = all.collect::<Vec<_>>().join(", ");
        one(&format!("strategy: wrr, servers: [{all}]"), &[])
    };
    let of_a = |count| {
        let answers = answers(web, count);
        assert!(
            answers.iter().all(|it| it.starts_with("200 ")),
            "{answers:?}"
        );
        answers.iter().filter(|it| *it == "200 a").count()
    };
    let it = deployed(web, "", &text(&[(a, 3), (b, 1)]));
    let share = of_a(200);
    assert!((140..=160).contains(&share), "{share}");
    it.becomes(&text(&[(a, 1), (b, 3)]));
    // The round that has begun goes on with the weights that it began with.
    let share = of_a(200);
    assert!((38..=62).contains(&share), "{share}");
    // What falls to a dead one is served by others.
    it.becomes(&text(&[(dead, 2), (a, 1), (b, 1)]));
    let share = of_a(40);
    assert!((1..=39).contains(&share), "{share}");
    assert!(it.retries("app") >= 10);
    it.portway.stop();
}

#[test]
fn proxies_in_front_say_who_the_client_is_where_they_are_trusted() {
    let live = Echo::start("live").port;
    let [web, all, dead] = [(); 3].map(|()| free_port());
    let office = ("office", "{ ipAllowList: { sourceRange: [192.0.2.0/24] } }");
    let text = |ports: &[u16]| {
        let text = one(&servers("http", ports), &[office]);
        text.replace("entryPoints: [web]", "entryPoints: [web, all]")
    };
    let fixed = format!(
        "accessLog: {{ filePath: access.log }}\nentryPoints:\n{}{}",
        entry("web", web, ", proxyProtocol: { trustedIPs: [127.0.0.1] }"),
        entry("all", all, ", proxyProtocol: { insecure: true }"),
    );
    let it = Deployed::new(Scene::new(), &fixed, &text(&[dead, live]));
    let ask = |port: u16, header: &str| {
        let mut client = Client::new(port);
        client.send(&format!("{header}GET /who HTTP/1.1\r\nHost: a\r\n\r\n"));
        status(&client.answer()).to_owned()
    };
    let told = "PROXY TCP4 192.0.2.7 127.0.0.1 4000 80\r\n";
    let elsewhere = "PROXY TCP4 198.51.100.7 127.0.0.1 4000 80\r\n";
    let phases = [
        (vec![dead, live], "200"),
        (vec![live, dead], "200"),
        (vec![dead], "502"),
        (vec![dead, live], "200"),
    ];
    for (ports, served) in phases {
        it.becomes(&text(&ports));
        for port in [web, all] {
            for (header, expected) in [(told, served), (elsewhere, "403"), ("", "403")] {
                assert_eq!(ask(port, header), expected, "{ports:?} {header}");
            }
        }
    }
    // Who is not trusted is taken for itself, whatever it says.
    let url = format!("http://127.0.0.1:{web}/who");
    let other = ["--interface", "127.0.0.2", "--haproxy-protocol", &url];
    assert_eq!(it.scene.status(&other), "403");
    // Such lines as Traefik's common ones begin with, a request each.
    let lines = eventually("all records", || {
        let log = it.scene.read("access.log");
        (log.lines().count() == 25 && log.ends_with('\n')).then_some(log)
    });
    let count = |client: &str, status: &str| {
        let of = |line: &&str| {
            line.starts_with(&format!("{client} - - ["))
                && line.contains(&format!("\"GET /who HTTP/1.1\" {status} "))
        };
        lines.lines().filter(of).count()
    };
    let counts = [
        count("192.0.2.7", "200"),
        count("192.0.2.7", "502"),
        count("198.51.100.7", "403"),
        count("127.0.0.1", "403"),
        count("127.0.0.2", "403"),
    ];
    assert_eq!(counts, [6, 2, 8, 8, 1], "{lines}");
    it.portway.stop();
}
