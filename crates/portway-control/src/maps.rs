//! Maps and lists: their files are read and made ready before anything serves; `sets` changes them afterwards.

mod sets;

use portway_core::lookup::{Lookup, WrongKey};
use portway_model::diagnostic::{Code, Diagnostic, Diagnostics};
use portway_model::map_file::map_line;
use portway_model::snapshot::{Map, Snapshot};
use portway_model::span::Sources;

use crate::files::{self, read_limited};
use crate::sources::folder_of;
pub use portway_model::expression::TextMatch;
pub use portway_model::settings::MapMatch;
pub use sets::{Asked, Entry, MAX_VERSIONS, MapSet, MapSets, NotChanged, Versions, Which};

/// Bytes of one file of a map. It is held in memory, with as much again for the index and as much for its changes.
pub const MAX_MAP_BYTES: u64 = 256 * 1024 * 1024;

/// Makes every map ready.
pub(crate) fn load(snapshot: &Snapshot, sources: &Sources) -> (MapSets, Diagnostics) {
    let mut found = Diagnostics::default();
    let mut sets = MapSets::default();
    for map in &snapshot.maps {
        match files::of("map", &map.name, || ready(map, sources)) {
            Ok((lookup, entries)) => sets.push(map, sources, lookup, entries),
            Err(diagnostic) => found.push(diagnostic),
        }
    }
    (sets, found)
}

/// Keys as they are written, and their values.
type Pairs = Vec<(String, String)>;

/// One map with the lines of its file.
fn ready(map: &Map, sources: &Sources) -> Result<(Lookup, Pairs), Diagnostic> {
    let span = map.origin.0;
    let mut text = String::new();
    let mut path = None;
    if let Some(file) = &map.file {
        let file = folder_of(sources, span).join(file);
        let span = sources.place_of_path(&file, span);
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
    let lines: Vec<(usize, (&str, &str))> = lines
        .filter_map(|(number, line)| Some((number + 1, map_line(line, map.lines)?)))
        .collect();
    let of_file = lines.iter().map(|(_, (key, value))| (*key, *value));
    let own = map
        .entries
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()));
    let all = own
        .chain(of_file)
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
    let all: Pairs = all.collect();
    // Those of the configuration itself are in our notation.
    let lookup =
        lookup(map.compare, map.ignore_case, map.entries.len(), &all).map_err(|wrong| {
            let line = wrong.entry.checked_sub(map.entries.len());
            let line = line.and_then(|index| lines.get(index));
            let message = match (&path, line) {
                (Some(path), Some((number, _))) => {
                    format!("`{}`, line {number}: {}", path.display(), wrong.message)
                }
                _ => wrong.message,
            };
            Diagnostic::error(Code::WrongType, span, message)
        })?;
    Ok((lookup, all))
}

/// Entries made ready; those behind the first `own` as HAProxy writes them.
fn lookup(
    compare: MapMatch,
    ignore_case: bool,
    own: usize,
    entries: &[(String, String)],
) -> Result<Lookup, WrongKey> {
    let keys = entries
        .iter()
        .enumerate()
        .map(|(nth, (key, _))| match nth < own {
            true => key.clone(),
            false => of_haproxy(key, compare),
        });
    let keys: Vec<String> = keys.collect();
    let values = entries.iter().map(|(_, value)| value.as_str());
    Lookup::build(
        compare,
        ignore_case,
        keys.iter().map(String::as_str).zip(values),
    )
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
        let (lookup, _) = ready(&map, &Sources::default())
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
