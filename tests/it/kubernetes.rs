//! The manifests in `k8s/`: Kubernetes takes them, and they say what Lockkeeper needs.

use serde_json::Value;

use crate::support::manifests::{self, check_rules, check_schemas, kustomize};

const FOLDERS: [&str; 3] = ["k8s/base", "k8s/overlays/job", "k8s/overlays/sqlite"];

/// What `kubectl apply -k` sends, with the Secret that is there before where the manifests want one.
fn installation(folder: &str) -> Vec<Value> {
    let mut documents = kustomize(folder);
    if folder != "k8s/overlays/sqlite" {
        documents.extend(manifests::example_secret());
    }
    documents
}

#[test]
fn every_supported_release_takes_all_of_it() {
    let documents: Vec<Value> = FOLDERS.iter().flat_map(|folder| installation(folder)).collect();
    check_schemas(&documents);
}

#[test]
fn no_rule_is_broken() {
    for folder in FOLDERS {
        check_rules(&installation(folder));
    }
}
