//! Which keys exist, and what a misspelt one was meant to be.

/// The top level of config.toml, all versions together.
pub(super) const TOP: &[&str] = &[
    "version",
    "root",
    "state",
    "temp",
    "plugin_dir",
    "grpc",
    "ttrpc",
    "debug",
    "metrics",
    "disabled_plugins",
    "required_plugins",
    "plugins",
    "oom_score",
    "cgroup",
    "proxy_plugins",
    "timeouts",
    "imports",
    "stream_processors",
    "no_subreaper",
    "subreaper",
];

/// Tables at the top level with a fixed set of keys.
pub(super) const TOP_TABLES: &[(&str, &[&str])] = &[
    (
        "grpc",
        &[
            "address",
            "tcp_address",
            "tcp_tls_ca",
            "tcp_tls_cert",
            "tcp_tls_key",
            "tcp_tls_common_name",
            "uid",
            "gid",
            "max_recv_message_size",
            "max_send_message_size",
        ],
    ),
    ("ttrpc", &["address", "uid", "gid"]),
    (
        "debug",
        &["address", "uid", "gid", "level", "format", "log_trace_id"],
    ),
    ("metrics", &["address", "grpc_histogram"]),
    ("cgroup", &["path"]),
];

/// The table of the CRI plugin in versions 1 and 2, all daemons together.
pub(super) const CRI: &[&str] = &[
    "containerd",
    "cni",
    "registry",
    "image_decryption",
    "disable_tcp_service",
    "stream_server_address",
    "stream_server_port",
    "stream_idle_timeout",
    "enable_selinux",
    "selinux_category_range",
    "sandbox_image",
    "stats_collect_period",
    "systemd_cgroup",
    "enable_tls_streaming",
    "x509_key_pair_streaming",
    "max_container_log_line_size",
    "disable_cgroup",
    "disable_apparmor",
    "restrict_oom_score_adj",
    "max_concurrent_downloads",
    "disable_proc_mount",
    "unset_seccomp_profile",
    "tolerate_missing_hugetlb_controller",
    "disable_hugetlb_controller",
    "device_ownership_from_security_context",
    "ignore_image_defined_volumes",
    "netns_mounts_under_state_dir",
    "enable_unprivileged_ports",
    "enable_unprivileged_icmp",
    "enable_cdi",
    "cdi_spec_dirs",
    "image_pull_progress_timeout",
    "drain_exec_sync_io_timeout",
    "image_pull_with_sync_fs",
    "ignore_deprecation_warnings",
    "tls_cert_file",
    "tls_key_file",
    "stats_retention_period",
    "enable_criu",
];

/// `containerd` in the table of the CRI plugin, all daemons together.
pub(super) const CONTAINERD: &[&str] = &[
    "snapshotter",
    "default_runtime_name",
    "default_runtime",
    "untrusted_workload_runtime",
    "runtimes",
    "no_pivot",
    "disable_snapshot_annotations",
    "discard_unpacked_layers",
    "ignore_rdt_not_enabled_errors",
    "ignore_blockio_not_enabled_errors",
];
/// An entry of `containerd.runtimes`.
pub(super) const RUNTIME: &[&str] = &[
    "runtime_type",
    "runtime_path",
    "runtime_engine",
    "runtime_root",
    "pod_annotations",
    "container_annotations",
    "privileged_without_host_devices",
    "privileged_without_host_devices_all_devices_allowed",
    "base_runtime_spec",
    "cni_conf_dir",
    "cni_max_conf_num",
    "snapshotter",
    "sandbox_mode",
    "sandboxer",
    "io_type",
    "cgroup_writable",
    "options",
];
/// The options of runc's shim.
pub(super) const RUNC_OPTIONS: &[&str] = &[
    "NoPivotRoot",
    "NoNewKeyring",
    "ShimCgroup",
    "IoUid",
    "IoGid",
    "BinaryName",
    "Root",
    "SystemdCgroup",
    "CriuImagePath",
    "CriuWorkPath",
    "CriuPath",
    "TaskApiAddress",
    "TaskApiVersion",
];
/// `cni` in the table of the CRI plugin.
pub(super) const CNI: &[&str] = &[
    "bin_dir",
    "bin_dirs",
    "conf_dir",
    "max_conf_num",
    "setup_serially",
    "conf_template",
    "ip_pref",
    "use_internal_loopback",
];

/// The table of the images plugin.
pub(super) const IMAGES: &[&str] = &[
    "snapshotter",
    "disable_snapshot_annotations",
    "discard_unpacked_layers",
    "pinned_images",
    "runtime_platforms",
    "runtime_platform",
    "registry",
    "image_decryption",
    "max_concurrent_downloads",
    "concurrent_layer_fetch_buffer",
    "image_pull_progress_timeout",
    "image_pull_with_sync_fs",
    "stats_collect_period",
    "use_local_image_pull",
];

/// The registry section.
pub(super) const REGISTRY: &[&str] = &["config_path", "mirrors", "configs", "auths", "headers"];
/// An entry of `mirrors`.
pub(super) const MIRROR: &[&str] = &["endpoint"];
/// An entry of `configs`.
pub(super) const CONFIG: &[&str] = &["auth", "tls"];
/// Credentials.
pub(super) const AUTH: &[&str] = &["username", "password", "auth", "identitytoken"];
/// `configs.*.tls`.
pub(super) const TLS: &[&str] = &["insecure_skip_verify", "ca_file", "cert_file", "key_file"];

/// A host of a hosts.toml.
pub(super) const HOST: &[&str] = &[
    "capabilities",
    "ca",
    "client",
    "skip_verify",
    "header",
    "override_path",
    "dial_timeout",
];
/// The top level of a hosts.toml beside the keys of a host.
pub(super) const HOSTS: &[&str] = &["server", "host"];

/// The top level of registries.conf.
pub(super) const REGISTRIES_CONF: &[&str] = &[
    "registry",
    "unqualified-search-registries",
    "credential-helpers",
    "short-name-mode",
    "aliases",
    "registries",
    "additional-layer-store-auth-helper",
];
/// A `[[registry]]`.
pub(super) const REGISTRY_TABLE: &[&str] = &[
    "prefix",
    "location",
    "insecure",
    "blocked",
    "mirror-by-digest-only",
    "mirror",
];
/// A `[[registry.mirror]]`.
pub(super) const MIRROR_TABLE: &[&str] = &["location", "insecure", "pull-from-mirror"];

/// The names of plugin tables that have to do with CRI.
pub(super) const PLUGINS: &[&str] = &[
    "io.containerd.grpc.v1.cri",
    "io.containerd.cri.v1.images",
    "io.containerd.cri.v1.runtime",
];

/// The known name that was probably meant: at most two letters away, or the same with other separators.
pub(super) fn near<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let plain = |text: &str| text.to_ascii_lowercase().replace(['-', '_', '.'], "");
    let wanted = plain(name);
    if let Some(same) = known.iter().find(|known| plain(known) == wanted) {
        return Some(same);
    }
    // What people write from memory of other files.
    let alias = match name {
        "insecure_skip_verify" | "insecure" | "skipverify" | "tls_skip_verify" => {
            Some("skip_verify")
        }
        "ca_file" | "ca_cert" | "cacert" => Some("ca"),
        "hosts" => Some("host"),
        "mirror" => Some("mirrors"),
        "mirrors" => Some("mirror"),
        "endpoints" => Some("endpoint"),
        "config" => Some("configs"),
        "skip_verify" => Some("insecure_skip_verify"),
        _ => None,
    };
    if let Some(found) = alias.and_then(|alias| known.iter().find(|known| **known == alias)) {
        return Some(found);
    }
    let limit = if name.chars().count() <= 4 { 1 } else { 2 };
    known
        .iter()
        .map(|known| (distance(&name.to_ascii_lowercase(), known), *known))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, known)| known)
}

/// Letters to insert, remove, replace or swap with a neighbour. Long names are far from everything.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().abs_diff(b.len()) > 2 || a.len() > 64 {
        return usize::MAX;
    }
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (index, row) in rows.iter_mut().enumerate() {
        row[0] = index;
    }
    for (index, cell) in rows[0].iter_mut().enumerate() {
        *cell = index;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn near_misses() {
        assert_eq!(near("plugin", TOP), Some("plugins"));
        assert_eq!(near("config_pth", REGISTRY), Some("config_path"));
        assert_eq!(near("configpath", REGISTRY), Some("config_path"));
        assert_eq!(near("endpoints", MIRROR), Some("endpoint"));
        assert_eq!(near("skipverify", HOST), Some("skip_verify"));
        assert_eq!(near("insecure_skip_verify", HOST), Some("skip_verify"));
        assert_eq!(near("skip_verify", TLS), Some("insecure_skip_verify"));
        assert_eq!(near("hosts", HOSTS), Some("host"));
        assert_eq!(near("sever", HOSTS), Some("server"));
        assert_eq!(near("capabilties", HOST), Some("capabilities"));
        assert_eq!(near("banana", TOP), None);
        assert_eq!(near("mirrors", REGISTRY_TABLE), Some("mirror"));
    }

    proptest! {
        #[test]
        fn distance_is_symmetric(a in "[a-d]{0,8}", b in "[a-d]{0,8}") {
            prop_assert_eq!(distance(&a, &b), distance(&b, &a));
            prop_assert_eq!(distance(&a, &a), 0);
        }

        #[test]
        fn never_panics(name in "\\PC*") {
            near(&name, TOP);
        }
    }
}
