//! The load beside the clients of every run: tunnels by the thousand, downloads and uploads of gigabytes, connections that rest,
//! wrk.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::chance::Chance;
use super::super::client::{Scene, has_ended};
use super::super::tally::{Class, Count, Tally, Trouble};
use super::super::target::FLOW_BLOCK;
use super::super::thread;
use super::super::wire::{self, Line, Pace};
use crate::process;

/// Between two heartbeats of a tunnel.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Threads that hold tunnels.
const CROWDS: usize = 4;
/// Connections that rest.
const IDLE: usize = 100;
/// How long one wrk runs: each tells the 99th percentile of its time.
const WRK: Duration = Duration::from_secs(4);
/// Downloads and uploads of the large kind, at the same time.
const FLOWS: usize = 2;

/// Connections that wait for their next request.
#[derive(Default)]
pub(super) struct Idle(Vec<TcpStream>);

impl Idle {
    /// Opens all of them anew.
    pub(super) fn open(&mut self, scene: &Scene) {
        self.0.clear();
        for _ in 0..IDLE {
            let opened = Line::connect(scene.http).and_then(|mut line| {
                ask(scene, &mut line)?;
                line.socket().try_clone().map_err(Trouble::within)
            });
            match opened {
                Ok(socket) => self.0.push(socket),
                Err(trouble) => scene
                    .ground
                    .tally
                    .fail(format_args!("idle: {}", trouble.text)),
            }
        }
    }

    /// Looks at all of them, and uses some.
    pub(super) fn still_there(&mut self, scene: &Scene) {
        let tally = &scene.ground.tally;
        let closed = self.0.iter().filter(|socket| has_ended(socket)).count();
        if closed > 0 {
            tally.fail(format_args!("{closed} connections that rested were closed"));
            return self.open(scene);
        }
        for socket in self.0.iter().step_by(10) {
            let used = socket
                .set_nonblocking(false)
                .and_then(|()| socket.try_clone());
            let used = used.map_err(Trouble::before).and_then(Line::again);
            if let Err(trouble) = used.and_then(|mut line| ask(scene, &mut line)) {
                tally.fail(format_args!("idle: {}", trouble.text));
            }
        }
    }

    pub(super) fn close(&mut self) {
        self.0.clear();
    }
}

fn ask(scene: &Scene, line: &mut Line) -> Result<(), Trouble> {
    let tally = &scene.ground.tally;
    tally.add(Class::Idle, Count::Sent);
    let request = scene.request(Class::Idle, "GET /bytes/7/10/length HTTP/1.1", "");
    line.send(&request).map_err(Trouble::before)?;
    let head = line.response()?;
    let content = line.body(wire::ending(&head, true))?;
    let verdict = scene.ground.pattern.compare(7, 10, &content);
    verdict.map_err(Trouble::wrong)?;
    tally.add(Class::Idle, Count::Whole);
    Ok(())
}

/// What runs beside the clients.
pub(super) struct Load {
    crowds: Vec<JoinHandle<u64>>,
    others: Vec<JoinHandle<()>>,
    reloading: Arc<AtomicBool>,
    wrk: Arc<Mutex<Figures>>,
}

/// What it came to.
#[derive(Debug, Clone, Default)]
pub(super) struct Figures {
    /// Requests of wrk.
    pub(super) requests: u64,
    pub(super) tunnels_alive: u64,
    /// 99th percentiles in milliseconds, without reloads and between them.
    before: Vec<f64>,
    during: Vec<f64>,
}

impl Load {
    pub(super) fn begin(
        scene: &Arc<Scene>,
        tunnels: usize,
        connections: usize,
        flow: u64,
    ) -> Result<Self, String> {
        let mut load = Self {
            crowds: Vec::new(),
            others: Vec::new(),
            reloading: Arc::default(),
            wrk: Arc::default(),
        };
        for nth in 0..CROWDS {
            let (scene, chance) = (
                Arc::clone(scene),
                Chance::new(scene.ground.seed, 2000 + nth as u64),
            );
            let count = tunnels / CROWDS + usize::from(nth < tunnels % CROWDS);
            let crowd = std::thread::Builder::new().name("tunnels".to_owned());
            let crowd = crowd.spawn(move || crowd_of(&scene, chance, count));
            load.crowds
                .push(crowd.map_err(|e| format!("a thread for tunnels: {e}"))?);
        }
        for nth in 0..FLOWS as u64 {
            for up in [true, false] {
                let scene = Arc::clone(scene);
                let chance = Chance::new(scene.ground.seed, 3000 + 2 * nth + u64::from(up));
                load.others
                    .push(thread("flow", move || flows(&scene, chance, flow, up))?);
            }
        }
        if connections > 0 && process::find("wrk").is_none() {
            eprintln!("torture: wrk is not installed: the run goes on without it");
        } else if connections > 0 {
            for (count, closes) in [(connections, false), ((connections / 4).max(1), true)] {
                let (scene, reloading) = (Arc::clone(scene), load.reloading.clone());
                let figures = load.wrk.clone();
                load.others.push(thread("wrk", move || {
                    while !scene.ground.is_over() {
                        wrk(&scene, (count, closes), &reloading, &figures);
                    }
                })?);
            }
        }
        Ok(load)
    }

    /// From now on what is measured is measured between reloads.
    pub(super) fn reloads_begin(&self) {
        self.reloading.store(true, Ordering::Relaxed);
    }

    /// Waits for all of it; the run is over.
    pub(super) fn end(self, tally: &Tally) -> Figures {
        let mut alive = 0;
        for crowd in self.crowds {
            match crowd.join() {
                Ok(count) => alive += count,
                Err(_) => tally.fail("a crowd panicked: a mistake of the run itself"),
            }
        }
        for other in self.others {
            if other.join().is_err() {
                tally.fail("a client panicked: a mistake of the run itself");
            }
        }
        let figures = self.wrk.lock().map(|it| it.clone()).unwrap_or_default();
        Figures {
            tunnels_alive: alive,
            ..figures
        }
    }
}

/// Holds tunnels and sends heartbeats through them; how many live to the end.
fn crowd_of(scene: &Scene, mut chance: Chance, count: usize) -> u64 {
    let tally = &scene.ground.tally;
    let mut lines = Vec::with_capacity(count);
    for _ in 0..count {
        match tunnel(scene, &mut chance) {
            Ok(line) => lines.push(line),
            Err(trouble) => tally.fail(format_args!("a tunnel did not begin: {}", trouble.text)),
        }
    }
    let pause = HEARTBEAT / u32::try_from(count.max(1)).unwrap_or(1);
    while !scene.ground.is_over() && !lines.is_empty() {
        let mut at = 0;
        while at < lines.len() && !scene.ground.is_over() {
            let beat = lines.get_mut(at).map(|line| beat(scene, line, &mut chance));
            match beat {
                Some(Err(trouble)) => {
                    tally.fail(format_args!("a tunnel was cut: {}", trouble.text));
                    lines.swap_remove(at);
                }
                _ => at += 1,
            }
            std::thread::sleep(pause);
        }
    }
    lines.len() as u64
}

fn tunnel(scene: &Scene, chance: &mut Chance) -> Result<Line, Trouble> {
    scene.ground.tally.add(Class::Tunnel, Count::Sent);
    let mut line = match chance.one_in(4) {
        true => Line::connect_tls(scene.https, &scene.resuming)?,
        false => Line::connect(scene.http)?,
    };
    let fields = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                  Sec-WebSocket-Key: dG9ydHVyZSB0b3J0dXJlIQ==\r\n";
    let request = scene.request(Class::Tunnel, "GET /echo HTTP/1.1", fields);
    line.send(&request).map_err(Trouble::before)?;
    let head = line.response()?;
    match head.status() {
        101 => Ok(line),
        _ => Err(Trouble::wrong(&head.first)),
    }
}

/// A frame of a WebSocket goes out, masked with zeros, and comes back.
fn beat(scene: &Scene, line: &mut Line, chance: &mut Chance) -> Result<(), Trouble> {
    let (key, size) = (chance.next(), 1 + chance.below(120));
    let mut frame = vec![0x82, 0x80 | u8::try_from(size).unwrap_or(1), 0, 0, 0, 0];
    frame.extend_from_slice(scene.ground.pattern.content(key, size));
    line.send(&frame).map_err(Trouble::within)?;
    let back = line.exactly(frame.len())?;
    if back != frame {
        return Err(Trouble::wrong("corrupt content in a tunnel"));
    }
    scene
        .ground
        .tally
        .heartbeats
        .fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// Large downloads or uploads, one after the other, each slowly.
fn flows(scene: &Scene, mut chance: Chance, size: u64, up: bool) {
    let tally = &scene.ground.tally;
    while !scene.ground.is_over() {
        let class = if up { Class::Uploads } else { Class::Gets };
        tally.add(class, Count::Sent);
        let key = chance.next() >> 1;
        let result = match up {
            true => upload(scene, key, size),
            false => download(scene, key, size),
        };
        match result {
            Ok(true) => tally.add(class, Count::Whole),
            // The run is over, and this was not.
            Ok(false) => {}
            Err(trouble) => {
                tally.close(class, Err(trouble));
            }
        }
    }
}

fn download(scene: &Scene, key: u64, size: u64) -> Result<bool, Trouble> {
    let mut line = Line::connect(scene.http)?;
    let pause = Duration::from_millis(8);
    line.set_pace(Pace {
        bytes: 64 << 10,
        pause,
    });
    let request = scene.request(Class::Gets, &format!("GET /flow/{key}/{size} HTTP/1.1"), "");
    line.send(&request).map_err(Trouble::before)?;
    let head = line.response()?;
    if head.status() != 200 {
        return Err(Trouble::wrong(&head.first));
    }
    for block in 0..size / FLOW_BLOCK as u64 {
        if scene.ground.is_over() {
            return Ok(false);
        }
        let content = line.exactly(FLOW_BLOCK)?;
        let verdict = scene
            .ground
            .pattern
            .compare(key + block, FLOW_BLOCK, &content);
        verdict.map_err(Trouble::wrong)?;
        let counted = &scene.ground.tally.bytes_down;
        counted.fetch_add(FLOW_BLOCK as u64, Ordering::Relaxed);
    }
    Ok(true)
}

fn upload(scene: &Scene, key: u64, size: u64) -> Result<bool, Trouble> {
    let mut line = Line::connect(scene.http)?;
    let fields = format!(
        "Content-Length: {}\r\n",
        size / FLOW_BLOCK as u64 * FLOW_BLOCK as u64
    );
    let start = format!("PUT /flow/{key}/{size} HTTP/1.1");
    let request = scene.request(Class::Uploads, &start, &fields);
    line.send(&request).map_err(Trouble::before)?;
    for block in 0..size / FLOW_BLOCK as u64 {
        if scene.ground.is_over() {
            return Ok(false);
        }
        let content = scene.ground.pattern.content(key + block, FLOW_BLOCK);
        line.send(content).map_err(Trouble::before)?;
        std::thread::sleep(Duration::from_millis(30));
    }
    let head = line.response()?;
    match head.status() == 200 && head.number("x-key") == Some(key) {
        true => Ok(true),
        false => Err(Trouble::wrong(&head.first)),
    }
}

/// One run of wrk.
fn wrk(
    scene: &Scene,
    (connections, closes): (usize, bool),
    reloading: &AtomicBool,
    figures: &Mutex<Figures>,
) {
    let tally = &scene.ground.tally;
    let during = reloading.load(Ordering::Relaxed);
    let [count, seconds] = [connections as u64, WRK.as_secs()].map(|it| it.to_string());
    let marker = format!("X-Marker: {}", scene.ground.marker);
    let url = format!("http://{}/bytes/7/512/length", scene.http);
    let mut command = process::program("wrk");
    command.args([
        "-t1",
        "-c",
        &count,
        "-d",
        &seconds,
        "--latency",
        "-H",
        &marker,
    ]);
    if closes {
        command.args(["-H", "Connection: close"]);
    }
    command.arg(url);
    let text = match process::quiet(&mut command) {
        Ok(text) => text,
        Err(problem) => return tally.fail(format_args!("wrk: {problem}")),
    };
    let wrong = |line: &&str| line.contains("Socket errors") || line.contains("Non-2xx");
    for line in text.lines().filter(wrong) {
        let what = if closes {
            "new connections"
        } else {
            "keep-alive"
        };
        tally.fail(format_args!("wrk, {what}: {}", line.trim()));
    }
    let requests = text
        .lines()
        .find_map(|line| line.split_once(" requests in "));
    let requests = requests.and_then(|(count, _)| count.trim().parse::<u64>().ok());
    let Ok(mut figures) = figures.lock() else {
        return;
    };
    figures.requests += requests.unwrap_or(0);
    let percentile = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("99%"));
    if let Some(milliseconds) = percentile.and_then(milliseconds).filter(|_| !closes) {
        match during {
            true => figures.during.push(milliseconds),
            false => figures.before.push(milliseconds),
        }
    }
}

/// `1.25ms`, `630.00us` or `1.02s` of wrk.
fn milliseconds(text: &str) -> Option<f64> {
    let text = text.trim();
    let units = [("us", 0.001), ("ms", 1.0), ("s", 1000.0)];
    let (number, factor) = units
        .iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))?;
    Some(number.parse::<f64>().ok()? * factor)
}

impl Figures {
    /// Medians of the percentiles, and the highest one.
    fn percentiles(&self) -> [f64; 3] {
        let sorted = |of: &[f64]| {
            let mut of = of.to_vec();
            of.sort_by(f64::total_cmp);
            of
        };
        let (before, during) = (sorted(&self.before), sorted(&self.during));
        let median = |of: &[f64]| of.get(of.len() / 2).copied().unwrap_or(0.0);
        let most = during.last().copied().unwrap_or(0.0);
        [median(&before), median(&during), most]
    }

    pub(super) fn json(&self) -> Value {
        let [before, during, most] = self.percentiles();
        json!({
            "requests": self.requests, "p99_ms_without_reloads": before,
            "p99_ms_with_reloads": during, "p99_ms_worst_4_seconds": most,
        })
    }

    pub(super) fn line(&self) -> String {
        if self.requests == 0 {
            return "wrk did not run".to_owned();
        }
        let [before, during, most] = self.percentiles();
        format!(
            "wrk: {} requests; 99% within {before:.2} ms without reloads, {during:.2} ms with them, {most:.2} ms in the worst {} s",
            self.requests,
            WRK.as_secs()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_wrk() {
        for (text, expected) in [("  1.25ms", 1.25), (" 630.00us", 0.63), ("1.50s", 1500.0)] {
            assert!(
                milliseconds(text).is_some_and(|it| (it - expected).abs() < 1e-9),
                "{text}"
            );
        }
        assert_eq!(milliseconds("1.5"), None);
    }
}
