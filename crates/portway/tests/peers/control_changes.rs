//! Commands on a control socket that change what a configuration has read from files: the same haproxy.cfg and the same
//! commands for a real HAProxy and for Portway, which answer alike and serve alike.

use std::io::{Read, Write};

use crate::certificates::{Issuer, Key, certificate, handshake, join};
use crate::control_socket::connect;
use crate::support::{PORTWAY, Process, Scene, free_port};

/// HAProxy and Portway with one configuration.
pub(crate) struct Both {
    scene: Scene,
    pub(crate) ports: [u16; 2],
    _running: [Process; 2],
}

/// Folders of the two.
const NAMES: [&str; 2] = ["haproxy", "portway"];

impl Both {
    /// `configuration` from its port and its folder, in which its socket is.
    pub(crate) fn new(scene: Scene, configuration: impl Fn(u16, &str) -> String) -> Self {
        let ports = [free_port(), free_port()];
        let running = [0, 1].map(|at| {
            let (name, port) = (NAMES[at], ports[at]);
            let folder = scene.path(name).display().to_string();
            let text = configuration(port, &folder);
            let text = format!("global\n  stats socket {folder}/ctl.sock level admin\n{text}");
            let file = scene.file(&format!("{name}/h.cfg"), text);
            let file = file.to_str().unwrap();
            match at {
                0 => scene.serve(port, "haproxy", &["-db", "-f", file]),
                _ => {
                    let admin = format!("127.0.0.1:{}", free_port());
                    let arguments = ["run", "--as", "haproxy", file, "--admin", &admin];
                    scene.serve(port, PORTWAY, &arguments)
                }
            }
        });
        Self {
            scene,
            ports,
            _running: running,
        }
    }

    /// A page in clear and, on these ports, over TLS with what `certificates` says for a folder.
    fn with_tls(scene: Scene, ports: [u16; 2], certificates: impl Fn(&str) -> String) -> Self {
        Self::new(scene, |port, folder| {
            let tls = ports[usize::from(folder.ends_with(NAMES[1]))];
            let certificates = certificates(folder);
            format!(
                "defaults
  mode http
  timeout client 5s
  timeout server 5s
  timeout connect 2s
frontend f
  bind 127.0.0.1:{port}
  bind 127.0.0.1:{tls} ssl {certificates}
  http-request return status 200
"
            )
        })
    }

    /// The answers of both, each with its own folder written as `DIR`, there and in what is asked.
    pub(crate) fn ask(&self, line: &str) -> [String; 2] {
        NAMES.map(|name| {
            let folder = self.scene.path(name).display().to_string();
            let mut stream = connect(&self.scene.path(name).join("ctl.sock"));
            let line = format!("{}\n", line.replace("DIR", &folder));
            stream.write_all(line.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer.replace(&folder, "DIR")
        })
    }

    pub(crate) fn same(&self, line: &str) -> String {
        let [theirs, ours] = self.ask(line).map(|it| without_references(&it));
        assert_eq!(ours, theirs, "`{line}`");
        ours
    }
}

/// Entries are told apart by addresses in HAProxy and by numbers in Portway.
fn without_references(answer: &str) -> String {
    let lines = answer.lines().map(|line| match line.strip_prefix("0x") {
        Some(rest) => rest.split_once(' ').map_or("", |(_, rest)| rest),
        None => line,
    });
    lines.fold(String::new(), |text, line| format!("{text}{line}\n"))
}

#[test]
fn maps_and_lists() {
    let scene = Scene::new();
    for name in NAMES {
        scene.file(&format!("{name}/a.map"), "# comment\n/a one\n/b two\n");
        scene.file(&format!("{name}/l.lst"), "10.1.0.0/16\n127.0.0.2\n");
        scene.file(&format!("{name}/p.lst"), "/x\n/Y\n");
    }
    let both = Both::new(scene, |port, folder| {
        format!(
            "defaults
  mode http
  timeout client 5s
  timeout server 5s
  timeout connect 2s
frontend f
  bind 127.0.0.1:{port}
  http-request deny deny_status 403 if {{ src -f {folder}/l.lst }}
  http-request deny deny_status 410 if {{ path_beg -i -f {folder}/p.lst }}
  http-request return status 200 content-type text/plain lf-string %[path,map({folder}/a.map,none)]|%[path,map_beg({folder}/a.map,none)]
"
        )
    });
    let serves = |path: &str, expected: &str| {
        for port in both.ports {
            let url = format!("http://127.0.0.1:{port}{path}");
            let answer = both.scene.curl(&["-w", "%{http_code}", &url]).stdout;
            assert!(answer.contains(expected), "{url}: {answer}");
        }
    };
    serves("/a", "one|one200");
    serves("/bc", "none|two200");
    for line in [
        "show map DIR/a.map",
        "show map nope",
        "show acl DIR/l.lst",
        "show acl nope",
        "get map",
        "get map nope x",
        "get map DIR/a.map",
        "get acl DIR/l.lst 10.1.2.3",
        "get acl DIR/l.lst 10.3.2.3",
        "get acl DIR/p.lst /xyz",
        "get acl DIR/p.lst /yY",
        "add map",
        "add map nope x y",
        "add map DIR/a.map /q",
        "add map DIR/a.map /q three",
        "add map DIR/a.map /q four",
        "show map DIR/a.map",
        "add acl",
        "add acl nope x",
        "add acl DIR/l.lst",
        "add acl DIR/l.lst 10.9.0.0/16",
        "show acl DIR/l.lst",
        "set map",
        "set map nope x y",
        "set map DIR/a.map /q",
        "set map DIR/a.map /q five",
        "set map DIR/a.map /nope five",
        "show map DIR/a.map",
        "del map",
        "del map nope x",
        "del map DIR/a.map",
        "del map DIR/a.map /b",
        "del map DIR/a.map /b",
        "del map DIR/a.map #0x12",
        "del acl",
        "del acl DIR/l.lst 10.9.0.0/16",
        "del acl DIR/l.lst 10.9.0.0/16",
        "show map DIR/a.map",
        "add map DIR/a.map <<\nk1 v1\nk2 v2 w\n",
        "show map DIR/a.map",
    ] {
        both.same(line);
    }
    serves("/q", "five|five200");
    serves("/bc", "none|none200");
    both.same("add acl DIR/p.lst /a");
    serves("/a", "410");
    both.same("clear acl DIR/p.lst");
    serves("/a", "one|one200");
    both.same("add acl DIR/l.lst 127.0.0.1");
    serves("/a", "403");
    both.same("del acl DIR/l.lst 127.0.0.1");

    both.same("prepare map DIR/a.map");
    both.same("add map @1 DIR/a.map /n new");
    both.same("add map @9 DIR/a.map /n new");
    both.same("show map @1 DIR/a.map");
    both.same("show map @0 DIR/a.map");
    serves("/n", "none|none200");
    for line in [
        "commit map",
        "commit map @1",
        "commit map DIR/a.map",
        "commit map @9 DIR/a.map",
        "commit map @1 nope",
        "commit map @1 DIR/a.map",
        "commit map @1 DIR/a.map",
        "show map DIR/a.map",
    ] {
        both.same(line);
    }
    serves("/n", "new|new200");
    serves("/a", "none|none200");
    both.same("clear map DIR/a.map");
    serves("/n", "none|none200");

    // A line of a payload that is wrong leaves all of it out.
    let [_, ours] = both.ask("add map DIR/a.map <<\n/a one\n/b\n");
    assert!(ours.starts_with("Missing value"), "{ours}");
    let [_, ours] = both.ask("add acl DIR/l.lst <<\n127.0.0.1\nnonsense\n");
    assert!(ours.contains("nonsense"), "{ours}");
    let url = format!("http://127.0.0.1:{}/a", both.ports[1]);
    assert_eq!(both.scene.curl(&[&url]).stdout, "none|none");
    let [_, ours] = both.ask("user;add map DIR/a.map /a one");
    assert_eq!(ours, "\nPermission denied\n\n");
}

#[test]
fn certificates() {
    let scene = Scene::new();
    let make = |name: &str, key: Key, host: &str| {
        certificate(
            &scene,
            name,
            key,
            &format!("/C=FR/CN={host}"),
            &[host],
            Issuer::Own,
        );
        join(
            &scene,
            &format!("{name}-all.pem"),
            &[&format!("{name}.pem"), &format!("{name}.key")],
        );
    };
    make("first", Key::Rsa, "first.example");
    make("second", Key::Ecdsa, "second.example");
    for name in NAMES {
        join(&scene, &format!("{name}/c.pem"), &["first-all.pem"]);
        join(&scene, &format!("{name}/d.pem"), &["first.pem"]);
        join(&scene, &format!("{name}/d.pem.key"), &["first.key"]);
    }
    let ports = [free_port(), free_port()];
    let both = Both::with_tls(scene, ports, |folder| {
        format!("crt {folder}/c.pem crt {folder}/d.pem")
    });
    let shown = |subject: &str| {
        for port in ports {
            let shown = handshake(&both.scene, port, &["-servername", "x.example"]);
            let subject = format!("subject=C=FR, CN={subject}");
            let shown = shown.replace("C = ", "C=");
            assert!(shown.contains(&subject), "{subject}: {shown}");
        }
    };
    let text = |name: &str| both.scene.read(name);
    shown("first.example");
    let (second, alone, key) = (
        text("second-all.pem"),
        text("second.pem"),
        text("second.key"),
    );
    for line in [
        "show ssl cert DIR/c.pem",
        "show ssl cert *DIR/c.pem",
        "set ssl cert",
        "set ssl cert DIR/c.pem",
        &format!("set ssl cert nope <<\n{second}"),
        "set ssl cert DIR/c.pem <<\nhello\n",
        "commit ssl cert",
        "commit ssl cert DIR/c.pem",
        "abort ssl cert",
        "abort ssl cert DIR/c.pem",
        &format!("set ssl cert DIR/c.pem <<\n{second}"),
        "show ssl cert *DIR/c.pem",
        "show ssl cert DIR/c.pem",
        &format!("set ssl cert DIR/c.pem <<\n{second}"),
        "commit ssl cert DIR/d.pem",
        "abort ssl cert DIR/d.pem",
        "abort ssl cert DIR/c.pem",
        &format!("set ssl cert DIR/c.pem <<\n{alone}"),
        "commit ssl cert DIR/c.pem",
        "abort ssl cert DIR/c.pem",
    ] {
        both.same(line);
    }
    shown("first.example");
    both.same(&format!("set ssl cert DIR/c.pem <<\n{second}"));
    both.same("commit ssl cert DIR/c.pem");
    both.same("show ssl cert DIR/c.pem");
    shown("second.example");
    // A certificate and its key in files of their own, one after the other.
    both.same(&format!("set ssl cert DIR/d.pem <<\n{alone}"));
    both.same(&format!("set ssl cert DIR/d.pem.key <<\n{key}"));
    both.same("commit ssl cert DIR/d.pem");
    both.same("show ssl cert DIR/d.pem");
    both.same("operator;abort ssl cert DIR/c.pem");
}

#[test]
fn lists_of_certificates_with_names() {
    let scene = Scene::new();
    for host in ["first.example", "second.example", "third.example"] {
        certificate(
            &scene,
            host,
            Key::Ecdsa,
            &format!("/CN={host}"),
            &[host],
            Issuer::Own,
        );
        join(
            &scene,
            &format!("{host}-all.pem"),
            &[&format!("{host}.pem"), &format!("{host}.key")],
        );
    }
    let folder = scene.path("").display().to_string();
    let list = format!(
        "# comment\n\n{folder}/first.example-all.pem\n\
         {folder}/second.example-all.pem [] *.shop.example !old.shop.example www.example\n\
         {folder}/third.example-all.pem old.shop.example OTHER.example\n\
         {folder}/first.example-all.pem !only.example\n"
    );
    scene.file("list", list);
    let ports = [free_port(), free_port()];
    let both = Both::with_tls(scene, ports, |_| format!("crt-list {folder}/list"));
    for (name, expected) in [
        ("first.example", "first"),
        ("second.example", "first"),
        ("www.example", "second"),
        ("WWW.example", "second"),
        ("a.shop.example", "second"),
        ("a.b.shop.example", "first"),
        ("old.shop.example", "third"),
        ("other.example", "third"),
        ("third.example", "first"),
        ("only.example", "first"),
    ] {
        for port in ports {
            let shown = handshake(&both.scene, port, &["-servername", name]);
            let subject = format!("subject=CN={expected}.example");
            assert!(shown.contains(&subject), "{name}: {shown}");
        }
    }
}

/// Times until entries expire pass.
fn without_times(answer: &str) -> String {
    let words = answer
        .split(' ')
        .map(|word| match word.strip_prefix("exp=") {
            Some(left) => format!("exp={}", u8::from(left != "0")),
            None => word.to_owned(),
        });
    words.collect::<Vec<String>>().join(" ")
}

#[test]
fn stick_tables() {
    let both = Both::new(Scene::new(), |port, _| {
        format!(
            "defaults
  mode http
  timeout client 5s
  timeout server 5s
  timeout connect 2s
frontend web
  bind 127.0.0.1:{port}
  stick-table type ip size 1k expire 1m store http_req_rate(1m),gpc0,conn_cur,gpt0
  http-request track-sc0 src
  http-request track-sc1 path table paths
  http-request track-sc2 hdr(k) table keys
  http-request sc-inc-gpc(1,2)
  http-request return status 200
backend paths
  stick-table type string len 8 size 10 store http_req_cnt
backend keys
  stick-table type binary len 4 size 100 expire 10s nopurge store gpc(2),gpt(2),gpc_rate(2,10s)
backend numbers
  stick-table type integer size 100
backend sums
  stick-table type string len 8 size 10 store gpc(2),gpt(2),gpc_rate(2,10s)
"
        )
    });
    for port in both.ports {
        let url = |path: &str| format!("http://127.0.0.1:{port}{path}");
        both.scene
            .curl(&["-H", "k: ab", &url("/a"), &url("/b%20c")]);
    }
    let settled = |line: &str| {
        let [theirs, ours] = both
            .ask(line)
            .map(|it| without_times(&without_references(&it)));
        assert_eq!(ours, theirs, "`{line}`");
    };
    for line in [
        "show table",
        "show table web",
        "show table paths",
        "show table keys",
        "show table numbers",
        "show table web data.gpc0 gt 0",
        "show table web data.http_req_rate ge 1",
        "show table web data.http_req_rate ge 1 data.gpc0 eq 0",
        "show table web key 127.0.0.1",
        "show table web key 1.2.3.4",
        "show table web key",
        "show table nope",
        "show table web data.nope gt 1",
        "show table web data.gpc0",
        "show table web data.gpc0 xx 1",
        "show table web foo",
        "show table web data.http_req_cnt gt 1",
        "set table web key 1.2.3.4 data.gpc0 7 data.gpt0 9",
        "show table web key 1.2.3.4",
        "show table web",
        "set table web key 1.2.3.4 data.nope 7",
        "set table web foo 9.9.9.9",
        "set table",
        "set table keys key 6162 data.gpc0 5",
        "set table numbers key 17",
        "show table numbers key 17",
        "set table sums key a data.gpc 5 data.gpt 7",
        "set table sums key b data.gpc_rate 9",
        "show table sums key a",
        "show table sums data.gpc gt 1",
        "clear table web data.gpc0 gt 5",
        "show table web",
        "clear table web key 1.2.3.4",
        "clear table paths",
        "show table paths",
        "clear table",
    ] {
        settled(line);
    }
    // A counter that is wrong leaves all of it out.
    let [_, ours] = both.ask("set table web key 5.6.7.8 data.gpc0 7 data.gpt0 x");
    assert!(ours.starts_with("Require a valid integer"), "{ours}");
    let [_, ours] = both.ask("show table web key 5.6.7.8");
    assert_eq!(ours, "\n");
}

#[test]
fn variables_of_the_process() {
    let both = Both::new(Scene::new(), |port, _| {
        format!(
            "global
  set-var proc.n int(12)
  set-var proc.text str(a),add_item(-,,b)
  set-var-fmt proc.written \"%[int(1)] %[var(proc.n)]\"
defaults
  mode http
  timeout client 5s
  timeout server 5s
  timeout connect 2s
frontend web
  bind 127.0.0.1:{port}
  http-request set-var(proc.path) path
  http-request set-var(proc.digest) path,sha1
  http-request set-var(proc.source) src
  http-request return status 200 hdr n %[var(proc.n)]
"
        )
    });
    for port in both.ports {
        both.scene.curl(&[&format!("http://127.0.0.1:{port}/a")]);
    }
    for line in [
        "get var proc.n",
        "get var proc.text",
        "get var proc.written",
        "get var proc.path",
        "get var proc.digest",
        "get var proc.source",
        "get var proc.none",
        "get var txn.n",
        "get var",
    ] {
        let [theirs, ours] = both.ask(line);
        assert_eq!(ours, theirs, "`{line}`");
    }
    for line in [
        "set var proc.n int(7),add(1)",
        "set var proc.new expr str(x)",
        "set var proc.new fmt <%[var(proc.n)]>",
        "set var proc.new foo str(x)",
        "set var proc.new",
        "set var txn.n str(x)",
        "set var",
    ] {
        let [theirs, ours] = both.ask(&format!("experimental-mode on; {line}"));
        assert_eq!(ours, theirs, "`{line}`");
        for line in ["get var proc.n", "get var proc.new"] {
            let [theirs, ours] = both.ask(line);
            assert_eq!(ours, theirs, "`{line}`");
        }
    }
    let [_, ours] = both.ask("set var proc.n nosuch(x)");
    assert!(ours.contains("unknown fetch `nosuch`"), "{ours}");
    let [_, ours] = both.ask("set var proc.n expr path");
    assert!(
        ours.contains("cannot be used in the section `global`"),
        "{ours}"
    );
}

#[test]
fn stick_tables_know_servers() {
    let target = crate::echo::Echo::start("s");
    let both = Both::new(Scene::new(), |port, _| {
        let at = target.port;
        format!(
            "defaults
  mode http
  timeout client 5s
  timeout server 5s
  timeout connect 2s
frontend web
  bind 127.0.0.1:{port}
  default_backend app
backend app
  stick-table type ipv6 size 1k expire 1m store gpc1,http_fail_cnt,conn_cnt,gpc0
  use-server %[req.hdr(to)] if {{ req.hdr(to) -m found }}
  stick on src
  stick store-request req.hdr(k) table keys
  server s1 127.0.0.1:{at}
  server s2 127.0.0.1:{at} id 20
backend keys
  stick-table type string len 8 size 10 srvkey addr store gpc(3),server_id
backend plain
  stick-table type string len 8 size 10 store server_id,http_req_cnt
"
        )
    });
    let to = |name: &str| {
        both.ports.map(|port| {
            let url = format!("http://127.0.0.1:{port}/");
            both.scene.curl(&[
                "-H",
                &format!("to: {name}"),
                "-H",
                &format!("k: {name}"),
                &url,
            ])
        })
    };
    let settled = |line: &str| {
        let shown = both
            .ask(line)
            .map(|it| without_times(&without_references(&it)))
            .map(|it| it.replace(&target.port.to_string(), "PORT"));
        let [theirs, ours] = shown;
        assert_eq!(ours, theirs, "`{line}`");
    };
    to("s2");
    for line in [
        "show table",
        "show table app",
        "show table keys",
        "show table app data.server_id eq 20",
        "show table app data.server_id eq 1",
        "show table app data.server_key eq s2",
        "show table plain data.server_id gt 0",
        "set table app key 127.0.0.1 data.server_id 1",
        "show table app",
        "set table app key 127.0.0.1 data.server_key s1",
        "set table app key ::1 data.server_id 20",
        "show table app",
        "clear table app data.server_id eq 20",
        "show table app",
        "clear table app",
        "show table app",
    ] {
        settled(line);
    }
    to("s1");
    settled("show table app");
    settled("show table keys");
}
