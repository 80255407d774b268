//! Tests of values of the chart that cannot work: each is refused by its name, with what to set.

use serde_json::{Value, json};

use crate::support::chart::{Release, render};

const CANARY: &str = "s3same-c4nary";

/// Wrong values, and the parts that the message has to contain.
fn wrong_values() -> Vec<(Value, &'static [&'static str])> {
    let sqlite = |url: &str| json!({"url": url, "existingSecret": ""});
    let env = |name: &str, value: &str| json!({"extraEnv": [{"name": name, "value": value}]});
    let with_password = format!("postgres://hub:{CANARY}@db/hub");
    let recreate = json!({"strategy": {"type": "Recreate"}});
    vec![
        (json!({"mode": "jobs"}), &["/mode", "'initContainer', 'job', 'hook'"]),
        (json!({"replicas": 3}), &["additional properties 'replicas'"]),
        (json!({"app": {"replica": 3}}), &["/app", "additional properties 'replica'"]),
        (json!({"database": {"pasword": CANARY}}), &["/database", "'pasword'"]),
        (json!({"timeouts": {"wait": "2m"}}), &["/timeouts/wait", "want integer"]),
        (json!({"timeouts": {"deadline": 0}}), &["/timeouts/deadline", "minimum"]),
        (json!({"backups": {"size": "big"}}), &["/backups/size", "pattern"]),
        (json!({"backups": {"accessModes": ["RWX"]}}), &["/backups/accessModes/0", "ReadWriteMany"]),
        (json!({"backups": {"keep": 0}}), &["/backups/keep", "minimum"]),
        (json!({"job": {"ttlSecondsAfterFinished": 0}}), &["/job/ttlSecondsAfterFinished", "minimum"]),
        (json!({"database": {"existingSecret": "Not_a_Name"}}), &["/database/existingSecret", "pattern"]),
        (json!({"data": {"mountPath": "data"}}), &["/data/mountPath", "pattern"]),
        (json!({"image": {"digest": "latest"}}), &["/image/digest", "pattern"]),
        (json!({"extraEnv": {"A": "b"}}), &["/extraEnv", "want array"]),
        // Null removes a default, and a missing value would count as 0 or false.
        (json!({"backups": {"enabled": null}}), &["/backups", "missing property 'enabled'"]),
        (json!({"job": {"ttlSecondsAfterFinished": null}}), &["/job", "'ttlSecondsAfterFinished'"]),
        (json!({"timeouts": {"shutdownGrace": null}}), &["/timeouts", "missing property 'shutdownGrace'"]),
        (json!({"networkPolicy": null}), &["missing property 'networkPolicy'"]),
        (json!({"image": {"repository": ""}}), &["image.repository is empty", "built FROM lockkeeper"]),
        (json!({"image": {"tag": ""}}), &["image.tag is empty", "image.digest"]),
        (json!({"app": {"image": {"repository": ""}}}), &["app.image.repository is empty", "app.enabled: false"]),
        (json!({"app": {"image": {"tag": ""}}}), &["app.image.tag is empty", "app.image.digest"]),
        (json!({"database": {"url": ""}}), &["database.url is empty", "postgres://user@host:5432/name"]),
        (json!({"database": {"url": "mysql://hub@db/hub"}}), &["database.url does not begin", "postgres://"]),
        (json!({"database": {"url": format!(" {with_password}")}}), &["database.url does not begin"]),
        (
            json!({"database": {"url": with_password.clone()}}),
            &["database.url has a password", "database.existingSecret"],
        ),
        (
            json!({"database": {"url": format!("postgresql+psycopg2://hub:a/b?{CANARY}@db/hub")}}),
            &["database.url has a password"],
        ),
        (
            json!({"database": {"url": format!("postgres://hub@db/hub?sslmode=require&password={CANARY}")}}),
            &["database.url has a password"],
        ),
        (json!({"database": {"password": CANARY}}), &["database.existingSecret and database.password"]),
        (
            json!({"database": {"tls": {"existingSecret": "a", "existingConfigMap": "b"}}}),
            &["database.tls.existingSecret and database.tls.existingConfigMap", "keep one"],
        ),
        (
            json!({"timeouts": {"wait": 900, "lock": 600}}),
            &["timeouts.wait + timeouts.lock (1500 s)", "set timeouts.deadline above 1500"],
        ),
        (
            json!({"mode": "job", "timeouts": {"deadline": 1800}}),
            &["timeouts.deadline (1800 s)", "set job.activeDeadlineSeconds above 1800"],
        ),
        (json!({"mode": "hook", "job": {"activeDeadlineSeconds": 1500}}), &["job.activeDeadlineSeconds above 1500"]),
        (
            json!({"mode": "job", "app": {"progressDeadlineSeconds": 2100}}),
            &["app.progressDeadlineSeconds (2100 s)", "set app.progressDeadlineSeconds above 2100"],
        ),
        (json!({"app": {"progressDeadlineSeconds": 600}}), &["app.progressDeadlineSeconds above 1500"]),
        (
            json!({"timeouts": {"shutdownGrace": 30}}),
            &["timeouts.shutdownGrace (30 s)", "set terminationGracePeriodSeconds above 30"],
        ),
        (env("DATABASE_PASSWORD", CANARY), &["extraEnv has DATABASE_PASSWORD", "database.existingSecret"]),
        (env("PGPASSWORD", CANARY), &["extraEnv has PGPASSWORD", "mounted as a file"]),
        (
            json!({"extraEnv": [{"name": "PGPASSWORD", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}]}),
            &["extraEnv has PGPASSWORD", "database.existingSecret"],
        ),
        (
            json!({"extraEnv": [{"name": "LOCKKEEPER_DIRECT_URL", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}]}),
            &["extraEnv has LOCKKEEPER_DIRECT_URL from a Secret", "LOCKKEEPER_DIRECT_URL_FILE"],
        ),
        (
            json!({"extraEnv": [{"name": "PGSSLMODE", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}]}),
            &["extraEnv has PGSSLMODE from a Secret", "PGUSER, PGHOST, PGHOSTADDR, PGPORT, PGDATABASE"],
        ),
        (env("DATABASE_URL", "postgres://db/hub"), &["extraEnv has DATABASE_URL", "database"]),
        (
            json!({"extraEnvFrom": [{"secretRef": {"name": "hub-secrets"}}]}),
            &["extraEnvFrom has the Secret hub-secrets", "database.existingSecret"],
        ),
        (json!({"extraArgs": ["--url", with_password.clone()]}), &["extraArgs has a URL with a password"]),
        (json!({"database": {"urlKey": "uri"}}), &["database.url and database.urlKey are both set"]),
        (
            json!({"database": {"url": "", "urlKey": "uri", "existingSecret": ""}}),
            &["database.urlKey is a key of a Secret", "database.existingSecret"],
        ),
        (
            json!({"database": {"url": "", "urlKey": "uri", "userKey": "user"}}),
            &["database.urlKey and database.userKey", "keep one"],
        ),
        (json!({"database": {"userKey": "user"}}), &["database.url has a user", "database.userKey"]),
        (json!({"database": {"url": "postgres:///hub?user=hub", "userKey": "user"}}), &["database.userKey"]),
        (json!({"database": {"hostKey": "host"}}), &["database.url has a host", "postgres:///name"]),
        (json!({"database": {"url": "postgres://hub@/hub?host=db", "hostKey": "host"}}), &["database.hostKey"]),
        (json!({"migrations": {"revision": "1"}}), &["migrations.revision", "migrations.existingConfigMap"]),
        (
            json!({"migrations": {"existingConfigMap": "files"}}),
            &["no ConfigMap files in namespace apps", "migrations.revision"],
        ),
        (
            json!({"mode": "hook", "job": {"annotations": {"argocd.argoproj.io/hook": "PreSync"}}}),
            &["argocd.argoproj.io/hook", "set mode: job"],
        ),
        (json!({"app": {"service": {"enabled": true}}}), &["app.service.enabled", "app.ports"]),
        (
            json!({"app": {"podDisruptionBudget": {"enabled": true, "minAvailable": 1}}}),
            &["one of minAvailable and maxUnavailable"],
        ),
        (
            json!({"app": {"podDisruptionBudget": {"enabled": true, "maxUnavailable": null}}}),
            &["one of minAvailable and maxUnavailable"],
        ),
        (
            json!({"app": {"podDisruptionBudget": {"maxUnavailable": "half"}}}),
            &["/app/podDisruptionBudget/maxUnavailable", "pattern"],
        ),
        (
            json!({"app": {"autoscaling": {"enabled": true, "minReplicas": 6, "metrics": [{}]}}}),
            &["app.autoscaling.minReplicas (6) is more than app.autoscaling.maxReplicas (5)"],
        ),
        (
            json!({"app": {"autoscaling": {"enabled": true}}}),
            &["app.resources.requests.cpu", "app.autoscaling.metrics"],
        ),
        (
            json!({"database": sqlite("sqlite:////data/app.db"), "app": {"strategy": {"type": "Recreate"},
                "autoscaling": {"enabled": true, "metrics": [{}]}}}),
            &["without app.autoscaling"],
        ),
        (env("LOCKKEEPER_DEADLINE", "1h"), &["extraEnv has LOCKKEEPER_DEADLINE", "timeouts"]),
        (env("LOCKKEEPER_BACKUP", "off"), &["extraEnv has LOCKKEEPER_BACKUP", "backups"]),
        (env("DATABASE_PASSWORD_FILE", "/x"), &["extraEnv has DATABASE_PASSWORD_FILE", "database"]),
        (env("DATABASE_URL_FILE", "/x"), &["extraEnv has DATABASE_URL_FILE", "database"]),
        (env("LOCKKEEPER_DIRECT_URL", &with_password), &["LOCKKEEPER_DIRECT_URL has a password", "take it out"]),
        (
            json!({"app": {"env": [{"name": "DATABASE_URL", "value": "x"}]}}),
            &["app.env has DATABASE_URL", "app.connect: false"],
        ),
        (
            json!({"database": sqlite("sqlite:////tmp/app.db"), "app": recreate}),
            &["data.mountPath", "sqlite:////data/NAME.db"],
        ),
        (json!({"database": sqlite("sqlite:///./app.db"), "app": recreate}), &["sqlite:////data/NAME.db"]),
        (
            json!({"database": sqlite("sqlite:////data/app.db"), "app": recreate, "mode": "job"}),
            &["mode is job", "set mode: initContainer"],
        ),
        (json!({"database": {"url": "sqlite:////data/app.db"}, "app": recreate}), &["are for PostgreSQL"]),
        (json!({"database": sqlite("sqlite:////data/app.db")}), &["app.strategy.type: Recreate"]),
        (
            json!({"database": sqlite("sqlite:////data/app.db"), "app": {"replicas": 2, "strategy": {"type": "Recreate"}}}),
            &["app.replicas: 1"],
        ),
        (
            json!({"backups": {"accessModes": ["ReadWriteOnce"]}}),
            &["backups.accessModes has no ReadWriteMany", "mode: job", "Recreate"],
        ),
        (
            json!({"mode": "hook", "serviceAccount": {"create": true, "name": "shop"}}),
            &["serviceAccount.name", "serviceAccount.create: false"],
        ),
    ]
}

#[test]
fn a_wrong_value_is_named_with_what_to_set() {
    let wrong_values = wrong_values();
    let releases: Vec<Release> = wrong_values.iter().map(|(values, _)| Release::with_values(values.clone())).collect();
    for ((values, parts), answer) in wrong_values.iter().zip(render(&releases)) {
        let error = answer.err().unwrap_or_else(|| panic!("{values} was accepted"));
        for part in *parts {
            assert!(error.contains(part), "{values}: {part:?} is not in the message: {error}");
        }
        assert!(!error.contains(CANARY), "the message has the password: {error}");
    }
}

#[test]
fn all_wrong_values_are_named_at_once() {
    let values = json!({"image": {"tag": ""}, "timeouts": {"shutdownGrace": 99}, "database": {"password": "p"}});
    let error = Release::with_values(values).render().err().expect("a refusal");
    for part in ["image.tag", "timeouts.shutdownGrace", "database.password"] {
        assert!(error.contains(part), "{part} is not in the message: {error}");
    }
}

#[test]
fn an_application_may_be_stopped_for_a_restore() {
    let app = json!({"replicas": 0, "strategy": {"type": "Recreate"}});
    let database = json!({"url": "sqlite:////data/app.db", "existingSecret": ""});
    assert_eq!(Release::with_values(json!({"database": database, "app": app})).render().err(), None);
}

#[test]
fn a_url_without_a_password_is_accepted() {
    let urls = [
        "postgres://hub@db:5432/hub",
        "postgres://db:5432/hub?user=hub&sslmode=verify-full",
        "postgresql://hub@[::1]:5432/hub",
        "postgres://hub@a:5432,b:5433/hub?target_session_attrs=read-write",
    ];
    let releases = urls.map(|url| Release::with_values(json!({"database": {"url": url}})));
    for answer in render(&releases) {
        assert_eq!(answer.err(), None);
    }
}
