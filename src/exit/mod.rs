//! Every exit code. Only this file knows numbers.

mod cause;

use serde::Serialize;

/// How a run ends, for whoever started it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Settled,
    Pending,
    Usage,
    Invalid,
    NoMigrations,
    Unavailable,
    Internal,
    BackupTarget,
    Io,
    Locked,
    Protocol,
    Denied,
    Config,
    Failed,
    Partial,
    Contended,
    Unknown,
    BackupFailed,
    BackupUnverified,
    Ahead,
    Mismatch,
    Deadline,
    NotExecutable,
    NotFound,
    Interrupted,
    Terminated,
}

/// What a scheduler should make of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ExitClass {
    Success,
    Answer,
    /// Another run may end otherwise.
    Transient,
    /// Another run ends the same until somebody changes something.
    Permanent,
}

/// One row of the table.
pub struct ExitMeaning {
    pub exit: Exit,
    pub code: u8,
    pub name: &'static str,
    pub when: &'static str,
    pub class: ExitClass,
}

const fn row(exit: Exit, code: u8, name: &'static str, class: ExitClass, when: &'static str) -> ExitMeaning {
    ExitMeaning { exit, code, name, when, class }
}

/// The whole table: sysexits where one fits, 80 to 87 our own.
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
        row(Exit::NoMigrations, 66, "no-migrations", Permanent, "folder missing, unreadable or empty"),
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
            "the backup folder, or the file for rejected rows, cannot be created or written, or has no room",
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
            "a migration failed; its transaction was rolled back; earlier ones stand",
        ),
        row(
            Exit::Partial,
            81,
            "partial",
            Permanent,
            "a no-transaction migration failed part way; the journal says where; a person decides",
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
            "the connection was lost during COMMIT; a rerun reads the history and knows",
        ),
        row(
            Exit::BackupFailed,
            84,
            "backup-failed",
            Permanent,
            "pg_dump or pg_restore missing, too old for the server, denied, failed",
        ),
        row(
            Exit::BackupUnverified,
            85,
            "backup-unverified",
            Transient,
            "written, but the check of the backup failed; to be restored, but not what its manifest says",
        ),
        row(Exit::Ahead, 86, "ahead", Permanent, "strict only: the database has revisions this image does not know"),
        row(
            Exit::Mismatch,
            87,
            "mismatch",
            Permanent,
            "compare found differences, transfer left rows out (--on-error skip), or verify found the schema not up to date",
        ),
        row(Exit::Deadline, 124, "deadline", Transient, "the overall deadline passed; rolled back"),
        row(Exit::NotExecutable, 126, "exec", Permanent, "the program after -- cannot be executed"),
        row(Exit::NotFound, 127, "exec", Permanent, "the program after -- was not found"),
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
    fn meaning(self) -> &'static ExitMeaning {
        TABLE.iter().find(|row| row.exit == self).expect("every exit has its row")
    }

    pub fn code(self) -> u8 {
        self.meaning().code
    }

    pub fn name(self) -> &'static str {
        self.meaning().name
    }

    pub fn class(self) -> ExitClass {
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
