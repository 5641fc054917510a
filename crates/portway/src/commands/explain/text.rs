//! An explanation for people: the way of the request from top to bottom.

use std::fmt::Write;
use std::io::IsTerminal;

use portway_admin::explanation::{End, Explanation, Rule, Target, TargetGroup};

use super::super::paint::Paint;
use crate::system;

/// Of more rules in a row that do not match, the first and the last few are shown.
const ROW: usize = 8;
/// Of more targets than these, those that are not taken are counted only.
const TARGETS: usize = 20;

/// How it is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    /// With colours or without.
    pub(super) paint: Paint,
    /// Columns of the terminal.
    pub(super) width: usize,
}

impl Look {
    /// As standard output takes it.
    pub(super) fn of_output() -> Self {
        let out = std::io::stdout();
        let width = rustix::termios::tcgetwinsize(&out).map_or(0, |it| usize::from(it.ws_col));
        Self {
            paint: Paint(system::colour(&out)),
            width: match (out.is_terminal(), width) {
                (true, 40..) => width,
                _ => 160,
            },
        }
    }

    /// Cut to the line, behind so many columns.
    fn cut(self, text: &str, behind: usize) -> String {
        let room = self.width.saturating_sub(behind).max(20);
        match text.char_indices().nth(room) {
            None => text.to_owned(),
            Some(_) => {
                let kept: String = text.chars().take(room - 1).collect();
                format!("{kept}…")
            }
        }
    }
}

/// The whole. `all`: every rule that does not match, too.
pub(super) fn text(it: &Explanation, look: Look, all: bool) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(out, "{}  from {}", look.paint.bold(&it.request), it.from);
    for listener in &it.listeners {
        let address = match listener.address.as_str() {
            "" => String::new(),
            address => format!(" {address}"),
        };
        let _ = writeln!(
            out,
            "\n{} ({}{address}){}",
            look.paint
                .bold(&format!("{} {}", it.words.listener, listener.name)),
            listener.protocol,
            place(look, listener.place.as_deref()),
        );
        if let Some(names) = &it.certificate {
            let _ = writeln!(out, "  certificate {names}");
        }
        let of_it = |rule: &&Rule| rule.target_group.is_none() && rule.listener == listener.name;
        rules(&mut out, it.rules.iter().filter(of_it).collect(), look, all);
    }
    let of_group: Vec<&Rule> = it
        .rules
        .iter()
        .filter(|it| it.target_group.is_some())
        .collect();
    let group = it.target_group.as_ref();
    let name = group.map(|it| it.name.clone());
    let name = name.or_else(|| of_group.first().and_then(|it| it.target_group.clone()));
    if let Some(name) = name {
        let head = look
            .paint
            .bold(&format!("{} {name}", it.words.target_group));
        let place = place(look, group.and_then(|it| it.place.as_deref()));
        let _ = writeln!(out, "\n{head}{place}");
        rules(&mut out, of_group, look, all);
    }
    if let Some(group) = group {
        targets(&mut out, group, look);
    }
    let _ = writeln!(out, "\n{}", end(it, look));
    if !it.response_rules.is_empty() {
        let on = match &it.sent {
            Some(_) => "on the response",
            None => "on what the target sends first",
        };
        let _ = writeln!(out, "\n{}", look.paint.bold(on));
        rules(&mut out, it.response_rules.iter().collect(), look, all);
    }
    for note in &it.notes {
        let _ = writeln!(out, "  {}", look.paint.dim(&format!("note: {note}")));
    }
    out
}

fn place(look: Look, place: Option<&str>) -> String {
    place.map_or(String::new(), |place| {
        format!("  {}", look.paint.dim(place))
    })
}

fn rules(out: &mut String, rules: Vec<&Rule>, look: Look, all: bool) {
    let matches = |rule: &&Rule| rule.outcome != "not_matched";
    let mut at = 0;
    while let Some(next) = rules.get(at) {
        let row = rules.get(at..).unwrap_or_default().iter();
        let row = row.take_while(|it| !matches(it)).count();
        if row > 2 * ROW && !all {
            let (first, last) = (at + ROW, at + row - ROW / 2);
            for rule in rules.get(at..first).unwrap_or_default() {
                one(out, rule, look);
            }
            let left = last - first;
            let _ = writeln!(
                out,
                "  … {left} more rules that do not match (--all shows them)"
            );
            for rule in rules.get(last..at + row).unwrap_or_default() {
                one(out, rule, look);
            }
            at += row;
            continue;
        }
        one(out, next, look);
        at += 1;
    }
}

fn one(out: &mut String, rule: &Rule, look: Look) {
    let (sign, is_matched) = match rule.outcome.as_str() {
        "matched" => (look.paint.good("✓"), true),
        "skipped" => (look.paint.dim("-"), false),
        "depends" => ("?".to_owned(), true),
        _ => (look.paint.bad("✗"), false),
    };
    let place = rule.place.as_deref().unwrap_or("(of Portway)");
    let text = rule.text.clone().unwrap_or_default();
    let behind = 6 + place.chars().count();
    let text = look.cut(&text, behind);
    let text = if is_matched {
        text
    } else {
        look.paint.dim(&text)
    };
    let line = format!("  {sign} {}  {text}", look.paint.dim(place));
    let _ = writeln!(out, "{}", line.trim_end());
    if rule.outcome == "skipped" {
        let _ = writeln!(
            out,
            "      left out: a rule before it accepts, or ends the phase"
        );
    }
    if matches!(rule.outcome.as_str(), "not_matched" | "depends") {
        for why in &rule.why {
            let _ = writeln!(out, "      {}", look.cut(why, 6));
        }
    }
    for did in &rule.did {
        let _ = writeln!(out, "      {}", look.cut(did, 6));
    }
}

fn targets(out: &mut String, group: &TargetGroup, look: Look) {
    let _ = writeln!(out, "  target: {}", group.by);
    let is_many = group.targets.len() > TARGETS;
    let shown = |it: &&Target| !is_many || it.standing == "taken";
    let shown: Vec<&Target> = group.targets.iter().filter(shown).collect();
    let wide = |text: fn(&Target) -> &str| {
        let lengths = shown.iter().map(|it| text(it).chars().count());
        lengths.max().unwrap_or(0)
    };
    let (names, addresses) = (wide(|it| &it.name), wide(|it| &it.address));
    for it in &shown {
        let is_taken = it.standing == "taken";
        let sign = if is_taken {
            look.paint.good("→")
        } else {
            " ".to_owned()
        };
        let name = format!("{:names$}", it.name);
        let name = if is_taken {
            look.paint.bold(&name)
        } else {
            name
        };
        let address = match it.address == it.name {
            true => String::new(),
            false => format!("  {:addresses$}", it.address),
        };
        let health = match it.health.as_str() {
            "healthy" | "initial" => format!("{:9}", it.health),
            other => look.paint.bad(&format!("{other:9}")),
        };
        let share = it
            .share
            .as_deref()
            .map_or(String::new(), |share| format!("  {share}"));
        let busy = match (it.in_flight, it.max_connections) {
            (0, 0) => String::new(),
            (busy, 0) => format!("  {busy} in flight"),
            (busy, most) => format!("  {busy} of {most} in flight"),
        };
        let why = it
            .why
            .as_deref()
            .map_or(String::new(), |why| format!("  {}", look.paint.dim(why)));
        let line = format!("  {sign} {name}{address}  {health}{share}{busy}{why}");
        let _ = writeln!(out, "{}", line.trim_end());
    }
    if is_many {
        let count = |standing: &str| {
            let targets = group.targets.iter();
            targets.filter(|it| it.standing == standing).count()
        };
        let words = ["in", "full", "down", "weightless", "backup", "aside"];
        let counts: Vec<String> = words
            .into_iter()
            .filter(|word| count(word) > 0)
            .map(|word| format!("{} {word}", count(word)))
            .collect();
        let _ = writeln!(out, "    and {}", counts.join(", "));
    }
}

fn end(it: &Explanation, look: Look) -> String {
    let words = &it.words;
    match &it.end {
        End::Target { name, address } => {
            let group = it.target_group.as_ref();
            let chance = match group.is_some_and(|it| it.by_chance) {
                true => ", or another that chance names",
                false => "",
            };
            let group = group.map_or("", |it| it.name.as_str());
            let address = match address == name {
                true => String::new(),
                false => format!(" ({address})"),
            };
            let target = look
                .paint
                .good(&format!("→ {} {group}/{name}", words.target));
            let sent = it
                .sent
                .as_ref()
                .map(|sent| format!("\n  it is asked: {sent}"));
            format!("{target}{address}{chance}{}", sent.unwrap_or_default())
        }
        End::Waits { target: Some(name) } => look
            .paint
            .bad(&format!("→ waits in the queue of {} {name}", words.target)),
        End::Waits { target: None } => look.paint.bad("→ waits in the queue: every target is full"),
        End::Service => look.paint.good("→ Portway shows a page of its own"),
        End::Closed { silent, why } => {
            let why = why.as_ref().map_or(String::new(), |why| format!(": {why}"));
            let silent = if *silent {
                ", and the client does not hear of it"
            } else {
                ""
            };
            look.paint
                .bad(&format!("→ the connection is closed{silent}{why}"))
        }
        End::Answer {
            status,
            headers,
            body,
            body_bytes,
            after,
            why,
        } => answer(
            (*status, headers),
            (body, *body_bytes),
            (*after, why.as_deref()),
            look,
        ),
    }
}

fn answer(
    (status, headers): (u16, &[(String, String)]),
    (body, bytes): (&str, usize),
    (after, why): (Option<f64>, Option<&str>),
    look: Look,
) -> String {
    let why = why.map_or(String::new(), |why| format!(": {why}"));
    let after = after.map_or(String::new(), |it| format!(", {it} s later"));
    let mut out = match status {
        0 => look
            .paint
            .bad(&format!("→ the connection is closed{after}{why}")),
        status if status < 400 => look
            .paint
            .good(&format!("→ Portway answers {status}{after}{why}")),
        status => look
            .paint
            .bad(&format!("→ Portway answers {status}{after}{why}")),
    };
    for (name, value) in headers {
        let _ = write!(out, "\n  {}", look.cut(&format!("{name}: {value}"), 2));
    }
    if bytes > 0 {
        let line = body.lines().map(str::trim).find(|line| !line.is_empty());
        let line = line.unwrap_or_default();
        let _ = write!(out, "\n  {}", look.cut(line, 2));
        if line.len() < bytes {
            let _ = write!(out, "\n  {}", look.paint.dim(&format!("({bytes} bytes)")));
        }
    }
    out
}
