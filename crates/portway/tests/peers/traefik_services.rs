//! Services of Traefik at work: paths of servers, and what is asked again.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;

use serde_json::Value;

use crate::stage::{Client, Stage, server};
use crate::support::{PORTWAY, Portway, Process, Scene, eventually, free_port, local};
use crate::traefik::ECHO;

struct Site {
    scene: Scene,
    web: u16,
    _portway: Portway,
    _servers: Vec<Process>,
}

impl Site {
    /// Servers that answer with these statuses are called `S0`, `S1` and so on.
    fn new(dynamic: &str, statuses: &[u16]) -> Self {
        let scene = Scene::new();
        let web = free_port();
        let mut text = format!(
            "entryPoints: {{ web: {{ address: \"127.0.0.1:{web}\", forwardedHeaders: {{ insecure: true }} }} }}\n{dynamic}"
        );
        let servers = statuses.iter().enumerate().map(|(index, status)| {
            let port = free_port();
            text = text.replace(&format!("S{index}"), &format!("http://127.0.0.1:{port}"));
            let program = ECHO.replace("response(200)", &format!("response({status})"));
            scene.python(port, &program)
        });
        let servers = servers.collect();
        scene.file("traefik.yml", &text);
        let portway = scene.portway_with(&["traefik.yml"]);
        Self {
            scene,
            web,
            _portway: portway,
            _servers: servers,
        }
    }

    /// Status and body of an answer.
    fn ask(&self, path: &str, arguments: &[&str]) -> (String, String) {
        let url = format!("http://127.0.0.1:{}{path}", self.web);
        let all = [&["-w", "\n%{http_code}", &url], arguments].concat();
        let said = self.scene.curl(&all).good();
        let (body, status) = said.rsplit_once('\n').unwrap();
        (status.trim().to_owned(), body.to_owned())
    }
}

#[test]
fn the_path_of_a_server_stands_before_those_of_requests() {
    let site = Site::new(
        "http:
  routers:
    kept: { rule: \"PathPrefix(`/kept`)\", service: kept, middlewares: [strip] }
    not: { rule: \"PathPrefix(`/not`)\", service: not }
    several: { rule: \"PathPrefix(`/several`)\", service: several, middlewares: [again] }
  middlewares:
    again: { retry: { attempts: 2 } }
    strip: { stripPrefix: { prefixes: [/kept] } }
  services:
    kept: { loadBalancer: { servers: [{ url: S0/base/v2/, preservePath: true }] } }
    not: { loadBalancer: { servers: [{ url: S0/base }] } }
    several: { loadBalancer: { servers: [{ url: S0/one, preservePath: true }, { url: S1/two%2F/, preservePath: true }, { url: S2 }, \
     { url: \"http://127.0.0.1:1/dead\", preservePath: true }] } }
",
        &[200, 200, 200],
    );
    for (path, asked) in [
        ("/kept/a?b=c", "GET /base/v2/a?b=c\n"),
        ("/kept/", "GET /base/v2/\n"),
        ("/not/a", "GET /not/a\n"),
    ] {
        let (status, body) = site.ask(path, &[]);
        assert_eq!(status, "200", "{path}");
        assert!(body.starts_with(asked), "{path}: {body}");
    }
    // Each server of one service has its own, on a retry after a dead one too.
    let asked = |_| {
        let (status, body) = site.ask("/several/a?b=c", &[]);
        assert_eq!(status, "200");
        body.lines().next().unwrap().to_owned()
    };
    let asked: BTreeSet<String> = (0..12).map(asked).collect();
    let expected = ["/one", "/two%2F", ""].map(|base| format!("GET {base}/several/a?b=c"));
    assert_eq!(asked, expected.into());
}

#[test]
fn buffered_requests_are_asked_again_as_an_expression_says() {
    let site = Site::new(
        "http:
  routers:
    again: { rule: \"PathPrefix(`/again`)\", service: s, middlewares: [again] }
    other: { rule: \"PathPrefix(`/other`)\", service: s, middlewares: [other] }
  middlewares:
    again: { buffering: { maxRequestBodyBytes: 1000, retryExpression: 'ResponseCode() == 503 && Attempts() <= 2' } }
    other: { buffering: { retryExpression: 'ResponseCode() == 500 && Attempts() <= 2' } }
  services:
    s: { loadBalancer: { servers: [{ url: S0 }, { url: S1 }, { url: S2 }] } }
",
        &[503, 200, 503],
    );
    let statuses = |path: &str, arguments: &[&str]| -> Vec<String> {
        (0..9).map(|_| site.ask(path, arguments).0).collect()
    };
    assert_eq!(statuses("/again", &[]), ["200"; 9]);
    assert_eq!(statuses("/again", &["-d", "body"]), ["200"; 9]);
    // Too much to be held for another attempt.
    let long = "x".repeat(1001);
    assert_eq!(statuses("/again", &["-d", &long]), ["413"; 9]);
    assert!(statuses("/other", &[]).contains(&"503".to_owned()));
}

#[test]
fn clients_of_a_subnet_are_one() {
    let site = Site::new(
        "http:
  routers:
    homes: { rule: \"PathPrefix(`/homes`)\", service: noop@internal, middlewares: [homes] }
    allowed: { rule: \"PathPrefix(`/allowed`)\", service: noop@internal, middlewares: [allowed] }
  middlewares:
    homes: { rateLimit: { average: 1, period: 24h, burst: 1, sourceCriterion: { ipStrategy: { depth: 1, ipv6Subnet: 64 } } } }
    allowed: { ipAllowList: { sourceRange: [\"2001:db8:0:1::\"], ipStrategy: { depth: 1, ipv6Subnet: 64 } } }
",
        &[],
    );
    for (client, homes, allowed) in [
        ("2001:db8:0:1::1", "418", "418"),
        ("2001:db8:0:1::2", "429", "418"),
        ("2001:db8:0:2::1", "418", "403"),
        ("192.0.2.1", "418", "403"),
        ("192.0.2.2", "418", "403"),
        ("192.0.2.1", "429", "403"),
    ] {
        let header = format!("X-Forwarded-For: {client}");
        let status = |path: &str| site.ask(path, &["-H", &header]).0;
        assert_eq!(status("/homes"), homes, "{client}");
        assert_eq!(status("/allowed"), allowed, "{client}");
    }
}

/// Which server a client of this number is served by; `none` where it is gone and that is not known yet.
fn served(port: u16, client: u8) -> String {
    let mut connection = Client::new(port);
    connection.send(&format!(
        "PROXY TCP4 192.0.2.{client} 127.0.0.1 1000 80\r\n"
    ));
    let head = connection.ask_with("/", "");
    server(&head).unwrap_or("none").to_owned()
}

#[test]
fn clients_stay_with_one_of_several_services() {
    let scene = Scene::new();
    let names = ["one", "two", "three"];
    let ports = names.map(|_| free_port());
    let start = |at: usize| {
        let (port, name) = (ports[at], names[at]);
        let server = format!(
            "server {{ listen 127.0.0.1:{port}; add_header X-Server {name}; return 200; }}"
        );
        scene.nginx(port, &server)
    };
    let servers = [0, 1, 2].map(start);
    let web = free_port();
    let text = |shared: &[(usize, u32)]| {
        let shared = shared.iter().map(|(at, weight)| {
            let name = names[*at];
            format!("[[http.services.all.highestRandomWeight.services]]\nname = '{name}'\nweight = {weight}\n")
        });
        let services = names.iter().zip(ports).map(|(name, port)| {
            format!(
                "[[http.services.{name}.loadBalancer.servers]]\nurl = 'http://127.0.0.1:{port}'\n\
                 [http.services.{name}.loadBalancer.healthCheck]\npath = '/'\ninterval = '100ms'\n"
            )
        });
        format!(
            "[entryPoints.web]\naddress = '127.0.0.1:{web}'\n[entryPoints.web.proxyProtocol]\ninsecure = true\n\
             [http.routers.all]\nrule = 'PathPrefix(`/`)'\nservice = 'all'\n\
             [http.services.all.highestRandomWeight.healthCheck]\n{}{}",
            shared.collect::<String>(),
            services.collect::<String>()
        )
    };
    let both = text(&[(0, 3), (1, 1)]);
    scene.file("traefik.toml", &both);
    let told = |client: u8| {
        let (from, url) = (
            format!("192.0.2.{client}"),
            format!("http://127.0.0.1:{web}/"),
        );
        let words = [
            "explain",
            "traefik.toml",
            "--from",
            &from,
            "--",
            "GET",
            &url,
        ];
        scene.run(PORTWAY, &words).good()
    };
    // What is explained is what is done.
    let explained: Vec<String> = [1, 2, 3, 4].map(told).into();
    let stage = Stage::with(scene, &both, &[]);
    let clients = 1..=200_u8;
    let all =
        || -> BTreeMap<u8, String> { clients.clone().map(|it| (it, served(web, it))).collect() };
    let first = all();
    for (client, told) in (1..).zip(explained) {
        let name = &first[&client];
        assert!(
            told.contains(&format!("→ service {name} by the hash, of ")),
            "{told}"
        );
        assert!(
            told.contains("one 75 %") && told.contains("two 25 %"),
            "{told}"
        );
    }
    let of = |served: &BTreeMap<u8, String>, name: &str| {
        served.values().filter(|it| *it == name).count()
    };
    assert!((120..=180).contains(&of(&first, "one")), "{first:?}");
    assert_eq!(of(&first, "one") + of(&first, "two"), 200);
    assert_eq!(all(), first);
    // Another service takes its share from both, and nobody else moves.
    stage.becomes(&text(&[(2, 4), (0, 3), (1, 1)]));
    let third = all();
    assert!((60..=140).contains(&of(&third, "three")), "{third:?}");
    let moved = |from: &BTreeMap<u8, String>, to: &BTreeMap<u8, String>, name: &str| {
        let mut pairs = from.iter().map(|(client, server)| (server, &to[client]));
        assert!(pairs.all(|(before, now)| before == now || now == name || before == name));
    };
    moved(&first, &third, "three");
    // Where one dies its clients alone go elsewhere, and come back with it.
    let [one, two, three] = servers;
    drop(three);
    eventually("three is dead", || (all() == first).then_some(()));
    drop(one);
    eventually("one is dead", || (of(&all(), "two") == 200).then_some(()));
    let _one = {
        let server = format!(
            "server {{ listen 127.0.0.1:{}; add_header X-Server one; return 200; }}",
            ports[0]
        );
        stage.scene.nginx(ports[0], &server)
    };
    eventually("one is back", || (all() == first).then_some(()));
    drop(two);
}

/// A server of TCP that answers a word with this, and says nothing else.
fn answering(text: &'static str) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut word = [0; 6];
                if stream.read_exact(&mut word).is_ok() && word == *b"PING\r\n" {
                    let _ = stream.write_all(text.as_bytes());
                }
            });
        }
    });
    port
}

#[test]
fn servers_of_tcp_are_checked_by_what_they_answer() {
    let (good, bad, web) = (
        answering("+PONG (ok)\r\n"),
        answering("+PONGx(ok)"),
        free_port(),
    );
    let silent = answering("");
    let stage = Stage::of_file(
        Scene::new(),
        "traefik.yml",
        &format!(
            "entryPoints: {{ raw: {{ address: \"127.0.0.1:{web}\" }} }}
tcp:
  routers:
    all: {{ rule: \"HostSNI(`*`)\", service: cache }}
  services:
    cache:
      loadBalancer:
        servers: [{{ address: \"127.0.0.1:{good}\" }}, {{ address: \"127.0.0.1:{bad}\" }}, {{ address: \"127.0.0.1:{silent}\" }}]
        healthCheck: {{ send: \"PING\\r\\n\", expect: \"+PONG (ok)\", interval: 100ms, unhealthyInterval: 100ms, timeout: 300ms }}
"
        ),
        &[],
    );
    let health = |port: u16| {
        let line =
            format!("portway_target_health{{target_group=\"cache\",target=\"127.0.0.1:{port}\"}} ");
        stage.metric(&line)
    };
    for (port, code) in [(good, "1"), (bad, "0"), (silent, "0")] {
        eventually(format_args!("{port} is {code}"), || {
            (health(port) == code).then_some(())
        });
    }
    for _ in 0..6 {
        let mut client = TcpStream::connect(local(web)).unwrap();
        client.write_all(b"PING\r\n").unwrap();
        let mut said = String::new();
        client.read_to_string(&mut said).unwrap();
        assert_eq!(said, "+PONG (ok)\r\n");
    }
}

/// Requests that a filter holds for leave a record, and records say no more of people than they may. Paths with encoded characters are
/// refused by a middleware, and queries have no `;` behind the entry point.
#[test]
fn records_and_paths_are_as_the_static_configuration_says() {
    let (scene, web, app, failing) = (Scene::new(), free_port(), free_port(), free_port());
    let _servers = [
        scene.python(app, ECHO),
        scene.python(failing, &ECHO.replace("response(200)", "response(503)")),
    ];
    let log = scene.path("access.log");
    let text = format!(
        "entryPoints: {{ web: {{ address: \"127.0.0.1:{web}\", http: {{ encodeQuerySemicolons: true }} }} }}
accessLog:
  format: json
  filePath: access.log
  filters: {{ statusCodes: [\"500-599\"], retryAttempts: true }}
  fields:
    names: {{ ClientHost: drop, RequestPath: drop, ServiceURL: drop }}
    headers: {{ names: {{ Referer: keep }} }}
http:
  routers:
    app: {{ rule: \"PathPrefix(`/`)\", service: app, priority: 1 }}
    safe: {{ rule: \"PathPrefix(`/safe`)\", service: app, middlewares: [safe] }}
    failing: {{ rule: \"Path(`/failing`)\", service: failing }}
    again: {{ rule: \"Path(`/again`)\", service: again, middlewares: [again] }}
  middlewares:
    safe: {{ encodedCharacters: {{ allowEncodedSemicolon: true }} }}
    again: {{ retry: {{ attempts: 2 }} }}
  services:
    app: {{ loadBalancer: {{ servers: [{{ url: \"http://127.0.0.1:{app}\" }}] }} }}
    failing: {{ loadBalancer: {{ servers: [{{ url: \"http://127.0.0.1:{failing}\" }}] }} }}
    again: {{ loadBalancer: {{ servers: [{{ url: \"http://127.0.0.1:1\" }}, {{ url: \"http://127.0.0.1:{app}\" }}] }} }}
"
    );
    let stage = Stage::of_file(scene, "traefik.yml", &text, &[]);
    let ask = |path: &str| {
        let url = format!("http://127.0.0.1:{web}{path}");
        let said = stage
            .scene
            .curl(&["-w", "\n%{http_code}", "-A", "me", "-e", "there", &url]);
        let said = said.good();
        let (body, status) = said.rsplit_once('\n').unwrap();
        let asked = body.lines().next().unwrap_or_default().to_owned();
        (status.to_owned(), asked)
    };
    let row = |path: &str, status: &str, asked: &str| {
        assert_eq!(ask(path), (status.to_owned(), asked.to_owned()), "{path}");
    };
    row("/a?b=1;c=2", "200", "GET /a?b=1%3Bc=2");
    row("/safe/a%3bb", "200", "GET /safe/a%3Bb");
    row("/other/a%2Fb", "200", "GET /other/a%2Fb");
    for path in [
        "/safe/a%2Fb",
        "/safe/a%5cb",
        "/safe/%25",
        "/safe/%3f",
        "/safe/%23",
    ] {
        row(path, "400", "Bad Request");
    }
    for _ in 0..4 {
        row("/again", "200", "GET /again");
    }
    row("/failing", "503", "GET /failing");
    // All are written when it has ended.
    stage.portway.stop();
    let text = std::fs::read_to_string(&log).unwrap();
    let records = text.lines().map(|line| serde_json::from_str(line).unwrap());
    let records: Vec<Value> = records.collect();
    let failed = records.iter().filter(|it| it["status"] == 503).count();
    let tried = records.iter().filter(|it| it["attempts"] == 2).count();
    assert_eq!((failed, failed + tried), (1, records.len()), "{records:#?}");
    assert!(tried > 0 && tried <= 4, "{records:#?}");
    for record in &records {
        assert_eq!(record["request_target"], "-");
        assert_eq!(record["referer"], "there");
        for key in [
            "client",
            "client_port",
            "target",
            "target_address",
            "user_agent",
        ] {
            assert_eq!(record[key], Value::Null, "{key}");
        }
    }
}
