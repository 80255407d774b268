//! Kubernetes manifests: rendered by the real kustomize, checked against Kubernetes' own schemas and against the rules
//! that no schema has.
//!
//! ```ignore
//! let documents = [manifests::kustomize("k8s/base"), manifests::example_secret()].concat();
//! manifests::check_schemas(&documents);
//! manifests::check_rules(&documents);
//! ```
//!
//! What the manifests expect to exist outside of them is given along, as a document: so every reference has its end.

mod defaults;
mod document;
mod migration;
mod pod_security;
mod references;
mod settings;
mod validation;

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::process::{clean_command, must_run, run_with_input};
use super::tools;

/// The oldest release of Kubernetes that we support: the first where `podReplacementPolicy` is switched on (beta in 1.29,
/// stable in 1.34; `podFailurePolicy` is since 1.26 and 1.31).
pub const OLDEST: &str = "1.29";

/// A rule and where it is broken.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Broken {
    pub rule: &'static str,
    pub place: String,
}

/// The documents of a kustomization; the folder is below the repository's root, or an absolute path.
#[track_caller]
pub fn kustomize(folder: impl AsRef<Path>) -> Vec<Value> {
    let mut build = clean_command(tools::kustomize());
    build.arg("build").arg(root().join(folder));
    yaml(&must_run(build))
}

/// The Secret that the examples expect: what a user makes of `k8s/secret.example.yaml`.
#[track_caller]
pub fn example_secret() -> Vec<Value> {
    yaml(&std::fs::read_to_string(root().join("k8s/secret.example.yaml")).expect("the example"))
}

/// YAML as Kubernetes reads it; a key that is there twice is refused.
#[track_caller]
pub fn yaml(text: &str) -> Vec<Value> {
    serde_json::from_str(&python("read.py", &[], text)).expect("a list of documents")
}

/// Fails with what any supported release would refuse. Takes the documents of many renderings at once: it starts
/// Python, and reads each schema, once.
#[track_caller]
pub fn check_schemas(documents: &[Value]) {
    let refused = schema_errors(documents);
    assert!(refused.is_empty(), "Kubernetes would refuse:\n{refused}");
}

/// What any supported release would refuse, one line for each document, release and reason.
#[track_caller]
pub fn schema_errors(documents: &[Value]) -> String {
    assert!(!documents.is_empty(), "there is nothing to check");
    let documents = serde_json::to_string(documents).expect("JSON");
    python("schemas.py", &[OLDEST], &documents)
}

/// Fails with every rule that this set of documents, which is one installation, breaks.
#[track_caller]
pub fn check_rules(documents: &[Value]) {
    let broken: Vec<String> =
        broken_rules(documents).into_iter().map(|broken| format!("{}: {}", broken.rule, broken.place)).collect();
    assert!(broken.is_empty(), "rules are broken:\n{}", broken.join("\n"));
}

/// Every rule that this set of documents breaks, and where.
pub fn broken_rules(documents: &[Value]) -> Vec<Broken> {
    let set = document::Set::new(documents);
    let mut findings = document::Findings::default();
    let checks =
        [validation::check, defaults::check, pod_security::check, references::check, migration::check, settings::check];
    for check in checks {
        check(&set, &mut findings);
    }
    let mut broken = findings.broken;
    broken.sort();
    broken.dedup();
    broken
}

/// The first document whose `Kind/name` begins like this: generated names end in a hash.
#[track_caller]
pub fn one<'a>(documents: &'a [Value], title: &str) -> &'a Value {
    let mut found = documents.iter().filter(|it| document::title(it).starts_with(title));
    found.next().unwrap_or_else(|| panic!("there is no {title}"))
}

/// What a document with pods names: kind, name, and the keys it wants.
pub fn wanted(document: &Value) -> Vec<(&'static str, String, Vec<String>)> {
    let set = document::Set::new(std::slice::from_ref(document));
    set.pods.iter().flat_map(references::named).collect()
}

#[track_caller]
pub fn python(script: &str, arguments: &[&str], input: &str) -> String {
    let mut python = clean_command(tools::python());
    python.arg(root().join("tests/kubernetes").join(script)).args(arguments);
    // Nothing is left beside the scripts.
    python.env("PYTHONDONTWRITEBYTECODE", "1");
    let output = run_with_input(python, input);
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn root() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}
