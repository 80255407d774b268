//! The settings of backups, of rehearsals, and of the restore after a failed migration.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::backup_commands::BackupCommands;
use super::backup_jobs::{BackupJobs, compression, jobs};
use super::backup_keep::BackupKeep;
use super::backup_place::BackupPlace;
use super::backup_ways::{BackupWay, BackupWays};
use super::environment::RawEnvironment;
use super::settings::{Setting, limit, pick};
use super::{OnFailure, RehearsalMode, parse_bool};
use crate::byte_size::parse_byte_size;
use crate::cli::Flags;
use crate::database::postgres::dump::compression::DumpCompression;
use crate::database::url::{self, DatabaseTarget as Url, SqliteLocation};
use crate::error::Cause;

/// The largest backup that may be taken as a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BackupBudget {
    /// The largest size of the file in bytes, if there is a limit.
    pub(crate) size: Option<u64>,
    /// The longest time that writing and verifying it may take, if there is a limit.
    pub(crate) time: Option<Duration>,
}

/// The settings of backups.
#[derive(Clone, Debug)]
pub(crate) struct BackupPolicy {
    /// The ways to back up, in the order in which they are tried.
    pub(crate) ways: BackupWays,
    /// The largest backup that may be taken as a file.
    pub(crate) budget: BackupBudget,
    /// The programs of the user's that have to do with backups.
    pub(crate) commands: BackupCommands,
    /// The place in which backups lie.
    pub(crate) place: BackupPlace,
    /// The directory of the backups; the one that is usual if they lie in a bucket.
    pub(crate) dir: PathBuf,
    /// The verified backups that are kept per database.
    pub(crate) keep: BackupKeep,
    /// The time limit of one backup, if there is one.
    pub(crate) timeout: Option<Duration>,
    /// The path of `pg_dump`, if it is configured.
    pub(crate) pg_dump: Option<PathBuf>,
    /// The number of sessions that dump or restore a PostgreSQL database at the same time.
    pub(crate) jobs: BackupJobs,
    /// The compression of PostgreSQL backups, if one is configured.
    pub(crate) compression: Option<DumpCompression>,
}

/// Reads the settings of backups from flags and variables.
pub(super) fn policy(flags: &Flags, raw: &RawEnvironment, url: &Url) -> Result<BackupPolicy, Cause> {
    let dir = pick(&flags.backup_dir, "--backup-dir", &raw.lockkeeper_backup_dir, "LOCKKEEPER_BACKUP_DIR");
    let place = parsed(dir, BackupPlace::parse)?.unwrap_or_else(|| BackupPlace::Directory(default_backup_dir(url)));
    let keep = pick(&flags.backup_keep, "--backup-keep", &raw.lockkeeper_backup_keep, "LOCKKEEPER_BACKUP_KEEP");
    let timeout =
        pick(&flags.backup_timeout, "--backup-timeout", &raw.lockkeeper_backup_timeout, "LOCKKEEPER_BACKUP_TIMEOUT");
    let commands = BackupCommands::read(flags, raw)?;
    let pg_dump = pick(&flags.pg_dump, "--pg-dump", &raw.lockkeeper_pg_dump, "LOCKKEEPER_PG_DUMP");
    Ok(BackupPolicy {
        ways: ways(flags, raw, url, &commands)?,
        commands,
        budget: budget(flags, raw)?,
        dir: match &place {
            BackupPlace::Directory(dir) => dir.clone(),
            BackupPlace::Bucket(_) => default_backup_dir(url),
        },
        place,
        keep: parsed(keep, BackupKeep::parse)?.unwrap_or_default(),
        timeout: limit(timeout)?,
        pg_dump: pg_dump.map(|setting| setting.value.into()),
        jobs: jobs(flags, raw)?,
        compression: compression(flags, raw)?,
    })
}

/// Reads the ways to back up, and refuses a list of which nothing fits the database.
fn ways(flags: &Flags, raw: &RawEnvironment, url: &Url, commands: &BackupCommands) -> Result<BackupWays, Cause> {
    let Some(setting) = pick(&flags.backup, "--backup", &raw.lockkeeper_backup, "LOCKKEEPER_BACKUP") else {
        return Ok(BackupWays::default());
    };
    let ways = BackupWays::parse(&setting.value).map_err(|reason| setting.refused(&reason))?;
    let is_for_postgres = |way| way == BackupWay::Point;
    if matches!(url, Url::Sqlite(_)) && ways.iter().all(is_for_postgres) {
        return Err(setting.refused("SQLite has no restore points: name another way, such as dump"));
    }
    if ways.iter().any(|way| way == BackupWay::Command) && commands.backup.is_none() {
        return Err(setting.refused("command needs a program in LOCKKEEPER_BACKUP_COMMAND"));
    }
    Ok(ways)
}

fn budget(flags: &Flags, raw: &RawEnvironment) -> Result<BackupBudget, Cause> {
    let (flag, variable) = ("--backup-max-size", "LOCKKEEPER_BACKUP_MAX_SIZE");
    let size = pick(&flags.backup_max_size, flag, &raw.lockkeeper_backup_max_size, variable);
    let (flag, variable) = ("--backup-max-time", "LOCKKEEPER_BACKUP_MAX_TIME");
    let time = pick(&flags.backup_max_time, flag, &raw.lockkeeper_backup_max_time, variable);
    Ok(BackupBudget { size: parsed(size, parse_byte_size)?, time: limit(time)? })
}

/// Parses a setting; `None` if it is not set.
fn parsed<T>(setting: Option<Setting>, parse: fn(&str) -> Result<T, String>) -> Result<Option<T>, Cause> {
    let parse_setting = |setting: Setting| parse(&setting.value).map_err(|reason| setting.refused(&reason));
    setting.map(parse_setting).transpose()
}

/// Reads the setting `on_failure`, and refuses combinations that have no effect.
pub(super) fn on_failure(
    flags: &Flags,
    raw: &RawEnvironment,
    url: &Url,
    ways: &BackupWays,
) -> Result<OnFailure, Cause> {
    let (flag, variable) = ("--on-failure", "LOCKKEEPER_ON_FAILURE");
    let Some(setting) = pick(&flags.on_failure, flag, &raw.lockkeeper_on_failure, variable) else {
        return Ok(OnFailure::Keep);
    };
    match (setting.value.as_str(), url) {
        ("keep", _) => Ok(OnFailure::Keep),
        ("restore", _) if ways.is_off() => {
            Err(setting.refused("there is nothing to restore: LOCKKEEPER_BACKUP is off"))
        }
        ("restore", _) if !ways.is_dump() => {
            Err(setting.refused(&format!("restore needs a file, and LOCKKEEPER_BACKUP is {ways}: write dump alone")))
        }
        ("restore", Url::Sqlite(_)) => Ok(OnFailure::Restore),
        ("restore", Url::Postgres(_)) => {
            Err(setting.refused("restore is for SQLite; for PostgreSQL run lockkeeper restore"))
        }
        _ => Err(setting.refused("write keep or restore")),
    }
}

/// Returns the backup directory if none is set: beside the SQLite file, or else `/backups` if it exists, or `backups`.
fn default_backup_dir(url: &Url) -> PathBuf {
    match url {
        Url::Sqlite(url::SqliteTarget { location: SqliteLocation::File(path) }) => path.with_file_name("backups"),
        _ if Path::new("/backups").exists() => "/backups".into(),
        _ => "backups".into(),
    }
}

/// Reads the setting of rehearsals, which need a backup in a file.
pub(super) fn rehearse(flags: &Flags, raw: &RawEnvironment, ways: &BackupWays) -> Result<RehearsalMode, Cause> {
    let wanted = flags.rehearse || parse_bool(raw.lockkeeper_rehearse.as_deref(), "LOCKKEEPER_REHEARSE")?;
    match wanted {
        false => Ok(RehearsalMode::No),
        true if ways.is_dump() => Ok(RehearsalMode::Yes),
        true => {
            let message =
                format!("LOCKKEEPER_REHEARSE: a rehearsal runs on the backup's file, and LOCKKEEPER_BACKUP is {ways}");
            Err(Cause::Config(message))
        }
    }
}
