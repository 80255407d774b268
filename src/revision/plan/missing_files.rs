//! Unfinished revisions whose files are not in the directory: an image that was rolled back has begun them.

use super::{Applied, PlanError, Recorded, RecordedState, StatementOutcome, each_revision};
use crate::revision::{Graph, Migration};

/// Returns whether a revision was begun and none of its statements has taken effect.
pub(crate) fn is_untouched(row: &Applied) -> bool {
    row.state == RecordedState::Partial { done: 0 } && row.outcome == StatementOutcome::Known
}

/// Returns an error for each unfinished revision without a file of which something is done. The error has its progress
/// and the remedy.
pub(crate) fn unfinished_without_file(graph: &Graph, migrations: &[Migration], applied: &[Applied]) -> Vec<PlanError> {
    Recorded::new(migrations, &each_revision(migrations, applied)).unfinished_without_file(graph, migrations)
}

impl Recorded<'_> {
    pub(super) fn unfinished_without_file(&self, graph: &Graph, migrations: &[Migration]) -> Vec<PlanError> {
        let target = self.stamp_target(graph, migrations);
        self.fileless.iter().map(|row| missing_file_error(row, target.clone())).collect()
    }

    /// Returns the target that stamps exactly the revisions that are applied. Returns `None` if the directory does not
    /// have all of them, or if no single word names them.
    fn stamp_target(&self, graph: &Graph, migrations: &[Migration]) -> Option<String> {
        let (done, knows_all) = (self.done(), self.ahead.is_empty() && self.objections.is_empty());
        match &graph.heads_among(&done)[..] {
            _ if !knows_all => None,
            [] => Some("base".into()),
            [head] => Some(migrations[*head].version.to_string()),
            _ if done.iter().all(|done| *done) => Some("heads".into()),
            _ => None,
        }
    }
}

fn missing_file_error(row: &Applied, target: Option<String>) -> PlanError {
    let (progress, next) = match row.state {
        RecordedState::Partial { done } => (format!("statements that are done: {done}"), done + 1),
        RecordedState::Undoing { done } => (format!("statements of its down script that are done: {done}"), done + 1),
        RecordedState::Failed => ("another tool has recorded that it failed".to_owned(), 0),
        RecordedState::Applied => (String::new(), 0),
    };
    let progress = match row.outcome {
        StatementOutcome::Known => progress,
        StatementOutcome::Open => {
            format!("{progress}; of statement {next} it is not known whether it took effect")
        }
    };
    PlanError::Fileless { id: row.id.clone(), progress, target }
}
