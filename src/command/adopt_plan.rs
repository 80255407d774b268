//! `adopt --plan`: shows the rows that would be recorded.

use std::io;

use serde::Serialize;

use super::OutputFormat;
use super::adopt::{AdoptionWork, PlannedAdoption};
use crate::cli::Adopt;
use crate::config::DatabaseConfig;
use crate::error::{Failure, Stage};
use crate::report::{self, Colour};
use crate::revision::Version;
use crate::signal::Cancel;
use crate::stage::wait::wait;
use crate::table::TextTable;

/// The document that `adopt --plan --json` prints. Every key is always present.
#[derive(Serialize)]
struct AdoptionDocument<'a> {
    /// The name of the other tool; null if no tool has a history any more.
    tool: Option<&'a str>,
    /// The name of its table; null if no tool has a history any more.
    table: Option<&'a str>,
    /// The name of the layout.
    layout: &'a str,
    /// The name of the history table of the layout; null if no tool has a history any more.
    history: Option<&'a str>,
    /// The recorded revisions on which no other recorded revision depends, after the adoption.
    to: Vec<&'a str>,
    /// The rows that would be recorded, in this order.
    rows: Vec<RowDocument<'a>>,
}

/// A row that would be recorded.
#[derive(Serialize)]
struct RowDocument<'a> {
    /// The version of the revision.
    revision: &'a str,
    /// The name of its file.
    file: &'a str,
    /// The version in the row of the other tool.
    recorded_as: &'a str,
}

/// Prints the rows that would be recorded. Takes no lock and changes nothing.
///
/// # Errors
/// Fails with the cause that would prevent the adoption, or when the output is not read to its end.
pub(crate) async fn show(
    config: &DatabaseConfig,
    args: &Adopt,
    format: OutputFormat,
    cancel: &Cancel,
) -> Result<String, Failure> {
    let work = AdoptionWork::new(config, args)?;
    let (mut database, applied) = wait(&config.database, &config.history, &config.wait_policy, cancel).await?;
    let planned = work.plan(&mut database, &applied).await?;
    let answer = work.answer(planned.as_ref());
    // The session is closed first, because the reader of the answer may be slow.
    drop(database);
    let document = document(&work, planned.as_ref());
    let text = match format {
        OutputFormat::Json => report::document(&document),
        OutputFormat::Lines if document.rows.is_empty() => "nothing is to be recorded\n".into(),
        OutputFormat::Lines => lines(&document),
    };
    report::answer(&text, cancel).await.map_err(|cause| Failure::new(Stage::Plan, cause))?;
    Ok(match (answer, document.rows.len()) {
        (Some(summary), _) => summary.message,
        (None, count) => format!("rows that would be recorded: {count}; nothing was changed"),
    })
}

fn document<'a>(work: &'a AdoptionWork<'_>, planned: Option<&'a PlannedAdoption>) -> AdoptionDocument<'a> {
    let directory = &work.directory;
    let rows = planned.iter().flat_map(|planned| &planned.plan.rows).map(|row| RowDocument {
        revision: directory.migrations[row.at].version.as_str(),
        file: &directory.migrations[row.at].up.file,
        recorded_as: &row.version,
    });
    AdoptionDocument {
        tool: planned.map(|planned| planned.source.tool.name),
        table: planned.map(|planned| &*planned.source.table),
        layout: directory.layout.name(),
        history: planned.map(|planned| &*planned.target_table),
        to: planned.map_or_else(Vec::new, |planned| planned.plan.heads.iter().map(Version::as_str).collect()),
        rows: rows.collect(),
    }
}

/// Returns the document as a table.
fn lines(document: &AdoptionDocument<'_>) -> String {
    let mut table = TextTable::new(vec!["REVISION", "FILE", "RECORDED AS"]);
    for row in &document.rows {
        table.add(vec![row.revision.into(), row.file.into(), row.recorded_as.into()]);
    }
    table.text(Colour::on(&io::stdout()))
}
