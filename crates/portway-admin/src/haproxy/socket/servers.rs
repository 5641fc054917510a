//! `add server` and `del server`: servers that come and go.

use portway_control::change::NotChanged;

use super::command::Eventually;
use super::{Session, Tone};

const NO_SERVER_GIVEN: &str = "Require 'backend/server'.";

/// `add server BACKEND/NAME ADDRESS [OPTIONS]`.
pub(super) fn add<'s>(session: &'s mut Session, words: &'s [&'s str]) -> Eventually<'s> {
    Box::pin(async move {
        let (backend, server, rest) = named(words)?;
        let added = session.running.add_server(backend, server, rest).await;
        added.map_err(in_words)?;
        session.tone = Some(Tone::Information);
        Ok("New server registered.\n".to_owned())
    })
}

/// `del server BACKEND/NAME`.
pub(super) fn delete<'s>(session: &'s mut Session, words: &'s [&'s str]) -> Eventually<'s> {
    Box::pin(async move {
        let (backend, server, _) = named(words)?;
        let gone = session.running.remove_server(backend, server).await;
        gone.map_err(in_words)?;
        session.tone = Some(Tone::Information);
        Ok("Server deleted.".to_owned())
    })
}

/// The backend, the server and what follows.
fn named<'w>(words: &'w [&'w str]) -> Result<(&'w str, &'w str, &'w [&'w str]), String> {
    let (name, rest) = words.split_first().ok_or(NO_SERVER_GIVEN)?;
    let (backend, server) = name.split_once('/').ok_or(NO_SERVER_GIVEN)?;
    Ok((backend, server, rest))
}

/// Why it was not done, in HAProxy's words. What its reader of configurations says ends with a line of its own.
fn in_words(why: NotChanged) -> String {
    match why {
        NotChanged::NoGroup => "No such backend.".to_owned(),
        NotChanged::NoTarget => "No such server.".to_owned(),
        NotChanged::StaticAlgorithm => {
            "Backend must use a dynamic load balancing to support dynamic servers.".to_owned()
        }
        NotChanged::NoAddress => {
            "'server' expects <name> and <addr>[:<port>] as arguments.\n".to_owned()
        }
        NotChanged::Exists => "Already exists a server with the same name in backend.\n".to_owned(),
        NotChanged::Referenced => "This server cannot be removed at runtime due to other \
             configuration elements pointing to it."
            .to_owned(),
        NotChanged::InService => "Only servers in maintenance mode can be deleted.".to_owned(),
        NotChanged::Busy => {
            "Server still has connections attached to it, cannot remove it.".to_owned()
        }
        NotChanged::Wrong(text) => format!("{text}\n"),
    }
}
