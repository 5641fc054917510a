//! The converters: what HAProxy calls a step on a sample, and which steps of the model it is.

use super::arguments::Call;
use super::fetch::{counters, integer, small};
use super::sample::{Refusal, Sample, Type};
use super::{Reader, Word, patterns, regex, token, variable};
use crate::expression::MQTT_PARTS;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portway_model::diagnostic::Code;
use portway_model::expression::{
    Append, ChunkForm, Chunks, DigestKind, HashKind, Hashing, JsonCharset, MqttField, MqttPart,
    Operand, Operation, Scope, Secret, SetWhen, TextMatch, TimeUnit, Transform,
};
use portway_model::settings::{MapLines, MapMatch};
use portway_model::span::{Span, Spanned};
use portway_model::stage::Named;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A converter without arguments.
struct Plain(&'static str, Type, Type, &'static [Transform<Named>]);

/// Converters without arguments: what they take, what they give, the steps.
const PLAIN: &[Plain] = &[
    Plain("lower", Type::Text, Type::Text, &[Transform::Lower]),
    Plain("upper", Type::Text, Type::Text, &[Transform::Upper]),
    Plain("length", Type::Text, Type::Number, &[Transform::Length]),
    Plain("base64", Type::Binary, Type::Text, &[Transform::Base64]),
    Plain(
        "b64dec",
        Type::Text,
        Type::Binary,
        &[Transform::Base64Decode],
    ),
    Plain("ub64enc", Type::Binary, Type::Text, &[Transform::Base64Url]),
    Plain(
        "ub64dec",
        Type::Text,
        Type::Binary,
        &[Transform::Base64Decode],
    ),
    Plain(
        "hex",
        Type::Binary,
        Type::Text,
        &[Transform::Hex, Transform::Upper],
    ),
    Plain(
        "htonl",
        Type::Number,
        Type::Binary,
        &[
            Transform::Binary,
            Transform::Bytes {
                offset: 4,
                length: None,
            },
        ],
    ),
    Plain("hex2i", Type::Text, Type::Number, &[Transform::HexNumber]),
    Plain(
        "sha1",
        Type::Binary,
        Type::Binary,
        &[Transform::Digest(DigestKind::Sha1)],
    ),
    Plain("bool", Type::Number, Type::Boolean, &[Transform::Truth]),
    Plain("not", Type::Number, Type::Boolean, &[Transform::Not]),
    Plain("even", Type::Number, Type::Boolean, &[Transform::Even]),
    Plain("odd", Type::Number, Type::Boolean, &[Transform::Odd]),
    Plain("neg", Type::Number, Type::Number, &[Transform::Negate]),
    Plain("cpl", Type::Number, Type::Number, &[Transform::Complement]),
    Plain("cut_crlf", Type::Text, Type::Text, &[Transform::FirstLine]),
    Plain("host_only", Type::Text, Type::Text, &[Transform::HostName]),
    Plain(
        "port_only",
        Type::Text,
        Type::Number,
        &[Transform::HostPort],
    ),
];

/// Converters with arguments, beside those for maps, and how many they take.
const FUNCTIONS: &[(&str, usize)] = &[
    ("add", 1),
    ("sub", 1),
    ("mul", 1),
    ("div", 1),
    ("mod", 1),
    ("and", 1),
    ("or", 1),
    ("xor", 1),
    ("field", 3),
    ("word", 3),
    ("regsub", 3),
    ("bytes", 2),
    ("ipmask", 2),
    ("be2dec", 3),
    ("be2hex", 3),
    ("nbsrv", 0),
    ("url_dec", 1),
    ("url_enc", 1),
    ("crc32", 1),
    ("crc32c", 1),
    ("djb2", 1),
    ("sdbm", 1),
    ("wt6", 1),
    ("xxh32", 1),
    ("xxh64", 1),
    ("xxh3", 1),
    ("sha2", 1),
    ("digest", 1),
    ("hmac", 2),
    ("iif", 2),
    ("concat", 3),
    ("add_item", 3),
    ("strcmp", 1),
    ("secure_memcmp", 1),
    ("ltrim", 1),
    ("rtrim", 1),
    ("json", 1),
    ("json_query", 2),
    ("jwt_header_query", 2),
    ("jwt_payload_query", 2),
    ("jwt_verify", 2),
    ("http_date", 2),
    ("utime", 2),
    ("ltime", 2),
    ("language", 2),
    ("fix_is_valid", 0),
    ("fix_tag_value", 1),
    ("mqtt_is_valid", 0),
    ("mqtt_field_value", 2),
    ("srv_queue", 0),
    ("set-var", 5),
    ("unset-var", 1),
];

/// Converters that look into a map: how they compare, what the map's values are.
const MAPS: &[(&str, MapMatch, Type)] = &[
    ("map", MapMatch::Text(TextMatch::Exact), Type::Text),
    ("map_str", MapMatch::Text(TextMatch::Exact), Type::Text),
    (
        "map_str_int",
        MapMatch::Text(TextMatch::Exact),
        Type::Number,
    ),
    (
        "map_str_ip",
        MapMatch::Text(TextMatch::Exact),
        Type::Address,
    ),
    ("map_beg", MapMatch::Text(TextMatch::Prefix), Type::Text),
    (
        "map_beg_int",
        MapMatch::Text(TextMatch::Prefix),
        Type::Number,
    ),
    (
        "map_beg_ip",
        MapMatch::Text(TextMatch::Prefix),
        Type::Address,
    ),
    ("map_sub", MapMatch::Text(TextMatch::Contains), Type::Text),
    (
        "map_sub_int",
        MapMatch::Text(TextMatch::Contains),
        Type::Number,
    ),
    (
        "map_sub_ip",
        MapMatch::Text(TextMatch::Contains),
        Type::Address,
    ),
    ("map_dir", MapMatch::Text(TextMatch::Segment), Type::Text),
    (
        "map_dir_int",
        MapMatch::Text(TextMatch::Segment),
        Type::Number,
    ),
    (
        "map_dir_ip",
        MapMatch::Text(TextMatch::Segment),
        Type::Address,
    ),
    ("map_dom", MapMatch::Text(TextMatch::Label), Type::Text),
    (
        "map_dom_int",
        MapMatch::Text(TextMatch::Label),
        Type::Number,
    ),
    (
        "map_dom_ip",
        MapMatch::Text(TextMatch::Label),
        Type::Address,
    ),
    ("map_end", MapMatch::Text(TextMatch::Suffix), Type::Text),
    (
        "map_end_int",
        MapMatch::Text(TextMatch::Suffix),
        Type::Number,
    ),
    (
        "map_end_ip",
        MapMatch::Text(TextMatch::Suffix),
        Type::Address,
    ),
    ("map_reg", MapMatch::Regex, Type::Text),
    ("map_reg_int", MapMatch::Regex, Type::Number),
    ("map_reg_ip", MapMatch::Regex, Type::Address),
    ("map_int", MapMatch::Number, Type::Text),
    ("map_int_int", MapMatch::Number, Type::Number),
    ("map_int_ip", MapMatch::Number, Type::Address),
    ("map_ip", MapMatch::Address, Type::Text),
    ("map_ip_int", MapMatch::Address, Type::Number),
    ("map_ip_ip", MapMatch::Address, Type::Address),
];

/// Names of digests as OpenSSL has them.
const DIGESTS: &[(&str, DigestKind)] = &[
    ("md5", DigestKind::Md5),
    ("sha1", DigestKind::Sha1),
    ("sha224", DigestKind::Sha224),
    ("sha256", DigestKind::Sha256),
    ("sha384", DigestKind::Sha384),
    ("sha512", DigestKind::Sha512),
];

/// Tags of FIX that have names.
const FIX_TAGS: &[(&str, u32)] = &[
    ("BeginString", 8),
    ("BodyLength", 9),
    ("CheckSum", 10),
    ("MsgType", 35),
    ("SenderCompID", 49),
    ("TargetCompID", 56),
];

/// Properties of MQTT 5.0 that a CONNECT, its will included, and a CONNACK may have.
const CONNECT_PROPERTIES: &[u8] = &[1, 2, 3, 8, 9, 17, 21, 22, 23, 24, 25, 33, 34, 38, 39];
const CONNACK_PROPERTIES: &[u8] = &[
    17, 18, 19, 21, 22, 26, 28, 31, 33, 34, 36, 37, 38, 39, 40, 41, 42,
];

/// Conditions of `set-var`.
const SET_WHEN: &[(&str, Existence)] = &[
    ("ifexists", Existence::Exists),
    ("ifnotexists", Existence::NotExists),
    ("ifset", Existence::When(SetWhen::Set)),
    ("ifnotset", Existence::When(SetWhen::NotSet)),
    ("ifempty", Existence::When(SetWhen::Empty)),
    ("ifnotempty", Existence::When(SetWhen::NotEmpty)),
    ("ifgt", Existence::When(SetWhen::Greater)),
    ("iflt", Existence::When(SetWhen::Less)),
];

/// Whether a variable exists, or something else of it.
enum Existence {
    Exists,
    NotExists,
    When(SetWhen),
}

/// Every name that is read here.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let plain = PLAIN.iter().map(|Plain(name, ..)| *name);
    let maps = MAPS.iter().map(|(name, ..)| *name);
    plain
        .chain(FUNCTIONS.iter().map(|(name, _)| *name))
        .chain(maps)
        .chain(["map_regm"])
}

/// Applies the converter of this name. A refusal without a reason means that there is none.
pub(super) fn apply(
    sample: &mut Sample,
    call: &Call<'_>,
    span: Span,
    reader: &mut Reader<'_>,
) -> Result<(), Refusal> {
    let name = call.name;
    if name == "debug" {
        call.at_most(2)?;
        if let Some(sink) = call.given(1)
            && !["stdout", "stderr", "buf0"].contains(&sink)
        {
            return Err(Refusal::Wrong(format!("there is no sink '{sink}'")));
        }
        let message = "the converter `debug` has no effect: values are not shown while it runs";
        reader.warn(Code::NotRun, span, message);
        return Ok(());
    }
    if let Some(Plain(_, takes, gives, steps)) =
        PLAIN.iter().find(|Plain(known, ..)| *known == name)
    {
        cast(sample, *takes)?;
        if call.count() > 0 {
            return Err(Refusal::wrong("it takes no arguments"));
        }
        sample.expression.transforms.extend_from_slice(steps);
        sample.kind = *gives;
        return Ok(());
    }
    if name == "map_regm" {
        call.at_most(2)?;
        return mapped(sample, call, MapMatch::Regex, Type::Text, span, reader);
    }
    if let Some((_, compare, gives)) = MAPS.iter().find(|(known, ..)| *known == name) {
        call.at_most(2)?;
        return mapped(sample, call, *compare, *gives, span, reader);
    }
    if let Some(done) = counters::convert(sample, call, span) {
        return done;
    }
    let Some((_, most)) = FUNCTIONS.iter().find(|(known, _)| *known == name) else {
        return Err(Refusal::wrong(""));
    };
    call.at_most(*most)?;
    if let "set-var" | "unset-var" = name {
        let step = variable_step(call)?;
        sample.expression.transforms.push(step);
        return Ok(());
    }
    if name == "jwt_verify" {
        cast(sample, Type::Binary)?;
        let verified = Box::new(token::verified(call, span, reader)?);
        sample.then(Transform::JwtVerify(verified), Type::Number);
        return Ok(());
    }
    let calculated = number_step(call).transpose()?;
    let (takes, gives, transform) = match calculated {
        Some(transform) => (Type::Number, Type::Number, transform),
        None => match hash_step(call).transpose()? {
            Some((gives, transform)) => (Type::Binary, gives, transform),
            None => text_step(call, span, reader)?,
        },
    };
    cast(sample, takes)?;
    sample.then(transform, gives);
    if let ("language", Some(default)) = (name, call.given(1)) {
        sample.then(Transform::Default(default.to_owned()), gives);
    }
    Ok(())
}

/// `set-var(NAME[,CONDITION…])`, `unset-var(NAME)`.
fn variable_step(call: &Call<'_>) -> Result<Transform<Named>, Refusal> {
    let variable = variable::variable(call.text(0)).map_err(Refusal::Wrong)?;
    if call.name == "unset-var" {
        return Ok(Transform::UnsetVariable(variable));
    }
    let mut when = Vec::new();
    for condition in (1..call.count()).map(|at| call.text(at)) {
        let known = SET_WHEN.iter().find(|(known, _)| *known == condition);
        let (_, condition) = known.ok_or_else(|| {
            Refusal::Wrong(format!("'{condition}' is no condition of a variable"))
        })?;
        // Those of the process exist from the start.
        match (condition, variable.scope) {
            (Existence::Exists, Scope::Process) => {}
            (Existence::NotExists, Scope::Process) => when.extend([SetWhen::Set, SetWhen::NotSet]),
            (Existence::Exists, _) => when.push(SetWhen::Set),
            (Existence::NotExists, _) => when.push(SetWhen::NotSet),
            (Existence::When(condition), _) => when.push(*condition),
        }
    }
    Ok(Transform::SetVariable { variable, when })
}

fn cast(sample: &mut Sample, takes: Type) -> Result<(), Refusal> {
    if sample.cast(takes) {
        Ok(())
    } else {
        Err(Refusal::wrong("it cannot be applied to what is before it"))
    }
}

/// Looks the sample up in a file.
fn mapped(
    sample: &mut Sample,
    call: &Call<'_>,
    compare: MapMatch,
    gives: Type,
    span: Span,
    reader: &mut Reader<'_>,
) -> Result<(), Refusal> {
    let takes = match compare {
        MapMatch::Address => Type::Address,
        MapMatch::Number => Type::Number,
        MapMatch::Text(_) | MapMatch::Regex => Type::Text,
    };
    cast(sample, takes)?;
    let Some(file) = call.given(0) else {
        return Err(Refusal::wrong("say which file"));
    };
    let file = Word {
        text: file.to_owned(),
        span,
    };
    // What is not in the map is this address, which must be one, also where nothing is written.
    let other = call.arguments.as_ref().and_then(|all| all.get(1));
    if let (Type::Address, Some(other)) = (gives, other)
        && other.parse::<IpAddr>().is_err()
    {
        return Err(Refusal::Wrong(format!("'{other}' is not an address")));
    }
    let map = patterns::list(&file, compare, MapLines::Pairs, false, reader);
    let default = call.given(1).map(str::to_owned);
    let look = match call.name {
        "map_regm" => Transform::MapGroups { map, default },
        _ => Transform::Map { map, default },
    };
    sample.then(look, Type::Text);
    match gives {
        Type::Number => sample.then(Transform::Number, Type::Number),
        Type::Address => sample.then(Transform::ADDRESS, Type::Address),
        _ => {}
    }
    Ok(())
}

/// Calculations with a number or a variable.
fn number_step(call: &Call<'_>) -> Option<Result<Transform<Named>, Refusal>> {
    let operation = match call.name {
        "add" => Operation::Add,
        "sub" => Operation::Subtract,
        "mul" => Operation::Multiply,
        "div" => Operation::Divide,
        "mod" => Operation::Modulo,
        "and" => Operation::And,
        "or" => Operation::Or,
        "xor" => Operation::Xor,
        _ => return None,
    };
    let text = call.text(0);
    let operand = match (text.parse(), variable::variable(text)) {
        (Ok(number), _) => Operand::Number(number),
        (_, Ok(variable)) => Operand::Variable(variable),
        _ => {
            let message = format!("it takes a whole number or a variable, not '{text}'");
            return Some(Err(Refusal::Wrong(message)));
        }
    };
    Some(Ok(match (operation, &operand) {
        // What a division by zero gives needs no division.
        (Operation::Divide, Operand::Number(0)) => {
            Transform::Calculate(Operation::Or, Operand::Number(i64::MAX))
        }
        (Operation::Modulo, Operand::Number(0)) => {
            Transform::Calculate(Operation::And, Operand::Number(0))
        }
        _ => Transform::Calculate(operation, operand),
    }))
}

/// Hashes and digests.
fn hash_step(call: &Call<'_>) -> Option<Result<(Type, Transform<Named>), Refusal>> {
    let hash = |function| {
        let seed = call.given(0).map(integer).transpose()?.unwrap_or(0);
        let hashing = Hashing {
            function,
            seed: seed.cast_unsigned(),
        };
        Ok((Type::Number, Transform::Hash(hashing)))
    };
    Some(match call.name {
        "crc32" => hash(HashKind::Crc32),
        "crc32c" => hash(HashKind::Crc32c),
        "djb2" => hash(HashKind::Djb2),
        "sdbm" => hash(HashKind::Sdbm),
        "wt6" => hash(HashKind::Wt6),
        "xxh32" => hash(HashKind::Xxh32),
        "xxh64" => hash(HashKind::Xxh64),
        "xxh3" => hash(HashKind::Xxh3),
        "sha2" => {
            let kind = match call.text(0) {
                "" | "256" => DigestKind::Sha256,
                "224" => DigestKind::Sha224,
                "384" => DigestKind::Sha384,
                "512" => DigestKind::Sha512,
                other => {
                    let message = format!("'{other}' is none of 224, 256, 384 and 512 bits");
                    return Some(Err(Refusal::Wrong(message)));
                }
            };
            Ok((Type::Binary, Transform::Digest(kind)))
        }
        "digest" => digest(call.text(0)).map(|kind| (Type::Binary, Transform::Digest(kind))),
        "hmac" => keyed(call).map(|transform| (Type::Binary, transform)),
        _ => return None,
    })
}

/// A tag of FIX by its name or number.
fn fix_tag(text: &str) -> Result<u32, Refusal> {
    let known = FIX_TAGS.iter().find(|(name, _)| *name == text);
    let tag = known.map(|(_, tag)| *tag).or_else(|| text.parse().ok());
    tag.filter(|tag| *tag > 0).ok_or_else(|| {
        Refusal::Wrong(format!(
            "'{text}' is neither a tag's number nor a known name"
        ))
    })
}

/// The type of a packet, and a field's name or a property's number.
fn mqtt_field(call: &Call<'_>) -> Result<MqttField, Refusal> {
    let answer = match call.text(0) {
        "connect" | "1" => false,
        "connack" | "2" => true,
        _ => return Err(Refusal::wrong("the packet is 'connect' or 'connack'")),
    };
    let text = call.text(1);
    let named = MQTT_PARTS.iter().find(|(name, _)| *name == text);
    let part = named.map(|(_, part)| *part).or_else(|| {
        let number = text.parse().ok()?;
        Some(MqttPart::Property(number))
    });
    let known = |part: &MqttPart| match part {
        MqttPart::Flags | MqttPart::ProtocolVersion => true,
        MqttPart::ReasonCode => answer,
        MqttPart::Property(id) if answer => CONNACK_PROPERTIES.contains(id),
        MqttPart::Property(id) => CONNECT_PROPERTIES.contains(id),
        _ => !answer,
    };
    let part = part
        .filter(known)
        .ok_or_else(|| Refusal::Wrong(format!("'{text}' is no field of this packet")))?;
    Ok(MqttField { answer, part })
}

fn digest(name: &str) -> Result<DigestKind, Refusal> {
    let lower = name.to_ascii_lowercase();
    let found = DIGESTS.iter().find(|(known, _)| *known == lower);
    found.map(|(_, kind)| *kind).ok_or_else(|| {
        let known: Vec<&str> = DIGESTS.iter().map(|(known, _)| *known).collect();
        Refusal::Wrong(format!("'{name}' is none of {}", known.join(", ")))
    })
}

fn keyed(call: &Call<'_>) -> Result<Transform<Named>, Refusal> {
    let text = call.text(1);
    let key = match variable::variable(text) {
        Ok(variable) => Secret::Variable(variable),
        Err(_) if STANDARD.decode(text).is_ok() => Secret::Base64(text.to_owned()),
        Err(_) => return Err(Refusal::wrong("its key is neither Base64 nor a variable")),
    };
    Ok(Transform::Hmac {
        digest: digest(call.text(0))?,
        key,
    })
}

/// The rest.
fn text_step(
    call: &Call<'_>,
    span: Span,
    reader: &mut Reader<'_>,
) -> Result<(Type, Type, Transform<Named>), Refusal> {
    let text = |transform| (Type::Text, Type::Text, transform);
    let given = |index| call.text(index).to_owned();
    let variable = || variable::variable(call.text(0)).map_err(Refusal::Wrong);
    Ok(match call.name {
        "field" | "word" => text(part(call)?),
        "regsub" => text(replacement(call, span, reader)?),
        "bytes" => (
            Type::Binary,
            Type::Binary,
            Transform::Bytes {
                offset: small(call.text(0))?,
                length: call.given(1).map(small).transpose()?,
            },
        ),
        "ipmask" => (Type::Address, Type::Address, mask(call)?),
        "be2dec" => (Type::Binary, Type::Text, chunks(call, ChunkForm::Decimal)?),
        "be2hex" => (Type::Binary, Type::Text, chunks(call, ChunkForm::Hex)?),
        "nbsrv" => (Type::Text, Type::Number, Transform::HealthyTargets),
        "url_dec" if matches!(call.text(0), "" | "0") => text(Transform::UrlDecode),
        "url_dec" => text(Transform::FormDecode),
        "url_enc" if matches!(call.text(0), "" | "query") => text(Transform::UrlEncode),
        "url_enc" => return Err(Refusal::wrong("the only encoding is 'query'")),
        "fix_is_valid" => (Type::Binary, Type::Boolean, Transform::FixMessage),
        "fix_tag_value" => (
            Type::Binary,
            Type::Binary,
            Transform::FixTag(fix_tag(call.text(0))?),
        ),
        "mqtt_is_valid" => (Type::Binary, Type::Boolean, Transform::MqttPacket),
        "mqtt_field_value" => (Type::Binary, Type::Text, Transform::Mqtt(mqtt_field(call)?)),
        "srv_queue" => (Type::Text, Type::Number, Transform::TargetQueue),
        "iif" => (
            Type::Boolean,
            Type::Text,
            Transform::Choose(given(0), given(1)),
        ),
        "concat" => text(Transform::Append(appended(call)?)),
        "add_item" if call.given(1).or(call.given(2)).is_none() => {
            return Err(Refusal::wrong("say which variable or text is added"));
        }
        "add_item" => text(Transform::Join(appended(call)?)),
        "strcmp" => (Type::Text, Type::Number, Transform::Compare(variable()?)),
        "secure_memcmp" => (
            Type::Binary,
            Type::Boolean,
            Transform::SameSecret(variable()?),
        ),
        "ltrim" => text(Transform::TrimStart(given(0))),
        "rtrim" => text(Transform::TrimEnd(given(0))),
        "json" => text(Transform::JsonEscape(charset(call.text(0))?)),
        "json_query" => json(call, Transform::Json)?,
        "jwt_header_query" => json(call, Transform::JwtHeader)?,
        "jwt_payload_query" => json(call, Transform::JwtPayload)?,
        "http_date" => {
            let offset = call.given(0).map(integer).transpose()?.unwrap_or(0);
            let units = call.arguments.as_ref().and_then(|all| all.get(1));
            let unit = match units.map_or("s", String::as_str) {
                "s" => TimeUnit::Seconds,
                "ms" => TimeUnit::Milliseconds,
                "us" => TimeUnit::Microseconds,
                _ => return Err(Refusal::wrong("its unit is 's', 'ms' or 'us'")),
            };
            let date = Transform::HttpDate { offset, unit };
            (Type::Number, Type::Text, date)
        }
        "utime" | "ltime" => {
            let date = Transform::Date {
                format: given(0),
                offset: call.given(1).map(integer).transpose()?.unwrap_or(0),
                local: call.name == "ltime",
            };
            (Type::Number, Type::Text, date)
        }
        "language" => {
            let known = call.text(0).split(';').map(str::to_owned).collect();
            text(Transform::Language(known))
        }
        _ => return Err(Refusal::wrong("")),
    })
}

fn part(call: &Call<'_>) -> Result<Transform<Named>, Refusal> {
    let index = i32::try_from(integer(call.text(0))?);
    let index = index.ok().filter(|index| *index != 0);
    let index = index.ok_or_else(|| Refusal::wrong("fields are counted from 1, or from -1"))?;
    let delimiters = call.text(1).to_owned();
    if delimiters.is_empty() {
        return Err(Refusal::wrong("say what stands between fields"));
    }
    let count = call.given(2).map(small).transpose()?.unwrap_or(1);
    Ok(match call.name {
        "field" => Transform::Field {
            index,
            delimiters,
            count,
        },
        _ => Transform::Word {
            index,
            delimiters,
            count,
        },
    })
}

fn replacement(
    call: &Call<'_>,
    span: Span,
    reader: &mut Reader<'_>,
) -> Result<Transform<Named>, Refusal> {
    let flags = call.text(2);
    if let Some(wrong) = flags.chars().find(|flag| !matches!(flag, 'g' | 'i')) {
        return Err(Refusal::Wrong(format!(
            "the flag '{wrong}' is neither 'g' nor 'i'"
        )));
    }
    if call.given(0).is_none() {
        return Err(Refusal::wrong("write what is to be replaced"));
    }
    let pattern = patterns::regular_expression(call.text(0), flags.contains('i'));
    let pattern = Spanned::new(pattern.map_err(Refusal::Wrong)?, span);
    Ok(Transform::Replace {
        with: regex::replacement_for(&pattern, call.text(1), reader),
        pattern,
        all: flags.contains('g'),
    })
}

/// Prefix lengths, or masks in the form of addresses.
fn mask(call: &Call<'_>) -> Result<Transform<Named>, Refusal> {
    fn one<A: FromStr>(text: &str, most: u32, of_length: fn(u32) -> A) -> Result<A, Refusal> {
        let length = text.parse().ok().filter(|length| *length <= most);
        let found = length.map(of_length).or_else(|| text.parse().ok());
        found.ok_or_else(|| Refusal::wrong("a mask is a number of bits or an address"))
    }
    let v4 = one(call.text(0), 32, |bits| {
        Ipv4Addr::from_bits(u32::MAX.checked_shl(32 - bits).unwrap_or(0))
    })?;
    let v6 = call.given(1).map(|text| {
        one(text, 128, |bits| {
            Ipv6Addr::from_bits(u128::MAX.checked_shl(128 - bits).unwrap_or(0))
        })
    });
    Ok(Transform::Mask {
        v4,
        v6: v6.transpose()?,
    })
}

/// `be2dec(SEPARATOR,SIZE[,TRUNCATE])`, `be2hex([SEPARATOR],[SIZE],[TRUNCATE])`.
fn chunks(call: &Call<'_>, form: ChunkForm) -> Result<Transform<Named>, Refusal> {
    let size = match (form, call.given(1)) {
        (ChunkForm::Hex, None) if call.arguments.is_none() => 1,
        (_, None) => return Err(Refusal::wrong("say how many bytes a number has")),
        (_, Some(size)) => small(size)?,
    };
    if size == 0 || (form == ChunkForm::Decimal && size > 8) {
        return Err(Refusal::wrong("a number has 1 to 8 bytes"));
    }
    let whole = match call.given(2).map(small).transpose()? {
        None | Some(0) => false,
        Some(1) => true,
        Some(_) => return Err(Refusal::wrong("its third argument is 0 or 1")),
    };
    Ok(Transform::Chunks(Chunks {
        form,
        between: call.text(0).to_owned(),
        size,
        whole,
    }))
}

fn appended(call: &Call<'_>) -> Result<Append, Refusal> {
    let variable = call.given(1).map(variable::variable).transpose();
    Ok(Append {
        before: call.text(0).to_owned(),
        variable: variable.map_err(Refusal::Wrong)?,
        after: call.text(2).to_owned(),
    })
}

fn charset(name: &str) -> Result<JsonCharset, Refusal> {
    match name {
        "" | "ascii" => Ok(JsonCharset::Bytes),
        "utf8" | "utf8p" => Ok(JsonCharset::Utf8),
        "utf8s" | "utf8ps" => Ok(JsonCharset::Utf8Lossy),
        other => Err(Refusal::Wrong(format!(
            "'{other}' is none of ascii, utf8, utf8s, utf8p and utf8ps"
        ))),
    }
}

/// A member of JSON; as a number where `int` is asked for.
fn json(
    call: &Call<'_>,
    transform: impl FnOnce(String) -> Transform<Named>,
) -> Result<(Type, Type, Transform<Named>), Refusal> {
    let path = match (call.given(0), call.name) {
        (None, "json_query") => return Err(Refusal::wrong("say which member, as in $.name")),
        (path, _) => path.unwrap_or("$"),
    };
    if !path.starts_with('$') {
        return Err(Refusal::wrong("the path begins with '$'"));
    }
    match call.text(1) {
        "" | "int" => Ok((Type::Text, Type::Any, transform(json_path(path)))),
        other => Err(Refusal::Wrong(format!("the type '{other}' is not 'int'"))),
    }
}

/// A path whose names with escaped dots stand in brackets: `$.a\.b` is `$['a.b']`.
fn json_path(path: &str) -> String {
    if !path.contains("\\.") {
        return path.to_owned();
    }
    let mut out = String::new();
    for name in path.replace("\\.", "\0").split('.') {
        if name.contains('\0') {
            out.push_str(&format!("['{}']", name.replace('\0', ".")));
        } else {
            if !out.is_empty() {
                out.push('.');
            }
            out.push_str(name);
        }
    }
    out
}
