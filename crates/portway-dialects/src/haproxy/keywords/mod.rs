//! Every word of HAProxy 2.6, those of 1.5 that it has given up, and what becomes of each here.
//!
//! The tables are the one place where a word's state stands: a word that begins to be read changes its state in its
//! row, and `docs/haproxy.md`, which is made of the tables, changes with it. What is not [`State::Supported`] is said
//! here, once, with the reason; nothing is ignored silently.

mod actions;
mod aliases;
mod balance;
mod bind;
mod converters;
mod fetches;
mod forms;
mod global;
mod proxy;
mod ranges;
#[cfg(test)]
mod reference;
mod sections;
mod server;
#[cfg(test)]
mod tests;

use super::proxy::Args;
use super::reader::Reader;
use super::sections::SectionKind;
use super::word::{Line, Word};
use portway_model::diagnostic::{Code, Diagnostic, nearest};
use portway_model::span::Span;

/// What becomes of a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It does what it does in HAProxy.
    Supported,
    /// The same, but for these forms, which are refused until they are done.
    Except(&'static str),
    /// It does what it did in HAProxy 1.5, which 2.6 refuses; today one writes this.
    Old(&'static str),
    /// It changes nothing here, for this reason.
    NoEffect(&'static str),
    /// It is refused until it is done.
    NotYet,
    /// It is refused for good, for this reason.
    Refused(&'static str),
}

/// One word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    /// The word, or the words of a keyword that has several; without arguments.
    pub(crate) name: &'static str,
    /// For keywords of proxies: `d` defaults, `n` named defaults only, `f` frontend, `l` listen, `b` backend; `!`:
    /// HAProxy refuses it in the wrong proxy, where it ignores others with a warning.
    places: &'static str,
    /// For options within a line: how many words follow it at least.
    takes: usize,
    /// What becomes of it.
    pub(crate) state: State,
}

/// Rows: the name, `@ "places"`, `/ words that follow`, the state.
macro_rules! rows {
    ($($name:literal $(@ $places:literal)? $(/ $takes:literal)? => $state:expr;)*) => {
        &[$(Row {
            name: $name,
            places: concat!($($places)?),
            takes: 0 $(+ $takes)?,
            state: $state,
        },)*]
    };
}
use rows;

/// Whose options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OptionOf {
    /// Of a `bind`.
    Bind,
    /// Of a `server` or `default-server`.
    Server,
    /// `option` in a proxy.
    Proxy,
}

/// Whose actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ActionOf {
    /// `http-request`.
    HttpRequest,
    /// `http-response`.
    HttpResponse,
    /// `http-after-response`.
    HttpAfterResponse,
    /// `tcp-request connection`.
    TcpConnection,
    /// `tcp-request session`.
    TcpSession,
    /// `tcp-request content`.
    TcpContent,
    /// `tcp-response content`.
    TcpResponse,
}

impl ActionOf {
    fn table(self) -> (&'static str, &'static [Row]) {
        match self {
            ActionOf::HttpRequest => ("http-request", actions::HTTP_REQUEST),
            ActionOf::HttpResponse => ("http-response", actions::HTTP_RESPONSE),
            ActionOf::HttpAfterResponse => ("http-after-response", actions::HTTP_AFTER_RESPONSE),
            ActionOf::TcpConnection => ("tcp-request connection", actions::TCP_CONNECTION),
            ActionOf::TcpSession => ("tcp-request session", actions::TCP_SESSION),
            ActionOf::TcpContent => ("tcp-request content", actions::TCP_CONTENT),
            ActionOf::TcpResponse => ("tcp-response content", actions::TCP_RESPONSE),
        }
    }
}

/// True where this option is to be read. Otherwise it is said why not; its arguments are to be skipped then. Of
/// `OptionOf::Proxy` nothing is said, as [`section_line`] did.
pub(crate) fn option(of: OptionOf, word: &Word, reader: &mut Reader<'_>) -> bool {
    let name = word.as_str();
    let (what, rows) = match of {
        OptionOf::Bind => ("bind option", bind::OPTIONS),
        OptionOf::Server => ("server option", server::OPTIONS),
        OptionOf::Proxy => {
            let row = find(proxy::KEYWORDS, &format!("option {name}"));
            return row.is_some_and(|row| goes_on(row.state));
        }
    };
    read_on(rows, what, name, word.span, reader)
}

/// How many words belong to this option of a `bind` or `server`, besides itself; 0 for what is not known.
pub(crate) fn arguments(of: OptionOf, name: &str) -> usize {
    let rows = match of {
        OptionOf::Bind => bind::OPTIONS,
        OptionOf::Server => server::OPTIONS,
        OptionOf::Proxy => return 0,
    };
    find(rows, name).map_or(0, |row| row.takes)
}

/// The option of a `bind` or `server` that is written most like this.
pub(crate) fn nearest_option(of: OptionOf, name: &str) -> Option<&'static str> {
    let rows = match of {
        OptionOf::Bind => bind::OPTIONS,
        OptionOf::Server => server::OPTIONS,
        OptionOf::Proxy => return None,
    };
    nearest(name, rows.iter().map(|row| row.name))
}

/// True where there is such an option, in whatever state.
pub(crate) fn is_option(of: OptionOf, name: &str) -> bool {
    let rows = match of {
        OptionOf::Bind => bind::OPTIONS,
        OptionOf::Server => server::OPTIONS,
        OptionOf::Proxy => return find(proxy::KEYWORDS, &format!("option {name}")).is_some(),
    };
    find(rows, name).is_some()
}

/// True where this action is to be read: `word` is its name, arguments in parentheses or none. Otherwise it is said
/// why not.
pub(crate) fn action(of: ActionOf, word: &Word, reader: &mut Reader<'_>) -> bool {
    let (what, rows) = of.table();
    let name = without_arguments(word.as_str());
    let name = match name.starts_with("lua.") {
        true => "lua",
        false => name,
    };
    read_on(rows, &format!("{what} action"), name, word.span, reader)
}

/// Holds what follows an action that has no effect, but for its condition. False for others.
pub(crate) fn action_words(
    of: ActionOf,
    word: &Word,
    mut args: Args<'_>,
    reader: &mut Reader<'_>,
) -> bool {
    let row = find(of.table().1, word.as_str());
    let has_none = row.is_some_and(|row| matches!(row.state, State::NoEffect(_)));
    if has_none {
        forms::action(word, args.rest(), reader);
    }
    has_none
}

/// True where this algorithm of `balance` is to be read. Otherwise it is said why not.
pub(crate) fn balance(name: &str, word: &Word, reader: &mut Reader<'_>) -> bool {
    read_on(
        balance::ALGORITHMS,
        "balance algorithm",
        name,
        word.span,
        reader,
    )
}

/// Why a fetch of this name cannot be read, which is none of those that are.
pub(crate) fn fetch_fault(name: &str, span: Span) -> Diagnostic {
    fault(fetches::FETCHES, "fetch", name, span)
}

/// Why a converter of this name cannot be read, which is none of those that are.
pub(crate) fn converter_fault(name: &str, span: Span) -> Diagnostic {
    fault(converters::CONVERTERS, "converter", name, span)
}

/// Why a variable of a log-format string cannot be read, which is none of those that are.
pub(crate) fn alias_fault(name: &str, span: Span) -> Diagnostic {
    fault(aliases::ALIASES, "log-format variable", name, span)
}

/// True where a section of this kind is to be read. Otherwise it is said why not.
pub(crate) fn section(kind: SectionKind, span: Span, reader: &mut Reader<'_>) -> bool {
    let what = format!("section `{}`", kind.as_str());
    say(section_state(kind), &what, span, reader)
}

/// What becomes of a section.
fn section_state(kind: SectionKind) -> State {
    match kind {
        SectionKind::Global
        | SectionKind::Defaults
        | SectionKind::Frontend
        | SectionKind::Backend
        | SectionKind::Listen
        | SectionKind::Userlist
        | SectionKind::Resolvers
        | SectionKind::Ring
        | SectionKind::HttpErrors => State::Supported,
        SectionKind::Peers => State::NoEffect("tables are not shared with other instances"),
        SectionKind::Cache => {
            State::NoEffect("responses are not kept: every request goes to a server")
        }
        SectionKind::Mailers => State::Refused("mail is not sent: watch the metrics or the log"),
        SectionKind::Program => State::Refused("programs beside the proxy are for the init system"),
        SectionKind::FcgiApp => {
            State::Refused("FastCGI is not spoken: put a web server before the application")
        }
        SectionKind::LogForward => State::NotYet,
    }
}

/// The keywords of a section.
fn section_table(kind: SectionKind) -> &'static [Row] {
    match kind {
        SectionKind::Global => global::KEYWORDS,
        SectionKind::Defaults
        | SectionKind::Frontend
        | SectionKind::Backend
        | SectionKind::Listen => proxy::KEYWORDS,
        SectionKind::Userlist => sections::USERLIST,
        SectionKind::Resolvers => sections::RESOLVERS,
        SectionKind::HttpErrors => sections::HTTP_ERRORS,
        SectionKind::Peers => sections::PEERS,
        SectionKind::Cache => sections::CACHE,
        SectionKind::Mailers => sections::MAILERS,
        SectionKind::Program => sections::PROGRAM,
        SectionKind::FcgiApp => sections::FCGI_APP,
        SectionKind::Ring => sections::RING,
        SectionKind::LogForward => sections::LOG_FORWARD,
    }
}

/// True where this line of a section is to be read. Otherwise it is said why not. `named`: the section has a name.
pub(crate) fn section_line(
    kind: SectionKind,
    named: bool,
    line: &Line,
    reader: &mut Reader<'_>,
) -> bool {
    let rows = section_table(kind);
    let Some((row, span)) = keyword(rows, line) else {
        reader.push(unknown_keyword(kind, line));
        return false;
    };
    if kind.is_proxy() && !stands_well(row, kind, named, span, reader) {
        return false;
    }
    if matches!(row.state, State::NoEffect(_)) || kind == SectionKind::Resolvers {
        hold_form(row, span, line, reader);
    }
    say(row.state, &format!("`{}`", row.name), span, reader)
}

/// Says what HAProxy would not take of a line in a section that has no effect as a whole.
pub(crate) fn unread_line(kind: SectionKind, line: &Line, reader: &mut Reader<'_>) {
    if !matches!(section_state(kind), State::NoEffect(_)) {
        return;
    }
    match keyword(section_table(kind), line) {
        Some((row, span)) => hold_form(row, span, line, reader),
        None => reader.push(unknown_keyword(kind, line)),
    }
}

fn hold_form(row: &Row, span: Span, line: &Line, reader: &mut Reader<'_>) {
    let words = line.from(row.name.split(' ').count());
    forms::keyword(row.name, span, words, reader);
}

/// Takes the words of an option of a `bind` or `server` that has no effect.
pub(crate) fn skip(of: OptionOf, word: &Word, args: &mut Args<'_>, reader: &mut Reader<'_>) {
    let mut values = Vec::new();
    for _ in 0..arguments(of, word.as_str()) {
        match args.next() {
            Some(value) => values.push(value.clone()),
            None => {
                let message = format!("`{}` needs a value", word.text);
                reader.error(Code::Missing, word.span, message);
                return;
            }
        }
    }
    forms::option(word, &values, reader);
}

/// The longest keyword that a line begins with, and where it stands.
fn keyword(rows: &'static [Row], line: &Line) -> Option<(&'static Row, Span)> {
    (1..=3).rev().find_map(|count| {
        let words = line.words.get(..count)?;
        let names: Vec<&str> = words
            .iter()
            .map(|it| without_arguments(it.as_str()))
            .collect();
        let (first, last) = (words.first()?, words.last()?);
        Some((find(rows, &names.join(" "))?, first.span.to(last.span)))
    })
}

/// A keyword of proxies in a proxy where HAProxy does not take it: said, and false.
fn stands_well(
    row: &Row,
    kind: SectionKind,
    named: bool,
    span: Span,
    reader: &mut Reader<'_>,
) -> bool {
    let place = match kind {
        SectionKind::Defaults if named => ['d', 'n'],
        SectionKind::Defaults => ['d', 'd'],
        SectionKind::Frontend => ['f', 'f'],
        SectionKind::Backend => ['b', 'b'],
        _ => ['l', 'l'],
    };
    if row.places.contains(place) {
        return true;
    }
    let name = row.name;
    let proxies = [('f', "frontend"), ('l', "listen"), ('b', "backend")];
    let proxies: Vec<&str> = proxies
        .into_iter()
        .filter_map(|(letter, proxy)| row.places.contains(letter).then_some(proxy))
        .collect();
    let help = format!("it stands in {}", proxies.join(", "));
    if kind == SectionKind::Defaults {
        let unnamed = row.places.contains('n');
        let message = match unnamed {
            true => format!("`{name}` cannot stand in defaults without a name"),
            false => format!("`{name}` cannot stand in defaults"),
        };
        reader.push(Diagnostic::error(Code::Conflict, span, message).help(help));
        return false;
    }
    let message = format!("`{name}` does nothing in a {}", kind.as_str());
    let found = match row.places.contains('!') {
        true => Diagnostic::error(Code::Conflict, span, message),
        false => Diagnostic::warning(Code::Conflict, span, message),
    };
    reader.push(found.help(help));
    false
}

fn unknown_keyword(kind: SectionKind, line: &Line) -> Diagnostic {
    let rows = section_table(kind);
    let (first, second) = (line.text(0), line.text(1));
    let span = |index| line.word(index).map_or(line.span, |word: &Word| word.span);
    let prefix = format!("{first} ");
    let seconds: Vec<&str> = rows
        .iter()
        .filter_map(|row| row.name.strip_prefix(&prefix))
        .collect();
    if !seconds.is_empty() {
        let known = seconds.join(", ");
        if second.is_empty() {
            let message = format!("`{first}` needs a second word");
            let found = Diagnostic::error(Code::Missing, span(0), message);
            return found.help(format!("one of: {known}"));
        }
        let message = format!("unknown keyword `{first} {second}`");
        let found = Diagnostic::error(Code::Unknown, span(1), message);
        return match nearest(second, seconds.iter().copied()) {
            Some(_) => found.nearest(second, seconds),
            None if seconds.len() <= crate::MAX_LISTED => found.help(format!("one of: {known}")),
            None => found,
        };
    }
    let message = format!("unknown keyword '{first}' in '{}' section", kind.as_str());
    let found = Diagnostic::error(Code::Unknown, span(0), message);
    let elsewhere = SectionKind::ALL
        .into_iter()
        .find(|other| keyword(section_table(*other), line).is_some());
    if let Some(other) = elsewhere {
        return found.help(match other.is_proxy() {
            true => "it stands in the sections of proxies".to_owned(),
            false => format!("it stands in section `{}`", other.as_str()),
        });
    }
    let firsts = rows.iter().filter_map(|row| row.name.split(' ').next());
    found.nearest(
        first,
        firsts.chain(SectionKind::ALL.map(SectionKind::as_str)),
    )
}

fn find(rows: &'static [Row], name: &str) -> Option<&'static Row> {
    rows.iter().find(|row| row.name == name)
}

/// `set-var(txn.a)` is `set-var`.
fn without_arguments(word: &str) -> &str {
    word.split('(').next().unwrap_or_default()
}

/// True where this word is to be read. Otherwise it is said why not.
fn read_on(
    rows: &'static [Row],
    what: &str,
    name: &str,
    span: Span,
    reader: &mut Reader<'_>,
) -> bool {
    match find(rows, name) {
        Some(row) => say(row.state, &format!("{what} `{name}`"), span, reader),
        None => {
            reader.push(fault(rows, what, name, span));
            false
        }
    }
}

/// What cannot be read of a table's words: not there, not yet, or never.
fn fault(rows: &'static [Row], what: &str, name: &str, span: Span) -> Diagnostic {
    match find(rows, name).map(|row| row.state) {
        None => {
            let message = format!("unknown {what} `{name}`");
            let known = rows.iter().map(|row| row.name);
            Diagnostic::error(Code::Unknown, span, message).nearest(name, known)
        }
        Some(State::Refused(why)) => {
            let message = format!("{what} `{name}` is not supported");
            Diagnostic::error(Code::NotRun, span, message).help(why)
        }
        Some(_) => not_yet(&format!("{what} `{name}`"), span),
    }
}

fn not_yet(what: &str, span: Span) -> Diagnostic {
    let message = format!("{what} is not supported yet");
    Diagnostic::error(Code::NotRun, span, message)
        .help("docs/haproxy.md lists what is; without this line the rest can run")
}

fn goes_on(state: State) -> bool {
    matches!(state, State::Supported | State::Except(_) | State::Old(_))
}

/// Says what there is to say of a word in this state, and whether it is to be read.
fn say(state: State, what: &str, span: Span, reader: &mut Reader<'_>) -> bool {
    match state {
        State::Supported | State::Except(_) => {}
        State::Old(modern) => {
            let message = format!("{what} is of HAProxy 1.5; later versions refuse it");
            let help = format!("today one writes `{modern}`");
            reader.push(Diagnostic::note(Code::Stated, span, message).help(help));
        }
        State::NoEffect(why) => {
            let message = format!("{what} has no effect here");
            reader.push(Diagnostic::warning(Code::NotRun, span, message).help(why));
        }
        State::NotYet => reader.push(not_yet(what, span)),
        State::Refused(why) => {
            let message = format!("{what} is not supported");
            reader.push(Diagnostic::error(Code::NotRun, span, message).help(why));
        }
    }
    goes_on(state)
}
