//! Keeps a client with its target by a cookie: reads it from the request, hides it from the target where that is wanted,
//! sets it in the response. What the cookie says is `portway_core::sticky`'s matter.

use crate::exchange::Exchange;
use crate::live::Health;
use crate::plane::GroupParts;
use crate::stick::Sticks;
use portway_core::balance::hash_bytes;
use portway_core::evaluate::Facts;
use portway_core::sticky::{
    self, Dates, Freshness, RequestCookie, ResponseCookie, Setting, Which, WriteValue,
    dynamic_value,
};
use portway_model::choice::{CookieMode, CookieValues, StickinessUse, StickyCookie};
use portway_model::snapshot::{GroupId, TargetGroup};
use std::borrow::Cow;
use std::ops::ControlFlow;
use std::rc::Rc;

/// What stickiness has to do with an exchange.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// What rules say of it.
    pub(crate) how: Option<StickinessUse>,
    /// The target that a rule has chosen.
    pub(crate) used: Option<usize>,
    /// What rules say by stick tables.
    pub(crate) sticks: Sticks,
    /// The target that a rule, the cookie or a stick table names serves the exchange.
    pub(crate) direct: bool,
    request: RequestCookie,
    response: ResponseCookie,
    dates: Dates,
    /// Whether the group's cookie is told of in logs.
    told: bool,
}

impl Kept {
    /// The response is not the one that goes on.
    pub(crate) fn forget_response(&mut self) {
        self.response = ResponseCookie::None;
        self.sticks.forget_response();
    }

    /// The cookie of the request names the target.
    pub(crate) fn is_by_cookie(&self) -> bool {
        matches!(self.request, RequestCookie::Valid | RequestCookie::Down)
    }

    /// HAProxy's third and fourth letter of the state at the end.
    pub(crate) fn letters(&self) -> [u8; 2] {
        match self.told {
            true => [self.request.letter(), self.response.letter()],
            false => *b"--",
        }
    }
}

/// What stands in the cookie of a target; `None`: it has none.
fn value_of<'g>(
    cookie: &StickyCookie,
    group: &'g TargetGroup,
    parts: &GroupParts,
    index: usize,
) -> Option<Cow<'g, str>> {
    let target = group.targets.get(index)?;
    if let Some(value) = &target.cookie {
        return Some(Cow::Borrowed(value));
    }
    match &cookie.values {
        CookieValues::Given => None,
        CookieValues::Generated | CookieValues::Sealed { .. } => {
            let hash = hash_bytes(target.name.as_str().as_bytes());
            Some(Cow::Owned(format!("{hash:016x}")))
        }
        CookieValues::Dynamic { key } => {
            let address = parts.targets.get(index)?.address()?;
            Some(Cow::Owned(dynamic_value(key, address)))
        }
    }
}

/// Reads the cookie of the request and takes it away where targets do not see it; gives the target that it names.
pub(crate) fn bound(x: &mut Exchange<'_>, id: GroupId) -> Option<usize> {
    let generation = Rc::clone(&x.connection.generation);
    let (group, parts, _) = generation.group(id)?;
    let cookie = group.stickiness.as_ref()?;
    x.kept.told = cookie.mode != CookieMode::Passive;
    let mut headers = headers(x);
    let mut found = None;
    let mut changed = false;
    for name in Which::ALL.iter().filter_map(|which| which.name(cookie)) {
        for header in &mut headers {
            changed |= in_header(x, cookie, (group, parts), (name, header), &mut found);
        }
    }
    if changed {
        put(x, &headers);
    }
    found
}

/// Looks at the cookies of this name in a header, and takes away what targets do not see; true where it did.
fn in_header(
    x: &mut Exchange<'_>,
    cookie: &StickyCookie,
    of: (&TargetGroup, &GroupParts),
    (name, header): (&str, &mut Vec<u8>),
    found: &mut Option<usize>,
) -> bool {
    let places = sticky::find_all(header, name);
    for place in &places {
        let value = match &of.1.seal {
            Some(seal) => Cow::Owned(seal.open(place.value(header)).unwrap_or_default()),
            None => Cow::Borrowed(place.value(header)),
        };
        let read = sticky::read(cookie, &value, x.now().unwrap_or_default());
        if found.is_none() {
            *found = look(x, cookie, of, &read);
        }
    }
    let mut changed = false;
    // The last first: places before what is taken out stay where they are.
    for place in places.iter().rev() {
        let own = sticky::read(cookie, place.value(header), 0).own;
        let left = match (cookie.mode, own) {
            (CookieMode::Prefix, Some(own)) => place.with(header, own),
            (CookieMode::Insert, _) if cookie.indirect => place.without(header).unwrap_or_default(),
            _ => continue,
        };
        *header = left;
        changed = true;
    }
    changed
}

/// What one of the cookies says; the first that names a target counts.
fn look(
    x: &mut Exchange<'_>,
    cookie: &StickyCookie,
    of: (&TargetGroup, &GroupParts),
    read: &sticky::Read<'_>,
) -> Option<usize> {
    x.kept.dates = read.dates;
    let unused = x.kept.used.is_some() || x.kept.how == Some(StickinessUse::Ignore);
    let found = match unused {
        true => None,
        false => named(x, cookie, of, read.value),
    };
    if found.is_none() {
        x.kept.request = match (read.aged, unused) {
            (Some(aged), _) => aged,
            (None, true) => RequestCookie::Unused,
            (None, _) if x.kept.request == RequestCookie::Down => RequestCookie::Down,
            (None, _) => RequestCookie::Invalid,
        };
    }
    x.kept.direct |= found.is_some();
    found
}

/// Every `Cookie` header.
fn headers(x: &Exchange<'_>) -> Vec<Vec<u8>> {
    let mut headers = Vec::new();
    x.header("cookie", &mut |value| {
        headers.push(value.to_vec());
        ControlFlow::Continue(())
    });
    headers
}

/// The target of this value that may be used; says what was found of it.
fn named(
    x: &mut Exchange<'_>,
    cookie: &StickyCookie,
    (group, parts): (&TargetGroup, &GroupParts),
    value: &[u8],
) -> Option<usize> {
    if value.is_empty() {
        return None;
    }
    let keeps = group.keep_when_down || x.kept.how == Some(StickinessUse::Force);
    for index in 0..group.targets.len() {
        let own = value_of(cookie, group, parts, index);
        if own.is_none_or(|own| own.as_bytes() != value) {
            continue;
        }
        let health = parts.targets.get(index).map(|state| state.health());
        let down = matches!(health, None | Some(Health::Unhealthy | Health::Unused));
        if !down {
            x.kept.request = RequestCookie::Valid;
            return Some(index);
        }
        x.kept.request = RequestCookie::Down;
        if keeps {
            return Some(index);
        }
    }
    None
}

/// Puts these `Cookie` headers in the place of the client's; an empty one goes.
fn put(x: &mut Exchange<'_>, headers: &[Vec<u8>]) {
    let edits = &mut x.scratch.request_edits;
    edits.remove(b"cookie");
    for header in headers.iter().filter(|header| !header.is_empty()) {
        edits.add(b"cookie", |out| out.extend_from_slice(header));
    }
}

/// Deals with the cookie in the response of a target: what the target has set itself, and what we set.
pub(crate) fn respond(x: &mut Exchange<'_>, status: u16) {
    let generation = Rc::clone(&x.connection.generation);
    let Some((group, parts, _)) = x.attempt.group.and_then(|id| generation.group(id)) else {
        return;
    };
    let (Some(cookie), Some(target)) = (&group.stickiness, x.attempt.target) else {
        return;
    };
    let value = value_of(cookie, group, parts, target);
    own(x, cookie, value.as_deref());
    let now = x.now().unwrap_or_default();
    let setting = Setting {
        direct: x.kept.direct,
        dates: x.kept.dates,
        post: Facts::method(&*x) == Some(b"POST"),
        own: x.kept.response != ResponseCookie::None,
    };
    let ignored = x.kept.how == Some(StickinessUse::Ignore);
    if ignored || !setting.is_due(cookie, now) {
        return;
    }
    let warns = cookie.no_cache && is_cacheable(x, status);
    let first = x.kept.dates.first;
    let text = |out: &mut Vec<u8>| {
        let value = value.as_deref().unwrap_or_default().as_bytes();
        let Some(seal) = &parts.seal else {
            return sticky::write_value(cookie, value, first, now, out);
        };
        let mut plain = Vec::new();
        sticky::write_value(cookie, value, first, now, &mut plain);
        seal.seal(&plain, out);
    };
    let text: Option<&WriteValue<'_>> = match value {
        Some(_) => Some(&text),
        None => None,
    };
    let edits = &mut x.scratch.response_edits;
    for which in Which::ALL {
        if which.name(cookie).is_some() {
            edits.add(b"set-cookie", |out| {
                sticky::write(cookie, which, text, now, out);
            });
        }
    }
    if warns {
        edits.add(b"cache-control", |out| out.extend_from_slice(b"private"));
    }
    x.kept.response = match (&value, x.kept.direct) {
        (Some(_), true) => ResponseCookie::Updated,
        _ => ResponseCookie::Inserted,
    };
}

/// What becomes of a cookie of this name that the target has set.
fn own(x: &mut Exchange<'_>, cookie: &StickyCookie, value: Option<&str>) {
    let mut found = false;
    let mut values: Vec<Vec<u8>> = Vec::new();
    let direct = x.kept.direct;
    let mut response = ResponseCookie::None;
    x.response_header("set-cookie", &mut |set| {
        let Some(place) = sticky::find_set(set, &cookie.name) else {
            values.push(set.to_vec());
            return ControlFlow::Continue(());
        };
        found = true;
        let inserted = cookie.mode == CookieMode::Insert;
        response = match (cookie.mode, value) {
            _ if cookie.preserve => ResponseCookie::Passed,
            _ if inserted || (direct && cookie.indirect) => ResponseCookie::Deleted,
            (CookieMode::Rewrite | CookieMode::Prefix, Some(_)) => ResponseCookie::Rewritten,
            _ => ResponseCookie::Passed,
        };
        match (response, cookie.mode, value) {
            (ResponseCookie::Deleted, _, _) => {}
            (ResponseCookie::Rewritten, CookieMode::Prefix, Some(value)) => {
                let own = place.value(set);
                values.push(place.with(set, &[value.as_bytes(), b"~", own].concat()));
            }
            (ResponseCookie::Rewritten, _, Some(value)) => {
                values.push(place.with(set, value.as_bytes()));
            }
            _ => values.push(set.to_vec()),
        }
        ControlFlow::Continue(())
    });
    if !found {
        return;
    }
    x.kept.response = response;
    if response == ResponseCookie::Passed {
        return;
    }
    let edits = &mut x.scratch.response_edits;
    edits.remove(b"set-cookie");
    for value in &values {
        edits.add(b"set-cookie", |out| out.extend_from_slice(value));
    }
}

/// True where a cache between us and the client may keep the response.
fn is_cacheable(x: &Exchange<'_>, status: u16) -> bool {
    let mut freshness = Freshness::default();
    for name in ["cache-control", "expires", "etag", "last-modified"] {
        x.response_header(name, &mut |value| {
            freshness.look(name.as_bytes(), value);
            ControlFlow::Continue(())
        });
    }
    freshness.is_cacheable(status)
}
