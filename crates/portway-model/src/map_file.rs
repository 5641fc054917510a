//! The files of maps and lists: what a line of them says.

use crate::settings::MapLines;

/// Key and value of a line; `None` for an empty one and for a comment. Blanks before the key, between key and value and
/// at the end do not count; where the line is a key as a whole, blanks within and behind it do.
pub fn map_line(line: &str, lines: MapLines) -> Option<(&str, &str)> {
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.starts_with('#') {
        return None;
    }
    let text = line.trim_start_matches([' ', '\t']);
    if text.is_empty() {
        return None;
    }
    match lines {
        MapLines::Keys => Some((text, "")),
        MapLines::Pairs => {
            let (key, value) = text.split_once([' ', '\t']).unwrap_or((text, ""));
            Some((key, value.trim_matches([' ', '\t'])))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let check = |line: &str, pair: Option<(&str, &str)>, key: Option<&str>| {
            assert_eq!(map_line(line, MapLines::Pairs), pair, "{line:?}");
            let whole = map_line(line, MapLines::Keys).map(|(key, _)| key);
            assert_eq!(whole, key, "{line:?}");
        };
        check("", None, None);
        check("# a", None, None);
        check(" # a", Some(("#", "a")), Some("# a"));
        check("a", Some(("a", "")), Some("a"));
        check("  a  b c \t\r", Some(("a", "b c")), Some("a  b c \t"));
        check("\ta\tb", Some(("a", "b")), Some("a\tb"));
    }
}
