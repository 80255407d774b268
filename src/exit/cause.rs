//! The one exhaustive match from a failure to its exit: a new cause does not compile before it has one.

use std::io::ErrorKind;

use super::Exit;
use crate::database::{ApplyError, DatabaseError, DatabaseErrorKind};
use crate::error::{BackupError, Cause, ExportError, RestoreError, Stage, TransferError};
use crate::signal::CancelReason;
use crate::transfer::plan::ErrorScope;

impl Exit {
    /// The code of a cause that ended a stage.
    pub fn from_cause(stage: Stage, cause: &Cause) -> Exit {
        match cause {
            Cause::Usage(_) | Cause::Target(_) | Cause::Declined { .. } => Exit::Usage,
            Cause::Config(_) | Cause::Foreign(_) => Exit::Config,
            Cause::Secret(_) => Exit::Denied,
            Cause::NoMigrations(_) | Cause::NoFolder(_) => Exit::NoMigrations,
            Cause::Unwritten { error, .. } => match error.kind() {
                ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Exit::Denied,
                _ => Exit::Io,
            },
            Cause::Invalid(_) => Exit::Invalid,
            Cause::NeverReady { fault, .. } | Cause::Database(fault) => of_fault(stage, fault),
            Cause::Held { .. } => Exit::Locked,
            Cause::Backup(error) => of_backup(error),
            Cause::Rehearsal { cause, .. } => of_rehearsal(cause),
            Cause::Restore(error) => of_restore(error),
            Cause::Transfer(error) => of_transfer(error),
            Cause::Dump(error) => of_dump(error),
            Cause::Step { broken, .. } | Cause::Unrecorded(broken) => of_broken(broken),
            Cause::Ahead(_) => Exit::Ahead,
            Cause::Mismatch(_) => Exit::Mismatch,
            Cause::Pending { .. } => Exit::Pending,
            Cause::NotMigrated { .. } => Exit::Unavailable,
            Cause::Stopped(reason) | Cause::Late { reason, .. } => of_reason(*reason),
            Cause::Halted { reason, .. } | Cause::Overdue { reason, .. } => of_reason(*reason),
            Cause::Output(_) => Exit::Io,
            Cause::Exec { error, .. } if error.kind() == ErrorKind::NotFound => Exit::NotFound,
            Cause::Exec { .. } => Exit::NotExecutable,
            Cause::Internal(_) | Cause::Panic(_) => Exit::Internal,
        }
    }
}

fn of_reason(reason: CancelReason) -> Exit {
    match reason {
        CancelReason::Terminate => Exit::Terminated,
        CancelReason::Interrupt => Exit::Interrupted,
        CancelReason::Deadline => Exit::Deadline,
    }
}

fn of_fault(stage: Stage, fault: &DatabaseError) -> Exit {
    match fault.kind {
        DatabaseErrorKind::Full if stage >= Stage::Migrate => Exit::Io,
        DatabaseErrorKind::Unresolved
        | DatabaseErrorKind::Unreachable
        | DatabaseErrorKind::Starting
        | DatabaseErrorKind::Exhausted
        | DatabaseErrorKind::Full
        | DatabaseErrorKind::ReadOnly => Exit::Unavailable,
        // Without its COMMIT nothing of a transfer stands.
        DatabaseErrorKind::Lost if stage >= Stage::Migrate && stage != Stage::Transfer => Exit::Unknown,
        DatabaseErrorKind::Lost => Exit::Unavailable,
        DatabaseErrorKind::Authentication | DatabaseErrorKind::NoPrivilege => Exit::Denied,
        DatabaseErrorKind::NoDatabase
        | DatabaseErrorKind::TransactionPooler
        | DatabaseErrorKind::Setting
        | DatabaseErrorKind::Unsupported => Exit::Config,
        DatabaseErrorKind::Tls | DatabaseErrorKind::Protocol => Exit::Protocol,
        DatabaseErrorKind::Busy => Exit::Locked,
        DatabaseErrorKind::Contended => Exit::Contended,
        DatabaseErrorKind::Corrupt => Exit::Invalid,
        DatabaseErrorKind::Io | DatabaseErrorKind::ServerFile => Exit::Io,
        // Rows that the target's definition has no room for: no migration failed.
        DatabaseErrorKind::Statement if stage == Stage::Transfer => Exit::Invalid,
        DatabaseErrorKind::Cancelled | DatabaseErrorKind::Statement if changes_history(stage) => Exit::Failed,
        // Somebody has cancelled a question of ours.
        DatabaseErrorKind::Cancelled => Exit::Unavailable,
        DatabaseErrorKind::Statement => Exit::Internal,
    }
}

/// Whether a failure of our own statement undoes what the stage is there for.
fn changes_history(stage: Stage) -> bool {
    matches!(stage, Stage::Migrate | Stage::Record | Stage::Transfer)
}

fn of_broken(broken: &ApplyError) -> Exit {
    match broken {
        ApplyError::Statement { fault, .. } => match fault.kind {
            DatabaseErrorKind::Contended => Exit::Contended,
            DatabaseErrorKind::Busy => Exit::Locked,
            DatabaseErrorKind::Io | DatabaseErrorKind::Full => Exit::Io,
            DatabaseErrorKind::Corrupt => Exit::Invalid,
            _ => Exit::Failed,
        },
        ApplyError::NotBegun(fault)
        | ApplyError::Bookkeeping(fault)
        | ApplyError::Unchecked(fault)
        | ApplyError::Commit(fault) => of_fault(Stage::Migrate, fault),
        ApplyError::Partial { fault, .. }
        | ApplyError::Unrecorded { fault, .. }
        | ApplyError::Unfinished { fault, .. } => of_partial(fault),
        ApplyError::Open { .. } | ApplyError::PartialViolations { .. } => Exit::Partial,
        ApplyError::Yielded { .. } => Exit::Contended,
        ApplyError::Unknown(_) => Exit::Unknown,
        ApplyError::LockLost | ApplyError::Violations(_) => Exit::Failed,
        ApplyError::ChangedOnDisk
        | ApplyError::ResumeEdited { .. }
        | ApplyError::Text(_)
        | ApplyError::LiteralsInDoubt => Exit::Invalid,
        ApplyError::Replaced => Exit::Io,
    }
}

/// A script without a transaction has stopped part way. A person decides, unless it was not the statement's own fault:
/// then the next run goes on by itself.
fn of_partial(fault: &DatabaseError) -> Exit {
    match fault.kind {
        // The next run finds out whether the statement is done, or asks.
        DatabaseErrorKind::Lost => Exit::Unknown,
        DatabaseErrorKind::Busy => Exit::Locked,
        DatabaseErrorKind::Io | DatabaseErrorKind::Full => Exit::Io,
        DatabaseErrorKind::Corrupt => Exit::Invalid,
        _ => Exit::Partial,
    }
}

fn of_backup(error: &BackupError) -> Exit {
    match error {
        error if error.is_no_room() => Exit::BackupTarget,
        BackupError::Tool(error) if error.is_contended() => Exit::Contended,
        BackupError::Tool(error) if error.is_lost() => Exit::Unavailable,
        BackupError::Folder(_) | BackupError::Full(_) | BackupError::NoRoom { .. } => Exit::BackupTarget,
        BackupError::Source(fault) => of_fault(Stage::Backup, fault),
        BackupError::Tool(_) | BackupError::Empty(_) | BackupError::TimedOut(_) | BackupError::Copy(_) => {
            Exit::BackupFailed
        }
        BackupError::Unverified(_) => Exit::BackupUnverified,
    }
}

/// A rehearsal leaves nothing behind: what would be partial or unknown in production has failed.
fn of_rehearsal(cause: &Cause) -> Exit {
    if matches!(cause, Cause::Restore(RestoreError::Differs(_))) {
        return Exit::BackupUnverified;
    }
    match Exit::from_cause(Stage::Rehearse, cause) {
        Exit::Partial | Exit::Unknown | Exit::Mismatch | Exit::Invalid => Exit::Failed,
        exit => exit,
    }
}

fn of_restore(error: &RestoreError) -> Exit {
    match error {
        RestoreError::Unfit(_) | RestoreError::WouldStay(_) => Exit::Usage,
        RestoreError::Unverified(_) => Exit::BackupUnverified,
        RestoreError::Tool(error) if error.is_lost() => Exit::Unavailable,
        RestoreError::Tool(error) if error.is_contended() => Exit::Contended,
        RestoreError::Tool(_) => Exit::BackupFailed,
        RestoreError::Database(fault) => match fault.kind {
            DatabaseErrorKind::Statement | DatabaseErrorKind::Cancelled => Exit::BackupFailed,
            _ => of_fault(Stage::Restore, fault),
        },
        RestoreError::Differs(_) => Exit::Mismatch,
        RestoreError::Unknown(_) | RestoreError::UnknownInPlace(_) => Exit::Unknown,
    }
}

/// The file for the rows that are left out: in the backup folder, unless a flag names it.
fn of_unkept(kind: ErrorKind) -> Exit {
    use ErrorKind::{
        FileTooLarge, NotADirectory, NotFound, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull,
    };
    match kind {
        ErrorKind::AlreadyExists => Exit::Usage,
        PermissionDenied | ReadOnlyFilesystem | NotFound | NotADirectory => Exit::BackupTarget,
        StorageFull | QuotaExceeded | FileTooLarge => Exit::BackupTarget,
        _ => Exit::Io,
    }
}

fn of_transfer(error: &TransferError) -> Exit {
    match error {
        TransferError::Source(fault) => of_fault(Stage::Configure, fault),
        TransferError::NotEmpty(_) => Exit::Config,
        TransferError::Unmapped(objections) => match ErrorScope::gravest(objections) {
            ErrorScope::Flags => Exit::Usage,
            ErrorScope::Owner => Exit::Denied,
            ErrorScope::Databases => Exit::Invalid,
        },
        TransferError::Bad { .. }
        | TransferError::Unstorable(_)
        | TransferError::Reported { .. }
        | TransferError::Violated(_) => Exit::Invalid,
        TransferError::LeftOut { .. } => Exit::Mismatch,
        TransferError::Unkept { error, .. } => of_unkept(error.kind()),
        TransferError::Unwritable { .. } => Exit::Invalid,
        TransferError::Refused { .. } => Exit::Invalid,
        TransferError::InUse(fault) => of_fault(Stage::Transfer, fault),
        TransferError::Differs(_) => Exit::Mismatch,
        TransferError::Uncommitted(ApplyError::Bookkeeping(fault) | ApplyError::Commit(fault)) => {
            of_fault(Stage::Transfer, fault)
        }
        TransferError::Uncommitted(broken) => of_broken(broken),
    }
}

fn of_dump(error: &ExportError) -> Exit {
    match error {
        ExportError::Taken(_) => Exit::Usage,
        ExportError::InUse(_) => Exit::Locked,
        ExportError::Unread { error, .. } | ExportError::Unwritten { error, .. } => match error.kind() {
            ErrorKind::NotFound | ErrorKind::IsADirectory | ErrorKind::NotADirectory => Exit::Usage,
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Exit::Denied,
            _ => Exit::Io,
        },
        ExportError::Malformed(_) => Exit::Invalid,
        ExportError::Staging(fault) => of_fault(Stage::Import, fault),
    }
}
