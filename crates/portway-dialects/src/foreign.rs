//! Words of other load balancers and what they are called here, for the help of diagnostics.
//!
//! Nothing is read by these words. A word may stand for several of ours: the first that is known at the place counts.

/// Words of HAProxy, nginx, Envoy, Traefik and an ALB, in lower case with `_`, beside ours.
const FOREIGN: &[(&str, &str)] = &[
    // algorithms
    ("leastconn", "least_outstanding"),
    ("least_conn", "least_outstanding"),
    ("least_connections", "least_outstanding"),
    ("least_request", "least_outstanding"),
    ("least_outstanding_requests", "least_outstanding"),
    ("source", "source_hash"),
    ("ip_hash", "source_hash"),
    ("source_ip", "source_hash"),
    ("roundrobin", "round_robin"),
    ("static_rr", "round_robin"),
    ("wrr", "round_robin"),
    ("rr", "round_robin"),
    ("random", "random_of_two"),
    ("p2c", "random_of_two"),
    ("power_of_two", "random_of_two"),
    // sections
    ("global", "process"),
    ("frontend", "listener"),
    ("server", "listener"),
    ("entrypoint", "listener"),
    ("entrypoints", "listener"),
    ("backend", "target_group"),
    ("upstream", "target_group"),
    ("cluster", "target_group"),
    ("service", "target_group"),
    ("services", "target_group"),
    ("peers", "stick_table"),
    // keys
    ("listen", "bind"),
    ("address", "bind"),
    ("backend", "forward"),
    ("default_backend", "forward"),
    ("use_backend", "forward"),
    ("proxy_pass", "forward"),
    ("target_group", "forward"),
    ("server", "targets"),
    ("servers", "targets"),
    ("endpoints", "targets"),
    ("balance", "algorithm"),
    ("lb_policy", "algorithm"),
    ("check", "health_check"),
    ("health", "health_check"),
    ("mode", "protocol"),
    ("maxconn", "max_connections"),
    ("sticky", "stickiness"),
    ("nbthread", "workers"),
    ("threads", "workers"),
    ("log", "access_log"),
    ("ssl_certificate", "certificate_files"),
    ("crt", "certificate_files"),
    ("if", "when"),
    ("match", "when"),
    ("condition", "when"),
    ("return", "respond"),
    ("fixed_response", "respond"),
    // values
    ("src", "source"),
    ("dst", "destination"),
    ("dst_port", "destination_port"),
    ("remote_addr", "source"),
    ("request_uri", "target"),
    ("ssl_fc", "tls"),
    ("sourceip", "ClientIP"),
];

/// The word of `known` that means here what `word` means elsewhere. Case does not count, nor `-` for `_`.
pub(crate) fn ours<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let word = word.to_ascii_lowercase().replace('-', "_");
    FOREIGN
        .iter()
        .filter(|(foreign, _)| *foreign == word)
        .find_map(|(_, ours)| known.iter().find(|known| *known == ours).copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_words() {
        for (word, known, expected) in [
            (
                "leastconn",
                vec!["round_robin", "least_outstanding"],
                Some("least_outstanding"),
            ),
            ("IP-Hash", vec!["source_hash"], Some("source_hash")),
            (
                "backend",
                vec!["listener", "target_group"],
                Some("target_group"),
            ),
            ("backend", vec!["bind", "forward"], Some("forward")),
            ("backend", vec!["bind"], None),
            ("first", vec!["first"], None),
        ] {
            assert_eq!(ours(word, &known), expected, "{word}");
        }
    }

    #[test]
    fn no_word_is_there_twice_or_its_own() {
        let mut seen = std::collections::HashSet::new();
        for pair in FOREIGN {
            assert!(seen.insert(pair), "{pair:?} twice");
            assert_ne!(pair.0, pair.1);
        }
    }
}
