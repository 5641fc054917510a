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
