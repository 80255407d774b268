//! The environment of a guarded command.

use std::ffi::{OsStr, OsString};

use tokio::process::Command;

use crate::masking;

/// The words in the name of a variable that mark its value as a secret.
const SECRET_WORDS: [&str; 8] = ["PASSWORD", "PASSWD", "PASSPHRASE", "PASS", "PWD", "SECRET", "TOKEN", "CREDENTIALS"];
/// The length of the shortest value that is taken for a secret by the name of its variable, in bytes: `USE_TOKEN=true` is
/// none, and would mask ordinary words.
const MIN_VALUE: usize = 6;
/// The length of the shortest line of a secret of several lines that is masked by itself, in bytes.
const MIN_LINE: usize = 8;

/// The variables that a command gets beside those that this process has.
///
/// A command has its configuration already, and so its environment stays as it is, but for Lockkeeper's own settings: as
/// with the program after `--`, the owner's URL may be among them. A rehearsal replaces the variable of the database URL.
#[derive(Clone, Default)]
pub(crate) struct CommandEnvironment {
    variables: Vec<(String, OsString)>,
}

impl CommandEnvironment {
    /// Adds a variable, or replaces its value.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: impl Into<OsString>) -> CommandEnvironment {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// Gives the variables to a process that is about to be started.
    pub(super) fn apply(&self, command: &mut Command) {
        for (name, _) in std::env::vars_os().filter(|(name, _)| is_own_setting(name)) {
            command.env_remove(name);
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
    }
}

fn is_own_setting(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b"LOCKKEEPER_")
}

/// Masks in all output the secrets that the environment has for other programs, which a command may print: the values of
/// variables whose names say so, and the passwords of URLs. `words` are those of the command line, in which URLs may be.
/// A value that is a part of `shown`, the name of the database, is no secret: `POSTGRES_PASSWORD=postgres` is common.
pub(crate) fn hide_secrets(words: &[OsString], shown: &str) {
    for (name, value) in std::env::vars_os() {
        let (name, value) = (name.to_string_lossy().to_uppercase(), value.to_string_lossy());
        if names_secret(&name) && value.len() >= MIN_VALUE && !shown.contains(&*value) {
            masking::hide(&value, &[]);
            value.lines().filter(|line| line.len() >= MIN_LINE).for_each(|line| masking::hide(line, &[]));
        }
        hide_url_passwords(&value);
    }
    words.iter().for_each(|word| hide_url_passwords(&word.to_string_lossy()));
}

/// Reports whether the name of a variable, in upper case, marks a secret. `API_KEY` does, `KEYBOARD` does not; a file or
/// directory is none.
fn names_secret(name: &str) -> bool {
    let mut words = name.split('_').rev();
    let last = words.next().unwrap_or_default();
    if matches!(last, "FILE" | "PATH" | "DIR") || name == "PWD" || name == "OLDPWD" {
        return false;
    }
    let joined = || SECRET_WORDS[..2].iter().any(|word| last.ends_with(word));
    last == "KEY" || joined() || name.split('_').any(|word| SECRET_WORDS.contains(&word))
}

/// Hides the password of every URL in a text: what stands between the colon behind the user and the last `@` before
/// the path.
fn hide_url_passwords(text: &str) {
    for (at, separator) in text.match_indices("://") {
        let rest = &text[at + separator.len()..];
        let authority = &rest[..rest.find(['/', '?', '#', ' ']).unwrap_or(rest.len())];
        if let Some((login, _)) = authority.rsplit_once('@')
            && let Some((_, password)) = login.split_once(':')
        {
            masking::hide(password, &[]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_are_known() {
        for name in ["PGPASSWORD", "DB_PASSWORD", "SECRET_KEY", "DJANGO_SECRET_KEY", "API_TOKEN", "API_KEY", "SECRET"] {
            assert!(names_secret(name), "{name}");
        }
        for name in ["PWD", "PGPASSFILE", "DATABASE_PASSWORD_FILE", "KEYBOARD", "PATH", "HOME", "MONKEY"] {
            assert!(!names_secret(name), "{name}");
        }
    }

    #[test]
    fn the_passwords_of_urls_are_hidden() {
        hide_url_passwords("-database postgres://u:canary-one@h:5/d?x=y and redis://:canary-two@h");
        assert_eq!(masking::mask_known("canary-one canary-two h"), "*** *** h");
    }
}
