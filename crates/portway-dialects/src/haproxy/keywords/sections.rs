//! The keywords of the other sections.

use super::State::{Except, NoEffect, NotYet, Refused, Supported};
use super::{Row, State, rows};

const PEERS_APART: State = NoEffect("tables are not shared with other instances");
const NO_CACHE: State = NoEffect("responses are not kept: every request goes to a server");
const PROGRAMS: State = Refused("programs beside the proxy are for the init system");
const FASTCGI: State = Refused("FastCGI is not spoken: put a web server before the application");

/// What may stand in `userlist`.
pub(super) const USERLIST: &[Row] = rows! {
    "group" => Supported;
    "user" => Except("passwords hashed otherwise than by `$1$`, `$2b$`, `$5$` or `$6$`");
};

/// What may stand in `resolvers`.
pub(super) const RESOLVERS: &[Row] = rows! {
    "accepted_payload_size" => Supported;
    "hold" => Supported;
    "nameserver" => Except("`tcp@`: servers are asked over UDP, and over TCP where an answer does not fit");
    "parse-resolv-conf" => Except("beside `nameserver`, where it has no effect");
    "resolve_retries" => Supported;
    "timeout resolve" => Supported;
    "timeout retry" => Supported;
};

/// What may stand in `http-errors`.
pub(super) const HTTP_ERRORS: &[Row] = rows! {
    "errorfile" => Supported;
};

/// What may stand in `peers`.
pub(super) const PEERS: &[Row] = rows! {
    "bind" => PEERS_APART;
    "default-bind" => PEERS_APART;
    "default-server" => PEERS_APART;
    "disabled" => PEERS_APART;
    "enabled" => PEERS_APART;
    "log" => PEERS_APART;
    "peer" => PEERS_APART;
    "server" => PEERS_APART;
    "shards" => PEERS_APART;
    "table" => PEERS_APART;
};

/// What may stand in `cache`.
pub(super) const CACHE: &[Row] = rows! {
    "max-age" => NO_CACHE;
    "max-object-size" => NO_CACHE;
    "max-secondary-entries" => NO_CACHE;
    "process-vary" => NO_CACHE;
    "total-max-size" => NO_CACHE;
};

/// What may stand in `mailers`.
pub(super) const MAILERS: &[Row] = rows! {
    "mailer" => Refused("mail is not sent: watch the metrics, the statistics or the log");
    "timeout mail" => Refused("mail is not sent: watch the metrics, the statistics or the log");
};

/// What may stand in `program`.
pub(super) const PROGRAM: &[Row] = rows! {
    "command" => PROGRAMS;
    "group" => PROGRAMS;
    "option start-on-reload" => PROGRAMS;
    "user" => PROGRAMS;
};

/// What may stand in `fcgi-app`.
pub(super) const FCGI_APP: &[Row] = rows! {
    "acl" => FASTCGI;
    "docroot" => FASTCGI;
    "index" => FASTCGI;
    "log-stderr" => FASTCGI;
    "option get-values" => FASTCGI;
    "option keep-conn" => FASTCGI;
    "option max-reqs" => FASTCGI;
    "option mpxs-conns" => FASTCGI;
    "pass-header" => FASTCGI;
    "path-info" => FASTCGI;
    "set-param" => FASTCGI;
};

/// Messages wait as for any syslog server.
const RING_IN_MEMORY: State = NoEffect("up to 4 MiB of messages wait for each server, in memory");
/// Times of a server are those of any syslog server.
const RING_TIMES: State =
    NoEffect("a server has a second to be connected to, and one to take something");

/// What may stand in `ring`.
pub(super) const RING: &[Row] = rows! {
    "backing-file" => RING_IN_MEMORY;
    "description" => NoEffect("it was for `show events`");
    "format" => Supported;
    "maxlen" => Supported;
    "server" => Except("options but `log-proto`");
    "size" => RING_IN_MEMORY;
    "timeout connect" => RING_TIMES;
    "timeout server" => RING_TIMES;
};

/// What may stand in `log-forward`.
pub(super) const LOG_FORWARD: &[Row] = rows! {
    "backlog" => NotYet;
    "bind" => NotYet;
    "dgram-bind" => NotYet;
    "log" => NotYet;
    "maxconn" => NotYet;
    "option assume-rfc6587-ntf" => NotYet;
    "timeout client" => NotYet;
};
