//! The request of a run: the migration directory, the target in it, and the plan that is left to reach the target.

use std::collections::HashMap;

use crate::config::{AheadPolicy, DatabaseConfig};
use crate::directory::MigrationDir;
use crate::error::{Cause, Failure, Stage};
use crate::revision::plan::{self, DowngradeError, PlanError, ResolvedTarget};
use crate::revision::target::RevisionName;
use crate::revision::{Applied, Backslash, Direction, Goal, Migration, Plan, Target, Version};
use crate::stage::inspected::{InspectedDir, Inspection};

/// A loaded migration directory, a direction, and the target.
pub(crate) struct MigrationRequest {
    /// The migration directory.
    pub(crate) directory: MigrationDir,
    direction: Direction,
    /// The target, found in the directory.
    target: ResolvedTarget,
    /// The reaction to revisions in the database that the directory does not have.
    ahead: AheadPolicy,
}

impl MigrationRequest {
    /// Loads the migrations and finds the target, so that a bad directory or target fails before any waiting.
    ///
    /// # Errors
    /// Fails as [`MigrationDir::load`] does; when the target fits no revision or several; when there are several heads
    /// where one is needed.
    pub(crate) fn new(
        config: &DatabaseConfig,
        target: &Target,
        direction: Direction,
    ) -> Result<MigrationRequest, Failure> {
        let failed = |cause| Failure::new(Stage::Load, cause);
        let directory = config.load_migrations().map_err(failed)?;
        let resolved = plan::find(&directory.graph, &directory.migrations, target, direction)
            .map_err(|error| failed(name_setting(config, target, Cause::from_plan_errors(&[error]))))?;
        // A downgrade is the usual remedy for a database that is ahead, so it only warns.
        let ahead = if direction == Direction::Up { config.ahead } else { AheadPolicy::Warn };
        Ok(MigrationRequest { directory, direction, target: resolved, ahead })
    }

    /// Resolves the target for this database. Returns the goal and the plan to reach it.
    ///
    /// # Errors
    /// Fails with every reason why the plan must not run; with `strict`, revisions that the directory does not know.
    pub(crate) fn resolve(&self, applied: &[Applied]) -> Result<(Goal, Plan), Failure> {
        let MigrationDir { graph, migrations, .. } = &self.directory;
        let (goal, plan) = plan::plan_to(graph, migrations, applied, &self.target, self.direction)
            .map_err(|errors| plan_failure(&errors))?;
        let plan = self.complete(plan, &goal, applied)?;
        Ok((goal, plan))
    }

    /// Returns the plan that is left to reach the goal.
    ///
    /// # Errors
    /// Fails as [`MigrationRequest::resolve`] does.
    pub(crate) fn plan(&self, goal: &Goal, applied: &[Applied]) -> Result<Plan, Failure> {
        let MigrationDir { graph, migrations, .. } = &self.directory;
        let plan = plan::plan(graph, migrations, applied, goal).map_err(|errors| plan_failure(&errors))?;
        self.complete(plan, goal, applied)
    }

    /// Adds the repeatable scripts to a plan.
    ///
    /// # Errors
    /// Fails with `strict` if the database has revisions that the directory does not know.
    fn complete(&self, mut plan: Plan, goal: &Goal, applied: &[Applied]) -> Result<Plan, Failure> {
        plan::add_repeatables(&mut plan, &self.directory.graph, &self.directory.repeatables, goal, applied);
        self.check_ahead(plan)
    }

    /// Returns a history in which exactly the named revision and its ancestors are applied, with the checksums of the
    /// files as they are now. The history of base is empty.
    ///
    /// # Errors
    /// Fails when the name fits no revision or several.
    pub(crate) fn as_if_at(&self, name: &RevisionName) -> Result<Vec<Applied>, Failure> {
        let MigrationDir { graph, migrations, .. } = &self.directory;
        let resolved = plan::find(graph, migrations, &Target::At(name.clone()), Direction::Down);
        let ResolvedTarget::At(positions) = resolved.map_err(|error| plan_failure(&[error]))? else {
            return Ok(Vec::new());
        };
        let is_applied = graph.with_ancestors(&positions);
        let row = |migration: &Migration| Applied {
            checksum: migration.up.checksum,
            ..Applied::new(migration.version.clone())
        };
        Ok(migrations
            .iter()
            .zip(is_applied)
            .filter(|(_, is_applied)| *is_applied)
            .map(|(migration, _)| row(migration))
            .collect())
    }

    /// Returns whether the plan ends exactly at the target. The plan of a relative target always does.
    pub(crate) fn is_at_target(&self, plan: &Plan) -> bool {
        let id = |&index: &usize| &self.directory.migrations[index].version;
        match &self.target {
            ResolvedTarget::At(positions) => positions.iter().map(id).eq(&plan.goal),
            ResolvedTarget::Relative(_) => true,
        }
    }

    /// Returns the command for a rerun that ends where this plan ends, and its reason, if the target is relative: a
    /// rerun with the relative target would go further. Returns `None` for other targets.
    pub(crate) fn rerun_command(&self, plan: &Plan) -> Option<String> {
        let ResolvedTarget::Relative(count) = self.target else {
            return None;
        };
        // Of several heads, the one that is chosen leads no further than the plan.
        let (revision, sign) = match self.direction {
            Direction::Up => (plan.goal.last(), '+'),
            Direction::Down => (plan.goal.first(), '-'),
        };
        let (verb, revision) = (self.direction.verb(), revision.map_or("base", |id| id.as_str()));
        Some(format!("lockkeeper {verb} {revision}, for {sign}{count} would go further"))
    }

    /// Returns the plan, unless the policy refuses its revisions that the directory does not have.
    fn check_ahead(&self, plan: Plan) -> Result<Plan, Failure> {
        let mut ahead = plan.ahead.iter().chain(&plan.untouched).map(ToString::to_string).peekable();
        if self.ahead == AheadPolicy::Fail && ahead.peek().is_some() {
            return Err(Failure::new(Stage::Plan, Cause::Ahead(ahead.collect())));
        }
        drop(ahead);
        Ok(plan)
    }

    /// Reads the files of the plan to their ends, so that nothing runs if one of them is invalid. `backslash` is the
    /// way in which the server reads string literals in a new session.
    ///
    /// # Errors
    /// Fails with every statement that cannot run at its place in the script and, in a downgrade, with every revision
    /// that cannot be rolled back.
    pub(crate) fn inspect(
        &self,
        plan: &Plan,
        applied: &[Applied],
        mut backslash: Backslash,
    ) -> Result<InspectedDir<'_>, Failure> {
        let mut inspections = Vec::new();
        inspections.resize_with(self.directory.migrations.len() + self.directory.repeatables.len(), || None);
        let mut problems = Vec::new();
        // Only a downgrade compares the files with the history.
        let rows: HashMap<&Version, &Applied> = match plan.direction {
            Direction::Up => HashMap::new(),
            Direction::Down => applied.iter().map(|row| (&row.id, row)).collect(),
        };
        for step in &plan.steps {
            let migration = self.directory.migration(step.migration);
            let inspected = match plan.direction {
                Direction::Up => self.inspect_upgrade(migration, &mut backslash),
                Direction::Down => {
                    self.inspect_downgrade(migration, rows.get(&migration.version).copied(), &mut backslash)
                }
            };
            match inspected {
                Ok(inspection) => inspections[step.migration] = Some(inspection),
                Err(step_problems) => problems.extend(step_problems),
            }
        }
        match problems.is_empty() {
            true => Ok(InspectedDir { directory: &self.directory, inspections }),
            false => Err(Failure::new(Stage::Load, Cause::Invalid(problems))),
        }
    }

    /// Inspects the up script of a revision, and reads the directives and the fingerprint of the down script.
    fn inspect_upgrade(&self, migration: &Migration, backslash: &mut Backslash) -> Result<Inspection, Vec<String>> {
        let statements = self.directory.inspect(&migration.up, Direction::Up, backslash)?;
        let down = self.directory.load_down(migration).map_err(|problem| vec![problem])?;
        Ok(Inspection { statements, down })
    }

    /// Inspects the down script of a revision and compares it with the revision's row of the history.
    fn inspect_downgrade(
        &self,
        migration: &Migration,
        row: Option<&Applied>,
        backslash: &mut Backslash,
    ) -> Result<Inspection, Vec<String>> {
        let down_section = self.directory.load_down(migration).map_err(|problem| vec![problem])?;
        let describe = |errors: Vec<PlanError>| errors.iter().map(ToString::to_string).collect();
        let errors = plan::downgrade_errors(migration, down_section.as_ref(), row);
        let Some(down) = &down_section else {
            return Err(describe(errors));
        };
        let statements = match self.directory.inspect(down, Direction::Down, backslash) {
            Ok(statements) if errors.is_empty() => statements,
            Ok(_) => return Err(describe(errors)),
            Err(problems) => return Err([describe(errors), problems].concat()),
        };
        // A down file without statements would undo nothing, and the history would record that it had.
        let has_up = || self.directory.inspect(&migration.up, Direction::Up, &mut backslash.clone()) != Ok(0);
        if statements == 0 && has_up() {
            let (file, id) = (down.file.clone(), migration.version.clone());
            return Err(describe(vec![PlanError::Back(DowngradeError::Empty { file, id })]));
        }
        Ok(Inspection { statements, down: down_section })
    }
}

/// Names the environment variable in an error about the target, if the target comes from there.
fn name_setting(config: &DatabaseConfig, target: &Target, cause: Cause) -> Cause {
    match cause {
        Cause::Target(reason) if *target == config.target && *target != Target::HEAD => {
            Cause::Config(format!("LOCKKEEPER_TARGET: {reason}"))
        }
        cause => cause,
    }
}

fn plan_failure(errors: &[PlanError]) -> Failure {
    Failure::new(Stage::Plan, Cause::from_plan_errors(errors))
}
