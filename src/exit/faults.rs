//! What faults of the database, of a migration and of a backup come to.

use super::Exit;
use crate::database::{Broken, Fault, Kind};
use crate::error::{BackupError, Stage};

pub(super) fn of_fault(stage: Stage, fault: &Fault) -> Exit {
    match fault.kind {
        Kind::Unresolved | Kind::Unreachable | Kind::Starting | Kind::Exhausted | Kind::ReadOnly => {
            Exit::Unavailable
        }
        Kind::Lost if stage >= Stage::Migrate => Exit::Unknown,
        Kind::Lost => Exit::Unavailable,
        Kind::Authentication | Kind::NoPrivilege => Exit::Denied,
        Kind::NoDatabase | Kind::TransactionPooler | Kind::Setting | Kind::Unsupported => Exit::Config,
        Kind::Tls | Kind::Protocol => Exit::Protocol,
        Kind::Busy => Exit::Locked,
        Kind::Contended => Exit::Contended,
        Kind::Corrupt => Exit::Invalid,
        Kind::Io => Exit::Io,
        Kind::Cancelled | Kind::Statement if stage >= Stage::Migrate => Exit::Failed,
        Kind::Cancelled | Kind::Statement => Exit::Internal,
    }
}

pub(super) fn of_broken(broken: &Broken) -> Exit {
    match broken {
        Broken::Statement { fault, .. } => match fault.kind {
            Kind::Contended => Exit::Contended,
            Kind::Busy => Exit::Locked,
            Kind::Io => Exit::Io,
            Kind::Corrupt => Exit::Invalid,
            _ => Exit::Failed,
        },
        Broken::Bookkeeping(fault) | Broken::Commit(fault) => of_fault(Stage::Migrate, fault),
        Broken::Partial { .. } | Broken::Unrecorded { .. } => Exit::Partial,
        Broken::Unknown(_) => Exit::Unknown,
        Broken::LockLost | Broken::Violations(_) => Exit::Failed,
        Broken::ChangedOnDisk | Broken::ResumeEdited { .. } | Broken::Text(_) => Exit::Invalid,
        Broken::Replaced => Exit::Io,
    }
}

pub(super) fn of_backup(error: &BackupError) -> Exit {
    match error {
        error if error.is_no_room() => Exit::BackupTarget,
        BackupError::Tool(error) if error.is_contended() => Exit::Contended,
        BackupError::Folder(_) | BackupError::Full(_) | BackupError::NoRoom { .. } => Exit::BackupTarget,
        BackupError::Source(fault) => of_fault(Stage::Backup, fault),
        BackupError::Tool(_) | BackupError::Empty(_) | BackupError::TimedOut(_) | BackupError::Copy(_) => {
            Exit::BackupFailed
        }
        BackupError::Unverified(_) => Exit::BackupUnverified,
    }
}
