//! Rules for pods that migrate: failures that Kubernetes understands, deadlines of which each fits into the next, and
//! nothing that an init container or our image cannot have.

use std::collections::BTreeMap;
use std::time::Duration;

use lockkeeper::duration::parse_duration;
use lockkeeper::exit::{ExitClass, TABLE};
use serde_json::{Value, json};

use super::document::{Container, Findings, Installation, Pod, list, text, title};

pub fn check(installation: &Installation, findings: &mut Findings) {
    for pod in &installation.pods {
        if let Some(spec) = job_spec(pod) {
            job(pod, spec, findings);
        }
        if text(pod.owner, "/kind") == "CronJob" {
            let one_at_a_time = pod.owner["spec"]["concurrencyPolicy"] == json!("Forbid");
            findings.demand(one_at_a_time, "concurrency-policy", title(pod.owner));
        }
        for container in pod.containers() {
            init(&container, findings);
            if container.runs_lockkeeper() {
                // The image's entrypoint is the binary: a command would replace it.
                findings.demand(container.value["command"].is_null(), "entrypoint", &*container.place);
                deadlines(installation, pod, &container, findings);
            }
        }
    }
}

/// Requires that an init container has no probe, which the API server refuses unless the container is a sidecar.
fn init(container: &Container, findings: &mut Findings) {
    let is_plain = container.kind == "initContainers" && container.value["restartPolicy"] != json!("Always");
    for field in ["livenessProbe", "readinessProbe", "startupProbe", "lifecycle"] {
        let place = format!("{}: {field}", container.place);
        findings.demand(!is_plain || container.value[field].is_null(), "no-probes", place);
    }
}

/// Returns the specification of a Job, or of the Jobs that a CronJob creates.
fn job_spec<'a>(pod: &Pod<'a>) -> Option<&'a Value> {
    match text(pod.owner, "/kind") {
        "Job" => Some(&pod.owner["spec"]),
        "CronJob" => Some(&pod.owner["spec"]["jobTemplate"]["spec"]),
        _ => None,
    }
}

fn job(pod: &Pod, spec: &Value, findings: &mut Findings) {
    let place = title(pod.owner);
    findings.demand(pod.spec()["restartPolicy"] == json!("Never"), "restart-policy", &*place);
    findings.demand(spec["podReplacementPolicy"] == json!("Failed"), "pod-replacement", &*place);
    findings.demand(spec["backoffLimit"].is_u64(), "backoff-limit", &*place);
    findings.demand(spec["ttlSecondsAfterFinished"].is_u64(), "ttl", &*place);
    // A Job ends when its ordinary containers have ended: a sidecar is an init container that is restarted.
    findings.demand(list(pod.spec(), "/containers").len() == 1, "one-container", &*place);
    let rules = list(spec, "/podFailurePolicy/rules");
    let [codes, disruption] = rules else {
        let place = format!("{place}: {} rules, not FailJob and then Ignore", rules.len());
        return findings.demand(false, "failure-policy", place);
    };
    let mut demand = |met: bool, what: &str| findings.demand(met, "failure-policy", format!("{place}: {what}"));
    demand(codes["action"] == json!("FailJob"), "the first action is not FailJob");
    demand(codes["onExitCodes"]["operator"] == json!("In"), "the operator is not In");
    let name = text(codes, "/onExitCodes/containerName");
    let found = pod.containers().into_iter().find(|container| text(container.value, "/name") == name);
    demand(found.is_some(), "it names a container that the pod does not have");
    demand(found.is_none_or(|it| it.migrates()), "it is not for the container that migrates");
    let permanent = TABLE.iter().filter(|row| row.class == ExitClass::Permanent).map(|row| row.code);
    // The table is sorted and has each code once, and so do the values.
    let values = json!(permanent.collect::<Vec<u8>>());
    demand(codes["onExitCodes"]["values"] == values, "its values are not the permanent codes, in order");
    demand(disruption["action"] == json!("Ignore"), "the second action is not Ignore");
    let conditions = json!([{"type": "DisruptionTarget", "status": "True"}]);
    demand(disruption["onPodConditions"] == conditions, "it does not ignore disruptions");
}

/// Returns the seconds of a field, or Kubernetes' default.
fn seconds(value: &Value, field: &str, default: Option<u64>) -> Option<Duration> {
    value[field].as_u64().or(default).map(Duration::from_secs)
}

/// Returns a setting, or our default; none when it is off or cannot be read.
fn setting(environment: &BTreeMap<String, String>, name: &str, default: &str) -> Option<Duration> {
    let value = environment.get(name).filter(|value| !value.is_empty());
    parse_duration(value.map_or(default, String::as_str)).ok().filter(|time| !time.is_zero())
}

/// Requires that each deadline, set or by default, is shorter than the next one, so that whoever gives up first reports
/// why.
fn deadlines(installation: &Installation, pod: &Pod, container: &Container, findings: &mut Findings) {
    let environment = installation.environment(container);
    let wait = ("LOCKKEEPER_WAIT_TIMEOUT", setting(&environment, "LOCKKEEPER_WAIT_TIMEOUT", "60s"));
    let lock = ("LOCKKEEPER_LOCK_TIMEOUT", setting(&environment, "LOCKKEEPER_LOCK_TIMEOUT", "5m"));
    let deadline = ("LOCKKEEPER_DEADLINE", setting(&environment, "LOCKKEEPER_DEADLINE", "0"));
    let grace = ("LOCKKEEPER_SHUTDOWN_GRACE", setting(&environment, "LOCKKEEPER_SHUTDOWN_GRACE", "8s"));
    let end = ("terminationGracePeriodSeconds", seconds(pod.spec(), "terminationGracePeriodSeconds", Some(30)));
    let of_owner = match job_spec(pod) {
        Some(spec) => ("activeDeadlineSeconds", seconds(spec, "activeDeadlineSeconds", None)),
        None => ("progressDeadlineSeconds", seconds(&pod.owner["spec"], "progressDeadlineSeconds", Some(600))),
    };
    let mut nest = |chain: &[(&str, Option<Duration>)]| {
        for pair in chain.windows(2) {
            let [(inner, short), (outer, long)] = pair else { continue };
            let nested = short.zip(*long).is_some_and(|(short, long)| short < long);
            let place = format!("{}: {inner} {short:?} < {outer} {long:?}", container.place);
            findings.demand(nested, "deadlines", place);
        }
    };
    nest(&[grace, end]);
    if container.migrates() {
        return nest(&[wait, lock, deadline, of_owner]);
    }
    if !container.waits() {
        return;
    }
    nest(&[wait, of_owner]);
    if deadline.1.is_some() {
        nest(&[wait, deadline]);
    }
    // A container that waits for a Job waits longer than the Job may take.
    for job in installation.kind("Job") {
        nest(&[("activeDeadlineSeconds", seconds(&job["spec"], "activeDeadlineSeconds", None)), wait]);
    }
}
