//! The page of statistics as rules.

use super::Lowering;
use super::rules::{both, rule, test};
use crate::haproxy::proxy::{Proxy, STATS_URI, StatsSettings, StatsStep};
use portway_model::action::{Action, FixedResponse, Phase, Rule, STATS_REALM, Service, StatsPage};
use portway_model::draft::{UserDraft, UserlistDraft};
use portway_model::expression::{Condition, Matcher, TextMatch, Value};
use portway_model::name::Name;
use portway_model::settings::Password;
use portway_model::span::Spanned;
use portway_model::stage::Named;

impl Lowering<'_, '_, '_> {
    /// What answers for the page of a proxy; nothing where it has none.
    pub(super) fn stats(&mut self, proxy: &Proxy) -> Vec<Rule<Named>> {
        let Some(stats) = &proxy.stats else {
            return Vec::new();
        };
        let uri = stats
            .uri
            .as_ref()
            .map_or(STATS_URI, |uri| uri.value.as_str());
        let here = || {
            let begins = Matcher::Text {
                how: TextMatch::Prefix,
                any_of: vec![uri.to_owned()],
                ignore_case: false,
            };
            test(Value::Target, begins, stats.span)
        };
        let page = || Action::Service(Service::Stats(Box::new(page(stats, proxy, uri))));
        let mut rules = Vec::new();
        for (step, condition, span) in &stats.rules {
            let action = match step {
                StatsStep::Allow => page(),
                StatsStep::Deny => Action::Deny(FixedResponse::error(403)),
                StatsStep::Auth(realm) => Action::Authenticate {
                    users: None,
                    realm: realm.clone().unwrap_or_else(|| realm_of(stats)),
                },
            };
            rules.push(rule(
                Phase::Request,
                both(here(), condition.clone()),
                vec![action],
                *span,
            ));
        }
        let answered = stats.rules.iter().any(
            |(_, condition, _)| matches!(condition, Condition::All(parts) if parts.is_empty()),
        );
        if !answered {
            rules.push(rule(Phase::Request, here(), vec![page()], stats.span));
        }
        self.users(stats, proxy);
        rules
    }

    /// The users of `stats auth` as a list of their own.
    fn users(&mut self, stats: &StatsSettings, proxy: &Proxy) {
        let name = users_of(proxy);
        let known = self
            .reader
            .userlists
            .iter()
            .any(|list| list.name.value == name);
        if stats.users.is_empty() || known {
            return;
        }
        let users = stats.users.iter().map(|(name, password)| UserDraft {
            name: name.clone(),
            password: password.clone().map(Password::Plain),
            groups: Vec::new(),
        });
        self.reader.userlists.push(UserlistDraft {
            name: Spanned::new(name, stats.span),
            users: users.collect(),
        });
    }
}

fn users_of(proxy: &Proxy) -> Name {
    Name::from(format!("stats of {}", proxy.name.value))
}

fn realm_of(stats: &StatsSettings) -> String {
    stats
        .realm
        .clone()
        .unwrap_or_else(|| STATS_REALM.to_owned())
}

fn page(stats: &StatsSettings, proxy: &Proxy, uri: &str) -> StatsPage<Named> {
    let scope = stats.scope.iter().map(|name| match name.value.as_str() {
        "." => Name::from(proxy.name.value.as_str()),
        other => Name::from(other),
    });
    StatsPage {
        uri_prefix: Some(uri.to_owned()),
        refresh: stats.refresh.filter(|time| !time.is_zero()),
        users: (!stats.users.is_empty()).then(|| Spanned::new(users_of(proxy), stats.span)),
        realm: realm_of(stats),
        admin: stats.admin.clone(),
        scope: scope.collect(),
        node: stats.node.clone(),
        description: stats.description.clone(),
        show_legends: stats.show_legends,
        show_modules: stats.show_modules,
        hide_version: stats.hide_version,
    }
}
