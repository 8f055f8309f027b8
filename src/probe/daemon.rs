//! The daemon behind an endpoint, from /proc: with which file it was started, and whether it sees the same files.

use std::path::{Path, PathBuf};

use super::registry::ProxyEnv;

/// What /proc tells about a running daemon.
#[derive(Debug, Clone, Default)]
pub struct Daemon {
    /// Its process id, as this process sees it.
    pub pid: u32,
    /// The configuration file that its command line names.
    pub config: Option<PathBuf>,
    /// Its working directory, to which relative paths in its configuration refer.
    pub working_directory: Option<PathBuf>,
    /// The proxy variables in its environment, which apply to pulls.
    pub proxy: ProxyEnv,
    /// Its `SSL_CERT_FILE` and `SSL_CERT_DIR`.
    pub certificates: (Option<PathBuf>, Option<String>),
    /// Where its files are, if it lives in another mount namespace than this process: `/proc/PID/root`.
    pub root: Option<PathBuf>,
}

/// Looks at a daemon by its process id. What may not be read is left out.
pub fn look(pid: u32) -> Daemon {
    let proc = PathBuf::from(format!("/proc/{pid}"));
    let command_line = std::fs::read(proc.join("cmdline")).unwrap_or_default();
    let arguments: Vec<String> = command_line
        .split(|byte| *byte == 0)
        .map(|argument| String::from_utf8_lossy(argument).into_owned())
        .collect();
    let environment = environment(&proc);
    let variable = |name: &str| {
        let found = environment.iter().find(|(key, _)| key == name);
        found
            .map(|(_, value)| value.clone())
            .filter(|value| !value.is_empty())
    };
    let pairs: Vec<(&str, &str)> = environment
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    Daemon {
        pid,
        proxy: ProxyEnv::of(pairs),
        certificates: (
            variable("SSL_CERT_FILE").map(PathBuf::from),
            variable("SSL_CERT_DIR"),
        ),
        config: config(&arguments),
        working_directory: std::fs::read_link(proc.join("cwd")).ok(),
        root: another_root(&proc),
    }
}

/// The variables of a process that say how it reaches registries; the others are not kept, for they may be secrets.
fn environment(proc: &Path) -> Vec<(String, String)> {
    const WANTED: [&str; 5] = [
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
    ];
    let bytes = std::fs::read(proc.join("environ")).unwrap_or_default();
    let pairs = bytes.split(|byte| *byte == 0).filter_map(|pair| {
        let pair = String::from_utf8_lossy(pair);
        pair.split_once('=')
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
    });
    pairs
        .filter(|(key, _)| WANTED.contains(&key.to_ascii_uppercase().as_str()))
        .collect()
}

/// The value of `-c`, `--config` or `-config`, which containerd and CRI-O take alike.
pub(super) fn config(arguments: &[String]) -> Option<PathBuf> {
    let mut arguments = arguments.iter().skip(1);
    while let Some(argument) = arguments.next() {
        let name = argument.trim_start_matches('-');
        if !argument.starts_with('-') {
            continue;
        }
        match name.split_once('=') {
            Some(("config" | "c", value)) => return Some(PathBuf::from(value)),
            None if name == "config" || name == "c" => return arguments.next().map(PathBuf::from),
            _ => {}
        }
    }
    None
}

/// `/proc/PID/root`, if the process has a mount namespace of its own.
fn another_root(proc: &Path) -> Option<PathBuf> {
    let theirs = std::fs::read_link(proc.join("ns/mnt")).ok()?;
    let ours = std::fs::read_link("/proc/self/ns/mnt").ok()?;
    (theirs != ours).then(|| proc.join("root"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_file_on_a_command_line() {
        #[track_caller]
        fn case(line: &str, expected: Option<&str>) {
            let arguments: Vec<String> = line.split(' ').map(str::to_owned).collect();
            assert_eq!(config(&arguments), expected.map(PathBuf::from), "{line}");
        }
        case("containerd", None);
        case("containerd -c /etc/a.toml", Some("/etc/a.toml"));
        case(
            "containerd --config /etc/a.toml --log-level debug",
            Some("/etc/a.toml"),
        );
        case(
            "containerd --log-level debug --config=/etc/a.toml",
            Some("/etc/a.toml"),
        );
        case("crio --config", None);
        case("containerd c", None);
    }

    #[test]
    fn this_process_sees_its_own_files() {
        assert_eq!(look(std::process::id()).root, None);
    }
}
