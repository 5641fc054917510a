//! The deployment of `examples/codestream`, followed line by line with its own templates and the published ones, and tried
//! by its own scripts.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::certificates::handshake;
use crate::support::{PORTWAY, Portway, Process, Scene, free_offset};

/// The load balancer's name.
const BALANCER: &str = "codestream.example.com";
/// Where the host lives.
const HOST: &str = "127.0.0.20";
/// An address that the security group does not let in.
const OUTSIDER: &str = "127.0.0.30";
/// How curl ends when nothing comes.
const CURL_TIMEOUT: i32 = 28;
/// "It should take 30 seconds or so for the load balancer to see the targets as healthy."
const SOON: Duration = Duration::from_secs(30);
/// Reads two numbers of eight and 24 hexadecimal digits.
const ROOT: &str = "Root=1-";

fn example(file: &str) -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    workspace.join("examples/codestream").join(file)
}

/// A template, and how it calls what is to be filled in.
struct Template {
    path: PathBuf,
    https: bool,
    client_cidr: &'static str,
    host_ip: &'static str,
}

impl Template {
    fn own(https: bool) -> Self {
        Self {
            path: example(if https { "https.json" } else { "http.json" }),
            https,
            client_cidr: "clientCidr",
            host_ip: "hostIp",
        }
    }

    /// The published one; `None`, said so, where it is not at hand.
    fn published(https: bool) -> Option<Self> {
        let Some(root) = std::env::var_os("PORTWAY_SAMPLES") else {
            eprintln!("skipped: PORTWAY_SAMPLES is not set");
            return None;
        };
        let name = match https {
            true => "single-host-alb-secure.json",
            false => "single-host-alb-insecure.json",
        };
        Some(Self {
            path: Path::new(&root).join("deployments/codestream").join(name),
            https,
            client_cidr: "CodeStreamClientCidrBlock",
            host_ip: "CodeStreamHostOsIp",
        })
    }

    fn ports(&self) -> (u16, u16) {
        match self.https {
            true => (443, 12_443),
            false => (80, 12_080),
        }
    }

    fn scheme(&self) -> &'static str {
        if self.https { "https" } else { "http" }
    }

    /// What is filled in.
    fn filled(&self) -> Vec<String> {
        let mut filled = vec![
            "vpcId=vpc-1".to_owned(),
            "publicSubnetIdA=subnet-a".to_owned(),
            "publicSubnetIdB=subnet-b".to_owned(),
            format!("{}=127.0.0.1/32", self.client_cidr),
            format!("{}={HOST}", self.host_ip),
        ];
        if self.https {
            filled.push("sslCertArn=@balancer.crt,balancer.key".to_owned());
        }
        filled
    }
}

/// Portway on a template before a host.
struct Deployment {
    scene: Scene,
    template: Template,
    portway: Portway,
    _host: Process,
    offset: u16,
    api: SocketAddr,
    broadcaster: SocketAddr,
}

impl Deployment {
    fn new(template: Template) -> Self {
        let scene = Scene::new();
        let (api, broadcaster) = template.ports();
        let offset = free_offset(&[api, broadcaster, api + 1, broadcaster + 1]);
        let at = |port: u16| SocketAddr::new(HOST.parse().unwrap(), offset + port + 1);
        let (api, broadcaster) = (at(api), at(broadcaster));
        for (name, file) in [("host.internal", "host"), (BALANCER, "balancer")] {
            let (certificate, key) = (format!("{file}.crt"), format!("{file}.key"));
            let out = ["--out-cert", &certificate, "--out-key", &key];
            let all = [&["cert", "self-signed", name], &out[..]].concat();
            scene.run(PORTWAY, &all).good();
        }
        let script = example("host.py").display().to_string();
        let ports = [api.port().to_string(), broadcaster.port().to_string()];
        let mut arguments = vec!["-u", &script, HOST, &ports[0], &ports[1]];
        if template.https {
            arguments.extend(["host.crt", "host.key"]);
        }
        let mut host = scene.spawn("python3", &arguments);
        host.wait_for(api);
        host.wait_for(broadcaster);
        let arguments = [
            vec![template.path.display().to_string()],
            vec!["--port-offset".to_owned(), offset.to_string()],
            given("--set", template.filled()),
            given(
                "--target",
                vec![
                    format!("ApiTargets={api}"),
                    format!("BroadcasterTargets={broadcaster}"),
                ],
            ),
        ]
        .concat();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let portway = scene.portway_with(&arguments);
        Self {
            scene,
            template,
            portway,
            _host: host,
            offset,
            api,
            broadcaster,
        }
    }

    fn api_port(&self) -> u16 {
        self.offset + self.template.ports().0
    }

    fn broadcaster_port(&self) -> u16 {
        self.offset + self.template.ports().1
    }

    /// What a client gets that knows the load balancer by its name and trusts its certificate.
    fn ask(&self, port: u16, path: &str, arguments: &[&str]) -> crate::support::Output {
        let resolve = format!("{BALANCER}:{port}:127.0.0.1");
        let url = format!("{}://{BALANCER}:{port}{path}", self.template.scheme());
        let all = [
            &[
                "-f",
                "--cacert",
                "balancer.crt",
                "--resolve",
                &resolve,
                &url,
            ],
            arguments,
        ]
        .concat();
        self.scene.curl(&all)
    }

    fn told(&self, arguments: &[&str]) -> String {
        let path = "/no-auth/provider-token/github";
        self.ask(self.api_port(), path, arguments).good()
    }
}

fn given(flag: &str, values: Vec<String>) -> Vec<String> {
    let pairs = values.into_iter();
    pairs.flat_map(|value| [flag.to_owned(), value]).collect()
}

/// The document, from its beginning to its end.
fn follow(template: Template) {
    what_is_not_filled_in_is_named(&template);
    let begun = Instant::now();
    let deployment = Deployment::new(template);
    let portway = &deployment.portway;
    portway.wait_for_health("ApiTargets", deployment.api, "healthy");
    portway.wait_for_health("BroadcasterTargets", deployment.broadcaster, "healthy");
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());

    for port in [deployment.api_port(), deployment.broadcaster_port()] {
        let status = deployment.ask(port, "/no-auth/status", &[]).good();
        assert_eq!(status, "OK");
    }
    it_is_explained(&deployment);
    the_host_knows_its_client(&deployment);
    requests_can_be_followed(&deployment);
    the_security_group_filters(&deployment);
    a_web_socket_passes(&deployment);
    if deployment.template.https {
        let shown = handshake(
            &deployment.scene,
            deployment.api_port(),
            &["-servername", BALANCER],
        );
        let certificate = deployment.scene.read("balancer.crt");
        assert!(shown.contains(certificate.trim()), "{shown}");
    }
    tags_are_shown(&deployment);
    let https = deployment.template.https;
    let log = deployment.portway.stop();
    let reduced = "TLSv1 (too old)";
    assert_eq!(log.contains(reduced), https, "{log}");
}

/// What is said of a request is where those go that were made.
fn it_is_explained(deployment: &Deployment) {
    let scheme = deployment.template.scheme();
    let told = |port: u16, from: &str| {
        let url = format!("{scheme}://{BALANCER}:{port}/no-auth/status");
        let admin = deployment.portway.admin.as_str();
        let words = [
            "explain", "--admin", admin, "--from", from, "--json", "--", &url,
        ];
        let told = deployment.scene.run(PORTWAY, &words).good();
        serde_json::from_str::<serde_json::Value>(&told).unwrap()
    };
    for (port, group, target) in [
        (deployment.api_port(), "ApiTargets", deployment.api),
        (
            deployment.broadcaster_port(),
            "BroadcasterTargets",
            deployment.broadcaster,
        ),
    ] {
        let it = told(port, "127.0.0.1");
        assert_eq!(it["target_group"]["name"], group, "{it:#}");
        assert_eq!(it["end"]["address"], target.to_string(), "{it:#}");
        let outside = told(port, OUTSIDER);
        assert_eq!(outside["end"]["is"], "closed", "{outside:#}");
    }
}

/// The published template calls its target groups by a tag.
fn tags_are_shown(deployment: &Deployment) {
    let status = deployment.portway.status();
    let groups = status["target_groups"].as_array().unwrap();
    let names = groups.iter().map(|group| group["tags"]["Name"].as_str());
    let names: Vec<&str> = names.flatten().collect();
    assert_eq!(names.len(), 2, "{status}");
    assert!(
        names.iter().all(|name| name.starts_with("codestream")),
        "{status}"
    );
    let listeners = status["listeners"].as_array().unwrap();
    assert!(
        listeners.iter().all(|it| it["tags"]["Name"].is_string()),
        "{status}"
    );
}

fn what_is_not_filled_in_is_named(template: &Template) {
    let scene = Scene::new();
    let path = template.path.display().to_string();
    let output = scene.run(PORTWAY, &["check", "--short", &path]);
    assert!(!output.status.success(), "{output}");
    for filled in template.filled() {
        let (name, _) = filled.split_once('=').unwrap();
        let message = format!("error[P0104]: `{{{{ {name} }}}}` is not filled in");
        let line = output.stdout.lines().find(|line| line.contains(&message));
        let line = line.unwrap_or_else(|| panic!("{name}: {output}"));
        assert!(line.starts_with(&format!("{path}:")), "{line}");
    }
}

fn the_host_knows_its_client(deployment: &Deployment) {
    let answer = deployment.told(&[]);
    let (port, scheme) = (deployment.api_port(), deployment.template.scheme());
    let expected = [
        // The listener is on 80 or 443 in the template, so the port is taken away.
        format!("Host: {BALANCER}\n"),
        "X-Forwarded-For: 127.0.0.1\n".to_owned(),
        format!("X-Forwarded-Proto: {scheme}\n"),
        format!("X-Forwarded-Port: {port}\n"),
    ];
    for line in expected {
        assert!(answer.contains(&line), "{line} is not in {answer}");
    }
    let behind_a_proxy = deployment.told(&["-H", "X-Forwarded-For: 192.0.2.7"]);
    let appended = "X-Forwarded-For: 192.0.2.7, 127.0.0.1\n";
    assert!(behind_a_proxy.contains(appended), "{behind_a_proxy}");
    // The broadcaster's port is none of the usual: it is put where it is missing, as the client came to it.
    let port = deployment.broadcaster_port();
    for (sent, expected) in [
        (BALANCER.to_owned(), format!("Host: {BALANCER}:{port}\n")),
        (
            "other.example:1234".to_owned(),
            "Host: other.example:1234\n".to_owned(),
        ),
    ] {
        let header = format!("Host: {sent}");
        let answer = deployment.ask(port, "/x", &["-H", &header]).good();
        assert!(answer.contains(&expected), "{expected} is not in {answer}");
    }
}

/// What the host sees of X-Amzn-Trace-Id.
fn trace(deployment: &Deployment, sent: Option<&str>) -> String {
    let header = sent.map(|sent| format!("X-Amzn-Trace-Id: {sent}"));
    let arguments: Vec<&str> = header.iter().flat_map(|it| ["-H", it]).collect();
    let answer = deployment.told(&arguments);
    let line = answer
        .lines()
        .find_map(|it| it.strip_prefix("X-Amzn-Trace-Id: "));
    line.unwrap().to_owned()
}

/// `1-`, eight and 24 hexadecimal digits; what stands behind it.
#[track_caller]
fn after_id(text: &str) -> &str {
    let digits = text.strip_prefix("1-").unwrap_or_else(|| panic!("{text}"));
    let (time, rest) = digits.split_at(8);
    let (chance, rest) = rest.strip_prefix('-').unwrap().split_at(24);
    let is_hex = |text: &str| {
        text.bytes()
            .all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'))
    };
    assert!(is_hex(time) && is_hex(chance), "{text}");
    rest
}

fn requests_can_be_followed(deployment: &Deployment) {
    let root = "1-67891233-abcdef012345678912345678";
    let made = trace(deployment, None);
    assert_eq!(after_id(made.strip_prefix("Root=").unwrap()), "");
    assert_ne!(made, trace(deployment, None));
    let own = trace(
        deployment,
        Some(&format!("{ROOT}67891233-abcdef012345678912345678;Job=a")),
    );
    let rest = after_id(own.strip_prefix("Self=").unwrap());
    assert_eq!(rest, format!(";Root={root};Job=a"));
    let renewed = trace(deployment, Some(&format!("Self={root};Root={root}")));
    let rest = after_id(renewed.strip_prefix("Self=").unwrap());
    assert_eq!(rest, format!(";Root={root}"));
    assert!(!renewed.starts_with(&format!("Self={root}")), "{renewed}");
    let long = trace(
        deployment,
        Some(&format!("Root={root};x={}", "y".repeat(8000))),
    );
    let rest = after_id(long.strip_prefix("Root=").unwrap());
    assert_eq!(rest, "");
}

fn the_security_group_filters(deployment: &Deployment) {
    for port in [deployment.api_port(), deployment.broadcaster_port()] {
        // The host's containers call back through the load balancer.
        let hairpin = deployment.ask(port, "/no-auth/status", &["--interface", HOST]);
        assert_eq!(hairpin.good(), "OK");
        // Who is outside hears nothing, as at AWS.
        let outsider = ["--interface", OUTSIDER, "--max-time", "1"];
        let outside = deployment.ask(port, "/no-auth/status", &outsider);
        assert_eq!(outside.status.code(), Some(CURL_TIMEOUT), "{outside}");
    }
}

fn a_web_socket_passes(deployment: &Deployment) {
    let script = example("websocket.py").display().to_string();
    let port = deployment.broadcaster_port().to_string();
    let mut arguments = vec![script.as_str(), BALANCER, &port, "hello there"];
    if deployment.template.https {
        arguments.push("balancer.crt");
    }
    let answer = deployment.scene.run("python3", &arguments).good();
    assert_eq!(answer, "hello there\n");
}

#[test]
fn over_http() {
    follow(Template::own(false));
}

#[test]
fn over_https() {
    follow(Template::own(true));
}

#[test]
fn the_published_templates() {
    for https in [false, true] {
        if let Some(template) = Template::published(https) {
            follow(template);
        }
    }
}

/// "You cannot use HTTPS between the CodeStream clients and the load balancer along with HTTP between the load balancer
/// and the services."
#[test]
fn https_before_http_is_found() {
    let scene = Scene::new();
    let out = ["--out-cert", "balancer.crt", "--out-key", "balancer.key"];
    let all = [&["cert", "self-signed", BALANCER], &out[..]].concat();
    scene.run(PORTWAY, &all).good();
    let template = Template::own(true);
    let text = std::fs::read_to_string(&template.path).unwrap();
    let mut given = given("--set", template.filled());
    given.extend(["--target".to_owned(), "ApiTargets=10.0.0.5".to_owned()]);
    given.extend([
        "--target".to_owned(),
        "BroadcasterTargets=10.0.0.5".to_owned(),
    ]);
    let given: Vec<&str> = given.iter().map(String::as_str).collect();
    let check = |text: &str| {
        scene.file("template.json", text);
        let own = ["check", "--short", "template.json"];
        scene.run(PORTWAY, &[&own, &given[..]].concat())
    };
    let mixed = "CodeStream does not allow";
    let good = check(&text);
    assert!(good.status.success(), "{good}");
    assert!(!good.both().contains(mixed), "{good}");
    // The first is the protocol of a target group.
    let changed = text.replacen("\"Protocol\": \"HTTPS\"", "\"Protocol\": \"HTTP\"", 1);
    let found = check(&changed).both();
    let line = found.lines().find(|line| line.contains(mixed)).unwrap();
    assert!(line.contains("warning[P0208]"), "{line}");
}
