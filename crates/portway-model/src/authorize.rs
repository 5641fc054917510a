//! Forward authorization: another service is asked whether a request may go on.

use crate::convert::{Convert, Outcome, headers, template};
use crate::expression::Template;
use crate::stage::Stage;

/// Bytes of an answer's body that are passed on where nothing is said: a page that asks for a login.
pub const ANSWER_BYTES: u32 = 64 * 1024;
/// What a client is told that the service could not be asked about, where nothing is said.
pub const ON_FAILURE: u16 = 503;

/// Whom the service is to believe of those that a request has passed before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trust {
    /// Nobody.
    Nobody,
    /// Clients that are trusted proxies of the listener.
    Proxies,
    /// Everybody, because rules before have seen to it.
    Everybody,
}

/// A question to a target group before a request goes on. A status from 200 to 299 lets it go on; any other answer is
/// the client's, with its headers and its body.
///
/// The question says of the request what its target has no other way to know: `X-Forwarded-Method`, `-Proto`, `-Host`,
/// `-Uri` and `-For`.
#[derive(Debug, Clone, PartialEq)]
pub struct Authorize<S: Stage> {
    /// Who is asked.
    pub group: S::Group,
    /// Path and query of the question.
    pub target: Template<S>,
    /// It has the method of the request; else it is a GET.
    pub keep_method: bool,
    /// The headers of the request that go along; `None`: all.
    pub request_headers: Option<Vec<String>>,
    /// Headers that the question has besides, in place of those of the request; `Host` may be one.
    pub headers: Vec<(String, Template<S>)>,
    /// Whose `X-Forwarded-*` fields stay as they are in the request.
    pub trust: Trust,
    /// The body of the request goes along, up to so many bytes: a longer one is refused.
    pub body_bytes: Option<u32>,
    /// Headers of an answer that lets the request go on: it has them from then on, and its own of that name no more.
    pub copy_headers: Vec<String>,
    /// The same of every header in whose name this is found.
    pub copy_matching: Option<S::Pattern>,
    /// Cookies that such an answer sets, by name: the client is given them with the response.
    pub copy_cookies: Vec<String>,
    /// Bytes of an answer's body that the client is sent; a longer one is as none.
    pub answer_bytes: u32,
    /// What a relative `Location` of an answer is relative to; `None`: to what the client asked for.
    pub location_base: Option<String>,
    /// What is answered where the service gives no answer; `None`: the request goes on.
    pub on_failure: Option<u16>,
}

impl<S: Stage> Authorize<S> {
    /// A question to this group, with what counts where nothing is said.
    pub fn new(group: S::Group) -> Self {
        Self {
            group,
            target: Template::text("/"),
            keep_method: false,
            request_headers: None,
            headers: Vec::new(),
            trust: Trust::Proxies,
            body_bytes: None,
            copy_headers: Vec::new(),
            copy_matching: None,
            copy_cookies: Vec::new(),
            answer_bytes: ANSWER_BYTES,
            location_base: None,
            on_failure: Some(ON_FAILURE),
        }
    }

    /// The same in another stage.
    pub(crate) fn convert<C: Convert<Before = S>>(
        &self,
        to: &mut C,
    ) -> Outcome<C, Authorize<C::After>> {
        let group = to.group(&self.group);
        let target = template(to, &self.target);
        let headers = headers(to, &self.headers);
        let pattern = self.copy_matching.as_ref();
        let pattern = pattern.map(|it| to.name_pattern(it)).transpose();
        Ok(Authorize {
            group: group?,
            target: target?,
            keep_method: self.keep_method,
            request_headers: self.request_headers.clone(),
            headers: headers?,
            trust: self.trust,
            body_bytes: self.body_bytes,
            copy_headers: self.copy_headers.clone(),
            copy_matching: pattern?,
            copy_cookies: self.copy_cookies.clone(),
            answer_bytes: self.answer_bytes,
            location_base: self.location_base.clone(),
            on_failure: self.on_failure,
        })
    }
}
