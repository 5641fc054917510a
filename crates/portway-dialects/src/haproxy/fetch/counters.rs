//! Fetches and converters that read stick tables: `sc0_http_req_rate`, `src_conn_cur(table)`, `table_gpt0(table)`.
//!
//! Their names are made of where the entry is found and of what is read of it.

use super::{Found, Reading, Value, When, small};
use crate::haproxy::arguments::Call;
use crate::haproxy::sample::{Refusal, Sample, Type};
use portway_model::expression::{
    Counter, CounterEntry, EntryFigure, Expression, Operand, Operation, TableFigure, Touch,
    Transform,
};
use portway_model::name::Name;
use portway_model::span::{Span, Spanned};
use portway_model::stage::Named;

/// Names and what they read.
type Names = &'static [(&'static str, What)];

/// What is read of an entry.
#[derive(Debug, Clone, Copy)]
enum What {
    /// A counter.
    Counter(Counter, Touch),
    /// An element of an array, whose number is the first argument.
    Element(fn(u8) -> Counter, Touch),
    /// A counter in units of 1024.
    Kilo(Counter),
    /// Something of the entry itself.
    Figure(EntryFigure),
    Tracked,
}

/// How many track an entry.
const TRACKERS: What = What::Figure(EntryFigure::Trackers);

/// What may be read.
const WHAT: Names = &[
    ("conn_cnt", What::Counter(Counter::Connections, Touch::Read)),
    (
        "conn_cur",
        What::Counter(Counter::OpenConnections, Touch::Read),
    ),
    (
        "conn_rate",
        What::Counter(Counter::ConnectionRate, Touch::Read),
    ),
    ("sess_cnt", What::Counter(Counter::Sessions, Touch::Read)),
    (
        "sess_rate",
        What::Counter(Counter::SessionRate, Touch::Read),
    ),
    (
        "http_req_cnt",
        What::Counter(Counter::Requests, Touch::Read),
    ),
    (
        "http_req_rate",
        What::Counter(Counter::RequestRate, Touch::Read),
    ),
    ("http_err_cnt", What::Counter(Counter::Errors, Touch::Read)),
    (
        "http_err_rate",
        What::Counter(Counter::ErrorRate, Touch::Read),
    ),
    (
        "http_fail_cnt",
        What::Counter(Counter::Failures, Touch::Read),
    ),
    (
        "http_fail_rate",
        What::Counter(Counter::FailureRate, Touch::Read),
    ),
    (
        "bytes_in_rate",
        What::Counter(Counter::BytesInRate, Touch::Read),
    ),
    (
        "bytes_out_rate",
        What::Counter(Counter::BytesOutRate, Touch::Read),
    ),
    ("kbytes_in", What::Kilo(Counter::BytesIn)),
    ("kbytes_out", What::Kilo(Counter::BytesOut)),
    (
        "gpc0_rate",
        What::Counter(Counter::GeneralRate(0), Touch::Read),
    ),
    (
        "gpc1_rate",
        What::Counter(Counter::GeneralRate(1), Touch::Read),
    ),
    ("gpc_rate", What::Element(Counter::GeneralRate, Touch::Read)),
];

/// What fetches may read beside that.
const OF_FETCHES: Names = &[
    ("get_gpc", What::Element(Counter::General, Touch::Read)),
    ("get_gpc0", What::Counter(Counter::General(0), Touch::Read)),
    ("get_gpc1", What::Counter(Counter::General(1), Touch::Read)),
    ("inc_gpc", What::Element(Counter::General, Touch::Raise)),
    ("inc_gpc0", What::Counter(Counter::General(0), Touch::Raise)),
    ("inc_gpc1", What::Counter(Counter::General(1), Touch::Raise)),
    ("clr_gpc", What::Element(Counter::General, Touch::Clear)),
    ("clr_gpc0", What::Counter(Counter::General(0), Touch::Clear)),
    ("clr_gpc1", What::Counter(Counter::General(1), Touch::Clear)),
    ("get_gpt", What::Element(Counter::Mark, Touch::Read)),
    ("get_gpt0", What::Counter(Counter::Mark(0), Touch::Read)),
];

/// What is read of slots alone.
const OF_SLOTS: Names = &[("tracked", What::Tracked), ("trackers", TRACKERS)];

/// What is read of clients' addresses alone.
const OF_SOURCES: Names = &[(
    "updt_conn_cnt",
    What::Counter(Counter::Connections, Touch::Raise),
)];

/// What converters may read beside [`WHAT`].
const OF_CONVERTERS: Names = &[
    ("gpc", What::Element(Counter::General, Touch::Read)),
    ("gpc0", What::Counter(Counter::General(0), Touch::Read)),
    ("gpc1", What::Counter(Counter::General(1), Touch::Read)),
    ("gpt", What::Element(Counter::Mark, Touch::Read)),
    ("gpt0", What::Counter(Counter::Mark(0), Touch::Read)),
    ("server_id", What::Counter(Counter::Target, Touch::Read)),
    ("trackers", TRACKERS),
    ("expire", What::Figure(EntryFigure::ExpiresIn)),
    ("idle", What::Figure(EntryFigure::Idle)),
];

/// Where fetches find an entry: how their names begin, the slot where it says one, and what else may be read there.
const PLACES: [(&str, Option<u8>, Names); 5] = [
    ("sc0_", Some(0), OF_SLOTS),
    ("sc1_", Some(1), OF_SLOTS),
    ("sc2_", Some(2), OF_SLOTS),
    ("sc_", None, OF_SLOTS),
    ("src_", None, OF_SOURCES),
];

/// The fetches of a table as a whole.
const FIGURES: [(&str, TableFigure); 2] = [
    ("table_cnt", TableFigure::Used),
    ("table_avl", TableFigure::Free),
];

/// The names of fetches and of converters.
pub(in crate::haproxy) fn names() -> (Vec<String>, Vec<String>) {
    let mut fetches: Vec<String> = FIGURES.iter().map(|(name, _)| (*name).to_owned()).collect();
    for (before, slot, more) in PLACES {
        let all = WHAT.iter().chain(OF_FETCHES).chain(more);
        // An element of an array has a number of its own, and then the slot is an argument too.
        let all = all.filter(|(_, what)| slot.is_none() || !matches!(what, What::Element(..)));
        fetches.extend(all.map(|(name, _)| format!("{before}{name}")));
    }
    // HAProxy has this one of its kind.
    fetches.push("sc1_clr_gpc".to_owned());
    let converters = WHAT.iter().chain(OF_CONVERTERS);
    let mut converters: Vec<String> = converters
        .map(|(name, _)| format!("table_{name}"))
        .collect();
    converters.push("in_table".to_owned());
    (fetches, converters)
}

/// One of these where `name` is wholly made of `before` and its name.
fn what(name: &str, tables: &[Names]) -> Option<What> {
    let mut all = tables.iter().copied().flatten();
    all.find(|(known, _)| *known == name).map(|(_, what)| *what)
}

/// The arguments that are left after those that were read.
struct Arguments<'c> {
    call: &'c Call<'c>,
    at: usize,
}

impl Arguments<'_> {
    fn number(&mut self, missing: &str) -> Result<u8, Refusal> {
        let Some(text) = self.call.given(self.at) else {
            return Err(Refusal::wrong(missing));
        };
        self.at += 1;
        let number = small(text)?;
        u8::try_from(number).map_err(|_| Refusal::wrong(format!("{number} is out of range")))
    }

    fn table(&mut self, span: Span) -> Option<Spanned<Name>> {
        let name = self.call.given(self.at)?;
        self.at += 1;
        Some(Spanned::new(Name::new(name), span))
    }

    /// What stands for something that is missing, where that is said.
    fn default(&mut self) -> Result<Option<i64>, Refusal> {
        let Some(text) = self.call.given(self.at) else {
            return Ok(None);
        };
        self.at += 1;
        let number = text.parse().map(Some);
        number.map_err(|_| Refusal::wrong(format!("`{text}` is no number")))
    }

    fn end(&self) -> Result<(), Refusal> {
        self.call.at_most(self.at)
    }
}

impl What {
    /// With the number that an element has as its first argument.
    fn numbered(self, arguments: &mut Arguments<'_>) -> Result<Self, Refusal> {
        Ok(match self {
            What::Element(counter, touch) => {
                let number = arguments.number("say which of several, as in sc_get_gpc(0,0)")?;
                What::Counter(counter(number), touch)
            }
            other => other,
        })
    }

    fn read(self, of: CounterEntry<Named>) -> (Type, Expression<Named>) {
        let counter = |counter, touch| Value::Counter {
            counter,
            of: of.clone(),
            touch,
        };
        let (kind, value, transforms) = match self {
            What::Counter(which, touch) => (Type::Number, counter(which, touch), Vec::new()),
            What::Element(which, touch) => (Type::Number, counter(which(0), touch), Vec::new()),
            What::Kilo(which) => {
                let kilo = Transform::Calculate(Operation::Divide, Operand::Number(1024));
                (Type::Number, counter(which, Touch::Read), vec![kilo])
            }
            What::Figure(figure) => (Type::Number, Value::OfEntry { figure, of }, Vec::new()),
            What::Tracked => {
                let figure = EntryFigure::Trackers;
                (Type::Boolean, Value::OfEntry { figure, of }, presence())
            }
        };
        (kind, Expression { value, transforms })
    }
}

/// Whether there is a number at all.
fn presence() -> Vec<Transform<Named>> {
    let none = Transform::Default("0".to_owned());
    // The text `0` would be true in a condition.
    vec![Transform::Length, Transform::Truth, none, Transform::Number]
}

impl Reading<'_, '_, '_> {
    /// What is counted in stick tables.
    pub(super) fn counters(&mut self) -> Option<Found> {
        let name = self.call.name;
        if let Some((_, figure)) = FIGURES.iter().find(|(known, _)| *known == name) {
            return Some(self.table_figure(*figure));
        }
        PLACES.iter().find_map(|(before, slot, more)| {
            let rest = name.strip_prefix(before)?;
            let what = what(rest, &[WHAT, OF_FETCHES, more])?;
            Some(match *before {
                "src_" => self.of_source(what),
                _ => self.of_slot(what, *slot),
            })
        })
    }

    /// The table that the proxy itself has.
    fn own_table(&self) -> Result<Spanned<Name>, Refusal> {
        let proxy = self.reader.proxy.clone();
        let proxy = proxy.ok_or_else(|| Refusal::wrong("say which table"))?;
        Ok(Spanned::new(Name::new(proxy), self.span))
    }

    fn table_figure(&self, figure: TableFigure) -> Found {
        let mut arguments = Arguments {
            call: self.call,
            at: 0,
        };
        let table = arguments.table(self.span);
        arguments.end()?;
        let table = table.map_or_else(|| self.own_table(), Ok)?;
        self.of(When::Always, Type::Number, Value::OfTable { figure, table })
    }

    fn of_slot(&self, what: What, slot: Option<u8>) -> Found {
        let mut arguments = Arguments {
            call: self.call,
            at: 0,
        };
        let what = what.numbered(&mut arguments)?;
        let slot = match slot {
            Some(slot) => slot,
            None => arguments.number("say which tracked counter, as in sc_conn_cur(0)")?,
        };
        // `sc0_conn_cur()` means the table of the proxy, `sc0_conn_cur` the one that is tracked in.
        let own = self.call.arguments.as_ref();
        let own = own.is_some_and(|all| all.get(arguments.at).is_some_and(String::is_empty));
        let of = match arguments.table(self.span) {
            Some(table) => CounterEntry::TrackedKey { table, slot },
            None if own => CounterEntry::TrackedKey {
                table: self.own_table()?,
                slot,
            },
            None => CounterEntry::Tracked(slot),
        };
        arguments.end()?;
        let (kind, Expression { value, transforms }) = what.read(of);
        self.chain(When::Always, kind, value, transforms)
    }

    fn of_source(&self, what: What) -> Found {
        let mut arguments = Arguments {
            call: self.call,
            at: 0,
        };
        let what = what.numbered(&mut arguments)?;
        let table = arguments.table(self.span);
        arguments.end()?;
        let table = table.map_or_else(|| self.own_table(), Ok)?;
        let key = Box::new(Value::Source.into());
        let (kind, Expression { value, transforms }) = what.read(CounterEntry::Key { table, key });
        self.chain(When::Always, kind, value, transforms)
    }
}

/// A converter that looks its input up in a table. `None`: it is another one.
pub(in crate::haproxy) fn convert(
    sample: &mut Sample,
    call: &Call<'_>,
    span: Span,
) -> Option<Result<(), Refusal>> {
    let what = match call.name {
        "in_table" => What::Tracked,
        name => what(name.strip_prefix("table_")?, &[WHAT, OF_CONVERTERS])?,
    };
    Some(looked_up(sample, what, call, span))
}

fn looked_up(sample: &mut Sample, what: What, call: &Call<'_>, span: Span) -> Result<(), Refusal> {
    let mut arguments = Arguments { call, at: 0 };
    let what = what.numbered(&mut arguments)?;
    let table = arguments.table(span);
    let missing = match what {
        // Nobody tracks what is not there.
        What::Figure(EntryFigure::Trackers) => Some(0),
        What::Figure(EntryFigure::ExpiresIn | EntryFigure::Idle) => arguments.default()?,
        _ => None,
    };
    arguments.end()?;
    let table = table.ok_or_else(|| Refusal::wrong("say which table"))?;
    let key = Box::new(sample.expression.clone());
    let (kind, mut read) = what.read(CounterEntry::Key { table, key });
    if let Some(missing) = missing {
        let none = Transform::Default(missing.to_string());
        read.transforms.extend([none, Transform::Number]);
    }
    (sample.expression, sample.kind) = (read, kind);
    Ok(())
}
