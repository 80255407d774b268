//! The rendered manifests as podman 4.3 can play them: every change that they need, and why.

use serde_json::{Value, json};

use crate::support::manifests;

/// As the file of the Secret has it in podman, which writes what stands in `data` without decoding it.
pub const PASSWORD: &str = "bG9ja2tlZXBlcg==";

/// A kustomization of ours, with the Secret that it expects.
#[track_caller]
pub fn rendered(folder: &str) -> Vec<Value> {
    let mut documents = [manifests::kustomize(folder), manifests::example_secret()].concat();
    let mut maps = Vec::new();
    for document in &mut documents {
        match document["kind"].as_str() {
            Some("Deployment") => {
                // The logs of a container that is removed as soon as it has ended are hard to read.
                document["metadata"]["annotations"] = json!({"io.podman.annotations.init.container.type": "always"});
                maps.extend(change_pod(&mut document["spec"]["template"]["spec"]));
            }
            Some("Job") => {
                *document = pod_of(document);
                maps.extend(change_pod(&mut document["spec"]));
            }
            Some("Secret") => set_password(document, PASSWORD),
            // A Service, a ServiceAccount and a NetworkPolicy are left aside by podman itself.
            _ => {}
        }
    }
    documents.extend(maps);
    documents
}

pub fn set_password(secret: &mut Value, password: &str) {
    // It has no `stringData` at all.
    let secret = secret.as_object_mut().expect("a Secret");
    secret.remove("stringData");
    secret.insert("data".into(), json!({"password": password}));
}

/// It knows no Job: the pod that a Job starts first.
fn pod_of(job: &Value) -> Value {
    let template = &job["spec"]["template"];
    let mut metadata = template["metadata"].clone();
    metadata["name"] = job["metadata"]["name"].clone();
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})
}

/// The ConfigMaps that its containers have now.
pub fn change_pod(spec: &mut Value) -> Vec<Value> {
    // With `Always`, a Deployment's only choice, it would run an init container again after success, too; the kubelet
    // does so after a failure alone. Here each runs once.
    spec["restartPolicy"] = json!("Never");
    for volume in spec["volumes"].as_array_mut().into_iter().flatten() {
        if let Some(secret) = volume.get_mut("secret") {
            // Left out, which means the same, it is read all the same: podman ends by a nil pointer.
            secret["optional"] = json!(false);
        }
    }
    for container in spec["containers"].as_array_mut().into_iter().flatten() {
        let container = container.as_object_mut().expect("a container");
        // It would publish each on the same port of this machine.
        container.remove("ports");
        // It would ask by curl, in the container, and needs systemd for that.
        container.remove("livenessProbe");
    }
    spec["initContainers"].as_array_mut().into_iter().flatten().filter_map(move_variables).collect()
}

/// Kubernetes sets `env` after `envFrom`, podman before: the variables become the last map.
fn move_variables(container: &mut Value) -> Option<Value> {
    let container = container.as_object_mut().expect("a container");
    let variables = container.remove("env")?;
    let name = format!("variables-of-{}", container["name"].as_str().expect("a name"));
    let sources = container["envFrom"].as_array_mut().expect("a list");
    sources.push(json!({"configMapRef": {"name": name}}));
    let mut map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {}});
    for variable in variables.as_array().expect("a list") {
        map["data"][variable["name"].as_str().expect("a name")] = variable["value"].clone();
    }
    Some(map)
}

/// The documents of some kinds.
pub fn only(documents: &[Value], kinds: &[&str]) -> Vec<Value> {
    let wanted = |document: &&Value| document["kind"].as_str().is_some_and(|kind| kinds.contains(&kind));
    documents.iter().filter(wanted).cloned().collect()
}

/// The documents without the claims: podman refuses one whose volume it has made already.
pub fn again(documents: &[Value]) -> Vec<Value> {
    documents.iter().filter(|document| document["kind"] != "PersistentVolumeClaim").cloned().collect()
}

/// The only document of a kind whose name begins so: generated ones end in a hash.
#[track_caller]
pub fn find<'a>(documents: &'a mut [Value], kind: &str, name: &str) -> &'a mut Value {
    let named = |document: &Value| document["metadata"]["name"].as_str().is_some_and(|own| own.starts_with(name));
    let mut found = documents.iter_mut().filter(|document| document["kind"] == kind && named(document));
    let first = found.next().unwrap_or_else(|| panic!("there is no {kind} {name}"));
    assert!(found.next().is_none(), "there are several {kind} {name}");
    first
}

/// Sets a variable of what migrates.
#[track_caller]
pub fn set_variable(documents: &mut [Value], name: &str, value: &str) {
    find(documents, "ConfigMap", "devops-hub-migrate")["data"][name] = json!(value);
}

/// Mounts a volume into the Deployment's init container.
#[track_caller]
pub fn mount(documents: &mut [Value], path: &str, mut volume: Value) {
    volume["name"] = json!("added");
    let spec = &mut find(documents, "Deployment", "devops-hub")["spec"]["template"]["spec"];
    spec["volumes"].as_array_mut().expect("volumes").push(volume);
    let mounts = spec["initContainers"][0]["volumeMounts"].as_array_mut().expect("mounts");
    mounts.push(json!({"name": "added", "mountPath": path}));
}
