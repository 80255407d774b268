//! Scripts that share a transaction: each is a savepoint in it, and the commit waits for the disk once for all of them.

use super::Sqlite;
use crate::database::durability::{ApplyOutcome, CommitMode, SettleError};
use crate::database::{ApplyError, ApplyRequest, DatabaseError, DatabaseErrorKind};
use crate::revision::Batch;
use crate::revision::history::HistoryTable;
use crate::revision::policy::ForeignKeyPolicy;
use crate::revision::render::{leaves_session_state, mentions};
use crate::revision::statements::Window;

/// The statement that begins a transaction and takes SQLite's write lock at once.
pub(super) const BEGIN: &str = "BEGIN IMMEDIATE;\n";

/// The savepoint of a script behind the first one of a transaction.
const SAVEPOINT: &str = "SAVEPOINT lockkeeper_script";
const RELEASE: &str = "RELEASE lockkeeper_script";
const ROLLBACK_TO: &str = "ROLLBACK TO lockkeeper_script; RELEASE lockkeeper_script";

/// The transaction of a script.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ScriptTransaction {
    /// A transaction of its own.
    Own,
    /// The first script of a transaction that others may join.
    First,
    /// A savepoint in the transaction of those before it.
    Joined,
}

/// The state of the transaction that scripts share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ScriptGroup {
    /// There is no such transaction.
    #[default]
    None,
    /// This number of scripts is in it, and they are not committed.
    Open(usize),
    /// SQLite has rolled all of them back.
    RolledBack,
}

impl ScriptGroup {
    /// Returns the number of scripts in the transaction that have run.
    pub(super) fn uncommitted(self) -> usize {
        match self {
            ScriptGroup::Open(scripts) => scripts,
            ScriptGroup::None | ScriptGroup::RolledBack => 0,
        }
    }
}

impl Sqlite {
    /// Returns the transaction in which a script is to run; `None` if those before it have to be committed first.
    pub(super) fn transaction_of(
        &self,
        history: &HistoryTable,
        request: &ApplyRequest<'_>,
        first: Option<&Batch>,
    ) -> Option<ScriptTransaction> {
        let foreign_keys = request.script.section.foreign_keys(request.policy.foreign_keys);
        let can_share = foreign_keys == ForeignKeyPolicy::Off
            && !history.writes_journal_alone(request.id)
            && first.is_some_and(fits_savepoint);
        match (self.group, can_share, request.commit) {
            (ScriptGroup::None, true, CommitMode::Shared) => Some(ScriptTransaction::First),
            (ScriptGroup::None, ..) => Some(ScriptTransaction::Own),
            (_, true, _) => Some(ScriptTransaction::Joined),
            (_, false, _) => None,
        }
    }

    /// Begins the transaction of a script.
    ///
    /// # Errors
    /// Fails as the statement does, or if another connection writes for too long.
    pub(super) async fn begin(&mut self, transaction: ScriptTransaction) -> Result<(), DatabaseError> {
        match transaction {
            ScriptTransaction::Own | ScriptTransaction::First => self.retry_while_busy(BEGIN).await,
            ScriptTransaction::Joined => self.run_all(SAVEPOINT),
        }
    }

    /// Writes the history row of a script that has run, and commits it unless the script shares its transaction.
    ///
    /// # Errors
    /// Fails when the row cannot be written, or when COMMIT fails.
    pub(super) async fn record(
        &mut self,
        transaction: ScriptTransaction,
        row: &str,
    ) -> Result<ApplyOutcome, ApplyError> {
        self.assert_lock_held()?;
        self.run_all(row).map_err(ApplyError::Bookkeeping)?;
        match transaction {
            ScriptTransaction::Own => {
                self.retry_while_busy("COMMIT").await.map_err(ApplyError::Commit)?;
                return Ok(ApplyOutcome::Durable);
            }
            ScriptTransaction::First => {}
            ScriptTransaction::Joined => self.run_all(RELEASE).map_err(ApplyError::Bookkeeping)?,
        }
        self.group = ScriptGroup::Open(self.group.uncommitted() + 1);
        Ok(ApplyOutcome::Pending)
    }

    /// Rolls back a script that has failed, and nothing else, unless SQLite has rolled back everything already: a full
    /// disk, an interrupt and ON CONFLICT ROLLBACK end the whole transaction (SQLite manual, "Transactions", section 3).
    pub(super) fn roll_back(&mut self, transaction: ScriptTransaction) {
        if transaction == ScriptTransaction::Joined {
            if self.is_in_transaction() && self.run_all(ROLLBACK_TO).is_ok() {
                return;
            }
            self.group = ScriptGroup::RolledBack;
        }
        self.violations = None;
        // ROLLBACK fails when there is no transaction any more.
        let _ = self.run_all("ROLLBACK");
    }

    fn is_in_transaction(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| !connection.is_autocommit())
    }

    /// Commits the scripts that share a transaction.
    ///
    /// # Errors
    /// Fails when they were rolled back before, when another connection reads for too long, or when the lock, the file or
    /// the disk is lost; all of them are rolled back then.
    pub(crate) async fn settle(&mut self) -> Result<(), SettleError> {
        let settled = match std::mem::take(&mut self.group) {
            ScriptGroup::None => return Ok(()),
            ScriptGroup::Open(_) => match self.assert_lock_held() {
                Ok(()) => self.retry_while_busy("COMMIT").await.map_err(ApplyError::Commit),
                Err(lost) => Err(lost),
            },
            ScriptGroup::RolledBack => {
                let message = "SQLite has rolled back the whole transaction";
                Err(ApplyError::Commit(DatabaseError::new(DatabaseErrorKind::Statement, message)))
            }
        };
        settled.map_err(|error| {
            self.roll_back(ScriptTransaction::First);
            SettleError::RolledBack(error)
        })
    }
}

/// Reports whether a script can be a savepoint: it is read as a whole, changes no settings, whose effect would reach the
/// next script, and does not roll back by itself.
fn fits_savepoint(script: &Batch) -> bool {
    script.window == Window::Last && !leaves_session_state(&script.text) && !mentions(&script.text, "rollback")
}
