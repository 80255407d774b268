//! A program of another tool that migrates the database, run as a child process with all that it starts.
//!
//! Between this process and the command stands a supervisor, which is this program started again (`supervisor`). The
//! command and all of its descendants are children of the supervisor, and it ends them when this process is gone,
//! whatever has ended it: with this process the lock is gone, and nothing may go on without the lock. A death signal
//! (prctl(2), `PR_SET_PDEATHSIG`) alone would reach the command itself and not what `npm`, `uv run` or a shell start.

mod environment;
mod input;
mod output;
mod pending;
mod processes;
mod protocol;
mod running;
mod supervisor;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{Access, access};
use rustix::io::Errno;

pub(crate) use environment::{CommandEnvironment, hide_secrets};
pub(crate) use input::{InheritedFiles, input_file};
pub(crate) use output::{MAX_DOCUMENT, OutputUse, excerpt, log_lines};
pub(crate) use pending::{PendingCheck, Preset, is_at_heads};
pub(crate) use protocol::CommandEnd;
pub(crate) use running::{OutputLines, ProcessTree, RunningCommand};
pub use supervisor::{SupervisorRequest, supervise};

/// The directories that are searched when there is no PATH (as in `execvp` of the C library).
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// A program with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GuardedCommand {
    /// The program and its arguments; never empty.
    words: Vec<OsString>,
}

impl GuardedCommand {
    /// Makes the command of these words; `None` if there are none.
    pub(crate) fn new(words: &[OsString]) -> Option<GuardedCommand> {
        (!words.is_empty()).then(|| GuardedCommand { words: words.to_vec() })
    }

    /// Makes the command that runs a line in the shell.
    pub(crate) fn from_shell_line(line: &str) -> GuardedCommand {
        GuardedCommand { words: ["/bin/sh", "-c", line].map(OsString::from).to_vec() }
    }

    /// Returns the command line: the program and its arguments.
    pub(crate) fn line(&self) -> &[OsString] {
        &self.words
    }

    /// Returns the name of the program without its directory.
    pub(crate) fn name(&self) -> String {
        file_name(&self.words[0]).to_string_lossy().into_owned()
    }

    /// Checks that the program exists and is executable, before anything is done for it.
    ///
    /// # Errors
    /// Fails with `NotFound`, or with the error of access(2) for the file that was found.
    pub(crate) fn find(&self) -> io::Result<()> {
        let program = Path::new(&self.words[0]);
        if program.as_os_str().as_bytes().contains(&b'/') {
            return is_executable(program);
        }
        let path = std::env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
        let mut result = Err(Errno::NOENT.into());
        for directory in std::env::split_paths(&path) {
            match is_executable(&directory.join(program)) {
                Ok(()) => return Ok(()),
                // As in execvp(3): a file that may not be executed is reported only if none is found after it.
                Err(error) if error.kind() != io::ErrorKind::NotFound => result = Err(error),
                Err(_) => {}
            }
        }
        result
    }
}

fn is_executable(path: &Path) -> io::Result<()> {
    if path.metadata()?.is_dir() {
        return Err(Errno::ACCESS.into());
    }
    access(path, Access::EXEC_OK).map_err(Into::into)
}

/// Returns the last component of a path.
fn file_name(path: &OsStr) -> &OsStr {
    Path::new(path).file_name().unwrap_or(path)
}

/// Writes the words up to the first option, as `alembic upgrade head`: a password may follow an option, or be in a URL.
impl fmt::Display for GuardedCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())?;
        let is_plain = |word: &&OsString| {
            let text = word.to_string_lossy();
            !text.starts_with('-') && !text.contains("://") && !text.contains('=') && text.chars().count() <= 40
        };
        let shown = self.words.iter().skip(1).take_while(is_plain);
        shown.take(5).try_for_each(|word| write!(f, " {}", word.to_string_lossy()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(text: &str) -> GuardedCommand {
        let words: Vec<OsString> = text.split(' ').map(OsString::from).collect();
        GuardedCommand::new(&words).expect("words")
    }

    #[test]
    fn a_command_is_shown_up_to_its_first_option() {
        for (text, shown) in [
            ("alembic upgrade head", "alembic upgrade head"),
            ("/opt/venv/bin/python manage.py migrate --database x", "python manage.py migrate"),
            ("migrate -database postgres://u:p@h/d up", "migrate"),
            ("tool postgres://u:p@h/d up", "tool"),
            ("env PASSWORD=canary tool", "env"),
        ] {
            assert_eq!(command(text).to_string(), shown);
        }
    }

    #[test]
    fn a_program_is_looked_for_before_it_is_needed() {
        assert!(command("sh -c true").find().is_ok());
        assert!(command("/bin/sh").find().is_ok());
        let error = |text: &str| command(text).find().expect_err("an error").kind();
        assert_eq!(error("no-such-program"), io::ErrorKind::NotFound);
        assert_eq!(error("./no/such/program"), io::ErrorKind::NotFound);
        assert_eq!(error("/etc/passwd"), io::ErrorKind::PermissionDenied);
        assert_eq!(error("/etc"), io::ErrorKind::PermissionDenied);
    }
}
