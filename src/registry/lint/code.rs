//! The table of everything that can be remarked: one source for lint, doctor, check, preflight, `explain` and the
//! documentation. Ids are stable.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// How grave a fault is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The daemon or its CRI service cannot work.
    Critical,
    /// Pulls fail, or go where they should not.
    High,
    /// Works in part, or breaks at the next upgrade.
    Medium,
    /// Untidy.
    Low,
    /// Worth knowing.
    Info,
}

macro_rules! codes {
    ($($variant:ident, $id:literal, $severity:ident, $title:literal, $explanation:literal, $remedy:literal, [$($thread:literal),*];)*) => {
        /// A kind of remark. The order is that of importance among equally grave ones.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code {
            $(#[doc = $title] $variant,)*
        }

        impl Code {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name under which it is known: `registry-hosts-parse`.
            pub fn id(self) -> &'static str {
                match self { $(Self::$variant => $id,)* }
            }

            /// What is true when nothing is wrong.
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }

            /// How grave it usually is.
            pub fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity,)* }
            }

            /// What the runtimes do, and why people meet it.
            pub fn explanation(self) -> &'static str {
                match self { $(Self::$variant => $explanation,)* }
            }

            /// What usually helps.
            pub fn remedy(self) -> &'static str {
                match self { $(Self::$variant => $remedy,)* }
            }

            /// Public threads in which people met it.
            pub fn threads(self) -> &'static [&'static str] {
                match self { $(Self::$variant => &[$($thread),*],)* }
            }
        }
    };
}

codes! {
    // --- the daemon, or its CRI service, does not come up ---
    ContainerdSingularTable, "containerd-singular-table", High,
        "the tables of plugins are called `plugins`",
        "A table `[plugin.\"io.containerd.grpc.v1.cri\"…]` is not known to any version of containerd: the key is `plugins`. containerd 1.x drops it without a word, 2.x with one warning at start. Nothing in it is in force, so mirrors and certificates written there are never used. A port in the registry's name or the config version is not the cause. The mistake was in the official document of 2020 and has been copied ever since.",
        "rename the table to `plugins`, then restart containerd",
        ["containerd/containerd#4938", "containerd/containerd#5079"];
    ContainerdConfigParse, "containerd-config-parse", Critical,
        "config.toml and its imports are TOML that containerd can decode",
        "A syntax error, a key given twice or a value of the wrong type at the top level stops the daemon from starting. In the section of a plugin a wrong type fails that plugin: the daemon runs, but CRI is missing. Line breaks and trailing commas in inline tables belong to TOML 1.1, which containerd does not read.",
        "correct the line, then restart containerd",
        [];
    ContainerdCriDisabled, "containerd-cri-disabled", Critical,
        "the CRI plugin is not switched off",
        "`disabled_plugins` names the CRI plugin. The daemon and its socket are up, but the kubelet and crictl get `unknown service runtime.v1.RuntimeService`. Docker's containerd.io package ships such a file, because Docker needs no CRI. On 2.x switching off `io.containerd.cri.v1.images` has the same effect. A drop-in cannot take an entry away: lists of several files are joined.",
        "remove the entry, then restart containerd",
        ["containerd/containerd#4581", "kubernetes/minikube#3471", "kubernetes/kubernetes#131164"];
    ContainerdDisabledName, "containerd-disabled-name", Critical,
        "plugins are disabled and required by their full names",
        "In a file of version 2 or higher a plugin is named by its URI. With a short name the daemon does not start: `invalid disabled plugin URI \"cri\" expect io.containerd.x.vx`.",
        "write the full name, such as `io.containerd.grpc.v1.cri`, or remove the entry",
        ["kata-containers/kata-containers#4124"];
    ContainerdImportMissing, "containerd-import-missing", Critical,
        "every file named by `imports` exists",
        "An import without a wildcard must exist, or the daemon does not start. A wildcard may match nothing.",
        "create the file, or write a pattern with `*`",
        [];
    ContainerdConfigVersion, "containerd-config-version", High,
        "the config version fits the tables and the daemon",
        "The `version` of a file decides under which name plugins are looked up. Without it a file is version 1: containerd 1.x then knows `plugins.cri` and ignores `plugins.\"io.containerd.grpc.v1.cri\"` in silence; 2.0 to 2.2 rename old tables but lose the registry section. A version above what the daemon knows (2 for late 1.6 and 1.7, 3 for 2.0 to 2.2, 4 since 2.3) stops it.",
        "write `version = 2` with the table `io.containerd.grpc.v1.cri`, which all versions since 1.3 read",
        ["containerd/containerd#3776", "containerd/containerd#8053"];
    ContainerdDropinVersion, "containerd-dropin-version", High,
        "imported files have the version of the main file or a lower one",
        "An imported file of a higher version than the main file stops containerd 2.3.0 to 2.3.4. In 2.0 to 2.2 it makes the daemon skip the migration of the main file's tables, so that its registry section and sandbox image are lost without a word. On 1.x a drop-in of version 2 beside a main file of version 1 stops the daemon.",
        "give all files the same version",
        ["containerd/containerd#12891", "NVIDIA/aicr#1688"];
    ContainerdPluginId, "containerd-plugin-id", High,
        "registry settings stand in the table that this version reads",
        "Which table holds the registry section depends on the version of the file and of the daemon: `plugins.cri` (version 1), `plugins.\"io.containerd.grpc.v1.cri\"` (version 2), `plugins.\"io.containerd.cri.v1.images\"` (versions 3 and 4, containerd 2.0 and later). A section in another table is dropped, on 1.x in silence, on 2.x with a warning at best.",
        "move the section to the table that this version reads, then restart containerd",
        ["NVIDIA/nvcf#998", "FootprintAI/Containarium#1444"];
    ContainerdImportReplaces, "containerd-import-replaces", High,
        "each plugin is configured in one file",
        "containerd 1.x does not merge imports key by key: an imported file with any key of a plugin replaces everything that earlier files said about that plugin. A drop-in for a GPU runtime thereby erases the mirrors. containerd 2.x merges.",
        "put everything for one plugin into one file",
        ["containerd/containerd#5837", "containerd/containerd#7982", "containerd/containerd#6389", "NVIDIA/gpu-operator#301"];
    RegistryStyleClash, "registry-style-clash", Critical,
        "`config_path` is not combined with `mirrors` or `configs.*.tls`",
        "The two ways to configure registries exclude each other. With both, the CRI plugin does not load: the daemon runs, and clients see `unknown service runtime.v1.RuntimeService`.",
        "keep `config_path` and move the rest to hosts.toml files, or the other way round",
        ["containerd/containerd#7844", "containerd/containerd#11041", "killer-sh/cks-course-environment#93"];
    RegistryMirrors220, "registry-mirrors-220", Critical,
        "mirrors are not used with containerd 2.2.0 and 2.2.1",
        "These two releases have a default for `config_path` that counts as set, so any `mirrors` entry stops the CRI plugin from loading. Fixed in 2.2.2.",
        "upgrade to 2.2.2 or later, or write `config_path = \"\"`",
        ["containerd/containerd#12612"];
    RegistryEndpointParse, "registry-endpoint-parse", High,
        "every endpoint is a URL",
        "One endpoint that is no URL fails every pull of its namespace, without falling back; under the key `*` that is every registry without an entry of its own. Placeholders such as `https://HostIP1:Port1` are the usual cause.",
        "write a real address: `https://mirror.example:5000`",
        [];
    RegistryConfigPathList, "registry-config-path-list", High,
        "`config_path` is one directory where pulls go through the transfer service",
        "Since containerd 2.1 pulls go through the transfer service, which takes `config_path` as one directory. A list such as `/etc/containerd/certs.d:/etc/docker/certs.d` – the built-in default since 2.2, and what EKS ships – is looked up literally and never found, so no hosts.toml and no certificate is read, and nothing is logged. Any setting that forces a local pull makes the list work.",
        "write one directory: `config_path = \"/etc/containerd/certs.d\"`",
        ["containerd/containerd#12415", "containerd/containerd#12808", "containerd/containerd#12636"];
    RegistryTlsRemoved, "registry-tls-removed", High,
        "no `configs.*.tls` where it no longer exists",
        "`registry.configs.\"HOST\".tls` was removed in containerd 2.0. It is ignored with a warning, so a private authority is not trusted and `insecure_skip_verify` has no effect.",
        "write a hosts.toml below `config_path` with `ca`, `client` or `skip_verify` for the host",
        ["aws/eks-anywhere#9949", "containerd/containerd#11624", "replicatedhq/kURL#5972"];
    RegistryHostsParse, "registry-hosts-parse", High,
        "every hosts.toml can be decoded",
        "Any fault in a hosts.toml – syntax, an unknown capability, a string where a list belongs – makes the daemon log one line and go on as if the file were not there: pulls go straight to the upstream. The file is read at every pull, so no restart is needed.",
        "correct the file; it is read at the next pull",
        ["containerd/containerd#10144"];
    RegistryHostsTable, "registry-hosts-table", High,
        "every hosts.toml has a `[host]` table where one is required",
        "containerd up to 1.7.31 rejects a hosts.toml without any `[host]` table (`invalid `host` tree`), so `server`, `ca` and `skip_verify` alone do nothing.",
        "add an empty `[host]` table at the end",
        ["containerd/containerd#10027", "containerd/containerd#13212", "k3s-io/k3s#9839", "rancher/rke2#5658"];
    RegistryHostsEmpty, "registry-hosts-empty", High,
        "no directory hides `_default` without saying anything",
        "The first directory that exists for a name counts, even if it is empty or its file is misspelt. It then means \"no configuration\", and `_default` is not consulted.",
        "name the file hosts.toml, or remove the directory",
        [];
    RegistryCaMissing, "registry-ca-missing", High,
        "every certificate file that is named exists and is one",
        "A missing or unusable authority, certificate or key fails every pull for which the host is on the list, without falling back to the next host.",
        "put the file in its place, or remove the option",
        [];
    RegistryCapabilities, "registry-capabilities", High,
        "at least one host can turn a tag into a digest",
        "A tag is only looked up at hosts that have both `pull` and `resolve`. A host without them is passed over for names, but is still asked for manifests by digest and for blobs.",
        "write `capabilities = [\"pull\", \"resolve\"]`",
        [];
    RegistryHostsKeys, "registry-hosts-keys", High,
        "the keys of a hosts.toml stand where they are read",
        "Unknown keys and misspelt tables in a hosts.toml are ignored without a log line. Keys at the top belong to `server` only, keys after a `[host.\"…\"]` header to that host. Since 2.0 only headers make a host: dotted keys and inline tables are dropped in silence.",
        "move or rename the key; the file is read at the next pull",
        ["rancher/rke2#9439", "k3s-io/k3s#13215"];
    RegistryHostsPath, "registry-hosts-path", High,
        "the path of a host is the one that its registry serves",
        "`/v2` is appended to the path of a host unless it is there already. A path like `/v2/project` therefore becomes `/v2/project/v2/…`, which answers 404 or a web page. `override_path = true` takes the path as it is written.",
        "add `override_path = true` below the host",
        ["goharbor/harbor#18530", "containerd/containerd#5518", "aws/eks-anywhere#10765"];
    RegistryMirrorPath, "registry-mirror-path", High,
        "the path of a mirror's endpoint is the one that its registry serves",
        "In `registry.mirrors` a path is used as it is written; only an endpoint without any path gets `/v2`. So `https://mirror/` asks `/library/…`, which no registry serves: every pull falls back to the upstream in silence. (In hosts.toml the slash would be cleaned.)",
        "write `https://mirror`, or the path with its `/v2`: `https://mirror/v2/project`",
        [];
    RegistryMirrorKey, "registry-mirror-key", High,
        "mirrors are keyed by the registry's name as images have it",
        "The key is compared with the domain of the image exactly: `docker.io` for Docker Hub, with the port if images have one. Schemes, `registry-1.docker.io`, capital letters and patterns other than `\"*\"` never match.",
        "use the name that images have",
        [];
    RegistryTlsKey, "registry-tls-key", High,
        "TLS options are keyed by the host that is contacted",
        "`configs.\"HOST\".tls` goes by the host and port of the endpoint – the mirror's, not the logical registry's – without scheme or path.",
        "use the endpoint's host and port as the key",
        ["rancher/rke2#9439", "k3s-io/k3s#13215"];
    RegistryAuthKey, "registry-auth-key", High,
        "credentials are keyed by the host that is contacted",
        "`configs.\"HOST\".auth` goes by the host and port of the endpoint. For Docker Hub that is `registry-1.docker.io`; `docker.io`, `index.docker.io` and `https://index.docker.io/v1/` are never looked up, so pulls stay anonymous and meet the rate limit.",
        "use the endpoint's host as the key: `registry-1.docker.io` for Docker Hub",
        ["containerd/containerd#8612", "siderolabs/talos#8639", "kubernetes-sigs/kubespray#9548", "bottlerocket-os/bottlerocket#4422"];
    RegistryClientPair, "registry-client-pair", High,
        "a client certificate and its key are written as a pair",
        "`client = [\"cert\", \"key\"]` means two files that each hold both a certificate and a key. Two files of one pair are `client = [[\"cert\", \"key\"]]`.",
        "write `client = [[\"client.crt\", \"client.key\"]]`",
        [];
    ContainerdUnknownKey, "containerd-unknown-key", High,
        "every key is known to this version",
        "containerd ignores keys that it does not know: 1.x without a word, 2.x with `Ignoring unknown key in TOML`. A setting under a misspelt key is not in force.",
        "correct the spelling or remove the key",
        ["containerd/containerd#10959"];
    ContainerdSandboxKey, "containerd-sandbox-key", High,
        "the sandbox image is set under the key that this version reads",
        "`sandbox_image` in the table of the CRI plugin is the key of versions 1 and 2. In version 3 and 4 it is `sandbox` in `[plugins.\"io.containerd.cri.v1.images\".pinned_images]`; the old key is ignored there (2.3 and later migrate it from the old table). The daemon then pulls its default image, which fails without access to registry.k8s.io.",
        "set `sandbox` in the table `pinned_images` of `io.containerd.cri.v1.images`",
        [];
    SandboxImageHost, "sandbox-image-host", Medium,
        "the sandbox image comes from a registry that is still served",
        "`k8s.gcr.io` is frozen; its successor is `registry.k8s.io`. The kubelet's flag `--pod-infra-container-image` never configured the runtime.",
        "use `registry.k8s.io/pause` or a copy of it",
        ["containerd/cri#813", "sealerio/sealer#1485"];
    SandboxImageRoute, "sandbox-image-route", Info,
        "the sandbox image goes the way of all images",
        "The sandbox image is pulled by the same code as every image: through mirrors, hosts.toml and their certificates, but without the kubelet's credentials.",
        "add a mirror for its registry if the node cannot reach it",
        ["containerd/containerd#10916", "siderolabs/talos#9594"];
    SandboxImageCredentials, "sandbox-image-credentials", Medium,
        "the sandbox image needs no credentials, or gets them",
        "The sandbox image is pulled without the kubelet's credentials: only `registry.configs.\"HOST\".auth` of the host that answers is used. containerd 2.0.0 does not even use that together with `config_path` (fixed in 2.0.1).",
        "use an image that can be pulled without a login, or upgrade",
        ["containerd/containerd#10916", "siderolabs/talos#9594"];
    ContainerdDropinUnread, "containerd-dropin-unread", Medium,
        "every file in conf.d is imported",
        "`/etc/containerd/conf.d/*.toml` is read only if the main file says so in `imports`, above the first table header. The line is in the default configuration that containerd 2.2 and later print, not in the daemon. Files with another suffix are not matched.",
        "write `imports = [\"/etc/containerd/conf.d/*.toml\"]` at the top of config.toml",
        [];
    ContainerdDropinOrder, "containerd-dropin-order", Low,
        "no key is set in several files",
        "The file that is merged last wins.",
        "keep one of them",
        [];
    ContainerdRemovedKeys, "containerd-removed-keys", Medium,
        "nothing is used that the next versions no longer have",
        "`registry.configs.*.tls` was removed in containerd 2.0; `mirrors`, `configs` and `auths` are deprecated since 1.5 and will go (announced for 2.4).",
        "move to hosts.toml files below `config_path` before the upgrade",
        ["containerd/containerd#11918"];
    RegistryDeprecated, "registry-deprecated", Low,
        "no deprecated way of configuring registries is used",
        "`registry.mirrors`, `configs` and `auths` still work, are deprecated, and appear in the condition `ContainerdHasNoDeprecationWarnings`.",
        "move to hosts.toml files below `config_path`",
        [];
    RegistryConfigPathMissing, "registry-config-path-missing", Medium,
        "the directory of `config_path` exists",
        "Without the directory every registry has its defaults.",
        "create the directory, or correct the path",
        [];
    RegistryHostsDirname, "registry-hosts-dirname", Medium,
        "every directory below `config_path` can be found by a registry's name",
        "A directory is looked up as `HOST_PORT_`, `HOST:PORT`, then `_default`: exactly as images name the registry, with the port if they have one. There are no wildcards, no schemes and no paths; Docker Hub is `docker.io`.",
        "rename the directory to the name that images have",
        [];
    RegistryServerField, "registry-server-field", Medium,
        "`server` is the upstream that is meant",
        "`server` is always asked last; without it the registry itself is. It must stand above the first header. `https://docker.io` is contacted literally: Docker Hub is served by `https://registry-1.docker.io`.",
        "write `server` above the first `[host]` header, with the upstream's own address",
        ["k3s-io/k3s#8975", "siderolabs/talos#12972"];
    RegistryUpstream, "registry-upstream", Info,
        "it is said who is asked when the mirrors fail",
        "Behind the mirrors the registry itself is asked, whether or not anybody wrote that down: a hosts.toml without `server`, and `registry.mirrors` without an endpoint of the registry's own, end there. If everything fails, the error shown may be its error and not the mirror's.",
        "to stay away from the registry, name the last mirror as `server`; else there is nothing to do",
        ["k3s-io/k3s#8975", "siderolabs/talos#12972", "containerd/containerd#4141"];
    RegistryCaPath, "registry-ca-path", Medium,
        "certificate files are named by absolute paths",
        "A relative path in `configs.*.tls` is resolved against the working directory of the daemon, normally `/`, not against config.toml.",
        "write the absolute path",
        [];
    RegistryCatchAll, "registry-catch-all", Medium,
        "a mirror for all registries tells them apart",
        "A mirror under `\"*\"` or `_default` is asked for every registry, with `?ns=` as the only difference. A cache that ignores it (the distribution registry does) answers with the image of that name from its own upstream – another image.",
        "use one mirror per registry, or a cache that evaluates `ns`",
        ["git-pkgs/proxy#303", "opencontainers/distribution-spec#66"];
    RegistryMirrorEmpty, "registry-mirror-empty", Medium,
        "no entry hides the wildcard mirror",
        "An entry of its own, even without endpoints, keeps a registry from the wildcard mirror. containerd up to 1.4 has such an entry for docker.io built in.",
        "remove the entry, or repeat the endpoints there",
        ["k3s-io/k3s#2088", "containerd/containerd#4011"];
    RegistryHostsUserinfo, "registry-hosts-userinfo", Medium,
        "no address carries a user and a password",
        "`user:password@` in an address is dropped before the request.",
        "use imagePullSecrets, or an `Authorization` header below the host",
        [];
    RegistryCredsInline, "registry-creds-inline", Medium,
        "no credentials are written into configuration files",
        "Credentials in config.toml are readable for whoever reads the file; `crictl info` of containerd 1.x prints them, and so do support bundles.",
        "use imagePullSecrets or a kubelet credential provider",
        ["rancherlabs/support-tools#374"];
    RegistryInsecure, "registry-insecure", Medium,
        "certificates are verified",
        "Without verification anyone on the way can answer with another image.",
        "trust the registry's authority (`ca`) instead",
        [];
    RegistryDialTimeout, "registry-dial-timeout", Low,
        "`dial_timeout` is used where it exists",
        "`dial_timeout` exists since containerd 2.0.7 and 2.1; before, it is ignored and an unreachable host costs 30 seconds per object.",
        "remove it, or upgrade",
        ["containerd/containerd#10660"];
    RegistryHttpTls, "registry-http-tls", Low,
        "plain http is not combined with TLS options",
        "An `http://` host with `ca`, `client` or `skip_verify` is asked in https first and in http only if the answer is plain http (since 1.6.25 and 1.7.7). `skip_verify` never turns https into http.",
        "remove the TLS options, or write `https://`",
        ["containerd/containerd#11647"];
    RegistryFork, "registry-fork", Info,
        "the runtime is built from unchanged sources",
        "k3s and rke2 ship a patched containerd (`rewrite`, other rules for the default endpoint) and write config.toml and certs.d themselves at every start of their service, from /etc/rancher/*/registries.yaml.",
        "edit registries.yaml and restart the service; changes of the written files are lost",
        ["k3s-io/k3s#9728", "k3s-io/k3s#11857"];
    K3sRegistriesYaml, "k3s-registries-yaml", Critical,
        "registries.yaml can be read",
        "k3s and rke2 read registries.yaml at every start and write containerd's hosts.toml files from it. With a file that is not the YAML they expect, the service does not start.",
        "correct the file, then restart the service",
        [];
    K3sNotWritten, "k3s-not-written", Medium,
        "registries.yaml has been put into force",
        "containerd never reads registries.yaml: the service writes hosts.toml files from it when it starts. What was changed since is not in force.",
        "restart the service",
        [];
    ContainerdTooOld, "containerd-too-old", Medium,
        "the daemon is new enough for what is configured",
        "containerd before 1.3 ignores TLS options of registries; before 1.5 there is no `config_path`.",
        "upgrade containerd",
        ["containerd/containerd#3804", "canonical/microk8s#947"];

    // --- CRI-O ---
    CrioRegistriesConf, "crio-registries-conf", Critical,
        "registries.conf and its drop-ins can be read",
        "A fault in any registries file stops CRI-O from starting: syntax, a scheme in a location, `[[registries]]`, tables of both versions in one file, `mirror-by-digest-only` together with `pull-from-mirror`.",
        "correct the file, then start CRI-O",
        [];
    CrioConfigParse, "crio-config-parse", Critical,
        "crio.conf and its drop-ins can be read",
        "A fault in crio.conf or a drop-in stops CRI-O from starting.",
        "correct the file, then start CRI-O",
        [];
    CrioUnknownKey, "crio-unknown-key", High,
        "every key in registries.conf is known",
        "Unknown keys are dropped with a line at debug level. `mirrors = […]` is the usual one: mirrors are tables `[[registry.mirror]]`.",
        "correct the spelling",
        [];
    CrioCatchAll, "crio-catch-all", High,
        "prefixes are hosts, repositories or subdomains",
        "There is no mirror for everything: `*` alone matches nothing, only `*.domain` is a pattern.",
        "list the prefixes",
        ["cri-o/cri-o#9759"];
    CrioPrefix, "crio-prefix", High,
        "prefixes are the names that images have",
        "`registry-1.docker.io` never matches an image of Docker Hub: their prefix is `docker.io`.",
        "use the name that images have",
        [];
    CrioPolicy, "crio-policy", High,
        "policy.json exists, can be read and accepts images",
        "policy.json decides by the logical name of an image, never by the mirror's. Without the file no image is pulled; a scope with `reject` fails with `SignatureValidationFailed: … rejected by policy`.",
        "install a policy.json that accepts what the node needs",
        [];
    CrioShortNames, "crio-short-names", Medium,
        "short names lead to one registry",
        "CRI-O has no implicit docker.io. Since 1.34 a short name that several search registries could complete is refused (`short name mode is enforcing …`); `short-name-mode` in registries.conf has no say, crio.conf has.",
        "use full names, an alias, or one search registry",
        ["cri-o/cri-o#9401", "kubearmor/KubeArmor#2198"];
    CrioDigestOnly, "crio-mirror-digest-only", Medium,
        "mirrors serve tags as well as digests",
        "With `mirror-by-digest-only`, or `pull-from-mirror = \"digest-only\"`, a reference by tag skips the mirror. In a disconnected cluster every pull by tag fails.",
        "write `pull-from-mirror = \"all\"` on the mirror if tags should be mirrored",
        ["okd-project/okd#226", "openshift/api#636"];
    CrioMirrorAuth, "crio-mirror-auth", Medium,
        "mirrors have credentials of their own",
        "Credentials from imagePullSecrets go to the image's own registry only, never to a mirror. A mirror that wants a login needs an entry in `global_auth_file`.",
        "add the mirror to `global_auth_file`",
        ["cri-o/cri-o#4941"];
    CrioDuplicate, "crio-duplicate", Medium,
        "every prefix is configured once",
        "The first of two equal prefixes in one file wins; a drop-in replaces a table with the same prefix, mirrors included.",
        "join the tables",
        [];
    CrioInsecureInert, "crio-insecure-inert", Medium,
        "insecure registries are set where they count",
        "`insecure_registries` in crio.conf has no effect any more; `insecure` in registries.conf is per endpoint, and on a `[[registry]]` it does not cover its mirrors.",
        "write `insecure = true` on the `[[registry]]` or `[[registry.mirror]]`",
        [];
    CrioFileName, "crio-file-name", Medium,
        "every file in registries.conf.d is read",
        "Only names that end in `.conf` are read, and no directories below.",
        "rename the file",
        [];
    CrioUserFile, "crio-user-file", Medium,
        "root has no registries.conf of its own",
        "If `~/.config/containers/registries.conf` exists for the user that runs CRI-O, the system's file and its drop-ins are not read.",
        "remove it, or move its content",
        [];
    CrioMirrorPing, "crio-mirror-ping", Info,
        "mirrors answer at the root of their host",
        "CRI-O pings `https://HOST/v2/` before it asks for a manifest, also for a mirror below a path. An answer other than 200 or 401 discards the mirror.",
        "let the host answer `/v2/` with 200 or 401",
        [];
    CrioBlocked, "crio-blocked", Info,
        "blocked registries are meant to be blocked",
        "`blocked = true` keeps only the location from being asked: a working mirror still serves.",
        "remove the mirrors as well, if nothing should be pulled",
        [];

    // --- dockerd ---
    DockerDaemonJson, "docker-daemon-json", Critical,
        "daemon.json can be read",
        "A fault in daemon.json stops dockerd from starting.",
        "correct the file, then start dockerd",
        [];
    DockerMirrorScope, "docker-mirror-scope", Low,
        "mirrors are not expected to serve other registries",
        "`registry-mirrors` are asked for Docker Hub only, never for quay.io, registry.k8s.io or any other registry.",
        "move to a runtime with mirrors per registry, or rename the images",
        ["moby/moby#36421", "moby/moby#41456"];
    DockerInsecureNetwork, "docker-insecure-network", Low,
        "insecure registries are named one by one",
        "A network in `insecure-registries` has no counterpart in containerd or CRI-O: before a migration every host must be listed.",
        "list the hosts",
        ["kubernetes/minikube#15597"];
    DockerMirrorCarried, "docker-mirror-carried", High,
        "dockerd's mirrors are known to the runtime in use",
        "containerd and CRI-O do not read daemon.json. Mirrors that are only there are no longer used after a migration.",
        "write them into hosts.toml for docker.io (containerd) or registries.conf (CRI-O)",
        ["kubesphere/kubekey#2133"];
    DockerInsecureCarried, "docker-insecure-carried", High,
        "dockerd's insecure registries are known to the runtime in use",
        "containerd and CRI-O do not read daemon.json. A registry that is only there is asked in https with verification.",
        "write an entry for the host: `http://` or `skip_verify` (containerd), `insecure = true` (CRI-O)",
        ["kubernetes-sigs/kubespray#9192"];
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}

impl FromStr for Code {
    type Err = UnknownCode;

    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        Self::ALL
            .iter()
            .copied()
            .find(|code| code.id() == text)
            .ok_or_else(|| UnknownCode(text.to_owned()))
    }
}

/// A name that no [`Code`] has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no finding called `{0}`")]
pub struct UnknownCode(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_whole() {
        for code in Code::ALL {
            assert!(
                code.id()
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b == b'-' || b.is_ascii_digit()),
                "{code}"
            );
            assert_eq!(code.id().parse(), Ok(*code), "ids are unique");
            assert!(!code.explanation().is_empty() && !code.remedy().is_empty());
            assert!(
                code.threads().iter().all(|thread| thread.contains('#')),
                "{code}"
            );
        }
        assert!("no-such-code".parse::<Code>().is_err());
    }
}
