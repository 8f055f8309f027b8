//! Flags, environment and `crictl.yaml` become one value, in which every setting knows where it came from.
//!
//! Precedence per key: flag, environment, file, default. The file is crictl's: `/etc/crictl.yaml` or what
//! `CRI_CONFIG_FILE` names. A file that exists and cannot be used is an error, never silence.

pub mod file;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use self::file::{Document, Key};
use crate::secret::cover::yaml_fault;

/// Environment variables that criscope reads, with what each is for.
pub mod env {
    /// The runtime endpoint, as crictl and the kubelet's documentation name it.
    pub const RUNTIME_ENDPOINT: &str = "CONTAINER_RUNTIME_ENDPOINT";
    /// The image endpoint.
    pub const IMAGE_ENDPOINT: &str = "IMAGE_SERVICE_ENDPOINT";
    /// The path of the configuration file.
    pub const CONFIG: &str = "CRI_CONFIG_FILE";
    /// `user:password` for a pull.
    pub const CREDS: &str = "CRICTL_CREDS";
    /// Base64 credentials for a pull.
    pub const AUTH: &str = "CRICTL_AUTH";
    /// How long a pull may take.
    pub const PULL_TIMEOUT: &str = "CRICTL_PULL_TIMEOUT";
}

/// Where the configuration file is looked for.
pub const DEFAULT_FILE: &str = "/etc/crictl.yaml";

/// The longest wait: it can be added to any time.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// The deadline of connecting and of ordinary calls.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);

/// What was typed before or after the command.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--config`.
    pub config: Option<PathBuf>,
    /// `--runtime-endpoint`.
    pub runtime_endpoint: Option<String>,
    /// `--image-endpoint`.
    pub image_endpoint: Option<String>,
    /// `--timeout`.
    pub timeout: Option<Duration>,
    /// `--debug`.
    pub debug: bool,
    /// `--quiet`: no talk on stderr that is not an error.
    pub quiet: bool,
    /// Whether crictl is stood in for: then the file's image endpoint holds whatever the runtime endpoint is.
    pub is_crictl: bool,
    /// The file that is read where nobody names one and the usual one is not there: for crictl, the one beside the
    /// program.
    pub beside: Option<PathBuf>,
    /// Whether the file is what the command is about: then it may be missing or wrong.
    pub edits_file: bool,
}

/// Where a setting was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// On the command line.
    Flag,
    /// In an environment variable.
    Env(&'static str),
    /// In a file.
    File(PathBuf),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Flag => f.write_str("the command line"),
            Origin::Env(name) => write!(f, "${name}"),
            Origin::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// A setting and where it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Where it comes from.
    pub origin: Origin,
}

/// Everything that can be set, resolved.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the runtime service is, if somebody said so.
    pub runtime_endpoint: Option<Setting<String>>,
    /// Where the image service is, if somebody said so and it belongs to the same runtime.
    pub image_endpoint: Option<Setting<String>>,
    /// The deadline of connecting and of ordinary calls.
    pub timeout: Duration,
    /// Whether somebody chose that deadline; then it holds for long calls too.
    pub timeout_is_chosen: bool,
    /// Whether to tell what is being done.
    pub debug: bool,
    /// Whether `create` pulls the image first.
    pub pull_image_on_create: bool,
    /// Whether `run` leaves the image alone.
    pub disable_pull_on_run: bool,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
    /// Where the file is, or would be.
    pub path: PathBuf,
    /// What the user should know about how this came about.
    pub warnings: Vec<String>,
}

/// Why the settings cannot be resolved.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The named file cannot be read.
    #[error("cannot read the configuration file `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not what crictl's file has to be.
    #[error("`{path}` is not a valid configuration file: {reason}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        reason: String,
    },
    /// A variable or flag is set to nothing.
    #[error("the runtime endpoint is set to nothing in {0}")]
    EmptyEndpoint(Origin),
}

/// `crictl.yaml`. Numbers are whole seconds, as crictl writes them.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct File {
    runtime_endpoint: Option<String>,
    image_endpoint: Option<String>,
    timeout: Option<i64>,
    debug: Option<bool>,
    pull_image_on_create: Option<bool>,
    disable_pull_on_run: Option<bool>,
    // crictl's retries: accepted; transient failures are retried by rule, not by number.
    #[serde(rename = "max-retries")]
    _max_retries: Option<i64>,
}

impl File {
    fn of(document: &Document) -> Result<Self, file::Misfit> {
        let text = |key: Key| document.value(key).map(str::to_owned);
        // What is set to nothing is not set.
        let value = |key: Key| match document.value(key) {
            None | Some("") => Ok(None),
            Some(value) => key.value(value).map(Some),
        };
        let number = |key| Ok(value(key)?.and_then(|value| value.parse().ok()));
        let switch = |key| Ok(value(key)?.map(|value| value == "true"));
        Ok(Self {
            runtime_endpoint: text(Key::RuntimeEndpoint),
            image_endpoint: text(Key::ImageEndpoint),
            timeout: number(Key::Timeout)?,
            debug: switch(Key::Debug)?,
            pull_image_on_create: switch(Key::PullImageOnCreate)?,
            disable_pull_on_run: switch(Key::DisablePullOnRun)?,
            _max_retries: number(Key::MaxRetries)?,
        })
    }
}

impl Settings {
    /// Resolves the settings. `variable` looks up an environment variable, `read` the text of a file (`None`: there is
    /// no such file).
    ///
    /// # Errors
    /// See [`Error`].
    pub fn resolve(
        flags: &Flags,
        variable: impl Fn(&str) -> Option<String>,
        read: impl Fn(&Path) -> std::io::Result<Option<String>>,
    ) -> Result<Self, Error> {
        let named = flags
            .config
            .clone()
            .or_else(|| variable(env::CONFIG).map(PathBuf::from));
        let (path, must_exist) = match named {
            Some(path) => (path, !flags.edits_file),
            None => (PathBuf::from(DEFAULT_FILE), false),
        };
        let place = path.clone();
        let mut warnings = Vec::new();
        let (path, text) = match (read(&path), &flags.beside) {
            (Ok(None), Some(beside)) if !must_exist => (beside.clone(), read(beside)),
            (text, _) => (path, text),
        };
        let (file, found) = match text {
            // Whoever puts it right has to be let in.
            Ok(Some(text)) if flags.edits_file => {
                (parse(&path, &text).unwrap_or_default(), Some(path))
            }
            Ok(Some(text)) => (parse(&path, &text)?, Some(path)),
            Ok(None) if must_exist => {
                let source = std::io::Error::from(rustix::io::Errno::NOENT);
                return Err(Error::Read { path, source });
            }
            Ok(None) => (File::default(), None),
            Err(source) if must_exist => return Err(Error::Read { path, source }),
            // The default file exists and this user may not read it: worth a word, not a failure.
            Err(source) => {
                warnings.push(format!(
                    "cannot read `{}` ({source}), going on without it",
                    path.display()
                ));
                (File::default(), None)
            }
        };
        let origin = |path: &Option<PathBuf>| Origin::File(path.clone().unwrap_or_default());

        let runtime_endpoint = first([
            (flags.runtime_endpoint.clone(), Origin::Flag),
            (
                variable(env::RUNTIME_ENDPOINT),
                Origin::Env(env::RUNTIME_ENDPOINT),
            ),
            (
                file.runtime_endpoint.filter(|text| !text.is_empty()),
                origin(&found),
            ),
        ]);
        if let Some(Setting { value, origin }) = &runtime_endpoint
            && value.trim().is_empty()
        {
            return Err(Error::EmptyEndpoint(origin.clone()));
        }
        let mut image_endpoint = first([
            (flags.image_endpoint.clone(), Origin::Flag),
            (
                variable(env::IMAGE_ENDPOINT),
                Origin::Env(env::IMAGE_ENDPOINT),
            ),
            (file.image_endpoint, origin(&found)),
        ])
        .filter(|setting| !setting.value.trim().is_empty());
        // A runtime named on the command line and images from another runtime's file would be two nodes in one answer.
        if let (Some(runtime), Some(image)) = (&runtime_endpoint, &image_endpoint)
            && !flags.is_crictl
            && !matches!(runtime.origin, Origin::File(_))
            && matches!(image.origin, Origin::File(_))
            && runtime.value != image.value
        {
            warnings.push(format!(
                "the image endpoint `{}` from {} is not used, because the runtime endpoint comes from {}",
                image.value, image.origin, runtime.origin
            ));
            image_endpoint = None;
        }
        let chosen = match (flags.timeout, file.timeout) {
            (Some(timeout), _) if !timeout.is_zero() => Some(timeout.min(LONGEST)),
            (_, Some(seconds)) if seconds > 0 => {
                Some(Duration::from_secs(seconds.unsigned_abs()).min(LONGEST))
            }
            _ => None,
        };
        let timeout = chosen.unwrap_or(DEFAULT_TIMEOUT);
        Ok(Self {
            runtime_endpoint,
            image_endpoint,
            timeout,
            timeout_is_chosen: chosen.is_some(),
            debug: flags.debug || file.debug.unwrap_or(false),
            pull_image_on_create: file.pull_image_on_create.unwrap_or(false),
            disable_pull_on_run: file.disable_pull_on_run.unwrap_or(false),
            file: found,
            path: place,
            warnings,
        })
    }
}

/// The first setting that was made.
fn first<const N: usize>(candidates: [(Option<String>, Origin); N]) -> Option<Setting<String>> {
    candidates
        .into_iter()
        .find_map(|(value, origin)| value.map(|value| Setting { value, origin }))
}

fn parse(path: &Path, text: &str) -> Result<File, Error> {
    if text.trim().is_empty() {
        return Ok(File::default());
    }
    // The usual way to write it, in which crictl also takes numbers in quotes and keys that are there twice.
    if let Ok(document) = Document::parse(text)
        && document.unknown_keys().next().is_none()
    {
        return File::of(&document).map_err(|misfit| Error::Parse {
            path: path.to_owned(),
            reason: misfit.to_string(),
        });
    }
    serde_saphyr::from_str(text).map_err(|error| Error::Parse {
        path: path.to_owned(),
        // Not the lines of the file: it may be any file, a key too.
        reason: yaml_fault(&error.without_snippet().to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn whatever_stands_in_the_file_is_read_or_refused(text in "\\PC*|([a-z-]{1,20}: [\\[\\]{}&*!|>'\"%@`a-z0-9-]{0,12}\n){0,5}") {
            let _ = Settings::resolve(&Flags::default(), |_| None, |_| Ok(Some(text.clone())));
        }
    }

    fn resolve(
        flags: Flags,
        variables: &[(&str, &str)],
        file: Option<&str>,
    ) -> Result<Settings, Error> {
        Settings::resolve(
            &flags,
            |name| {
                variables
                    .iter()
                    .find(|(key, _)| *key == name)
                    .map(|(_, value)| (*value).to_owned())
            },
            |_| Ok(file.map(str::to_owned)),
        )
    }

    fn endpoint(settings: &Settings) -> Option<(&str, String)> {
        settings
            .runtime_endpoint
            .as_ref()
            .map(|s| (s.value.as_str(), s.origin.to_string()))
    }

    #[test]
    fn flag_beats_environment_beats_file() {
        let file = Some("runtime-endpoint: unix:///file.sock\ntimeout: 7\n");
        let variables = [("CONTAINER_RUNTIME_ENDPOINT", "unix:///env.sock")];
        let flags = Flags {
            runtime_endpoint: Some("unix:///flag.sock".into()),
            ..Flags::default()
        };

        let settings = resolve(flags, &variables, file).unwrap();
        assert_eq!(
            endpoint(&settings),
            Some(("unix:///flag.sock", "the command line".to_owned()))
        );
        assert_eq!(settings.timeout, Duration::from_secs(7));

        let settings = resolve(Flags::default(), &variables, file).unwrap();
        assert_eq!(
            endpoint(&settings),
            Some(("unix:///env.sock", "$CONTAINER_RUNTIME_ENDPOINT".to_owned()))
        );

        let settings = resolve(Flags::default(), &[], file).unwrap();
        assert_eq!(
            endpoint(&settings),
            Some(("unix:///file.sock", "/etc/crictl.yaml".to_owned()))
        );

        let settings = resolve(Flags::default(), &[], None).unwrap();
        assert_eq!(endpoint(&settings), None);
        assert_eq!(settings.timeout, DEFAULT_TIMEOUT);
    }

    #[test]
    fn an_image_endpoint_of_another_runtime_is_dropped_with_a_word() {
        let file = Some("runtime-endpoint: unix:///a.sock\nimage-endpoint: unix:///a.sock\n");
        let flags = Flags {
            runtime_endpoint: Some("unix:///b.sock".into()),
            ..Flags::default()
        };
        let settings = resolve(flags, &[], file).unwrap();
        assert_eq!(settings.image_endpoint, None);
        assert_eq!(settings.warnings.len(), 1);
    }

    #[test]
    fn crictl_also_reads_the_file_beside_it_and_keeps_its_image_endpoint() {
        let flags = Flags {
            runtime_endpoint: Some("unix:///b.sock".into()),
            is_crictl: true,
            beside: Some("/opt/crictl.yaml".into()),
            ..Flags::default()
        };
        let read = |path: &Path| {
            let beside = path == Path::new("/opt/crictl.yaml");
            Ok(beside.then(|| "image-endpoint: unix:///a.sock\n".to_owned()))
        };
        let settings = Settings::resolve(&flags, |_| None, read).unwrap();
        let image = settings.image_endpoint.unwrap();
        assert_eq!(image.value, "unix:///a.sock");
        assert_eq!(image.origin.to_string(), "/opt/crictl.yaml");
        assert!(settings.warnings.is_empty());
    }

    #[test]
    fn a_wrong_key_is_named() {
        let error = resolve(
            Flags::default(),
            &[],
            Some("runtime_endpoint: unix:///a.sock\n"),
        )
        .unwrap_err();
        assert!(error.to_string().contains("runtime_endpoint"), "{error}");
        assert!(error.to_string().contains("/etc/crictl.yaml"), "{error}");
    }

    #[test]
    fn keys_that_are_there_twice_and_numbers_in_quotes_are_taken_as_crictl_takes_them() {
        let file = "timeout: 20\ntimeout: \"5\"\ndebug: 'true'\nimage-endpoint: \"\"\n";
        let settings = resolve(Flags::default(), &[], Some(file)).unwrap();
        assert_eq!(settings.timeout, Duration::from_secs(5));
        assert!(settings.debug);
        assert_eq!(settings.image_endpoint, None);
        let error = resolve(Flags::default(), &[], Some("timeout: 2s\n")).unwrap_err();
        assert!(
            error.to_string().contains("`timeout` takes a whole number"),
            "{error}"
        );
        let flow = resolve(Flags::default(), &[], Some("{timeout: 7}")).unwrap();
        assert_eq!(flow.timeout, Duration::from_secs(7));
    }

    #[test]
    fn a_wrong_file_does_not_hinder_who_edits_it() {
        let flags = Flags {
            edits_file: true,
            config: Some("/nosuch.yaml".into()),
            ..Flags::default()
        };
        for file in [None, Some("timeout: 2s\n")] {
            let settings = resolve(flags.clone(), &[], file).unwrap();
            assert_eq!(settings.path, Path::new("/nosuch.yaml"));
            assert_eq!(settings.timeout, DEFAULT_TIMEOUT);
        }
    }

    #[test]
    fn a_named_file_must_exist() {
        let flags = Flags {
            config: Some("/nosuch.yaml".into()),
            ..Flags::default()
        };
        assert!(matches!(resolve(flags, &[], None), Err(Error::Read { .. })));
    }

    #[test]
    fn an_endpoint_set_to_nothing_is_an_error() {
        let variables = [("CONTAINER_RUNTIME_ENDPOINT", "")];
        assert!(matches!(
            resolve(Flags::default(), &variables, None),
            Err(Error::EmptyEndpoint(_))
        ));
    }
}
