//! Several databases in one process: each run has a cancellation and an outcome of its own, its log lines name its database,
//! and no line of either shows a password of the other.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use lockkeeper::cli::{self, Cli};
use lockkeeper::command;
use lockkeeper::config::{DatabaseConfig, DatabaseNeed, EnvFile, Environment};
use lockkeeper::context::RunContext;
use lockkeeper::database;
use lockkeeper::outcome::Outcome;
use lockkeeper::report::{self, Colour, LogFormat, LogStyle, ProgressLine};
use lockkeeper::signal::{Cancel, CancelReason};
use serde_json::Value;

use crate::support::postgres::{PASSWORD, Postgres};
use crate::support::{DEFAULT_TIMEOUT, unique};

/// Set in the child process, which is the one with several databases: the URLs and the directory of the scripts.
const CHILD: &str = "LOCKKEEPER_TEST_TWO_DATABASES";
/// The password of the second database's role.
const OTHER_PASSWORD: &str = "other7canary";
/// The exit code of a revision that failed.
const FAILED: i64 = 80;

#[test]
fn runs_in_one_process_share_nothing_but_their_secrets() {
    if let Ok(told) = std::env::var(CHILD) {
        return run_both(&told.lines().collect::<Vec<_>>());
    }
    let (one, other) = (Postgres::shared().database("one_of_two"), Postgres::shared().database("other_of_two"));
    let role = unique("other_role");
    let name = other.name();
    other.execute(&format!(
        "create role {role} login password '{OTHER_PASSWORD}'; alter database {name} owner to {role}"
    ));
    let directory = tempfile::tempdir().expect("a directory");
    let tells = |password: &str| format!("DO $$ BEGIN RAISE WARNING 'told {password}'; END $$;\n");
    let sleep = ("0002_sleep.sql", "SELECT pg_sleep(600);\n".to_owned());
    write(&directory.path().join("one"), &[("0001_one.sql", tells(OTHER_PASSWORD)), sleep]);
    let table = ("0002_table.sql", "CREATE TABLE t (a int);\n".to_owned());
    write(&directory.path().join("other"), &[("0001_other.sql", tells(PASSWORD)), table]);

    write(&directory.path().join("file"), &[("0001_file.sql", format!("SELECT {PASSWORD};\n"))]);
    let file = format!("sqlite:///{}", directory.path().join("file.db").display());

    let urls = [one.url(), other.url_as(&role, OTHER_PASSWORD), file];
    let told = [urls.join("\n"), directory.path().display().to_string()].join("\n");
    let this = std::env::current_exe().expect("the test binary");
    let test = "two_databases::runs_in_one_process_share_nothing_but_their_secrets";
    let child = Command::new(this).args([test, "--exact", "--nocapture"]).env(CHILD, told).output().expect("a child");
    let (out, log) = (String::from_utf8_lossy(&child.stdout), String::from_utf8_lossy(&child.stderr));
    assert!(child.status.success(), "{out}{log}");
    for password in [PASSWORD, OTHER_PASSWORD] {
        assert!(!out.contains(password) && !log.contains(password), "{password} in {out}{log}");
    }
    expect_lines(&log, [("one", one.name()), ("other", other.name()), ("file", "file.db")]);
    expect_outcomes(&out, [one.name(), other.name(), "file.db"]);
    other.execute(&format!("reassign owned by {role} to postgres; drop owned by {role}"));
    other.execute(&format!("drop role {role}"));
}

fn write(directory: &Path, files: &[(&str, String)]) {
    std::fs::create_dir(directory).expect("a directory");
    files.iter().for_each(|(name, text)| std::fs::write(directory.join(name), text).expect("a script"));
}

/// Every line names its database, and what it tells is of that database.
fn expect_lines(log: &str, databases: [(&str, &str); 3]) {
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    for line in &lines {
        let (message, database) = (&line["message"].as_str().expect("a message"), &line["span"]["database"]);
        assert!(databases.iter().any(|(_, name)| database == name), "{line}");
        for (label, name) in databases {
            let is_about =
                message.contains(&format!("_{label}.sql")) || line["span"]["file"] == format!("0001_{label}.sql");
            assert!(!is_about || database == name, "{line}");
        }
    }
    for (label, name) in &databases[..2] {
        let told = |line: &&Value| {
            line["span"]["database"] == *name && line["message"].as_str().is_some_and(|text| text.contains("told ***"))
        };
        assert_eq!(lines.iter().filter(told).count(), 1, "{label}: {log}");
    }
}

/// One run was cancelled alone, one succeeded, one failed; then two were cancelled by the process. Each has an outcome of
/// its own.
fn expect_outcomes(out: &str, [one, other, file]: [&str; 3]) {
    let outcomes = out.lines().filter_map(|line| line.strip_prefix("outcome "));
    let outcomes: Vec<Value> = outcomes.map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let failed = outcomes.iter().find(|outcome| outcome["code"] == FAILED).expect("a failure");
    assert!(failed["message"].as_str().is_some_and(|text| text.contains("no such column: ***")), "{failed}");
    let expected: [(i64, &str, &[&str]); 5] =
        [(143, one, &["0001"]), (0, other, &["0001", "0002"]), (FAILED, file, &[]), (143, one, &[]), (143, other, &[])];
    assert_eq!(outcomes.len(), expected.len(), "{out}");
    for (outcome, (code, database, applied)) in outcomes.iter().zip(expected) {
        assert_eq!((&outcome["code"], &outcome["applied"]), (&code.into(), &applied.into()), "{outcome}");
        assert!(outcome["database"].as_str().is_some_and(|shown| shown.contains(database)), "{outcome}");
    }
}

/// The child process.
fn run_both(told: &[&str]) {
    let [one_url, other_url, file_url, directory] = told else { panic!("three URLs and a directory") };
    let progress = ProgressLine::default();
    let style = LogStyle { level: Some(tracing::Level::INFO), format: LogFormat::Json, colour: Colour::Plain };
    report::start(Some(Ok(style)), &progress).expect("a log");
    let (one, other) = (target(one_url, directory, "one"), target(other_url, directory, "other"));
    let file = target(file_url, directory, "file");
    let process = Cancel::default();
    let context = |(_, config): &(Cli, DatabaseConfig)| {
        let identity = config.database.identity().expect("a database");
        RunContext::new(&process, &progress).naming(&identity.name)
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (stopped, settled, failed) = runtime.block_on(async {
        let (ours, theirs, fails) = (context(&one), context(&other), context(&file));
        let settle = async {
            let settled = run(&other, &theirs).await;
            tokio::time::timeout(DEFAULT_TIMEOUT, first_revision(&one.1))
                .await
                .expect("a revision of the run that goes on");
            ours.cancel.cancel(CancelReason::Terminate);
            settled
        };
        tokio::join!(run(&one, &ours), settle, run(&file, &fails))
    });
    assert_eq!(process.reason(), None);
    let (first, second) = runtime.block_on(async {
        let (ours, theirs) = (context(&one), context(&other));
        process.cancel(CancelReason::Terminate);
        tokio::join!(run(&one, &ours), run(&other, &theirs))
    });
    for outcome in [stopped, settled, failed, first, second] {
        report::print(&format!("\noutcome {}", outcome.json()));
    }
}

fn target(url: &str, directory: &str, name: &str) -> (Cli, DatabaseConfig) {
    let dir = Path::new(directory).join(name);
    let dir = dir.to_str().expect("a plain path");
    let words = ["lockkeeper", "--url", url, "--dir", dir, "--backup", "off"];
    let cli = cli::parse(words.into_iter().map(Into::into)).expect("a command line");
    let environment = Environment::read(std::iter::empty(), EnvFile::default()).expect("no variable");
    let config = DatabaseConfig::new(&cli.flags, environment, DatabaseNeed::Url).expect("a configuration");
    (cli, config)
}

/// Waits until a revision is recorded.
async fn first_revision(config: &DatabaseConfig) {
    let target = config.database.resolve().expect("a URL");
    loop {
        let opened = database::open(&target, &config.history, DEFAULT_TIMEOUT).await;
        if !opened.expect("a database").1.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn run((cli, config): &(Cli, DatabaseConfig), context: &RunContext) -> Outcome {
    let (began, database) = (Instant::now(), config.shown.clone());
    match command::run(cli, config, context).await {
        Ok(answer) => Outcome::success(answer, database, began.elapsed()),
        Err(failure) => Outcome::failure(&failure, database, began.elapsed()),
    }
}
