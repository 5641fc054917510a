//! Connections are told apart by the name and the protocols that a client offers (SNI, ALPN), while TLS passes through; streams that
//! are open go on whatever becomes of their route.

use crate::stage::{group, own_certificate};
use crate::support::{PORTWAY, Process, Scene, eventually, free_port, local};
use crate::talker::Talker;

/// Targets by name: connections for `s.example`, those that offer `h2`, those that offer `acme-tls/1`, and all others.
const NAMES: [&str; 4] = ["named", "two", "acme", "other"];

/// Ports by name.
type Targets = [Vec<u16>; 4];
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
        + &rule("when = 'hello_sni == `s.example` ignoring_case'\n", "named")
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
        "defaults\n mode tcp\n timeout connect 2s\n timeout client 1h\n timeout server 1h\n retries 2\n \
         option redispatch 1\nfrontend edge\n bind 127.0.0.1:{edge}\n tcp-request inspect-delay 9s\n \
         tcp-request content accept if {{ req.ssl_hello_type 1 }}\n use_backend named if {{ req.ssl_sni -i s.example }}\n \
         use_backend acme if {{ req.ssl_alpn acme-tls/1 }}\n \
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
            "    {name}: {{ rule: \"{rule}\", service: {name}, tls: {{ passthrough: true }} }}\n"
        )
    };
    let mut text = "tcp:\n  routers:\n".to_owned()
        + &router("named", "HostSNI(`s.example`)").replace("service", "priority: 99, service")
        + &router("acme", "HostSNI(`*`) && ALPN(`acme-tls/1`)")
        + &router("two", "HostSNI(`*`) && ALPN(`h2`)")
        + &router("other", "HostSNI(`*`)")
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

/// Servers of TLS: each answers whatever comes with its name and the protocol that was agreed on.
const SERVERS: &str = r#"
import socket, ssl, sys, threading
def one(context, name, c):
    try:
        c = context.wrap_socket(c, server_side=True)
        while c.recv(4096):
            c.sendall(('%s %s\n' % (name, c.selected_alpn_protocol())).encode())
    except OSError: pass
def serve(name, port, protocols):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(name + '.pem', name + '.key')
    if protocols: context.set_alpn_protocols([protocols])
    s = socket.create_server(('127.0.0.1', int(port)), backlog=99)
    while True: threading.Thread(target=one, args=(context, name, s.accept()[0]), daemon=True).start()
threads = [threading.Thread(target=serve, args=it.split('=')) for it in sys.argv[1:]]
for it in threads: it.start()
"#;

/// A client with many streams. `open NAME SNI ALPN` opens one and asks on it, `ask NAME` asks on one that is open, `who NAME SNI ALPN`
/// opens one that ends then; the answer is that of the server, behind the name of its certificate.
const CLIENT: &str = r#"
import socket, ssl, sys
streams = {}
def opened(sni, alpn):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations('all.pem')
    if alpn != '-': context.set_alpn_protocols(alpn.split(','))
    c = socket.create_connection(('127.0.0.1', int(sys.argv[1])), 60)
    return context.wrap_socket(c, server_hostname=sni)
for line in sys.stdin:
    word, name, *more = line.split()
    try:
        if word != 'ask': streams[name] = opened(*more)
        c = streams[name]
        c.sendall(b'who\n')
        subject = c.getpeercert()['subject'][0][0][1]
        print(subject, c.recv(4096).decode().strip() or '-', flush=True)
        if word == 'who': streams.pop(name).close()
    except OSError: print('-', flush=True)
"#;

fn servers(scene: &Scene, ports: [u16; 4]) -> Process {
    let protocols = ["", "h2", "acme-tls/1", ""];
    let mut words = vec!["-u".to_owned(), "servers.py".to_owned()];
    let mut all = String::new();
    for ((name, port), protocol) in NAMES.iter().zip(ports).zip(protocols) {
        own_certificate(scene, name, name);
        all += &scene.read(&format!("{name}.pem"));
        words.push(format!("{name}={port}={protocol}"));
    }
    scene.file("all.pem", all);
    scene.file("servers.py", SERVERS);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut process = scene.spawn("python3", &words);
    for port in ports {
        process.wait_for(local(port));
    }
    process
}

/// Clients of an edge.
struct Clients(Talker);

impl Clients {
    /// Who serves a new stream of a client that offers this. With a name it stays open.
    fn new_stream(&mut self, name: Option<&str>, (sni, offered): (&str, &str)) -> String {
        let (word, name) = name.map_or(("who", "once"), |name| ("open", name));
        let offered = if offered.is_empty() { "-" } else { offered };
        self.0.say(&format!("{word} {name} {sni} {offered}"))
    }

    fn who(&mut self, offers: (&str, &str)) -> String {
        self.new_stream(None, offers)
    }

    fn ask(&mut self, name: &str) -> String {
        self.0.say(&format!("ask {name}"))
    }
}

/// What a server is heard to say.
fn said(name: &str) -> String {
    let protocol = match name {
        "two" => "h2",
        "acme" => "acme-tls/1",
        _ => "None",
    };
    format!("{name} {name} {protocol}")
}

fn told_apart(dialect: &Dialect) {
    let scene = Scene::new();
    let [edge, dead] = [(); 2].map(|()| free_port());
    let ports = [(); 4].map(|()| free_port());
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
    scene.file("client.py", CLIENT);
    let script = ["-u", "client.py", &edge.to_string()];
    let mut clients = Clients(Talker::start(scene.command("python3", &script)));
    let second = match dialect.first_only {
        true => "other",
        false => "two",
    };
    let offers = [
        (("a.example", "h2,http/1.1"), "two"),
        (("a.example", "acme-tls/1"), "acme"),
        (("a.example", "http/1.1"), "other"),
        (("a.example", "xh2,h2x"), "other"),
        (("a.example", ""), "other"),
        (("a.example", "http/1.1,h2"), second),
        (("s.example", ""), "named"),
        (("S.example", "http/1.1"), "named"),
        (("t.s.example", ""), "other"),
    ];
    let streams: Vec<(String, &str)> = (0..offers.len())
        .map(|place| (format!("stream-{place}"), offers[place].1))
        .collect();
    for ((name, expected), (offered, _)) in streams.iter().zip(offers) {
        let found = clients.new_stream(Some(name), offered);
        assert_eq!(found, said(expected), "{offered:?}");
    }
    // Streams that are open go on; new ones go where their offers lead.
    let all = |clients: &mut Clients, what: &str, route: fn(&str) -> &str| {
        for (name, expected) in &streams {
            assert_eq!(clients.ask(name), said(expected), "{what}: {name}");
        }
        for (offered, expected) in offers {
            let found = clients.who(offered);
            assert_eq!(found, said(route(expected)), "{what}: {offered:?}");
        }
    };
    all(&mut clients, "at first", |it| it);
    // A dead one beside each.
    becomes(&ports.map(|port| vec![dead, port]));
    if dialect.retries {
        all(&mut clients, "with dead targets", |it| it);
        all(&mut clients, "with dead targets again", |it| it);
    } else {
        for (offered, expected) in offers {
            let found: Vec<_> = (0..4).map(|_| clients.who(offered)).collect();
            let of = |name: &str| found.iter().filter(|it| **it == name).count();
            assert!(of(&said(expected)) > 0, "{offered:?}: {found:?}");
            assert_eq!(of(&said(expected)) + of("-"), 4, "{offered:?}: {found:?}");
        }
    }
    // Where all that would take it are dead, nobody else does.
    let [named, two, acme, other] = ports;
    becomes(&[vec![named], vec![dead], vec![acme], vec![other]]);
    assert_eq!(clients.who(("a.example", "h2,http/1.1")), "-");
    assert_eq!(clients.who(("a.example", "acme-tls/1")), said("acme"));
    assert_eq!(clients.who(("s.example", "")), said("named"));
    // Others take new streams from now on, and those that are open stay where they are.
    becomes(&[vec![other], vec![two], vec![acme], vec![named]]);
    all(&mut clients, "after a change", |it| match it {
        "named" => "other",
        "other" => "named",
        other => other,
    });
    becomes(&ports.map(|port| vec![port]));
    all(&mut clients, "at last", |it| it);
    drop(clients);
    let open = "portway_listener_connections_open{listener=\"";
    eventually("all streams are over", || {
        let url = format!("http://{}/metrics", portway.admin);
        let text = scene.curl(&["-s", &url]).good();
        let mut lines = text.lines().filter(|it| it.starts_with(open));
        lines.all(|it| it.ends_with(" 0")).then_some(())
    });
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
