//! Target groups of the protocol version gRPC: how they are checked.

use super::Lowering;
use super::group::{USER_AGENT, numbers};
use crate::cloudformation::object::Object;
use portway_model::check_grpc::{GrpcCall, GrpcCheck};
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::expression::NumberRange;

/// What is called where nothing is said. Nobody implements it, so that a server which answers so is alive.
const USUAL_METHOD: &str = "/AWS.ALB/healthcheck";
/// UNIMPLEMENTED.
const USUAL_CODE: i64 = 12;
/// Codes that a matcher may have.
const CODES: (i64, i64) = (0, 99);

/// True where targets are spoken to by gRPC.
pub(super) fn is_grpc(group: &Object) -> bool {
    let version = group.text("ProtocolVersion");
    version.is_some_and(|version| version.value == "GRPC")
}

impl Lowering<'_, '_, '_> {
    /// Says which versions of HTTP are not spoken with targets; false where the group makes no sense then.
    pub(super) fn version(&mut self, group: &Object) -> bool {
        let Some(version) = group.text("ProtocolVersion") else {
            return true;
        };
        let refused = match version.value {
            "HTTP1" => return true,
            "GRPC" => Diagnostic::error(
                Code::NotRun,
                version.span,
                "requests by gRPC are not forwarded yet: `ProtocolVersion` GRPC",
            )
            .help("the health checks of such a group are done; its requests need HTTP/2 on both sides"),
            other => {
                let message = format!("`ProtocolVersion` {other} is not done yet");
                Diagnostic::error(Code::NotRun, version.span, message)
            }
        };
        self.say_once(refused);
        is_grpc(group)
    }

    pub(super) fn grpc_check(&mut self, group: &Object) -> Option<GrpcCheck> {
        let matcher = group.object("Matcher");
        if let Some(place) = matcher.and_then(|it| it.place("HttpCode")) {
            let message = "`HttpCode` is of target groups for HTTP, and this is one for gRPC";
            self.say_once(
                Diagnostic::error(Code::ProtocolMismatch, place, message)
                    .help("say `GrpcCode`, such as 0 or 0-99"),
            );
        }
        let codes = match matcher.and_then(|it| it.text("GrpcCode")) {
            None => vec![NumberRange {
                min: USUAL_CODE,
                max: USUAL_CODE,
            }],
            Some(codes) => match numbers(codes.value, CODES) {
                Some(codes) => codes,
                None => {
                    let message = format!("`{}` is no list of status codes of gRPC", codes.value);
                    self.say_once(
                        Diagnostic::error(Code::OutOfRange, codes.span, message)
                            .help("write for example 12, 0,12 or 0-99"),
                    );
                    return None;
                }
            },
        };
        let path = group.text("HealthCheckPath");
        if let Some(path) = path.filter(|it| !it.value.starts_with('/')) {
            let message = format!("`{}` is no method of gRPC", path.value);
            self.say_once(
                Diagnostic::error(Code::OutOfRange, path.span, message)
                    .help("write for example /package.Service/Method"),
            );
            return None;
        }
        Some(GrpcCheck {
            call: GrpcCall::Method {
                path: path.map_or(USUAL_METHOD, |it| it.value).to_owned(),
                codes,
            },
            authority: None,
            metadata: vec![("User-Agent".to_owned(), USER_AGENT.to_owned())],
        })
    }
}
