//! Changes the rendered manifests so that podman 4.3 can play them: every change that they need, and why.

use serde_json::{Value, json};

use crate::support::manifests;

/// The password as podman writes it to the file of the Secret: it does not decode `data`.
pub const PASSWORD: &str = "bG9ja2tlZXBlcg==";

/// Renders a kustomization of ours, with the Secret that it expects.
#[track_caller]
pub fn rendered(directory: &str) -> Vec<Value> {
    let mut documents = [manifests::kustomize(directory), manifests::example_secret()].concat();
    let mut maps = Vec::new();
    for document in &mut documents {
        match document["kind"].as_str() {
            Some("Deployment") => {
                // The log of a container that is removed as soon as it has ended is hard to read.
                document["metadata"]["annotations"] = json!({"io.podman.annotations.init.container.type": "always"});
                maps.extend(change_pod(&mut document["spec"]["template"]["spec"]));
            }
            Some("Job") => {
                *document = pod_of(document);
                maps.extend(change_pod(&mut document["spec"]));
            }
            Some("Secret") => set_password(document, PASSWORD),
            // podman itself ignores a Service, a ServiceAccount and a NetworkPolicy.
            _ => {}
        }
    }
    documents.extend(maps);
    documents
}

pub fn set_password(secret: &mut Value, password: &str) {
    // podman does not support `stringData`.
    let secret = secret.as_object_mut().expect("a Secret");
    secret.remove("stringData");
    secret.insert("data".into(), json!({"password": password}));
}

/// Returns the pod of a Job, which podman does not support.
fn pod_of(job: &Value) -> Value {
    let template = &job["spec"]["template"];
    let mut metadata = template["metadata"].clone();
    metadata["name"] = job["metadata"]["name"].clone();
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})
}

/// Changes the pod and returns the new ConfigMaps for its containers.
pub fn change_pod(spec: &mut Value) -> Vec<Value> {
    // With `Always`, the only choice of a Deployment, podman would run an init container again after success, too; the
    // kubelet does so after a failure alone. Here each runs once.
    spec["restartPolicy"] = json!("Never");
    for volume in spec["volumes"].as_array_mut().into_iter().flatten() {
        if let Some(secret) = volume.get_mut("secret") {
            // podman reads the field even when it is missing, which means the same, and ends by a nil pointer.
            secret["optional"] = json!(false);
        }
    }
    for container in spec["containers"].as_array_mut().into_iter().flatten() {
        let container = container.as_object_mut().expect("a container");
        // podman would publish each port on the same port of this machine.
        container.remove("ports");
        // podman would probe with curl in the container, and needs systemd for that.
        container.remove("livenessProbe");
    }
    spec["initContainers"].as_array_mut().into_iter().flatten().filter_map(move_variables).collect()
}

/// Moves `env` to a last ConfigMap: Kubernetes applies `env` after `envFrom`, podman before.
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

/// Returns the documents of some kinds.
pub fn of_kinds(documents: &[Value], kinds: &[&str]) -> Vec<Value> {
    let wanted = |document: &&Value| document["kind"].as_str().is_some_and(|kind| kinds.contains(&kind));
    documents.iter().filter(wanted).cloned().collect()
}

/// Returns the documents without the claims: podman refuses a claim whose volume exists already.
pub fn without_claims(documents: &[Value]) -> Vec<Value> {
    documents.iter().filter(|document| document["kind"] != "PersistentVolumeClaim").cloned().collect()
}

/// Returns the only document of a kind whose name begins with `name`: generated names end in a hash.
#[track_caller]
pub fn find<'a>(documents: &'a mut [Value], kind: &str, name: &str) -> &'a mut Value {
    let has_name = |document: &Value| document["metadata"]["name"].as_str().is_some_and(|own| own.starts_with(name));
    let mut found = documents.iter_mut().filter(|document| document["kind"] == kind && has_name(document));
    let first = found.next().unwrap_or_else(|| panic!("there is no {kind} {name}"));
    assert!(found.next().is_none(), "there are several {kind} {name}");
    first
}

/// Sets a variable of the container that migrates.
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
