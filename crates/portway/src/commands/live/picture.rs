//! A picture of the running Portway, as lines: what fits into the terminal, the most important first.

use std::time::Duration;

use portway_admin::json::{Status, Target};
use serde::Serialize;

use super::super::paint::Paint;
use super::sample::{Counted, Figures, Rate};

/// What is drawn.
#[derive(Debug, Clone)]
pub(super) struct Live {
    /// What was answered last.
    pub(super) status: Status,
    /// Of all listeners.
    pub(super) total: Rate,
    /// By listener, as in the status.
    pub(super) listeners: Vec<Rate>,
    /// By group, as in the status.
    pub(super) groups: Vec<Rate>,
    /// Seconds since 1970.
    pub(super) now: f64,
    /// Nothing answers, for so long, for this reason.
    pub(super) silent: Option<(Duration, String)>,
}

/// How it is drawn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    pub(super) width: usize,
    /// Lines; `None`: as many as there are.
    pub(super) height: Option<usize>,
    pub(super) paint: Paint,
}

impl Live {
    /// What two looks give, `seconds` apart.
    pub(super) fn between(
        status: Status,
        (before, now): (Option<&Counted>, &Counted),
        seconds: f64,
        moment: f64,
    ) -> Self {
        let rate =
            |name: &str, of: fn(&Counted) -> &std::collections::BTreeMap<String, Figures>| {
                let figures = of(now).get(name);
                let earlier = before.and_then(|it| of(it).get(name));
                figures.map_or_else(Rate::default, |it| it.since(earlier, seconds))
            };
        let all = |of: &Counted| {
            let listeners = of.listeners.values();
            listeners.fold(Figures::default(), |sum, it| sum.with(it))
        };
        let listeners = status.listeners.iter();
        let groups = status.target_groups.iter();
        Self {
            total: all(now).since(before.map(all).as_ref(), seconds),
            listeners: listeners
                .map(|it| rate(&it.name, |it| &it.listeners))
                .collect(),
            groups: groups.map(|it| rate(&it.name, |it| &it.groups)).collect(),
            status,
            now: moment,
            silent: None,
        }
    }

    /// One line of JSON.
    pub(super) fn json(&self) -> String {
        #[derive(Serialize)]
        struct Named<'l> {
            name: &'l str,
            #[serde(flatten)]
            rate: &'l Rate,
        }
        let listeners = self.status.listeners.iter().zip(&self.listeners);
        let listeners = listeners.map(|(it, rate)| Named {
            name: &it.name,
            rate,
        });
        let groups = self.status.target_groups.iter().zip(&self.groups);
        let groups = groups.map(|(it, rate)| Named {
            name: &it.name,
            rate,
        });
        let value = match &self.silent {
            Some((_, error)) => {
                serde_json::json!({ "at": self.now, "answers": false, "error": error })
            }
            None => serde_json::json!({
                "at": self.now,
                "answers": true,
                "total": self.total,
                "listeners": listeners.collect::<Vec<_>>(),
                "target_groups": groups.collect::<Vec<_>>(),
                "status": self.status,
            }),
        };
        value.to_string()
    }

    /// The lines.
    pub(super) fn lines(&self, look: Look) -> Vec<String> {
        let mut lines = self.head(look);
        lines.push(String::new());
        lines.extend(self.listeners(look));
        lines.push(String::new());
        lines.extend(self.groups(look));
        lines.push(String::new());
        let room = look
            .height
            .map(|height| height.saturating_sub(lines.len() + 1));
        lines.extend(self.targets(look, room));
        if let Some(height) = look.height {
            lines.truncate(height);
        }
        lines
    }

    fn head(&self, look: Look) -> Vec<String> {
        let process = &self.status.process;
        let workers = if process.workers == 1 {
            "worker"
        } else {
            "workers"
        };
        let title = format!(
            "Portway {}  process {}  up {}  {} {workers}  configuration {}{}",
            process.version,
            process.pid,
            span(process.uptime),
            process.workers,
            process.generation,
            if process.draining { "  stopping" } else { "" },
        );
        let mut lines = vec![look.paint.bold(&cut(&title, look.width))];
        if let Some((since, error)) = &self.silent {
            let text = format!("! no answer for {}: {error}", span(since.as_secs_f64()));
            lines.push(look.paint.bad(&cut(&text, look.width)));
        }
        let total = &self.total;
        let connections: u64 = self.status.listeners.iter().map(|it| it.connections).sum();
        let queued: u32 = self.status.target_groups.iter().map(|it| it.queued).sum();
        let rates = format!(
            "{} requests/s  {} 5xx/s  p50 {}  p99 {}",
            number(total.requests),
            number(total.server_errors),
            time(total.p50),
            time(total.p99),
        );
        lines.push(look.marked(&cut(&rates, look.width), total.server_errors > 0.0));
        let now = format!(
            "{connections} connections  {} in flight  {queued} queued",
            number(total.in_flight)
        );
        lines.push(cut(&now, look.width));
        lines.extend(self.changes(look));
        lines
    }

    /// The latest reload and upgrade, and what drains.
    fn changes(&self, look: Look) -> Vec<String> {
        let process = &self.status.process;
        let ago = |at: f64| span((self.now - at).max(0.0));
        let mut lines = Vec::new();
        let mut went = |what: &str, at: f64, took: f64, error: Option<&str>| {
            lines.push(match error {
                None => {
                    let text = format!("{what} {} ago, in {:.0} ms", ago(at), took * 1000.0);
                    cut(&text, look.width)
                }
                Some(error) => {
                    let text = format!("! {what} {} ago has failed: {error}", ago(at));
                    look.paint.bad(&cut(&text, look.width))
                }
            });
        };
        if let Some(it) = &process.last_reload {
            went("reload", it.at, it.took, it.error.as_deref());
        }
        if let Some(it) = &process.last_upgrade {
            went("upgrade", it.at, it.took, it.error.as_deref());
        }
        if let Some(number) = process.rolled_back_to {
            let text = format!("rolled back to generation {number}: the files say something else");
            lines.push(cut(&text, look.width));
        }
        let cut_off = |until: Option<f64>| {
            until.map_or(String::new(), |until| {
                format!(", cut off in {}", span((until - self.now).max(0.0)))
            })
        };
        for it in &self.status.earlier {
            let (pid, left, until) = (it.pid, it.connections, cut_off(it.until));
            let text = format!("served before: process {pid}, {left} connections left{until}");
            lines.push(cut(&text, look.width));
        }
        for it in &self.status.draining {
            let until = cut_off(it.until);
            let text = format!("draining: {} {}, {} left{until}", it.kind, it.name, it.left);
            lines.push(cut(&text, look.width));
        }
        lines
    }

    fn listeners(&self, look: Look) -> Vec<String> {
        let (name, address) = wide(look.width, 54);
        let head = format!(
            "{:name$} {:address$} {:>6} {:>7} {:>6} {:>6} {:>8} {:>8}",
            cut("LISTENER", name),
            cut("ADDRESS", address),
            "CONNS",
            "REQ/S",
            "4XX/S",
            "5XX/S",
            "P50",
            "P99"
        );
        let mut lines = vec![look.paint.dim(&cut(&head, look.width))];
        for (it, rate) in self.status.listeners.iter().zip(&self.listeners) {
            let line = format!(
                "{:name$} {:address$} {:>6} {:>7} {:>6} {:>6} {:>8} {:>8}",
                cut(&it.name, name),
                cut(&it.addresses.join(" "), address),
                it.connections,
                number(rate.requests),
                number(rate.client_errors),
                number(rate.server_errors),
                time(rate.p50),
                time(rate.p99),
            );
            lines.push(look.marked(&cut(&line, look.width), rate.server_errors > 0.0));
        }
        lines
    }

    fn groups(&self, look: Look) -> Vec<String> {
        let (name, up) = wide(look.width, 54);
        let head = format!(
            "{:name$} {:up$} {:>6} {:>7} {:>6} {:>6} {:>8} {:>8}",
            cut("TARGET GROUP", name),
            cut("TARGETS UP", up),
            "BUSY",
            "REQ/S",
            "QUEUE",
            "5XX/S",
            "P50",
            "P99"
        );
        let mut lines = vec![look.paint.dim(&cut(&head, look.width))];
        for (it, rate) in self.status.target_groups.iter().zip(&self.groups) {
            let serving = it.targets.iter().filter(|it| is_well(it)).count();
            let busy: u32 = it.targets.iter().map(|it| it.in_flight).sum();
            let line = format!(
                "{:name$} {:up$} {:>6} {:>7} {:>6} {:>6} {:>8} {:>8}",
                cut(&it.name, name),
                format!("{serving} of {}", it.targets.len()),
                busy,
                number(rate.requests),
                it.queued,
                number(rate.server_errors),
                time(rate.p50),
                time(rate.p99),
            );
            let is_bad = serving == 0 && !it.targets.is_empty();
            lines.push(look.marked(&cut(&line, look.width), is_bad));
        }
        lines
    }

    /// Targets, those that are not well first.
    fn targets(&self, look: Look, room: Option<usize>) -> Vec<String> {
        let groups = self.status.target_groups.iter();
        let mut all: Vec<(&str, &Target)> = groups
            .flat_map(|group| group.targets.iter().map(|it| (group.name.as_str(), it)))
            .collect();
        all.sort_by_key(|(_, it)| is_well(it));
        let name = wide(look.width, 40).0 + 14;
        let mut lines: Vec<String> = all
            .iter()
            .map(|(group, it)| {
                let sign = if is_well(it) { " " } else { "!" };
                let counts = [(it.in_flight, "in flight"), (it.queued, "queued")];
                let counts = counts.iter().filter(|(count, _)| *count > 0);
                let counts = counts.map(|(count, what)| format!("{count} {what}, "));
                let why = format!("{}{}", counts.collect::<String>(), it.reason);
                let since = span((self.now - it.since).max(0.0));
                let target = cut(&format!("{group}/{}", it.name), name);
                let health = it.shown_health();
                let line = format!("{sign} {target:name$} {health:11} {since:>7}  {why}");
                look.marked(&cut(&line, look.width), !is_well(it))
            })
            .collect();
        if let Some(room) = room
            && lines.len() > room
        {
            let left = lines.len() - room.saturating_sub(1);
            lines.truncate(room.saturating_sub(1));
            lines.push(look.paint.dim(&format!("… and {left} more targets")));
        }
        lines
    }
}

fn is_well(target: &Target) -> bool {
    matches!(target.health.as_str(), "healthy" | "initial")
}

impl Look {
    fn marked(self, text: &str, is_bad: bool) -> String {
        match is_bad {
            true => self.paint.bad(text),
            false => text.to_owned(),
        }
    }
}

/// The widths of two columns beside others that take `rest`.
fn wide(width: usize, rest: usize) -> (usize, usize) {
    match width.saturating_sub(rest).min(80) {
        // A name says more than an address.
        left if left < 20 => (left.max(6), 0),
        left => (left - left / 2, left / 2),
    }
}

fn cut(text: &str, width: usize) -> String {
    match text.chars().count() > width {
        true if width == 0 => String::new(),
        true => text
            .chars()
            .take(width.saturating_sub(1))
            .chain(['…'])
            .collect(),
        false => text.to_owned(),
    }
}

/// Few digits.
fn number(value: f64) -> String {
    match value {
        value if value <= 0.0 => "0".to_owned(),
        value if value < 0.95 => format!("{value:.1}").replace("0.0", "<0.1"),
        value if value < 9.95 && value.fract() > 0.05 => format!("{value:.1}"),
        value if value < 9_999.5 => format!("{value:.0}"),
        value if value < 999_500.0 => format!("{:.0}k", value / 1e3),
        value => format!("{:.1}M", value / 1e6),
    }
}

fn time(seconds: Option<f64>) -> String {
    match seconds {
        None => "-".to_owned(),
        Some(seconds) if seconds < 0.01 => format!("{:.1} ms", seconds * 1e3),
        Some(seconds) if seconds < 1.0 => format!("{:.0} ms", seconds * 1e3),
        Some(seconds) => format!("{seconds:.1} s"),
    }
}

/// A time in one or two units.
fn span(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match () {
        () if days > 0 => format!("{days}d {}h", hours % 24),
        () if hours > 0 => format!("{hours}h {}m", minutes % 60),
        () if minutes > 0 => format!("{minutes}m {}s", seconds % 60),
        () => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live() -> Live {
        let status = serde_json::json!({
            "process": {
                "version": "0.1.0", "pid": 4242, "started": 1000.0, "uptime": 93_784.0, "workers": 2, "generation": 5,
                "draining": false, "files": [], "rolled_back_to": 3,
                "last_reload": { "at": 94_600.0, "took": 0.012, "error": "web.toml:3: unknown key" },
            },
            "listeners": [
                { "name": "web", "protocol": "http", "addresses": [":8080"], "connections": 12, "requests": 9 },
                { "name": "a-listener-with-a-long-name", "protocol": "tcp", "addresses": ["127.0.0.1:9001", "[::1]:9001"],
                  "connections": 0, "requests": 0 },
            ],
            "target_groups": [ { "name": "app", "protocol": "http", "queued": 4, "targets": [
                { "name": "10.0.0.1:80", "address": "10.0.0.1:80", "resolved": null, "health": "healthy", "reason": "checks pass",
                  "since": 94_000.0, "last_check": null, "checks_passed": 1, "checks_failed": 0, "in_flight": 3, "queued": 2,
                  "weight": 1 },
                { "name": "10.0.0.2:80", "address": "10.0.0.2:80", "resolved": null, "health": "unhealthy",
                  "reason": "connection refused (3 times in a row)", "since": 94_700.0, "last_check": null,
                  "checks_passed": 1, "checks_failed": 3, "in_flight": 0, "weight": 1 },
            ] } ],
            "draining": [ { "kind": "listener", "name": "old", "by": "reload", "state": "draining", "left": 2, "cut_off": 0,
                "since": 94_700.0, "until": 95_000.0 } ],
        });
        let rate = Rate {
            requests: 12_345.0,
            client_errors: 0.24,
            server_errors: 3.0,
            p50: Some(0.0012),
            p99: Some(1.5),
            in_flight: 3.0,
        };
        Live {
            status: serde_json::from_value(status).unwrap(),
            total: rate.clone(),
            listeners: vec![rate.clone(), Rate::default()],
            groups: vec![rate],
            now: 94_784.0,
            silent: None,
        }
    }

    const PLAIN: Look = Look {
        width: 80,
        height: None,
        paint: Paint(false),
    };

    #[test]
    fn a_picture() {
        let expected = "\
Portway 0.1.0  process 4242  up 1d 2h  2 workers  configuration 5
12k requests/s  3 5xx/s  p50 1.2 ms  p99 1.5 s
12 connections  3 in flight  4 queued
! reload 3m 4s ago has failed: web.toml:3: unknown key
rolled back to generation 3: the files say something else
draining: listener old, 2 left, cut off in 3m 36s

LISTENER      ADDRESS        CONNS   REQ/S  4XX/S  5XX/S      P50      P99
web           :8080             12     12k    0.2      3   1.2 ms    1.5 s
a-listener-w… 127.0.0.1:90…      0       0      0      0        -        -

TARGET GROUP  TARGETS UP      BUSY   REQ/S  QUEUE  5XX/S      P50      P99
app           1 of 2             3     12k      4      3   1.2 ms    1.5 s

! app/10.0.0.2:80                    unhealthy    1m 24s  connection refused (3…
  app/10.0.0.1:80                    healthy      13m 4s  3 in flight, 2 queued…";
        assert_eq!(live().lines(PLAIN).join("\n"), expected);
    }

    #[test]
    fn it_fits_the_terminal_and_says_when_nobody_answers() {
        let mut live = live();
        live.silent = Some((Duration::from_secs(7), "nothing answers".to_owned()));
        for width in [20, 60, 80, 200] {
            for height in [1, 10, 17, 50] {
                let look = Look {
                    width,
                    height: Some(height),
                    paint: Paint(false),
                };
                let lines = live.lines(look);
                assert!(lines.len() <= height, "{width} {height}");
                let widest = lines.iter().map(|it| it.chars().count()).max().unwrap();
                assert!(widest <= width, "{widest} {width}: {lines:#?}");
            }
        }
        assert_eq!(live.lines(PLAIN)[1], "! no answer for 7s: nothing answers");
        let json: serde_json::Value = serde_json::from_str(&live.json()).unwrap();
        assert_eq!(
            (&json["answers"], &json["error"]),
            (&false.into(), &"nothing answers".into())
        );
        live.silent = None;
        let json: serde_json::Value = serde_json::from_str(&live.json()).unwrap();
        assert_eq!(json["listeners"][0]["requests"], 12_345.0);
        assert_eq!(json["status"]["process"]["generation"], 5);
    }

    #[test]
    fn few_digits() {
        let numbers = [
            0.0,
            0.01,
            0.24,
            1.0,
            3.44,
            12.3,
            9999.0,
            12_345.0,
            1_234_567.0,
        ]
        .map(number);
        assert_eq!(
            numbers,
            ["0", "<0.1", "0.2", "1", "3.4", "12", "9999", "12k", "1.2M"]
        );
    }
}
