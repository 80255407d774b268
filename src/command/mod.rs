//! One file for each verb that is more than the story itself.

mod backups;
mod check;
mod completions;
mod current;
mod heads;
mod history;
mod open;
mod preview;
mod repair;
mod revision;
mod stamp;
mod survey;
mod wait;

use open::Decision;
use repair::Consent;
pub use stamp::Stamped;

use crate::cli::{Cli, Command};
use crate::config::Config;
use crate::entrypoint::{self, Settled};
use crate::errand::Errand;
use crate::error::{Cause, Failure, Stage};
use crate::revision::{Direction, Target};
use crate::signal::Cancel;

/// What a command came to.
pub enum Answer {
    /// The schema is where it should be.
    Settled(Settled),
    /// The history says something else now, or said so already.
    Stamped(Stamped),
    /// The command has done something else; this is its last line.
    Said(String),
    /// The answer stands on standard output; this is the last line of the log.
    Printed(String),
}

/// How an answer on standard output is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Lines,
    Json,
}

/// Runs the verb that was asked for.
///
/// # Errors
/// The verb's failure.
pub async fn run(cli: &Cli, config: &Config, cancel: &Cancel) -> Result<Answer, Failure> {
    let form = if cli.flags.json { Form::Json } else { Form::Lines };
    let target = |text: &str| {
        Target::parse(text).map_err(|reason| Failure::new(Stage::Configure, Cause::Usage(reason)))
    };
    match cli.command.as_ref().unwrap_or(&Command::PLAIN) {
        Command::Upgrade { target: text, look } if look.sql || look.plan => {
            preview::preview(config, text.as_deref(), Direction::Up, *look, form, cancel).await
        }
        Command::Downgrade { target: text, look } if look.sql || look.plan => {
            preview::preview(config, Some(text), Direction::Down, *look, form, cancel).await
        }
        Command::Upgrade { target: text, .. } => {
            let target = text.as_deref().map_or(Ok(config.target.clone()), target)?;
            go(config, &target, Direction::Up, cancel).await
        }
        Command::Downgrade { target: text, .. } => go(config, &target(text)?, Direction::Down, cancel).await,
        Command::Current => current::current(config, form, cancel).await.map(Answer::Printed),
        Command::History => history::history(config, form, cancel).await.map(Answer::Printed),
        Command::Heads => heads::heads(config, form, cancel).await.map(Answer::Printed),
        Command::Check { offline: true } => check::offline(config).map(Answer::Said),
        Command::Check { offline: false } => check::check(config, cancel).await.map(Answer::Settled),
        Command::Wait { migrated: true } => wait::migrated(config, cancel).await.map(Answer::Settled),
        Command::Wait { migrated: false } => wait::ready(config, cancel).await.map(Answer::Said),
        Command::Revision { message } => revision::revision(config, message).map(Answer::Said),
        Command::Merge { message } => revision::merge(config, message.as_deref()).map(Answer::Said),
        Command::Stamp { target: text } => {
            stamp::stamp(config, &target(text)?, cancel).await.map(Answer::Stamped)
        }
        Command::Repair { done: true, .. } => {
            open::decide(config, Decision::Done, cancel).await.map(Answer::Said)
        }
        Command::Repair { again: true, .. } => {
            open::decide(config, Decision::Again, cancel).await.map(Answer::Said)
        }
        Command::Repair { yes, .. } => {
            let consent = if *yes { Consent::Given } else { Consent::Ask };
            repair::repair(config, consent, cancel).await.map(Answer::Said)
        }
        Command::Backup => backups::take(config, cancel).await.map(Answer::Said),
        Command::Backups => backups::list(config, form, cancel).await.map(Answer::Printed),
        Command::Completions { shell } => Ok(Answer::Printed(completions::print(*shell))),
    }
}

async fn go(
    config: &Config,
    target: &Target,
    direction: Direction,
    cancel: &Cancel,
) -> Result<Answer, Failure> {
    let errand = Errand::new(config, target, direction)?;
    entrypoint::run(config, &errand, cancel).await.map(Answer::Settled)
}
