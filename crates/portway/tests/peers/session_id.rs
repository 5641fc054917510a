//! Clients that resume their TLS session reach the server that has it, although TLS is not ended here: real servers and
//! clients of OpenSSL, with HAProxy beside us.

use rustix::process::Signal;

use crate::stage::own_certificate;
use crate::support::{Process, Scene, eventually, free_port};

/// Two servers of TLS 1.2 that keep their sessions to themselves, by id.
struct Servers {
    scene: Scene,
    ports: [u16; 2],
    running: Vec<Process>,
}

impl Servers {
    fn new() -> Self {
        let scene = Scene::new();
        own_certificate(&scene, "own", "a.example");
        let ports = [free_port(), free_port()];
        let running = ports
            .iter()
            .map(|port| Self::server(&scene, *port))
            .collect();
        Self {
            scene,
            ports,
            running,
        }
    }

    fn server(scene: &Scene, port: u16) -> Process {
        let accept = port.to_string();
        let arguments = [
            "s_server",
            "-accept",
            &accept,
            "-cert",
            "own.pem",
            "-key",
            "own.key",
            "-tls1_2",
            "-no_ticket",
            "-www",
        ];
        scene.serve(port, "openssl", &arguments)
    }

    /// Connects to `port`; true where the session was resumed, `None` where there was no handshake. `file`: the session,
    /// which is kept there anew.
    fn resumed(&self, port: u16, file: &str) -> Option<bool> {
        let connect = format!("127.0.0.1:{port}");
        let mut arguments = vec!["s_client", "-connect", &connect, "-tls1_2", "-no_ticket"];
        if self.scene.path(file).exists() {
            arguments.extend(["-sess_in", file]);
        }
        arguments.extend(["-sess_out", file]);
        let said = self.scene.run_with("", "openssl", &arguments).both();
        let begins = |word: &str| said.lines().any(|line| line.starts_with(word));
        match (begins("Reused, TLSv1.2"), begins("New, TLSv1.2")) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        }
    }

    /// So many new sessions, each resumed three times.
    fn check_sessions(&self, port: u16, name: &str, count: u32) {
        for number in 0..count {
            let file = format!("{name}-{number}");
            assert_eq!(self.resumed(port, &file), Some(false), "{file}");
            for _ in 0..3 {
                assert_eq!(self.resumed(port, &file), Some(true), "{file}");
            }
        }
    }
}

fn haproxy_file(port: u16, servers: &[u16], more: &str) -> String {
    let servers: String = servers
        .iter()
        .map(|port| format!("    server s{port} 127.0.0.1:{port}\n"))
        .collect();
    format!(
        "defaults\n    mode tcp\n    timeout connect 5s\n    timeout client 20s\n    timeout server 20s\n    \
             retries 3\n    option redispatch 1\n\
         frontend f\n    bind 127.0.0.1:{port}\n    default_backend b\n\
         backend b\n    balance roundrobin\n    stick-table type binary len 32 size 10k expire 30m\n    \
             acl clienthello req_ssl_hello_type 1\n    acl serverhello rep_ssl_hello_type 2\n    \
             tcp-request inspect-delay 5s\n    tcp-request content accept if clienthello\n    \
             tcp-response inspect-delay 5s\n    tcp-response content accept if serverhello\n    \
             stick on payload_lv(43,1) if clienthello\n    stick store-response payload_lv(43,1) if serverhello\n\
             {more}{servers}"
    )
}

/// The configuration that the manual of HAProxy has for this, in both.
#[test]
fn sessions_are_resumed_where_they_are_as_with_haproxy() {
    let mut servers = Servers::new();
    let [ours, theirs, dead] = [free_port(), free_port(), free_port()];
    servers
        .scene
        .file("theirs.cfg", haproxy_file(theirs, &servers.ports, ""));
    servers
        .scene
        .file("ours.cfg", haproxy_file(ours, &servers.ports, ""));
    let _haproxy = servers
        .scene
        .serve(theirs, "haproxy", &["-db", "-f", "theirs.cfg"]);
    servers.check_sessions(theirs, "theirs", 4);
    let portway = servers.scene.portway_with(&["ours.cfg"]);
    servers.check_sessions(ours, "ours", 4);

    // Over a reload that adds a server where nobody is: who is led there is served by another, and that one remembered.
    let with_dead = [dead, servers.ports[0], servers.ports[1]];
    servers
        .scene
        .file("ours.cfg", haproxy_file(ours, &with_dead, ""));
    portway.process.signal(Signal::HUP);
    let name = format!("s{dead}");
    eventually("the new server is there", || {
        portway.status().to_string().contains(&name).then_some(())
    });
    for number in 0..4 {
        assert_eq!(servers.resumed(ours, &format!("ours-{number}")), Some(true));
    }
    servers.check_sessions(ours, "later", 12);

    // A server dies: those of its sessions are served by the other, by a new one.
    drop(servers.running.remove(0));
    let mut new = 0;
    for number in 0..12 {
        let file = format!("later-{number}");
        let first = servers.resumed(ours, &file);
        assert!(first.is_some(), "{file}");
        new += usize::from(first == Some(false));
        assert_eq!(servers.resumed(ours, &file), Some(true), "{file}");
    }
    assert!(
        (1..12).contains(&new),
        "{new} of 12 sessions were at the server that died"
    );
    portway.stop();
}

/// The same natively. What is no ServerHello may be turned away, and what never comes is not waited for for ever.
#[test]
fn session_ids_are_native_values() {
    let servers = Servers::new();
    let [port, plain, back] = [free_port(), free_port(), free_port()];
    let _back = servers.scene.nginx(
        back,
        &format!("server {{ listen 127.0.0.1:{back}; location / {{ return 200 'plain'; }} }}"),
    );
    let [a, b] = servers.ports;
    let portway = servers.scene.portway(&format!(
        "[stick_table.sessions]\nkey = {{ binary = 32 }}\nsize = 1000\nexpire = '30m'\nstore = ['target']\n\
         [listener.web]\nbind = '127.0.0.1:{port}'\nprotocol = 'tcp'\nforward = 'web'\n\
         [target_group.web]\nprotocol = 'tcp'\ntargets = ['127.0.0.1:{a}', '127.0.0.1:{b}']\n\
         [[target_group.web.rule]]\nphase = 'client_hello'\nwhen = 'hello_type == 1'\nstick = {{ key = 'hello_session_id', table = 'sessions', to = 'match' }}\n\
         [[target_group.web.rule]]\nphase = 'response'\nwhen = 'response_hello_type != 2'\nreject = 'reset'\n\
         [[target_group.web.rule]]\nphase = 'response'\nstick = {{ key = 'response_session_id', table = 'sessions', to = 'store' }}\n\
         [listener.plain]\nbind = '127.0.0.1:{plain}'\nprotocol = 'tcp'\nforward = 'plain'\n\
         [target_group.plain]\nprotocol = 'tcp'\ntargets = ['127.0.0.1:{back}']\n\
         timeouts = {{ inspect_response = '1s' }}\n\
         [[target_group.plain.rule]]\nphase = 'response'\nwhen = 'response_payload(9, 3) == `200`'\naccept = true\n\
         [[target_group.plain.rule]]\nphase = 'response'\nreject = 'reset'\n"
    ));
    servers.check_sessions(port, "native", 4);
    let url = format!("http://127.0.0.1:{plain}/");
    assert_eq!(servers.scene.curl(&[&url]).good(), "plain");
    let wrong = format!("{url}?a b");
    // nginx answers 400 to this, which does not go on.
    assert!(
        !servers
            .scene
            .curl(&["--request-target", "/ x", &wrong])
            .status
            .success()
    );
    portway.stop();
}
