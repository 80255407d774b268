//! The settings of backups, of rehearsals, and of the restore after a failed migration.

use std::path::{Path, PathBuf};

use super::environment::RawEnvironment;
use super::settings::{limit, number, pick};
use super::{BackupMode, BackupPolicy, OnFailure, RehearsalMode, parse_bool};
use crate::cli::Flags;
use crate::database::url::{self, DatabaseTarget as Url, SqliteLocation};
use crate::error::Cause;

/// Reads the settings of backups from flags and variables.
pub(super) fn policy(flags: &Flags, raw: &RawEnvironment, url: &Url) -> Result<BackupPolicy, Cause> {
    let mode = pick(&flags.backup, "--backup", &raw.lockkeeper_backup, "LOCKKEEPER_BACKUP");
    let dir = pick(&flags.backup_dir, "--backup-dir", &raw.lockkeeper_backup_dir, "LOCKKEEPER_BACKUP_DIR");
    let keep = pick(&flags.backup_keep, "--backup-keep", &raw.lockkeeper_backup_keep, "LOCKKEEPER_BACKUP_KEEP");
    let timeout =
        pick(&flags.backup_timeout, "--backup-timeout", &raw.lockkeeper_backup_timeout, "LOCKKEEPER_BACKUP_TIMEOUT");
    let pg_dump = pick(&flags.pg_dump, "--pg-dump", &raw.lockkeeper_pg_dump, "LOCKKEEPER_PG_DUMP");
    Ok(BackupPolicy {
        mode: match mode.as_ref().map_or("required", |setting| setting.value.as_str()) {
            "required" => BackupMode::Required,
            "off" => BackupMode::Off,
            _ => return Err(mode.expect("the default is known").refused("write required or off")),
        },
        dir: dir.map_or_else(|| default_backup_dir(url), |setting| setting.value.into()),
        keep: number(keep, 5, 1)? as usize,
        timeout: limit(timeout)?,
        pg_dump: pg_dump.map(|setting| setting.value.into()),
    })
}

/// Reads the setting `on_failure`, and refuses combinations that have no effect.
pub(super) fn on_failure(
    flags: &Flags,
    raw: &RawEnvironment,
    url: &Url,
    backup: BackupMode,
) -> Result<OnFailure, Cause> {
    let (flag, variable) = ("--on-failure", "LOCKKEEPER_ON_FAILURE");
    let Some(setting) = pick(&flags.on_failure, flag, &raw.lockkeeper_on_failure, variable) else {
        return Ok(OnFailure::Keep);
    };
    match (setting.value.as_str(), url) {
        ("keep", _) => Ok(OnFailure::Keep),
        ("restore", _) if backup == BackupMode::Off => {
            Err(setting.refused("there is nothing to restore: LOCKKEEPER_BACKUP is off"))
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

/// Reads the setting of rehearsals, which need a backup.
pub(super) fn rehearse(flags: &Flags, raw: &RawEnvironment, backup: BackupMode) -> Result<RehearsalMode, Cause> {
    let wanted = flags.rehearse || parse_bool(raw.lockkeeper_rehearse.as_deref(), "LOCKKEEPER_REHEARSE")?;
    match (wanted, backup) {
        (false, _) => Ok(RehearsalMode::No),
        (true, BackupMode::Required) => Ok(RehearsalMode::Yes),
        (true, BackupMode::Off) => {
            let message = "LOCKKEEPER_REHEARSE: a rehearsal runs on the backup, and LOCKKEEPER_BACKUP is off";
            Err(Cause::Config(message.into()))
        }
    }
}
