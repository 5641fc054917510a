//! Where a rule forwards to: `"app"`, `{ app = 90, canary = 10 }`, or a list of these, the first of which that is able to
//! serve takes it.

use super::form::{Form, Out, Reader};
use super::pairs;
use crate::tree::{Content, Item};
use portway_model::action::Weighted;
use portway_model::diagnostic::Severity;
use portway_model::name::Name;
use portway_model::span::Spanned;
use portway_model::stage::Named;

const WHAT: &str = "a target group's name, { a = 90, b = 10 }, or a list of these";

pub(crate) fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Vec<Weighted<Named>>> {
    let errors = reader.found.count(Severity::Error);
    let mut groups = Vec::new();
    match &item.content {
        Content::List(ranks) => {
            for (rank, item) in (0..=u16::MAX).zip(ranks) {
                groups.extend(read_rank(item, rank, reader)?);
            }
        }
        _ => groups = read_rank(item, 0, reader)?,
    }
    let wrong = reader.found.count(Severity::Error) > errors;
    (!wrong).then_some(groups)
}

/// Groups that share what comes; a list of tables where one of them is there twice.
fn read_rank(item: &Item, rank: u16, reader: &mut Reader<'_>) -> Option<Vec<Weighted<Named>>> {
    if let Content::Text { text, .. } = &item.content {
        let group = Spanned::new(Name::new(text.as_str()), item.span);
        let only = Weighted {
            rank,
            ..Weighted::new(group, 1)
        };
        return Some(vec![only]);
    }
    if !matches!(item.content, Content::Table(_) | Content::List(_)) {
        return reader.wrong_type(item, WHAT);
    }
    let pairs = pairs::read::<u16>(item, reader).into_iter();
    let groups = pairs.map(|(name, weight)| Weighted {
        group: name.map(Name::from),
        weight,
        rank,
    });
    Some(groups.collect())
}

pub(crate) fn write(groups: &[Weighted<Named>]) -> Out {
    let ranks: Vec<Out> = groups
        .chunk_by(|one, next| one.rank == next.rank)
        .map(write_rank)
        .collect();
    match <[Out; 1]>::try_from(ranks) {
        Ok([Out::List(pairs)]) => Out::List(vec![Out::List(pairs)]),
        Ok([only]) => only,
        Err(ranks) => Out::List(ranks),
    }
}

fn write_rank(groups: &[Weighted<Named>]) -> Out {
    if let [
        Weighted {
            group, weight: 1, ..
        },
    ] = groups
    {
        return group.write();
    }
    let pairs = groups.iter().map(|weighted| {
        let weight = Out::Integer(i64::from(weighted.weight));
        (weighted.group.value.to_string(), weight)
    });
    pairs::write(pairs.collect())
}
