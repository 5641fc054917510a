//! The dashboard and the alerts in `packaging/` ask for metrics that there are, by labels that these have.

#![cfg(test)]

use std::collections::BTreeSet;

use portway_telemetry::metrics::{Family, Kind, Limit};
use portway_telemetry::record::FaultCode;
use serde_json::Value;

fn packaged(file: &str) -> String {
    let path = format!("{}/../../packaging/{file}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Labels that Prometheus gives every sample.
const OF_SCRAPES: [&str; 2] = ["job", "instance"];

/// A metric in an expression: its family, and what stands in its braces.
fn metrics(expression: &str) -> Vec<(Family, &str)> {
    let starts = expression.match_indices("portway_");
    let found = starts.map(|(start, _)| {
        let rest = expression.get(start..).unwrap_or_default();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let (name, after) = rest.split_at(end.unwrap_or(rest.len()));
        let plain = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|it| name.strip_suffix(it));
        let named = |family: &&Family| match (family.kind(), plain) {
            (Kind::Histogram, Some(plain)) => family.name() == plain,
            _ => family.name() == name,
        };
        let family = Family::ALL.iter().find(named).copied();
        let family = family.unwrap_or_else(|| panic!("there is no metric {name}: {expression}"));
        let braces = after.strip_prefix('{').and_then(|it| it.split('}').next());
        (family, braces.unwrap_or_default())
    });
    found.collect()
}

/// Every label that is asked for is one of the metric's, and values of closed lists are on them.
fn check(expression: &str) -> BTreeSet<&'static str> {
    let found = metrics(expression);
    let mut labels: BTreeSet<&str> = OF_SCRAPES.into();
    for (family, braces) in &found {
        labels.extend(family.labels());
        if family.kind() == Kind::Histogram {
            labels.insert("le");
        }
        for matcher in braces.split(',').filter(|it| !it.is_empty()) {
            let (label, value) = matcher.split_once('=').expect("a matcher");
            let known = family.labels().contains(&label) || OF_SCRAPES.contains(&label);
            assert!(
                known,
                "{} has no label {label}: {expression}",
                family.name()
            );
            let values = value.trim_matches(['~', '"']).split('|');
            for value in values.filter(|it| !it.starts_with('$')) {
                let exists = match label {
                    "fault" => FaultCode::ALL.iter().any(|it| it.code() == value),
                    "limit" => Limit::ALL.iter().any(|it| it.name() == value),
                    "code" => ["1xx", "2xx", "3xx", "4xx", "5xx"].contains(&value),
                    "result" => [
                        "ok", "failed", "ended", "cut_off", "passed", "written", "dropped", "cut",
                        "evicted", "refused", "revoked",
                    ]
                    .contains(&value),
                    _ => true,
                };
                assert!(exists, "{label} is never {value}: {expression}");
            }
        }
    }
    for by in expression.split(" by (").skip(1) {
        let names = by.split(')').next().unwrap_or_default();
        for name in names.split(',').map(str::trim) {
            assert!(
                labels.contains(name),
                "nothing has the label {name}: {expression}"
            );
        }
    }
    assert!(!found.is_empty(), "no metric in {expression}");
    found.iter().map(|(family, _)| family.name()).collect()
}

/// Every text under one of these keys.
fn texts<'v>(value: &'v Value, keys: &[&str], into: &mut Vec<&'v str>) {
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                match value.as_str() {
                    Some(text) if keys.contains(&key.as_str()) => into.push(text),
                    _ => texts(value, keys, into),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| texts(item, keys, into)),
        _ => {}
    }
}

#[test]
fn the_dashboard_shows_what_there_is() {
    let dashboard: Value = serde_json::from_str(&packaged("grafana/portway.json")).expect("JSON");
    let mut expressions = Vec::new();
    texts(&dashboard, &["expr"], &mut expressions);
    assert!(expressions.len() > 30);
    let mut shown: BTreeSet<&str> = expressions.into_iter().flat_map(check).collect();
    let mut queries = Vec::new();
    texts(&dashboard, &["query"], &mut queries);
    let queries = queries
        .into_iter()
        .filter(|it| it.starts_with("label_values("));
    shown.extend(queries.flat_map(check));
    // What is new has its place, or a reason.
    let elsewhere = ["portway_workers", "portway_drains_total"];
    let all = Family::ALL.iter().map(|family| family.name());
    let missing: Vec<&str> = all
        .filter(|it| !shown.contains(it) && !elsewhere.contains(it))
        .collect();
    assert!(missing.is_empty(), "not on the dashboard: {missing:?}");
}

#[test]
fn alerts_are_about_what_there_is() {
    let text = packaged("prometheus/alerts.yml");
    let line = |key: &str| {
        let lines = text.lines().filter_map(|it| it.trim().strip_prefix(key));
        lines
            .map(|it| it.trim().trim_matches('\'').to_owned())
            .collect::<Vec<_>>()
    };
    let (names, expressions) = (line("- alert:"), line("expr:"));
    assert!(names.len() > 10 && names.len() == expressions.len());
    let unique: BTreeSet<&String> = names.iter().collect();
    assert_eq!(unique.len(), names.len());
    for (name, expression) in names.iter().zip(&expressions) {
        assert!(name.starts_with("Portway"));
        check(expression);
    }
}
