//! Tests of the manifests in `k8s/`: Kubernetes accepts them, and they have what Lockkeeper needs.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::manifests::{self, OLDEST, check_rules, check_schemas, kustomize, one};
use crate::support::process::{clean_command, must_run};
use crate::support::temporary_directory;

const JOB: &str = "k8s/overlays/job";
const SQLITE: &str = "k8s/overlays/sqlite";
const WITH_POSTGRES: [&str; 2] = ["k8s/base", JOB];
const DIRECTORYS: [&str; 3] = ["k8s/base", JOB, SQLITE];

/// Returns the objects after `kubectl apply -k`, with the Secret that existed before if the manifests need one.
pub fn installation(directory: &str) -> Vec<Value> {
    let mut documents = kustomize(directory);
    if directory != SQLITE {
        documents.extend(manifests::example_secret());
    }
    documents
}

/// Returns the objects with both components added in a kustomization on top, as a reader would write it.
pub fn with_components(directory: &str) -> Vec<Value> {
    let place = copy();
    let components = ["../k8s/components/backup-schedule", "../k8s/components/pull-secret"];
    let top = json!({"resources": [format!("../{directory}")], "components": components});
    fs::create_dir(place.path().join("top")).expect("a directory");
    fs::write(place.path().join("top/kustomization.yaml"), top.to_string()).expect("a kustomization");
    [kustomize(place.path().join("top")), manifests::example_secret()].concat()
}

fn file(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("a file of ours")
}

/// Copies `k8s/` into a temporary directory.
fn copy() -> TempDir {
    let directory = temporary_directory("k8s");
    let mut copy = clean_command("cp");
    copy.args(["-r", concat!(env!("CARGO_MANIFEST_DIR"), "/k8s")]).arg(directory.path());
    must_run(copy);
    directory
}

#[test]
fn every_supported_release_accepts_all_manifests() {
    let documents = DIRECTORYS.iter().flat_map(|directory| installation(directory));
    let documents: Vec<Value> = documents.chain(WITH_POSTGRES.into_iter().flat_map(with_components)).collect();
    check_schemas(&documents);
    let message = format!("needs Kubernetes {OLDEST} or newer");
    assert!(file("k8s/base/kustomization.yaml").contains(&message), "the base does not say: {message}");
}

#[test]
fn no_rule_is_broken() {
    for directory in DIRECTORYS {
        check_rules(&installation(directory));
    }
    for directory in WITH_POSTGRES {
        check_rules(&with_components(directory));
    }
}

#[test]
fn no_manifest_contains_a_secret() {
    for directory in DIRECTORYS {
        assert!(kustomize(directory).iter().all(|document| document["kind"] != "Secret"), "{directory}");
    }
}

/// The container that migrates and the pod around it are written twice: they have to agree.
#[test]
fn the_job_migrates_with_the_settings_of_the_init_container() {
    let base = installation("k8s/base");
    let overlay = installation(JOB);
    let mut pods = [("Deployment/devops-hub", &base), ("Job/devops-hub-migrate", &overlay)]
        .map(|(title, documents)| one(documents, title)["spec"]["template"]["spec"].clone());
    let [deployment, job] = &mut pods;
    assert_eq!(deployment["initContainers"], job["containers"]);
    // Fields of the application.
    let volumes = deployment["volumes"].as_array_mut().expect("volumes");
    volumes.retain(|volume| volume["name"] != "tmp");
    job.as_object_mut().expect("a pod").remove("restartPolicy");
    deployment.as_object_mut().expect("a pod").remove("topologySpreadConstraints");
    for pod in [&mut *deployment, &mut *job] {
        pod.as_object_mut().expect("a pod").retain(|field, _| !field.to_lowercase().ends_with("containers"));
    }
    assert_eq!(deployment, job);
}

/// The nightly backups have a directory of their own, so that they do not retire the backups of migrations.
#[test]
fn the_nightly_backup_is_the_job_with_another_command_and_directory() {
    for directory in WITH_POSTGRES {
        let documents = with_components(directory);
        let mut pod_spec_of_backup =
            one(&documents, "CronJob/devops-hub-backup")["spec"]["jobTemplate"]["spec"].clone();
        let mut job = one(&installation(JOB), "Job/devops-hub-migrate")["spec"].clone();
        let container = |spec: &Value| spec["template"]["spec"]["containers"][0].clone();
        let (mut backs_up, migrates) = (container(&pod_spec_of_backup), container(&job));
        assert_eq!(backs_up["args"], json!(["backup"]));
        let env = json!([
            {"name": "LOCKKEEPER_BACKUP_DIR", "value": "/backups/scheduled"},
            {"name": "LOCKKEEPER_BACKUP_KEEP", "value": "14"},
        ]);
        assert_eq!(backs_up["env"], env);
        for field in ["args", "env"] {
            backs_up.as_object_mut().expect("a container").remove(field);
        }
        assert_eq!(backs_up, migrates);
        for spec in [&mut pod_spec_of_backup, &mut job] {
            spec["template"]["spec"]["containers"] = json!([]);
            spec["template"]["metadata"] = json!(null);
            spec["ttlSecondsAfterFinished"] = json!(null);
        }
        assert_eq!(pod_spec_of_backup, job);
    }
}

#[test]
fn every_pod_has_the_credentials_of_the_registry() {
    for directory in WITH_POSTGRES {
        let documents = with_components(directory);
        let account = one(&documents, "ServiceAccount/devops-hub");
        assert_eq!(account["imagePullSecrets"], json!([{"name": "devops-hub-registry"}]));
        let pods = ["/spec/template/spec", "/spec/jobTemplate/spec/template/spec"];
        let pods = documents.iter().flat_map(|document| pods.map(|pod| document.pointer(pod)));
        let accounts: Vec<&Value> = pods.flatten().map(|pod| &pod["serviceAccountName"]).collect();
        assert!(accounts.len() > 1 && accounts.iter().all(|name| *name == "devops-hub"), "{accounts:?}");
        assert_eq!(one(&installation(directory), "ServiceAccount/").get("imagePullSecrets"), None);
    }
}

#[test]
fn a_drained_node_takes_one_pod_and_the_pods_are_on_several_nodes() {
    for directory in DIRECTORYS {
        let documents = installation(directory);
        let deployment = &one(&documents, "Deployment/devops-hub")["spec"];
        let budget = &one(&documents, "PodDisruptionBudget/devops-hub")["spec"];
        assert_eq!((&budget["maxUnavailable"], &budget["selector"]), (&json!(1), &deployment["selector"]));
        let spread = &deployment["template"]["spec"]["topologySpreadConstraints"][0];
        assert_eq!(spread["topologyKey"], "kubernetes.io/hostname");
        assert_eq!(spread["labelSelector"], deployment["selector"]);
    }
}

/// A server-side apply does not remove what the server has filled in, and refuses `Recreate` with it.
#[test]
fn the_deployment_strategy_is_explicit_so_that_it_can_be_changed_later() {
    let strategy = |directory: &str| one(&installation(directory), "Deployment/devops-hub")["spec"]["strategy"].clone();
    let rolling = json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}});
    assert_eq!(strategy("k8s/base"), rolling);
    assert_eq!(strategy(SQLITE), json!({"type": "Recreate"}));
}

#[test]
fn with_a_job_the_init_container_only_waits() {
    let documents = installation(JOB);
    let pod = &one(&documents, "Deployment/devops-hub")["spec"]["template"]["spec"];
    let waits = &pod["initContainers"][0];
    assert_eq!(pod["initContainers"].as_array().expect("a list").len(), 1);
    assert_eq!(waits["args"], json!(["wait", "--migrated"]));
    let mounts = waits["volumeMounts"].as_array().expect("mounts");
    assert!(mounts.iter().all(|mount| mount["readOnly"] == true), "{mounts:?}");
    assert!(!pod["volumes"].to_string().contains("devops-hub-backups"));
}

#[test]
fn only_dns_and_the_database_can_be_reached_and_nothing_with_sqlite() {
    let ports = |directory: &str| -> Vec<Value> {
        let documents = kustomize(directory);
        let policies: Vec<&Value> = documents.iter().filter(|document| document["kind"] == "NetworkPolicy").collect();
        let all = json!({"matchLabels": {"app.kubernetes.io/name": "devops-hub"}});
        let denies =
            |policy: &&&Value| policy["spec"] == json!({"podSelector": all, "policyTypes": ["Ingress", "Egress"]});
        assert_eq!(policies.iter().filter(denies).count(), 1, "{directory} does not begin with nothing");
        let rules = policies.iter().filter_map(|policy| policy["spec"]["egress"].as_array()).flatten();
        rules.flat_map(|rule| rule["ports"].as_array().expect("ports")).cloned().collect()
    };
    let tcp = |port: u16| json!({"port": port, "protocol": "TCP"});
    let dns = [json!({"port": 53, "protocol": "UDP"}), tcp(53)];
    for directory in ["k8s/base", JOB] {
        assert_eq!(ports(directory), [&[tcp(5432)], &dns[..]].concat());
    }
    assert_eq!(ports(SQLITE), [json!(null); 0]);
}

/// Returns the images of every pod, in order.
fn images(documents: &[Value]) -> Vec<String> {
    let pods = documents.iter().filter_map(|document| document.pointer("/spec/template/spec"));
    let containers = pods.flat_map(|pod| [&pod["initContainers"], &pod["containers"]]);
    let containers = containers.filter_map(Value::as_array).flatten();
    containers.map(|container| container["image"].as_str().expect("an image").to_owned()).collect()
}

#[test]
fn a_release_is_set_in_one_place_and_the_previous_job_is_deleted() {
    let directory = copy();
    let place = directory.path().join("k8s/images/kustomization.yaml");
    let release = "newName: registry.example.com:5000/devops-hub-migrate\n    newTag: 1.1.0";
    let text = fs::read_to_string(&place).expect("the images");
    let (before, after) = text.rsplit_once("newTag: 1.0.0").expect("a tag");
    fs::write(&place, format!("{before}{release}{after}")).expect("the images");

    let (first, second) = (kustomize(JOB), kustomize(directory.path().join(JOB)));
    let image_of_migrations = "registry.example.com:5000/devops-hub-migrate:1.1.0";
    assert_eq!(images(&first), ["devops-hub-migrate:1.0.0", "devops-hub:1.0.0", "devops-hub-migrate:1.0.0"]);
    assert_eq!(images(&second), [image_of_migrations, "devops-hub:1.0.0", image_of_migrations]);

    // Kubernetes refuses a Job of the same name with another template: the comment in the manifest deletes it first.
    let [old, new] = [&first, &second].map(|documents| one(documents, "Job/"));
    assert_eq!(old["metadata"]["name"], new["metadata"]["name"]);
    assert_ne!(old["spec"]["template"], new["spec"]["template"]);
    let name = old["metadata"]["name"].as_str().expect("a name");
    let line = format!("kubectl delete job {name} --ignore-not-found --cascade=foreground\n");
    assert!(file("k8s/overlays/job/kustomization.yaml").contains(&line));
}

/// People add a kustomization of their own on top.
#[test]
fn a_kustomization_on_top_sets_namespace_registry_and_host() {
    let directory = copy();
    let top = "resources: [../k8s/overlays/job]\nnamespace: shop\nimages:\n\
        - {name: devops-hub, newName: registry.example.com/hub, newTag: 2.0.0}\n\
        - {name: devops-hub-migrate, newName: registry.example.com/hub-migrate, newTag: 2.0.0}\n\
        configMapGenerator:\n- name: devops-hub\n  behavior: merge\n  literals:\n  \
        - DATABASE_URL=postgresql://hub@db.example.com/hub?sslmode=verify-full\n";
    fs::create_dir(directory.path().join("top")).expect("a directory");
    fs::write(directory.path().join("top/kustomization.yaml"), top).expect("a kustomization");
    let documents = [kustomize(directory.path().join("top")), manifests::example_secret()].concat();
    check_schemas(&documents);
    check_rules(&documents);
    let migrate = "registry.example.com/hub-migrate:2.0.0";
    assert_eq!(images(&documents), [migrate, "registry.example.com/hub:2.0.0", migrate]);
    let settings = &one(&documents, "ConfigMap/devops-hub-")["data"];
    assert_eq!(settings["DATABASE_URL"], "postgresql://hub@db.example.com/hub?sslmode=verify-full");
    assert_eq!(settings["DATABASE_PASSWORD_FILE"], "/run/secrets/lockkeeper/password");
}
