//! The chart's hooks: what a Job needs before Helm has created anything is there, and nothing that holds data is deleted.

use serde_json::{Value, json};

use crate::support::chart::{Release, Rendered};
use crate::support::manifests::wanted;

/// The order of Helm for kinds of the same weight, those that the chart has.
const KINDS: [&str; 5] = ["NetworkPolicy", "ServiceAccount", "Secret", "PersistentVolumeClaim", "Job"];

fn hook(values: Value) -> Release {
    let needs_all = json!({
        "mode": "hook",
        "database": {"existingSecret": "", "password": "p"},
        "serviceAccount": {"create": true},
        "networkPolicy": {"enabled": true},
    });
    Release::with(crate::support::chart::merge(needs_all, values))
}

fn rendered(release: Release) -> Rendered {
    release.render().expect("a rendering")
}

fn annotation<'a>(document: &'a Value, name: &str) -> Option<&'a str> {
    document["metadata"]["annotations"][name].as_str()
}

/// When Helm creates a hook: by weight, then by kind.
fn turn(document: &Value) -> Option<(i32, usize)> {
    annotation(document, "helm.sh/hook").filter(|events| *events != "test")?;
    let weight = annotation(document, "helm.sh/hook-weight").unwrap_or("0").parse().expect("a weight");
    let kind = KINDS.iter().position(|kind| document["kind"] == *kind).expect("a kind of the chart");
    Some((weight, kind))
}

/// What a hook needs and does not have when its turn comes.
fn too_late(documents: &[Value]) -> Vec<String> {
    let mut late = Vec::new();
    for job in documents.iter().filter(|it| it["kind"] == "Job" && turn(it).is_some()) {
        let labels = &job["spec"]["template"]["metadata"]["labels"];
        let names = wanted(job);
        let needs = |document: &&Value| {
            let named =
                names.iter().any(|(kind, name, _)| document["kind"] == *kind && document["metadata"]["name"] == **name);
            let selector = document["spec"]["podSelector"]["matchLabels"].as_object();
            let guards = selector.is_some_and(|it| it.iter().all(|(key, value)| labels[key] == *value));
            named || guards
        };
        let events = |document: &Value| annotation(document, "helm.sh/hook").map(str::to_owned);
        for needed in documents.iter().filter(needs) {
            if events(needed) != events(job) || turn(needed) >= turn(job) {
                late.push(needed["metadata"]["name"].to_string());
            }
        }
    }
    late
}

#[test]
fn what_the_job_needs_is_a_hook_before_it() {
    for weight in [0, -7, 20] {
        let documents = rendered(hook(json!({"hook": {"weight": weight}}))).documents;
        assert_eq!(too_late(&documents), Vec::<String>::new());
        // The rule sees what it should.
        let hooks = documents.iter().filter(|it| turn(it).is_some());
        assert_eq!(hooks.count(), KINDS.len());
        for index in 0..documents.len() {
            let mut broken = documents.clone();
            let was_hook = turn(&documents[index]).is_some();
            if let Some(annotations) = broken[index]["metadata"]["annotations"].as_object_mut() {
                annotations.remove("helm.sh/hook");
            }
            assert_eq!(too_late(&broken).is_empty(), !was_hook || broken[index]["kind"] == "Job");
        }
    }
}

/// Helm applies hook-succeeded also to the hooks before one that failed; and a Job that it no longer waits for has failed
/// for it, and runs on.
#[test]
fn what_the_job_needs_stays_until_the_next_run_and_what_the_application_has_is_no_hook() {
    let documents = rendered(hook(json!({}))).documents;
    for document in documents.iter().filter(|it| turn(it).is_some() && it["kind"] != "PersistentVolumeClaim") {
        let policy = match document["kind"].as_str() {
            Some("Job") => "before-hook-creation,hook-succeeded",
            _ => "before-hook-creation",
        };
        assert_eq!(annotation(document, "helm.sh/hook-delete-policy"), Some(policy), "{document}");
    }
    let deployment = documents.iter().find(|it| it["kind"] == "Deployment").expect("the application");
    for (kind, name, _) in wanted(deployment) {
        let needed = documents.iter().find(|it| it["kind"] == kind && it["metadata"]["name"] == name);
        assert!(needed.is_some_and(|it| turn(it).is_none()), "{kind}/{name} goes with the hook");
    }
}

/// A hook that failed stays, and without Helm's marks: an object of that name in the release of another mode would be
/// refused for its 'invalid ownership metadata'. The claim has the marks.
#[test]
fn what_a_failed_hook_leaves_behind_has_the_name_of_nothing_in_another_mode() {
    let title = |it: &Value| (it["kind"].clone(), it["metadata"]["name"].clone());
    let documents = rendered(hook(json!({}))).documents;
    let hooks = documents.iter().filter(|it| turn(it).is_some() && it["kind"] != "PersistentVolumeClaim");
    let left: Vec<_> = hooks.map(title).collect();
    for mode in ["initContainer", "job"] {
        for document in rendered(hook(json!({"mode": mode}))).documents {
            assert!(!left.contains(&title(&document)), "{mode}: {:?}", title(&document));
        }
    }
}

/// Helm deletes by these three words alone, Argo CD by them and where none of them stands.
#[test]
fn a_claim_is_deleted_by_no_policy_and_is_not_there_for_argo_cd() {
    let documents = rendered(hook(json!({}))).documents;
    let claim = documents.iter().find(|it| it["kind"] == "PersistentVolumeClaim").expect("a claim");
    let policy = annotation(claim, "helm.sh/hook-delete-policy").expect("not the default, which deletes");
    for deletes in ["before-hook-creation", "hook-succeeded", "hook-failed"] {
        assert!(!policy.contains(deletes), "{policy}");
    }
    // So that the same release may have it as an object of its own later.
    assert_eq!(annotation(claim, "meta.helm.sh/release-name"), Some("shop"));
    assert_eq!(annotation(claim, "meta.helm.sh/release-namespace"), Some("apps"));
    assert_eq!(claim["metadata"]["labels"]["app.kubernetes.io/managed-by"], "Helm");
    assert!(!has_claim(hook(json!({})).without_a_cluster()));
}

fn has_claim(release: Release) -> bool {
    rendered(release).text.contains("kind: PersistentVolumeClaim")
}

#[test]
fn a_claim_that_is_there_is_never_a_hook_again() {
    assert!(has_claim(hook(json!({})).where_there_is("another")));
    assert!(has_claim(hook(json!({})).revision(2).where_there_is("another")), "the mode was another before");
    assert!(!has_claim(hook(json!({})).where_there_is("shop-lockkeeper-backups")));
    assert!(!has_claim(hook(json!({})).revision(2).where_there_is("shop-lockkeeper-backups")));
    // Where it is the release's own, Helm has to see it each time: what it no longer sees, it removes.
    for mode in ["initContainer", "job"] {
        let own = Release::with(json!({"mode": mode})).revision(2).where_there_is("shop-lockkeeper-backups");
        assert!(has_claim(own), "{mode}");
    }
}

/// Argo CD leaves Helm's hooks out where it finds one of its own.
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
fn the_other_modes_have_no_hooks_but_the_test() {
    for mode in ["initContainer", "job"] {
        let documents = rendered(hook(json!({"mode": mode}))).documents;
        let hooks: Vec<_> = documents.iter().filter_map(|it| annotation(it, "helm.sh/hook")).collect();
        assert_eq!(hooks, ["test"]);
        let text = rendered(hook(json!({"mode": mode, "test": {"enabled": false}}))).text;
        assert!(!text.contains("helm.sh/hook"), "{text}");
    }
}
