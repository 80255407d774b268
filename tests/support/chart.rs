//! Renders and lints Helm charts with Helm's own engine.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::manifests;

/// The namespace of the releases.
const NAMESPACE: &str = "apps";

/// Returns the directory of our chart.
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("k8s/chart")
}

/// A release to be rendered.
#[derive(Clone)]
pub struct Release {
    chart: PathBuf,
    name: String,
    pub values: Value,
    revision: u32,
    /// The objects of the cluster; `None` without a cluster.
    objects: Option<Vec<Value>>,
}

impl Release {
    /// A release of a chart, as `helm install` renders it in a cluster that has nothing.
    pub fn from_chart(chart: impl Into<PathBuf>, values: Value) -> Release {
        Release { chart: chart.into(), name: "shop".into(), values, revision: 1, objects: Some(Vec::new()) }
    }

    /// A release of our chart, with the minimal values and these.
    pub fn with_values(values: Value) -> Release {
        Release::from_chart(directory(), merge(minimal_values(), values))
    }

    pub fn with_name(mut self, name: &str) -> Release {
        self.name = name.into();
        self
    }

    pub fn revision(mut self, revision: u32) -> Release {
        self.revision = revision;
        self
    }

    /// Renders in a cluster that has this claim.
    pub fn with_existing_claim(self, claim: &str) -> Release {
        self.with_object(json!({"kind": "PersistentVolumeClaim", "metadata": {"name": claim}}))
    }

    /// Renders in a cluster that has a ConfigMap with this file.
    pub fn with_migrations(self, name: &str, text: &str) -> Release {
        let data = json!({"0001_create_users.up.sql": text});
        self.with_object(json!({"kind": "ConfigMap", "metadata": {"name": name}, "data": data}))
    }

    fn with_object(mut self, object: Value) -> Release {
        let rest = json!({"apiVersion": "v1", "metadata": {"namespace": NAMESPACE}});
        self.objects.get_or_insert_default().push(merge(rest, object));
        self
    }

    /// Renders without a cluster, as `helm template` and Argo CD do.
    pub fn without_a_cluster(mut self) -> Release {
        self.objects = None;
        self
    }

    /// Renders the release; returns Helm's error if that fails.
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

/// Returns the values without which nothing can be rendered, and an application that takes no more memory than it
/// should.
pub fn minimal_values() -> Value {
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

/// Merges `over` into `under`, as Helm does; null stays, to remove a default.
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

/// Renders all releases in one start of Python.
pub fn render(releases: &[Release]) -> Vec<Result<Rendered, String>> {
    let request = |release: &Release| {
        json!({
            "chart": release.chart,
            "release": release.name,
            "namespace": NAMESPACE,
            "values": release.values,
            "revision": release.revision,
            "objects": release.objects,
        })
    };
    let request: Vec<Value> = releases.iter().map(request).collect();
    let answers = manifests::python("chart.py", &[], &json!(request).to_string());
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

/// Creates the objects that the documents reference and do not contain: a service account that each namespace has, and
/// all that the values of a test call `external_objects-...`.
pub fn external_objects(documents: &[Value]) -> Vec<Value> {
    external_objects_named(documents, |name| name.starts_with("outside-"))
}

/// Creates the objects that the documents reference and do not contain, for values with other names for existing
/// objects.
pub fn external_objects_named(documents: &[Value], is_outside: impl Fn(&str) -> bool) -> Vec<Value> {
    let mut objects_made: Vec<Value> = Vec::new();
    for (kind, name, keys) in documents.iter().flat_map(manifests::referenced_objects) {
        if !(name == "default" || is_outside(&name)) {
            continue;
        }
        let data: Value = keys.into_iter().map(|key| (key, json!("x"))).collect();
        let mut existing = objects_made.iter_mut().filter(|it| it["kind"] == kind && it["metadata"]["name"] == name);
        if let Some(existing) = existing.next() {
            if existing["data"].is_object() {
                let before = existing["data"].take();
                existing["data"] = merge(before, data);
            }
            continue;
        }
        let spec = json!({"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}});
        let rest = match kind {
            "PersistentVolumeClaim" => json!({"spec": spec}),
            "ServiceAccount" => json!({}),
            _ => json!({"data": data}),
        };
        objects_made.push(merge(json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}}), rest));
    }
    objects_made
}
