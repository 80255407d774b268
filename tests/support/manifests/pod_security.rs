//! The rules of the Pod Security Standard `restricted`, which includes `baseline`, and rules of our own.
//!
//! They follow <https://kubernetes.io/docs/concepts/security/pod-security-standards/> and cover all of its fields,
//! whether our manifests set them or not: a user of the chart may.

use serde_json::{Value, json};

use super::document::{Container, Findings, Installation, Pod, list, text, title};

const RULE: &str = "pod-security";

const VOLUMES: [&str; 8] =
    ["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"];

/// The sysctls that were safe in the oldest release that we support.
const SYSCTLS: [&str; 10] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_syncookies",
];

const SELINUX_TYPES: [&str; 5] = ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];

pub fn check(installation: &Installation, findings: &mut Findings) {
    for pod in &installation.pods {
        let place = title(pod.owner);
        let mut demand = |met: bool, what: &str| findings.demand(met, RULE, format!("{place}: {what}"));
        check_pod(pod, &mut demand);
        check_security_context(&pod.spec()["securityContext"], &mut demand);
        check_own_rules(pod, findings);
        for container in pod.containers() {
            let mut demand = |met: bool, what: &str| findings.demand(met, RULE, format!("{}: {what}", container.place));
            check_security_context(&container.value["securityContext"], &mut demand);
            check_container(&container, &pod.spec()["securityContext"], &mut demand);
        }
    }
}

fn check_pod(pod: &Pod, demand: &mut impl FnMut(bool, &str)) {
    let spec = pod.spec();
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        demand(!is_set(&spec[field]), field);
    }
    for volume in list(spec, "/volumes") {
        for (kind, _) in volume.as_object().into_iter().flatten().filter(|(kind, _)| *kind != "name") {
            demand(VOLUMES.contains(&kind.as_str()), &format!("volume of type {kind}"));
        }
    }
    for sysctl in list(spec, "/securityContext/sysctls") {
        let name = text(sysctl, "/name");
        demand(SYSCTLS.contains(&name), &format!("sysctl {name}"));
    }
    let annotations = pod.template["metadata"]["annotations"].as_object();
    for (name, profile) in annotations.into_iter().flatten() {
        let profile = profile.as_str().unwrap_or_default();
        let is_apparmor = name.starts_with("container.apparmor.security.beta.kubernetes.io/");
        let confined = ["", "runtime/default"].contains(&profile) || profile.starts_with("localhost/");
        demand(!is_apparmor || confined, &format!("AppArmor {profile}"));
    }
}

/// Checks the fields of a security context that pods and containers share.
fn check_security_context(context: &Value, demand: &mut impl FnMut(bool, &str)) {
    demand(!is_set(&context["windowsOptions"]["hostProcess"]), "windowsOptions.hostProcess");
    let selinux = &context["seLinuxOptions"];
    demand(SELINUX_TYPES.contains(&text(selinux, "/type")), "seLinuxOptions.type");
    demand(text(selinux, "/user").is_empty(), "seLinuxOptions.user");
    demand(text(selinux, "/role").is_empty(), "seLinuxOptions.role");
    for profile in ["appArmorProfile", "seccompProfile"] {
        let kind = text(&context[profile], "/type");
        demand(["", "RuntimeDefault", "Localhost"].contains(&kind), profile);
    }
    demand(context["runAsUser"] != json!(0), "runAsUser 0");
    demand(context["runAsNonRoot"] != json!(false), "runAsNonRoot false");
}

fn check_container(container: &Container, pod_context: &Value, demand: &mut impl FnMut(bool, &str)) {
    let value = container.value;
    let context = &value["securityContext"];
    demand(!is_set(&context["privileged"]), "privileged");
    demand(context["allowPrivilegeEscalation"] == json!(false), "allowPrivilegeEscalation is not false");
    demand(["", "Default"].contains(&text(context, "/procMount")), "procMount");
    demand(list(context, "/capabilities/drop").contains(&json!("ALL")), "capabilities: ALL is not dropped");
    let added = list(context, "/capabilities/add");
    demand(added.iter().all(|name| name == "NET_BIND_SERVICE"), "capabilities are added");
    demand(list(value, "/ports").iter().all(|port| !is_set(&port["hostPort"])), "hostPort");
    let effective = |field: &str| match &context[field] {
        Value::Null => &pod_context[field],
        own => own,
    };
    demand(*effective("runAsNonRoot") == json!(true), "runAsNonRoot is not true");
    demand(effective("seccompProfile")["type"].is_string(), "there is no seccompProfile");
    let probes = ["livenessProbe", "readinessProbe", "startupProbe"].map(|probe| &value[probe]);
    let hooks = ["postStart", "preStop"].map(|hook| &value["lifecycle"][hook]);
    for handler in probes.into_iter().chain(hooks) {
        for host in ["/httpGet/host", "/tcpSocket/host"] {
            demand(text(handler, host).is_empty(), "a probe or hook of another host");
        }
    }
}

/// Checks our own rules: only volumes are writable, there is no service account token, no service links are in the
/// environment, and no container may take all memory of a node.
fn check_own_rules(pod: &Pod, findings: &mut Findings) {
    let (spec, place) = (pod.spec(), title(pod.owner));
    findings.demand(spec["automountServiceAccountToken"] == json!(false), "no-token", &*place);
    findings.demand(spec["enableServiceLinks"] == json!(false), "no-service-links", &*place);
    for container in pod.containers() {
        let value = container.value;
        let read_only = &value["securityContext"]["readOnlyRootFilesystem"];
        findings.demand(*read_only == json!(true), "read-only-root", &*container.place);
        for part in ["requests", "limits"] {
            let place = format!("{}: no memory {part}", container.place);
            findings.demand(value["resources"][part]["memory"].is_string(), "resources", place);
        }
    }
}

/// Returns whether a value is neither absent nor null, false or 0.
fn is_set(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::Bool(false)) && *value != json!(0)
}
