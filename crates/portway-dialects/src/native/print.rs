//! Writes canonical TOML: sections in a fixed order, values before sub-sections, long lists broken into lines.

use super::form::Out;

/// A list longer than this in one line is broken, an element a line.
const MAX_LINE: usize = 100;

/// The text as it grows.
#[derive(Default)]
pub(crate) struct Printer {
    text: String,
}

impl Printer {
    pub(crate) fn finish(self) -> String {
        self.text
    }

    /// `[path]` with its entries, then what stands under headers below it.
    pub(crate) fn section(&mut self, path: &[&str], entries: &[(String, Out)]) {
        let path: Vec<String> = path.iter().map(|part| key(part)).collect();
        self.table(&path.join("."), false, entries);
    }

    fn table(&mut self, path: &str, list: bool, entries: &[(String, Out)]) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(&match list {
            true => format!("[[{path}]]\n"),
            false => format!("[{path}]\n"),
        });
        for (name, value) in entries {
            if !matches!(value, Out::Section(_) | Out::Sections(_)) {
                self.line(name, value);
            }
        }
        for (name, value) in entries {
            let path = format!("{path}.{}", key(name));
            match value {
                Out::Section(inner) => self.table(&path, false, inner),
                Out::Sections(tables) => {
                    for inner in tables {
                        self.table(&path, true, inner);
                    }
                }
                _ => {}
            }
        }
    }

    fn line(&mut self, name: &str, value: &Out) {
        let line = entry(name, value);
        match value {
            Out::List(items) if line.chars().count() > MAX_LINE => {
                self.text.push_str(&format!("{} = [\n", key(name)));
                for item in items {
                    self.text.push_str(&format!("    {},\n", inline(item)));
                }
                self.text.push_str("]\n");
            }
            _ => {
                self.text.push_str(&line);
                self.text.push('\n');
            }
        }
    }
}

pub(crate) fn entry(name: &str, value: &Out) -> String {
    match value {
        Out::Dotted(inner, value) => format!("{}.{} = {}", key(name), key(inner), inline(value)),
        _ => format!("{} = {}", key(name), inline(value)),
    }
}

pub(crate) fn inline(value: &Out) -> String {
    match value {
        Out::Boolean(value) => value.to_string(),
        Out::Integer(value) => value.to_string(),
        Out::Text(text) => quote(text),
        Out::List(items) => {
            let items: Vec<String> = items.iter().map(inline).collect();
            format!("[{}]", items.join(", "))
        }
        Out::Table(entries) | Out::Section(entries) => braces(entries),
        Out::Sections(tables) => {
            let tables: Vec<String> = tables.iter().map(|table| braces(table)).collect();
            format!("[{}]", tables.join(", "))
        }
        Out::Dotted(name, value) => braces(&[(name.clone(), (**value).clone())]),
    }
}

fn braces(entries: &[(String, Out)]) -> String {
    if entries.is_empty() {
        return "{}".to_owned();
    }
    let entries: Vec<String> = entries.iter().map(|(k, v)| entry(k, v)).collect();
    format!("{{ {} }}", entries.join(", "))
}

/// A key, quoted where TOML wants it.
pub(crate) fn key(text: &str) -> String {
    let bare = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    if !text.is_empty() && text.bytes().all(bare) {
        text.to_owned()
    } else {
        quote(text)
    }
}

/// A text in the quotes that need no escapes, where there are such.
fn quote(text: &str) -> String {
    let escaped = text.contains(['"', '\\']);
    if escaped && !text.chars().any(|c| c == '\'' || c.is_control()) {
        return format!("'{text}'");
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
