//! The `export` command: writes the rows of a database as JSON. It only reads, and blocks neither readers nor writers.

use super::CommandOutput;
use super::transfer_failure::planning_failure;
use super::transfer_input::read;
use crate::cli::Export;
use crate::config::DatabaseConfig;
use crate::database::DatabaseErrorKind;
use crate::database::sqlite::source::owning_tool;
use crate::database::url::{DatabaseTarget as Url, SqliteLocation, SqliteTarget};
use crate::dialect::Dialect;
use crate::error::{Cause, Failure, Stage, TransferError, counted};
use crate::signal::Cancel;
use crate::stage::export::{self, ExportSink, ExportSummary};
use crate::stage::wait::wait;
use crate::transfer::plan::{ErrorScope, MappingError};
use crate::transfer::source::{SourceContents, SourceTable};
use crate::transfer::target::TargetTable;

/// Writes the rows of the chosen tables to the file, or to standard output.
///
/// # Errors
/// Fails when the file exists already, or when the database cannot be read or the file cannot be written; the
/// incomplete file is removed then.
pub async fn run(config: &DatabaseConfig, asked: &Export, cancel: &Cancel) -> Result<CommandOutput, Failure> {
    let failed = |cause| Failure::new(Stage::Export, cause);
    // Opened before the wait for the database, so that nothing else can take the name meanwhile.
    let sink = ExportSink::open(&asked.file, cancel).map_err(|error| failed(Cause::Export(error)))?;
    let is_printed = matches!(sink, ExportSink::Output(_));
    let written = match config.dialect {
        Dialect::Sqlite => sqlite(config, asked, sink, cancel).await?,
        Dialect::Postgres => postgres(config, asked, sink, cancel).await?,
    };
    let ExportSummary { tables, rows } = written;
    let place = if is_printed { "standard output".into() } else { asked.file.display().to_string() };
    let (tables, rows) = (counted(tables as u64, "table"), counted(rows, "row"));
    let message = format!("exported {tables}, {rows} to {place}");
    Ok(if is_printed { CommandOutput::Printed(message) } else { CommandOutput::Text(message) })
}

/// Exports from a SQLite file.
async fn sqlite(
    config: &DatabaseConfig,
    asked: &Export,
    sink: ExportSink<'_>,
    cancel: &Cancel,
) -> Result<ExportSummary, Failure> {
    let located = config.database.resolve().map_err(|cause| Failure::new(Stage::Configure, cause))?;
    let Url::Sqlite(SqliteTarget { place: SqliteLocation::File(path) }) = located else {
        let reason = "a database in memory has nothing to export: give a file".into();
        return Err(Failure::new(Stage::Configure, Cause::Config(reason)));
    };
    let (source, contents) = read(config, path, cancel).await.map_err(of_database)?;
    let tables = chosen(asked, file_tables(contents))?;
    let written = export::sqlite(source, tables, sink, cancel).await;
    written.map_err(|cause| of_database(Failure::new(Stage::Export, cause)))
}

/// Turns an error of a transfer's source into an error of the database: here the source is the configured database, and
/// not a file of `--from`.
fn of_database(failure: Failure) -> Failure {
    match failure.cause {
        Cause::Transfer(TransferError::Source(fault)) => {
            let cause = match fault.kind {
                DatabaseErrorKind::NoDatabase => Cause::Config(fault.message),
                _ => Cause::Database(fault),
            };
            Failure::new(Stage::Export, cause)
        }
        cause => Failure { cause, ..failure },
    }
}

/// Exports from a PostgreSQL database.
async fn postgres(
    config: &DatabaseConfig,
    asked: &Export,
    sink: ExportSink<'_>,
    cancel: &Cancel,
) -> Result<ExportSummary, Failure> {
    let (mut database, _) = wait(&config.database, &config.history, &config.patience, cancel).await?;
    let failed = |cause| Failure::new(Stage::Export, cause);
    let mut probe = database.probe();
    let work = async {
        let tables = database.target_tables().await.map_err(planning_failure)?;
        let tables = chosen(asked, tables)?;
        let snapshot = database.snapshot(&tables).await.map_err(|fault| failed(Cause::Database(fault)))?;
        export::postgres(snapshot, &tables, sink, cancel).await.map_err(failed)
    };
    tokio::select! {
        fault = probe.silence() => Err(failed(Cause::Database(fault))),
        reason = cancel.cancelled() => Err(failed(Cause::Stopped(reason))),
        written = work => written,
    }
}

/// A table of either kind of database.
trait AnyTable {
    /// Returns the name of the table, unquoted and without its schema.
    fn name(&self) -> &str;
    /// Returns the reason why the table is left out unless it is named; `None` if it is exported.
    fn skipped(&self) -> Option<String>;
}

impl AnyTable for SourceTable {
    fn name(&self) -> &str {
        &self.name
    }

    fn skipped(&self) -> Option<String> {
        let of_module = || self.perhaps_of.as_ref().map(|it| format!("perhaps the data of the virtual table {it}"));
        self.bookkeeping.map(|tool| format!("the bookkeeping of {tool}")).or_else(of_module)
    }
}

impl AnyTable for TargetTable {
    fn name(&self) -> &str {
        &self.name
    }

    fn skipped(&self) -> Option<String> {
        let columns = self.columns.iter().map(|column| &*column.name);
        owning_tool(&self.name, columns).map(|tool| format!("the bookkeeping of {tool}"))
    }
}

/// Returns the tables of a file, and logs the other objects, which have no rows of their own.
fn file_tables(contents: SourceContents) -> Vec<SourceTable> {
    for other in contents.others.iter().filter(|other| !other.name.starts_with("sqlite_")) {
        tracing::info!("left alone: {}, {}", other.name, other.reason);
    }
    contents.tables
}

/// Returns the tables that the command line selects.
///
/// # Errors
/// Fails when an option names a table that does not exist, and when two selected tables have the same name (ignoring
/// case and schema): an import could not tell them apart.
fn chosen<T: AnyTable>(asked: &Export, tables: Vec<T>) -> Result<Vec<T>, Failure> {
    let mut objections = Vec::new();
    for (option, names) in [("--only", &asked.tables.only), ("--exclude", &asked.tables.exclude)] {
        for name in names.iter().filter(|name| !tables.iter().any(|it| it.name().eq_ignore_ascii_case(name))) {
            let reason = format!("{option} names it, and there is no such table");
            objections.push(MappingError { place: name.clone(), reason, scope: ErrorScope::Flags });
        }
    }
    let mut wanted: Vec<T> = Vec::new();
    for table in tables {
        let named = |names: &[String]| names.iter().any(|name| name.eq_ignore_ascii_case(table.name()));
        let why = match () {
            () if named(&asked.tables.exclude) => Some("--exclude".into()),
            () if asked.tables.only.is_empty() => table.skipped(),
            () if named(&asked.tables.only) => None,
            () => Some("not among --only".into()),
        };
        if let Some(why) = why {
            tracing::info!("left alone: {}, {why}", table.name());
            continue;
        }
        if wanted.iter().any(|other| other.name().eq_ignore_ascii_case(table.name())) {
            let reason = "there are several such tables, which differ in case or schema: --exclude leaves them out";
            let place = table.name().to_owned();
            objections.push(MappingError { place, reason: reason.into(), scope: ErrorScope::Databases });
        }
        wanted.push(table);
    }
    match objections.is_empty() {
        true => Ok(wanted),
        false => Err(Failure::new(Stage::Export, Cause::Transfer(TransferError::Unmapped(objections)))),
    }
}
