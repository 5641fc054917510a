//! Who a user is, by Basic authorization and a list of users.
//!
//! A hash of crypt(3) takes milliseconds on purpose, during which a worker serves nobody else. So a worker remembers
//! the credentials that were right, by their digest; wrong ones are computed every time.

use portway_core::evaluate::{Facts, credentials};
use portway_core::password;
use portway_model::settings::Password;
use portway_model::snapshot::{User, Userlist, UserlistId};
use std::cell::RefCell;
use std::collections::HashSet;

/// Right credentials that a worker remembers; when there are more, it forgets all of them. 32 bytes each.
const REMEMBERED: usize = 4096;

/// The right credentials that this worker has seen.
#[derive(Debug, Default)]
pub(crate) struct Credentials {
    right: RefCell<HashSet<[u8; 32]>>,
}

impl Credentials {
    /// The user of the list whose name and password a request gives.
    pub(crate) fn user<'l, F: Facts>(
        &self,
        (id, list): (UserlistId, &'l Userlist),
        facts: &F,
    ) -> Option<&'l User> {
        let (name, given) = credentials(facts)?;
        let user = list
            .users
            .iter()
            .find(|user| user.name.as_bytes() == name)?;
        if let Password::Plain(_) = user.password {
            return password::is_right(&user.password, &given).then_some(user);
        }
        // Everything that the answer depends on: it holds for another configuration too.
        let list_id = id.0.to_be_bytes();
        let digest =
            password::fingerprint(&user.password, [&list_id, user.name.as_bytes(), &given]);
        if self.right.borrow().contains(&digest) {
            return Some(user);
        }
        if !password::is_right(&user.password, &given) {
            return None;
        }
        let mut right = self.right.borrow_mut();
        if right.len() >= REMEMBERED {
            right.clear();
        }
        right.insert(digest);
        Some(user)
    }
}
