//! Runs the pod of `docs/kubernetes.md` that a person starts: it takes a backup, lists it, and restores it.

use serde_json::{Value, json};

use crate::for_podman::{PASSWORD, change_pod, of_kinds, rendered, without_claims};
use crate::podman::Podman;
use crate::support::guide::blocks;
use crate::support::manifests::yaml;

const CONTAINER: &str = "devops-hub-lockkeeper-migrate";

/// Returns the pod of the guide with these arguments, and the objects that it mounts.
fn pod(arguments: &[&str], around: &[Value]) -> Vec<Value> {
    let block = blocks("kubernetes.md").into_iter().find(|block| block.info.ends_with(" file=lockkeeper.yaml"));
    let mut pod = yaml(&block.expect("the pod").text).remove(0);
    change_pod(&mut pod["spec"]);
    pod["spec"]["containers"][0]["args"] = json!(arguments);
    [without_claims(&of_kinds(around, &["ConfigMap", "Secret"])), vec![pod]].concat()
}

/// Creates the pod, waits for its end, reads its log and deletes it, with the commands of the guide.
#[track_caller]
fn run(podman: &Podman, arguments: &[&str], around: &[Value], code: &str) -> String {
    podman.play(&pod(arguments, around)).expect_code(0);
    let ended = podman.output_of(&["wait", CONTAINER]);
    let log = podman.logs(CONTAINER);
    assert_eq!(ended, code, "{log}");
    podman.output_of(&["pod", "rm", "--force", "--time=0", "devops-hub-lockkeeper"]);
    log
}

#[test]
fn a_person_backs_up_lists_and_restores_with_a_pod_of_the_guide() {
    let podman = Podman::new();
    podman.start_database(PASSWORD);
    let manifests = rendered("k8s/overlays/job");
    podman.play(&of_kinds(&manifests, &["Pod", "ConfigMap", "Secret", "PersistentVolumeClaim"])).expect_code(0);
    assert_eq!(podman.output_of(&["wait", "devops-hub-migrate-migrate"]), "0");
    podman.remove_pods();
    podman.value("insert into agents (name, domain, version) values ('keeper', 'locks', '1')");

    run(&podman, &["backup"], &manifests, "0");
    podman.value("delete from agents");
    let list = run(&podman, &["backups"], &manifests, "0");
    let file = list.split_whitespace().find(|word| word.ends_with(".dump")).unwrap_or_else(|| panic!("{list}"));
    run(&podman, &["restore", file], &manifests, "64");
    assert_eq!(podman.value("select count(*) from agents"), "0");
    run(&podman, &["restore", file, "--yes"], &manifests, "0");
    assert_eq!(podman.value("select name from agents"), "keeper");
}
