//! The `history` command: prints all revisions with their state. It only reads, and takes no lock.

use std::io;

use super::OutputFormat;
use super::status::StatusReport;
use crate::config::DatabaseConfig;
use crate::error::{Failure, Stage};
use crate::report::{self, Colour};
use crate::signal::Cancel;

/// Prints every revision of the directory and of the history table, oldest first.
///
/// # Errors
/// Fails as [`StatusReport::take`] does, or when standard output cannot be written.
pub(crate) async fn history(config: &DatabaseConfig, format: OutputFormat, cancel: &Cancel) -> Result<String, Failure> {
    let status = StatusReport::take(config, cancel).await?;
    let entries = status.entries();
    let text = match format {
        OutputFormat::Json => status.document(&entries),
        OutputFormat::Lines => status.table(&entries, Colour::on(&io::stdout())),
    };
    report::answer(&text, cancel).await.map_err(|cause| Failure::new(Stage::Verify, cause))?;
    Ok(status.summary(&entries))
}
