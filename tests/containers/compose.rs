//! Tests of docker-compose.yml as it is: the first start, the next one, a release that fails, the SQLite profile.

use crate::project::Project;
use crate::support::TABLES;

#[track_caller]
fn expect_schema_in_log(log: &str) {
    let words: Vec<&str> = log.split_whitespace().collect();
    for table in TABLES {
        assert!(words.contains(&table), "{table} is not shown:\n{log}");
    }
}

#[test]
fn up_exits_with_0_every_time_and_leaves_the_schema_migrated_and_the_application_running() {
    for _ in 0..5 {
        let project = Project::new();
        project.up().expect_code(0);
        assert_eq!(project.state("migrate"), "exited 0");
        assert!(project.last_line("migrate").contains("up to date at 0005"), "{}", project.logs("migrate"));
        assert_eq!(project.state("backend"), "running 0");
        expect_schema_in_log(&project.logs("backend"));
        let password = project.compose(&["exec", "-T", "db", "cat", "/run/secrets/db_password"]).stdout;

        project.up().expect_code(0);
        assert_eq!(project.state("migrate"), "exited 0");
        assert!(project.last_line("migrate").contains("nothing pending"), "{}", project.logs("migrate"));
        let again = project.compose(&["exec", "-T", "db", "cat", "/run/secrets/db_password"]).stdout;
        assert!(password.len() == 48 && again == password, "{password:?} {again:?}");
    }
}

#[test]
fn the_data_survive_down_and_are_removed_with_the_volumes() {
    let project = Project::new();
    project.up().expect_code(0);
    project.compose(&["down"]).expect_code(0);
    project.up().expect_code(0);
    assert!(project.last_line("migrate").contains("nothing pending"), "{}", project.logs("migrate"));
    project.compose(&["down", "--volumes"]).expect_code(0);
    project.up().expect_code(0);
    assert!(project.last_line("migrate").contains("up to date at 0005"), "{}", project.logs("migrate"));
}

#[test]
fn a_failing_migration_prevents_the_application_from_starting_until_it_is_fixed() {
    let project = Project::new().with_own_migrations();
    project.write("release/postgres/0006_add_teams.up.sql", "CREATE TABLE teams (id int);\nSELECT 1 / 0;\n");
    let failed = project.up();
    assert_ne!(failed.code, 0, "{failed}");
    failed.says("exit 80");
    assert_eq!(project.state("migrate"), "exited 80");
    assert_eq!(project.state("backend"), "created 0");
    project.compose(&["logs", "migrate"]).expect_code(0).says("code=80");
    let last = project.last_line("migrate");
    for text in ["0006_add_teams.up.sql:2", "division by zero", "code=80"] {
        assert!(last.contains(text), "{last}");
    }
    assert_eq!(project.value("select to_regclass('teams') is null"), "t");

    project.write("release/postgres/0006_add_teams.up.sql", "CREATE TABLE teams (id int);\n");
    project.up().expect_code(0);
    assert!(project.last_line("migrate").contains("up to date at 0006"), "{}", project.logs("migrate"));
    assert_eq!(project.state("backend"), "running 0");
    assert!(project.logs("backend").contains("teams"), "{}", project.logs("backend"));
}

#[test]
fn the_next_release_backs_up_into_the_volume_before_it_migrates() {
    let project = Project::new().with_own_migrations();
    project.up().expect_code(0);
    project.value("insert into agents (name, domain, version) values ('keeper', 'locks', '1')");
    project.write("release/postgres/0006_add_teams.up.sql", "CREATE TABLE teams (id int);\n");
    project.up().expect_code(0);
    assert!(project.last_line("migrate").contains("up to date at 0006"), "{}", project.logs("migrate"));

    let listed = project.run(&[], &["backups", "--json"]);
    let backups: serde_json::Value = serde_json::from_str(&listed.expect_code(0).stdout).expect("JSON");
    let backups = backups.as_array().expect("a list");
    assert_eq!(backups.len(), 1, "{listed}");
    assert_eq!(backups[0]["verified"], true, "{listed}");
    assert_eq!(backups[0]["manifest"]["to_revision"], "0006", "{listed}");
    assert_eq!(backups[0]["manifest"]["rows"]["public.agents"], 1, "{listed}");
}

#[test]
fn a_failing_release_does_not_affect_the_running_application() {
    let project = Project::new().with_own_migrations();
    project.up().expect_code(0);
    let started = project.inspect("backend", "{{.Id}} {{.State.StartedAt}}");
    project.write("release/postgres/0006_add_teams.up.sql", "SELECT 1 / 0;\n");
    let failed = project.up();
    assert_ne!(failed.code, 0, "{failed}");
    failed.says("exit 80");
    assert_eq!(project.inspect("backend", "{{.Id}} {{.State.StartedAt}}"), started);
}

#[test]
fn the_sqlite_profile_needs_no_server() {
    let project = Project::new();
    for says in ["up to date at 0005", "nothing pending"] {
        project.compose(&["up", "--wait", "backend-sqlite"]).expect_code(0);
        assert_eq!(project.state("migrate-sqlite"), "exited 0");
        assert!(project.last_line("migrate-sqlite").contains(says), "{}", project.logs("migrate-sqlite"));
        expect_schema_in_log(&project.logs("backend-sqlite"));
    }
    assert_eq!(project.containers("db"), [""; 0]);
}

#[test]
fn our_containers_run_restricted() {
    let project = Project::new();
    project.compose(&["--profile", "sqlite", "create"]).expect_code(0);
    for service in ["password", "migrate", "backend", "migrate-sqlite", "backend-sqlite"] {
        let template = "{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} {{.HostConfig.SecurityOpt}}";
        assert_eq!(project.inspect(service, template), "true [ALL] [no-new-privileges:true]", "{service}");
        assert_eq!(
            project.inspect(service, "{{.HostConfig.RestartPolicy.Name}}"),
            match service {
                "backend" | "backend-sqlite" => "unless-stopped",
                _ => "no",
            }
        );
    }
    // Every volume has a name: an anonymous volume stays behind after `down`.
    for service in ["password", "db", "migrate", "backend", "migrate-sqlite", "backend-sqlite"] {
        let volumes = project.inspect(service, "{{range .Mounts}}{{if eq .Type \"volume\"}}{{.Name}} {{end}}{{end}}");
        assert!(volumes.split_whitespace().all(|name| name.contains('_')), "{service}: {volumes}");
    }
}

#[test]
fn the_stop_grace_period_is_longer_than_a_rollback_takes() {
    let project = Project::new();
    project.compose(&["create"]).expect_code(0);
    let kill: u32 = project.inspect("migrate", "{{.Config.StopTimeout}}").parse().expect("seconds");
    let environment = project.inspect("migrate", "{{range .Config.Env}}{{println .}}{{end}}");
    let grace = environment.lines().find_map(|line| line.strip_prefix("LOCKKEEPER_SHUTDOWN_GRACE="));
    let grace = grace.and_then(|time| time.strip_suffix('s')?.parse::<u32>().ok()).expect("seconds");
    assert!(grace < kill, "{grace} {kill}");
}
