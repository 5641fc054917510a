//! What a listener says in one line of who may come, what heads may cost, and what becomes of paths: with clients of several
//! addresses, over reloads, behind the PROXY protocol and through TLS.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::certificates::join;
use crate::echo::Echo;
use crate::stage::{Client, Stage, group, listener, own_certificate};
use crate::support::{PATIENCE, PORTWAY, Scene, free_port, local};

/// What a client at this address is told: the status, or that it was closed.
fn seen_from(stage: &Stage, ip: &str, port: u16) -> String {
    let url = format!("http://127.0.0.1:{port}/");
    let words = [
        "-s",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        "--interface",
        ip,
        &url,
    ];
    stage.scene.curl(&words).stdout
}

#[test]
fn clients_are_those_of_the_lists_of_now() {
    let (one, web) = (Echo::start("one"), free_port());
    let with = |lists: &str| {
        let (web, app) = (listener("web", web, "app"), group("app", &[one.port]));
        format!("{web}{lists}\n{app}")
    };
    let stage = Stage::new(&with("allow = ['10.0.0.0/8', '127.0.0.3']"));
    let rejected = "portway_listener_faults_total{listener=\"web\",fault=\"rejected\"}";
    assert_eq!(seen_from(&stage, "127.0.0.1", web), "000");
    assert_eq!(seen_from(&stage, "127.0.0.3", web), "200");
    assert_eq!(stage.metric(rejected), "1");
    // Who is denied does not come in, whoever is allowed.
    stage.becomes(&with("allow = '127.0.0.0/8'\ndeny = ['127.0.0.2', '::1']"));
    assert_eq!(seen_from(&stage, "127.0.0.1", web), "200");
    assert_eq!(seen_from(&stage, "127.0.0.2", web), "000");
    assert_eq!(stage.metric(rejected), "2");
    // Connections that are there stay.
    let mut kept = Client::new(web);
    assert_eq!(kept.ask("/"), "one");
    stage.becomes(&with("deny = '127.0.0.0/8'"));
    assert_eq!(seen_from(&stage, "127.0.0.1", web), "000");
    assert_eq!(kept.ask("/"), "one");
    let url = format!("http://127.0.0.1:{web}/");
    let told = stage.command(&["explain", "--from", "127.0.0.9", &url]);
    let says = |words: &str| assert!(told.stdout.contains(words), "{words}: {told}");
    says("✓ web.toml:4  deny = '127.0.0.0/8'");
    says("the connection is closed");
    stage.becomes(&with(""));
    assert_eq!(seen_from(&stage, "127.0.0.2", web), "200");
}

/// What is answered behind this line of the PROXY protocol; nothing where the connection is closed.
fn behind(port: u16, source: &str) -> String {
    let mut stream = TcpStream::connect(local(port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let wire = format!(
        "PROXY TCP4 {source} 127.0.0.1 4711 80\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    );
    // It may be closed before all of it is written.
    let _ = stream.write_all(wire.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    answer.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn behind_a_proxy_it_counts_who_that_tells() {
    let (one, web, tcp, some) = (Echo::start("one"), free_port(), free_port(), free_port());
    let lists = "accept_proxy = true\nallow = '192.0.2.0/24'\ndeny = '192.0.2.9'\n";
    let text = [
        listener("web", web, "app") + lists,
        listener("tcp", tcp, "raw") + "protocol = 'tcp'\n" + lists,
        listener("some", some, "app")
            + "deny = '192.0.2.9'\nrule = { phase = 'connection', when = 'ClientIP(`127.0.0.1`)', expect_proxy = 'required' }\n",
        group("app", &[one.port]),
        group("raw", &[one.port]) + "protocol = 'tcp'\n",
    ];
    let stage = Stage::new(&text.concat());
    for port in [web, tcp] {
        assert_eq!(behind(port, "192.0.2.7"), "HTTP/1.1 200 Because");
        assert_eq!(behind(port, "192.0.2.9"), "");
        // The proxy itself is not asked.
        assert_eq!(behind(port, "127.0.0.1"), "");
    }
    assert_eq!(behind(some, "127.0.0.1"), "HTTP/1.1 200 Because");
    assert_eq!(behind(some, "192.0.2.9"), "");
    for (name, count) in [("web", "2"), ("tcp", "2"), ("some", "1")] {
        let line =
            format!("portway_listener_faults_total{{listener=\"{name}\",fault=\"rejected\"}}");
        assert_eq!(stage.metric(&line), count, "{name}");
    }
}

#[test]
fn heads_have_as_many_fields_and_targets_as_many_bytes() {
    let scene = Scene::new();
    own_certificate(&scene, "own", "a.example");
    join(&scene, "own-all.pem", &["own.pem", "own.key"]);
    let (one, web, tls) = (Echo::start("one"), free_port(), free_port());
    let limits = "max_head_fields = 5\nmax_target_bytes = '1KiB'\n";
    let with = |limits: &str| {
        let secure = "protocol = 'https'\ncertificate_files = 'own-all.pem'\n";
        let tls = listener("tls", tls, "app") + secure + limits;
        listener("web", web, "app") + limits + &tls + &group("app", &[one.port])
    };
    let stage = Stage::with(scene, &with(limits), &[]);
    let long = |bytes: usize| format!("/{}", "x".repeat(bytes - 1));
    let fields = |count: usize| {
        let more = "X-A: 1\r\n".repeat(count - 1);
        format!("GET / HTTP/1.1\r\nHost: a.example\r\n{more}\r\n")
    };
    let status = |wire: &str| {
        let mut client = Client::new(web);
        client.send(wire);
        client.answer().split(' ').nth(1).unwrap().to_owned()
    };
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: a.example\r\n\r\n");
    assert_eq!(status(&get(&long(1024))), "200");
    assert_eq!(status(&get(&long(1025))), "414");
    assert_eq!(status(&fields(5)), "200");
    assert_eq!(status(&fields(6)), "431");
    let secure = format!("https://127.0.0.1:{tls}{}", long(1025));
    let code = ["-s", "-k", "-o", "/dev/null", "-w", "%{http_code}", &secure];
    assert_eq!(stage.scene.curl(&code).stdout, "414");
    // The target's head has more: what it echoes, its name, length and type.
    let many = "/header/a/1/b/2/c/3/d/4/e/5/f/6";
    assert_eq!(status(&get(many)), "502");
    let limit =
        |name: &str| stage.metric(&format!("portway_limit_reached_total{{limit=\"{name}\"}}"));
    assert_eq!(limit("request_target_bytes"), "2");
    assert_eq!(limit("request_head_bytes"), "1");
    // More fields than have their place on the stack, and what is usual.
    stage.becomes(&with("max_head_fields = 1000\n"));
    assert_eq!(status(&fields(1000)), "200");
    assert_eq!(status(&fields(1001)), "431");
    stage.becomes(&with(""));
    assert_eq!(status(&get(&long(1025))), "200");
    assert_eq!(status(&fields(129)), "431");
}

/// What the target is asked for, or the status in its place.
fn asked(port: u16, target: &str) -> String {
    let mut stream = TcpStream::connect(local(port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let wire = format!("GET {target} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n");
    stream.write_all(wire.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let line = match head.starts_with("HTTP/1.1 200") {
        true => body.lines().next().unwrap(),
        false => head.lines().next().unwrap(),
    };
    line.split(' ').nth(1).unwrap().to_owned()
}

#[test]
fn paths_are_kept_brought_in_order_or_refused() {
    let one = Echo::start("one");
    let [kept, normal, strict] = [(); 3].map(|()| free_port());
    let guarded = "rule = { when = 'PathPrefix(`/admin`)', respond = 403 }\n";
    let all = |how: &str, nul: &str| {
        format!(
            "path_policy = {{ nul = '{nul}', encoded_unreserved = '{how}', encoded_slashes = '{how}', backslashes = '{how}', double_slashes = '{how}', dot_segments = '{how}' }}\n"
        )
    };
    let text = [
        listener("kept", kept, "app") + &all("keep", "keep") + guarded,
        listener("normal", normal, "app") + &all("normalize", "refuse") + guarded,
        listener("strict", strict, "app") + &all("refuse", "refuse") + guarded,
        group("app", &[one.port]),
    ];
    let stage = Stage::new(&text.concat());
    // As it came, what it is in order, whether it is refused.
    let rows = [
        ("/a/b", "/a/b", false),
        ("/caf%C3%A9?x=//..%2F", "/caf%C3%A9?x=//..%2F", false),
        ("/a//b///", "/a/b/", true),
        ("/a/./b/../c", "/a/c", true),
        ("/a/%2e%2E/c", "/c", true),
        ("/a%2Fb", "/a/b", true),
        ("/a%5cb\\c", "/a/b/c", true),
        ("/%61%7Eb", "/a~b", true),
        ("/x/..%2fadmin", "403", true),
        ("/%61dmin", "403", true),
        ("//admin", "403", true),
        ("/x%2f..%5c%2e/admin", "403", true),
        ("/a%00b", "400", true),
        ("/a/...", "/a/...", false),
        ("/a%zz", "400", false),
        ("/a/..;/b", "/a/..;/b", true),
        ("/a%252e", "/a%252e", false),
        ("/%2%65%2%65/admin", "400", true),
    ];
    for (target, in_order, is_refused) in rows {
        assert_eq!(asked(kept, target), target, "kept");
        assert_eq!(asked(normal, target), in_order, "{target} in order");
        let expected = if is_refused { "400" } else { target };
        assert_eq!(asked(strict, target), expected, "{target} strictly");
    }
    let url = format!("http://127.0.0.1:{strict}/a//b");
    let told = stage.command(&["explain", &url]);
    assert!(told.stdout.contains("✓ web.toml:14  path_policy"), "{told}");
    assert!(told.stdout.contains("Portway answers 400"), "{told}");
    // Refusals are counted by the place of what refuses.
    let rule = "portway_listener_rule_requests_total{listener=\"strict\",rule=\"web.toml:14\"}";
    assert_ne!(stage.metric(rule), "0");
}

#[test]
fn check_tells_of_more_memory_than_there_is() {
    let scene = Scene::new();
    let rest = listener("web", free_port(), "app") + &group("app", &[free_port()]);
    scene.file(
        "web.toml",
        "[process]\nmax_memory = '900TiB'\n".to_owned() + &rest,
    );
    let said = scene.run(PORTWAY, &["check", "web.toml"]).both();
    assert!(said.contains("is more than the"), "{said}");
    assert!(said.contains("is half of it"), "{said}");
}
