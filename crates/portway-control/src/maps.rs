//! Maps and lists: their files are read and made ready before anything serves.

use std::sync::Arc;

use portway_core::lookup::Lookup;
use portway_model::diagnostic::{Code, Diagnostic, Diagnostics};
use portway_model::map_file::map_line;
use portway_model::settings::MapMatch;
use portway_model::snapshot::{Map, Snapshot};
use portway_model::span::Sources;

use crate::sources::{folder_of, read_limited};

/// Bytes of one file of a map. It is held in memory, with as much again for the index.
pub const MAX_MAP_BYTES: u64 = 256 * 1024 * 1024;

/// Makes every map ready, by its id.
pub(crate) fn load(snapshot: &Snapshot, sources: &Sources) -> (Vec<Arc<Lookup>>, Diagnostics) {
    let mut found = Diagnostics::default();
    let maps = snapshot.maps.iter().map(|map| match ready(map, sources) {
        Ok(lookup) => Arc::new(lookup),
        Err(diagnostic) => {
            found.push(diagnostic);
            Arc::default()
        }
    });
    (maps.collect(), found)
}

/// One map with the lines of its file.
fn ready(map: &Map, sources: &Sources) -> Result<Lookup, Diagnostic> {
    let span = map.origin.0;
    let mut text = String::new();
    let mut path = None;
    if let Some(file) = &map.file {
        let file = folder_of(sources, span).join(file);
        let bytes = read_limited(&file, MAX_MAP_BYTES).map_err(|reason| {
            let message = format!("cannot read `{}`: {reason}", file.display());
            Diagnostic::error(Code::Unreadable, span, message)
        })?;
        text = String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            let before = error.as_bytes().get(..at).unwrap_or_default();
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            let message = format!("`{}`, line {line}: not UTF-8", file.display());
            Diagnostic::error(Code::Unreadable, span, message)
        })?;
        path = Some(file);
    }
    let lines = text.lines().enumerate();
    let lines: Vec<(usize, (String, &str))> = lines
        .filter_map(|(number, line)| Some((number + 1, map_line(line, map.lines)?)))
        .map(|(number, (key, value))| (number, (of_haproxy(key, map.compare), value)))
        .collect();
    let own = map
        .entries
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()));
    let of_file = lines.iter().map(|(_, (key, value))| (key.as_str(), *value));
    Lookup::build(map.compare, map.ignore_case, own.chain(of_file)).map_err(|wrong| {
        let line = wrong.entry.checked_sub(map.entries.len());
        let line = line.and_then(|index| lines.get(index));
        let message = match (&path, line) {
            (Some(path), Some((number, _))) => {
                format!("`{}`, line {number}: {}", path.display(), wrong.message)
            }
            _ => wrong.message,
        };
        Diagnostic::error(Code::WrongType, span, message)
    })
}

/// A range of HAProxy's in our notation; anything else as it is.
fn of_haproxy(key: &str, compare: MapMatch) -> String {
    match compare {
        MapMatch::Number => key.replacen(':', "..", 1),
        _ => key.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portway_model::expression::TextMatch;
    use portway_model::name::Name;
    use portway_model::settings::MapLines;

    use portway_model::span::{Origin, Span};

    fn check(
        compare: MapMatch,
        lines: MapLines,
        content: &str,
        asked: &str,
    ) -> Result<Option<String>, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.map");
        std::fs::write(&file, content).unwrap();
        let map = Map {
            name: Name::from("a"),
            file: Some(file.display().to_string()),
            lines,
            entries: vec![("7".to_owned(), "seven".to_owned())],
            compare,
            ignore_case: false,
            origin: Origin(Span::NONE),
        };
        let lookup = ready(&map, &Sources::default())
            .map_err(|wrong| wrong.message.replace(&file.display().to_string(), "a.map"))?;
        let found = lookup.find(asked.as_bytes());
        Ok(found.map(|found| String::from_utf8_lossy(found).into_owned()))
    }

    #[test]
    fn files() {
        let text = MapMatch::Text(TextMatch::Exact);
        let some = |text: &str| Ok(Some(text.to_owned()));
        assert_eq!(
            check(text, MapLines::Pairs, "# c\n a  b c \n", "a"),
            some("b c")
        );
        assert_eq!(check(text, MapLines::Pairs, "a b\n", "7"), some("seven"));
        assert_eq!(check(text, MapLines::Keys, "a b\n", "a b"), some(""));
        assert_eq!(
            check(MapMatch::Number, MapLines::Pairs, "8:9 b\n", "9"),
            some("b")
        );
        assert_eq!(
            check(MapMatch::Number, MapLines::Pairs, "\n8:9 b\nx y\n", "9"),
            Err("`a.map`, line 3: `x` is neither a number nor a range".to_owned()),
        );
    }

    #[test]
    fn a_file_that_is_not_there() {
        let map = Map {
            name: Name::from("a"),
            file: Some("/nowhere/a.map".to_owned()),
            lines: MapLines::Pairs,
            entries: Vec::new(),
            compare: MapMatch::Text(TextMatch::Exact),
            ignore_case: false,
            origin: Origin(Span::NONE),
        };
        let wrong = ready(&map, &Sources::default()).unwrap_err();
        assert!(
            wrong.message.starts_with("cannot read `/nowhere/a.map`"),
            "{}",
            wrong.message
        );
    }
}
