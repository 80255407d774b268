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
pub(crate) async fn current(config: &DatabaseConfig, format: OutputFormat, cancel: &Cancel) -> Result<String, Failure> {
    let status = StatusReport::take(config, cancel).await?;
    let entries = status.entries();
    let summary = status.summary(&entries);
    let current = status.current(entries);
    let text = match format {
        OutputFormat::Json => status.document(&current),
        OutputFormat::Lines if current.is_empty() => "no revision is applied\n".into(),
        OutputFormat::Lines => status.table(&current, Colour::on(&io::stdout())),
    };
    report::answer(&text, cancel).await.map_err(|cause| Failure::new(Stage::Verify, cause))?;
    Ok(summary)
}
