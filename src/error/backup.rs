//! Why there is no verified backup, or why one was not restored.

use std::path::PathBuf;
use std::time::Duration;

use crate::database::postgres::dump::ToolError;
use crate::database::{DatabaseError, DatabaseErrorKind};

/// Why there is no verified backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("{0}")]
    Folder(String),
    /// Disk, quota or the limit for a file's size is used up.
    #[error("{0}")]
    Full(String),
    /// `cause` ends with a colon, or is empty when the room was too small from the beginning.
    #[error("{cause}{folder} has {free} bytes free, the backup may need {needed}", folder = folder.display())]
    NoRoom { cause: String, folder: PathBuf, needed: u64, free: u64 },
    #[error("{0}")]
    Tool(ToolError),
    #[error("{0} ended well but has written nothing")]
    Empty(&'static str),
    #[error("it took longer than LOCKKEEPER_BACKUP_TIMEOUT ({0:?})")]
    TimedOut(Duration),
    /// What was to be copied cannot be read.
    #[error("{0}")]
    Source(DatabaseError),
    #[error("{0}")]
    Copy(DatabaseError),
    #[error("the backup was written but cannot be read back: {0}")]
    Unverified(String),
}

impl BackupError {
    /// Whether the place for the backup is full.
    pub fn is_no_room(&self) -> bool {
        match self {
            BackupError::Full(_) | BackupError::NoRoom { .. } => true,
            BackupError::Tool(error) => error.is_no_room(),
            BackupError::Copy(fault) => fault.kind == DatabaseErrorKind::Io,
            _ => false,
        }
    }
}

/// Why a backup was not restored. The database is as it was, unless the variant says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// There is no such file, or it belongs to another database.
    #[error("{0}")]
    Unfit(String),
    /// Objects of any kind that are newer than the backup, which `--in-place` would leave.
    #[error("the database has objects that the backup does not have, and --in-place would leave them: {}", .0.join(", "))]
    WouldStay(Vec<String>),
    /// Nothing vouches for the file.
    #[error("{0}")]
    Unverified(String),
    #[error("{0}")]
    Tool(ToolError),
    #[error("{0}")]
    Database(DatabaseError),
    /// What was restored is not what the manifest says.
    #[error("what was restored is not what its manifest says: {}", .0.join("; "))]
    Differs(Vec<String>),
    /// The connection was lost while the databases changed places.
    #[error("{0}")]
    Unknown(DatabaseError),
    /// The connection was lost in the COMMIT of a restore in place.
    #[error("{0}")]
    UnknownInPlace(DatabaseError),
}

/// What became, after a failure, of the backup that the run had taken.
#[derive(Debug, Default)]
pub enum BackupDisposition {
    /// There is none, or it is not needed.
    #[default]
    Nothing,
    /// It is there; something of this run stands.
    Kept(PathBuf),
    /// It was put back, and nothing of this run stands. The file that it has replaced is kept.
    PutBack { backup: PathBuf, kept: Option<PathBuf> },
    /// It was to be put back; why it was not.
    NotPutBack { backup: PathBuf, why: String },
}
