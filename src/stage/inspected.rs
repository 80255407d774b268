//! A migration directory whose scripts were read to their ends, so that nothing runs if one of them is invalid.

use crate::directory::MigrationDir;
use crate::revision::{DirectedScript, Direction, Section, Step};

/// The result of reading a step's file to its end.
#[derive(Debug)]
pub(crate) struct Inspection {
    /// The number of statements in the file.
    pub(crate) statements: usize,
    /// The down script, if the revision has one.
    pub(crate) down: Option<Section>,
}

/// A migration directory with the inspections of its scripts.
pub(crate) struct InspectedDir<'a> {
    /// The migration directory.
    pub(crate) directory: &'a MigrationDir,
    /// The inspections, by position in the directory; only the scripts of the plan have one.
    pub(crate) inspections: Vec<Option<Inspection>>,
}

impl InspectedDir<'_> {
    /// Returns the script that a step runs. The step must be one of the inspected plan.
    pub(crate) fn script(&self, step: &Step, direction: Direction) -> DirectedScript<'_> {
        let migration = self.directory.migration(step.migration);
        let inspection = self.inspections[step.migration].as_ref().expect("every step of the plan was inspected");
        let (statements, down) = (inspection.statements, inspection.down.as_ref());
        match direction {
            Direction::Up => {
                let down = down.and_then(|down| down.checksum);
                DirectedScript { direction, section: &migration.up, statements, down }
            }
            Direction::Down => {
                let section = down.expect("what cannot be undone is refused before");
                DirectedScript { direction, section, statements, down: None }
            }
        }
    }
}
