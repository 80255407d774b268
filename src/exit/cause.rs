//! The mapping from the cause of a failure to its exit. It is one exhaustive match, so that a new cause does not
//! compile before it has an exit.

use std::io::ErrorKind;

use super::Exit;
use crate::database::{ApplyError, DatabaseError, DatabaseErrorKind};
use crate::error::{BackupError, Cause, ExportError, Failure, GuardError, RestoreError, Stage, TransferError};
use crate::guarded_command::CommandEnd;
use crate::signal::CancelReason;
use crate::transfer::plan::ErrorScope;

impl Exit {
    /// Returns the exit for a cause that has ended the stage.
    pub(crate) fn from_cause(stage: Stage, cause: &Cause) -> Exit {
        match cause {
            Cause::Usage(_) | Cause::Target(_) | Cause::Declined { .. } => Exit::Usage,
            Cause::Layout(_) | Cause::Config(_) | Cause::Foreign(_) => Exit::Config,
            Cause::Secret(_) => Exit::Denied,
            Cause::NoMigrations(_) | Cause::NoDirectory(_) => Exit::NoMigrations,
            Cause::Unwritten { error, .. } => match error.kind() {
                ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Exit::Denied,
                _ => Exit::Io,
            },
            Cause::Invalid(_) => Exit::Invalid,
            Cause::Adoption(error) if error.is_invalid_input() => Exit::Invalid,
            Cause::Adoption(_) => Exit::Config,
            Cause::NeverReady { fault, .. } | Cause::Database(fault) => for_database_error(stage, fault),
            Cause::Held { .. } => Exit::Locked,
            Cause::Backup(error) => for_backup_error(error),
            Cause::Rehearsal { cause, .. } => for_rehearsal(cause),
            Cause::Restore(error) => for_restore_error(error),
            Cause::Transfer(error) => for_transfer_error(error),
            Cause::Export(error) => for_export_error(error),
            Cause::Guard(failure) => for_guard_error(&failure.error),
            Cause::Step { error, .. } | Cause::Unrecorded(error) => for_apply_error(error),
            Cause::Ahead(_) => Exit::Ahead,
            Cause::Mismatch(_) => Exit::Mismatch,
            Cause::Pending { .. } => Exit::Pending,
            Cause::NotMigrated { .. } => Exit::Unavailable,
            Cause::Stopped(reason) | Cause::Late { reason, .. } => for_signal(*reason),
            Cause::Halted { reason, .. } | Cause::Overdue { reason, .. } => for_signal(*reason),
            Cause::Output(_) => Exit::Io,
            Cause::Exec { error, .. } if error.kind() == ErrorKind::NotFound => Exit::NotFound,
            Cause::Exec { .. } => Exit::NotExecutable,
            Cause::Internal(_) | Cause::Panic(_) => Exit::Internal,
        }
    }
}

impl Failure {
    /// Returns the exit code.
    pub fn exit(&self) -> Exit {
        Exit::from_cause(self.stage, &self.cause)
    }
}

/// Returns the exit for a run that was stopped.
fn for_signal(reason: CancelReason) -> Exit {
    match reason {
        CancelReason::Terminate => Exit::Terminated,
        CancelReason::Interrupt => Exit::Interrupted,
        CancelReason::Deadline => Exit::Deadline,
    }
}

/// Returns the exit for an error of the database, which depends on the stage.
fn for_database_error(stage: Stage, fault: &DatabaseError) -> Exit {
    match fault.kind {
        DatabaseErrorKind::Full if stage >= Stage::Migrate => Exit::Io,
        DatabaseErrorKind::Unresolved
        | DatabaseErrorKind::Unreachable
        | DatabaseErrorKind::Starting
        | DatabaseErrorKind::Exhausted
        | DatabaseErrorKind::Full
        | DatabaseErrorKind::ReadOnly => Exit::Unavailable,
        // Without its COMMIT, a transfer has changed nothing.
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
        // The target's definition refuses the rows; no migration failed.
        DatabaseErrorKind::Statement if stage == Stage::Transfer => Exit::Invalid,
        DatabaseErrorKind::Cancelled | DatabaseErrorKind::Statement if changes_history(stage) => Exit::Failed,
        // Another session has cancelled a query of ours.
        DatabaseErrorKind::Cancelled => Exit::Unavailable,
        DatabaseErrorKind::Statement => Exit::Internal,
    }
}

/// Reports whether an error of one of our own statements undoes the work of the stage.
fn changes_history(stage: Stage) -> bool {
    matches!(stage, Stage::Migrate | Stage::Record | Stage::Transfer)
}

/// Returns the exit for an error of a step.
fn for_apply_error(error: &ApplyError) -> Exit {
    match error {
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
        | ApplyError::Commit(fault) => for_database_error(Stage::Migrate, fault),
        ApplyError::Partial { fault, .. }
        | ApplyError::Unrecorded { fault, .. }
        | ApplyError::Unfinished { fault, .. } => for_partial(fault),
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

/// Returns the exit for a script without a transaction that stopped part way. A person has to decide, unless the
/// statement itself was not the cause: then the next run continues by itself.
fn for_partial(fault: &DatabaseError) -> Exit {
    match fault.kind {
        // The next run finds out whether the statement has taken effect, or asks for a decision.
        DatabaseErrorKind::Lost => Exit::Unknown,
        DatabaseErrorKind::Busy => Exit::Locked,
        DatabaseErrorKind::Io | DatabaseErrorKind::Full => Exit::Io,
        DatabaseErrorKind::Corrupt => Exit::Invalid,
        _ => Exit::Partial,
    }
}

/// Returns the exit for an error of a backup.
fn for_backup_error(error: &BackupError) -> Exit {
    match error {
        error if error.is_no_room() => Exit::BackupTarget,
        BackupError::Tool(error) if error.is_contended() => Exit::Contended,
        BackupError::Tool(error) if error.is_lost() => Exit::Unavailable,
        BackupError::Bucket(_) => Exit::BackupTarget,
        BackupError::Directory(_) | BackupError::Full(_) | BackupError::NoRoom { .. } => Exit::BackupTarget,
        BackupError::Source(fault) => for_database_error(Stage::Backup, fault),
        BackupError::Tool(_)
        | BackupError::Empty(_)
        | BackupError::NoWay(_)
        | BackupError::TimedOut(_)
        | BackupError::Copy(_)
        | BackupError::Program { .. } => Exit::BackupFailed,
        BackupError::Unverified(_) | BackupError::StillPending { .. } | BackupError::NotArchived { .. } => {
            Exit::BackupUnverified
        }
    }
}

/// Returns the exit for an error of a rehearsal. A rehearsal changes nothing in production, so results that would be
/// partial or unknown there count as failed.
fn for_rehearsal(cause: &Cause) -> Exit {
    if matches!(cause, Cause::Restore(RestoreError::Differs(_))) {
        return Exit::BackupUnverified;
    }
    match Exit::from_cause(Stage::Rehearse, cause) {
        Exit::Partial | Exit::Unknown | Exit::Mismatch | Exit::Invalid => Exit::Failed,
        exit => exit,
    }
}

/// Returns the exit for an error of a restore.
fn for_restore_error(error: &RestoreError) -> Exit {
    match error {
        RestoreError::Unfit(_) | RestoreError::WouldStay(_) => Exit::Usage,
        RestoreError::Unverified(_) => Exit::BackupUnverified,
        RestoreError::Bucket(_) => Exit::BackupTarget,
        RestoreError::Tool(error) if error.is_lost() => Exit::Unavailable,
        RestoreError::Tool(error) if error.is_contended() => Exit::Contended,
        RestoreError::Tool(_) => Exit::BackupFailed,
        RestoreError::Database(fault) => match fault.kind {
            DatabaseErrorKind::Statement | DatabaseErrorKind::Cancelled => Exit::BackupFailed,
            _ => for_database_error(Stage::Restore, fault),
        },
        RestoreError::Differs(_) => Exit::Mismatch,
        RestoreError::Unknown(_) | RestoreError::UnknownInPlace(_) => Exit::Unknown,
    }
}

/// Returns the exit for an error of the file for rejected rows, which is in the backup directory unless a flag names
/// it.
fn for_unwritten_file(kind: ErrorKind) -> Exit {
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

/// Returns the exit for an error of a transfer.
fn for_transfer_error(error: &TransferError) -> Exit {
    match error {
        TransferError::Source(fault) => for_database_error(Stage::Configure, fault),
        TransferError::NotEmpty(_) => Exit::Config,
        TransferError::Unmapped(mapping_errors) => match ErrorScope::gravest(mapping_errors) {
            ErrorScope::Flags => Exit::Usage,
            ErrorScope::Owner => Exit::Denied,
            ErrorScope::Databases => Exit::Invalid,
        },
        TransferError::Bad { .. }
        | TransferError::Unstorable(_)
        | TransferError::Reported { .. }
        | TransferError::Violated(_) => Exit::Invalid,
        TransferError::LeftOut { .. } => Exit::Mismatch,
        TransferError::Unkept { error, .. } => for_unwritten_file(error.kind()),
        TransferError::Unwritable { .. } => Exit::Invalid,
        TransferError::Refused { .. } => Exit::Invalid,
        TransferError::InUse(fault) => for_database_error(Stage::Transfer, fault),
        TransferError::Differs(_) => Exit::Mismatch,
        TransferError::Uncommitted(ApplyError::Bookkeeping(fault) | ApplyError::Commit(fault)) => {
            for_database_error(Stage::Transfer, fault)
        }
        TransferError::Uncommitted(apply_error) => for_apply_error(apply_error),
    }
}

/// Returns the exit for an error of an export or of an exported file.
fn for_export_error(error: &ExportError) -> Exit {
    match error {
        ExportError::Taken(_) => Exit::Usage,
        ExportError::InUse(_) => Exit::Locked,
        ExportError::Unread { error, .. } | ExportError::Unwritten { error, .. } => match error.kind() {
            ErrorKind::NotFound | ErrorKind::IsADirectory | ErrorKind::NotADirectory => Exit::Usage,
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Exit::Denied,
            _ => Exit::Io,
        },
        ExportError::Malformed(_) => Exit::Invalid,
        ExportError::Staging(fault) => for_database_error(Stage::Import, fault),
    }
}

/// Returns the exit for an error of a guarded command. A command that was killed may end well another time, and its
/// tool's history tells the next run how far it got; one that has failed by itself fails again.
fn for_guard_error(error: &GuardError) -> Exit {
    match error {
        GuardError::NotStarted(error) if error.kind() == ErrorKind::NotFound => Exit::NotFound,
        GuardError::NotStarted(_) => Exit::NotExecutable,
        GuardError::Ended(CommandEnd::Exited(_)) => Exit::Failed,
        GuardError::Ended(CommandEnd::Killed(_) | CommandEnd::Abandoned) | GuardError::LockLost(_) => Exit::Unknown,
        GuardError::Stopped(reason) => for_signal(*reason),
        GuardError::LeftRunning(_) => Exit::Partial,
        GuardError::StillPending | GuardError::Defects(_) => Exit::Mismatch,
        GuardError::NotRehearsed(_) => Exit::Config,
    }
}
