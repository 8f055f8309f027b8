//! proto -> OUT_DIR, and nothing else: messages and client stubs of CRI v1 and of the containerd services we call,
//! the descriptor set, and the wire table that is made from it.

use std::path::{Path, PathBuf};

#[path = "build/table.rs"]
mod table;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=build");
    link();
    let out = PathBuf::from(std::env::var("OUT_DIR")?);

    let mut files = protos_below(Path::new("proto"))?;
    files.sort();
    let descriptors = protox::compile(&files, ["proto"])?;
    let mut bare = descriptors.clone();
    for file in &mut bare.file {
        // Comments, and the place of every word.
        file.source_code_info = None;
    }
    std::fs::write(
        out.join("descriptors.bin"),
        prost::Message::encode_to_vec(&bare),
    )?;
    std::fs::write(out.join("table.rs"), table::source(&descriptors)?)?;

    tonic_prost_build::configure()
        // Sorted maps: the order in which protojson prints them.
        .btree_map(".")
        // Passwords and tokens; `cri` shows these messages without them.
        .skip_debug(["runtime.v1.AuthConfig"])
        // The connection is ours (endpoint::connect), tonic's is not compiled in.
        .build_transport(false)
        .build_client(true)
        // The fake node speaks gRPC itself: it must be able to break every part of it.
        .build_server(false)
        .include_file("services.rs")
        .compile_fds(descriptors)?;
    Ok(())
}

/// What a binary for release can do without, where the linker is the one that rustc brings for Linux on x86-64: an
/// address that the loader chooses for the program itself, which costs a short run a third of its time in relocations;
/// tables for unwinding; several copies of functions that are alike. Libraries, stack and heap stay where chance puts them.
fn link() {
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|found| found == value);
    let mentions = |name: &str, word: &str| std::env::var(name).is_ok_and(|it| it.contains(word));
    let usual = is("PROFILE", "release")
        && is("TARGET", "x86_64-unknown-linux-gnu")
        && is("HOST", "x86_64-unknown-linux-gnu")
        && std::env::var_os("RUSTC_LINKER").is_none()
        && !mentions("CARGO_ENCODED_RUSTFLAGS", "link");
    if usual {
        let root = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
        // A static binary is linked otherwise: `-C relocation-model=static` does the same for it.
        if !mentions("CARGO_CFG_TARGET_FEATURE", "crt-static") {
            println!("cargo:rustc-link-arg-bins=-no-pie");
        }
        println!("cargo:rustc-link-arg-bins=-Wl,--icf=all");
        println!("cargo:rustc-link-arg-bins={root}/build/no-unwind.ld");
    }
}

fn protos_below(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(protos_below(&path)?);
        } else if path
            .extension()
            .is_some_and(|extension| extension == "proto")
        {
            files.push(path);
        }
    }
    Ok(files)
}
