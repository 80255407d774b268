//! The text of each error: the place, the reason, and the message of the database.

use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

use super::Cause;
use crate::database::ApplyError;
use crate::escape::escape;
use crate::revision::batch::{BatchError, SourcePosition};
use crate::revision::other_tools::LayoutByTable;
use crate::revision::text::TextError;
use crate::signal::CancelReason;

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Usage(text)
            | Cause::Target(text)
            | Cause::Config(text)
            | Cause::Secret(text)
            | Cause::NoMigrations(text)
            | Cause::Internal(text)
            | Cause::Panic(text) => f.write_str(text),
            Cause::NoDirectory(dir) => write!(f, "there is no directory {}", dir.display()),
            Cause::Unwritten { path, error } => unwritten(f, path, error),
            Cause::Invalid(lines) | Cause::Mismatch(lines) => f.write_str(&lines.join("; ")),
            Cause::NeverReady { target, fault, attempts, waited } => {
                let (attempts, waited) = (counted(*attempts), waited.as_secs_f64());
                write!(f, "{target} was not ready after {attempts} in {waited:.1} s: {fault}")
            }
            Cause::Database(fault) => fault.fmt(f),
            Cause::Held { holder, waited } => lock_held(f, holder, *waited),
            Cause::Backup(error) => error.fmt(f),
            Cause::Rehearsal { cause, done } => rehearsal(f, cause, *done),
            Cause::Restore(error) => error.fmt(f),
            Cause::Transfer(error) => error.fmt(f),
            Cause::Export(error) => error.fmt(f),
            Cause::Guard(failure) => failure.fmt(f),
            Cause::Step { file, error } => step(f, file, error),
            Cause::Unrecorded(error) => unrecorded(f, error),
            Cause::Layout(found) => several_layouts(f, found),
            Cause::Declined { reason, .. } => write!(f, "not accepted: {reason}"),
            Cause::Ahead(ids) => ahead(f, ids),
            Cause::NotMigrated { steps, waited } => {
                write!(f, "still pending after {:.1} s: {steps}", waited.as_secs_f64())
            }
            Cause::Pending { steps } => write!(f, "{} pending", steps.with_verb()),
            Cause::Stopped(reason) | Cause::Late { reason, .. } => reason.fmt(f),
            Cause::Overdue { reason, grace } => {
                write!(f, "{reason}, and what ran did not end within LOCKKEEPER_SHUTDOWN_GRACE ({grace:?})")
            }
            Cause::Halted { file, reason, left } => halted(f, file, *reason, left.as_deref()),
            Cause::Adoption(error) => f.write_str(&escape(&error.to_string())),
            Cause::Foreign(adoption) => f.write_str(&escape(&adoption.to_string())),
            Cause::Output(error) => write!(f, "the answer was not printed to its end: {error}"),
            Cause::Exec { program, error } => write!(f, "{program}: {error}"),
        }
    }
}

/// Writes the error of a run that has not got the lock.
fn lock_held(f: &mut fmt::Formatter<'_>, holder: &str, waited: Duration) -> fmt::Result {
    write!(f, "another run held the lock for all of {:.1} s: {holder}", waited.as_secs_f64())
}

/// Writes the error of a database that has the histories of several tools.
fn several_layouts(f: &mut fmt::Formatter<'_>, found: &[LayoutByTable]) -> fmt::Result {
    let found: Vec<String> = found.iter().map(|found| format!("{} ({})", found.layout, found.table)).collect();
    let found = found.join(", ");
    write!(f, "the files may be those of several tools, whose histories the database has: {}", escape(&found))
}

/// Writes the error of a database that has revisions which the directory does not have.
fn ahead(f: &mut fmt::Formatter<'_>, ids: &[String]) -> fmt::Result {
    write!(f, "the database has revisions that this image does not know: {}", ids.join(", "))
}

/// Writes the error of a statement outside of a transaction that was stopped; `left` describes its remains.
fn halted(f: &mut fmt::Formatter<'_>, file: &str, reason: CancelReason, leftover: Option<&str>) -> fmt::Result {
    write!(f, "{file}: {reason} while its first statement ran, outside of a transaction")?;
    leftover.iter().try_for_each(|leftover| write!(f, "; {leftover}"))
}

/// Writes the error of a rehearsal that failed after `done` steps.
fn rehearsal(f: &mut fmt::Formatter<'_>, cause: &Cause, done: usize) -> fmt::Result {
    match cause {
        Cause::Guard(_) => write!(f, "on a copy made of the backup: {cause}"),
        _ => write!(f, "on a copy made of the backup, after {done} steps that ran: {cause}"),
    }
}

/// Writes the error of a change of the history.
fn unrecorded(f: &mut fmt::Formatter<'_>, error: &ApplyError) -> fmt::Result {
    match error {
        ApplyError::Bookkeeping(fault) => write!(f, "changing the history failed: {fault}"),
        ApplyError::LockLost => f.write_str("our lock was lost before the history was changed"),
        error => step(f, "the history", error),
    }
}

/// Writes the error of a file that cannot be written.
fn unwritten(f: &mut fmt::Formatter<'_>, path: &Path, error: &io::Error) -> fmt::Result {
    let uid = rustix::process::geteuid().as_raw();
    write!(f, "{} cannot be written by uid {uid}: {error}", path.display())
}

/// Formats a number of attempts.
fn counted(attempts: u32) -> String {
    format!("{attempts} {}", if attempts == 1 { "attempt" } else { "attempts" })
}

const LOCK_LOST: &str = "our lock was lost while it ran: does the script release locks?";
const LITERALS_IN_DOUBT: &str = "a function that it calls has switched standard_conforming_strings off, and with that its string literals with a backslash mean something else";

/// Writes the error of a step; `file` is the script's name.
fn step(f: &mut fmt::Formatter<'_>, file: &str, error: &ApplyError) -> fmt::Result {
    match error {
        ApplyError::Statement { fault, place, excerpt } => {
            write!(f, "{file}:{place}: {fault}; statement: {}", one_line(excerpt))
        }
        ApplyError::Partial { fault, place, excerpt, done } | ApplyError::Yielded { fault, place, excerpt, done } => {
            numbered(f, file, (place, excerpt, *done), format_args!("failed: {fault}"))
        }
        ApplyError::Open { place, excerpt, done } => {
            const OPEN_OUTCOME: &str =
                "was begun by a run that ended before it could say what came of it, and the database does not tell";
            numbered(f, file, (place, excerpt, *done), format_args!("{OPEN_OUTCOME}"))
        }
        ApplyError::Unrecorded { fault, place, excerpt, done } => {
            numbered(f, file, (place, excerpt, *done), format_args!("ran, but recording it failed: {fault}"))
        }
        ApplyError::NotBegun(fault) => write!(f, "{file}: it was not begun: {fault}"),
        ApplyError::Bookkeeping(fault) => write!(f, "{file}: recording it failed: {fault}"),
        ApplyError::Unchecked(fault) => write!(f, "{file}: checking its foreign keys failed: {fault}"),
        ApplyError::Unfinished { fault, .. } => {
            write!(f, "{file}: its statements are done and recorded, but recording its end failed: {fault}")
        }
        ApplyError::Commit(fault) => write!(f, "{file}: COMMIT was refused: {fault}"),
        ApplyError::Unknown(fault) => write!(f, "{file}: {fault}"),
        ApplyError::LockLost => write!(f, "{file}: {LOCK_LOST}"),
        ApplyError::LiteralsInDoubt => write!(f, "{file}: {LITERALS_IN_DOUBT}"),
        ApplyError::Violations(rows) => {
            write!(f, "{file}: it leaves foreign keys without a parent row: {}", rows.join(", "))
        }
        ApplyError::PartialViolations { rows, done } => write!(
            f,
            "{file}: it is not recorded as done, because after its {done} statements foreign key violations are new: {}",
            rows.join(", ")
        ),
        ApplyError::ChangedOnDisk => write!(f, "{file}: the file was changed while we ran"),
        ApplyError::ResumeEdited { done } => {
            write!(f, "{file}: its first {done} statements, which were done by an earlier run, have been edited since")
        }
        ApplyError::Replaced => write!(f, "{file}: the database file was replaced by another while we ran"),
        ApplyError::Text(error) => write!(f, "{file}{error}"),
    }
}

/// Writes the error of a statement of a script without a transaction: its position, its text, and the number of
/// statements that were done before it (`done`).
fn numbered(
    f: &mut fmt::Formatter<'_>,
    file: &str,
    (position, excerpt, done): (&SourcePosition, &str, usize),
    outcome: fmt::Arguments<'_>,
) -> fmt::Result {
    write!(f, "{file}:{position}: statement {} {outcome}; statement: {}", done + 1, one_line(excerpt))
}

/// Joins the lines of a statement to one line.
fn one_line(text: &str) -> String {
    text.trim_end_matches(';').lines().map(str::trim).collect::<Vec<_>>().join(" / ")
}

impl fmt::Display for SourcePosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Writes a text that follows the file's name: `:12: it is not UTF-8`.
impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BatchError::Text(TextError::Io(error)) => write!(f, ": {error}"),
            BatchError::Text(TextError::Unfit { line, what }) => write!(f, ":{line}: {what}"),
            BatchError::Unterminated { what, place } => write!(f, ":{place}: this {what} never ends"),
        }
    }
}
