//! What is known about versions of runtimes and of Kubernetes, and gets old: read from one dated data file.

/// The data file that is built in.
pub const BUILTIN: &str = include_str!("knowledge.toml");

/// The date of the data, `YYYY-MM-DD`.
pub fn date() -> &'static str {
    BUILTIN
        .lines()
        .find_map(|line| line.strip_prefix("date = \"")?.strip_suffix('"'))
        .unwrap_or_default()
}
