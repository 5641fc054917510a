//! `tracing`: spans of requests for an OpenTelemetry collector.

use super::Lowering;
use super::chain::rule;
use portway_model::action::{Action, Phase};
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::draft::ListenerDraft;
use portway_model::expression::Condition;
use portway_model::span::Spanned;
use portway_model::traces::Traces;

/// Where Traefik sends spans, and what it is called there, where nothing is said.
const ENDPOINT: &str = "https://localhost:4318/v1/traces";
const SERVICE: &str = "traefik";

impl Lowering<'_> {
    /// The collector of the process.
    pub(super) fn collector(&mut self) {
        let settings = self.settings;
        let Some(section) = settings.tracing.as_ref() else {
            return;
        };
        let Some(http) = section.section("otlp.http") else {
            return;
        };
        let endpoint = http.some_text("endpoint").map_or(ENDPOINT, |it| it.value);
        let tls = http.section("tls");
        let verify = !tls.is_some_and(|tls| tls.is_on("insecureSkipVerify"));
        let mut file = |name: &str| {
            let said = tls?.some_text(name)?;
            self.file(said).map(|file| file.value)
        };
        let (ca, certificate, key) = (file("ca"), file("cert"), file("key"));
        let headers = http.map("headers").iter();
        let service = section.some_text("serviceName");
        let traces = Traces {
            // Who is not verified is held against nothing.
            ca: ca.filter(|_| verify),
            verify,
            certificate,
            key,
            headers: headers
                .map(|(name, value)| (name.value.clone(), value.value.clone()))
                .collect(),
            service: service.map_or(SERVICE, |it| it.value).to_owned(),
            ..Traces::new(endpoint.to_owned())
        };
        self.draft.process.traces = Some(Spanned::new(traces, section.span));
    }

    /// Makes the requests of a listener steps of traces.
    pub(super) fn traced(&mut self, listener: &mut ListenerDraft) {
        let settings = self.settings;
        let Some(section) = settings
            .tracing
            .as_ref()
            .filter(|it| it.section("otlp.http").is_some())
        else {
            return;
        };
        let rate = section.some_text("sampleRate");
        let share = rate.map_or(Ok(1.0), |it| it.value.parse::<f64>());
        let share = share.ok().filter(|share| (0.0..=1.0).contains(share));
        if share.is_none() {
            let said = rate.unwrap_or(Spanned::new("", section.span));
            let message = format!("`{}` is no share of requests", said.value);
            let one = Diagnostic::error(Code::OutOfRange, said.span, message);
            self.refused(one.help("from 0 to 1, such as `0.2`"));
        }
        // From 0 to 100.
        let percent = (share.unwrap_or(1.0) * 100.0).round() as u8;
        let actions = vec![Action::TraceContext(percent)];
        let first = rule(
            Phase::Request,
            Condition::All(Vec::new()),
            actions,
            section.span,
        );
        listener.rules.push(first);
    }
}
