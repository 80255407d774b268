//! The programs of the user's that have to do with backups.

use std::ffi::OsString;

use super::environment::RawEnvironment;
use super::settings::{Setting, pick};
use crate::cli::Flags;
use crate::error::Cause;
use crate::guarded_command::GuardedCommand;

/// The programs of the user's.
#[derive(Clone, Debug, Default)]
pub(crate) struct BackupCommands {
    /// The program that takes a backup.
    pub(crate) backup: Option<GuardedCommand>,
    /// The program that confirms that there is a base backup.
    pub(crate) base: Option<GuardedCommand>,
}

impl BackupCommands {
    /// Reads the programs from flags and variables.
    pub(super) fn read(flags: &Flags, raw: &RawEnvironment) -> Result<BackupCommands, Cause> {
        let (flag, variable) = ("--backup-command", "LOCKKEEPER_BACKUP_COMMAND");
        let backup = pick(&flags.backup_command, flag, &raw.lockkeeper_backup_command, variable);
        let (flag, variable) = ("--backup-base-command", "LOCKKEEPER_BACKUP_BASE_COMMAND");
        let base = pick(&flags.backup_base_command, flag, &raw.lockkeeper_backup_base_command, variable);
        Ok(BackupCommands { backup: command(backup)?, base: command(base)? })
    }
}

/// Splits a setting into the words of a command, with the quotes and backslashes of a shell and nothing else of it.
fn command(setting: Option<Setting>) -> Result<Option<GuardedCommand>, Cause> {
    let Some(setting) = setting else { return Ok(None) };
    // The value is not repeated: it may have a secret.
    let words = shlex::split(&setting.value).ok_or_else(|| setting.refused("a quote or a backslash has no end"))?;
    let words: Vec<OsString> = words.into_iter().map(OsString::from).collect();
    GuardedCommand::new(&words).map(Some).ok_or_else(|| setting.refused("it names no program"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Result<Vec<OsString>, String> {
        let setting = Setting { origin: "LOCKKEEPER_BACKUP_COMMAND", value: text.into() };
        let command = command(Some(setting)).map_err(|cause| format!("{cause:?}"))?;
        Ok(command.map(|command| command.line().to_vec()).unwrap_or_default())
    }

    #[test]
    fn a_command_is_split_as_by_a_shell_and_not_expanded() {
        for (text, expected) in [
            ("take-backup", vec!["take-backup"]),
            (" take  --to 'a b' \"c d\" e\\ f '' ", vec!["take", "--to", "a b", "c d", "e f", ""]),
            ("sh -c 'echo \"$HOME\" | cat'", vec!["sh", "-c", "echo \"$HOME\" | cat"]),
            ("take $HOME *.sql | cat", vec!["take", "$HOME", "*.sql", "|", "cat"]),
        ] {
            let expected: Vec<OsString> = expected.into_iter().map(OsString::from).collect();
            assert_eq!(words(text), Ok(expected), "{text}");
        }
        assert!(words("take 'canary").is_err_and(|error| error.contains("has no end") && !error.contains("canary")));
        assert!(words(" ").is_err_and(|error| error.contains("names no program")));
    }
}
