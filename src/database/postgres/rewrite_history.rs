//! Changes of the history table for which no script runs: `stamp` and `repair`.

use super::message::{Label, Message, MessagePart};
use super::migrator::Migrator;
use super::send::OnCancel;
use crate::database::durability::CommitMode;
use crate::database::{ApplyError, DatabaseErrorKind};
use crate::revision::history::HistoryChange;
use crate::revision::render::COMMIT;

impl Migrator<'_> {
    /// Applies the changes in one transaction and one message, so that neither a kill nor a lost connection leaves a
    /// part of them. The history table is created where there is none, and the journal if a change needs it.
    pub(crate) async fn rewrite_history(&mut self, changes: &[HistoryChange<'_>]) -> Result<(), ApplyError> {
        let needs_journal = changes.iter().any(HistoryChange::needs_journal);
        if needs_journal {
            self.create_journal().await.map_err(ApplyError::Bookkeeping)?;
        }
        let made = self.missing_history();
        let changes: Vec<String> = changes.iter().map(|change| self.history.change(change)).collect();
        let message = |migrator: &Migrator<'_>, check| {
            let made = made.clone().map(|sql| MessagePart::new(Label::CreateHistory, sql));
            let journal = needs_journal.then(|| migrator.before_writing_journal());
            Message::new([MessagePart::new(Label::Begin, "BEGIN;\n")])
                .and(made)
                .and(migrator.before_bookkeeping(check, CommitMode::Own))
                .and(journal)
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
        let _ = self.session.run("ROLLBACK".into()).await;
        Err(match error.label {
            Label::Commit => ApplyError::Commit(error.fault),
            Label::Begin | Label::CreateHistory if error.fault.kind == DatabaseErrorKind::NoPrivilege => {
                ApplyError::Bookkeeping(error.fault.with_hint(self.grant_history()))
            }
            _ => self.not_written(error),
        })
    }
}
