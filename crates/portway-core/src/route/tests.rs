//! The index against trying every rule, and how few rules it tries.

use super::*;
use crate::evaluate::fixture::Exchange;
use portway_model::action::{Action, Phase, Places};
use portway_model::expression::{
    Condition, Expression, Matcher, Test, TextMatch, Transform, Value,
};
use portway_model::span::{Origin, Span, Spanned};
use proptest::collection::vec;
use proptest::prelude::*;

fn rule(condition: Condition<Resolved>) -> Rule<Resolved> {
    Rule {
        phase: Phase::Request,
        condition,
        actions: vec![Action::Accept],
        origin: Origin(Span::NONE),
        places: Places::default(),
    }
}

fn text(
    value: impl Into<Expression<Resolved>>,
    how: TextMatch,
    any_of: Vec<String>,
    ignore_case: bool,
) -> Condition<Resolved> {
    Condition::Test(Spanned::bare(Test {
        expression: value.into(),
        matcher: Matcher::Text {
            how,
            any_of,
            ignore_case,
        },
    }))
}

fn host(host: &str) -> Condition<Resolved> {
    text(Value::Host, TextMatch::Exact, vec![host.into()], false)
}

fn wildcard(host: &str) -> Condition<Resolved> {
    text(Value::Host, TextMatch::Glob, vec![host.into()], false)
}

fn prefix(path: &str) -> Condition<Resolved> {
    text(Value::Path, TextMatch::Prefix, vec![path.into()], false)
}

fn header(name: &str) -> Condition<Resolved> {
    let expression = Value::Header(name.into()).into();
    let matcher = Matcher::Present;
    Condition::Test(Spanned::bare(Test {
        expression,
        matcher,
    }))
}

/// The first match, and how many rules were tried for it.
fn tried(rules: &[Rule<Resolved>], router: &Router, url: &str) -> (Option<usize>, usize) {
    let exchange = Exchange::get(url);
    let mut count = 0;
    let is_match = |rule: usize| {
        count += 1;
        holds(&rules[rule].condition, &exchange)
    };
    let found = router.search(rules.len(), 0, is_match, &exchange);
    (found, count)
}

#[track_caller]
fn check(rules: &[Rule<Resolved>], cases: &[(&str, Option<usize>, usize)]) {
    let router = Router::build(rules);
    for (url, expected, at_most) in cases {
        let (found, count) = tried(rules, &router, url);
        assert_eq!(found, *expected, "{url}");
        assert!(count <= *at_most, "{url} tried {count} rules");
    }
}

#[test]
fn ten_thousand_hosts() {
    let mut rules: Vec<_> = (0..10_000)
        .map(|n| rule(host(&format!("h{n}.example"))))
        .collect();
    rules.push(rule(Condition::All(vec![])));
    check(
        &rules,
        &[
            ("http://h0.example/", Some(0), 1),
            ("http://h9999.example/", Some(9999), 1),
            ("http://H5000.Example/x", Some(5000), 1),
            ("http://none.example/", Some(10_000), 1),
        ],
    );
}

#[test]
fn ten_thousand_wildcards_and_paths() {
    let mut rules: Vec<_> = (0..5_000)
        .map(|n| rule(wildcard(&format!("*.h{n}.example"))))
        .collect();
    rules.extend((0..5_000).map(|n| rule(prefix(&format!("/p{n}/")))));
    rules.push(rule(prefix("/")));
    check(
        &rules,
        &[
            ("http://a.h42.example/", Some(42), 2),
            ("http://a.b.h42.example/p7/x", Some(42), 3),
            ("http://h42.example/p7/x", Some(5_007), 2),
            ("http://h42.example/p7", Some(10_000), 1),
            ("http://a.a.a.a.a.a.a.a.a.a/", Some(10_000), 1),
            ("http://a/*", Some(10_000), 1),
        ],
    );
}

#[test]
fn ten_thousand_paths_of_one_host() {
    let one = |n| Condition::All(vec![host("a.example"), prefix(&format!("/p{n}/"))]);
    let either = |n| Condition::Any(vec![host(&format!("b{n}")), prefix(&format!("/q{n}/"))]);
    let mut rules: Vec<_> = (0..5_000).map(|n| rule(one(n))).collect();
    rules.extend((0..5_000).map(|n| rule(either(n))));
    check(
        &rules,
        &[
            ("http://a.example/p4999/", Some(4_999), 1),
            ("http://a.example/q4999/", Some(9_999), 1),
            ("http://b1/p1/", Some(5_001), 1),
            ("http://c/p1/", None, 0),
        ],
    );
}

#[test]
fn rules_without_a_key_keep_their_place() {
    let mut rules = vec![rule(header("x")), rule(Condition::All(vec![]))];
    rules.extend((0..100).map(|n| rule(host(&format!("h{n}")))));
    rules.insert(50, rule(header("y")));
    rules.push(rule(Condition::Not(Box::new(host("h0")))));
    let router = Router::build(&rules);
    let steps = |exchange: Exchange| {
        let mut seen = Vec::new();
        let mut from = 0;
        while let Some(found) = router.next_match(&rules, &exchange, from) {
            seen.push(found);
            from = found + 1;
        }
        seen
    };
    assert_eq!(steps(Exchange::get("http://h0/")), [1, 2]);
    assert_eq!(steps(Exchange::get("http://h99/")), [1, 102, 103]);
    let marked = Exchange::get("http://h99/").header("x", "").header("Y", "");
    assert_eq!(steps(marked), [0, 1, 50, 102, 103]);
    assert_eq!(
        router.next_match(&rules, &Exchange::get("http://h0/"), 1_000),
        None
    );
    assert_eq!(
        Router::build(&[]).first_match(&[], &Exchange::get("http://a/")),
        None
    );
}

#[test]
fn pairs_beyond_the_limit_use_one_part() {
    let all = |value, prefix: &str| {
        let texts = (0..100).map(|n| format!("{prefix}{n}")).collect();
        text(value, TextMatch::Exact, texts, false)
    };
    let many = || Condition::All(vec![all(Value::Host, "h"), all(Value::Path, "/")]);
    let rules: Vec<_> = (0..10).map(|_| rule(many())).collect();
    check(
        &rules,
        &[
            ("http://h99/99", Some(0), 1),
            ("http://h99/100", None, 10),
            ("http://h100/99", None, 10),
        ],
    );
}

#[test]
fn nothing_known_matches_rules_without_needs() {
    struct Nothing;
    impl Facts for Nothing {}
    let mut rules: Vec<_> = (0..10).map(|n| rule(host(&format!("h{n}")))).collect();
    rules.push(rule(Condition::Not(Box::new(host("a")))));
    assert_eq!(
        Router::build(&rules).first_match(&rules, &Nothing),
        Some(10)
    );
}

fn any_how() -> impl Strategy<Value = TextMatch> {
    use TextMatch::{Contains, Exact, Glob, Label, Prefix, Segment, Suffix};
    prop_oneof![
        3 => Just(Exact),
        3 => Just(Prefix),
        2 => Just(Glob),
        2 => Just(Suffix),
        1 => Just(Contains),
        1 => Just(Segment),
        1 => Just(Label),
    ]
}

fn any_test() -> impl Strategy<Value = Condition<Resolved>> {
    let hosts = vec("[aA*?]?[.]?[ab]{0,2}[.]?[ab*]?", 0..3);
    let paths = vec("(/[ab]?){0,3}[*?A]?", 0..3);
    let lower = |value| Expression {
        value,
        transforms: vec![Transform::Lower],
    };
    prop_oneof![
        4 => (any_how(), hosts.clone(), any::<bool>())
            .prop_map(|(how, any_of, ignore_case)| text(Value::Host, how, any_of, ignore_case)),
        4 => (any_how(), paths.clone(), any::<bool>())
            .prop_map(|(how, any_of, ignore_case)| text(Value::Path, how, any_of, ignore_case)),
        1 => (any_how(), paths)
            .prop_map(move |(how, any_of)| text(lower(Value::Path), how, any_of, false)),
        1 => "[xy]".prop_map(|name| header(&name)),
    ]
}

fn any_condition() -> impl Strategy<Value = Condition<Resolved>> {
    any_test().prop_recursive(3, 12, 3, |part| {
        prop_oneof![
            3 => vec(part.clone(), 0..4).prop_map(Condition::All),
            2 => vec(part.clone(), 0..4).prop_map(Condition::Any),
            1 => part.prop_map(|part| Condition::Not(Box::new(part))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn as_trying_every_rule(
        conditions in vec(any_condition(), 0..40),
        requests in vec(("[a.]?[ab]{0,2}[.]?[ab]?", "(/[abA]?){1,3}", any::<bool>()), 1..8),
    ) {
        let rules: Vec<_> = conditions.into_iter().map(rule).collect();
        let router = Router::build(&rules);
        for (host, path, marked) in requests {
            let mut exchange = Exchange::get(&format!("http://{host}{path}"));
            if marked {
                exchange = exchange.header("x", "1");
            }
            for from in 0..=rules.len() {
                let expected = (from..rules.len())
                    .find(|&rule| holds(&rules[rule].condition, &exchange));
                let found = router.next_match(&rules, &exchange, from);
                prop_assert_eq!(found, expected, "{} {} from {}", &host, &path, from);
            }
        }
    }
}
