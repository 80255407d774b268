//! Tests of the rules for manifests: our own manifests with one mistake each, and the rule that reports it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::kubernetes::{installation, with_components};
use crate::support::manifests::{OLDEST, broken_rules, schema_errors, yaml};

/// One mistake: the rule, the beginning of a document's `Kind/name`, the JSON pointer, and the value there; null
/// removes the field. `pod:`, `app:` and `init:` abbreviate the beginnings of JSON pointers.
pub type Mistake<'a> = (&'a str, &'a str, &'a str, Value);

pub const APP: &str = "Deployment/devops-hub";
const JOB: &str = "Job/devops-hub-migrate";
const SETTINGS: &str = "ConfigMap/devops-hub-migrate";

/// Sets a value at a JSON pointer, whose last part may be new; `-` appends.
fn set_value(document: &mut Value, pointer: &str, value: &Value) {
    let pointer = pointer
        .replace("init:", "pod:initContainers/0/")
        .replace("app:", "pod:containers/0/")
        .replace("pod:", "/spec/template/spec/");
    let (parent, last) = pointer.rsplit_once('/').expect("a pointer");
    let parent = parent.split('/').skip(1).fold(document, |at, part| match part.parse::<usize>() {
        Ok(index) => &mut at[index],
        Err(_) => &mut at[part.replace("~1", "/")],
    });
    let last = last.replace("~1", "/");
    match parent {
        Value::Array(list) if last == "-" => list.push(value.clone()),
        Value::Array(list) if value.is_null() => drop(list.remove(last.parse().expect("an index"))),
        Value::Array(list) => list[last.parse::<usize>().expect("an index")] = value.clone(),
        parent if value.is_null() => drop(parent.as_object_mut().expect("an object").remove(&last)),
        parent => parent[last] = value.clone(),
    }
}

fn with_mistake(documents: &[Value], (_, title, pointer, value): &Mistake) -> Vec<Value> {
    let mut documents = documents.to_vec();
    let mut found = documents.iter_mut().filter(|document| {
        let (kind, name) = (document["kind"].as_str(), document["metadata"]["name"].as_str());
        format!("{}/{}", kind.unwrap_or_default(), name.unwrap_or_default()).starts_with(title)
    });
    set_value(found.next().unwrap_or_else(|| panic!("there is no {title}")), pointer, value);
    documents
}

/// Expects that each mistake is reported by its rule and by no other.
#[track_caller]
pub fn expect_each_refused(directory: &str, table: &[Mistake]) {
    let valid = installation(directory);
    assert_eq!(broken_rules(&valid), []);
    for wrong in table {
        let broken = broken_rules(&with_mistake(&valid, wrong));
        let rules: BTreeSet<&str> = broken.iter().map(|broken| broken.rule).collect();
        assert_eq!(rules, BTreeSet::from([wrong.0]), "{wrong:?}: {broken:#?}");
    }
}

/// A second `kubectl apply` of the same manifest must change nothing.
#[test]
fn defaults_in_an_atomic_list_have_to_be_written() {
    let token = |token: Value| json!({"name": "tmp", "projected": {"sources": [{"serviceAccountToken": token}]}});
    let namespace = json!([{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]);
    expect_each_refused(
        "k8s/base",
        &[
            ("defaults", "NetworkPolicy/devops-hub-http", "/spec/ingress/0/ports/0/protocol", json!(null)),
            ("defaults", "NetworkPolicy/devops-hub-database", "/spec/egress/0/ports/0/protocol", json!(null)),
            ("defaults", "NetworkPolicy/devops-hub-database", "/spec/egress/1/ports/1/protocol", json!(null)),
            ("defaults", APP, "pod:volumes/2", token(json!({"path": "token"}))),
            ("defaults", APP, "pod:volumes/2", json!({"name": "tmp", "downwardAPI": {"items": namespace}})),
        ],
    );
}

/// The API server refuses these values, the schemas do not.
#[test]
fn invalid_words_names_and_quantities_are_refused() {
    let long = "a".repeat(64);
    expect_each_refused(
        "k8s/overlays/job",
        &[
            ("words", "PersistentVolumeClaim/", "/spec/accessModes", json!(["ReadWriteTwice"])),
            ("words", "NetworkPolicy/devops-hub-http", "/spec/policyTypes", json!(["Inbound"])),
            ("words", APP, "/spec/strategy", json!({"type": "Replace"})),
            ("words", APP, "pod:restartPolicy", json!("Sometimes")),
            ("words", JOB, "pod:securityContext/fsGroupChangePolicy", json!("OnMismatch")),
            ("words", JOB, "app:imagePullPolicy", json!("always")),
            ("words", JOB, "app:terminationMessagePolicy", json!("Log")),
            ("names", JOB, "/metadata/name", json!(long)),
            ("names", JOB, "/metadata/name", json!("Devops-Hub")),
            ("names", "Service/", "/metadata/name", json!("devops.hub")),
            ("names", APP, "app:name", json!("devops_hub")),
            ("names", APP, "app:name", json!("devops-hub-")),
            ("names", APP, "app:ports/-", json!({"name": "much-too-long-a-name", "containerPort": 1})),
            ("labels", JOB, "/metadata/labels/release", json!(long)),
            ("labels", JOB, "/metadata/labels/release", json!("1.0.0+build")),
            ("labels", JOB, "/spec/template/metadata/labels/release", json!("-")),
            ("quantities", APP, "init:resources/limits/memory", json!("256 MB")),
            ("quantities", APP, "init:resources/requests/cpu", json!("50M1")),
            ("quantities", "PersistentVolumeClaim/", "/spec/resources/requests/storage", json!("ten")),
        ],
    );
}

#[test]
fn references_without_a_target_are_refused() {
    expect_each_refused(
        "k8s/base",
        &[
            ("volumes", APP, "app:volumeMounts/0/name", json!("nowhere")),
            ("volumes", APP, "pod:volumes/-", json!({"name": "idle", "emptyDir": {}})),
            ("references", APP, "app:envFrom/0/configMapRef/name", json!("nowhere")),
            ("references", APP, "pod:volumes/1/secret/items", json!([{"key": "pass", "path": "password"}])),
            ("selectors", APP, "/spec/selector/matchLabels/app.kubernetes.io~1component", json!("other")),
            ("selectors", "Service/", "/spec/selector/app.kubernetes.io~1component", json!("other")),
            ("selectors", "NetworkPolicy/", "/spec/podSelector/matchLabels/app.kubernetes.io~1name", json!("other")),
            ("ports", "Service/", "/spec/ports/0/targetPort", json!("https")),
            ("ports", "NetworkPolicy/devops-hub-http", "/spec/ingress/0/ports/0/port", json!(8443)),
            ("shared-volumes", "PersistentVolumeClaim/", "/spec/accessModes", json!(["ReadWriteOnce"])),
        ],
    );
    let database = "NetworkPolicy/devops-hub-database";
    let other_host = json!("postgresql://devops_hub@a:6432,[::1]/devops_hub");
    expect_each_refused(
        "k8s/overlays/job",
        &[
            ("egress", database, "/spec/egress/0/ports/0/port", json!(5433)),
            ("egress", database, "/spec/egress/0/ports/0/protocol", json!("UDP")),
            ("egress", database, "/spec/egress/1", json!(null)),
            ("egress", "ConfigMap/devops-hub-", "/data/DATABASE_URL", other_host),
        ],
    );
    expect_each_refused(
        "k8s/overlays/sqlite",
        &[("shared-volumes", APP, "/spec/strategy", json!(null)), ("shared-volumes", APP, "/spec/replicas", json!(2))],
    );
}

#[test]
fn unused_and_duplicate_objects_are_refused() {
    let valid = installation("k8s/base");
    let more = |document: Value| [&valid[..], &[document]].concat();
    let rules = |documents: Vec<Value>| -> Vec<&str> {
        broken_rules(&documents).into_iter().map(|broken| broken.rule).collect()
    };
    for kind in ["ConfigMap", "Secret", "PersistentVolumeClaim", "ServiceAccount"] {
        let idle = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "idle"}});
        assert_eq!(rules(more(idle)), ["unused"]);
        let without = valid.iter().filter(|document| document["kind"] != kind).cloned().collect();
        assert!(rules(without).contains(&"references"), "{kind}");
    }
    let service = valid.iter().find(|document| document["kind"] == "Service").expect("a Service");
    assert_eq!(rules(more(service.clone())), ["unique-names"]);
}

/// The pods of a CronJob are checked, too; a budget has pods, an autoscaler sets the number of pods itself.
#[test]
fn a_schedule_a_budget_and_an_autoscaler_that_do_not_work_are_refused() {
    let valid = with_components("k8s/overlays/job");
    assert_eq!(broken_rules(&valid), []);
    let cron_job = "CronJob/devops-hub-backup";
    let pod = "/spec/jobTemplate/spec/template/spec";
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "devops-hub"});
    let scaler = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "hub"}, "spec": {"scaleTargetRef": target}});
    let sidecar = json!({"name": "proxy", "image": "proxy:1", "securityContext":
        {"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}},
        "resources": {"requests": {"memory": "1Mi"}, "limits": {"memory": "1Mi"}}});
    let table: [(&str, &str, String, Value); 6] = [
        ("concurrency-policy", cron_job, "/spec/concurrencyPolicy".into(), json!("Allow")),
        ("one-container", cron_job, format!("{pod}/containers/-"), sidecar),
        ("deadlines", cron_job, "/spec/jobTemplate/spec/activeDeadlineSeconds".into(), json!(1500)),
        ("failure-policy", cron_job, "/spec/jobTemplate/spec/podFailurePolicy".into(), json!(null)),
        ("selectors", "PodDisruptionBudget/", "/spec/selector/matchLabels/a".into(), json!("b")),
        ("scaling", "PodDisruptionBudget/", "/spec/minAvailable".into(), json!(1)),
    ];
    let rules = |documents: &[Value]| -> BTreeSet<&str> {
        broken_rules(documents).into_iter().map(|broken| broken.rule).collect()
    };
    for (rule, title, pointer, value) in &table {
        let broken = with_mistake(&valid, &(*rule, *title, pointer.as_str(), value.clone()));
        assert_eq!(rules(&broken), BTreeSet::from([*rule]), "{pointer}");
    }
    let mut scaled = valid;
    scaled.push(scaler);
    assert_eq!(rules(&scaled), BTreeSet::from(["scaling"]));
    scaled.last_mut().expect("the autoscaler")["spec"]["scaleTargetRef"]["name"] = json!("other");
    assert_eq!(rules(&scaled), BTreeSet::from(["references"]));
}

#[test]
fn a_failure_policy_that_is_not_the_table_of_exit_codes_is_refused() {
    let values = "/spec/podFailurePolicy/rules/0/onExitCodes/values";
    let rules = "/spec/podFailurePolicy/rules";
    let codes = [64, 65, 66, 73, 76, 77, 78, 80, 81, 84, 86, 87, 126, 127];
    let ignore = json!({"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]});
    let fail =
        json!({"action": "FailJob", "onExitCodes": {"containerName": "migrate", "operator": "In", "values": codes}});
    let unsorted: Vec<i32> = codes.iter().rev().copied().collect();
    expect_each_refused(
        "k8s/overlays/job",
        &[
            ("failure-policy", JOB, values, json!(codes[1..])),
            ("failure-policy", JOB, values, json!([&codes[..], &[143]].concat())),
            ("failure-policy", JOB, values, json!(unsorted)),
            ("failure-policy", JOB, values, json!([&[64], &codes[..]].concat())),
            ("failure-policy", JOB, rules, json!([ignore, fail])),
            ("failure-policy", JOB, rules, json!([fail])),
            ("failure-policy", JOB, "/spec/podFailurePolicy", json!(null)),
            ("failure-policy", JOB, "/spec/podFailurePolicy/rules/0/action", json!("Count")),
            ("failure-policy", JOB, "/spec/podFailurePolicy/rules/0/onExitCodes/operator", json!("NotIn")),
            ("failure-policy", JOB, "/spec/podFailurePolicy/rules/0/onExitCodes/containerName", json!("other")),
            ("failure-policy", JOB, "/spec/podFailurePolicy/rules/1/onPodConditions/0/status", json!("False")),
            ("restart-policy", JOB, "pod:restartPolicy", json!("OnFailure")),
            ("pod-replacement", JOB, "/spec/podReplacementPolicy", json!("TerminatingOrFailed")),
            ("backoff-limit", JOB, "/spec/backoffLimit", json!(null)),
            ("ttl", JOB, "/spec/ttlSecondsAfterFinished", json!(null)),
        ],
    );
    // When it is renamed on one side only, the container is no longer recognized as one that migrates.
    let renamed = ("", JOB, "app:name", json!("lockkeeper"));
    let broken = broken_rules(&with_mistake(&installation("k8s/overlays/job"), &renamed));
    assert!(broken.iter().any(|it| it.place.ends_with("it names a container that the pod does not have")));
}

#[test]
fn a_deadline_that_does_not_fit_into_the_next_is_refused() {
    expect_each_refused(
        "k8s/overlays/job",
        &[
            ("deadlines", SETTINGS, "/data/LOCKKEEPER_WAIT_TIMEOUT", json!("10m")),
            ("deadlines", SETTINGS, "/data/LOCKKEEPER_LOCK_TIMEOUT", json!("25m")),
            ("deadlines", SETTINGS, "/data/LOCKKEEPER_DEADLINE", json!("30m")),
            ("deadlines", SETTINGS, "/data/LOCKKEEPER_DEADLINE", json!("0")),
            ("deadlines", SETTINGS, "/data/LOCKKEEPER_DEADLINE", json!(null)),
            ("deadlines", SETTINGS, "/data/LOCKKEEPER_SHUTDOWN_GRACE", json!("30s")),
            ("deadlines", JOB, "/spec/activeDeadlineSeconds", json!(1500)),
            ("deadlines", JOB, "/spec/activeDeadlineSeconds", json!(null)),
            ("deadlines", JOB, "/spec/activeDeadlineSeconds", json!(2100)),
            ("deadlines", JOB, "pod:terminationGracePeriodSeconds", json!(25)),
            ("deadlines", APP, "/spec/progressDeadlineSeconds", json!(null)),
            ("deadlines", APP, "init:env/1/value", json!("25m")),
        ],
    );
    let base = [("deadlines", APP, "/spec/progressDeadlineSeconds", json!(1500))];
    expect_each_refused("k8s/base", &base);
}

#[test]
fn settings_that_lockkeeper_refuses_are_refused() {
    let probe = json!({"tcpSocket": {"port": 8080}});
    expect_each_refused(
        "k8s/base",
        &[
            ("no-probes", APP, "init:readinessProbe", probe.clone()),
            ("no-probes", APP, "init:livenessProbe", probe.clone()),
            ("no-probes", APP, "init:startupProbe", probe),
            ("entrypoint", APP, "init:command", json!(["/bin/sh", "-c", "lockkeeper"])),
            ("accepted", APP, "init:args", json!(["upgrade", "--no-such-flag"])),
            ("accepted", APP, "init:args", json!(["restore"])),
            ("accepted", SETTINGS, "/data/LOCKKEEPER_BACKUP", json!("maybe")),
            ("known-settings", SETTINGS, "/data/LOCKKEEPER_LOCK_TIMOUT", json!("1m")),
            ("known-settings", SETTINGS, "/data/DATABASE_PASWORD_FILE", json!("/run/secrets/lockkeeper/x")),
            ("mounted-files", SETTINGS, "/data/DATABASE_URL_FILE", json!("/run/elsewhere/url")),
            (
                "mounted-files",
                SETTINGS,
                "/data/LOCKKEEPER_DIRECT_URL",
                json!("postgresql://a@db/c?sslrootcert=/ca.pem"),
            ),
        ],
    );
    // The expansion does not nest either: its length is unknown.
    let unreadable = ("", SETTINGS, "/data/LOCKKEEPER_DEADLINE", json!("soon"));
    let broken = broken_rules(&with_mistake(&installation("k8s/base"), &unreadable));
    assert!(broken.iter().any(|it| it.rule == "accepted" && it.place.contains("LOCKKEEPER_DEADLINE")), "{broken:#?}");
}

#[test]
fn a_secret_in_plain_text_is_refused() {
    let reference = json!({"secretKeyRef": {"name": "devops-hub-database", "key": "password"}});
    expect_each_refused(
        "k8s/base",
        &[
            ("no-secrets", APP, "app:env", json!([{"name": "DATABASE_PASSWORD", "valueFrom": reference}])),
            ("no-secrets", APP, "app:env", json!([{"name": "PGPASSWORD", "value": "hunter2"}])),
            ("no-secrets", APP, "app:env", json!([{"name": "REDIS_URL", "value": "redis://a:b@redis/0"}])),
            ("no-secrets", APP, "app:envFrom/-", json!({"secretRef": {"name": "devops-hub-database"}})),
            ("no-secrets", APP, "app:args", json!(["--url", "postgresql://a:b@db/c"])),
            ("no-secrets", SETTINGS, "/data/API_TOKEN", json!("hunter2")),
            ("no-secrets", SETTINGS, "/data/OTHER_URL", json!("postgresql://db/c?password=hunter2")),
        ],
    );
}

#[test]
fn an_unknown_field_is_refused_by_each_release() {
    let valid = installation("k8s/overlays/job");
    let wrong = [
        ("/spec/podReplacmentPolicy", json!("Failed"), "'podReplacmentPolicy' was unexpected"),
        ("/spec/backoffLimit", json!("three"), "spec.backoffLimit: 'three' is not of type"),
        ("app:securityContext/readOnlyRootFileSystem", json!(true), "'readOnlyRootFileSystem' was unexpected"),
        ("pod:restartPolicy", json!(1), "spec.template.spec.restartPolicy: 1 is not of type"),
    ];
    let mutated = wrong.iter().map(|(pointer, value, _)| with_mistake(&valid, &("", JOB, pointer, value.clone())));
    let retired = json!({"apiVersion": "policy/v1beta1", "kind": "PodDisruptionBudget", "metadata": {"name": "old"}});
    let documents: Vec<Value> = mutated.flatten().chain([retired]).collect();
    let refused = schema_errors(&documents);
    for reason in wrong.iter().map(|(_, _, reason)| *reason).chain(["this release has no PodDisruptionBudget"]) {
        let lines = refused.lines().filter(|line| line.contains(reason));
        let releases: Vec<&str> = lines.filter_map(|line| line.split([' ', ':']).nth(2)).collect();
        assert!(releases.len() >= 9 && releases[0] == format!("{OLDEST}.0"), "{reason}: {refused}");
    }
}

#[test]
#[should_panic(expected = "'kind' is there twice")]
fn a_duplicate_key_is_refused() {
    yaml("kind: Job\nspec: {}\nkind: Job\n");
}
