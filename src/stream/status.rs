//! How a remote command ended: the Status (JSON) that a streaming server sends on the error channel at the end.
//!
//! After `metav1.Status` of Kubernetes: `status` is `Success` or `Failure`; a command that ended with a code of its own
//! has the reason `NonZeroExitCode` and the code among the causes.

use serde::Deserialize;

/// The largest Status that is read, in bytes.
pub const LARGEST: usize = 256 << 10;

/// The code with which a shell says that a command cannot be run.
pub const CANNOT_RUN: u8 = 126;
/// The code with which a shell says that there is no such command.
pub const NOT_FOUND: u8 = 127;

const SUCCESS: &str = "Success";
const NON_ZERO: &str = "NonZeroExitCode";
const EXIT_CODE: &str = "ExitCode";

/// How a remote command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It ran and ended with this code.
    Exited(u8),
    /// It did not run, or the runtime lost it: the runtime's own words.
    Failed(String),
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    status: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    message: String,
    details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    #[serde(default)]
    causes: Vec<Cause>,
}

#[derive(Deserialize)]
struct Cause {
    #[serde(default)]
    reason: String,
    #[serde(default)]
    message: String,
}

/// Reads what came on the error channel. Servers older than the Status sent plain text, and nothing on success.
pub fn read(bytes: &[u8]) -> Outcome {
    let Ok(status) = serde_json::from_slice::<Status>(bytes) else {
        return match String::from_utf8_lossy(bytes).trim() {
            "" => Outcome::Exited(0),
            text => Outcome::Failed(text.to_owned()),
        };
    };
    if status.status == SUCCESS {
        return Outcome::Exited(0);
    }
    if status.reason == NON_ZERO
        && let Some(code) = status
            .details
            .iter()
            .flat_map(|details| &details.causes)
            .find_map(code)
    {
        return Outcome::Exited(code);
    }
    Outcome::Failed(if status.message.is_empty() {
        "the runtime gave no reason".to_owned()
    } else {
        status.message
    })
}

fn code(cause: &Cause) -> Option<u8> {
    if cause.reason != EXIT_CODE {
        return None;
    }
    Some(exit_code(cause.message.trim().parse().ok()?))
}

/// The eight bits of a code that a shell can see. One that these bits would turn into success is 255.
pub fn exit_code(code: i32) -> u8 {
    match u8::try_from(code & 0xff) {
        Ok(0) | Err(_) if code != 0 => u8::MAX,
        Ok(code) => code,
        Err(_) => u8::MAX,
    }
}

/// What a shell would exit with where the command could not even be started, if that is what the runtime says. CRI has
/// no type for it: the OCI runtimes (runc, crun) say it in these words, and docker reads them in the same way.
pub fn not_started(message: &str) -> Option<u8> {
    let message = message.to_ascii_lowercase();
    let says = |words: &str| message.contains(words);
    if !says("exec") {
        return None;
    }
    if says("executable file") && says("not found in $path") || says("no such file or directory") {
        return Some(NOT_FOUND);
    }
    let cannot = says("permission denied") || says("is a directory") || says("exec format error");
    cannot.then_some(CANNOT_RUN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_out_of_the_status() {
        #[track_caller]
        fn case(text: &str, expected: Outcome) {
            assert_eq!(read(text.as_bytes()), expected, "{text}");
        }
        case(r#"{"metadata":{},"status":"Success"}"#, Outcome::Exited(0));
        case("", Outcome::Exited(0));
        case(
            r#"{"metadata":{},"status":"Failure","message":"command terminated with non-zero exit code","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"7"}]}}"#,
            Outcome::Exited(7),
        );
        case(
            r#"{"status":"Failure","message":"no","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"x"}]}}"#,
            Outcome::Failed("no".into()),
        );
        case(
            r#"{"status":"Failure","message":"container is gone"}"#,
            Outcome::Failed("container is gone".into()),
        );
        case(
            r#"{"status":"Failure"}"#,
            Outcome::Failed("the runtime gave no reason".into()),
        );
        case(
            "error: old server",
            Outcome::Failed("error: old server".into()),
        );
        case("[1]", Outcome::Failed("[1]".into()));
    }

    #[test]
    fn codes_have_eight_bits() {
        for (code, expected) in [
            (0, 0),
            (7, 7),
            (255, 255),
            (256, 255),
            (-1, 255),
            (300, 44),
            (i32::MIN, 255),
        ] {
            assert_eq!(exit_code(code), expected, "{code}");
        }
    }

    #[test]
    fn words_of_the_oci_runtimes() {
        #[track_caller]
        fn case(text: &str, expected: Option<u8>) {
            assert_eq!(not_started(text), expected, "{text}");
        }
        case(
            "OCI runtime exec failed: exec failed: unable to start container process: exec: \"nosuch\": executable file not found in $PATH: unknown",
            Some(127),
        );
        case(
            "exec: \"/nosuch\": stat /nosuch: no such file or directory: unknown",
            Some(127),
        );
        case(
            "exec failed: executable file `nosuch` not found in $PATH: No such file or directory",
            Some(127),
        );
        case(
            "exec: \"/etc/passwd\": permission denied: unknown",
            Some(126),
        );
        case("exec /x: exec format error", Some(126));
        case("container is not running", None);
        case("permission denied", None);
    }
}
