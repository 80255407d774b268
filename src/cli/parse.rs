//! Parses the command line.

use std::ffi::OsString;

use clap::{Args, FromArgMatches, Parser, Subcommand};

use super::{Cli, Command, Flags};

/// Parses the command line. The arguments after the first `--` become [`Cli::program`]; with `guard`, those up to the
/// second `--` are its command.
///
/// # Errors
/// Returns clap's error: a usage error, or the text of `--help` and `--version`.
pub fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let mut own_arguments: Vec<OsString> = arguments.collect();
    let program = match own_arguments.iter().position(|argument| argument == "--") {
        Some(index) => own_arguments.split_off(index).split_off(1),
        None => Vec::new(),
    };
    let parsed = match parse_named(&own_arguments) {
        Some(cli) => cli,
        None => Cli::try_parse_from(own_arguments)?,
    };
    let mut cli = Cli { program, ..parsed };
    if let Some(Command::Adopt(adopt)) = &cli.command {
        cli.flags.layout = Some(adopt.to.clone());
    }
    if let Some(Command::Guard(guard)) = &mut cli.command {
        let end = cli.program.iter().position(|argument| argument == "--").unwrap_or(cli.program.len());
        let rest = cli.program.split_off(end);
        guard.command = std::mem::replace(&mut cli.program, rest.into_iter().skip(1).collect());
    }
    Ok(cli)
}

/// Parses the command line with a definition that has only those commands whose names are among the arguments, and
/// neither `--help` nor `--version`. Every start parses its command line, and clap would copy all flags into each of the
/// commands. Returns `None` for an error: the whole definition has the message, the suggestion or the help for it.
fn parse_named(arguments: &[OsString]) -> Option<Cli> {
    let definition = clap::Command::new("lockkeeper").disable_help_flag(true).disable_help_subcommand(true);
    let mut definition = Flags::augment_args(definition);
    if arguments.iter().skip(1).any(|argument| !argument.as_encoded_bytes().starts_with(b"-")) {
        let all = Command::augment_subcommands(clap::Command::new("lockkeeper"));
        let is_named = |command: &&clap::Command| arguments.iter().any(|argument| argument == command.get_name());
        definition = definition.subcommands(all.get_subcommands().filter(is_named).cloned());
    }
    let mut matches = definition.try_get_matches_from(arguments).ok()?;
    Cli::from_arg_matches_mut(&mut matches).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn the_definition_of_the_named_command_reads_what_the_whole_one_reads() {
        for line in [
            "lockkeeper",
            "lockkeeper --json --dir a",
            "lockkeeper upgrade",
            "lockkeeper --dir upgrade check",
            "lockkeeper upgrade check",
            "lockkeeper upgrade +1 --sql --url=sqlite:///a.db",
            "lockkeeper downgrade -1",
            "lockkeeper wait --migrated --wait-timeout 5s",
            "lockkeeper revision -m wait",
            "lockkeeper transfer --from sqlite:///a.db --only t --on-error skip",
            "lockkeeper repair --yes --strict",
            "lockkeeper completions bash",
        ] {
            let named = parse_named(&arguments(line)).map(|cli| format!("{cli:?}"));
            let whole = Cli::try_parse_from(arguments(line)).map(|cli| format!("{cli:?}")).unwrap();
            assert_eq!(named, Some(whole), "{line}");
        }
    }

    #[test]
    fn what_the_whole_definition_refuses_or_answers_is_left_to_it() {
        for line in [
            "lockkeeper upgrad",
            "lockkeeper --help",
            "lockkeeper upgrade --help",
            "lockkeeper --version",
            "lockkeeper help",
            "lockkeeper help upgrade",
            "lockkeeper --dir",
            "lockkeeper --dri a",
            "lockkeeper check --migrated",
            "lockkeeper repair --yes --done",
            "lockkeeper downgrade",
        ] {
            assert!(parse_named(&arguments(line)).is_none(), "{line}");
            assert!(Cli::try_parse_from(arguments(line)).is_err(), "{line}");
        }
    }
}
