//! What Lockkeeper is told: no secret in the open, no name it does not know, nothing it would refuse.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::{LazyLock, Mutex};

use serde_json::Value;

use super::document::{Container, Findings, Set, list, text, title};
use crate::support::binary::Run;
use crate::support::free_port;

pub fn check(set: &Set, findings: &mut Findings) {
    for map in set.kind("ConfigMap") {
        for (name, value) in map["data"].as_object().into_iter().flatten() {
            let place = format!("{}: {name}", title(map));
            findings.demand(!is_secret(name, value), "no-secrets", place);
        }
    }
    for container in set.containers() {
        secrets(&container, findings);
        files(set, &container, findings);
        if container.runs_lockkeeper() {
            names(set, &container, findings);
            accepted(set, &container, findings);
        }
    }
}

/// What may come from a Secret and be in an environment: it is none, though operators keep it beside the password.
const NO_SECRETS: [&str; 5] = ["PGUSER", "PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE"];

/// Whoever may read a pod's specification, or a process's environment, reads these.
fn secrets(container: &Container, findings: &mut Findings) {
    let mut demand = |met: bool, what: &str| findings.demand(met, "no-secrets", format!("{}: {what}", container.place));
    for source in list(container.value, "/envFrom") {
        demand(source["secretRef"].is_null(), "envFrom a Secret");
    }
    for variable in list(container.value, "/env") {
        let name = text(variable, "/name");
        let is_hidden = variable["valueFrom"]["secretKeyRef"].is_object() && !NO_SECRETS.contains(&name);
        demand(!is_hidden, name);
        demand(!is_secret(name, &variable["value"]), name);
    }
    for argument in list(container.value, "/args") {
        demand(!is_secret("", argument), "args");
    }
}

/// Named like a secret, or a URL with a password in it.
fn is_secret(name: &str, value: &Value) -> bool {
    let value = value.as_str().unwrap_or_default();
    let named = ["PASSWORD", "SECRET", "TOKEN", "_KEY"].iter().any(|word| name.contains(word));
    let authority = value.split_once("://").and_then(|(_, rest)| rest.split('/').next()?.rsplit_once('@'));
    let in_url = authority.is_some_and(|(user, _)| user.contains(':')) || value.contains("password=");
    (named && !name.ends_with("_FILE") && !value.is_empty()) || in_url
}

/// The variables in the table of the README.
fn known() -> BTreeSet<String> {
    let readme = fs::read_to_string(super::root().join("README.md")).expect("README.md");
    let section = readme.split_once("\n## Settings\n").expect("a section named Settings").1;
    let rows = section.split("\n## ").next().unwrap_or_default().lines();
    let mut known = BTreeSet::new();
    for cell in rows.filter_map(|row| row.strip_prefix("| `")?.split(" | ").next()) {
        let mut before = "";
        for name in cell.split('`').step_by(2).filter(|name| !name.is_empty()) {
            match name.starts_with('_') {
                true => drop(known.insert(format!("{before}{name}"))),
                false => drop(known.insert(name.to_owned())),
            }
            before = name;
        }
    }
    assert!(known.len() > 25, "the table of settings is not found: {known:?}");
    known
}

fn names(set: &Set, container: &Container, findings: &mut Findings) {
    let known = known();
    for name in set.environment(container).into_keys() {
        let ours = name.starts_with("LOCKKEEPER_") || name.starts_with("DATABASE_");
        let place = format!("{}: {name}", container.place);
        findings.demand(!ours || known.contains(&name), "known-settings", place);
    }
}

/// The files that it is told to read are in something that is mounted.
fn files(set: &Set, container: &Container, findings: &mut Findings) {
    let mounts: Vec<&str> =
        list(container.value, "/volumeMounts").iter().map(|mount| text(mount, "/mountPath")).collect();
    for (name, value) in set.environment(container) {
        let file = match name.ends_with("_FILE") || name == "PGSSLROOTCERT" {
            true => value.as_str(),
            false => value.split_once("sslrootcert=").map_or("", |(_, file)| file),
        };
        let file = file.split('&').next().unwrap_or_default();
        let mounted = mounts.iter().any(|mount| Path::new(file).starts_with(mount));
        let place = format!("{}: {name}: {file}", container.place);
        findings.demand(file.is_empty() || mounted, "mounted-files", place);
    }
}

/// The real binary takes these arguments and settings: with a database that is not there it gets as far as waiting.
fn accepted(set: &Set, container: &Container, findings: &mut Findings) {
    /// What each start has come to: many manifests differ in other things.
    static STARTS: Mutex<BTreeMap<Start, Result<(), String>>> = Mutex::new(BTreeMap::new());
    let arguments = list(container.value, "/args").iter().filter_map(Value::as_str).map(str::to_owned);
    let start = (arguments.collect(), set.environment(container));
    let known = STARTS.lock().expect("starts").get(&start).cloned();
    let came_to = known.unwrap_or_else(|| {
        let came_to = begin(&start);
        STARTS.lock().expect("starts").insert(start, came_to.clone());
        came_to
    });
    let last = came_to.as_ref().err().map_or("", String::as_str);
    findings.demand(came_to.is_ok(), "accepted", format!("{}: {last}", container.place));
}

/// Arguments and environment.
type Start = (Vec<String>, BTreeMap<String, String>);

/// Its last line when it does not get as far as waiting.
fn begin((arguments, environment): &Start) -> Result<(), String> {
    static ABSENT: LazyLock<String> = LazyLock::new(|| format!("127.0.0.1:{}", free_port()));
    let mut run = Run::new().migrations(&[("0001_t.sql", "CREATE TABLE t (a int);")]).file("password", "secret");
    let password = run.dir().join("password").display().to_string();
    for (name, value) in environment {
        run = match name.as_str() {
            "DATABASE_URL" if value.starts_with("sqlite:") => run.url("sqlite:///some.db"),
            "DATABASE_URL" | "LOCKKEEPER_DIRECT_URL" => run.env(name, at(value, &ABSENT)),
            "DATABASE_PASSWORD_FILE" => run.env(name, &password),
            "DATABASE_URL_FILE" => run.env("DATABASE_URL", at("postgresql://lockkeeper@db/app", &ABSENT)),
            // What only the Secret knows.
            _ if value.is_empty() && NO_SECRETS.contains(&name.as_str()) => {
                run.env(name, if name == "PGPORT" { "5432" } else { "localhost" })
            }
            // Files and folders of the container.
            _ if value.starts_with('/') => run,
            _ => run.env(name, value),
        };
    }
    let run = run.args(arguments.clone()).env("LOCKKEEPER_LOG_FORMAT", "text").env("LOCKKEEPER_WAIT_TIMEOUT", "1ms");
    let finished = run.output();
    match finished.code {
        Some(0 | 69) => Ok(()),
        _ => Err(finished.stderr.lines().last().unwrap_or_default().to_owned()),
    }
}

/// The URL with another host, and without a file of the container.
fn at(url: &str, host: &str) -> String {
    let (scheme, rest) = url.split_once("://").expect("a URL");
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let user = authority.rsplit_once('@').map_or(String::new(), |(user, _)| format!("{user}@"));
    let parts = path.split_inclusive(['?', '&']).filter(|part| !part.starts_with("sslrootcert="));
    format!("{scheme}://{user}{host}/{}", parts.collect::<String>())
}
