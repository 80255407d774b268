//! The errors of backups and restores.

use std::path::PathBuf;
use std::time::Duration;

use crate::bucket::BucketError;
use crate::database::postgres::dump::ToolError;
use crate::database::{DatabaseError, DatabaseErrorKind};

/// The reason why there is no verified backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The backup directory cannot be used.
    #[error("{0}")]
    Directory(String),
    /// The bucket cannot be used.
    #[error("{0}")]
    Bucket(BucketError),
    /// The disk, the quota or the limit of the file size is exhausted.
    #[error("{0}")]
    Full(String),
    /// The directory has not enough room, both in bytes. `cause` ends with a colon, or is empty when the room was too
    /// small from the beginning.
    #[error("{cause}{directory} has {free} bytes free, the backup may need {needed}", directory = directory.display())]
    NoRoom {
        /// An earlier error that says so, followed by a colon; or empty.
        cause: String,
        /// The directory of the backups.
        directory: PathBuf,
        /// The bytes that the backup takes at most.
        needed: u64,
        /// The bytes that are free.
        free: u64,
    },
    /// `pg_dump` failed.
    #[error("{0}")]
    Tool(ToolError),
    /// The tool of this name ended without an error and has written nothing.
    #[error("{0} ended well but has written nothing")]
    Empty(&'static str),
    /// None of the ways to back up fits; the reason of each.
    #[error("no way to back up fits: {}", .0.join("; "))]
    NoWay(Vec<String>),
    /// The backup took longer than this limit.
    #[error("it took longer than LOCKKEEPER_BACKUP_TIMEOUT ({0:?})")]
    TimedOut(Duration),
    /// The data to back up cannot be read.
    #[error("{0}")]
    Source(DatabaseError),
    /// The copy of the SQLite file failed.
    #[error("{0}")]
    Copy(DatabaseError),
    /// A program of the user's that has to do with the backup has failed, or has not answered as it should.
    #[error("{command}: {problem}")]
    Program {
        /// The command, without words that may be secret.
        command: String,
        /// The problem, with a part of the output, in which secrets are masked.
        problem: String,
    },
    /// The backup that a program had begun was not ready within the limit.
    #[error("the backup {id} of {command} was still pending after LOCKKEEPER_BACKUP_TIMEOUT ({limit:?})")]
    StillPending {
        /// The command, without words that may be secret.
        command: String,
        /// The id of the backup.
        id: String,
        /// The limit.
        limit: Duration,
    },
    /// The segment of the log with the restore point was not archived within the limit.
    #[error("the segment {segment} with the restore point {point} was not archived within {limit:?}: {failure}")]
    NotArchived {
        /// The segment.
        segment: String,
        /// The name of the restore point.
        point: String,
        /// The limit.
        limit: Duration,
        /// A sentence about the last failure of the archiver.
        failure: String,
    },
    /// The written backup cannot be read back.
    #[error("the backup was written but cannot be read back: {0}")]
    Unverified(String),
}

impl BackupError {
    /// Reports whether there is no room for the backup.
    pub(crate) fn is_no_room(&self) -> bool {
        match self {
            BackupError::Full(_) | BackupError::NoRoom { .. } => true,
            BackupError::Tool(error) => error.is_no_room(),
            BackupError::Copy(fault) => fault.kind == DatabaseErrorKind::Io,
            _ => false,
        }
    }
}

/// The reason why a backup was not restored. The database is unchanged, unless the variant says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The file does not exist, or is of another database.
    #[error("{0}")]
    Unfit(String),
    /// The database has these objects, which are newer than the backup and which `--in-place` would leave.
    #[error("the database has objects that the backup does not have, and --in-place would leave them: {}", .0.join(", "))]
    WouldStay(Vec<String>),
    /// The file is not verified: it has no manifest, or differs from it.
    #[error("{0}")]
    Unverified(String),
    /// The bucket with the backup cannot be read.
    #[error("{0}")]
    Bucket(BucketError),
    /// `pg_restore` failed.
    #[error("{0}")]
    Tool(ToolError),
    /// The database reported an error.
    #[error("{0}")]
    Database(DatabaseError),
    /// The restored data differs from the manifest in these points.
    #[error("what was restored is not what its manifest says: {}", .0.join("; "))]
    Differs(Vec<String>),
    /// The connection was lost while the databases were exchanged.
    #[error("{0}")]
    Unknown(DatabaseError),
    /// The connection was lost during the COMMIT of a restore in place.
    #[error("{0}")]
    UnknownInPlace(DatabaseError),
}

/// The use that was made, after a failure, of the backup that the run had taken.
#[derive(Debug, Default)]
pub enum BackupDisposition {
    /// There is no backup, or it is not needed.
    #[default]
    Nothing,
    /// The backup of this path is kept, because changes of this run remain.
    Kept(PathBuf),
    /// The backup lies elsewhere, and changes of this run remain; the text says how to go back to it.
    External(String),
    /// The backup was restored, and no change of this run remains. `kept` is the file that it has replaced.
    PutBack {
        /// The file of the backup.
        backup: PathBuf,
        /// Where the database that was replaced is kept.
        kept: Option<PathBuf>,
    },
    /// The backup could not be restored; `why` is the reason.
    NotPutBack {
        /// The file of the backup.
        backup: PathBuf,
        /// The reason.
        why: String,
    },
}
