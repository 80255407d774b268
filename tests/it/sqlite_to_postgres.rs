//! The guide from SQLite to PostgreSQL: its commands run as they are printed.

use std::fs;
use std::path::Path;

use crate::support::guide::{Place, lines};
use crate::support::postgres::Postgres;

#[test]
fn the_guide_carries_a_database_from_sqlite_to_postgresql() {
    let place = Place::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for dialect in ["postgres", "sqlite"] {
        let folder = place.path().join("migrations").join(dialect);
        fs::create_dir_all(&folder).expect("a folder");
        for file in fs::read_dir(root.join("migrations").join(dialect)).expect("the example").flatten() {
            fs::copy(file.path(), folder.join(file.file_name())).expect("a copy");
        }
    }
    let database = Postgres::shared().database("guide");
    for line in lines("sqlite-to-postgres.md") {
        let (code, out, log) = place.shell(&line.command, Some(&database.url()));
        assert_eq!(code, line.code, "{}\n{out}{log}", line.command);
        assert_eq!(out, line.printed, "{}\n{log}", line.command);
    }
    assert_eq!(database.value("select string_agg(name, ' ' order by id) from agents"), "scout scribe");
}
