//! Creates the journal when a script first needs it, and makes the history refer to it.

use super::Sqlite;
use crate::database::DatabaseError;
use crate::dialect::Dialect;
use crate::revision::history::HistoryTable;
use crate::revision::journal;

impl Sqlite {
    /// Returns the name of the journal, quoted.
    pub(crate) fn journal_table(&self) -> String {
        journal::quoted_name(Dialect::Sqlite, None, &self.history)
    }

    /// Creates the journal if there is none, and moves to it the progress of unfinished revisions that an earlier
    /// release has recorded in the history; both in one transaction.
    ///
    /// # Errors
    /// A statement failed, another connection writes for too long, or the journal is not an ordinary table.
    pub(super) async fn create_journal(&mut self, history: &HistoryTable) -> Result<(), DatabaseError> {
        self.in_own_transaction(async |database| {
            let exists = database.table_made_by(&journal::name(Dialect::Sqlite, &database.history)).await?.is_some();
            let made_by = database.made_by().await?.unwrap_or_default();
            if !exists {
                database.run_all(&history.journal().create())?;
            }
            if !made_by.contains(history.format.journal_constraint()) {
                let lacks = database.lacking(&made_by);
                let sql = history.format.refer_to_journal(history, &database.history, &lacks);
                database.run_all(&sql)?;
            }
            Ok(())
        })
        .await
    }
}
