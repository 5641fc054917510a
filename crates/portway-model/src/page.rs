//! Pages that another target group has for answers with certain statuses.

use crate::action::Weighted;
use crate::convert::{Convert, Outcome, each, template, weighted};
use crate::expression::{NumberRange, Template};
use crate::stage::Stage;

/// Statuses whose responses have no content (RFC 9110 §15.3.5, §15.3.6, §15.4.5).
pub const fn has_no_content(status: u16) -> bool {
    matches!(status, 204 | 205 | 304)
}

/// In place of an answer with one of these statuses, whoever gave it, a page is asked for elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub struct PageFrom<S: Stage> {
    /// The statuses.
    pub status: Vec<NumberRange>,
    /// Who has the page.
    pub forward: Vec<Weighted<S>>,
    /// Path and query of the page; values see the status of the answer. `None`: the request itself is made again, where it
    /// has no body, and the client is told what comes of that.
    pub target: Option<Template<S>>,
    /// The headers of the request that a page is asked for with, Host beside them; `None`: all.
    pub headers: Option<Vec<String>>,
    /// The status that the client is told with a page; `None`: that of the answer.
    pub answer_as: Option<u16>,
}

impl<S: Stage> PageFrom<S> {
    /// The same in another stage.
    pub(crate) fn convert<C: Convert<Before = S>>(
        to: &mut C,
        from: &Self,
    ) -> Outcome<C, PageFrom<C::After>> {
        let forward = each(to, &from.forward, weighted);
        let target = from.target.as_ref();
        let target = target.map(|it| template(to, it)).transpose();
        Ok(PageFrom {
            status: from.status.clone(),
            forward: forward?,
            target: target?,
            headers: from.headers.clone(),
            answer_as: from.answer_as,
        })
    }
}
