//! Access to the documents that the rules need: the pods, the containers in them, and their environment variables.

use std::collections::BTreeMap;

use serde_json::Value;

use super::BrokenRule;

/// The documents of one installation.
pub struct Installation<'a> {
    pub documents: &'a [Value],
    pub pods: Vec<Pod<'a>>,
}

/// A pod, or an object that creates pods.
pub struct Pod<'a> {
    pub owner: &'a Value,
    /// The pod template, with metadata and spec.
    pub template: &'a Value,
}

/// A container of a pod, with its place in the documents.
pub struct Container<'a> {
    pub value: &'a Value,
    pub kind: &'static str,
    pub place: String,
}

impl<'a> Installation<'a> {
    pub fn new(documents: &'a [Value]) -> Installation<'a> {
        let pods = documents.iter().filter_map(|owner| {
            let template = match text(owner, "/kind") {
                "Pod" => Some(owner),
                "CronJob" => owner.pointer("/spec/jobTemplate/spec/template"),
                _ => owner.pointer("/spec/template"),
            };
            template.map(|template| Pod { owner, template })
        });
        Installation { documents, pods: pods.collect() }
    }

    pub fn kind(&self, kind: &str) -> impl Iterator<Item = &'a Value> {
        self.documents.iter().filter(move |document| text(document, "/kind") == kind)
    }

    pub fn find(&self, kind: &str, name: &str) -> Option<&'a Value> {
        self.kind(kind).find(|document| text(document, "/metadata/name") == name)
    }

    pub fn containers(&self) -> Vec<Container<'a>> {
        self.pods.iter().flat_map(Pod::containers).collect()
    }

    /// Returns a container's environment variables, as far as these documents define them; a later one overrides an
    /// earlier one.
    pub fn environment(&self, container: &Container) -> BTreeMap<String, String> {
        let mut variables = BTreeMap::new();
        for source in list(container.value, "/envFrom") {
            let map = self.find("ConfigMap", text(source, "/configMapRef/name"));
            let data = map.and_then(|map| map["data"].as_object());
            for (name, value) in data.into_iter().flatten() {
                variables.insert(name.clone(), value.as_str().unwrap_or_default().to_owned());
            }
        }
        for variable in list(container.value, "/env") {
            let reference = &variable["valueFrom"]["configMapKeyRef"];
            let map = self.find("ConfigMap", text(reference, "/name"));
            let value = match map {
                Some(map) => &map["data"][text(reference, "/key")],
                None => &variable["value"],
            };
            let value = value.as_str().unwrap_or_default().to_owned();
            variables.insert(text(variable, "/name").to_owned(), value);
        }
        variables
    }
}

impl<'a> Pod<'a> {
    pub fn spec(&self) -> &'a Value {
        &self.template["spec"]
    }

    pub fn labels(&self) -> &'a Value {
        &self.template["metadata"]["labels"]
    }

    pub fn containers(&self) -> Vec<Container<'a>> {
        let kinds = ["initContainers", "containers", "ephemeralContainers"];
        let of = |kind: &'static str| {
            self.spec()[kind].as_array().into_iter().flatten().map(move |value| Container {
                value,
                kind,
                place: format!("{}/{}", title(self.owner), text(value, "/name")),
            })
        };
        kinds.into_iter().flat_map(of).collect()
    }
}

impl Container<'_> {
    /// Returns whether our manifests give this name to a container that runs Lockkeeper; a chart's alias comes after
    /// it.
    pub fn runs_lockkeeper(&self) -> bool {
        let name = text(self.value, "/name");
        self.migrates() || self.waits() || name == "check" || name.starts_with("check-")
    }

    /// Returns whether the container waits for a Job.
    pub fn waits(&self) -> bool {
        text(self.value, "/name").starts_with("wait-for-")
    }

    pub fn migrates(&self) -> bool {
        let name = text(self.value, "/name");
        name == "migrate" || name.starts_with("migrate-")
    }
}

/// Returns `Kind/name`.
pub fn title(document: &Value) -> String {
    format!("{}/{}", text(document, "/kind"), text(document, "/metadata/name"))
}

/// Returns the text at a JSON pointer, or an empty one.
pub fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Returns the list at a JSON pointer, or an empty one.
pub fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Returns whether labels have everything that a selector's `matchLabels` asks for; an empty selector asks for nothing.
pub fn selects(selector: &Value, labels: &Value) -> bool {
    selector.as_object().into_iter().flatten().all(|(name, value)| &labels[name] == value)
}

/// The rules that are broken.
#[derive(Default)]
pub struct Findings {
    pub broken: Vec<BrokenRule>,
}

impl Findings {
    /// Records that the rule is broken at this place, unless it is `met`.
    pub fn demand(&mut self, met: bool, rule: &'static str, place: impl Into<String>) {
        if !met {
            self.broken.push(BrokenRule { rule, place: place.into() });
        }
    }
}
