//! The table of all exit codes. Only this file contains their numbers.

mod cause;

use serde::Serialize;

/// The result of a run for the program that has started it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The database is at the target (0).
    Settled,
    /// `check` found pending revisions (2).
    Pending,
    /// The command line is wrong (64).
    Usage,
    /// The migrations, the database file or the rows are invalid (65).
    Invalid,
    /// The migration directory cannot be used or is empty (66).
    NoMigrations,
    /// The database was not ready in time (69).
    Unavailable,
    /// The code has a bug (70).
    Internal,
    /// The backup directory or the file for rejected rows cannot be written (73).
    BackupTarget,
    /// A disk error (74).
    Io,
    /// Another run held the lock for too long (75).
    Locked,
    /// TLS or the protocol failed (76).
    Protocol,
    /// A permission is missing (77).
    Denied,
    /// A setting is wrong, or does not fit the database (78).
    Config,
    /// A migration failed and was rolled back (80).
    Failed,
    /// A script without a transaction stopped part way (81).
    Partial,
    /// Other sessions held locks for longer than all retries (82).
    Contended,
    /// The outcome of a COMMIT is not known (83).
    Unknown,
    /// The backup or restore tool failed (84).
    BackupFailed,
    /// The backup did not pass its verification (85).
    BackupUnverified,
    /// The database has unknown revisions, which the strict mode refuses (86).
    Ahead,
    /// The verification or a comparison found differences (87).
    Mismatch,
    /// The deadline of the whole run has passed (124).
    Deadline,
    /// The program after `--` cannot be executed (126).
    NotExecutable,
    /// The program after `--` was not found (127).
    NotFound,
    /// SIGINT has stopped the run (130).
    Interrupted,
    /// SIGTERM has stopped the run (143).
    Terminated,
}

/// The class of an exit code, by which a scheduler decides on another run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ExitClass {
    /// The run did its work.
    Success,
    /// The code is the answer to the question of the command.
    Answer,
    /// Another run may end differently.
    Transient,
    /// Another run ends with the same code until a person changes something.
    Permanent,
}

/// A row of the table of exit codes.
pub struct ExitMeaning {
    /// The result that the row describes.
    pub(crate) exit: Exit,
    /// The exit code of the process.
    pub code: u8,
    /// The short name in logs and in JSON.
    pub name: &'static str,
    /// The cases in which a run ends with the code.
    pub when: &'static str,
    /// The class of the code.
    pub class: ExitClass,
}

/// Makes a row of the table.
const fn row(exit: Exit, code: u8, name: &'static str, class: ExitClass, when: &'static str) -> ExitMeaning {
    ExitMeaning { exit, code, name, when, class }
}

/// The table of all exit codes: codes of sysexits(3) where one fits, and Lockkeeper's own from 80 to 87.
pub const TABLE: [ExitMeaning; 26] = {
    use ExitClass::{Answer, Permanent, Success, Transient};
    [
        row(
            Exit::Settled,
            0,
            "settled",
            Success,
            "at the target: applied, nothing to do, or the database is ahead of this image (warned)",
        ),
        row(Exit::Pending, 2, "pending", Answer, "only check: revisions are pending"),
        row(Exit::Usage, 64, "usage", Permanent, "a flag or argument is wrong"),
        row(
            Exit::Invalid,
            65,
            "invalid",
            Permanent,
            "migrations: edited, missing, duplicate, out of order, several heads, cycle, cannot be parsed; or the database file is corrupt or no database; or values and rows do not fit where they are transferred to",
        ),
        row(Exit::NoMigrations, 66, "no-migrations", Permanent, "directory missing, unreadable or empty"),
        row(
            Exit::Unavailable,
            69,
            "unavailable",
            Transient,
            "never became ready in time: no DNS, refused, starting, standby, no slots",
        ),
        row(Exit::Internal, 70, "internal", Transient, "a bug: panic or broken invariant"),
        row(
            Exit::BackupTarget,
            73,
            "backup-target",
            Permanent,
            "the backup directory or bucket, or the file for rejected rows, cannot be created, read or written, or has no room",
        ),
        row(Exit::Io, 74, "io", Transient, "disk errors: on the database file, on our own files, on the server"),
        row(
            Exit::Locked,
            75,
            "locked",
            Transient,
            "another run held the lock until the lock timeout; for SQLite another writer",
        ),
        row(Exit::Protocol, 76, "protocol", Permanent, "TLS failed or is missing, a pooler refuses what we need"),
        row(
            Exit::Denied,
            77,
            "denied",
            Permanent,
            "authentication failed after its grace, a privilege is missing, a secret file cannot be read",
        ),
        row(
            Exit::Config,
            78,
            "config",
            Permanent,
            "a setting is invalid, VAR and VAR_FILE both set, no such database, transaction pooler, unsupported server, another tool's history",
        ),
        row(
            Exit::Failed,
            80,
            "failed",
            Permanent,
            "a migration failed; its transaction was rolled back; earlier ones stand; or the command of guard failed",
        ),
        row(
            Exit::Partial,
            81,
            "partial",
            Permanent,
            "a no-transaction migration failed part way; the journal says where; a person decides; or the command of guard left something running",
        ),
        row(
            Exit::Contended,
            82,
            "contended",
            Transient,
            "lock timeouts, deadlocks or serialization failures outlasted the retries; rolled back",
        ),
        row(
            Exit::Unknown,
            83,
            "unknown",
            Transient,
            "the connection was lost during COMMIT, or guard's command was killed or its lock lost; a rerun reads the history and knows",
        ),
        row(
            Exit::BackupFailed,
            84,
            "backup-failed",
            Permanent,
            "pg_dump or pg_restore missing, too old for the server, denied, failed; no way to back up fits; the backup program failed",
        ),
        row(
            Exit::BackupUnverified,
            85,
            "backup-unverified",
            Transient,
            "written, but the check of the backup failed; not archived or still pending when the time was up; to be restored, but not what its manifest says",
        ),
        row(Exit::Ahead, 86, "ahead", Permanent, "strict only: the database has revisions this image does not know"),
        row(
            Exit::Mismatch,
            87,
            "mismatch",
            Permanent,
            "compare found differences, transfer left rows out (--on-error skip), or verify found the schema not up to date, also after the command of guard",
        ),
        row(Exit::Deadline, 124, "deadline", Transient, "the overall deadline passed; rolled back"),
        row(
            Exit::NotExecutable,
            126,
            "exec",
            Permanent,
            "the program after --, or the command of guard, cannot be executed",
        ),
        row(Exit::NotFound, 127, "exec", Permanent, "the program after --, or the command of guard, was not found"),
        row(
            Exit::Interrupted,
            130,
            "interrupted",
            Transient,
            "SIGINT: rolled back, lock released, partial backup removed",
        ),
        row(
            Exit::Terminated,
            143,
            "interrupted",
            Transient,
            "SIGTERM: rolled back, lock released, partial backup removed",
        ),
    ]
};

impl Exit {
    /// Returns the row of the exit.
    fn meaning(self) -> &'static ExitMeaning {
        TABLE.iter().find(|row| row.exit == self).expect("every exit has its row")
    }

    /// Returns the exit code of the process.
    pub fn code(self) -> u8 {
        self.meaning().code
    }

    /// Returns the short name.
    pub(crate) fn name(self) -> &'static str {
        self.meaning().name
    }

    /// Returns the class.
    pub(crate) fn class(self) -> ExitClass {
        self.meaning().class
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_in_order() {
        let codes: Vec<u8> = TABLE.iter().map(|row| row.code).collect();
        let mut sorted = codes.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(codes, sorted);
    }

    #[test]
    fn permanent_codes_are_those_of_the_failure_policy() {
        let permanent: Vec<u8> =
            TABLE.iter().filter(|row| row.class == ExitClass::Permanent).map(|row| row.code).collect();
        assert_eq!(permanent, [64, 65, 66, 73, 76, 77, 78, 80, 81, 84, 86, 87, 126, 127]);
    }
}
