//! Services of Traefik at work: paths of servers, and what is asked again.

use crate::support::{Portway, Process, Scene, free_port};
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
  middlewares:
    strip: { stripPrefix: { prefixes: [/kept] } }
  services:
    kept: { loadBalancer: { servers: [{ url: S0/base/v2/, preservePath: true }] } }
    not: { loadBalancer: { servers: [{ url: S0/base }] } }
",
        &[200],
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
