//! Clients whose TLS is ended here and who resume their session reach the target that they had: real clients of OpenSSL, in
//! each way that sessions are resumed, with HAProxy beside us.

use std::fs;

use rustix::process::Signal;

use crate::certificates::join;
use crate::echo::Echo;
use crate::stage::own_certificate;
use crate::support::{Process, Scene, eventually, free_port};
use crate::upgrade::Stage;

/// Arguments of a client, and how it resumes sessions.
const BY_ID: &[&str] = &["-tls1_2", "-no_ticket"];
const BY_TICKET: &[&str] = &["-tls1_2"];
const TLS_13: &[&str] = &["-tls1_3"];

/// What a client was told: who answered, by which session, and whether that was resumed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    server: String,
    id: String,
    resumed: bool,
}

/// Asks once, in the session of `file`, which is kept there anew.
fn ask(scene: &Scene, port: u16, how: &[&str], file: &str) -> Told {
    let connect = format!("127.0.0.1:{port}");
    let mut arguments = vec!["s_client", "-connect", &connect, "-quiet", "-ign_eof"];
    arguments.extend(how);
    if scene.path(file).exists() {
        arguments.extend(["-sess_in", file]);
    }
    arguments.extend(["-sess_out", file]);
    let said = scene.run_with("GET / HTTP/1.0\r\n\r\n", "openssl", &arguments);
    let field = |name: &str| {
        let mut lines = said.stdout.lines();
        let found = lines.find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name)
                .then(|| value.trim().to_owned())
        });
        found.unwrap_or_else(|| panic!("no {name}: {said}"))
    };
    Told {
        server: field("x-server"),
        id: field("x-session"),
        resumed: matches!(field("x-resumed").as_str(), "1" | "true"),
    }
}

/// So many new sessions, each resumed twice: always the same id, always the same server. What each was told.
fn sessions(scene: &Scene, port: u16, how: &[&str], name: &str, count: usize) -> Vec<Told> {
    let each = (0..count).map(|number| {
        let file = format!("{name}-{number}");
        let first = ask(scene, port, how, &file);
        assert!(!first.resumed, "{file}: {first:?}");
        assert_eq!(first.id.len(), 64, "{file}: {first:?}");
        for _ in 0..2 {
            let expected = Told {
                resumed: true,
                ..first.clone()
            };
            assert_eq!(ask(scene, port, how, &file), expected, "{file}");
        }
        first
    });
    let told: Vec<Told> = each.collect();
    for one in &told {
        let same = told.iter().filter(|it| it.id == one.id);
        assert_eq!(same.count(), 1, "{told:?}");
    }
    told
}

fn certificate(scene: &Scene) {
    own_certificate(scene, "own", "a.example");
    join(scene, "all.pem", &["own.pem", "own.key"]);
}

fn server(scene: &Scene, port: u16) -> Process {
    let answer = format!(
        "server {{ listen 127.0.0.1:{port}; location / {{ add_header X-Server {port}; return 200 ok; }} }}"
    );
    scene.nginx(port, &answer)
}

fn haproxy_file(port: u16, servers: &[u16]) -> String {
    let servers: String = servers
        .iter()
        .map(|port| format!("    server s{port} 127.0.0.1:{port}\n"))
        .collect();
    format!(
        "defaults\n    mode http\n    timeout connect 5s\n    timeout client 20s\n    timeout server 20s\n    \
             retries 3\n    option redispatch 1\n\
         frontend f\n    bind 127.0.0.1:{port} ssl crt all.pem\n    default_backend b\n    \
             http-response set-header x-session %[ssl_fc_session_id,hex]\n    \
             http-response set-header x-resumed %[ssl_fc_is_resumed]\n\
         backend b\n    balance roundrobin\n    stick-table type binary len 32 size 10k expire 30m\n    \
             stick on ssl_fc_session_id\n{servers}"
    )
}

#[test]
fn sessions_that_end_here_stick_to_their_server_as_with_haproxy() {
    let scene = Scene::new();
    certificate(&scene);
    let [ours, theirs, dead, one, two] = [(); 5].map(|()| free_port());
    scene.file("theirs.cfg", haproxy_file(theirs, &[one, two]));
    scene.file("ours.cfg", haproxy_file(ours, &[one, two]));
    let mut running = vec![server(&scene, one), server(&scene, two)];
    let _haproxy = scene.serve(theirs, "haproxy", &["-db", "-f", "theirs.cfg"]);
    sessions(&scene, theirs, BY_ID, "theirs", 4);
    let portway = scene.portway_with(&["ours.cfg"]);
    let ways = [("id", BY_ID), ("ticket", BY_TICKET), ("new", TLS_13)];
    let first = ways.map(|(name, how)| sessions(&scene, ours, how, name, 4));
    let servers = |told: &Vec<Told>| {
        told.iter()
            .filter(|it| it.server == one.to_string())
            .count()
    };
    assert_eq!(first.each_ref().map(servers), [2; 3]);

    // Over a reload that adds a server where nobody is.
    scene.file("ours.cfg", haproxy_file(ours, &[dead, one, two]));
    portway.process.signal(Signal::HUP);
    let name = format!("s{dead}");
    eventually("the new server is there", || {
        portway.status().to_string().contains(&name).then_some(())
    });
    for ((name, how), told) in ways.iter().zip(&first) {
        for (number, before) in told.iter().enumerate() {
            let after = ask(&scene, ours, how, &format!("{name}-{number}"));
            assert!(after.resumed, "{name}-{number}: {after:?}");
            assert_eq!((&after.id, &after.server), (&before.id, &before.server));
        }
        sessions(&scene, ours, how, &format!("{name}-later"), 6);
    }

    // A server dies: its sessions go on at the other, and stay there.
    drop(running.remove(0));
    for ((name, how), told) in ways.iter().zip(&first) {
        for (number, before) in told.iter().enumerate() {
            for _ in 0..2 {
                let after = ask(&scene, ours, how, &format!("{name}-{number}"));
                assert!(after.resumed, "{name}-{number}: {after:?}");
                assert_eq!((&after.id, &after.server), (&before.id, &two.to_string()));
            }
        }
    }
    portway.stop();
}

#[test]
fn ids_of_sessions_are_native_values_and_outlive_an_upgrade() {
    let scene = Scene::new();
    certificate(&scene);
    let port = free_port();
    let [one, two] = ["one", "two"].map(Echo::start);
    let text = |more: &str| {
        format!(
            "[listener.web]\nbind = '127.0.0.1:{port}'\nprotocol = 'https'\ncertificate_files = ['all.pem']\nforward = 'app'\n\
             [[listener.web.rule]]\nphase = 'response'\n\
             set_header = {{ X-Session = '${{tls_session_id.hex()}}', X-Resumed = '${{tls_resumed}}' }}\n\
             [target_group.app]\ntargets = ['127.0.0.1:{}', '127.0.0.1:{}']\n\
             rule = {{ stick = {{ key = 'tls_session_id', table = 'sessions' }} }}\n\
             [stick_table.sessions]\nkey = {{ binary = 32 }}\nsize = 1000\nexpire = '30m'\nstore = ['target']\n{more}",
            one.port, two.port
        )
    };
    let stage = Stage::with(scene, &text(""), &[]);
    let scene = &stage.scene;
    let ways = [("id", BY_ID), ("ticket", BY_TICKET), ("new", TLS_13)];
    let first = ways.map(|(name, how)| sessions(scene, port, how, name, 3));
    fs::write(
        &stage.file,
        text("[target_group.other]\ntargets = ['127.0.0.1:1']\n"),
    )
    .unwrap();
    stage.upgrade();
    for ((name, how), told) in ways.iter().zip(&first) {
        for (number, before) in told.iter().enumerate() {
            let after = ask(scene, port, how, &format!("{name}-{number}"));
            if *how == BY_ID {
                // The session itself was in the memory of the process before.
                assert!(!after.resumed && after.id != before.id, "{after:?}");
            } else {
                assert!(after.resumed, "{name}-{number}: {after:?}");
                assert_eq!((&after.id, &after.server), (&before.id, &before.server));
            }
        }
    }
}
