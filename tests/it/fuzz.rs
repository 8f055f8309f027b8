//! The corpora of the fuzz targets, replayed: what fuzzing found once does not come back, also where there is no nightly
//! toolchain to fuzz with.

#[path = "../../fuzz/bodies.rs"]
mod bodies;

use std::path::Path;

#[test]
fn the_corpora_are_survived() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    for (name, body) in bodies::BODIES {
        let corpus = std::fs::read_dir(fuzz.join("corpus").join(name)).unwrap();
        let files: Vec<_> = corpus.map(|entry| entry.unwrap().path()).collect();
        assert!(!files.is_empty(), "{name} has a corpus");
        for file in files {
            let data = std::fs::read(&file).unwrap();
            // Cut short at every place, too: that is what an interrupted peer sends.
            for end in 0..=data.len() {
                body(&data[..end]);
            }
        }
        assert!(fuzz.join(format!("fuzz_targets/{name}.rs")).exists());
    }
}
