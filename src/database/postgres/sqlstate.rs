//! The kind of error that each SQLSTATE stands for, at the login and in a session (PostgreSQL manual, appendix A). This
//! is the only such table of the project; the exit code of each kind in each stage is in `docs/sqlstates.md`, and a
//! test compares both.

use sqlx::postgres::PgSeverity;

use crate::database::DatabaseErrorKind;

/// The kinds of one SQLSTATE, or of a class of them (its first two characters).
struct SqlstateRow {
    state: &'static str,
    /// The kind at the login, where the error comes from the server or from a pooler.
    login: DatabaseErrorKind,
    /// The kind in a session, for an error that does not end the session.
    session: DatabaseErrorKind,
}

const fn row(state: &'static str, login: DatabaseErrorKind, session: DatabaseErrorKind) -> SqlstateRow {
    SqlstateRow { state, login, session }
}

/// The row for all other codes. At the login such an error does not come from our configuration: another attempt
/// may succeed.
static OTHERS: SqlstateRow = row("", DatabaseErrorKind::Starting, DatabaseErrorKind::Statement);

/// The rows; a code precedes its class.
static TABLE: [SqlstateRow; 28] = [
    // The connection of a statement to another server: a subscription, a foreign table.
    row("08", DatabaseErrorKind::Unreachable, DatabaseErrorKind::Statement),
    // Unsupported protocol version or feature.
    row("0A", DatabaseErrorKind::Protocol, DatabaseErrorKind::Statement),
    // Values and names in the connection parameter `options`.
    row("22", DatabaseErrorKind::Setting, DatabaseErrorKind::Statement),
    row("25006", DatabaseErrorKind::ReadOnly, DatabaseErrorKind::ReadOnly),
    row("28000", DatabaseErrorKind::Authentication, DatabaseErrorKind::Authentication),
    row("28P01", DatabaseErrorKind::Authentication, DatabaseErrorKind::Authentication),
    row("3D000", DatabaseErrorKind::NoDatabase, DatabaseErrorKind::NoDatabase),
    row("40001", DatabaseErrorKind::Starting, DatabaseErrorKind::Contended),
    row("40P01", DatabaseErrorKind::Starting, DatabaseErrorKind::Contended),
    row("42501", DatabaseErrorKind::NoPrivilege, DatabaseErrorKind::NoPrivilege),
    row("42", DatabaseErrorKind::Setting, DatabaseErrorKind::Statement),
    row("53100", DatabaseErrorKind::Full, DatabaseErrorKind::Full),
    row("53200", DatabaseErrorKind::Exhausted, DatabaseErrorKind::Exhausted),
    row("53300", DatabaseErrorKind::Exhausted, DatabaseErrorKind::Exhausted),
    row("53400", DatabaseErrorKind::Exhausted, DatabaseErrorKind::Exhausted),
    row("53", DatabaseErrorKind::Exhausted, DatabaseErrorKind::Statement),
    row("54", DatabaseErrorKind::Setting, DatabaseErrorKind::Statement),
    // lock_not_available; a database that accepts no connections reports the class 55, too.
    row("55P03", DatabaseErrorKind::Starting, DatabaseErrorKind::Contended),
    row("55", DatabaseErrorKind::Setting, DatabaseErrorKind::Statement),
    // At the login: the server's authentication timeout.
    row("57014", DatabaseErrorKind::Starting, DatabaseErrorKind::Cancelled),
    // Shutdown, crash or recovery: of another server, unless the error ends the session.
    row("57", DatabaseErrorKind::Starting, DatabaseErrorKind::Statement),
    row("58030", DatabaseErrorKind::Starting, DatabaseErrorKind::Io),
    // A file that the server lacks, or that a statement names.
    row("58", DatabaseErrorKind::Starting, DatabaseErrorKind::ServerFile),
    // A login trigger refuses the login.
    row("P0", DatabaseErrorKind::Authentication, DatabaseErrorKind::Statement),
    row("XX001", DatabaseErrorKind::Corrupt, DatabaseErrorKind::Corrupt),
    row("XX002", DatabaseErrorKind::Corrupt, DatabaseErrorKind::Corrupt),
    row("XX", DatabaseErrorKind::Starting, DatabaseErrorKind::Statement),
    row("F0", DatabaseErrorKind::Starting, DatabaseErrorKind::Statement),
];

fn find(state: &str) -> &'static SqlstateRow {
    TABLE.iter().find(|row| state.starts_with(row.state)).unwrap_or(&OTHERS)
}

/// Returns the kind of an error that ended a login.
pub(super) fn at_login(state: &str, message: &str) -> DatabaseErrorKind {
    from_pooler(state, message).unwrap_or(find(state).login)
}

/// Returns the kind of an error in a session. An error that ends the session (FATAL) means that the session is lost,
/// whatever its code. Any other error belongs to the statement, even if it reports a closed connection: that is a
/// connection to another server.
pub(super) fn in_session(state: &str, message: &str, severity: PgSeverity) -> DatabaseErrorKind {
    let is_last = matches!(severity, PgSeverity::Fatal | PgSeverity::Panic);
    let from_pooler = from_pooler(state, message).filter(|_| is_last || state == PROTOCOL_VIOLATION);
    match from_pooler {
        Some(DatabaseErrorKind::Starting) => DatabaseErrorKind::Lost,
        Some(kind) => kind,
        None if is_last => DatabaseErrorKind::Lost,
        None => find(state).session,
    }
}

const PROTOCOL_VIOLATION: &str = "08P01";

/// Returns the kind of an error that a pooler reports in place of its server, by the text of the message. PgBouncer
/// uses `protocol_violation` for nearly everything; other poolers use `system_error` and `internal_error`.
fn from_pooler(state: &str, message: &str) -> Option<DatabaseErrorKind> {
    let otherwise = match state {
        PROTOCOL_VIOLATION => Some(DatabaseErrorKind::Protocol),
        "53300" | "58000" | "XX000" => None,
        _ => return None,
    };
    let has = |text: &str| message.contains(text);
    if has("statement pooling mode") {
        Some(DatabaseErrorKind::TransactionPooler)
    } else if has("no such database") {
        Some(DatabaseErrorKind::NoDatabase)
    } else if has("password authentication failed") || has("no such user") || has("SASL authentication failed") {
        Some(DatabaseErrorKind::Authentication)
    } else if has("login failed")
        || has("login has been failing")
        || has("cannot connect")
        || has("connect failed")
        || has("no more connections")
        || has("shut down")
        || has("shutting down")
        || has("timeout")
        || has("server conn crashed")
    {
        Some(DatabaseErrorKind::Starting)
    } else {
        otherwise
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::{ApplyError, DatabaseError};
    use crate::error::{BackupError, Cause, Stage};
    use crate::exit::Exit;
    use crate::revision::batch::SourcePosition;

    /// Reads the rows of the table in the documentation: SQLSTATEs, and an exit code for each stage.
    fn documented() -> Vec<(Vec<String>, Vec<String>)> {
        let text = include_str!("../../../docs/sqlstates.md");
        let (_, table) = text.split_once("| SQLSTATE |").expect("the table of SQLSTATEs");
        let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
        let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
        let split = |line: &str| {
            let cells: Vec<String> = cells(line);
            let states = cells[0].split('`').skip(1).step_by(2).map(str::to_owned).collect();
            (states, cells[2..].to_vec())
        };
        rows.map(split).collect()
    }

    fn step(broken: ApplyError) -> Cause {
        Cause::Step { file: "1.sql".into(), error: broken }
    }

    /// Returns the exit code of a run that meets this kind at each stage, in the order of the table's columns.
    fn exits(login: DatabaseErrorKind, session: DatabaseErrorKind) -> Vec<String> {
        let fault = |kind| DatabaseError::new(kind, "x");
        let place = SourcePosition { line: 1, column: 1 };
        let partial = ApplyError::Partial { fault: fault(session), place, excerpt: String::new(), done: 0 };
        let statement = match session {
            DatabaseErrorKind::Lost => ApplyError::Unknown(fault(session)),
            _ => ApplyError::Statement { fault: fault(session), place, excerpt: String::new() },
        };
        let ours = match session {
            DatabaseErrorKind::Lost => ApplyError::Unknown(fault(session)),
            _ => ApplyError::Bookkeeping(fault(session)),
        };
        [
            (Stage::Wait, Cause::Database(fault(login))),
            (Stage::Lock, Cause::Database(fault(session))),
            (Stage::Backup, Cause::Backup(BackupError::Source(fault(session)))),
            (Stage::Migrate, step(statement)),
            (Stage::Migrate, step(partial.into_retryable())),
            (Stage::Migrate, step(ours)),
            (Stage::Verify, Cause::Database(fault(session))),
        ]
        .map(|(stage, cause)| Exit::from_cause(stage, &cause).code().to_string())
        .to_vec()
    }

    #[test]
    fn every_row_ends_as_the_documentation_says() {
        let mut seen = Vec::new();
        for (states, expected) in documented() {
            for state in states {
                let kinds = match state.as_str() {
                    "FATAL" => (DatabaseErrorKind::Lost, in_session("XX000", "x", PgSeverity::Fatal)),
                    "other" => (OTHERS.login, OTHERS.session),
                    state => (at_login(state, "x"), in_session(state, "x", PgSeverity::Error)),
                };
                let mut found = exits(kinds.0, kinds.1);
                if state == "FATAL" {
                    found[0] = "-".into();
                }
                assert_eq!(found, expected, "{state}");
                seen.push(state);
            }
        }
        for row in &TABLE {
            assert!(seen.iter().any(|state| state == row.state), "{} is not documented", row.state);
        }
        assert!(seen.iter().any(|state| state == "other"), "the others are not documented");
    }

    #[test]
    fn a_code_is_found_before_its_class() {
        for (index, row) in TABLE.iter().enumerate() {
            assert!(std::ptr::eq(find(row.state), &TABLE[index]), "{}", row.state);
        }
    }

    #[test]
    fn an_error_that_ends_the_session_is_a_lost_session() {
        for state in ["57P01", "57P05", "25P03", "08006", "XX000", "58000", "53200", "42601"] {
            assert_eq!(in_session(state, "x", PgSeverity::Fatal), DatabaseErrorKind::Lost, "{state}");
            assert_ne!(in_session(state, "x", PgSeverity::Error), DatabaseErrorKind::Lost, "{state}");
        }
    }

    #[test]
    fn poolers_are_recognized_by_their_messages() {
        for (message, kind) in [
            ("transaction blocks not allowed in statement pooling mode", DatabaseErrorKind::TransactionPooler),
            ("no such database: x", DatabaseErrorKind::NoDatabase),
            ("server login has been failing, try again later (server_login_retry)", DatabaseErrorKind::Starting),
            ("no more connections allowed (max_client_conn)", DatabaseErrorKind::Starting),
            ("pgbouncer cannot connect to server", DatabaseErrorKind::Starting),
            ("query_wait_timeout", DatabaseErrorKind::Starting),
            ("password authentication failed", DatabaseErrorKind::Authentication),
        ] {
            for state in [PROTOCOL_VIOLATION, "58000", "XX000", "53300"] {
                assert_eq!(at_login(state, message), kind, "{state} {message}");
                let later = if kind == DatabaseErrorKind::Starting { DatabaseErrorKind::Lost } else { kind };
                assert_eq!(in_session(state, message, PgSeverity::Fatal), later, "{state} {message}");
            }
        }
        let refused = "unsupported startup parameter: extra_float_digits";
        assert_eq!(at_login(PROTOCOL_VIOLATION, refused), DatabaseErrorKind::Protocol);
        assert_eq!(in_session("XX000", "canceling: timeout", PgSeverity::Error), DatabaseErrorKind::Statement);
    }
}
