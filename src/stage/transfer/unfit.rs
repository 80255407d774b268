//! Values that do not fit, in words.

use crate::database::sqlite::source::Row;
use crate::transfer::cast::Bad;
use crate::transfer::plan::{Mapped, Pair};
use crate::transfer::reject::Wrong;
use crate::transfer::value::{Value, shown};

/// A value that does not fit, with where it is, why, and what may help.
pub fn unfit(pair: &Pair, mapped: &Mapped, row: &Row<'_>, value: Value<'_>, bad: &Bad) -> String {
    told(pair, mapped, row, value, &wrong(pair, mapped, bad))
}

/// What is wrong with a value of this column.
pub fn wrong(pair: &Pair, mapped: &Mapped, bad: &Bad) -> Wrong {
    let column = pair.source.columns[mapped.source].name.clone();
    let place = place(pair, mapped);
    Wrong { column, reason: bad.reason().to_owned(), hint: bad.hint(&place), cast: bad.cast(&place) }
}

/// The same as a line of the log.
pub fn told(pair: &Pair, mapped: &Mapped, row: &Row<'_>, value: Value<'_>, wrong: &Wrong) -> String {
    let hint = wrong.hint.as_ref().map_or(String::new(), |hint| format!(" ({hint})"));
    format!("{}, {}: {} {}{hint}", place(pair, mapped), row.identity(), shown(value), wrong.reason)
}

/// As `--cast` takes it.
fn place(pair: &Pair, mapped: &Mapped) -> String {
    format!("{}.{}", pair.source.name, pair.source.columns[mapped.source].name)
}
