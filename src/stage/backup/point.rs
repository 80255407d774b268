//! A backup that is a point in the write-ahead log: a named restore point, up to which the log is archived.

use std::time::Duration;

use tokio::time::sleep;

use super::external::RestorePoint;
use super::names::plain_character;
use super::program::{BackupProgram, TimeLimit};
use super::work::BackupWork;
use super::work::RevisionRange;
use crate::clock;
use crate::database::postgres::restore_point::{
    ArchiveFailure, ArchiveState, CreatedPoint, PointSupport, RestorePoints,
};
use crate::database::{Database, DatabaseError};
use crate::error::{BackupError, Cause};
use crate::guarded_command::{OutputUse, hide_secrets};
use crate::progress::with_progress;

/// The time limit without LOCKKEEPER_BACKUP_TIMEOUT: an archive that does not work makes no progress ever.
const DEFAULT_LIMIT: Duration = Duration::from_secs(600);
/// The pause before the archiver is asked again. Each next one is twice as long, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// The length of the longest name of a restore point, in bytes (PostgreSQL's `MAXFNAMELEN`, less its end).
const MAX_NAME: usize = 63;
/// The length of the longest revision in a name, in bytes.
const MAX_REVISION: usize = 12;

/// Returns the reason why the server cannot be backed up with a restore point; `None` if it can.
///
/// # Errors
/// Fails when the session is lost, and with the GRANT that is missing.
pub(super) async fn obstacle(database: &mut Database) -> Result<Option<String>, DatabaseError> {
    match database {
        Database::Sqlite(_) => Ok(Some("SQLite has no restore points".into())),
        Database::Postgres(session) => match RestorePoints::check(session).await? {
            PointSupport::Available => Ok(None),
            PointSupport::Unavailable(reason) => Ok(Some(reason)),
        },
    }
}

/// Makes a restore point in the locked database and waits until the log up to it is archived. With a base command, that
/// one is asked first.
///
/// # Errors
/// Fails when the base command does, when the session is lost, and when the time is up.
pub(super) async fn take(work: &mut BackupWork<'_>) -> Result<RestorePoint, Cause> {
    let BackupWork { hold, policy, range, context, .. } = work;
    let time = TimeLimit::start(Some(policy.timeout.unwrap_or(DEFAULT_LIMIT)));
    let cancel = &context.cancel;
    let name = hold.locked.database().identity().name;
    match &policy.commands.base {
        Some(command) => {
            hide_secrets(command.line(), &name);
            BackupProgram { command, cancel, time }.run(None, OutputUse::Logged, hold.again()).await?;
        }
        None => tracing::warn!("WAL only: no base backup was confirmed (LOCKKEEPER_BACKUP_BASE_COMMAND asks for one)"),
    }
    let Database::Postgres(session) = hold.locked.database() else {
        return Err(Cause::Internal("a restore point was asked for in SQLite".into()));
    };
    let name = point_name(&name, range, &clock::now_with_microseconds());
    let (point, points) = RestorePoints::create(session, &name).await.map_err(Cause::Database)?;
    tracing::info!("restore point {name} at {}, in the segment {}", point.lsn, point.segment);
    let mut wait = ArchiveWait { points, point: &point, failure: None };
    let activity = format!("waiting for the archive: segment {}", point.segment);
    tokio::select! {
        biased;
        reason = cancel.cancelled() => return Err(Cause::Stopped(reason)),
        result = with_progress(&activity, wait.until_archived()) => result.map_err(Cause::Database)?,
        () = time.is_up() => return Err(Cause::Backup(wait.too_late(time.limit.unwrap_or_default()))),
    }
    tracing::info!("the segment {} with the restore point {name} is archived", point.segment);
    Ok(RestorePoint {
        name,
        time: point.time,
        lsn: point.lsn,
        timeline: point.segment.timeline,
        system_identifier: point.system_identifier,
        segment: point.segment.to_string(),
        has_base_backup: policy.commands.base.is_some(),
    })
}

/// A wait for the archiver.
struct ArchiveWait<'a> {
    points: RestorePoints<'a>,
    point: &'a CreatedPoint,
    /// The last failure of the archiver, as long as it fails.
    failure: Option<ArchiveFailure>,
}

impl ArchiveWait<'_> {
    /// Asks the archiver again and again.
    async fn until_archived(&mut self) -> Result<(), DatabaseError> {
        let mut pause = FIRST_PAUSE;
        while let ArchiveState::Waiting(failure) = self.points.is_archived(self.point).await? {
            self.note(failure);
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        Ok(())
    }

    /// Keeps a failure of the archiver, and logs the first one of each file: it tries again and again.
    fn note(&mut self, failure: Option<ArchiveFailure>) {
        if let Some(ArchiveFailure { file, time }) = &failure
            && self.failure.as_ref().is_none_or(|known| known.file != *file)
        {
            tracing::warn!("the archiver of the server fails: it could not archive {file} at {time}, and tries again");
        }
        self.failure = failure;
    }

    fn too_late(&self, limit: Duration) -> BackupError {
        let failure = match &self.failure {
            Some(ArchiveFailure { file, time }) => format!("the archiver failed last with {file} at {time}"),
            None => "the archiver reports no failure".into(),
        };
        let (segment, point) = (self.point.segment.to_string(), self.point.name.clone());
        BackupError::NotArchived { segment, point, limit, failure }
    }
}

/// Returns the name of a restore point: `lockkeeper-app-20260112T093000123456Z-from-0004`. The microseconds distinguish it
/// from those of other runs: a recovery ends at the first point of its name.
fn point_name(database: &str, range: &RevisionRange, time: &str) -> String {
    let time: String = time.chars().filter(char::is_ascii_alphanumeric).collect();
    let revision = range.before().unwrap_or("unversioned");
    let revision: String = revision.chars().map(plain_character).take(MAX_REVISION).collect();
    let end = format!("-{time}-from-{revision}");
    let start: String = "lockkeeper-".chars().chain(database.chars().map(plain_character)).collect();
    start[..start.len().min(MAX_NAME.saturating_sub(end.len()))].to_owned() + &end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_plain_and_of_its_own_time() {
        let name = |database: &str, from: Option<&str>, time: &str| {
            point_name(database, &RevisionRange { from: from.map(str::to_owned), ..RevisionRange::default() }, time)
        };
        let time = "2026-01-12T09:30:00.123456Z";
        assert_eq!(name("app", Some("0004"), time), "lockkeeper-app-20260112T093000123456Z-from-0004");
        assert_eq!(name("app", None, time), "lockkeeper-app-20260112T093000123456Z-from-unversioned");
        assert_eq!(name("a'b é", Some("a/b"), time), "lockkeeper-a_b__-20260112T093000123456Z-from-a_b");
        let longest = name(&"é".repeat(63), Some(&"9".repeat(40)), time);
        assert_eq!((longest.len(), longest.starts_with("lockkeeper-___")), (MAX_NAME, true), "{longest}");
        assert_ne!(name("app", None, time), name("app", None, "2026-01-12T09:30:00.123457Z"));
    }
}
