//! Tests that whatever Pod Security `restricted` forbids is refused, and whatever our own rules forbid.

use serde_json::{Value, json};

use super::kubernetes::installation;
use super::kubernetes_rules::{APP, Mistake, expect_each_refused};
use crate::support::manifests::broken_rules;

#[track_caller]
fn pod_security_refuses(fields: &[(&str, Value)]) {
    let table: Vec<Mistake> =
        fields.iter().map(|(pointer, value)| ("pod-security", APP, *pointer, value.clone())).collect();
    expect_each_refused("k8s/base", &table);
}

#[test]
fn fields_that_pod_security_forbids_for_a_pod_are_refused() {
    pod_security_refuses(&[
        ("pod:hostNetwork", json!(true)),
        ("pod:hostPID", json!(true)),
        ("pod:hostIPC", json!(true)),
        ("pod:securityContext/runAsNonRoot", json!(null)),
        ("pod:securityContext/runAsNonRoot", json!(false)),
        ("pod:securityContext/runAsUser", json!(0)),
        ("pod:securityContext/seccompProfile", json!(null)),
        ("pod:securityContext/seccompProfile/type", json!("Unconfined")),
        ("pod:securityContext/sysctls", json!([{"name": "kernel.msgmax", "value": "1"}])),
        ("pod:securityContext/seLinuxOptions", json!({"type": "spc_t"})),
        ("pod:securityContext/seLinuxOptions", json!({"user": "system_u"})),
        ("pod:securityContext/seLinuxOptions", json!({"role": "system_r"})),
        ("pod:securityContext/appArmorProfile", json!({"type": "Unconfined"})),
        ("pod:securityContext/windowsOptions", json!({"hostProcess": true})),
        ("pod:volumes/2", json!({"name": "tmp", "hostPath": {"path": "/"}})),
        ("pod:volumes/2", json!({"name": "tmp", "nfs": {"server": "s", "path": "/"}})),
        (
            "/spec/template/metadata/annotations",
            json!({"container.apparmor.security.beta.kubernetes.io/migrate": "unconfined"}),
        ),
    ]);
}

#[test]
fn fields_that_pod_security_forbids_for_a_container_are_refused() {
    pod_security_refuses(&[
        ("app:securityContext/privileged", json!(true)),
        ("app:securityContext/allowPrivilegeEscalation", json!(null)),
        ("app:securityContext/allowPrivilegeEscalation", json!(true)),
        ("app:securityContext/procMount", json!("Unmasked")),
        ("app:securityContext/capabilities", json!(null)),
        ("app:securityContext/capabilities/drop", json!(["NET_RAW"])),
        ("app:securityContext/capabilities/add", json!(["SYS_ADMIN"])),
        ("app:securityContext/runAsNonRoot", json!(false)),
        ("app:securityContext/runAsUser", json!(0)),
        ("app:securityContext/seccompProfile", json!({"type": "Unconfined"})),
        ("app:securityContext/seLinuxOptions", json!({"type": "spc_t"})),
        ("app:securityContext/appArmorProfile", json!({"type": "Unconfined"})),
        ("app:securityContext/windowsOptions", json!({"hostProcess": true})),
        ("app:ports", json!([{"name": "http", "containerPort": 8080, "hostPort": 8080}])),
        ("app:livenessProbe/httpGet/host", json!("169.254.169.254")),
        ("app:lifecycle", json!({"preStop": {"tcpSocket": {"host": "169.254.169.254", "port": 80}}})),
    ]);
}

/// Containers that our manifests do not have are checked as well.
#[test]
fn every_kind_of_container_is_checked() {
    let container = json!({"name": "shell", "image": "shell:1", "securityContext": {"privileged": true}});
    let valid = installation("k8s/base");
    for kind in ["initContainers", "containers", "ephemeralContainers"] {
        let mut documents = valid.clone();
        let app = documents.iter_mut().find(|it| it["kind"] == "Deployment").expect("the application");
        let spec = app.pointer_mut("/spec/template/spec").and_then(Value::as_object_mut).expect("a pod");
        let list = spec.entry(kind).or_insert_with(|| json!([])).as_array_mut().expect("a list");
        list.push(container.clone());
        let broken = broken_rules(&documents);
        let is_reported = broken.iter().any(|it| it.place == "Deployment/devops-hub/shell: privileged");
        assert!(is_reported, "{kind}: {broken:#?}");
    }
}

/// The pods of a cron job are one level deeper.
#[test]
fn every_kind_of_pod_is_checked() {
    let pod = json!({"spec": {"hostNetwork": true, "containers": []}});
    let shapes = [
        json!({"kind": "Pod", "spec": pod["spec"]}),
        json!({"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": pod}}}}),
        json!({"kind": "StatefulSet", "spec": {"template": pod}}),
    ];
    for document in shapes {
        let broken = broken_rules(std::slice::from_ref(&document));
        assert!(broken.iter().any(|it| it.place.ends_with(": hostNetwork")), "{document}: {broken:#?}");
    }
}

#[test]
fn our_own_rules_beyond_the_standard_are_checked() {
    expect_each_refused(
        "k8s/base",
        &[
            ("read-only-root", APP, "app:securityContext/readOnlyRootFilesystem", json!(null)),
            ("no-token", APP, "pod:automountServiceAccountToken", json!(null)),
            ("no-service-links", APP, "pod:enableServiceLinks", json!(null)),
            ("resources", APP, "init:resources/limits", json!(null)),
            ("resources", APP, "app:resources/requests", json!({"cpu": "1"})),
            ("image-tags", APP, "app:image", json!("registry:5000/devops-hub")),
            ("image-tags", APP, "app:image", json!("devops-hub:latest")),
        ],
    );
}
