//! The actions of rules.

use super::State::{Except, NoEffect, NotYet, Refused, Supported};
use super::{Row, State, rows};

const LUA: State = Refused("Lua is not embedded: no scripts run inside the proxy");
const OPENTRACING: State =
    Refused("OpenTracing has ended; requests are followed by their ids and headers");
const SPOE: State =
    Refused("SPOE agents are not spoken to: no traffic is handed to programs beside the proxy");
const ALIKE: State = NoEffect("all requests are served alike");
const STRICT: State = NoEffect("a header that cannot be written fails its request");

/// What `http-request` may do.
pub(super) const HTTP_REQUEST: &[Row] = rows! {
    "add-acl" => Supported;
    "add-header" => Supported;
    "allow" => Supported;
    "auth" => Supported;
    "cache-use" => NoEffect("responses are not kept: every request goes to a server");
    "capture" => Supported;
    "del-acl" => Supported;
    "del-header" => Except("`Host`, unless a later rule sets it");
    "del-map" => Supported;
    "deny" => Except("`errorfiles` of a section whose page is an `errorloc`");
    "disable-l7-retry" => Supported;
    "do-resolve" => NotYet;
    "early-hint" => NotYet;
    "lua" => LUA;
    "normalize-uri" => Supported;
    "ot-group" => OPENTRACING;
    "redirect" => Supported;
    "reject" => Supported;
    "replace-header" => Supported;
    "replace-path" => Supported;
    "replace-pathq" => Supported;
    "replace-uri" => Supported;
    "replace-value" => Supported;
    "return" => Except("`errorfiles` of a section whose page is an `errorloc`");
    "sc-inc-gpc" => Supported;
    "sc-inc-gpc0" => Supported;
    "sc-inc-gpc1" => Supported;
    "sc-set-gpt" => Supported;
    "sc-set-gpt0" => Supported;
    "send-spoe-group" => SPOE;
    "set-dst" => Supported;
    "set-dst-port" => Supported;
    "set-header" => Supported;
    "set-log-level" => Supported;
    "set-map" => Supported;
    "set-mark" => NotYet;
    "set-method" => Supported;
    "set-nice" => ALIKE;
    "set-path" => Supported;
    "set-pathq" => Supported;
    "set-priority-class" => Supported;
    "set-priority-offset" => Supported;
    "set-query" => Supported;
    "set-src" => Supported;
    "set-src-port" => Supported;
    "set-timeout" => Supported;
    "set-tos" => NotYet;
    "set-uri" => Supported;
    "set-var" => Supported;
    "set-var-fmt" => Supported;
    "silent-drop" => Supported;
    "strict-mode" => STRICT;
    "tarpit" => Except("`errorfiles` of a section whose page is an `errorloc`");
    "track-sc0" => Supported;
    "track-sc1" => Supported;
    "track-sc2" => Supported;
    "unset-var" => Supported;
    "use-service" => Supported;
    "wait-for-body" => Supported;
    "wait-for-handshake" => NoEffect("early data is not taken, so every request comes after its handshake");
};

/// What `http-response` may do.
pub(super) const HTTP_RESPONSE: &[Row] = rows! {
    "add-acl" => Supported;
    "add-header" => Supported;
    "allow" => Supported;
    "cache-store" => NoEffect("responses are not kept: every request goes to a server");
    "capture" => Supported;
    "del-acl" => Supported;
    "del-header" => Supported;
    "del-map" => Supported;
    "deny" => Except("`errorfiles` of a section whose page is an `errorloc`");
    "lua" => LUA;
    "ot-group" => OPENTRACING;
    "redirect" => Supported;
    "replace-header" => Supported;
    "replace-value" => Supported;
    "return" => Except("`errorfiles` of a section whose page is an `errorloc`");
    "sc-inc-gpc" => Supported;
    "sc-inc-gpc0" => Supported;
    "sc-inc-gpc1" => Supported;
    "sc-set-gpt" => Supported;
    "sc-set-gpt0" => Supported;
    "send-spoe-group" => SPOE;
    "set-header" => Supported;
    "set-log-level" => Supported;
    "set-map" => Supported;
    "set-mark" => NotYet;
    "set-nice" => ALIKE;
    "set-status" => Supported;
    "set-tos" => NotYet;
    "set-var" => Supported;
    "set-var-fmt" => Supported;
    "silent-drop" => Supported;
    "strict-mode" => STRICT;
    "track-sc0" => Supported;
    "track-sc1" => Supported;
    "track-sc2" => Supported;
    "unset-var" => Supported;
    "wait-for-body" => Supported;
};

/// What `http-after-response` may do.
pub(super) const HTTP_AFTER_RESPONSE: &[Row] = rows! {
    "add-header" => Supported;
    "allow" => Supported;
    "capture" => Supported;
    "del-header" => Supported;
    "ot-group" => OPENTRACING;
    "replace-header" => Supported;
    "replace-value" => Supported;
    "set-header" => Supported;
    "set-status" => Supported;
    "set-var" => Supported;
    "set-var-fmt" => Supported;
    "strict-mode" => STRICT;
    "unset-var" => Supported;
};

/// What `tcp-request connection` may do.
pub(super) const TCP_CONNECTION: &[Row] = rows! {
    "accept" => Supported;
    "expect-netscaler-cip" => NotYet;
    "expect-proxy" => Supported;
    "reject" => Supported;
    "sc-inc-gpc" => Supported;
    "sc-inc-gpc0" => Supported;
    "sc-inc-gpc1" => Supported;
    "sc-set-gpt" => Supported;
    "sc-set-gpt0" => Supported;
    "set-dst" => Supported;
    "set-dst-port" => Supported;
    "set-mark" => NotYet;
    "set-src" => Supported;
    "set-src-port" => Supported;
    "set-tos" => NotYet;
    "set-var" => Supported;
    "set-var-fmt" => Supported;
    "silent-drop" => Supported;
    "track-sc0" => Supported;
    "track-sc1" => Supported;
    "track-sc2" => Supported;
    "unset-var" => Supported;
};

/// What `tcp-request session` may do.
pub(super) const TCP_SESSION: &[Row] = rows! {
    "accept" => Supported;
    "reject" => Supported;
    "sc-inc-gpc" => Supported;
    "sc-inc-gpc0" => Supported;
    "sc-inc-gpc1" => Supported;
    "sc-set-gpt" => Supported;
    "sc-set-gpt0" => Supported;
    "set-dst" => Supported;
    "set-dst-port" => Supported;
    "set-mark" => NotYet;
    "set-src" => Supported;
    "set-src-port" => Supported;
    "set-tos" => NotYet;
    "set-var" => Supported;
    "set-var-fmt" => Supported;
    "silent-drop" => Supported;
    "track-sc0" => Supported;
    "track-sc1" => Supported;
    "track-sc2" => Supported;
    "unset-var" => Supported;
};

/// What `tcp-request content` may do.
pub(super) const TCP_CONTENT: &[Row] = rows! {
    "accept" => Supported;
    "capture" => Supported;
    "do-resolve" => NotYet;
    "lua" => LUA;
    "ot-group" => OPENTRACING;
    "reject" => Supported;
    "sc-inc-gpc" => Supported;
    "sc-inc-gpc0" => Supported;
    "sc-inc-gpc1" => Supported;
    "sc-set-gpt" => Supported;
    "sc-set-gpt0" => Supported;
    "send-spoe-group" => SPOE;
    "set-dst" => Supported;
    "set-dst-port" => Supported;
    "set-log-level" => Supported;
    "set-mark" => NotYet;
    "set-nice" => ALIKE;
    "set-priority-class" => Supported;
    "set-priority-offset" => Supported;
    "set-src" => Supported;
    "set-src-port" => Supported;
    "set-tos" => NotYet;
    "set-var" => Supported;
    "set-var-fmt" => Supported;
    "silent-drop" => Supported;
    "switch-mode" => NotYet;
    "track-sc0" => Supported;
    "track-sc1" => Supported;
    "track-sc2" => Supported;
    "unset-var" => Supported;
    "use-service" => Supported;
};

/// What `tcp-response content` may do.
pub(super) const TCP_RESPONSE: &[Row] = rows! {
    "accept" => Supported;
    "close" => Supported;
    "lua" => LUA;
    "ot-group" => OPENTRACING;
    "reject" => Supported;
    "sc-inc-gpc" => Supported;
    "sc-inc-gpc0" => Supported;
    "sc-inc-gpc1" => Supported;
    "sc-set-gpt" => Supported;
    "sc-set-gpt0" => Supported;
    "send-spoe-group" => SPOE;
    "set-log-level" => Supported;
    "set-mark" => NotYet;
    "set-nice" => ALIKE;
    "set-tos" => NotYet;
    "set-var" => Supported;
    "set-var-fmt" => Supported;
    "silent-drop" => Supported;
    "unset-var" => Supported;
};
