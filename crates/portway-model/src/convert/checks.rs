//! The walk over health checks.

use super::{Convert, Outcome, each, expression, template};
use crate::check::{
    CheckExpect, CheckKind, CheckRequest, CheckStep, CheckText, Expectation, HttpCheck,
};

/// How a health check is done.
pub(crate) fn check_kind<C: Convert>(
    to: &mut C,
    from: &CheckKind<C::Before>,
) -> Outcome<C, CheckKind<C::After>> {
    Ok(match from {
        CheckKind::Tcp => CheckKind::Tcp,
        CheckKind::Tls => CheckKind::Tls,
        CheckKind::Http(http) => CheckKind::Http(http_check(to, http)?),
        CheckKind::Https(http) => CheckKind::Https(http_check(to, http)?),
        CheckKind::Grpc(call) => CheckKind::Grpc(call.clone()),
        CheckKind::Grpcs(call) => CheckKind::Grpcs(call.clone()),
        CheckKind::Script(steps) => CheckKind::Script(each(to, steps, check_step)?),
        CheckKind::Service(service) => CheckKind::Service(service.clone()),
    })
}

fn check_step<C: Convert>(
    to: &mut C,
    from: &CheckStep<C::Before>,
) -> Outcome<C, CheckStep<C::After>> {
    Ok(match from {
        CheckStep::Connect(connect) => CheckStep::Connect(connect.clone()),
        CheckStep::Send(bytes) => CheckStep::Send(bytes.clone()),
        CheckStep::SendText { text, hex } => CheckStep::SendText {
            text: template(to, text)?,
            hex: *hex,
        },
        CheckStep::Set { variable, value } => CheckStep::Set {
            variable: variable.clone(),
            value: template(to, value)?,
        },
        CheckStep::Unset(variable) => CheckStep::Unset(variable.clone()),
        CheckStep::Comment(text) => CheckStep::Comment(text.clone()),
        CheckStep::Request(request) => CheckStep::Request(CheckRequest {
            method: request.method.clone(),
            target: template(to, &request.target)?,
            version: request.version.clone(),
            headers: each(to, &request.headers, |to, (name, value)| {
                Ok((name.clone(), template(to, value)?))
            })?,
            body: template(to, &request.body)?,
            send_state: request.send_state,
            comment: request.comment.clone(),
        }),
        CheckStep::Expect(expect) => CheckStep::Expect(CheckExpect {
            that: expectation(to, &expect.that)?,
            negated: expect.negated,
            min_bytes: expect.min_bytes,
            words: expect.words,
            on_success: expect
                .on_success
                .as_ref()
                .map(|it| template(to, it))
                .transpose()?,
            on_error: expect
                .on_error
                .as_ref()
                .map(|it| template(to, it))
                .transpose()?,
            code: expect
                .code
                .as_ref()
                .map(|it| expression(to, it))
                .transpose()?,
            comment: expect.comment.clone(),
        }),
        CheckStep::Http(http) => CheckStep::Http(http_check(to, http)?),
    })
}

fn expectation<C: Convert>(
    to: &mut C,
    from: &Expectation<C::Before>,
) -> Outcome<C, Expectation<C::After>> {
    Ok(match from {
        Expectation::Bytes(text) => Expectation::Bytes(text.clone()),
        Expectation::Computed { text, form } => Expectation::Computed {
            text: template(to, text)?,
            form: *form,
        },
        Expectation::Binary(bytes) => Expectation::Binary(bytes.clone()),
        Expectation::Pattern(pattern) => Expectation::Pattern(to.pattern(pattern)?),
        Expectation::HexPattern(pattern) => Expectation::HexPattern(to.pattern(pattern)?),
        Expectation::Status(ranges) => Expectation::Status(ranges.clone()),
        Expectation::StatusPattern(pattern) => Expectation::StatusPattern(to.pattern(pattern)?),
        Expectation::Body(bytes) => Expectation::Body(bytes.clone()),
        Expectation::BodyPattern(pattern) => Expectation::BodyPattern(to.pattern(pattern)?),
        Expectation::Header { name, value, whole } => {
            let name = check_text(to, name);
            let value = value.as_ref().map(|value| check_text(to, value));
            Expectation::Header {
                name: name?,
                value: value.transpose()?,
                whole: *whole,
            }
        }
    })
}

fn check_text<C: Convert>(
    to: &mut C,
    from: &CheckText<C::Before>,
) -> Outcome<C, CheckText<C::After>> {
    Ok(match from {
        CheckText::Text { how, text } => CheckText::Text {
            how: *how,
            text: template(to, text)?,
        },
        CheckText::Pattern(pattern) => CheckText::Pattern(to.pattern(pattern)?),
    })
}

fn http_check<C: Convert>(
    to: &mut C,
    from: &HttpCheck<C::Before>,
) -> Outcome<C, HttpCheck<C::After>> {
    Ok(HttpCheck {
        method: from.method.clone(),
        path: from.path.clone(),
        host: from.host.clone(),
        headers: from.headers.clone(),
        expect: from.expect.clone(),
        body: from
            .body
            .as_ref()
            .map(|body| to.pattern(body))
            .transpose()?,
    })
}
