//! Rules for documents that reference each other: every reference has a target, and every target is referenced.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::document::{Container, Findings, Installation, Pod, list, selects, text, title};

pub fn check(installation: &Installation, findings: &mut Findings) {
    let mut seen = BTreeSet::new();
    for document in installation.documents {
        findings.demand(seen.insert(title(document)), "unique-names", title(document));
    }
    for pod in &installation.pods {
        volumes(pod, findings);
        shared_volumes(installation, pod, findings);
        own_selector(pod, findings);
        for container in pod.containers() {
            image(&container, findings);
        }
    }
    reference_targets(installation, findings);
    services(installation, findings);
    policies(installation, findings);
    scaling(installation, findings);
    for pod in &installation.pods {
        database_egress(installation, pod, findings);
    }
}

/// Requires that each mount has a volume and each volume a mount.
fn volumes(pod: &Pod, findings: &mut Findings) {
    let names = |value: &'static str| move |item: &Value| item[value].as_str().unwrap_or_default().to_owned();
    let volumes: BTreeSet<String> = list(pod.spec(), "/volumes").iter().map(names("name")).collect();
    let mut mounted = BTreeSet::new();
    for container in pod.containers() {
        for mount in list(container.value, "/volumeMounts").iter().map(names("name")) {
            findings.demand(volumes.contains(&mount), "volumes", format!("{}: no {mount}", container.place));
            mounted.insert(mount);
        }
    }
    for unused in volumes.difference(&mounted) {
        findings.demand(false, "volumes", format!("{}: {unused} is not mounted", title(pod.owner)));
    }
}

/// Requires that a volume claim for one node belongs to a Deployment that never has two pods at once.
fn shared_volumes(installation: &Installation, pod: &Pod, findings: &mut Findings) {
    if text(pod.owner, "/kind") != "Deployment" {
        return;
    }
    let one_at_a_time =
        text(pod.owner, "/spec/strategy/type") == "Recreate" && pod.owner["spec"]["replicas"] == json!(1);
    for volume in list(pod.spec(), "/volumes") {
        let claim = text(volume, "/persistentVolumeClaim/claimName");
        let modes =
            installation.find("PersistentVolumeClaim", claim).map_or(&[][..], |it| list(it, "/spec/accessModes"));
        let shareable = modes.is_empty() || modes.iter().any(|mode| mode == "ReadWriteMany");
        findings.demand(shareable || one_at_a_time, "shared-volumes", format!("{}: {claim}", title(pod.owner)));
    }
}

/// Requires that the selector of a workload selects its own pods.
fn own_selector(pod: &Pod, findings: &mut Findings) {
    if let Some(selector) = pod.owner.pointer("/spec/selector/matchLabels") {
        findings.demand(selects(selector, pod.labels()), "selectors", title(pod.owner));
    }
}

/// Requires an image tag that identifies the release.
fn image(container: &Container, findings: &mut Findings) {
    let image = text(container.value, "/image");
    let name = image.rsplit('/').next().unwrap_or_default();
    let pinned = name.contains("@sha256:") || name.split_once(':').is_some_and(|(_, tag)| tag != "latest");
    findings.demand(pinned, "image-tags", format!("{}: {image}", container.place));
}

/// Returns the objects that a pod references: kind, name, and the keys it needs.
pub fn referenced_objects(pod: &Pod) -> Vec<(&'static str, String, Vec<String>)> {
    let mut referenced_objects = Vec::new();
    let mut add = |kind: &'static str, name: &str, keys: Vec<String>| {
        if !name.is_empty() {
            referenced_objects.push((kind, name.to_owned(), keys));
        }
    };
    let keys = |items: &Value| list(items, "/items").iter().map(|it| text(it, "/key").to_owned()).collect();
    add("ServiceAccount", text(pod.spec(), "/serviceAccountName"), Vec::new());
    for volume in list(pod.spec(), "/volumes") {
        add("PersistentVolumeClaim", text(volume, "/persistentVolumeClaim/claimName"), Vec::new());
        let projected = list(volume, "/projected/sources");
        for source in std::iter::once(volume).chain(projected) {
            add("ConfigMap", text(source, "/configMap/name"), keys(&source["configMap"]));
            add("Secret", text(source, "/secret/secretName"), keys(&source["secret"]));
            add("Secret", text(source, "/secret/name"), keys(&source["secret"]));
        }
    }
    for container in pod.containers() {
        for source in list(container.value, "/envFrom") {
            add("ConfigMap", text(source, "/configMapRef/name"), Vec::new());
            add("Secret", text(source, "/secretRef/name"), Vec::new());
        }
        for variable in list(container.value, "/env") {
            for (kind, field) in [("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")] {
                let reference = &variable["valueFrom"][field];
                add(kind, text(reference, "/name"), vec![text(reference, "/key").to_owned()]);
            }
        }
    }
    referenced_objects
}

/// Requires that every reference of a pod has a target among the documents, and that every such document is referenced
/// by a pod.
fn reference_targets(installation: &Installation, findings: &mut Findings) {
    let mut used = BTreeSet::new();
    for pod in &installation.pods {
        for (kind, name, keys) in referenced_objects(pod) {
            let place = format!("{} wants {kind}/{name}", title(pod.owner));
            let Some(found) = installation.find(kind, &name) else {
                findings.demand(false, "references", place);
                continue;
            };
            for key in keys {
                let has = ["data", "stringData", "binaryData"].iter().any(|data| found[*data].get(&key).is_some());
                findings.demand(has, "references", format!("{place} with {key}"));
            }
            used.insert(title(found));
        }
    }
    for kind in ["ConfigMap", "Secret", "PersistentVolumeClaim", "ServiceAccount"] {
        for document in installation.kind(kind) {
            findings.demand(used.contains(&title(document)), "unused", title(document));
        }
    }
}

/// Requires that a Service selects pods, and that each of its ports is one of theirs.
fn services(installation: &Installation, findings: &mut Findings) {
    for service in installation.kind("Service") {
        let selector = &service["spec"]["selector"];
        let pods = installation.pods.iter().filter(|pod| selector.is_object() && selects(selector, pod.labels()));
        let pods: Vec<&Pod> = pods.collect();
        findings.demand(!pods.is_empty(), "selectors", format!("{} selects no pod", title(service)));
        for port in list(service, "/spec/ports") {
            let target = port.get("targetPort").unwrap_or(&port["port"]);
            let place = format!("{}: no port {target} in its pods", title(service));
            findings.demand(pods.iter().all(|pod| has_port(pod, target)), "ports", place);
        }
    }
}

/// Requires that a policy selects pods, and that each port it names is one of theirs.
fn policies(installation: &Installation, findings: &mut Findings) {
    for policy in installation.kind("NetworkPolicy") {
        let selector = &policy["spec"]["podSelector"]["matchLabels"];
        let pods: Vec<&Pod> = installation.pods.iter().filter(|pod| selects(selector, pod.labels())).collect();
        findings.demand(!pods.is_empty(), "selectors", format!("{} selects no pod", title(policy)));
        for port in list(policy, "/spec/ingress").iter().flat_map(|rule| list(rule, "/ports")) {
            let place = format!("{}: no port {} in its pods", title(policy), port["port"]);
            findings.demand(pods.iter().any(|pod| has_port(pod, &port["port"])), "ports", place);
        }
    }
}

/// Requires that a disruption budget selects pods, and that an autoscaler has a target whose number of replicas nobody
/// else sets.
fn scaling(installation: &Installation, findings: &mut Findings) {
    for budget in installation.kind("PodDisruptionBudget") {
        let selector = &budget["spec"]["selector"]["matchLabels"];
        let selects_some = selector.is_object() && installation.pods.iter().any(|pod| selects(selector, pod.labels()));
        findings.demand(selects_some, "selectors", format!("{} selects no pod", title(budget)));
        let limits = ["minAvailable", "maxUnavailable"].map(|limit| !budget["spec"][limit].is_null());
        findings.demand(limits[0] != limits[1], "scaling", format!("{}: one limit", title(budget)));
    }
    for scaler in installation.kind("HorizontalPodAutoscaler") {
        let target = text(scaler, "/spec/scaleTargetRef/name");
        let found = installation.find(text(scaler, "/spec/scaleTargetRef/kind"), target);
        findings.demand(found.is_some(), "references", format!("{} wants {target}", title(scaler)));
        let is_free = found.is_none_or(|it| it["spec"]["replicas"].is_null());
        findings.demand(is_free, "scaling", format!("{}: {target} has replicas", title(scaler)));
    }
}

/// Requires that network policies let a pod reach the database and DNS.
fn database_egress(installation: &Installation, pod: &Pod, findings: &mut Findings) {
    let selected = |policy: &&Value| {
        list(policy, "/spec/policyTypes").contains(&json!("Egress"))
            && selects(&policy["spec"]["podSelector"]["matchLabels"], pod.labels())
    };
    let policies: Vec<&Value> = installation.kind("NetworkPolicy").filter(selected).collect();
    let rules: Vec<&Value> = policies.iter().flat_map(|policy| list(policy, "/spec/egress")).collect();
    let allows = |protocol: &str, expected: u64| {
        let port = |port: &Value| {
            let first = port["port"].as_u64().unwrap_or(expected);
            let last = port["endPort"].as_u64().unwrap_or(first);
            port["protocol"].as_str().unwrap_or("TCP") == protocol && (first..=last).contains(&expected)
        };
        let allows_port = |rule: &&Value| rule["ports"].is_null() || list(rule, "/ports").iter().any(port);
        policies.is_empty() || rules.iter().any(allows_port)
    };
    for container in pod.containers().iter().filter(|container| container.runs_lockkeeper()) {
        let mut environment = installation.environment(container);
        // Only the Secret knows the URL: the port is PostgreSQL's default.
        let in_a_file = environment.remove("DATABASE_URL_FILE").map(|_| "postgres://host/name".to_owned());
        let url = environment.remove("DATABASE_URL").or(in_a_file).unwrap_or_default();
        let Some((_, rest)) = url.split_once("://").filter(|(scheme, _)| scheme.starts_with("postgres")) else {
            continue;
        };
        let hosts = rest.split(['/', '?']).next().unwrap_or_default().split(',');
        let port = |host: &str| host.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(5432);
        for (protocol, port) in hosts.map(|host| ("TCP", port(host))).chain([("UDP", 53)]) {
            let place = format!("{}: {protocol} {port}", container.place);
            findings.demand(allows(protocol, port), "egress", place);
        }
    }
}

fn has_port(pod: &Pod, expected: &Value) -> bool {
    let ports = pod.containers().into_iter().flat_map(|container| list(container.value, "/ports").iter());
    let mut ports = ports.map(|port| (&port["name"], &port["containerPort"]));
    ports.any(|(name, number)| name == expected || number == expected)
}
