//! A line of a control socket: commands between `;`, words between blanks, `\` before what is meant as it stands.

/// One command with what follows `<<`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Its words; none where nothing stood between two `;`.
    pub(crate) words: Vec<String>,
}

/// Words of a command at most, HAProxy's 64.
const MAX_WORDS: usize = 64;

/// What announces that lines follow, up to an empty one.
const PAYLOAD: &str = "<<";

/// Takes a line apart. `true`: its last command is followed by a payload.
pub(crate) fn read(line: &str) -> (Vec<Asked>, bool) {
    let line = line.trim_end_matches(['\r', '\n']);
    let (line, has_payload) = match line.trim_end().strip_suffix(PAYLOAD) {
        Some(before) if before.is_empty() || before.ends_with([' ', '\t']) => (before, true),
        _ => (line, false),
    };
    let mut commands = Vec::new();
    let (mut words, mut word): (Vec<String>, Option<String>) = (Vec::new(), None);
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            ' ' | '\t' => words.extend(word.take()),
            ';' => {
                words.extend(word.take());
                commands.push(Asked {
                    words: std::mem::take(&mut words),
                });
            }
            '\\' => word
                .get_or_insert_default()
                .extend(characters.next().or(Some('\\'))),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word.take());
    words.truncate(MAX_WORDS);
    commands.push(Asked { words });
    (commands, has_payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_words() {
        let check = |line: &str, expected: &[&[&str]], payload: bool| {
            let (commands, has_payload) = read(line);
            let commands: Vec<Vec<&str>> = commands
                .iter()
                .map(|it| it.words.iter().map(String::as_str).collect())
                .collect();
            assert_eq!(commands, expected, "{line}");
            assert_eq!(has_payload, payload, "{line}");
        };
        check("show info\r\n", &[&["show", "info"]], false);
        check(
            "  show\t info ;show stat",
            &[&["show", "info"], &["show", "stat"]],
            false,
        );
        check("", &[&[]], false);
        check(";", &[&[], &[]], false);
        check(
            r"add map a\ b c\;d \\",
            &[&["add", "map", "a b", "c;d", "\\"]],
            false,
        );
        check("add map #1 <<", &[&["add", "map", "#1"]], true);
        check("show a<<", &[&["show", "a<<"]], false);
        check("x\\", &[&["x\\"]], false);
    }
}
