//! Groups as they are now, for exchanges that came to them before.
//!
//! An exchange keeps the generation that it began with, but who waits in a queue is served by the targets of now. So an older
//! generation gets the group once more, under an id behind those of its own: with the rules and settings that the
//! exchange came with, whose ids are places in the older plane, and with the targets, pools and counters of now.

use crate::group::{Generation, GroupRun};
use crate::live::TargetState;
use crate::plane::GroupParts;
use portway_model::snapshot::{GroupId, TargetGroup};
use portway_telemetry::metrics::Shard;
use std::cell::OnceCell;
use std::rc::Rc;
use std::sync::Arc;

/// The groups that a generation has got later: a list that only grows, so that what it holds may be borrowed.
#[derive(Default)]
pub(crate) struct Later(OnceCell<Box<LaterGroup>>);

/// One of them.
pub(crate) struct LaterGroup {
    /// What it was in the generation that has got it.
    here: GroupId,
    /// The number of the plane that its targets are from, and what it is there.
    pub(crate) there: (u32, GroupId),
    pub(crate) group: TargetGroup,
    pub(crate) parts: Arc<GroupParts>,
    pub(crate) run: Rc<GroupRun>,
    /// The counters of the generation that its targets are from.
    pub(crate) shard: Arc<Shard>,
    next: Later,
}

impl Later {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &LaterGroup> {
        let first = self.0.get();
        std::iter::successors(first, |it| it.next.0.get()).map(Box::as_ref)
    }

    fn push(&self, group: LaterGroup) {
        let mut at = &self.0;
        while let Some(it) = at.get() {
            at = &it.next.0;
        }
        // It is empty: the list belongs to one thread.
        let _ = at.set(Box::new(group));
    }
}

impl Generation {
    /// The group that an exchange came to, where its id may be that of a later one.
    pub(crate) fn came_to(&self, id: GroupId) -> GroupId {
        self.later_group(id).map_or(id, |it| it.here)
    }

    /// A group that came later, by its id.
    #[cold]
    pub(crate) fn later_group(&self, id: GroupId) -> Option<&LaterGroup> {
        let nth = id.index().checked_sub(self.plane.groups.len())?;
        self.later().iter().nth(nth)
    }

    /// Gets the targets that a group has in the generation `next`, where that has it and they are others. The id of the
    /// group with them.
    pub(crate) fn follow(&self, id: GroupId, next: &Generation) -> Option<GroupId> {
        let here = self.came_to(id);
        let (group, parts, _) = self.group(here)?;
        let is_it = |it: &Arc<GroupParts>| Arc::ptr_eq(&it.state, &parts.state);
        let at = next.plane.groups.iter().position(is_it)?;
        let there = GroupId(u32::try_from(at).ok()?);
        let (now, new, run) = next.group_with_run(there)?;
        let same = |parts: &GroupParts| {
            let known = parts.targets.iter().map(Arc::as_ptr);
            known.eq(new.targets.iter().map(Arc::as_ptr))
        };
        let last = self.later().iter().filter(|it| it.here == here).last();
        match last {
            None if same(parts) => return Some(here),
            Some(last) if same(&last.parts) => {
                let known = self.later().iter().position(|it| std::ptr::eq(it, last))?;
                return self.later_id(known);
            }
            _ => {}
        }
        let known = self.later().iter().count();
        self.later().push(LaterGroup {
            here,
            there: (next.plane.number, there),
            group: TargetGroup {
                targets: now.targets.clone(),
                tls: now.tls.clone(),
                protocol: now.protocol,
                send_proxy: now.send_proxy.clone(),
                ..group.clone()
            },
            parts: Arc::clone(new),
            run: Rc::clone(run),
            shard: Arc::clone(&next.shard),
            next: Later::default(),
        });
        self.later_id(known)
    }

    /// Where a target is that the group may have got later.
    pub(crate) fn place_of(&self, id: GroupId, target: &TargetState) -> Option<(GroupId, usize)> {
        let here = self.came_to(id);
        let within = |parts: &GroupParts| {
            let mut targets = parts.targets.iter();
            targets.position(|it| std::ptr::eq(&raw const **it, target))
        };
        let (_, parts, _) = self.group(here)?;
        if let Some(index) = within(parts) {
            return Some((here, index));
        }
        let mut later = self.later().iter().zip(0..);
        later.find_map(|(it, nth)| {
            let index = within(&it.parts).filter(|_| it.here == here)?;
            Some((self.later_id(nth)?, index))
        })
    }

    fn later_id(&self, nth: usize) -> Option<GroupId> {
        let index = self.plane.groups.len().checked_add(nth)?;
        Some(GroupId(u32::try_from(index).ok()?))
    }
}
