//! One file for each verb that is more than the story itself.

mod backups;
mod check;
mod wait;

use backups::Form;

use crate::cli::{Cli, Command};
use crate::config::Config;
use crate::entrypoint::{self, Settled};
use crate::error::{Cause, Failure, Stage};
use crate::revision::Target;
use crate::signal::Cancel;

/// What a command came to.
pub enum Answer {
    /// The schema is where it should be.
    Settled(Settled),
    /// The command has said what it found; this is its last line.
    Said(String),
}

/// Runs the verb that was asked for.
///
/// # Errors
/// The verb's failure.
pub async fn run(cli: &Cli, config: &mut Config, cancel: &Cancel) -> Result<Answer, Failure> {
    match &cli.command {
        None | Some(Command::Upgrade { target: None }) => {
            entrypoint::upgrade(config, cancel).await.map(Answer::Settled)
        }
        Some(Command::Upgrade { target: Some(target) }) => {
            config.target = Target::parse(target)
                .map_err(|reason| Failure::new(Stage::Configure, Cause::Usage(reason)))?;
            entrypoint::upgrade(config, cancel).await.map(Answer::Settled)
        }
        Some(Command::Check) => check::check(config, cancel).await.map(Answer::Settled),
        Some(Command::Wait { migrated }) => match migrated {
            true => wait::migrated(config, cancel).await.map(Answer::Settled),
            false => wait::ready(config, cancel).await.map(Answer::Said),
        },
        Some(Command::Backup) => backups::take(config, cancel).await.map(Answer::Said),
        Some(Command::Backups) => {
            let form = if cli.flags.json { Form::Json } else { Form::Lines };
            backups::list(config, form).await.map(Answer::Said)
        }
    }
}
