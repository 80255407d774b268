//! Fields that the API server fills in when they are missing, in lists that `kubectl apply` compares as a whole: each
//! apply of the same manifest would change the object.
//!
//! A list with a merge key (containers, volumes, a Service's ports) is compared item by item, and a field that only the
//! server has is kept. `x-kubernetes-list-type` of the OpenAPI description names the others `atomic`.

use serde_json::Value;

use super::document::{Findings, Installation, list, text, title};

const RULE: &str = "defaults";

pub fn check(installation: &Installation, findings: &mut Findings) {
    for policy in installation.kind("NetworkPolicy") {
        let rules = [list(policy, "/spec/ingress"), list(policy, "/spec/egress")].concat();
        for port in rules.iter().flat_map(|rule| list(rule, "/ports")) {
            let place = format!("{}: port {} has no protocol", title(policy), port["port"]);
            findings.demand(!text(port, "/protocol").is_empty(), RULE, place);
        }
    }
    for pod in &installation.pods {
        let place = title(pod.owner);
        for volume in list(pod.spec(), "/volumes") {
            for source in list(volume, "/projected/sources") {
                let token = &source["serviceAccountToken"];
                let is_complete = token.is_null() || token["expirationSeconds"].is_u64();
                findings.demand(is_complete, RULE, format!("{place}: serviceAccountToken.expirationSeconds"));
                fields(list(source, "/downwardAPI/items"), &place, findings);
            }
            fields(list(volume, "/downwardAPI/items"), &place, findings);
        }
    }
}

/// Checks the items of a volume of the downward API.
fn fields(items: &[Value], place: &str, findings: &mut Findings) {
    for field in items.iter().map(|item| &item["fieldRef"]).filter(|field| field.is_object()) {
        let is_complete = !text(field, "/apiVersion").is_empty();
        findings.demand(is_complete, RULE, format!("{place}: fieldRef.apiVersion"));
    }
}
