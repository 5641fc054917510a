//! Answers over real connections, before anything runs.

use std::net::{Ipv4Addr, SocketAddr};

use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn get_path(address: SocketAddr, path: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn before_anything_runs() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(serve(listener, Shown::default()));
    for (path, status, body) in [
        ("/livez", "200 OK", "ok\n"),
        ("/readyz", "503 Service Unavailable", "starting\n"),
        ("/status", "503 Service Unavailable", "starting\n"),
        ("/metrics", "503 Service Unavailable", "starting\n"),
        ("/", "503 Service Unavailable", "starting\n"),
        (
            "/nowhere",
            "404 Not Found",
            "POST /rollback/NUMBER   one of them is put to work again (the same)\n",
        ),
    ] {
        let answer = get_path(address, path).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}\r\n")),
            "{path}: {answer}"
        );
        assert!(answer.contains(body), "{path}: {answer}");
    }
    server.abort();
}

async fn begin() -> (SocketAddr, tokio::task::JoinHandle<io::Result<()>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    (address, tokio::spawn(serve(listener, Shown::default())))
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_keeps_no_place() {
    const KEPT: &str = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
    let (address, server) = begin().await;
    // Nothing, half a head, half a body, a request and then nothing.
    for said in [
        "",
        "GET /livez HTTP/1.1\r\nHo",
        "POST /drain HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{",
        KEPT,
    ] {
        let mut silent = Vec::new();
        for _ in 0..MAX_CONNECTIONS {
            let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
            stream.write_all(said.as_bytes()).await.unwrap();
            silent.push(stream);
        }
        let begun = tokio::time::Instant::now();
        let answer = get_path(address, "/livez").await;
        assert!(answer.ends_with("ok\n"), "{said}: {answer}");
        let waited = begun.elapsed();
        assert!(
            (limit::SILENCE..limit::SILENCE * 3).contains(&waited),
            "{said}: {waited:?}"
        );
        for mut stream in silent {
            let mut rest = Vec::new();
            drop(stream.read_to_end(&mut rest).await);
            assert_eq!(rest.ends_with(b"ok\n"), said == KEPT);
        }
    }
    server.abort();
}

#[tokio::test]
async fn of_readiness_nothing_else_can_be_asked() {
    let (address, server) = begin().await;
    for (query, status) in [
        ("", 503),
        ("?listener=a%20b", 503),
        ("?listner=a", 400),
        ("?listener=a&deep=1", 400),
        ("?a", 400),
    ] {
        let answer = get_path(address, &format!("/readyz{query}")).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{query}: {answer}"
        );
    }
    server.abort();
}
