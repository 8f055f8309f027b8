//! What depends on the version of a runtime: read from one dated data file, which another text can replace.
//!
//! Code asks [`Rules::holds`] for a named [`Rule`]; no version number stands anywhere else.

use std::sync::LazyLock;

use serde::Deserialize;
use thiserror::Error;

use super::version::{Range, RuntimeId, RuntimeName};

/// The data file that is built in.
pub const BUILTIN: &str = include_str!("rules.toml");

/// A data file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("cannot read the runtime rules: {0}")]
pub struct Error(String);

/// A behaviour that some versions of a runtime have. Which, says the data file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// A file without `version` is version 1: plugins are looked up by their short names.
    #[serde(rename = "config-v1-lookup")]
    ConfigV1Lookup,
    /// A config version above 2 stops the daemon.
    #[serde(rename = "config-max-2")]
    ConfigMax2,
    /// A config version above 3 stops the daemon.
    #[serde(rename = "config-max-3")]
    ConfigMax3,
    /// A config version above 4 stops the daemon.
    #[serde(rename = "config-max-4")]
    ConfigMax4,
    /// Plugin names are checked in files of version 2 only, not in those of a higher version.
    #[serde(rename = "config-version-2-only-checked")]
    ConfigVersion2OnlyChecked,
    /// A missing import ends the reading without an error; what was read so far is in force, unchecked.
    ImportMissingEndsReading,
    /// Plugin names must begin with `io.containerd.`.
    PluginUriPrefix,
    /// Every file is migrated by its own version before it is merged.
    MigrateEachFile,
    /// An imported file of a higher version than the main file stops the daemon.
    DropinVersionCapped,
    /// Imports are merged key by key; before, a whole plugin table was replaced.
    MergeDeep,
    /// A relative glob in `imports` starts at the importing file; before, at the daemon's working directory.
    ImportGlobRelativeToFile,
    /// Unknown keys are logged as `Ignoring unknown key in TOML`; before, they were dropped without a word.
    UnknownKeysLogged,
    /// Registry.config_path and hosts.toml exist.
    ConfigPath,
    /// Registry.configs.*.tls exists.
    ConfigsTls,
    /// Config_path has a default that clashes with mirrors.
    ConfigPathDefaultStatic,
    /// Config_path gets its default when neither it nor mirrors is set.
    ConfigPathDefaultDynamic,
    /// Pulls go through the transfer service, which takes config_path as one directory, unless a local pull is forced.
    TransferService,
    /// All of 127.0.0.0/8 is loopback for mirrors; before, only 127.0.0.1, ::1 and localhost.
    MirrorsLoopbackRange,
    /// Mirrors has a built-in entry for docker.io, which the wildcard does not replace.
    MirrorsDefaultDockerIo,
    /// TLS options of registries are read.
    RegistryTls,
    /// The verbose CRI status (`crictl info`) holds the registry section, credentials included.
    CriInfoRegistry,
    /// Registry.configs.*.auth is used for the sandbox image together with config_path.
    PauseCredentials,
    /// A hosts.toml without any `[host]` table is rejected: invalid `host` tree.
    HostsTableRequired,
    /// Only table headers `[host."URL"]` make a host; dotted keys and inline tables are dropped.
    HostsHeadersOnly,
    /// Override_path exists.
    HostsOverridePath,
    /// Dial_timeout exists.
    HostsDialTimeout,
    /// Dial_timeout counts as a TLS option: an `http://` host is first asked in https.
    HostsDialTimeoutIsTls,
    /// The capability `referrers` is known; before, it made the file invalid.
    HostsReferrers,
    /// An unconfigured loopback registry is asked in http only.
    LoopbackHttp,
    /// An unconfigured loopback registry is asked in https, then http, whatever the port.
    LoopbackAnyPort,
    /// An unconfigured loopback registry is asked in https without verification, then http; port 443 or none: https only; port 80: http only.
    LoopbackByPort,
    /// An `http://` host with a TLS option is asked in https first, whatever the port.
    HttpFallbackAnyPort,
    /// An `http://` host with a TLS option is asked in https first, if it names a port other than 80.
    HttpFallbackExplicitPort,
    /// An `http://` host with a TLS option is asked in https first, unless its port is 80.
    #[serde(rename = "http-fallback-not-80")]
    HttpFallbackNot80,
    /// Of all hosts' errors the most telling is shown (status, then 404, then transport); before, the first.
    ErrorByRank,
    /// A missing login is named in the error; before, the status 401.
    LoginMissingNamed,
    /// A host that accepts and never answers is left after 30 s.
    ResponseHeaderTimeout,
    /// The last host is asked five times for an object if the requests time out.
    LastHostAskedAgain,
    /// Short_name_mode is enforcing by default.
    ShortNamesEnforcing,
    /// A tag is looked up with HEAD before the manifest is fetched by digest.
    DockerHead,
}

/// A value that a runtime uses when none is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Default {
    /// containerd's `registry.config_path`.
    ConfigPath,
    /// containerd's sandbox image.
    SandboxImage,
    /// CRI-O's pause image.
    PauseImage,
}

/// The rules of one data file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    date: String,
    #[serde(rename = "rule")]
    rules: Vec<RuleRow>,
    #[serde(rename = "default")]
    defaults: Vec<DefaultRow>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleRow {
    id: Rule,
    runtime: RuntimeName,
    versions: Vec<Range>,
    note: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct DefaultRow {
    id: Default,
    runtime: RuntimeName,
    values: Vec<(Range, String)>,
}

static RULES: LazyLock<Rules> = LazyLock::new(|| {
    // The text is ours and a test reads it; a broken one means that no rule holds.
    Rules::parse(BUILTIN).unwrap_or(Rules {
        date: String::new(),
        rules: Vec::new(),
        defaults: Vec::new(),
    })
});

impl Rules {
    /// The built-in rules.
    pub fn builtin() -> &'static Self {
        &RULES
    }

    /// Reads another data file of the same shape.
    ///
    /// # Errors
    /// If it is not TOML, or names a rule, a runtime or a range that does not exist.
    pub fn parse(text: &str) -> Result<Self, Error> {
        toml::from_str(text).map_err(|error| Error(error.to_string()))
    }

    /// The day on which the rules were last compared with the runtimes: `2026-08-23`.
    pub fn date(&self) -> &str {
        &self.date
    }

    /// Whether a runtime behaves so. A rule that the data file lacks does not hold.
    pub fn holds(&self, rule: Rule, runtime: &RuntimeId) -> bool {
        self.row(rule).is_some_and(|row| {
            row.runtime == runtime.name
                && row
                    .versions
                    .iter()
                    .any(|range| range.contains(&runtime.version))
        })
    }

    /// The rule in one clause.
    pub fn note(&self, rule: Rule) -> &str {
        self.row(rule).map_or("", |row| &row.note)
    }

    /// The default of a runtime, if it has one.
    pub fn default(&self, id: Default, runtime: &RuntimeId) -> Option<&str> {
        let row = self
            .defaults
            .iter()
            .find(|row| row.id == id && row.runtime == runtime.name)?;
        row.values
            .iter()
            .find(|(range, _)| range.contains(&runtime.version))
            .map(|(_, value)| value.as_str())
    }

    fn row(&self, rule: Rule) -> Option<&RuleRow> {
        self.rules.iter().find(|row| row.id == rule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(rule: Rule, runtime: &str) -> bool {
        Rules::builtin().holds(rule, &runtime.parse().unwrap())
    }

    #[test]
    fn the_builtin_file_is_read() {
        assert_eq!(Rules::parse(BUILTIN).unwrap().date(), "2026-08-23");
        assert!(Rules::builtin().rules.len() > 25);
    }

    #[test]
    fn versions_decide() {
        assert!(holds(Rule::HostsTableRequired, "containerd@1.6.20~ds1"));
        assert!(!holds(Rule::HostsTableRequired, "containerd@1.7.34"));
        assert!(holds(Rule::HostsTableRequired, "containerd@1.6.39"));
        assert!(holds(Rule::TransferService, "containerd@2.head"));
        assert!(!holds(Rule::TransferService, "crio@1.37.0"));
        assert!(holds(
            Rule::ConfigPathDefaultDynamic,
            "containerd@2.4.0-beta.0+70"
        ));
        assert!(holds(Rule::ConfigPathDefaultStatic, "containerd@2.2.1"));
    }

    #[test]
    fn defaults() {
        let sandbox = |runtime: &str| {
            Rules::builtin().default(Default::SandboxImage, &runtime.parse().unwrap())
        };
        assert_eq!(
            sandbox("containerd@1.6.20"),
            Some("registry.k8s.io/pause:3.6")
        );
        assert_eq!(
            sandbox("containerd@2.head"),
            Some("registry.k8s.io/pause:3.10.2")
        );
        assert_eq!(sandbox("docker@20.10.24"), None);
    }

    #[test]
    fn another_file_can_be_used() {
        let text = "date = \"2030-01-01\"\ndefault = []\n[[rule]]\nid = \"transfer-service\"\nruntime = \"containerd\"\nversions = [\"9.0..\"]\nnote = \"\"\n";
        let rules = Rules::parse(text).unwrap();
        assert!(!rules.holds(Rule::TransferService, &"containerd@2.1.0".parse().unwrap()));
        assert!(Rules::parse("date = 1").is_err());
        assert!(Rules::parse(&text.replace("transfer-service", "no-such-rule")).is_err());
    }
}
