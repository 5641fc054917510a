//! Checks of targets that are real sockets of these tests.

use std::net::SocketAddr;
use std::time::Duration;

use portway_core::health::{Failure, Probe};
use portway_model::snapshot::Snapshot;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::tls::client::{Verification, client_config};
use crate::tls::identity::{PemSource, load_identity};
use crate::tls::policy::Policy;
use crate::tls::resolver::{CertificateResolver, NoMatch};
use crate::tls::self_signed::self_signed;
use crate::tls::server::server_config;
use crate::tls::tickets::TicketKeys;
use rustls_pki_types::UnixTime;

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
        tls: None,
        server_name: NameToSend::Client,
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
    let result = match prober.probe(&target).await {
        Probe::Passed => Ok(()),
        Probe::Failed(failure) => Err(failure.to_string()),
    };
    assert_eq!(result, expected.map_err(str::to_owned), "{check} {answer}");
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
        tickets.scoped("x"),
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
        let result = prober.probe(&target).await;
        let text = match result {
            Probe::Passed => "passed".to_owned(),
            Probe::Failed(failure) => failure.to_string(),
        };
        assert!(text.starts_with(expected), "{kind} {name}: {text}");
    };
    let off = || Verification::Off;
    let ca = |pem| Verification::Ca { pem, name: None };
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
    let Probe::Failed(failure) = prober.probe(&target).await else {
        panic!("plain text passed as TLS");
    };
    assert!(failure.to_string().contains("is not TLS"), "{failure}");
}

#[tokio::test]
async fn what_is_asked() {
    let (address, task) = target("HTTP/1.1 200 OK\r\n\r\n").await;
    let (prober, target) = parts(address, "{ http = '/health?x' }");
    assert_eq!(prober.probe(&target).await, Probe::Passed);
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
    assert_eq!(prober.probe(&target).await, timeout);
    drop(listener);
    let refused = Probe::Failed(Failure::ConnectionRefused);
    assert_eq!(prober.probe(&target).await, refused);
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
    start(&snapshot.groups[0], None, &targets[0], &mut tasks);
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
