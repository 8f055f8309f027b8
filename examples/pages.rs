//! What stands beside the binary in a release: man pages and completions from the parser, and a bill of materials from
//! the lock file. `pages DIR` writes them.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, ExitCode};

use clap_complete::Shell;
use serde_json::{Value, json};

fn main() -> ExitCode {
    let Some(directory) = std::env::args_os().nth(1) else {
        return complain("usage: pages DIR");
    };
    match write(Path::new(&directory)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&error.to_string()),
    }
}

#[expect(clippy::print_stderr, reason = "a program that talks")]
fn complain(what: &str) -> ExitCode {
    eprintln!("{what}");
    ExitCode::FAILURE
}

fn write(directory: &Path) -> io::Result<()> {
    let man = directory.join("man");
    fs::create_dir_all(&man)?;
    clap_mangen::generate_to(criscope::cli::parser(), &man)?;
    let completions = directory.join("completions");
    fs::create_dir_all(&completions)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(
            shell,
            &mut criscope::cli::parser(),
            "criscope",
            &completions,
        )?;
    }
    let text = serde_json::to_string_pretty(&materials()?)?;
    fs::write(directory.join("sbom.cdx.json"), text + "\n")
}

/// Everything that is linked into the binary, as CycloneDX 1.5.
fn materials() -> io::Result<Value> {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--locked"])
        .output()?;
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let none = Vec::new();
    let list = |value: &Value| value.as_array().unwrap_or(&none).clone();
    // From the root along normal dependencies: what builds and tests is not shipped.
    let nodes = list(&metadata["resolve"]["nodes"]);
    let mut shipped = vec![metadata["resolve"]["root"].clone()];
    let mut at = 0;
    while let Some(id) = shipped.get(at).cloned() {
        at += 1;
        let node = nodes.iter().find(|node| node["id"] == id);
        for dependency in node.map(|node| list(&node["deps"])).unwrap_or_default() {
            let normal = |kind: &Value| kind["kind"].is_null();
            let package = &dependency["pkg"];
            if list(&dependency["dep_kinds"]).iter().any(normal) && !shipped.contains(package) {
                shipped.push(package.clone());
            }
        }
    }
    let packages = list(&metadata["packages"]);
    let mut components: Vec<Value> = packages
        .iter()
        .filter(|package| shipped.contains(&package["id"]) && package["id"] != shipped[0])
        .map(|package| {
            let (name, version) = (&package["name"], &package["version"]);
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            json!({
                "type": "library",
                "name": name,
                "version": version,
                "purl": format!("pkg:cargo/{}@{}", text(name), text(version)),
                "licenses": [{ "expression": package["license"] }],
            })
        })
        .collect();
    components.sort_by_key(|component| component["purl"].to_string());
    let root = packages.iter().find(|package| package["id"] == shipped[0]);
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "component": {
            "type": "application",
            "name": "criscope",
            "version": root.map(|package| package["version"].clone()),
        }},
        "components": components,
    }))
}
