//! Tests of the chart's hooks: what a Job needs before Helm has created anything is there, and nothing that holds data
//! is deleted.

use serde_json::{Value, json};

use crate::support::chart::{Release, Rendered};
use crate::support::manifests::referenced_objects;

/// Helm's order for kinds of the same weight, for the kinds of the chart.
const KINDS: [&str; 5] = ["NetworkPolicy", "ServiceAccount", "Secret", "PersistentVolumeClaim", "Job"];

fn hook(values: Value) -> Release {
    let needs_all = json!({
        "mode": "hook",
        "database": {"existingSecret": "", "password": "p"},
        "serviceAccount": {"create": true},
        "networkPolicy": {"enabled": true},
    });
    Release::with_values(crate::support::chart::merge(needs_all, values))
}

fn rendered(release: Release) -> Rendered {
    release.render().expect("a rendering")
}

fn annotation<'a>(document: &'a Value, name: &str) -> Option<&'a str> {
    document["metadata"]["annotations"][name].as_str()
}

/// Returns the order in which Helm creates a hook: by weight, then by kind.
fn hook_order(document: &Value) -> Option<(i32, usize)> {
    annotation(document, "helm.sh/hook").filter(|events| *events != "test")?;
    let weight = annotation(document, "helm.sh/hook-weight").unwrap_or("0").parse().expect("a weight");
    let kind = KINDS.iter().position(|kind| document["kind"] == *kind).expect("a kind of the chart");
    Some((weight, kind))
}

/// Returns the references of a hook that do not exist yet when Helm creates it.
fn missing_references(documents: &[Value]) -> Vec<String> {
    let mut late = Vec::new();
    for job in documents.iter().filter(|it| it["kind"] == "Job" && hook_order(it).is_some()) {
        let labels = &job["spec"]["template"]["metadata"]["labels"];
        let names = referenced_objects(job);
        let needs = |document: &&Value| {
            let referenced =
                names.iter().any(|(kind, name, _)| document["kind"] == *kind && document["metadata"]["name"] == **name);
            let selector = document["spec"]["podSelector"]["matchLabels"].as_object();
            let guards = selector.is_some_and(|it| it.iter().all(|(key, value)| labels[key] == *value));
            referenced || guards
        };
        let events = |document: &Value| annotation(document, "helm.sh/hook").map(str::to_owned);
        for needed in documents.iter().filter(needs) {
            if events(needed) != events(job) || hook_order(needed) >= hook_order(job) {
                late.push(needed["metadata"]["name"].to_string());
            }
        }
    }
    late
}

#[test]
fn everything_the_job_needs_is_a_hook_before_it() {
    for weight in [0, -7, 20] {
        let documents = rendered(hook(json!({"hook": {"weight": weight}}))).documents;
        assert_eq!(missing_references(&documents), Vec::<String>::new());
        // The check finds a missing object.
        let hooks = documents.iter().filter(|it| hook_order(it).is_some());
        assert_eq!(hooks.count(), KINDS.len());
        for index in 0..documents.len() {
            let mut broken = documents.clone();
            let was_hook = hook_order(&documents[index]).is_some();
            if let Some(annotations) = broken[index]["metadata"]["annotations"].as_object_mut() {
                annotations.remove("helm.sh/hook");
            }
            assert_eq!(missing_references(&broken).is_empty(), !was_hook || broken[index]["kind"] == "Job");
        }
    }
}

/// Helm applies hook-succeeded also to the hooks before one that failed. A Job that Helm no longer waits for counts as
/// failed, and runs on.
#[test]
fn objects_of_the_job_are_kept_until_the_next_run_and_the_application_has_no_hooks() {
    let documents = rendered(hook(json!({}))).documents;
    for document in documents.iter().filter(|it| hook_order(it).is_some() && it["kind"] != "PersistentVolumeClaim") {
        let policy = match document["kind"].as_str() {
            Some("Job") => "before-hook-creation,hook-succeeded",
            _ => "before-hook-creation",
        };
        assert_eq!(annotation(document, "helm.sh/hook-delete-policy"), Some(policy), "{document}");
    }
    let deployment = documents.iter().find(|it| it["kind"] == "Deployment").expect("the application");
    for (kind, name, _) in referenced_objects(deployment) {
        let needed = documents.iter().find(|it| it["kind"] == kind && it["metadata"]["name"] == name);
        assert!(needed.is_some_and(|it| hook_order(it).is_none()), "{kind}/{name} goes with the hook");
    }
}

/// A hook that failed remains without Helm's ownership labels: an object of that name in a release of another mode
/// would be refused for its 'invalid ownership metadata'. The claim has the labels.
#[test]
fn a_failed_hook_does_not_conflict_with_an_object_of_another_mode() {
    let title = |it: &Value| (it["kind"].clone(), it["metadata"]["name"].clone());
    let documents = rendered(hook(json!({}))).documents;
    let hooks = documents.iter().filter(|it| hook_order(it).is_some() && it["kind"] != "PersistentVolumeClaim");
    let failed_hooks: Vec<_> = hooks.map(title).collect();
    for mode in ["initContainer", "job"] {
        for document in rendered(hook(json!({"mode": mode}))).documents {
            assert!(!failed_hooks.contains(&title(&document)), "{mode}: {:?}", title(&document));
        }
    }
}

/// Helm deletes hooks by these three policies alone, Argo CD by them and also where none of them is set.
#[test]
fn a_claim_is_never_deleted_by_a_policy_and_is_absent_for_argo_cd() {
    let documents = rendered(hook(json!({}))).documents;
    let claim = documents.iter().find(|it| it["kind"] == "PersistentVolumeClaim").expect("a claim");
    let policy = annotation(claim, "helm.sh/hook-delete-policy").expect("not the default, which deletes");
    for deletes in ["before-hook-creation", "hook-succeeded", "hook-failed"] {
        assert!(!policy.contains(deletes), "{policy}");
    }
    // The same release may own it as an ordinary object later.
    assert_eq!(annotation(claim, "meta.helm.sh/release-name"), Some("shop"));
    assert_eq!(annotation(claim, "meta.helm.sh/release-namespace"), Some("apps"));
    assert_eq!(claim["metadata"]["labels"]["app.kubernetes.io/managed-by"], "Helm");
    assert!(!has_claim(hook(json!({})).without_a_cluster()));
}

fn has_claim(release: Release) -> bool {
    rendered(release).text.contains("kind: PersistentVolumeClaim")
}

#[test]
fn an_existing_claim_is_never_a_hook_again() {
    assert!(has_claim(hook(json!({})).with_existing_claim("another")));
    assert!(has_claim(hook(json!({})).revision(2).with_existing_claim("another")), "the mode was another before");
    assert!(!has_claim(hook(json!({})).with_existing_claim("shop-lockkeeper-backups")));
    assert!(!has_claim(hook(json!({})).revision(2).with_existing_claim("shop-lockkeeper-backups")));
    // When it belongs to the release, Helm has to see it each time: it removes what is no longer rendered.
    for mode in ["initContainer", "job"] {
        let own =
            Release::with_values(json!({"mode": mode})).revision(2).with_existing_claim("shop-lockkeeper-backups");
        assert!(has_claim(own), "{mode}");
    }
}

/// Argo CD ignores Helm's hooks when it finds one of its own.
#[test]
fn hooks_of_helm_and_of_argo_cd_are_never_mixed() {
    let argo = json!({"annotations": {
        "argocd.argoproj.io/hook": "Sync",
        "argocd.argoproj.io/hook-delete-policy": "BeforeHookCreation",
    }});
    for mode in ["initContainer", "job", "hook"] {
        for values in [json!({"mode": mode}), json!({"mode": mode, "job": argo})] {
            for release in [hook(values.clone()), hook(values.clone()).without_a_cluster()] {
                let Ok(rendered) = release.render() else {
                    assert!(mode == "hook" && values["job"].is_object(), "{values} was refused");
                    continue;
                };
                let has = |name: &str| rendered.text.contains(&format!("{name}:"));
                let mixed = has("helm.sh/hook") && has("argocd.argoproj.io/hook");
                assert!(!mixed, "{}", rendered.text);
            }
        }
    }
}

#[test]
fn the_other_modes_have_only_the_test_hook() {
    for mode in ["initContainer", "job"] {
        let documents = rendered(hook(json!({"mode": mode}))).documents;
        let hooks: Vec<_> = documents.iter().filter_map(|it| annotation(it, "helm.sh/hook")).collect();
        assert_eq!(hooks, ["test"]);
        let text = rendered(hook(json!({"mode": mode, "test": {"enabled": false}}))).text;
        assert!(!text.contains("helm.sh/hook"), "{text}");
    }
}
