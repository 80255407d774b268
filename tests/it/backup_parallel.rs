//! Tests of backups that are directories, which several sessions write: they are complete and verified, or there is none.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use crate::backup::{
    NEXT, backups, expect_unchanged, last_line, manifest, manifest_path, mode, names, only, script, with_data,
};
use crate::support::binary::Run;
use crate::support::kill::Kills;
use crate::support::postgres::{PASSWORD, Postgres, Setup};
use crate::support::process::postgres_program;
use crate::support::unique;

/// Returns a run that takes its backups with two jobs.
pub fn parallel(run: Run) -> Run {
    run.env("LOCKKEEPER_BACKUP_JOBS", "2")
}

/// Installs a pg_dump that runs these lines of a script after the real one. `$dir` is the directory of the backup.
fn with_tool(run: &Run, after: &str) -> Run {
    let tool = run.dir().join("tool");
    let pg_dump = postgres_program("pg_dump").display().to_string();
    let text = format!(
        "[ \"$1\" = --version ] && exec {pg_dump} --version\n{pg_dump} \"$@\" || exit\ndir=/proc/$$/fd/0\n\
         table=$(ls $dir | grep dat.gz | head -1)\n{after}\nexit 0"
    );
    script(&tool, &text);
    run.clone().env("LOCKKEEPER_PG_DUMP", tool.display().to_string())
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The directory has its own files and no others, and the manifest vouches for each of them.
#[test]
fn a_directory_has_a_manifest_with_every_file_and_is_private() {
    let (database, run) = with_data("parallel_manifest");
    database.execute("create table empty (id int); select lo_from_bytea(4242, 'large');");
    parallel(run.clone()).output().expect_code(0);
    let backup = only(&run.dir().join("backups"));
    let name = backup.file_name().expect("a name").to_string_lossy().into_owned();
    assert!(name.ends_with("-from-unversioned.dumpdir"), "{name}");
    assert_eq!(names(&run.dir().join("backups")), [name.clone(), format!("{name}.json")]);
    assert_eq!(database.value("select backup from lockkeeper_history"), name);
    let manifest = manifest(&backup);
    assert_eq!((manifest["format"].as_str(), manifest["file"].as_str()), (Some("directory"), Some(&*name)));
    let files = manifest["files"].as_array().expect("files");
    let (mut lines, mut bytes, mut listed) = (String::new(), 0, Vec::new());
    for file in files {
        let name = file["name"].as_str().expect("a name").to_owned();
        let content = fs::read(backup.join(&name)).expect("a file");
        assert_eq!(file["bytes"].as_u64(), Some(content.len() as u64));
        assert_eq!(file["sha256"].as_str(), Some(&*sha256(&content)));
        assert_eq!(mode(&backup.join(&name)), 0o600);
        lines.push_str(&format!("{}  {name}\n", sha256(&content)));
        bytes += content.len() as u64;
        listed.push(name);
    }
    assert_eq!(listed, names(&backup));
    assert!(listed.contains(&"blob_4242.dat.gz".into()) && listed.contains(&"toc.dat".into()), "{listed:?}");
    assert_eq!(manifest["sha256"].as_str(), Some(&*sha256(lines.as_bytes())));
    assert_eq!(manifest["bytes"].as_u64(), Some(bytes));
    assert_eq!((mode(&backup), mode(&manifest_path(&backup))), (0o700, 0o600));
    run.clone().arg("backups").output().expect_code(0).does_not_say("unverified");
}

/// A large database is backed up into a directory, a small one into a file, unless the number of jobs is set.
#[test]
fn the_size_decides_unless_the_number_of_jobs_is_set() {
    let (database, run) = with_data("parallel_size");
    let arguments = run.dir().join("arguments");
    let tool = run.dir().join("tool");
    let pg_dump = postgres_program("pg_dump").display().to_string();
    script(&tool, &format!("echo \"$@\" >>'{}'\nexec {pg_dump} \"$@\"", arguments.display()));
    let run = run.env("LOCKKEEPER_PG_DUMP", tool.display().to_string()).arg("backup");
    let take = |run: &Run, form: &str| {
        let _ = fs::remove_file(&arguments);
        let finished = run.output();
        assert!(last_line(finished.expect_code(0)).contains(form), "{finished}");
        let arguments = fs::read_to_string(&arguments).expect("it has run");
        arguments.lines().last().expect("a dump").to_owned()
    };
    assert!(take(&run, ".dump ").contains("--format=custom"));
    assert!(take(&parallel(run.clone()), ".dumpdir ").contains("--jobs=2 "));
    database.execute("create table large as select repeat(md5(i::text), 30) from generate_series(1, 75000) i");
    let default = take(&run, ".dumpdir ");
    assert!(default.contains("--compress=1 ") && default.contains("--jobs="), "{default}");
    // Three of the four connections are the run's own and the one that leads the jobs.
    let pool = run.clone().env("DATABASE_POOL_SIZE", "3").env("DATABASE_MAX_OVERFLOW", "1");
    assert!(take(&pool, ".dumpdir ").contains("--jobs=1 "));
    assert!(take(&run.clone().env("LOCKKEEPER_BACKUP_JOBS", "1"), ".dump ").contains("--format=custom"));
}

#[test]
fn the_compression_can_be_chosen() {
    let (_database, run) = with_data("parallel_compress");
    let run = parallel(run).arg("backup");
    let compress = |value: &str| run.clone().env("LOCKKEEPER_BACKUP_COMPRESS", value);
    for (value, suffix) in [("none", ".dat"), ("gzip", ".dat.gz"), ("gzip:9", ".dat.gz")] {
        let before = backups(&run.dir().join("backups"));
        compress(value).output().expect_code(0);
        let after = backups(&run.dir().join("backups"));
        let new = after.iter().find(|backup| !before.contains(backup)).expect("a new backup");
        let files = names(new);
        let table = files.iter().find(|name| *name != "toc.dat").expect("a table");
        assert!(table.ends_with(suffix), "{value}: {files:?}");
    }
    for bad in ["lz4", "zstd:23", "gzip:0", "none:1"] {
        compress(bad).output().expect_code(78).says("LOCKKEEPER_BACKUP_COMPRESS").says("zstd, zstd:1 to zstd:22");
    }
    run.clone().arg("--backup-compress=best").output().expect_code(64).says("--backup-compress");
    run.clone().env("LOCKKEEPER_BACKUP_JOBS", "0").output().expect_code(78).says("LOCKKEEPER_BACKUP_JOBS");
    run.clone().arg("--backup-jobs=many").output().expect_code(64).says("--backup-jobs");
    let tool = run.dir().join("old");
    let pg_dump = postgres_program("pg_dump").display().to_string();
    script(
        &tool,
        &format!("[ \"$1\" = --version ] && echo 'pg_dump (PostgreSQL) 15.1' && exit\nexec {pg_dump} \"$@\""),
    );
    let old = compress("zstd:3").env("LOCKKEEPER_PG_DUMP", tool.display().to_string()).output();
    old.expect_code(84).says("is version 15, older than the 16 that the compression with zstd needs");
}

/// A pg_dump that was built without zstd says so before it does anything.
#[test]
fn a_pg_dump_without_zstd_is_asked_for_gzip() {
    let (_database, run) = with_data("parallel_zstd");
    let (tool, restore) = (run.dir().join("pg_dump"), run.dir().join("pg_restore"));
    let program = |name: &str| postgres_program(name).display().to_string();
    let version = "[ \"$1\" = --version ] && echo 'pg_dump (PostgreSQL) 16.1' && exit";
    script(
        &tool,
        &format!(
            "{version}\ncase \"$*\" in *zstd*) echo 'pg_dump: error: invalid compression specification: this build does not support compression with zstd' >&2; exit 1;; esac\nexec {} \"$@\"",
            program("pg_dump")
        ),
    );
    script(&restore, &format!("{version}\nexec {} \"$@\"", program("pg_restore")));
    let run = parallel(run).env("LOCKKEEPER_PG_DUMP", tool.display().to_string());
    run.output().expect_code(0).says("was built without zstd: the backup is compressed with gzip");
    let files = names(&only(&run.dir().join("backups")));
    assert!(files.iter().any(|name| name.ends_with(".dat.gz")), "{files:?}");
}

/// Whatever pg_dump has left out, added or damaged, the run ends before anything is changed.
#[test]
fn a_directory_that_is_not_complete_is_no_backup() {
    let (database, run) = with_data("parallel_damaged");
    database.execute(
        "insert into kept select i, md5(i::text) from generate_series(2, 3000) i; select lo_from_bytea(4242, 'large');",
    );
    let run = parallel(run);
    let tables: &[(&str, &str)] = &[
        (
            "gzip -dc $dir/$table | sed 7d | gzip >x; cat x >$dir/$table",
            "table public.kept has 2999 rows instead of 3000",
        ),
        ("gzip -dc $dir/$table | head -n 9 | gzip >x; cat x >$dir/$table", "ends within the rows of the table"),
        ("rm $dir/$table", "of its table of contents is missing"),
        ("truncate -s -9 $dir/$table", "dat.gz: "),
        ("echo more >>$dir/$table", "something follows the compressed content"),
        ("printf X | dd of=$dir/$table bs=1 seek=500 conv=notrunc 2>/dev/null", "dat.gz: "),
        ("cp $dir/$table $dir/9.dat.gz", "the file 9.dat.gz is not in its table of contents"),
        ("echo hello >$dir/README", "README: pg_dump writes no file of this name"),
        ("mkdir $dir/more", "it is a directory, not a regular file"),
        ("mv $dir/$table x; ln -s $PWD/x $dir/$table", "it is a symbolic link, which is not followed here"),
        ("rm $dir/blob_4242.dat.gz", "the file blob_4242.dat is missing"),
        ("cp $dir/blob_4242.dat.gz $dir/blob_1.dat.gz", "the file blob_1.dat is in no list of large objects"),
        ("rm $dir/blobs.toc", "0 lists of large objects instead of 1"),
        ("rm $dir/toc.dat", "pg_restore"),
        ("truncate -s 100 $dir/toc.dat", "pg_restore"),
    ];
    for (damage, words) in tables {
        let finished = with_tool(&run, damage).output();
        finished.expect_code(85).says("cannot be read back");
        assert!(last_line(&finished).contains(words), "{damage}: no {words:?} in {finished}");
        expect_unchanged(&database, &finished);
        assert_eq!(names(&run.dir().join("backups")), [""; 0], "{damage}: {finished}");
    }
    let finished = with_tool(&run, "rm $dir/*").output();
    finished.expect_code(84).says("ended well but has written nothing");
    with_tool(&run, "").output().expect_code(0);
}

/// A user who can write to the backup directory puts something else in the place of the new directory.
#[test]
fn pg_dump_does_not_write_into_a_directory_that_somebody_else_has_put_there() {
    let (database, run) = with_data("parallel_link");
    let run = parallel(run);
    let pg_dump = postgres_program("pg_dump").display().to_string();
    let victim = run.dir().join("victim");
    for replace in ["ln -s '{victim}' \"$file\"", "mkdir \"$file\"", "echo file >\"$file\""] {
        let _ = fs::remove_dir_all(&victim);
        fs::create_dir(&victim).expect("a directory");
        fs::write(victim.join("mine"), "mine").expect("a file");
        let replace = replace.replace("{victim}", &victim.display().to_string());
        let tool = run.dir().join("tool");
        let text = format!(
            "[ \"$1\" = --version ] && exec {pg_dump} --version\nfor file in '{}'/*.dumpdir.partial; do mv \"$file\" '{}'; {replace}; done\nexec {pg_dump} \"$@\"",
            run.dir().join("backups").display(),
            run.dir().join(unique("moved")).display(),
        );
        script(&tool, &text);
        let finished = run.clone().env("LOCKKEEPER_PG_DUMP", tool.display().to_string()).output();
        assert_eq!(names(&victim), ["mine"], "{replace}: {finished}");
        finished.expect_code(85).says("was replaced by another file");
        expect_unchanged(&database, &finished);
        assert_eq!(names(&run.dir().join("backups")), [""; 0], "{replace}: {finished}");
    }
}

/// What killed runs have left is removed, and no link in it is followed.
#[test]
fn leftovers_of_directories_are_removed_and_links_in_them_are_not_followed() {
    let (database, run) = with_data("parallel_leftovers");
    let run = parallel(run).arg("backup");
    let directory = run.dir().join("backups");
    let victim = run.dir().join("victim");
    fs::create_dir_all(victim.join("inner")).expect("a directory");
    fs::write(victim.join("mine"), "mine").expect("a file");
    let stem = |time: &str| directory.join(format!("{}-{time}-from-unversioned.dumpdir", database.name()));
    let partial = |time: &str| PathBuf::from(format!("{}.partial", stem(time).display()));
    // One that was being written, one that was being deleted, and a link in the place of one.
    for time in ["20200101T000000Z", "20200102T000000Z"] {
        fs::create_dir_all(partial(time)).expect("a directory");
        fs::write(partial(time).join("toc.dat"), "x").expect("a file");
        symlink(&victim, partial(time).join("link")).expect("a link");
        symlink(victim.join("mine"), partial(time).join("7.dat")).expect("a link");
    }
    fs::write(manifest_path(&stem("20200102T000000Z")), "{}").expect("a file");
    symlink(&victim, partial("20200103T000000Z")).expect("a link");
    run.output().expect_code(0).says("removed what a stopped run left: ");
    assert_eq!(names(&victim), ["inner", "mine"]);
    let backup = only(&directory);
    assert_eq!(names(&directory).len(), 2, "{:?}", names(&directory));
    assert!(backup.is_dir());
}

/// Old directories are deleted, and only those that are verified.
#[test]
fn retention_deletes_whole_directories() {
    let (_database, run) = with_data("parallel_retention");
    let run = parallel(run).env("LOCKKEEPER_BACKUP_KEEP", "2").arg("backup");
    let directory = run.dir().join("backups");
    let mut taken: Vec<PathBuf> = Vec::new();
    for _ in 0..4 {
        run.output().expect_code(0);
        let new = backups(&directory).into_iter().find(|backup| !taken.contains(backup)).expect("a new backup");
        let mut changed = manifest(&new);
        changed["verified_at"] = format!("2001-01-01T00:00:0{}Z", taken.len()).into();
        fs::write(manifest_path(&new), changed.to_string()).expect("write");
        taken.push(new);
        if taken.len() == 1 {
            // A file is missing, so it is not verified, and is never deleted.
            fs::remove_file(taken[0].join("toc.dat")).expect("a file");
        }
    }
    assert_eq!(backups(&directory).len(), 3, "{:?}", names(&directory));
    assert!(taken[0].exists() && !taken[1].exists() && !manifest_path(&taken[1]).exists());
    assert!(names(&directory).iter().all(|name| !name.ends_with(".partial")));
}

/// A run that is killed at any moment leaves no directory under a final name that is not verified.
#[test]
fn killed_runs_leave_no_unverified_directory() {
    let mut kills = Kills::new(8);
    let (database, run) = with_data("parallel_killed");
    database.execute("insert into kept select i, repeat(md5(i::text), 20) from generate_series(2, 20000) i");
    database.execute("create table other as select * from kept");
    let run = parallel(run).env("LOCKKEEPER_BACKUP_KEEP", "2").arg("backup");
    let undisturbed = run.output();
    undisturbed.expect_code(0);
    let directory = run.dir().join("backups");
    while kills.has_moments_left() {
        kills.converge(&run, undisturbed.elapsed);
        for backup in backups(&directory) {
            let files = manifest(&backup)["files"].as_array().expect("files").len();
            assert_eq!(files, names(&backup).len(), "{kills}");
        }
        let left: Vec<String> = names(&directory).into_iter().filter(|name| name.ends_with(".partial")).collect();
        assert_eq!(left, [""; 0], "{kills}");
    }
}

/// Jobs are as many as the server has connections for.
#[test]
fn fewer_jobs_are_used_where_connections_are_few() {
    let server = Postgres::shared();
    let (database, run) = with_data("parallel_few");
    let role = format!("{}_role", database.name());
    server.execute(&format!("create role {role} login password '{PASSWORD}'"));
    database.execute(&format!("grant all on schema public to {role}; grant all on kept to {role}"));
    let run = run.url(&database.url_as(&role, PASSWORD)).env("LOCKKEEPER_BACKUP_JOBS", "3").arg("backup");
    // The run has two sessions, and the one that leads the jobs is a third.
    for (limit, says) in [
        (6, None),
        (5, Some("the backup uses 2 of 3 jobs: the server has 3 free connections for us")),
        (3, Some("the backup uses 1 of 3 jobs: the server has 1 free connections for us")),
    ] {
        server.execute(&format!("alter role {role} connection limit {limit}"));
        let finished = run.output();
        assert!(last_line(finished.expect_code(0)).contains(".dumpdir "), "{finished}");
        match says {
            Some(text) => finished.says(text),
            None => finished.does_not_say("free connections"),
        };
    }
    server.execute(&format!("alter role {role} connection limit -1"));
    server.execute(&format!("alter database {} connection limit 4", database.name()));
    run.output().expect_code(0).says("the backup uses 1 of 3 jobs: the server has 2 free connections for us");
    database.execute(&format!("drop owned by {role}"));
    server.execute(&format!("drop role {role}"));
}

/// The lock table of the server has room for the locks of one session, and not for those of several.
#[test]
fn one_job_is_used_where_locks_are_few() {
    let server = Postgres::start(
        Setup::default()
            .conf("max_locks_per_transaction = 10")
            .conf("max_connections = 20")
            .conf("superuser_reserved_connections = 0"),
    );
    let database = server.database("locks");
    database.execute("create table kept (id int); do $$ begin for i in 1..110 loop execute 'create table t' || i || ' (id int)'; end loop; end $$");
    let run = parallel(Run::new().url(&database.url()).migrations(&[NEXT])).arg("backup");
    let finished = run.output();
    finished.expect_code(0).says("the backup uses 1 of 2 jobs: more could take ").says("(max_locks_per_transaction)");
    assert!(only(&run.dir().join("backups")).is_dir());
}

/// Two thousand tables are dumped, read back and listed.
#[test]
fn thousands_of_tables_are_backed_up() {
    let server = Postgres::start(Setup::default().conf("max_locks_per_transaction = 256"));
    let database = server.database("many");
    let sql = "do $$ begin for i in 1..2000 loop execute format('create table t%s as select %s as id', i, i); end loop; end $$";
    database.execute(sql);
    let run = parallel(Run::new().url(&database.url()).migrations(&[NEXT])).arg("backup");
    let finished = run.output();
    finished.expect_code(0).does_not_say("of 2 jobs");
    let backup = only(&run.dir().join("backups"));
    assert_eq!(names(&backup).len(), 2001);
    assert_eq!(manifest(&backup)["rows"].as_object().map(serde_json::Map::len), Some(2000));
}
