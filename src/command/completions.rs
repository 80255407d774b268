//! The `completions` command: prints scripts with which a shell completes the command line.

use clap_complete::generate;
use clap_complete::shells::{Bash, Fish, Zsh};

use crate::cli::{self, Shell};
use crate::error::{Failure, Stage};
use crate::report;
use crate::signal::Cancel;

/// Prints the completion script of a shell on standard output.
///
/// # Errors
/// Fails when standard output cannot be written or a signal arrives.
pub(crate) async fn print(shell: Shell, cancel: &Cancel) -> Result<String, Failure> {
    let mut command = cli::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    match shell {
        Shell::Bash => generate(Bash, &mut command, name, &mut script),
        Shell::Zsh => generate(Zsh, &mut command, name, &mut script),
        Shell::Fish => generate(Fish, &mut command, name, &mut script),
    }
    let result = report::answer(&String::from_utf8_lossy(&script), cancel).await;
    result.map_err(|cause| Failure::new(Stage::Verify, cause))?;
    Ok("the completion script is on standard output".into())
}
