//! Reading and writing only what is trusted as a history: see `render/trust` for the rule.
//!
//! Whether a relation is trusted is asked in the very message that uses it, behind a lock on it: from then on nobody can
//! put another one in its place, give it to somebody else or, behind a writer's lock, add a trigger.

use super::{Postgres, column};
use crate::database::{Fault, Kind};
use crate::revision::render::operator::DIVIDED_BY;
use crate::revision::render::{OWN_PATH, identifier, is_trusted, why_untrusted};

/// What stands before a reading of a relation: it sees all rows or fails, and it fails (division by zero) when the
/// relation is not trusted. The check answers with one row.
pub(super) fn before_reading(relation: &str, trusted_roles: &str) -> String {
    format!(
        "{OWN_PATH}SET LOCAL row_security = off;\nLOCK TABLE {relation} IN ACCESS SHARE MODE;\n{}",
        require(relation, trusted_roles)
    )
}

/// A statement that divides by zero when the relation is not trusted.
fn require(relation: &str, trusted_roles: &str) -> String {
    format!("SELECT 1 {DIVIDED_BY} CASE WHEN {} THEN 1 ELSE 0 END;\n", is_trusted(relation, trusted_roles))
}

impl Postgres {
    /// Statements before a writing of the history: the second one fails (division by zero) when it is not trusted.
    pub(super) fn before_writing(&self) -> [String; 2] {
        let table = self.table();
        let lock = format!("LOCK TABLE {table} IN ROW EXCLUSIVE MODE;\n");
        [lock, require(&table, &self.facts.trusted_roles)]
    }

    /// The fault of a history that is not trusted any more, though it was when it was read.
    pub(super) fn replaced_history(&self) -> Fault {
        let message = format!(
            "while this run was at work, {} was replaced, given to another role, or given a trigger of another role",
            self.table()
        );
        Fault::new(Kind::Setting, message).with_hint("run lockkeeper check: it names what is not trusted")
    }

    /// Says why a relation is not trusted; `None` when it is.
    pub(super) async fn distrust(&mut self, relation: &str) -> Result<Option<Fault>, Fault> {
        let rows = self.rows(why_untrusted(relation, &self.facts.trusted_roles)).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let (kind, name, owner): (String, String, String) =
            (column(row, 0)?, column(row, 1)?, column(row, 2)?);
        let (role, database) = (&self.facts.role, identifier(&self.facts.database));
        let rule = format!(
            "neither {role}, nor a role that {role} is a member of, nor the owner of the database {database}"
        );
        let (message, hint) = match (kind.as_str(), column::<Option<String>>(row, 3)?) {
            (_, Some(trigger)) => (
                format!("the trigger {trigger} on {name} calls a function of {owner}, who is {rule}"),
                format!("DROP TRIGGER {} ON {name}", identifier(&trigger)),
            ),
            ("table", None) => (
                format!("the table {name} belongs to {owner}, who is {rule}"),
                format!(
                    "when its rows are right, ALTER TABLE {name} OWNER TO {}; else set LOCKKEEPER_HISTORY_TABLE to another name",
                    identifier(role)
                ),
            ),
            (kind, None) => (
                format!("{name} is a {kind} of {owner}, not a table"),
                "set LOCKKEEPER_HISTORY_TABLE to another name, or remove it".into(),
            ),
        };
        let message = format!("this cannot be trusted as a history: {message}");
        Ok(Some(Fault::new(Kind::Setting, message).with_hint(hint)))
    }
}
