//! Tests of the images: their content, their user, and a migration in each of them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use crate::engine::{Database, EXAMPLE, Finished, MINIMAL, PASSWORD, TOOLS, Volume, client_output, docker, run_client};
use crate::support::temporary_directory;
use crate::support::tls::Authority;

/// The option that selects the example's SQLite file.
const ON_SQLITE: &str = "--env=DATABASE_URL=sqlite:////data/devops_hub.db";
/// The options of Kubernetes' Pod Security `restricted`, with a user that has no entry in any file.
const RESTRICTED: [&str; 7] = [
    "--read-only",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--user=187654",
    "--pids-limit=64",
    "--memory=128m",
    "--ipc=none",
];

/// Returns the files and directories of an image, without those that the engine puts into each container.
fn content(image: &str) -> Vec<String> {
    const ENGINE: [&str; 9] = [
        ".dockerenv",
        "dev/",
        "dev/console",
        "dev/pts/",
        "dev/shm/",
        "etc/hostname",
        "etc/hosts",
        "etc/mtab",
        "etc/resolv.conf",
    ];
    let id = client_output(&["create", image]);
    let mut export = docker().args(["export", &id]).stdout(Stdio::piped()).spawn().expect("docker");
    let list = Command::new("tar").arg("-t").stdin(export.stdout.take().expect("piped")).output().expect("tar");
    export.wait().expect("docker export");
    client_output(&["rm", &id]);
    let list = String::from_utf8(list.stdout).expect("UTF-8");
    let is_from_image = |name: &&str| !ENGINE.contains(name) && !["proc/", "sys/"].contains(name);
    list.lines().filter(is_from_image).map(str::to_owned).collect()
}

#[test]
fn minimal_contains_only_the_binary_and_the_certificates() {
    let files: Vec<String> = content(MINIMAL).into_iter().filter(|name| !name.ends_with('/')).collect();
    assert_eq!(files, ["etc/ssl/certs/ca-certificates.crt", "usr/local/bin/lockkeeper"]);
}

#[test]
fn the_tools_come_with_their_libraries_and_without_an_interpreter() {
    let minimal = content(MINIMAL);
    let added: Vec<String> = content(TOOLS).into_iter().filter(|name| !minimal.contains(name)).collect();
    let expected = |name: &String| {
        let file = name.rsplit('/').next().unwrap_or_default();
        ["", "pg_dump", "pg_restore"].contains(&file) || file.starts_with("lib") || file.starts_with("ld-linux")
    };
    let others: Vec<&String> = added.iter().filter(|name| !expected(name)).collect();
    assert!(others.is_empty(), "{others:?}");
    for wanted in ["backups/", "data/", "tmp/"] {
        assert!(added.iter().any(|name| name == wanted), "{wanted} is not in {added:?}");
    }
    assert!(!added.iter().any(|name| name.starts_with("migrations")), "{added:?}");
}

#[test]
fn the_tools_are_those_of_the_chosen_release_of_postgresql() {
    let dockerfile = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Dockerfile")).expect("the Dockerfile");
    let major = dockerfile.lines().find_map(|line| line.strip_prefix("ARG POSTGRES=")).expect("a default");
    for tool in ["pg_dump", "pg_restore"] {
        let path = format!("/usr/lib/postgresql/{major}/bin/{tool}");
        let output = client_output(&["run", "--rm", "--network", "none", "--entrypoint", &path, TOOLS, "--version"]);
        assert!(output.starts_with(&format!("{tool} (PostgreSQL) {major}.")), "{output}");
    }
}

#[test]
fn every_image_has_labels_and_a_numeric_user() {
    for image in [MINIMAL, TOOLS, EXAMPLE] {
        let fact = |template: &str| client_output(&["image", "inspect", "--format", template, image]);
        assert_eq!(fact("{{.Config.User}}"), "65532:65532");
        assert_eq!(fact("{{json .Config.Entrypoint}} {{json .Config.Cmd}}"), r#"["/usr/local/bin/lockkeeper"] null"#);
        assert_eq!(fact("{{len .Config.Env}}"), "1", "PATH alone: {}", fact("{{json .Config.Env}}"));
        assert_eq!(fact(r#"{{index .Config.Labels "org.opencontainers.image.version"}}"#), env!("CARGO_PKG_VERSION"));
        assert_eq!(fact(r#"{{index .Config.Labels "org.opencontainers.image.licenses"}}"#), "MIT");
        assert_eq!(
            client_output(&["run", "--rm", "--network=none", image, "--version"]),
            concat!("lockkeeper ", env!("CARGO_PKG_VERSION"))
        );
    }
}

#[test]
fn an_image_without_migrations_names_the_directory() {
    for image in [MINIMAL, TOOLS] {
        run_client(&["run", "--rm", "--network=none", ON_SQLITE, image])
            .expect_code(66)
            .says("/migrations")
            .says("nothing was changed");
    }
}

#[test]
fn migrating_needs_nothing_but_the_volumes() {
    let database = Database::new();
    // The database is not empty: a backup has to be taken.
    database.value("CREATE TABLE before (a int)");
    let backups = Volume::new();
    let mount = format!("--volume={}:/backups", backups.0);
    let restricted: Vec<&str> = RESTRICTED.into_iter().chain([mount.as_str()]).collect();
    database.run(&restricted, EXAMPLE, &[]).expect_code(0).says("backup taken and verified").says("up to date at 0005");
    database.run(&restricted, EXAMPLE, &[]).expect_code(0).says("nothing pending");
    database.run(&restricted, EXAMPLE, &["backups"]).expect_code(0).says("verified");
    database.run(&restricted, EXAMPLE, &["downgrade", "0003"]).expect_code(0);
    assert_eq!(database.value("select count(*) from lockkeeper_history"), "3");
}

#[test]
fn a_backup_that_is_deleted_with_its_container_is_warned_about() {
    const WARNING: &str = "/backups is in the container's own layer and goes with it: mount a volume there";
    let database = Database::new();
    database.value("CREATE TABLE before (a int)");
    database.run(&[], EXAMPLE, &["backup"]).expect_code(0).says(WARNING);
    let backups = Volume::new();
    let mount = format!("--volume={}:/backups", backups.0);
    database.run(&[&mount], EXAMPLE, &["backup"]).expect_code(0).does_not_say(WARNING);
    // A person who lists it as another user is not told that it is unverified.
    database
        .run(&[&mount, "--user=187654"], EXAMPLE, &["backups"])
        .expect_code(0)
        .says("uid 187654 may not read its manifest");
    let read_only = database.run(&["--read-only"], EXAMPLE, &["backup"]);
    read_only.expect_code(73).says("in a container, mount a volume there");
}

#[test]
fn migrating_sqlite_needs_nothing_but_the_volume() {
    let data = Volume::new();
    let mount = format!("--volume={}:/data", data.0);
    let run = |arguments: &[&str]| {
        let mut all = vec!["run", "--rm", "--network=none", &mount];
        all.extend(RESTRICTED);
        all.push(ON_SQLITE);
        all.push(EXAMPLE);
        all.extend(arguments);
        run_client(&all)
    };
    run(&[]).expect_code(0).says("up to date at 0005");
    run(&[]).expect_code(0).says("nothing pending");
    run(&["downgrade", "0004"]).expect_code(0).says("backup taken and verified: /data/backups/");
}

#[test]
fn the_minimal_image_migrates_sqlite_and_asks_for_pg_dump_on_postgresql() {
    let migrations = format!("--volume={}/migrations:/migrations:ro", env!("CARGO_MANIFEST_DIR"));
    let mut sqlite = vec!["run", "--rm", "--network=none", "--tmpfs=/data:mode=1777", &migrations];
    sqlite.push(ON_SQLITE);
    sqlite.extend(RESTRICTED);
    sqlite.push(MINIMAL);
    run_client(&sqlite).expect_code(0).says("up to date at 0005");

    let database = Database::new();
    database.value("CREATE TABLE before (a int)");
    let restricted: Vec<&str> =
        RESTRICTED.into_iter().chain([migrations.as_str(), "--tmpfs=/backups:mode=1777"]).collect();
    database.run(&restricted, MINIMAL, &[]).expect_code(84).says("pg_dump").says("nothing was changed");
    let waived: Vec<&str> = restricted.into_iter().chain(["--env=LOCKKEEPER_BACKUP=off"]).collect();
    database.run(&waived, MINIMAL, &[]).expect_code(0).says("up to date at 0005");
}

#[test]
fn the_tools_open_object_stores_and_are_not_much_larger() {
    let bucket = "--env=LOCKKEEPER_BACKUP_DIR=s3://bucket/prefix";
    let login =
        ["--env=AWS_ACCESS_KEY_ID=a", "--env=AWS_SECRET_ACCESS_KEY=b", "--env=AWS_ENDPOINT_URL=http://127.0.0.1:9"];
    let mut list = vec!["run", "--rm", "--network=none", bucket, ON_SQLITE];
    list.extend(login);
    list.extend(RESTRICTED);
    list.extend([TOOLS, "backups"]);
    run_client(&list).expect_code(73).says("s3://bucket/prefix cannot be listed");
    let id = client_output(&["create", TOOLS]);
    let directory = temporary_directory("tools");
    let to = directory.path().join("lockkeeper");
    client_output(&["cp", &format!("{id}:/usr/local/bin/lockkeeper"), to.to_str().expect("a plain path")]);
    client_output(&["rm", &id]);
    let bytes = fs::metadata(&to).expect("metadata").len();
    assert!(bytes < 14 * 1024 * 1024, "{bytes} bytes");
}

/// Starts a server with a certificate for these names; returns it and the directory with the authority's certificate.
pub fn server_with_tls(names: &str) -> (Database, tempfile::TempDir) {
    let authority = Authority::new();
    let certificate = authority.issue(names, "20200101000000Z", "20491231235959Z");
    let directory = temporary_directory("tls");
    for (from, to) in
        [(&certificate.certificate, "server.crt"), (&certificate.key, "server.key"), (&authority.root(), "ca.crt")]
    {
        fs::copy(from, directory.path().join(to)).expect("a copy");
        fs::set_permissions(directory.path().join(to), fs::Permissions::from_mode(0o644)).expect("chmod");
    }
    // Sourced by the entrypoint before the server listens; the key must belong to the server's user.
    let script = "cp /tls/server.crt /tls/server.key $PGDATA && chmod 600 $PGDATA/server.key && echo ssl=on >>$PGDATA/postgresql.conf \
        && sed -i '/^host /d' $PGDATA/pg_hba.conf && echo hostssl all all all scram-sha-256 >>$PGDATA/pg_hba.conf\n";
    fs::write(directory.path().join("tls.sh"), script).expect("the script");
    let path = directory.path().display();
    let mounts =
        [format!("--volume={path}:/tls:ro"), format!("--volume={path}/tls.sh:/docker-entrypoint-initdb.d/tls.sh:ro")];
    let database = Database::start(&[&mounts[0], &mounts[1], "--network-alias=other"], &[]);
    (database, directory)
}

#[test]
fn tls_is_verified_by_host_name_also_by_pg_dump() {
    let (database, directory) = server_with_tls("DNS:db");
    let authority = format!("--volume={}/ca.crt:/etc/database/ca.crt:ro", directory.path().display());
    let backups = Volume::new();
    let mount = format!("--volume={}:/backups", backups.0);
    let run = |host: &str, arguments: &[&str]| -> Finished {
        let url = format!(
            "--env=DATABASE_URL=postgresql://devops_hub@{host}/devops_hub?sslmode=verify-full&sslrootcert=/etc/database/ca.crt"
        );
        let restricted: Vec<&str> = RESTRICTED.into_iter().chain([authority.as_str(), &mount, &url]).collect();
        database.run(&restricted, EXAMPLE, arguments)
    };
    run("db", &["upgrade", "0001"]).expect_code(0);
    run("db", &[]).expect_code(0).says("backup taken and verified");
    run("other", &["current"]).expect_code(76).says("other").does_not_say(PASSWORD);
}

#[test]
fn no_argument_list_in_the_container_contains_the_password_during_a_backup() {
    let database = Database::new();
    database.value("CREATE TABLE before (a int)");
    // pg_dump waits for this lock.
    database.session("BEGIN; LOCK before; SELECT pg_sleep(600)");
    database.wait_for("select count(*) > 0 from pg_locks where mode = 'AccessExclusiveLock' and granted");
    let run = database.spawn(&[], EXAMPLE, &[]);
    database.wait_for("select count(*) > 0 from pg_stat_activity where application_name = 'lockkeeper pg_dump'");
    let top = client_output(&["top", &run.name, "-eo", "pid,args"]);
    assert!(top.contains("pg_dump"), "{top}");
    assert!(!top.contains(PASSWORD), "{top}");
}

/// pg_restore 18 sends a setting that came with 17 to a server of version 16.
#[test]
fn tools_that_are_newer_than_the_server_restore_what_they_saved() {
    let database = Database::new();
    database.value("CREATE TABLE before AS SELECT generate_series(1, 1000) AS a");
    let backups = Volume::new();
    let mount = format!("--volume={}:/backups", backups.0);
    database.run(&[&mount, "--env=LOCKKEEPER_REHEARSE=true"], EXAMPLE, &[]).expect_code(0).says("up to date at 0005");
    database.run(&[&mount], EXAMPLE, &["backup"]).expect_code(0);
    let listed = database.run(&[&mount], EXAMPLE, &["backups", "--json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed.expect_code(0).stdout).expect("JSON");
    let [before, after] = [0, 1].map(|at| listed[at]["file"].as_str().expect("a file"));

    database.value("DELETE FROM before");
    database.run(&[&mount], EXAMPLE, &["restore", after, "--in-place", "--yes"]).expect_code(0);
    assert_eq!(database.value("select count(*) from before"), "1000");
    database.value("DELETE FROM before");
    database.run(&[&mount], EXAMPLE, &["restore", before, "--yes"]).expect_code(0);
    assert_eq!(database.value("select count(*) from before"), "1000");
    assert_eq!(database.value("select to_regclass('lockkeeper_history') is null"), "t");
}
