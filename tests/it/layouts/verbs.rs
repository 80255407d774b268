//! Tests of every verb in every layout.

use std::fs;
use std::path::Path;

use super::lockkeeper;
use crate::contract::expect_end;
use crate::support::binary::Run;
use crate::support::either::Database;
use crate::support::temporary_directory;

on_either!(native, sqlx, golang_migrate, pop, goose, dbmate, sql_migrate, diesel, prisma, refinery, flyway,);

type FilesOf = fn(usize, &str, &str, &str) -> Vec<(String, String)>;

/// A directory of a layout with two revisions: they create the tables `one` and `two`.
struct Sample {
    layout: &'static str,
    /// Returns the files of a revision: its number, its table, and the statements that apply and undo it.
    files: FilesOf,
    /// The versions of the revisions.
    versions: [&'static str; 2],
    /// True if a revision can be undone.
    has_downs: bool,
}

const UP_AND_DOWN: FilesOf = |number, table, up, down| {
    vec![(format!("{number}_{table}.up.sql"), up.into()), (format!("{number}_{table}.down.sql"), down.into())]
};

fn native<D: Database>() {
    every_verb_works_in::<D>(&Sample { layout: "native", files: UP_AND_DOWN, versions: ["1", "2"], has_downs: true });
}

fn sqlx<D: Database>() {
    every_verb_works_in::<D>(&Sample { layout: "sqlx", files: UP_AND_DOWN, versions: ["1", "2"], has_downs: true });
}

fn golang_migrate<D: Database>() {
    every_verb_works_in::<D>(&Sample {
        layout: "golang-migrate",
        files: UP_AND_DOWN,
        versions: ["1", "2"],
        has_downs: true,
    });
}

fn pop<D: Database>() {
    every_verb_works_in::<D>(&Sample { layout: "pop", files: UP_AND_DOWN, versions: ["1", "2"], has_downs: true });
}

fn goose<D: Database>() {
    every_verb_works_in::<D>(&Sample {
        layout: "goose",
        files: |number, table, up, down| {
            vec![(format!("{number}_{table}.sql"), format!("-- +goose Up\n{up}\n-- +goose Down\n{down}\n"))]
        },
        versions: ["1", "2"],
        has_downs: true,
    });
}

fn dbmate<D: Database>() {
    every_verb_works_in::<D>(&Sample {
        layout: "dbmate",
        files: |number, table, up, down| {
            vec![(format!("{number}_{table}.sql"), format!("-- migrate:up\n{up}\n-- migrate:down\n{down}\n"))]
        },
        versions: ["1", "2"],
        has_downs: true,
    });
}

fn sql_migrate<D: Database>() {
    every_verb_works_in::<D>(&Sample {
        layout: "sql-migrate",
        files: |number, table, up, down| {
            vec![(format!("{number}_{table}.sql"), format!("-- +migrate Up\n{up}\n-- +migrate Down\n{down}\n"))]
        },
        versions: ["1_one.sql", "2_two.sql"],
        has_downs: true,
    });
}

fn diesel<D: Database>() {
    every_verb_works_in::<D>(&Sample {
        layout: "diesel",
        files: |number, table, up, down| {
            let name = format!("2026-01-0{number}-000000_{table}");
            vec![(format!("{name}/up.sql"), up.into()), (format!("{name}/down.sql"), down.into())]
        },
        versions: ["20260101000000", "20260102000000"],
        has_downs: true,
    });
}

fn prisma<D: Database>() {
    every_verb_works_in::<D>(&Sample {
        layout: "prisma",
        files: |number, table, up, _| vec![(format!("2026010{number}000000_{table}/migration.sql"), up.into())],
        versions: ["20260101000000_one", "20260102000000_two"],
        has_downs: false,
    });
}

fn refinery<D: Database>() {
    every_verb_works_in::<D>(&Sample {
        layout: "refinery",
        files: |number, table, up, _| vec![(format!("V{number}__{table}.sql"), up.into())],
        versions: ["1", "2"],
        has_downs: false,
    });
}

fn flyway<D: Database>() {
    every_verb_works_in::<D>(&Sample {
        layout: "flyway",
        files: |number, table, up, down| {
            vec![(format!("V{number}__{table}.sql"), up.into()), (format!("U{number}__{table}.sql"), down.into())]
        },
        versions: ["1", "2"],
        has_downs: true,
    });
}

fn write(directory: &Path, files: Vec<(String, String)>) {
    for (name, text) in files {
        let path = directory.join(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        fs::write(path, text).expect("a migration");
    }
}

fn every_verb_works_in<D: Database>(sample: &Sample) {
    let database = D::create("verbs");
    let directory = temporary_directory("verbs");
    for (number, table) in [(1, "one"), (2, "two")] {
        let (up, down) = (format!("create table {table} (id integer);"), format!("drop table {table};"));
        write(directory.path(), (sample.files)(number, table, &up, &down));
    }
    let run = lockkeeper(directory.path(), &database.url()).env("LOCKKEEPER_LAYOUT", sample.layout);
    let backups = run.dir().join("backups");
    let run = run.env("LOCKKEEPER_BACKUP", "required").env("LOCKKEEPER_BACKUP_DIR", backups.display().to_string());
    let [first, second] = sample.versions;
    reads_what_is_pending(&run, second);
    applies_and_rehearses(&run, &database, [first, second]);
    backs_up_and_restores(&run, &database, &backups, second);
    records_and_prints(&run, &database, sample);
    let new = run.clone().args(["revision", "-m", "Add three"]).output();
    new.expect_code(0).says("three");
    expect_end(&run.clone().arg("check"), 2, &["1 revision is pending"]);
    expect_end(&run.clone().arg("heads"), 0, &[]);
}

fn reads_what_is_pending(run: &Run, second: &str) {
    expect_end(&run.clone().args(["check", "--offline"]), 0, &["2 revisions", second]);
    expect_end(&run.clone().arg("check"), 2, &["2 revisions are pending"]);
    expect_end(&run.clone().arg("current"), 0, &["the database is at base"]);
    run.clone().args(["upgrade", "--plan"]).output().expect_code(0).says(second);
    run.clone().arg("heads").output().expect_code(0).says(second);
    run.clone().args(["wait", "--migrated", "--wait-timeout", "0"]).output().expect_code(69);
}

fn applies_and_rehearses<D: Database>(run: &Run, database: &D, [first, second]: [&str; 2]) {
    expect_end(&run.clone().args(["upgrade", first]), 0, &[&format!("up to date at {first}")]);
    assert!(database.has_table("one") && !database.has_table("two"));
    expect_end(&run.clone().arg("--rehearse"), 0, &[&format!("up to date at {second}: 1 applied, backup")])
        .says("rehearsed on the backup: 1 of 1 steps run");
    expect_end(run, 0, &["nothing pending", second]);
    expect_end(&run.clone().args(["wait", "--migrated"]), 0, &[second]);
    run.clone().arg("history").output().expect_code(0).says(first).says(second).does_not_say("pending");
    run.clone().args(["current", "--json"]).output().expect_code(0).says("\"state\": \"applied\"").says(second);
    expect_end(&run.clone().arg("repair"), 0, &[]);
}

fn backs_up_and_restores<D: Database>(run: &Run, database: &D, backups: &Path, second: &str) {
    expect_end(&run.clone().arg("backup"), 0, &["backup taken and verified"]);
    run.clone().arg("backups").output().expect_code(0).says(second);
    let is_newest = |name: &String| name.contains(&format!("from-{second}")) && !name.ends_with(".json");
    let names =
        fs::read_dir(backups).expect("backups").flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let file = names.filter(is_newest).max().expect("a backup of the second revision");
    database.query("drop table two");
    expect_end(&run.clone().args(["restore", &file, "--yes"]), 0, &[second]);
    assert!(database.has_table("two"));
    expect_end(run, 0, &["nothing pending", second]);
}

fn records_and_prints<D: Database>(run: &Run, database: &D, sample: &Sample) {
    let [first, second] = sample.versions;
    if sample.has_downs {
        expect_end(&run.clone().args(["downgrade", "-1"]), 0, &[first]);
        assert!(!database.has_table("two"));
        let back = run.clone().args(["downgrade", "base", "--sql"]).output();
        database.feed(&back.expect_code(0).stdout).expect("the printed script");
        expect_end(&run.clone().arg("current"), 0, &["the database is at base"]);
    } else {
        run.clone().args(["downgrade", "-1"]).output().expect_code(65).says("down");
        database.query("drop table one");
        database.query("drop table two");
        expect_end(&run.clone().args(["stamp", "base"]), 0, &["base"]);
    }
    let up = run.clone().args(["upgrade", "--sql"]).output();
    database.feed(&up.expect_code(0).stdout).expect("the printed script");
    assert!(database.has_table("one") && database.has_table("two"));
    expect_end(&run.clone().args(["stamp", first]), 0, &[first]);
    expect_end(&run.clone().arg("check"), 2, &["1 revision is pending"]);
    expect_end(&run.clone().args(["stamp", "head"]), 0, &[second]);
    expect_end(run, 0, &["nothing pending", second]);
}
