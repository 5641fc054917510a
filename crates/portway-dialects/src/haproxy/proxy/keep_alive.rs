//! `option tcpka` and its like, `clitcpka-…`, `srvtcpka-…` and `tcp-ut`: how the system watches over connections.

use super::Proxy;
use super::keyword::{extra, missing};
use crate::haproxy::units::{self, Unit};
use crate::haproxy::{Line, Reader, Word};
use portway_model::compile::tcp::{MAX_KEEP_ALIVE, MAX_KEEP_ALIVE_PROBES};
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::draft::TcpWatchDraft;
use portway_model::span::Spanned;
use portway_model::tcp::{KeepAliveTimes, TcpKeepAlive};
use std::time::Duration;

/// What is said of the probes of one side; what is not is the system's.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Probes {
    idle: Option<Spanned<Duration>>,
    interval: Option<Spanned<Duration>>,
    count: Option<Spanned<u8>>,
}

impl Proxy {
    /// The watch over the connections of clients; `user_timeout`: of a `bind`.
    pub(crate) fn client_watch(&self, user_timeout: Option<Spanned<Duration>>) -> TcpWatchDraft {
        self.watch("clitcpka", self.client_probes, user_timeout)
    }

    /// The watch over the connections to servers.
    pub(crate) fn server_watch(&self) -> TcpWatchDraft {
        self.watch("srvtcpka", self.server_probes, None)
    }

    fn watch(
        &self,
        option: &str,
        probes: Probes,
        user_timeout: Option<Spanned<Duration>>,
    ) -> TcpWatchDraft {
        let on = self.flags.on(option).or_else(|| self.flags.on("tcpka"));
        let times = KeepAliveTimes {
            idle: probes.idle.map(|it| it.value),
            interval: probes.interval.map(|it| it.value),
            count: probes.count.map(|it| it.value),
        };
        TcpWatchDraft {
            keep_alive: on.map(|span| Spanned::new(TcpKeepAlive::All(times), span)),
            user_timeout,
        }
    }
}

/// `clitcpka-cnt`, `clitcpka-idle`, `clitcpka-intvl`, and those of servers.
pub(super) fn line(proxy: &mut Proxy, line: &Line, reader: &mut Reader<'_>) {
    let (side, what) = line.text(0).split_once('-').unwrap_or_default();
    let Some(word) = line.word(1) else {
        let needs = if what == "cnt" { "a number" } else { "a time" };
        missing(line, needs, reader);
        return;
    };
    extra(line, 2, reader);
    let probes = match side {
        "clitcpka" => &mut proxy.client_probes,
        _ => &mut proxy.server_probes,
    };
    match what {
        "cnt" => probes.count = count(word, reader),
        "idle" => probes.idle = seconds(word, reader),
        _ => probes.interval = seconds(word, reader),
    }
}

/// How long what was sent may stay unacknowledged; 0: as the system has it.
pub(crate) fn user_timeout(word: &Word, reader: &mut Reader<'_>) -> Option<Spanned<Duration>> {
    let time = units::duration(word, Unit::Milliseconds, reader)?;
    (!time.is_zero()).then(|| word.spanned(time))
}

/// A number of probes; 0 is the system's.
fn count(word: &Word, reader: &mut Reader<'_>) -> Option<Spanned<u8>> {
    let number = units::number(word, 0, u64::from(u32::MAX), reader)?;
    let most = MAX_KEEP_ALIVE_PROBES;
    let taken = u8::try_from(number).ok().filter(|number| *number <= most);
    if taken.is_none() {
        not_taken(word, &most.to_string(), reader);
    }
    taken
        .filter(|number| *number > 0)
        .map(|it| word.spanned(it))
}

/// A time of whole seconds, which is what the system counts in; 0 is the system's.
fn seconds(word: &Word, reader: &mut Reader<'_>) -> Option<Spanned<Duration>> {
    let time = units::duration(word, Unit::Seconds, reader)?;
    let whole = Duration::from_secs(u64::try_from(time.as_millis().div_ceil(1_000)).ok()?);
    if whole > MAX_KEEP_ALIVE {
        not_taken(word, &format!("{}s", MAX_KEEP_ALIVE.as_secs()), reader);
        return None;
    }
    (!whole.is_zero()).then(|| word.spanned(whole))
}

fn not_taken(word: &Word, most: &str, reader: &mut Reader<'_>) {
    let message = format!(
        "the system takes no more than {most} here: its own setting is used, as HAProxy does"
    );
    reader.push(Diagnostic::warning(Code::OutOfRange, word.span, message));
}
