//! `stick …`: rules that keep clients with servers by an entry of a stick table.

use super::keyword::missing;
use super::rule::{self, List, Step};
use super::{Args, Proxy};
use crate::haproxy::{Line, Reader, sample};
use portway_model::action::Action;
use portway_model::choice::StickTo;
use portway_model::name::Name;
use portway_model::span::Spanned;

/// `stick match|on|store-request|store-response KEY [table NAME] [if|unless …]`.
pub(super) fn line(proxy: &mut Proxy, line: &Line, reader: &mut Reader<'_>) {
    let (list, to) = match line.text(1) {
        "match" => (List::StickRequest, StickTo::Match),
        "on" => (List::StickRequest, StickTo::Both),
        "store-request" => (List::StickRequest, StickTo::Store),
        _ => (List::StickResponse, StickTo::Store),
    };
    let mut args = Args::new(line, 2);
    let Some(word) = args.next() else {
        return missing(line, "a key, such as `src`", reader);
    };
    let place = list.place(proxy.kind);
    let Some(key) = sample::expression(word, place, reader) else {
        return;
    };
    let table = match args.take("table") {
        true => match args.next() {
            Some(name) => name.spanned(Name::new(name.text.clone())),
            None => return missing(line, "the name of a table behind `table`", reader),
        },
        false => Spanned::new(Name::new(proxy.name.value.clone()), line.span),
    };
    let Some(condition) = rule::condition(proxy, list, &mut args, reader) else {
        return;
    };
    let key = key.value;
    let step = Step::Do(vec![Action::Stick { to, key, table }]);
    rule::add(proxy, list, step, condition, line.span, reader);
}
