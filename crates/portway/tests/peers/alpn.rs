//! Connections are told apart by the protocols that a client offers (ALPN), while TLS passes through.

use crate::certificates::handshake;
use crate::stage::{group, own_certificate};
use crate::support::{PORTWAY, Process, Scene, free_port};

/// Targets by name: connections that offer `h2`, those that offer `acme-tls/1`, and all others.
const NAMES: [&str; 3] = ["two", "acme", "other"];

/// Ports by name.
type Targets = [Vec<u16>; 3];
/// Files by name.
type Files = Vec<(&'static str, String)>;

/// A way to say it.
struct Dialect {
    /// The file that Portway runs.
    file: &'static str,
    /// The files of an edge at this port with these targets.
    files: fn(u16, &Targets) -> Files,
    /// Only what a client offers first counts.
    first_only: bool,
    /// A target that refuses has another one tried.
    retries: bool,
}

fn native(edge: u16, targets: &Targets) -> Files {
    let rule = |condition: &str, name: &str| {
        format!("[[listener.edge.rule]]\nphase = 'client_hello'\n{condition}forward = '{name}'\n")
    };
    let offers = |protocol: &str| format!("when = 'hello_alpn =~ `(^|,){protocol}(,|$)`'\n");
    let mut text = format!("[listener.edge]\nbind = '127.0.0.1:{edge}'\nprotocol = 'tcp'\n")
        + &rule(&offers("acme-tls/1"), "acme")
        + &rule(&offers("h2"), "two")
        + &rule("", "other");
    for (name, ports) in NAMES.iter().zip(targets) {
        text += &group(name, ports);
        text += "protocol = 'tcp'\nretries = 2\n";
    }
    vec![("web.toml", text)]
}

fn haproxy(edge: u16, targets: &Targets) -> Files {
    let mut text = format!(
        "defaults\n mode tcp\n timeout connect 2s\n timeout client 9s\n timeout server 9s\n retries 2\n \
         option redispatch 1\nfrontend edge\n bind 127.0.0.1:{edge}\n tcp-request inspect-delay 9s\n \
         tcp-request content accept if {{ req.ssl_hello_type 1 }}\n use_backend acme if {{ req.ssl_alpn acme-tls/1 }}\n \
         use_backend two if {{ req.ssl_alpn h2 }}\n default_backend other\n"
    );
    for (name, ports) in NAMES.iter().zip(targets) {
        text += &format!("backend {name}\n");
        for (place, port) in ports.iter().enumerate() {
            text += &format!(" server s{place} 127.0.0.1:{port}\n");
        }
    }
    vec![("haproxy.cfg", text)]
}

fn traefik(edge: u16, targets: &Targets) -> Files {
    let fixed = format!(
        "entryPoints: {{ edge: {{ address: '127.0.0.1:{edge}' }} }}\nproviders: {{ file: {{ filename: dynamic.yml }} }}\n"
    );
    let router = |name: &str, rule: &str| {
        format!(
            "    {name}: {{ rule: \"HostSNI(`*`){rule}\", service: {name}, tls: {{ passthrough: true }} }}\n"
        )
    };
    let mut text = "tcp:\n  routers:\n".to_owned()
        + &router("acme", " && ALPN(`acme-tls/1`)")
        + &router("two", " && ALPN(`h2`)")
        + &router("other", "")
        + "  services:\n";
    for (name, ports) in NAMES.iter().zip(targets) {
        let servers = ports
            .iter()
            .map(|port| format!("{{ address: '127.0.0.1:{port}' }}"));
        let servers: Vec<String> = servers.collect();
        text += &format!(
            "    {name}: {{ loadBalancer: {{ servers: [{}] }} }}\n",
            servers.join(", ")
        );
    }
    vec![("dynamic.yml", text), ("traefik.yml", fixed)]
}

/// Servers of TLS that show a certificate with their name.
fn servers(scene: &Scene, ports: [u16; 3]) -> Vec<Process> {
    let serve = |(name, port): (&str, u16)| {
        own_certificate(scene, name, name);
        let (certificate, key) = (format!("{name}.pem"), format!("{name}.key"));
        let at = format!("127.0.0.1:{port}");
        let own = ["s_server", "-www", "-accept", &at];
        let shown = ["-cert", &certificate, "-key", &key];
        let speaks: &[&str] = match name {
            "two" => &["-alpn", "h2"],
            "acme" => &["-alpn", "acme-tls/1"],
            _ => &[],
        };
        scene.serve(port, "openssl", &[&own[..], &shown, speaks].concat())
    };
    NAMES.into_iter().zip(ports).map(serve).collect()
}

/// Who answers a client that offers these protocols.
fn who(scene: &Scene, edge: u16, offered: &str) -> Option<&'static str> {
    let offer = ["-alpn", offered];
    let shown = match offered {
        "" => handshake(scene, edge, &[]),
        _ => handshake(scene, edge, &offer),
    };
    let is_shown = |name: &&str| shown.contains(&format!("subject=CN={name}"));
    let found = NAMES.into_iter().find(is_shown);
    if let Some("two" | "acme") = found {
        assert!(shown.contains("ALPN protocol: "), "{shown}");
    }
    found
}

fn told_apart(dialect: &Dialect) {
    let scene = Scene::new();
    let [edge, dead] = [(); 2].map(|()| free_port());
    let ports = [(); 3].map(|()| free_port());
    let _servers = servers(&scene, ports);
    let write = |targets: &Targets| {
        for (name, text) in (dialect.files)(edge, targets) {
            scene.file(name, text);
        }
    };
    write(&ports.map(|port| vec![port]));
    let portway = scene.portway_with(&[dialect.file]);
    let becomes = |targets: &Targets| {
        write(targets);
        scene
            .run(PORTWAY, &["reload", "--admin", &portway.admin])
            .good();
    };
    let second = match dialect.first_only {
        true => "other",
        false => "two",
    };
    let offers = [
        ("h2,http/1.1", "two"),
        ("acme-tls/1", "acme"),
        ("http/1.1", "other"),
        ("xh2,h2x", "other"),
        ("", "other"),
        ("http/1.1,h2", second),
    ];
    let all = |what: &str| {
        for (offered, expected) in offers {
            let found = who(&scene, edge, offered);
            assert_eq!(found, Some(expected), "{what}: {offered}");
        }
    };
    all("at first");
    // A dead one beside each.
    becomes(&ports.map(|port| vec![dead, port]));
    if dialect.retries {
        all("with dead targets");
        all("with dead targets again");
    } else {
        for (offered, expected) in offers {
            let found: Vec<_> = (0..4).filter_map(|_| who(&scene, edge, offered)).collect();
            assert!(!found.is_empty(), "{offered}");
            assert!(
                found.iter().all(|it| *it == expected),
                "{offered}: {found:?}"
            );
        }
    }
    // Where all that would take it are dead, nobody else does.
    let [_, acme, other] = ports;
    becomes(&[vec![dead], vec![acme], vec![other]]);
    assert_eq!(who(&scene, edge, "h2,http/1.1"), None);
    assert_eq!(who(&scene, edge, "acme-tls/1"), Some("acme"));
    assert_eq!(who(&scene, edge, ""), Some("other"));
    becomes(&ports.map(|port| vec![port]));
    all("at last");
    portway.stop();
}

#[test]
fn alpn_chooses_the_target_natively() {
    told_apart(&Dialect {
        file: "web.toml",
        files: native,
        first_only: false,
        retries: true,
    });
}

#[test]
fn alpn_chooses_the_target_as_haproxy_says() {
    told_apart(&Dialect {
        file: "haproxy.cfg",
        files: haproxy,
        first_only: true,
        retries: true,
    });
}

#[test]
fn alpn_chooses_the_target_as_traefik_says() {
    told_apart(&Dialect {
        file: "traefik.yml",
        files: traefik,
        first_only: false,
        retries: false,
    });
}
