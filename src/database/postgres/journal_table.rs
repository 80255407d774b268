//! Creates the journal when a script first needs it, and makes the history refer to it.

use super::message::{Label, Message, MessageError, MessagePart};
use super::migrator::Migrator;
use super::trust::{TrustCheck, before_writing_journal};
use super::{column, no_answer_error};
use crate::database::{DatabaseError, DatabaseErrorKind};
use crate::revision::history::JournalUse;
use crate::sql::{EQUALS, literal};

/// The parts of the journal that a database has.
struct JournalPresence {
    /// There is a relation of its name.
    exists: bool,
    /// The history refers to it.
    is_referred_to: bool,
}

impl Migrator<'_> {
    /// Creates the journal if there is none, and moves to it the progress of unfinished revisions that an earlier
    /// release has recorded in the history; both in one transaction.
    ///
    /// # Errors
    /// Fails when the role may not do so, or when the journal or the history is not trusted.
    pub(super) async fn create_journal(&mut self) -> Result<(), DatabaseError> {
        if self.session.facts.has_journal {
            return Ok(());
        }
        let present = self.find_journal().await?;
        if present.exists
            && let Some(distrust) = self.session.distrust(&self.session.journal_table()).await?
        {
            return Err(distrust);
        }
        if !present.exists || !present.is_referred_to {
            self.make_journal(&present).await?;
        }
        self.session.facts.has_journal = true;
        self.session.facts.reads_journal |= self.history.format.journal_use() == JournalUse::WhenPresent;
        Ok(())
    }

    async fn find_journal(&mut self) -> Result<JournalPresence, DatabaseError> {
        let [history, journal] = [self.session.table(), self.session.journal_table()].map(|table| literal(&table));
        let row = self.session.row(format!(
            "SELECT pg_catalog.to_regclass({journal}) IS NOT NULL, EXISTS (SELECT 1 FROM pg_catalog.pg_constraint WHERE conrelid {EQUALS} pg_catalog.to_regclass({history}) AND conname {EQUALS} {})",
            literal(self.history.format.journal_constraint())
        ));
        let row = row.await?;
        // The table of another tool cannot refer to the journal.
        let refers = self.history.format.journal_constraint().is_empty() || column(&row, 1)?;
        Ok(JournalPresence { exists: column(&row, 0)?, is_referred_to: refers })
    }

    async fn make_journal(&mut self, present: &JournalPresence) -> Result<(), DatabaseError> {
        let limit = self.session.response_timeout();
        let refer = (!present.is_referred_to).then(|| MessagePart::new(Label::ReferToJournal, self.refer_to_journal()));
        // An existing relation of this name is not created again, and need not be a table of ours. The message is one
        // transaction.
        let message = Message::new([MessagePart::new(Label::CreateJournal, self.history.journal().create())])
            .and([self.session.lock_is_held()])
            .and(self.before_writing(TrustCheck::Long))
            .and([self.before_writing_journal()])
            .and(refer);
        let sent =
            tokio::time::timeout(limit, self.session.send(&message)).await.map_err(|_| no_answer_error(limit))?;
        let Err(MessageError { fault, label, .. }) = sent else {
            return Ok(());
        };
        for relation in [self.session.journal_table(), self.session.table()] {
            if let Some(distrust) = self.session.distrust(&relation).await? {
                return Err(distrust);
            }
        }
        Err(match (fault.kind, label) {
            (DatabaseErrorKind::NoPrivilege, Label::CreateJournal) => fault.with_hint(self.session.grant()),
            (DatabaseErrorKind::NoPrivilege, Label::ReferToJournal) => {
                let statements = [self.history.journal().create(), self.refer_to_journal()].concat();
                let statements = statements.split_whitespace().collect::<Vec<_>>().join(" ");
                fault.with_hint(format!("let the table's owner run BEGIN; {statements} COMMIT"))
            }
            _ => fault,
        })
    }

    fn refer_to_journal(&self) -> String {
        let facts = &self.session.facts;
        self.history.format.refer_to_journal(self.history, &facts.table, &facts.history_lacks)
    }

    /// Returns the statements that must precede a write to the journal.
    pub(super) fn before_writing_journal(&self) -> MessagePart<'static> {
        before_writing_journal(&self.session.journal_table(), &self.session.facts.trusted_roles)
    }
}
