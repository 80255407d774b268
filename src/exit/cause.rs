//! The one exhaustive match from a failure to its exit: a new cause does not compile before it has one.

use std::io::ErrorKind;

use super::Exit;
use crate::database::{Broken, Fault, Kind};
use crate::error::{BackupError, Cause, DumpError, RestoreError, Stage, TransferError};
use crate::signal::Reason;
use crate::transfer::plan::Of;

impl Exit {
    /// The code of a cause that ended a stage.
    pub fn of(stage: Stage, cause: &Cause) -> Exit {
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

fn of_reason(reason: Reason) -> Exit {
    match reason {
        Reason::Terminate => Exit::Terminated,
        Reason::Interrupt => Exit::Interrupted,
        Reason::Deadline => Exit::Deadline,
    }
}

fn of_fault(stage: Stage, fault: &Fault) -> Exit {
    match fault.kind {
        Kind::Full if stage >= Stage::Migrate => Exit::Io,
        Kind::Unresolved
        | Kind::Unreachable
        | Kind::Starting
        | Kind::Exhausted
        | Kind::Full
        | Kind::ReadOnly => Exit::Unavailable,
        // Without its COMMIT nothing of a transfer stands.
        Kind::Lost if stage >= Stage::Migrate && stage != Stage::Transfer => Exit::Unknown,
        Kind::Lost => Exit::Unavailable,
        Kind::Authentication | Kind::NoPrivilege => Exit::Denied,
        Kind::NoDatabase | Kind::TransactionPooler | Kind::Setting | Kind::Unsupported => Exit::Config,
        Kind::Tls | Kind::Protocol => Exit::Protocol,
        Kind::Busy => Exit::Locked,
        Kind::Contended => Exit::Contended,
        Kind::Corrupt => Exit::Invalid,
        Kind::Io | Kind::ServerFile => Exit::Io,
        // Rows that the target's definition has no room for: no migration failed.
        Kind::Statement if stage == Stage::Transfer => Exit::Invalid,
        Kind::Cancelled | Kind::Statement if changes_history(stage) => Exit::Failed,
        // Somebody has cancelled a question of ours.
        Kind::Cancelled => Exit::Unavailable,
        Kind::Statement => Exit::Internal,
    }
}

/// Whether a failure of our own statement undoes what the stage is there for.
fn changes_history(stage: Stage) -> bool {
    matches!(stage, Stage::Migrate | Stage::Record | Stage::Transfer)
}

fn of_broken(broken: &Broken) -> Exit {
    match broken {
        Broken::Statement { fault, .. } => match fault.kind {
            Kind::Contended => Exit::Contended,
            Kind::Busy => Exit::Locked,
            Kind::Io | Kind::Full => Exit::Io,
            Kind::Corrupt => Exit::Invalid,
            _ => Exit::Failed,
        },
        Broken::NotBegun(fault)
        | Broken::Bookkeeping(fault)
        | Broken::Unchecked(fault)
        | Broken::Commit(fault) => of_fault(Stage::Migrate, fault),
        Broken::Partial { fault, .. }
        | Broken::Unrecorded { fault, .. }
        | Broken::Unfinished { fault, .. } => of_partial(fault),
        Broken::Open { .. } | Broken::PartialViolations { .. } => Exit::Partial,
        Broken::Yielded { .. } => Exit::Contended,
        Broken::Unknown(_) => Exit::Unknown,
        Broken::LockLost | Broken::Violations(_) => Exit::Failed,
        Broken::ChangedOnDisk | Broken::ResumeEdited { .. } | Broken::Text(_) | Broken::LiteralsInDoubt => {
            Exit::Invalid
        }
        Broken::Replaced => Exit::Io,
    }
}

/// A script without a transaction has stopped part way. A person decides, unless it was not the statement's own fault:
/// then the next run goes on by itself.
fn of_partial(fault: &Fault) -> Exit {
    match fault.kind {
        // The next run finds out whether the statement is done, or asks.
        Kind::Lost => Exit::Unknown,
        Kind::Busy => Exit::Locked,
        Kind::Io | Kind::Full => Exit::Io,
        Kind::Corrupt => Exit::Invalid,
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
    match Exit::of(Stage::Rehearse, cause) {
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
            Kind::Statement | Kind::Cancelled => Exit::BackupFailed,
            _ => of_fault(Stage::Restore, fault),
        },
        RestoreError::Differs(_) => Exit::Mismatch,
        RestoreError::Unknown(_) | RestoreError::UnknownInPlace(_) => Exit::Unknown,
    }
}

/// The file for the rows that are left out: in the backup folder, unless a flag names it.
fn of_unkept(kind: ErrorKind) -> Exit {
    use ErrorKind::{
        FileTooLarge, NotADirectory, NotFound, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem,
        StorageFull,
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
        TransferError::Unmapped(objections) => match Of::gravest(objections) {
            Of::Flags => Exit::Usage,
            Of::Owner => Exit::Denied,
            Of::Databases => Exit::Invalid,
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
        TransferError::Uncommitted(Broken::Bookkeeping(fault) | Broken::Commit(fault)) => {
            of_fault(Stage::Transfer, fault)
        }
        TransferError::Uncommitted(broken) => of_broken(broken),
    }
}

fn of_dump(error: &DumpError) -> Exit {
    match error {
        DumpError::Taken(_) => Exit::Usage,
        DumpError::InUse(_) => Exit::Locked,
        DumpError::Unread { error, .. } | DumpError::Unwritten { error, .. } => match error.kind() {
            ErrorKind::NotFound | ErrorKind::IsADirectory | ErrorKind::NotADirectory => Exit::Usage,
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Exit::Denied,
            _ => Exit::Io,
        },
        DumpError::Malformed(_) => Exit::Invalid,
        DumpError::Staging(fault) => of_fault(Stage::Import, fault),
    }
}
