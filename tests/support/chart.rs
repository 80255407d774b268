//! Helm charts, rendered and linted by Helm's own engine.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::manifests;

/// Where the releases are.
const NAMESPACE: &str = "apps";

/// The folder of our chart.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("k8s/chart")
}

/// A release to be rendered.
#[derive(Clone)]
pub struct Release {
    chart: PathBuf,
    name: String,
    pub values: Value,
    revision: u32,
    /// What the cluster has; none without a cluster.
    objects: Option<Vec<Value>>,
}

impl Release {
    /// Of a chart, as `helm install` would do it in a cluster that has nothing.
    pub fn of(chart: impl Into<PathBuf>, values: Value) -> Release {
        Release { chart: chart.into(), name: "shop".into(), values, revision: 1, objects: Some(Vec::new()) }
    }

    /// Of our chart, with the least that it needs and with these values.
    pub fn with(values: Value) -> Release {
        Release::of(folder(), merge(least(), values))
    }

    pub fn named(mut self, name: &str) -> Release {
        self.name = name.into();
        self
    }

    pub fn revision(mut self, revision: u32) -> Release {
        self.revision = revision;
        self
    }

    /// In a cluster that has this claim.
    pub fn where_there_is(self, claim: &str) -> Release {
        self.with_object(json!({"kind": "PersistentVolumeClaim", "metadata": {"name": claim}}))
    }

    /// In a cluster that has a ConfigMap with this file.
    pub fn with_migrations(self, name: &str, text: &str) -> Release {
        let data = json!({"0001_create_users.up.sql": text});
        self.with_object(json!({"kind": "ConfigMap", "metadata": {"name": name}, "data": data}))
    }

    fn with_object(mut self, object: Value) -> Release {
        let rest = json!({"apiVersion": "v1", "metadata": {"namespace": NAMESPACE}});
        self.objects.get_or_insert_default().push(merge(rest, object));
        self
    }

    /// As `helm template` and Argo CD do it.
    pub fn without_a_cluster(mut self) -> Release {
        self.objects = None;
        self
    }

    /// What Helm makes of it, or its error.
    pub fn render(&self) -> Result<Rendered, String> {
        render(std::slice::from_ref(self)).remove(0)
    }
}

/// A chart that was rendered.
pub struct Rendered {
    pub documents: Vec<Value>,
    pub text: String,
    pub notes: String,
    /// Warnings and errors.
    pub lint: Vec<Value>,
}

/// The values without which nothing can be rendered, and an application that takes no more memory than it should.
pub fn least() -> Value {
    json!({
        "image": {"repository": "devops-hub-migrate", "tag": "1.0.0"},
        "database": {
            "url": "postgres://devops_hub@postgres:5432/devops_hub",
            "existingSecret": "outside-database",
        },
        "app": {
            "image": {"repository": "devops-hub", "tag": "1.0.0"},
            "resources": {"requests": {"memory": "64Mi"}, "limits": {"memory": "128Mi"}},
        },
    })
}

/// The second over the first, as Helm does it; null stays, to remove a default.
pub fn merge(mut under: Value, over: Value) -> Value {
    match (under.as_object_mut(), over) {
        (Some(map), Value::Object(over)) => {
            for (key, value) in over {
                let below = map.remove(&key).unwrap_or_default();
                map.insert(key, merge(below, value));
            }
            under
        }
        (_, over) => over,
    }
}

/// All of them in one start of Python.
pub fn render(releases: &[Release]) -> Vec<Result<Rendered, String>> {
    let wanted = |release: &Release| {
        json!({
            "chart": release.chart,
            "release": release.name,
            "namespace": NAMESPACE,
            "values": release.values,
            "revision": release.revision,
            "objects": release.objects,
        })
    };
    let wanted: Vec<Value> = releases.iter().map(wanted).collect();
    let answers = manifests::python("chart.py", &[], &json!(wanted).to_string());
    let answers: Vec<Value> = serde_json::from_str(&answers).expect("a list of answers");
    answers.into_iter().map(read).collect()
}

fn read(answer: Value) -> Result<Rendered, String> {
    let text = |key: &str| answer[key].as_str().map(str::to_owned);
    if let Some(error) = text("error") {
        return Err(error);
    }
    let manifest = text("manifest").expect("a manifest");
    Ok(Rendered {
        documents: manifests::yaml(&manifest),
        text: manifest,
        notes: text("notes").expect("notes"),
        lint: answer["lint"].as_array().expect("a list").clone(),
    })
}

/// What the documents name and do not have, made up: a service account that each namespace has, and all that the values
/// of a test call `outside-...`.
pub fn outside(documents: &[Value]) -> Vec<Value> {
    made_up(documents, |name| name.starts_with("outside-"))
}

/// The same, for values that have other names for what is there already.
pub fn made_up(documents: &[Value], is_outside: impl Fn(&str) -> bool) -> Vec<Value> {
    let mut made: Vec<Value> = Vec::new();
    for (kind, name, keys) in documents.iter().flat_map(manifests::wanted) {
        if !(name == "default" || is_outside(&name)) {
            continue;
        }
        let data: Value = keys.into_iter().map(|key| (key, json!("x"))).collect();
        let mut there = made.iter_mut().filter(|it| it["kind"] == kind && it["metadata"]["name"] == name);
        if let Some(there) = there.next() {
            if there["data"].is_object() {
                let before = there["data"].take();
                there["data"] = merge(before, data);
            }
            continue;
        }
        let spec = json!({"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}});
        let rest = match kind {
            "PersistentVolumeClaim" => json!({"spec": spec}),
            "ServiceAccount" => json!({}),
            _ => json!({"data": data}),
        };
        made.push(merge(json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}}), rest));
    }
    made
}
