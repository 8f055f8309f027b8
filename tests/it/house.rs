//! The plan of rooms: who may import whom. A module may name what stands in its line, and itself.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Rooms and what they may know, from the vocabulary up to the face. Generated types (`cri`) are a room of their own.
const PLAN: &[(&str, &[&str])] = &[
    // Vocabulary: pure.
    ("cri", &["wire"]),
    ("wire", &["cri"]),
    ("model", &["cri", "wire"]),
    ("registry", &["secret"]),
    ("endpoint", &["cri"]),
    ("facts", &["registry", "endpoint", "model", "secret"]),
    ("secret", &[]),
    ("template", &[]),
    ("interrupt", &[]),
    // Reach.
    ("spans", &[]),
    ("client", &["cri", "endpoint", "secret", "spans", "wire"]),
    ("stream", &["client", "endpoint", "files", "model"]),
    (
        "probe",
        &[
            "client", "cri", "endpoint", "facts", "model", "registry", "secret", "wire",
        ],
    ),
    // Judge.
    (
        "check",
        &["facts", "registry", "endpoint", "model", "secret"],
    ),
    // Show.
    (
        "render",
        &[
            "check",
            "endpoint",
            "error",
            "facts",
            "interrupt",
            "model",
            "probe",
            "registry",
            "secret",
            "wire",
        ],
    ),
    // Beside command.
    ("files", &[]),
    ("settings", &["secret"]),
    (
        "error",
        &[
            "check", "client", "endpoint", "probe", "registry", "render", "settings", "stream",
        ],
    ),
    ("dialect", &["error"]),
    // Act.
    (
        "command",
        &[
            "check",
            "client",
            "cri",
            "dialect",
            "endpoint",
            "error",
            "facts",
            "fake",
            "files",
            "interrupt",
            "model",
            "probe",
            "registry",
            "render",
            "secret",
            "settings",
            "spans",
            "stream",
            "template",
            "wire",
        ],
    ),
    // Face.
    (
        "cli",
        &[
            "command",
            "dialect",
            "error",
            "files",
            "interrupt",
            "render",
            "secret",
            "settings",
            "spans",
        ],
    ),
    ("main", &["cli"]),
    ("fake", &["client", "cri", "wire"]),
];

#[test]
fn rooms_know_only_what_the_plan_allows() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for file in sources(&src) {
        let room = room(&src, &file);
        if room == "lib" {
            continue;
        }
        let Some((_, allowed)) = PLAN.iter().find(|(name, _)| *name == room) else {
            wrong.push(format!(
                "{}: the room `{room}` is not in the plan",
                file.display()
            ));
            continue;
        };
        let text = std::fs::read_to_string(&file).expect("sources are readable");
        for named in named(&text) {
            if named != room && !allowed.contains(&named.as_str()) {
                wrong.push(format!(
                    "{}: `{room}` must not know `{named}`",
                    file.display()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The sources below a folder, without modules that only tests have.
fn sources(src: &Path) -> Vec<PathBuf> {
    let all = files(src);
    let mut for_tests = Vec::new();
    for file in &all {
        let text = std::fs::read_to_string(file).expect("sources are readable");
        let lines: Vec<&str> = text.lines().collect();
        for pair in lines.windows(2).filter(|pair| pair[0] == "#[cfg(test)]") {
            let declared = pair[1]
                .trim_start_matches("pub(super) ")
                .trim_start_matches("pub(crate) ");
            if let Some(name) = declared
                .strip_prefix("mod ")
                .and_then(|rest| rest.strip_suffix(';'))
            {
                for_tests.push(file.with_extension("").join(format!("{name}.rs")));
            }
        }
    }
    all.into_iter()
        .filter(|file| !for_tests.contains(file))
        .collect()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).expect("src is readable") {
        let path = entry.expect("src is readable").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

fn room(src: &Path, file: &Path) -> String {
    let inside = file.strip_prefix(src).expect("file is below src");
    let first = inside
        .components()
        .next()
        .expect("file has a name")
        .as_os_str()
        .to_string_lossy()
        .into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// A source without the tests at its end. A module of tests in a file of its own is only declared, wherever that is.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or_default()
}

/// The rooms that a source names by `crate::…` or `criscope::…`, outside comments and tests.
fn named(text: &str) -> BTreeSet<String> {
    let text = without_tests(text);
    let mut found = BTreeSet::new();
    for line in text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
    {
        for (index, prefix) in line
            .match_indices("crate::")
            .chain(line.match_indices("criscope::"))
        {
            let rest = &line[index + prefix.len()..];
            let name: String = rest
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect();
            if !name.is_empty() {
                found.insert(name);
            }
        }
    }
    found
}

#[test]
fn only_the_named_rooms_are_not_pure() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    // Vocabulary, judge and show: no files, no sockets, no clock, no command line.
    for file in sources(&src) {
        let room = room(&src, &file);
        if !["model", "registry", "facts", "check", "template", "wire"].contains(&room.as_str()) {
            continue;
        }
        let text = std::fs::read_to_string(&file).expect("sources are readable");
        let text = without_tests(&text);
        for world in [
            "std::fs",
            "TcpStream",
            "UnixStream",
            "tokio::",
            "clap::",
            "Timestamp::now",
            "SystemTime::now",
            "std::env::var",
        ] {
            assert!(
                !text.contains(world),
                "{}: `{room}` is pure, but names `{world}`",
                file.display()
            );
        }
    }
}
