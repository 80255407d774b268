//! The migrations of a directory before they are connected to a graph.

use crate::revision::graph::GraphError;
use crate::revision::plan::PlanError;
use crate::revision::policy::LateRevisions;
use crate::revision::{Graph, Migration, Version};

/// The migrations that a layout has found in a directory, and the problems of its files.
#[derive(Debug, Default)]
pub struct DirectoryContents {
    /// The migrations, in ascending order of their versions.
    pub(crate) migrations: Vec<Migration>,
    /// The repeatable scripts, in the order in which they are applied.
    pub(crate) repeatables: Vec<Migration>,
    /// The versions whose files could not be read, so that their parents are not known.
    pub(crate) unread: Vec<Version>,
    /// The problems, each a whole line.
    pub(crate) problems: Vec<String>,
}

impl DirectoryContents {
    /// Returns the graph of the migrations if neither the files nor the graph have a problem. Versions that could not be
    /// read are not reported as missing parents.
    ///
    /// # Errors
    /// Fails with all problems at once.
    pub(crate) fn connect(&self, late: LateRevisions) -> Result<Graph, Vec<String>> {
        let DirectoryContents { migrations, unread, problems, .. } = self;
        let mut problems = problems.clone();
        let nodes: Vec<_> = migrations.iter().map(|it| (&it.version, it.parents.as_deref())).collect();
        match Graph::new(&nodes) {
            Ok(graph) if problems.is_empty() => return Ok(graph.with_late_revisions(late)),
            Ok(graph) => {
                let heads = graph.heads();
                if heads.len() > 1 && unread.is_empty() {
                    problems.push(PlanError::heads(migrations, &heads).to_string());
                }
            }
            Err(wrong) => {
                let is_known = |problem: &&GraphError| match problem {
                    GraphError::UnknownParent { parent, .. } => !unread.contains(parent),
                    GraphError::Cycle { .. } => true,
                };
                let name = |at: usize| &*migrations[at].up.file;
                problems.extend(wrong.iter().filter(is_known).map(|problem| problem.describe(name)));
            }
        }
        Err(problems)
    }
}
