//! Derivation of the GRANT statement that a refused statement needs, from the server's message and the statement.

use crate::database::{DatabaseError, DatabaseErrorKind};
use crate::sql::identifier;

/// Adds the GRANT statement as a hint to an error about a missing privilege that has no hint of the server's.
pub(crate) fn advised(fault: DatabaseError, statement: &str, role: &str) -> DatabaseError {
    if fault.kind != DatabaseErrorKind::NoPrivilege || fault.hint.is_some() {
        return fault;
    }
    let inner = fault.context.as_deref().unwrap_or_default();
    match grant(&fault.message, &[inner, statement], role) {
        Some(hint) => fault.with_hint(hint),
        None => fault,
    }
}

/// Returns the GRANT statement for a refusal, which is recognised by the server's English message. The first of
/// `statements` that contains the name determines the privilege.
pub(crate) fn grant(message: &str, statements: &[&str], role: &str) -> Option<String> {
    let role = identifier(role);
    if let Some(object) = message.strip_prefix("permission denied for ") {
        return on_object(object, statements).map(|what| format!("GRANT {what} TO {role}"));
    }
    if let Some(object) = message.strip_prefix("must be owner of ") {
        let (kind, name) = kind_and_name(object)?;
        let name = reference(kind, name, statements);
        return Some(format!("ALTER {} {name} OWNER TO {role}, or GRANT its owner TO {role}", object_name_words(kind)));
    }
    let quoted = || message.split('"').nth(1).map(identifier);
    let has = |text: &str| message.contains(text);
    if has("must be member of role") || has("must be able to SET ROLE") || has("denied to set role") {
        Some(format!("GRANT {} TO {role}", quoted()?))
    } else if has("denied to set parameter") {
        Some(format!("GRANT SET ON PARAMETER {} TO {role}", quoted()?))
    } else if has("create temporary tables in database") {
        Some(format!("GRANT TEMPORARY ON DATABASE {} TO {role}", quoted()?))
    } else if has("user may lack SELECT privilege on the sequence") {
        Some(format!("GRANT SELECT ON SEQUENCE {} TO {role}", quoted()?))
    } else if has("denied to create role") {
        Some(format!("ALTER ROLE {role} CREATEROLE"))
    } else if has("denied to create database") {
        Some(format!("ALTER ROLE {role} CREATEDB"))
    } else if has("affected by row-level security") {
        Some(format!("ALTER ROLE {role} BYPASSRLS"))
    } else {
        None
    }
}

/// The kinds of objects as the server names them (its `aclcheck_error`); a longer name precedes a name that it begins
/// with.
const KINDS: [&str; 17] = [
    "materialized view",
    "foreign-data wrapper",
    "foreign server",
    "foreign table",
    "large object",
    "tablespace",
    "table",
    "view",
    "sequence",
    "schema",
    "database",
    "function",
    "procedure",
    "aggregate",
    "type",
    "domain",
    "language",
];

fn kind_and_name(object: &str) -> Option<(&'static str, &str)> {
    KINDS.iter().find_map(|kind| Some((*kind, object.strip_prefix(kind)?.strip_prefix(' ')?)))
}

/// Returns the privilege and the object as GRANT takes them, for example `SELECT ON TABLE "x"`.
fn on_object(object: &str, statements: &[&str]) -> Option<String> {
    let (kind, name) = kind_and_name(object)?;
    let all = statements.concat().to_ascii_lowercase();
    let has = |text: &str| all.contains(text);
    let privilege = match kind {
        "table" | "view" | "materialized view" | "foreign table" => on_table(name, statements),
        "sequence" if has("setval") => "UPDATE",
        "sequence" if has("last_value") => "SELECT",
        "schema" if has("create") || has("alter") => "USAGE, CREATE",
        "large object" if has("lo_put") || has("lo_open") || has("lowrite") => "SELECT, UPDATE",
        "large object" => "SELECT",
        "database" | "tablespace" => "CREATE",
        "function" | "procedure" | "aggregate" => "EXECUTE",
        _ => "USAGE",
    };
    Some(format!("{privilege} ON {} {}", object_name_words(kind), reference(kind, name, statements)))
}

/// Returns a kind of object as GRANT and ALTER spell it.
fn object_name_words(kind: &str) -> String {
    match kind {
        "view" | "materialized view" | "foreign table" => "TABLE".into(),
        "foreign-data wrapper" => "FOREIGN DATA WRAPPER".into(),
        "aggregate" => "FUNCTION".into(),
        other => other.to_uppercase(),
    }
}

/// Returns a name that can be used in a statement: quoted, and qualified as in the statement that was refused.
fn reference(kind: &str, name: &str, statements: &[&str]) -> String {
    match (kind, name) {
        ("large object", number) => number.into(),
        // These functions are overloaded, so the argument's type is needed.
        (_, "pg_try_advisory_lock" | "pg_advisory_unlock") => format!("pg_catalog.{name}(bigint)"),
        _ => {
            let qualified = statements.iter().find_map(|text| qualifier(text, found_at(text, name)?));
            qualified.map_or(identifier(name), |schema| format!("{schema}.{}", identifier(name)))
        }
    }
}

/// Returns the byte offset at which a name occurs in a text as a whole word.
fn found_at(text: &str, name: &str) -> Option<usize> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(name)
        .map(|(at, _)| at)
        .find(|&at| !text[..at].ends_with(is_part) && !text[at + name.len()..].starts_with(is_part))
}

/// Returns the quoted schema that precedes the name at this offset; `None` when the name is not qualified.
fn qualifier(text: &str, at: usize) -> Option<String> {
    let before = text[..at].strip_suffix('"').unwrap_or(&text[..at]).strip_suffix('.')?;
    if let Some(quoted) = before.strip_suffix('"') {
        return Some(identifier(&quoted[quoted.rfind('"')? + 1..]));
    }
    let start = before.rfind(|c: char| !(c.is_alphanumeric() || c == '_')).map_or(0, |at| at + 1);
    Some(identifier(&before[start..].to_lowercase())).filter(|_| start < before.len())
}

/// Returns the privilege that a statement needs on a table, according to the nearest keyword before its name.
fn on_table(name: &str, statements: &[&str]) -> &'static str {
    let found = statements.iter().find_map(|text| found_at(text, name).map(|at| (*text, at)));
    let Some((text, at)) = found else { return "SELECT" };
    let lower = text.to_ascii_lowercase();
    let has = |words: &str| lower.contains(words);
    let before: Vec<&str> = lower[..at].split(|c: char| !(c.is_alphanumeric() || c == '_')).collect();
    let mut before = before.into_iter().rev().filter(|word| !word.is_empty());
    while let Some(word) = before.next() {
        return match word {
            "into" if has("do update") => "SELECT, INSERT, UPDATE",
            "into" if has("returning") => "SELECT, INSERT",
            "into" => "INSERT",
            "update" => "SELECT, UPDATE",
            "from" if before.next() == Some("delete") => "SELECT, DELETE",
            "truncate" => "TRUNCATE",
            "references" => "REFERENCES",
            "copy" if lower[at..].contains(" from ") => "INSERT",
            "lock" if !has("access share") => "UPDATE",
            "on" if has("trigger") => "TRIGGER",
            "from" | "join" | "using" | "copy" | "lock" => "SELECT",
            _ => continue,
        };
    }
    "SELECT"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_what_to_grant() {
        let rows = [
            ("permission denied for table t", "select * from t", "GRANT SELECT ON TABLE \"t\" TO \"r\""),
            (
                "permission denied for table t",
                "delete from only s.t where x",
                "GRANT SELECT, DELETE ON TABLE \"s\".\"t\" TO \"r\"",
            ),
            (
                "permission denied for table t",
                "insert into mine select tt from tt, \"S x\".\"t\"",
                "GRANT SELECT ON TABLE \"S x\".\"t\" TO \"r\"",
            ),
            (
                "permission denied for table t",
                "insert into t values (1) on conflict (a) do update set a = 1",
                "GRANT SELECT, INSERT, UPDATE ON TABLE \"t\" TO \"r\"",
            ),
            (
                "sequence \"n\"; user may lack SELECT privilege on the sequence or the sequence may have been concurrently dropped",
                "",
                "GRANT SELECT ON SEQUENCE \"n\" TO \"r\"",
            ),
            ("permission denied for view v", "truncate table v", "GRANT TRUNCATE ON TABLE \"v\" TO \"r\""),
            (
                "permission denied for table t",
                "create table a (b int references t)",
                "GRANT REFERENCES ON TABLE \"t\" TO \"r\"",
            ),
            (
                "permission denied for table t",
                "create trigger x before insert on t execute function f()",
                "GRANT TRIGGER ON TABLE \"t\" TO \"r\"",
            ),
            (
                "permission denied for table t",
                "LOCK TABLE s.a, s.t IN ACCESS SHARE MODE",
                "GRANT SELECT ON TABLE \"s\".\"t\" TO \"r\"",
            ),
            ("permission denied for table t", "lock t", "GRANT UPDATE ON TABLE \"t\" TO \"r\""),
            ("permission denied for table t", "copy t from stdin", "GRANT INSERT ON TABLE \"t\" TO \"r\""),
            ("permission denied for table t", "select f()", "GRANT SELECT ON TABLE \"t\" TO \"r\""),
            ("permission denied for sequence q", "select nextval('q')", "GRANT USAGE ON SEQUENCE \"q\" TO \"r\""),
            (
                "permission denied for sequence q",
                "SELECT last_value FROM p.q",
                "GRANT SELECT ON SEQUENCE \"p\".\"q\" TO \"r\"",
            ),
            ("permission denied for schema s", "create table s.t ()", "GRANT USAGE, CREATE ON SCHEMA \"s\" TO \"r\""),
            ("permission denied for schema s", "select * from s.t", "GRANT USAGE ON SCHEMA \"s\" TO \"r\""),
            ("permission denied for database d", "create schema s", "GRANT CREATE ON DATABASE \"d\" TO \"r\""),
            ("permission denied for tablespace x", "", "GRANT CREATE ON TABLESPACE \"x\" TO \"r\""),
            ("permission denied for large object 42", "select lo_get(42)", "GRANT SELECT ON LARGE OBJECT 42 TO \"r\""),
            (
                "permission denied for function pg_advisory_unlock",
                "",
                "GRANT EXECUTE ON FUNCTION pg_catalog.pg_advisory_unlock(bigint) TO \"r\"",
            ),
            (
                "must be owner of table t",
                "alter table s.t add x int",
                "ALTER TABLE \"s\".\"t\" OWNER TO \"r\", or GRANT its owner TO \"r\"",
            ),
            ("must be member of role \"o\"", "", "GRANT \"o\" TO \"r\""),
            (
                "permission denied to set parameter \"log_statement\"",
                "",
                "GRANT SET ON PARAMETER \"log_statement\" TO \"r\"",
            ),
        ];
        for (message, statement, expected) in rows {
            assert_eq!(grant(message, &["", statement], "r").as_deref(), Some(expected), "{message}: {statement}");
        }
        assert_eq!(grant("keine Berechtigung für Tabelle t", &[], "r"), None);
    }
}
