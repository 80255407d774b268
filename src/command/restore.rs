//! The `restore` command: replaces the current database by a backup, after a backup of the current one.

use std::convert::Infallible;
use std::path::{Path, PathBuf};

use super::ChangeSummary;
use super::confirm::{Consent, agree};
use crate::config::{BackupKeep, BackupPolicy, DatabaseConfig};
use crate::context::RunContext;
use crate::database::{Canceller, Database, DatabaseIdentity, Locked};
use crate::dialect::Dialect;
use crate::entrypoint::lock_settings;
use crate::error::{Cause, Failure, Stage};
use crate::signal::Cancel;
use crate::sql::identifier;
use crate::stage::backup::{RevisionRange, Safety, backup, note_success};
use crate::stage::restore::postgres::RestoreContext;
use crate::stage::restore::{BackupArchive, sqlite};
use crate::stage::with_lock::{LockDecision, TakenLock, release_lock, take_lock};

/// The advice for a user who does not agree.
const DECLINED_ADVICE: &str = "run it on a terminal, or give --yes";

/// The database into which a backup of PostgreSQL is restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RestoreDestination {
    /// A new database, which is exchanged with the old one.
    Beside,
    /// The existing database (`--in-place`).
    Existing,
}

/// Restores a backup.
///
/// # Errors
/// Fails when the file differs from its manifest or is of another database, when the user does not agree, or with the
/// failure of the stage that could not go on. Unless the failure says otherwise, the database is unchanged then.
pub(crate) async fn restore(
    config: &DatabaseConfig,
    file: &str,
    destination: RestoreDestination,
    consent: Consent,
    context: &RunContext,
) -> Result<ChangeSummary, Failure> {
    let identity = config.database.identity().map_err(|cause| Failure::new(Stage::Configure, cause))?;
    if destination == RestoreDestination::Existing && identity.dialect == Dialect::Sqlite {
        let message = "--in-place is for PostgreSQL: a file of SQLite is always replaced as a whole";
        return Err(Failure::new(Stage::Configure, Cause::Usage(message.into())));
    }
    let archive = verified_backup(config, file, &identity, &context.cancel).await?;
    let cancel = &context.cancel;
    let mut consent = consent;
    let decide = async |mut database: Database, _| {
        if consent == Consent::Ask {
            agree(&question(&archive, &database), DECLINED_ADVICE, cancel).await?;
            consent = Consent::Given;
            // The user may have taken long to answer.
            return Ok(LockDecision::<(), Infallible>::WaitAgain);
        }
        log_origin(&archive, &mut database).await;
        Ok(LockDecision::Lock(database, ()))
    };
    match take_lock(&lock_settings(config), cancel, decide, |(), _| None).await? {
        TakenLock::Answer(never) => match never {},
        TakenLock::Locked(locked, canceller, ()) => {
            RestoreWork { config, archive: &archive, destination }.run_locked(locked, canceller, context).await
        }
    }
}

/// Finds the backup file and verifies it to its end, before the wait for the database and the lock.
async fn verified_backup(
    config: &DatabaseConfig,
    file: &str,
    identity: &DatabaseIdentity,
    cancel: &Cancel,
) -> Result<BackupArchive, Failure> {
    let result = async {
        let archive = BackupArchive::find(Path::new(file), &config.backup.place).await?;
        archive.fits(identity)?;
        archive.verify(config.backup.jobs.count()).await.map(|()| archive)
    };
    tokio::select! {
        result = result => result.map_err(|error| Failure::new(Stage::Restore, Cause::Restore(error))),
        reason = cancel.cancelled() => Err(Failure::new(Stage::Restore, Cause::Stopped(reason))),
    }
}

/// Returns the question for the user.
fn question(archive: &BackupArchive, database: &Database) -> String {
    let (name, manifest) = (database.identity().name, &archive.manifest);
    let revision = manifest.revision().unwrap_or("no revision");
    let taken = &manifest.started_at;
    format!("replace what is in {name} by {} (at {revision}, taken at {taken})?", manifest.file)
}

/// Warns when the backup was taken of another database. Restoring a copy of production elsewhere is usual, but
/// sometimes a mistake. An error is ignored, because taking the lock notices a lost session.
async fn log_origin(archive: &BackupArchive, database: &mut Database) {
    let (from, to) = (&archive.manifest.source, database.server().address);
    let id = database.id().await.ok().flatten();
    if *from != to {
        tracing::warn!("this backup was taken of {from}, and is restored to {to}");
    } else if archive.manifest.is_of_another(id.as_deref()) {
        tracing::warn!("this backup was taken of another database that has the same name at {from}");
    }
}

/// The copy of the replaced data.
enum ReplacedCopy {
    /// PostgreSQL: the database of this name.
    Database(String),
    /// SQLite: this file.
    File(PathBuf),
    /// The backup that was taken before the restore, if there is one.
    Backup,
}

/// The restore to do under the lock.
struct RestoreWork<'a> {
    /// The configuration of the run.
    config: &'a DatabaseConfig,
    /// The verified backup.
    archive: &'a BackupArchive,
    /// The database into which to restore.
    destination: RestoreDestination,
}

impl RestoreWork<'_> {
    /// Backs up and restores under the lock, so that no other run can write.
    async fn run_locked(
        &self,
        mut locked: Locked,
        mut canceller: Canceller,
        context: &RunContext,
    ) -> Result<ChangeSummary, Failure> {
        let cancel = &context.cancel;
        // No backup is removed by this run, because the oldest could be the one that is being restored.
        let policy = BackupPolicy { keep: BackupKeep::ALL, ..self.config.backup.clone() };
        let safety_backup = async {
            if let (RestoreDestination::Existing, Database::Postgres(database)) = (self.destination, locked.database())
            {
                self.restore_context().lock_tables(database, &mut canceller, cancel).await?;
            }
            let to = self.archive.manifest.from_revision.clone();
            let range = RevisionRange::from_newest(&mut locked, to).await?;
            backup(&mut locked, &mut canceller, &policy, &range, context).await
        };
        let safety = match safety_backup.await {
            Ok(safety) => safety,
            Err(failure) => {
                release_lock(locked).await;
                return Err(failure);
            }
        };
        let replaced = match self.destination {
            RestoreDestination::Beside if locked.database().dialect() == Dialect::Postgres => {
                // Its session would prevent the renaming of the database.
                drop(canceller);
                let Database::Postgres(old) = locked.into_database() else { unreachable!("the dialect was asked for") };
                ReplacedCopy::Database(self.restore_context().exchange(*old, cancel).await?)
            }
            _ => {
                let result = self.restore_into(&mut locked, &mut canceller, cancel).await;
                release_lock(locked).await;
                result?
            }
        };
        note_success(&safety, None).await;
        Ok(self.summary(&safety, replaced))
    }

    /// Returns the context of a restore on PostgreSQL.
    fn restore_context(&self) -> RestoreContext<'_> {
        let DatabaseConfig { backup, history, lock_timeout, .. } = self.config;
        let (pg_dump, jobs) = (backup.pg_dump.as_deref(), backup.jobs.count());
        RestoreContext { archive: self.archive, pg_dump, jobs, history, timeout: *lock_timeout }
    }

    /// Restores into the existing database or file, and returns where the replaced data is kept.
    async fn restore_into(
        &self,
        locked: &mut Locked,
        canceller: &mut Canceller,
        cancel: &Cancel,
    ) -> Result<ReplacedCopy, Failure> {
        let DatabaseConfig { history, lock_timeout, .. } = self.config;
        match locked.database() {
            Database::Postgres(database) => {
                self.restore_context().in_place(database, canceller, cancel).await.map(|()| ReplacedCopy::Backup)
            }
            Database::Sqlite(database) => {
                let failed_database = sqlite::put_back(database, self.archive, history, *lock_timeout, cancel).await?;
                Ok(failed_database.map_or(ReplacedCopy::Backup, ReplacedCopy::File))
            }
        }
    }

    /// Returns the summary for the last line.
    fn summary(&self, safety: &Safety, replaced: ReplacedCopy) -> ChangeSummary {
        let revision = self.archive.manifest.from_revision.clone();
        let current_revision = revision.as_deref().unwrap_or("no revision");
        let backup = safety.shown();
        let replaced_note = match (replaced, &backup) {
            (ReplacedCopy::Database(name), _) => {
                let quoted = identifier(&name);
                format!("the one before is kept as {name}; when nobody needs it: DROP DATABASE {quoted}")
            }
            (ReplacedCopy::File(path), _) => {
                format!("the one before is kept as {}; remove it when nobody needs it", path.display())
            }
            (ReplacedCopy::Backup, Some(file)) => format!("the one before is kept as {file}"),
            (ReplacedCopy::Backup, None) => "the one before is not kept".into(),
        };
        let message =
            format!("restored {}: the database is at {current_revision}; {replaced_note}", self.archive.shown);
        ChangeSummary { message, revision, backup }
    }
}
