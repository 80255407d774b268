//! The settings of parallel backups and restores: the number of jobs, and the compression.

use std::num::NonZero;
use std::thread::available_parallelism;

use super::environment::RawEnvironment;
use super::pool;
use super::settings::{number, pick};
use crate::cli::Flags;
use crate::database::postgres::dump::compression::DumpCompression;
use crate::error::Cause;

/// The largest number of jobs that is chosen without a setting.
const MAX_DEFAULT_JOBS: usize = 4;
/// The sessions of a run beside those of the jobs: the working one, the monitor, and the one that leads the jobs.
const OTHER_SESSIONS: usize = 3;

/// The number of jobs of a backup or restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BackupJobs {
    /// The number that the machine and the application's connection pool allow.
    Default(NonZero<usize>),
    /// The number that the user has set.
    Set(NonZero<usize>),
}

impl BackupJobs {
    /// Returns the number.
    pub(crate) fn count(self) -> NonZero<usize> {
        match self {
            BackupJobs::Default(count) | BackupJobs::Set(count) => count,
        }
    }
}

/// Reads the number of jobs. By default it is that of the processors, at most four, and within the connections that the
/// application's pool may open.
pub(super) fn jobs(flags: &Flags, raw: &RawEnvironment) -> Result<BackupJobs, Cause> {
    let setting = pick(&flags.backup_jobs, "--backup-jobs", &raw.lockkeeper_backup_jobs, "LOCKKEEPER_BACKUP_JOBS");
    let is_set = setting.is_some();
    let set = NonZero::new(number(setting, 1, 1)? as usize).unwrap_or(NonZero::<usize>::MIN);
    if is_set {
        return Ok(BackupJobs::Set(set));
    }
    let limit = pool::session_limit(&raw.database_pool_size, &raw.database_max_overflow)?;
    let pool = limit.map_or(MAX_DEFAULT_JOBS, |limit| limit.saturating_sub(OTHER_SESSIONS));
    let processors = available_parallelism().map_or(1, NonZero::get);
    let jobs = NonZero::new(processors.min(MAX_DEFAULT_JOBS).min(pool));
    Ok(BackupJobs::Default(jobs.unwrap_or(NonZero::<usize>::MIN)))
}

/// Reads the compression; `None` if none is set.
pub(super) fn compression(flags: &Flags, raw: &RawEnvironment) -> Result<Option<DumpCompression>, Cause> {
    let (flag, variable) = ("--backup-compress", "LOCKKEEPER_BACKUP_COMPRESS");
    let setting = pick(&flags.backup_compress, flag, &raw.lockkeeper_backup_compress, variable);
    let parse = |setting: &super::Setting| DumpCompression::parse(&setting.value).map_err(|why| setting.refused(why));
    setting.as_ref().map(parse).transpose()
}
