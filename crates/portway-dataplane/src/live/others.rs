//! Addresses of a target beside the one in use: all that its name has, where any of them may be connected to.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::TargetState;

/// The addresses of a name; none where there is one alone.
#[derive(Debug, Default)]
pub(super) struct Others {
    any: AtomicBool,
    all: RwLock<Arc<[SocketAddr]>>,
}

impl TargetState {
    /// Control says which addresses its name has, in the order in which they are to be tried.
    pub fn set_others(&self, all: &[SocketAddr]) {
        let all = if all.len() > 1 { all } else { &[] };
        let others = &self.others;
        let mut known = others.all.write().unwrap_or_else(PoisonError::into_inner);
        if **known != *all {
            *known = all.into();
            others.any.store(!all.is_empty(), Ordering::Relaxed);
        }
    }

    /// The addresses to try, beginning with this one; `None` where there is no other.
    pub fn ways_from(&self, first: SocketAddr) -> Option<Vec<SocketAddr>> {
        if !self.others.any.load(Ordering::Relaxed) {
            return None;
        }
        let all = self
            .others
            .all
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let others = all.iter().copied().filter(|it| *it != first);
        Some(std::iter::once(first).chain(others).collect())
    }

    /// `to` has answered, and `from` has not: it is connected to from now on, unless control has said something else.
    pub fn moves(&self, from: SocketAddr, to: SocketAddr) {
        if from != to {
            let mut address = self.address.write().unwrap_or_else(PoisonError::into_inner);
            if *address == Some(from) {
                *address = Some(to);
            }
        }
    }
}
