//! Tests of the restore of `docs/kubernetes.md`, line by line, with the real kubectl. `tests/kubernetes/restore.py`
//! simulates the cluster: it cannot run a pod, but kubectl itself handles a pod that is being created, runs, succeeds
//! or fails.

use std::fs;

use serde_json::{Value, json};

use crate::kubernetes_guide::{GUIDE, marker};
use crate::support::guide::blocks;
use crate::support::manifests::python;
use crate::support::process::{clean_command, must_run};
use crate::support::{temporary_directory, tools};

/// Returns the commands of the guide's console blocks that concern the pod.
fn printed() -> Vec<Vec<String>> {
    let with_pod = blocks(GUIDE).into_iter().filter(|block| block.info == "console");
    let with_pod = with_pod.filter(|block| block.text.contains("pod/devops-hub-lockkeeper"));
    with_pod.map(|block| block.lines().into_iter().map(|line| line.command).collect()).collect()
}

/// Runs these lines in a directory with `k8s/` and the pod of the guide, which exits with this code.
fn run(lines: &[String], code: i32) -> Value {
    let directory = temporary_directory("restore");
    let mut copy = clean_command("cp");
    copy.args(["-r", concat!(env!("CARGO_MANIFEST_DIR"), "/k8s")]).arg(directory.path());
    must_run(copy);
    for block in blocks(GUIDE) {
        if marker(&block, "file").as_deref() == Some("lockkeeper.yaml") {
            fs::write(directory.path().join("lockkeeper.yaml"), &block.text).expect("the pod");
        }
    }
    let request = json!({"kubectl": tools::kubectl(), "directory": directory.path(), "lines": lines, "code": code});
    serde_json::from_str(&python("restore.py", &[], &request.to_string())).expect("what became of it")
}

#[track_caller]
fn codes(answer: &Value) -> Vec<i64> {
    let lines = answer["lines"].as_array().expect("lines").iter();
    lines.map(|line| line["code"].as_i64().expect("a code")).collect()
}

#[test]
fn a_pod_is_waited_for_before_its_log_is_read() {
    let blocks = printed();
    let [first, ..] = blocks.as_slice() else { panic!("the guide has lost its lines") };
    for code in [0, 64] {
        let answer = run(first, code);
        assert_eq!(codes(&answer), vec![0; first.len()], "{answer:#}");
        assert!(answer.to_string().contains("the log of the restore"), "{answer:#}");
    }
}

#[test]
fn the_application_starts_after_a_successful_restore_with_the_job_of_its_release() {
    let blocks = printed();
    let [_, restore, deploy] = blocks.as_slice() else { panic!("other blocks: {blocks:?}") };
    let answer = run(&[restore.clone(), deploy.clone()].concat(), 0);
    assert!(codes(&answer).iter().all(|code| *code == 0), "{answer:#}");
    assert_eq!((&answer["started"], &answer["replicas"]), (&json!(["gone"]), &json!(2)), "{answer:#}");
    let log = answer["lines"].as_array().and_then(|lines| lines.last()).expect("lines")["said"].to_string();
    assert!(log.contains("devops-hub-migrate\\\" deleted") && log.contains("devops-hub-migrate created"), "{log}");
}

#[test]
fn the_application_does_not_start_after_a_restore_that_failed() {
    let blocks = printed();
    let answer = run(&blocks[1..].concat(), 80);
    assert_eq!(codes(&answer).last(), Some(&1), "{answer:#}");
    assert_eq!((&answer["started"], &answer["replicas"]), (&json!([]), &json!(0)), "{answer:#}");
    assert!(answer.to_string().contains("the log of the restore"), "{answer:#}");
}

/// The previous version of the guide was wrong: the test detects that.
#[test]
fn following_the_log_at_once_would_start_the_application_during_the_restore() {
    let lines = [
        "kubectl scale deployment/devops-hub --replicas=0",
        "kubectl create -f lockkeeper.yaml",
        "kubectl logs --follow pod/devops-hub-lockkeeper",
        "kubectl scale deployment/devops-hub --replicas=2",
    ];
    let answer = run(&lines.map(str::to_owned), 0);
    assert!(answer.to_string().contains("ContainerCreating"), "{answer:#}");
    assert_eq!(answer["started"], json!(["Pending"]), "{answer:#}");
}
