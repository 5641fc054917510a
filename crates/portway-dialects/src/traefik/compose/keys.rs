//! What a compose file may say, as far as it concerns us: a key that is written wrong must not be lost.

use crate::tree::{Content, Item, Table};
use portway_model::diagnostic::{Code, Diagnostic, Diagnostics, nearest};

pub(super) const TOP: &str =
    "version name include services networks volumes configs secrets models extends";

pub(super) const SERVICE: &str = "annotations attach blkio_config build cap_add cap_drop cgroup cgroup_parent command \
    configs container_name cpu_count cpu_percent cpu_period cpu_quota cpu_rt_period cpu_rt_runtime cpu_shares cpus cpuset \
    credential_spec depends_on deploy develop device_cgroup_rules devices dns dns_opt dns_search domainname entrypoint env_file \
    environment expose extends external_links extra_hosts gpus group_add healthcheck hostname image init ipc isolation \
    label_file labels links logging mac_address mem_limit mem_reservation mem_swappiness memswap_limit models network_mode \
    networks oom_kill_disable oom_score_adj pid pids_limit platform ports post_start pre_stop privileged profiles provider \
    pull_policy read_only restart runtime scale secrets security_opt shm_size stdin_open stop_grace_period stop_signal \
    storage_opt sysctls tmpfs tty ulimits use_api_socket user userns_mode uts volumes volumes_from working_dir";

pub(super) const DEPLOY: &str = "mode replicas labels update_config rollback_config resources restart_policy placement \
    endpoint_mode";

pub(super) const HEALTH_CHECK: &str =
    "test interval timeout retries start_period start_interval disable";

pub(super) const PORT: &str = "target published host_ip protocol mode name app_protocol";

/// Holds the keys of a table against those that there are. A slip is an error, as it is for Docker; what is far from
/// every key is a newer one, perhaps.
pub(super) fn check(table: &Table, known: &str, found: &mut Diagnostics) {
    let is_known = |key: &str| known.split_whitespace().any(|it| it == key);
    for entry in table.entries() {
        let key = entry.key.as_str();
        if is_known(key) || key.starts_with("x-") || key == "<<" {
            if let Content::Tagged { tag, .. } = &entry.item.content {
                let message = format!("the tag `!{tag}` of compose files is not done yet");
                let one = Diagnostic::error(Code::NotRun, entry.item.span, message);
                found.push(one.help("`docker compose config` prints one file of all"));
            }
            continue;
        }
        let message = format!("unknown key `{key}` of a compose file");
        found.push(match nearest(key, known.split_whitespace()) {
            Some(_) => Diagnostic::error(Code::Unknown, entry.key_span, message)
                .nearest(key, known.split_whitespace()),
            None => Diagnostic::warning(Code::Unknown, entry.key_span, message),
        });
    }
}

/// Says that something else is expected.
pub(super) fn wrong(item: &Item, what: &str, help: &str, found: &mut Diagnostics) {
    let message = format!("{what} is expected here, not {}", item.content.kind());
    let one = Diagnostic::error(Code::WrongType, item.span, message);
    found.push(one.help(help));
}
