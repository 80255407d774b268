//! PostgreSQL's operators with their schema. A search path may name a schema before `pg_catalog`, and whoever can create
//! in that schema decides what a bare operator means.

use crate::revision::Dialect;

pub const EQUALS: &str = "OPERATOR(pg_catalog.=)";
pub const DIVIDED_BY: &str = "OPERATOR(pg_catalog./)";

/// Returns the operator that compares two values for equality.
pub fn equals(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Postgres => EQUALS,
        Dialect::Sqlite => "=",
    }
}
