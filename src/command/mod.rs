//! One file for each verb that is more than the story itself.

mod backups;
mod behind;
mod call;
mod check;
mod compare;
mod completions;
mod consent;
mod current;
mod draft;
mod export;
mod heads;
mod history;
mod import;
mod mapping;
mod open;
mod preview;
mod repair;
mod restore;
mod revision;
mod stamp;
mod survey;
mod transfer;
mod wait;

use std::path::PathBuf;

use consent::Consent;
use open::Decision;
use restore::Place;

use crate::cli::{Cli, Command, Look};
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
    /// The history or the content is another now, or was so already.
    Changed(Changed),
    /// The command has done something else; this is its last line.
    Said(String),
    /// The answer stands on standard output; this is the last line of the log.
    Printed(String),
}

/// What a command has changed, or saved, other than by migrating.
pub struct Changed {
    /// The last line.
    pub message: String,
    /// Where the history says that the database is; `None` is base.
    pub revision: Option<String>,
    pub backup: Option<PathBuf>,
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
    let command = cli.command.as_ref().unwrap_or(&Command::PLAIN);
    if cli.flags.create_database && only_reads(command) {
        let reason = "--create-database goes with what may write; this only reads".into();
        return Err(Failure::new(Stage::Configure, Cause::Usage(reason)));
    }
    match command {
        Command::Repair { .. } | Command::Restore { .. } => put_right(config, command, cancel).await,
        Command::Upgrade { target, look } => {
            go(config, target.as_deref(), Direction::Up, *look, form, cancel).await
        }
        Command::Downgrade { target, look } => {
            go(config, Some(target), Direction::Down, *look, form, cancel).await
        }
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
            stamp::stamp(config, &target(text)?, cancel).await.map(Answer::Changed)
        }
        Command::Compare(asked) => compare::compare(config, asked, cancel).await.map(Answer::Said),
        Command::Transfer(asked) if asked.write_revision => {
            draft::write(config, asked, cancel).await.map(Answer::Said)
        }
        Command::Transfer(asked) => transfer::run(config, asked, form, cancel).await,
        Command::Export(asked) => export::run(config, asked, cancel).await,
        Command::Import(asked) => import::run(config, asked, cancel).await.map(Answer::Said),
        Command::Backup => backups::take(config, cancel).await.map(Answer::Changed),
        Command::Backups => backups::list(config, form, cancel).await.map(Answer::Printed),
        Command::Completions { shell } => completions::print(*shell, cancel).await.map(Answer::Printed),
    }
}

/// The verbs that put something right, and ask first.
async fn put_right(config: &Config, command: &Command, cancel: &Cancel) -> Result<Answer, Failure> {
    match command {
        Command::Repair { done: true, .. } => {
            open::decide(config, Decision::Done, cancel).await.map(Answer::Said)
        }
        Command::Repair { again: true, .. } => {
            open::decide(config, Decision::Again, cancel).await.map(Answer::Said)
        }
        Command::Repair { yes: true, .. } => {
            repair::repair(config, Consent::Given, cancel).await.map(Answer::Said)
        }
        Command::Repair { .. } => repair::repair(config, Consent::Ask, cancel).await.map(Answer::Said),
        Command::Restore { file, in_place, yes } => {
            let place = if *in_place { Place::Existing } else { Place::Beside };
            let consent = if *yes { Consent::Given } else { Consent::Ask };
            restore::restore(config, file, place, consent, cancel).await.map(Answer::Changed)
        }
        _ => unreachable!("only those come here"),
    }
}

/// Whether the verb asks a database and promises to change nothing.
fn only_reads(command: &Command) -> bool {
    match command {
        Command::Upgrade { look, .. } | Command::Downgrade { look, .. } => look.sql || look.plan,
        Command::Current
        | Command::History
        | Command::Check { .. }
        | Command::Compare(_)
        | Command::Export(_) => true,
        Command::Transfer(asked) => asked.plan || asked.write_revision,
        _ => false,
    }
}

fn target(text: &str) -> Result<Target, Failure> {
    Target::parse(text).map_err(|reason| Failure::new(Stage::Configure, Cause::Usage(reason)))
}

/// The story, or a look at it.
async fn go(
    config: &Config,
    text: Option<&str>,
    direction: Direction,
    look: Look,
    form: Form,
    cancel: &Cancel,
) -> Result<Answer, Failure> {
    if look != Look::default() {
        return preview::preview(config, text, direction, look, form, cancel).await;
    }
    let target = text.map_or(Ok(config.target.clone()), target)?;
    let errand = Errand::new(config, &target, direction)?;
    entrypoint::run(config, &errand, cancel).await.map(Answer::Settled)
}
