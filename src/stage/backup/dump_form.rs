//! The choice between a single file and a directory.

use std::num::NonZero;

use crate::config::{BackupJobs, BackupPolicy};
use crate::database::postgres::dump::capacity::Capacity;
use crate::database::postgres::dump::request::DumpForm;
use crate::database::{Database, DatabaseError};

/// The size in bytes from which on a database is backed up into a directory: a smaller one takes a few seconds either way,
/// and a single file is easier to handle.
const DIRECTORY_SIZE: u64 = 64 * 1024 * 1024;
/// The number of large objects up to which a database is backed up into a directory, where each is a file of its own.
const MOST_LARGE_OBJECTS: i64 = 10_000;

/// Chooses the form of the backup of a database of `size` bytes: a directory for a large database, or if the user has
/// asked for several jobs; and one file otherwise. `LOCKKEEPER_BACKUP_JOBS=1` means one file for a large database, too.
///
/// # Errors
/// Fails when the session is lost.
pub(super) async fn choose(
    database: &mut Database,
    policy: &BackupPolicy,
    size: u64,
) -> Result<DumpForm, DatabaseError> {
    let Database::Postgres(session) = database else {
        return Ok(DumpForm::File);
    };
    let is_wanted = match policy.jobs {
        BackupJobs::Set(jobs) => jobs > NonZero::<usize>::MIN,
        BackupJobs::Default(_) => size >= DIRECTORY_SIZE,
    };
    if !is_wanted {
        return Ok(DumpForm::File);
    }
    let mut capacity = Capacity::new(session);
    let facts = capacity.dump_facts().await?;
    if facts.large_objects > MOST_LARGE_OBJECTS {
        tracing::info!(
            "the backup is a single file: in a directory, each of the {} large objects would be a file",
            facts.large_objects
        );
        return Ok(DumpForm::File);
    }
    capacity.dump_jobs(policy.jobs.count(), facts).await.map(DumpForm::Directory)
}
