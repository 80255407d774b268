//! Tests of the text of `docs/kubernetes.md`: its commands name existing objects, its tables and limits are those of
//! the product.
//!
//! There is no cluster here: each `kubectl` line is checked against the manifests, each `helm` line against the chart.
//! A line that no rule covers fails.

use std::fs;
use std::path::Path;
use std::time::Duration;

use lockkeeper::duration::parse_duration;
use lockkeeper::exit::{ExitClass, TABLE};
use serde_json::{Value, json};

use crate::kubernetes::{installation, with_components};
use crate::kubernetes_guide::{GUIDE, marker};
use crate::support::guide::{blocks, lines};
use crate::support::manifests::{kustomize, yaml};
use crate::support::process::clean_command;

fn text() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(GUIDE)).expect("the guide")
}

/// Returns all objects of the manifests and of the guide's own pods.
fn documents() -> Vec<Value> {
    let own = blocks(GUIDE).into_iter().filter(|block| marker(block, "with").is_some());
    let own = own.flat_map(|block| yaml(&block.text));
    [installation("k8s/base"), with_components("k8s/overlays/job"), own.collect()].concat()
}

/// `kubectl logs deployment/NAME` and `job/NAME` show only one of several pods.
#[test]
fn logs_are_selected_by_label() {
    let mut find = clean_command("grep");
    find.args(["-rnE", "logs .*(deploy|deployment|job|jobs)/", "k8s", "docs", "README.md"]);
    let found = find.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("grep");
    let text = String::from_utf8_lossy(&found.stdout);
    let visible_lines: Vec<&str> = text.lines().filter(|line| !line.contains("shows one pod of several")).collect();
    assert!(found.status.success() && visible_lines.is_empty(), "{visible_lines:#?}");
}

fn files() -> Vec<String> {
    blocks(GUIDE).iter().filter_map(|block| marker(block, "file")).collect()
}

/// Returns whether an object of this kind has this name.
fn exists(documents: &[Value], kind: &str, name: &str) -> bool {
    let mut all = documents.iter();
    all.any(|it| it["metadata"]["name"] == name && it["kind"].as_str().unwrap_or_default().to_lowercase() == kind)
}

#[track_caller]
fn check_kubectl(words: &[&str], documents: &[Value]) {
    let verbs = ["apply", "create", "delete", "get", "logs", "rollout", "scale", "wait"];
    assert!(verbs.contains(&words[0]), "another verb: {words:?}");
    let mut checked = 0;
    for (at, word) in words.iter().enumerate() {
        let next = words.get(at + 1).copied().unwrap_or_default();
        let is_valid = match *word {
            "-k" if files().contains(&format!("{next}/kustomization.yaml")) => true,
            "-k" => !kustomize(next).is_empty(),
            "-f" => files().iter().any(|file| file == next),
            "-c" => documents.iter().any(|it| it.to_string().contains(&format!("\"name\":\"{next}\""))),
            "-l" => {
                let (key, value) = next.split_once('=').expect("a label");
                documents.iter().any(|it| it["spec"]["template"]["metadata"]["labels"][key] == value)
            }
            "job" if words[0] == "create" => !exists(documents, word, next),
            "docker-registry" => {
                let secrets = json!([{"name": next}]);
                documents.iter().any(|it| it["imagePullSecrets"] == secrets)
            }
            "job" | "deployment" | "pod" if !next.starts_with('-') => exists(documents, word, next),
            "generic" => exists(documents, "secret", next),
            _ => match word.split_once('/') {
                Some((kind @ ("deployment" | "job" | "pod"), name)) => exists(documents, kind, name),
                Some(("--from=cronjob", name)) => exists(documents, "cronjob", name),
                _ => continue,
            },
        };
        assert!(is_valid, "{word} {next}: {words:?}");
        checked += 1;
    }
    assert!(checked > 0, "nothing of it is checked: {words:?}");
}

#[track_caller]
fn check_helm(words: &[&str]) {
    let ["upgrade", "--install", _, "k8s/chart", "--values", _, "--timeout", timeout] = words else {
        panic!("another command: {words:?}");
    };
    let values = Path::new(env!("CARGO_MANIFEST_DIR")).join("k8s/chart/values.yaml");
    let values = yaml(&fs::read_to_string(values).expect("the values")).remove(0);
    let job = values["job"]["activeDeadlineSeconds"].as_u64().map(Duration::from_secs);
    assert!(parse_duration(timeout).ok() > job, "Helm gives up first: {timeout}");
}

#[test]
fn the_commands_name_existing_objects() {
    let documents = documents();
    for line in lines(GUIDE) {
        assert!(line.printed.is_empty() && line.code == 0, "nothing runs here: {line:?}");
        for command in line.command.split(" &&\n  ") {
            let words: Vec<&str> = command.split(' ').collect();
            match words[0] {
                "kubectl" => check_kubectl(&words[1..], &documents),
                "helm" => check_helm(&words[1..]),
                other => panic!("nothing checks {other}"),
            }
        }
    }
}

#[test]
fn the_secret_is_created_with_the_key_that_is_mounted() {
    let secret = documents().into_iter().find(|it| it["kind"] == "Secret").expect("the Secret");
    let key = secret["stringData"].as_object().and_then(|keys| keys.keys().next()).expect("a key");
    assert!(text().contains(&format!("--from-file={key}=./password.txt")));
}

#[test]
fn every_exit_code_has_a_row() {
    let codes = |class: ExitClass| -> Vec<String> {
        let rows = TABLE.iter().filter(|row| row.class == class && row.code != 81);
        rows.map(|row| row.code.to_string()).collect()
    };
    for class in [ExitClass::Success, ExitClass::Transient, ExitClass::Permanent] {
        let row = format!("| {} | ", codes(class).join(", "));
        assert!(text().contains(&row), "there is no row: {row}");
    }
    assert!(text().contains("| 81 | "));
}

/// Each line of the block is `NAME VALUE`: the value is that of the manifests, and longer than the one before.
#[test]
fn the_deadlines_are_those_of_the_manifests_each_shorter_than_the_next() {
    let manifests = Value::from(installation("k8s/overlays/job")).to_string();
    let block = blocks(GUIDE).into_iter().find(|block| block.info == "text deadlines").expect("the deadlines");
    let mut before = Duration::ZERO;
    for line in block.text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let (name, value) = (words[0], words[1]);
        let forms = [
            format!("\"{name}\":\"{value}\""),
            format!("\"{name}\":{value}"),
            format!("{{\"name\":\"{name}\",\"value\":\"{value}\"}}"),
        ];
        assert!(forms.iter().any(|form| manifests.contains(form)), "the manifests have another {name}");
        let time = parse_duration(value).expect("a time");
        assert!(time > before, "{line} is not longer than the one before");
        before = time;
    }
    assert!(before > Duration::from_secs(1800), "the block has lost its lines");
}
