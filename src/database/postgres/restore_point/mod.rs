//! Named restore points (`recovery_target_name`), and the proof that the write-ahead log up to one is archived.

mod wal_segment;

use super::{Postgres, column};
use crate::database::{DatabaseError, DatabaseErrorKind};
use crate::sql::{identifier, literal};
use wal_segment::{WalSegment, parse_position};

/// The functions that a role must be able to execute.
const FUNCTIONS: [&str; 2] = ["pg_create_restore_point(text)", "pg_switch_wal()"];

/// The ability of a server to make restore points that can be recovered to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PointSupport {
    /// The log is archived.
    Available,
    /// The settings of the server do not fit, for the reason in this sentence.
    Unavailable(String),
}

/// A restore point.
#[derive(Clone, Debug)]
pub(crate) struct CreatedPoint {
    /// The name, for `recovery_target_name`.
    pub(crate) name: String,
    /// The position of the end of its record, as PostgreSQL writes it.
    pub(crate) lsn: String,
    /// The time at which it was made.
    pub(crate) time: String,
    /// The segment that has the end of its record.
    pub(crate) segment: WalSegment,
    /// The system identifier of the server; `None` when the role may not read it.
    pub(crate) system_identifier: Option<String>,
}

/// A failed attempt to archive a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ArchiveFailure {
    /// The name of the file.
    pub(crate) file: String,
    /// The time of the attempt.
    pub(crate) time: String,
}

/// The statistics of the archiver (`pg_stat_archiver`), which it reports with a delay.
#[derive(Clone, Debug, Default)]
struct ArchiverStatus {
    /// The name of the last archived file.
    last_archived: Option<String>,
    /// The last failure.
    last_failed: Option<ArchiveFailure>,
    /// True if no file was archived after the last failure.
    is_failing: bool,
    /// The time of the last reset of the statistics.
    reset: Option<String>,
}

impl ArchiverStatus {
    /// Reports whether a segment and all before it are archived: the archiver takes the oldest file first.
    fn has(&self, segment: &WalSegment, size: u64) -> bool {
        let parse = |name: &str| WalSegment::parse(name, size);
        let is_reached = self.last_archived.as_deref().and_then(parse).is_some_and(|last| segment.is_up_to(&last));
        let failed = self.failure().and_then(|failure| parse(&failure.file));
        is_reached && !failed.is_some_and(|failed| failed.is_up_to(segment))
    }

    /// Returns the last failure, unless a file was archived after it.
    fn failure(&self) -> Option<&ArchiveFailure> {
        self.last_failed.as_ref().filter(|_| self.is_failing)
    }

    /// Reports whether the status was set since another one by something that hides the last archived segment: the label
    /// of a backup, a timeline history, or a reset. Only another segment can show then that ours is archived.
    fn hides_segments_since(&self, earlier: &ArchiverStatus, size: u64) -> bool {
        let has_changed = (&self.last_archived, &self.reset) != (&earlier.last_archived, &earlier.reset);
        has_changed && self.last_archived.as_deref().is_none_or(|name| WalSegment::parse(name, size).is_none())
    }
}

/// The restore points of a server, made and watched in the working session.
pub(crate) struct RestorePoints<'a> {
    session: &'a mut Postgres,
    segment_size: u64,
    /// The status at the last time when another segment was ended.
    last_switch: ArchiverStatus,
}

impl RestorePoints<'_> {
    /// Checks the settings of the server and the privileges of the role, before anything is written.
    ///
    /// # Errors
    /// Fails when the session is lost, and with the GRANT that is missing.
    pub(crate) async fn check(session: &mut Postgres) -> Result<PointSupport, DatabaseError> {
        let sql = format!(
            "SELECT current_setting('wal_level'), current_setting('archive_mode'), \
             coalesce(current_setting('archive_command', true), '') <> '' \
             OR coalesce(current_setting('archive_library', true), '') <> '', {}, {}",
            may_execute(FUNCTIONS[0]),
            may_execute(FUNCTIONS[1])
        );
        let row = session.row(sql).await?;
        let settings =
            ArchiveSettings { level: column(&row, 0)?, mode: column(&row, 1)?, has_archiver: column(&row, 2)? };
        if let Some(reason) = settings.problem() {
            return Ok(PointSupport::Unavailable(reason));
        }
        let may = [column::<bool>(&row, 3)?, column(&row, 4)?];
        let missing = FUNCTIONS.into_iter().zip(may).filter(|(_, may)| !may);
        let missing: Vec<String> = missing.map(|(function, _)| format!("pg_catalog.{function}")).collect();
        if missing.is_empty() {
            return Ok(PointSupport::Available);
        }
        let (role, database) = (identifier(&session.facts.role), identifier(&session.facts.database));
        let functions = missing.join(", ");
        let message = format!("a restore point needs the privilege to execute {functions}");
        let hint =
            format!("a superuser runs in the database {database}: GRANT EXECUTE ON FUNCTION {functions} TO {role}");
        Err(DatabaseError::new(DatabaseErrorKind::NoPrivilege, message).with_hint(hint))
    }

    /// Makes a restore point, and ends the segment with it, so that it is archived.
    ///
    /// # Errors
    /// Fails when the session is lost, or the server refuses.
    pub(crate) async fn create<'a>(
        session: &'a mut Postgres,
        name: &str,
    ) -> Result<(CreatedPoint, RestorePoints<'a>), DatabaseError> {
        let size = "SELECT pg_size_bytes(current_setting('wal_segment_size'))";
        let segment_size = u64::try_from(column::<i64>(&session.row(size.into()).await?, 0)?).unwrap_or(0);
        let mut points = RestorePoints { session, segment_size, last_switch: ArchiverStatus::default() };
        points.last_switch = points.status().await?;
        let system_identifier = points.system_identifier().await?;
        let sql = format!(
            "SELECT p::text, left(pg_walfile_name(p), 8), {} FROM pg_create_restore_point({}) p; SELECT pg_switch_wal()",
            rfc3339("clock_timestamp()"),
            literal(name)
        );
        let row = points.session.row(sql).await?;
        let (lsn, timeline): (String, String) = (column(&row, 0)?, column(&row, 1)?);
        let unreadable = || DatabaseError::new(DatabaseErrorKind::Protocol, "the position of the log cannot be read");
        let position = parse_position(&lsn).ok_or_else(unreadable)?;
        let timeline = u32::from_str_radix(&timeline, 16).map_err(|_| unreadable())?;
        let segment = WalSegment::before(position, timeline, segment_size);
        let time = column(&row, 2)?;
        Ok((CreatedPoint { name: name.to_owned(), lsn, time, segment, system_identifier }, points))
    }

    /// Asks once whether the point is archived. Returns the last failure of the archiver if it is not, and if there is one.
    ///
    /// # Errors
    /// Fails when the session is lost.
    pub(crate) async fn is_archived(&mut self, point: &CreatedPoint) -> Result<ArchiveState, DatabaseError> {
        let status = self.status().await?;
        if status.has(&point.segment, self.segment_size) {
            return Ok(ArchiveState::Archived);
        }
        if status.hides_segments_since(&self.last_switch, self.segment_size) {
            // A segment is only ended if something is in it.
            let sql = "SELECT pg_create_restore_point('lockkeeper: next segment'); SELECT pg_switch_wal()";
            self.session.rows(sql.into()).await?;
            self.last_switch = status.clone();
        }
        Ok(ArchiveState::Waiting(status.failure().cloned()))
    }

    async fn status(&mut self) -> Result<ArchiverStatus, DatabaseError> {
        let sql = format!(
            "SELECT last_archived_wal, last_failed_wal, {}, \
             coalesce(last_failed_time > last_archived_time, last_failed_time IS NOT NULL), stats_reset::text \
             FROM pg_stat_archiver",
            rfc3339("last_failed_time")
        );
        let row = self.session.row(sql).await?;
        let failure = |(file, time)| ArchiveFailure { file, time };
        Ok(ArchiverStatus {
            last_archived: column(&row, 0)?,
            last_failed: column::<Option<_>>(&row, 1)?.zip(column(&row, 2)?).map(failure),
            is_failing: column(&row, 3)?,
            reset: column(&row, 4)?,
        })
    }

    async fn system_identifier(&mut self) -> Result<Option<String>, DatabaseError> {
        let id = self.session.id().await?;
        Ok(id.and_then(|id| id.split(':').next().map(str::to_owned)))
    }
}

/// The state of the segment of a restore point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ArchiveState {
    /// The segment and all before it are archived.
    Archived,
    /// It is not archived yet; the failure is that of the last attempt of the archiver, if that has failed.
    Waiting(Option<ArchiveFailure>),
}

/// Returns the SQL expression for whether the role may execute a function.
fn may_execute(function: &str) -> String {
    format!("has_function_privilege({}, 'EXECUTE')", literal(&format!("pg_catalog.{function}")))
}

/// Returns the SQL expression for a time as RFC 3339 in whole seconds.
fn rfc3339(time: &str) -> String {
    format!("to_char({time} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')")
}

/// The settings of the server that decide whether it archives its log.
struct ArchiveSettings {
    /// `wal_level`.
    level: String,
    /// `archive_mode`.
    mode: String,
    /// True if there is an `archive_command` or `archive_library`.
    has_archiver: bool,
}

impl ArchiveSettings {
    /// Returns the reason why the log is not archived; `None` if it is.
    fn problem(&self) -> Option<String> {
        if self.level == "minimal" {
            return Some("the server's wal_level is minimal, and a restore point needs replica".into());
        }
        if !matches!(self.mode.as_str(), "on" | "always") {
            return Some(format!("the server does not archive its write-ahead log: archive_mode is {}", self.mode));
        }
        let reason = "the server does not archive its write-ahead log: archive_command and archive_library are empty";
        (!self.has_archiver).then(|| reason.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 16 << 20;
    const POINT: &str = "000000010000000000000005";

    fn status(last_archived: Option<&str>, last_failed: Option<&str>, reset: &str) -> ArchiverStatus {
        let failure = |file: &str| ArchiveFailure { file: file.into(), time: String::new() };
        let last_archived = last_archived.map(str::to_owned);
        let last_failed = last_failed.map(failure);
        ArchiverStatus { last_archived, is_failing: last_failed.is_some(), last_failed, reset: Some(reset.into()) }
    }

    #[test]
    fn a_segment_is_archived_when_it_or_a_later_one_was_the_last() {
        let point = WalSegment::parse(POINT, SIZE).expect("a segment");
        for (archived, failed, is_archived) in [
            (None, None, false),
            (Some("000000010000000000000004"), None, false),
            (Some(POINT), None, true),
            (Some("000000010000000000000006"), None, true),
            // Another timeline, and other files.
            (Some("000000020000000000000006"), None, false),
            (Some("00000002.history"), None, false),
            (Some("000000010000000000000006.00000028.backup"), None, false),
            (Some("000000010000000000000006.partial"), None, false),
            // The archiver has failed after that, for this segment, an earlier or a later one.
            (Some("000000010000000000000006"), Some(POINT), false),
            (Some("000000010000000000000006"), Some("000000010000000000000001"), false),
            (Some("000000010000000000000006"), Some("000000010000000000000007"), true),
            (Some(POINT), Some("00000002.history"), true),
        ] {
            assert_eq!(status(archived, failed, "").has(&point, SIZE), is_archived, "{archived:?} {failed:?}");
        }
        let mut repaired = status(Some(POINT), Some(POINT), "");
        repaired.is_failing = false;
        assert!(repaired.has(&point, SIZE) && repaired.failure().is_none());
    }

    #[test]
    fn a_file_or_a_reset_that_hides_the_segments_needs_another_segment() {
        let label = Some("000000010000000000000004.00000028.backup");
        for (earlier, now, hides) in [
            (status(None, None, "1"), status(None, None, "1"), false),
            (status(Some(POINT), None, "1"), status(None, None, "2"), true),
            (status(None, None, "2"), status(None, None, "2"), false),
            (status(label, None, "1"), status(label, None, "1"), false),
            (status(Some(POINT), None, "1"), status(label, None, "1"), true),
            (status(label, None, "1"), status(Some(POINT), None, "1"), false),
        ] {
            assert_eq!(now.hides_segments_since(&earlier, SIZE), hides, "{earlier:?} {now:?}");
        }
    }

    #[test]
    fn settings_that_archive_nothing_are_told() {
        let problem = |level: &str, mode: &str, has_archiver| {
            ArchiveSettings { level: level.into(), mode: mode.into(), has_archiver }.problem()
        };
        assert_eq!(problem("replica", "on", true), None);
        assert_eq!(problem("logical", "always", true), None);
        for (level, mode, has_archiver, word) in [
            ("minimal", "off", true, "wal_level is minimal"),
            ("replica", "off", true, "archive_mode is off"),
            ("replica", "on", false, "archive_library are empty"),
        ] {
            assert!(problem(level, mode, has_archiver).expect("a reason").contains(word), "{word}");
        }
    }
}
