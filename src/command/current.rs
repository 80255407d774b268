//! The `current` command: prints the revisions at which the database is. It only reads, and takes no lock.

use std::io;

use super::OutputFormat;
use super::status::StatusReport;
use crate::config::DatabaseConfig;
use crate::error::{Failure, Stage};
use crate::report::{self, Colour};
use crate::signal::Cancel;

/// Prints the applied revisions on which no other applied revision depends.
///
/// # Errors
/// Fails as [`StatusReport::take`] does, or when standard output cannot be written.
pub async fn current(config: &DatabaseConfig, form: OutputFormat, cancel: &Cancel) -> Result<String, Failure> {
    let survey = StatusReport::take(config, cancel).await?;
    let entries = survey.entries();
    let sum = survey.summary(&entries);
    let current = survey.current(entries);
    let text = match form {
        OutputFormat::Json => survey.document(&current),
        OutputFormat::Lines if current.is_empty() => "no revision is applied\n".into(),
        OutputFormat::Lines => survey.table(&current, Colour::on(&io::stdout())),
    };
    report::answer(&text, cancel).await.map_err(|cause| Failure::new(Stage::Verify, cause))?;
    Ok(sum)
}
