//! How many requests a client's connection serves: before and after a reload, and past a target that is dead.

use crate::echo::Echo;
use crate::stage::{Client, Stage, group, listener};
use crate::support::free_port;

/// The requests up to the one that the client is told is the last, of `most`.
fn served(client: &mut Client, most: usize) -> usize {
    for number in 1..=most {
        client.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
        let head = client.answer();
        assert!(head.starts_with("http/1.1 200"), "{head}");
        if head.contains("\r\nconnection: close\r\n") {
            assert_eq!(client.try_answer(), None);
            return number;
        }
    }
    most
}

#[test]
fn a_connection_serves_as_many_requests_as_the_file_of_now_says() {
    let (one, dead, web) = (Echo::start("one"), free_port(), free_port());
    let with = |more: &str| {
        let (web, app) = (listener("web", web, "app"), group("app", &[one.port, dead]));
        format!("{web}{more}\n{app}max_connection_requests = 2\n")
    };
    let stage = Stage::new(&with("max_connection_requests = 4"));
    assert_eq!(served(&mut Client::new(web), 9), 4);
    // What was served before a reload counts after it.
    let mut client = Client::new(web);
    assert_eq!(served(&mut client, 1), 1);
    stage.becomes(&with("max_connection_requests = 3"));
    assert_eq!(served(&mut client, 9), 2);
    let mut client = Client::new(web);
    stage.becomes(&with(""));
    assert_eq!(served(&mut client, 9), 9);
    let connections =
        "portway_target_connections_total{target_group=\"app\",target=\"127.0.0.1:PORT\"} ";
    let made = stage.metric(&connections.replace("PORT", &one.port.to_string()));
    assert!(made.parse::<usize>().unwrap() >= (4 + 3 + 9) / 2, "{made}");
}
