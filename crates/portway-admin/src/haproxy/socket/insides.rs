//! Commands about what is inside of HAProxy: what Portway has none of is answered as by a HAProxy that has none.

use portway_control::descriptors::{self, Mapped};
use tokio::task::spawn_blocking;

use super::Session;
use super::command::{Answer, Eventually};

const TRACES: &str = "Supported trace sources and states (.=stopped, w=waiting, R=running) :\n";
const NO_TRACE: &str = "No such trace source\n";

/// `show events [SINK]`.
pub(super) fn events(_: &mut Session, words: &[&str]) -> Answer {
    if words.first().is_some_and(|it| !it.starts_with('-')) {
        return Err("No such event sink\n".to_owned());
    }
    let head = "Supported events sinks are listed below. Add -w(wait), -n(new). Any key to stop\n";
    Ok(head.to_owned())
}

/// `show peers [dict|-] [SECTION]`.
pub(super) fn peers(_: &mut Session, words: &[&str]) -> Answer {
    let mut words = words.iter().filter(|it| !["dict", "-"].contains(it));
    match words.next() {
        Some(_) => Err("No such peers\n".to_owned()),
        None => Ok(String::new()),
    }
}

/// `show trace [MODULE]`.
pub(super) fn traces(_: &mut Session, words: &[&str]) -> Answer {
    match words {
        [] => Ok(TRACES.to_owned()),
        _ => Err(NO_TRACE.to_owned()),
    }
}

/// `trace [MODULE|0]`.
pub(super) fn trace(session: &mut Session, words: &[&str]) -> Answer {
    match words {
        ["0", ..] => Ok("All traces now stopped\n".to_owned()),
        _ => traces(session, words),
    }
}

/// `show libs`.
pub(super) fn libraries<'s>(_: &'s mut Session, _: &'s [&'s str]) -> Eventually<'s> {
    Box::pin(async move {
        let all = spawn_blocking(descriptors::mapped)
            .await
            .unwrap_or_default();
        let line = |it: &Mapped| {
            let (from, to, path) = (it.from, it.to, &it.path);
            let size = to.saturating_sub(from);
            format!("0x{from:012x}-0x{to:012x} (0x{size:07x}) {path}\n")
        };
        Ok(all.iter().map(line).collect())
    })
}
