//! Renders Kubernetes manifests with the real kustomize and checks them against Kubernetes' own schemas and against
//! rules that no schema has.
//!
//! ```ignore
//! let documents = [manifests::kustomize("k8s/base"), manifests::example_secret()].concat();
//! manifests::check_schemas(&documents);
//! manifests::check_rules(&documents);
//! ```
//!
//! Objects that the manifests expect to exist already are passed along as documents, so that every reference has a
//! target.

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

/// The oldest release of Kubernetes that we support: the first where `podReplacementPolicy` is switched on (beta in
/// 1.29, stable in 1.34; `podFailurePolicy` is since 1.26 and 1.31).
pub const OLDEST: &str = "1.29";

/// A rule that is broken, and the place.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BrokenRule {
    pub rule: &'static str,
    pub place: String,
}

/// Renders a kustomization; the directory is below the repository's root, or an absolute path.
#[track_caller]
pub fn kustomize(directory: impl AsRef<Path>) -> Vec<Value> {
    let mut build = clean_command(tools::kustomize());
    build.arg("build").arg(root().join(directory));
    yaml(&must_run(build))
}

/// Returns the Secret that the examples expect: what a user makes of `k8s/secret.example.yaml`.
#[track_caller]
pub fn example_secret() -> Vec<Value> {
    yaml(&std::fs::read_to_string(root().join("k8s/secret.example.yaml")).expect("the example"))
}

/// Parses YAML as Kubernetes does; a duplicate key is refused.
#[track_caller]
pub fn yaml(text: &str) -> Vec<Value> {
    serde_json::from_str(&python("read.py", &[], text)).expect("a list of documents")
}

/// Panics with what any supported release would refuse. Takes the documents of many renderings at once: it starts
/// Python and reads each schema once.
#[track_caller]
pub fn check_schemas(documents: &[Value]) {
    let refused = schema_errors(documents);
    assert!(refused.is_empty(), "Kubernetes would refuse:\n{refused}");
}

/// Returns what any supported release would refuse, one line for each document, release and reason.
#[track_caller]
pub fn schema_errors(documents: &[Value]) -> String {
    assert!(!documents.is_empty(), "there is nothing to check");
    let documents = serde_json::to_string(documents).expect("JSON");
    python("schemas.py", &[OLDEST], &documents)
}

/// Panics with every rule that this set of documents, which is one installation, breaks.
#[track_caller]
pub fn check_rules(documents: &[Value]) {
    let broken: Vec<String> =
        broken_rules(documents).into_iter().map(|broken| format!("{}: {}", broken.rule, broken.place)).collect();
    assert!(broken.is_empty(), "rules are broken:\n{}", broken.join("\n"));
}

/// Returns every rule that this set of documents breaks, and where.
pub fn broken_rules(documents: &[Value]) -> Vec<BrokenRule> {
    let installation = document::Installation::new(documents);
    let mut findings = document::Findings::default();
    let checks =
        [validation::check, defaults::check, pod_security::check, references::check, migration::check, settings::check];
    for check in checks {
        check(&installation, &mut findings);
    }
    let mut broken = findings.broken;
    broken.sort();
    broken.dedup();
    broken
}

/// Returns the first document whose `Kind/name` begins with `title`: generated names end in a hash.
#[track_caller]
pub fn one<'a>(documents: &'a [Value], title: &str) -> &'a Value {
    let mut found = documents.iter().filter(|it| document::title(it).starts_with(title));
    found.next().unwrap_or_else(|| panic!("there is no {title}"))
}

/// Returns the objects that a document with pods references: kind, name, and the keys it needs.
pub fn referenced_objects(document: &Value) -> Vec<(&'static str, String, Vec<String>)> {
    let installation = document::Installation::new(std::slice::from_ref(document));
    installation.pods.iter().flat_map(references::referenced_objects).collect()
}

#[track_caller]
pub fn python(script: &str, arguments: &[&str], input: &str) -> String {
    let mut python = clean_command(tools::python());
    python.arg(root().join("tests/kubernetes").join(script)).args(arguments);
    // Python writes no cache files next to the scripts.
    python.env("PYTHONDONTWRITEBYTECODE", "1");
    let output = run_with_input(python, input);
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn root() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}
