//! `tcp_keep_alive`: when silent connections are probed.

use super::form::{Form, Out, Reader};
use crate::tree::{Content, Item};
use portway_model::tcp::{KeepAliveTimes, TcpKeepAlive};

/// The keys of a table under `tcp_keep_alive`.
pub(crate) const KEEP_ALIVE_KEYS: &[&str] = &["idle", "interval", "count"];
/// The words in its place.
pub(crate) const KEEP_ALIVE_WORDS: &[&str] = &["tunnels", "system"];

impl Form for TcpKeepAlive {
    const WHAT: &'static str =
        "true, false, \"tunnels\", \"system\" or a table with `idle`, `interval` and `count`";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        match &item.content {
            Content::Boolean(true) => return Some(Self::All(KeepAliveTimes::OURS)),
            Content::Boolean(false) => return Some(Self::Off),
            Content::Table(_) => {}
            _ => return word(item, reader),
        }
        let table = reader.keyed(item, Self::WHAT, KEEP_ALIVE_KEYS)?;
        Some(Self::All(KeepAliveTimes {
            idle: table.optional("idle", reader),
            interval: table.optional("interval", reader),
            count: table.optional("count", reader),
        }))
    }

    fn write(&self) -> Out {
        let times = match self {
            Self::Off => return false.write(),
            Self::Tunnels => return Out::text("tunnels"),
            Self::All(KeepAliveTimes::OURS) => return true.write(),
            Self::All(KeepAliveTimes::SYSTEM) => return Out::text("system"),
            Self::All(times) => times,
        };
        let said = [
            ("idle", times.idle.map(|it| it.write())),
            ("interval", times.interval.map(|it| it.write())),
            ("count", times.count.map(|it| it.write())),
        ];
        let said = said.into_iter();
        Out::Table(
            said.filter_map(|(key, out)| Some((key.to_owned(), out?)))
                .collect(),
        )
    }
}

fn word(item: &Item, reader: &mut Reader<'_>) -> Option<TcpKeepAlive> {
    let text = reader.text(item, TcpKeepAlive::WHAT)?.text;
    match text {
        "tunnels" => Some(TcpKeepAlive::Tunnels),
        "system" => Some(TcpKeepAlive::All(KeepAliveTimes::SYSTEM)),
        other => {
            let known = KEEP_ALIVE_WORDS.iter().copied();
            reader.push(crate::unknown_word(
                item.span,
                "value of `tcp_keep_alive`",
                other,
                known,
            ));
            None
        }
    }
}
