//! `portway explain` says what exchanges do: each request is explained first and then made.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::echo::Echo;
use crate::support::{PORTWAY, Portway, Scene, free_port, local};

/// A request: method, target, host, further headers.
pub(crate) type Asked<'a> = (&'a str, String, &'a str, Vec<(&'a str, String)>);

/// Sends bytes and reads until the other side is done.
fn exchange(to: &str, wire: &str) -> String {
    let mut stream = TcpStream::connect(to).unwrap();
    let patience = Some(Duration::from_secs(20));
    stream.set_read_timeout(patience).unwrap();
    stream.write_all(wire.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // A connection that is reset has said what it had to say.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// What the running Portway says of a request.
pub(crate) fn explained(
    portway: &Portway,
    port: u16,
    (method, target, host, headers): &Asked<'_>,
) -> Value {
    let mut headers = headers.clone();
    headers.push(("Host", (*host).to_owned()));
    headers.push(("Connection", "close".to_owned()));
    let url = format!("http://127.0.0.1:{port}{target}");
    let body = json!({ "method": method, "url": url, "headers": headers }).to_string();
    let wire = format!(
        "POST /explain HTTP/1.1\r\nHost: localhost\r\nPortway-Command: 1\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let answer = exchange(&portway.admin, &wire);
    let body = answer.split("\r\n\r\n").nth(1).unwrap();
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

/// What comes of a request: the status, and the server or the first line of the body.
fn made(port: u16, asked: &Asked<'_>) -> (String, String) {
    let answer = answer(port, asked);
    if answer.is_empty() {
        return ("closed".to_owned(), String::new());
    }
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let server = head.lines().find_map(|it| it.strip_prefix("X-Server: "));
    let status = head.split(' ').nth(1).unwrap().to_owned();
    let who = server.map(str::to_owned);
    (
        status,
        who.unwrap_or_else(|| body.lines().next().unwrap_or_default().to_owned()),
    )
}

/// All that comes of a request.
pub(crate) fn answer(port: u16, (method, target, host, headers): &Asked<'_>) -> String {
    let mut wire = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    for (name, value) in headers {
        let _ = write!(wire, "{name}: {value}\r\n");
    }
    exchange(&local(port).to_string(), &format!("{wire}\r\n"))
}

/// The same as it is explained.
fn foretold(told: &Value) -> (String, String) {
    let end = &told["end"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match end["is"].as_str().unwrap() {
        "target" => ("200".to_owned(), text(&end["name"])),
        "answer" => {
            let body = text(&end["body"]);
            let line = body.lines().next().unwrap_or_default();
            (end["status"].to_string(), line.to_owned())
        }
        "closed" => ("closed".to_owned(), String::new()),
        other => panic!("{other}: {told:#}"),
    }
}

/// Explains and makes a request; what was told of it.
#[track_caller]
fn agree(portway: &Portway, port: u16, asked: &Asked<'_>) -> Value {
    let told = explained(portway, port, asked);
    assert_eq!(foretold(&told), made(port, asked), "{asked:?}\n{told:#}");
    told
}

/// Numbers that look like chance, the same each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    fn of<'t>(&mut self, texts: &[&'t str]) -> &'t str {
        texts[self.below(texts.len())]
    }
}

const HOSTS: [&str; 4] = ["a.example", "b.example", "www.a.example", "c.test"];
const PATHS: [&str; 6] = ["/", "/a", "/a/b", "/b", "/a/b/c", "/z"];

/// A condition of any depth.
fn condition(chance: &mut Chance, depth: usize) -> String {
    if depth > 0 && chance.below(3) == 0 {
        let (one, other) = (condition(chance, depth - 1), condition(chance, depth - 1));
        return match chance.below(3) {
            0 => format!("({one} && {other})"),
            1 => format!("({one} || {other})"),
            _ => format!("!({one})"),
        };
    }
    match chance.below(6) {
        0 => format!("Host(`{}`)", chance.of(&HOSTS)),
        1 => format!("PathPrefix(`{}`)", chance.of(&PATHS)),
        2 => format!("Path(`{}`)", chance.of(&PATHS)),
        3 => format!("Header(`X-N`, `{}`)", chance.below(3)),
        4 => format!("Query(`q`, `{}`)", chance.below(3)),
        _ => format!("Method(`{}`)", chance.of(&["GET", "POST", "PUT"])),
    }
}

#[test]
fn rules_by_chance_do_what_is_told() {
    let scene = Scene::new();
    let port = free_port();
    let mut chance = Chance(20_261_129);
    let mut text = format!("[listener.web]\nbind = '127.0.0.1:{port}'\n");
    for number in 0..60 {
        let when = condition(&mut chance, 2);
        let action = match chance.below(5) {
            0 => format!("set_header = {{ X-N = \"{}\" }}", chance.below(3)),
            1 => format!("set_path = \"{}\"", chance.of(&PATHS)),
            2 => "forward = 'one'".to_owned(),
            3 => "forward = 'two'".to_owned(),
            _ => format!("respond = {{ status = 299, body = \"rule {number}\" }}"),
        };
        // Most rules are few requests': else none would come far.
        let few = format!("Header(`X-Turn`, `{}`)", chance.below(6));
        let _ = write!(
            text,
            "[[listener.web.rule]]\nwhen = '{when} && {few}'\n{action}\n"
        );
    }
    for group in ["one", "two"] {
        let server = Echo::start(group).port;
        let _ = write!(
            text,
            "[target_group.{group}]\n[[target_group.{group}.targets]]\nname = '{group}'\naddress = '127.0.0.1:{server}'\n\
             [[target_group.{group}.rule]]\nwhen = 'PathPrefix(`/z`)'\nset_header = {{ X-Z = \"1\" }}\n"
        );
    }
    scene.file("web.toml", &text);
    let portway = scene.portway_with(&["web.toml"]);
    let mut ends = [0; 3];
    for _ in 0..150 {
        let target = match chance.below(2) {
            0 => chance.of(&PATHS).to_owned(),
            _ => format!("{}?q={}", chance.of(&PATHS), chance.below(3)),
        };
        let mut headers = vec![("X-Turn", chance.below(6).to_string())];
        if chance.below(2) == 0 {
            headers.push(("X-N", chance.below(3).to_string()));
        }
        let asked = (
            chance.of(&["GET", "PUT"]),
            target,
            chance.of(&HOSTS),
            headers,
        );
        let told = agree(&portway, port, &asked);
        let end = match told["end"]["status"].as_u64() {
            None => 0,
            Some(299) => 1,
            Some(_) => 2,
        };
        ends[end] += 1;
        // Each rule that was asked before the last says why it did not match, or what it did.
        for rule in told["rules"].as_array().unwrap() {
            let says = |key: &str| !rule[key].as_array().unwrap().is_empty();
            assert!(rule["outcome"] != "not_matched" || says("why"), "{rule:#}");
            assert!(
                rule["place"].as_str().unwrap().starts_with("web.toml:"),
                "{rule:#}"
            );
        }
    }
    assert!(ends.iter().all(|count| *count > 0), "{ends:?}");
}

const HAPROXY: &str = r#"
global
    stats socket SOCKET level admin
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend web
    bind 127.0.0.1:PORT
    acl is_api path_beg /api
    acl office src 10.0.0.0/8
    tcp-request connection reject if { src 192.0.2.0/24 }
    http-request set-var(txn.who) req.hdr(x-who),lower
    http-request deny if { var(txn.who) -m str bad } !office
    http-request redirect location /new%[path] code 301 if { path /old }
    http-request return status 418 content-type text/plain string "tea" if { path /tea }
    http-request track-sc0 src table counts
    http-request deny deny_status 429 if { sc_http_req_rate(0) gt 60 }
    http-request set-path %[path,regsub(^/up,/api)] if { path_beg /up }
    use_backend %[req.hdr(host),map_dom(hosts.map,app)] if { hdr(host) -m end .mapped }
    use_backend none if { path_beg /none }
    use_backend api if is_api
    default_backend app
backend counts
    stick-table type ip size 1k expire 1m store http_req_rate(10m)
backend api
    cookie SRV insert indirect
    server a1 127.0.0.1:A1 cookie a1
    server a2 127.0.0.1:A2 cookie a2
    server a3 127.0.0.1:A2 cookie a3 disabled
backend app
    balance hdr(x-key)
    stick-table type string len 32 size 1k
    stick on req.hdr(x-stick)
    use-server w2 if { path_beg /second }
    server w1 127.0.0.1:W1 weight 10
    server w2 127.0.0.1:W2 weight 20
backend none
    server gone 127.0.0.1:A1 disabled
"#;

#[test]
fn a_file_of_haproxy_is_told_in_its_words_and_nothing_changes() {
    let scene = Scene::new();
    let port = free_port();
    scene.file("hosts.map", "api.mapped api\nweb.mapped app\n");
    let socket = scene.path("socket");
    let mut text = HAPROXY.replace("PORT", &port.to_string());
    for (name, word) in [("a1", "A1"), ("a2", "A2"), ("w1", "W1"), ("w2", "W2")] {
        text = text.replace(&format!(":{word}"), &format!(":{}", Echo::start(name).port));
    }
    scene.file("web.cfg", text.replace("SOCKET", socket.to_str().unwrap()));
    let portway = scene.portway_with(&["web.cfg"]);
    let get = |target: &str, host: &'static str, headers: &[(&'static str, &str)]| {
        let headers = headers
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()));
        ("GET", target.to_owned(), host, headers.collect::<Vec<_>>())
    };
    // What each is told to come to, and the line of the rule that says so.
    let line = |part: &str| {
        let at = text.lines().position(|line| line.contains(part)).unwrap() + 1;
        format!("web.cfg:{at}")
    };
    let counted = || {
        let url = format!("http://{}/metrics", portway.admin);
        let text = scene.curl(&["-s", &url]).good();
        let of_them = |line: &&str| {
            line.starts_with("portway_listener")
                || line.starts_with("portway_target")
                || line.starts_with("portway_limit")
        };
        text.lines()
            .filter(of_them)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let cases = [
        (get("/old", "a", &[]), "http-request redirect"),
        (get("/tea", "a", &[]), "http-request return"),
        (get("/x", "a", &[("x-who", "BAD")]), "http-request deny if"),
        (
            get("/api/1", "a", &[("cookie", "SRV=a2")]),
            "use_backend api",
        ),
        (
            get("/api/1", "a", &[("cookie", "SRV=a3")]),
            "use_backend api",
        ),
        (
            get("/up/1", "a", &[("cookie", "SRV=a1")]),
            "use_backend api",
        ),
        (get("/x", "api.mapped", &[]), "use_backend %"),
        (get("/none", "a", &[]), "use_backend none"),
        (get("/x", "a", &[("x-key", "17")]), "default_backend app"),
        (get("/x", "a", &[("x-key", "18")]), "default_backend app"),
        (get("/x", "a", &[("x-key", "19")]), "default_backend app"),
        (
            get("/second", "a", &[("x-key", "17")]),
            "default_backend app",
        ),
        (
            get("/x", "a", &[("x-stick", "s"), ("x-key", "17")]),
            "default_backend app",
        ),
        (
            get("/x", "a", &[("x-stick", "s"), ("x-key", "18")]),
            "default_backend app",
        ),
        (get("/x", "a", &[]), "default_backend app"),
    ];
    for (asked, part) in &cases {
        let before = counted();
        let told = explained(&portway, port, asked);
        assert_eq!(explained(&portway, port, asked), told);
        assert_eq!(before, counted(), "{asked:?}");
        let told = agree(&portway, port, asked);
        let mut rules = told["rules"].as_array().unwrap().iter().rev();
        let is_matched = |it: &&Value| it["target_group"].is_null() && it["outcome"] == "matched";
        let last = rules.find(is_matched).unwrap();
        assert_eq!(last["place"], line(part), "{told:#}");
        assert_eq!(told["words"]["target_group"], "backend");
    }
    let told = explained(&portway, port, &get("/x", "a", &[("x-who", "good")]));
    let deny = told["rules"].as_array().unwrap().iter();
    let deny = deny
        .clone()
        .find(|it| it["text"].as_str().unwrap().contains("deny if"))
        .unwrap();
    assert_eq!(
        deny["text"],
        "http-request deny if { var(txn.who) -m str bad } !office"
    );
    assert_eq!(
        deny["why"],
        json!(["var(txn.who) is \"good\", not \"bad\""])
    );
    // The file, and the process by its command.
    let words = ["explain", "web.cfg", "--from", "192.0.2.9", "--", "GET"];
    let url = format!("http://127.0.0.1:{port}/x");
    let told = scene.run(PORTWAY, &[&words[..], &[&url]].concat()).good();
    assert!(told.contains("the connection is closed"), "{told}");
    let words = [
        "explain",
        "--admin",
        &portway.admin,
        "--",
        &url,
        "-H",
        "x-key: 17",
    ];
    let told = scene.run(PORTWAY, &words).good();
    for part in [
        "frontend web",
        "backend app",
        "→ server app/w",
        &line("default_backend app"),
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let wrong = scene.run(
        PORTWAY,
        &["explain", "web.cfg", "--", "http://127.0.0.1:1/"],
    );
    assert!(
        !wrong.status.success() && wrong.stderr.contains("there are web"),
        "{wrong}"
    );
}

#[test]
fn health_limits_and_fullness_are_those_of_now() {
    let scene = Scene::new();
    let (port, dead) = (free_port(), free_port());
    let up = Echo::start("up").port;
    scene.file(
        "web.toml",
        format!(
            r#"
[listener.web]
bind = '127.0.0.1:{port}'
[[listener.web.rule]]
when = "PathPrefix(`/few`)"
limit_rate = {{ name = "few", average = 1, period = "1h", burst = 1 }}
[[listener.web.rule]]
forward = 'app'
[target_group.app]
health_check = {{ http = "/", interval = '50ms', timeout = '2s', unhealthy_threshold = 1 }}
[[target_group.app.targets]]
name = 'dead'
address = '127.0.0.1:{dead}'
[[target_group.app.targets]]
name = 'up'
address = '127.0.0.1:{up}'
"#
        ),
    );
    let portway = scene.portway_with(&["web.toml"]);
    portway.wait_for_health("app", local(dead), "unhealthy");
    let few: Asked<'_> = ("GET", "/few".to_owned(), "a", Vec::new());
    for _ in 0..3 {
        let told = explained(&portway, port, &few);
        assert_eq!(told["end"]["name"], "up", "{told:#}");
        let dead = &told["target_group"]["targets"][0];
        assert_eq!(
            (&dead["standing"], &dead["health"]),
            (&"down".into(), &"unhealthy".into())
        );
        assert!(
            dead["why"].as_str().unwrap().contains("refused"),
            "{told:#}"
        );
    }
    agree(&portway, port, &few);
    let told = agree(&portway, port, &few);
    assert_eq!(told["end"]["status"], 429);
}

#[test]
fn routers_of_traefik_are_told_by_their_lines() {
    let scene = Scene::new();
    let port = free_port();
    let (app, api) = (Echo::start("app").port, Echo::start("api").port);
    scene.file(
        "static.toml",
        format!(
            "[entryPoints.web]\naddress = '127.0.0.1:{port}'\n[providers.file]\nfilename = 'dynamic.yml'\n"
        ),
    );
    let dynamic = format!(
        "http:\n  routers:\n    api: {{ rule: \"Host(`a.example`) && PathPrefix(`/api`)\", service: api, middlewares: [strip] }}\n    \
         app: {{ rule: \"Host(`a.example`)\", service: app }}\n  middlewares:\n    \
         strip: {{ stripPrefix: {{ prefixes: [/api] }} }}\n  services:\n    \
         api: {{ loadBalancer: {{ servers: [{{ url: \"http://127.0.0.1:{api}\" }}] }} }}\n    \
         app: {{ loadBalancer: {{ servers: [{{ url: \"http://127.0.0.1:{app}\" }}] }} }}\n"
    );
    scene.file("dynamic.yml", &dynamic);
    let portway = scene.portway_with(&["static.toml"]);
    let ask = |path: &str, host: &'static str| {
        let asked: Asked<'_> = ("GET", path.to_owned(), host, Vec::new());
        let told = explained(&portway, port, &asked);
        let (status, who) = made(port, &asked);
        let end = &told["end"];
        match end["is"].as_str().unwrap() {
            "target" => {
                let server = told["target_group"]["name"].as_str().unwrap();
                assert!(status == "200" && server.contains(&who), "{who}: {told:#}");
            }
            _ => assert_eq!(end["status"].to_string(), status, "{told:#}"),
        }
        told
    };
    let told = ask("/api/x", "a.example");
    assert_eq!(told["words"]["listener"], "entry point");
    assert!(
        told["sent"].as_str().unwrap().ends_with("a.example/x"),
        "{told:#}"
    );
    let told = ask("/x", "a.example");
    let rules = told["rules"].as_array().unwrap();
    let missed = rules
        .iter()
        .find(|it| it["place"] == "dynamic.yml:3")
        .unwrap();
    let why = missed["why"].to_string();
    assert!(
        why.contains("path is \\\"/x\\\", does not begin with \\\"/api\\\""),
        "{why}"
    );
    ask("/x", "b.example");
}

#[test]
fn secrets_of_the_configuration_are_not_told() {
    let scene = Scene::new();
    let (port, app) = (free_port(), Echo::start("app").port);
    scene.file(
        "secrets.toml",
        format!(
            r#"
[process]
variables = {{ api_token = "s3cret-a" }}
[listener.web]
bind = "127.0.0.1:{port}"
forward = "app"
[[listener.web.rule]]
actions = [
    {{ set_header = {{ Authorization = "Basic s3cret-b", X-Plain = "plain" }} }},
    {{ set_variable = {{ exchange.secret = "s3cret-c" }} }},
    {{ set_header = {{ X-Copy = "${{header(`Authorization`)}}" }} }},
    {{ set_variable = {{ exchange.copy = "${{var.exchange.secret}}" }} }},
]
[[listener.web.rule]]
actions = [
    {{ set_variable = {{ exchange.plain = "${{header(`X-Copy`)}}" }} }},
    {{ set_header = {{ X-Again = "${{var.exchange.plain}}" }} }},
]
[[listener.web.rule]]
when = "header(`X-Again`) == `nothing`"
set_header = {{ X-Never = "1" }}
[[listener.web.rule]]
when = "Path(`/body`)"
respond = {{ status = 200, headers = {{ X-Echo = "${{var.exchange.plain}}" }}, body = "it is ${{header(`X-Again`)}}" }}
[[listener.web.rule]]
when = "Path(`/there`)"
redirect = {{ location = "https://a.example/?k=${{var.exchange.plain}}" }}
[[listener.web.rule]]
when = "header(`Authorization`).lower() == `s3cret-d` || var.exchange.secret == `s3cret-e` || var.process.api_token == `s3cret-f` || header(`Authorization`) present"
set_header = {{ X-Seen = "1" }}
[[listener.web.rule]]
when = "cookie(`session`) == `s3cret-g` || cookie(`id`) == `s3cret-h` || query(`access_token`) == `s3cret-i`"
respond = 403
[[listener.web.rule]]
when = "Path(`/answer`)"
respond = {{ status = 200, headers = {{ Authorization = "s3cret-j", X-Plain = "plain" }} }}
[[listener.web.rule]]
set_target = "/up?plain=1&apikey=s3cret-k&password=s3cret-l"
[[listener.web.rule]]
when = "target == `/other?token=s3cret-m`"
respond = 404
[target_group.app]
targets = ["127.0.0.1:{app}"]
"#
        ),
    );
    let portway = scene.portway_with(&["secrets.toml"]);
    let tell = |path: &str| {
        let cookies = vec![("Cookie", "session=mine; id=mine".to_owned())];
        let told = explained(
            &portway,
            port,
            &("GET", path.to_owned(), "a.example", cookies),
        );
        let text = told.to_string();
        assert!(!text.to_lowercase().contains("s3cret"), "{told:#}");
        text
    };
    let text = tell("/x");
    for shown in [
        "header X-Plain is now \\\"plain\\\"",
        "header X-Seen is now \\\"1\\\"",
        "header Authorization is there",
        "cookie session is not what is asked for",
        "a.example/up?plain=1&apikey=(secret)&password=(secret)",
    ] {
        assert!(text.contains(shown), "{shown}: {text}");
    }
    assert!(text.contains("header X-Again is now (not shown"), "{text}");
    for path in ["/body", "/there"] {
        let text = tell(path);
        assert!(text.contains("(not shown"), "{text}");
    }
    let text = tell("/answer");
    assert!(text.contains("[\"X-Plain\",\"plain\"]"), "{text}");
}

#[test]
fn a_file_of_another_machine_is_told_without_its_certificates() {
    let scene = Scene::new();
    scene.file(
        "h.cfg",
        "defaults\n    mode http\n    timeout client 5s\n    timeout server 5s\n    timeout connect 5s\nfrontend clear\n    \
         bind 127.0.0.1:80\n    http-request deny if { req.hdr(X-A) bad }\n    default_backend app\nfrontend secure\n    \
         bind 127.0.0.1:443 ssl crt /nowhere/a.pem ca-file /nowhere/ca.pem verify required\n    \
         bind 127.0.0.1:444 ssl crt-list /nowhere/list\n    default_backend app\nbackend app\n    \
         balance roundrobin\n    cookie SRV insert\n    server a 127.0.0.1:4 cookie one\n    server b 127.0.0.1:5 cookie two\n",
    );
    let told = |arguments: &[&str]| {
        let arguments = [&["explain", "h.cfg", "--json"], arguments].concat();
        let printed = scene.run(PORTWAY, &arguments).good();
        serde_json::from_str::<Value>(&printed).unwrap()
    };
    let of_port = |url: &str| told(&["--", url]);
    assert_eq!(of_port("http://127.0.0.1/x")["end"]["is"], "target");
    for url in ["https://127.0.0.1/x", "https://127.0.0.1:444/x"] {
        let told = of_port(url);
        assert_eq!(told["certificate"], Value::Null, "{told:#}");
        assert_eq!(
            told["listeners"][0]["name"]
                .as_str()
                .map(|it| it.starts_with("secure")),
            Some(true)
        );
    }
    // Options of the request stand on either side.
    for words in [
        ["-H", "X-A: bad", "--", "http://127.0.0.1/x"],
        ["--", "http://127.0.0.1/x", "-H", "X-A: bad"],
    ] {
        assert_eq!(told(&words)["end"]["status"], 403);
    }
    // Who is bound goes to one target.
    let bound = told(&["-H", "Cookie: SRV=two", "--", "http://127.0.0.1/x"]);
    let targets = &bound["target_group"]["targets"];
    assert_eq!(
        (&targets[0]["share"], &targets[1]["share"]),
        (&Value::Null, &json!("100 %")),
        "{bound:#}"
    );
    // Nothing else forgives.
    let checked = scene.run(PORTWAY, &["check", "h.cfg"]);
    assert!(
        !checked.status.success() && checked.both().contains("/nowhere/a.pem"),
        "{checked}"
    );
    let silent = told(&["--", "tcp://127.0.0.1:80"]);
    assert_eq!(silent["end"]["is"], "closed", "{silent:#}");
    scene.file(
        "handed.toml",
        "[listener.raw]\nbind = '127.0.0.1:9'\nprotocol = 'tcp'\nrule = { phase = 'client_hello', when = '!is_http', hand_over = 'clear' }\n\
         [listener.clear]\nprotocol = 'http'\nrule = { respond = 200 }\n",
    );
    let explained = |arguments: &[&str]| {
        let arguments = [
            &["explain", "handed.toml", "--listener", "clear", "--"],
            arguments,
        ]
        .concat();
        scene.run(PORTWAY, &arguments).both()
    };
    let said = explained(&["http://127.0.0.1/"]);
    assert!(
        said.contains("nobody connects to listener `clear`")
            && said.contains("clear (http without an address"),
        "{said}"
    );
}
