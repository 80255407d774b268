//! The selection of tables, as far as the source alone determines it.

use super::{CastOverride, MappingError, PlanBuilder, TransferOptions};
use crate::transfer::source::{SourceContents, SourceTable};

/// The tables that are to be copied, and the others.
#[derive(Debug)]
pub(crate) struct TableSelection<'a> {
    /// The tables that are to be copied.
    pub(crate) tables: Vec<&'a SourceTable>,
    /// The tables that are not copied: the name, and the reason.
    pub(crate) skipped: Vec<(String, String)>,
}

/// Returns the tables that would be copied and those that would not, before the target is known.
///
/// # Errors
/// Fails when SQL cannot name a table, or when an option names something that the source does not have.
pub(crate) fn select_tables<'a>(
    contents: &'a SourceContents,
    options: &TransferOptions,
) -> Result<TableSelection<'a>, Vec<MappingError>> {
    check(contents, options)?;
    let mut builder = PlanBuilder { options, errors: Vec::new(), cast_uses: Vec::new() };
    builder.skipped_objects(contents);
    let mut selection = TableSelection { tables: Vec::new(), skipped: Vec::new() };
    for table in &contents.tables {
        match builder.check_selected(table, &[]) {
            Ok(()) => selection.tables.push(table),
            Err(reason) => selection.skipped.push((table.name.clone(), reason)),
        }
    }
    if builder.errors.is_empty() { Ok(selection) } else { Err(builder.errors) }
}

/// Checks whether the source has everything that the options name, before the target is read.
///
/// # Errors
/// Returns an error for each name that the source does not have.
pub(crate) fn check(contents: &SourceContents, options: &TransferOptions) -> Result<(), Vec<MappingError>> {
    let has_column = |table: &SourceTable, column_name: &str| {
        let mut names = table.columns.iter().map(|column| format!("{}.{}", table.name, column.name));
        names.any(|name| name.eq_ignore_ascii_case(column_name))
    };
    let exists =
        |cast_override: &CastOverride| contents.tables.iter().any(|table| has_column(table, &cast_override.column));
    let cast_uses = options.casts.iter().map(|cast_override| usize::from(exists(cast_override))).collect();
    let mut builder = PlanBuilder { options, errors: Vec::new(), cast_uses };
    builder.check_unknown_names(contents);
    if builder.errors.is_empty() { Ok(()) } else { Err(builder.errors) }
}
