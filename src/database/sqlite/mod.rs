//! SQLite: one file, one connection. A file that does not exist is an empty database until the lock is taken.

mod apply;
pub(crate) mod bulk_load;
mod busy;
pub(crate) mod copy;
pub(crate) mod error;
pub(crate) mod file_id;
mod foreign_keys;
mod group;
mod history;
mod journal_table;
mod lock;
mod monitor;
mod non_transactional;
mod path;
mod rehearsal;
pub(crate) mod restore;
mod rewrite_history;
mod session;
pub mod source;
pub(crate) mod staging;
mod touched_tables;

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};

use crate::dialect::Dialect;
use crate::revision::history::HistoryFormat;
use crate::sql::identifier;

pub(crate) use lock::lock_path;
pub use monitor::StatementMonitor;

use path::{check_file_types, resolved};
use session::column;
use touched_tables::TouchedTables;

use super::url::{self, SqliteLocation};
use super::{DatabaseError, DatabaseErrorKind, DatabaseIdentity, HistoryName, ServerInfo};
use crate::revision::Backslash;
use crate::revision::policy::ForeignKeyPolicy;

/// The time that SQLite itself waits for another connection before it answers `busy`. Lockkeeper does the longer
/// waiting, so that a signal can end it.
const BUSY_TIMEOUT: Duration = Duration::from_millis(100);

/// The number of rows with a missing parent row, by table and parent.
type ForeignKeyViolations = BTreeMap<(String, String), i64>;

/// One database file.
pub struct Sqlite {
    path: PathBuf,
    connection: Option<Connection>,
    history: String,
    /// Format of the history table.
    format: &'static dyn HistoryFormat,
    /// Result of the last read: whether the history table exists.
    has_history: bool,
    /// True if the history is read together with the journal.
    reads_journal: bool,
    /// Device and inode of the open file.
    file: Option<(u64, u64)>,
    lock: Option<lock::LockFile>,
    monitor: StatementMonitor,
    busy_timeout: Duration,
    /// Violations before the next script.
    violations: Option<ForeignKeyViolations>,
    /// The tables that scripts write, if the foreign keys of all tables take long to check.
    touched: Option<TouchedTables>,
    /// The state of foreign keys in the connection as this run has set it.
    foreign_keys: ForeignKeyPolicy,
    is_rehearsal: bool,
    /// The scripts that have run and are not committed.
    group: group::ScriptGroup,
}

impl Sqlite {
    /// Opens the file if it exists.
    ///
    /// # Errors
    /// The file is not a database, is damaged, not readable, or a directory.
    pub(crate) async fn open(target: &url::SqliteTarget, name: &HistoryName) -> Result<Sqlite, DatabaseError> {
        let SqliteLocation::File(path) = &target.location else {
            let message = "a database in memory is gone when this program ends; give a file";
            return Err(DatabaseError::new(DatabaseErrorKind::Setting, message));
        };
        if name.schema.as_ref().is_some_and(|schema| schema != "main") {
            let message = "the history table's schema can only be main in SQLite";
            return Err(DatabaseError::new(DatabaseErrorKind::Setting, message));
        }
        // Links are resolved, because the lock file must lie beside the file itself, by whatever name it was opened.
        let path = resolved(path);
        let mut database = Sqlite {
            path,
            connection: None,
            history: name.table.clone(),
            format: name.format,
            has_history: false,
            reads_journal: false,
            file: None,
            lock: None,
            monitor: StatementMonitor::default(),
            busy_timeout: Duration::ZERO,
            violations: None,
            touched: None,
            foreign_keys: ForeignKeyPolicy::Off,
            is_rehearsal: false,
            group: group::ScriptGroup::None,
        };
        match std::fs::metadata(&database.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error::file(&database.path, &error)),
            Ok(metadata) if metadata.is_dir() => {
                let message = format!("{} is a directory, not a database file", database.path.display());
                return Err(DatabaseError::new(DatabaseErrorKind::Setting, message));
            }
            Ok(_) => database.open_and_read(OpenMode::Never).await?,
        }
        Ok(database)
    }

    /// Opens a fresh connection. Foreign keys are off, because a table rebuild under cascading keys would delete the
    /// children, and the pragma does nothing within a transaction (SQLite manual, "ALTER TABLE", section 7).
    fn reopen(&mut self, creation: OpenMode) -> Result<(), DatabaseError> {
        self.connection = None;
        self.foreign_keys = ForeignKeyPolicy::Off;
        check_file_types(&self.path)?;
        let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        if creation == OpenMode::IfMissing {
            flags |= OpenFlags::SQLITE_OPEN_CREATE;
        }
        let connection = connect(&self.path, flags).map_err(|error| error::from_rusqlite(&error, &self.path))?;
        self.monitor.watch(&connection).map_err(|error| error::from_rusqlite(&error, &self.path))?;
        if let Some(touched) = &self.touched {
            touched.watch(&connection).map_err(|error| error::from_rusqlite(&error, &self.path))?;
        }
        self.connection = Some(connection);
        self.file = inode(&self.path);
        Ok(())
    }

    /// Opens a fresh connection and reads the header of the file, which SQLite does not do before the first query. Under
    /// the lock, waits for other connections.
    ///
    /// # Errors
    /// Fails if the file is not a database, or if another connection keeps it locked for too long.
    async fn open_and_read(&mut self, creation: OpenMode) -> Result<(), DatabaseError> {
        self.reopen(creation)?;
        self.rows("SELECT count(*) FROM sqlite_master").await.map(drop)
    }

    /// Reports whether the file is missing or has no objects.
    pub(crate) async fn is_empty(&mut self) -> Result<bool, DatabaseError> {
        if self.is_missing() {
            return Ok(true);
        }
        self.rows("SELECT 1 FROM sqlite_master LIMIT 1").await.map(|rows| rows.is_empty())
    }

    /// Returns the size of the database in bytes.
    pub(crate) async fn size(&mut self) -> Result<u64, DatabaseError> {
        let sql = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
        let rows = self.rows(sql).await?;
        let bytes: i64 = rows.first().map_or(Ok(0), |row| column(row, 0))?;
        Ok(u64::try_from(bytes).unwrap_or(0))
    }

    /// Returns the dialect and the file's name without its directory.
    pub(crate) fn identity(&self) -> DatabaseIdentity {
        let name = self.path.file_name().unwrap_or(self.path.as_os_str());
        DatabaseIdentity { dialect: Dialect::Sqlite, name: name.to_string_lossy().into_owned() }
    }

    /// Returns the version of SQLite and the absolute path of the file.
    pub(crate) fn server(&self) -> ServerInfo {
        let path = std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone());
        ServerInfo {
            version: copy::library_version().into(),
            address: path.display().to_string(),
            backslash: Backslash::Ordinary,
        }
    }

    /// Returns the path of the database file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the quoted name of the history table.
    pub(crate) fn table(&self) -> String {
        identifier(&self.history)
    }

    /// Returns the handle that ends what the connection does.
    pub(crate) fn monitor(&self) -> StatementMonitor {
        self.monitor.clone()
    }

    /// Waits a moment for another connection to finish; `waiting_since` is the beginning of the wait.
    ///
    /// # Errors
    /// Returns `fault` when `busy_timeout` is used up, and always without the lock: the caller of an unlocked database
    /// asks again.
    async fn pause(&self, waiting_since: &mut Option<Instant>, fault: DatabaseError) -> Result<(), DatabaseError> {
        let first = waiting_since.is_none();
        if waiting_since.get_or_insert_with(Instant::now).elapsed() >= self.busy_timeout || self.lock.is_none() {
            return Err(fault);
        }
        if self.monitor.is_cancelled() {
            return Err(DatabaseError::new(
                DatabaseErrorKind::Cancelled,
                "interrupted while waiting for another writer",
            ));
        }
        if first {
            tracing::info!("waiting for another connection to the database file: {fault}");
        }
        tokio::time::sleep(Duration::from_millis(fastrand::u64(10..60))).await;
        Ok(())
    }

    /// Opens the file again if it was closed behind a script that changed its connection. It must be the same file.
    fn opened(&mut self) -> Result<&Connection, DatabaseError> {
        if self.connection.is_none() && self.lock.is_some() {
            let file = self.file;
            self.reopen(OpenMode::Never)?;
            if file.is_some() && self.file != file {
                self.connection = None;
                self.file = file;
                return Err(error::replaced(&self.path));
            }
        }
        self.connection
            .as_ref()
            .ok_or_else(|| DatabaseError::new(DatabaseErrorKind::Io, "the database file is not open"))
    }

    /// Reports whether there is no file yet that could be read.
    fn is_missing(&self) -> bool {
        self.connection.is_none() && self.lock.is_none()
    }

    /// Reports whether the path still leads to the open file.
    fn is_same_file(&self) -> bool {
        self.file.is_some() && inode(&self.path) == self.file
    }
}

/// The choice whether opening may create the file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OpenMode {
    Never,
    IfMissing,
}

fn inode(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Opens a connection with the settings of every session of ours.
fn connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // A root file system may be read-only, so that no temporary file can be made there.
    connection.execute_batch("PRAGMA temp_store = MEMORY; PRAGMA foreign_keys = OFF;")?;
    Ok(connection)
}
