//! The cookie that keeps a client with its target: what a request's says, what the target sees of it, what the response
//! sets.
//!
//! Pure: the moment is an argument. What is written is HAProxy's, byte for byte, since a client brings the cookie of one
//! balancer to the other: `VALUE`, or `VALUE|LAST` or `VALUE|LAST|FIRST` where it has an age, or `VALUE~OWN` where the
//! target's own cookie carries it. Dates are counted in steps of four seconds, five digits of base 64 each.

mod digest;

pub use digest::dynamic_value;

use crate::evaluate::seconds_as_http_date;
use portway_model::choice::{CookieMode, StickyCookie};
use portway_model::settings::SameSite;
use std::io::Write;
use std::ops::Range;

/// Before a date.
const DATE: u8 = b'|';
/// Before what the target itself has set.
const OWN: u8 = b'~';
/// Digits of a date.
const DATE_DIGITS: usize = 5;
/// A date so far ahead is a mistake.
const FUTURE_SECONDS: i64 = 86_400;

/// What the cookie of a request was found to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum RequestCookie {
    /// There is none.
    #[default]
    None,
    /// It names no target.
    Invalid,
    /// Its target is down.
    Down,
    /// Its target takes the request.
    Valid,
    /// It was not used for too long.
    Expired,
    /// It is too old.
    Old,
    /// A rule says that it is not looked at.
    Unused,
}

impl RequestCookie {
    /// HAProxy's letter in logs.
    pub const fn letter(self) -> u8 {
        match self {
            RequestCookie::None => b'N',
            RequestCookie::Invalid => b'I',
            RequestCookie::Down => b'D',
            RequestCookie::Valid => b'V',
            RequestCookie::Expired => b'E',
            RequestCookie::Old => b'O',
            RequestCookie::Unused => b'U',
        }
    }
}

/// What became of the cookie in the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ResponseCookie {
    /// None was set.
    #[default]
    None,
    /// The target's own was passed on.
    Passed,
    /// The target's own was taken away.
    Deleted,
    /// Ours was set.
    Inserted,
    /// Our value was put into the target's own.
    Rewritten,
    /// Only its date is new.
    Updated,
}

impl ResponseCookie {
    /// HAProxy's letter in logs.
    pub const fn letter(self) -> u8 {
        match self {
            ResponseCookie::None => b'N',
            ResponseCookie::Passed => b'P',
            ResponseCookie::Deleted => b'D',
            ResponseCookie::Inserted => b'I',
            ResponseCookie::Rewritten => b'R',
            ResponseCookie::Updated => b'U',
        }
    }
}

/// Seconds since 1970 at which a cookie was set last and first, as far as it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dates {
    /// Set or set anew.
    pub last: Option<i64>,
    /// Set at first.
    pub first: Option<i64>,
}

/// A cookie of a request, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Read<'v> {
    /// Which target; empty where it is not to be believed.
    pub value: &'v [u8],
    /// Why it is not to be believed.
    pub aged: Option<RequestCookie>,
    /// Its dates, where it is believed.
    pub dates: Dates,
    /// What the target itself has set.
    pub own: Option<&'v [u8]>,
}

/// Takes the value of a cookie apart. `now`: seconds since 1970.
pub fn read<'v>(cookie: &StickyCookie, value: &'v [u8], now: i64) -> Read<'v> {
    let plain = |value, own| Read {
        value,
        aged: None,
        dates: Dates::default(),
        own,
    };
    if cookie.mode == CookieMode::Prefix {
        return match split(value, OWN) {
            Some((value, own)) => plain(value, Some(own)),
            None => plain(value, None),
        };
    }
    let Some((value, dates)) = split(value, DATE) else {
        return plain(value, None);
    };
    let (last, first) = match split(dates, DATE) {
        Some((last, first)) => (last, Some(first)),
        None => (dates, None),
    };
    let dates = Dates {
        last: read_date(last),
        first: first.and_then(read_date),
    };
    let passed = |date: Option<i64>, limit: Option<std::time::Duration>| {
        let (Some(date), Some(limit)) = (date, limit) else {
            return false;
        };
        let limit = i64::try_from(limit.as_secs()).unwrap_or(i64::MAX);
        now - date > limit || date - now > FUTURE_SECONDS
    };
    let aged = if passed(dates.first, cookie.max_life) {
        Some(RequestCookie::Old)
    } else if passed(dates.last, cookie.max_idle) {
        Some(RequestCookie::Expired)
    } else {
        None
    };
    match aged {
        Some(_) => Read {
            aged,
            ..plain(&[], None)
        },
        None => Read {
            dates,
            ..plain(value, None)
        },
    }
}

fn split(value: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let place = value.iter().position(|byte| *byte == at)?;
    Some((value.get(..place)?, value.get(place + 1..)?))
}

/// Whether a response must set the cookie.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The request came to its target by its cookie.
    pub direct: bool,
    /// The dates that its cookie had.
    pub dates: Dates,
    /// The method is POST.
    pub post: bool,
    /// The target has set the cookie itself.
    pub own: bool,
}

impl Setting {
    /// Decides as HAProxy does. `now`: seconds since 1970.
    pub fn is_due(&self, cookie: &StickyCookie, now: i64) -> bool {
        let Dates { last, first } = self.dates;
        let idle = cookie.max_idle.is_some() || last.is_some();
        let stale = last.is_none_or(|last| last < now);
        let life = cookie.max_life.is_some();
        cookie.mode == CookieMode::Insert
            && !(self.own && cookie.preserve)
            && (!cookie.post_only || self.post)
            && (!self.direct || (idle && stale) || life != first.is_some())
    }
}

/// Which of the two cookies of stickiness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The first.
    Own,
    /// That for requests that pages of other sites make.
    CrossSite,
}

impl Which {
    /// Both; most have the first alone.
    pub const ALL: [Which; 2] = [Which::Own, Which::CrossSite];

    /// Its name; `None`: there is no such cookie.
    pub fn name(self, cookie: &StickyCookie) -> Option<&str> {
        match self {
            Which::Own => Some(&cookie.name),
            Which::CrossSite => cookie.cross_site.as_deref(),
        }
    }
}

/// Writes what a cookie says: the value of a target, and the dates where it has an age.
pub fn write_value(
    cookie: &StickyCookie,
    value: &[u8],
    first: Option<i64>,
    now: i64,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(value);
    if cookie.max_idle.is_some() || cookie.max_life.is_some() {
        out.push(DATE);
        write_date(now + 3, out);
    }
    if cookie.max_life.is_some() {
        out.push(DATE);
        write_date(first.unwrap_or(now + 3), out);
    }
}

/// Writes what a cookie says.
pub type WriteValue<'w> = dyn Fn(&mut Vec<u8>) + 'w;

/// Writes the value of `Set-Cookie`. `value` writes what the cookie says; `None` deletes it.
pub fn write(
    cookie: &StickyCookie,
    which: Which,
    value: Option<&WriteValue<'_>>,
    now: i64,
    out: &mut Vec<u8>,
) {
    let (secure, same_site) = match which {
        Which::Own => (cookie.secure, cookie.same_site),
        Which::CrossSite => (true, Some(SameSite::None)),
    };
    out.extend_from_slice(which.name(cookie).unwrap_or_default().as_bytes());
    out.push(b'=');
    match value {
        Some(value) => value(out),
        None => out.extend_from_slice(b"; Expires=Thu, 01-Jan-1970 00:00:01 GMT"),
    }
    let mut add = |name: &str, value: &str| {
        // Writing to a vector cannot fail.
        let _ = write!(out, "; {name}{value}");
    };
    add("path=", &cookie.path);
    for domain in &cookie.domains {
        add("domain=", domain);
    }
    if cookie.http_only {
        add("HttpOnly", "");
    }
    if secure {
        add("Secure", "");
    }
    match same_site {
        Some(SameSite::Strict) => add("SameSite=", "Strict"),
        Some(SameSite::Lax) => add("SameSite=", "Lax"),
        Some(SameSite::None) => add("SameSite=", "None"),
        None => {}
    }
    if let Some(age) = cookie.max_age.filter(|_| value.is_some()) {
        match cookie.expires {
            true => add(
                "Expires=",
                &seconds_as_http_date(now.saturating_add_unsigned(age.as_secs())),
            ),
            false => add("Max-Age=", &age.as_secs().to_string()),
        }
    }
    for attribute in &cookie.attributes {
        add("", attribute);
    }
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn write_date(seconds: i64, out: &mut Vec<u8>) {
    for digit in (0..DATE_DIGITS).rev() {
        let value = (seconds >> 2 >> (6 * digit)) & 0x3f;
        out.extend(usize::try_from(value).ok().and_then(|at| DIGITS.get(at)));
    }
}

fn read_date(text: &[u8]) -> Option<i64> {
    let mut date = 0_i64;
    for byte in text.get(..DATE_DIGITS)? {
        let digit = DIGITS.iter().position(|digit| digit == byte)?;
        date = date << 6 | i64::try_from(digit).ok()?;
    }
    (date > 0).then_some(date << 2)
}

/// Where a cookie stands in a `Cookie` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// From the delimiter before it, or from its name where it is the first, to its end.
    whole: Range<usize>,
    /// Its value.
    value: Range<usize>,
}

impl Place {
    /// The value in the header that it was found in.
    pub fn value<'h>(&self, header: &'h [u8]) -> &'h [u8] {
        header.get(self.value.clone()).unwrap_or_default()
    }

    /// The header without the cookie; `None` where nothing is left.
    pub fn without(&self, header: &[u8]) -> Option<Vec<u8>> {
        let before = header.get(..self.whole.start)?;
        let behind = header.get(self.whole.end..)?;
        let rest = match before.is_empty() {
            // What follows becomes the first: without its delimiter.
            true => behind
                .trim_ascii_start()
                .strip_prefix(b";")
                .unwrap_or(behind),
            false => behind,
        };
        let rest = if before.is_empty() {
            rest.trim_ascii_start()
        } else {
            rest
        };
        let left = [before, rest].concat();
        (!left.trim_ascii().is_empty()).then_some(left)
    }

    /// The header with another value.
    pub fn with(&self, header: &[u8], value: &[u8]) -> Vec<u8> {
        let before = header.get(..self.value.start).unwrap_or_default();
        let behind = header.get(self.value.end..).unwrap_or_default();
        [before, value, behind].concat()
    }
}

/// The first cookie of this name in a `Cookie` header.
pub fn find(header: &[u8], name: &str) -> Option<Place> {
    find_all(header, name).into_iter().next()
}

/// Every cookie of this name in a `Cookie` header, in order.
pub fn find_all(header: &[u8], name: &str) -> Vec<Place> {
    let mut found = Vec::new();
    let mut start = 0;
    let mut quoted = false;
    let mut ends: Vec<usize> = Vec::new();
    for (place, byte) in header.iter().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b';' if !quoted => ends.push(place),
            _ => {}
        }
    }
    ends.push(header.len());
    for end in ends {
        let delimiter = usize::from(start > 0);
        let pair = header.get(start + delimiter..end).unwrap_or_default();
        let named = pair.trim_ascii_start();
        let offset = end - named.len();
        if let Some(rest) = named.strip_prefix(name.as_bytes()) {
            let value = rest.trim_ascii_start();
            if let Some(value) = value.strip_prefix(b"=") {
                let value = value.trim_ascii_start();
                let first = end - value.len();
                let value = first..first + value.trim_ascii_end().len();
                let whole = if start == 0 { offset..end } else { start..end };
                found.push(Place { whole, value });
            }
        }
        start = end;
    }
    found
}

/// Where the value of a `Set-Cookie` stands, if it sets this cookie.
pub fn find_set(header: &[u8], name: &str) -> Option<Place> {
    let pair = header.iter().position(|byte| *byte == b';');
    let pair = pair.unwrap_or(header.len());
    find(header.get(..pair)?, name)
}

/// Whether a cache may keep a response, as HAProxy judges it: then a cookie in it needs a word of warning.
#[derive(Debug, Clone, Copy, Default)]
pub struct Freshness {
    forbidden: bool,
    told: bool,
    validator: bool,
}

impl Freshness {
    /// Looks at a field of the response.
    pub fn look(&mut self, name: &[u8], value: &[u8]) {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if is("etag") || is("last-modified") {
            self.validator = true;
        } else if is("expires") {
            self.told = true;
        } else if is("cache-control") {
            value.split(|byte| *byte == b',').for_each(|part| {
                let part = part.trim_ascii().to_ascii_lowercase();
                let starts = |text: &str| part.starts_with(text.as_bytes());
                let never = ["private", "no-cache", "no-store"];
                self.forbidden |= never.iter().any(|word| starts(word));
                self.forbidden |= part == b"max-age=0" || part == b"s-maxage=0";
                self.told |= starts("max-age=") || starts("s-maxage=");
            });
        }
    }

    /// True where a cache may keep it.
    pub fn is_cacheable(self, status: u16) -> bool {
        let by_default = matches!(
            status,
            200 | 203 | 204 | 206 | 300 | 301 | 404 | 405 | 410 | 414 | 501
        );
        by_default && !self.forbidden && (self.told || self.validator)
    }
}

#[cfg(test)]
mod tests;
