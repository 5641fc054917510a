//! What the form of HAProxy's page does to a server.

use portway_control::figures::Statistics;
use portway_control::operations::TargetOrder;
use portway_control::targets::WatchedTarget;
use portway_core::agent::AgentState;
use portway_core::health::HealthState;

/// An action of the form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// An order that is always carried out.
    Order(TargetOrder),
    /// A word of older versions: an order, where the server is not in this state.
    Unless(HealthState, TargetOrder),
    /// A word of older versions: into service, where the server is in this state.
    ReadyFrom(HealthState),
    /// Checks are left out, or not any more.
    Checks { rest: bool },
    /// The agent is not asked, or asked again.
    Agent { rests: bool },
    /// What the agent would say.
    AgentSays(AgentState),
    /// Its sessions are cut off.
    CutOff,
}

/// What became of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carried {
    /// It is done.
    Out,
    /// HAProxy does not count it: the server is so already, or has nothing of the kind.
    NoNeed,
}

impl Action {
    /// The action of its word.
    pub(super) fn of(word: &str) -> Option<Self> {
        Some(match word {
            "ready" => Action::Order(TargetOrder::Ready),
            "drain" => Action::Order(TargetOrder::Drain),
            "maint" => Action::Order(TargetOrder::Maintain),
            "hrunn" => Action::Order(TargetOrder::Up),
            "hnolb" => Action::Order(TargetOrder::Drain),
            "hdown" => Action::Order(TargetOrder::Down),
            "dhlth" => Action::Checks { rest: true },
            "ehlth" => Action::Checks { rest: false },
            "dagent" => Action::Agent { rests: true },
            "eagent" => Action::Agent { rests: false },
            "arunn" => Action::AgentSays(AgentState::Up),
            "adown" => Action::AgentSays(AgentState::Down),
            "shutdown" => Action::CutOff,
            "disable" => Action::Unless(HealthState::Unused, TargetOrder::Maintain),
            "enable" => Action::ReadyFrom(HealthState::Unused),
            "stop" => Action::Unless(HealthState::Draining, TargetOrder::Drain),
            "start" => Action::ReadyFrom(HealthState::Draining),
            _ => return None,
        })
    }

    /// Carries it out.
    pub(super) fn carry_out(self, statistics: &Statistics, target: &WatchedTarget) -> Carried {
        match self {
            Action::Order(order) => target.order(order),
            Action::Unless(state, order) if target.state_now() != state => target.order(order),
            Action::ReadyFrom(state) if target.state_now() == state => {
                target.order(TargetOrder::Ready);
            }
            Action::Checks { rest } if target.is_checked() => target.rest(rest),
            Action::Agent { rests } if target.target.agent.is_some() => target.rest_agent(rests),
            Action::AgentSays(state) if target.agent_is_asked() => target.agent_told(state),
            Action::CutOff => statistics.cut_off(target),
            Action::Unless(..)
            | Action::ReadyFrom(_)
            | Action::Checks { .. }
            | Action::Agent { .. }
            | Action::AgentSays(_) => return Carried::NoNeed,
        }
        Carried::Out
    }
}
