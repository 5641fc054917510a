//! Environment variables as a text sees them: those of the process, and what the text itself changes; and where its
//! relative paths begin.

use super::reader::Reader;
use super::word::Line;
use portway_model::diagnostic::{Code, Diagnostic};
use std::collections::HashMap;

/// The environment at one line of a text.
pub(crate) struct Environment<'a> {
    /// The process's own.
    outer: &'a dyn Fn(&str) -> Option<String>,
    /// What the text set (`Some`) and took away (`None`).
    changed: HashMap<String, Option<String>>,
    /// Only these of the process's own are left, after `resetenv`.
    kept: Option<Vec<String>>,
}

impl<'a> Environment<'a> {
    /// The process's own.
    pub(crate) fn new(outer: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            outer,
            changed: HashMap::new(),
            kept: None,
        }
    }

    /// The value of a variable; empty is a value too.
    pub(crate) fn value(&self, name: &str) -> Option<String> {
        if let Some(changed) = self.changed.get(name) {
            return changed.clone();
        }
        match &self.kept {
            Some(kept) if !kept.iter().any(|one| one == name) => None,
            _ => (self.outer)(name),
        }
    }

    /// The value that the text gave a variable.
    pub(crate) fn given(&self, name: &str) -> Option<&str> {
        self.changed.get(name)?.as_deref()
    }

    /// `setenv`.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.changed.insert(name.to_owned(), Some(value.to_owned()));
    }

    /// `unsetenv`.
    pub(crate) fn unset(&mut self, name: &str) {
        self.changed.insert(name.to_owned(), None);
    }

    /// `resetenv`: all but these are gone.
    pub(crate) fn reset(&mut self, kept: &[String]) {
        self.changed.retain(|name, _| kept.contains(name));
        let still = |one: &String| self.kept.as_ref().is_none_or(|before| before.contains(one));
        self.kept = Some(kept.iter().filter(|one| still(one)).cloned().collect());
    }
}

/// What a line of `global` does at once to the lines after it: `setenv` and its like, and `default-path`. False: the
/// line is something else.
pub(super) fn act(line: &Line, file_name: &str, reader: &mut Reader<'_>) -> bool {
    match line.text(0) {
        "default-path" => {
            default_path(line, file_name, reader);
            true
        }
        _ => environment_word(line, reader),
    }
}

fn default_path(line: &Line, file_name: &str, reader: &mut Reader<'_>) {
    let own = file_name.rsplit_once('/').map(|(folder, _)| match folder {
        "" => "/",
        folder => folder,
    });
    let folder = match (line.text(1), line.text(2)) {
        ("current", _) => String::new(),
        ("config", _) => own.unwrap_or_default().to_owned(),
        ("parent", _) => own.map_or("..".to_owned(), |own| format!("{own}/..")),
        ("origin", path) if !path.is_empty() => path.to_owned(),
        ("origin", _) => {
            let message = "`default-path origin` needs a folder";
            reader.error(Code::Missing, line.span, message);
            return;
        }
        _ => {
            let found = "`default-path` needs a word that says where relative paths begin";
            let found = Diagnostic::error(Code::Unknown, line.span, found);
            reader.push(found.help("one of: current, config, parent, origin PATH"));
            return;
        }
    };
    reader.folders.insert(line.span.file, folder);
}

fn environment_word(line: &Line, reader: &mut Reader<'_>) -> bool {
    let (keyword, name) = (line.text(0), line.text(1));
    match keyword {
        "setenv" | "presetenv" => {
            let Some(value) = line.word(2).filter(|_| !name.is_empty()) else {
                let message = format!("`{keyword}` needs a name and a value");
                reader.error(Code::Missing, line.span, message);
                return true;
            };
            if keyword == "setenv" || reader.environment.value(name).is_none() {
                reader.environment.set(name, value.as_str());
            }
            let extra = line.word(3);
            if let Some(extra) = extra {
                let message = format!("`{keyword}` takes one name and one value");
                let help = "put the value in quotes";
                reader.push(Diagnostic::error(Code::Conflict, extra.span, message).help(help));
            }
            true
        }
        "unsetenv" | "resetenv" => {
            let names: Vec<String> = line.from(1).iter().map(|it| it.text.clone()).collect();
            match keyword {
                "resetenv" => reader.environment.reset(&names),
                _ if names.is_empty() => {
                    let message = "`unsetenv` needs the name of a variable";
                    reader.error(Code::Missing, line.span, message);
                }
                _ => names.iter().for_each(|name| reader.environment.unset(name)),
            }
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_begin_where_the_text_says() {
        use crate::haproxy::sections::{self, Text};
        use crate::inputs::Inputs;
        use portway_model::span::{FileId, Span};
        let span = Span::new(FileId(0), 0..0);
        let check = |name: &str, policy: &str, expected: &str, wrong: &str| {
            let text = format!("global\n default-path {policy}\n");
            let mut reader = Reader::new(FileId(0), &Inputs::NOTHING);
            let _ = sections::read(Text { name, text: &text }, &mut reader);
            assert_eq!(reader.path("a.pem", span), expected, "{name} {policy}");
            assert_eq!(reader.path("/a.pem", span), "/a.pem");
            let found: Vec<&str> = reader
                .diagnostics
                .iter()
                .map(|it| it.message.as_str())
                .collect();
            assert!(found.iter().all(|it| it.contains(wrong)), "{found:?}");
            assert_eq!(found.is_empty(), wrong.is_empty());
        };
        check("/etc/h/h.cfg", "current", "a.pem", "");
        check("/etc/h/h.cfg", "config", "/etc/h/a.pem", "");
        check("/h.cfg", "config", "/a.pem", "");
        check("h.cfg", "config", "a.pem", "");
        check("x/h.cfg", "parent", "x/../a.pem", "");
        check("h.cfg", "parent", "../a.pem", "");
        check("h.cfg", "origin /srv/", "/srv/a.pem", "");
        check("h.cfg", "origin", "a.pem", "needs a folder");
        check("h.cfg", "here", "a.pem", "needs a word");
    }

    #[test]
    fn what_a_text_does_to_its_environment() {
        let outer = |name: &str| (name != "NONE").then(|| format!("outer {name}"));
        let mut environment = Environment::new(&outer);
        assert_eq!(environment.value("A").as_deref(), Some("outer A"));
        assert_eq!(environment.value("NONE"), None);
        environment.set("A", "1");
        environment.set("B", "2");
        environment.unset("C");
        assert_eq!(environment.value("A").as_deref(), Some("1"));
        assert_eq!(environment.value("C"), None);
        environment.reset(&["A".to_owned(), "D".to_owned()]);
        assert_eq!(environment.value("A").as_deref(), Some("1"));
        assert_eq!(environment.value("B"), None);
        assert_eq!(environment.value("D").as_deref(), Some("outer D"));
        environment.reset(&["E".to_owned()]);
        assert_eq!(environment.value("A"), None);
        assert_eq!(environment.value("E"), None);
    }
}
