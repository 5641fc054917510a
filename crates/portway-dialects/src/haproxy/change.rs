//! Servers that come and go while a configuration is at work: `add server` and `del server` of a control socket.
//!
//! A change is applied to what the texts say before anything is made of it, so that a server that is added means what
//! the same line in its backend would mean, but for two things: `default-server` does not touch it, and some options are
//! not for it. Changes are applied in their order; texts and changes together say the whole.

use super::proxy::{Proxy, added_server};
use super::sections::{self, Text};
use super::{File, Reader};
use portway_model::diagnostic::Code;

/// A server that comes or goes.
#[derive(Debug, Clone)]
pub enum Change<'t> {
    /// One that comes: a text of a section `backend` with a line `server`, see [`added`].
    Add(File<'t>),
    /// One that goes.
    Remove {
        /// Its backend.
        backend: &'t str,
        /// Its name.
        server: &'t str,
    },
}

/// The text that says a server of a backend; `words` are its address and what follows.
pub fn added(backend: &str, server: &str, words: &[&str]) -> String {
    let mut text = format!("backend {}\n    server {}", quoted(backend), quoted(server));
    for word in words {
        text.push(' ');
        text.push_str(&quoted(word));
    }
    text.push('\n');
    text
}

/// The text that sets a variable of the process, from a format or from an expression.
pub fn assigned(variable: &str, is_format: bool, value: &str) -> String {
    let word = if is_format { "set-var-fmt" } else { "set-var" };
    format!(
        "global\n    {word} {} {}\n",
        quoted(variable),
        quoted(value)
    )
}

/// A word of a command as it is written in a configuration.
fn quoted(word: &str) -> String {
    let plain =
        |letter: char| letter.is_ascii_alphanumeric() || "-_./:@,=+%()[]*!".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    // A line feed cannot be written; it ends nothing in a command either.
    let text = word.replace('\n', " ").replace('\'', "'\\''");
    format!("'{text}'")
}

/// Applies changes in their order.
pub(super) fn apply(changes: &[Change<'_>], proxies: &mut [Proxy], reader: &mut Reader<'_>) {
    for change in changes {
        match change {
            Change::Add(file) => add(file, proxies, reader),
            Change::Remove { backend, server } => remove(backend, server, proxies, reader),
        }
    }
}

fn remove(backend: &str, server: &str, proxies: &mut [Proxy], reader: &mut Reader<'_>) {
    if let Some(proxy) = serving(proxies, backend) {
        proxy.servers.retain(|it| it.name.value != *server);
    }
    let mut acls = proxies.iter().map(|proxy| &proxy.acls);
    if let Some(span) = acls.find_map(|acls| acls.asks_for_server(backend, server)) {
        let message =
            format!("this asks for server `{server}` of backend `{backend}`, which is gone");
        reader.error(Code::UnknownReference, span, message);
    }
}

fn add(file: &File<'_>, proxies: &mut [Proxy], reader: &mut Reader<'_>) {
    let before = std::mem::replace(&mut reader.file, file.id);
    let text = Text {
        name: file.name,
        text: file.text,
    };
    for section in sections::read(text, reader) {
        let backend = section.header.text(1);
        let (Some(proxy), Some(line)) = (serving(proxies, backend), section.lines.first()) else {
            let message = format!("no backend `{backend}`");
            reader.error(Code::Missing, section.header.span, message);
            continue;
        };
        added_server(proxy, line, reader);
    }
    reader.file = before;
}

/// The proxy of this name that has servers.
fn serving<'p>(proxies: &'p mut [Proxy], name: &str) -> Option<&'p mut Proxy> {
    proxies
        .iter_mut()
        .find(|proxy| proxy.kind.serves() && proxy.name.value == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_being_written() {
        let check = |words: &[&str], expected: &str| {
            let text = added("b", "s", words);
            assert_eq!(text, format!("backend b\n    server s{expected}\n"));
        };
        check(&["127.0.0.1:80", "check"], " 127.0.0.1:80 check");
        check(&["a b", "$X", "it's", "#"], " 'a b' '$X' 'it'\\''s' '#'");
        check(&[""], " ''");
    }
}
