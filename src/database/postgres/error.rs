//! Conversion of the driver's errors into database errors. `sqlstate` maps the SQLSTATEs; no other file knows either.

use std::io::ErrorKind;

use sqlx::error::DatabaseError as DriverError;
use sqlx::postgres::{PgDatabaseError, PgErrorPosition};

use super::sqlstate;
use crate::database::{DatabaseError, DatabaseErrorKind};
use crate::masking::mask_login_answer;

/// Converts an error of an attempt to connect.
pub(crate) fn connecting(error: sqlx::Error) -> DatabaseError {
    match error {
        sqlx::Error::Database(error) => without_answer(from_server(error.as_ref(), ErrorStage::AtLogin)),
        sqlx::Error::Io(error) if error.kind() == ErrorKind::UnexpectedEof => cut_off(&error.to_string()),
        // rustls reports every refused certificate with this kind.
        sqlx::Error::Io(error) if error.kind() == ErrorKind::InvalidData => handshake(&error.to_string()),
        sqlx::Error::Io(error) => {
            let kind = match error.kind() {
                ErrorKind::PermissionDenied => DatabaseErrorKind::NoPrivilege,
                // The resolver's errors have no kind of their own, as measurements have shown.
                ErrorKind::ConnectionRefused
                | ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::NotConnected
                | ErrorKind::BrokenPipe
                | ErrorKind::NotFound
                | ErrorKind::HostUnreachable
                | ErrorKind::NetworkUnreachable
                | ErrorKind::AddrNotAvailable
                | ErrorKind::TimedOut => DatabaseErrorKind::Unreachable,
                _ => DatabaseErrorKind::Unresolved,
            };
            DatabaseError::new(kind, error.to_string())
        }
        sqlx::Error::Tls(error) => DatabaseError::new(DatabaseErrorKind::Tls, error.to_string()),
        sqlx::Error::Protocol(message) => not_understood(without_place(&message)),
        other => DatabaseError::new(DatabaseErrorKind::Protocol, other.to_string()),
    }
}

/// Returns the error of a login with our answer to the password request masked, which the server may have repeated.
fn without_answer(fault: DatabaseError) -> DatabaseError {
    let mask = |text: Option<String>| text.map(|text| mask_login_answer(&text));
    DatabaseError {
        message: mask_login_answer(&fault.message),
        detail: mask(fault.detail),
        hint: mask(fault.hint),
        context: mask(fault.context),
        ..fault
    }
}

/// Returns the error of a failed TLS handshake, with an explanation for readers who do not know rustls.
fn handshake(message: &str) -> DatabaseError {
    if message.starts_with("received corrupt message") {
        return not_understood("it accepts TLS, then does not speak it");
    }
    let has = |name: &str| message.contains(name);
    let advice = if has("UnknownIssuer") || has("BadSignature") {
        "sslrootcert has no authority that signed the server's certificate"
    } else if has("CaUsedAsEndEntity") {
        "the server shows an authority's certificate (CA:TRUE) as its own: have one issued for the server"
    } else if has("UnsupportedCertVersion") {
        "have the certificate issued with a subjectAltName (X.509 version 3)"
    } else {
        return DatabaseError::new(DatabaseErrorKind::Tls, message);
    };
    DatabaseError::new(DatabaseErrorKind::Tls, message).with_hint(advice)
}

/// Returns the error for a stream that ended in the handshake. A text of another protocol, read as the length of a
/// message, gives a gigantic number.
fn cut_off(message: &str) -> DatabaseError {
    const LONGEST_GREETING: u64 = 1 << 24;
    let expected = message.strip_prefix("expected to read ").and_then(|rest| rest.split(' ').next());
    match expected.and_then(|number| number.parse::<u64>().ok()) {
        Some(length) if length > LONGEST_GREETING => not_understood("its first message makes no sense"),
        _ => hung_up(),
    }
}

fn hung_up() -> DatabaseError {
    DatabaseError::new(
        DatabaseErrorKind::Unreachable,
        "whatever listens there has closed the connection before it was a session",
    )
}

fn not_understood(message: &str) -> DatabaseError {
    // The driver reads the end of the stream as a zero byte: a proxy whose server is not up yet closes like that.
    if message.ends_with("SSLRequest: 0x00") {
        return hung_up();
    }
    // `E`: the server failed before it could read the request, for lack of processes or memory (manual, 55.2.10).
    if message.ends_with("SSLRequest: 0x45") {
        return DatabaseError::new(DatabaseErrorKind::Exhausted, "the server answers the request for TLS by an error");
    }
    DatabaseError::new(DatabaseErrorKind::Protocol, format!("what answers is not PostgreSQL ({message})"))
}

/// Removes the place in the driver's source with which its messages end: ` (sqlx_postgres::connection::tls:95)`.
fn without_place(message: &str) -> &str {
    match message.rsplit_once(" (sqlx") {
        Some((text, place)) if place.ends_with(')') => text,
        _ => message,
    }
}

/// Converts an error of an established session.
pub(crate) fn working(error: sqlx::Error) -> DatabaseError {
    match error {
        sqlx::Error::Database(error) => from_server(error.as_ref(), ErrorStage::InSession),
        sqlx::Error::Io(error) => {
            DatabaseError::new(DatabaseErrorKind::Lost, format!("the connection was lost: {error}"))
        }
        sqlx::Error::Protocol(message) => {
            DatabaseError::new(DatabaseErrorKind::Lost, format!("the connection was lost: {}", without_place(&message)))
        }
        other => DatabaseError::new(DatabaseErrorKind::Statement, other.to_string()),
    }
}

/// The stage in which the server reported an error.
enum ErrorStage {
    AtLogin,
    InSession,
}

fn from_server(error: &dyn DriverError, met: ErrorStage) -> DatabaseError {
    let Some(error) = error.try_downcast_ref::<PgDatabaseError>() else {
        return DatabaseError::new(DatabaseErrorKind::Statement, error.message());
    };
    // The driver's own Display is not used: it appends a line number of the server's C source.
    let position = match error.position() {
        Some(PgErrorPosition::Original(position)) => Some(position),
        _ => None,
    };
    let hint = match (error.code(), error.hint()) {
        // unsafe_new_enum_value_usage
        ("55P04", Some(hint)) => Some(format!("{hint} Put what uses them into a later revision.")),
        (_, hint) => hint.map(Into::into),
    };
    let kind = match met {
        ErrorStage::AtLogin => sqlstate::at_login(error.code(), error.message()),
        ErrorStage::InSession => sqlstate::in_session(error.code(), error.message(), error.severity()),
    };
    DatabaseError {
        kind,
        message: error.message().into(),
        code: Some(format!("SQLSTATE {}", error.code())),
        detail: error.detail().map(Into::into),
        hint,
        context: error.r#where().map(Into::into),
        position,
    }
}

/// Reports whether CREATE DATABASE failed because the database exists: `duplicate_database`, or the unique index of the
/// catalog.
pub(crate) fn is_there_already(fault: &DatabaseError) -> bool {
    matches!(fault.code.as_deref(), Some("SQLSTATE 42P04" | "SQLSTATE 23505"))
}

/// Reports whether a statement failed because a database or another object is in use.
pub(crate) fn is_in_use(fault: &DatabaseError) -> bool {
    fault.code.as_deref() == Some("SQLSTATE 55006")
}

/// Reports whether a statement divided by zero.
pub(crate) fn is_division_by_zero(fault: &DatabaseError) -> bool {
    fault.code.as_deref() == Some("SQLSTATE 22012")
}

/// Reports whether a statement failed because the object that it creates exists: a table or index, a column, a schema,
/// a function, or another object such as a type (PostgreSQL manual, "PostgreSQL Error Codes").
pub(crate) fn is_duplicate_object(fault: &DatabaseError) -> bool {
    let codes = ["42P07", "42701", "42P06", "42723", "42710"];
    fault.code.as_deref().and_then(|code| code.strip_prefix("SQLSTATE ")).is_some_and(|code| codes.contains(&code))
}

/// Reports whether existing rows violate a constraint or index that was to be created: `foreign_key_violation`,
/// `unique_violation`.
pub(crate) fn is_broken_by_rows(fault: &DatabaseError) -> bool {
    matches!(fault.code.as_deref(), Some("SQLSTATE 23503" | "SQLSTATE 23505"))
}

/// Reports whether a statement failed because it cannot run in a transaction.
pub(crate) fn refuses_transactions(fault: &DatabaseError) -> bool {
    fault.code.as_deref() == Some("SQLSTATE 25001")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_and_garbage_in_the_handshake_are_told_apart() {
        let protocol = |text: &str| sqlx::Error::Protocol(format!("{text} (sqlx_postgres::connection::tls:95)"));
        let end = |text: &str| std::io::Error::new(ErrorKind::UnexpectedEof, text.to_owned()).into();
        for (error, kind) in [
            (protocol("unexpected response from SSLRequest: 0x00"), DatabaseErrorKind::Unreachable),
            (protocol("unexpected response from SSLRequest: 0x45"), DatabaseErrorKind::Exhausted),
            (protocol("unexpected response from SSLRequest: 0x48"), DatabaseErrorKind::Protocol),
            (end("expected to read 5 bytes, got 0 bytes at EOF"), DatabaseErrorKind::Unreachable),
            (end("expected to read 1414811697 bytes, got 28 bytes at EOF"), DatabaseErrorKind::Protocol),
            (end("tls handshake eof"), DatabaseErrorKind::Unreachable),
        ] {
            let fault = connecting(error);
            assert_eq!(fault.kind, kind, "{fault}");
            assert!(!fault.message.contains("sqlx"), "{fault}");
        }
    }
}
