//! The values of the column `state`.

use crate::dialect::Dialect;
use crate::sql::is_one_of;

/// The revision is applied.
pub(super) const APPLIED: &str = "applied";
/// The up script has stopped part way, and the journal has its progress. An earlier release, which does not know the
/// journal, refuses a row with this value and prints it.
pub(super) const PARTIAL: &str = "partial, see the journal";
/// The down script has stopped part way, and the journal has its progress.
pub(super) const UNDOING: &str = "undoing, see the journal";
/// [`PARTIAL`] in a table of an earlier release, whose row has the progress.
pub(super) const EARLIER_PARTIAL: &str = "partial";
/// [`UNDOING`] in a table of an earlier release, whose row has the progress.
pub(super) const EARLIER_UNDOING: &str = "undoing";

/// The name of the constraint on the column. It refuses the rows with which an earlier release begins a script without a
/// transaction; the error that the release prints shows the name.
pub(super) const CONSTRAINT: &str = "unfinished_revisions_are_in_the_journal";

/// Returns the constraint on the column.
pub(super) fn constraint(dialect: Dialect) -> String {
    let states = [APPLIED, PARTIAL, UNDOING].map(|state| format!("'{state}'"));
    format!("{CONSTRAINT} CHECK ({})", is_one_of(dialect, "state", &states))
}
