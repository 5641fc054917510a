//! Logs: targets and forms of lines.

use super::Lowering;
use crate::haproxy::place::Step as Moment;
use crate::haproxy::proxy::{LogForm, LogTarget, Mode, Proxy, place};
use crate::haproxy::{Word, log_format};
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::draft::{AccessLogDraft, LogFormat};
use portway_model::expression::Template;
use portway_model::log::LogDestination;
use portway_model::settings::CaptureCookie;
use portway_model::span::{Span, Spanned};
use portway_model::stage::Named;

/// `option tcplog` (manual, section 8.2.2).
const TCP: &str = "%ci:%cp [%t] %ft %b/%s %Tw/%Tc/%Tt %B %ts %ac/%fc/%bc/%sc/%rc %sq/%bq";
/// `option httplog` (section 8.2.3).
const HTTP: &str = "%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc %ac/%fc/%bc/%sc/%rc %sq/%bq %hr %hs %{+Q}r";
/// `option httpslog` (section 8.2.4). `fc_err`, `ssl_fc_err`, `ssl_c_err` and `ssl_c_ca_err` stand as what they are where a
/// request came: a connection with an error has none.
const HTTPS: &str = "%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc %ac/%fc/%bc/%sc/%rc %sq/%bq %hr %hs %{+Q}r 0/0000000000000000/0/0/%[ssl_fc_is_resumed] %[ssl_fc_sni]/%sslv/%sslc";
/// `option httplog clf`.
const COMMON: &str = "%{+Q}o %{-Q}ci - - [%trg] %r %ST %B \"\" \"\" %cp %ms %ft %b %s %TR %Tw %Tc %Tr %Ta %tsc %ac %fc %bc %sc %rc %sq %bq %CC %CS %hrl %hsl";

/// The tag of lines where no `log-tag` says another: the name that HAProxy is called by.
const PROGRAM: &str = "haproxy";

impl Lowering<'_, '_, '_> {
    /// Where the lines of a proxy go.
    pub(super) fn destinations(&self, proxy: &Proxy) -> Vec<Spanned<LogDestination>> {
        let mut all = Vec::new();
        for target in &proxy.logs {
            match target {
                LogTarget::Global => all.extend(self.base.logs.iter().cloned()),
                LogTarget::Own(own) => all.push(own.clone()),
            }
        }
        let tag = proxy.log_tag.as_ref().map(|tag| tag.value.clone());
        let tag = tag.or_else(|| self.base.log_tag.clone());
        let tag = tag.unwrap_or_else(|| PROGRAM.to_owned());
        let destination = |mut syslog: Spanned<portway_model::log::Syslog>| {
            syslog.value.tag = Some(tag.clone());
            syslog.value.hostname.clone_from(&self.base.log_hostname);
            syslog.map(LogDestination::Syslog)
        };
        all.into_iter().map(destination).collect()
    }

    /// The access log of a frontend; none where it has no target.
    pub(super) fn access_log(&mut self, proxy: &Proxy) -> Option<Spanned<AccessLogDraft>> {
        let to = self.destinations(proxy);
        if to.is_empty() {
            if let Some(form) = proxy.log_form.as_ref().filter(|_| proxy.kind.accepts()) {
                let message = format!(
                    "the log format of {} is not used: it has no `log` line",
                    proxy.words()
                );
                self.reader.warn(Code::Unused, form.span, message);
            }
            // HAProxy reads what it will not use.
            self.format(proxy);
            self.template(proxy, proxy.error_log.as_ref());
            self.template(proxy, proxy.log_sd.as_ref());
            return None;
        }
        let format = self.format(proxy)?;
        let flag = |name: &str| proxy.flags.on(name).map(|span| Spanned::new(true, span));
        let silent = proxy.flags.on("dontlognull");
        let silent = silent.or_else(|| proxy.flags.on("http-ignore-probes"));
        Some(Spanned::new(
            AccessLogDraft {
                format: Some(format),
                to,
                error_format: self.template(proxy, proxy.error_log.as_ref()),
                structured_data: self.template(proxy, proxy.log_sd.as_ref()),
                log_null: Some(
                    silent.map_or(Spanned::bare(true), |span| Spanned::new(false, span)),
                ),
                only_faults: flag("dontlog-normal"),
                raise_faults: flag("log-separate-errors"),
                // HAProxy's line of a connection that was accepted does not wait for its end.
                early: match &proxy.log_form {
                    None => Some(Spanned::bare(true)),
                    Some(_) => flag("logasap"),
                },
                ..AccessLogDraft::default()
            },
            proxy.name.span,
        ))
    }

    fn template(&mut self, proxy: &Proxy, word: Option<&Word>) -> Option<Spanned<Template<Named>>> {
        let word = word?;
        let template = log_format::template(word, place(Moment::Log, proxy.kind), self.reader)?;
        Some(word.spanned(template))
    }

    fn format(&mut self, proxy: &Proxy) -> Option<Spanned<LogFormat<Named>>> {
        let http = proxy.mode() == Mode::Http;
        let mode = if http { "HTTP" } else { "TCP" };
        let span = proxy.log_form.as_ref().map_or(Span::NONE, |form| form.span);
        let fixed = |text: &str| Word {
            text: text.to_owned(),
            span,
        };
        let word = match proxy.log_form.as_ref().map(|form| &form.value) {
            Some(LogForm::Own(word)) => word.clone(),
            Some(LogForm::Tcp) => fixed(TCP),
            Some(LogForm::Http | LogForm::CommonLog | LogForm::Https) if !http => {
                let message = format!(
                    "{} is not `mode http`: it is logged as by `option tcplog`",
                    proxy.words()
                );
                self.reader
                    .push(Diagnostic::warning(Code::WrongPhase, span, message));
                fixed(TCP)
            }
            Some(LogForm::Http) => fixed(HTTP),
            Some(LogForm::CommonLog) => fixed(COMMON),
            Some(LogForm::Https) => fixed(HTTPS),
            None => fixed(&format!("Connect from %ci:%cp to %fi:%fp (%f/{mode})")),
        };
        let template = self.template(proxy, Some(&word))?;
        Some(template.map(LogFormat::Template))
    }

    /// `capture cookie`: `NAME=` is the whole name, else its beginning.
    pub(super) fn captured_cookie(proxy: &Proxy) -> Option<Spanned<CaptureCookie>> {
        let capture = proxy.cookie_capture.as_ref()?;
        let whole = capture.name.strip_suffix('=');
        let cookie = CaptureCookie {
            name: whole.unwrap_or(&capture.name).to_owned(),
            prefix: whole.is_none(),
            length: capture.length,
        };
        Some(Spanned::new(cookie, capture.span))
    }
}
