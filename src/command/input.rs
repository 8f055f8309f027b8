//! Files that people write for the runtime: configurations of pods and containers, as JSON or YAML.
//!
//! Keys may be spelled as in the proto (crictl's way) or as in JSON output, enums by name or number. A key that is not
//! known is an error with the nearest one, all mistakes of a file in one pass: crictl drops them in silence.

use std::io;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncReadExt;

use super::session::Session;
use crate::cri;
use crate::dialect::Dialect;
use crate::error::Error;
use crate::secret::cover::yaml_fault;
use crate::wire::{self, Typed};

/// The largest file, in bytes.
const MOST: u64 = 4 * 1024 * 1024;

/// How long a file may take, for example a pipe that nobody writes to.
const DEADLINE: Duration = Duration::from_secs(30);

/// What happens with a key that is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownKeys {
    /// It is a mistake.
    Refuse,
    /// It is left out, as crictl does: files are in use that have some.
    Drop,
}

impl Session {
    /// What happens with unknown keys of files.
    pub fn unknown_keys(&self) -> UnknownKeys {
        match self.dialect {
            Dialect::Own => UnknownKeys::Refuse,
            Dialect::Crictl => UnknownKeys::Drop,
        }
    }
}

/// Reads the configuration of a pod. A missing UID is made up, a missing name or namespace is an error.
///
/// # Errors
/// The file cannot be read or understood.
pub async fn pod_sandbox_config(
    path: &Path,
    unknown: UnknownKeys,
) -> Result<cri::PodSandboxConfig, Error> {
    let mut config: cri::PodSandboxConfig = message(path, unknown).await?;
    let metadata = config.metadata.get_or_insert_default();
    for (key, value) in [("name", &metadata.name), ("namespace", &metadata.namespace)] {
        if value.is_empty() {
            return Err(missing(path, &format!("metadata.{key}")));
        }
    }
    if metadata.uid.is_empty() {
        metadata.uid = uuid()
            .map_err(|error| Error::failure("cannot make up a UID for the pod").because(&error))?;
    }
    Ok(config)
}

/// Reads the configuration of a container. A missing name or image is an error.
///
/// # Errors
/// The file cannot be read or understood.
pub async fn container_config(
    path: &Path,
    unknown: UnknownKeys,
) -> Result<cri::ContainerConfig, Error> {
    let mut config: cri::ContainerConfig = message(path, unknown).await?;
    if config.metadata.get_or_insert_default().name.is_empty() {
        return Err(missing(path, "metadata.name"));
    }
    let image = config.image.get_or_insert_default();
    if image.image.is_empty() {
        return Err(missing(path, "image.image"));
    }
    if image.user_specified_image.is_empty() {
        image.user_specified_image = image.image.clone();
    }
    Ok(config)
}

fn missing(path: &Path, key: &str) -> Error {
    Error::usage(format!("`{}` has no `{key}`", path.display()))
}

/// Reads a message from a file; `-` is stdin.
async fn message<T: Typed + prost::Message + Default>(
    path: &Path,
    unknown: UnknownKeys,
) -> Result<T, Error> {
    let named = |message: &str| Error::usage(format!("{message} `{}`", path.display()));
    let text = read(path)
        .await
        .map_err(|error| named("cannot read").because(&error))?;
    let document = document(&text).map_err(|reason| {
        Error::usage(format!("`{}` is neither JSON nor YAML", path.display()))
            .because(&io::Error::other(reason))
    })?;
    let document = match (document, unknown) {
        // An empty file is an empty message there.
        (Value::Null, UnknownKeys::Drop) => Value::Object(serde_json::Map::new()),
        (document, _) => document,
    };
    let encoded = match unknown {
        UnknownKeys::Refuse => wire::encode(T::TYPE, &document),
        UnknownKeys::Drop => wire::encode_known(T::TYPE, &document).map(|(bytes, _)| bytes),
    };
    let bytes = encoded.map_err(|wire::EncodeErrors(mistakes)| {
        mistakes.iter().fold(
            Error::usage(format!(
                "`{}` is not a {}",
                path.display(),
                short_name::<T>()
            )),
            |error, mistake| error.candidate(mistake),
        )
    })?;
    T::decode(bytes.as_slice()).map_err(|error| named("cannot make a message of").because(&error))
}

/// `PodSandboxConfig`, without the package.
fn short_name<T: Typed>() -> &'static str {
    let name = T::TYPE.name();
    name.rsplit('.').next().unwrap_or(name)
}

async fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    let work = async {
        if path.as_os_str() == "-" {
            tokio::io::stdin()
                .take(MOST + 1)
                .read_to_end(&mut bytes)
                .await
        } else {
            let file = tokio::fs::File::open(path).await?;
            file.take(MOST + 1).read_to_end(&mut bytes).await
        }
    };
    tokio::time::timeout(DEADLINE, work)
        .await
        .map_err(|_| io::ErrorKind::TimedOut)??;
    if bytes.len() as u64 > MOST {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "more than 4 MiB",
        ));
    }
    String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// JSON where it begins like JSON, so that its own errors are shown; else YAML.
fn document(text: &str) -> Result<Value, String> {
    if text.trim_start().starts_with(['{', '[']) {
        match serde_json::from_str(text) {
            Ok(document) => Ok(document),
            // YAML has braces too.
            Err(error) => serde_saphyr::from_str(text).map_err(|_| error.to_string()),
        }
    } else {
        // Without the lines of the file: the environment of a container holds passwords.
        serde_saphyr::from_str(text)
            .map_err(|error| yaml_fault(&error.without_snippet().to_string()))
    }
}

/// A random UUID, version 4.
fn uuid() -> io::Result<String> {
    use io::Read;
    let mut bytes = [0_u8; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn pod(text: &str) -> Result<cri::PodSandboxConfig, Error> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pod.yaml");
        std::fs::write(&path, text).unwrap();
        pod_sandbox_config(&path, UnknownKeys::Refuse).await
    }

    #[tokio::test]
    async fn unknown_keys_are_left_out_for_crictl_and_other_mistakes_stay() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pod.json");
        let metadata = r#""metadata": {"name": "a", "namespace": "b", "uid": "u"}"#;
        let text =
            format!(r#"{{{metadata}, "resources": {{"cpu": {{"limits": 3}}}}, "hostname": "h"}}"#);
        std::fs::write(&path, text).unwrap();
        let config = pod_sandbox_config(&path, UnknownKeys::Drop).await.unwrap();
        assert_eq!(config.hostname, "h");
        std::fs::write(
            &path,
            format!(r#"{{{metadata}, "resources": 1, "hostname": 2, "labels": {{"a": true}}}}"#),
        )
        .unwrap();
        let config = pod_sandbox_config(&path, UnknownKeys::Drop).await.unwrap();
        assert_eq!((&*config.hostname, &*config.labels["a"]), ("2", "true"));
        std::fs::write(&path, format!(r#"{{{metadata}, "hostname": []}}"#)).unwrap();
        let error = pod_sandbox_config(&path, UnknownKeys::Drop)
            .await
            .unwrap_err();
        assert_eq!(
            error.candidates(),
            ["`hostname`: expected a string, found a list"]
        );
    }

    #[tokio::test]
    async fn json_and_yaml_in_both_spellings() {
        let json = r#"{"metadata": {"name": "a", "namespace": "b", "uid": "u"}, "log_directory": "/l",
            "linux": {"security_context": {"namespace_options": {"network": 2}}}}"#;
        let yaml = "metadata: {name: a, namespace: b, uid: u}\nlogDirectory: /l\nlinux:\n  securityContext:\n    namespaceOptions: {network: NODE}\n";
        assert_eq!(pod(json).await.unwrap(), pod(yaml).await.unwrap());
        let flow = "{metadata: {name: a, namespace: b, uid: u}, logDirectory: /l, linux: {securityContext: {namespaceOptions: {network: NODE}}}}";
        assert_eq!(pod(json).await.unwrap(), pod(flow).await.unwrap());
    }

    #[tokio::test]
    async fn a_uid_is_made_up_and_a_name_is_not() {
        let one = pod("metadata: {name: a, namespace: b}").await.unwrap();
        let other = pod("metadata: {name: a, namespace: b}").await.unwrap();
        let uid = |config: &cri::PodSandboxConfig| config.metadata.clone().unwrap().uid;
        assert_eq!(uid(&one).len(), 36);
        assert_ne!(uid(&one), uid(&other));
        for text in ["metadata: {name: a}", "metadata: {namespace: b}", "{}"] {
            let error = pod(text).await.unwrap_err();
            assert!(error.message().contains("has no `metadata."), "{error:?}");
        }
    }

    #[tokio::test]
    async fn mistakes_are_named_with_the_nearest_key() {
        let error =
            pod("metadata: {name: a, namespace: b}\nlog_dirctory: /l\nlinux: {cgroup_parant: x}")
                .await
                .unwrap_err();
        assert!(error.message().ends_with("is not a PodSandboxConfig"));
        assert_eq!(
            error.candidates(),
            [
                "unknown key `log_dirctory`, did you mean `log_directory`?",
                "`linux`: unknown key `cgroup_parant`, did you mean `cgroup_parent`?"
            ]
        );
        let error = pod("{\"metadata\": ").await.unwrap_err();
        assert!(error.message().ends_with("is neither JSON nor YAML"));
        assert!(error.causes()[0].contains("line 1"), "{error:?}");
    }
}
