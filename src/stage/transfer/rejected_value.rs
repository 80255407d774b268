//! Describes values that do not fit.

use crate::database::sqlite::source::SourceRow;
use crate::transfer::cast::CastError;
use crate::transfer::plan::{ColumnMapping, TableMapping};
use crate::transfer::rejected_value::RejectedValue;
use crate::transfer::value::{Value, shown};

/// Describes a value that does not fit: where it is, why it does not fit, and what may help.
pub(crate) fn describe_cast_error(
    mapping: &TableMapping,
    column_mapping: &ColumnMapping,
    row: &SourceRow<'_>,
    value: Value<'_>,
    error: &CastError,
) -> String {
    describe(mapping, column_mapping, row, value, &new_rejected_value(mapping, column_mapping, error))
}

/// Returns the problem of a value of this column.
pub(crate) fn new_rejected_value(
    mapping: &TableMapping,
    column_mapping: &ColumnMapping,
    error: &CastError,
) -> RejectedValue {
    let column = mapping.source.columns[column_mapping.source].name.clone();
    let column_name = qualified_column(mapping, column_mapping);
    RejectedValue {
        column,
        reason: error.reason().to_owned(),
        hint: error.hint(&column_name),
        cast: error.cast(&column_name),
    }
}

/// Describes a rejected value in a line for the log.
pub(crate) fn describe(
    mapping: &TableMapping,
    column_mapping: &ColumnMapping,
    row: &SourceRow<'_>,
    value: Value<'_>,
    rejected_value: &RejectedValue,
) -> String {
    let hint = rejected_value.hint.as_ref().map_or(String::new(), |hint| format!(" ({hint})"));
    format!(
        "{}, {}: {} {}{hint}",
        qualified_column(mapping, column_mapping),
        row.identity(),
        shown(value),
        rejected_value.reason
    )
}

/// As `--cast` takes it.
fn qualified_column(mapping: &TableMapping, column_mapping: &ColumnMapping) -> String {
    format!("{}.{}", mapping.source.name, mapping.source.columns[column_mapping.source].name)
}
