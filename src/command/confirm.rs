//! Asking before something is replaced.

use std::io::{self, IsTerminal};

use crate::error::{Cause, Failure, Stage};
use crate::report;
use crate::signal::Cancel;

/// Whether the user has agreed already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    Given,
    Ask,
}

/// Asks whoever sits at the terminal; `instead` is what can be done when nobody agrees.
///
/// # Errors
/// There is none, the answer is not yes, or a signal comes first.
pub async fn agree(question: &str, instead: &'static str, cancel: &Cancel) -> Result<(), Failure> {
    let declined = |why| Failure::new(Stage::Plan, Cause::Declined { why, instead });
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Err(declined("there is no terminal to ask on, and --yes was not given"));
    }
    report::ask(&format!("{question} [y/N] "));
    // On a thread of its own, which nobody waits for when a signal comes.
    let answer = tokio::task::spawn_blocking(|| io::stdin().lines().next());
    let answer = tokio::select! {
        answer = answer => answer,
        reason = cancel.cancelled() => return Err(Failure::new(Stage::Plan, Cause::Stopped(reason))),
    };
    let answer = match answer {
        Ok(Some(Ok(line))) => line.trim().to_ascii_lowercase(),
        _ => String::new(),
    };
    match answer.as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(declined("the answer was not y")),
    }
}
