//! A text to its sections: which lines stand in which, with `no` and `default` taken off, and what the section
//! `global` does to the environment of the lines after it done.
//!
//! Every fault of a line is said here and the line left out, so that what is left can be read.

use super::environment;
use super::keywords;
use super::lex::{self, Surroundings};
use super::preprocess::Blocks;
use super::reader::Reader;
use super::word::{Line, Modifier, Word};
use portway_model::diagnostic::{Code, Diagnostic, nearest};
use portway_model::span::Span;

/// Bytes of a whole configuration with its variables filled in. The largest text that is read has 8 MiB.
pub(crate) const MAX_EXPANDED: usize = 64 * 1024 * 1024;

/// What a section is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum SectionKind {
    /// The process as a whole.
    Global,
    /// What the proxies after it have where they say nothing.
    Defaults,
    /// Where clients come in.
    Frontend,
    /// Where servers are.
    Backend,
    /// Both in one.
    Listen,
    /// Users and groups.
    Userlist,
    /// Name servers.
    Resolvers,
    /// Files of answers.
    HttpErrors,
    /// Other instances that share tables.
    Peers,
    /// A store of responses.
    Cache,
    /// Mail servers for alerts.
    Mailers,
    /// A program beside it.
    Program,
    /// A FastCGI application.
    FcgiApp,
    /// A buffer of log lines.
    Ring,
    /// A forwarder of log lines.
    LogForward,
}

impl SectionKind {
    /// Every kind.
    pub(crate) const ALL: [SectionKind; 15] = [
        SectionKind::Global,
        SectionKind::Defaults,
        SectionKind::Frontend,
        SectionKind::Backend,
        SectionKind::Listen,
        SectionKind::Userlist,
        SectionKind::Resolvers,
        SectionKind::HttpErrors,
        SectionKind::Peers,
        SectionKind::Cache,
        SectionKind::Mailers,
        SectionKind::Program,
        SectionKind::FcgiApp,
        SectionKind::Ring,
        SectionKind::LogForward,
    ];

    /// The word that opens it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            SectionKind::Global => "global",
            SectionKind::Defaults => "defaults",
            SectionKind::Frontend => "frontend",
            SectionKind::Backend => "backend",
            SectionKind::Listen => "listen",
            SectionKind::Userlist => "userlist",
            SectionKind::Resolvers => "resolvers",
            SectionKind::HttpErrors => "http-errors",
            SectionKind::Peers => "peers",
            SectionKind::Cache => "cache",
            SectionKind::Mailers => "mailers",
            SectionKind::Program => "program",
            SectionKind::FcgiApp => "fcgi-app",
            SectionKind::Ring => "ring",
            SectionKind::LogForward => "log-forward",
        }
    }

    /// The kind that this word opens.
    pub(crate) fn of(word: &str) -> Option<SectionKind> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// True for a section with listeners, servers or their defaults.
    pub(crate) fn is_proxy(self) -> bool {
        matches!(
            self,
            SectionKind::Defaults
                | SectionKind::Frontend
                | SectionKind::Backend
                | SectionKind::Listen
        )
    }

    /// True where nothing can refer to it without a name.
    fn needs_name(self) -> bool {
        !matches!(self, SectionKind::Global | SectionKind::Defaults)
    }
}

/// One section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Section {
    /// What it is for.
    pub(crate) kind: SectionKind,
    /// Its lines are looked at: sections of this kind do something here.
    read: bool,
    /// The line that opens it: the kind, then mostly a name.
    pub(crate) header: Line,
    /// The lines in it, in order.
    pub(crate) lines: Vec<Line>,
}

impl Section {
    /// Its name; `global` has none, and `defaults` may have none.
    pub(crate) fn name(&self) -> Option<&Word> {
        self.header
            .word(1)
            .filter(|_| self.kind != SectionKind::Global)
    }
}

/// One text of a configuration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text<'t> {
    /// What messages and `$.FILE` call it.
    pub(crate) name: &'t str,
    /// What it says.
    pub(crate) text: &'t str,
}

/// The sections of `text`, whose place is `reader.file`. The environment of `reader` is left as the text leaves it.
pub(crate) fn read(text: Text<'_>, reader: &mut Reader<'_>) -> Vec<Section> {
    let mut gathered = Gathered {
        file_name: text.name,
        sections: Vec::new(),
        lost: false,
    };
    let mut blocks = Blocks::default();
    let mut expanded = 0;
    for (index, raw) in raw_lines(text.text).enumerate() {
        let span = Span::new(reader.file, raw.start..raw.start + raw.line.len());
        let surroundings = Surroundings {
            environment: &reader.environment,
            file_name: text.name,
            line: index + 1,
            section: gathered.name(),
        };
        let words = match lex::words(raw.line, reader.file, raw.start, surroundings) {
            Ok(words) => words,
            Err(diagnostic) => {
                reader.push(diagnostic);
                continue;
            }
        };
        raw.check(span, reader);
        expanded += words.iter().map(|word| word.text.len()).sum::<usize>();
        if expanded > MAX_EXPANDED {
            let message = format!(
                "with its variables filled in this text has more than {MAX_EXPANDED} bytes"
            );
            reader.error(Code::TooLarge, span, message);
            break;
        }
        if blocks.take(&words, reader) {
            continue;
        }
        if let Some(line) = line_of(words, reader) {
            gathered.line(line, raw.line.starts_with([' ', '\t']), reader);
        }
    }
    blocks.end(reader);
    gathered.sections.retain(|section| section.read);
    gathered.sections
}

/// A line of text as it stands there.
struct RawLine<'t> {
    /// Without its line feed.
    line: &'t str,
    /// Where it begins in the text.
    start: usize,
    /// A line feed follows.
    ended: bool,
}

impl RawLine<'_> {
    /// What is wrong with the line whatever it says.
    fn check(&self, span: Span, reader: &mut Reader<'_>) {
        let at = |offset: usize| Span::new(span.file, self.start + offset..self.start + offset + 1);
        if let Some(nul) = self.line.find('\0') {
            reader.push(
                Diagnostic::error(Code::Syntax, at(nul), "there is a NUL byte in this line")
                    .help("take it out: HAProxy reads nothing after it"),
            );
        } else if !self.ended {
            let end = Span::new(span.file, span.end as usize..span.end as usize);
            reader.push(
                Diagnostic::error(
                    Code::Syntax,
                    end,
                    "the last line does not end with a line feed: is the file complete?",
                )
                .help("add an empty line; HAProxy refuses such a file too"),
            );
        }
        let rest = self.line.find('\r').and_then(|cr| self.line.get(cr + 1..));
        if rest.is_some_and(|rest| rest.contains(|c: char| !c.is_whitespace())) {
            let message =
                "a carriage return ends this line for HAProxy: what follows it is not read";
            reader.warn(Code::Syntax, span, message);
        }
    }
}

fn raw_lines(text: &str) -> impl Iterator<Item = RawLine<'_>> {
    let mut start = 0;
    text.split_inclusive('\n').map(move |whole| {
        let line = whole.strip_suffix('\n');
        let raw = RawLine {
            line: line.unwrap_or(whole),
            start,
            ended: line.is_some(),
        };
        start += whole.len();
        raw
    })
}

/// The line of these words, `no` and `default` taken off; `None` where it says nothing.
fn line_of(mut words: Vec<Word>, reader: &mut Reader<'_>) -> Option<Line> {
    // An empty word at the end is none: nothing of HAProxy tells them apart.
    while words.len() > 1 && words.last().is_some_and(|word| word.text.is_empty()) {
        words.pop();
    }
    let empty = words.iter().skip(1).find(|word| word.text.is_empty());
    if let Some(empty) = empty.filter(|_| !words.first().is_some_and(|word| word.text.is_empty())) {
        let message = "an empty word: HAProxy reads nothing of what follows it";
        let help = "write what it stands for, or take it away";
        reader.push(Diagnostic::error(Code::Syntax, empty.span, message).help(help));
        return None;
    }
    let (first, last) = (words.first()?, words.last()?);
    let span = first.span.to(last.span);
    let modifier = match first.as_str() {
        "" => return None,
        "no" => Modifier::No,
        "default" => Modifier::Default,
        _ => Modifier::None,
    };
    if modifier != Modifier::None {
        let word = words.remove(0);
        let keyword = words.first().map_or("", Word::as_str);
        if !MODIFIABLE.contains(&keyword) {
            let message = format!("`{}` cannot stand before `{keyword}`", word.text);
            let help = format!("it can stand before {}", MODIFIABLE.join(", "));
            reader.push(Diagnostic::error(Code::Conflict, span, message).help(help));
            return None;
        }
    }
    Some(Line {
        modifier,
        words,
        span,
    })
}

/// What `no` and `default` may stand before.
const MODIFIABLE: [&str; 7] = [
    "option",
    "log",
    "busy-polling",
    "set-dumpable",
    "strict-limits",
    "insecure-fork-wanted",
    "numa-cpu-mapping",
];

/// The sections so far.
struct Gathered<'t> {
    file_name: &'t str,
    sections: Vec<Section>,
    /// A line before the first section was reported.
    lost: bool,
}

impl Gathered<'_> {
    /// What `$.SECTION` is.
    fn name(&self) -> &str {
        self.sections.last().map_or("", |section| {
            section.name().map_or(section.kind.as_str(), Word::as_str)
        })
    }

    /// Takes a line. `indented`: it does not begin at the margin.
    fn line(&mut self, line: Line, indented: bool, reader: &mut Reader<'_>) {
        if let Some(kind) = SectionKind::of(line.text(0)) {
            self.open(kind, line, reader);
            return;
        }
        let Some(section) = self.sections.last_mut() else {
            self.without_section(line, indented, reader);
            return;
        };
        if !section.read {
            keywords::unread_line(section.kind, &line, reader);
            return;
        }
        let in_global = section.kind == SectionKind::Global;
        if in_global && environment::act(&line, self.file_name, reader) {
            return;
        }
        let named = section.name().is_some_and(|name| !name.text.is_empty());
        if keywords::section_line(section.kind, named, &line, reader) {
            section.lines.push(line);
        }
    }

    fn open(&mut self, kind: SectionKind, line: Line, reader: &mut Reader<'_>) {
        if kind.needs_name() && line.text(1).is_empty() {
            let message = format!("`{}` needs a name", kind.as_str());
            let help = format!("write `{} NAME`", kind.as_str());
            reader.push(Diagnostic::error(Code::Missing, line.span, message).help(help));
        }
        let read = keywords::section(kind, line.span, reader);
        reader.nameservers.clear();
        if !read || kind == SectionKind::Resolvers {
            let name = line.text(1).to_owned();
            reader.unread_sections.push((kind, name));
        }
        self.sections.push(Section {
            kind,
            read,
            header: line,
            lines: Vec::new(),
        });
    }

    fn without_section(&mut self, line: Line, indented: bool, reader: &mut Reader<'_>) {
        let word = line.text(0);
        let meant = nearest(word, SectionKind::ALL.map(SectionKind::as_str));
        let kind = meant.and_then(SectionKind::of).filter(|_| !indented);
        if !self.lost {
            self.lost = true;
            let span = line.word(0).map_or(line.span, |word| word.span);
            let message = format!("`{word}` stands before the first section");
            let found = Diagnostic::error(Code::Unknown, span, message);
            let names = SectionKind::ALL.map(SectionKind::as_str);
            reader.push(match word.starts_with('\u{feff}') {
                true => found.help("save the file without a byte order mark"),
                false => found.nearest(word, names),
            });
        }
        if let Some(kind) = kind {
            self.open(kind, line, reader);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inputs::Inputs;
    use portway_model::span::FileId;

    const INPUTS: Inputs<'static> = Inputs {
        certificates_may_be_missing: false,
        environment: &|name| (name == "OUTER").then(|| "outer".to_owned()),
        ..Inputs::NOTHING
    };

    fn shown(section: &Section) -> String {
        let line = |line: &Line| {
            let words: Vec<&str> = line.words.iter().map(Word::as_str).collect();
            let modifier = match line.modifier {
                Modifier::None => "",
                Modifier::No => "!",
                Modifier::Default => "?",
            };
            format!("{modifier}{}", words.join("|"))
        };
        let lines: Vec<String> = section.lines.iter().map(line).collect();
        format!("{} [{}]", line(&section.header), lines.join(", "))
    }

    fn check(text: &str, expected: &[&str], wrong: &[&str]) {
        let mut reader = Reader::new(FileId(0), &INPUTS);
        let sections = read(Text { name: "h", text }, &mut reader);
        let sections: Vec<String> = sections.iter().map(shown).collect();
        assert_eq!(sections, expected, "{text}");
        let found: Vec<&str> = reader
            .diagnostics
            .iter()
            .map(|it| it.message.as_str())
            .collect();
        assert_eq!(found.len(), wrong.len(), "{text}: {found:?}");
        for (found, wrong) in found.iter().zip(wrong) {
            assert!(found.contains(wrong), "{text}: {found}");
        }
        for label in reader.diagnostics.iter().flat_map(|it| &it.labels) {
            assert!(text.get(label.span.range()).is_some(), "{label:?}");
        }
    }

    #[test]
    fn texts() {
        check("", &[], &[]);
        check(
            "# x\nglobal\n  daemon # y\n\ndefaults\nlisten a :80\n\"\" x\n",
            &["global [daemon]", "defaults []", "listen|a|:80 []"],
            &[],
        );
        check("global\r\n daemon\r\n", &["global [daemon]"], &[]);
        check(
            "listen a\n no option httplog\n default log\n no bind :80\n no\n",
            &["listen|a [!option|httplog, ?log]"],
            &["`no` cannot stand before `bind`", "cannot stand before ``"],
        );
        check("global\n daemon", &["global [daemon]"], &["line feed"]);
        check("global\n # x", &["global []"], &["line feed"]);
        check("global\n log\0b\n", &["global [log]"], &["NUL"]);
        check("global\n log\rb\n", &["global [log]"], &["carriage return"]);
        check(
            "foo\nbar x\nglobal\n",
            &["global []"],
            &["`foo` stands before the first section"],
        );
        check(
            "\u{feff}global\n daemon\n",
            &["\u{feff}global [daemon]"],
            &["stands before"],
        );
        check(
            "frontned a\n mode tcp\n",
            &["frontned|a [mode|tcp]"],
            &["`frontned` stands"],
        );
        check(
            "backend\n mode tcp\n",
            &["backend [mode|tcp]"],
            &["needs a name"],
        );
        check("global\n \"x\n log\n", &["global [log]"], &["not closed"]);
        check(
            "cache c\n x\nglobal\n",
            &["global []"],
            &["no effect", "unknown keyword 'x'"],
        );
    }

    #[test]
    fn blocks_that_do_not_count_are_not_read() {
        check(
            ".if 0\nfoo\n.else\nglobal\n .if defined(OUTER)\n  log\n .elif nonsense(\n  b\n .else\n  c\n .endif\n.endif\n",
            &["global [log]"],
            &[],
        );
        check(
            "global\n.if 0\n.if nonsense(\n.endif\n.foo\n.alert x\n\"x\n.elif 0\na\n.elif 1\nlog\n.else\nc\n.endif\n",
            &["global [log]"],
            &["not closed"],
        );
        check(
            "global\n setenv A yes\n.if streq(\"$A\",yes)\n log\n.endif\n",
            &["global [log]"],
            &[],
        );
        check(
            "global\n.elif 1\n.else\n.endif x\n.foo\n.else y\n",
            &["global []"],
            &[
                "no `.if` for this `.elif`",
                "no `.if` for this `.else`",
                "stands alone",
                "no `.if`",
                "unknown directive `.foo`",
                "stands alone",
                "no `.if`",
            ],
        );
        check(
            "global\n.if 1\n.else\n.else\n.elif 1\n.endif\n.if x\n",
            &["global []"],
            &[
                "`.else` cannot follow",
                "`.elif` cannot follow",
                "`x` is no condition",
                "no `.endif`",
            ],
        );
        check(
            ".notice \"a b\"\n.warning b\n.alert c\n.diag d\n.notice a b\n",
            &[],
            &["a b", "b", "c", "takes one word"],
        );
    }

    #[test]
    fn the_environment_changes_line_by_line() {
        check(
            "global\n setenv A 1\n presetenv A 2\n presetenv B 3\n log \"$A$B$OUTER\"\nlisten l\n setenv A 9\n log \"$A\"\n",
            &["global [log|13outer]", "listen|l [log|1]"],
            &["unknown keyword 'setenv'"],
        );
        check(
            "global\n setenv A 1\n unsetenv A\n log \"${A-none}\"\n resetenv\n log \"${OUTER-none}\"\n",
            &["global [log|none, log|none]"],
            &[],
        );
        check(
            "global\n setenv A\n setenv A b c\n unsetenv\n log $.LINE \"$.LINE $.SECTION ${.FILE}\"\n",
            &["global [log|$.LINE|5 global h]"],
            &[
                "needs a name and a value",
                "one name and one value",
                "needs the name",
            ],
        );
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_taken_apart(
            text in "((global|listen a|no|setenv|[a\"'\\\\$ \t\r\u{0}é#{}.]{1,5}) ?\n?){0,12}"
        ) {
            let mut reader = Reader::new(FileId(0), &INPUTS);
            let sections = read(Text { name: "h", text: &text }, &mut reader);
            let lines = sections.iter().flat_map(|it| it.lines.iter().chain([&it.header]));
            for word in lines.flat_map(|line| &line.words) {
                proptest::prop_assert!(text.get(word.span.range()).is_some());
            }
            for label in reader.diagnostics.iter().flat_map(|it| &it.labels) {
                proptest::prop_assert!(text.get(label.span.range()).is_some());
            }
        }
    }
}
