//! The deployment of `examples/flow-enterprise`, walked from its users' side and tried by its own scripts.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::certificates::{Issuer, Key, certificate, handshake, join, openssl};
use crate::support::{PORTWAY, Portway, Process, Scene, free_offset};

const HOST: &str = "flow.example.com";

/// Where the two instances live.
const INSTANCES: [&str; 2] = ["127.0.0.10", "127.0.0.11"];

fn example(file: &str) -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    workspace.join("examples/flow-enterprise").join(file)
}

/// Ports as `run.sh` of the example chooses them: Portway's own, and those of the instances.
#[derive(Clone, Copy)]
struct Ports {
    https: u16,
    console: u16,
    instance_http: u16,
    instance_console: u16,
}

impl Ports {
    fn new() -> Self {
        let offset = free_offset(&[80, 443, 8800, 8801]);
        Self {
            https: offset + 443,
            console: offset + 8800,
            instance_http: offset + 80,
            instance_console: offset + 8801,
        }
    }

    fn application(&self, instance: usize) -> SocketAddr {
        SocketAddr::new(INSTANCES[instance].parse().unwrap(), self.instance_http)
    }

    fn console(&self, instance: usize) -> SocketAddr {
        SocketAddr::new(INSTANCES[instance].parse().unwrap(), self.instance_console)
    }
}

/// The example's own file with other ports, other targets and quicker checks.
fn configuration(ports: Ports) -> String {
    let mut text = std::fs::read_to_string(example("portway.toml")).unwrap();
    let changes = [
        ("\":443\"".to_owned(), format!("\":{}\"", ports.https)),
        ("\":8800\"".to_owned(), format!("\":{}\"", ports.console)),
        (
            "10.0.0.10:80\"".to_owned(),
            format!("{}\"", ports.application(0)),
        ),
        (
            "10.0.0.11:80\"".to_owned(),
            format!("{}\"", ports.application(1)),
        ),
        (
            "10.0.0.10:8800\"".to_owned(),
            format!("{}\"", ports.console(0)),
        ),
        (
            "10.0.0.11:8800\"".to_owned(),
            format!("{}\"", ports.console(1)),
        ),
        (
            "port = 8800".to_owned(),
            format!("port = {}", ports.instance_console),
        ),
        (
            "interval = \"5s\"".to_owned(),
            "interval = \"200ms\"".to_owned(),
        ),
    ];
    for (from, to) in changes {
        assert!(text.contains(&from), "the example has no {from}");
        text = text.replace(&from, &to);
    }
    text
}

/// The application of an instance: answers who it is and what it was told.
fn application(scene: &Scene, ports: Ports, instance: usize) -> Process {
    let address = ports.application(instance);
    let block = format!(
        r#"server {{
    listen {address};
    location / {{
        return 200 "instance={instance}\nhost=$http_host\nproto=$http_x_forwarded_proto\nfor=$http_x_forwarded_for\nport=$http_x_forwarded_port\n";
    }}
}}"#
    );
    scene.nginx_at(address, &block)
}

/// The console of an instance, with a certificate of its own: answers the SNI that it was asked for.
fn console(scene: &Scene, ports: Ports, instance: usize) -> Process {
    let address = ports.console(instance);
    let block = format!(
        r#"server {{
    listen {address} ssl;
    ssl_certificate console-{instance}.pem;
    ssl_certificate_key console-{instance}.key;
    location / {{ return 200 "console={instance}\nsni=$ssl_server_name\n"; }}
}}"#
    );
    scene.nginx_at(address, &block)
}

fn make_certificates(scene: &Scene) {
    certificate(scene, "ca", Key::Ecdsa, "Root", &[], Issuer::Own);
    certificate(
        scene,
        "middle",
        Key::Ecdsa,
        "Intermediate",
        &[],
        Issuer::Signed("ca"),
    );
    certificate(
        scene,
        "flow",
        Key::Ecdsa,
        HOST,
        &[HOST],
        Issuer::Signed("middle"),
    );
    join(scene, "flow.pem", &["flow.pem", "middle.pem", "flow.key"]);
    for instance in 0..INSTANCES.len() {
        let (name, subject) = (format!("console-{instance}"), format!("own-{instance}"));
        certificate(scene, &name, Key::Ecdsa, &subject, &["kots"], Issuer::Own);
    }
}

/// What the application answers to a user of the FQDN, whose client trusts the CA.
fn ask(scene: &Scene, ports: Ports, arguments: &[&str]) -> String {
    let port = ports.https;
    let (resolve, url) = (
        format!("{HOST}:{port}:127.0.0.1"),
        format!("https://{HOST}:{port}/"),
    );
    let all = [
        &["-f", "--cacert", "ca.pem", "--resolve", &resolve, &url],
        arguments,
    ]
    .concat();
    scene.curl(&all).good()
}

/// What the console answers to a raw TLS client that asks for `name`.
fn ask_console(scene: &Scene, ports: Ports, name: &str) -> String {
    let place = format!("127.0.0.1:{}", ports.console);
    let request = format!("GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n");
    let client = [
        "s_client",
        "-quiet",
        "-connect",
        &place,
        "-servername",
        name,
    ];
    scene.run_with(&request, "openssl", &client).both()
}

/// Who serves twenty requests and ten consoles; none of them fails.
fn who_serves(scene: &Scene, ports: Ports) -> (Vec<usize>, Vec<usize>) {
    let seen = |answers: &[String], key: &str| -> Vec<usize> {
        let served = |instance: &usize| {
            let line = format!("{key}={instance}\n");
            answers.iter().any(|answer| answer.contains(&line))
        };
        (0..INSTANCES.len()).filter(served).collect()
    };
    let applications: Vec<String> = (0..20).map(|_| ask(scene, ports, &[])).collect();
    let consoles: Vec<String> = (0..10).map(|_| ask_console(scene, ports, "kots")).collect();
    assert!(
        consoles.iter().all(|it| it.contains("sni=kots")),
        "{consoles:?}"
    );
    (seen(&applications, "instance"), seen(&consoles, "console"))
}

fn wait_for_instance(
    portway: &Portway,
    ports: Ports,
    instance: usize,
    health: &str,
) -> [String; 2] {
    [
        portway.wait_for_health("application", ports.application(instance), health),
        portway.wait_for_health("admin-console", ports.console(instance), health),
    ]
}

#[test]
fn the_users_walk() {
    let scene = Scene::new();
    let ports = Ports::new();
    make_certificates(&scene);
    let _applications = [0, 1].map(|instance| application(&scene, ports, instance));
    let [_first, second] = [0, 1].map(|instance| console(&scene, ports, instance));
    let portway = scene.portway(&configuration(ports));
    for instance in [0, 1] {
        wait_for_instance(&portway, ports, instance, "healthy");
    }

    the_application_knows_its_user(&scene, ports);
    the_chain_is_right(&scene, ports);
    the_console_is_the_instance_s_own(&scene, ports);
    assert_eq!(who_serves(&scene, ports), (vec![0, 1], vec![0, 1]));

    drop(second);
    let reasons = wait_for_instance(&portway, ports, 1, "unhealthy");
    for reason in reasons {
        assert!(reason.contains("refused"), "{reason}");
    }
    assert_eq!(who_serves(&scene, ports), (vec![0], vec![0]));

    let _second = console(&scene, ports, 1);
    wait_for_instance(&portway, ports, 1, "healthy");
    assert_eq!(who_serves(&scene, ports), (vec![0, 1], vec![0, 1]));
    let log = portway.stop();
    assert!(!log.contains("warning["), "{log}");
}

fn the_application_knows_its_user(scene: &Scene, ports: Ports) {
    let answer = ask(scene, ports, &[]);
    let expected = [
        format!("host={HOST}:{}\n", ports.https),
        "proto=https\n".to_owned(),
        "for=127.0.0.1\n".to_owned(),
        format!("port={}\n", ports.https),
    ];
    for line in expected {
        assert!(answer.contains(&line), "{line} is not in {answer}");
    }
    let behind_a_proxy = ask(scene, ports, &["-H", "X-Forwarded-For: 192.0.2.7"]);
    assert!(
        behind_a_proxy.contains("for=192.0.2.7, 127.0.0.1\n"),
        "{behind_a_proxy}"
    );
}

fn the_chain_is_right(scene: &Scene, ports: Ports) {
    let verify = [
        "-CAfile",
        "ca.pem",
        "-verify_return_error",
        "-verify_hostname",
        HOST,
    ];
    let shown = handshake(
        scene,
        ports.https,
        &[&["-showcerts", "-servername", HOST], &verify[..]].concat(),
    );
    assert!(shown.contains("Verify return code: 0 (ok)"), "{shown}");
    assert!(shown.contains(&format!("subject=CN={HOST}")), "{shown}");
    assert_eq!(shown.matches("BEGIN CERTIFICATE").count(), 2, "{shown}");
}

fn the_console_is_the_instance_s_own(scene: &Scene, ports: Ports) {
    let shown = handshake(scene, ports.console, &["-servername", "kots"]);
    let own: Vec<String> = (0..INSTANCES.len())
        .map(|instance| scene.read(&format!("console-{instance}.pem")))
        .collect();
    assert!(own.iter().any(|pem| shown.contains(pem.trim())), "{shown}");
    let answer = ask_console(scene, ports, "kots.example.com");
    assert!(answer.contains("sni=kots.example.com\n"), "{answer}");
    // Old versions pass as well: nothing of the handshake is ours.
    let old = handshake(scene, ports.console, &["-tls1_2"]);
    assert!(
        old.contains("TLSv1.2") && old.contains("subject=CN=own-"),
        "{old}"
    );
}

#[test]
fn the_example_file_is_good() {
    let scene = Scene::new();
    make_certificates(&scene);
    let text = std::fs::read_to_string(example("portway.toml")).unwrap();
    let (good, said) = scene.check(&text);
    assert!(good && said.is_empty(), "{said}");
    let inspected = scene.run(PORTWAY, &["cert", "inspect", "flow.pem"]).good();
    assert!(inspected.contains(HOST), "{inspected}");
    assert!(openssl(&scene, &["version"]).starts_with("OpenSSL"));
}
