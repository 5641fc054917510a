//! The algorithms of `balance`.

use super::State::{Except, NotYet, Supported};
use super::{Row, rows};

/// What `balance` may say.
pub(super) const ALGORITHMS: &[Row] = rows! {
    "first" => Supported;
    "hash" => Supported;
    "hdr" => Supported;
    "leastconn" => Supported;
    "random" => Supported;
    "rdp-cookie" => NotYet;
    "roundrobin" => Supported;
    "source" => Supported;
    "static-rr" => Supported;
    "uri" => Supported;
    "url_param" => Except("`check_post`");
};
