//! Small builders of drafts; every value gets a numbered place.

use portway_model::action::{Action, Phase, Places, Rule, Weighted};
use portway_model::address::{BindAddress, TargetAddress};
use portway_model::draft::*;
use portway_model::expression::*;
use portway_model::name::Name;
use portway_model::ocsp::OcspDraft;
use portway_model::settings::*;
use portway_model::span::{FileId, Origin, Span, Spanned};
use portway_model::stage::Named;

pub(crate) type N = Named;
pub(crate) type A = Action<Named>;

/// The place with this number.
pub(crate) fn place(number: usize) -> Span {
    Span::new(FileId(0), number..number + 1)
}

/// A value at the place with this number.
pub(crate) fn at<T>(number: usize, value: T) -> Spanned<T> {
    Spanned::new(value, place(number))
}

/// One listener at 20, on :80, that forwards at 50 to the group `web` at 10 with one target.
pub(crate) fn plain() -> Draft {
    Draft {
        listeners: vec![listener(20, "in", 80, "web")],
        groups: vec![group(10, "web")],
        ..Draft::default()
    }
}

/// A listener at a place, its address beside it.
pub(crate) fn listener(number: usize, name: &str, port: u16, group: &str) -> ListenerDraft {
    let mut listener = ListenerDraft::new(at(number, Name::from(name)));
    listener.binds = vec![at(number + 1, BindAddress::tcp(None, port))];
    listener.rules = vec![rule(50, Phase::Request, always(), vec![forward(group)])];
    listener
}

/// A group at a place, its target beside it.
pub(crate) fn group(number: usize, name: &str) -> GroupDraft {
    let mut group = GroupDraft::new(at(number, Name::from(name)));
    let address = TargetAddress::socket("10.0.0.1:8080".parse().unwrap());
    group.targets = vec![target(number + 1, address)];
    group
}

pub(crate) fn target(number: usize, address: TargetAddress) -> TargetDraft {
    TargetDraft::new(at(number, address))
}

/// The listener of a plain draft speaks tcp.
pub(crate) fn tcp(draft: &mut Draft) {
    draft.listeners[0].protocol = Some(at(22, Protocol::Tcp));
    draft.listeners[0].rules[0].phase = Phase::Connection;
}

/// The listener of a plain draft has a certificate.
pub(crate) fn https(draft: &mut Draft) {
    draft.certificates.push(certificate(40, "cert"));
    draft.listeners[0].certificates = vec![at(27, Name::from("cert"))];
}

pub(crate) fn certificate(number: usize, name: &str) -> CertificateDraft {
    CertificateDraft {
        name: at(number, Name::from(name)),
        file: Some(at(number + 1, "cert.pem".to_owned())),
        key: None,
        pem: None,
        names: Vec::new(),
        issuer: None,
        ocsp: OcspDraft::default(),
        tls: CertificateTlsDraft::default(),
    }
}

/// A table that counts requests.
pub(crate) fn table(number: usize, name: &str, key: KeyType) -> StickTableDraft {
    let requests = StoredCounter {
        counter: Counter::Requests,
        period: None,
    };
    StickTableDraft {
        when_full: None,
        target_key: None,
        name: at(number, Name::from(name)),
        key: Some(at(number + 1, key)),
        size: Some(at(number + 2, 100)),
        expire: None,
        store: vec![at(number + 3, requests)],
    }
}

/// A map from `a` to `b`.
pub(crate) fn map(number: usize, name: &str, compare: MapMatch) -> MapDraft {
    MapDraft {
        name: at(number, Name::from(name)),
        file: None,
        lines: None,
        entries: vec![(
            at(number + 1, "a".to_owned()),
            at(number + 2, "b".to_owned()),
        )],
        compare: Some(at(number + 3, compare)),
        ignore_case: None,
    }
}

pub(crate) fn users(number: usize, name: &str) -> UserlistDraft {
    UserlistDraft {
        name: at(number, Name::from(name)),
        users: Vec::new(),
    }
}

pub(crate) fn cookie() -> StickyCookie {
    StickyCookie::new("sticky")
}

pub(crate) fn http_check() -> HttpCheck<Named> {
    HttpCheck {
        method: "GET".to_owned(),
        path: "/".to_owned(),
        host: None,
        headers: Vec::new(),
        expect: vec![NumberRange { min: 200, max: 399 }],
        body: None,
    }
}

pub(crate) fn always() -> Condition<Named> {
    Condition::All(Vec::new())
}

pub(crate) fn test(
    number: usize,
    expression: Expression<Named>,
    matcher: Matcher<Named>,
) -> Condition<Named> {
    Condition::Test(at(
        number,
        Test {
            expression,
            matcher,
        },
    ))
}

pub(crate) fn rule(
    number: usize,
    phase: Phase,
    condition: Condition<Named>,
    actions: Vec<Action<Named>>,
) -> Rule<Named> {
    Rule {
        phase,
        condition,
        actions,
        origin: Origin(place(number)),
        places: Places::default(),
    }
}

/// Forwards to a group named at 51.
pub(crate) fn forward(group: &str) -> Action<Named> {
    Action::Forward(vec![Weighted::new(at(51, Name::from(group)), 1)])
}

/// The rule of the plain draft forwards to another group.
pub(crate) fn forward_to(draft: &mut Draft, group: &str) {
    draft.listeners[0].rules[0].actions = vec![forward(group)];
}

pub(crate) fn track(table: &str, key: Expression<Named>) -> Action<Named> {
    Action::Track {
        slot: 0,
        key,
        table: at(72, Name::from(table)),
    }
}
