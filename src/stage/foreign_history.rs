//! Handles databases without a history of Lockkeeper: refuses those that another tool has migrated, and warns of
//! tables.

use crate::database::{Database, DatabaseError, Locked, is_duplicate_object};
use crate::directory::MigrationDir;
use crate::error::{Cause, Failure, Stage};
use crate::revision::other_tools::Adoption;
use crate::revision::{Applied, Direction, Migration, RecordedState};

/// Refuses a database that another tool has migrated and Lockkeeper never has: nobody knows which of Lockkeeper's
/// revisions it contains.
///
/// # Errors
/// Fails with the histories of the other tools and the way to begin Lockkeeper's history, or when the session is lost.
pub(crate) async fn refuse_foreign_history(database: &mut Database, directory: &MigrationDir) -> Result<(), Failure> {
    let failed = |cause| Failure::new(Stage::Plan, cause);
    if database.has_history() {
        return Ok(());
    }
    let histories = database.foreign_histories().await.map_err(|fault| failed(Cause::Database(fault)))?;
    match histories.is_empty() {
        true => Ok(()),
        false => {
            let layout = directory.layout;
            let version = move |text: &str| layout.version(text);
            let adoption = Adoption::new(histories, directory.revisions(&version));
            Err(failed(Cause::Foreign(Box::new(adoption))))
        }
    }
}

/// Warns when revisions are about to be applied to a database that has tables, none of which a recorded revision has
/// created. Returns whether that is so.
///
/// # Errors
/// Fails when the session is lost.
pub(crate) async fn warn_of_unrecorded_tables(
    locked: &mut Locked,
    direction: Direction,
    applied: &[Applied],
) -> Result<bool, DatabaseError> {
    // With `done: 0`, the first statement of a script without a transaction has failed, and nothing of the script
    // exists.
    let has_created = |row: &Applied| row.state != RecordedState::Partial { done: 0 };
    if direction == Direction::Down || applied.iter().any(has_created) {
        return Ok(false);
    }
    let tables = locked.database().table_names().await?;
    if tables.count == 0 {
        return Ok(false);
    }
    tracing::warn!(
        "this database has {tables} but no revision is recorded as applied, so all of them are applied; if revisions of this directory have created those tables, record them with lockkeeper stamp REVISION instead"
    );
    Ok(true)
}

/// Adds the advice to record revisions with `stamp` to a failure, if a statement failed because its object exists
/// already. Returns every other failure as it is.
pub(crate) fn advise_stamp(failure: Failure, migrations: &[Migration]) -> Failure {
    let cause = match &failure.cause {
        Cause::Rehearsal { cause, .. } => cause,
        cause => cause,
    };
    let Cause::Step { file, error } = cause else {
        return failure;
    };
    let migration = migrations.iter().find(|migration| *migration.up.file == **file);
    let is_duplicate = error.statement_without_effect().is_some_and(is_duplicate_object);
    let Some(migration) = migration.filter(|_| is_duplicate) else {
        return failure;
    };
    let id = &migration.version;
    let baseline = format!(
        "lockkeeper stamp {id} if everything that the revisions up to {id} create is there already; otherwise correct the file and run again"
    );
    Failure { baseline: Some(baseline), ..failure }
}
