//! The `adopt` command: records the history of another migration tool in that of a layout, through the stages of an
//! upgrade. No script runs, and the other tool's table is only read.

use super::ChangeSummary;
use super::recorded_rows::{load_down_scripts, recorded_row};
use crate::cli::Adopt;
use crate::config::DatabaseConfig;
use crate::context::RunContext;
use crate::database::{Canceller, Database, DatabaseError, Locked};
use crate::directory::{ListedDir, MigrationDir};
use crate::entrypoint::lock_settings;
use crate::error::{Cause, Failure, Stage};
use crate::escape::escape;
use crate::layout::LayoutChoice;
use crate::revision::Applied;
use crate::revision::history::HistoryChange;
use crate::revision::other_tools::{
    AdoptionError, AdoptionInput, AdoptionPlan, ForeignHistory, ParseVersion, SourceChoice,
};
use crate::revision::plan::describe_heads;
use crate::stage::backup::{RevisionRange, Safety, backup, note_success};
use crate::stage::rewrite_history::rewrite_history;
use crate::stage::with_lock::{LockDecision, with_lock_unless_done};

/// Records a row for each revision that the other tool has applied.
///
/// # Errors
/// Fails if a row has no revision, and with the failure of the stage that could not go on; nothing is recorded then.
pub(crate) async fn adopt(
    config: &DatabaseConfig,
    args: &Adopt,
    context: &RunContext,
) -> Result<ChangeSummary, Failure> {
    let work = AdoptionWork::new(config, args)?;
    let decide = async |mut database: Database, applied: Vec<Applied>| {
        let planned = work.plan(&mut database, &applied).await?;
        Ok(match work.answer(planned.as_ref()) {
            Some(summary) => LockDecision::Answer(summary),
            None => LockDecision::Lock(database, planned),
        })
    };
    let answer = |planned: &Option<PlannedAdoption>, applied: &[Applied]| {
        let planned = planned.as_ref()?;
        let plan = work.input(&planned.source, &planned.target_table, applied).plan().ok()?;
        let planned = PlannedAdoption { plan, has_history: !applied.is_empty(), ..planned.clone() };
        work.answer(Some(&planned))
    };
    let run = async |locked: &mut Locked, canceller, _| work.run_locked(locked, canceller, context).await;
    with_lock_unless_done(&lock_settings(config), &context.cancel, decide, answer, run).await
}

/// The history of another tool that is adopted, and the rows that are to be recorded.
#[derive(Clone)]
pub(super) struct PlannedAdoption {
    /// The history of the other tool.
    pub(super) source: ForeignHistory,
    /// The name of the table of the layout, as people write it.
    pub(super) target_table: String,
    /// The rows to record.
    pub(super) plan: AdoptionPlan,
    /// True if the table of the layout exists.
    has_history: bool,
}

/// The directory, and the words of the user.
pub(super) struct AdoptionWork<'a> {
    /// The configuration of the run, with the layout of the directory.
    config: &'a DatabaseConfig,
    /// The migration directory.
    pub(super) directory: MigrationDir,
    /// The name of the other tool.
    tool: Option<&'a str>,
    /// Parses the text of a version in the layout of the directory.
    version: Box<ParseVersion>,
}

impl<'a> AdoptionWork<'a> {
    /// Loads the directory.
    pub(super) fn new(config: &'a DatabaseConfig, args: &'a Adopt) -> Result<AdoptionWork<'a>, Failure> {
        let directory = config.load_migrations().map_err(|cause| Failure::new(Stage::Load, cause))?;
        let layout = directory.layout;
        let version = Box::new(move |text: &str| layout.version(text));
        Ok(AdoptionWork { config, directory, tool: args.from.as_deref(), version })
    }

    /// Reads the histories of other tools and plans the rows to record. Returns `None` if there is no such history any
    /// more, and the layout has one with rows.
    pub(super) async fn plan(
        &self,
        database: &mut Database,
        applied: &[Applied],
    ) -> Result<Option<PlannedAdoption>, Failure> {
        let failed = |cause| Failure::new(Stage::Plan, cause);
        let found = database.foreign_histories().await.map_err(|fault| failed(Cause::Database(fault)))?;
        let table = &self.config.history.table;
        let target_table = match database.history_place() {
            (_, Some(schema)) => format!("{schema}.{table}"),
            (_, None) => table.clone(),
        };
        let choice =
            SourceChoice { layout: self.directory.layout.name(), tool: self.tool, target_table: &target_table };
        let source = match choice.find(&found) {
            Ok(source) => source.clone(),
            Err(AdoptionError::NoSource { found, .. }) if found.is_empty() && !applied.is_empty() => return Ok(None),
            Err(error) => return Err(failed(Cause::Adoption(error))),
        };
        let plan = self.input(&source, &target_table, applied).plan();
        let plan = plan.map_err(|error| failed(Cause::Adoption(error)))?;
        Ok(Some(PlannedAdoption { source, target_table, plan, has_history: database.has_history() }))
    }

    /// Plans with values that were read before.
    fn input<'b>(
        &'b self,
        source: &'b ForeignHistory,
        target_table: &'b str,
        applied: &'b [Applied],
    ) -> AdoptionInput<'b> {
        AdoptionInput { source, directory: self.directory.revisions(&*self.version), applied, target_table }
    }

    /// Returns the summary if there is nothing to record. An empty history counts as one.
    pub(super) fn answer(&self, planned: Option<&PlannedAdoption>) -> Option<ChangeSummary> {
        let layout = self.directory.layout.name();
        let Some(PlannedAdoption { source, target_table, plan, has_history }) = planned else {
            let message = format!("nothing to adopt: no other tool has a history, and {layout} has one");
            return Some(ChangeSummary { message, revision: None, backup: None });
        };
        if !plan.rows.is_empty() || !*has_history {
            return None;
        }
        let message = format!(
            "already adopted: the history of {layout} ({}) has every row of {} ({}) and is at {}",
            escape(target_table),
            source.tool.name,
            escape(&source.table),
            describe_heads(&plan.heads)
        );
        Some(ChangeSummary { message, revision: revision(plan), backup: None })
    }

    /// Backs up and records under the lock, so that no other run can write.
    async fn run_locked(
        &self,
        locked: &mut Locked,
        mut canceller: Canceller,
        context: &RunContext,
    ) -> Result<ChangeSummary, Failure> {
        let database = locked.database();
        let failed = |fault: DatabaseError| Failure::new(Stage::Plan, Cause::Database(fault));
        let applied = database.history().await.map_err(failed)?;
        let planned = self.plan(database, &applied).await?;
        if let Some(summary) = self.answer(planned.as_ref()) {
            return Ok(summary);
        }
        let Some(PlannedAdoption { source, target_table, plan, .. }) = planned else {
            return Err(Failure::new(Stage::Plan, Cause::Internal("an adoption without a history".into())));
        };
        let down_scripts = load_down_scripts(&self.directory, plan.rows.iter().map(|row| row.at))?;
        let newest = applied.iter().map(|row| &row.id).max().map(ToString::to_string);
        let range = RevisionRange { from: newest, to: revision(&plan), guarded: None };
        let safety = backup(locked, &mut canceller, &self.config.backup, &range, context).await?;
        let rows = plan.rows.iter().zip(&down_scripts);
        let changes: Vec<HistoryChange<'_>> =
            rows.map(|(row, down)| recorded_row(&self.directory, row.at, down.as_ref(), &safety)).collect();
        rewrite_history(locked, &mut canceller, &changes, &context.cancel).await?;
        self.verify(locked).await?;
        for row in &plan.rows {
            let file = &self.directory.migrations[row.at].up.file;
            tracing::info!("recorded {file} without running it: {} has {}", source.tool.name, escape(&row.version));
        }
        note_success(&safety, None).await;
        let message = self.message(&source, &target_table, &plan, &safety);
        Ok(ChangeSummary { message, revision: revision(&plan), backup: safety.shown() })
    }

    /// Reads both histories again, and fails if the layout's lacks a row: the other tool may have run meanwhile.
    async fn verify(&self, locked: &mut Locked) -> Result<(), Failure> {
        let failed = |cause| Failure::new(Stage::Verify, cause);
        let applied = locked.database().history().await.map_err(|fault| failed(Cause::Database(fault)))?;
        let planned = self.plan(locked.database(), &applied).await.map_err(|failure| failed(failure.cause))?;
        let missing = planned
            .iter()
            .flat_map(|planned| &planned.plan.rows)
            .map(|row| format!("revision {} is not recorded as applied", self.directory.migrations[row.at].version));
        let missing: Vec<String> = missing.collect();
        if missing.is_empty() { Ok(()) } else { Err(failed(Cause::Mismatch(missing))) }
    }

    /// Returns the last line, which says what becomes of the other tool's table.
    fn message(&self, source: &ForeignHistory, target_table: &str, plan: &AdoptionPlan, safety: &Safety) -> String {
        let (layout, tool) = (self.directory.layout.name(), source.tool.name);
        let (old, new) = (escape(&source.table), escape(target_table));
        let recorded = match plan.rows.len() {
            0 => "an empty history was made".into(),
            count => format!("{count} recorded without running"),
        };
        let backup = safety.shown().map_or(String::new(), |backup| format!(", backup {backup}"));
        let setting = match self.is_found_without_setting(source) {
            true => String::new(),
            false => format!("; set LOCKKEEPER_LAYOUT={layout}, because the tables of both are there"),
        };
        format!(
            "adopted the history of {tool} ({old}) as that of {layout} ({new}): {recorded}{backup}, at {}; {old} is as it was: its owner may drop it when no release runs {tool} any more{setting}",
            describe_heads(&plan.heads)
        )
    }

    /// Returns whether the layout is found by the files and the tables, without a setting.
    fn is_found_without_setting(&self, source: &ForeignHistory) -> bool {
        let layout = self.directory.layout.name();
        let listed = ListedDir::list(&self.config.dir, self.config.dialect, LayoutChoice::Auto);
        listed.is_ok_and(|ListedDir { detected, .. }| {
            let fits = |name: &str| detected.others.iter().any(|other| other.name() == name);
            detected.layout.name() == layout || fits(layout) && !source.tool.layout.is_some_and(fits)
        })
    }
}

/// Returns the revisions that the history is at; `None` is base.
fn revision(plan: &AdoptionPlan) -> Option<String> {
    (!plan.heads.is_empty()).then(|| describe_heads(&plan.heads))
}
