//! Changes of the history table for which no script runs: `stamp` and `repair`.

use super::Postgres;
use super::message::{Label, Message, MessagePart};
use super::send::OnCancel;
use crate::database::{ApplyError, DatabaseErrorKind};
use crate::revision::history::HistoryTable;
use crate::revision::render::COMMIT;

impl Postgres {
    /// Applies the changes in one transaction and one message, so that neither a kill nor a lost connection leaves a
    /// part of them. The history table is created where there is none.
    pub async fn rewrite_history(&mut self, history: &HistoryTable, changes: &[String]) -> Result<(), ApplyError> {
        let made = self.missing_history(history);
        let message = |database: &Postgres, check| {
            let made = made.clone().map(|sql| MessagePart::new(Label::CreateHistory, sql));
            Message::new([MessagePart::new(Label::Begin, "BEGIN;\n")])
                .and(made)
                .and(database.before_bookkeeping(check))
                .and(changes.iter().map(|change| MessagePart::new(Label::Record, change)))
                .and([MessagePart::new(Label::Commit, COMMIT)])
        };
        let Err(error) = self.send_checked(OnCancel::Fail, message).await else {
            self.has_made_history();
            return Ok(());
        };
        if error.is_outcome_unknown() {
            return Err(ApplyError::Unknown(error.fault));
        }
        // Without a session there is nothing to roll back: the server has done so when the session ended.
        let _ = self.run("ROLLBACK".into()).await;
        Err(match error.label {
            Label::Commit => ApplyError::Commit(error.fault),
            Label::Begin | Label::CreateHistory if error.fault.kind == DatabaseErrorKind::NoPrivilege => {
                ApplyError::Bookkeeping(error.fault.with_hint(self.grant_history(history)))
            }
            _ => self.not_written(error),
        })
    }
}
