//! What labels may say beside the dynamic configuration.

use super::{Kind::*, Row, no_effect, yes};

/// Under `traefik.`
pub(crate) const ROWS: &[Row] = &[
    yes("enable", Flag),
    yes("docker", Section),
    no_effect(
        "docker.network",
        Text,
        "servers are found by their published port or by name",
    ),
    no_effect(
        "docker.lbswarm",
        Flag,
        "servers are found by their published port or by name",
    ),
    no_effect("docker.allownonrunning", Flag, "health is seen by checks"),
    yes("swarm", Section),
    no_effect(
        "swarm.network",
        Text,
        "servers are found by their published port or by name",
    ),
    no_effect(
        "swarm.lbswarm",
        Flag,
        "servers are found by their published port or by name",
    ),
];
