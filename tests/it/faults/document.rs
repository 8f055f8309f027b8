//! `docs/faults.md`: what criscope and crictl do in every situation. criscope's part is what it does when this test runs;
//! crictl's is a record of one version, in `crictl.tsv`.
//!
//! `CRISCOPE_BLESS=1 cargo test --test it faults::document` writes the document anew; with `CRISCOPE_CRICTL=/path/to/crictl`
//! the record, too.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use super::commands::{self, Line};
use super::situations::{Place, Situation, situations};
use super::{NOBODY, Outcome, ended, is_root, open_to_all, run};

const RECORD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/faults/crictl.tsv");

/// The commands whose exit codes are shown; of the first one what it says, too.
const SHOWN: [&str; 4] = ["ps", "exec", "pull", "endpoints"];

/// The deadline of a run: long enough for a busy machine, because what is said must not depend on it.
const DEADLINE: &str = "2s";

/// crictl's is two seconds, for connecting; what takes longer than this does not end.
const PATIENCE: Duration = Duration::from_secs(10);

const INTRODUCTION: &str = "\
# Faults

What `criscope` does where the endpoint is not what it should be, and what crictl does there. Written by a test that brings
every situation about (`tests/it/faults.rs`); when something else happens, that test fails. The same suite runs every
command in every situation, with these rules: it ends by itself and in time, with one error, an exit code of
[exit-codes.md](exit-codes.md), no control characters, and leaves nothing behind.

";

struct Row {
    name: &'static str,
    says: String,
    codes: Vec<String>,
}

fn code(outcome: &Outcome) -> String {
    outcome.code.map_or("–".to_owned(), |code| code.to_string())
}

/// A sentence for one cell of a table.
fn cell(text: &str) -> String {
    const LONGEST: usize = 240;
    let mut text = text.replace('|', "\\|").replace('<', "&lt;");
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// What was shown where nothing failed.
fn shown(outcome: &Outcome) -> String {
    let text = String::from_utf8_lossy(&outcome.stdout);
    let acts = |c: char| {
        c.is_control() && c != '\n' && c != '\t' || ('\u{202a}'..='\u{202e}').contains(&c)
    };
    let rows = text.lines().count().saturating_sub(1);
    match text.contains(acts) {
        true => format!("(a table of {rows} rows with control characters in it)"),
        false => format!("(a table of {rows} rows)"),
    }
}

/// The error of criscope with its causes, or what it showed instead, with what it warned of.
fn says(outcome: &Outcome, endpoint: &str) -> String {
    let text = placeless(&outcome.stderr, endpoint);
    let mut lines = text.lines();
    let Some(error) = lines.find_map(|line| line.strip_prefix("error: ")) else {
        let warnings: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("warning: "))
            .collect();
        return cell(&[vec![&*shown(outcome)], warnings].concat().join("; "));
    };
    let error = error.replace(" at `ENDPOINT`", "");
    let causes = lines.map_while(|line| line.strip_prefix("  cause: "));
    let all: Vec<&str> = std::iter::once(&*error).chain(causes).collect();
    cell(&all.join(": "))
}

/// A text without the place of the socket, which differs from run to run.
fn placeless(text: &str, endpoint: &str) -> String {
    let path = endpoint.trim_start_matches("unix://");
    let directory = path
        .rsplit_once('/')
        .map_or(path, |(directory, _)| directory);
    text.replace(endpoint, "ENDPOINT")
        .replace(path, "SOCKET")
        .replace(directory, "DIRECTORY")
}

fn row(situation: &Situation, lines: &[Line], scratch: &Path) -> Row {
    let mut row = Row {
        name: situation.name,
        says: String::new(),
        codes: Vec::new(),
    };
    for name in SHOWN {
        let line = lines.iter().find(|line| line.name() == name).unwrap();
        let scratch = scratch.join(name);
        std::fs::create_dir_all(&scratch).unwrap();
        let place = situation.bring_about();
        let outcome = run(line, &place, situation, &scratch, DEADLINE);
        if row.codes.is_empty() {
            row.says = says(&outcome, &place.endpoint());
        }
        row.codes.push(code(&outcome));
    }
    row
}

/// What crictl does, as three cells.
fn crictl(program: &str, situation: &Situation, place: &Place, scratch: &Path) -> String {
    use std::os::unix::process::CommandExt;
    std::fs::create_dir_all(scratch.join("home")).unwrap();
    let endpoint = place.endpoint();
    let mut command = Command::new(program);
    command.args(["-r", &endpoint, "ps"]);
    if situation.is_for_others() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let outcome = ended(command, &endpoint, scratch, PATIENCE);
    let seconds = match outcome.code {
        None => "> 10 s".to_owned(),
        Some(_) if outcome.took < Duration::from_millis(500) => "at once".to_owned(),
        Some(_) => format!("{:.0} s", outcome.took.as_secs_f64()),
    };
    let last = outcome.stderr.lines().last().unwrap_or_default();
    let message = last.split_once("msg=").map_or(last, |(_, message)| message);
    let quoted = message
        .strip_prefix('"')
        .and_then(|it| it.strip_suffix('"'));
    let message = quoted.unwrap_or(message).replace("\\\"", "\"");
    let message = placeless(&message, &endpoint);
    // The same at the beginning of nearly all of them.
    let message = message.replace(" for endpoint \"ENDPOINT\": ", ": ");
    let says = match outcome.code {
        Some(0) => shown(&outcome),
        None => "(does not end)".to_owned(),
        Some(_) => cell(&message),
    };
    format!("{}\t{seconds}\t{says}", code(&outcome))
}

fn record(program: &str, situations: &[Situation]) {
    let version = Command::new(program).arg("--version").output().unwrap();
    let mut text = String::from_utf8(version.stdout).unwrap();
    let directory = tempfile::tempdir().unwrap();
    open_to_all(directory.path());
    for (at, situation) in situations.iter().enumerate() {
        let place = situation.bring_about();
        let scratch = directory.path().join(at.to_string());
        let did = crictl(program, situation, &place, &scratch);
        writeln!(text, "{}\t{did}", situation.name).unwrap();
    }
    std::fs::write(RECORD, text).unwrap();
}

#[test]
fn the_document_says_what_happens() {
    if !is_root() {
        // Root alone can be somebody else.
        return;
    }
    let (lines, situations) = (commands::lines(), situations());
    let bless = std::env::var_os("CRISCOPE_BLESS").is_some();
    if let Some(program) = std::env::var_os("CRISCOPE_CRICTL").filter(|_| bless) {
        record(program.to_str().unwrap(), &situations);
    }
    let known = std::fs::read_to_string(RECORD).unwrap_or_default();
    let (version, record) = known.split_once('\n').unwrap_or_default();
    let record: BTreeMap<&str, Vec<&str>> = record
        .lines()
        .map(|line| line.split('\t').collect::<Vec<_>>())
        .map(|cells| (cells[0], cells[1..].to_vec()))
        .collect();

    let directory = tempfile::tempdir().unwrap();
    open_to_all(directory.path());
    let rows = Mutex::new(BTreeMap::new());
    let next = Mutex::new(0..situations.len());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let Some(at) = next.lock().unwrap().next() else {
                        return;
                    };
                    let scratch = directory.path().join(at.to_string());
                    std::fs::create_dir(&scratch).unwrap();
                    open_to_all(&scratch);
                    let row = row(&situations[at], &lines, &scratch);
                    rows.lock().unwrap().insert(at, row);
                }
            });
        }
    });

    let mut text = INTRODUCTION.to_owned();
    let codes = SHOWN.map(|name| format!("`{name}`")).join(" | ");
    writeln!(
        text,
        "Of criscope: what `ps` says, and the exit codes of some commands. Of {version}: what `ps` says, its \
         exit code, and how long it took.\n\n| where | criscope | {codes} | crictl | code | took |\n|---|---|{}---|---|---|",
        "---|".repeat(SHOWN.len())
    )
    .unwrap();
    for row in rows.into_inner().unwrap().values() {
        let unknown = vec!["", "", "(not measured)"];
        let other = record.get(row.name).unwrap_or(&unknown);
        writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} |",
            row.name,
            row.says,
            row.codes.join(" | "),
            other[2],
            other[0],
            other[1]
        )
        .unwrap();
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/faults.md");
    if bless {
        std::fs::write(path, &text).unwrap();
    }
    let known = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(known, text, "CRISCOPE_BLESS=1 writes it anew");
}
