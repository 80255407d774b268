//! Changes of the history that run no script.

use super::Sqlite;
use super::group::BEGIN;
use crate::database::ApplyError;
use crate::revision::history::{HistoryChange, HistoryTable};

/// The number of changes in one text: the driver keeps all statements of a text prepared until its end.
const CHANGES: usize = 50;

impl Sqlite {
    /// Makes all changes in one transaction, so that no kill leaves a part of them.
    ///
    /// # Errors
    /// The lock or the file was lost, or a statement failed; nothing is changed then.
    pub(crate) async fn rewrite_history(
        &mut self,
        history: &HistoryTable,
        changes: &[HistoryChange<'_>],
    ) -> Result<(), ApplyError> {
        self.assert_lock_held()?;
        if changes.iter().any(HistoryChange::needs_journal) {
            self.create_journal(history).await.map_err(ApplyError::Bookkeeping)?;
        }
        let changes: Vec<String> = changes.iter().map(|change| history.change(change)).collect();
        let result = self.rewrite_in_transaction(history, &changes).await;
        if result.is_err() {
            // ROLLBACK fails when there is no transaction, or the error has ended it.
            let _ = self.run("ROLLBACK");
        }
        result
    }

    async fn rewrite_in_transaction(&mut self, history: &HistoryTable, changes: &[String]) -> Result<(), ApplyError> {
        self.retry_while_busy(BEGIN).await.map_err(ApplyError::Bookkeeping)?;
        let renewal = self.renewal(history).await.map_err(ApplyError::Bookkeeping)?;
        let made = renewal.unwrap_or_else(|| history.create());
        self.retry_while_busy(&made).await.map_err(ApplyError::Bookkeeping)?;
        for some in changes.chunks(CHANGES) {
            self.run_all(&some.concat()).map_err(ApplyError::Bookkeeping)?;
        }
        self.assert_lock_held()?;
        self.retry_while_busy("COMMIT").await.map_err(ApplyError::Commit)
    }
}
