//! Checks the corpus of the fuzzing targets on every run: `fuzz/properties` has the properties, `fuzz/corpus` the
//! inputs, each of which once covered something new. CONTRIBUTING.md says how to look for more.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[path = "../../fuzz/properties/copy_rows.rs"]
mod copy_rows;
#[path = "../../fuzz/properties/directives.rs"]
mod directives;
#[path = "../../fuzz/properties/history_row.rs"]
mod history_row;
#[path = "../../fuzz/properties/json_export.rs"]
mod json_export;
#[path = "../../fuzz/properties/json_text.rs"]
mod json_text;
#[path = "../../fuzz/properties/masking.rs"]
mod masking;
#[path = "../../fuzz/properties/splitter.rs"]
mod splitter;
#[path = "../../fuzz/properties/url.rs"]
mod url;

/// A property panics when it does not hold for these bytes.
type Property = fn(&[u8]);

const PROPERTIES: [(&str, Property); 8] = [
    ("copy_rows", copy_rows::check),
    ("directives", directives::check),
    ("history_row", history_row::check),
    ("json_export", json_export::check),
    ("json_text", json_text::check),
    ("masking", masking::check),
    ("splitter", splitter::check),
    ("url", url::check),
];

fn fuzz_directory(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(name)
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    entries.map(|entry| entry.expect("an entry of the directory").path()).collect()
}

#[test]
fn every_property_holds_for_its_corpus() {
    for (name, check) in PROPERTIES {
        let inputs = entries(&fuzz_directory("corpus").join(name));
        assert!(inputs.len() >= 4, "{name} has {} inputs", inputs.len());
        for input in inputs {
            eprintln!("{}", input.display());
            check(&fs::read(&input).expect("an input"));
        }
    }
}

#[test]
fn every_target_has_a_property_that_is_tested_here() {
    let names = |directory: &str| -> BTreeSet<String> {
        let stem = |path: PathBuf| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        entries(&fuzz_directory(directory)).into_iter().filter_map(stem).collect()
    };
    let tested: BTreeSet<String> = PROPERTIES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names("fuzz_targets"), tested);
    assert_eq!(names("properties"), tested);
    assert_eq!(names("corpus"), tested);
    let manifest = fs::read_to_string(fuzz_directory("Cargo.toml")).expect("the targets' manifest");
    for name in tested {
        let target = fs::read_to_string(fuzz_directory("fuzz_targets").join(format!("{name}.rs"))).expect("a target");
        let checks = target.contains(&format!("properties/{name}.rs"))
            && target.contains(&format!("fuzz_target!(|data: &[u8]| {name}::check(data))"));
        assert!(checks, "the target {name} checks another property");
        assert!(manifest.contains(&format!("name = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"")), "{name}");
    }
}
