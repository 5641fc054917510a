//! Configurations of Traefik in files, at work: what routers, middlewares and services do to requests and responses.

use crate::echo::Echo;
use crate::support::{PORTWAY, Portway, Process, Scene, free_offset, free_port};

/// Routers with middlewares that change requests or answer. All policies over a change and with dead servers: `traefik_policies.rs`.
const DYNAMIC: &str = r#"
http:
  routers:
    plain: { rule: "PathPrefix(`/`)", service: app }
    strip: { rule: "PathPrefix(`/api`)", service: echo, middlewares: [strip, add] }
    regex: { rule: "PathPrefix(`/shop`)", service: echo, middlewares: [strip-regex] }
    replace: { rule: "PathPrefix(`/old`)", service: echo, middlewares: [replace] }
    encoded: { rule: "Path(`/ménage ~`)", service: echo, middlewares: [replace-all] }
    named: { rule: "Host(`prio.example`)", service: noop@internal }
    secure: { rule: "PathPrefix(`/secure`)", service: echo, middlewares: [https] }
    moved: { rule: "PathPrefix(`/moved`)", service: echo, middlewares: [moved] }
    settled: { rule: "PathPrefix(`/settled`)", service: echo, middlewares: [settled] }
    staff: { rule: "PathPrefix(`/staff`)", service: echo, middlewares: [staff] }
    asked: { rule: "PathPrefix(`/asked`)", service: echo, middlewares: [outer, asked] }
    refused: { rule: "PathPrefix(`/asked/refused`)", service: echo, middlewares: [outer, refused] }
    office: { rule: "PathPrefix(`/office`)", service: echo, middlewares: [office] }
    hosts: { rule: "PathPrefix(`/hosts`)", service: echo, middlewares: [hosts] }
    local: { rule: "PathPrefix(`/local`)", service: echo, middlewares: [local] }
    behind: { rule: "PathPrefix(`/behind`)", service: echo, middlewares: [behind], entryPoints: [proxied] }
    cors: { rule: "PathPrefix(`/cors`)", service: echo, middlewares: [outer, cors] }
    old: { rule: "Path(`/user/{id:[0-9]+}`) && Method(`GET`, `HEAD`)", service: echo }
    first: { rule: "Path(`/api/order`)", service: noop@internal, priority: 1000 }
    second: { rule: "Path(`/api/order`) || Path(`/api/longer`)", service: echo, priority: 2 }
    failover: { rule: "PathPrefix(`/failover`)", service: failover }
    again: { rule: "PathPrefix(`/again`)", service: again }
    canary: { rule: "PathPrefix(`/canary`)", service: canary }
    watched: { rule: "PathPrefix(`/watched`)", service: watched }
    weighted: { rule: "PathPrefix(`/weighted`)", service: weighted }
    noop: { rule: "PathPrefix(`/noop`)", service: noop@internal }
    errors: { rule: "PathPrefix(`/errors`)", service: failing, middlewares: [outer, errors, inner] }
    denied: { rule: "PathPrefix(`/errors/office`)", service: echo, middlewares: [errors, office] }
    both: { rule: "PathPrefix(`/both`)", service: echo, entryPoints: [secure], tls: {}, middlewares: [sts] }
  middlewares:
    sts: { headers: { stsSeconds: 60 } }
    errors: { errors: { status: ["400-403", "500-599"], service: echo, query: "/page/{status}?of={url}&was={originalStatus}", statusRewrites: { "502": 503 } } }
    inner: { headers: { customResponseHeaders: { X-Inner: "1" } } }
    strip: { stripPrefix: { prefixes: [/api] } }
    add: { addPrefix: { prefix: /v2 } }
    strip-regex: { stripPrefixRegex: { regex: ["/shop/[0-9]+"] } }
    replace: { replacePathRegex: { regex: "^/old/(.*)", replacement: "/new/$1" } }
    replace-all: { replacePath: { path: /all } }
    https: { redirectScheme: { scheme: https, port: "8443", permanent: true } }
    moved: { redirectRegex: { regex: "^http://([^/]+)/moved/(.*)", replacement: "http://new.example/${2}" } }
    settled: { redirectRegex: { regex: "^http://(?:www\\.)?a\\.example/(.*)", replacement: "http://a.example/${1}" } }
    staff: { basicAuth: { users: ["anna:$apr1$abcdefgh$cy3DSYyOwfhsyu7QOMQzd.", "berta:{SHA}qvTGHdzF6KLavt4PO0gs2a6pQ00="], headerField: X-User, removeHeader: true } }
    asked: { forwardAuth: { address: "http://127.0.0.1:AUTH/header/X-User/anna?of=traefik", authResponseHeaders: [X-User] } }
    refused: { forwardAuth: { address: "http://127.0.0.1:AUTH/status/401/a" } }
    office: { ipAllowList: { sourceRange: [192.0.2.0/24] } }
    hosts: { headers: { allowedHosts: [a.example], hostsProxyHeaders: [X-Asked, X-Forwarded-Host] } }
    local: { ipAllowList: { sourceRange: [127.0.0.0/8] } }
    behind: { ipAllowList: { sourceRange: [192.0.2.0/24], ipStrategy: { excludedIPs: [10.0.0.0/8] } } }
    outer: { headers: { customResponseHeaders: { X-Outer: "1" }, frameDeny: true } }
    cors:
      headers:
        accessControlAllowMethods: [GET, PUT]
        accessControlAllowOriginList: ["https://a.example"]
        accessControlMaxAge: 60
        addVaryHeader: true
        customRequestHeaders: { X-Gone: "", X-New: "yes" }
        customResponseHeaders: { Server: "" }
  services:
    app: { loadBalancer: { servers: [{ url: "http://127.0.0.1:APP" }] } }
    echo: { loadBalancer: { servers: [{ url: "http://127.0.0.1:APP" }] } }
    failing: { loadBalancer: { servers: [{ url: "http://127.0.0.1:DEAD" }] } }
    dead: { loadBalancer: { servers: [{ url: "http://127.0.0.1:DEAD" }], healthCheck: { path: /, interval: 200ms, timeout: 200ms } } }
    weighted: { weighted: { services: [{ name: app }, { name: echo, weight: 1 }], sticky: { cookie: { name: group, httpOnly: true } } } }
    failover: { failover: { service: dead, fallback: echo } }
    again: { failover: { service: failing, fallback: echo, errors: { status: ["502"] } } }
    canary: { weighted: { services: [{ name: failover }, { name: unused, weight: 0 }], sticky: { cookie: { name: canary } } } }
    unused: { weighted: { healthCheck: {}, services: [{ name: dead }, { name: echo }] } }
    watched: { weighted: { healthCheck: {}, services: [{ name: dead, weight: 9 }, { name: echo }] } }
tls:
  certificates: [{ certFile: a.crt, keyFile: a.key }]
"#;

const STATIC: &str = r#"
[entryPoints.web]
address = "127.0.0.1:80"
[entryPoints.moving]
address = "127.0.0.1:81"
[entryPoints.moving.http.redirections.entryPoint]
to = "secure"
[entryPoints.secure]
address = "127.0.0.1:443"
[entryPoints.proxied]
address = "127.0.0.1:82"
[entryPoints.proxied.forwardedHeaders]
trustedIPs = ["127.0.0.1"]
[providers.file]
filename = "dynamic.yml"
"#;

/// Answers what it was asked: the request line, then the headers.
pub(crate) const ECHO: &str = r#"
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        lines = [f"{self.command} {self.path}"] + [f"{name}: {value}" for name, value in self.headers.items()]
        body = ("\n".join(lines) + "\n").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else body)
    do_GET = do_HEAD = do_POST = do_PUT = do_OPTIONS = answer
    def log_message(self, *arguments):
        pass

ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"#;

struct Deployment {
    scene: Scene,
    portway: Portway,
    _app: Process,
    offset: u16,
}

impl Deployment {
    fn new() -> Self {
        let scene = Scene::new();
        let [app, dead] = [(); 2].map(|()| free_port());
        let server = scene.python(app, ECHO);
        let auth = Echo::start("auth").port;
        let dynamic = DYNAMIC.replace("AUTH", &auth.to_string());
        let dynamic = dynamic.replace("APP", &app.to_string());
        scene.file("dynamic.yml", dynamic.replace("DEAD", &dead.to_string()));
        scene.file("traefik.toml", STATIC);
        let out = ["--out-cert", "a.crt", "--out-key", "a.key"];
        let all = [&["cert", "self-signed", "a.example"], &out[..]].concat();
        scene.run(PORTWAY, &all).good();
        let offset = free_offset(&[80, 81, 82, 443]);
        let portway = scene.portway_with(&["traefik.toml", "--port-offset", &offset.to_string()]);
        Self {
            scene,
            portway,
            _app: server,
            offset,
        }
    }

    /// Head and body of an answer.
    fn ask(&self, port: u16, path: &str, arguments: &[&str]) -> String {
        let url = format!("http://127.0.0.1:{}{path}", self.offset + port);
        let all = [&["-i", "--path-as-is", &url], arguments].concat();
        self.scene.curl(&all).good()
    }

    #[track_caller]
    fn check(&self, path: &str, arguments: &[&str], expected: &[&str]) {
        self.check_at(80, path, arguments, expected);
    }

    /// Each part is in the answer; with `!` before it, it is not.
    #[track_caller]
    fn check_at(&self, port: u16, path: &str, arguments: &[&str], expected: &[&str]) {
        let answer = self.ask(port, path, arguments).replace('\r', "");
        for part in expected {
            let (wanted, part) = match part.strip_prefix('!') {
                Some(part) => (false, part),
                None => (true, *part),
            };
            assert_eq!(answer.contains(part), wanted, "{path}: {part} in\n{answer}");
        }
    }
}

#[test]
fn middlewares_change_requests() {
    let it = Deployment::new();
    it.check("/x?y=1", &[], &["HTTP/1.1 200 ", "\nGET /x?y=1\n"]);
    // What begins as the headers of a proxy is not always one.
    let said = [
        "-H",
        "X-Forwarded-User: anna",
        "-H",
        "X_Forwarded_Proto: gopher",
    ];
    let passed = [
        "X-Forwarded-User: anna\n",
        "X-Forwarded-For: 127.0.0.1\n",
        "!gopher",
    ];
    it.check("/x", &said, &passed);
    it.check(
        "/api/a",
        &[],
        &["\nGET /v2/a\n", "X-Forwarded-Prefix: /api\n"],
    );
    it.check(
        "/shop/17/cart?a",
        &[],
        &["\nGET /cart?a\n", "X-Forwarded-Prefix: /shop/17\n"],
    );
    it.check("/shop/x", &[], &["\nGET /shop/x\n", "!X-Forwarded-Prefix"]);
    it.check(
        "/old/a/b",
        &[],
        &["\nGET /new/a/b\n", "X-Replaced-Path: /old/a/b\n"],
    );
    it.check("/old", &[], &["\nGET /old\n", "!X-Replaced-Path"]);
    // Paths are resolved before rules see them.
    it.check("/x/../api//b/./c", &[], &["\nGET /v2/b/c\n"]);
    // Other forms of a path are the same path.
    it.check("/%61pi/%2e%2E/api/b%2fc", &[], &["\nGET /v2/b%2Fc\n"]);
    it.check(
        "/%6d%C3%a9nage%20%7e",
        &[],
        &["X-Replaced-Path: /m%C3%A9nage%20~\n"],
    );
    it.check(
        "/elsewhere",
        &["-H", "Host: prio.example."],
        &["HTTP/1.1 418 "],
    );
    it.check("/user/17", &[], &["\nGET /user/17\n"]);
    it.check("/noop", &[], &["HTTP/1.1 418 "]);
    // Priorities before lengths.
    it.check("/api/order", &[], &["HTTP/1.1 418 "]);
    it.check("/api/longer", &[], &["\nGET /v2/longer\n"]);
    it.portway.stop();
}

#[test]
fn middlewares_answer() {
    let it = Deployment::new();
    let host = ["-H", "Host: a.example:8080"];
    let location = "Location: https://a.example:8443/secure?x\n";
    it.check("/secure?x", &host, &["HTTP/1.1 301 ", location]);
    let post = [&host[..], &["-X", "POST"]].concat();
    it.check("/secure?x", &post, &["HTTP/1.1 308 ", location]);
    it.check(
        "/moved/a?b",
        &host,
        &["HTTP/1.1 302 ", "Location: http://new.example/a?b\n"],
    );
    it.check("/moved", &host, &["HTTP/1.1 200 "]);
    // Who is there already is not sent there.
    it.check("/settled", &["-H", "Host: a.example"], &["HTTP/1.1 200 "]);
    let location = "Location: http://a.example/settled\n";
    it.check(
        "/settled",
        &["-H", "Host: www.a.example"],
        &["HTTP/1.1 302 ", location],
    );
    let challenge = "WWW-Authenticate: Basic realm=\"traefik\"";
    it.check("/staff", &[], &["HTTP/1.1 401 ", challenge]);
    it.check("/staff", &["-u", "anna:wrong"], &["HTTP/1.1 401 "]);
    for user in ["anna", "berta"] {
        let given = format!("{user}:hello");
        let told = format!("X-User: {user}\n");
        it.check(
            "/staff",
            &["-u", &given],
            &["HTTP/1.1 200 ", &told, "!Authorization"],
        );
    }
    // Another service says who passes, and its refusal is the client's answer.
    let user = ["X-User: anna\n", "\nGET /asked/a?b\n", "X-Outer: 1\n"];
    it.check(
        "/asked/a?b",
        &["-H", "X-User: eve"],
        &[&user[..], &["!eve"]].concat(),
    );
    let told = [
        "HTTP/1.1 401 ",
        "\nGET /status/401/a HTTP/1.1\n",
        "\nx-forwarded-uri: /asked/refused?b\n",
        "X-Outer: 1\n",
    ];
    it.check("/asked/refused?b", &["-H", "X-Forwarded-Uri: /else"], &told);
    it.check("/office", &[], &["HTTP/1.1 403 ", "Forbidden"]);
    for (headers, expected) in [
        (&["-H", "X-Asked: A.example"][..], "HTTP/1.1 200 "),
        (
            &["-H", "X-Asked: b.example", "-H", "Host: a.example"],
            "HTTP/1.1 500 ",
        ),
        (
            &["-H", "X-Asked: b.example", "-H", "X-Asked: a.example"],
            "HTTP/1.1 500 ",
        ),
        (
            &["-H", "X-Asked;", "-H", "Host: a.example"],
            "HTTP/1.1 200 ",
        ),
        // Who is not trusted has no say by this one.
        (&["-H", "X-Forwarded-Host: a.example"], "HTTP/1.1 500 "),
    ] {
        it.check("/hosts", headers, &[expected]);
    }
    it.check("/local", &[], &["HTTP/1.1 200 "]);
    it.check("/failover", &[], &["HTTP/1.1 200 ", "\nGET /failover\n"]);
    it.check("/again", &[], &["HTTP/1.1 200 ", "\nGET /again\n"]);
    it.check("/again", &["-d", "body"], &["HTTP/1.1 502 "]);
    it.check("/canary", &[], &["HTTP/1.1 200 ", "Set-Cookie: canary="]);
    for _ in 0..4 {
        it.check("/watched", &[], &["HTTP/1.1 200 "]);
    }
    it.portway.stop();
}

#[test]
fn pages_of_another_service_stand_for_errors() {
    let it = Deployment::new();
    let host = ["-H", "Host: a.example", "-d", "body"];
    it.check(
        "/errors/a?b=c",
        &host,
        &[
            "HTTP/1.1 503 ",
            "\nGET /page/503?of=http%3A%2F%2Fa.example%2Ferrors%2Fa%3Fb%3Dc&was=502\n",
            "X-Outer: 1\n",
            "!X-Inner",
            "!Content-Length: 4",
        ],
    );
    it.check(
        "/errors/office",
        &[],
        &["HTTP/1.1 403 ", "\nGET /page/403?of=", "&was=403\n"],
    );
    it.portway.stop();
}

#[test]
fn cors_as_the_middleware_says() {
    let it = Deployment::new();
    let ask = ["-X", "OPTIONS", "-H", "Access-Control-Request-Method: PUT"];
    let from = |origin: &'static str| [&ask[..], &["-H", origin]].concat();
    it.check(
        "/cors",
        &from("Origin: https://a.example"),
        &[
            "HTTP/1.1 200 ",
            "Access-Control-Allow-Origin: https://a.example\n",
            "Access-Control-Allow-Methods: GET,PUT\n",
            "Access-Control-Max-Age: 60\n",
            "X-Outer: 1\n",
            "X-Frame-Options: DENY\n",
            "!OPTIONS /cors",
        ],
    );
    let stranger = from("Origin: https://b.example");
    it.check(
        "/cors",
        &stranger,
        &["HTTP/1.1 200 ", "!Access-Control-Allow-Origin"],
    );
    let page = ["-H", "Origin: https://a.example", "-H", "X-Gone: 1"];
    it.check(
        "/cors",
        &page,
        &[
            "Access-Control-Allow-Origin: https://a.example\n",
            "Vary: Origin\n",
            "X-Outer: 1\n",
            "X-New: yes\n",
            "!X-Gone",
            "!\nServer:",
        ],
    );
    // Without the header it is an ordinary request.
    it.check("/cors", &["-X", "OPTIONS"], &["\nOPTIONS /cors\n"]);
    it.portway.stop();
}

#[test]
fn clients_stay_with_a_weighted_service() {
    let it = Deployment::new();
    let answer = it.ask(80, "/weighted", &[]).replace('\r', "");
    let cookie = answer
        .lines()
        .find_map(|it| it.strip_prefix("Set-Cookie: "));
    let cookie = cookie.unwrap_or_else(|| panic!("no cookie in {answer}"));
    assert!(
        cookie.starts_with("group=") && cookie.ends_with("; Path=/; HttpOnly"),
        "{cookie}"
    );
    let value = cookie.split(';').next().unwrap();
    for _ in 0..12 {
        it.check(
            "/weighted",
            &["-b", value],
            &["HTTP/1.1 200 ", "!Set-Cookie"],
        );
    }
    it.check("/weighted", &["-b", "group=other"], &["Set-Cookie: group="]);
    it.portway.stop();
}

#[test]
fn routers_with_tls_and_without_on_one_entry_point() {
    let it = Deployment::new();
    let port = it.offset + 443;
    let resolve = format!("a.example:{port}:127.0.0.1");
    let tls = |path: &str, more: &[&str]| {
        let url = format!("https://a.example:{port}{path}");
        let own = [
            "-i",
            "--http1.1",
            "--cacert",
            "a.crt",
            "--resolve",
            &resolve,
            &url,
        ];
        let answer = it.scene.curl(&[&own, more].concat()).good();
        answer.replace('\r', "")
    };
    let answer = tls("/both", &[]);
    let sts = "Strict-Transport-Security: max-age=60\n";
    for part in ["HTTP/1.1 200 ", sts, "X-Forwarded-Proto: https\n"] {
        assert!(answer.contains(part), "{part} in {answer}");
    }
    // Routers without TLS take nothing that comes over it, and the other way round.
    assert!(tls("/api/a", &[]).starts_with("HTTP/1.1 404 "));
    it.check_at(
        443,
        "/api/a",
        &[],
        &["\nGET /v2/a\n", "X-Forwarded-Proto: http\n"],
    );
    it.check_at(443, "/both", &[], &["\nGET /both\n", "!Strict-Transport"]);
    it.portway.stop();
}

#[test]
fn entry_points() {
    let it = Deployment::new();
    // The port of the entry point as the file says it: `--port-offset` is for trying things out.
    let host = ["-H", "Host: a.example"];
    let location = "Location: https://a.example/x?y\n";
    it.check_at(81, "/x?y", &host, &["HTTP/1.1 301 ", location]);
    let forwarded = [
        "-H",
        "X-Forwarded-For: 192.0.2.1",
        "-H",
        "X-Forwarded-Proto: https",
        "-H",
        "X_Forwarded_Proto: https",
        "-H",
        "X-Real-Ip: 192.0.2.1",
    ];
    let told = [
        "X-Forwarded-For: 127.0.0.1\n",
        "X-Forwarded-Proto: http\n",
        "X-Real-Ip: 127.0.0.1\n",
        "!X_Forwarded",
        "!192.0.2.1",
    ];
    it.check("/x", &forwarded, &told);
    let believed = [
        "X-Forwarded-For: 192.0.2.1, 127.0.0.1\n",
        "X-Forwarded-Proto: https\n",
        "X-Real-Ip: 192.0.2.1\n",
    ];
    it.check_at(82, "/x", &forwarded, &believed);
    let through = ["-H", "X-Forwarded-For: 198.51.100.9, 192.0.2.7, 10.1.1.1"];
    it.check_at(82, "/behind", &through, &["HTTP/1.1 200 "]);
    let others = ["-H", "X-Forwarded-For: 192.0.2.7, 198.51.100.9, 10.1.1.1"];
    it.check_at(82, "/behind", &others, &["HTTP/1.1 403 "]);
    let socket = [
        "-H",
        "Connection: Upgrade",
        "-H",
        "Upgrade: websocket",
        "-H",
        "Sec-WebSocket-Version: 13",
        "-H",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    it.check("/x", &socket, &["X-Forwarded-Proto: ws\n"]);
    it.portway.stop();
}

/// Names that no certificate is for are said where the router, or the resource of a template, names them.
#[test]
fn names_without_a_certificate_are_said_at_their_line() {
    let scene = Scene::new();
    let out = ["--out-cert", "a.crt", "--out-key", "a.key"];
    let all = [&["cert", "self-signed", "a.example"], &out[..]].concat();
    scene.run(PORTWAY, &all).good();
    let service = "{ loadBalancer: { servers: [{ url: \"http://127.0.0.1:1\" }] } }";
    let rule = "\"Host(`a.example`) ||\n  Host(`b.example`)\"";
    scene.file(
        "hosts.yml",
        format!(
            "http:\n routers: {{ r: {{ rule: {rule}, service: s, tls: {{}} }} }}\n services: {{ s: {service} }}\n\
             tls: {{ certificates: [{{ certFile: a.crt, keyFile: a.key }}] }}\n"
        ),
    );
    let of_b = "warning[P0302]: no certificate of listener `websecure` is for `b.example`: they are for a.example";
    let checked = scene
        .run(PORTWAY, &["check", "--short", "hosts.yml"])
        .both();
    let said: Vec<&str> = checked.lines().filter(|it| it.contains("P0302")).collect();
    let [line] = said.as_slice() else {
        panic!("{checked}")
    };
    assert!(
        line.starts_with("hosts.yml:2:") && line.contains(of_b),
        "{line}"
    );
    let template = r#"Resources:
  Certificate:
    Type: AWS::CertificateManager::Certificate
    Properties: { DomainName: b.example }
  Balancer:
    Type: AWS::ElasticLoadBalancing::LoadBalancer
    Properties:
      Listeners: [{ LoadBalancerPort: "443", Protocol: HTTPS, InstancePort: "80", SSLCertificateId: !Ref Certificate }]
"#;
    scene.file("template.yml", template);
    let given = [
        "--certificate",
        "Certificate=a.crt,a.key",
        "--target",
        "Balancer=127.0.0.1",
    ];
    let checked = scene.run(
        PORTWAY,
        &[&["check", "--short", "template.yml"], &given[..]].concat(),
    );
    let checked = checked.both();
    let line = checked
        .lines()
        .find(|it| it.contains("P0302"))
        .unwrap_or_else(|| panic!("{checked}"));
    let expected = line.starts_with("template.yml:4:") && line.contains("is for `b.example`");
    assert!(expected, "{line}");
}
