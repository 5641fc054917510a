//! The commands, who may give them, and what is said of them.

use std::pin::Pin;

use portway_control::services::ControlLevel;

use super::line::Asked;
use super::{
    Session, Severity, Tone, certificates, change, insides, maps, ocsp, servers, sessions, show,
    tables, variables,
};

/// A command.
pub(crate) struct Command {
    /// The words that it begins with.
    pub(crate) words: &'static [&'static str],
    /// Changes what goes over to a process that takes over: it waits where one is about to.
    changes: bool,
    /// How it is written.
    usage: &'static str,
    /// What it does.
    says: &'static str,
    /// Who may give it.
    level: ControlLevel,
    /// Does it.
    run: Run,
}

/// What does a command, and gives what is answered.
enum Run {
    /// At once.
    Now(fn(&mut Session, &[&str]) -> Answer),
    /// It takes a while.
    Later(for<'s> fn(&'s mut Session, &'s [&'s str]) -> Eventually<'s>),
}

/// What is answered after a while.
pub(super) type Eventually<'s> = Pin<Box<dyn Future<Output = Answer> + Send + 's>>;

/// What is answered, or what is wrong.
pub(crate) type Answer = Result<String, String>;

use ControlLevel::{Admin, Operator, User};
use Run::{Later, Now};

#[rustfmt::skip] // a table
const COMMANDS: &[Command] = &[
    Command { words: &["abort", "ssl", "cert"], changes: true, usage: "abort ssl cert <certfile>", says: "forget what is offered in place of a certificate", level: Admin, run: Now(certificates::abort) },
    Command { words: &["add", "acl"], changes: true, usage: "add acl [@<ver>] <acl> <pattern>", says: "add a pattern to a list (or a payload of them)", level: Operator, run: Now(maps::add_acl) },
    Command { words: &["add", "map"], changes: true, usage: "add map [@<ver>] <map> <key> <val>", says: "add an entry to a map (or a payload of them)", level: Operator, run: Now(maps::add_map) },
    Command { words: &["add", "server"], changes: true, usage: "add server <bk>/<srv> <addr> [keywords]", says: "add a server, which is in maintenance then", level: Admin, run: Later(servers::add) },
    Command { words: &["clear", "acl"], changes: true, usage: "clear acl [@<ver>] <acl>", says: "take all patterns out of a list", level: Operator, run: Now(maps::clear_acl) },
    Command { words: &["clear", "counters"], changes: true, usage: "clear counters [all]", says: "begin maxima anew (or all counters)", level: Operator, run: Now(change::clear_counters) },
    Command { words: &["clear", "map"], changes: true, usage: "clear map [@<ver>] <map>", says: "take all entries out of a map", level: Operator, run: Now(maps::clear_map) },
    Command { words: &["clear", "table"], changes: true, usage: "clear table <table> [data.<type> <op> <value> | key <key>]", says: "forget entries of a stick table", level: Operator, run: Now(tables::clear) },
    Command { words: &["commit", "acl"], changes: true, usage: "commit acl @<ver> <acl>", says: "make a prepared version the one that counts", level: Operator, run: Now(maps::commit_acl) },
    Command { words: &["commit", "map"], changes: true, usage: "commit map @<ver> <map>", says: "make a prepared version the one that counts", level: Operator, run: Now(maps::commit_map) },
    Command { words: &["commit", "ssl", "cert"], changes: true, usage: "commit ssl cert <certfile>", says: "show clients what is offered from now on", level: Admin, run: Now(certificates::commit) },
    Command { words: &["del", "acl"], changes: true, usage: "del acl <acl> [<key>|#<ref>]", says: "take patterns out of a list", level: Operator, run: Now(maps::delete_acl) },
    Command { words: &["del", "map"], changes: true, usage: "del map <map> [<key>|#<ref>]", says: "take entries out of a map", level: Operator, run: Now(maps::delete_map) },
    Command { words: &["del", "server"], changes: true, usage: "del server <bk>/<srv>", says: "take out a server that is in maintenance", level: Admin, run: Later(servers::delete) },
    Command { words: &["disable", "agent"], changes: true, usage: "disable agent <bk>/<srv>", says: "stops asking the agent of a server", level: Admin, run: Now(change::disable_agent) },
    Command { words: &["disable", "frontend"], changes: true, usage: "disable frontend <frontend>", says: "stop accepting for a while", level: Admin, run: Now(change::disable_frontend) },
    Command { words: &["disable", "health"], changes: true, usage: "disable health <bk>/<srv>", says: "stop the checks of a server", level: Admin, run: Now(change::disable_health) },
    Command { words: &["disable", "server"], changes: true, usage: "disable server <bk>/<srv>", says: "put a server into maintenance (see 'set server')", level: Admin, run: Now(change::disable_server) },
    Command { words: &["enable", "agent"], changes: true, usage: "enable agent <bk>/<srv>", says: "asks the agent of a server again", level: Admin, run: Now(change::enable_agent) },
    Command { words: &["enable", "frontend"], changes: true, usage: "enable frontend <frontend>", says: "accept again", level: Admin, run: Later(change::enable_frontend) },
    Command { words: &["enable", "health"], changes: true, usage: "enable health <bk>/<srv>", says: "begin the checks of a server again", level: Admin, run: Now(change::enable_health) },
    Command { words: &["enable", "server"], changes: true, usage: "enable server <bk>/<srv>", says: "take a server out of maintenance (see 'set server')", level: Admin, run: Now(change::enable_server) },
    Command { words: &["experimental-mode"], changes: false, usage: "experimental-mode [on|off]", says: "commands that may change (nothing here needs it)", level: Admin, run: Now(change::experimental) },
    Command { words: &["expert-mode"], changes: false, usage: "expert-mode [on|off]", says: "commands for experts (nothing here needs it)", level: Admin, run: Now(change::expert) },
    Command { words: &["get", "acl"], changes: false, usage: "get acl <acl> <value>", says: "the pattern of a list that fits a value", level: User, run: Now(maps::get_acl) },
    Command { words: &["get", "map"], changes: false, usage: "get map <map> <value>", says: "the entry of a map that fits a value", level: User, run: Now(maps::get_map) },
    Command { words: &["get", "var"], changes: false, usage: "get var <name>", says: "the value of a variable of the process", level: Operator, run: Now(variables::get) },
    Command { words: &["get", "weight"], changes: false, usage: "get weight <bk>/<srv>", says: "the weight of a server", level: User, run: Now(change::get_weight) },
    Command { words: &["operator"], changes: false, usage: "operator", says: "lower the level of this connection to operator", level: Operator, run: Now(change::operator) },
    Command { words: &["prepare", "acl"], changes: true, usage: "prepare acl <acl>", says: "begin a new version of a list", level: Operator, run: Now(maps::prepare_acl) },
    Command { words: &["prepare", "map"], changes: true, usage: "prepare map <map>", says: "begin a new version of a map", level: Operator, run: Now(maps::prepare_map) },
    Command { words: &["set", "map"], changes: true, usage: "set map <map> [<key>|#<ref>] <value>", says: "change the value of entries", level: Operator, run: Now(maps::set_map) },
    Command { words: &["set", "maxconn", "frontend"], changes: true, usage: "set maxconn frontend <frontend> <value>", says: "change the limit of a frontend", level: Admin, run: Now(change::frontend_limit) },
    Command { words: &["set", "maxconn", "global"], changes: true, usage: "set maxconn global <value>", says: "change the limit of the process", level: Admin, run: Now(change::process_limit) },
    Command { words: &["set", "maxconn", "server"], changes: true, usage: "set maxconn server <bk>/<srv> <value>", says: "change the limit of a server", level: Admin, run: Now(change::server_limit) },
    Command { words: &["set", "profiling"], changes: false, usage: "set profiling <what> {auto|on|off}", says: "keep a setting for tools (nothing is measured by function)", level: Admin, run: Now(change::profiling) },
    Command { words: &["set", "rate-limit"], changes: true, usage: "set rate-limit <setting> <value>", says: "change a rate limit of the process", level: Admin, run: Now(change::rate_limit) },
    Command { words: &["set", "server"], changes: true, usage: "set server <bk>/<srv> [opts]", says: "change state, weight, health or address of a server", level: Admin, run: Now(change::server) },
    Command { words: &["set", "severity-output"], changes: false, usage: "set severity-output [none|number|string]", says: "say how severe messages are", level: User, run: Now(change::severity) },
    Command { words: &["set", "ssl", "cert"], changes: true, usage: "set ssl cert <certfile> <payload>", says: "offer something in place of a certificate", level: Admin, run: Now(certificates::set) },
    Command { words: &["set", "ssl", "ocsp-response"], changes: true, usage: "set ssl ocsp-response <response|payload>", says: "show clients an answer of OCSP with the certificate that it is of", level: Admin, run: Now(ocsp::set) },
    Command { words: &["set", "table"], changes: true, usage: "set table <table> key <key> [data.<type> <value>]*", says: "set counters of an entry, which is made where there is none", level: Operator, run: Now(tables::set) },
    Command { words: &["set", "timeout"], changes: false, usage: "set timeout [cli] <delay>", says: "change a timeout", level: User, run: Now(change::timeout) },
    Command { words: &["set", "var"], changes: true, usage: "set var <name> [expr|fmt] <value>", says: "set a variable of the process", level: Operator, run: Now(variables::set) },
    Command { words: &["set", "weight"], changes: true, usage: "set weight <bk>/<srv> <weight>", says: "change the weight of a server (see 'set server')", level: Admin, run: Now(change::weight) },
    Command { words: &["show", "acl"], changes: false, usage: "show acl [@<ver>] [<acl>]", says: "lists, or the patterns of one", level: User, run: Now(maps::show_acl) },
    Command { words: &["show", "activity"], changes: false, usage: "show activity", says: "what each worker did", level: Operator, run: Now(show::activity) },
    Command { words: &["show", "backend"], changes: false, usage: "show backend", says: "names of backends", level: User, run: Now(show::backends) },
    Command { words: &["show", "cache"], changes: false, usage: "show cache", says: "answers that are kept (none are)", level: User, run: Now(show::nothing) },
    Command { words: &["show", "cli", "level"], changes: false, usage: "show cli level", says: "the level of this connection", level: User, run: Now(show::level) },
    Command { words: &["show", "cli", "sockets"], changes: false, usage: "show cli sockets", says: "where commands are understood", level: User, run: Now(show::sockets) },
    Command { words: &["show", "env"], changes: false, usage: "show env [var]", says: "the environment of the process", level: Operator, run: Now(show::environment) },
    Command { words: &["show", "errors"], changes: false, usage: "show errors [<px>] [request|response]", says: "none: refused messages are counted, and stand in access logs", level: Operator, run: Now(show::errors) },
    Command { words: &["show", "events"], changes: false, usage: "show events [<sink>]", says: "rings of events (there are none)", level: User, run: Now(insides::events) },
    Command { words: &["show", "fd"], changes: false, usage: "show fd [num]", says: "descriptors of the process", level: Operator, run: Later(show::descriptors) },
    Command { words: &["show", "info"], changes: false, usage: "show info [desc|json|typed|float]*", says: "the process", level: User, run: Now(show::info) },
    Command { words: &["show", "libs"], changes: false, usage: "show libs", says: "programs and libraries in memory", level: Admin, run: Later(insides::libraries) },
    Command { words: &["show", "map"], changes: false, usage: "show map [@<ver>] [<map>]", says: "maps, or the entries of one", level: User, run: Now(maps::show_map) },
    Command { words: &["show", "peers"], changes: false, usage: "show peers [dict|-] [<section>]", says: "peers of tables (there are none)", level: User, run: Now(insides::peers) },
    Command { words: &["show", "pools"], changes: false, usage: "show pools", says: "memory in pools", level: User, run: Now(show::pools) },
    Command { words: &["show", "profiling"], changes: false, usage: "show profiling [<what>]", says: "what is measured (nothing by function)", level: User, run: Now(change::show_profiling) },
    Command { words: &["show", "resolvers"], changes: false, usage: "show resolvers [id]", says: "resolution of names", level: User, run: Now(show::nothing) },
    Command { words: &["show", "schema", "json"], changes: false, usage: "show schema json", says: "the schema of what is said in JSON", level: User, run: Now(show::schema) },
    Command { words: &["show", "servers", "conn"], changes: false, usage: "show servers conn [<backend>]", says: "connections to servers", level: User, run: Now(show::servers_connections) },
    Command { words: &["show", "servers", "state"], changes: false, usage: "show servers state [<backend>]", says: "states of servers, to be loaded by the next process", level: User, run: Now(show::servers_state) },
    Command { words: &["show", "sess"], changes: false, usage: "show sess [id|all]", says: "who is served now, or more of one of them", level: Operator, run: Later(sessions::show) },
    Command { words: &["show", "ssl", "cert"], changes: false, usage: "show ssl cert [<certfile>]", says: "certificates in use", level: Operator, run: Now(certificates::show) },
    Command { words: &["show", "ssl", "ocsp-response"], changes: false, usage: "show ssl ocsp-response [[text|base64] <id|certfile>]", says: "answers of OCSP that clients are shown, or one of them", level: Operator, run: Now(ocsp::show) },
    Command { words: &["show", "ssl", "ocsp-updates"], changes: false, usage: "show ssl ocsp-updates", says: "how answers of OCSP are fetched", level: Operator, run: Now(ocsp::updates) },
    Command { words: &["show", "startup-logs"], changes: false, usage: "show startup-logs", says: "what was said at the start", level: User, run: Now(show::nothing) },
    Command { words: &["show", "stat"], changes: false, usage: "show stat [desc|json|no-maint|typed|up]*", says: "counters of every proxy and server", level: User, run: Now(show::stat) },
    Command { words: &["show", "table"], changes: false, usage: "show table [<table> [data.<type> <op> <value> | key <key>]]", says: "stick tables, or the entries of one", level: User, run: Now(tables::show) },
    Command { words: &["show", "tasks"], changes: false, usage: "show tasks", says: "connections that workers look after", level: Operator, run: Now(show::tasks) },
    Command { words: &["show", "threads"], changes: false, usage: "show threads", says: "workers", level: Operator, run: Now(show::threads) },
    Command { words: &["show", "trace"], changes: false, usage: "show trace [<module>]", says: "sources of traces (there are none)", level: User, run: Now(insides::traces) },
    Command { words: &["show", "version"], changes: false, usage: "show version", says: "the version", level: User, run: Now(show::version) },
    Command { words: &["shutdown", "frontend"], changes: true, usage: "shutdown frontend <frontend>", says: "stop accepting for ever", level: Admin, run: Now(change::shutdown_frontend) },
    Command { words: &["shutdown", "session"], changes: false, usage: "shutdown session <id>", says: "cut off a session", level: Admin, run: Later(sessions::shut_down) },
    Command { words: &["shutdown", "sessions", "server"], changes: false, usage: "shutdown sessions server <bk>/<srv>", says: "cut off the sessions of a server", level: Admin, run: Now(change::shutdown_sessions) },
    Command { words: &["trace"], changes: false, usage: "trace [<module>|0]", says: "switch traces (there are none)", level: Admin, run: Now(insides::trace) },
    Command { words: &["update", "ssl", "ocsp-response"], changes: true, usage: "update ssl ocsp-response <certfile>", says: "fetch an answer of OCSP now", level: Admin, run: Now(ocsp::update) },
    Command { words: &["user"], changes: false, usage: "user", says: "lower the level of this connection to user", level: User, run: Now(change::user) },
];

/// What every list ends with.
#[rustfmt::skip] // a table
const ALWAYS: [(&str, &str); 3] = [
    ("help [<command>]", "list matching or all commands"),
    ("prompt", "toggle interactive mode with prompt"),
    ("quit", "disconnect"),
];

/// Where nothing fits, so many of the nearest are shown.
const NEAREST: usize = 5;

/// Carries out a command and gives the answer, without the empty line behind it. `None`: the connection ends.
pub(crate) async fn run(session: &mut Session, asked: &Asked) -> Option<String> {
    let words: Vec<&str> = asked.words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["quit"] => return None,
        ["prompt"] => {
            session.prompts = !session.prompts;
            return Some(String::new());
        }
        ["help", about @ ..] => {
            let text = list("The following commands are valid at this level:\n", about);
            return Some(text);
        }
        [] => {
            let text = "Unknown command. Please enter one of the following commands only:\n";
            return Some(list(text, &[]));
        }
        _ => {}
    }
    let fits = |command: &&Command| words.starts_with(command.words);
    let found = COMMANDS.iter().filter(fits).max_by_key(|it| it.words.len());
    let Some(command) = found else {
        let text = "Unknown command, but maybe one of the following ones is a better match:\n";
        return Some(list(text, &words));
    };
    if session.level < command.level {
        return Some(said(session, Tone::Error, "Permission denied\n".to_owned()));
    }
    let arguments = words.get(command.words.len()..).unwrap_or_default();
    session.tone = None;
    let running = session.running.clone();
    let may = match command.changes {
        true => running.may_change().await.map(Some),
        false => Ok(None),
    };
    let answer = match (&may, &command.run) {
        (Err(process), _) => Err(format!(
            "Process {process} has taken over meanwhile: connect again.\n"
        )),
        (Ok(_), Now(run)) => run(session, arguments),
        (Ok(_), Later(run)) => run(session, arguments).await,
    };
    drop(may);
    Some(match answer {
        Ok(text) => match session.tone {
            Some(tone) => said(session, tone, text),
            None => text,
        },
        Err(text) => said(session, Tone::Error, text),
    })
}

/// A message with its severity in front, where that is wanted.
fn said(session: &Session, tone: Tone, text: String) -> String {
    match session.severity {
        Severity::Number => format!("[{}]: {text}", tone.number()),
        Severity::Word => format!("[{}]: {text}", tone.word()),
        Severity::Hidden => text,
    }
}

/// Commands that begin like `about`, else the nearest; all where it is empty.
fn list(head: &str, about: &[&str]) -> String {
    let mut text = head.to_owned();
    for command in matching(about) {
        line(&mut text, command.usage, command.says);
    }
    for (usage, says) in ALWAYS {
        line(&mut text, usage, says);
    }
    text
}

fn line(text: &mut String, usage: &str, says: &str) {
    text.push_str(&format!("  {usage:<40}: {says}\n"));
}

fn matching(about: &[&str]) -> Vec<&'static Command> {
    if about.is_empty() {
        return COMMANDS.iter().collect();
    }
    let same = |command: &Command| {
        let pairs = command.words.iter().zip(about);
        pairs.take_while(|(known, given)| known == given).count()
    };
    let most = COMMANDS.iter().map(same).max().unwrap_or(0);
    let begin = COMMANDS.iter().filter(|it| same(it) == most);
    if most == about.len()
        || (most > 0 && most == begin.clone().map(|it| it.words.len()).max().unwrap_or(0))
    {
        return begin.collect();
    }
    let given = about.join(" ");
    let mut near: Vec<&Command> = begin.collect();
    near.sort_by_key(|it| distance(&it.words.join(" "), &given));
    near.truncate(NEAREST);
    near.sort_by_key(|it| it.words);
    near
}

/// How many letters of one are not in the other, in either direction: enough to find what was probably meant.
fn distance(a: &str, b: &str) -> usize {
    let missing = |from: &str, of: &str| {
        let mut left: Vec<char> = of.chars().collect();
        from.chars()
            .filter(|letter| match left.iter().position(|it| it == letter) {
                Some(at) => {
                    left.swap_remove(at);
                    false
                }
                None => true,
            })
            .count()
    };
    missing(a, b) + missing(b, a)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_stand_in_order() {
        for pair in COMMANDS.windows(2) {
            assert!(pair[0].words < pair[1].words, "{}", pair[1].usage);
        }
    }

    #[test]
    fn what_is_shown_for_words_that_are_no_command() {
        let check = |about: &[&str], expected: &[&str]| {
            let found: Vec<String> = matching(about)
                .iter()
                .map(|it| it.words.join(" "))
                .collect();
            for expected in expected {
                assert!(
                    found.iter().any(|it| it == expected),
                    "{about:?}: {found:?}"
                );
            }
        };
        check(
            &["set", "maxconn"],
            &[
                "set maxconn frontend",
                "set maxconn global",
                "set maxconn server",
            ],
        );
        check(&["show", "inf"], &["show info"]);
        check(&["shwo", "stat"], &["show stat"]);
        check(&["SHOW", "VERSION"], &[]);
        assert_eq!(matching(&["set", "maxconn"]).len(), 3);
        assert_eq!(matching(&[]).len(), COMMANDS.len());
        assert_eq!(matching(&["nonsense"]).len(), NEAREST);
    }
}
