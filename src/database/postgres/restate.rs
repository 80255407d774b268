//! Changing the history without running anything.

use super::Postgres;
use super::lock::BEFORE_BOOKKEEPING;
use crate::database::{Broken, Kind};

impl Postgres {
    /// Everything is one message: no kill and no lost connection leaves a part of it.
    pub async fn restate(&mut self, create: &str, changes: &[String]) -> Result<(), Broken> {
        let made = self.missing_history(create);
        let before = 1 + usize::from(made.is_some());
        let opening = ["BEGIN;\n", made.as_deref().unwrap_or_default(), &self.before_bookkeeping().concat()];
        let message = [opening.concat(), changes.concat(), "COMMIT;\n".into()].concat();
        let statements = before + BEFORE_BOOKKEEPING + changes.len();
        let Err((fault, done)) = self.run(message).await else {
            self.has_made_history();
            return Ok(());
        };
        if fault.kind == Kind::Lost {
            return Err(Broken::Unknown(fault));
        }
        // Without a session there is nothing to roll back; the server has done it.
        let _ = self.run("ROLLBACK".into()).await;
        Err(match done {
            done if done == statements => Broken::Commit(fault),
            done if done < before && fault.kind == Kind::NoPrivilege => {
                let hint = self.grant_history();
                Broken::Bookkeeping(fault.with_hint(hint))
            }
            done if done < before => self.unrecorded(fault),
            done => self.not_written(done - before, fault),
        })
    }
}
