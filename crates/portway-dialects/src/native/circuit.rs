//! The action `circuit_breaker`.

use super::form::{Form, Out, Reader};
use super::limit::given;
use crate::circuit;
use crate::tree::Item;
use portway_model::circuit::{
    CHECK_PERIOD, CircuitBreaker, MIN_REQUESTS, OPEN_FOR, Opens, RECOVER_OVER, STATUS,
};

/// The keys of its table.
const KEYS: [&str; 7] = [
    "name",
    "opens_when",
    "check_period",
    "min_requests",
    "open_for",
    "recover_over",
    "status",
];

impl Form for Opens {
    const WHAT: &'static str = "a condition such as \"NetworkErrorRatio() > 0.3\"";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.text(item, Self::WHAT)?;
        match circuit::read(text.text) {
            Ok(opens) => Some(opens),
            Err((message, help)) => reader.refuse(text.span, message, &help),
        }
    }

    fn write(&self) -> Out {
        Out::text(self.to_string())
    }
}

impl Form for CircuitBreaker {
    const WHAT: &'static str = "a table";

    fn read(item: &Item, reader: &mut Reader<'_>) -> Option<Self> {
        let table = reader.keyed(item, Self::WHAT, &KEYS)?;
        let (name, opens_when) = (
            table.required("name", reader),
            table.required("opens_when", reader),
        );
        let check_period = given(&table, "check_period", CHECK_PERIOD, reader);
        let min_requests = given(&table, "min_requests", MIN_REQUESTS, reader);
        let open_for = given(&table, "open_for", OPEN_FOR, reader);
        let recover_over = given(&table, "recover_over", RECOVER_OVER, reader);
        let status = given(&table, "status", STATUS, reader);
        // Nothing runs where something is wrong; what is right is checked.
        Some(Self {
            name: name?,
            opens_when: opens_when?,
            check_period: check_period.unwrap_or(CHECK_PERIOD),
            min_requests: min_requests.unwrap_or(MIN_REQUESTS),
            open_for: open_for.unwrap_or(OPEN_FOR),
            recover_over: recover_over.unwrap_or(RECOVER_OVER),
            status: status.unwrap_or(STATUS),
        })
    }

    fn write(&self) -> Out {
        let mut out = vec![
            ("name".to_owned(), self.name.write()),
            ("opens_when".to_owned(), self.opens_when.write()),
        ];
        let mut unless = |key: &str, is_usual: bool, value: Out| {
            if !is_usual {
                out.push((key.to_owned(), value));
            }
        };
        let usual = self.check_period == CHECK_PERIOD;
        unless("check_period", usual, self.check_period.write());
        let usual = self.min_requests == MIN_REQUESTS;
        unless("min_requests", usual, self.min_requests.write());
        unless("open_for", self.open_for == OPEN_FOR, self.open_for.write());
        let usual = self.recover_over == RECOVER_OVER;
        unless("recover_over", usual, self.recover_over.write());
        unless("status", self.status == STATUS, self.status.write());
        Out::Table(out)
    }
}
