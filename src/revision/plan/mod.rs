//! Computes the steps that a run has to do from the graph, the history and the target, or every reason why none may
//! run.

mod compare;
mod count;
mod each_revision;
mod error;
mod missing_files;
mod repeatable;
mod resume;
mod stamp;
mod target;
mod target_error;

use compare::{changed, out_of_order, overtaken};
pub(crate) use compare::{downgrade_errors, unfinished};
pub(crate) use count::ScriptCount;
pub(crate) use each_revision::{Coverage, each_revision};
pub(crate) use error::{DowngradeError, PlanError};
pub(crate) use missing_files::{is_untouched, unfinished_without_file};
pub(crate) use repeatable::{add_repeatables, newest};
pub(crate) use resume::{Resume, StatementOutcome};
pub(crate) use stamp::{Stamp, resolve, stamp};
pub use target::Goal;
pub(crate) use target::{ResolvedTarget, find};
pub(crate) use target_error::TargetError;

use super::policy::LateRevisions;
use super::{Checksum, Direction, Fingerprint, Graph, Migration, Version};

/// One row of the history table.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The number of the revision, as the row spells it.
    pub id: Version,
    /// The checksum of an applied script. `None` if the row has none.
    pub checksum: Option<Checksum>,
    /// For an unfinished revision: the fingerprint of the finished statements. `None` if the row has none.
    pub executed: Option<Fingerprint>,
    /// The checksum of the down script when the row was written; `None` if there was none, or the row has none.
    pub(crate) down: Option<Checksum>,
    /// The progress of the revision.
    pub state: RecordedState,
    /// For an unfinished revision: the outcome of its next statement.
    pub(crate) outcome: StatementOutcome,
    /// The meaning of the row for the earlier revisions of the directory.
    pub(crate) coverage: Coverage,
}

/// The progress of a recorded revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordedState {
    /// The revision is applied.
    Applied,
    /// A `-- no-transaction` up script that stopped part way.
    Partial {
        /// The number of finished statements.
        done: usize,
    },
    /// A `-- no-transaction` down script that stopped part way.
    Undoing {
        /// The number of finished statements.
        done: usize,
    },
    /// The tool to which the history belongs has recorded that the script failed. It does not say how far it came.
    Failed,
}

/// The revisions that a run has completed.
#[derive(Clone, Debug, Default)]
pub struct Completed {
    /// The direction of the run.
    pub(crate) direction: Direction,
    /// The numbers of the revisions, in the order of the run, and the names of the repeatable scripts behind them.
    pub(crate) revisions: Vec<String>,
    /// The number of repeatable scripts among them.
    pub(crate) repeatables: usize,
    /// The number of scripts behind them that were committed, and of which it is not known whether they survive a crash of
    /// the server.
    pub(crate) unproven: u32,
    /// The target with which a rerun ends at the same revision, if the target of this run would go further by now.
    pub(crate) rerun_target: Option<String>,
}

/// The steps that are left to do.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// The direction of all steps.
    pub(crate) direction: Direction,
    /// The scripts to run, in this order.
    pub(crate) steps: Vec<Step>,
    /// The number of repeatable scripts among them, which come last.
    pub(crate) repeatables: usize,
    /// The revisions that the database is at: the newest one ahead of the directory, or else the heads of the applied
    /// ones.
    pub(crate) current: Vec<Version>,
    /// The heads of the directory's applied revisions when the plan is done.
    pub(crate) goal: Vec<Version>,
    /// Revisions in the database that are newer than every revision in the directory.
    pub(crate) ahead: Vec<Version>,
    /// Revisions that are recorded as begun, of which nothing is done, and whose files the directory does not have.
    pub(crate) untouched: Vec<Version>,
}

impl Completed {
    /// Returns the number of the scripts.
    pub(crate) fn count(&self) -> ScriptCount {
        ScriptCount { revisions: self.revisions.len() - self.repeatables, repeatables: self.repeatables }
    }
}

impl Plan {
    /// Returns the number of the steps.
    pub(crate) fn count(&self) -> ScriptCount {
        ScriptCount { revisions: self.steps.len() - self.repeatables, repeatables: self.repeatables }
    }
}

/// One script to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The position of the revision in the directory. The positions behind the revisions are those of the repeatable
    /// scripts.
    pub(crate) migration: usize,
    /// The progress of an earlier run of the script.
    pub(crate) resume: Option<Box<Resume>>,
    /// The number as the history spells it, if there is a row: the file name may have got more zeros since.
    recorded: Option<Box<Version>>,
}

impl Step {
    /// Returns the number of the revision as the history spells it.
    pub(crate) fn id<'a>(&'a self, migration: &'a Migration) -> &'a Version {
        self.recorded.as_deref().unwrap_or(&migration.version)
    }
}

/// Returns the numbers with commas between them.
pub(crate) fn list(ids: &[Version]) -> String {
    ids.iter().map(Version::as_str).collect::<Vec<_>>().join(", ")
}

/// Returns the numbers with commas between them, or `base` if there are none.
pub(crate) fn describe_heads(ids: &[Version]) -> String {
    if ids.is_empty() { "base".into() } else { list(ids) }
}

/// Resolves a target to a goal, and plans the steps to it.
///
/// # Errors
/// Fails with all problems at once, so that the user sees them in one output.
pub(crate) fn plan_to(
    graph: &Graph,
    migrations: &[Migration],
    applied: &[Applied],
    found: &ResolvedTarget,
    direction: Direction,
) -> Result<(Goal, Plan), Vec<PlanError>> {
    let applied = each_revision(migrations, applied);
    let recorded = Recorded::new(migrations, &applied);
    let present: Vec<bool> = recorded.rows.iter().map(Option::is_some).collect();
    match target::resolve_goal(graph, migrations, found, direction, &present, &recorded.done()) {
        Ok(goal) => Ok((goal.clone(), recorded.plan(graph, migrations, &goal)?)),
        Err(misfit) => Err(vec![PlanError::Target(misfit)]),
    }
}

/// Plans the steps to a goal.
///
/// # Errors
/// Fails as [`plan_to`] does: with all problems at once.
pub(crate) fn plan(
    graph: &Graph,
    migrations: &[Migration],
    applied: &[Applied],
    goal: &Goal,
) -> Result<Plan, Vec<PlanError>> {
    Recorded::new(migrations, &each_revision(migrations, applied)).plan(graph, migrations, goal)
}

/// The rows of the history, assigned to the files of the directory.
struct Recorded<'a> {
    /// The row of each revision, by its position in the directory.
    rows: Vec<Option<&'a Applied>>,
    ahead: Vec<Version>,
    untouched: Vec<Version>,
    /// Unfinished rows without a file.
    fileless: Vec<&'a Applied>,
    /// The problems of rows that match no file.
    objections: Vec<PlanError>,
}

impl<'a> Recorded<'a> {
    fn new(migrations: &[Migration], applied: &'a [Applied]) -> Recorded<'a> {
        let newest = migrations.last().map(|migration| &migration.version);
        let mut found = Recorded {
            rows: vec![None; migrations.len()],
            ahead: Vec::new(),
            untouched: Vec::new(),
            fileless: Vec::new(),
            objections: Vec::new(),
        };
        for row in applied {
            let at = migrations.binary_search_by(|migration| migration.version.cmp(&row.id));
            match at.ok() {
                Some(at) => found.rows[at] = Some(row),
                None if is_untouched(row) => found.untouched.push(row.id.clone()),
                None if row.state != RecordedState::Applied => found.fileless.push(row),
                None if Some(&row.id) > newest => found.ahead.push(row.id.clone()),
                None => found.objections.push(PlanError::Missing { id: row.id.clone() }),
            }
        }
        found
    }

    /// Returns the revisions that are applied completely, by position.
    fn done(&self) -> Vec<bool> {
        self.rows.iter().map(|row| row.is_some_and(|row| row.state == RecordedState::Applied)).collect()
    }

    fn plan(mut self, graph: &Graph, migrations: &[Migration], goal: &Goal) -> Result<Plan, Vec<PlanError>> {
        let mut after = self.done();
        let current = heads(graph, migrations, &after, &self.ahead);
        let fileless = self.unfinished_without_file(graph, migrations);
        self.objections.extend(fileless);
        let left = match goal {
            Goal::Apply(positions) => self.up(graph, migrations, positions),
            Goal::Undo(positions) => self.down(graph, migrations, positions),
        };
        if !self.objections.is_empty() {
            return Err(self.objections);
        }
        let direction = goal.direction();
        left.iter().for_each(|&at| after[at] = direction == Direction::Up);
        let step = |migration: usize| {
            let row = self.rows[migration];
            let recorded = row.map(|row| Box::new(row.id.clone()));
            Step { migration, resume: row.and_then(|row| Resume::from_row(row, direction)).map(Box::new), recorded }
        };
        Ok(Plan {
            direction,
            steps: left.into_iter().map(step).collect(),
            repeatables: 0,
            current,
            goal: heads(graph, migrations, &after, &[]),
            ahead: self.ahead,
            untouched: self.untouched,
        })
    }

    /// Returns the revisions that are left to apply, parents first.
    fn up(&mut self, graph: &Graph, migrations: &[Migration], goal: &[usize]) -> Vec<usize> {
        let done = self.done();
        let wanted = graph.with_ancestors(goal);
        for (at, row) in self.rows.iter().enumerate() {
            self.objections.extend(row.and_then(|row| match row.state {
                RecordedState::Undoing { .. } | RecordedState::Failed => unfinished(graph, migrations, at, row),
                _ => changed(&migrations[at], row),
            }));
        }
        let left: Vec<usize> = graph.order().iter().copied().filter(|&at| wanted[at] && !done[at]).collect();
        if graph.late_revisions() == LateRevisions::Refused {
            self.objections.extend(out_of_order(graph, migrations, &done));
            let newer = self.ahead.iter().min();
            self.objections.extend(newer.into_iter().flat_map(|newer| overtaken(migrations, &left, newer)));
        }
        left
    }

    /// Returns the revisions that are left to undo, children first.
    fn down(&mut self, graph: &Graph, migrations: &[Migration], goal: &[usize]) -> Vec<usize> {
        if !self.ahead.is_empty() {
            self.objections.push(PlanError::Back(DowngradeError::Ahead { ids: self.ahead.clone() }));
        }
        let mut goes = vec![false; migrations.len()];
        goal.iter().for_each(|&at| goes[at] = true);
        let present = |at: usize| self.rows[at].is_some();
        let left: Vec<usize> = graph.order().iter().rev().copied().filter(|&at| goes[at] && present(at)).collect();
        let needed =
            graph.with_ancestors(&(0..migrations.len()).filter(|&at| present(at) && !goes[at]).collect::<Vec<_>>());
        for &at in left.iter().filter(|&&at| needed[at]) {
            let rests = graph.with_descendants(&[at]);
            let by = (0..migrations.len()).find(|&other| rests[other] && present(other) && !goes[other]);
            let ids = [at, by.unwrap_or(at)].map(|at| migrations[at].version.clone());
            let [id, by] = ids;
            self.objections.push(PlanError::Back(DowngradeError::StillNeeded { id, by }));
        }
        for (at, row) in self.rows.iter().enumerate() {
            self.objections.extend(row.and_then(|row| match row.state {
                RecordedState::Applied if goes[at] => changed(&migrations[at], row),
                RecordedState::Failed => unfinished(graph, migrations, at, row),
                RecordedState::Undoing { .. } | RecordedState::Partial { .. } if !goes[at] => {
                    unfinished(graph, migrations, at, row)
                }
                RecordedState::Undoing { done } if done > 0 && row.executed.is_none() => {
                    let migration = &migrations[at];
                    let file = migration.down.as_ref().unwrap_or(&migration.up.file).clone();
                    Some(PlanError::NoChecksum { file, id: row.id.clone() })
                }
                _ => None,
            }));
        }
        left
    }
}

/// Returns the revisions that the database is at: the newest one ahead of the directory, or else the heads of the
/// applied ones.
fn heads(graph: &Graph, migrations: &[Migration], done: &[bool], ahead: &[Version]) -> Vec<Version> {
    match ahead.iter().max() {
        Some(newest) => vec![newest.clone()],
        None => graph.heads_among(done).into_iter().map(|at| migrations[at].version.clone()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::graph::tests::nodes;
    use super::super::{Section, Target, TransactionMode};
    use super::*;
    use crate::layout::NATIVE;

    fn id(text: &str) -> Version {
        NATIVE.version(text).unwrap()
    }

    /// Returns the progress of revision 2 after a number of finished statements.
    fn resume(done: usize) -> Option<Box<Resume>> {
        Some(Box::new(Resume { done, executed: fingerprint(&id("2")), outcome: StatementOutcome::Known }))
    }

    /// Returns scripts and a graph from "1->2->3"; the checksum of revision N is N repeated.
    fn directory(text: &str) -> (Vec<Migration>, Graph) {
        let nodes = nodes(text);
        let borrowed: Vec<_> = nodes.iter().map(|(id, parents)| (id, Some(parents.as_slice()))).collect();
        let graph = Graph::new(&borrowed).unwrap();
        let migration = |id: &Version| Migration {
            version: id.clone(),
            description: "x".into(),
            parents: None,
            up: section(&format!("{id}_x.up.sql"), id),
            down: None,
        };
        (nodes.iter().map(|(id, _)| migration(id)).collect(), graph)
    }

    fn section(file: &str, sum_of: &Version) -> Section {
        Section {
            file: file.into(),
            options: Arc::default(),
            fingerprint: fingerprint(sum_of),
            checksum: Some(sum(sum_of)),
            part: None,
        }
    }

    fn fingerprint(id: &Version) -> Fingerprint {
        Fingerprint([id.as_str().as_bytes()[0]; 32])
    }

    fn sum(id: &Version) -> Checksum {
        Checksum::new([id.as_str().as_bytes()[0]; 32])
    }

    fn applied(text: &str) -> Vec<Applied> {
        let row = |word: &str| Applied {
            id: id(word),
            checksum: Some(sum(&id(word))),
            executed: Some(fingerprint(&id(word))),
            down: None,
            state: RecordedState::Applied,
            outcome: StatementOutcome::Known,
            coverage: Coverage::OneRevision,
        };
        text.split_whitespace().map(row).collect()
    }

    /// Returns the steps that are left, as text.
    fn steps(graph: &str, done: &str, target: &str, way: Direction) -> Result<String, Vec<PlanError>> {
        let (migrations, graph) = directory(graph);
        let target = Target::parse(target, |text| NATIVE.version(text)).unwrap();
        let found = find(&graph, &migrations, &target, way).map_err(|objection| vec![objection])?;
        let (_, plan) = plan_to(&graph, &migrations, &applied(done), &found, way)?;
        let steps: Vec<&str> = plan.steps.iter().map(|step| migrations[step.migration].version.as_str()).collect();
        Ok(steps.join(" "))
    }

    fn plan(graph: &str, done: &str, target: &str) -> Result<String, Vec<PlanError>> {
        steps(graph, done, target, Direction::Up)
    }

    fn back(graph: &str, done: &str, target: &str) -> Result<String, Vec<PlanError>> {
        steps(graph, done, target, Direction::Down)
    }

    fn upgrade(graph: &Graph, migrations: &[Migration], applied: &[Applied]) -> Result<Plan, Vec<PlanError>> {
        super::plan(graph, migrations, applied, &Goal::Apply(graph.heads()))
    }

    fn misfit(result: Result<String, Vec<PlanError>>) -> TargetError {
        match result.unwrap_err().pop() {
            Some(PlanError::Target(misfit)) => misfit,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_left_in_topological_order() {
        for (graph, done, target, left) in [
            ("1->2->3", "", "head", "1 2 3"),
            ("1->2->3", "1", "head", "2 3"),
            ("1->2->3", "1 2 3", "head", ""),
            ("1->2->3", "", "2", "1 2"),
            ("1->2->3", "1 2 3", "1", ""),
            ("1->2->4, 1->3->4", "1 3", "head", "2 4"),
            ("1->2, 1->3", "1", "heads", "2 3"),
            ("1->2, 1->3", "1 3", "2", "2"),
            ("1->2->3", "1", "+1", "2"),
            ("1->2, 1->3", "1", "+2", "2 3"),
            ("1->2->3", "", "1+1", "1 2"),
            ("1->2->3", "1", "head-1", "2"),
            ("1->2->3", "", "base+2", "1 2"),
        ] {
            assert_eq!(plan(graph, done, target).unwrap(), left, "{graph} / {done} / {target}");
        }
    }

    #[test]
    fn objections_come_all_at_once() {
        let (migrations, graph) = directory("1->2->3->5");
        let mut rows = applied("1 3 4");
        rows[0].checksum = None;
        let objections = upgrade(&graph, &migrations, &rows).unwrap_err();
        assert_eq!(objections[0], PlanError::Missing { id: id("4") });
        assert!(matches!(objections[1], PlanError::Edited { .. }));
        assert!(
            matches!(&objections[2], PlanError::OutOfOrder { id: hole, after, .. } if hole == &id("2") && after == &id("3"))
        );
        assert_eq!(objections.len(), 3);
    }

    #[test]
    fn newer_than_the_directory_is_ahead_not_missing() {
        let (migrations, graph) = directory("1->2");
        let plan = upgrade(&graph, &migrations, &applied("1 2 3")).unwrap();
        assert_eq!(plan.ahead, [id("3")]);
        assert!(plan.steps.is_empty());
    }

    #[test]
    fn what_is_left_may_not_follow_what_is_ahead() {
        let (mut migrations, graph) = directory("1->2");
        let objections = upgrade(&graph, &migrations, &applied("1 3")).unwrap_err();
        assert!(
            matches!(&objections[..], [PlanError::OutOfOrder { id: left, after, .. }] if left == &id("2") && after == &id("3"))
        );
        migrations[1].parents = Some([id("1")].into());
        assert_eq!(upgrade(&graph, &migrations, &applied("1 3")).unwrap().steps.len(), 1);
    }

    #[test]
    fn an_unfinished_revision_without_a_file_is_no_settled_state() {
        let (migrations, graph) = directory("1->2->4");
        for (number, state, outcome, progress) in [
            ("5", RecordedState::Partial { done: 1 }, StatementOutcome::Known, "statements that are done: 1"),
            ("3", RecordedState::Partial { done: 2 }, StatementOutcome::Known, "statements that are done: 2"),
            (
                "5",
                RecordedState::Partial { done: 0 },
                StatementOutcome::Open,
                "of statement 1 it is not known whether it took effect",
            ),
            (
                "5",
                RecordedState::Undoing { done: 1 },
                StatementOutcome::Known,
                "statements of its down script that are done: 1",
            ),
        ] {
            let mut rows = applied("1 2 4");
            rows.push(Applied { state, outcome, ..applied(number).remove(0) });
            let objections = upgrade(&graph, &migrations, &rows).unwrap_err();
            let [PlanError::Fileless { id: fileless, .. }] = &objections[..] else { panic!("{objections:?}") };
            assert_eq!(fileless, &id(number));
            let text = objections[0].to_string();
            assert!(text.contains(progress) && text.contains("lockkeeper stamp 4"), "{text}");
        }
    }

    #[test]
    fn a_revision_of_which_nothing_is_done_is_in_nobodys_way() {
        let (migrations, graph) = directory("1->2->4");
        for number in ["3", "5"] {
            let mut rows = applied("1 2");
            rows.push(Applied { state: RecordedState::Partial { done: 0 }, ..applied(number).remove(0) });
            let plan = upgrade(&graph, &migrations, &rows).unwrap();
            assert_eq!((plan.untouched, plan.ahead, plan.current), (vec![id(number)], vec![], vec![id("2")]));
            assert_eq!(plan.steps.len(), 1);
            let back = super::plan(&graph, &migrations, &rows, &Goal::Undo(vec![1])).unwrap();
            assert_eq!(back.steps.len(), 1);
        }
    }

    #[test]
    fn a_stamp_is_named_only_where_one_revision_says_where_the_database_is() {
        let (migrations, graph) = directory("1->2, 1->3");
        let text = |done: &str| {
            let mut rows = applied(done);
            rows.push(Applied { state: RecordedState::Partial { done: 1 }, ..applied("5").remove(0) });
            upgrade(&graph, &migrations, &rows).unwrap_err()[0].to_string()
        };
        assert!(text("1 2").ends_with("lockkeeper stamp 2"));
        assert!(text("1 2 3").ends_with("lockkeeper stamp heads"));
        assert!(text("").ends_with("lockkeeper stamp base"));
    }

    #[test]
    fn several_heads_are_no_head() {
        let objections = plan("1->2, 1->3", "", "head").unwrap_err();
        let files = vec!["2_x.up.sql".into(), "3_x.up.sql".into()];
        assert_eq!(objections, [PlanError::Heads { files, ids: vec![id("2"), id("3")] }]);
        assert!(objections[0].to_string().contains("lockkeeper merge -m \"merge 2 and 3\""));
    }

    #[test]
    fn what_is_undone_children_first() {
        for (graph, done, target, left) in [
            ("1->2->3", "1 2 3", "base", "3 2 1"),
            ("1->2->3", "1 2 3", "1", "3 2"),
            ("1->2->3", "1 2", "2", ""),
            ("1->2->3", "1 2 3", "-1", "3"),
            ("1->2->3", "1 2", "-2", "2 1"),
            ("1->2->3", "1 2 3", "3-2", "3 2"),
            ("1->2->3", "1 2 3", "1-1", "3 2 1"),
            ("1->2->4, 1->3->4", "1 2 3 4", "2", "4"),
            ("1->2->4, 1->3->4", "1 2 3 4", "1", "4 3 2"),
            ("1->2->4, 1->3->4", "1 2 3 4", "-1", "4"),
            ("1->2, 1->3->4", "1 2 3 4", "3", "4"),
            ("1->2", "", "base", ""),
        ] {
            assert_eq!(back(graph, done, target).unwrap(), left, "{graph} / {done} / {target}");
        }
    }

    #[test]
    fn targets_that_do_not_fit() {
        let far = |target: &str, steps, direction| TargetError::TooFar { target: target.into(), steps, direction };
        assert_eq!(misfit(plan("1->2", "1", "+2")), far("+2", 1, Direction::Up));
        assert_eq!(misfit(back("1->2", "1", "-2")), far("-2", 1, Direction::Down));
        assert_eq!(misfit(back("1->2->3", "1", "2")), TargetError::NotApplied { id: id("2") });
        for (result, target) in [(plan("1->2", "", "2+1"), "2+1"), (plan("1->2", "", "1-2"), "1-2")] {
            assert_eq!(misfit(result), TargetError::Beyond { target: target.into() });
        }
        for (result, way) in [
            (plan("1", "1", "-1"), Direction::Up),
            (plan("1", "1", "base"), Direction::Up),
            (back("1", "1", "+1"), Direction::Down),
        ] {
            assert!(matches!(misfit(result), TargetError::WrongWay { direction, .. } if direction == way));
        }
        for result in [
            back("1->2, 1->3", "1 2 3", "-1"),
            back("1->2->4, 1->3->4", "1 2 3 4", "-2"),
            plan("1->2, 1->3", "", "1+1"),
            back("1->2->4, 1->3->4", "1 2 3 4", "4-1"),
        ] {
            let TargetError::Fork { candidates, .. } = misfit(result) else { panic!("no fork") };
            assert_eq!(candidates, [id("2"), id("3")]);
        }
    }

    #[test]
    fn nothing_is_undone_under_what_stays() {
        let (migrations, graph) = directory("1->2->3");
        let rows = applied("1 2 3");
        let undo = |positions: &[usize]| super::plan(&graph, &migrations, &rows, &Goal::Undo(positions.to_vec()));
        assert_eq!(
            undo(&[1]).unwrap_err(),
            [PlanError::Back(DowngradeError::StillNeeded { id: id("2"), by: id("3") })]
        );
        let plan = undo(&[1, 2]).unwrap();
        assert_eq!((plan.current, plan.goal), (vec![id("3")], vec![id("1")]));
        let objections = back("1->2", "1 2 7", "-1").unwrap_err();
        assert_eq!(objections, [PlanError::Back(DowngradeError::Ahead { ids: vec![id("7")] })]);
    }

    #[test]
    fn a_way_back_must_be_there_willing_and_unchanged() {
        let (mut migrations, _) = directory("1");
        let mut row = applied("1").remove(0);
        let mut back = section("1_x.down.sql", &id("2"));
        let said = |migration: &Migration, back: Option<&Section>, row: &Applied| -> Vec<String> {
            downgrade_errors(migration, back, Some(row)).iter().map(ToString::to_string).collect()
        };
        assert!(said(&migrations[0], None, &row)[0].contains("1_x.up.sql cannot be undone"));
        migrations[0].down = Some("1_x.down.sql".into());
        assert_eq!(said(&migrations[0], Some(&back), &row), [] as [String; 0]);
        row.down = Some(sum(&id("3")));
        assert!(said(&migrations[0], Some(&back), &row)[0].contains("1_x.down.sql was edited after"));
        // A half undone revision continues with the corrected file; the finished statements are compared when it does.
        row.state = RecordedState::Undoing { done: 1 };
        assert!(said(&migrations[0], Some(&back), &row)[0].contains("keep its -- no-transaction line"));
        row.state = RecordedState::Applied;
        Arc::make_mut(&mut back.options).irreversible = Some("data is gone".into());
        assert_eq!(said(&migrations[0], Some(&back), &row).len(), 2);
        Arc::make_mut(&mut migrations[0].up.options).irreversible = Some("drops rows".into());
        assert_eq!(said(&migrations[0], Some(&back), &row)[0], "1_x.up.sql is irreversible: drops rows");
        migrations[0].down = None;
        assert_eq!(said(&migrations[0], None, &row), ["1_x.up.sql is irreversible: drops rows"]);
    }

    #[test]
    fn a_half_undone_revision_is_finished_first() {
        let (migrations, graph) = directory("1->2->3");
        let mut rows = applied("1 2");
        rows[1].state = RecordedState::Undoing { done: 1 };
        let unfinished = [PlanError::HalfUndone { id: id("2"), below: "2-1".into() }];
        assert_eq!(upgrade(&graph, &migrations, &rows).unwrap_err(), unfinished);
        let undo = |goal, rows: &[Applied]| super::plan(&graph, &migrations, rows, &Goal::Undo(goal));
        assert_eq!(undo(vec![2], &rows).unwrap_err(), unfinished);
        let resume = resume(1);
        let recorded = Some(Box::new(id("2")));
        let steps = [Step { migration: 1, resume, recorded: recorded.clone() }];
        assert_eq!(undo(vec![1, 2], &rows).unwrap().steps, steps);
        rows[1].state = RecordedState::Partial { done: 1 };
        assert_eq!(undo(vec![2], &rows).unwrap_err(), [PlanError::HalfDone { id: id("2"), below: "2-1".into() }]);
        // The progress of an unfinished up script is no progress of the down script.
        assert_eq!(undo(vec![1], &rows).unwrap().steps, [Step { migration: 1, resume: None, recorded }]);
    }

    #[test]
    fn prefixes_must_be_unambiguous() {
        assert_eq!(plan("11->12->20", "", "20").unwrap(), "11 12 20");
        assert_eq!(plan("11->12->20", "", "2").unwrap(), "11 12 20");
        assert!(matches!(misfit(plan("11->12->20", "", "1")), TargetError::Ambiguous { .. }));
        assert!(matches!(misfit(plan("11->12", "", "9")), TargetError::Unknown { .. }));
    }

    #[test]
    fn a_partial_revision_is_resumed_and_must_keep_its_mode() {
        let (mut migrations, graph) = directory("1->2");
        let mut rows = applied("1 2");
        rows[1].state = RecordedState::Partial { done: 2 };
        let objections = upgrade(&graph, &migrations, &rows).unwrap_err();
        assert!(matches!(objections[0], PlanError::ModeChanged { .. }));
        Arc::make_mut(&mut migrations[1].up.options).mode = TransactionMode::NoTransaction;
        rows[1].executed = None;
        let objections = upgrade(&graph, &migrations, &rows).unwrap_err();
        assert!(matches!(objections[0], PlanError::NoChecksum { .. }));
        rows[1].executed = Some(fingerprint(&id("2")));
        let plan = upgrade(&graph, &migrations, &rows).unwrap();
        let resume = resume(2);
        assert_eq!(plan.steps, [Step { migration: 1, resume, recorded: Some(Box::new(id("2"))) }]);
        assert_eq!(plan.current, [id("1")]);
    }

    #[test]
    fn a_stamp_leaves_exactly_the_target_and_what_it_rests_on() {
        let diamond = "1->2->4, 1->3->4, 4->5";
        for (done, target, record, remove, at) in [
            ("", "4", "1 2 3 4", "", "4"),
            ("1 2 3 4", "4", "", "", "4"),
            ("1 2 3 4 5", "2", "", "5 4 3", "2"),
            ("1 3", "2", "2", "3", "2"),
            ("4", "head", "1 2 3 5", "", "5"),
            ("1 2 3", "base", "", "3 2 1", ""),
            ("", "base", "", "", ""),
        ] {
            let (migrations, graph) = directory(diamond);
            let target = Target::parse(target, |text| NATIVE.version(text)).unwrap();
            let place = resolve(&graph, &migrations, &target).unwrap();
            let rows = applied(done);
            let stamp = stamp(&graph, &migrations, &rows, &place).unwrap();
            let recorded: Vec<&str> = stamp.record.iter().map(|(at, _)| migrations[*at].version.as_str()).collect();
            let removed: Vec<&str> = stamp.remove.iter().map(|row| row.id.as_str()).collect();
            assert_eq!((recorded.join(" "), removed.join(" ")), (record.into(), remove.into()), "{target}");
            assert_eq!(list(&stamp.at), at, "{target}");
            assert_eq!(stamp.is_empty(), record.is_empty() && remove.is_empty());
        }
    }

    #[test]
    fn a_stamp_replaces_what_is_unfinished_and_refuses_what_is_unknown() {
        let (migrations, graph) = directory("1->2->3");
        let mut rows = applied("1 2");
        rows[1].state = RecordedState::Undoing { done: 1 };
        let replaced = stamp(&graph, &migrations, &rows, &[1]).unwrap();
        assert_eq!(replaced.record.iter().map(|(at, row)| (*at, row.is_some())).collect::<Vec<_>>(), [(1, true)]);
        assert!(replaced.remove.is_empty());
        let mut rows = applied("9 1 0");
        rows.push(Applied { state: RecordedState::Partial { done: 1 }, ..applied("8").remove(0) });
        let objections = stamp(&graph, &migrations, &rows, &[1]).unwrap_err();
        assert_eq!(objections, [PlanError::Unknown { ids: vec![id("0"), id("9")] }]);
        // Unfinished rows are removed: the person who stamps knows what the schema has.
        let removed = stamp(&graph, &migrations, &rows[1..2], &[1]).unwrap().remove;
        assert!(removed.is_empty());
        rows.retain(|row| ["1", "8"].contains(&row.id.as_str()));
        let removed = stamp(&graph, &migrations, &rows, &[1]).unwrap().remove;
        assert_eq!(removed.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ["8"]);
        let relative = resolve(&graph, &migrations, &Target::Relative(1)).unwrap_err();
        assert!(matches!(relative, PlanError::Target(TargetError::Unanchored { .. })));
    }
}
