//! Policies as labels of a compose file say them, where a server is dead and another is tried, over a change of the labels' ports, and
//! where no server is there. Two services of the file have the same labels: their servers are one. All policies of Traefik as a dynamic
//! file says them: `traefik_policies.rs`.

use crate::asks::{Ask, Policy, SERVED, ask, hold, once_each};
use crate::echo::Echo;
use crate::stage::Stage;
use crate::support::{Scene, free_port};

/// A policy: labels behind `traefik.http.`, in which `@` is its name.
struct Row {
    name: &'static str,
    labels: &'static [&'static str],
    asks: &'static [Ask],
}

const LONG_TEXT: &str = "/header/Content-Type/text%2Fplain";

const ROWS: &[Row] = &[
    Row {
        name: "rate",
        labels: &[
            "routers.@.middlewares=@",
            "middlewares.@.ratelimit.average=1",
            "middlewares.@.ratelimit.period=24h",
            "middlewares.@.ratelimit.burst=1",
            "middlewares.@.ratelimit.sourcecriterion.requestheadername=X-Key",
        ],
        asks: const { &once_each(&[" 502 "]) },
    },
    Row {
        name: "compress",
        labels: &[
            "routers.@.middlewares=@",
            "middlewares.@.compress.includedcontenttypes=text/plain",
            "middlewares.@.compress.minresponsebodybytes=200",
            "middlewares.@.compress.encodings=gzip",
        ],
        asks: &[
            ask(
                LONG_TEXT,
                &["-H", "Accept-Encoding: gzip", "-H", "X-Long: {long}"],
                &[" 200 ", SERVED, "Content-Encoding: gzip", "-Content-Length"],
                &[" 502 ", "-Content-Encoding"],
            ),
            ask(
                LONG_TEXT,
                &["-H", "Accept-Encoding: br", "-H", "X-Long: {long}"],
                &[" 200 ", SERVED, "-Content-Encoding", "all work"],
                &[" 502 "],
            ),
        ],
    },
    Row {
        name: "errors",
        labels: &[
            "routers.@.middlewares=@",
            "middlewares.@.errors.status=500-599",
            "middlewares.@.errors.service=beside",
            "middlewares.@.errors.query=/sorry/{status}",
        ],
        asks: &[
            ask(
                "/",
                &[],
                &[" 200 ", SERVED],
                &[" 502 ", "X-Server: beside", "GET /sorry/502 "],
            ),
            ask(
                "/status/503",
                &[],
                &[" 503 ", "X-Server: beside", "GET /sorry/503 "],
                &[" 502 ", "GET /sorry/502 "],
            ),
        ],
    },
    Row {
        name: "sticky",
        labels: &[
            "services.@.loadbalancer.sticky.cookie.name=lb",
            "services.@.loadbalancer.sticky.cookie.httponly=true",
        ],
        asks: &[ask(
            "/",
            &[],
            &[" 200 ", SERVED, "et-cookie: lb=", "; HttpOnly"],
            &[" 502 "],
        )],
    },
    Row {
        name: "again",
        labels: &["routers.@.middlewares=@", "middlewares.@.retry.attempts=3"],
        asks: &[ask("/", &[], &[" 200 ", SERVED], &[" 502 ", "-X-Server"])],
    },
    Row {
        name: "canary",
        labels: &[
            "routers.@-new.rule=PathPrefix(`/`) && Header(`X-Canary`, `yes`)",
            "routers.@-new.entrypoints=@",
            "routers.@-new.service=beside",
        ],
        asks: &[
            ask(
                "/",
                &["-H", "X-Canary: yes"],
                &[" 200 ", "X-Server: beside"],
                &[" 200 ", "X-Server: beside"],
            ),
            ask("/", &["-H", "X-Canary: no"], &[" 200 ", SERVED], &[" 502 "]),
        ],
    },
];

/// The compose file, where these are the ports of the containers that have the labels.
fn text(ports: &[(u16, &Row)], containers: &[u16], beside: u16) -> String {
    let command = ports
        .iter()
        .map(|(port, row)| format!("\"--entrypoints.{}.address=127.0.0.1:{port}\"", row.name));
    let command: Vec<String> = command.collect();
    let mut labels = String::new();
    for (
        _,
        Row {
            name, labels: own, ..
        },
    ) in ports
    {
        let usual = [
            "routers.@.rule=PathPrefix(`/`)",
            "routers.@.entrypoints=@",
            "routers.@.service=@",
            "services.@.loadbalancer.server.port=80",
        ];
        for label in usual.iter().chain(*own) {
            let label = label.replace('@', name);
            labels += &format!("      - \"traefik.http.{label}\"\n");
        }
    }
    let mut text = format!(
        "services:\n  traefik:\n    image: traefik:v3.4\n    command: [{}]\n  beside:\n    image: app\n    \
         ports: [\"127.0.0.1:{beside}:80\"]\n    labels:\n      - \"traefik.http.routers.beside.rule=Host(`beside.example`)\"\n      \
         - \"traefik.http.services.beside.loadbalancer.server.port=80\"\n",
        command.join(", ")
    );
    for (number, port) in containers.iter().enumerate() {
        text += &format!(
            "  app{number}:\n    image: app\n    ports: [\"127.0.0.1:{port}:80\"]\n    labels:\n{labels}"
        );
    }
    text
}

#[test]
fn policies_of_labels_hold_over_a_retry_a_reload_and_dead_servers() {
    let (live, beside, dead) = (Echo::start("live"), Echo::start("beside"), free_port());
    let ports: Vec<(u16, &Row)> = ROWS.iter().map(|row| (free_port(), row)).collect();
    let texts = [&[dead, live.port][..], &[live.port, dead], &[dead]]
        .map(|containers| text(&ports, containers, beside.port));
    let mut stage = Stage::of_file(Scene::new(), "compose.yml", &texts[0], &[]);
    let policies = ports
        .iter()
        .map(|(port, row)| Policy::new(row.name, *port, row.asks));
    let policies: Vec<Policy> = policies.collect();
    hold(&mut stage, &policies, &texts, "");
    stage.portway.stop();
}
