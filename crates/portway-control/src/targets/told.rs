//! What holds of a target in place of what the configuration says, in words: who reads the status finds there why it gets no traffic.

use portway_core::health::Reason;
use portway_dataplane::live::WHOLE_SHARE;

use super::{Known, WatchedTarget, literal};

impl WatchedTarget {
    /// Why its state is what it is.
    pub(super) fn why(&self, known: &Known) -> String {
        let by = self.by();
        match known.machine.reason() {
            Reason::NotInUse if known.follows_into_rest => {
                "the target that it follows is in maintenance".to_owned()
            }
            Reason::Removed if known.follows_into_rest => {
                "the target that it follows drains".to_owned()
            }
            Reason::NotInUse if self.target.disabled => "disabled by the configuration".to_owned(),
            Reason::NotInUse if self.is_added => "added by command, in maintenance".to_owned(),
            Reason::NotInUse => format!("in maintenance {by}"),
            Reason::Removed => format!("told to drain {by}"),
            reason => reason.to_string(),
        }
    }

    /// A command has taken it out of service: neither the configuration nor a target that it follows has.
    pub(crate) fn is_out_by_command(&self) -> bool {
        let known = self.known();
        let rests = matches!(known.machine.reason(), Reason::NotInUse);
        rests && !known.follows_into_rest && !self.target.disabled && !self.is_added
    }

    /// Weight and address where they are others than the configuration says.
    pub(crate) fn told_otherwise(&self) -> Vec<String> {
        let mut told = Vec::new();
        let (weight, configured) = (self.whole_weight(), u32::from(self.target.weight));
        if weight != configured {
            let by = self.by();
            told.push(format!("weight {weight} {by}, configured {configured}"));
        }
        if let Some(left) = self.rises_for() {
            let percent = self.state.share() * 100 / WHOLE_SHARE;
            let left = left.as_secs() + 1;
            told.push(format!(
                "slow start: {percent} % of its weight, {left} s to go"
            ));
        }
        // What has no name has another address only where somebody said so.
        let literal = literal(&self.target.address);
        if let Some((address, literal)) = self.state.address().zip(literal)
            && address != literal
        {
            told.push(format!("address {address} by command"));
        }
        told
    }

    /// Who may have said something else than the configuration.
    fn by(&self) -> &'static str {
        match self.target.agent.is_some() {
            true => "by command or its agent",
            false => "by command",
        }
    }
}
