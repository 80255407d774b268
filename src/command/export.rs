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
pub(crate) async fn run(config: &DatabaseConfig, args: &Export, cancel: &Cancel) -> Result<CommandOutput, Failure> {
    let failed = |cause| Failure::new(Stage::Export, cause);
    // Opened before the wait for the database, so that nothing else can take the name meanwhile.
    let sink = ExportSink::open(&args.file, cancel).map_err(|error| failed(Cause::Export(error)))?;
    let is_printed = matches!(sink, ExportSink::Output(_));
    let summary = match config.dialect {
        Dialect::Sqlite => sqlite(config, args, sink, cancel).await?,
        Dialect::Postgres => postgres(config, args, sink, cancel).await?,
    };
    let ExportSummary { tables, rows } = summary;
    let destination = if is_printed { "standard output".into() } else { args.file.display().to_string() };
    let (tables, rows) = (counted(tables as u64, "table"), counted(rows, "row"));
    let message = format!("exported {tables}, {rows} to {destination}");
    Ok(if is_printed { CommandOutput::Printed(message) } else { CommandOutput::Text(message) })
}

/// Exports from a SQLite file.
async fn sqlite(
    config: &DatabaseConfig,
    args: &Export,
    sink: ExportSink<'_>,
    cancel: &Cancel,
) -> Result<ExportSummary, Failure> {
    let url = config.database.resolve().map_err(|cause| Failure::new(Stage::Configure, cause))?;
    let Url::Sqlite(SqliteTarget { location: SqliteLocation::File(path) }) = url else {
        let reason = "a database in memory has nothing to export: give a file".into();
        return Err(Failure::new(Stage::Configure, Cause::Config(reason)));
    };
    let (source, contents) = read(config, path, cancel).await.map_err(source_failure)?;
    let tables = select_tables(args, file_tables(contents))?;
    let result = export::sqlite(source, tables, sink, cancel).await;
    result.map_err(|cause| source_failure(Failure::new(Stage::Export, cause)))
}

/// Turns an error of a transfer's source into an error of the database: here the source is the configured database, and
/// not a file of `--from`.
fn source_failure(failure: Failure) -> Failure {
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
    args: &Export,
    sink: ExportSink<'_>,
    cancel: &Cancel,
) -> Result<ExportSummary, Failure> {
    let (mut database, _) = wait(&config.database, &config.history, &config.wait_policy, cancel).await?;
    let failed = |cause| Failure::new(Stage::Export, cause);
    let mut probe = database.probe();
    let work = async {
        let tables = database.target_tables().await.map_err(planning_failure)?;
        let tables = select_tables(args, tables)?;
        let snapshot = database.snapshot(&tables).await.map_err(|fault| failed(Cause::Database(fault)))?;
        export::postgres(snapshot, &tables, sink, cancel).await.map_err(failed)
    };
    tokio::select! {
        fault = probe.silence() => Err(failed(Cause::Database(fault))),
        reason = cancel.cancelled() => Err(failed(Cause::Stopped(reason))),
        result = work => result,
    }
}

/// A table of either kind of database.
trait AnyTable {
    /// Returns the name of the table, unquoted and without its schema.
    fn name(&self) -> &str;
    /// Returns the reason why the table is left out unless it is named; `None` if it is exported.
    fn skip_reason(&self) -> Option<String>;
}

impl AnyTable for SourceTable {
    fn name(&self) -> &str {
        &self.name
    }

    fn skip_reason(&self) -> Option<String> {
        let module_reason =
            || self.possible_owner.as_ref().map(|module| format!("perhaps the data of the virtual table {module}"));
        self.bookkeeping.map(|tool| format!("the bookkeeping of {tool}")).or_else(module_reason)
    }
}

impl AnyTable for TargetTable {
    fn name(&self) -> &str {
        &self.name
    }

    fn skip_reason(&self) -> Option<String> {
        let columns = self.columns.iter().map(|column| &*column.name);
        owning_tool(&self.name, columns).map(|tool| format!("the bookkeeping of {tool}"))
    }
}

/// Returns the tables of a file, and logs the other objects, which have no rows of their own.
fn file_tables(contents: SourceContents) -> Vec<SourceTable> {
    for skipped_object in contents.others.iter().filter(|skipped_object| !skipped_object.name.starts_with("sqlite_")) {
        tracing::info!("left alone: {}, {}", skipped_object.name, skipped_object.reason);
    }
    contents.tables
}

/// Returns the tables that the command line selects.
///
/// # Errors
/// Fails when an option names a table that does not exist, and when two selected tables have the same name (ignoring
/// case and schema): an import could not tell them apart.
fn select_tables<T: AnyTable>(args: &Export, tables: Vec<T>) -> Result<Vec<T>, Failure> {
    let mut errors = Vec::new();
    for (option, names) in [("--only", &args.tables.only), ("--exclude", &args.tables.exclude)] {
        for name in names.iter().filter(|name| !tables.iter().any(|table| table.name().eq_ignore_ascii_case(name))) {
            let reason = format!("{option} names it, and there is no such table");
            errors.push(MappingError { object: name.clone(), reason, scope: ErrorScope::Flags });
        }
    }
    let mut selected: Vec<T> = Vec::new();
    for table in tables {
        let is_named = |names: &[String]| names.iter().any(|name| name.eq_ignore_ascii_case(table.name()));
        let reason = match () {
            () if is_named(&args.tables.exclude) => Some("--exclude".into()),
            () if args.tables.only.is_empty() => table.skip_reason(),
            () if is_named(&args.tables.only) => None,
            () => Some("not among --only".into()),
        };
        if let Some(reason) = reason {
            tracing::info!("left alone: {}, {reason}", table.name());
            continue;
        }
        if selected.iter().any(|selected_table| selected_table.name().eq_ignore_ascii_case(table.name())) {
            let reason = "there are several such tables, which differ in case or schema: --exclude leaves them out";
            let place = table.name().to_owned();
            errors.push(MappingError { object: place, reason: reason.into(), scope: ErrorScope::Databases });
        }
        selected.push(table);
    }
    match errors.is_empty() {
        true => Ok(selected),
        false => Err(Failure::new(Stage::Export, Cause::Transfer(TransferError::Unmapped(errors)))),
    }
}
