//! What listeners ask of Portway itself, for whoever answers; and who may ask.

use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portway_core::stick::Table;
pub use portway_dialects::haproxy::COUNTER_WORDS;
pub use portway_model::expression::{Counter, StoredCounter};
pub use portway_model::settings::{ControlLevel, KeyType};
pub use portway_model::snapshot::UserlistId;
use portway_model::stage::Resolved;
use portway_telemetry::metrics::Limit;
use tokio::time::timeout;

use portway_dataplane::service::ANSWER_TIMEOUT;
pub use portway_dataplane::service::{ServiceAnswer, ServiceCall};

use crate::install::Running;
use crate::maps::MapSets;
use crate::renewal::Certificates;

/// What is asked for.
pub type Service = portway_model::action::Service<Resolved>;

/// The page of statistics.
pub type StatsPage = portway_model::action::StatsPage<Resolved>;

impl Running {
    /// Stick tables by name.
    pub fn stick_tables(&self) -> Vec<(String, Arc<Table>)> {
        let plane = &self.statistics().installed().plane;
        let names = plane.snapshot.stick_tables.iter();
        let names = names.map(|table| table.name.to_string());
        names.zip(plane.tables.iter().cloned()).collect()
    }

    /// The milliseconds that stick tables count by.
    pub fn stick_time(&self) -> u64 {
        portway_dataplane::stick_time()
    }

    /// Maps and lists that can be changed.
    pub fn maps(&self) -> Arc<MapSets> {
        self.statistics().installed().maps.clone()
    }

    /// Certificates that can be replaced.
    pub fn certificates(&self) -> Arc<Certificates> {
        self.statistics().installed().certificates.clone()
    }

    /// Whether an Authorization field (Basic) of somebody at `client` is that of a user of the list; `None`: as many passwords
    /// wait to be checked as may, or that takes too long.
    pub async fn knows_user(
        &self,
        users: UserlistId,
        authorization: Option<&[u8]>,
        client: IpAddr,
    ) -> Option<bool> {
        let Some((name, password)) = authorization.and_then(credentials) else {
            return Some(false);
        };
        let snapshot = self.snapshot();
        let list = snapshot.userlists.get(users.index());
        let user = list.and_then(|list| list.users.iter().find(|user| user.name == name));
        let Some(user) = user else {
            return Some(false);
        };
        let checked = self
            .process
            .is_password((users, user), password.as_bytes(), client);
        let right = timeout(ANSWER_TIMEOUT, checked).await.ok().flatten();
        if right.is_none() {
            let installed = self.statistics().installed();
            let counters = installed.plane.metrics.process();
            counters.limit_reached(Limit::PasswordChecks);
        }
        right
    }
}

/// Name and password of a Basic authorization, RFC 7617.
fn credentials(field: &[u8]) -> Option<(String, String)> {
    let text = std::str::from_utf8(field).ok()?.trim();
    let (scheme, token) = text.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = STANDARD.decode(token.trim()).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (name, password) = text.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_credentials() {
        let check = |field: &str, expected: Option<(&str, &str)>| {
            let found = credentials(field.as_bytes());
            let found = found
                .as_ref()
                .map(|(name, password)| (name.as_str(), password.as_str()));
            assert_eq!(found, expected, "{field}");
        };
        check("Basic dTpw", Some(("u", "p")));
        check("basic  dTpwOnE=", Some(("u", "p:q")));
        check("Bearer dTpw", None);
        check("Basic", None);
        check("Basic !!", None);
        check("Basic dXA=", None);
    }
}
