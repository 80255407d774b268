//! Reads every value of a SQLite file, and drafts the first PostgreSQL revision whose tables can hold all of them.

use std::ops::ControlFlow;
use std::sync::atomic::AtomicBool;

use crate::database::DatabaseError;
use crate::database::sqlite::source::SqliteSource;
use crate::error::{Cause, TransferError};
use crate::transfer::plan::{self, TableSelection, TransferOptions};
use crate::transfer::schema_conversion::{
    self, ChosenType, ConvertedSchema, ExaminedTable, TypeInference, TypeRefusal,
};
use crate::transfer::source::{SourceContents, SourceTable, TableDefinition};

/// A drafted revision, and the objects of the source that have no part in it.
pub(crate) struct DraftedRevision {
    /// The schema in PostgreSQL's terms.
    pub(crate) draft: ConvertedSchema,
    /// The number of tables in the revision.
    pub(crate) tables: usize,
    /// The objects that were left out, each as its name and the reason.
    pub(crate) skipped: Vec<(String, String)>,
}

/// The problems that prevent a draft, a line each, and the values of `--cast` that may help.
#[derive(Default)]
struct DraftProblems {
    messages: Vec<String>,
    casts: Vec<String>,
}

/// Reads every row and drafts the revision. `history` is the name of the table that Lockkeeper uses for itself in the
/// target.
///
/// # Errors
/// Fails when the source cannot be read; otherwise with all tables and columns that PostgreSQL cannot have or that no
/// type can hold.
pub(crate) fn write(
    source: &SqliteSource,
    contents: &SourceContents,
    options: &TransferOptions,
    history: &str,
    stop: &AtomicBool,
) -> Result<DraftedRevision, Cause> {
    let unmapped = |objections| Cause::Transfer(TransferError::Unmapped(objections));
    let failed = |fault| Cause::Transfer(TransferError::Source(fault));
    let TableSelection { tables, skipped } = plan::select_tables(contents, options).map_err(unmapped)?;
    let mut problems = DraftProblems::default();
    if tables.is_empty() {
        problems.messages.push("there is no table to be carried".to_owned());
    }
    let mut examined = Vec::new();
    for table in tables {
        let impossible = schema_conversion::impossibilities(table);
        if !impossible.is_empty() {
            problems.messages.extend(impossible);
            continue;
        }
        if table.name == history {
            problems
                .messages
                .push(format!("{history}: Lockkeeper's own history has this name (--history-table changes it)"));
        }
        let definition = source.definition(table).map_err(failed)?;
        match columns(source, table, &definition, options, stop).map_err(failed)? {
            Ok(columns) => examined.push(ExaminedTable { source: table.clone(), definition, columns }),
            Err(column_problems) => {
                problems.messages.extend(column_problems.messages);
                problems.casts.extend(column_problems.casts);
            }
        }
    }
    if !problems.messages.is_empty() {
        let DraftProblems { messages: found, casts } = problems;
        return Err(Cause::Transfer(TransferError::Unwritable { found, casts }));
    }
    let texts = source.texts().map_err(failed)?;
    let draft = schema_conversion::convert(&examined, contents, &texts, source).map_err(failed)?;
    source.confirm().map_err(failed)?;
    Ok(DraftedRevision { draft, tables: examined.len(), skipped })
}

/// Returns the type of each column after reading each row once, or the problems with them. The outer error is that of a
/// source that cannot be read.
fn columns(
    source: &SqliteSource,
    table: &SourceTable,
    definition: &TableDefinition,
    options: &TransferOptions,
    stop: &AtomicBool,
) -> Result<Result<Vec<ChosenType>, DraftProblems>, DatabaseError> {
    let mut inferences = Vec::new();
    let mut problems = DraftProblems::default();
    for (column, usage) in table.columns.iter().zip(schema_conversion::uses(table, definition)) {
        let qualified_name = format!("{}.{}", table.name, column.name);
        let overrides = options.casts.iter().filter(|cast| cast.column.eq_ignore_ascii_case(&qualified_name));
        let rules = overrides.map(|cast| cast.rule.clone()).collect();
        match TypeInference::new(qualified_name, &column.declared, usage, rules, options.zone) {
            Ok(inference) => inferences.push(inference),
            Err(problem) => problems.messages.push(problem),
        }
    }
    if !problems.messages.is_empty() {
        return Ok(Err(problems));
    }
    let column_indexes: Vec<usize> = (0..inferences.len()).collect();
    let header = table.columns.len().div_ceil(8);
    let read: ControlFlow<(), u64> = source.rows(table, &column_indexes, stop, |row| {
        let bytes = header + row.values().map(schema_conversion::width).sum::<usize>();
        if bytes > schema_conversion::ROW && problems.messages.is_empty() {
            let (name, row) = (&table.name, row.identity());
            problems.messages.push(format!(
                "{name}, {row}: its values need {bytes} bytes, and a row of PostgreSQL takes {}",
                schema_conversion::ROW
            ));
        }
        for (inference, value) in inferences.iter_mut().zip(row.values()) {
            inference.take(value, &|| row.identity());
        }
        ControlFlow::Continue(())
    })?;
    debug_assert!(read.is_continue());
    Ok(finish_inferences(inferences, problems))
}

/// Returns the types, or the problems if there are any.
fn finish_inferences(
    inferences: Vec<TypeInference>,
    mut problems: DraftProblems,
) -> Result<Vec<ChosenType>, DraftProblems> {
    let mut types = Vec::new();
    for inference in inferences {
        match inference.finish() {
            Ok(chosen) => types.push(chosen),
            Err(TypeRefusal { words: message, casts }) => {
                problems.messages.push(message);
                problems.casts.extend(casts);
            }
        }
    }
    if problems.messages.is_empty() { Ok(types) } else { Err(problems) }
}
