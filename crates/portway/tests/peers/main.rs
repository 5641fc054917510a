//! The built binary against programs that we did not write: curl, nginx, HAProxy, OpenSSL, wrk, RabbitMQ, Python's
//! WebSocket and STOMP.
//!
//! They are installed by `cargo xtask test`. Each test starts what it needs in a folder of its own, on ports of its own.
#![cfg(test)]

mod certificates;
mod echo;
mod namespace;
mod stage;
mod support;

mod authorize;
mod bounded;
mod choice;
mod cloudformation;
mod codestream;
mod differential;
mod drain;
mod drain_again;
mod drain_names;
mod drain_others;
mod drain_listens;
mod edge;
mod electricflow;
mod examples;
mod explain;
mod explain_golden;
mod explain_response;
mod flow_enterprise;
mod hazelcast_flow;
mod health;
mod history;
mod mirror;
mod names;
mod jwt;
mod limits;
mod history_owned;
mod outscale;
mod passive;
mod passwords;
mod overload;
mod plan;
mod real_peers;
mod reload;
mod reload_cases;
mod reload_files;
mod reload_tls;
mod reload_turns;
mod control_changes;
mod control_servers;
mod control_socket;
mod slow_clients;
mod sources;
mod statistics;
mod retries;
mod shares;
mod slow_start;
mod status_told;
mod status_watch;
mod streams;
mod systemd;
mod takeover;
mod tcp_watch;
mod tls;
mod tls_targets;
mod trace;
mod traefik;
mod traefik_mixed;
mod unread_log;
mod upgrade;
mod upgrade_commands;
mod upgrade_drains;
mod upgrade_ends;
mod upgrade_orders;
mod upgrade_rights;
mod upgrade_versions;
mod websocket;
