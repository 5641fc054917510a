//! Every policy in HAProxy's words holds where a server is dead and another is tried, over a reload, and where no server is there.
//!
//! One row a policy: what its frontend and its backend say, requests, and what must stand in the answers while a server serves and
//! while none does. What policies do beyond that is held against HAProxy itself (`tests/differential`).

use crate::asks::{Ask, Policy, SERVED, ask, hold, once_each};
use crate::echo::Echo;
use crate::jwt::{ec_key, now, openssl, token};
use crate::stage::Stage;
use crate::support::{Scene, free_port};

/// A policy. Its frontend is called as it is with `-in` behind, its backend as it is.
struct Row {
    name: &'static str,
    /// Lines of the frontend and of the backend.
    front: &'static [&'static str],
    back: &'static [&'static str],
    asks: &'static [Ask],
}

const fn row(
    name: &'static str,
    front: &'static [&'static str],
    back: &'static [&'static str],
    asks: &'static [Ask],
) -> Row {
    Row {
        name,
        front,
        back,
        asks,
    }
}

/// Sections beside those of the policies.
const BESIDE: &str = "userlist staff\n \
    user anna password $2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n \
    user berta password $6$abcdefgh$ltjgWl6579NluT/Vi1nwEvcil.G5Nbc4NiXZaNGStk8PSwGfQv72N2CKPPrVACtLtip/cZ/1GM/O6IND4WQhG.\n \
    user carla password $5$abcdefgh$gruCpC7VkOTspMQTTSAR8mtlO9Upms.fwqE5y16JVM.\n\
    http-errors own\n errorfile 404 none.http\n";

const NONE: &str = "HTTP/1.1 404 None\r\nContent-Type: text/x-own\r\nContent-Length: 4\r\n\r\nnone";

const LONG_TEXT: &str = "/header/Content-Type/text%2Fplain";

/// What is compressed, as the client likes it; `--compressed` has curl undo it.
const COMPRESSED: &[Ask] = &[
    ask(
        LONG_TEXT,
        &["-H", "Accept-Encoding: gzip", "-H", "X-Long: {long}"],
        &[" 200 ", SERVED, "Content-Encoding: gzip", "-Content-Length"],
        &[" 503 ", "-Content-Encoding"],
    ),
    ask(
        LONG_TEXT,
        &[
            "--compressed",
            "-H",
            "Accept-Encoding: deflate",
            "-H",
            "X-Long: {long}",
        ],
        &[
            SERVED,
            "Content-Encoding: deflate",
            "x-long: all work and no play",
        ],
        &[" 503 ", "-Content-Encoding"],
    ),
    ask(
        LONG_TEXT,
        &["-H", "Accept-Encoding: br", "-H", "X-Long: {long}"],
        &[SERVED, "-Content-Encoding", "all work"],
        &[" 503 "],
    ),
    ask(
        "/header/Content-Type/image%2Fpng",
        &["-H", "Accept-Encoding: gzip", "-H", "X-Long: {long}"],
        &[SERVED, "-Content-Encoding", "all work"],
        &[" 503 "],
    ),
];

const ROWS: &[Row] = &[
    row(
        "compression",
        &[
            "compression algo gzip deflate",
            "compression type text/plain",
        ],
        &[],
        COMPRESSED,
    ),
    row(
        "compression-of-backend",
        &[],
        &[
            "compression algo gzip deflate",
            "compression type text/plain text/html",
        ],
        COMPRESSED,
    ),
    row(
        "compression-offload",
        &[],
        &[
            "filter compression",
            "compression algo gzip",
            "compression type text/",
            "compression offload",
        ],
        &[
            ask(
                LONG_TEXT,
                &[
                    "--compressed",
                    "-H",
                    "Accept-Encoding: gzip",
                    "-H",
                    "X-Long: {long}",
                ],
                &[
                    " 200 ",
                    SERVED,
                    "Content-Encoding: gzip",
                    "x-long: all work",
                    "-accept-encoding",
                ],
                &[" 503 ", "-Content-Encoding"],
            ),
            ask(
                "/",
                &["-H", "Accept-Encoding: gzip"],
                &[" 200 ", SERVED, "-Content-Encoding", "-accept-encoding"],
                &[" 503 "],
            ),
        ],
    ),
    row(
        "cors",
        &[
            "http-request set-var(txn.origin) req.hdr(origin)",
            "acl known var(txn.origin) -m str https://a.example",
            "http-request return status 204 hdr Access-Control-Allow-Methods PUT if METH_OPTIONS known",
            "http-after-response set-header Access-Control-Allow-Origin %[var(txn.origin)] if known",
        ],
        &[],
        &[
            ask(
                "/",
                &["-H", "Origin: https://a.example"],
                &[
                    " 200 ",
                    SERVED,
                    "Access-Control-Allow-Origin: https://a.example",
                ],
                &[" 503 ", "Access-Control-Allow-Origin: https://a.example"],
            ),
            ask(
                "/",
                &["-H", "Origin: https://b.example"],
                &[" 200 ", SERVED, "-Access-Control-Allow-Origin"],
                &[" 503 ", "-Access-Control-Allow-Origin"],
            ),
            ask(
                "/",
                &["-X", "OPTIONS", "-H", "Origin: https://a.example"],
                &[" 204 ", "Access-Control-Allow-Methods: PUT", "-X-Server"],
                &[" 204 ", "Access-Control-Allow-Methods: PUT"],
            ),
        ],
    ),
    row(
        "security-headers",
        &[
            "http-after-response set-header X-Frame-Options DENY",
            "http-after-response set-header Strict-Transport-Security max-age=31536000",
        ],
        &[
            "http-response set-header X-Content-Type-Options nosniff",
            "http-response del-header X-Powered-By",
        ],
        &[ask(
            "/header/X-Powered-By/us",
            &[],
            &[
                " 200 ",
                SERVED,
                "X-Frame-Options: DENY",
                "Strict-Transport-Security: max-age=31536000",
                "X-Content-Type-Options: nosniff",
                "-\nX-Powered-By",
            ],
            &[
                " 503 ",
                "X-Frame-Options: DENY",
                "Strict-Transport-Security: ",
                "-nosniff",
            ],
        )],
    ),
    row(
        "basic-auth",
        &["http-request auth realm own unless { http_auth(staff) }"],
        &["http-request set-header X-User %[http_auth_user]"],
        &[
            ask(
                "/",
                &["-u", "anna:secret"],
                &[" 200 ", SERVED, "x-user: anna"],
                &[" 503 "],
            ),
            ask(
                "/",
                &["-u", "berta:secret"],
                &[" 200 ", SERVED, "x-user: berta"],
                &[" 503 "],
            ),
            ask(
                "/",
                &["-u", "carla:secret"],
                &[" 200 ", SERVED, "x-user: carla"],
                &[" 503 "],
            ),
            ask(
                "/",
                &["-u", "anna:secrets"],
                &[" 401 ", "realm=\"own\"", "-X-Server"],
                &[" 401 "],
            ),
            ask("/", &[], &[" 401 ", "-X-Server"], &[" 401 ", "-X-Server"]),
        ],
    ),
    row(
        "jwt",
        &[
            "http-request deny deny_status 401 unless { http_auth_bearer,jwt_verify(ES256,\"own.pem\") 1 }",
            "http-request set-header X-User %[http_auth_bearer,jwt_payload_query('$.sub')]",
        ],
        &[],
        &[
            ask(
                "/",
                &["-H", "Authorization: Bearer {token}", "-H", "X-User: eve"],
                &[" 200 ", SERVED, "x-user: anna", "-eve"],
                &[" 503 "],
            ),
            ask(
                "/",
                &["-H", "Authorization: Bearer {token}A"],
                &[" 401 ", "-X-Server"],
                &[" 401 "],
            ),
            ask("/", &[], &[" 401 ", "-X-Server"], &[" 401 "]),
        ],
    ),
    row(
        "error-pages",
        &[
            "errorfiles own",
            "http-request deny deny_status 404 if { path /none }",
        ],
        &["http-error status 503 content-type text/x-own lf-string \"sorry %[path]\""],
        &[
            // Pages stand for our own answers; those of servers are theirs.
            ask(
                "/status/503",
                &[],
                &[" 503 ", SERVED, "-sorry"],
                &[" 503 ", "sorry /status/503", "text/x-own", "-X-Server"],
            ),
            ask(
                "/none",
                &[],
                &[" 404 ", "\nnone"],
                &[" 404 ", "text/x-own", "\nnone"],
            ),
        ],
    ),
    row(
        "canary",
        &[
            "use_backend new if { req.hdr(x-canary) yes }",
            "use_backend new if { req.hdr(x-canary) weighted } { rand(100) lt 100 }",
            "use_backend new if { rand(100) ge 100 }",
        ],
        &[],
        &[
            ask(
                "/",
                &["-H", "X-Canary: yes"],
                &[" 200 ", "X-Server: login"],
                &[" 200 ", "X-Server: login"],
            ),
            ask(
                "/",
                &["-H", "X-Canary: weighted"],
                &["X-Server: login"],
                &["X-Server: login"],
            ),
            ask("/", &["-H", "X-Canary: no"], &[" 200 ", SERVED], &[" 503 "]),
        ],
    ),
    row(
        "traces",
        &[
            "unique-id-format %{+X}o-%ci:%cp-%rt",
            "unique-id-header X-Unique-ID",
            "http-after-response set-header X-Trace %[unique-id]",
        ],
        &[],
        &[ask(
            "/",
            &[
                "-H",
                "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            ],
            &[
                " 200 ",
                SERVED,
                // What is not ours goes by.
                "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                "x-unique-id: -7F000001:",
                "X-Trace: -7F000001:",
            ],
            &[" 503 ", "X-Trace: -7F000001:"],
        )],
    ),
    row(
        "rewriting",
        &[
            "http-request set-header X-Was %[path]",
            "http-request replace-path /old/([^/]*)/(.*) /new/\\2/\\1",
        ],
        &[
            "http-request set-query %[query,regsub(c,b)]&to=%[src]",
            "http-request replace-header X-Version ^v([0-9]+)$ \\1.0",
        ],
        &[ask(
            "/old/a/b?c=d",
            &["-H", "X-Version: v2"],
            &[
                " 200 ",
                SERVED,
                "GET /new/b/a?b=d&to=127.0.0.1 HTTP/1.1",
                "x-version: 2.0",
                "x-was: /old/a/b",
            ],
            &[" 503 "],
        )],
    ),
    row(
        "paths-in-order",
        &[
            "http-request normalize-uri percent-decode-unreserved",
            "http-request normalize-uri path-merge-slashes",
            "http-request normalize-uri path-strip-dot",
            "http-request normalize-uri path-strip-dotdot full",
            "http-request deny if { path_beg /admin }",
        ],
        &[],
        &[
            ask(
                "/a//b/%2e%2e/./c%64?x=//",
                &["--path-as-is"],
                &[" 200 ", SERVED, "GET /a/cd?x=// HTTP/1.1"],
                &[" 503 "],
            ),
            ask(
                "/x/..//%61dmin",
                &["--path-as-is"],
                &[" 403 ", "-X-Server"],
                &[" 403 "],
            ),
        ],
    ),
    row(
        "redirects",
        &["http-request redirect prefix https://new.example code 308 if { path_beg /old }"],
        &[],
        &[
            ask(
                "/old?a",
                &[],
                &[" 308 ", "ocation: https://new.example/old?a"],
                &[" 308 ", "ocation: https://new.example/old?a"],
            ),
            ask("/", &[], &[" 200 ", SERVED], &[" 503 "]),
        ],
    ),
    row(
        "networks",
        &["http-request deny if { src 127.0.0.2 127.0.0.3 }"],
        &[],
        &[
            ask("/", &[], &[" 200 ", SERVED], &[" 503 "]),
            ask(
                "/",
                &["--interface", "127.0.0.2"],
                &[" 403 ", "-X-Server"],
                &[" 403 "],
            ),
        ],
    ),
    row(
        "rate-limit",
        &[
            "stick-table type string len 64 size 1k expire 1h store http_req_rate(1h)",
            "http-request track-sc0 req.hdr(x-key)",
            "http-request deny deny_status 429 if { sc_http_req_rate(0) gt 1 }",
        ],
        &[],
        const { &once_each(&[" 503 "]) },
    ),
    row(
        "body-limit",
        &["http-request deny deny_status 413 if { req.body_size gt 10 }"],
        &[],
        &[
            ask(
                "/",
                &["-d", "0123456789"],
                &[" 200 ", SERVED, "\n0123456789"],
                &[" 503 "],
            ),
            ask(
                "/",
                &["-d", "0123456789a"],
                &[" 413 ", "-X-Server"],
                &[" 413 "],
            ),
        ],
    ),
    row(
        "sticky",
        &[],
        &["cookie lb insert indirect httponly"],
        &[ask(
            "/",
            &[],
            &[" 200 ", SERVED, "et-cookie: lb=live; ", "HttpOnly"],
            &[" 503 ", "-lb="],
        )],
    ),
];

/// The configuration, where the backends of all policies have these servers.
fn text(ports: &[(u16, &Row)], servers: &[(&str, u16)], login: [u16; 2]) -> String {
    let mut text = format!(
        "global\n expose-experimental-directives\n\
         defaults\n mode http\n timeout connect 300ms\n timeout client 20s\n timeout server 20s\n retries 2\n option redispatch 1\n\
         {BESIDE}backend new\n server dead 127.0.0.1:{} weight 1\n server new 127.0.0.1:{} weight 256\n",
        login[0], login[1]
    );
    let lines = |lines: &[&str]| {
        lines
            .iter()
            .map(|it| format!(" {it}\n"))
            .collect::<String>()
    };
    for (
        port,
        Row {
            name, front, back, ..
        },
    ) in ports
    {
        let servers = servers
            .iter()
            .map(|(server, port)| format!(" server {server} 127.0.0.1:{port} cookie {server}\n"));
        text += &format!(
            "frontend {name}-in\n bind 127.0.0.1:{port}\n{} default_backend {name}\nbackend {name}\n{}{}",
            lines(front),
            lines(back),
            servers.collect::<String>()
        );
    }
    text
}

#[test]
fn policies_of_haproxy_hold_over_a_retry_a_reload_and_dead_servers() {
    let (live, login, dead) = (Echo::start("live"), Echo::start("login"), free_port());
    let ports: Vec<(u16, &Row)> = ROWS.iter().map(|row| (free_port(), row)).collect();
    let login = [dead, login.port];
    let scene = Scene::new();
    let _member = ec_key(&scene, "own");
    openssl(
        &scene,
        &["pkey", "-in", "own.ec", "-pubout", "-out", "own.pem"],
    );
    scene.file("none.http", NONE);
    let claims = format!(r#"{{"sub":"anna","exp":{}}}"#, now() + 3600);
    let token = token(&scene, "own", &claims);
    let (dead, live) = (("dead", dead), ("live", live.port));
    let texts =
        [&[dead, live][..], &[live, dead], &[dead]].map(|servers| text(&ports, servers, login));
    let mut stage = Stage::of_file(scene, "haproxy.cfg", &texts[0], &[]);
    let policies = ports
        .iter()
        .map(|(port, row)| Policy::new(row.name, *port, row.asks));
    let policies: Vec<Policy> = policies.collect();
    hold(&mut stage, &policies, &texts, &token);
}
