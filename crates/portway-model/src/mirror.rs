//! Mirroring: a copy of a share of requests goes to another group, whose answers nobody waits for.

use crate::convert::{Convert, Outcome};
use crate::stage::Stage;

/// Bytes of a body that go along where nothing is said.
pub const BODY_BYTES: u32 = 32 * 1024;

/// A copy of a share of requests, as they are sent to their own target, goes to another group. Its answer is read and thrown
/// away; what goes wrong there is nothing to the request.
#[derive(Debug, Clone, PartialEq)]
pub struct Mirror<S: Stage> {
    /// Where copies go.
    pub group: S::Group,
    /// Of a hundred requests so many.
    pub percent: u8,
    /// Bodies go along up to so many bytes; a request with a longer one is not copied. `None`: copies have no bodies.
    pub body_bytes: Option<u32>,
}

impl<S: Stage> Mirror<S> {
    /// A copy of every request for this group.
    pub fn new(group: S::Group) -> Self {
        Self {
            group,
            percent: 100,
            body_bytes: Some(BODY_BYTES),
        }
    }

    /// The same in another stage.
    pub(crate) fn convert<C: Convert<Before = S>>(
        &self,
        to: &mut C,
    ) -> Outcome<C, Mirror<C::After>> {
        Ok(Mirror {
            group: to.group(&self.group)?,
            percent: self.percent,
            body_bytes: self.body_bytes,
        })
    }
}
