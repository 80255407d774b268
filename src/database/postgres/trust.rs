//! Reads and writes of the history only where the table is trusted: see `render/trust` for the rule.
//!
//! The message that uses a relation also checks whether the relation is trusted, after it has locked the relation: from
//! then on no session can put another relation in its place, change its owner or, under a writer's lock, add a trigger.

use super::message::{Label, MessagePart};
use super::{Postgres, column};
use crate::database::{DatabaseError, DatabaseErrorKind};
use crate::revision::render::OWN_PATH;
use crate::revision::render::trust::{IS_PLAIN, is_plain_and_trusted, is_trusted, why_untrusted};
use crate::sql::{DIVIDED_BY, EQUALS, identifier, literal};

/// Returns the statements that must precede a read of a relation: the read sees all rows or fails, and the check fails
/// (division by zero) when the relation is not trusted.
pub(super) fn before_reading(relation: &str, trusted_roles: &str) -> MessagePart<'static> {
    let text = format!(
        "{OWN_PATH}SET LOCAL row_security = off;\nLOCK TABLE {relation} IN ACCESS SHARE MODE;\n{}",
        require(relation, trusted_roles)
    );
    MessagePart::new(Label::HistoryIsTrusted, text)
}

/// Returns the statements that must precede a write to the journal: its lock, and the check that fails (division by zero)
/// when it is not trusted.
pub(super) fn before_writing_journal(journal: &str, trusted_roles: &str) -> MessagePart<'static> {
    let text = format!("LOCK TABLE {journal} IN ROW EXCLUSIVE MODE;\n{}", require(journal, trusted_roles));
    MessagePart::new(Label::JournalIsTrusted, text)
}

/// Returns a statement that divides by zero when the relation is not trusted.
pub(super) fn require(relation: &str, trusted_roles: &str) -> String {
    format!("SELECT 1 {DIVIDED_BY} CASE WHEN {} THEN 1 ELSE 0 END;\n", is_trusted(relation, trusted_roles))
}

/// Returns a statement that divides by zero when the relation is not a trusted, plain table. The cast finds a relation
/// or fails, so there is one row.
pub(super) fn require_plain(relation: &str, trusted_roles: &str) -> String {
    format!(
        "SELECT 1 {DIVIDED_BY} CASE WHEN {} THEN 1 ELSE 0 END FROM pg_catalog.pg_class c WHERE c.oid {EQUALS} {}::pg_catalog.regclass;\n",
        is_plain_and_trusted(trusted_roles),
        literal(relation)
    )
}

/// The form of the check whether the history is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TrustCheck {
    /// Accepts a plain table only: see `render/trust`.
    Short,
    /// Accepts every trusted table.
    Long,
}

impl Postgres {
    /// Returns an SQL expression for whether the history is a plain table, for which the short check suffices.
    pub(super) fn is_plain(&self) -> String {
        let table = literal(&self.table());
        format!(
            "EXISTS (SELECT 1 FROM pg_catalog.pg_class c WHERE c.oid = pg_catalog.to_regclass({table}) AND {IS_PLAIN})"
        )
    }

    /// Returns an error with the reason why a relation is not trusted; `None` when it is.
    pub(super) async fn distrust(&mut self, relation: &str) -> Result<Option<DatabaseError>, DatabaseError> {
        let rows = self.rows(why_untrusted(relation, &self.facts.trusted_roles)).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let (kind, name, owner): (String, String, String) = (column(row, 0)?, column(row, 1)?, column(row, 2)?);
        let (role, database) = (&self.facts.role, identifier(&self.facts.database));
        let rule =
            format!("neither {role}, nor a role that {role} is a member of, nor the owner of the database {database}");
        let (what, otherwise) = match relation == self.journal_table() {
            true => ("the journal of a history", "remove it"),
            false => ("a history", "set LOCKKEEPER_HISTORY_TABLE to another name"),
        };
        let (message, hint) = match (kind.as_str(), column::<Option<String>>(row, 3)?) {
            (_, Some(trigger)) => (
                format!("the trigger {trigger} on {name} calls a function of {owner}, who is {rule}"),
                format!("DROP TRIGGER {} ON {name}", identifier(&trigger)),
            ),
            ("table", None) => (
                format!("the table {name} belongs to {owner}, who is {rule}"),
                format!("when its rows are right, ALTER TABLE {name} OWNER TO {}; else {otherwise}", identifier(role)),
            ),
            (kind, None) => {
                let more = if otherwise == "remove it" { "" } else { ", or remove it" };
                (format!("{name} is a {kind} of {owner}, not a table"), format!("{otherwise}{more}"))
            }
        };
        let message = format!("this cannot be trusted as {what}: {message}");
        Ok(Some(DatabaseError::new(DatabaseErrorKind::Setting, message).with_hint(hint)))
    }
}
