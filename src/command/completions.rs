//! `completions`: scripts that complete our words in a shell.

use crate::error::{Cause, Failure, Stage};

/// Prints the script of a shell.
///
/// # Errors
/// A shell that we have none for.
pub fn print(shell: &str) -> Result<String, Failure> {
    Err(Failure::new(Stage::Configure, Cause::Internal(format!("completions {shell} is not there yet"))))
}
