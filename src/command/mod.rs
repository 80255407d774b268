//! The commands, one file for each command that does more than run the pipeline of an upgrade or downgrade.

mod adopt;
mod adopt_plan;
mod backups;
mod check;
mod compare;
mod completions;
mod confirm;
mod current;
mod export;
mod guard;
mod heads;
mod history;
mod import;
mod preview;
mod recorded_rows;
mod repair;
mod repair_statement;
mod restore;
mod revision;
mod stamp;
mod status;
mod transfer;
mod transfer_call;
mod transfer_failure;
mod transfer_input;
mod transfer_plan;
mod wait;
mod write_revision;

use tracing::Instrument;

use confirm::Consent;
use repair_statement::Decision;
use restore::RestoreDestination;

use crate::cli::{Cli, Command, PreviewFlags};
use crate::config::{DatabaseConfig, MissingDatabase, WaitPolicy};
use crate::context::RunContext;
use crate::database::DatabaseErrorKind;
use crate::entrypoint::{self, MigratedDatabase};
use crate::error::{Cause, Failure, Stage};
use crate::layout::{self, NATIVE};
use crate::request::MigrationRequest;
use crate::revision::other_tools::LayoutByTable;
use crate::revision::{Direction, Target};
use crate::stage::layout_tables::layouts_by_table;
use crate::stage::wait::wait;

/// The result of a command.
pub enum CommandOutput {
    /// The schema is at the target.
    Migrated(MigratedDatabase),
    /// The command has changed the history or the rows, or has found that nothing had to be changed.
    Changed(ChangeSummary),
    /// The command has done something else; the text is its last line.
    Text(String),
    /// The command has printed its answer on standard output; the text is the last line of the log.
    Printed(String),
}

/// A summary of changes or backups that a command has made other than by migrating.
pub struct ChangeSummary {
    /// The last line of the output.
    pub message: String,
    /// The revision at which the database is according to the history; `None` is base.
    pub(crate) revision: Option<String>,
    /// The path of the backup that the command has taken, or what identifies it elsewhere, if it has taken one.
    pub(crate) backup: Option<String>,
}

/// The format of an answer on standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutputFormat {
    /// Text for people.
    Lines,
    /// A JSON document.
    Json,
}

/// Runs the command that the command line names.
///
/// # Errors
/// Fails as the command does, and when `--create-database` is given with a command that only reads.
pub async fn run(cli: &Cli, config: &DatabaseConfig, context: &RunContext) -> Result<CommandOutput, Failure> {
    // Boxed, because the compiler gives up on the layout of futures that are nested too deeply.
    let result = Box::pin(dispatch(cli, config, context)).instrument(context.span.clone()).await;
    let Err(failure) = result else { return result };
    let found = match failure {
        Failure { cause: Cause::Layout(ref found), .. } => found.clone(),
        // The files may be those of another tool, whose names are not ours.
        Failure { stage: Stage::Load, cause: Cause::Invalid(_), .. }
            if config.layout_is_undecided && reads_history(cli) =>
        {
            wait_for_layouts(config, context).await?
        }
        Failure { stage: Stage::Load, cause: Cause::Invalid(_), .. } => {
            layouts_by_table(&config.database, &config.history, &config.wait_policy).await
        }
        failure => return Err(failure),
    };
    let [found] = &found[..] else { return Err(failure) };
    let config = with_layout_of(config, found)?;
    Box::pin(dispatch(cli, &config, context)).instrument(context.span.clone()).await
}

/// Waits for the database, and returns the layouts that fit the directory and whose history table it has: one or none.
///
/// # Errors
/// Fails if the database does not become ready, or has the tables of several layouts.
async fn wait_for_layouts(config: &DatabaseConfig, context: &RunContext) -> Result<Vec<LayoutByTable>, Failure> {
    // A database that does not exist is not created before it is known what is to be done.
    let policy = WaitPolicy { missing: MissingDatabase::Refuse, ..config.wait_policy };
    let is_created = config.wait_policy.missing == MissingDatabase::Create;
    let ready =
        wait(&config.database, &config.history, &policy, &context.cancel).instrument(context.span.clone()).await;
    match ready {
        Ok(_) => Ok(Vec::new()),
        Err(Failure { cause: Cause::Layout(found), .. }) if found.len() == 1 => Ok(found),
        Err(Failure { cause: Cause::NeverReady { fault, .. }, .. })
            if is_created && fault.kind == DatabaseErrorKind::NoDatabase =>
        {
            Ok(Vec::new())
        }
        Err(failure) => Err(failure),
    }
}

/// Reports whether a command works with the directory and with the history in the database.
fn reads_history(cli: &Cli) -> bool {
    !matches!(
        cli.command,
        Some(Command::Heads | Command::Check { offline: true } | Command::Revision { .. } | Command::Merge { .. })
    )
}

/// Returns the settings with the layout of the tool whose history table the database has.
fn with_layout_of(config: &DatabaseConfig, found: &LayoutByTable) -> Result<DatabaseConfig, Failure> {
    let layout = layout::by_name(found.layout).unwrap_or(NATIVE);
    tracing::info!("the layout is {}: the database has its table {}", found.layout, found.table);
    config.with_layout(layout).map_err(|cause| Failure::new(Stage::Configure, cause))
}

/// Runs the command in the span of the run.
async fn dispatch(cli: &Cli, config: &DatabaseConfig, context: &RunContext) -> Result<CommandOutput, Failure> {
    let cancel = &context.cancel;
    let format = if cli.flags.json { OutputFormat::Json } else { OutputFormat::Lines };
    let command = cli.command.as_ref().unwrap_or(&Command::PLAIN);
    if cli.flags.create_database && only_reads(command) {
        let reason = "--create-database goes with what may write; this only reads".into();
        return Err(Failure::new(Stage::Configure, Cause::Usage(reason)));
    }
    match command {
        Command::Repair { .. } | Command::Restore { .. } => run_repair(config, command, context).await,
        Command::Upgrade { target, look } => {
            run_command(config, target.as_deref(), Direction::Up, *look, format, context).await
        }
        Command::Downgrade { target, look } => {
            run_command(config, Some(target), Direction::Down, *look, format, context).await
        }
        Command::Current => current::current(config, format, cancel).await.map(CommandOutput::Printed),
        Command::History => history::history(config, format, cancel).await.map(CommandOutput::Printed),
        Command::Heads => heads::heads(config, format, cancel).await.map(CommandOutput::Printed),
        Command::Check { offline: true } => check::offline(config).map(CommandOutput::Text),
        Command::Check { offline: false } => check::check(config, cancel).await.map(CommandOutput::Migrated),
        Command::Wait { migrated: true } => wait::migrated(config, cancel).await.map(CommandOutput::Migrated),
        Command::Wait { migrated: false } => wait::ready(config, cancel).await.map(CommandOutput::Text),
        Command::Revision { message } => revision::revision(config, message).map(CommandOutput::Text),
        Command::Merge { message } => revision::merge(config, message.as_deref()).map(CommandOutput::Text),
        Command::Stamp { target: text } => {
            stamp::stamp(config, &target(config, text)?, context).await.map(CommandOutput::Changed)
        }
        Command::Adopt(args) if args.plan => {
            adopt_plan::show(config, args, format, cancel).await.map(CommandOutput::Printed)
        }
        Command::Adopt(args) => adopt::adopt(config, args, context).await.map(CommandOutput::Changed),
        Command::Compare(args) => compare::compare(config, args, context).await.map(CommandOutput::Text),
        Command::Transfer(args) if args.write_revision => {
            write_revision::write(config, args, cancel).await.map(CommandOutput::Text)
        }
        Command::Transfer(args) => transfer::run(config, args, format, context).await,
        Command::Export(args) => export::run(config, args, cancel).await,
        Command::Import(args) => import::run(config, args, context).await.map(CommandOutput::Text),
        Command::Guard(args) => guard::run(config, args, context).await.map(CommandOutput::Changed),
        Command::Backup => backups::take(config, context).await.map(CommandOutput::Changed),
        Command::Backups => backups::list(config, format, cancel).await.map(CommandOutput::Printed),
        Command::Completions { shell } => completions::print(*shell, cancel).await.map(CommandOutput::Printed),
    }
}

/// Runs the commands that repair or restore something, which ask for confirmation first.
async fn run_repair(
    config: &DatabaseConfig,
    command: &Command,
    context: &RunContext,
) -> Result<CommandOutput, Failure> {
    let cancel = &context.cancel;
    match command {
        Command::Repair { done: true, .. } => {
            repair_statement::decide(config, Decision::Done, cancel).await.map(CommandOutput::Text)
        }
        Command::Repair { again: true, .. } => {
            repair_statement::decide(config, Decision::Again, cancel).await.map(CommandOutput::Text)
        }
        Command::Repair { yes: true, .. } => {
            repair::repair(config, Consent::Given, cancel).await.map(CommandOutput::Text)
        }
        Command::Repair { .. } => repair::repair(config, Consent::Ask, cancel).await.map(CommandOutput::Text),
        Command::Restore { file, in_place, yes } => {
            let destination = if *in_place { RestoreDestination::Existing } else { RestoreDestination::Beside };
            let consent = if *yes { Consent::Given } else { Consent::Ask };
            restore::restore(config, file, destination, consent, context).await.map(CommandOutput::Changed)
        }
        _ => unreachable!("only those come here"),
    }
}

/// Reports whether the command reads a database and promises to change nothing.
fn only_reads(command: &Command) -> bool {
    match command {
        Command::Upgrade { look, .. } | Command::Downgrade { look, .. } => look.sql || look.plan,
        Command::Current | Command::History | Command::Check { .. } | Command::Compare(_) | Command::Export(_) => true,
        Command::Transfer(args) => args.plan || args.write_revision,
        Command::Adopt(args) => args.plan,
        _ => false,
    }
}

/// Parses the target of an upgrade, a downgrade or a stamp.
fn target(config: &DatabaseConfig, text: &str) -> Result<Target, Failure> {
    Target::parse(text, |text| config.layout.version(text))
        .map_err(|reason| Failure::new(Stage::Configure, Cause::Usage(reason)))
}

/// Runs an upgrade or a downgrade, or previews it.
async fn run_command(
    config: &DatabaseConfig,
    text: Option<&str>,
    direction: Direction,
    preview_flags: PreviewFlags,
    format: OutputFormat,
    context: &RunContext,
) -> Result<CommandOutput, Failure> {
    if preview_flags != PreviewFlags::default() {
        return preview::preview(config, text, direction, preview_flags, format, &context.cancel).await;
    }
    let target = text.map_or_else(|| Ok(config.target.clone()), |text| target(config, text))?;
    let request = MigrationRequest::new(config, &target, direction)?;
    entrypoint::run(config, &request, context).await.map(CommandOutput::Migrated)
}
