//! `algorithm`, `stickiness` and `retry_to` of a target group.

use super::form::{Form, Keyed, Out, Reader, words};
use crate::tree::{Content, Item};
use portway_model::choice::{
    Algorithm, CookieMode, CookieValues, HashFunction, HashMethod, RetryOn, RetryTo, StickTo,
    StickinessUse, StickyCookie,
};
use portway_model::settings::SameSite;
use portway_model::stage::Named;

words!(SameSite, "strict, lax or none", SAME_SITES:
    "strict" => SameSite::Strict,
    "lax" => SameSite::Lax,
    "none" => SameSite::None,
);

words!(CookieMode, "insert, rewrite, prefix or passive", COOKIE_MODES:
    "insert" => CookieMode::Insert,
    "rewrite" => CookieMode::Rewrite,
    "prefix" => CookieMode::Prefix,
    "passive" => CookieMode::Passive,
);

words!(HashFunction, "a hash function", HASH_FUNCTIONS:
    "sdbm" => HashFunction::Sdbm,
    "djb2" => HashFunction::Djb2,
    "wt6" => HashFunction::Wt6,
    "crc32" => HashFunction::Crc32,
);

words!(StickinessUse, "ignore or force", STICKINESS_USES:
    "ignore" => StickinessUse::Ignore,
    "force" => StickinessUse::Force,
);

words!(StickTo, "both, match or store", STICK_TO:
    "both" => StickTo::Both,
    "match" => StickTo::Match,
    "store" => StickTo::Store,
);

/// Algorithms that are one word.
const ALGORITHMS: &[(&str, Algorithm<Named>)] = &[
    ("round_robin", Algorithm::RoundRobin),
    ("static_round_robin", Algorithm::StaticRoundRobin),
    ("least_outstanding", Algorithm::LeastOutstanding),
    ("least_time", Algorithm::LeastTime),
    ("source_hash", Algorithm::SourceHash(HashMethod::Consistent)),
    ("random_of_two", Algorithm::Random { draws: 2 }),
    ("first", Algorithm::First),
];

/// The keys of an algorithm that is a table.
const ALGORITHM_KEYS: &[&str] = &["hash", "method", "source_hash", "random"];

impl Form for Algorithm<Named> {
    const WHAT: &'static str = "an algorithm";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        if matches!(item.content, Content::Table(_)) {
            let table = reader.keyed(item, Self::WHAT, ALGORITHM_KEYS)?;
            if let Some(draws) = table.optional("random", reader) {
                return Some(Algorithm::Random { draws });
            }
            if let Some(method) = table.optional("source_hash", reader) {
                return Some(Algorithm::SourceHash(method));
            }
            return Some(Algorithm::Hash {
                value: table.required("hash", reader)?,
                method: table
                    .optional("method", reader)
                    .unwrap_or(HashMethod::Consistent),
            });
        }
        let text = reader.text(item, Self::WHAT)?.text;
        match ALGORITHMS.iter().find(|(known, _)| *known == text) {
            Some((_, algorithm)) => Some(algorithm.clone()),
            None => {
                let known = ALGORITHMS.iter().map(|(known, _)| *known);
                reader.unknown(item.span, "algorithm", text, known)
            }
        }
    }

    fn write(&self) -> Out {
        if let Some((word, _)) = ALGORITHMS.iter().find(|(_, known)| known == self) {
            return Out::text(*word);
        }
        match self {
            Algorithm::Hash { value, method } => {
                let mut out = vec![("hash".to_owned(), value.write())];
                if *method != HashMethod::Consistent {
                    out.push(("method".to_owned(), method.write()));
                }
                Out::Table(out)
            }
            Algorithm::SourceHash(method) => Out::one("source_hash", method.write()),
            Algorithm::Random { draws } => Out::one("random", draws.write()),
            // The others are words.
            _ => Out::text(""),
        }
    }
}

/// The keys of a hash method that is a table.
const METHOD_KEYS: &[&str] = &["table", "ring", "avalanche"];

impl Form for HashMethod {
    const WHAT: &'static str = "\"consistent\" or a table with `table` or `ring`";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        if !matches!(item.content, Content::Table(_)) {
            let text = reader.text(item, Self::WHAT)?.text;
            return match text {
                "consistent" => Some(HashMethod::Consistent),
                _ => reader.unknown(item.span, "hash method", text, ["consistent"]),
            };
        }
        let keyed = reader.keyed(item, Self::WHAT, METHOD_KEYS)?;
        let avalanche = keyed.optional("avalanche", reader).unwrap_or(false);
        if keyed.entry("ring").is_some() {
            let function = keyed.optional("ring", reader)?;
            return Some(HashMethod::Ring {
                function,
                avalanche,
            });
        }
        let function = keyed.required("table", reader)?;
        Some(HashMethod::Table {
            function,
            avalanche,
        })
    }

    fn write(&self) -> Out {
        let (key, function, avalanche) = match self {
            HashMethod::Consistent => return Out::text("consistent"),
            HashMethod::Table {
                function,
                avalanche,
            } => ("table", function, avalanche),
            HashMethod::Ring {
                function,
                avalanche,
            } => ("ring", function, avalanche),
        };
        let mut out = vec![(key.to_owned(), function.write())];
        if *avalanche {
            out.push(("avalanche".to_owned(), Out::Boolean(true)));
        }
        Out::Table(out)
    }
}

/// The keys of `stickiness`; the last two are those of a stick table.
pub(crate) const KEYS: &[&str] = &[
    "cookie",
    "mode",
    "values",
    "max_age",
    "path",
    "domain",
    "secure",
    "http_only",
    "same_site",
    "attributes",
    "indirect",
    "no_cache",
    "preserve",
    "post_only",
    "max_idle",
    "max_life",
    "cross_site",
    "expires",
];

impl Form for StickyCookie {
    const WHAT: &'static str = "a table with `cookie`";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        let keyed = reader.keyed(item, Self::WHAT, KEYS)?;
        read_cookie(&keyed, reader)
    }

    fn write(&self) -> Out {
        Out::Table(write_cookie(self))
    }
}

fn read_cookie(keyed: &Keyed<'_>, reader: &mut Reader<'_>) -> Option<StickyCookie> {
    let plain = StickyCookie::new(keyed.required::<String>("cookie", reader)?);
    let mut flag = |key: &str, default: bool| keyed.optional(key, reader).unwrap_or(default);
    let cookie = StickyCookie {
        secure: flag("secure", plain.secure),
        http_only: flag("http_only", plain.http_only),
        indirect: flag("indirect", plain.indirect),
        no_cache: flag("no_cache", plain.no_cache),
        preserve: flag("preserve", plain.preserve),
        post_only: flag("post_only", plain.post_only),
        expires: flag("expires", plain.expires),
        ..plain
    };
    Some(StickyCookie {
        mode: keyed.optional("mode", reader).unwrap_or(cookie.mode),
        values: keyed
            .optional("values", reader)
            .unwrap_or(CookieValues::Generated),
        max_age: keyed.optional("max_age", reader),
        path: keyed
            .optional("path", reader)
            .unwrap_or_else(|| cookie.path.clone()),
        domains: keyed.optional("domain", reader).unwrap_or_default(),
        same_site: keyed.optional("same_site", reader),
        attributes: keyed.optional("attributes", reader).unwrap_or_default(),
        max_idle: keyed.optional("max_idle", reader),
        max_life: keyed.optional("max_life", reader),
        cross_site: keyed.optional("cross_site", reader),
        ..cookie
    })
}

fn write_cookie(cookie: &StickyCookie) -> Vec<(String, Out)> {
    let plain = StickyCookie::new(cookie.name.clone());
    let mut out: Vec<(String, Out)> = vec![("cookie".to_owned(), cookie.name.write())];
    let mut add = |key: &str, value: Option<Out>| {
        out.extend(value.map(|value| (key.to_owned(), value)));
    };
    add(
        "mode",
        (cookie.mode != plain.mode).then(|| cookie.mode.write()),
    );
    add(
        "values",
        (cookie.values != plain.values).then(|| cookie.values.write()),
    );
    add("max_age", cookie.max_age.map(|age| age.write()));
    add(
        "path",
        (cookie.path != plain.path).then(|| cookie.path.write()),
    );
    add("domain", texts(&cookie.domains));
    let mut flag = |key: &str, value: bool, default: bool| {
        add(key, (value != default).then_some(Out::Boolean(value)));
    };
    flag("secure", cookie.secure, plain.secure);
    flag("http_only", cookie.http_only, plain.http_only);
    add(
        "same_site",
        cookie.same_site.map(|same_site| same_site.write()),
    );
    add("attributes", texts(&cookie.attributes));
    let mut flag = |key: &str, value: bool| add(key, value.then_some(Out::Boolean(true)));
    flag("indirect", cookie.indirect);
    flag("no_cache", cookie.no_cache);
    flag("preserve", cookie.preserve);
    flag("post_only", cookie.post_only);
    flag("expires", cookie.expires);
    add("max_idle", cookie.max_idle.map(|age| age.write()));
    add("max_life", cookie.max_life.map(|age| age.write()));
    add("cross_site", cookie.cross_site.as_ref().map(Form::write));
    out
}

/// A list of texts, one alone without brackets; `None` where there are none.
fn texts(texts: &[String]) -> Option<Out> {
    match texts {
        [] => None,
        [one] => Some(one.write()),
        several => Some(Out::List(several.iter().map(Form::write).collect())),
    }
}

impl Form for CookieValues {
    const WHAT: &'static str = "\"generated\", \"given\", \"sealed\", { sealed = \"KEY\" }, { sealed = [\"NEW\", \"OLD\"] } or { dynamic = \"KEY\" }";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        if matches!(item.content, Content::Table(_)) {
            let keyed = reader.keyed(item, Self::WHAT, &["dynamic", "sealed"])?;
            if let Some(entry) = keyed.entry("sealed") {
                let keys = reader.elements(&entry.item).iter();
                let keys: Vec<_> = keys.filter_map(|key| String::read(key, reader)).collect();
                if keys.is_empty() {
                    let help = "write \"sealed\" where the process is to make one";
                    return reader.refuse(entry.item.span, "no key".to_owned(), help);
                }
                return Some(CookieValues::Sealed { keys });
            }
            let key = keyed.required("dynamic", reader)?;
            return Some(CookieValues::Dynamic { key });
        }
        match reader.text(item, Self::WHAT)?.text {
            "generated" => Some(CookieValues::Generated),
            "given" => Some(CookieValues::Given),
            "sealed" => Some(CookieValues::Sealed { keys: Vec::new() }),
            other => reader.unknown(item.span, "word", other, ["generated", "given", "sealed"]),
        }
    }

    fn write(&self) -> Out {
        match self {
            CookieValues::Generated => Out::text("generated"),
            CookieValues::Given => Out::text("given"),
            CookieValues::Dynamic { key } => Out::one("dynamic", key.write()),
            CookieValues::Sealed { keys } => match keys.as_slice() {
                [] => Out::text("sealed"),
                [key] => Out::one("sealed", key.write()),
                keys => {
                    let keys = keys.iter().map(Form::write);
                    Out::one("sealed", Out::List(keys.collect()))
                }
            },
        }
    }
}

impl Form for RetryTo {
    const WHAT: &'static str = "\"another\", \"same\" or { same_then_another = -1 }";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        if matches!(item.content, Content::Table(_)) {
            let keyed = reader.keyed(item, Self::WHAT, &["same_then_another"])?;
            let entry = keyed.entry("same_then_another")?;
            let Content::Integer(number) = entry.item.content else {
                return reader.wrong_type(&entry.item, "a number");
            };
            return match i16::try_from(number) {
                Ok(every) => Some(RetryTo::SameThenAnother { every }),
                Err(_) => reader.refuse(entry.item.span, format!("{number} is out of range"), ""),
            };
        }
        match reader.text(item, Self::WHAT)?.text {
            "another" => Some(RetryTo::Another),
            "same" => Some(RetryTo::Same),
            other => reader.unknown(item.span, "word", other, ["another", "same"]),
        }
    }

    fn write(&self) -> Out {
        match self {
            RetryTo::Another => Out::text("another"),
            RetryTo::Same => Out::text("same"),
            RetryTo::SameThenAnother { every } => {
                Out::one("same_then_another", Out::Integer(i64::from(*every)))
            }
        }
    }
}

/// What is tried again, but for statuses.
const RETRY_ON: &[(&str, RetryOn)] = &[
    ("connect_failure", RetryOn::ConnectFailure),
    ("empty_response", RetryOn::EmptyResponse),
    ("junk_response", RetryOn::JunkResponse),
    ("response_timeout", RetryOn::ResponseTimeout),
    ("early_data_rejected", RetryOn::EarlyDataRejected),
    ("safe", RetryOn::Safe),
    ("misdirected", RetryOn::Misdirected),
    ("too_early", RetryOn::TooEarly),
    ("unavailable", RetryOn::Unavailable),
];

impl Form for RetryOn {
    const WHAT: &'static str = "a kind of failure, a status or statuses such as \"500-599\"";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        if matches!(item.content, Content::Integer(_)) {
            return u16::read(item, reader).map(RetryOn::Status);
        }
        let text = reader.text(item, Self::WHAT)?.text;
        let range = text.split_once('-');
        if let Some((Ok(from), Ok(to))) = range.map(|(from, to)| (from.parse(), to.parse())) {
            return Some(RetryOn::Statuses(from, to));
        }
        match RETRY_ON.iter().find(|(known, _)| *known == text) {
            Some((_, on)) => Some(*on),
            None => {
                let known = RETRY_ON.iter().map(|(known, _)| *known);
                reader.unknown(item.span, "failure", text, known)
            }
        }
    }

    fn write(&self) -> Out {
        match self {
            RetryOn::Status(status) => status.write(),
            RetryOn::Statuses(from, to) => Out::text(format!("{from}-{to}")),
            other => {
                let word = RETRY_ON.iter().find(|(_, known)| known == other);
                Out::text(word.map_or("", |(word, _)| *word))
            }
        }
    }
}

/// Every word of these settings, for the reference to be held against.
pub(crate) fn words() -> Vec<&'static str> {
    let lists = [
        SAME_SITES,
        COOKIE_MODES,
        HASH_FUNCTIONS,
        STICKINESS_USES,
        STICK_TO,
        ALGORITHM_KEYS,
        METHOD_KEYS,
        &["consistent", "generated", "given", "dynamic"],
        &["another", "same", "same_then_another"],
    ];
    let algorithms = ALGORITHMS.iter().map(|(word, _)| *word);
    let failures = RETRY_ON.iter().map(|(word, _)| *word);
    let words = lists.concat().into_iter();
    words.chain(algorithms).chain(failures).collect()
}
