//! Tests of the Helm chart: with any values, Helm renders what Kubernetes accepts and what Lockkeeper needs.

use std::collections::BTreeSet;
use std::fs;
use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::support::chart::{Release, Rendered, directory, external_objects, merge, render};
use crate::support::manifests::{self, broken_rules, check_rules, check_schemas, yaml};

const CANARY: &str = "s3same-c4nary";
/// The longest name that Helm accepts.
const LONG: &str = "a-release-whose-name-is-as-long-as-helm-lets-it-be-53";

fn sqlite() -> Value {
    json!({"url": "sqlite:////data/app.db", "existingSecret": ""})
}

/// Kubernetes' own fields, which the chart passes through.
fn pod_fields() -> Value {
    json!({
        "nodeSelector": {"disk": "fast"},
        "tolerations": [{"key": "database", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}],
        }}},
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"},
        ],
        "priorityClassName": "high",
        "imagePullSecrets": [{"name": "pull"}],
        "commonLabels": {"team": "shop"},
        "commonAnnotations": {"owner": "shop"},
        "podLabels": {"tier": "back"},
        "podAnnotations": {"sidecar.istio.io/inject": "false"},
        "extraVolumes": [{"name": "scratch", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
        "extraEnv": [
            {"name": "LOCKKEEPER_STRICT", "value": "true"},
            {"name": "PGAPPNAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ],
    })
}

fn password_of_a_csi_driver() -> Value {
    let volume = json!({"driver": "secrets-store.csi.k8s.io", "readOnly": true});
    json!({
        "database": {"existingSecret": ""},
        "extraVolumes": [{"name": "store", "csi": volume}],
        "extraVolumeMounts": [{"name": "store", "mountPath": "/store", "readOnly": true}],
        "extraEnv": [{"name": "DATABASE_PASSWORD_FILE", "value": "/store/password"}],
    })
}

fn app_fields() -> Value {
    json!({"networkPolicy": {"enabled": true, "egress": [{"ports": [{"port": 443, "protocol": "TCP"}]}]}, "app": {
        "replicas": 3,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}},
        "terminationGracePeriodSeconds": 60,
        "command": ["/server"],
        "args": ["--port", "8080"],
        "env": [{"name": "MODE", "value": "production"}],
        "envFrom": [{"configMapRef": {"name": "outside-settings"}}],
        "ports": [{"name": "http", "containerPort": 8080}],
        "startupProbe": {"httpGet": {"path": "/readyz", "port": "http"}},
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "http"}},
        "livenessProbe": {"httpGet": {"path": "/livez", "port": "http"}},
        "lifecycle": {"preStop": {"exec": {"command": ["/server", "drain"]}}},
        "volumes": [{"name": "tmp", "emptyDir": {}}],
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
        "image": {"tag": "", "digest": format!("sha256:{}", "0f".repeat(32))},
    }})
}

/// Values that add containers and volumes to a pod, and objects that the chart offers for the application.
fn additional_values() -> [Value; 5] {
    let container = |name: &str, additional_values: Value| {
        let memory = json!({"requests": {"memory": "8Mi"}, "limits": {"memory": "16Mi"}});
        let context = json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "runAsUser": 65532,
            "capabilities": {"drop": ["ALL"]}});
        let all = json!({"name": name, "image": "extra:1", "resources": memory, "securityContext": context});
        merge(all, additional_values)
    };
    let scaling = json!({"enabled": true, "behavior": {"scaleDown": {"stabilizationWindowSeconds": 60}}});
    let requests = json!({"requests": {"cpu": "100m"}});
    let ports = json!([{"name": "http", "containerPort": 8080}, {"containerPort": 53, "protocol": "UDP"}]);
    let metric = json!([{"type": "Resource", "resource": {"name": "memory",
        "target": {"type": "AverageValue", "averageValue": "100Mi"}}}]);
    [
        json!({"database": {"url": "", "urlKey": "uri"}}),
        json!({"database": {"url": "postgres:///devops_hub", "userKey": "username", "hostKey": "host"},
            "extraEnv": [{"name": "PGPORT", "valueFrom": {"secretKeyRef": {"name": "outside-database", "key": "port"}}}],
            "extraEnvFrom": [{"configMapRef": {"name": "outside-settings"}}],
            "extraArgs": ["--rehearse"],
            "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["postgres"]}],
            "dnsConfig": {"options": [{"name": "ndots", "value": "1"}]},
            "job": {"podLabels": {"sidecar.istio.io/inject": "false"}, "podAnnotations": {"linkerd.io/inject": "disabled"}}}),
        json!({"sidecars": [container("proxy", json!({"startupProbe": {"httpGet": {"path": "/startup", "port": 9090}}}))],
            "extraInitContainers": [container("prepare", json!({}))],
            "app": {"initContainers": [container("warm-up", json!({}))], "sidecars": [container("exporter", json!({}))]}}),
        json!({"test": {"enabled": false}, "app": {"ports": ports, "resources": requests, "revisionHistoryLimit": 0,
            "service": {"enabled": true, "annotations": {"a": "b"}}, "autoscaling": scaling,
            "podDisruptionBudget": {"enabled": true}}}),
        json!({"app": {"ports": ports,
            "service": {"enabled": true, "type": "NodePort", "ports": [{"port": 80, "targetPort": "http", "protocol": "TCP"}]},
            "podDisruptionBudget": {"enabled": true, "minAvailable": "50%", "maxUnavailable": null},
            "autoscaling": {"enabled": true, "minReplicas": 1, "metrics": metric}}}),
    ]
}

fn releases() -> Vec<Release> {
    let in_mode = |mode: &str| {
        let with = |mut values: Value| {
            values["mode"] = json!(mode);
            Release::with_values(values)
        };
        let url = "postgres://devops_hub@postgres:5432/devops_hub";
        let own_secret = json!({"existingSecret": "", "password": CANARY});
        vec![
            with(json!({})),
            with(json!({})).revision(2),
            with(json!({})).with_name(LONG).revision(1234),
            with(json!({"database": own_secret})),
            with(json!({"app": {"connect": false}})),
            with(json!({"database": {"url": url, "existingSecret": ""}})),
            with(json!({"database": {"tls": {"existingSecret": "outside-ca"}}})),
            with(
                json!({"database": {"existingSecret": "", "tls": {"existingConfigMap": "outside-ca", "key": "root.pem"}}}),
            ),
            with(json!({"serviceAccount": {"create": true, "annotations": {"role": "arn"}}})),
            with(json!({"serviceAccount": {"name": "outside-account"}})),
            with(json!({"networkPolicy": {"enabled": true}})),
            with(json!({"backups": {"existingClaim": "outside-backups", "keep": 2}})),
            with(
                json!({"backups": {"size": "1.5Ti", "storageClass": "fast", "accessModes": ["ReadWriteMany"], "annotations": {"a": "b"}}}),
            ),
            with(json!({"backups": {"enabled": false}})),
            with(json!({"migrations": {"existingConfigMap": "outside-migrations"}}))
                .with_migrations("outside-migrations", "CREATE TABLE users (id int);"),
            with(json!({"migrations": {"existingConfigMap": "outside-migrations", "revision": "1.4.0"},
                "backups": {"existingClaim": "outside-backups"}}))
                .without_a_cluster(),
            with(json!({"fullnameOverride": "orders", "nameOverride": "ledger"})),
            with(json!({"app": {"replicas": null}})),
            with(password_of_a_csi_driver()),
            with(pod_fields()),
            with(app_fields()),
        ]
        .into_iter()
        .chain(additional_values().map(with))
        .collect::<Vec<Release>>()
    };
    let mut releases: Vec<Release> = ["initContainer", "job", "hook"].into_iter().flat_map(in_mode).collect();
    let recreate = json!({"strategy": {"type": "Recreate"}});
    let argo =
        json!({"argocd.argoproj.io/hook": "Sync", "argocd.argoproj.io/hook-delete-policy": "BeforeHookCreation"});
    releases.extend([
        Release::with_values(json!({"database": sqlite(), "app": recreate})),
        Release::with_values(json!({"database": sqlite(), "app": recreate, "backups": {"enabled": false},
            "data": {"size": "5Gi", "storageClass": "fast", "accessModes": ["ReadWriteOncePod"]}})),
        Release::with_values(
            json!({"database": {"url": "sqlite:////var/db/app.db", "existingSecret": ""}, "app": recreate,
            "data": {"mountPath": "/var/db", "existingClaim": "outside-data"}}),
        ),
        Release::with_values(json!({"backups": {"accessModes": ["ReadWriteOnce"]}, "app": recreate})),
        Release::with_values(
            json!({"mode": "job", "job": {"backoffLimit": 0, "activeDeadlineSeconds": 7200, "annotations": argo},
            "timeouts": {"deadline": 7000}, "app": {"progressDeadlineSeconds": 8000}}),
        ),
        Release::with_values(json!({"mode": "hook", "hook": {"weight": -5}})),
        Release::with_values(json!({"terminationGracePeriodSeconds": 120, "timeouts": {"shutdownGrace": 110}})),
    ]);
    releases
}

/// All releases rendered, which has to succeed, with the external objects that they need.
static RENDERED: LazyLock<Vec<(Rendered, Vec<Value>)>> = LazyLock::new(|| {
    let releases = releases();
    let with_outside = |(rendered, release): (Result<Rendered, String>, &Release)| {
        let rendered = rendered.unwrap_or_else(|error| panic!("{}: {error}", release.values));
        let all = [rendered.documents.clone(), external_objects(&rendered.documents)].concat();
        (rendered, all)
    };
    render(&releases).into_iter().zip(&releases).map(with_outside).collect()
});

#[test]
fn every_supported_release_accepts_the_rendered_chart_and_no_rule_is_broken() {
    let mut every: Vec<Value> = Vec::new();
    for (rendered, all) in &*RENDERED {
        assert!(rendered.lint.is_empty(), "helm lint: {:?}", rendered.lint);
        check_rules(all);
        every.extend_from_slice(&rendered.documents);
    }
    check_schemas(&every);
}

#[test]
fn chart_and_app_version_are_those_of_the_program() {
    let text = fs::read_to_string(directory().join("Chart.yaml")).expect("the chart");
    let chart = &yaml(&text)[0];
    assert_eq!(chart["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
    let lowest = manifests::OLDEST;
    assert_eq!(chart["kubeVersion"], format!(">={lowest}.0-0"), "the lowest release that is tested");
}

/// Returns every path of an object's keys; an object that is open to the user (`{}`) has none below.
fn keys(value: &Value, below: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (key, value) in value.as_object().into_iter().flatten() {
        let path = format!("{below}.{key}");
        found.extend(keys(value, &path));
        found.insert(path);
    }
    found
}

#[test]
fn every_value_is_in_the_schema_and_every_key_of_the_schema_among_the_values() {
    fn shape(schema: &Value, node: &Value) -> Value {
        let target = node["$ref"].as_str().and_then(|name| schema.pointer(name.trim_start_matches('#')));
        let node = target.unwrap_or(node);
        let properties = node["properties"].as_object();
        let pairs = properties.into_iter().flatten();
        pairs.map(|(key, node)| (key.clone(), shape(schema, node))).collect()
    }
    let file = |name: &str| fs::read_to_string(directory().join(name)).expect("a file of the chart");
    let values = &yaml(&file("values.yaml"))[0];
    let schema: Value = serde_json::from_str(&file("values.schema.json")).expect("JSON");
    let mut schema_keys = keys(&shape(&schema, &schema), "");
    // Values of Helm, and of a parent chart.
    assert!(schema_keys.remove(".global") && schema_keys.remove(".enabled"));
    let value_keys: BTreeSet<String> = keys(values, "")
        .into_iter()
        // Objects of Kubernetes, which the schema does not restrict.
        .filter(|path| {
            schema_keys.contains(path)
                || !path.to_lowercase().contains("securitycontext.") && !path.starts_with(".resources.")
        })
        .collect();
    assert_eq!(value_keys, schema_keys);
}

#[test]
fn a_name_that_is_too_long_is_truncated_and_stays_unique() {
    let mut names = BTreeSet::new();
    for name in [LONG, &LONG.replace("53", "54")] {
        for mode in ["initContainer", "job", "hook"] {
            let values = json!({"mode": mode, "database": {"existingSecret": "", "password": "p"}, "serviceAccount": {"create": true}});
            let rendered = Release::with_values(values).with_name(name).revision(99).render().expect("a rendering");
            for document in &rendered.documents {
                let text = document["metadata"]["name"].as_str().expect("a name");
                assert!(text.len() <= 63, "{text} is too long");
                names.insert((name.to_owned(), text.to_owned()));
            }
        }
    }
    let distinct: BTreeSet<&String> = names.iter().map(|(_, name)| name).collect();
    assert_eq!(distinct.len(), names.len(), "two releases share a name: {names:?}");
}

#[test]
fn each_revision_has_a_job_of_its_own_and_the_same_volume() {
    let of = |revision: u32| {
        let release = Release::with_values(json!({"mode": "job"})).revision(revision);
        let documents = release.render().expect("a rendering").documents;
        let name =
            |kind: &str| documents.iter().find(|it| it["kind"] == kind).expect("one")["metadata"]["name"].clone();
        (name("Job"), name("PersistentVolumeClaim"))
    };
    assert_eq!(of(1), (json!("shop-lockkeeper-migrate-1"), json!("shop-lockkeeper-backups")));
    assert_eq!(of(2), (json!("shop-lockkeeper-migrate-2"), json!("shop-lockkeeper-backups")));
}

#[test]
fn the_network_policy_allows_every_host_of_the_url() {
    let ports_with = |url: &str, environment: Value| {
        let values = json!({"networkPolicy": {"enabled": true}, "database": {"url": url}, "extraEnv": environment});
        let documents = Release::with_values(values).render().expect("a rendering").documents;
        let policy = documents.iter().find(|it| it["kind"] == "NetworkPolicy").expect("a policy");
        policy["spec"]["egress"][1]["ports"].clone()
    };
    let ports = |url: &str| ports_with(url, json!([]));
    let tcp = |port: u16| json!({"port": port, "protocol": "TCP"});
    assert_eq!(ports("postgres://hub@db/hub"), json!([tcp(5432)]));
    assert_eq!(ports("postgresql+asyncpg://db:6432/hub?sslmode=require"), json!([tcp(6432)]));
    assert_eq!(ports("postgres://hub@a:6432,[::1],b/hub"), json!([tcp(6432), tcp(5432)]));
    assert_eq!(ports("postgres:///hub?host=a,b&port=5433,5434"), json!([tcp(5432), tcp(5433), tcp(5434)]));
    let direct = json!([{"name": "LOCKKEEPER_DIRECT_URL", "value": "postgres://hub@db:5433/hub"}]);
    assert_eq!(ports_with("postgres://hub@pooler:6432/hub", direct), json!([tcp(6432), tcp(5433)]));
    let variable = json!([{"name": "PGPORT", "value": "5433"}]);
    assert_eq!(ports_with("postgres://db/hub", variable), json!([tcp(5433), tcp(5432)]));
}

/// A rule with an empty list of ports opens all of them.
#[test]
fn the_network_policy_of_a_url_in_a_secret_allows_only_the_default_port() {
    for mode in ["initContainer", "job", "hook"] {
        let database = json!({"url": "", "urlKey": "uri"});
        let values = json!({"mode": mode, "networkPolicy": {"enabled": true}, "database": database});
        let documents = Release::with_values(values).render().expect("a rendering").documents;
        let policy = documents.iter().find(|it| it["kind"] == "NetworkPolicy").expect("a policy");
        let ports = &policy["spec"]["egress"][1]["ports"];
        assert_eq!(*ports, json!([{"port": 5432, "protocol": "TCP"}]), "{mode}");
    }
}

#[test]
fn claims_outlive_the_release() {
    for (rendered, _) in &*RENDERED {
        for claim in rendered.documents.iter().filter(|it| it["kind"] == "PersistentVolumeClaim") {
            assert_eq!(claim["metadata"]["annotations"]["helm.sh/resource-policy"], "keep", "{claim}");
        }
    }
}

#[test]
fn the_password_is_only_in_the_secret() {
    for (rendered, _) in &*RENDERED {
        assert!(!rendered.text.contains(CANARY), "it stands in the open: {}", rendered.text);
        assert!(!rendered.notes.contains(CANARY), "it stands in the notes: {}", rendered.notes);
    }
    let values = json!({"database": {"existingSecret": "", "password": CANARY, "secretKey": "pw"}});
    let documents = Release::with_values(values).render().expect("a rendering").documents;
    let secret = documents.iter().find(|it| it["kind"] == "Secret").expect("a secret");
    assert_eq!(secret["data"]["pw"], "czNzYW1lLWM0bmFyeQ==");
}

/// Returns the pod that the notes print to be pasted.
fn printed_pod(notes: &str) -> Value {
    let (_, after) = notes.split_once("<<'POD'\n").expect("a pod in the notes");
    let (pod, _) = after.split_once("\nPOD").expect("its end");
    yaml(pod).remove(0)
}

#[test]
fn the_notes_describe_the_deadlines_the_result_and_the_restore() {
    let mut pods = Vec::new();
    for (rendered, all) in &*RENDERED {
        for part in ["< terminationGracePeriodSeconds", "terminated.message", " logs ", "helm rollback"] {
            assert!(rendered.notes.contains(part), "{part:?} is missing: {}", rendered.notes);
        }
        if rendered.notes.contains("nothing was backed up") {
            continue;
        }
        let pod = printed_pod(&rendered.notes);
        let is_remaining = |it: &&Value| it["spec"]["template"].is_null() && it["kind"] != "HorizontalPodAutoscaler";
        // The objects that remain when the workloads are scaled down; and a restore takes its time.
        let mut set: Vec<Value> = all.iter().filter(is_remaining).cloned().collect();
        set.extend(external_objects(std::slice::from_ref(&pod)).into_iter().filter(|it| !all.contains(it)));
        set.push(pod.clone());
        let mut broken = broken_rules(&set);
        broken.retain(|broken| !["deadlines", "unused", "selectors"].contains(&broken.rule));
        assert!(broken.is_empty(), "{broken:?}\n{}", rendered.notes);
        pods.push(pod);
    }
    check_schemas(&pods);
}
