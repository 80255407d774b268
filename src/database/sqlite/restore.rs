//! A file takes the place of a database, whole at every moment.
//!
//! A write-ahead log that outlives its database would be replayed into the next one of that name. So the log is carried
//! into the old file and removed, by SQLite itself, before the new file gets the name; and while nobody else can open the
//! old one, because whoever had it open would go on with a file that has no name any more.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};

use super::copy::{of, open};
use super::{Creation, Sqlite, fault};
use crate::database::{Fault, Kind, beside};
use crate::safe_file;

/// Between two attempts to have the file alone.
const PAUSE: Duration = Duration::from_millis(50);
/// What SQLite keeps beside a database.
pub(super) const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

impl Sqlite {
    /// Closes the file; the lock stays.
    pub async fn set_down(&mut self) {
        if let Some(connection) = self.connection.take() {
            // The last one to go removes the WAL: a failure leaves it to the next one.
            let _ = sqlx::Connection::close(connection).await;
        }
    }

    /// Opens the file that has the name now.
    ///
    /// # Errors
    /// As [`Sqlite::open`].
    pub async fn take_up(&mut self) -> Result<(), Fault> {
        self.violations = None;
        self.reopen(Creation::Never).await
    }

    /// Whether the lock and the file are those that we took: nobody else's database must be replaced.
    pub fn is_ours(&self) -> bool {
        self.is_locked() && self.is_same_file()
    }
}

/// Removes a file and what SQLite keeps beside it, if they are there.
///
/// # Errors
/// The file system's.
pub fn remove(path: &Path) -> Result<(), Fault> {
    remove_companions(path)?;
    gone(path)
}

/// Removes what SQLite keeps beside a file. Only for a file that nobody has open.
///
/// # Errors
/// The file system's.
pub fn remove_companions(path: &Path) -> Result<(), Fault> {
    COMPANIONS.iter().try_for_each(|suffix| gone(&beside(path, suffix)))
}

fn gone(path: &Path) -> Result<(), Fault> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(fault::file(path, &error)),
        _ => Ok(()),
    }
}

/// Gives `candidate`, which is durable, the name of `database`. Killed before the rename this leaves the old database,
/// after it the new one; neither has a log.
///
/// # Errors
/// Another connection that does not let go within `patience`; `stop`; the file system's. The database is as it was then.
pub fn replace(
    database: &Path,
    candidate: &Path,
    patience: Duration,
    stop: &AtomicBool,
) -> Result<(), Fault> {
    let (alone, before) = have_alone(database, patience, stop)?;
    let exchanged = remove_companions(database).and_then(|()| {
        sync_folder(database)?;
        fs::rename(candidate, database).map_err(|error| fault::file(database, &error))
    });
    match exchanged {
        Ok(()) => sync_folder(database),
        Err(fault) => {
            if before == WAL {
                // Nothing rests on it: an application that wants a log asks for one.
                let _ = journal(&alone, WAL, database);
            }
            Err(fault)
        }
    }
}

const WAL: &str = "wal";

/// A connection beside which there is no other, to a database without a log; and its journal mode before.
fn have_alone(database: &Path, patience: Duration, stop: &AtomicBool) -> Result<(Connection, String), Fault> {
    let began = Instant::now();
    let mut told = false;
    loop {
        if stop.load(Ordering::SeqCst) {
            return Err(Fault::new(Kind::Cancelled, "stopped before the file was replaced"));
        }
        match try_alone(database) {
            Err(fault) if fault.kind == Kind::Busy && began.elapsed() < patience => {
                if !told {
                    tracing::info!("waiting for other connections to the database file to close: {fault}");
                }
                told = true;
                std::thread::sleep(PAUSE);
            }
            Err(fault) if fault.kind == Kind::Busy => {
                let message = format!("{}: another connection has it open", database.display());
                return Err(Fault { message, ..fault });
            }
            other => return other,
        }
    }
}

fn try_alone(database: &Path) -> Result<(Connection, String), Fault> {
    let connection = open(database, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.busy_timeout(Duration::ZERO).map_err(|error| of(&error, database))?;
    // Said before the first look at the file: with a log it is opened alone or not at all (SQLite manual, "WAL", 8), and
    // the lock is kept from the first transaction to the end of the connection.
    let sql = "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT;";
    connection.execute_batch(sql).map_err(|error| of(&error, database))?;
    let before: String = connection
        .query_row("PRAGMA journal_mode", [], |row| row.get(0))
        .map_err(|error| of(&error, database))?;
    if before == WAL && journal(&connection, "delete", database)? == WAL {
        return Err(Fault::new(Kind::Busy, "its log is in use"));
    }
    Ok((connection, before))
}

fn journal(connection: &Connection, mode: &str, database: &Path) -> Result<String, Fault> {
    let sql = format!("PRAGMA journal_mode = {mode}");
    connection.query_row(&sql, [], |row| row.get(0)).map_err(|error| of(&error, database))
}

fn sync_folder(path: &Path) -> Result<(), Fault> {
    safe_file::sync_parent(path).map_err(|error| fault::file(path.parent().unwrap_or(path), &error))
}
