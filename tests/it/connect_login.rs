//! Tests of everything that a login consists of: addresses, passwords, variables, privileges, settings of the role.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use crate::connect::{expect_end, expect_untouched, expect_upgraded, owned_database, upgrade};
use crate::support::binary::Run;
use crate::support::postgres::{PASSWORD, Postgres, quoted, url};
use crate::support::{free_port, unique};

/// A password of all characters that mean something in a URL, a shell, a password file or an escape, with a space at
/// the end.
const SPECIAL_PASSWORD: &str = "canary7secret:/?#[]@!$&'()*+,;=%41%\" \\^|<>{}`~é ";

/// Runs a backup, which logs in twice: with our own session and with pg_dump's.
fn backup(database_url: &str) -> Run {
    upgrade(database_url).arg("backup")
}

/// The password arrives unchanged by the URL, a variable, a file and a password file.
#[test]
fn a_password_of_reserved_characters_is_passed_unchanged() {
    let (database, role) = owned_database(Postgres::shared(), "odd_password", SPECIAL_PASSWORD);
    database.execute(&format!("create table t (a int); alter table t owner to {role}"));
    let port = Postgres::shared().port();
    let (name, bare) = (database.name(), url(&role, "", port, database.name()).replace(":@", "@"));
    let escaped = SPECIAL_PASSWORD.replace('\\', "\\\\").replace(':', "\\:");
    let wrong = "*:*:*:nobody:canary7secret\n";
    let line = format!("# comment\n{wrong}127.0.0.1:{port}:{name}:{role}:{escaped}\n");
    let odd_url = database.url_as(&role, SPECIAL_PASSWORD);
    for (way, run) in [
        ("the URL", backup(&odd_url)),
        ("--url", backup("sqlite:///wrong.db").args(["--url", &odd_url])),
        ("the query", backup(&format!("{bare}?password={}", encoded(SPECIAL_PASSWORD)))),
        ("a file with the URL", Run::new().file("url", format!("{odd_url}\r\n")).env("DATABASE_URL_FILE", "url")),
        ("the direct URL", backup("postgresql://nobody@nowhere.invalid/d").env("LOCKKEEPER_DIRECT_URL", &odd_url)),
        ("a variable", backup(&bare).env("DATABASE_PASSWORD", SPECIAL_PASSWORD)),
        ("a variable over the URL", backup(&database.url_as(&role, "old")).env("DATABASE_PASSWORD", SPECIAL_PASSWORD)),
        ("a file", backup(&bare).file("p", SPECIAL_PASSWORD).env("DATABASE_PASSWORD_FILE", "p")),
        ("a file, LF", backup(&bare).file("p", format!("{SPECIAL_PASSWORD}\n")).env("DATABASE_PASSWORD_FILE", "p")),
        ("a file, CRLF", backup(&bare).file("p", format!("{SPECIAL_PASSWORD}\r\n")).env("DATABASE_PASSWORD_FILE", "p")),
        ("PGPASSWORD", backup(&bare).env("PGPASSWORD", SPECIAL_PASSWORD)),
        ("PGPASSFILE", backup(&bare).file("pgpass", &line).env("PGPASSFILE", "pgpass")),
        ("PGPASSFILE, CRLF", backup(&bare).file("pgpass", line.replace('\n', "\r\n")).env("PGPASSFILE", "pgpass")),
        ("~/.pgpass", backup(&bare).file(".pgpass", &line)),
        (
            "the user apart",
            backup(&bare.replace(&format!("{role}@"), "")).env("PGUSER", &role).env("PGPASSWORD", SPECIAL_PASSWORD),
        ),
    ] {
        let run = if way == "a file with the URL" { run.arg("backup") } else { run };
        let finished = run.args(["--auth-grace", "0"]).output();
        assert!(finished.code == Some(0), "by {way}: {finished}");
        expect_end(&finished, 0, &["backup"]);
    }
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// TCP, IPv6, Unix sockets, `hostaddr` and several hosts are accepted.
#[test]
fn every_kind_of_address_is_supported() {
    let server = Postgres::shared();
    let (database, role) = owned_database(server, "addresses", PASSWORD);
    database.execute(&format!("create table t (a int); alter table t owner to {role}"));
    let (name, port, dead) = (database.name(), server.port(), free_port());
    let socket = server.socket_dir().display().to_string();
    let user = format!("{role}:{PASSWORD}");
    for address in [
        format!("postgres://{user}@127.0.0.1:{port}/{name}"),
        format!("postgresql+psycopg2://{user}@localhost:{port}/{name}"),
        format!("postgresql+asyncpg://{user}@[::1]:{port}/{name}"),
        format!("postgresql://{user}@/{name}?host={socket}&port={port}"),
        format!("postgresql://{user}@{}:{port}/{name}", encoded(&socket)),
        format!("postgresql://{user}@127.0.0.1:{dead},[::1]:{port}/{name}"),
        format!("postgresql://{user}@{},127.0.0.1:{port}/{name}", encoded("/no/such/directory")),
        format!("postgresql://{user}@/{name}?host=127.0.0.1:{dead}&host=127.0.0.1:{port}"),
        format!("postgresql://{user}@no-such-host.invalid:{port},127.0.0.1:{port}/{name}"),
        format!("postgresql://{user}@name-for-certificates:{port}/{name}?hostaddr=127.0.0.1"),
        format!("postgresql://{user}@127.0.0.1:{port}/{name}?options=-csearch_path%3Dpublic"),
    ] {
        let finished = backup(&address).args(["--wait-timeout", "30s"]).output();
        assert!(finished.code == Some(0), "{address}: {finished}");
        expect_end(&finished, 0, &["backup"]);
    }
    let by_variables = backup("postgresql://")
        .env("PGHOST", &socket)
        .env("PGPORT", port.to_string())
        .env("PGUSER", &role)
        .env("PGDATABASE", name)
        .env("PGPASSWORD", PASSWORD);
    expect_end(&by_variables.output(), 0, &["backup"]);
}

/// The message names the reason of each host.
#[test]
fn every_host_is_named_with_its_reason() {
    let (one, two) = (free_port(), free_port());
    let finished = upgrade(&format!("postgresql://u:{PASSWORD}@127.0.0.1:{one},[::1]:{two}/d"))
        .args(["--wait-timeout", "200ms"])
        .output();
    let refused = "Connection refused (os error 111)";
    expect_end(&finished, 69, &[&format!("127.0.0.1:{one}: {refused}; [::1]:{two}: {refused}")]);
}

/// Kubernetes adds variables for each service of the namespace, whatever its name.
#[test]
fn variables_of_other_programs_change_nothing() {
    let database = Postgres::shared().database("polluted");
    let mut run = upgrade(&database.url());
    for service in ["DB", "DATABASE", "DATABASE_URL", "LOCKKEEPER", "LOCKKEEPER_BACKUP", "PG", "POSTGRES"] {
        for (name, value) in [
            ("PORT", "tcp://10.0.0.1:5432"),
            ("PORT_5432_TCP", "tcp://10.0.0.1:5432"),
            ("PORT_5432_TCP_PROTO", "tcp"),
            ("PORT_5432_TCP_PORT", "5432"),
            ("PORT_5432_TCP_ADDR", "10.0.0.1"),
            ("SERVICE_HOST", "10.0.0.1"),
            ("SERVICE_PORT", "5432"),
            ("SERVICE_PORT_PG", "5432"),
        ] {
            run = run.env(&format!("{service}_{name}"), value);
        }
    }
    // Variables that are not UTF-8, by name or value; empty ones count as unset.
    let script = "export FOREIGN=\"$(printf '\\377')\"; \
                  exec env \"$(printf 'L\\377=x')\" LOCKKEEPER_TARGET= PGPORT= DATABASE_URL_FILE= \"$@\"";
    expect_end(&run.under(["sh", "-c", script, "sh"]).output(), 0, &["up to date at 0001"]);
    expect_upgraded(&database);
}

/// A URL that is refused is never printed: any part of it may be the password.
#[test]
fn invalid_urls_are_not_printed() {
    for (wrong, part) in [
        (format!("mysql://u:{PASSWORD}@h/d"), "unrecognized database URL"),
        (PASSWORD.to_owned(), "unrecognized database URL"),
        (format!("host=h password={PASSWORD}"), "unrecognized database URL"),
        (format!("postgresql://u:{PASSWORD}/x@h/d"), "an unencoded @ or #"),
        (format!("postgresql://u:{PASSWORD}@h:port/d"), "port"),
        (format!("postgresql://u:{PASSWORD}%zz@h/d"), "percent"),
        (format!("postgresql://u@h/d?{PASSWORD}=1"), "the query has a setting that is not known"),
        (format!("postgresql://u:{PASSWORD}@h/d?target_session_attrs=standby"), "needs a writable server"),
    ] {
        let finished = upgrade(&wrong).output();
        expect_end(&finished, 78, &["DATABASE_URL: ", part, "nothing was changed", "try: correct the setting"]);
        let finished = upgrade("sqlite:///x.db").args(["--url", &wrong]).output();
        expect_end(&finished, 64, &["--url: ", part]);
        let finished = Run::new().file("secret", &wrong).env("DATABASE_URL_FILE", "secret").output();
        expect_end(&finished, 78, &["DATABASE_URL_FILE: ", part]);
    }
}

#[test]
fn a_variable_and_its_file_cannot_both_be_set() {
    for name in ["DATABASE_URL", "DATABASE_PASSWORD", "LOCKKEEPER_DIRECT_URL"] {
        let (file, value) = (format!("{name}_FILE"), format!("postgresql://u:{PASSWORD}@127.0.0.1:1/d"));
        let run = Run::new().file("secret", &value).env(name, &value).env(&file, "secret");
        let both = format!("{name} and {file} are both set");
        expect_end(&run.output(), 78, &[&both, "set one of them"]);
    }
}

#[test]
fn a_secret_file_that_cannot_be_read_is_named_with_the_user() {
    let uid = rustix::process::geteuid();
    // Root can read every file.
    let (uid, prefix) = match uid.is_root() {
        true => ("54321".to_owned(), vec!["setpriv", "--reuid", "54321", "--clear-groups", "--"]),
        false => (uid.as_raw().to_string(), vec!["env"]),
    };
    for (name, url) in [("DATABASE_URL_FILE", ""), ("DATABASE_PASSWORD_FILE", "postgresql://u@127.0.0.1:1/d")] {
        for (file, reason) in [("locked", "Permission denied"), ("missing", "No such file")] {
            let run = Run::new().file("locked", PASSWORD).env(name, file).url(url).under(prefix.clone());
            let locked = run.dir().join("locked");
            fs::set_permissions(&locked, fs::Permissions::from_mode(0o000)).expect("chmod");
            let text = format!("{name}: {file} cannot be read by uid {uid}: {reason}");
            expect_end(&run.output(), 77, &[&text, "try: make the file readable"]);
        }
        let run = Run::new().file("empty", "\r\n").env(name, "empty").url(url);
        expect_end(&run.output(), 77, &[&format!("{name}: empty is empty"), "with the secret in it"]);
    }
}

#[test]
fn invalid_durations_are_refused_with_the_name_of_their_setting() {
    for setting in [
        "wait-timeout",
        "connect-timeout",
        "auth-grace",
        "lock-timeout",
        "ddl-lock-timeout",
        "statement-timeout",
        "deadline",
        "shutdown-grace",
        "backup-timeout",
    ] {
        let variable = format!("LOCKKEEPER_{}", setting.to_uppercase().replace('-', "_"));
        let run = upgrade("sqlite:///x.db");
        for wrong in ["soon", "-1s", "5 parsecs", "1e99"] {
            let finished = run.clone().env(&variable, wrong).output();
            expect_end(&finished, 78, &[&format!("{variable}: "), wrong, "try: correct the setting"]);
        }
        let finished = run.clone().arg(format!("--{setting}=soon")).env(&variable, "1s").output();
        expect_end(&finished, 64, &[&format!("--{setting}: "), "soon", "try: see lockkeeper --help"]);
        assert!(!run.dir().join("x.db").exists());
    }
}

#[test]
fn a_missing_privilege_is_named_with_its_grant() {
    let server = Postgres::shared();
    let role = unique("odd \"role\"");
    server.execute(&format!("create role {} login password '{PASSWORD}'", quoted(&role)));
    let grantee = quoted(&role);

    let database = server.database("no_create");
    let finished = upgrade(&database.url_as(&role, PASSWORD)).output();
    let grant = format!("hint: GRANT USAGE, CREATE ON SCHEMA \"public\" TO {grantee}");
    expect_end(&finished, 77, &["permission denied for schema \"public\"", &grant, "try: grant the privilege"]);
    expect_untouched(&database);
    database.execute(&grant["hint: ".len()..]);
    expect_end(&upgrade(&database.url_as(&role, PASSWORD)).output(), 0, &["up to date at 0001"]);
    expect_upgraded(&database);

    let database = server.database("no_select");
    expect_end(&upgrade(&database.url()).output(), 0, &["up to date at 0001"]);
    let finished = upgrade(&database.url_as(&role, PASSWORD)).output();
    let grant = format!("hint: GRANT SELECT ON \"public\".\"lockkeeper_history\" TO {grantee}");
    expect_end(&finished, 77, &["permission denied for table lockkeeper_history", &grant]);

    database.execute(&grant["hint: ".len()..]);
    expect_end(&upgrade(&database.url_as(&role, PASSWORD)).output(), 0, &["nothing pending"]);

    let database = server.database("No connect");
    let name = quoted(database.name());
    database.execute(&format!("revoke connect on database {name} from public"));
    let finished = upgrade(&database.url_as(&role, PASSWORD)).output();
    let grant = format!("hint: GRANT CONNECT ON DATABASE {name} TO {grantee}");
    expect_end(&finished, 77, &["permission denied for database", &grant, "after 1 attempt in"]);
    expect_untouched(&database);
}

/// A table of another application may have the name of ours.
#[test]
fn a_history_table_that_is_not_ours_is_named() {
    let database = Postgres::shared().database("foreign_history");
    database.execute("create table lockkeeper_history (revision text)");
    let finished = upgrade(&database.url()).output();
    let hint = "\"public\".\"lockkeeper_history\" is not a history of ours: set LOCKKEEPER_HISTORY_TABLE";
    expect_end(&finished, 78, &["column \"checksum\" does not exist", hint]);
    assert_eq!(database.value("select count(*) from lockkeeper_history"), "0");
}

/// Timeouts that are set for a role do not end the statements of a migration.
#[test]
fn timeouts_of_the_role_do_not_affect_a_migration() {
    let (database, role) = owned_database(Postgres::shared(), "hasty_role", PASSWORD);
    for setting in ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"] {
        database.execute(&format!("alter role {role} set {setting} = '150ms'"));
    }
    database.execute(&format!("alter role {role} set idle_session_timeout = '10s'"));
    let seen = "create table seen as select name, setting from pg_settings \
                where name ~ '_timeout$' and name ~ '^(statement|lock|idle|transaction)'; select pg_sleep(0.4);";
    let run = Run::new().url(&database.url_as(&role, PASSWORD)).migrations(&[("0001_slow.sql", seen)]);
    let run = run.env("LOCKKEEPER_DDL_LOCK_TIMEOUT", "7s");
    expect_end(&run.output(), 0, &["up to date at 0001"]);
    let remaining = database.rows("select name, setting from seen where setting <> '0'");
    assert_eq!(remaining, [["lock_timeout", "7000"]]);
    // A wait for the lock, or for pg_dump, is not ended either.
    let mut holder = database.session();
    holder.run("begin; lock table seen in access exclusive mode");
    let run = run.file("migrations/0002_more.sql", "drop table seen;");
    let running = run.spawn();
    let waits =
        "select count(*) > 0 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    crate::support::wait_until("pg_dump waits", Duration::from_secs(60), || database.value(waits) == "t");
    let age = "select max(clock_timestamp() - query_start) > '500ms' from pg_stat_activity \
               where datname = current_database() and wait_event_type = 'Lock'";
    crate::support::wait_until("it waits longer than the role may", Duration::from_secs(60), || {
        database.value(age) == "t"
    });
    holder.run("rollback");
    expect_end(&running.finish(), 0, &["up to date at 0002"]);
    assert_eq!(database.value("select to_regclass('seen') is null"), "t");
}

/// Unqualified names are created in the first schema of the role's search path.
#[test]
fn the_search_path_of_the_role_decides_where_tables_are_created() {
    let (database, role) = owned_database(Postgres::shared(), "own_schema", PASSWORD);
    database.execute(&format!("create schema app authorization {role}; alter role {role} set search_path = app"));
    let run = upgrade(&database.url_as(&role, PASSWORD));
    expect_end(&run.output(), 0, &["up to date at 0001"]);
    assert_eq!(database.value("select count(*) from app.a"), "0");
    assert_eq!(database.value("select count(*) from app.lockkeeper_history"), "1");
    expect_untouched(&database);
    expect_end(&run.output(), 0, &["nothing pending"]);

    let (database, role) = owned_database(Postgres::shared(), "no_schema", PASSWORD);
    database.execute(&format!("alter role {role} set search_path = nowhere"));
    let finished = upgrade(&database.url_as(&role, PASSWORD)).output();
    expect_end(&finished, 78, &["search path", "LOCKKEEPER_HISTORY_TABLE=schema.table"]);
    expect_untouched(&database);
}

/// The setting may be changed while the run waits, as a standby may be promoted.
#[test]
fn a_read_only_role_is_waited_for_and_named() {
    let (database, role) = owned_database(Postgres::shared(), "read_only", PASSWORD);
    database.execute(&format!("alter role {role} set default_transaction_read_only = on"));
    let run = upgrade(&database.url_as(&role, PASSWORD));
    let finished = run.clone().args(["--wait-timeout", "300ms"]).output();
    expect_end(&finished, 69, &["the session is read-only", "default_transaction_read_only on the role"]);
    expect_untouched(&database);
    let running = run.spawn();
    running.wait_for("the session is read-only");
    database.execute(&format!("alter role {role} reset default_transaction_read_only"));
    expect_end(&running.finish(), 0, &["up to date at 0001"]);
    expect_upgraded(&database);
}

/// An unknown setting in the URL is an error of the user's configuration and not a bug.
#[test]
fn options_that_the_server_refuses_are_a_configuration_error() {
    let database = Postgres::shared().database("options");
    for (options, refusal) in [
        ("-cno_such_setting%3D1", "unrecognized configuration parameter"),
        ("-cstatement_timeout%3Dsoon", "invalid value for parameter"),
        ("-crole%3Dnobody_at_all", "role \"nobody_at_all\" does not exist"),
        ("-x", "write them as -c name=value"),
    ] {
        let finished = upgrade(&format!("{}?options={options}", database.url())).output();
        expect_end(&finished, 78, &[refusal, "try: correct the setting"]);
    }
    expect_untouched(&database);
}
