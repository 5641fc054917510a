//! Every policy of Traefik's words holds where a server is dead and another is tried, over a change of the dynamic file, and where
//! no server is there.
//!
//! One row a policy: its middlewares, what its entry point, router and service say, requests, and what must stand in the answers
//! while a server serves and while none does. The log and the traces of the static file are those of all rows.

use std::collections::HashMap;

use crate::asks::{Ask, Policy, SERVED, Site, Words, ask, hold, once_each, retries_of};
use crate::certificates::{Issuer, Key, certificate};
use crate::echo::Echo;
use crate::edge::clients;
use crate::spans::{Collector, attribute};
use crate::support::{PORTWAY, Portway, Process, Scene, eventually, free_port};

/// The whole answer where the client gets none.
const REFUSED: &str = "no answer";

/// A policy.
struct Row {
    name: &'static str,
    /// In the order in which they stand; each is called as the row, with its number behind it.
    middlewares: &'static [&'static str],
    rule: &'static str,
    /// Further keys of the entry point, the router and the service with the servers.
    entry: &'static str,
    router: &'static str,
    service: &'static str,
    /// The service of the router, where it is another; the one with the servers is called as the row.
    above: &'static str,
    /// How clients come, and what servers speak.
    scheme: &'static str,
    servers: &'static str,
    /// Whether a dead server is asked again and again: some ways to choose learn.
    retried: bool,
    asks: &'static [Ask],
}

const fn row(
    name: &'static str,
    middlewares: &'static [&'static str],
    asks: &'static [Ask],
) -> Row {
    Row {
        name,
        middlewares,
        rule: "PathPrefix(`/`)",
        entry: "",
        router: "",
        service: "",
        above: "",
        scheme: "http",
        servers: "http",
        retried: true,
        asks,
    }
}

/// A service that says how servers are chosen or kept, and nothing else.
const fn service(name: &'static str, service: &'static str, asks: &'static [Ask]) -> Row {
    Row {
        service,
        ..row(name, &[], asks)
    }
}

const PLAIN: &[Ask] = &[ask("/", &[], &[" 200 ", SERVED], &[" 502 ", "-X-Server"])];

const LONG_TEXT: &str = "/header/Content-Type/text%2Fplain";

const ROWS: &[Row] = &[
    row(
        "rate",
        &[
            "{ rateLimit: { average: 1, period: 24h, burst: 1, sourceCriterion: { requestHeaderName: X-Key } } }",
        ],
        const { &once_each(&[" 502 "]) },
    ),
    // Each is let go of, whatever came of it.
    row("at-once", &["{ inFlightReq: { amount: 2 } }"], PLAIN),
    row(
        "compress",
        &[
            "{ compress: { includedContentTypes: [text/plain], minResponseBodyBytes: 200, encodings: [zstd, br, gzip] } }",
        ],
        &[
            ask(
                LONG_TEXT,
                &["-H", "Accept-Encoding: gzip", "-H", "X-Long: {long}"],
                &[" 200 ", SERVED, "Content-Encoding: gzip", "-Content-Length"],
                &[" 502 ", "-Content-Encoding"],
            ),
            ask(
                LONG_TEXT,
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
                "/header/Content-Type/image%2Fpng",
                &["-H", "Accept-Encoding: zstd", "-H", "X-Long: {long}"],
                &[SERVED, "-Content-Encoding", "all work"],
                &[" 502 "],
            ),
        ],
    ),
    row(
        "buffering",
        &["{ buffering: { maxRequestBodyBytes: 10, maxResponseBodyBytes: 2000 } }"],
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
            ask("/bytes/2001", &[], &[" 500 ", "-xxx"], &[" 502 "]),
        ],
    ),
    Row {
        rule: "Host(`s.example`)",
        router: ", tls: { options: mutual }",
        scheme: "https",
        ..row(
            "certificates",
            &["{ passTLSClientCert: { pem: true, info: { subject: { commonName: true } } } }"],
            &[
                ask(
                    "/",
                    &[
                        "--cert",
                        "good.pem",
                        "--key",
                        "good.key",
                        "-H",
                        "X-Forwarded-Tls-Client-Cert: forged",
                        "-H",
                        "X-Forwarded-Tls-Client-Cert-Info: forged",
                        "-H",
                        "X_Forwarded_Tls_Client_Cert: forged",
                    ],
                    &[
                        " 200 ",
                        SERVED,
                        "x-forwarded-tls-client-cert: MII",
                        "x-forwarded-tls-client-cert-info: Subject%3D%22CN%3Dgood%22",
                        "-forged",
                    ],
                    &[" 502 "],
                ),
                ask("/", &[], &[REFUSED], &[REFUSED]),
                ask(
                    "/",
                    &["--cert", "bad.pem", "--key", "bad.key"],
                    &[REFUSED],
                    &[REFUSED],
                ),
            ],
        )
    },
    Row {
        servers: "https",
        ..service(
            "transport",
            ", serversTransport: own",
            &[ask(
                "/",
                &[],
                &[" 200 ", SERVED, "client=CN=good", "name=s.example"],
                &[" 502 ", "-X-Server"],
            )],
        )
    },
    Row {
        servers: "https",
        ..service(
            "strangers",
            ", serversTransport: believing",
            &[ask("/", &[], &[" 502 ", "-X-Server"], &[" 502 "])],
        )
    },
    service("wrr", ", strategy: wrr", PLAIN),
    service("p2c", ", strategy: p2c", PLAIN),
    Row {
        retried: false,
        ..service("hrw", ", strategy: hrw", PLAIN)
    },
    Row {
        retried: false,
        ..service("least-time", ", strategy: leasttime", PLAIN)
    },
    service(
        "sticky",
        ", sticky: { cookie: { name: lb, httpOnly: true, sameSite: lax, path: /app } }",
        &[ask(
            "/",
            &[],
            &[
                " 200 ",
                SERVED,
                "set-cookie: lb=",
                "; path=/app",
                "; HttpOnly",
                "; SameSite=Lax",
            ],
            &[" 502 "],
        )],
    ),
    Row {
        above: "{ mirroring: { service: mirroring, mirrors: [{ name: copies, percent: 100 }] } }",
        ..row(
            "mirroring",
            &[],
            &[ask(
                "/",
                &["-d", "body"],
                &[" 200 ", SERVED, "\nbody"],
                &[" 502 "],
            )],
        )
    },
    row("retry", &["{ retry: { attempts: 3 } }"], PLAIN),
    row(
        "add-prefix",
        &["{ addPrefix: { prefix: /v2 } }"],
        &[ask("/a", &[], &[SERVED, "GET /v2/a HTTP/1.1"], &[" 502 "])],
    ),
    row(
        "strip-prefix",
        &["{ stripPrefix: { prefixes: [/api] } }"],
        &[ask(
            "/api/a",
            &[],
            &[SERVED, "GET /a HTTP/1.1", "x-forwarded-prefix: /api"],
            &[" 502 "],
        )],
    ),
    row(
        "strip-prefix-regex",
        &["{ stripPrefixRegex: { regex: [\"/shop/[0-9]+\"] } }"],
        &[ask(
            "/shop/17/a",
            &[],
            &[SERVED, "GET /a HTTP/1.1", "x-forwarded-prefix: /shop/17"],
            &[" 502 "],
        )],
    ),
    row(
        "replace-path",
        &["{ replacePath: { path: /all } }"],
        &[ask(
            "/a",
            &[],
            &[SERVED, "GET /all HTTP/1.1", "x-replaced-path: /a"],
            &[" 502 "],
        )],
    ),
    row(
        "replace-path-regex",
        &["{ replacePathRegex: { regex: \"^/old/(.*)\", replacement: \"/new/$1\" } }"],
        &[ask(
            "/old/a",
            &[],
            &[SERVED, "GET /new/a HTTP/1.1", "x-replaced-path: /old/a"],
            &[" 502 "],
        )],
    ),
    row(
        "redirect-regex",
        &[
            "{ redirectRegex: { regex: \"^http://([^/]+)/moved/(.*)\", replacement: \"https://new.example/${2}\" } }",
        ],
        &[
            ask(
                "/moved/a",
                &[],
                &[" 302 ", "Location: https://new.example/a"],
                &[" 302 ", "Location: https://new.example/a"],
            ),
            ask("/", &[], &[" 200 ", SERVED], &[" 502 "]),
        ],
    ),
    row(
        "redirect-scheme",
        &["{ redirectScheme: { scheme: https, port: \"8443\", permanent: true } }"],
        &[ask(
            "/a?b",
            &["-H", "Host: a.example"],
            &[" 301 ", "Location: https://a.example:8443/a?b"],
            &[" 301 ", "Location: https://a.example:8443/a?b"],
        )],
    ),
    row(
        "basic-auth",
        &[
            "{ basicAuth: { users: [\"anna:$apr1$abcdefgh$cy3DSYyOwfhsyu7QOMQzd.\"], headerField: X-User } }",
        ],
        &[
            ask(
                "/",
                &["-u", "anna:hello", "-H", "X-User: eve"],
                &[" 200 ", SERVED, "x-user: anna", "-eve"],
                &[" 502 "],
            ),
            ask(
                "/",
                &["-u", "anna:hallo"],
                &[" 401 ", "-X-Server"],
                &[" 401 "],
            ),
        ],
    ),
    row(
        "forward-auth",
        &[
            "{ forwardAuth: { address: \"http://127.0.0.1:LOGIN/header/X-User/anna\", authResponseHeaders: [X-User] } }",
        ],
        &[ask(
            "/",
            &["-H", "X-User: eve"],
            &[" 200 ", SERVED, "x-user: anna", "-eve"],
            &[" 502 "],
        )],
    ),
    row(
        "refused",
        &["{ forwardAuth: { address: \"http://127.0.0.1:LOGIN/status/403\" } }"],
        &[ask(
            "/",
            &[],
            &[" 403 ", "X-Server: login"],
            &[" 403 ", "X-Server: login"],
        )],
    ),
    row(
        "headers",
        &[
            "{ headers: { customRequestHeaders: { X-Gone: \"\", X-New: \"yes\" }, customResponseHeaders: { X-Out: \"yes\" }, \
              frameDeny: true, accessControlAllowOriginList: [\"https://a.example\"] } }",
        ],
        &[ask(
            "/",
            &["-H", "Origin: https://a.example", "-H", "X-Gone: 1"],
            &[
                " 200 ",
                SERVED,
                "x-new: yes",
                "X-Out: yes",
                "X-Frame-Options: DENY",
                "Access-Control-Allow-Origin: https://a.example",
                "-x-gone",
            ],
            &[" 502 ", "X-Out: yes", "X-Frame-Options: DENY"],
        )],
    ),
    row(
        "networks",
        &["{ ipAllowList: { sourceRange: [127.0.0.1/32] } }"],
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
        "errors",
        &["{ errors: { status: [\"500-599\"], service: pages, query: \"/sorry/{status}\" } }"],
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
        "chain",
        &["{ chain: { middlewares: [add-prefix-0, headers-0] } }"],
        &[ask(
            "/a",
            &[],
            &[SERVED, "GET /v2/a HTTP/1.1", "x-new: yes", "X-Out: yes"],
            &[" 502 ", "X-Out: yes"],
        )],
    ),
    row(
        "breaker",
        &["{ circuitBreaker: { expression: \"LatencyAtQuantileMS(50.0) > 60000\" } }"],
        PLAIN,
    ),
    Row {
        entry: ", proxyProtocol: { trustedIPs: [127.0.0.1] }",
        ..row(
            "proxy-protocol",
            &[],
            &[
                ask("/", &["--haproxy-protocol"], &[" 200 ", SERVED], &[" 502 "]),
                ask("/", &[], &[" 200 ", SERVED], &[" 502 "]),
            ],
        )
    },
    row(
        "traces",
        &[],
        &[ask(
            "/",
            &[
                "-H",
                "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            ],
            // Who is not trusted begins no trace of ours.
            &[" 200 ", SERVED, "traceparent: 00-", "-4bf92f35"],
            &[" 502 "],
        )],
    ),
];

/// Portway on a static file and a dynamic one that is written anew.
pub(crate) struct Deployed {
    pub(crate) scene: Scene,
    pub(crate) portway: Portway,
}

impl Deployed {
    pub(crate) fn new(scene: Scene, fixed: &str, dynamic: &str) -> Self {
        let provider = "providers: { file: { filename: dynamic.yml } }\n";
        scene.file("traefik.yml", format!("{fixed}{provider}"));
        scene.file("dynamic.yml", dynamic);
        let portway = scene.portway_with(&["traefik.yml"]);
        Self { scene, portway }
    }

    /// Writes the dynamic file; it is at work then.
    #[track_caller]
    pub(crate) fn becomes(&self, dynamic: &str) {
        self.scene.file("dynamic.yml", dynamic);
        let reload = ["reload", "--admin", &self.portway.admin];
        self.scene.run(PORTWAY, &reload).good();
    }

    fn metrics(&self) -> String {
        let url = format!("http://{}/metrics", self.portway.admin);
        self.scene.curl(&["-s", &url]).good()
    }

    /// The sum of the metrics that begin so.
    pub(crate) fn metric(&self, line: &str) -> u64 {
        let text = self.metrics();
        let found = text.lines().filter(|it| it.starts_with(line));
        let numbers = found.map(|it| it.rsplit(' ').next().unwrap().parse::<f64>().unwrap());
        numbers.sum::<f64>() as u64
    }

    /// How often something was tried again at another server of this service, however its routers say that it is to be.
    pub(crate) fn retries(&self, service: &str) -> u64 {
        retries_of(&self.metrics(), service)
    }
}

/// Servers of a service.
pub(crate) fn servers(scheme: &str, ports: &[u16]) -> String {
    let all = ports.iter();
    let all = all.map(|port| format!("{{ url: \"{scheme}://127.0.0.1:{port}\" }}"));
    format!("servers: [{}]", all.collect::<Vec<_>>().join(", "))
}

/// All rows at work, with what they need beside them.
struct Table {
    it: Deployed,
    ports: Vec<(u16, &'static Row)>,
    collector: Collector,
    live: [u16; 2],
    login: u16,
    dead: u16,
    /// How many requests were answered of each phase.
    answered: HashMap<&'static str, usize>,
    _secure: Process,
}

impl Table {
    fn new() -> Self {
        let (live, login) = (Echo::start("live").port, Echo::start("login").port);
        let [dead, secure] = [(); 2].map(|()| free_port());
        let scene = Scene::new();
        clients(&scene);
        let names = ["s.example"];
        certificate(
            &scene,
            "back",
            Key::Ecdsa,
            "back",
            &names,
            Issuer::Signed("ca"),
        );
        let served = "server { listen 127.0.0.1:PORT ssl; ssl_certificate back.pem; ssl_certificate_key back.key; \
             ssl_client_certificate ca.pem; ssl_verify_client optional; add_header X-Server live; \
             location / { return 200 \"client=$ssl_client_s_dn\\nname=$ssl_server_name\\n\"; } }";
        let nginx = scene.nginx(secure, &served.replace("PORT", &secure.to_string()));
        let ports: Vec<_> = ROWS.iter().map(|row| (free_port(), row)).collect();
        let collector = Collector::start();
        let entries = ports.iter().map(|(port, row)| {
            format!(
                "  {}: {{ address: \"127.0.0.1:{port}\"{} }}\n",
                row.name, row.entry
            )
        });
        let fixed = format!(
            "entryPoints:\n{}accessLog: {{ filePath: access.log, format: json }}\n\
             tracing: {{ serviceName: edge, otlp: {{ http: {{ endpoint: \"http://127.0.0.1:{}/v1/traces\" }} }} }}\n",
            entries.collect::<String>(),
            collector.port
        );
        let live = [live, secure];
        let first = dynamic(&ports, |row| vec![dead, live_of(row, live)], login);
        Self {
            it: Deployed::new(scene, &fixed, &first),
            ports,
            collector,
            live,
            login,
            dead,
            answered: HashMap::new(),
            _secure: nginx,
        }
    }

    /// The dynamic file where all rows have these servers; 0 is the one that lives.
    fn with(&self, which: &[u16]) -> String {
        let servers = |row: &Row| {
            let port = |port: &u16| match port {
                0 => live_of(row, self.live),
                port => *port,
            };
            which.iter().map(port).collect()
        };
        dynamic(&self.ports, servers, self.login)
    }
}

impl Site for Table {
    fn becomes(&mut self, text: &str) {
        self.it.becomes(text);
    }

    fn retries(&self, group: &str) -> u64 {
        self.it.retries(group)
    }

    fn answer(
        &mut self,
        policy: &Policy,
        ask: &Ask,
        phase: &'static str,
        words: Words<'_>,
    ) -> String {
        let Policy { name, port, .. } = policy;
        let row = ROWS.iter().find(|row| row.name == *name).unwrap();
        let Row { scheme, .. } = row;
        let host = if *scheme == "https" {
            "s.example"
        } else {
            "127.0.0.1"
        };
        let url = format!("{scheme}://{host}:{port}{}", ask.path);
        let resolve = format!("s.example:{port}:127.0.0.1");
        let with = ask.with(words);
        let mut arguments = vec!["-k", "-i", "--http1.1", "-m", "30"];
        arguments.extend(["-A", phase, "--resolve", &resolve]);
        arguments.extend(with.iter().map(String::as_str));
        arguments.push(&url);
        let output = self.it.scene.curl(&arguments);
        if !output.status.success() {
            return REFUSED.to_owned();
        }
        *self.answered.entry(phase).or_default() += 1;
        output.stdout
    }
}

fn live_of(row: &Row, [plain, secure]: [u16; 2]) -> u16 {
    match row.servers {
        "https" => secure,
        _ => plain,
    }
}

fn dynamic(ports: &[(u16, &Row)], of: impl Fn(&Row) -> Vec<u16>, login: u16) -> String {
    let (mut routers, mut middlewares, mut services) = <(String, String, String)>::default();
    for (_, row) in ports {
        let Row {
            name,
            rule,
            router,
            service,
            above,
            ..
        } = row;
        let called: Vec<String> = (0..row.middlewares.len())
            .map(|nth| format!("{name}-{nth}"))
            .collect();
        let asked = if above.is_empty() {
            (*name).to_owned()
        } else {
            format!("{name}-above")
        };
        routers += &format!(
            "    {name}: {{ rule: \"{rule}\", service: {asked}, entryPoints: [{name}], middlewares: [{}]{router} }}\n",
            called.join(", ")
        );
        for (name, text) in called.iter().zip(row.middlewares) {
            middlewares += &format!("    {name}: {text}\n");
        }
        let servers = servers(row.servers, &of(row));
        services += &format!("    {name}: {{ loadBalancer: {{ {servers}{service} }} }}\n");
        if !above.is_empty() {
            services += &format!("    {asked}: {above}\n");
        }
    }
    let beside = servers("http", &[login]);
    format!(
        "http:
  routers:
{routers}  middlewares:
{middlewares}  services:
{services}    copies: {{ loadBalancer: {{ {beside} }} }}
    pages: {{ loadBalancer: {{ {beside} }} }}
  serversTransports:
    own: {{ serverName: s.example, rootCAs: [ca.pem], certificates: [{{ certFile: good.pem, keyFile: good.key }}] }}
    believing: {{ serverName: s.example, rootCAs: [stranger.pem] }}
tls:
  certificates: [{{ certFile: server.pem, keyFile: server.key }}]
  options:
    mutual: {{ clientAuth: {{ caFiles: [ca.pem], clientAuthType: RequireAndVerifyClientCert }} }}
"
    )
    .replace("LOGIN", &login.to_string())
}

#[test]
fn policies_of_traefik_hold_over_a_retry_a_reload_and_dead_servers() {
    let mut table = Table::new();
    let dead = table.dead;
    let texts = [&[dead, 0][..], &[0, dead], &[dead]].map(|which| table.with(which));
    let policies = table.ports.iter().map(|(port, row)| Policy {
        name: row.name,
        port: *port,
        asks: row.asks,
        retried: row.retried,
    });
    let policies: Vec<Policy> = policies.collect();
    hold(&mut table, &policies, &texts, "");
    // Copies were made of each, also of those that nobody served.
    let copied =
        "portway_listener_mirrored_requests_total{listener=\"mirroring\",result=\"answered\"}";
    eventually("copies", || (table.it.metric(copied) >= 4).then_some(()));
    // Each request stands in the log once.
    eventually("all records", || {
        let log = table.it.scene.read("access.log");
        let records = log.lines().map(|line| {
            let record: serde_json::Value = serde_json::from_str(line).ok()?;
            Some(record["user_agent"].as_str()?.to_owned())
        });
        let records: Vec<String> = records.flatten().collect();
        let count = |phase: &str| records.iter().filter(|it| **it == phase).count();
        let mut all = table.answered.iter();
        all.all(|(phase, answered)| count(phase) == *answered)
            .then_some(())
    });
    // And once among the spans.
    let all: usize = table.answered.values().sum();
    let spans = eventually("all spans", || {
        let spans = table.collector.spans();
        (spans.len() >= all).then_some(spans)
    });
    let of_wrr =
        |span: &&serde_json::Value| attribute(span, "portway.target_group")["stringValue"] == "wrr";
    assert!(spans.iter().filter(of_wrr).count() >= 4);
    table.it.portway.stop();
}
