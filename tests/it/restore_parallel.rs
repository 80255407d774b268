//! Tests of restores of backups that are directories: beside the database, in place, and for a rehearsal.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::backup::{manifest, manifest_path, names};
use crate::backup_parallel::{parallel, sha256};
use crate::contract::{ONE, TWO, expect_end, run_on};
use crate::restore::{backups, name, restore, with_backups};
use crate::restore_postgres::{KeptDatabases, dump};
use crate::support::binary::Run;
use crate::support::database::PgDatabase;
use crate::support::postgres::Postgres;

/// Tables of every kind, with names that have to be quoted.
const TABLES: &str = r#"
    create schema "Odd; schema";
    create table "Odd; schema"."1; 0 5 TABLE DATA
'x"" y" (id int primary key, "a ""b""" text);
    insert into "Odd; schema"."1; 0 5 TABLE DATA
'x"" y" select i, E'line\nbreak\t\\. \\N \r' || i from generate_series(1, 500) i;
    insert into "Odd; schema"."1; 0 5 TABLE DATA
'x"" y" values (0, E'\\.'), (-1, null), (-2, E'\n\\.\n');
    create table empty (id int);
    create table no_columns (); insert into no_columns select from generate_series(1, 7);
    create table generated (id bigint generated always as identity, double int generated always as (one * 2) stored, one int);
    insert into generated (one) select generate_series(1, 100);
    create table part (id int, at date, primary key (id, at)) partition by range (at);
    create table part_1 partition of part for values from ('2026-01-01') to ('2026-02-01');
    create table part_2 partition of part for values from ('2026-02-01') to ('2026-03-01') partition by list (id);
    create table part_2_1 partition of part_2 default;
    insert into part select i, '2026-01-15' from generate_series(1, 60) i;
    insert into part select i, '2026-02-15' from generate_series(1, 40) i;
    create table parent (a int primary key); create table child (b int references parent) inherits (parent);
    insert into parent values (1), (2); insert into child values (3, 1), (4, 2);
    create unlogged table fast (id int); insert into fast values (1);
    create materialized view summed as select count(*) from part;
    create table large (data bytea); insert into large select decode(repeat(md5(i::text), 2000), 'hex') from generate_series(1, 20) i;
    select lo_from_bytea(4242, decode(repeat('00ff10', 5000), 'hex')), lo_from_bytea(4243, ''), lo_from_bytea(4244, 'x');
"#;

/// Creates a database at 0002 with tables of every kind, its run, and its backup with two jobs.
fn backed_up(prefix: &str) -> (PgDatabase<'static>, Run, String) {
    let database = Postgres::shared().database(prefix);
    let run = parallel(with_backups(run_on(&database, &[ONE, TWO])));
    expect_end(&run, 0, &[]);
    database.execute(TABLES);
    expect_end(&run.clone().arg("backup"), 0, &["backup taken and verified", ".dumpdir"]);
    let backup = backups(&run).into_iter().find(|backup| backup.is_dir()).expect("a directory");
    (database, run, name(&backup))
}

/// Returns everything that a dump contains, with the rows of each table in the order of their texts.
fn content(database: &PgDatabase<'_>) -> Vec<String> {
    let dump = dump(database);
    let mut lines: Vec<String> = dump.lines().map(str::to_owned).collect();
    // Rows may come back in another order, and large objects have no other place.
    lines.sort();
    lines
}

#[test]
fn every_kind_of_table_comes_back() {
    let (database, run, backup) = backed_up("restore_parallel");
    let _kept = KeptDatabases(&database);
    let before = content(&database);
    let change = "drop table large; delete from empty; insert into empty values (1); delete from generated where id > 5; \
                  delete from part; select lo_unlink(4242); create table later (id int);";
    database.execute(change);
    // A shell completes the name of a directory with a slash.
    expect_end(&restore(&run, &format!("{backup}/")).arg("--yes"), 0, &["restored", "the database is at 0002"]);
    assert_eq!(content(&database), before);
    // In place, objects that are newer than the backup would stay, so there is none; and pg_restore's script does not
    // drop the primary keys of partitions.
    database.execute(
        "delete from large; insert into empty values (1); delete from generated where id > 5; drop table part cascade;",
    );
    expect_end(&restore(&run, &backup).args(["--in-place", "--yes"]), 0, &["restored", "the database is at 0002"]);
    assert_eq!(content(&database), before);
}

#[test]
fn a_rehearsal_runs_on_a_copy_made_of_a_directory() {
    let (database, run, _) = backed_up("rehearse_parallel");
    let next = ("0003_next.up.sql", "alter table empty add column more int;\n");
    let run = run.migrations(&[next]).env("LOCKKEEPER_REHEARSE", "true");
    let finished = expect_end(&run, 0, &["up to date at 0003"]);
    finished.says("rehearsed on the backup: 1 of 1 steps run");
    assert_eq!(database.value("select count(*) from part"), "100");
}

/// Writes a manifest again.
fn rewrite(backup: &Path, change: impl FnOnce(&mut serde_json::Value)) {
    let mut changed = manifest(backup);
    change(&mut changed);
    fs::write(manifest_path(backup), changed.to_string()).expect("write");
}

/// A damaged backup is found before the database is touched.
#[test]
fn a_directory_that_differs_from_its_manifest_is_not_restored() {
    let (database, run, backup) = backed_up("restore_damaged");
    let path = run.dir().join("safe").join(&backup);
    let table = names(&path).into_iter().filter(|name| name.ends_with(".dat.gz"));
    let table = table.max_by_key(|name| fs::metadata(path.join(name)).expect("metadata").len()).expect("a table");
    let file = path.join(&table);
    let whole = fs::read(&file).expect("a file");
    let restore = restore(&run, &backup).arg("--yes");
    let expect = |words: &[&str]| expect_end(&restore, 85, words);

    let mut changed = whole.clone();
    changed[whole.len() / 2] ^= 1;
    fs::write(&file, &changed).expect("write");
    expect(&[&format!("the SHA-256 of {table} is "), "its manifest says"]);
    fs::write(&file, &whole[..whole.len() - 1]).expect("write");
    expect(&[&format!("{table} has {} bytes, its manifest says {}", whole.len() - 1, whole.len())]);
    fs::remove_file(&file).expect("remove");
    expect(&[&format!("the file {table} is missing")]);
    let outside = run.dir().join("outside");
    fs::write(&outside, &whole).expect("write");
    symlink(&outside, &file).expect("a link");
    expect(&[&table, "it is a symbolic link, which is not followed here"]);
    fs::remove_file(&file).expect("remove");
    fs::write(&file, &whole).expect("write");
    fs::write(path.join("1.dat"), "\\.\n\n\n").expect("write");
    expect(&["the file 1.dat is not in its manifest"]);
    run.clone().arg("backups").output().expect_code(0).says("unverified");
    fs::remove_file(path.join("1.dat")).expect("remove");

    // A link to the directory, and a file of its name.
    let moved = run.dir().join("moved");
    fs::rename(&path, &moved).expect("rename");
    symlink(&moved, &path).expect("a link");
    expect(&[&backup]);
    fs::remove_file(&path).expect("remove");
    fs::write(&path, "file").expect("write");
    expect(&["it does not vouch for a file"]);
    fs::remove_file(&path).expect("remove");
    fs::rename(&moved, &path).expect("rename");
    rewrite(&path, |manifest| manifest["format"] = "tar".into());
    expect(&["it is no manifest that can be read"]);
    assert_eq!(database.value("select count(*) from generated"), "100");
}

/// A row that is missing although every checksum fits is found in the copy, before it takes the place of the database.
#[test]
fn a_row_less_is_found_after_the_restore() {
    let (database, run, _) = backed_up("restore_less");
    let run = run.env("LOCKKEEPER_BACKUP_COMPRESS", "none");
    expect_end(&run.clone().arg("backup"), 0, &[]);
    let path =
        backups(&run).into_iter().find(|path| names(path).iter().all(|name| !name.ends_with(".gz")) && path.is_dir());
    let path = path.expect("a backup without compression");
    let is_table = |name: &&String| {
        let text = fs::read(path.join(name)).expect("a file");
        text.starts_with(b"1\t1\n2\t2\n") && name.ends_with(".dat") && text.len() > 100
    };
    let all = names(&path);
    let table = all.iter().find(is_table).expect("the table of generated values").clone();
    let text = fs::read_to_string(path.join(&table)).expect("a file");
    let less = text.replacen("1\t1\n", "", 1);
    fs::write(path.join(&table), &less).expect("write");
    let digest = sha256(less.as_bytes());
    rewrite(&path, |manifest| {
        for file in manifest["files"].as_array_mut().expect("files") {
            if file["name"] == *table {
                file["bytes"] = less.len().into();
                file["sha256"] = digest.clone().into();
            }
        }
        manifest["bytes"] = (manifest["bytes"].as_u64().expect("bytes") - 4).into();
    });
    expect_end(&restore(&run, &name(&path)).arg("--yes"), 87, &["public.generated has 99 rows instead of 100"]);
    assert_eq!(database.value("select count(*) from generated"), "100");
}
