//! Changes of the history table for which no script runs: `stamp` and `repair`.

use super::Postgres;
use super::lock::BEFORE_BOOKKEEPING;
use crate::database::{ApplyError, DatabaseErrorKind};

impl Postgres {
    /// Applies the changes in one transaction and one message, so that neither a kill nor a lost connection leaves a
    /// part of them. `create` is the statement that creates the history table where there is none.
    pub async fn rewrite_history(&mut self, create: &str, changes: &[String]) -> Result<(), ApplyError> {
        let made = self.missing_history(create);
        let before = 1 + usize::from(made.is_some());
        let opening = ["BEGIN;\n", made.as_deref().unwrap_or_default(), &self.before_bookkeeping().concat()];
        let message = [opening.concat(), changes.concat(), "COMMIT;\n".into()].concat();
        let statements = before + BEFORE_BOOKKEEPING + changes.len();
        let Err((fault, done)) = self.run(message).await else {
            self.has_made_history();
            return Ok(());
        };
        if fault.kind == DatabaseErrorKind::Lost {
            return Err(ApplyError::Unknown(fault));
        }
        // Without a session there is nothing to roll back: the server has done so when the session ended.
        let _ = self.run("ROLLBACK".into()).await;
        Err(match done {
            done if done == statements => ApplyError::Commit(fault),
            done if done < before && fault.kind == DatabaseErrorKind::NoPrivilege => {
                let hint = self.grant_history();
                ApplyError::Bookkeeping(fault.with_hint(hint))
            }
            done if done < before => self.bookkeeping_error(fault),
            done => self.not_written(done - before, fault),
        })
    }
}
