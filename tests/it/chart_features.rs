//! Tests of what the chart's values add, and that it is absent without them. (`chart.rs` tests that Kubernetes accepts
//! it.)

use std::fs;

use serde_json::{Value, json};

use crate::support::chart::{Release, directory};
use crate::support::manifests::yaml;

const MODES: [&str; 3] = ["initContainer", "job", "hook"];

fn render(values: Value) -> Vec<Value> {
    let text = values.to_string();
    Release::with_values(values).render().unwrap_or_else(|error| panic!("{text}: {error}")).documents
}

fn find<'a>(documents: &'a [Value], kind: &str) -> Option<&'a Value> {
    documents.iter().find(|document| document["kind"] == kind)
}

#[track_caller]
fn pod<'a>(documents: &'a [Value], kind: &str) -> &'a Value {
    let owner = find(documents, kind).unwrap_or_else(|| panic!("there is no {kind}"));
    if kind == "Pod" { &owner["spec"] } else { &owner["spec"]["template"]["spec"] }
}

fn names(pod: &Value, list: &str) -> Vec<String> {
    let containers = pod[list].as_array().into_iter().flatten();
    containers.map(|it| it["name"].as_str().expect("a name").to_owned()).collect()
}

fn variable<'a>(container: &'a Value, name: &str) -> Option<&'a Value> {
    container["env"].as_array().into_iter().flatten().find(|it| it["name"] == name)
}

#[test]
fn the_whole_url_comes_from_a_file_of_the_secret() {
    let documents = render(json!({"database": {"url": "", "urlKey": "uri"}}));
    let pod = pod(&documents, "Deployment");
    let items = &pod["volumes"][0]["projected"]["sources"][0]["secret"];
    assert_eq!(*items, json!({"name": "outside-database", "items": [{"key": "uri", "path": "url"}]}));
    for container in [&pod["initContainers"][0], &pod["containers"][0]] {
        let file = json!({"name": "DATABASE_URL_FILE", "value": "/run/secrets/lockkeeper/url"});
        assert_eq!(variable(container, "DATABASE_URL_FILE"), Some(&file));
        assert_eq!(variable(container, "DATABASE_URL"), None);
        assert_eq!(variable(container, "DATABASE_PASSWORD_FILE"), None);
    }
}

#[test]
fn user_and_host_come_from_the_secret_of_the_password() {
    let keys = json!({"url": "postgres:///hub", "userKey": "username", "hostKey": "host"});
    let documents = render(json!({"database": keys}));
    let pod = pod(&documents, "Deployment");
    for container in [&pod["initContainers"][0], &pod["containers"][0]] {
        for (name, key) in [("PGUSER", "username"), ("PGHOST", "host")] {
            let reference = &variable(container, name).expect(name)["valueFrom"]["secretKeyRef"];
            assert_eq!(*reference, json!({"name": "outside-database", "key": key}));
        }
        assert!(variable(container, "DATABASE_PASSWORD_FILE").is_some());
    }
    let documents = render(json!({}));
    let container = &self::pod(&documents, "Deployment")["initContainers"][0];
    assert!(variable(container, "PGUSER").or(variable(container, "PGHOST")).is_none());
}

/// The user is the only value that Lockkeeper takes from the environment, that no file can provide and that is no
/// secret.
#[test]
fn a_user_from_a_secret_is_passed_in_the_environment() {
    let from = |name: &str| json!({"name": name, "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}});
    for name in ["PGUSER", "PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE"] {
        let documents = render(json!({"extraEnv": [from(name)]}));
        let container = &pod(&documents, "Deployment")["initContainers"][0];
        assert_eq!(variable(container, name), Some(&from(name)));
    }
}

#[test]
fn arguments_apply_to_what_migrates_and_settings_also_to_what_waits() {
    let settings = json!([{"configMapRef": {"name": "settings"}}]);
    for mode in MODES {
        let values = json!({"mode": mode, "extraArgs": ["--rehearse"], "extraEnvFrom": settings});
        let (with, without) = (render(values), render(json!({"mode": mode})));
        let migrates = |documents: &[Value]| match mode {
            "initContainer" => pod(documents, "Deployment")["initContainers"][0].clone(),
            _ => pod(documents, "Job")["containers"][0].clone(),
        };
        assert_eq!(migrates(&with)["args"], json!(["upgrade", "--rehearse"]));
        assert_eq!(migrates(&with)["envFrom"], settings);
        assert_eq!((&migrates(&without)["args"], &migrates(&without)["envFrom"]), (&Value::Null, &Value::Null));
        if mode == "job" {
            let waits = &pod(&with, "Deployment")["initContainers"][0];
            assert_eq!((&waits["args"], &waits["envFrom"]), (&json!(["wait", "--migrated"]), &settings));
        }
    }
}

/// The order is sidecars, extra init containers, ours, the application's own.
#[test]
fn init_containers_are_ordered_around_lockkeeper() {
    let values = |mode: &str| {
        json!({"mode": mode,
            "sidecars": [{"name": "proxy", "image": "p:1", "restartPolicy": "Never"}],
            "extraInitContainers": [{"name": "prepare", "image": "p:1"}],
            "app": {"initContainers": [{"name": "warm-up", "image": "p:1"}], "sidecars": [{"name": "exporter", "image": "p:1"}]}})
    };
    for (mode, app, job) in [
        ("initContainer", vec!["proxy", "prepare", "migrate", "warm-up"], None),
        ("job", vec!["proxy", "prepare", "wait-for-migration", "warm-up"], Some(["proxy", "prepare"])),
        ("hook", vec!["warm-up"], Some(["proxy", "prepare"])),
    ] {
        let documents = render(values(mode));
        let deployment = pod(&documents, "Deployment");
        assert_eq!(names(deployment, "initContainers"), app, "{mode}");
        assert_eq!(names(deployment, "containers"), ["app", "exporter"], "{mode}");
        // A Job ends when its ordinary containers have ended: the sidecar is none of them, whatever its values say.
        let mut pods = vec![("Pod", "check")];
        pods.extend(job.map(|_| ("Job", "migrate")));
        for (kind, name) in pods {
            let pod = pod(&documents, kind);
            assert_eq!(names(pod, "initContainers"), ["proxy", "prepare"], "{mode} {kind}");
            assert_eq!(names(pod, "containers"), [name], "{mode} {kind}");
            assert_eq!(pod["initContainers"][0]["restartPolicy"], "Always");
            assert_eq!(pod["initContainers"][1]["restartPolicy"], Value::Null);
        }
    }
    let documents = render(json!({"mode": "job"}));
    assert_eq!(names(pod(&documents, "Job"), "initContainers"), [""; 0]);
}

#[test]
fn pods_that_only_run_lockkeeper_have_their_own_labels_and_annotations() {
    let both = json!({"podLabels": {"tier": "back", "mesh": "on"}, "job": {
        "podLabels": {"mesh": "off", "app.kubernetes.io/component": "other"}, "podAnnotations": {"inject": "false"},
    }});
    let documents = render(crate::support::chart::merge(both, json!({"mode": "job"})));
    let of = |kind: &str| match kind {
        "Pod" => find(&documents, kind).expect("a pod")["metadata"].clone(),
        _ => find(&documents, kind).expect("an owner")["spec"]["template"]["metadata"].clone(),
    };
    for (kind, component, mesh) in [("Job", "migrate", "off"), ("Pod", "check", "off"), ("Deployment", "app", "on")] {
        let metadata = of(kind);
        assert_eq!(metadata["labels"]["tier"], "back");
        assert_eq!(metadata["labels"]["mesh"], mesh, "{kind}");
        assert_eq!(metadata["labels"]["app.kubernetes.io/component"], component);
        assert_eq!(metadata["annotations"]["inject"] == "false", mesh == "off", "{kind}");
    }
}

#[test]
fn the_test_checks_the_schema_of_postgresql_and_reaches_the_database() {
    for mode in MODES {
        let documents = render(json!({"mode": mode, "networkPolicy": {"enabled": true}}));
        let check = find(&documents, "Pod").expect("a test");
        assert_eq!(check["metadata"]["annotations"]["helm.sh/hook"], "test");
        assert_eq!(check["spec"]["containers"][0]["args"], json!(["check"]));
        let policy = find(&documents, "NetworkPolicy").expect("a policy");
        let (label, value) =
            policy["spec"]["podSelector"]["matchLabels"].as_object().and_then(|it| it.iter().next()).expect("a label");
        assert_eq!(check["metadata"]["labels"][label], *value);
        assert_eq!(find(&render(json!({"mode": mode, "test": {"enabled": false}})), "Pod"), None);
    }
    let sqlite = json!({"url": "sqlite:////data/app.db", "existingSecret": ""});
    let documents = render(json!({"database": sqlite, "app": {"strategy": {"type": "Recreate"}}}));
    assert_eq!(find(&documents, "Pod"), None);
}

#[test]
fn every_pod_has_the_aliases_of_hosts_and_the_settings_of_dns() {
    let aliases = json!([{"ip": "10.0.0.1", "hostnames": ["postgres"]}]);
    let dns = json!({"options": [{"name": "ndots", "value": "1"}]});
    let with = render(json!({"mode": "job", "hostAliases": aliases, "dnsConfig": dns}));
    let without = render(json!({"mode": "job"}));
    for kind in ["Deployment", "Job", "Pod"] {
        assert_eq!((&pod(&with, kind)["hostAliases"], &pod(&with, kind)["dnsConfig"]), (&aliases, &dns));
        assert_eq!(pod(&without, kind)["hostAliases"], Value::Null);
        assert_eq!(pod(&without, kind)["dnsConfig"], Value::Null);
    }
}

#[test]
fn the_application_has_a_service_a_budget_and_an_autoscaler_when_they_are_enabled() {
    let documents = render(json!({}));
    for kind in ["Service", "PodDisruptionBudget", "HorizontalPodAutoscaler"] {
        assert_eq!(find(&documents, kind), None);
    }
    let deployment = find(&documents, "Deployment").expect("the application");
    assert_eq!((&deployment["spec"]["replicas"], &deployment["spec"]["revisionHistoryLimit"]), (&json!(1), &json!(10)));

    let values = json!({"app": {
        "ports": [{"name": "http", "containerPort": 8080}, {"containerPort": 53, "protocol": "UDP"}],
        "service": {"enabled": true},
        "podDisruptionBudget": {"enabled": true},
        "autoscaling": {"enabled": true, "maxReplicas": 9},
        "resources": {"requests": {"cpu": "1"}},
        "replicas": 3,
        "revisionHistoryLimit": 0,
    }});
    let documents = render(values);
    let spec = |kind: &str| &find(&documents, kind).unwrap_or_else(|| panic!("there is no {kind}"))["spec"];
    assert_eq!(
        spec("Service")["ports"],
        json!([
            {"name": "http", "port": 8080, "targetPort": "http", "protocol": "TCP"},
            {"name": "port-53", "port": 53, "targetPort": 53, "protocol": "UDP"},
        ])
    );
    assert_eq!(spec("PodDisruptionBudget")["maxUnavailable"], 1);
    assert_eq!(spec("PodDisruptionBudget")["unhealthyPodEvictionPolicy"], "AlwaysAllow");
    assert_eq!(spec("HorizontalPodAutoscaler")["maxReplicas"], 9);
    assert_eq!(spec("HorizontalPodAutoscaler")["scaleTargetRef"]["name"], "shop-lockkeeper");
    // Only the autoscaler sets the number of replicas.
    assert_eq!(spec("Deployment").get("replicas"), None);
    assert_eq!(spec("Deployment")["revisionHistoryLimit"], 0);
}

/// A field that the server has filled in can only be removed by who has set it, and `Recreate` with it is refused.
#[test]
fn the_deployment_strategy_is_explicit_so_that_it_can_be_changed_later() {
    let strategy =
        |app: Value| find(&render(json!({"app": app})), "Deployment").expect("one")["spec"]["strategy"].clone();
    let rolling = |surge: &str, unavailable: Value| json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}});
    assert_eq!(strategy(json!({})), rolling("25%", json!("25%")));
    let rolling_update = json!({"strategy": {"rollingUpdate": {"maxUnavailable": 0}}});
    assert_eq!(strategy(rolling_update), rolling("25%", json!(0)));
    let recreate_with_rolling_update = json!({"strategy": {"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}});
    assert_eq!(strategy(recreate_with_rolling_update), json!({"type": "Recreate"}));
}

/// Pods with an init container that reads the files are replaced when the files change.
#[test]
fn changed_files_of_a_config_map_restart_the_pods_that_run_them() {
    let annotation = |release: Release| {
        let documents = release.render().unwrap_or_else(|error| panic!("{error}")).documents;
        let deployment = find(&documents, "Deployment").expect("the application");
        deployment["spec"]["template"]["metadata"]["annotations"]["checksum/migrations"].clone()
    };
    let release = |mode: &str, revision: &str| {
        let migrations = json!({"existingConfigMap": "outside-migrations", "revision": revision});
        Release::with_values(json!({"mode": mode, "migrations": migrations}))
    };
    for mode in ["initContainer", "job"] {
        let of = |text: &str| annotation(release(mode, "").with_migrations("outside-migrations", text));
        let first = of("CREATE TABLE users (id int);");
        assert!(first.is_string(), "{mode}: {first}");
        assert_eq!(first, of("CREATE TABLE users (id int);"));
        assert_ne!(first, of("CREATE TABLE users (id bigint);"));
        for revision in ["1.4.0", "1.4.1"] {
            assert_eq!(annotation(release(mode, revision).without_a_cluster()), revision);
        }
    }
    // Only the Job's pod reads them, and that one is new each time.
    assert_eq!(annotation(release("hook", "1.4.0")), Value::Null);
    let missing = release("initContainer", "").render().err().expect("a refusal");
    assert!(missing.contains("outside-migrations") && missing.contains("migrations.revision"), "{missing}");
    let another = release("initContainer", "").with_migrations("another", "x").render().err();
    assert!(another.is_some(), "a ConfigMap of another name was read");
}

#[test]
fn the_chart_has_an_icon_and_maintainers() {
    let chart = yaml(&fs::read_to_string(directory().join("Chart.yaml")).expect("the chart")).remove(0);
    let icon = chart["icon"].as_str().expect("an icon");
    let home = chart["home"].as_str().and_then(|home| home.strip_prefix("https://github.com/")).expect("a home");
    let file = icon.strip_prefix(&format!("https://raw.githubusercontent.com/{home}/main/k8s/chart/"));
    let file = directory().join(file.unwrap_or_else(|| panic!("{icon} is elsewhere")));
    assert!(fs::read_to_string(file).expect("the icon").starts_with("<svg "));
    let maintainers = chart["maintainers"].as_array().expect("maintainers");
    assert!(!maintainers.is_empty() && maintainers.iter().all(|it| it["name"].is_string()), "{maintainers:?}");
}

/// In a row such as `| `value` | `default` | ...`, the default is that of values.yaml.
#[test]
fn the_readme_lists_the_defaults_of_the_values() {
    let read = |name: &str| fs::read_to_string(directory().join(name)).expect("a file of the chart");
    let values = yaml(&read("values.yaml")).remove(0);
    let readme = read("README.md");
    let rows = readme.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | `"));
    let mut rows: Vec<(&str, &str)> = rows.filter_map(|(name, rest)| Some((name, rest.split_once("` |")?.0))).collect();
    assert!(rows.len() > 20, "the table of values is not found: {rows:?}");
    for (name, default) in rows.drain(..) {
        let pointer = format!("/{}", name.replace('.', "/"));
        let value = values.pointer(&pointer).unwrap_or_else(|| panic!("{name} is no value"));
        let documented = yaml(&format!("default: {default}")).remove(0)["default"].clone();
        assert_eq!(*value, documented, "{name}");
    }
}
