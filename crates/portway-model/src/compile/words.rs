//! Actions in messages.

use crate::action::Action;
use crate::limit::Limit;
use crate::stage::Stage;

/// An action in messages.
pub(super) fn action_word<S: Stage>(action: &Action<S>) -> &'static str {
    match action {
        Action::Forward(_) | Action::ForwardByHash { .. } | Action::ForwardByName { .. } => {
            "forwarding"
        }
        Action::Redirect { .. } => "a redirect",
        Action::Respond(_) => "an answer",
        Action::Deny(_) => "denying",
        Action::WaitForBody { .. } => "waiting for the body",
        Action::Authenticate { .. } | Action::DigestAuth(_) | Action::Authorize(_) => {
            "asking for authorization"
        }
        Action::Jwt(_) => "asking for a token",
        Action::Accept => "accepting",
        Action::ExpectProxy(_) => "expecting the PROXY protocol",
        Action::Reject { .. } => "closing the connection",
        Action::Tarpit { .. } => "a tarpit",
        Action::Service(_) => "a service of Portway",
        Action::SetHeader { .. } => "setting a header",
        Action::AddHeader { .. } => "adding a header",
        Action::RemoveHeader { .. } => "removing a header",
        Action::RemoveHeaders(_) => "removing headers",
        Action::ReplaceHeader { .. } => "rewriting a header",
        Action::SetPath(_)
        | Action::ReplacePath { .. }
        | Action::StripPrefix(_)
        | Action::AddPrefix(_) => "changing the path",
        Action::SetQuery(_) | Action::SetArgument { .. } | Action::RemoveArgument(_) => {
            "changing the query"
        }
        Action::SetTarget(_) | Action::ReplaceTarget { .. } => "changing path and query",
        Action::SetUrl(_) | Action::ReplaceUrl { .. } => "changing the request target",
        Action::Normalize(_) => "normalizing path and query",
        Action::SetEnd { .. } => "changing an address or a port",
        Action::SetMethod(_) => "changing the method",
        Action::SetStatus { .. } => "changing the status",
        Action::SetVariable { .. } | Action::UnsetVariable(_) => "setting a variable",
        Action::PutEntry { .. } | Action::RemoveEntry { .. } => "changing a map",
        Action::Track { .. } => "tracking",
        Action::Increment { .. } => "raising a counter",
        Action::SetMark { .. } => "setting a mark",
        Action::Capture { .. } => "a capture",
        Action::SetTimeout { .. } => "changing a timeout",
        Action::SetPriority { .. } => "a priority",
        Action::Limit(Limit::Body { .. }) => "a limit of bodies",
        Action::Limit(Limit::Circuit(_)) => "a circuit breaker",
        Action::Limit(_) => "a limit",
        Action::Mirror(_) => "mirroring",
        Action::TraceContext(_) => "a trace",
        Action::Compress(_) => "compressing",
        Action::Cors(_) => "CORS",
        Action::SecurityHeaders(_) => "headers of security",
        Action::PageFrom(_) => "a page from elsewhere",
        Action::HandOver(_) => "handing over to another listener",
        Action::DisableL7Retry => "turning retries off",
        Action::SetLog(_) => "turning the log on or off",
        Action::SetStickiness(_) => "a word on stickiness",
        Action::UseTarget(_) => "the choice of a target",
        Action::Stick { .. } => "keeping by a stick table",
    }
}
