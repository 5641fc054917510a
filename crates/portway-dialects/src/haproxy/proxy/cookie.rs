//! `cookie`: the one that keeps a client with its server.

use super::keyword::missing;
use super::{Args, Proxy};
use crate::haproxy::units::{self, Unit};
use crate::haproxy::{Line, Reader, Word};
use portway_model::diagnostic::Code;
use portway_model::draft::{CookieMode, CookieValues, StickyCookie};
use portway_model::span::Spanned;
use std::time::Duration;

/// The cookie, and whether its values are made of addresses.
#[derive(Debug, Clone)]
pub(crate) struct CookieSettings {
    pub(crate) cookie: StickyCookie,
    /// `dynamic`: the key may be said later.
    pub(crate) dynamic: bool,
}

const WORDS: [&str; 14] = [
    "rewrite", "insert", "prefix", "indirect", "nocache", "postonly", "preserve", "httponly",
    "secure", "domain", "maxidle", "maxlife", "dynamic", "attr",
];

/// `cookie NAME [WORDS]`.
pub(super) fn line(proxy: &mut Proxy, line: &Line, reader: &mut Reader<'_>) {
    let Some(name) = line.word(1) else {
        missing(line, "the name of a cookie", reader);
        return;
    };
    if let Some(settings) = read(name, Args::new(line, 2), reader) {
        proxy.cookie = Some(Spanned::new(settings, line.span));
    }
}

fn read(name: &Word, mut args: Args<'_>, reader: &mut Reader<'_>) -> Option<CookieSettings> {
    let mut cookie = StickyCookie::new(name.as_str());
    cookie.values = CookieValues::Given;
    cookie.http_only = false;
    let mut mode: Option<CookieMode> = None;
    let mut dynamic = false;
    while let Some(word) = args.next() {
        match word.as_str() {
            text @ ("rewrite" | "insert" | "prefix") => {
                let said = match text {
                    "rewrite" => CookieMode::Rewrite,
                    "insert" => CookieMode::Insert,
                    _ => CookieMode::Prefix,
                };
                if mode.is_some_and(|mode| mode != said) {
                    let message = "a cookie is rewritten, inserted or a prefix, only one of them";
                    reader.error(Code::Conflict, args.line(), message);
                    return None;
                }
                mode = Some(said);
            }
            "indirect" => cookie.indirect = true,
            "nocache" => cookie.no_cache = true,
            "postonly" => cookie.post_only = true,
            "preserve" => cookie.preserve = true,
            "httponly" => cookie.http_only = true,
            "secure" => cookie.secure = true,
            "dynamic" => dynamic = true,
            "domain" => cookie
                .domains
                .push(value(word, &mut args, reader)?.text.clone()),
            "attr" => cookie
                .attributes
                .push(value(word, &mut args, reader)?.text.clone()),
            "maxidle" => cookie.max_idle = Some(age(word, &mut args, reader)?),
            "maxlife" => cookie.max_life = Some(age(word, &mut args, reader)?),
            other => {
                reader.push(crate::unknown_word(
                    word.span,
                    "word of `cookie`",
                    other,
                    WORDS,
                ));
                return None;
            }
        }
    }
    cookie.mode = mode.unwrap_or(CookieMode::Passive);
    Some(CookieSettings { cookie, dynamic })
}

fn value<'l>(word: &Word, args: &mut Args<'l>, reader: &mut Reader<'_>) -> Option<&'l Word> {
    let value = args.next();
    if value.is_none() {
        let message = format!("`{}` needs a value", word.text);
        reader.error(Code::Missing, word.span, message);
    }
    value
}

/// A time in whole seconds.
fn age(word: &Word, args: &mut Args<'_>, reader: &mut Reader<'_>) -> Option<Duration> {
    let value = value(word, args, reader)?;
    let time = units::duration(value, Unit::Seconds, reader)?;
    Some(Duration::from_secs(time.as_secs()))
}
