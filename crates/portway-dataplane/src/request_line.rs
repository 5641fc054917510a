//! What rules make of the line of a request: its method, path and query, and with a whole URL also its host.

use crate::exchange::Exchange;
use portway_core::evaluate::arguments::with_argument;
use portway_core::evaluate::normalize::normalize;
use portway_core::evaluate::rewrite::{
    add_prefix, replace_path, replace_target, replace_url, split_origin, split_target, strip_prefix,
};
use portway_core::evaluate::{
    self, Facts, write_path, write_query, write_replacement, write_target, write_template,
    write_url,
};
use portway_core::http1::{Known, Method, TargetForm, is_token};
use portway_model::action::{Action, Normalization};
use portway_model::expression::{Template, Value};
use portway_model::stage::Resolved;
use std::ops::ControlFlow;

/// What rules replaced in the request line.
#[derive(Debug, Default)]
pub(crate) struct LineEdits {
    pub(crate) method: Option<String>,
    pub(crate) path: Option<Vec<u8>>,
    /// What stands before the authority in the target; `Some(None)`: neither does.
    pub(crate) scheme: Option<Option<Vec<u8>>>,
    /// `Some(None)`: the query was removed.
    pub(crate) query: Option<Option<Vec<u8>>>,
}

/// A method that is none, and one whose response would end elsewhere than the client expects, changes nothing.
pub(crate) fn set_method(x: &mut Exchange<'_>, template: &Template<Resolved>) {
    let mut method = Vec::new();
    write_template(template, &*x, &mut method);
    // A HEAD may become another request: the client gets the head of its response. Not the other way round: the client
    // would wait for a body.
    let ends_elsewhere = match (x.request().method(), Method::of(&method)) {
        (Method::Connect, to) => to != Method::Connect,
        (Method::Head, to) => to == Method::Connect,
        (_, to) => matches!(to, Method::Head | Method::Connect),
    };
    if !is_token(&method) || ends_elsewhere {
        return;
    }
    // A token is ASCII.
    x.line.method = String::from_utf8(method).ok();
}

/// False where the target cannot be brought into this form.
pub(crate) fn normalize_target(x: &mut Exchange<'_>, form: Normalization) -> bool {
    let path = x.current_path();
    if path.first() != Some(&b'/') {
        return true;
    }
    let mut target = path.to_vec();
    if let Some(query) = x.current_query() {
        target.push(b'?');
        target.extend_from_slice(query);
    }
    let Some(normal) = normalize(form, &target) else {
        return false;
    };
    let (path, query) = split_target(&normal);
    x.line.query = Some(query.map(<[u8]>::to_vec));
    x.line.path = Some(path.to_vec());
    true
}

/// Changes path, query or the whole URL.
pub(crate) fn edit_target(x: &mut Exchange<'_>, action: &Action<Resolved>) {
    let mut out = Vec::new();
    match action {
        Action::SetPath(template) => {
            write_path(template, &*x, &mut out);
            x.line.path = Some(out);
        }
        Action::ReplacePath { .. } | Action::ReplaceTarget { .. } | Action::ReplaceUrl { .. } => {
            replace_in_target(x, action);
        }
        Action::StripPrefix(prefixes) => {
            if let Some(prefix) = strip_prefix(prefixes, x.current_path(), &mut out) {
                x.scratch.request_edits.remove(b"X-Forwarded-Prefix");
                x.scratch.request_edits.add(b"X-Forwarded-Prefix", |value| {
                    value.extend_from_slice(prefix.as_bytes())
                });
                x.line.path = Some(out);
            }
        }
        Action::AddPrefix(prefix) => {
            add_prefix(prefix, x.current_path(), &mut out);
            x.line.path = Some(out);
        }
        Action::SetArgument { name, value } => {
            write_template(value, &*x, &mut out);
            let query = with_argument(x.current_query(), name.as_bytes(), Some(&out));
            x.line.query = Some(query);
        }
        Action::RemoveArgument(name) => {
            let query = with_argument(x.current_query(), name.as_bytes(), None);
            x.line.query = Some(query);
        }
        Action::SetQuery(template) => {
            write_query(template, &*x, &mut out);
            x.line.query = Some((!out.is_empty()).then_some(out));
        }
        Action::SetUrl(template) => {
            write_url(template, &*x, &mut out);
            set_url(x, &out);
        }
        Action::SetTarget(template) => {
            write_target(template, &*x, &mut out);
            let (path, query) = split_target(&out);
            x.line.query = Some(query.map(<[u8]>::to_vec));
            x.line.path = Some(path.to_vec());
        }
        _ => {}
    }
}

/// Actions that replace what a pattern finds.
fn replace_in_target(x: &mut Exchange<'_>, action: &Action<Resolved>) {
    let (mut out, mut replacement) = (Vec::new(), Vec::new());
    match action {
        Action::ReplacePath { pattern, with } => {
            write_replacement(with, &*x, &mut replacement);
            if replace_path(pattern, &replacement, x.current_path(), &mut out) {
                x.line.path = Some(out);
            }
        }
        Action::ReplaceTarget { pattern, with } => {
            write_replacement(with, &*x, &mut replacement);
            let mut target = x.current_path().to_vec();
            if let Some(query) = x.current_query() {
                target.push(b'?');
                target.extend_from_slice(query);
            }
            if replace_target(pattern, &replacement, &target, &mut out) {
                let (path, query) = split_target(&out);
                x.line.query = Some(query.map(<[u8]>::to_vec));
                x.line.path = Some(path.to_vec());
            }
        }
        Action::ReplaceUrl { pattern, with } => {
            write_replacement(with, &*x, &mut replacement);
            let mut url = Vec::new();
            evaluate::fetch(&Value::Url, &*x).write(&mut url);
            if replace_url(pattern, &replacement, &url, &mut out) {
                set_url(x, &out);
            }
        }
        _ => {}
    }
}

/// Path and query, and with an origin before them also the host.
fn set_url(x: &mut Exchange<'_>, url: &[u8]) {
    let (origin, target) = split_origin(url);
    let (path, query) = split_target(target);
    x.line.scheme = Some(origin.map(|(scheme, _)| scheme.to_vec()));
    x.line.query = Some(query.map(<[u8]>::to_vec));
    x.line.path = Some(path.to_vec());
    if let Some((_, authority)) = origin {
        let host = authority.rsplit(|byte| *byte == b'@').next();
        let host = host.unwrap_or_default();
        let edits = &mut x.scratch.request_edits;
        edits.remove(b"Host");
        edits.add(b"Host", |value| value.extend_from_slice(host));
    }
}

/// Where a request goes on to.
impl Exchange<'_> {
    /// The path as it goes on.
    pub(crate) fn current_path(&self) -> &[u8] {
        match &self.line.path {
            Some(path) => path,
            None if self.keeps_origin() => self.request().written_path(self.arena()),
            None => self.request().path(self.arena()),
        }
    }

    /// True where a target that came in absolute form goes on so, as HAProxy has it.
    pub(crate) fn keeps_origin(&self) -> bool {
        self.request().target_form() == TargetForm::Absolute && self.connection.lenient_heads()
    }

    /// True where scheme and authority were put before the path here, out of what came in HTTP/2, and no rule has set others: rules
    /// see them, as in HAProxy, and targets do not.
    pub(crate) fn has_made_origin(&self) -> bool {
        self.connection.is_stream && self.line.scheme.is_none() && self.keeps_origin()
    }

    /// Scheme and authority that stand before the path as a target gets it.
    pub(crate) fn sent_origin(&self) -> Option<(&[u8], &[u8])> {
        self.current_origin().filter(|_| !self.has_made_origin())
    }

    /// The path as a target gets it.
    pub(crate) fn sent_path(&self) -> &[u8] {
        match self.current_path() {
            b"" if self.has_made_origin() => self.request().path(self.arena()),
            path => path,
        }
    }

    /// Scheme and authority that stand before the path as it goes on. The authority is what rules made of Host.
    pub(crate) fn current_origin(&self) -> Option<(&[u8], &[u8])> {
        let received = || self.request().origin(self.arena());
        let (scheme, authority) = match &self.line.scheme {
            None if !self.keeps_origin() => return None,
            None => received()?,
            Some(None) => return None,
            Some(Some(scheme)) => (scheme.as_slice(), received().unwrap_or_default().1),
        };
        let edits = &self.scratch.request_edits;
        let mut host = None;
        if edits.removes(Known::Host) {
            self.header("host", &mut |value| {
                host = Some(value);
                ControlFlow::Continue(())
            });
        }
        Some((scheme, host.unwrap_or(authority)))
    }
}
