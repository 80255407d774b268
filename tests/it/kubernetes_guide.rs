//! Tests of `docs/kubernetes.md`: each block is rendered into the manifests or the chart, as a reader would do it, and
//! the result is checked with the same rules.
//!
//! The info string of a fence says how; anything else fails:
//!
//! - `yaml file=DIRECTORY/kustomization.yaml`: built in a directory next to `k8s/`.
//! - `yaml patch=DIRECTORY`: a patch in a kustomization on top of `k8s/base` or `k8s/overlays/DIRECTORY`.
//! - `yaml with=DIRECTORY`: additional documents of that installation; with `file=NAME` for commands that name it.
//! - `yaml values`: values of the chart, merged into the minimal ones.
//! - `yaml argocd`, `yaml flux`: custom resources. There is no schema: the test asserts what their documentation
//!   requires, and what they deploy is rendered.
//! - `console`, `text deadlines`: see `kubernetes_guide_text.rs`.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::kubernetes::installation;
use crate::support::chart::{Release, external_objects_named};
use crate::support::guide::{Block, blocks};
use crate::support::manifests::{self, broken_rules, check_schemas, kustomize, one, yaml};
use crate::support::process::{clean_command, must_run};
use crate::support::temporary_directory;

pub const GUIDE: &str = "kubernetes.md";

/// Returns the directory of `k8s/` that a marker means.
fn directory(name: &str) -> String {
    match name {
        "base" => "k8s/base".into(),
        other => format!("k8s/overlays/{other}"),
    }
}

/// A reader's directory: `k8s/`, and the files of the guide next to it.
struct Repository(TempDir);

impl Repository {
    fn new() -> Repository {
        let repository = Repository(temporary_directory("guide"));
        let mut copy = clean_command("cp");
        copy.args(["-r", concat!(env!("CARGO_MANIFEST_DIR"), "/k8s")]).arg(repository.0.path());
        must_run(copy);
        for block in blocks(GUIDE) {
            if let Some(file) = marker(&block, "file") {
                repository.write(&file, &block.text);
            }
        }
        // The certificate bundle of the provider.
        repository.write("managed/ca.pem", "-----BEGIN CERTIFICATE-----\n");
        repository
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        fs::write(path, text).expect("a file");
    }

    /// Renders a directory of it, with the Secret that existed before.
    fn build(&self, directory: &str) -> Vec<Value> {
        [kustomize(self.0.path().join(directory)), manifests::example_secret()].concat()
    }

    /// Renders a directory with patches on top.
    fn patched(&self, directory: &str, patches: &Value, namespace: &Value) -> Vec<Value> {
        let top = json!({"resources": [format!("../{directory}")], "patches": patches, "namespace": namespace});
        self.write("top/kustomization.yaml", &top.to_string());
        self.build("top")
    }
}

/// Returns the value of `key=value` in the info string of a fence.
pub fn marker(block: &Block, key: &str) -> Option<String> {
    let mut words = block.info.split(' ').filter_map(|word| word.split_once('='));
    words.find(|(name, _)| *name == key).map(|(_, value)| value.to_owned())
}

/// Renders the chart with these values and adds the objects that they reference.
fn chart(values: Value) -> Vec<Value> {
    let text = values.to_string();
    let rendered = Release::with_values(values).render().unwrap_or_else(|error| panic!("{text}: {error}"));
    assert!(rendered.lint.is_empty(), "{text}: {:?}", rendered.lint);
    let documents = rendered.documents;
    let is_external = |name: &str| text.contains(&format!("\"{name}\"")) || name == "outside-database";
    [documents.clone(), external_objects_named(&documents, is_external)].concat()
}

/// Returns the objects of an installation after a block was followed; none for a block without manifests.
fn follow(block: &Block, repository: &Repository) -> Option<Vec<Value>> {
    let only = || yaml(&block.text).remove(0);
    let file = marker(block, "file");
    match (block.info.as_str(), marker(block, "patch"), marker(block, "with")) {
        ("console" | "text deadlines", ..) => None,
        ("yaml values", ..) => Some(chart(only())),
        ("yaml argocd", ..) => Some(argocd(&only(), repository)),
        ("yaml flux", ..) => Some(flux(&only(), repository)),
        (_, Some(under), _) => {
            repository.write("top/patch.yaml", &block.text);
            let mut documents = repository.patched(&directory(&under), &json!([{"path": "patch.yaml"}]), &Value::Null);
            // The patch does not use the Secret.
            documents.retain(|it| it["kind"] != "Secret" || !block.text.contains("secret: null"));
            Some(documents)
        }
        (_, _, Some(beside)) => Some([installation(&directory(&beside)), yaml(&block.text)].concat()),
        _ if file.as_deref().is_some_and(|file| file.ends_with("/kustomization.yaml")) => {
            Some(repository.build(file?.trim_end_matches("/kustomization.yaml")))
        }
        (info, ..) => panic!("nothing is done with a block of {info:?}:\n{}", block.text),
    }
}

/// Expects that the fields of a custom resource at these JSON pointers are texts, and not empty.
#[track_caller]
fn expect_texts(resource: &Value, pointers: &[&str]) {
    for pointer in pointers {
        let text = resource.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        assert!(!text.is_empty(), "{pointer} of {resource}");
    }
}

/// Returns the objects of an Application: `manifests/crds/application-crd.yaml` of Argo CD.
fn argocd(application: &Value, repository: &Repository) -> Vec<Value> {
    assert_eq!(application["apiVersion"], "argoproj.io/v1alpha1");
    assert_eq!(application["kind"], "Application");
    // The namespace of Argo CD itself.
    assert_eq!(application["metadata"]["namespace"], "argocd");
    expect_texts(application, &["/metadata/name", "/spec/project", "/spec/destination/server"]);
    expect_texts(application, &["/spec/destination/namespace", "/spec/source/repoURL", "/spec/source/targetRevision"]);
    let path = application["spec"]["source"]["path"].as_str().expect("a path");
    match path {
        "k8s/chart" => {
            let values = application["spec"]["source"]["helm"]["valuesObject"].clone();
            let documents = chart(values);
            expect_hooks(&documents);
            documents
        }
        path => {
            let documents = repository.build(path);
            expect_sync_waves(&documents);
            documents
        }
    }
}

/// Expects Helm's hooks, which Argo CD runs in its PreSync phase: the Job is one, and its references are hooks or exist
/// already.
fn expect_hooks(documents: &[Value]) {
    let job = one(documents, "Job/");
    assert_eq!(job["metadata"]["annotations"]["helm.sh/hook"], "pre-install,pre-upgrade");
    assert!(documents.iter().all(|it| it["kind"] != "PersistentVolumeClaim" || it["metadata"]["labels"].is_null()));
}

/// Expects that everything the Job needs is created with it, before the Deployment; a claim never waits for its pod in
/// a wave of its own.
fn expect_sync_waves(documents: &[Value]) {
    let annotation = |document: &Value, name: &str| {
        document["metadata"]["annotations"][format!("argocd.argoproj.io/{name}")].clone()
    };
    for document in documents {
        let wave = annotation(document, "sync-wave");
        match document["kind"].as_str().expect("a kind") {
            // Objects that Argo CD does not deploy.
            "Secret" => {}
            "Deployment" | "PodDisruptionBudget" | "Service" => assert!(wave.is_null(), "{document}"),
            _ => assert_eq!(wave, "-1", "{document}"),
        }
    }
    assert_eq!(annotation(one(documents, "PersistentVolumeClaim/"), "sync-options"), "Prune=false,Delete=false");
    let job = one(documents, "Job/");
    assert_eq!(annotation(job, "hook"), "Sync");
    assert_eq!(annotation(job, "hook-delete-policy"), "BeforeHookCreation");
}

/// Returns the objects of a Kustomization or a HelmRelease: `docs/spec/v1/kustomizations.md` and
/// `docs/spec/v2/helmreleases.md` of Flux.
fn flux(resource: &Value, repository: &Repository) -> Vec<Value> {
    expect_texts(resource, &["/metadata/name", "/metadata/namespace", "/spec/interval"]);
    let spec = &resource["spec"];
    let source = |source: &Value| {
        assert_eq!(source["kind"], "GitRepository");
        expect_texts(source, &["/name"]);
    };
    let documents = match resource["kind"].as_str() {
        Some("Kustomization") => {
            assert_eq!(resource["apiVersion"], "kustomize.toolkit.fluxcd.io/v1");
            assert!(spec["prune"].is_boolean(), "{resource}");
            source(&spec["sourceRef"]);
            let path = spec["path"].as_str().and_then(|path| path.strip_prefix("./")).expect("a path");
            let documents = repository.patched(path, &spec["patches"], &spec["targetNamespace"]);
            let annotated = |name: &str, value: &str| -> Vec<&str> {
                let key = format!("kustomize.toolkit.fluxcd.io/{name}");
                let with = documents.iter().filter(|it| it["metadata"]["annotations"][&key] == value);
                with.map(|it| it["kind"].as_str().expect("a kind")).collect()
            };
            assert_eq!(annotated("force", "enabled"), ["Job"]);
            assert_eq!(annotated("prune", "disabled"), ["PersistentVolumeClaim"]);
            documents
        }
        _ => {
            assert_eq!(resource["apiVersion"], "helm.toolkit.fluxcd.io/v2");
            assert_eq!(resource["kind"], "HelmRelease");
            assert_eq!(spec["chart"]["spec"]["chart"], "./k8s/chart");
            source(&spec["chart"]["spec"]["sourceRef"]);
            assert!(spec["upgrade"]["remediation"]["remediateLastFailure"].is_boolean(), "{resource}");
            chart(spec["values"].clone())
        }
    };
    let timeout = spec["timeout"].as_str().and_then(|time| time.strip_suffix('m')?.parse::<u64>().ok());
    let job = one(&documents, "Job/")["spec"]["activeDeadlineSeconds"].as_u64();
    assert!(timeout.map(|minutes| minutes * 60) > job, "Flux gives up first: {timeout:?} {job:?}");
    documents
}

#[test]
fn kubernetes_accepts_every_block_and_no_rule_is_broken() {
    let repository = Repository::new();
    let blocks = blocks(GUIDE);
    let followed = blocks.iter().filter_map(|block| Some((block, follow(block, &repository)?)));
    let followed: Vec<(&Block, Vec<Value>)> = followed.collect();
    assert!(followed.len() > 15, "the guide has lost its blocks");
    let all: Vec<Value> = followed.iter().flat_map(|(_, documents)| documents).cloned().collect();
    check_schemas(&all);
    for (block, documents) in followed {
        let broken = broken_rules(&documents).into_iter();
        // No controller waits for the end of a pod that a person starts and watches.
        let broken: Vec<_> = broken.filter(|it| it.rule != "deadlines" || !it.place.starts_with("Pod/")).collect();
        assert!(broken.is_empty(), "{broken:#?}\n{}", block.text);
    }
}

/// The repository is complete without the guide: every patch has to change it.
#[test]
fn every_patch_changes_the_manifests() {
    let repository = Repository::new();
    for block in blocks(GUIDE) {
        let Some(under) = marker(&block, "patch") else { continue };
        let documents = follow(&block, &repository).expect("documents");
        assert_ne!(documents, installation(&directory(&under)), "{}", block.text);
    }
}

/// The pod differs from the migration's pod only in the command that a person runs.
#[test]
fn the_interactive_pod_is_that_of_the_job() {
    let block = blocks(GUIDE).into_iter().find(|block| marker(block, "with").as_deref() == Some("job"));
    let mut pod = yaml(&block.expect("a pod").text).remove(0)["spec"].clone();
    let documents = installation("k8s/overlays/job");
    let mut job = one(&documents, "Job/")["spec"]["template"]["spec"].clone();
    let take = |spec: &mut Value, name: &str| {
        spec["containers"][0].as_object_mut().expect("a container").remove(name).expect(name)
    };
    let settings = &one(&documents, "ConfigMap/devops-hub-")["data"];
    for variable in take(&mut pod, "env").as_array().expect("variables") {
        let name = variable["name"].as_str().expect("a name");
        assert_eq!(variable["value"], settings[name], "{name}");
    }
    take(&mut pod, "args");
    take(&mut job, "envFrom");
    assert_eq!(pod, job);
}
