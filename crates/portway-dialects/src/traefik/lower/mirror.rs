//! The service `mirroring`: a service whose requests are copied for others.

use super::super::model::Object;
use super::super::schema::Section;
use super::Lowering;
use super::chain::Chain;
use portway_model::action::Action;
use portway_model::compile::limits::MAX_KEPT_BODY;
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::mirror::Mirror;
use portway_model::name::Name;
use portway_model::span::{Span, Spanned};

impl Lowering<'_> {
    /// Copies requests as the service says, and ends the chain at the one that answers.
    pub(super) fn mirroring(
        &mut self,
        service: &Object,
        section: &Section,
        at: Span,
        chain: &mut Chain,
    ) {
        let Some(main) = self.required(section, "service", section.span) else {
            return;
        };
        let body_bytes = self.mirrored_body(section);
        for mirror in section.objects("mirrors") {
            let Some(name) = self.required(mirror, "name", mirror.span) else {
                continue;
            };
            let percent = mirror.number("percent");
            let share = percent.map_or(Some(0), |it| u8::try_from(it.value).ok());
            let Some(percent) = share.filter(|it| *it <= 100) else {
                let span = percent.map_or(mirror.span, |it| it.span);
                self.error(Code::OutOfRange, span, "a percentage is 0 to 100");
                continue;
            };
            let Some(group) = self.mirrored_group(service, name) else {
                continue;
            };
            // What gets nothing costs nothing.
            if percent > 0 {
                let group = Spanned::new(Name::new(group), name.span);
                let mirror = Mirror {
                    group,
                    percent,
                    body_bytes,
                };
                chain.always(Action::Mirror(mirror), at);
            }
        }
        let model = self.model;
        if let Some(inner) = model.services.find(main, service.provider, self.found) {
            self.serve_by(inner, main, chain);
        }
    }

    /// The one group of a service that has copies.
    fn mirrored_group(&mut self, service: &Object, name: Spanned<&str>) -> Option<String> {
        let model = self.model;
        let inner = model.services.find(name, service.provider, self.found)?;
        let groups = self.reach(inner, name, None)?.only().unwrap_or_default();
        match <[(String, f64); 1]>::try_from(groups) {
            Ok([(group, _)]) => Some(group),
            Err(_) => {
                let message = "a mirror that is several services is not done yet";
                self.error(Code::NotRun, name.span, message);
                None
            }
        }
    }

    /// Bytes of bodies that go along.
    fn mirrored_body(&mut self, section: &Section) -> Option<u32> {
        if section.flag("mirrorBody").is_some_and(|it| !it.value) {
            return None;
        }
        let most = section.number("maxBodySize").filter(|it| it.value >= 0);
        let Some(most) = most else {
            return Some(MAX_KEPT_BODY);
        };
        let bytes = u32::try_from(most.value).unwrap_or(u32::MAX);
        if bytes > MAX_KEPT_BODY {
            let message =
                format!("requests with bodies of more than {MAX_KEPT_BODY} bytes are not mirrored");
            let one = Diagnostic::warning(Code::Unused, most.span, message);
            self.refused(one.help(format!("write {MAX_KEPT_BODY}, or less")));
        }
        Some(bytes.clamp(1, MAX_KEPT_BODY))
    }
}
