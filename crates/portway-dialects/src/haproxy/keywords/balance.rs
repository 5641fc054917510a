//! The algorithms of `balance`.

use super::State::Supported;
use super::{Row, rows};

/// What `balance` may say.
pub(super) const ALGORITHMS: &[Row] = rows! {
    "first" => Supported;
    "hash" => Supported;
    "hdr" => Supported;
    "leastconn" => Supported;
    "random" => Supported;
    "rdp-cookie" => Supported;
    "roundrobin" => Supported;
    "source" => Supported;
    "static-rr" => Supported;
    "uri" => Supported;
    "url_param" => Supported;
};
