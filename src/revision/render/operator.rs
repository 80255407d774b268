//! PostgreSQL's operators with their schema. A search path may name a schema before `pg_catalog`, and whoever can create
//! in that schema decides what a bare operator means.

use crate::revision::Dialect;

pub const EQUALS: &str = "OPERATOR(pg_catalog.=)";
pub const DIVIDED_BY: &str = "OPERATOR(pg_catalog./)";

/// Returns an operator as a statement of this dialect has to write it.
pub fn operator(dialect: Dialect, symbol: &str) -> String {
    match dialect {
        Dialect::Postgres => format!("OPERATOR(pg_catalog.{symbol})"),
        Dialect::Sqlite => symbol.to_owned(),
    }
}

/// Returns a condition that a value is one of a list. PostgreSQL looks up the operator of `IN` on the search path.
pub fn is_one_of(dialect: Dialect, value: &str, list: &[String]) -> String {
    let list = list.join(", ");
    match dialect {
        Dialect::Postgres => format!("{value} {EQUALS} ANY (ARRAY[{list}])"),
        Dialect::Sqlite => format!("{value} IN ({list})"),
    }
}
