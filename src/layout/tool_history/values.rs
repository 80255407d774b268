//! Expressions for the values of a tool's history.

use crate::dialect::Dialect;
use crate::revision::history::Elapsed;
use crate::revision::{Checksum, Version};
use crate::sql::{literal, operator, sqlite_literal};

/// Returns a text as a literal.
pub(in crate::layout) fn text(dialect: Dialect, text: &str) -> String {
    match dialect {
        Dialect::Postgres => literal(text),
        Dialect::Sqlite => sqlite_literal(text),
    }
}

/// Returns a column as text.
pub(in crate::layout) fn as_text(dialect: Dialect, column: &str) -> String {
    match dialect {
        Dialect::Postgres => format!("{column}::pg_catalog.text"),
        Dialect::Sqlite => format!("CAST({column} AS text)"),
    }
}

/// Returns NULL as a text.
pub(in crate::layout) fn no_text(dialect: Dialect) -> String {
    as_text(dialect, "NULL")
}

/// Returns a time of a column in RFC 3339 and UTC. A column without a time zone is taken to be in UTC.
pub(in crate::layout) fn time(dialect: Dialect, column: &str, zone: TimeZone) -> String {
    match (dialect, zone) {
        (Dialect::Postgres, TimeZone::Stored) => {
            format!("pg_catalog.to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')")
        }
        (Dialect::Postgres, TimeZone::Missing) => {
            format!("pg_catalog.to_char({column}, 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')")
        }
        (Dialect::Sqlite, _) => format!("strftime('%Y-%m-%dT%H:%M:%fZ', {column})"),
    }
}

/// The time zone in the type of a column of PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::layout) enum TimeZone {
    /// `timestamp with time zone`.
    Stored,
    /// `timestamp without time zone`.
    Missing,
}

/// Returns a condition that a column, as a text, has the text of a version.
pub(in crate::layout) fn is_version(dialect: Dialect, column: &str, version: &Version) -> String {
    format!("{} {} {}", as_text(dialect, column), operator(dialect, "="), text(dialect, version.as_str()))
}

/// Returns the duration of a step in this fraction of a second: 1000 for milliseconds.
pub(in crate::layout) fn elapsed(dialect: Dialect, elapsed: Elapsed, per_second: u64) -> String {
    match (elapsed, dialect) {
        (Elapsed::Known(duration), _) => (duration.as_nanos() * u128::from(per_second) / 1_000_000_000).to_string(),
        (Elapsed::SinceBegin, Dialect::Postgres) => format!(
            "(EXTRACT(epoch FROM pg_catalog.clock_timestamp() {} pg_catalog.transaction_timestamp()) {} {per_second})::bigint",
            operator(dialect, "-"),
            operator(dialect, "*")
        ),
        (Elapsed::SinceBegin, Dialect::Sqlite) => "0".into(),
    }
}

/// Returns bytes as a literal.
pub(in crate::layout) fn bytes(dialect: Dialect, checksum: Checksum) -> String {
    match dialect {
        Dialect::Postgres => format!("pg_catalog.decode('{checksum}', 'hex')"),
        Dialect::Sqlite => format!("X'{checksum}'"),
    }
}

/// Returns the CRC-32 of zlib, Go and Java, from which tools compute checksums and the keys of their locks.
pub(in crate::layout) fn crc32(bytes: &[u8]) -> u32 {
    CRC_32.checksum(bytes)
}

/// The CRC-32 of [`crc32`].
pub(in crate::layout) const CRC_32: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
