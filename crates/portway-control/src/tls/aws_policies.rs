//! The predefined security policies of AWS load balancers, as facts: protocols and ciphers of each name, in order of preference.
//!
//! Source: `DescribeSSLPolicies` of Elastic Load Balancing v2, as collected in the project's reference data, against which a test holds
//! this table. Source and twin disagree on `ELBSecurityPolicy-TLS13-1-2-Ext1-PQ-2025-09` (21 ciphers where the policy without PQ has
//! 15); the six in question are CBC, which is not spoken here, so that it makes no difference.

use super::policy::TlsVersion::{self, Tls10, Tls11, Tls12, Tls13};

/// A policy of AWS.
#[derive(Debug, Clone, Copy)]
pub struct AwsPolicy {
    /// Its name, such as `ELBSecurityPolicy-TLS13-1-2-2021-06`.
    pub name: &'static str,
    /// Its protocols, the newest first.
    pub protocols: &'static [TlsVersion],
    /// Its ciphers by OpenSSL's names, the preferred one first, in groups that occur together.
    groups: &'static [&'static [&'static str]],
}

impl AwsPolicy {
    /// Ciphers by OpenSSL's names, the preferred one first.
    pub fn ciphers(&self) -> impl Iterator<Item = &'static str> {
        self.groups.iter().flat_map(|group| group.iter().copied())
    }
}

const V13: &[TlsVersion] = &[Tls13];
const V13_12: &[TlsVersion] = &[Tls13, Tls12];
const V13_11: &[TlsVersion] = &[Tls13, Tls12, Tls11];
const V13_10: &[TlsVersion] = &[Tls13, Tls12, Tls11, Tls10];
const V12: &[TlsVersion] = &[Tls12];
const V12_11: &[TlsVersion] = &[Tls12, Tls11];
const V12_10: &[TlsVersion] = &[Tls12, Tls11, Tls10];

const T13: &[&str] = &[
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
];
const E128_GCM: &[&str] = &[
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
];
const E128_SHA256: &[&str] = &["ECDHE-ECDSA-AES128-SHA256", "ECDHE-RSA-AES128-SHA256"];
const E128_SHA: &[&str] = &["ECDHE-ECDSA-AES128-SHA", "ECDHE-RSA-AES128-SHA"];
const E256_GCM: &[&str] = &[
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
];
const E256_SHA384: &[&str] = &["ECDHE-ECDSA-AES256-SHA384", "ECDHE-RSA-AES256-SHA384"];
const E256_SHA: &[&str] = &["ECDHE-RSA-AES256-SHA", "ECDHE-ECDSA-AES256-SHA"];
const E256_SHA_PQ: &[&str] = &["ECDHE-ECDSA-AES256-SHA", "ECDHE-RSA-AES256-SHA"];
const R128: &[&str] = &["AES128-GCM-SHA256", "AES128-SHA256"];
const R128_SHA: &[&str] = &["AES128-SHA"];
const R256: &[&str] = &["AES256-GCM-SHA384", "AES256-SHA256"];
const R256_SHA: &[&str] = &["AES256-SHA"];
const DES3: &[&str] = &["DES-CBC3-SHA"];

const RES13: &[&[&str]] = &[T13, E128_GCM, E256_GCM];
const BASE13: &[&[&str]] = &[T13, E128_GCM, E128_SHA256, E256_GCM, E256_SHA384];
const EXT1: &[&[&str]] = &[
    T13,
    E128_GCM,
    E128_SHA256,
    E256_GCM,
    E256_SHA384,
    R128,
    R256,
];
const ALL13: &[&[&str]] = &[
    T13,
    E128_GCM,
    E128_SHA256,
    E128_SHA,
    E256_GCM,
    E256_SHA384,
    E256_SHA,
    R128,
    R128_SHA,
    R256,
    R256_SHA,
];
const ALL13_PQ: &[&[&str]] = &[
    T13,
    E128_GCM,
    E128_SHA256,
    E128_SHA,
    E256_GCM,
    E256_SHA384,
    E256_SHA_PQ,
    R128,
    R128_SHA,
    R256,
    R256_SHA,
];
const ALL12: &[&[&str]] = &[
    E128_GCM,
    E128_SHA256,
    E128_SHA,
    E256_GCM,
    E256_SHA384,
    E256_SHA,
    R128,
    R128_SHA,
    R256,
    R256_SHA,
];
const ALL12_DES: &[&[&str]] = &[
    E128_GCM,
    E128_SHA256,
    E128_SHA,
    E256_GCM,
    E256_SHA384,
    E256_SHA,
    R128,
    R128_SHA,
    R256,
    R256_SHA,
    DES3,
];
const TLS12_2017: &[&[&str]] = &[E128_GCM, E128_SHA256, E256_GCM, E256_SHA384, R128, R256];
const FS: &[&[&str]] = &[
    E128_GCM,
    E128_SHA256,
    E128_SHA,
    E256_GCM,
    E256_SHA384,
    E256_SHA,
];
const FS_RES_2019: &[&[&str]] = &[E128_GCM, E128_SHA256, E256_GCM, E256_SHA384];
const FS_RES_2020: &[&[&str]] = &[E128_GCM, E256_GCM];

const fn policy(
    name: &'static str,
    protocols: &'static [TlsVersion],
    groups: &'static [&'static [&'static str]],
) -> AwsPolicy {
    AwsPolicy {
        name,
        protocols,
        groups,
    }
}

/// All of them.
pub const AWS_POLICIES: [AwsPolicy; 24] = [
    policy("ELBSecurityPolicy-TLS13-1-2-2021-06", V13_12, BASE13),
    policy("ELBSecurityPolicy-TLS13-1-3-2021-06", V13, &[T13]),
    policy("ELBSecurityPolicy-TLS13-1-2-Res-2021-06", V13_12, RES13),
    policy("ELBSecurityPolicy-TLS13-1-2-Ext2-2021-06", V13_12, ALL13),
    policy("ELBSecurityPolicy-TLS13-1-2-Ext1-2021-06", V13_12, EXT1),
    policy("ELBSecurityPolicy-TLS13-1-1-2021-06", V13_11, ALL13),
    policy("ELBSecurityPolicy-TLS13-1-0-2021-06", V13_10, ALL13),
    policy("ELBSecurityPolicy-2016-08", V12_10, ALL12),
    policy("ELBSecurityPolicy-FS-1-2-Res-2020-10", V12, FS_RES_2020),
    policy("ELBSecurityPolicy-FS-1-2-Res-2019-08", V12, FS_RES_2019),
    policy("ELBSecurityPolicy-FS-1-2-2019-08", V12, FS),
    policy("ELBSecurityPolicy-FS-1-1-2019-08", V12_11, FS),
    policy("ELBSecurityPolicy-FS-2018-06", V12_10, FS),
    policy("ELBSecurityPolicy-TLS-1-2-Ext-2018-06", V12, ALL12),
    policy("ELBSecurityPolicy-TLS-1-2-2017-01", V12, TLS12_2017),
    policy("ELBSecurityPolicy-TLS-1-1-2017-01", V12_11, ALL12),
    policy("ELBSecurityPolicy-TLS-1-0-2015-04", V12_10, ALL12_DES),
    policy("ELBSecurityPolicy-TLS13-1-3-PQ-2025-09", V13, &[T13]),
    policy("ELBSecurityPolicy-TLS13-1-2-PQ-2025-09", V13_12, BASE13),
    policy("ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09", V13_12, RES13),
    policy(
        "ELBSecurityPolicy-TLS13-1-2-Ext2-PQ-2025-09",
        V13_12,
        ALL13_PQ,
    ),
    policy(
        "ELBSecurityPolicy-TLS13-1-2-Ext1-PQ-2025-09",
        V13_12,
        ALL13_PQ,
    ),
    policy("ELBSecurityPolicy-TLS13-1-0-PQ-2025-09", V13_10, ALL13_PQ),
    policy("ELBSecurityPolicy-2015-05", V12_10, ALL12),
];
