//! Rules for the settings of Lockkeeper: no secret in plain text, no unknown name, nothing that it would refuse.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::{LazyLock, Mutex};

use serde_json::Value;

use super::document::{Container, Findings, Installation, list, text, title};
use crate::support::binary::Run;
use crate::support::free_port;

pub fn check(installation: &Installation, findings: &mut Findings) {
    for map in installation.kind("ConfigMap") {
        for (name, value) in map["data"].as_object().into_iter().flatten() {
            let place = format!("{}: {name}", title(map));
            findings.demand(!is_secret(name, value), "no-secrets", place);
        }
    }
    for container in installation.containers() {
        secrets(&container, findings);
        files(installation, &container, findings);
        if container.runs_lockkeeper() {
            names(installation, &container, findings);
            accepted(installation, &container, findings);
        }
    }
}

/// Variables that may come from a Secret into the environment: they are no secrets, though operators keep them with the
/// password.
const NOT_SECRET: [&str; 5] = ["PGUSER", "PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE"];

/// Requires that no secret is in the environment: whoever may read a pod's specification, or a process's environment,
/// could read it.
fn secrets(container: &Container, findings: &mut Findings) {
    let mut demand = |met: bool, what: &str| findings.demand(met, "no-secrets", format!("{}: {what}", container.place));
    for source in list(container.value, "/envFrom") {
        demand(source["secretRef"].is_null(), "envFrom a Secret");
    }
    for variable in list(container.value, "/env") {
        let name = text(variable, "/name");
        let is_hidden = variable["valueFrom"]["secretKeyRef"].is_object() && !NOT_SECRET.contains(&name);
        demand(!is_hidden, name);
        demand(!is_secret(name, &variable["value"]), name);
    }
    for argument in list(container.value, "/args") {
        demand(!is_secret("", argument), "args");
    }
}

/// Returns whether a variable is named like a secret, or is a URL with a password in it.
fn is_secret(name: &str, value: &Value) -> bool {
    let value = value.as_str().unwrap_or_default();
    let has_secret_name = ["PASSWORD", "SECRET", "TOKEN", "_KEY"].iter().any(|word| name.contains(word));
    let authority = value.split_once("://").and_then(|(_, rest)| rest.split('/').next()?.rsplit_once('@'));
    let in_url = authority.is_some_and(|(user, _)| user.contains(':')) || value.contains("password=");
    (has_secret_name && !name.ends_with("_FILE") && !value.is_empty()) || in_url
}

/// Returns the variables in the table of the README.
fn documented_variables() -> BTreeSet<String> {
    let readme = fs::read_to_string(super::root().join("README.md")).expect("README.md");
    let section = readme.split_once("\n## Settings\n").expect("a section named Settings").1;
    let rows = section.split("\n## ").next().unwrap_or_default().lines();
    let mut documented_variables = BTreeSet::new();
    for cell in rows.filter_map(|row| row.strip_prefix("| `")?.split(" | ").next()) {
        let mut before = "";
        for name in cell.split('`').step_by(2).filter(|name| !name.is_empty()) {
            match name.starts_with('_') {
                true => drop(documented_variables.insert(format!("{before}{name}"))),
                false => drop(documented_variables.insert(name.to_owned())),
            }
            before = name;
        }
    }
    assert!(documented_variables.len() > 25, "the table of settings is not found: {documented_variables:?}");
    documented_variables
}

fn names(installation: &Installation, container: &Container, findings: &mut Findings) {
    let documented_variables = documented_variables();
    for name in installation.environment(container).into_keys() {
        let is_own_variable = name.starts_with("LOCKKEEPER_") || name.starts_with("DATABASE_");
        let place = format!("{}: {name}", container.place);
        findings.demand(!is_own_variable || documented_variables.contains(&name), "known-settings", place);
    }
}

/// Requires that the files that it is configured to read are in something that is mounted.
fn files(installation: &Installation, container: &Container, findings: &mut Findings) {
    let mounts: Vec<&str> =
        list(container.value, "/volumeMounts").iter().map(|mount| text(mount, "/mountPath")).collect();
    for (name, value) in installation.environment(container) {
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

/// Requires that the real binary accepts these arguments and settings: without a reachable database it gets as far as
/// waiting.
fn accepted(installation: &Installation, container: &Container, findings: &mut Findings) {
    /// The outcome of each start, since many manifests differ only in other things.
    static STARTS: Mutex<BTreeMap<Start, Result<(), String>>> = Mutex::new(BTreeMap::new());
    let arguments = list(container.value, "/args").iter().filter_map(Value::as_str).map(str::to_owned);
    let start = (arguments.collect(), installation.environment(container));
    let cached = STARTS.lock().expect("starts").get(&start).cloned();
    let outcome = cached.unwrap_or_else(|| {
        let outcome = run_until_waiting(&start);
        STARTS.lock().expect("starts").insert(start, outcome.clone());
        outcome
    });
    let last = outcome.as_ref().err().map_or("", String::as_str);
    findings.demand(outcome.is_ok(), "accepted", format!("{}: {last}", container.place));
}

/// The arguments and the environment of a start.
type Start = (Vec<String>, BTreeMap<String, String>);

/// Runs the binary until it waits for the database; returns its last line if it ends before that.
fn run_until_waiting((arguments, environment): &Start) -> Result<(), String> {
    static UNREACHABLE: LazyLock<String> = LazyLock::new(|| format!("127.0.0.1:{}", free_port()));
    let mut run = Run::new().migrations(&[("0001_t.sql", "CREATE TABLE t (a int);")]).file("password", "secret");
    let password = run.dir().join("password").display().to_string();
    for (name, value) in environment {
        run = match name.as_str() {
            "DATABASE_URL" if value.starts_with("sqlite:") => run.url("sqlite:///some.db"),
            "DATABASE_URL" | "LOCKKEEPER_DIRECT_URL" => run.env(name, with_host(value, &UNREACHABLE)),
            "DATABASE_PASSWORD_FILE" => run.env(name, &password),
            "DATABASE_URL_FILE" => run.env("DATABASE_URL", with_host("postgresql://lockkeeper@db/app", &UNREACHABLE)),
            // Only the Secret knows the value.
            _ if value.is_empty() && NOT_SECRET.contains(&name.as_str()) => {
                run.env(name, if name == "PGPORT" { "5432" } else { "localhost" })
            }
            // Files and directories of the container.
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

/// Returns the URL with another host, and without a file of the container.
fn with_host(url: &str, host: &str) -> String {
    let (scheme, rest) = url.split_once("://").expect("a URL");
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let user = authority.rsplit_once('@').map_or(String::new(), |(user, _)| format!("{user}@"));
    let parts = path.split_inclusive(['?', '&']).filter(|part| !part.starts_with("sslrootcert="));
    format!("{scheme}://{user}{host}/{}", parts.collect::<String>())
}
