//! A canary: a share of the requests by weight, and those with a header; over a reload of the weight, with a dead target beside those
//! that live, and while the canary itself is dead.

use std::io::{BufReader, Write};

use crate::asks::retries_of;
use crate::serving::{Serving, next_head};
use crate::stage::{Client, Stage, server};
use crate::support::{Scene, eventually, free_port};

/// A way to say it.
struct Dialect {
    file: &'static str,
    /// What it says of these ports, those of clients, of nobody, of the application and of the canary, and of this share in percent.
    text: fn([u16; 4], u32) -> String,
}

fn native([web, dead, app, new]: [u16; 4], share: u32) -> String {
    let rest = 100 - share;
    format!(
        "[listener.web]\nbind = '127.0.0.1:{web}'\nforward = {{ app = {rest}, new = {share} }}\n\
         [[listener.web.rule]]\nwhen = 'Header(`X-Canary`, `yes`)'\nforward = 'new'\n\
         [target_group.app]\nretries = 2\ntargets = ['127.0.0.1:{dead}', '127.0.0.1:{app}']\n\
         [target_group.new]\ntargets = ['127.0.0.1:{new}']\n\
         health_check = {{ tcp = true, interval = '100ms', timeout = '30s', healthy_threshold = 1, unhealthy_threshold = 1 }}\n"
    )
}

fn haproxy([web, dead, app, new]: [u16; 4], share: u32) -> String {
    format!(
        "defaults\n mode http\n timeout connect 30s\n timeout client 30s\n timeout server 30s\n timeout check 30s\n retries 2\n \
         option redispatch 1\n\
         frontend web\n bind 127.0.0.1:{web}\n use_backend new if {{ req.hdr(x-canary) yes }}\n \
         use_backend new if {{ nbsrv(new) gt 0 }} {{ rand(100) lt {share} }}\n default_backend app\n\
         backend app\n server dead 127.0.0.1:{dead}\n server app 127.0.0.1:{app}\n\
         backend new\n server new 127.0.0.1:{new} check inter 100 fall 1 rise 1\n"
    )
}

fn traefik([web, dead, app, new]: [u16; 4], share: u32) -> String {
    let rest = 100 - share;
    format!(
        "entryPoints: {{ web: {{ address: '127.0.0.1:{web}' }} }}
http:
  routers:
    all: {{ rule: 'PathPrefix(`/`)', service: canary, middlewares: [again] }}
    asked: {{ rule: 'PathPrefix(`/`) && Header(`X-Canary`, `yes`)', service: new }}
  middlewares:
    again: {{ retry: {{ attempts: 3 }} }}
  services:
    canary: {{ weighted: {{ healthCheck: {{}}, services: [{{ name: app, weight: {rest} }}, {{ name: new, weight: {share} }}] }} }}
    app: {{ loadBalancer: {{ servers: [{{ url: 'http://127.0.0.1:{dead}' }}, {{ url: 'http://127.0.0.1:{app}' }}] }} }}
    new: {{ loadBalancer: {{ servers: [{{ url: 'http://127.0.0.1:{new}' }}], healthCheck: {{ path: /, interval: 100ms, timeout: 30s }} }} }}
"
    )
}

const DIALECTS: [Dialect; 3] = [
    Dialect {
        file: "web.toml",
        text: native,
    },
    Dialect {
        file: "haproxy.cfg",
        text: haproxy,
    },
    Dialect {
        file: "traefik.yml",
        text: traefik,
    },
];

/// A target that says its name.
fn named(name: &'static str, port: u16) -> Serving {
    Serving::start(port, move |mut stream| {
        let mut reader = BufReader::new(stream);
        let head = format!("HTTP/1.1 200 OK\r\nX-Server: {name}\r\nContent-Length: 0\r\n\r\n");
        while next_head(&mut reader).is_some() {
            if stream.write_all(head.as_bytes()).is_err() {
                return;
            }
        }
    })
}

/// Who answers: a name, or a status.
fn who(client: &mut Client, headers: &str) -> String {
    let head = client.ask_with("/", headers);
    let status = || head.split(' ').nth(1).unwrap();
    server(&head).unwrap_or_else(status).to_owned()
}

/// How many of four hundred requests the canary has; the others have all the rest.
fn of_canary(web: u16) -> usize {
    let mut client = Client::new(web);
    let found: Vec<String> = (0..400).map(|_| who(&mut client, "")).collect();
    let count = |name: &str| found.iter().filter(|it| *it == name).count();
    assert_eq!(count("app") + count("new"), 400, "{found:?}");
    count("new")
}

fn through_its_life(dialect: &Dialect) {
    const ASKED: &str = "X-Canary: yes\r\n";
    let [web, dead, app, new] = [(); 4].map(|()| free_port());
    let (_app, mut canary) = (named("app", app), named("new", new));
    let with = |share| (dialect.text)([web, dead, app, new], share);
    let asked = || who(&mut Client::new(web), ASKED);
    let serves = || {
        eventually("the canary serves", || (asked() == "new").then_some(()));
        for _ in 0..20 {
            assert_eq!(asked(), "new", "{}", dialect.file);
        }
    };
    let stage = Stage::of_file(Scene::new(), dialect.file, &with(25), &[]);
    // By chance, where it is: less than one in a million is further off.
    let has = |share: usize| {
        let found = of_canary(web);
        assert!(found.abs_diff(share * 4) <= 50, "{}: {found}", dialect.file);
    };
    serves();
    has(25);
    stage.becomes(&with(60));
    serves();
    has(60);
    // It dies: once that is known, only who asks for it is not served.
    canary.die();
    eventually("that it is dead is known", || {
        let status = stage.portway.status();
        let groups = status["target_groups"].as_array().unwrap();
        // Of Traefik's services there is one for each way to try again.
        let mut canaries = groups
            .iter()
            .filter(|it| it["name"].as_str().unwrap().starts_with("new"));
        canaries
            .all(|it| it["targets"][0]["health"] == "unhealthy")
            .then_some(())
    });
    assert_eq!(of_canary(web), 0);
    stage.becomes(&with(70));
    assert_eq!((of_canary(web), asked().as_str()), (0, "503"));
    canary = named("new", new);
    serves();
    has(70);
    // The other way round: what has a dead target beside it serves all.
    stage.becomes(&with(1));
    let retried = retries_of(&stage.metrics(), "app");
    assert!(retried > 0, "{}", dialect.file);
    assert!(of_canary(web) <= 40, "{}", dialect.file);
    drop(canary);
    stage.portway.stop();
}

#[test]
fn a_canary_lives_dies_and_comes_back() {
    for dialect in &DIALECTS {
        through_its_life(dialect);
    }
}
