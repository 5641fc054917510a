//! HTTP/2 from its preface on, where it is allowed; what listeners of each dialect speak; and what their limits are.

use std::fs;
use std::os::unix::fs::symlink;

use crate::echo::Echo;
use crate::http2::{frames, frames_in_clear, scene};
use crate::stage::Stage;
use crate::support::{PORTWAY, Scene, eventually, free_port, local};

/// What curl says of a request in this version, at this port with or without TLS.
fn asked(scene: &Scene, version: &str, port: u16, tls: bool) -> String {
    let scheme = if tls { "https" } else { "http" };
    let name = format!("{scheme}://a.example:{port}/bytes/5");
    let way = format!("a.example:{port}:127.0.0.1");
    let form = "%{http_version} %{http_code}";
    let arguments = ["-sk", "-m", "10", version, "--resolve", &way, "-w", form];
    let output = scene.curl(&[&arguments[..], &["-o", "/dev/null", &name]].concat());
    output.stdout.trim().to_owned()
}

const H1: &str = "--http1.1";
const H2: &str = "--http2";
const PRIOR: &str = "--http2-prior-knowledge";

#[test]
fn a_listener_says_who_may_begin_with_http2() {
    let app = Echo::start("app");
    let ports = [(); 3].map(|()| free_port());
    let said = ["refused", "optional", "required"];
    let mut text = "[process]\nworkers = 1\n".to_owned();
    for (word, port) in said.iter().zip(ports) {
        text += &format!(
            "[listener.{word}]\nbind = \"127.0.0.1:{port}\"\nforward = \"app\"\n\
             timeouts = {{ request_head = \"3s\", keep_alive = \"1h\" }}\n\
             http2 = {{ prior_knowledge = \"{word}\" }}\naccess_log = {{ to = [\"file:{word}.log\"] }}\n"
        );
    }
    text += &format!(
        "[target_group.app]\ntargets = [\"127.0.0.1:{}\"]\n",
        app.port
    );
    let stage = Stage::with(scene(), &text, &[]);
    let scene = &stage.scene;
    let [refused, optional, required] = ports;
    let rows = [
        (optional, PRIOR, "2 200"),
        (optional, H1, "1.1 200"),
        // What asks for an upgrade goes on in HTTP/1.1 (RFC 9113 section 3.1).
        (optional, H2, "1.1 200"),
        (required, PRIOR, "2 200"),
        (refused, H1, "1.1 200"),
    ];
    for (port, version, expected) in rows {
        assert_eq!(asked(scene, version, port, false), expected, "{version}");
    }
    for (port, case, expected) in [
        (optional, "in_pieces", "200 5 end"),
        (required, "in_pieces", "200 5 end"),
        (optional, "later_preface", "HTTP/1.1 200, HTTP/1.1 505"),
        (refused, "later_preface", "HTTP/1.1 200, HTTP/1.1 505"),
        (optional, "silent_head", "closed"),
        (required, "silent_head", "closed"),
        (optional, "pings", "goaway 11"),
        (optional, "malformed", "None 0 reset 1"),
    ] {
        let came = frames_in_clear(scene, port, &[case]);
        assert!(came.starts_with(&format!("{case}: {expected}")), "{came}");
    }
    // Nobody else is served where it is required, and a refused preface leaves a record.
    assert!(!asked(scene, H1, required, false).ends_with("200"));
    asked(scene, PRIOR, refused, false);
    eventually("a record", || {
        let log = fs::read_to_string(scene.path("refused.log")).ok()?;
        log.contains("\"status\":505").then_some(())
    });
}

#[test]
fn limits_of_a_listener_are_told_and_kept() {
    let (app, port, clear) = (Echo::start("app"), free_port(), free_port());
    let own = "{ prior_knowledge = \"optional\", max_concurrent_streams = 7, initial_window = \"32KiB\", \
               max_window = \"64KiB\", connection_window = \"128KiB\", max_reset_rate = 1000, max_idle_frame_rate = 10 }";
    let text = format!(
        "[process]\nworkers = 1\n[certificate.site]\nfile = \"site-all.pem\"\n\
         [listener.web]\nbind = \"127.0.0.1:{port}\"\ncertificates = [\"site\"]\ntls = {{ alpn = [\"h2\"] }}\n\
         http2 = {own}\nforward = \"app\"\n\
         [listener.clear]\nbind = \"127.0.0.1:{clear}\"\nhttp2 = {own}\nforward = \"app\"\n\
         [target_group.app]\ntargets = [\"127.0.0.1:{}\"]\n",
        app.port
    );
    let stage = Stage::with(scene(), &text, &[]);
    let rows = [
        ("told", "streams 7, window 32768, more 65537"),
        ("resets", "goes on"),
        ("pings", "goaway 11"),
        ("in_pieces", "200 5 end"),
    ];
    for (case, expected) in rows {
        let expected = format!("{case}: {expected}");
        for came in [
            frames(&stage.scene, port, &[case]),
            frames_in_clear(&stage.scene, clear, &[case]),
        ] {
            assert!(came.starts_with(&expected), "{came}");
        }
    }
    // A reload changes what new connections are told.
    stage.becomes(&text.replace("max_concurrent_streams = 7", "max_concurrent_streams = 9"));
    let came = frames(&stage.scene, port, &["told"]);
    assert!(came.starts_with("told: streams 9,"), "{came}");
}

/// What a file of some dialect speaks at two ports, the second with TLS, and how many streams it takes there.
struct Row {
    name: &'static str,
    files: fn(u16, u16, u16) -> Vec<(&'static str, String)>,
    arguments: &'static [&'static str],
    /// In clear: with HTTP/1.1, and from the preface on. Over TLS: as agreed on, and with HTTP/2 wanted alone.
    spoken: [&'static str; 4],
    told: &'static str,
}

fn haproxy(clear: u16, tls: u16, target: u16) -> Vec<(&'static str, String)> {
    haproxy_with(clear, tls, target, "", "alpn h2,http/1.1")
}

fn haproxy_without(clear: u16, tls: u16, target: u16) -> Vec<(&'static str, String)> {
    haproxy_with(
        clear,
        tls,
        target,
        " option disable-h2-upgrade\n",
        "alpn http/1.1",
    )
}

fn haproxy_forced(clear: u16, tls: u16, target: u16) -> Vec<(&'static str, String)> {
    let of = haproxy_with(clear, tls, target, "", "proto h2");
    let clear = format!("127.0.0.1:{clear}");
    let forced = |text: String| text.replace(&clear, &format!("{clear} proto h2"));
    of.into_iter()
        .map(|(name, text)| (name, forced(text)))
        .collect()
}

fn haproxy_with(
    clear: u16,
    tls: u16,
    target: u16,
    more: &str,
    alpn: &str,
) -> Vec<(&'static str, String)> {
    let text = format!(
        "global\n tune.h2.max-concurrent-streams 33\n tune.h2.initial-window-size 20000\n\
         defaults\n mode http\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n\
         frontend web\n{more} bind 127.0.0.1:{clear}\n bind 127.0.0.1:{tls} ssl crt site-all.pem {alpn}\n\
         default_backend app\nbackend app\n server s 127.0.0.1:{target}\n"
    );
    vec![("haproxy.cfg", text)]
}

fn traefik(clear: u16, tls: u16, target: u16) -> Vec<(&'static str, String)> {
    let fixed = format!(
        "entryPoints:\n  clear: {{ address: '127.0.0.1:{clear}' }}\n  tls: {{ address: '127.0.0.1:{tls}', \
         http2: {{ maxConcurrentStreams: 33 }} }}\nproviders: {{ file: {{ filename: dynamic.yml }} }}\n"
    );
    let text = format!(
        "http:\n  routers:\n    a: {{ rule: 'PathPrefix(`/`)', entryPoints: [clear], service: app }}\n    \
         b: {{ rule: 'PathPrefix(`/`)', entryPoints: [tls], service: app, tls: {{}} }}\n  services:\n    app: {{ loadBalancer: \
         {{ servers: [{{ url: 'http://127.0.0.1:{target}' }}] }} }}\n\
         tls: {{ certificates: [{{ certFile: site.pem, keyFile: site.key }}] }}\n"
    );
    vec![("traefik.yml", fixed), ("dynamic.yml", text)]
}

fn traefik_without(clear: u16, tls: u16, target: u16) -> Vec<(&'static str, String)> {
    let mut files = traefik(clear, tls, target);
    for (name, text) in &mut files {
        if *name == "dynamic.yml" {
            *text = text.replace(
                "tls: { certificates",
                "tls: { options: { default: { alpnProtocols: [http/1.1] } }, certificates",
            );
        }
    }
    files
}

/// A template with a listener in clear and one over TLS.
fn cloudformation(clear: u16, tls: u16, _: u16) -> Vec<(&'static str, String)> {
    let listener = |name: &str, port: u16, more: &str| {
        format!(
            "  {name}:\n    Type: AWS::ElasticLoadBalancingV2::Listener\n    Properties:\n      LoadBalancerArn: !Ref Balancer\n      \
             Port: {port}\n{more}      DefaultActions: [{{Type: fixed-response, FixedResponseConfig: {{StatusCode: 200}}}}]\n"
        )
    };
    let text = "Resources:\n  Balancer:\n    Type: AWS::ElasticLoadBalancingV2::LoadBalancer\n    Properties: {}\n  Cert: \
                {Type: 'AWS::CertificateManager::Certificate', Properties: {DomainName: a.example}}\n"
        .to_owned()
        + &listener("Clear", clear, "      Protocol: HTTP\n")
        + &listener(
            "Secure",
            tls,
            "      Protocol: HTTPS\n      Certificates: [{CertificateArn: !Ref Cert}]\n",
        );
    vec![("template.yaml", text)]
}

fn cloudformation_without(clear: u16, tls: u16, target: u16) -> Vec<(&'static str, String)> {
    let off = "Properties: {LoadBalancerAttributes: [{Key: routing.http2.enabled, Value: 'false'}]}\n  Cert";
    let mut files = cloudformation(clear, tls, target);
    for (_, text) in &mut files {
        *text = text.replace("Properties: {}\n  Cert", off);
    }
    files
}

/// A Classic load balancer, which has no HTTP/2.
fn classic(clear: u16, tls: u16, target: u16) -> Vec<(&'static str, String)> {
    let text = format!(
        "Resources:\n  Cert: {{Type: 'AWS::CertificateManager::Certificate', Properties: {{DomainName: a.example}}}}\n  Flow:\n    \
         Type: AWS::ElasticLoadBalancing::LoadBalancer\n    Properties:\n      Instances: [127.0.0.1]\n      Listeners:\n        \
         - {{LoadBalancerPort: '{tls}', Protocol: HTTPS, InstancePort: '{target}', SSLCertificateId: !Ref Cert}}\n        \
         - {{LoadBalancerPort: '{clear}', Protocol: HTTP, InstancePort: '{target}'}}\n      \
         HealthCheck: {{Target: 'TCP:{target}', Interval: '5', Timeout: '2', HealthyThreshold: '2', UnhealthyThreshold: '2'}}\n"
    );
    vec![("template.yaml", text)]
}

const OF_TEMPLATE: &[&str] = &["template.yaml", "--certificate", "Cert=site-all.pem"];

const ROWS: &[Row] = &[
    Row {
        name: "cloudformation",
        files: cloudformation,
        arguments: OF_TEMPLATE,
        spoken: ["1.1 200", "", "2 200", "2 200"],
        told: "streams 128, window 65535,",
    },
    Row {
        name: "cloudformation, without",
        files: cloudformation_without,
        arguments: OF_TEMPLATE,
        spoken: ["1.1 200", "", "1.1 200", "1.1 200"],
        told: "",
    },
    Row {
        name: "classic",
        files: classic,
        arguments: OF_TEMPLATE,
        spoken: ["1.1 200", "", "1.1 200", "1.1 200"],
        told: "",
    },
    Row {
        name: "haproxy",
        files: haproxy,
        arguments: &["haproxy.cfg"],
        spoken: ["1.1 200", "2 200", "2 200", "2 200"],
        told: "streams 33, window 20000,",
    },
    Row {
        name: "haproxy, upgrades disabled",
        files: haproxy_without,
        arguments: &["haproxy.cfg"],
        spoken: ["1.1 200", "", "1.1 200", "1.1 200"],
        told: "",
    },
    Row {
        name: "haproxy, proto h2",
        files: haproxy_forced,
        arguments: &["haproxy.cfg"],
        spoken: ["", "2 200", "", "2 200"],
        told: "",
    },
    Row {
        name: "traefik",
        files: traefik,
        arguments: &["traefik.yml"],
        spoken: ["1.1 200", "2 200", "2 200", "2 200"],
        told: "streams 33, window 65535,",
    },
    Row {
        name: "traefik, without h2",
        files: traefik_without,
        arguments: &["traefik.yml"],
        spoken: ["1.1 200", "2 200", "1.1 200", "1.1 200"],
        told: "",
    },
];

#[test]
fn each_dialect_speaks_http2_as_its_own_program_does() {
    let app = Echo::start("app");
    for row in ROWS {
        let (clear, tls) = (free_port(), free_port());
        let scene = scene();
        for (name, text) in (row.files)(clear, tls, app.port) {
            scene.file(name, text);
        }
        let portway = scene.portway_with(row.arguments);
        let ways = [
            (H1, clear, false),
            (PRIOR, clear, false),
            (H2, tls, true),
            (PRIOR, tls, true),
        ];
        for ((version, port, over_tls), expected) in ways.into_iter().zip(row.spoken) {
            let came = asked(&scene, version, port, over_tls);
            let place = format!("{}, {version}, TLS {over_tls}: {came}", row.name);
            match expected {
                "" => assert!(!came.ends_with("200"), "{place}"),
                expected => assert_eq!(came, expected, "{place}"),
            }
        }
        if !row.told.is_empty() {
            let came = frames(&scene, tls, &["told"]);
            assert!(
                came.starts_with(&format!("told: {}", row.told)),
                "{}: {came}",
                row.name
            );
        }
        portway.stop();
    }
}

/// What rules, redirects and targets make of a request in HTTP/2: to HAProxy its target is a whole URL.
const URLS: &str = r#"
global
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
frontend web
  bind 127.0.0.1:${PORT}
  monitor-uri /monitor
  http-request deny if { path /deny }
  http-request redirect scheme https if { path_beg /scheme }
  http-request redirect prefix http://b.example if { path_beg /prefix }
  http-request redirect location "http://c.example%[url]" if { path_beg /location }
  http-request set-uri http://z.example/echo?v=1 if { path_beg /uri }
  http-request set-path /echo/%[path] if { path_beg /path }
  http-request set-query a=b if { path_beg /query }
  http-request return status 200 content-type text/plain lf-string "%HV %[req.ver] %[fc_http_major] %r|%HU|%HP|%HQ" if { path_beg /log }
  http-request return status 200 content-type text/plain lf-string "%[base]|%[url]|%[path]|%[pathq]|%[baseq]|%[url_param(q)]|%[urlp(q)]|%[hdr(host)]" if { path_beg /url }
  http-request return status 200 content-type text/plain lf-string "%[hdr(cookie)]|%[req.cook(b)]|%[req.cook_cnt()]|%[hdr_cnt(cookie)]" if { path_beg /cookies }
  http-request return status 200 content-type text/plain lf-string "%[capture.req.uri]|%[capture.req.ver]|%[capture.req.method]|%[http_first_req]|%[ssl_fc]|%[method]" if { path_beg /captured }
  http-request return status 200 content-type text/plain lf-string "%[path] %[url]" if { method OPTIONS } { hdr(host) here.example }
  http-request return status 200 content-type text/plain string "by url" if { url_beg http://u.example/ }
  http-request return status 200 content-type text/plain string "never" if { url_beg /never }
  default_backend app
backend app
  http-request set-header x-url %[url]
  http-request set-header x-path %[path]
  server a 127.0.0.1:${TARGET}
"#;

#[test]
fn targets_of_requests_are_whole_urls_as_in_haproxy() {
    let app = Echo::start("app");
    let scene = scene();
    scene.file("web.cfg", URLS);
    symlink(PORTWAY, scene.path("haproxy")).unwrap();
    let own = scene.path("haproxy").display().to_string();
    let sides = ["haproxy", &own].map(|program| {
        let port = free_port();
        let mut command = scene.command(program, &["-db", "-f", "web.cfg"]);
        command.env("PORT", port.to_string());
        command.env("TARGET", app.port.to_string());
        let mut process = scene.spawn_command(command);
        process.wait_for(local(port));
        (port, process)
    });
    let rows: &[(&str, &str, &[&str])] = &[
        ("/log/a?q=1", "a.example", &[]),
        ("/log/a", "a.example:80", &[]),
        ("/log/a?", "A.example:8080", &["-X", "PUT"]),
        ("/url?q=1&b", "a.example:80", &[]),
        ("/url/a%20b", "a.example:443", &[]),
        (
            "/cookies",
            "a.example",
            &["-H", "Cookie: a=1", "-H", "Cookie: b=2; c=3"],
        ),
        ("/captured?x", "a.example", &["-X", "POST"]),
        ("*", "here.example", &["-X", "OPTIONS"]),
        ("*", "a.example:80", &["-X", "OPTIONS"]),
        ("/scheme/a?q=1", "a.example:80", &[]),
        ("/prefix/a?q=1", "a.example", &[]),
        ("/location/a?q=1", "a.example", &[]),
        ("/uri?q=1", "a.example", &[]),
        ("/monitor", "a.example", &[]),
        ("/deny", "a.example", &[]),
        ("/x", "u.example", &[]),
        ("/never", "a.example", &[]),
        ("/status/404", "a.example", &[]),
    ];
    for (target, host, more) in rows {
        let [theirs, ours] = sides.each_ref().map(|(port, _)| {
            let url = format!("http://127.0.0.1:{port}/");
            let host = format!("Host: {host}");
            let all = ["-i", PRIOR, "--request-target", target, "-H", &host, &url];
            let answer = scene.curl(&[&all[..], more].concat()).good();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            let mut lines: Vec<&str> = head.lines().collect();
            lines.sort_unstable();
            format!("{}\n{body}", lines.join("\n"))
        });
        assert_eq!(ours, theirs, "{target} {host}");
    }
}
