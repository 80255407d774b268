//! `current`: where the database is. Reads only, takes no lock.

use std::io;

use super::OutputFormat;
use super::status::StatusReport;
use crate::config::Config;
use crate::error::{Failure, Stage};
use crate::report::{self, Colour};
use crate::signal::Cancel;

/// Prints the applied revisions that no other applied one rests on.
///
/// # Errors
/// As [`StatusReport::take`]; an output that takes no more.
pub async fn current(config: &Config, form: OutputFormat, cancel: &Cancel) -> Result<String, Failure> {
    let survey = StatusReport::take(config, cancel).await?;
    let entries = survey.entries();
    let sum = survey.sum(&entries);
    let current = survey.current(entries);
    let text = match form {
        OutputFormat::Json => survey.document(&current),
        OutputFormat::Lines if current.is_empty() => "no revision is applied\n".into(),
        OutputFormat::Lines => survey.table(&current, Colour::on(&io::stdout())),
    };
    report::answer(&text, cancel).await.map_err(|cause| Failure::new(Stage::Verify, cause))?;
    Ok(sum)
}
