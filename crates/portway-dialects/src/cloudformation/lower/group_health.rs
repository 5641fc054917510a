//! How many targets of a group must be healthy: with fewer, all of them are asked.

use super::Lowering;
use crate::cloudformation::object::Object;
use portway_model::choice::MinHealthy;
use portway_model::defaults::MIN_HEALTHY;
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::span::Spanned;

const KEY: &str = "target_group_health.unhealthy_state_routing.minimum_healthy_targets";

impl Lowering<'_, '_, '_> {
    /// AWS calls a group unhealthy where it has fewer than either says.
    pub(super) fn min_healthy(&mut self, attributes: &Object) -> Option<Spanned<MinHealthy>> {
        let [count, percent] =
            ["count", "percentage"].map(|it| attributes.text(&format!("{KEY}.{it}")));
        let span = count.or(percent)?.span;
        let count = self.threshold(count, u32::MAX, "a number of targets, or `off`");
        let percent = self.threshold(percent, 100, "a number from 1 to 100, or `off`");
        Some(Spanned::new(
            MinHealthy {
                count: count.unwrap_or(MIN_HEALTHY.count),
                percent: percent.map_or(MIN_HEALTHY.percent, |it| u8::try_from(it).unwrap_or(100)),
            },
            span,
        ))
    }

    fn threshold(&mut self, stated: Option<Spanned<&str>>, most: u32, what: &str) -> Option<u32> {
        let stated = stated.filter(|it| it.value != "off")?;
        let number = stated.value.parse().ok();
        let number = number.filter(|number| (1..=most).contains(number));
        if number.is_none() {
            let message = format!("`{}` is not {what}", stated.value);
            let wrong = Diagnostic::error(Code::OutOfRange, stated.span, message);
            self.found.push(wrong);
        }
        number
    }
}
