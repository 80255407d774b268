//! Reattachment of the detached objects, step by step, with a search for all rows that violate them.

use super::detached::{DetachedForeignKey, DetachedIndex, DetachedObjects};
use super::orphan::{self, Removal};
use super::sequence::{self, SequenceFloor};
use super::violation::{ViolatedRule, Violation, duplicates_query, orphans_query, read_groups};
use super::{CopyState, execute, fetch};
use crate::database::postgres::{Postgres, error};
use crate::database::{DatabaseError, DatabaseErrorKind};
use crate::transfer::target::TargetTable;

/// A step that is about to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReattachStep<'a> {
    /// The number of the step, from 1.
    pub step: usize,
    /// The number of all steps.
    pub total: usize,
    /// The object of the step, for example `index public.events_payload_idx`.
    pub object: &'a str,
}

/// The reason why not all objects were reattached.
#[derive(Debug)]
pub enum ReattachError {
    /// The server refused a statement, or the session was lost.
    Fault(DatabaseError),
    /// Rows violate constraints or unique indexes: the list contains all detached ones that are violated.
    Violated(Vec<Violation>),
}

impl From<DatabaseError> for ReattachError {
    fn from(fault: DatabaseError) -> Self {
        ReattachError::Fault(fault)
    }
}

/// A counter that reports each step.
struct StepCounter<'t> {
    current: usize,
    total: usize,
    report: &'t mut dyn FnMut(ReattachStep<'_>),
}

impl StepCounter<'_> {
    fn begin(&mut self, label: &str) {
        self.current += 1;
        (self.report)(ReattachStep { step: self.current, total: self.total, object: label });
    }
}

/// The objects that are reattached.
pub(super) struct Reattachment<'a> {
    pub(crate) tables: &'a [TargetTable],
    pub(crate) detached: &'a DetachedObjects,
    pub(crate) floors: &'a [SequenceFloor<'a>],
}

impl Reattachment<'_> {
    fn tables_with_sequences(&self) -> impl Iterator<Item = &TargetTable> {
        self.tables.iter().filter(|table| !table.sequences.is_empty())
    }

    async fn set_sequences(&self, session: &mut Postgres, steps: &mut StepCounter<'_>) -> Result<(), DatabaseError> {
        for table in self.tables_with_sequences() {
            steps.begin(&format!("sequences of {}", table.quoted()));
            sequence::set(session, table, self.floors).await?;
        }
        Ok(())
    }
}

/// Reattaches everything: indexes first, which foreign keys need, then statistics, so that the planner uses them for
/// the checks of foreign keys.
pub(super) async fn reattach(
    session: &mut Postgres,
    copy_state: &mut CopyState,
    reattachment: &Reattachment<'_>,
    mut removal: Option<Removal<'_>>,
    report: &mut dyn FnMut(ReattachStep<'_>),
) -> Result<(), ReattachError> {
    let Reattachment { tables, detached, .. } = reattachment;
    let total = detached.indexes.len()
        + tables.len()
        + detached.foreign_keys.len()
        + reattachment.tables_with_sequences().count();
    let total = total + usize::from(removal.is_some());
    let mut steps = StepCounter { current: 0, total, report };
    let (mut violations, missing) = build_indexes(session, &detached.indexes, &mut steps).await?;
    for table in *tables {
        let name = table.quoted();
        steps.begin(&format!("statistics of {name}"));
        execute(session, format!("ANALYZE {name}")).await?;
    }
    if let Some(removal) = removal.as_mut().filter(|_| violations.is_empty()) {
        // Before the removal, so that the sequences are also past the removed rows, which may be inserted later.
        reattachment.set_sequences(session, &mut steps).await?;
        steps.begin("removing rows without a parent");
        orphan::remove(session, copy_state, &detached.foreign_keys, removal).await?;
    }
    for foreign_key in &detached.foreign_keys {
        steps.begin(&format!("foreign key {} of {}", foreign_key.name, foreign_key.table));
        // A foreign key to an index that could not be built cannot be added; the duplicates have to be resolved first.
        if !missing.contains(&foreign_key.index) {
            violations.extend(add_foreign_key(session, foreign_key).await?);
        }
    }
    if !violations.is_empty() {
        return Err(ReattachError::Violated(violations));
    }
    if removal.is_none() {
        reattachment.set_sequences(session, &mut steps).await?;
    }
    for sql in &detached.reattach_statements {
        execute(session, sql.clone()).await?;
    }
    Ok(())
}

/// Builds the indexes. Returns the violations that kept some of them from being built, and the OIDs of those indexes.
async fn build_indexes(
    session: &mut Postgres,
    indexes: &[DetachedIndex],
    steps: &mut StepCounter<'_>,
) -> Result<(Vec<Violation>, Vec<i64>), ReattachError> {
    let (mut violations, mut missing) = (Vec::new(), Vec::new());
    for index in indexes {
        steps.begin(&index.label);
        if let Some(violation) = build_index(session, index).await? {
            violations.push(violation);
            missing.push(index.oid);
        }
    }
    Ok((violations, missing))
}

/// The outcome of a step that rows may violate.
enum StepOutcome {
    Done,
    Refused(DatabaseError),
}

/// Runs a statement in a savepoint, so that rows that violate a constraint end neither the transaction nor the search
/// for more.
async fn execute_in_savepoint(session: &mut Postgres, label: &str, sql: &str) -> Result<StepOutcome, DatabaseError> {
    let message = format!("SAVEPOINT step;\n{sql};\nRELEASE SAVEPOINT step;\n");
    match execute(session, message).await {
        Ok(()) => Ok(StepOutcome::Done),
        Err(fault) if error::is_broken_by_rows(&fault) => {
            execute(session, "ROLLBACK TO SAVEPOINT step;\nRELEASE SAVEPOINT step;\n".into()).await?;
            Ok(StepOutcome::Refused(fault))
        }
        Err(fault) => {
            let context = [Some(format!("putting back {label}")), fault.context.clone()];
            Err(DatabaseError { context: Some(context.into_iter().flatten().collect::<Vec<_>>().join("\n")), ..fault })
        }
    }
}

/// Builds an index, with its constraint; returns the violation when rows violate it.
async fn build_index(session: &mut Postgres, index: &DetachedIndex) -> Result<Option<Violation>, DatabaseError> {
    let (fault, unique) =
        match (execute_in_savepoint(session, &index.label, &index.reattach_statement).await?, &index.unique) {
            (StepOutcome::Done, _) => return Ok(None),
            (StepOutcome::Refused(fault), Some(unique)) => (fault, unique),
            (StepOutcome::Refused(fault), None) => return Err(fault),
        };
    let (groups, of) = read_groups(&fetch(session, duplicates_query(unique)).await?)?;
    let rule = ViolatedRule::Unique { columns: unique.expressions.clone() };
    let (table, name) = (unique.table.clone(), unique.name.clone());
    Ok(Some(Violation { table, name, rule, groups, total: of, fault }))
}

/// Adds a foreign key, and checks the rows if adding it does not; returns the violation when rows violate it.
async fn add_foreign_key(
    session: &mut Postgres,
    foreign_key: &DetachedForeignKey,
) -> Result<Option<Violation>, DatabaseError> {
    let label = format!("foreign key {} of {}", foreign_key.name, foreign_key.table);
    let add_error = match execute_in_savepoint(session, &label, &foreign_key.reattach_statement).await? {
        StepOutcome::Done if !foreign_key.is_unchecked => return Ok(None),
        StepOutcome::Done => None,
        StepOutcome::Refused(fault) => Some(fault),
    };
    let (groups, of) = match foreign_key.operators.is_empty() {
        true => Default::default(),
        false => read_groups(&fetch(session, orphans_query(foreign_key)).await?)?,
    };
    let fault = match add_error {
        Some(fault) => fault,
        None if groups.is_empty() => return Ok(None),
        None => DatabaseError::new(
            DatabaseErrorKind::Statement,
            format!("rows of {} have no parent in {}", foreign_key.table, foreign_key.parent),
        ),
    };
    let rule = ViolatedRule::Reference {
        columns: foreign_key.columns.clone(),
        parent: foreign_key.parent.clone(),
        parent_columns: foreign_key.parent_columns.clone(),
    };
    let (table, name) = (foreign_key.table.clone(), foreign_key.name.clone());
    Ok(Some(Violation { table, name, rule, groups, total: of, fault }))
}
