//! Checks of targets that are real sockets of these tests.

use std::net::SocketAddr;
use std::time::Duration;

use portway_core::health::{Failure, Probe};
use portway_dataplane::plane::GroupParts;
use portway_model::snapshot::Snapshot;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::certificates::GroupTls;
use crate::tls::client::{Target, Verification, client_config};
use crate::tls::identity::{PemSource, load_identity};
use crate::tls::policy::Policy;
use crate::tls::resolver::{CertificateResolver, NoMatch};
use crate::tls::self_signed::self_signed;
use crate::tls::server::server_config;
use crate::tls::tickets::TicketKeys;
use rustls_pki_types::UnixTime;

use portway_core::agent::AgentState;

use crate::operations::TargetOrder;
use crate::sources::compile_text;
use crate::targets::watch;

fn snapshot(address: &str, check: &str) -> Snapshot {
    let text = format!(
        "[listener.web]\nbind = '127.0.0.1:1'\nforward = 'app'\n\
         [target_group.app]\ntargets = ['{address}']\nhealth_check = {check}\n"
    );
    let compiled = compile_text("test.toml", &text);
    compiled
        .snapshot
        .unwrap_or_else(|| panic!("{:?}", compiled.diagnostics))
}

fn parts(address: SocketAddr, check: &str) -> (Prober, Arc<WatchedTarget>) {
    let snapshot = snapshot(&address.to_string(), check);
    let prober = Prober {
        check: snapshot.groups[0].health_check.clone().unwrap(),
        own: snapshot.groups[0].targets[0].check.clone().unwrap(),
        tls: None,
        server_name: NameToSend::Client,
        proxy: ProxyProtocol::V1,
        process: None,
    };
    (prober, watch(&snapshot)[0][0].clone())
}

/// A target that reads a request, answers with `answer` and closes; gives the request too.
async fn target(answer: &'static str) -> (SocketAddr, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") && stream.read_buf(&mut request).await.unwrap() > 0 {}
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(request).unwrap()
    });
    (address, task)
}

async fn check(check: &str, answer: &'static str, expected: Result<(), &str>) {
    let (address, _task) = target(answer).await;
    let (prober, target) = parts(address, check);
    let result = match prober.probe(&target).await.probe {
        Probe::Passed => Ok(()),
        Probe::Failed(failure) => Err(failure.to_string()),
    };
    assert_eq!(result, expected.map_err(str::to_owned), "{check} {answer}");
}

fn peers(targets: &[Arc<WatchedTarget>]) -> Arc<Peers> {
    let peers = Peers::default();
    peers.set(&targets.into());
    Arc::new(peers)
}

#[tokio::test]
async fn answers_are_judged() {
    const HTTP: &str = "{ http = '/' }";
    check(HTTP, "HTTP/1.1 200 OK\r\n\r\n", Ok(())).await;
    check(HTTP, "HTTP/1.0 302 Found\r\n\r\n", Ok(())).await;
    check(
        HTTP,
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 \r\n\r\n",
        Ok(()),
    )
    .await;
    check(
        HTTP,
        "HTTP/1.1 503 No\r\n\r\n",
        Err("answered 503 (expected 200-399)"),
    )
    .await;
    check(HTTP, "HTTP/1.1 200 OK\r\n", Err("connection closed early")).await;
    check(HTTP, "", Err("connection closed early")).await;
    const CODES: &str = "{ http = '/', expect = ['204', '401'] }";
    check(CODES, "HTTP/1.1 401 No\r\n\r\n", Ok(())).await;
    check(
        CODES,
        "HTTP/1.1 200 OK\r\n\r\n",
        Err("answered 200 (expected 204,401)"),
    )
    .await;
    const BODY: &str = "{ http = '/', body = 'st.te: ok' }";
    check(BODY, "HTTP/1.1 200 OK\r\n\r\nstate: ok", Ok(())).await;
    check(
        BODY,
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nstate: ok",
        Ok(()),
    )
    .await;
    let chunked =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nstate\r\n4\r\n: ok\r\n0\r\n\r\n";
    check(BODY, chunked, Ok(())).await;
    let wrong = "the body of its answer does not hold `st.te: ok`";
    check(BODY, "HTTP/1.1 200 OK\r\n\r\nstate: bad", Err(wrong)).await;
    check(
        BODY,
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstate: ok",
        Err(wrong),
    )
    .await;
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\nstate";
    check(BODY, cut, Err("connection closed early")).await;
    check("'tcp'", "", Ok(())).await;
}

/// A target that speaks TLS with a self-signed certificate for `a.example`, and that certificate.
async fn tls_target() -> (SocketAddr, String) {
    let made = self_signed(&["a.example".to_owned()], 1, UnixTime::now()).unwrap();
    let pem = made.certificate_pem.clone() + &made.key_pem;
    let source = PemSource {
        name: "test",
        text: pem.as_bytes(),
    };
    let (identity, _) = load_identity(&[source], UnixTime::now()).unwrap();
    let (resolver, _) = CertificateResolver::new(&[Arc::new(identity)], NoMatch::Default);
    let tickets = TicketKeys::new(Arc::new(rustls::time_provider::DefaultTimeProvider)).unwrap();
    let config = server_config(
        Arc::new(resolver),
        &Policy::default(),
        &[],
        tickets.resumption("x", None),
        None,
    )
    .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let acceptor = tokio_rustls::TlsAcceptor::from(config);
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n")
                && matches!(stream.read_buf(&mut request).await, Ok(1..))
            {}
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            let _ = stream.shutdown().await;
        }
    });
    (address, made.certificate_pem)
}

#[tokio::test]
async fn checks_over_tls() {
    let (address, certificate) = tls_target().await;
    let other = self_signed(&["b.example".to_owned()], 1, UnixTime::now()).unwrap();
    let check = async |kind: &str, verification: Verification<'_>, name: &str, expected: &str| {
        let (mut prober, target) = parts(address, kind);
        prober.tls = Some(client_config(&verification, &Policy::default(), &[]).unwrap());
        prober.server_name = NameToSend::Fixed(name.to_owned());
        let result = prober.probe(&target).await.probe;
        let text = match result {
            Probe::Passed => "passed".to_owned(),
            Probe::Failed(failure) => failure.to_string(),
        };
        assert!(text.starts_with(expected), "{kind} {name}: {text}");
    };
    let off = || Verification::Off;
    let ca = |pem| Verification::Ca {
        pem,
        target: Target::named(None),
    };
    for kind in ["'tls'", "{ https = '/' }"] {
        check(kind, off(), "any.example", "passed").await;
        check(kind, ca(certificate.as_bytes()), "a.example", "passed").await;
        let untrusted = "TLS failed: the certificate is self-signed";
        check(
            kind,
            ca(other.certificate_pem.as_bytes()),
            "a.example",
            untrusted,
        )
        .await;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plain = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"220 plain text\r\n").await.unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    });
    let (mut prober, target) = parts(plain, "'tls'");
    prober.tls = Some(client_config(&off(), &Policy::default(), &[]).unwrap());
    let Probe::Failed(failure) = prober.probe(&target).await.probe else {
        panic!("plain text passed as TLS");
    };
    assert!(failure.to_string().contains("is not TLS"), "{failure}");
}

#[tokio::test]
async fn what_is_asked() {
    let (address, task) = target("HTTP/1.1 200 OK\r\n\r\n").await;
    let (prober, target) = parts(address, "{ http = '/health?x' }");
    assert_eq!(prober.probe(&target).await.probe, Probe::Passed);
    let expected = format!(
        "GET /health?x HTTP/1.1\r\nHost: {address}\r\nUser-Agent: Portway-HealthCheck/{}\r\n\
         Connection: close\r\n\r\n",
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(task.await.unwrap(), expected);
}

#[tokio::test]
async fn dead_and_silent_targets() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (prober, target) = parts(address, "{ http = '/', timeout = '50ms' }");
    let timeout = Probe::Failed(Failure::TimedOut(Duration::from_millis(50)));
    assert_eq!(prober.probe(&target).await.probe, timeout);
    drop(listener);
    let refused = Probe::Failed(Failure::ConnectionRefused);
    assert_eq!(prober.probe(&target).await.probe, refused);
}

#[tokio::test]
async fn a_target_goes_and_comes_back() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let snapshot = snapshot(
        &address.to_string(),
        "{ tcp = true, interval = '20ms', healthy_threshold = 2, unhealthy_threshold = 2 }",
    );
    let targets = watch(&snapshot);
    let target = targets[0][0].clone();
    let mut tasks = JoinSet::new();
    let process = Arc::default();
    let peers = peers(&targets[0]);
    start(
        &snapshot.groups[0],
        &GroupTls::default(),
        targets[0].iter().enumerate(),
        &peers,
        &process,
        &mut tasks,
    );
    let becomes = async |state: HealthState| {
        let wait = async {
            while target.health().state != state {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(30), wait).await;
        assert!(waited.is_ok(), "{state}: {:?}", target.health());
    };
    becomes(HealthState::Healthy).await;
    drop(listener);
    becomes(HealthState::Unhealthy).await;
    assert!(target.health().reason.contains("connection refused"));
    let _listener = TcpListener::bind(address).await.unwrap();
    becomes(HealthState::Healthy).await;
    assert!(target.health().passed >= 2 && target.health().failed >= 2);
}

/// A target that says `first`, and `reply` to whatever comes; gives what came.
async fn scripted(first: &'static [u8], reply: &'static [u8], check: &str) -> (String, Vec<u8>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heard = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(first).await.unwrap();
        let mut heard = Vec::new();
        while stream
            .read_buf(&mut heard)
            .await
            .is_ok_and(|count| count > 0)
        {
            if stream.write_all(reply).await.is_err() || reply.is_empty() {
                break;
            }
        }
        heard
    });
    let (prober, target) = parts(address, check);
    let outcome = prober.probe(&target).await;
    let code = outcome
        .code
        .map_or_else(String::new, |code| format!(" {code}"));
    let said = match &*outcome.said {
        "" => String::new(),
        said => format!(" {said}"),
    };
    let told = format!("{}{code}{said}", outcome.word.as_str());
    (told, heard.await.unwrap())
}

/// Requests, words, codes and texts that HAProxy 2.6 was seen to have.
#[tokio::test]
async fn services_are_spoken_to_as_haproxy_does() {
    let check = async |kind: &str, first, reply, heard: &[u8], expected: &str| {
        let check = format!("{{ service = {kind}, timeout = '2s', interval = '2s' }}");
        let (told, bytes) = scripted(first, reply, &check).await;
        assert_eq!(told, expected, "{kind}");
        if !heard.is_empty() {
            assert_eq!(
                String::from_utf8_lossy(&bytes),
                String::from_utf8_lossy(heard),
                "{kind}"
            );
        }
    };
    check(
        "'redis'",
        b"",
        b"+PONG\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        "L7OK 0 Redis server is ok",
    )
    .await;
    let smtp = "{ smtp = { hello = 'HELO', domain = 'localhost' } }";
    let heard = b"HELO localhost\r\nQUIT\r\n";
    let closing = b"250-a\r\n250 ok\r\n";
    check(smtp, b"220 hi\r\n", closing, heard, "L7OK 250 ok").await;
    check(smtp, b"500 hi\r\n", b"", b"", "L7STS 500 hi").await;
    let postgres = "{ postgres = 'joe' }";
    let heard = b"\0\0\0\x12\0\x03\0\0user\0joe\0\0";
    check(
        postgres,
        b"",
        b"R\0\0\0\x0c\0\0\0\x05abcd",
        heard,
        "L7OK 0 PostgreSQL server is ok",
    )
    .await;
    check(postgres, b"", b"E\0\0\0\x0cSFATAL\0", heard, "L7RSP FATAL").await;
    let heard = b"0\x0c\x02\x01\x01`\x07\x02\x01\x03\x04\x00\x80\x00";
    let bound = b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00";
    check("'ldap'", b"", bound, heard, "L7OK 0 Success").await;
    let long = b"\x30\x84\0\0\0\x10\x02\x01\x01\x61\x84\0\0\0\x07\x0a\x01\0\x04\0\x04\0";
    check("'ldap'", b"", long, heard, "L7OK 0 Success").await;
    let refused = b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x01\x04\x00\x04\x00";
    let rfc = "L7STS 1 See RFC: http://tools.ietf.org/html/rfc4511#section-4.1.9";
    check("'ldap'", b"", refused, heard, rfc).await;
    check(
        "'ssl_hello'",
        b"",
        b"\x16\x03\x00\x00\x02\x02\x00",
        b"",
        "L6OK",
    )
    .await;
    check("'ssl_hello'", b"", b"nope!", b"", "L6RSP").await;
    let greeting = b"\x07\0\0\0\x0a5.5.5\0";
    check("{ mysql = {} }", greeting, b"", b"", "L7OK 0 5.5.5").await;
    let heard = b"%\0\0\x01\0\x82\0\0\0\x80\0\x01!\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0joe\0\0\x01\0\0\0\x01";
    let ok = b"\x07\0\0\x02\0\0\0\x02\0\0\0";
    check(
        "{ mysql = { user = 'joe' } }",
        greeting,
        ok,
        heard,
        "L7OK 0 5.5.5",
    )
    .await;
    let old = "{ mysql = { user = 'joe', post_41 = false } }";
    let heard = b"\n\0\0\x01\0\x80\0\0\x01joe\0\0\x01\0\0\0\x01";
    check(old, greeting, ok, heard, "L7OK 0 5.5.5").await;
    let denied = b"\x09\0\0\0\xff\x15\x04Denied";
    check("{ mysql = {} }", denied, b"", b"", "L7STS 1045 Denied").await;
}

#[tokio::test]
async fn scripts_are_followed_as_haproxy_does() {
    let check = async |steps: &str, first, reply, heard: &str, expected: &str| {
        let check = format!("{{ script = [{steps}], timeout = '300ms', interval = '2s' }}");
        let (told, bytes) = scripted(first, reply, &check).await;
        assert_eq!(told, expected, "{steps}");
        assert_eq!(String::from_utf8_lossy(&bytes), heard, "{steps}");
    };
    let good = "{ expect = { status = '200-399' } }";
    let options = format!("{{ request = {{ method = 'OPTIONS', target = '/' }} }}, {good}");
    let asked = "OPTIONS / HTTP/1.0\r\n\r\n";
    let ok = b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nX-State: up, ok\r\n\r\nok";
    check(&options, b"", ok, asked, "L7OK 200").await;
    check(
        &options,
        b"",
        b"HTTP/1.0 500 Oops\r\n\r\n",
        asked,
        "L7STS 500 Oops",
    )
    .await;
    check(&options, b"", b"HELLO\r\n\r\n", asked, "L7RSP").await;
    let post = "{ request = { method = 'POST', target = '/y', version = 'HTTP/1.1', headers = { Host = 'h', X-A = 'b' }, body = 'hello' } }";
    let asked = "POST /y HTTP/1.1\r\nhost: h\r\nx-a: b\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello";
    check(&format!("{post}, {good}"), b"", ok, asked, "L7OK 200").await;
    let get = "{ request = { target = '/' } }";
    let asked = "GET / HTTP/1.0\r\n\r\n";
    let body = async |expect: &str, expected: &str| {
        check(
            &format!("{get}, {{ expect = {expect} }}"),
            b"",
            ok,
            asked,
            expected,
        )
        .await;
    };
    body(
        "{ body = 'good' }",
        "L7RSP HTTP content check did not match",
    )
    .await;
    body(
        "{ body = 'ok', not = true }",
        "L7RSP HTTP check matched unwanted content",
    )
    .await;
    body("{ status_pattern = '^4' }", "L7STS 200 OK").await;
    body(
        "{ status = 404, error = 'L7RSP', on_error = 'mine' }",
        "L7RSP mine",
    )
    .await;
    body(
        "{ header = { name = 'x-state', value = 'up' } }",
        "L7OK 200",
    )
    .await;
    body(
        "{ header = { name = 'x-state', value = 'up', whole = true } }",
        "L7STS 200 OK",
    )
    .await;
    body(
        "{ header = { name = { prefix = 'x-' }, value = { regex = '^o' } } }",
        "L7OK 200",
    )
    .await;
    let ping = "{ send = \"PING\\r\\n\" }";
    let pong = format!("{ping}, {{ expect = {{ bytes = '+PONG' }} }}");
    check(&pong, b"", b"+PONG\r\n", "PING\r\n", "L7OK (tcp-check)").await;
    let told = "L7TOUT  at step 2 of tcp-check (expect string '+PONG') comment: 'mine'";
    let pong = format!("{ping}, {{ expect = {{ bytes = '+PONG', comment = 'mine' }} }}");
    check(&pong, b"", b"-ERR\r\n", "PING\r\n", told).await;
    check(
        "{ expect = { bytes = 'abc', min_bytes = 2 } }",
        b"ab",
        b"",
        "",
        "L7RSP TCPCHK did not match content 'abc' at step 1",
    )
    .await;
    check(
        "{ expect = { hex_pattern = '^6162' } }",
        b"ab",
        b"",
        "",
        "L7OK (tcp-check)",
    )
    .await;
    let empty = "L7RSP TCPCHK got an empty response at step 2 comment: 'mine'";
    let ended = "{ send = 'x' }, { expect = { bytes = 'a', comment = 'mine' } }";
    check(ended, b"", b"", "x", empty).await;
    let set = "{ set = { variable = 'check.a', value = 'ab' } }";
    let sent = "{ send_text = '<${var.check.a}>' }, { send_hex_text = '4${var.check.a.length()}' }";
    let waits =
        "{ expect = { text = '${var.check.a}', on_success = '${group_name}', code = '7' } }";
    let computed = format!("{set}, {sent}, {waits}");
    check(&computed, b"", b"ab", "<ab>B", "L7OK 7 app").await;
    let first = "{ connect = { port = 1, comment = 'first' } }";
    let listener =
        "L4CON Connection refused at step 1 of tcp-check (connect port 1) comment: 'first'";
    let (prober, target) = parts(
        "127.0.0.1:2".parse().unwrap(),
        &format!("{{ script = [{first}] }}"),
    );
    let outcome = prober.probe(&target).await;
    let told = format!("{} {}", outcome.word.as_str(), outcome.said);
    assert_eq!(told, listener);
}

#[tokio::test]
async fn servers_do_not_see_checks_that_only_connect() {
    for check in ["{}", "{ script = [{ connect = true }] }"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (prober, target) = parts(listener.local_addr().unwrap(), check);
        let outcome = prober.probe(&target).await;
        assert_eq!(outcome.word.as_str(), "L4OK", "{check}");
        let accepted = tokio::time::timeout(Duration::from_millis(100), listener.accept()).await;
        assert!(accepted.is_err(), "{check}");
    }
}

#[tokio::test]
async fn a_404_may_take_a_target_out_of_rotation() {
    let script = "{ http = '/', drain_on_404 = true }";
    let answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    let (told, _) = scripted(b"", answer, script).await;
    assert_eq!(told, "L7OKC 404");
}

/// An agent that answers each question with the next line, and a target of it.
async fn agent(lines: &'static [&'static str], check: &str) -> Arc<WatchedTarget> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        for line in lines {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut question = [0; 2];
            stream.read_exact(&mut question).await.unwrap();
            assert_eq!(&question, b"?\n");
            stream.write_all(line.as_bytes()).await.unwrap();
        }
    });
    let text = format!(
        "[listener.web]\nbind = '127.0.0.1:1'\nforward = 'app'\n[target_group.app]\n{check}\n\
         targets = [{{ address = '127.0.0.1:9', weight = 50, agent = {{ port = {port}, send = \"?\\n\" }} }}]\n"
    );
    let compiled = compile_text("test.toml", &text);
    let snapshot = compiled
        .snapshot
        .unwrap_or_else(|| panic!("{:?}", compiled.diagnostics));
    watch(&snapshot)[0][0].clone()
}

/// After each answer: state, weight and what is reported.
async fn after_answers(lines: &'static [&'static str], expected: &[&str]) {
    let target = agent(lines, "").await;
    let told = Told {
        peers: peers(std::slice::from_ref(&target)),
        place: 0,
        fail_open: false,
        process: Arc::default(),
    };
    let agent = target.target.agent.clone().unwrap();
    for expected in expected {
        super::agent::once(&agent, &target, &told).await;
        let health = target.health();
        let last = health.agent.last.unwrap();
        let found = format!(
            "{} {} {} {}",
            health.state,
            target.weight(),
            last.word.as_str(),
            last.said
        );
        assert_eq!(found.trim_end(), *expected);
    }
}

#[tokio::test]
async fn agents_say_how_targets_are() {
    after_answers(
        &[
            "down # overload\n",
            "\n",
            "up 50%\n",
            "drain\n",
            "up\n",
            "ready\r\n",
            "maint",
            "",
            "maint,foo\n",
            "ready maxconn:9\n",
        ],
        &[
            "unhealthy 50 L7STS via agent : down (overload)",
            "unhealthy 50 CHECKED",
            "healthy 25 L7OK via agent : up",
            "draining 25 CHECKED",
            "draining 25 L7OK via agent : up",
            "healthy 25 CHECKED",
            "healthy 25 CHECKED Ignoring incomplete line from agent",
            "healthy 25 L7RSP TCPCHK got an empty response at step 2",
            "unused 25 CHECKED agent reports an error : foo",
            "healthy 25 CHECKED",
            // Nobody listens any more.
            "healthy 25 L4CON Connection refused",
        ],
    )
    .await;
}

#[tokio::test]
async fn an_agent_writes_into_no_terminal() {
    after_answers(
        &["down # \u{1b}[2Jgone\u{9b}1m\u{7}\n"],
        &["unhealthy 50 L7STS via agent : down (<1B>[2Jgone<9B>1m<07>)"],
    )
    .await;
    let target = agent(&["down # \u{1b}[2J\n"], "").await;
    let told = Told {
        peers: peers(std::slice::from_ref(&target)),
        place: 0,
        fail_open: false,
        process: Arc::default(),
    };
    let agent = target.target.agent.clone().unwrap();
    super::agent::once(&agent, &target, &told).await;
    let health = target.health();
    assert!(health.reason.contains("<1B>"), "{health:?}");
    assert!(!health.reason.contains(char::is_control), "{health:?}");
}

#[test]
fn a_limit_may_be_the_first_of_its_group() {
    let text = "[listener.web]\nbind = '127.0.0.1:1'\nforward = 'app'\n\
         [target_group.app]\ntargets = ['127.0.0.1:8', '127.0.0.1:9']\n";
    let compiled = compile_text("test.toml", text);
    let snapshot = compiled
        .snapshot
        .unwrap_or_else(|| panic!("{:?}", compiled.diagnostics));
    let targets = &watch(&snapshot)[0];
    let states = targets.iter().map(|it| it.state.clone()).collect();
    let _group = GroupParts::new(&snapshot.groups[0], None, states);
    assert_eq!(targets[1].limit("9"), Ok(()));
    assert_eq!((targets[0].state.most(), targets[1].state.most()), (0, 9));
    assert!(targets[1].limit("x").is_err());
}

#[tokio::test]
async fn an_agent_does_not_overrule_checks() {
    let target = agent(&[], "health_check = 'tcp'").await;
    let thresholds = Thresholds {
        healthy: 2,
        unhealthy: 3,
    };
    let check = |probe: Probe| {
        let check = LastCheck {
            at: SystemTime::now(),
            took: Duration::ZERO,
            word: CheckWord::L4Ok,
            code: None,
            said: "".into(),
        };
        target.checked(check, probe, thresholds);
    };
    // `+` and `-`: a check passes or fails; `u` and `d`: what the agent says.
    let walk = |steps: &str| -> String {
        let steps = steps.chars().map(|step| {
            match step {
                '+' => check(Probe::Passed),
                '-' => check(Probe::Failed(Failure::ConnectionRefused)),
                'u' => target.agent_told(AgentState::Up),
                _ => target.agent_told(AgentState::Down),
            }
            match target.state_now() {
                HealthState::Unhealthy => 'U',
                HealthState::Healthy => 'H',
                _ => '?',
            }
        });
        steps.collect()
    };
    assert_eq!(walk("+u-u-u-"), "HHHHHHU", "`up` forgets no failure");
    assert_eq!(walk("uu+u+"), "UUUUH", "nor does it heal");
    assert_eq!(walk("d---u++"), "UUUUUUH", "checks count on");
    assert_eq!(walk("d+++u"), "UUUUH");
    assert_eq!(walk("---d+++u"), "HHUUUUUH", "both must agree");
}

#[tokio::test]
async fn checks_do_not_overrule_an_agent() {
    let target = agent(&[], "health_check = 'tcp'").await;
    let thresholds = Thresholds {
        healthy: 1,
        unhealthy: 1,
    };
    let pass = || {
        let check = LastCheck {
            at: SystemTime::now(),
            took: Duration::ZERO,
            word: CheckWord::L4Ok,
            code: None,
            said: "".into(),
        };
        target.checked(check, Probe::Passed, thresholds);
        target.state_now()
    };
    target.agent_told(AgentState::Down);
    assert_eq!(pass(), HealthState::Unhealthy);
    target.order(TargetOrder::Maintain);
    target.order(TargetOrder::Ready);
    assert_eq!(target.state_now(), HealthState::Unhealthy);
    target.agent_told(AgentState::Up);
    assert_eq!(target.state_now(), HealthState::Initial);
    target.agent_told(AgentState::Down);
    target.rest_agent(true);
    assert_eq!(pass(), HealthState::Healthy);
}
