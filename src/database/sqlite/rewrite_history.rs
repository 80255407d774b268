//! Changing the history without running anything.

use super::Sqlite;
use super::apply::BEGIN;
use crate::database::ApplyError;

/// So many changes at a time: the driver keeps the statements of a text prepared until its end.
const CHANGES: usize = 50;

impl Sqlite {
    /// Everything in one transaction: no kill leaves a part of it.
    pub async fn restate(&mut self, create: &str, changes: &[String]) -> Result<(), ApplyError> {
        self.still_ours()?;
        let result = self.restated(create, changes).await;
        if result.is_err() {
            // Fails when there is no transaction, or the error has ended it.
            let _ = self.run("ROLLBACK".into()).await;
        }
        result
    }

    async fn restated(&mut self, create: &str, changes: &[String]) -> Result<(), ApplyError> {
        self.retry_while_busy(BEGIN).await.map_err(ApplyError::Bookkeeping)?;
        let renew = self.renewal(create).await.map_err(ApplyError::Bookkeeping)?;
        self.retry_while_busy(renew.as_deref().unwrap_or(create)).await.map_err(ApplyError::Bookkeeping)?;
        for some in changes.chunks(CHANGES) {
            self.run(some.concat()).await.map_err(|(fault, _)| ApplyError::Bookkeeping(fault))?;
        }
        self.still_ours()?;
        self.retry_while_busy("COMMIT").await.map_err(ApplyError::Commit)
    }
}
