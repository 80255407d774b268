//! Values that do not fit, in words.

use crate::database::sqlite::source::SourceRow;
use crate::transfer::cast::CastError;
use crate::transfer::plan::{ColumnMapping, TableMapping};
use crate::transfer::rejected_value::RejectedValue;
use crate::transfer::value::{Value, shown};

/// A value that does not fit, with where it is, why, and what may help.
pub fn describe_cast_error(
    pair: &TableMapping,
    mapped: &ColumnMapping,
    row: &SourceRow<'_>,
    value: Value<'_>,
    bad: &CastError,
) -> String {
    describe(pair, mapped, row, value, &wrong(pair, mapped, bad))
}

/// What is wrong with a value of this column.
pub fn wrong(pair: &TableMapping, mapped: &ColumnMapping, bad: &CastError) -> RejectedValue {
    let column = pair.source.columns[mapped.source].name.clone();
    let place = place(pair, mapped);
    RejectedValue { column, reason: bad.reason().to_owned(), hint: bad.hint(&place), cast: bad.cast(&place) }
}

/// The same as a line of the log.
pub fn describe(
    pair: &TableMapping,
    mapped: &ColumnMapping,
    row: &SourceRow<'_>,
    value: Value<'_>,
    wrong: &RejectedValue,
) -> String {
    let hint = wrong.hint.as_ref().map_or(String::new(), |hint| format!(" ({hint})"));
    format!("{}, {}: {} {}{hint}", place(pair, mapped), row.identity(), shown(value), wrong.reason)
}

/// As `--cast` takes it.
fn place(pair: &TableMapping, mapped: &ColumnMapping) -> String {
    format!("{}.{}", pair.source.name, pair.source.columns[mapped.source].name)
}
