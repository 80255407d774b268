//! What a run is asked to do: a folder, a target found in it, and what is left of the way there.

use std::collections::HashMap;

use crate::config::{AheadPolicy, Config};
use crate::directory::MigrationDir;
use crate::error::{Cause, Failure, Stage};
use crate::revision::plan::{self, DowngradeError, PlanError, ResolvedTarget, StatementOutcome};
use crate::revision::target::RevisionName;
use crate::revision::{Applied, Backslash, Direction, Goal, Id, Plan, RecordedState, Script, Target};
use crate::stage::migrate::{InspectedDir, Inspection};

/// A direction and where it is to end.
pub struct MigrationRequest {
    pub folder: MigrationDir,
    direction: Direction,
    found: ResolvedTarget,
    ahead: AheadPolicy,
}

impl MigrationRequest {
    /// Loads the migrations: a bad folder, or one in which the target cannot be found, fails before any waiting.
    ///
    /// # Errors
    /// As [`MigrationDir::load`]; a target that fits no revision or several, several heads.
    pub fn new(config: &Config, target: &Target, direction: Direction) -> Result<MigrationRequest, Failure> {
        let failed = |cause| Failure::new(Stage::Load, cause);
        let folder = MigrationDir::load(&config.dir, config.dialect).map_err(failed)?;
        let found = plan::find(&folder.graph, &folder.scripts, target, direction)
            .map_err(|objection| failed(misfit(config, target, Cause::objected(&[objection]))))?;
        // Going back to an older revision is what one does about a database that is ahead.
        let ahead = if direction == Direction::Up { config.ahead } else { AheadPolicy::Warn };
        Ok(MigrationRequest { folder, direction, found, ahead })
    }

    /// Settles what the target means for this database, and plans it.
    ///
    /// # Errors
    /// Whatever keeps the plan from being run; with `strict`, revisions that the folder does not know.
    pub fn settle(&self, applied: &[Applied]) -> Result<(Goal, Plan), Failure> {
        let MigrationDir { graph, scripts, .. } = &self.folder;
        let (goal, plan) = plan::plan_to(graph, scripts, applied, &self.found, self.direction)
            .map_err(|objections| objected(&objections))?;
        Ok((goal, self.strictly(plan)?))
    }

    /// What is left to do.
    ///
    /// # Errors
    /// As [`MigrationRequest::settle`].
    pub fn plan(&self, goal: &Goal, applied: &[Applied]) -> Result<Plan, Failure> {
        let MigrationDir { graph, scripts, .. } = &self.folder;
        let plan = plan::plan(graph, scripts, applied, goal).map_err(|objections| objected(&objections))?;
        self.strictly(plan)
    }

    /// A history in which exactly this and what it rests on is applied, with the files as they are.
    ///
    /// # Errors
    /// No such revision, or several.
    pub fn as_if_at(&self, name: &RevisionName) -> Result<Vec<Applied>, Failure> {
        let MigrationDir { graph, scripts, .. } = &self.folder;
        let found = plan::find(graph, scripts, &Target::At(name.clone()), Direction::Down);
        let ResolvedTarget::At(positions) = found.map_err(|objection| objected(&[objection]))? else {
            return Ok(Vec::new());
        };
        let there = graph.with_ancestors(&positions);
        let row = |script: &Script| Applied {
            id: script.id.clone(),
            checksum: Some(script.checksum),
            down: None,
            state: RecordedState::Applied,
            outcome: StatementOutcome::Known,
        };
        Ok(scripts.iter().zip(there).filter(|(_, there)| *there).map(|(script, _)| row(script)).collect())
    }

    /// Whether the plan leaves the database just where the target is.
    pub fn is_at_target(&self, plan: &Plan) -> bool {
        let id = |&at: &usize| &self.folder.scripts[at].id;
        match &self.found {
            ResolvedTarget::At(positions) => positions.iter().map(id).eq(&plan.goal),
            ResolvedTarget::Relative(_) => true,
        }
    }

    /// How a rerun ends where this plan does, when the target counts from where the database is.
    pub fn again(&self, plan: &Plan) -> Option<String> {
        let ResolvedTarget::Relative(count) = self.found else {
            return None;
        };
        // Of several heads, one that leads no further than the plan.
        let (place, sign) = match self.direction {
            Direction::Up => (plan.goal.last(), '+'),
            Direction::Down => (plan.goal.first(), '-'),
        };
        let (verb, place) = (self.direction.verb(), place.map_or("base", |id| id.as_str()));
        Some(format!("lockkeeper {verb} {place}, for {sign}{count} would go further"))
    }

    fn strictly(&self, plan: Plan) -> Result<Plan, Failure> {
        let mut ahead = plan.ahead.iter().chain(&plan.untouched).map(ToString::to_string).peekable();
        if self.ahead == AheadPolicy::Fail && ahead.peek().is_some() {
            return Err(Failure::new(Stage::Plan, Cause::Ahead(ahead.collect())));
        }
        drop(ahead);
        Ok(plan)
    }

    /// Reads the files of the plan to their ends: nothing runs while one of them cannot. `reading` is how the server
    /// reads string literals in a new session.
    ///
    /// # Errors
    /// Every statement that cannot run where it stands; in a downgrade, every revision that has none.
    pub fn inspect(
        &self,
        plan: &Plan,
        applied: &[Applied],
        mut reading: Backslash,
    ) -> Result<InspectedDir<'_>, Failure> {
        let mut inspections = Vec::new();
        inspections.resize_with(self.folder.scripts.len(), || None);
        let mut problems = Vec::new();
        // Only the down migration compares with what is recorded.
        let rows: HashMap<&Id, &Applied> = match plan.direction {
            Direction::Up => HashMap::new(),
            Direction::Down => applied.iter().map(|row| (&row.id, row)).collect(),
        };
        for step in &plan.steps {
            let script = &self.folder.scripts[step.script];
            let inspected = match plan.direction {
                Direction::Up => self.read(script, &mut reading),
                Direction::Down => self.read_back(script, rows.get(&script.id).copied(), &mut reading),
            };
            match inspected {
                Ok(inspection) => inspections[step.script] = Some(inspection),
                Err(found) => problems.extend(found),
            }
        }
        match problems.is_empty() {
            true => Ok(InspectedDir { folder: &self.folder, inspections }),
            false => Err(Failure::new(Stage::Load, Cause::Invalid(problems))),
        }
    }

    fn read(&self, script: &Script, reading: &mut Backslash) -> Result<Inspection, Vec<String>> {
        let statements = self.folder.inspect(&script.up, &script.header, reading)?;
        let back = self.folder.load_down(script).map_err(|problem| vec![problem])?;
        Ok(Inspection { statements, back })
    }

    fn read_back(
        &self,
        script: &Script,
        row: Option<&Applied>,
        reading: &mut Backslash,
    ) -> Result<Inspection, Vec<String>> {
        let back = self.folder.load_down(script).map_err(|problem| vec![problem])?;
        let told = |objections: Vec<PlanError>| objections.iter().map(ToString::to_string).collect();
        let objections = plan::way_back(script, back.as_ref(), row);
        let (Some(file), Some(found)) = (&script.down, &back) else {
            return Err(told(objections));
        };
        let statements = match self.folder.inspect(file, &found.header, reading) {
            Ok(statements) if objections.is_empty() => statements,
            Ok(_) => return Err(told(objections)),
            Err(problems) => return Err([told(objections), problems].concat()),
        };
        // An untouched file would undo nothing, and the history would say that it had.
        let has_up = || self.folder.inspect(&script.up, &script.header, &mut reading.clone()) != Ok(0);
        if statements == 0 && has_up() {
            let (file, id) = (file.clone(), script.id.clone());
            return Err(told(vec![PlanError::Back(DowngradeError::Empty { file, id })]));
        }
        Ok(Inspection { statements, back })
    }
}

/// Whoever wrote a wrong target into the environment looks for it there.
fn misfit(config: &Config, target: &Target, cause: Cause) -> Cause {
    match cause {
        Cause::Target(reason) if *target == config.target && *target != Target::HEAD => {
            Cause::Config(format!("LOCKKEEPER_TARGET: {reason}"))
        }
        cause => cause,
    }
}

fn objected(objections: &[PlanError]) -> Failure {
    Failure::new(Stage::Plan, Cause::objected(objections))
}
