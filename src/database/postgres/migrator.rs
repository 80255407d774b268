//! The migrator: what every write to the history needs, for scripts that run and for changes without one.

use super::Postgres;
use super::grant::advised;
use super::message::{Label, Message, MessageError, MessagePart};
use super::send::OnCancel;
use super::trust::{TrustCheck, require, require_plain};
use crate::database::durability::CommitMode;
use crate::database::{ApplyError, DatabaseError, DatabaseErrorKind};
use crate::dialect::Dialect;
use crate::revision::history::HistoryTable;
use crate::revision::journal;
use crate::revision::render::own_role;
use crate::sql::identifier;

/// Runs migrations in a session that holds the lock, and writes the history.
pub(crate) struct Migrator<'a> {
    pub(super) session: &'a mut Postgres,
    pub(super) history: &'a HistoryTable,
}

impl<'a> Migrator<'a> {
    /// Returns the migrator of a session that holds the lock.
    pub(crate) fn new(session: &'a mut Postgres, history: &'a HistoryTable) -> Migrator<'a> {
        Migrator { session, history }
    }

    /// Adds the GRANT statement that a refused statement needs, be it the script's or one of Lockkeeper's on the
    /// history.
    pub(super) fn with_grant(&self, mut broken: ApplyError) -> ApplyError {
        let role = &self.session.facts.role;
        let history = &self.session.facts.table;
        let ours = [
            (history.clone(), self.session.table()),
            (journal::name(Dialect::Postgres, history), self.session.journal_table()),
        ];
        let Some((fault, statement)) = broken.refused() else {
            return broken;
        };
        let refused = fault.clone();
        let is_refused = |name: &str| refused.message == format!("permission denied for table {name}");
        let table = ours.iter().find(|(name, _)| is_refused(name)).map(|(_, table)| table);
        *fault = match (statement, table) {
            (None, Some(table)) => {
                refused.with_hint(format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {}", identifier(role)))
            }
            (statement, _) => advised(refused, statement.unwrap_or_default(), role),
        };
        broken
    }

    /// Returns the error for a history row that could not be written, with the GRANT statement that allows all writes
    /// to the history.
    pub(super) fn bookkeeping_error(&self, fault: DatabaseError) -> ApplyError {
        self.with_grant(ApplyError::Bookkeeping(fault))
    }

    /// Returns the statements that must precede a write to the history and hold for the rest of the transaction: they
    /// reset the role, whichever one the script has taken, and check that the lock is still held and that the history
    /// table is trusted.
    pub(super) fn before_bookkeeping(&self, check: TrustCheck, commit: CommitMode) -> Vec<MessagePart<'static>> {
        let role = MessagePart::new(Label::OwnRole, own_role(&self.session.facts.role).concat());
        [role, self.session.lock_is_held_until(commit)].into_iter().chain(self.before_writing(check)).collect()
    }

    /// Explains why the history was not written.
    pub(super) fn not_written(&self, error: MessageError) -> ApplyError {
        if error.is_failed_check(Label::LockIsHeld) {
            return ApplyError::LockLost;
        }
        if error.is_failed_check(Label::HistoryIsTrusted) {
            return ApplyError::Bookkeeping(self.replaced(&self.session.table()));
        }
        if error.is_failed_check(Label::JournalIsTrusted) {
            return ApplyError::Bookkeeping(self.replaced(&self.session.journal_table()));
        }
        self.bookkeeping_error(error.fault)
    }

    /// Returns the cheapest check for the history as it was when it was looked at last. Every revision runs the check,
    /// so a table that was plain when the lock was taken gets the short one.
    pub(super) fn trust_check(&self) -> TrustCheck {
        if self.session.facts.history_is_plain { TrustCheck::Short } else { TrustCheck::Long }
    }

    /// Returns the statements that must precede a write to the history: the lock of the table, and the check that fails
    /// (division by zero) when the table is not trusted.
    pub(super) fn before_writing(&self, check: TrustCheck) -> [MessagePart<'static>; 2] {
        let (table, trusted_roles) = (self.session.table(), &self.session.facts.trusted_roles);
        let trusted = match check {
            TrustCheck::Short => require_plain(&table, trusted_roles),
            TrustCheck::Long => require(&table, trusted_roles),
        };
        let lock = format!("LOCK TABLE {table} IN ROW EXCLUSIVE MODE;\n");
        [MessagePart::new(Label::LockHistory, lock), MessagePart::new(Label::HistoryIsTrusted, trusted)]
    }

    /// Returns the error for a table of ours that was trusted before, and is not trusted any more.
    pub(super) fn replaced(&self, table: &str) -> DatabaseError {
        let message = format!(
            "while this run was at work, {table} was replaced, given to another role, or given a trigger of another role"
        );
        DatabaseError::new(DatabaseErrorKind::Setting, message)
            .with_hint("run lockkeeper check: it names what is not trusted")
    }

    /// Sends a message that writes the history, with the check of the table that is the cheapest one for it. A history
    /// that was a plain table and is none any more, perhaps by the very statements of the message, fails the short
    /// check and may still be trusted: then the message is rolled back and sent once more, with the long check.
    ///
    /// # Errors
    /// Fails with the statement of the last attempt that failed.
    pub(super) async fn send_checked<'m>(
        &mut self,
        on_cancel: OnCancel,
        message: impl Fn(&Migrator<'_>, TrustCheck) -> Message<'m>,
    ) -> Result<(), MessageError> {
        let check = self.trust_check();
        let first = message(self, check);
        let sent = self.session.send_despite_cancel(&first, on_cancel).await;
        match sent {
            Err(error) if check == TrustCheck::Short && error.is_failed_check(Label::HistoryIsTrusted) => {}
            sent => return sent,
        }
        self.session.facts.history_is_plain = false;
        // Without a BEGIN the server has ended the transaction with the message.
        if first.has(Label::Begin) {
            let rolled_back = self.session.run("ROLLBACK".into()).await;
            rolled_back.map_err(MessageError::from_rollback)?;
        }
        self.session.send_despite_cancel(&message(self, TrustCheck::Long), on_cancel).await
    }
}
