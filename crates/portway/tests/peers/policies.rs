//! Every policy holds where a target is dead and another is tried, over a reload, and where nobody answers.
//!
//! One row a policy: its rules, requests, and what must stand in the answers while a target serves and while none does.
//! What policies do beyond that, tests of their own say.

use crate::asks::{Ask, Policy, SERVED, ask, hold};
use crate::echo::Echo;
use crate::jwt::{ec_key, now, set, token};
use crate::stage::{Stage, group};
use crate::support::{Scene, free_port};

/// A policy. `@` in its text is the name of its group.
struct Row {
    name: &'static str,
    /// Rules of the listener, before the one that forwards.
    rules: &'static str,
    /// Keys of the listener, and objects beside it.
    listener: &'static str,
    beside: &'static str,
    asks: &'static [Ask],
}

const fn row(name: &'static str, rules: &'static str, asks: &'static [Ask]) -> Row {
    Row {
        name,
        rules,
        listener: "",
        beside: "",
        asks,
    }
}

const ROWS: &[Row] = &[
    row(
        "cors",
        "cors = { origins = 'https://a.example', methods = ['PUT'] }",
        &[
            ask(
                "/",
                &["-H", "Origin: https://a.example"],
                &[
                    " 200 ",
                    SERVED,
                    "Access-Control-Allow-Origin: https://a.example",
                ],
                &[" 502 ", "Access-Control-Allow-Origin: https://a.example"],
            ),
            ask(
                "/",
                &[
                    "-X",
                    "OPTIONS",
                    "-H",
                    "Origin: https://a.example",
                    "-H",
                    "Access-Control-Request-Method: PUT",
                ],
                &[" 204 ", "Access-Control-Allow-Methods: PUT"],
                &[" 204 ", "Access-Control-Allow-Methods: PUT"],
            ),
        ],
    ),
    Row {
        beside: "[userlist.staff]\nusers = { anna = '$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a', \
            berta = '$6$abcdefgh$ltjgWl6579NluT/Vi1nwEvcil.G5Nbc4NiXZaNGStk8PSwGfQv72N2CKPPrVACtLtip/cZ/1GM/O6IND4WQhG.' }\n",
        ..row(
            "basic-auth",
            "authenticate = { users = 'staff', realm = 'own' }",
            &[
                ask("/", &["-u", "anna:secret"], &[" 200 ", SERVED], &[" 502 "]),
                ask("/", &["-u", "berta:secret"], &[" 200 ", SERVED], &[" 502 "]),
                ask(
                    "/",
                    &["-u", "anna:secrets"],
                    &[" 401 ", "realm=\"own\""],
                    &[" 401 "],
                ),
                ask("/", &[], &[" 401 ", "-X-Server"], &[" 401 ", "-X-Server"]),
            ],
        )
    },
    row(
        "forward-auth",
        "authorize = { group = 'login', target = '/${header(`X-Ask`)}', copy_headers = 'X-User' }",
        &[
            ask(
                "/",
                &["-H", "X-Ask: header/X-User/anna", "-H", "X-User: eve"],
                &[" 200 ", SERVED, "x-user: anna", "-eve"],
                &[" 502 ", "-X-Server"],
            ),
            ask(
                "/",
                &["-H", "X-Ask: status/403"],
                &[" 403 ", "X-Server: login"],
                &[" 403 ", "X-Server: login"],
            ),
        ],
    ),
    row(
        "jwt",
        "jwt = { keys = 'keys.json', set_headers = { X-User = 'sub' } }",
        &[
            ask(
                "/",
                &["-H", "Authorization: Bearer {token}"],
                &[" 200 ", SERVED, "x-user: anna"],
                &[" 502 "],
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
        "rewriting",
        "actions = [{ replace_path = { pattern = '^/old/([^/]*)/(.*)$', with = '/new/$2/$1' } }, { set_argument = { to = '${source}' } }, \
            { replace_header = { name = 'X-Version', pattern = '^v([0-9]+)$', with = '$1.0' } }]\n\
            [[listener.@.rule]]\nphase = 'after_response'\nset_header = { X-Was = '${path}' }",
        &[ask(
            "/old/a/b?c=d",
            &["-H", "X-Version: v2"],
            &[
                " 200 ",
                SERVED,
                "GET /new/b/a?c=d&to=127.0.0.1 HTTP/1.1",
                "x-version: 2.0",
                "X-Was: /new/b/a",
            ],
            &[" 502 ", "X-Was: /new/b/a"],
        )],
    ),
    row(
        "captures",
        "when = 'PathRegexp(`^/v([0-9]+)/(.*)$`) && HeaderRegexp(`X-Tenant`, `^(?<tenant>[a-z]+)-`)'\n\
            actions = [{ set_path = '/${matched(2)}' }, \
            { set_header = { X-Version = '${matched(1)}', X-Who = '${matched(`tenant`)}', X-Same = '${path}' } }]\n\
            [[listener.@.rule]]\nwhen = 'PathRegexp(`^/go/(.*)$`)'\nredirect = 'https://new.example/${matched(1)}'",
        &[
            ask(
                "/v2/a/b?c",
                &[
                    "-H",
                    "X-Tenant: 1",
                    "-H",
                    "X-Tenant: anna-1",
                    "-H",
                    "X-Who: eve",
                ],
                &[
                    " 200 ",
                    SERVED,
                    "GET /a/b?c ",
                    "x-version: 2",
                    "x-who: anna",
                    "x-same: /a/b",
                    "-eve",
                ],
                &[" 502 "],
            ),
            ask(
                "/go/a/b",
                &[],
                &[" 302 ", "Location: https://new.example/a/b"],
                &[" 302 ", "Location: https://new.example/a/b"],
            ),
        ],
    ),
    Row {
        listener: "error_pages = { 502 = { body = 'sorry ${path}', content_type = 'text/x-own' }, 404 = { body = 'none', content_type = 'text/plain' } }\n",
        ..row(
            "error-pages",
            "when = 'Path(`/none`)'\nrespond = { status = 404, error_page = true }",
            &[
                // Pages stand for our own answers; those of targets are theirs.
                ask(
                    "/status/502",
                    &[],
                    &[" 502 ", SERVED, "-sorry"],
                    &[" 502 ", "sorry /status/502", "text/x-own"],
                ),
                ask("/none", &[], &[" 404 ", "none"], &[" 404 ", "none"]),
            ],
        )
    },
    row(
        "pages-of-a-service",
        "page_from = { status = '500-599', forward = 'login', target = '/sorry/${status}' }",
        &[
            ask(
                "/",
                &[],
                &[" 200 ", SERVED],
                &[" 502 ", "X-Server: login", "GET /sorry/502 "],
            ),
            ask(
                "/status/503",
                &[],
                &[" 503 ", "X-Server: login", "GET /sorry/503 "],
                &[" 502 ", "GET /sorry/502 "],
            ),
        ],
    ),
    row(
        "compression",
        "compress = { types = 'text/plain', min_bytes = 200 }",
        &[
            ask(
                "/header/Content-Type/text%2Fplain",
                &["-H", "Accept-Encoding: gzip", "-H", "X-Long: {long}"],
                &[" 200 ", SERVED, "Content-Encoding: gzip", "-Content-Length"],
                &[" 502 ", "-Content-Encoding"],
            ),
            ask(
                "/header/Content-Type/text%2Fplain",
                &[
                    "-H",
                    "Accept-Encoding: br, gzip;q=0.5",
                    "-H",
                    "X-Long: {long}",
                ],
                &[SERVED, "Content-Encoding: br"],
                &[" 502 ", "-Content-Encoding"],
            ),
            ask(
                "/header/Content-Type/text%2Fplain",
                &["-H", "Accept-Encoding: zstd", "-H", "X-Long: {long}"],
                &[SERVED, "Content-Encoding: zstd"],
                &[" 502 ", "-Content-Encoding"],
            ),
            ask(
                "/header/Content-Type/image%2Fpng",
                &["-H", "Accept-Encoding: zstd", "-H", "X-Long: {long}"],
                &[SERVED, "-Content-Encoding", "all work"],
                &[" 502 "],
            ),
            ask(
                "/bytes/199",
                &["-H", "Accept-Encoding: zstd"],
                &[SERVED, "-Content-Encoding"],
                &[" 502 "],
            ),
        ],
    ),
    row(
        "mirroring",
        "mirror = { group = 'login', percent = 100 }",
        &[ask(
            "/",
            &["-d", "body"],
            &[" 200 ", SERVED, "\nbody"],
            &[" 502 "],
        )],
    ),
    Row {
        beside: "[target_group.new]\ntargets = [DEAD, LOGIN]\nretries = 2\n",
        ..row(
            "canary",
            "when = 'Header(`X-Canary`, `yes`)'\nforward = 'new'\n\
                [[listener.@.rule]]\nwhen = 'Header(`X-Canary`, `weighted`)'\nforward = { new = 1, @ = 0 }",
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
                ask("/", &["-H", "X-Canary: no"], &[" 200 ", SERVED], &[" 502 "]),
            ],
        )
    },
    row(
        "security-headers",
        "phase = 'after_response'\nsecurity_headers = { frame = 'DENY' }",
        &[ask(
            "/",
            &[],
            &[
                " 200 ",
                SERVED,
                "X-Frame-Options: DENY",
                "X-Content-Type-Options: nosniff",
            ],
            &[
                " 502 ",
                "X-Frame-Options: DENY",
                "X-Content-Type-Options: nosniff",
            ],
        )],
    ),
    Row {
        listener: "forwarded = { trusted_proxies = '127.0.0.1' }\n",
        ..row(
            "trace-context",
            "trace_context = true\n[[listener.@.rule]]\nphase = 'after_response'\nset_header = { X-Trace = '${trace_id}' }",
            &[ask(
                "/",
                &[
                    "-H",
                    "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                ],
                &[
                    SERVED,
                    "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-",
                    "-00f067aa0ba902b7",
                ],
                &[" 502 ", "X-Trace: 4bf92f3577b34da6a3ce929d0e0e4736"],
            )],
        )
    },
    row(
        "redirects",
        "when = 'PathPrefix(`/old`)'\nredirect = { location = 'https://new.example${target}', status = 308 }",
        &[
            ask(
                "/old?a",
                &[],
                &[" 308 ", "Location: https://new.example/old?a"],
                &[" 308 ", "Location: https://new.example/old?a"],
            ),
            ask("/", &[], &[" 200 ", SERVED], &[" 502 "]),
        ],
    ),
    row(
        "networks",
        "when = '!ClientIP(`127.0.0.1`)'\nrespond = 403",
        &[
            ask("/", &[], &[" 200 ", SERVED], &[" 502 "]),
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
        "limit_rate = { name = 'often', key = 'header(`X-Key`)', average = 1, period = '1h', burst = 1 }",
        &[
            ask(
                "/",
                &["-H", "X-Key: {phase}"],
                &[" 200 ", SERVED],
                &[" 502 "],
            ),
            ask(
                "/",
                &["-H", "X-Key: {phase}"],
                &[" 429 ", "Retry-After: 3"],
                &[" 429 ", "Retry-After: 3"],
            ),
            ask(
                "/",
                &["-H", "X-Key: {before}"],
                &[" 429 ", "Retry-After: 3"],
                &[" 429 ", "Retry-After: 3"],
            ),
        ],
    ),
    row(
        "concurrency-limit",
        "limit_concurrency = { name = 'one', amount = 1 }",
        // Each is let go of, whatever came of it.
        &[
            ask("/", &[], &[" 200 ", SERVED], &[" 502 "]),
            ask("/", &[], &[" 200 ", SERVED], &[" 502 "]),
        ],
    ),
    row(
        "body-limit",
        "limit_body = 10",
        &[
            ask(
                "/",
                &["-d", "0123456789"],
                &[" 200 ", SERVED, "\n0123456789"],
                &[" 502 "],
            ),
            ask(
                "/",
                &["-d", "0123456789a"],
                &[" 413 ", "-X-Server"],
                &[" 413 "],
            ),
        ],
    ),
    Row {
        listener: "head_bytes = 2048\n",
        ..row(
            "head-limit",
            "set_header = { X-Rule = 'yes' }",
            &[
                ask("/", &[], &[" 200 ", SERVED], &[" 502 "]),
                ask(
                    "/",
                    &["-H", "X-Long: {long}"],
                    &[" 431 ", "-X-Server"],
                    &[" 431 "],
                ),
            ],
        )
    },
    Row {
        listener: "path_policy = { dot_segments = 'normalize', double_slashes = 'normalize', encoded_slashes = 'normalize', \
            backslashes = 'normalize', encoded_unreserved = 'normalize' }\n",
        ..row(
            "paths-in-order",
            "when = 'PathPrefix(`/admin`)'\nrespond = 403",
            &[
                ask(
                    "/a//b/%2e%2e/./c%5C%64?x=//",
                    &["--path-as-is"],
                    &[" 200 ", SERVED, "GET /a/c/d?x=// HTTP/1.1"],
                    &[" 502 ", "-X-Server"],
                ),
                ask(
                    "/x/..%2f%61dmin",
                    &["--path-as-is"],
                    &[" 403 ", "-X-Server"],
                    &[" 403 "],
                ),
            ],
        )
    },
    Row {
        listener: "path_policy = { dot_segments = 'refuse', encoded_slashes = 'refuse' }\n",
        ..row(
            "paths-refused",
            "set_header = { X-Rule = 'yes' }",
            &[
                ask(
                    "/a//b%7E",
                    &["--path-as-is"],
                    &[" 200 ", SERVED, "GET /a//b%7E HTTP/1.1"],
                    &[" 502 "],
                ),
                ask(
                    "/a/../b",
                    &["--path-as-is"],
                    &[" 400 ", "-X-Server"],
                    &[" 400 "],
                ),
                ask("/a%2Fb", &[], &[" 400 ", "-X-Server"], &[" 400 "]),
            ],
        )
    },
    Row {
        listener: "min_rate = { request = 1, response = 1, grace = '20s' }\nmax_connections = 10\n",
        ..row(
            "data-rate",
            "set_header = { X-Rule = 'yes' }",
            &[ask(
                "/",
                &["-d", "body"],
                &[" 200 ", SERVED, "\nbody"],
                &[" 502 "],
            )],
        )
    },
];

/// The configuration, where the groups of all policies have these targets.
fn text(ports: &[(u16, &Row)], targets: &[u16], login: [u16; 2]) -> String {
    let mut text = group("login", &login) + "retries = 2\n";
    for (port, row) in ports {
        let Row {
            name,
            rules,
            listener,
            beside,
            ..
        } = row;
        let listener = format!(
            "[listener.@]\nbind = '127.0.0.1:{port}'\n{listener}\
             [[listener.@.rule]]\n{rules}\n[[listener.@.rule]]\nforward = '@'\n{beside}"
        );
        text += &listener.replace('@', name);
        text += &(group(name, targets) + "retries = 2\n");
    }
    let [dead, login] = login.map(|port| format!("'127.0.0.1:{port}'"));
    text.replace("DEAD", &dead).replace("LOGIN", &login)
}

#[test]
fn they_hold_over_a_retry_a_reload_and_dead_targets() {
    let (live, login, dead) = (Echo::start("live"), Echo::start("login"), free_port());
    let ports: Vec<(u16, &Row)> = ROWS.iter().map(|row| (free_port(), row)).collect();
    let login = [dead, login.port];
    let scene = Scene::new();
    scene.file("keys.json", set(&[&ec_key(&scene, "own")]));
    let claims = format!(r#"{{"sub":"anna","exp":{}}}"#, now() + 3600);
    let token = token(&scene, "own", &claims);
    let [one_dead, other_dead, all_dead] = [&[dead, live.port][..], &[live.port, dead], &[dead]]
        .map(|targets| text(&ports, targets, login));
    let mut stage = Stage::with(scene, &one_dead, &[]);
    let policies = ports
        .iter()
        .map(|(port, row)| Policy::new(row.name, *port, row.asks));
    let policies: Vec<Policy> = policies.collect();
    hold(
        &mut stage,
        &policies,
        &[one_dead, other_dead, all_dead],
        &token,
    );
}
