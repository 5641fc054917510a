//! `option forwardfor` and `option originalto`: headers that are written last, by whatever leads to a backend.

use super::Lowering;
use super::rules::{always, both, rule, test};
use crate::haproxy::proxy::{ClientHeader, List, Mode, Proxy, Step};
use portway_model::action::{Action, Phase, Rule};
use portway_model::address::BindAddress;
use portway_model::expression::{Condition, Matcher, Template, TemplatePart, TextMatch, Value};
use portway_model::span::{Span, Spanned};
use portway_model::stage::Named;

/// Which of the two headers.
#[derive(Clone, Copy)]
enum Which {
    For,
    To,
}

impl Which {
    fn of(self, proxy: &Proxy) -> Option<&Spanned<ClientHeader>> {
        match self {
            Which::For => proxy.forwardfor.as_ref(),
            Which::To => proxy.originalto.as_ref(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Which::For => "X-Forwarded-For",
            Which::To => "X-Original-To",
        }
    }

    fn value(self) -> Value<Named> {
        match self {
            Which::For => Value::Source,
            Which::To => Value::Destination,
        }
    }
}

impl Lowering<'_, '_, '_> {
    /// The rules at the end of a backend's.
    pub(super) fn client_headers(&self, backend: &Proxy) -> Vec<Rule<Named>> {
        let mut rules = Vec::new();
        for which in [Which::For, Which::To] {
            self.client_header(which, backend, &mut rules);
        }
        rules
    }

    fn client_header(&self, which: Which, backend: &Proxy, rules: &mut Vec<Rule<Named>>) {
        let fronts: Vec<&Proxy> = self
            .proxies
            .iter()
            .filter(|front| leads_to(front, backend))
            .collect();
        let made: Vec<Option<Header>> = fronts
            .iter()
            .map(|front| Header::of(which, front, backend))
            .collect();
        // One rule where every frontend leads to the same header, as they do with common defaults.
        if let Some(first) = made.first() {
            if made.iter().all(|header| header == first) {
                rules.extend(first.as_ref().map(|header| header.rule(which, always())));
                return;
            }
        } else {
            let alone = Header::of(which, backend, backend);
            rules.extend(alone.map(|header| header.rule(which, always())));
            return;
        }
        for (front, header) in fronts.iter().zip(made) {
            rules
                .extend(header.map(|header| header.rule(which, from_listener(front, header.span))));
        }
    }
}

/// Whether requests of a frontend may come to a backend.
fn leads_to(front: &Proxy, backend: &Proxy) -> bool {
    if !front.kind.accepts() || front.binds.is_empty() {
        return false;
    }
    let named = |name: &Spanned<String>| name.value == backend.name.value;
    let own = front.kind.serves() && front.name.value == backend.name.value;
    own || front.default_backend.as_ref().is_some_and(named)
        || front
            .rules
            .iter()
            .any(|rule| match (&rule.step, rule.list) {
                (Step::Backend(name), List::UseBackend) => named(name),
                (Step::BackendByName(_), _) => true,
                _ => false,
            })
}

/// Holds for what came by this frontend.
pub(super) fn from_listener(front: &Proxy, span: Span) -> Condition<Named> {
    let matcher = Matcher::Text {
        how: TextMatch::Exact,
        any_of: vec![front.name.value.clone()],
        ignore_case: false,
    };
    test(Value::ListenerName, matcher, span)
}

/// What both sides together say.
#[derive(PartialEq)]
struct Header {
    name: String,
    except: Vec<ipnet::IpNet>,
    if_none: bool,
    /// Some clients come on UNIX sockets and have no address.
    unix: bool,
    span: Span,
}

impl Header {
    fn of(which: Which, front: &Proxy, backend: &Proxy) -> Option<Self> {
        let of_front = which.of(front).filter(|_| front.mode() == Mode::Http);
        let of_backend = which.of(backend);
        let said = [of_front, of_backend];
        let said: Vec<&Spanned<ClientHeader>> = said.into_iter().flatten().collect();
        let last = said.last()?;
        // An option of the backend has a name too, whether it is written or not.
        let name = last.value.name.clone();
        let mut except: Vec<ipnet::IpNet> = said
            .iter()
            .filter_map(|header| header.value.except)
            .collect();
        except.dedup();
        Some(Header {
            name: name.unwrap_or_else(|| which.name().to_owned()),
            except,
            if_none: said.iter().all(|header| header.value.if_none),
            unix: front
                .binds
                .iter()
                .flat_map(|bind| &bind.addresses)
                .any(|address| matches!(address.value, BindAddress::Unix(_))),
            span: last.span,
        })
    }

    fn rule(&self, which: Which, mut condition: Condition<Named>) -> Rule<Named> {
        if !self.except.is_empty() {
            let within = Matcher::Address {
                any_of: self.except.clone(),
            };
            let excepted = test(which.value(), within, self.span);
            condition = both(condition, Condition::Not(Box::new(excepted)));
        }
        if self.unix {
            let there = test(which.value(), Matcher::Present, self.span);
            condition = both(condition, there);
        }
        if self.if_none {
            let there = test(
                Value::Header(self.name.clone()),
                Matcher::Present,
                self.span,
            );
            condition = both(condition, Condition::Not(Box::new(there)));
        }
        let address = TemplatePart::Expression(Spanned::new(which.value().into(), self.span));
        let action = Action::AddHeader {
            name: self.name.clone(),
            value: Template(vec![address]),
        };
        rule(Phase::Request, condition, vec![action], self.span)
    }
}
