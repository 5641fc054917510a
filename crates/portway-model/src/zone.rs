//! Zones: the one that the process is in, and the targets that are in it too.

use crate::draft::ProcessDraft;
use crate::snapshot::Snapshot;
use crate::span::Spanned;
use std::sync::Arc;

impl ProcessDraft {
    /// True where the process says that it is in this zone.
    pub(crate) fn zone_is(&self, zone: Option<&Spanned<String>>) -> bool {
        let own = self.zone.as_ref().map(|it| &it.value);
        own.is_some() && own == zone.map(|it| &it.value)
    }
}

impl Snapshot {
    /// The process is in this zone, unless its configuration says another one.
    pub fn enter_zone(&mut self, zone: &str) {
        if self.process.zone.is_some() {
            return;
        }
        self.process.zone = Some(zone.to_owned());
        for group in &mut self.groups {
            if group
                .targets
                .iter()
                .any(|it| it.zone.as_deref() == Some(zone))
            {
                for target in &mut Arc::make_mut(group).targets {
                    target.near = target.zone.as_deref() == Some(zone);
                }
            }
        }
    }
}
