//! Keeps clients with targets by entries of stick tables: whose target serves, and which entries are to remember whoever
//! serves. The rules that say so are [`Action::Stick`](portway_model::action::Action::Stick).

use crate::group::Generation;
use crate::policy::Side;
use crate::track;
use portway_core::evaluate::Fetched;
use portway_core::stick::{Key, Table};
use portway_model::choice::StickTo;
use portway_model::settings::TargetKey;
use portway_model::snapshot::{GroupId, StickTableId};
use std::net::SocketAddr;
use std::sync::Arc;

/// Entries that remember the target of one exchange or connection, HAProxy's.
const STICK_ENTRIES: usize = 8;

/// What rules said of one exchange or connection; mostly nothing.
#[derive(Debug, Default)]
pub(crate) struct Sticks {
    /// The target that an entry remembers.
    pub(crate) target: Option<usize>,
    entries: Vec<Waiting>,
}

/// An entry that is to remember whoever serves.
#[derive(Debug)]
struct Waiting {
    id: StickTableId,
    table: Arc<Table>,
    key: Key,
    side: Side,
    /// It does already.
    remembers: bool,
}

/// One rule.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StickRule {
    pub(crate) to: StickTo,
    pub(crate) table: StickTableId,
    pub(crate) side: Side,
}

impl Sticks {
    /// False where a rule before this one has found a key for the same table: then this one is not followed.
    pub(crate) fn asks(&self, rule: StickRule) -> bool {
        let mut entries = self.entries.iter();
        !entries.any(|entry| (entry.id, entry.side) == (rule.table, rule.side))
    }

    /// Follows a rule with this key. `keeps`: a target that is down serves too.
    pub(crate) fn follow(
        &mut self,
        rule: StickRule,
        key: &Fetched<'_>,
        (generation, group): (&Generation, GroupId),
        keeps: bool,
    ) {
        let Some(table) = generation.plane.tables.get(rule.table.index()) else {
            return;
        };
        let Some(key) = Key::of(key, table.key_type()) else {
            return;
        };
        if rule.to != StickTo::Store {
            let now = track::now();
            if let Some(entry) = table.get(&key, now) {
                if self.target.is_none() {
                    let target = table.remembered(&entry);
                    let by = table.target_key();
                    self.target = generation.target_remembered(group, &target, by, keeps);
                }
                table.touch(&entry, now);
            }
        }
        if rule.to != StickTo::Match && self.entries.len() < STICK_ENTRIES {
            self.entries.push(Waiting {
                id: rule.table,
                table: Arc::clone(table),
                key,
                side: rule.side,
                remembers: false,
            });
        }
    }

    /// The target that served does not: whatever remembers it is to remember the next, as far as rules on the request said so.
    pub(crate) fn forget_response(&mut self) {
        self.entries.retain(|it| it.side == Side::Request);
        self.entries.iter_mut().for_each(|it| it.remembers = false);
    }

    /// This target serves: whatever is to remember it does.
    pub(crate) fn remember(&mut self, generation: &Generation, group: GroupId, target: usize) {
        if self.entries.is_empty() {
            return;
        }
        let Some((group, parts, _)) = generation.group(group) else {
            return;
        };
        let (Some(configured), Some(number)) =
            (group.targets.get(target), parts.numbers.get(target))
        else {
            return;
        };
        let address = || parts.targets.get(target)?.address();
        let now = track::now();
        for waiting in &mut self.entries {
            if std::mem::replace(&mut waiting.remembers, true) || !configured.stick {
                continue;
            }
            let Some(entry) = waiting.table.get_or_make(&waiting.key, now) else {
                continue;
            };
            let address = match waiting.table.target_key() {
                TargetKey::Name => None,
                TargetKey::Address => address().map(|address: SocketAddr| address.to_string()),
            };
            let known_by = match waiting.table.target_key() {
                TargetKey::Name => Some(configured.name.as_str()),
                TargetKey::Address => address.as_deref(),
            };
            let number = u64::from(*number);
            waiting.table.remember(&entry, number, known_by, now);
        }
    }
}
