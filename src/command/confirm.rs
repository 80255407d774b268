//! Asks the user for confirmation before something is replaced.

use std::io::{self, IsTerminal};

use crate::error::{Cause, Failure, Stage};
use crate::report;
use crate::signal::Cancel;
use crate::stage::blocking;

/// The user's consent as given on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consent {
    /// The user has agreed with `--yes`.
    Given,
    /// The user has to be asked on the terminal.
    Ask,
}

/// Asks the user at the terminal to confirm; `instead` says what can be done if the user does not agree.
///
/// # Errors
/// Fails when there is no terminal, when the answer is not yes, or when a signal arrives first.
pub(crate) async fn agree(question: &str, instead: &'static str, cancel: &Cancel) -> Result<(), Failure> {
    let declined = |reason| Failure::new(Stage::Plan, Cause::Declined { reason, instead });
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Err(declined("there is no terminal to ask on, and --yes was not given"));
    }
    report::ask(&format!("{question} [y/N] "));
    // The answer is read on a thread of its own, for which a signal does not have to wait.
    let answer = blocking::run(|_| io::stdin().lines().next());
    let answer = tokio::select! {
        answer = answer => answer,
        reason = cancel.cancelled() => return Err(Failure::new(Stage::Plan, Cause::Stopped(reason))),
    };
    let answer = match answer {
        Some(Ok(line)) => line.trim().to_ascii_lowercase(),
        _ => String::new(),
    };
    match answer.as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(declined("the answer was not y")),
    }
}
