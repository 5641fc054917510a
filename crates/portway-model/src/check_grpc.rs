//! Checks by gRPC: one unary call over HTTP/2.

use crate::expression::NumberRange;

/// One call of a check, over a connection of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct GrpcCheck {
    /// What is called.
    pub call: GrpcCall,
    /// The `:authority` of the request; the target's address by default.
    pub authority: Option<String>,
    /// Metadata: more headers, whose names are sent in lower case.
    pub metadata: Vec<(String, String)>,
}

/// What a check calls, and what passes.
#[derive(Debug, Clone, PartialEq)]
pub enum GrpcCall {
    /// `Check` of `grpc.health.v1.Health`; `SERVING` alone passes.
    Health {
        /// The service that is asked for; empty for the server as a whole.
        service: String,
    },
    /// Any unary method with an empty message, as application load balancers of AWS call it; what it answers is not looked at.
    Method {
        /// Such as `/package.Service/Method`.
        path: String,
        /// Status codes that pass, from 0 to 99.
        codes: Vec<NumberRange>,
    },
}

impl GrpcCall {
    /// The path of the health protocol.
    pub const HEALTH: &'static str = "/grpc.health.v1.Health/Check";

    /// The path of the request.
    pub fn path(&self) -> &str {
        match self {
            GrpcCall::Health { .. } => Self::HEALTH,
            GrpcCall::Method { path, .. } => path,
        }
    }
}
