//! Changing the history without running anything.

use super::Postgres;
use super::lock::BEFORE_BOOKKEEPING;
use crate::database::{ApplyError, DatabaseErrorKind};

impl Postgres {
    /// Everything is one message: no kill and no lost connection leaves a part of it.
    pub async fn restate(&mut self, create: &str, changes: &[String]) -> Result<(), ApplyError> {
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
        // Without a session there is nothing to roll back; the server has done it.
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
