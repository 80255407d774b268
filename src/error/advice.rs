//! The advice that is printed after each failure: one thing to try.

use std::io::ErrorKind;
use std::path::Path;

use super::{BackupError, Cause, RestoreError, TransferError};
use crate::database::postgres::dump::ToolError;
use crate::database::{ApplyError, DatabaseErrorKind};
use crate::escape::escape;
use crate::revision::other_tools::LayoutByTable;
use crate::signal::CancelReason;
use crate::transfer::plan::ErrorScope;

impl Cause {
    /// Returns the advice for a cause in a rehearsal.
    fn rehearsal_advice(&self) -> String {
        match self {
            Cause::Restore(RestoreError::Database(fault)) if fault.kind == DatabaseErrorKind::NoPrivilege => {
                "grant what is named, or go without LOCKKEEPER_REHEARSE".into()
            }
            Cause::Step { .. } => "correct the file and run again".into(),
            other => other.advice(),
        }
    }

    /// Returns the advice for the cause.
    pub(super) fn advice(&self) -> String {
        match self {
            Cause::Usage(_) | Cause::Target(_) => "see lockkeeper --help".into(),
            Cause::Config(_) => "correct the setting and run again".into(),
            Cause::Secret(_) => "make the file readable for this user, with the secret in it".into(),
            Cause::NoMigrations(_) => "mount or copy the migrations there, or set LOCKKEEPER_DIR".into(),
            Cause::NoDirectory(dir) => directory_advice(dir),
            Cause::Unwritten { error, .. } => unwritten_advice(error.kind()).into(),
            Cause::Invalid(_) => "fix the problems above, then run lockkeeper check".into(),
            Cause::NeverReady { fault, .. } if fault.kind == DatabaseErrorKind::Busy => {
                "end the other writer, or raise LOCKKEEPER_WAIT_TIMEOUT".into()
            }
            Cause::NeverReady { fault, .. } => readiness_advice(fault.kind).into(),
            Cause::Database(fault) => readiness_advice(fault.kind).into(),
            Cause::Held { .. } => "let the other run finish and run again, or raise LOCKKEEPER_LOCK_TIMEOUT".into(),
            Cause::Backup(error) => backup_advice(error).into(),
            Cause::Rehearsal { cause, .. } => cause.rehearsal_advice(),
            Cause::Restore(error) => restore_advice(error).into(),
            Cause::Transfer(error) => transfer_advice(error).into(),
            Cause::Export(error) => error.advice().into(),
            Cause::Guard(failure) => failure.advice().into(),
            Cause::Step { error, .. } => step_advice(error).into(),
            Cause::Unrecorded(error) => unrecorded_advice(error).into(),
            Cause::Layout(found) => layout_advice(found),
            Cause::Declined { instead, .. } => (*instead).into(),
            Cause::Ahead(_) => "deploy the newer image, or unset LOCKKEEPER_STRICT".into(),
            Cause::Mismatch(_) => "fix the differences above, then run again".into(),
            Cause::NotMigrated { .. } => {
                "look at the run that is to apply them, or raise LOCKKEEPER_WAIT_TIMEOUT".into()
            }
            Cause::Pending { .. } => "run lockkeeper upgrade".into(),
            Cause::Late { .. } => "nothing is left to do".into(),
            Cause::Stopped(reason) | Cause::Halted { reason, .. } | Cause::Overdue { reason, .. } => {
                stopped_advice(*reason).into()
            }
            Cause::Adoption(error) => escape(&error.advice()).into_owned(),
            Cause::Foreign(adoption) => escape(&adoption.advice()).into_owned(),
            Cause::Output(_) => "see that standard output is read to its end, or write it to a file".into(),
            Cause::Exec { .. } => "correct the program after --".into(),
            Cause::Internal(_) | Cause::Panic(_) => {
                "this is a bug in lockkeeper: please report it; running again may help".into()
            }
        }
    }
}

/// Returns the advice for a database with the histories of several tools.
fn layout_advice(found: &[LayoutByTable]) -> String {
    let names: Vec<&str> = found.iter().map(|found| found.layout).collect();
    format!(
        "set LOCKKEEPER_LAYOUT to the one in use: {}, or native for a history of Lockkeeper's own",
        names.join(", ")
    )
}

fn stopped_advice(reason: CancelReason) -> &'static str {
    match reason {
        CancelReason::Deadline => "raise LOCKKEEPER_DEADLINE, or run again",
        CancelReason::Terminate | CancelReason::Interrupt => "run again to go on",
    }
}

fn directory_advice(dir: &Path) -> String {
    // This is the default directory of the image, used because `migrations` does not exist here.
    match dir == Path::new("/migrations") {
        true => "mkdir -p migrations, or set LOCKKEEPER_DIR".into(),
        false => format!("mkdir -p {}", dir.display()),
    }
}

fn unrecorded_advice(error: &ApplyError) -> &'static str {
    match error {
        ApplyError::Bookkeeping(fault) | ApplyError::Commit(fault) => readiness_advice(fault.kind),
        ApplyError::LockLost => "run again",
        error => step_advice(error),
    }
}

fn unwritten_advice(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "make the directory writable for this user, or set LOCKKEEPER_DIR"
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make room, then run again",
        // Another process has just created this file: the next run takes the next number.
        ErrorKind::AlreadyExists => "run again",
        _ => "check the disk, then run again",
    }
}

fn readiness_advice(kind: DatabaseErrorKind) -> &'static str {
    match kind {
        DatabaseErrorKind::Unresolved => "check the host name in DATABASE_URL, or raise LOCKKEEPER_WAIT_TIMEOUT",
        DatabaseErrorKind::Unreachable | DatabaseErrorKind::Starting => {
            "check host and port in DATABASE_URL, or raise LOCKKEEPER_WAIT_TIMEOUT"
        }
        DatabaseErrorKind::Exhausted => {
            "free connection slots or memory on the server, or raise LOCKKEEPER_WAIT_TIMEOUT"
        }
        DatabaseErrorKind::Full => "make room on the disk of the server, then run again",
        DatabaseErrorKind::ReadOnly => "point DATABASE_URL at the primary",
        DatabaseErrorKind::Authentication => {
            "check user and password (DATABASE_PASSWORD, DATABASE_URL) and pg_hba.conf"
        }
        DatabaseErrorKind::NoDatabase => "create the database, or give --create-database",
        DatabaseErrorKind::NoPrivilege => {
            "grant the privilege named, or make the file or directory writable for this user"
        }
        DatabaseErrorKind::Tls => "check sslmode and sslrootcert against the server's certificate",
        DatabaseErrorKind::Protocol => {
            "check that host and port are PostgreSQL's, or set LOCKKEEPER_DIRECT_URL past the pooler"
        }
        DatabaseErrorKind::TransactionPooler => "set LOCKKEEPER_DIRECT_URL to the server itself",
        DatabaseErrorKind::Setting => "correct the setting and run again",
        DatabaseErrorKind::Unsupported => "upgrade the server",
        DatabaseErrorKind::Busy => "end the other writer, or raise LOCKKEEPER_LOCK_TIMEOUT",
        DatabaseErrorKind::Contended => "run again when there is less traffic, or raise LOCKKEEPER_DDL_RETRIES",
        DatabaseErrorKind::Cancelled | DatabaseErrorKind::Lost => "run again",
        DatabaseErrorKind::Corrupt => {
            "move the file aside with its -wal and -shm, then restore the newest verified backup (lockkeeper backups lists them)"
        }
        DatabaseErrorKind::Io => "check the disk, then run again",
        DatabaseErrorKind::ServerFile => "look at the log and the disk of the server, then run again",
        DatabaseErrorKind::Statement => "look at the server's message",
    }
}

fn backup_advice(error: &BackupError) -> &'static str {
    match error {
        BackupError::Directory(_) => {
            "make the directory writable (in a container, mount a volume there), or set LOCKKEEPER_BACKUP_DIR"
        }
        BackupError::Bucket(error) => error.advice(),
        BackupError::NoRoom { needed, free, .. } if free >= needed => {
            "check quota, file size limit and disk of the backup directory, or set LOCKKEEPER_BACKUP_DIR"
        }
        error if error.is_no_room() => "make room, or set LOCKKEEPER_BACKUP_DIR",
        BackupError::Tool(error) if error.is_contended() => "run again when nobody holds that table's lock",
        BackupError::Tool(error) if error.is_lost() => "run again when the server lets pg_dump in and stays",
        BackupError::Full(_) | BackupError::NoRoom { .. } => "make room, or set LOCKKEEPER_BACKUP_DIR",
        BackupError::Source(fault) => readiness_advice(fault.kind),
        BackupError::Tool(ToolError::Missing { .. } | ToolError::TooOld { .. }) => {
            "install the client tools of the server's version, or set LOCKKEEPER_PG_DUMP"
        }
        BackupError::Tool(ToolError::Killed { .. }) => "see who has killed it (for want of memory?), then run again",
        BackupError::Tool(_) => "fix what the tool reports; LOCKKEEPER_BACKUP=off goes without a backup",
        BackupError::Empty(_) => "check LOCKKEEPER_PG_DUMP",
        BackupError::NoWay(_) => {
            "raise LOCKKEEPER_BACKUP_MAX_SIZE and LOCKKEEPER_BACKUP_MAX_TIME, or name a further way in LOCKKEEPER_BACKUP"
        }
        BackupError::TimedOut(_) => "raise LOCKKEEPER_BACKUP_TIMEOUT",
        BackupError::Copy(_) => "check the database file and the backup directory",
        BackupError::Program { .. } => "read its output above, correct what it names, and run again",
        BackupError::StillPending { .. } => {
            "raise LOCKKEEPER_BACKUP_TIMEOUT, or look after that backup, then run again"
        }
        BackupError::NotArchived { .. } => {
            "ask the server with SELECT * FROM pg_stat_archiver, repair its archive_command, then run again"
        }
        BackupError::Unverified(_) => "check the disk of the backup directory, then run again",
    }
}

fn transfer_advice(error: &TransferError) -> &'static str {
    match error {
        TransferError::Source(fault) => match fault.kind {
            DatabaseErrorKind::Busy => "end the other writer and run again",
            DatabaseErrorKind::NoDatabase | DatabaseErrorKind::Setting => "correct --from",
            _ => "correct the file, or take a backup of it",
        },
        TransferError::Unmapped(mapping_errors) => match ErrorScope::gravest(mapping_errors) {
            ErrorScope::Flags => "correct the flags and run again",
            ErrorScope::Owner => "run as the role that owns the tables",
            ErrorScope::Databases => "add what is missing by a migration, or leave tables out with --exclude",
        },
        TransferError::InUse(_) => "run again when nobody uses the tables, or raise LOCKKEEPER_DDL_LOCK_TIMEOUT",
        TransferError::NotEmpty(_) => "empty those tables, or take another database",
        TransferError::Bad { .. } => {
            "correct the values, or say with --cast how they are meant; rows without a parent, rows that are there twice and those that a check refuses are looked for when all values fit"
        }
        TransferError::Unstorable(_) => "correct the values in the file",
        TransferError::Unwritable { .. } => "give the flag that is named with it, or correct the rows",
        TransferError::Reported { .. } => {
            "correct the values, say with --cast how they are meant, or leave their rows out with --on-error skip; rows without a parent, rows that are there twice and those that a check refuses are looked for when all values fit"
        }
        TransferError::LeftOut { .. } => "correct those rows and insert them; lockkeeper compare names them until then",
        TransferError::Unkept { error, .. } if error.kind() == ErrorKind::AlreadyExists => {
            "move that file away, or give another name"
        }
        TransferError::Unkept { .. } => {
            "make room and the directory writable (in a container, mount a volume there), or give --rejects FILE"
        }
        TransferError::Refused { .. } => "correct the row, or the constraint",
        TransferError::Violated(_) => "correct those rows in the source, or leave them out",
        TransferError::Uncommitted(ApplyError::Unknown(_)) => {
            "lockkeeper compare --from the same file: 0 says that all are there, after anything else run again"
        }
        TransferError::Uncommitted(_) => "run again",
        TransferError::Differs(_) => "this is a bug: please report it",
    }
}

fn restore_advice(error: &RestoreError) -> &'static str {
    match error {
        RestoreError::Unfit(_) => "see lockkeeper backups for those that fit",
        RestoreError::WouldStay(_) => "drop them, or restore without --in-place",
        RestoreError::Bucket(error) => error.advice(),
        RestoreError::Tool(ToolError::Missing { .. } | ToolError::TooOld { .. }) => {
            "install the client tools of the server's version, or set LOCKKEEPER_PG_DUMP"
        }
        RestoreError::Tool(error) if error.is_lost() => "run again when the server lets pg_restore in and stays",
        RestoreError::Tool(error) if error.is_contended() => "run again when nobody holds that table's lock",
        RestoreError::Tool(_) => "fix what the tool reports and run again",
        RestoreError::Database(fault) => match fault.kind {
            DatabaseErrorKind::NoPrivilege => "grant the privilege named, or give --in-place",
            DatabaseErrorKind::Busy | DatabaseErrorKind::Contended => {
                "stop the application, or raise LOCKKEEPER_LOCK_TIMEOUT"
            }
            kind => readiness_advice(kind),
        },
        RestoreError::Unverified(_) | RestoreError::Differs(_) => "restore another one: lockkeeper backups lists them",
        RestoreError::Unknown(_) => "see which databases there are, then run again",
        RestoreError::UnknownInPlace(_) => "run again: it may be restored twice",
    }
}

fn step_advice(error: &ApplyError) -> &'static str {
    match error {
        ApplyError::Bookkeeping(fault) if fault.kind == DatabaseErrorKind::NoPrivilege => readiness_advice(fault.kind),
        ApplyError::NotBegun(fault) if fault.kind == DatabaseErrorKind::Statement => "read the message and run again",
        ApplyError::Statement { fault, .. }
        | ApplyError::NotBegun(fault)
        | ApplyError::Bookkeeping(fault)
        | ApplyError::Unchecked(fault)
        | ApplyError::Commit(fault) => transaction_advice(fault.kind),
        ApplyError::Yielded { fault, .. } => readiness_advice(fault.kind),
        ApplyError::Open { .. } => {
            "see whether it took effect, then either lockkeeper repair --done (it did: go on behind it) or lockkeeper repair --again (it did not: run it again)"
        }
        ApplyError::Partial { fault, .. } => partial_advice(fault.kind),
        ApplyError::Unrecorded { fault, .. } | ApplyError::Unfinished { fault, .. }
            if matches!(fault.kind, DatabaseErrorKind::Busy | DatabaseErrorKind::Io | DatabaseErrorKind::Corrupt) =>
        {
            partial_advice(fault.kind)
        }
        ApplyError::Unfinished { .. } => "run again: it goes on there",
        ApplyError::Unrecorded { .. } => {
            "run again: it finds out whether that statement is done, or asks; one that may be done twice is"
        }
        ApplyError::Unknown(_) => "run again: the history will tell",
        ApplyError::LockLost => "remove pg_advisory_unlock_all() or DISCARD ALL from the script",
        ApplyError::LiteralsInDoubt => {
            "write those literals as E'...', each backslash twice if it is text, and run again"
        }
        ApplyError::Violations(_) => "correct the file: delete or correct those rows in it",
        ApplyError::PartialViolations { .. } => {
            "correct those rows, by hand or by statements at the end of the file, and run again: it repeats the check"
        }
        ApplyError::ChangedOnDisk | ApplyError::Replaced => "run again",
        ApplyError::ResumeEdited { .. } => "restore those statements; change only what comes after them",
        ApplyError::Text(_) => "correct the file and run again",
    }
}

/// Returns the advice for a transaction that was rolled back.
fn transaction_advice(kind: DatabaseErrorKind) -> &'static str {
    match kind {
        DatabaseErrorKind::Contended
        | DatabaseErrorKind::Busy
        | DatabaseErrorKind::Io
        | DatabaseErrorKind::Full
        | DatabaseErrorKind::Corrupt
        | DatabaseErrorKind::NoPrivilege => readiness_advice(kind),
        DatabaseErrorKind::Exhausted => "give the server what it lacks, or do less in one revision, then run again",
        _ => "correct the file and run again",
    }
}

/// Returns the advice for a script without a transaction that stopped at a statement.
fn partial_advice(kind: DatabaseErrorKind) -> &'static str {
    match kind {
        DatabaseErrorKind::Cancelled => "run again: it goes on at that statement",
        DatabaseErrorKind::NoPrivilege => "grant the privilege named and run again: it goes on at that statement",
        DatabaseErrorKind::Full => "make room on the disk of the server and run again: it goes on at that statement",
        DatabaseErrorKind::Busy => {
            "end the other connection, or raise LOCKKEEPER_LOCK_TIMEOUT, and run again: it goes on at that statement"
        }
        DatabaseErrorKind::Io => "check the disk, and whether it is full, and run again: it goes on at that statement",
        DatabaseErrorKind::Lost => "run again: it finds out whether that statement is done, or asks",
        DatabaseErrorKind::Corrupt => readiness_advice(kind),
        _ => "correct that statement and run again: it goes on there",
    }
}
