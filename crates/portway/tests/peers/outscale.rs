//! SSL termination and SSL passthrough of `examples/outscale`, between real clients and real TLS servers.

use std::path::{Path, PathBuf};

use crate::certificates::{Issuer, Key, certificate, handshake, join};
use crate::support::{Process, Scene, free_port};

const NAME: &str = "www.example.com";
const OTHER: &str = "other.example.com";

fn example(file: &str) -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    workspace.join("examples/outscale").join(file)
}

/// A CA, and certificates of it: of the load balancer, of the instance for two names, and of a client.
fn make_certificates(scene: &Scene) {
    let by = Issuer::Signed("ca");
    certificate(scene, "ca", Key::Ecdsa, "Root", &[], Issuer::Own);
    certificate(scene, "balancer", Key::Rsa, "balancer", &[NAME], by);
    certificate(scene, "own", Key::Ecdsa, "instance", &[NAME], by);
    certificate(scene, "second", Key::Ecdsa, "second", &[OTHER], by);
    certificate(scene, "client", Key::Ecdsa, "a-client", &["client"], by);
    join(scene, "server.pem", &["balancer.pem", "balancer.key"]);
}

/// An instance with certificates of its own: tells what it knows of its client's TLS.
fn tls_instance(scene: &Scene, port: u16) -> Process {
    let block = |name: &str, files: &str| {
        format!(
            r#"server {{
    listen 127.0.0.1:{port} ssl http2;
    server_name {name};
    ssl_certificate {files}.pem;
    ssl_certificate_key {files}.key;
    ssl_client_certificate ca.pem;
    ssl_verify_client optional;
    location / {{
        return 200 "sni=$ssl_server_name\nalpn=$ssl_alpn_protocol\nclient=$ssl_client_s_dn\nverified=$ssl_client_verify\nproto=$http_x_forwarded_proto\n";
    }}
}}
"#
        )
    };
    let servers = format!("{}{}", block(NAME, "own"), block(OTHER, "second"));
    scene.nginx(port, &servers)
}

/// An instance without TLS: tells what it is told.
fn plain_instance(scene: &Scene, port: u16) -> Process {
    let block = format!(
        r#"server {{
    listen 127.0.0.1:{port};
    location / {{ return 200 "proto=$http_x_forwarded_proto\nport=$http_x_forwarded_port\n"; }}
}}
"#
    );
    scene.nginx(port, &block)
}

/// What curl gets of a name behind this port, trusting the CA.
fn ask(scene: &Scene, name: &str, port: u16, more: &[&str]) -> String {
    let resolve = format!("{name}:{port}:127.0.0.1");
    let url = format!("https://{name}:{port}/");
    let all = [
        &["-f", "--cacert", "ca.pem", "--resolve", &resolve, &url],
        more,
    ]
    .concat();
    scene.curl(&all).good()
}

#[test]
fn termination() {
    let scene = Scene::new();
    make_certificates(&scene);
    let [https, ssl, plain, target] = [(); 4].map(|()| free_port());
    let _instance = plain_instance(&scene, target);
    let portway = scene.portway(&format!(
        r#"[listener.web]
preset = {{ protocol = "HTTPS", port = {https}, instance_port = {target}, instances = "127.0.0.1" }}
certificate_files = ["server.pem"]
[listener.any]
preset = {{ protocol = "SSL", port = {ssl}, instance_protocol = "TCP", instance_port = {target}, instances = "127.0.0.1" }}
certificate_files = ["server.pem"]
[listener.plain]
preset = {{ protocol = "HTTP", port = {plain}, instance_port = {target}, instances = "127.0.0.1" }}
"#
    ));
    let answer = ask(&scene, NAME, https, &[]);
    assert_eq!(answer, format!("proto=https\nport={https}\n"));
    // What was within TLS passes without being read.
    assert_eq!(ask(&scene, NAME, ssl, &[]), "proto=\nport=\n");
    for port in [https, ssl] {
        let shown = handshake(&scene, port, &["-servername", NAME]);
        assert!(shown.contains("subject=CN=balancer"), "{shown}");
    }
    let url = format!("http://127.0.0.1:{plain}/");
    let answer = scene.curl(&["-f", &url]).good();
    assert_eq!(answer, format!("proto=http\nport={plain}\n"));
    portway.stop();
}

#[test]
fn passthrough() {
    let scene = Scene::new();
    make_certificates(&scene);
    let [port, target] = [(); 2].map(|()| free_port());
    let _instance = tls_instance(&scene, target);
    let portway = scene.portway(&format!(
        r#"[listener.web]
preset = {{ protocol = "TCP", port = {port}, instance_port = {target}, instances = "127.0.0.1" }}
"#
    ));
    // The certificate is the instance's, and the instance chooses it by the name that the client asks for.
    for (name, subject) in [(NAME, "instance"), (OTHER, "second")] {
        let shown = handshake(&scene, port, &["-servername", name]);
        assert!(
            shown.contains(&format!("subject=CN={subject}\n")),
            "{shown}"
        );
        let answer = ask(&scene, name, port, &["--http1.1"]);
        assert!(answer.contains(&format!("sni={name}\n")), "{answer}");
        assert!(answer.contains("alpn=http/1.1\n"), "{answer}");
        // Nothing is added to what is not read.
        assert!(answer.ends_with("proto=\n"), "{answer}");
    }
    // What client and instance agree on is theirs alone.
    for (offered, agreed) in [("h2,http/1.1", "h2"), ("http/1.1", "http/1.1")] {
        let shown = handshake(&scene, port, &["-servername", NAME, "-alpn", offered]);
        let line = format!("ALPN protocol: {agreed}\n");
        assert!(shown.contains(&line), "{shown}");
    }
    let old = handshake(&scene, port, &["-servername", NAME, "-tls1_2"]);
    assert!(old.contains("TLSv1.2"), "{old}");
    // A certificate of the client reaches the instance.
    let shown = ["--cert", "client.pem", "--key", "client.key"];
    let answer = ask(&scene, NAME, port, &shown);
    assert!(answer.contains("client=CN=a-client\n"), "{answer}");
    assert!(answer.contains("verified=SUCCESS\n"), "{answer}");
    let answer = ask(&scene, NAME, port, &[]);
    assert!(answer.contains("verified=NONE\n"), "{answer}");
    portway.stop();
}

#[test]
fn the_example_files_are_good() {
    let scene = Scene::new();
    make_certificates(&scene);
    for file in ["termination.toml", "passthrough.toml"] {
        let text = std::fs::read_to_string(example(file)).unwrap();
        let (good, said) = scene.check(&text);
        assert!(good && said.is_empty(), "{said}");
    }
}
