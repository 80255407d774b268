//! The rows of the history that `stamp` and `adopt` record without running a script.

use std::time::Duration;

use crate::directory::MigrationDir;
use crate::error::{Cause, Failure, Stage};
use crate::revision::history::{Elapsed, HistoryChange, HistoryRow};
use crate::revision::journal::RecordedProgress;
use crate::revision::{Direction, Section, TransactionMode};
use crate::stage::backup::Safety;

/// Reads the down script of each revision, because its checksum goes into the row; `None` for a revision without one.
/// The positions are those of the directory.
///
/// # Errors
/// Fails with the problem of a file.
pub(super) fn load_down_scripts(
    directory: &MigrationDir,
    positions: impl Iterator<Item = usize>,
) -> Result<Vec<Option<Section>>, Failure> {
    let sections = positions.map(|at| directory.load_down(&directory.migrations[at]));
    sections.collect::<Result<_, _>>().map_err(|problem| Failure::new(Stage::Load, Cause::Invalid(vec![problem])))
}

/// Returns the change that records the revision at a position as applied; `down` is its down script.
pub(super) fn recorded_row<'a>(
    directory: &'a MigrationDir,
    at: usize,
    down: Option<&Section>,
    safety: &'a Safety,
) -> HistoryChange<'a> {
    let migration = &directory.migrations[at];
    HistoryChange::Record(HistoryRow {
        direction: Direction::Up,
        id: &migration.version,
        previous: directory.previous(&migration.version),
        migration,
        checksum: migration.up.checksum,
        executed: migration.up.fingerprint,
        down: down.and_then(|down| down.checksum),
        progress: RecordedProgress::Whole { statements: 0 },
        // The row is inserted once, in whatever mode the script runs.
        mode: TransactionMode::Transaction,
        backup: safety.recorded(),
        elapsed: Elapsed::Known(Duration::ZERO),
    })
}
