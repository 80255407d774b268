//! Describes values that do not fit.

use crate::database::sqlite::source::SourceRow;
use crate::transfer::cast::CastError;
use crate::transfer::plan::{ColumnMapping, TableMapping};
use crate::transfer::rejected_value::RejectedValue;
use crate::transfer::value::{Value, shown};

/// Describes a value that does not fit: where it is, why it does not fit, and what may help.
pub fn describe_cast_error(
    pair: &TableMapping,
    mapped: &ColumnMapping,
    row: &SourceRow<'_>,
    value: Value<'_>,
    bad: &CastError,
) -> String {
    describe(pair, mapped, row, value, &wrong(pair, mapped, bad))
}

/// Returns the problem of a value of this column.
pub fn wrong(pair: &TableMapping, mapped: &ColumnMapping, bad: &CastError) -> RejectedValue {
    let column = pair.source.columns[mapped.source].name.clone();
    let place = describe_place(pair, mapped);
    RejectedValue { column, reason: bad.reason().to_owned(), hint: bad.hint(&place), cast: bad.cast(&place) }
}

/// Describes a rejected value in a line for the log.
pub fn describe(
    pair: &TableMapping,
    mapped: &ColumnMapping,
    row: &SourceRow<'_>,
    value: Value<'_>,
    wrong: &RejectedValue,
) -> String {
    let hint = wrong.hint.as_ref().map_or(String::new(), |hint| format!(" ({hint})"));
    format!("{}, {}: {} {}{hint}", describe_place(pair, mapped), row.identity(), shown(value), wrong.reason)
}

/// As `--cast` takes it.
fn describe_place(pair: &TableMapping, mapped: &ColumnMapping) -> String {
    format!("{}.{}", pair.source.name, pair.source.columns[mapped.source].name)
}
