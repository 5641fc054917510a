//! Bulk goes through pipes of the kernel where both sides are in clear, through reloads and past dead targets, and is
//! copied where the file says so.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;

use crate::control_socket::ask;
use crate::stage::Stage;
use crate::support::{Scene, eventually, free_port, local};

const MIB: usize = 1024 * 1024;
/// More than the buffers on the way hold, so that a client that does not read holds up the rest.
const MUCH: usize = 24 * MIB;

/// A target that sends so much to whoever has sent it a byte, after a head of HTTP where that byte is of a request.
fn source(bytes: usize) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            thread::spawn(move || {
                let mut first = [0];
                stream.read_exact(&mut first)?;
                if first == *b"G" {
                    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n")?;
                }
                let piece = [first[0]; 64 * 1024];
                for _ in 0..bytes / piece.len() {
                    stream.write_all(&piece)?;
                }
                stream.read_to_end(&mut Vec::new())
            });
        }
    });
    port
}

/// A connection whose target has begun to send.
fn begun(port: u16) -> TcpStream {
    let mut client = TcpStream::connect(local(port)).unwrap();
    client.write_all(b"x").unwrap();
    client.read_exact(&mut [0]).unwrap();
    client
}

/// Everything comes.
fn finish(mut client: TcpStream) {
    let mut rest = vec![0; MUCH - 1];
    client.read_exact(&mut rest).unwrap();
    assert!(rest.iter().all(|byte| *byte == b'x'));
}

fn text(port: u16, targets: &[u16], process: &str) -> String {
    let targets: Vec<String> = targets
        .iter()
        .map(|it| format!("\"127.0.0.1:{it}\""))
        .collect();
    format!(
        "[process]\n{process}\n[listener.raw]\nbind = \"127.0.0.1:{port}\"\nprotocol = \"tcp\"\nforward = \"raw\"\n\
         [target_group.raw]\nalgorithm = \"first\"\ntargets = [{}]\n",
        targets.join(", ")
    )
}

fn number(stage: &Stage, line: &str) -> u64 {
    stage.metric(line).parse().unwrap()
}

#[test]
fn what_is_under_way_is_whole_whatever_a_reload_says_and_a_dead_target_does() {
    let (dead, alive, port) = (free_port(), source(MUCH), free_port());
    let both = [dead, alive];
    let stage = Stage::new(&text(port, &both, ""));
    let moved = || number(&stage, "portway_spliced_bytes_total ");
    finish(begun(port));
    assert!(moved() > MUCH as u64 / 2, "{}", moved());

    // In the middle, with a pipe that is not empty, it is said that there are to be none.
    let client = begun(port);
    eventually("a pipe is lent", || {
        (number(&stage, "portway_pipes{state=\"lent\"} ") == 1).then_some(())
    });
    stage.becomes(&text(port, &both, "max_pipes = 0"));
    finish(client);
    let before = moved();
    finish(begun(port));
    assert_eq!(moved(), before);
    stage.becomes(&text(port, &both, "max_pipes = 1"));
    let clients = [begun(port), begun(port)];
    clients.into_iter().for_each(finish);
    assert!(moved() > before);
    eventually("all pipes are back", || {
        (number(&stage, "portway_pipes{state=\"lent\"} ") == 0).then_some(())
    });
}

#[test]
fn a_haproxy_file_says_how_many_pipes() {
    let (target, tcp, http) = (source(MUCH), free_port(), free_port());
    for (global, most) in [
        ("maxpipes 3", 3),
        ("nosplice", 0),
        ("nosplice\n  maxpipes 3", 0),
    ] {
        let scene = Scene::new();
        let socket = scene.path("admin.sock");
        let file = format!(
            "global\n  {global}\n  stats socket {}\ndefaults\n  timeout client 20s\n  timeout server 20s\n  \
             timeout connect 5s\nlisten raw\n  mode tcp\n  bind 127.0.0.1:{tcp}\n  server a 127.0.0.1:{target}\n\
             listen web\n  mode http\n  bind 127.0.0.1:{http}\n  server a 127.0.0.1:{target}\n",
            socket.display()
        );
        scene.file("haproxy.cfg", &file);
        let portway = scene.portway_with(&["haproxy.cfg"]);
        let info = |name: &str| {
            let info = ask(&socket, "show info");
            let value = info.lines().find_map(|line| line.strip_prefix(name));
            value.unwrap().trim().parse::<usize>().unwrap()
        };
        finish(begun(tcp));
        let url = format!("http://127.0.0.1:{http}/");
        let got = scene.curl(&["-s", "-o", "page", "-w", "%{size_download}", &url]);
        assert_eq!(got.good().trim(), MUCH.to_string());
        assert_eq!(info("Maxpipes:"), most);
        let moved = info("TotalSplicdedBytesOut:");
        let expected = if most == 0 { 0..1 } else { MUCH..2 * MUCH };
        assert!(expected.contains(&moved), "{global}: {moved}");
        drop(portway);
    }
}
