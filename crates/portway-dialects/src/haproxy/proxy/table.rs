//! Stick tables: the line that makes one, and what rules do to its entries.

use super::http_rule::{Reading, call};
use super::keyword::{missing, whole};
use super::{Args, Proxy};
use crate::haproxy::fetch::small;
use crate::haproxy::sections::SectionKind;
use crate::haproxy::units::{self, Unit};
use crate::haproxy::{Line, Reader, Word, sample};
use portway_model::action::Action;
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::draft::StickTableDraft;
use portway_model::expression::{Counter, StoredCounter, Value};
use portway_model::name::Name;
use portway_model::settings::{KeyType, TargetKey, WhenFull};
use portway_model::span::{Span, Spanned};
use portway_model::stage::Named;
use std::time::Duration;

/// The length of text keys where none is said.
const KEY_LENGTH: u16 = 32;

/// What a stick table may store, beside arrays, in HAProxy's order.
pub const COUNTER_WORDS: &[(&str, Counter)] = &[
    ("server_id", Counter::Target),
    ("gpt0", Counter::Mark(0)),
    ("gpc0", Counter::General(0)),
    ("gpc0_rate", Counter::GeneralRate(0)),
    ("conn_cnt", Counter::Connections),
    ("conn_rate", Counter::ConnectionRate),
    ("conn_cur", Counter::OpenConnections),
    ("sess_cnt", Counter::Sessions),
    ("sess_rate", Counter::SessionRate),
    ("http_req_cnt", Counter::Requests),
    ("http_req_rate", Counter::RequestRate),
    ("http_err_cnt", Counter::Errors),
    ("http_err_rate", Counter::ErrorRate),
    ("bytes_in_cnt", Counter::BytesIn),
    ("bytes_in_rate", Counter::BytesInRate),
    ("bytes_out_cnt", Counter::BytesOut),
    ("bytes_out_rate", Counter::BytesOutRate),
    ("gpc1", Counter::General(1)),
    ("gpc1_rate", Counter::GeneralRate(1)),
    ("http_fail_cnt", Counter::Failures),
    ("http_fail_rate", Counter::FailureRate),
];

/// A counter of an array, by its number.
type Numbered = fn(u8) -> Counter;

/// Arrays: how many there are stands between parentheses.
const ARRAYS: &[(&str, Numbered)] = &[
    ("gpc", Counter::General),
    ("gpc_rate", Counter::GeneralRate),
    ("gpt", Counter::Mark),
];

/// Elements of an array at most, HAProxy's.
const MAX_ARRAY: u32 = 100;

/// `stick-table type TYPE size N [expire TIME] [nopurge] [peers NAME] [store DATA…]`.
pub(super) fn line(proxy: &mut Proxy, line: &Line, reader: &mut Reader<'_>) {
    let mut table = StickTableDraft {
        name: proxy.name.clone().map(Name::from),
        key: None,
        size: None,
        expire: None,
        when_full: None,
        target_key: None,
        store: Vec::new(),
    };
    let mut args = Args::new(line, 1);
    while let Some(word) = args.next() {
        if option(&mut table, word, &mut args, reader).is_none() {
            return;
        }
    }
    if table.key.is_none() || table.size.is_none() {
        return missing(line, "a `type` and a `size`", reader);
    }
    if let Some(before) = &proxy.stick_table {
        let message = format!("{} has a stick table already", proxy.words());
        let wrong = Diagnostic::error(Code::Duplicate, line.span, message);
        reader.push(wrong.label(before.span, "it is here"));
        return;
    }
    proxy.stick_table = Some(Spanned::new(table, line.span));
}

/// One option of the line. `None`: it was wrong.
fn option(
    table: &mut StickTableDraft,
    word: &Word,
    args: &mut Args<'_>,
    reader: &mut Reader<'_>,
) -> Option<()> {
    let mut argument = |what: &str, reader: &mut Reader<'_>| {
        let found = args.next();
        if found.is_none() {
            let message = format!("`{}` of a stick table needs {what}", word.text);
            reader.error(Code::Missing, word.span, message);
        }
        found
    };
    match word.as_str() {
        "type" => {
            let kind = argument("a type", reader)?;
            table.key = Some(kind.spanned(key_type(kind, args, reader)?));
        }
        "size" => {
            let size = argument("a number", reader)?;
            table.size = Some(size.spanned(entries(size, reader)?));
        }
        "expire" => {
            let time = argument("a time", reader)?;
            let time = time.spanned(units::duration(time, Unit::Milliseconds, reader)?);
            table.expire = Some(time);
        }
        "nopurge" => table.when_full = Some(word.spanned(WhenFull::Refuse)),
        "peers" => {
            let name = argument("the name of a section", reader)?;
            let asked = (SectionKind::Peers, name.spanned(name.text.clone()));
            reader.asked_sections.push(asked);
            let message = "`peers` has no effect: tables are not shared with other instances";
            reader.warn(Code::NotRun, word.span, message);
        }
        "srvkey" => {
            let by = argument("`name` or `addr`", reader)?;
            if !matches!(by.as_str(), "name" | "addr") {
                let (what, known) = ("word for what a server is stored by", ["name", "addr"]);
                reader.push(crate::unknown_word(by.span, what, by.as_str(), known));
                return None;
            }
            table.target_key = Some(by.spanned(match by.as_str() {
                "addr" => TargetKey::Address,
                _ => TargetKey::Name,
            }));
        }
        "store" => stored(table, argument("what is counted", reader)?, reader)?,
        other => {
            let known = [
                "type", "size", "expire", "nopurge", "peers", "srvkey", "store",
            ];
            let what = "option of a stick table";
            reader.push(crate::unknown_word(word.span, what, other, known));
            return None;
        }
    }
    Some(())
}

fn key_type(word: &Word, args: &mut Args<'_>, reader: &mut Reader<'_>) -> Option<KeyType> {
    match word.as_str() {
        "ip" => return Some(KeyType::Address),
        "ipv6" => return Some(KeyType::Address6),
        "integer" => return Some(KeyType::Number),
        "string" | "binary" => {}
        other => {
            let known = ["ip", "ipv6", "integer", "string", "binary"];
            reader.push(crate::unknown_word(word.span, "type of keys", other, known));
            return None;
        }
    }
    let length = match args.take("len") {
        true => match args.next() {
            Some(word) => u16::try_from(whole(word, 1, 65_535, reader)?).ok()?,
            None => {
                reader.error(Code::Missing, word.span, "`len` needs a number");
                return None;
            }
        },
        false => KEY_LENGTH,
    };
    Some(match word.as_str() {
        "string" => KeyType::Text { length },
        _ => KeyType::Binary { length },
    })
}

/// A number of entries, in thousands (of 1024), millions or thousands of millions where it says so.
fn entries(word: &Word, reader: &mut Reader<'_>) -> Option<u32> {
    let text = word.as_str();
    let digits = text.trim_end_matches(['k', 'K', 'm', 'M', 'g', 'G']);
    let shift = match text.get(digits.len()..) {
        Some("k" | "K") => 10,
        Some("m" | "M") => 20,
        Some("g" | "G") => 30,
        Some("") => 0,
        _ => 64,
    };
    let number = digits.parse::<u64>().ok();
    let number = number.and_then(|number| number.checked_mul(1_u64.checked_shl(shift)?));
    let number = number.and_then(|number| u32::try_from(number).ok());
    if number.is_none_or(|number| number == 0) {
        let message = format!("`{text}` is no number of entries");
        let help = "write a number, `100k` or `1m`";
        reader.push(Diagnostic::error(Code::OutOfRange, word.span, message).help(help));
        return None;
    }
    number
}

/// `store DATA[,DATA…]`: what the table keeps of each entry.
fn stored(table: &mut StickTableDraft, word: &Word, reader: &mut Reader<'_>) -> Option<()> {
    for element in elements(word.as_str()) {
        let (name, arguments) = call(element);
        let arguments: Vec<&str> = arguments
            .map(|it| it.split(',').collect())
            .unwrap_or_default();
        if matches!(name, "server_id" | "server_key") && arguments.is_empty() {
            remember_servers(table, word.span);
            continue;
        }
        match counters(name, &arguments) {
            Ok(all) => {
                let before = table.store.iter().map(|stored| stored.value.counter);
                let again: Vec<Counter> = before
                    .filter(|known| all.iter().any(|new| new.counter == *known))
                    .collect();
                if again.is_empty() {
                    table
                        .store
                        .extend(all.into_iter().map(|new| word.spanned(new)));
                } else if again.len() == all.len() && all.len() == 1 && arguments.len() < 2 {
                    let message = format!("`{name}` is stored already");
                    reader.warn(Code::Duplicate, word.span, message);
                } else {
                    let message = format!("`{element}` is stored by itself and in an array");
                    let wrong = Diagnostic::error(Code::Duplicate, word.span, message);
                    reader.push(wrong.help("leave one of them out: `gpc0` is the first of `gpc`"));
                    return None;
                }
            }
            Err(wrong) if wrong.is_empty() => {
                let known = COUNTER_WORDS.iter().map(|(known, _)| *known);
                let known = known.chain(ARRAYS.iter().map(|(known, _)| *known));
                let what = "data type of a stick table";
                reader.push(crate::unknown_word(word.span, what, name, known));
                return None;
            }
            Err(wrong) => {
                reader.error(Code::OutOfRange, word.span, format!("`{element}`: {wrong}"));
                return None;
            }
        }
    }
    Some(())
}

/// Lets the table store servers, by number and by name or address.
pub(in crate::haproxy) fn remember_servers(table: &mut StickTableDraft, span: Span) {
    let target = StoredCounter {
        counter: Counter::Target,
        period: None,
    };
    if table.store.iter().all(|stored| stored.value != target) {
        table.store.push(Spanned::new(target, span));
    }
}

/// What stands between commas that are in no parentheses.
fn elements(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_u32;
    let between = move |c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    };
    text.split(between).filter(|element| !element.is_empty())
}

/// What a data type counts. An empty message: there is no such type.
fn counters(name: &str, arguments: &[&str]) -> Result<Vec<StoredCounter>, String> {
    let (all, period) =
        if let Some((_, counter)) = COUNTER_WORDS.iter().find(|(known, _)| *known == name) {
            (vec![*counter], arguments.first())
        } else {
            let array = ARRAYS.iter().find(|(known, _)| *known == name);
            let (_, counter) = array.ok_or_else(String::new)?;
            let count = arguments.first().copied().unwrap_or_default().trim();
            let count = count
                .parse()
                .ok()
                .filter(|count| (1..=MAX_ARRAY).contains(count));
            let count = count.ok_or_else(|| format!("an array has 1 to {MAX_ARRAY} elements"))?;
            let numbers = (0..count).filter_map(|number| u8::try_from(number).ok());
            (numbers.map(counter).collect(), arguments.get(1))
        };
    let rate = all.first().is_some_and(|counter| counter.is_rate());
    let period = match (rate, period) {
        (false, None) => None,
        (false, Some(_)) => return Err("it is no rate and takes no period".to_owned()),
        (true, None) => {
            return Err("a rate needs its period, as in `http_req_rate(10s)`".to_owned());
        }
        (true, Some(period)) => Some(rate_period(period)?),
    };
    let stored = |counter| StoredCounter { counter, period };
    Ok(all.into_iter().map(stored).collect())
}

fn rate_period(text: &str) -> Result<Duration, String> {
    let (period, rest) = units::parse_duration(text.trim(), Unit::Milliseconds)?;
    if !rest.is_empty() || period.is_zero() {
        return Err(format!("`{text}` is no period"));
    }
    Ok(period)
}

impl Reading<'_, '_, '_> {
    /// `track-sc0 KEY [table NAME]`.
    pub(super) fn track(&mut self) -> Option<Action<Named>> {
        let slot = self.word.as_str().strip_prefix("track-sc");
        let slot = slot.and_then(|slot| slot.parse().ok())?;
        let key = self.argument("a key, such as `src`")?;
        let (key, kind) = sample::expression_and_type(key, self.place(), self.reader)?;
        let table = match self.args.take("table") {
            true => {
                let name = self.argument("the name of a table")?;
                name.spanned(Name::new(name.text.clone()))
            }
            false => Spanned::new(Name::new(self.proxy.name.value.clone()), self.word.span),
        };
        let asked = (table.value.to_string(), Spanned::new(kind, key.span));
        self.reader.asked_keys.push(asked);
        let key = key.value;
        Some(Action::Track { slot, key, table })
    }

    /// `sc-inc-gpc0(SC)`, `sc-inc-gpc1(SC)`, `sc-inc-gpc(N,SC)`.
    pub(super) fn increment(&mut self) -> Option<Action<Named>> {
        let (number, slot) = self.numbers("sc-inc-gpc")?;
        let counter = Counter::General(number);
        Some(Action::Increment { slot, counter })
    }

    /// `sc-set-gpt0(SC) VALUE`, `sc-set-gpt(N,SC) VALUE`.
    pub(super) fn set_mark(&mut self) -> Option<Action<Named>> {
        let (number, slot) = self.numbers("sc-set-gpt")?;
        let value = self.argument("a number or an expression")?;
        let to = match value.as_str().parse::<u32>() {
            Ok(number) => Value::Number(i64::from(number)).into(),
            Err(_) => {
                let place = self.place();
                let number = sample::Type::Number;
                sample::typed(value, number, place, self.reader)?.value
            }
        };
        let mark = Counter::Mark(number);
        Some(Action::SetMark { slot, mark, to })
    }

    /// Which element of an array and which slot an action is about: the element stands behind its name, or before the slot.
    fn numbers(&mut self, array: &str) -> Option<(u8, u8)> {
        let (name, arguments) = call(self.word.as_str());
        let arguments = arguments.unwrap_or_default();
        let (number, slot) = match name.strip_prefix(array) {
            Some("") => arguments.split_once(',').unwrap_or_default(),
            Some(number) => (number, arguments),
            None => ("", ""),
        };
        let number_of = |text: &str| u8::try_from(small(text.trim()).ok()?).ok();
        let numbers = number_of(number).zip(number_of(slot));
        if numbers.is_none() {
            let message = format!(
                "`{}` does not say which counter it is about",
                self.word.text
            );
            let help = format!(
                "write `{array}0(0)`, or `{array}(0,0)`: the element, and the number of the `track-sc`"
            );
            self.reader
                .push(Diagnostic::error(Code::OutOfRange, self.word.span, message).help(help));
        }
        numbers
    }
}
