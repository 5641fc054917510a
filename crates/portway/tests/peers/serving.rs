//! Targets that live in this process, a thread for each connection, and can die.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::support::{eventually, local};

/// One that serves until it dies, or the process ends.
pub(crate) struct Serving {
    pub(crate) port: u16,
    /// Those who are served; `None`: it is dead.
    streams: Arc<Mutex<Option<Vec<TcpStream>>>>,
}

impl Serving {
    /// Serves each connection to this port so; 0: any that is free.
    pub(crate) fn start(port: u16, serve: impl Fn(&TcpStream) + Send + Sync + 'static) -> Self {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        let port = socket.local_addr().unwrap().port();
        let streams = Arc::new(Mutex::new(Some(Vec::new())));
        let (shared, serve) = (Arc::clone(&streams), Arc::new(serve));
        thread::spawn(move || {
            for stream in socket.incoming().flatten() {
                let mut streams = shared.lock().unwrap();
                let Some(streams) = streams.as_mut() else {
                    return;
                };
                streams.push(stream.try_clone().unwrap());
                let serve = Arc::clone(&serve);
                thread::spawn(move || serve(&stream));
            }
        });
        Self { port, streams }
    }

    /// Nobody listens from now on, and nobody is answered any more.
    pub(crate) fn die(&self) {
        let streams = self.streams.lock().unwrap().take();
        for stream in streams.iter().flatten() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        // The first that comes wakes it up.
        eventually("nobody listens", || {
            TcpStream::connect(local(self.port)).is_err().then_some(())
        });
    }
}

/// The head of the next request without a body, in lines; `None` where no more comes.
pub(crate) fn next_head(reader: &mut BufReader<&TcpStream>) -> Option<Vec<String>> {
    let mut lines = Vec::new();
    for line in reader.lines() {
        match line.ok()? {
            line if line.is_empty() => return Some(lines),
            line => lines.push(line),
        }
    }
    None
}
