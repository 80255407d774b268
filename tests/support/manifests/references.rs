//! Documents that name each other: what is named is there, and what is there is named.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::document::{Container, Findings, Pod, Set, list, selects, text, title};

pub fn check(set: &Set, findings: &mut Findings) {
    let mut seen = BTreeSet::new();
    for document in set.documents {
        findings.demand(seen.insert(title(document)), "unique-names", title(document));
    }
    for pod in &set.pods {
        volumes(pod, findings);
        shared_volumes(set, pod, findings);
        own_selector(pod, findings);
        for container in pod.containers() {
            image(&container, findings);
        }
    }
    ends(set, findings);
    services(set, findings);
    policies(set, findings);
    scaling(set, findings);
    for pod in &set.pods {
        way_to_the_database(set, pod, findings);
    }
}

/// Each mount has its volume, each volume its mount.
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

/// A claim that one node may mount belongs to a Deployment only when never two pods of it are there at once.
fn shared_volumes(set: &Set, pod: &Pod, findings: &mut Findings) {
    if text(pod.owner, "/kind") != "Deployment" {
        return;
    }
    let one_at_a_time =
        text(pod.owner, "/spec/strategy/type") == "Recreate" && pod.owner["spec"]["replicas"] == json!(1);
    for volume in list(pod.spec(), "/volumes") {
        let claim = text(volume, "/persistentVolumeClaim/claimName");
        let modes = set.find("PersistentVolumeClaim", claim).map_or(&[][..], |it| list(it, "/spec/accessModes"));
        let shareable = modes.is_empty() || modes.iter().any(|mode| mode == "ReadWriteMany");
        findings.demand(shareable || one_at_a_time, "shared-volumes", format!("{}: {claim}", title(pod.owner)));
    }
}

/// What a workload selects are its own pods.
fn own_selector(pod: &Pod, findings: &mut Findings) {
    if let Some(selector) = pod.owner.pointer("/spec/selector/matchLabels") {
        findings.demand(selects(selector, pod.labels()), "selectors", title(pod.owner));
    }
}

/// A tag that says which release it is.
fn image(container: &Container, findings: &mut Findings) {
    let image = text(container.value, "/image");
    let name = image.rsplit('/').next().unwrap_or_default();
    let pinned = name.contains("@sha256:") || name.split_once(':').is_some_and(|(_, tag)| tag != "latest");
    findings.demand(pinned, "image-tags", format!("{}: {image}", container.place));
}

/// What a pod names: kind, name, and the keys it wants.
pub fn named(pod: &Pod) -> Vec<(&'static str, String, Vec<String>)> {
    let mut named = Vec::new();
    let mut name = |kind: &'static str, name: &str, keys: Vec<String>| {
        if !name.is_empty() {
            named.push((kind, name.to_owned(), keys));
        }
    };
    let keys = |items: &Value| list(items, "/items").iter().map(|it| text(it, "/key").to_owned()).collect();
    name("ServiceAccount", text(pod.spec(), "/serviceAccountName"), Vec::new());
    for volume in list(pod.spec(), "/volumes") {
        name("PersistentVolumeClaim", text(volume, "/persistentVolumeClaim/claimName"), Vec::new());
        let projected = list(volume, "/projected/sources");
        for source in std::iter::once(volume).chain(projected) {
            name("ConfigMap", text(source, "/configMap/name"), keys(&source["configMap"]));
            name("Secret", text(source, "/secret/secretName"), keys(&source["secret"]));
            name("Secret", text(source, "/secret/name"), keys(&source["secret"]));
        }
    }
    for container in pod.containers() {
        for source in list(container.value, "/envFrom") {
            name("ConfigMap", text(source, "/configMapRef/name"), Vec::new());
            name("Secret", text(source, "/secretRef/name"), Vec::new());
        }
        for variable in list(container.value, "/env") {
            for (kind, field) in [("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")] {
                let reference = &variable["valueFrom"][field];
                name(kind, text(reference, "/name"), vec![text(reference, "/key").to_owned()]);
            }
        }
    }
    named
}

/// Every reference of a pod has its end among the documents, and every such document has a pod that wants it.
fn ends(set: &Set, findings: &mut Findings) {
    let mut used = BTreeSet::new();
    for pod in &set.pods {
        for (kind, name, keys) in named(pod) {
            let place = format!("{} wants {kind}/{name}", title(pod.owner));
            let Some(found) = set.find(kind, &name) else {
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
        for document in set.kind(kind) {
            findings.demand(used.contains(&title(document)), "unused", title(document));
        }
    }
}

/// A Service has pods, and each of its ports is one of theirs.
fn services(set: &Set, findings: &mut Findings) {
    for service in set.kind("Service") {
        let selector = &service["spec"]["selector"];
        let pods = set.pods.iter().filter(|pod| selector.is_object() && selects(selector, pod.labels()));
        let pods: Vec<&Pod> = pods.collect();
        findings.demand(!pods.is_empty(), "selectors", format!("{} selects no pod", title(service)));
        for port in list(service, "/spec/ports") {
            let target = port.get("targetPort").unwrap_or(&port["port"]);
            let place = format!("{}: no port {target} in its pods", title(service));
            findings.demand(pods.iter().all(|pod| has_port(pod, target)), "ports", place);
        }
    }
}

/// A policy has pods, and a port that it names is one of theirs.
fn policies(set: &Set, findings: &mut Findings) {
    for policy in set.kind("NetworkPolicy") {
        let selector = &policy["spec"]["podSelector"]["matchLabels"];
        let pods: Vec<&Pod> = set.pods.iter().filter(|pod| selects(selector, pod.labels())).collect();
        findings.demand(!pods.is_empty(), "selectors", format!("{} selects no pod", title(policy)));
        for port in list(policy, "/spec/ingress").iter().flat_map(|rule| list(rule, "/ports")) {
            let place = format!("{}: no port {} in its pods", title(policy), port["port"]);
            findings.demand(pods.iter().any(|pod| has_port(pod, &port["port"])), "ports", place);
        }
    }
}

/// A disruption budget has pods; an autoscaler has a Deployment, whose number of pods nobody else sets.
fn scaling(set: &Set, findings: &mut Findings) {
    for budget in set.kind("PodDisruptionBudget") {
        let selector = &budget["spec"]["selector"]["matchLabels"];
        let selects_some = selector.is_object() && set.pods.iter().any(|pod| selects(selector, pod.labels()));
        findings.demand(selects_some, "selectors", format!("{} selects no pod", title(budget)));
        let limits = ["minAvailable", "maxUnavailable"].map(|limit| !budget["spec"][limit].is_null());
        findings.demand(limits[0] != limits[1], "scaling", format!("{}: one limit", title(budget)));
    }
    for scaler in set.kind("HorizontalPodAutoscaler") {
        let target = text(scaler, "/spec/scaleTargetRef/name");
        let found = set.find(text(scaler, "/spec/scaleTargetRef/kind"), target);
        findings.demand(found.is_some(), "references", format!("{} wants {target}", title(scaler)));
        let is_free = found.is_none_or(|it| it["spec"]["replicas"].is_null());
        findings.demand(is_free, "scaling", format!("{}: {target} has replicas", title(scaler)));
    }
}

/// Where policies hold a pod's connections back, those to the database and to DNS are let through.
fn way_to_the_database(set: &Set, pod: &Pod, findings: &mut Findings) {
    let selected = |policy: &&Value| {
        list(policy, "/spec/policyTypes").contains(&json!("Egress"))
            && selects(&policy["spec"]["podSelector"]["matchLabels"], pod.labels())
    };
    let policies: Vec<&Value> = set.kind("NetworkPolicy").filter(selected).collect();
    let rules: Vec<&Value> = policies.iter().flat_map(|policy| list(policy, "/spec/egress")).collect();
    let lets_through = |protocol: &str, wanted: u64| {
        let port = |port: &Value| {
            let first = port["port"].as_u64().unwrap_or(wanted);
            let last = port["endPort"].as_u64().unwrap_or(first);
            port["protocol"].as_str().unwrap_or("TCP") == protocol && (first..=last).contains(&wanted)
        };
        let lets = |rule: &&Value| rule["ports"].is_null() || list(rule, "/ports").iter().any(port);
        policies.is_empty() || rules.iter().any(lets)
    };
    for container in pod.containers().iter().filter(|container| container.runs_lockkeeper()) {
        let mut environment = set.environment(container);
        // A URL that only the Secret has: with PostgreSQL's port.
        let in_a_file = environment.remove("DATABASE_URL_FILE").map(|_| "postgres://host/name".to_owned());
        let url = environment.remove("DATABASE_URL").or(in_a_file).unwrap_or_default();
        let Some((_, rest)) = url.split_once("://").filter(|(scheme, _)| scheme.starts_with("postgres")) else {
            continue;
        };
        let hosts = rest.split(['/', '?']).next().unwrap_or_default().split(',');
        let port = |host: &str| host.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(5432);
        for (protocol, port) in hosts.map(|host| ("TCP", port(host))).chain([("UDP", 53)]) {
            let place = format!("{}: {protocol} {port}", container.place);
            findings.demand(lets_through(protocol, port), "egress", place);
        }
    }
}

fn has_port(pod: &Pod, wanted: &Value) -> bool {
    let ports = pod.containers().into_iter().flat_map(|container| list(container.value, "/ports").iter());
    let mut ports = ports.map(|port| (&port["name"], &port["containerPort"]));
    ports.any(|(name, number)| name == wanted || number == wanted)
}
