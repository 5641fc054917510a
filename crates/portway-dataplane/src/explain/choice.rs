//! Which target of a group takes it, and why the others do not.

use crate::connection::Connection;
use crate::group::Generation;
use crate::live::Health;
use crate::reserve::{self, Ask, Asked};
use portway_core::balance::{Key, Tier, Tried};
use portway_model::snapshot::GroupId;

/// A group's targets and the one that is taken.
#[derive(Debug)]
pub struct Choice {
    /// The group.
    pub group: GroupId,
    /// All of its targets, in the order of the configuration.
    pub targets: Vec<TargetView>,
    /// Among whom is chosen; `None`: none may take traffic.
    pub tier: Option<Tier>,
    /// Only targets of the own zone are.
    pub near_only: bool,
    /// What names a target before the algorithm is asked.
    pub bound: Option<Bound>,
    /// The request has what the algorithm hashes.
    pub is_keyed: bool,
    /// What comes of it.
    pub chosen: Chosen,
}

/// What names the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// A rule.
    Rule,
    /// The group's cookie.
    Cookie,
    /// An entry of a stick table.
    Table,
}

/// Who takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chosen {
    /// The target at this place.
    Target(usize),
    /// It waits for room: at the target at this place, or at any.
    Waits(Option<usize>),
    /// Nobody has room, nor is there room to wait for it.
    QueueFull,
    /// Nobody may take it.
    Nobody,
}

/// One target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TargetView {
    /// Its health.
    pub health: Health,
    /// How it stands in the choice.
    pub standing: Standing,
    /// Its weight, in sixteenths.
    pub weight: u32,
    /// What it serves now.
    pub in_flight: u32,
    /// What it may serve at most and now; 0: no limit.
    pub most: u32,
    /// Where its group serves as much as it may: how much, and how much may be.
    pub group_full: Option<(u32, u32)>,
}

/// How a target stands in the choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It may be taken.
    In,
    /// It has as much to do as it may have.
    Full,
    /// Its health says no.
    Down,
    /// It has no weight.
    Weightless,
    /// It is a backup, and is not needed, or not its turn.
    Backup,
    /// It is up, but others are asked.
    Aside,
}

/// Chooses, as an exchange would that has this key and is bound to a target so.
pub(super) fn choose(
    connection: &Connection,
    group: GroupId,
    key: Key,
    bound: Option<(usize, Bound)>,
) -> Choice {
    let generation = &connection.generation;
    let (targets, (tier, near_only)) = targets(generation, group);
    let ask = Ask {
        group,
        key,
        bound: bound.map(|it| it.0),
        forced: false,
        priority: None,
    };
    let chosen = match reserve::at_once(connection, ask, &mut Tried::default()) {
        Ok(Asked::Reserved(reserved)) => Chosen::Target(reserved.target),
        Ok(Asked::Waits(..)) => Chosen::Waits(ask.bound),
        Err(fault) if fault == crate::fault::Fault::queue_full() => Chosen::QueueFull,
        Err(_) => Chosen::Nobody,
    };
    Choice {
        group,
        targets,
        tier,
        near_only,
        bound: bound.map(|it| it.1),
        is_keyed: key != Key::None,
        chosen,
    }
}

/// The targets of a group as they stand before the choice.
fn targets(generation: &Generation, id: GroupId) -> (Vec<TargetView>, (Option<Tier>, bool)) {
    let Some((group, parts, run)) = generation.group(id) else {
        return (Vec::new(), (None, false));
    };
    let members = run.members(parts);
    let view =
        |(index, (target, state)): (usize, (&_, &std::sync::Arc<crate::live::TargetState>))| {
            let target: &portway_model::snapshot::Target = target;
            let health = state.health();
            let weight = state.weight(target.weight.into());
            let is_member = members.all.iter().any(|it| it.index == index);
            let standing = match () {
                () if is_member && parts.is_full(index) => Standing::Full,
                () if is_member => Standing::In,
                () if !health.is_usable() => Standing::Down,
                () if weight == 0 => Standing::Weightless,
                () if target.backup => Standing::Backup,
                () => Standing::Aside,
            };
            TargetView {
                health,
                standing,
                weight,
                in_flight: state.in_flight(),
                most: parts.limit_of(index),
                group_full: parts.is_group_full(),
            }
        };
    let all = group.targets.iter().zip(parts.targets.iter()).enumerate();
    (all.map(view).collect(), (members.tier, members.near_only))
}
