//! The validation of the API server that the schemas do not have: the allowed words of a field and the form of a name.
//!
//! It follows `pkg/apis/*/validation` of Kubernetes, as far as manifests like ours need it.

use serde_json::Value;

use super::document::{Findings, Installation, Pod, list, text, title};

/// Fields that take one of a few words, or a list of them.
const ALLOWED_WORDS: [(&str, &[&str]); 10] = [
    ("accessModes", &["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"]),
    ("dnsPolicy", &["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"]),
    ("effect", &["NoSchedule", "PreferNoSchedule", "NoExecute"]),
    ("fsGroupChangePolicy", &["OnRootMismatch", "Always"]),
    ("imagePullPolicy", &["Always", "IfNotPresent", "Never"]),
    ("policyTypes", &["Ingress", "Egress"]),
    ("protocol", &["TCP", "UDP", "SCTP"]),
    ("restartPolicy", &["Always", "OnFailure", "Never"]),
    ("terminationMessagePolicy", &["File", "FallbackToLogsOnError"]),
    ("whenUnsatisfiable", &["DoNotSchedule", "ScheduleAnyway"]),
];

pub fn check(installation: &Installation, findings: &mut Findings) {
    for document in installation.documents {
        let place = title(document);
        names(document, findings);
        labels(&document["metadata"], &place, findings);
        walk(&document["spec"], &place, findings);
        let strategy = text(document, "/spec/strategy/type");
        findings.demand(["", "RollingUpdate", "Recreate"].contains(&strategy), "words", &*place);
    }
    for pod in &installation.pods {
        labels(&pod.template["metadata"], &title(pod.owner), findings);
        check_pod_names(pod, findings);
    }
}

/// Checks the name: a Service's is a DNS label, a Job's becomes the value of a label, and the names of pods add a
/// suffix to both.
fn names(document: &Value, findings: &mut Findings) {
    let name = text(document, "/metadata/name");
    let limit = match text(document, "/kind") {
        "Service" | "Job" => 63,
        "CronJob" => 52,
        _ => 253,
    };
    let dotted = text(document, "/kind") != "Service" || !name.contains('.');
    let valid = dotted && name.len() <= limit && name.split('.').all(is_dns_label);
    findings.demand(valid, "names", title(document));
}

fn labels(metadata: &Value, place: &str, findings: &mut Findings) {
    for (key, value) in metadata["labels"].as_object().into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        let ends = |text: &str| {
            text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.ends_with(|c: char| c.is_ascii_alphanumeric())
        };
        let inner = value.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        let valid = value.is_empty() || (value.len() <= 63 && inner && ends(value));
        findings.demand(valid, "labels", format!("{place}: {key}: {value}"));
    }
}

/// Checks words and quantities at every level.
fn walk(value: &Value, place: &str, findings: &mut Findings) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| walk(item, place, findings)),
        Value::Object(fields) => {
            for (field, value) in fields {
                let one = std::slice::from_ref(value);
                let words = value.as_array().map_or(one, Vec::as_slice);
                for (_, known) in ALLOWED_WORDS.iter().filter(|(name, _)| name == field) {
                    let all_known = words.iter().all(|word| word.as_str().is_some_and(|word| known.contains(&word)));
                    findings.demand(all_known, "words", format!("{place}: {field}: {value}"));
                }
                let quantities = ["requests", "limits"].contains(&field.as_str());
                for (name, amount) in value.as_object().into_iter().flatten().filter(|_| quantities) {
                    findings.demand(is_quantity(amount), "quantities", format!("{place}: {name}: {amount}"));
                }
                walk(value, place, findings);
            }
        }
        _ => {}
    }
}

/// Checks that the names inside of a pod are unique.
fn check_pod_names(pod: &Pod, findings: &mut Findings) {
    let mut seen = Vec::new();
    for container in pod.containers() {
        let name = text(container.value, "/name");
        let valid = is_dns_label(name) && !seen.contains(&name);
        findings.demand(valid, "names", &*container.place);
        seen.push(name);
        for port in list(container.value, "/ports") {
            let name = text(port, "/name");
            let valid = name.is_empty() || (is_dns_label(name) && name.len() <= 15);
            findings.demand(valid, "names", format!("{}: port {name}", container.place));
        }
    }
    for volume in list(pod.spec(), "/volumes") {
        let name = text(volume, "/name");
        findings.demand(is_dns_label(name), "names", format!("{}: volume {name}", title(pod.owner)));
    }
}

/// Returns whether a name is a DNS label of RFC 1123: at most 63 of a-z, 0-9 and `-`, which is neither first nor last.
fn is_dns_label(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !name.is_empty() && name.len() <= 63 && name.chars().all(inner) && !name.starts_with('-') && !name.ends_with('-')
}

/// Returns whether an amount is a quantity, such as `250m`, `1.5`, `64Mi` or a number.
fn is_quantity(amount: &Value) -> bool {
    let Some(amount) = amount.as_str() else { return amount.is_number() };
    let digits = amount.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(amount.len());
    let (number, unit) = amount.split_at(digits);
    let units = ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    number.parse::<f64>().is_ok() && units.contains(&unit)
}
