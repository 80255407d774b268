//! Tests that the commands of the guide from SQLite to PostgreSQL run as they are printed.

use crate::support::guide::{Workspace, lines};
use crate::support::postgres::Postgres;

#[test]
fn the_guide_transfers_a_database_from_sqlite_to_postgresql() {
    let workspace = Workspace::with_example();
    let database = Postgres::shared().database("guide");
    for line in lines("sqlite-to-postgres.md") {
        let (code, out, log) = workspace.shell(&line.command, Some(&database.url()));
        assert_eq!(code, line.code, "{}\n{out}{log}", line.command);
        assert_eq!(out, line.printed, "{}\n{log}", line.command);
    }
    assert_eq!(database.value("select string_agg(name, ' ' order by id) from agents"), "scout scribe");
}
