//! Changing the history without running anything.

use super::Postgres;
use super::fault::is_division_by_zero;
use crate::database::{Broken, Kind};

/// Behind BEGIN and our own role comes the check of the lock.
const HELD: usize = 3;

impl Postgres {
    /// Everything is one message: no kill and no lost connection leaves a part of it.
    pub async fn restate(&mut self, create: &str, changes: &[String]) -> Result<(), Broken> {
        let [authorization, role] = self.own_role();
        let made = self.missing_history(create);
        let opening = ["BEGIN;\n", &authorization, &role, &self.held(), made.as_deref().unwrap_or_default()];
        let message = [opening.concat(), changes.concat(), "COMMIT;\n".into()].concat();
        let statements = HELD + 1 + usize::from(made.is_some()) + changes.len();
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
            HELD if is_division_by_zero(&fault) => Broken::LockLost,
            done if done == statements => Broken::Commit(fault),
            _ if fault.kind == Kind::NoPrivilege && made.is_some() => {
                let hint = self.grant_history();
                Broken::Bookkeeping(fault.with_hint(hint))
            }
            _ => self.unrecorded(fault),
        })
    }
}
