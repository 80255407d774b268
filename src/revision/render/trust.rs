//! The SQL for PostgreSQL that decides which relations are trusted as a history table.
//!
//! A view runs its functions with the rights of its reader, a trigger with those of the writer, and everybody with
//! CREATE on a schema can create either. So only a table that a trusted role owns is trusted, and only with triggers
//! whose functions trusted roles own. Other code that may run with a table (rules, policies, defaults, constraints,
//! partitions) can only be added by its owner.

use crate::sql::{EQUALS, literal};
/// Returns an array expression with the OIDs of the roles whose tables are trusted: the current role and the roles that
/// it is a member of, the owner of the database, and superusers. A membership that only allows granting the role to
/// others (PostgreSQL 16 gives one to the role that creates a role) does not count.
pub(crate) fn trusted_roles() -> String {
    let option =
        |name: &str| format!("coalesce(pg_catalog.jsonb_extract_path_text(pg_catalog.to_jsonb(m), '{name}'), 'true')");
    let (inherit, set) = (option("inherit_option"), option("set_option"));
    format!(
        "ARRAY(WITH RECURSIVE member (role) AS (
        SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolname {EQUALS} current_user
        UNION SELECT m.roleid FROM member JOIN pg_catalog.pg_auth_members m ON m.member {EQUALS} member.role
        WHERE 'true' {EQUALS} ANY (ARRAY[{inherit}, {set}]))
    SELECT role FROM member
    UNION SELECT d.datdba FROM pg_catalog.pg_database d WHERE d.datname {EQUALS} pg_catalog.current_database()
    UNION SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolsuper OR r.rolname {EQUALS} 'pg_database_owner')"
    )
}

/// Returns a query for the untrusted parts of a relation, its partitions and the tables that inherit from it. The name
/// of the relation, given by an expression for a text, is quoted and, unless the search path finds it, qualified. The columns are the OID, the kind
/// (`relkind`), the owner and the trigger; for a trigger, the owner is that of its function.
fn untrusted(relation: &str, trusted_roles: &str) -> String {
    format!(
        "WITH RECURSIVE trusted (roles) AS (SELECT {trusted_roles}),
    relation (id) AS (
        SELECT pg_catalog.to_regclass({relation})::pg_catalog.oid
        UNION SELECT i.inhrelid FROM relation JOIN pg_catalog.pg_inherits i ON i.inhparent {EQUALS} relation.id)
    SELECT c.oid AS id, c.relkind AS kind, c.relowner AS owner, NULL::pg_catalog.name AS trigger
    FROM relation JOIN pg_catalog.pg_class c ON c.oid {EQUALS} relation.id CROSS JOIN trusted
    WHERE NOT (c.relkind {EQUALS} ANY ('{{r,p}}') AND c.relowner {EQUALS} ANY (roles))
    UNION ALL SELECT t.tgrelid, 'r', p.proowner, t.tgname
    FROM relation JOIN pg_catalog.pg_trigger t ON t.tgrelid {EQUALS} relation.id
    JOIN pg_catalog.pg_proc p ON p.oid {EQUALS} t.tgfoid CROSS JOIN trusted
    WHERE NOT t.tgisinternal AND NOT p.proowner {EQUALS} ANY (roles)",
    )
}

/// Returns a condition that is true for a trusted relation. The result is valid as long as the relation is locked.
pub(crate) fn is_trusted(relation: &str, trusted_roles: &str) -> String {
    is_trusted_by_name(&literal(relation), trusted_roles)
}

/// Returns the condition of [`is_trusted`] for a relation whose name is the value of an expression.
pub(crate) fn is_trusted_by_name(name: &str, trusted_roles: &str) -> String {
    format!("NOT EXISTS (\n    {})", untrusted(name, trusted_roles))
}

/// A condition on a row `c` of `pg_class`: an ordinary table that has, and ever had, no triggers and no children.
pub(crate) const IS_PLAIN: &str =
    "c.relkind OPERATOR(pg_catalog.=) 'r' AND NOT c.relhastriggers AND NOT c.relhassubclass";

/// Returns a condition on a row `c` of `pg_class` that is true for a plain table that is trusted. Where it is true,
/// [`is_trusted`] is true as well, and the server plans and runs it in a fraction of the time; for a trusted table that
/// is not plain it is false. `relhastriggers` and `relhassubclass` are set with the first trigger and the first child
/// (manual, 53.11).
pub(crate) fn is_plain_and_trusted(trusted_roles: &str) -> String {
    format!("{IS_PLAIN} AND c.relowner {EQUALS} ANY ({trusted_roles})")
}

/// Returns a query for the first untrusted part of a relation: the kind of the relation and its name, the role that
/// owns the part, and the name of a trigger.
pub(crate) fn why_untrusted(relation: &str, trusted_roles: &str) -> String {
    let kind = [("r", "table"), ("p", "table"), ("v", "view"), ("m", "materialized view"), ("f", "foreign table")]
        .map(|(kind, word)| format!("WHEN u.kind {EQUALS} '{kind}' THEN '{word}'"))
        .join(" ");
    format!(
        "SELECT CASE {kind} ELSE 'relation' END, \
         pg_catalog.format('%I.%I', n.nspname, c.relname), pg_catalog.pg_get_userbyid(u.owner)::pg_catalog.text, u.trigger::pg_catalog.text \
         FROM ({}) u JOIN pg_catalog.pg_class c ON c.oid {EQUALS} u.id JOIN pg_catalog.pg_namespace n ON n.oid {EQUALS} c.relnamespace LIMIT 1",
        untrusted(&literal(relation), trusted_roles)
    )
}
