//! What was counted, and what comes of it between two looks: everything from the metrics of the running Portway.

use std::collections::BTreeMap;

use serde::Serialize;

/// What was counted so far, by the name of the listener or group.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Counted {
    pub(super) listeners: BTreeMap<String, Figures>,
    pub(super) groups: BTreeMap<String, Figures>,
}

/// What was counted of one.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Figures {
    requests: f64,
    client_errors: f64,
    server_errors: f64,
    in_flight: f64,
    /// Up to so many seconds, so many.
    buckets: Vec<(f64, f64)>,
}

/// What comes of it in a second.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Rate {
    /// Requests a second.
    pub(super) requests: f64,
    /// Of them answered with 4xx.
    pub(super) client_errors: f64,
    /// Of them answered with 5xx.
    pub(super) server_errors: f64,
    /// Seconds that half of them took at most; `None`: there was none.
    pub(super) p50: Option<f64>,
    /// The same of 99 in 100.
    pub(super) p99: Option<f64>,
    /// Being served now.
    pub(super) in_flight: f64,
}

impl Counted {
    /// Reads the text of metrics.
    pub(super) fn parse(text: &str) -> Self {
        let mut counted = Self::default();
        for line in text.lines() {
            let Some((family, labels, value)) = sample(line) else {
                continue;
            };
            let label = |name: &str| {
                let found = labels.iter().find(|(it, _)| *it == name);
                found.map(|(_, value)| value.as_str())
            };
            let (figures, rest) = match (label("listener"), label("target_group"), label("target"))
            {
                (Some(name), ..) => (
                    counted.listeners.entry(name.to_owned()).or_default(),
                    family.strip_prefix("portway_listener_"),
                ),
                (_, Some(name), None) => (
                    counted.groups.entry(name.to_owned()).or_default(),
                    family.strip_prefix("portway_target_group_"),
                ),
                _ => continue,
            };
            match rest {
                Some("requests_total") => figures.count(label("code"), value),
                Some("requests_in_flight") => figures.in_flight = value,
                Some("request_duration_seconds_bucket" | "response_time_seconds_bucket") => {
                    let upto = label("le").map_or(f64::INFINITY, |it| match it {
                        "+Inf" => f64::INFINITY,
                        it => it.parse().unwrap_or(f64::INFINITY),
                    });
                    figures.buckets.push((upto, value));
                }
                _ => {}
            }
        }
        counted
    }
}

impl Figures {
    fn count(&mut self, code: Option<&str>, value: f64) {
        self.requests += value;
        match code {
            Some("4xx") => self.client_errors += value,
            Some("5xx") => self.server_errors += value,
            _ => {}
        }
    }

    /// What came since `before` was counted, `seconds` ago. A process that began anew began at 0.
    pub(super) fn since(&self, before: Option<&Self>, seconds: f64) -> Rate {
        let nothing = Self::default();
        let before = before
            .filter(|it| it.requests <= self.requests)
            .unwrap_or(&nothing);
        let a_second = |now: f64, before: f64| ((now - before) / seconds.max(0.001)).max(0.0);
        let mut earlier = before.buckets.iter().map(|it| it.1);
        let came: Vec<(f64, f64)> = self
            .buckets
            .iter()
            .map(|(upto, count)| (*upto, count - earlier.next().unwrap_or(0.0)))
            .collect();
        Rate {
            requests: a_second(self.requests, before.requests),
            client_errors: a_second(self.client_errors, before.client_errors),
            server_errors: a_second(self.server_errors, before.server_errors),
            p50: quantile(&came, 0.5),
            p99: quantile(&came, 0.99),
            in_flight: self.in_flight,
        }
    }

    /// Together with another.
    pub(super) fn with(mut self, other: &Self) -> Self {
        self.requests += other.requests;
        self.client_errors += other.client_errors;
        self.server_errors += other.server_errors;
        self.in_flight += other.in_flight;
        match self.buckets.is_empty() {
            true => self.buckets.clone_from(&other.buckets),
            false => {
                for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
                    mine.1 += theirs.1;
                }
            }
        }
        self
    }
}

/// The seconds below which this share lies, as far as buckets tell: within one it is taken for even.
fn quantile(buckets: &[(f64, f64)], share: f64) -> Option<f64> {
    let all = buckets.last()?.1;
    if all <= 0.0 {
        return None;
    }
    let wanted = all * share;
    let (mut from, mut below) = (0.0, 0.0);
    for (upto, count) in buckets {
        if *count >= wanted {
            return match upto.is_finite() && *count > below {
                true => Some(from + (upto - from) * (wanted - below) / (count - below)),
                // Longer than the longest that is told apart.
                false => Some(from),
            };
        }
        (from, below) = (*upto, *count);
    }
    None
}

/// The labels of a line.
type Labels<'l> = Vec<(&'l str, String)>;

/// `family{label="value",…} number`.
fn sample(line: &str) -> Option<(&str, Labels<'_>, f64)> {
    if line.starts_with('#') {
        return None;
    }
    let (family, rest) = line.split_once('{')?;
    let mut labels = Vec::new();
    let mut rest = rest;
    loop {
        let (name, quoted) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        let end = loop {
            match characters.next()? {
                (at, '"') => break at,
                (_, '\\') => match characters.next()?.1 {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                (_, other) => value.push(other),
            }
        };
        labels.push((name, value));
        rest = quoted.get(end + 1..)?;
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => break,
        }
    }
    let number = rest.strip_prefix('}')?.trim();
    Some((family, labels, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"# HELP x y
portway_workers 2
portway_listener_requests_total{listener="we\"b",code="2xx"} 90
portway_listener_requests_total{listener="we\"b",code="4xx"} 6
portway_listener_requests_total{listener="we\"b",code="5xx"} 4
portway_listener_requests_in_flight{listener="we\"b"} 3
portway_listener_request_duration_seconds_bucket{listener="we\"b",le="0.001"} 50
portway_listener_request_duration_seconds_bucket{listener="we\"b",le="0.1"} 98
portway_listener_request_duration_seconds_bucket{listener="we\"b",le="+Inf"} 100
portway_target_requests_total{target_group="app",target="a",code="2xx"} 7
portway_target_group_requests_total{target_group="app",code="5xx"} 7
"#;

    #[test]
    fn rates_come_from_two_looks() {
        let counted = Counted::parse(TEXT);
        let web = &counted.listeners["we\"b"];
        let rate = web.since(None, 10.0);
        let expected = Rate {
            requests: 10.0,
            client_errors: 0.6,
            server_errors: 0.4,
            p50: Some(0.001),
            p99: Some(0.1),
            in_flight: 3.0,
        };
        assert_eq!(rate, expected);
        let rate = web.since(Some(web), 1.0);
        assert_eq!((rate.requests, rate.p50), (0.0, None));
        // A process that began anew counts from 0.
        let more = web.clone().with(web);
        assert_eq!(web.since(Some(&more), 10.0), expected);
        assert_eq!(counted.groups["app"].since(None, 1.0).server_errors, 7.0);
        assert_eq!(
            Counted::parse("portway_x{a=\"b} 1\n{\n"),
            Counted::default()
        );
    }
}
