//! `transfer --plan`: shows which tables and columns would be copied to which, and with which casts.

use serde::Serialize;

use super::OutputFormat;
use super::transfer_failure::{log_advice, mapping_failure, planned, planning_failure, usage};
use super::transfer_input::{file, read, transfer_options};
use crate::cli::Transfer;
use crate::config::DatabaseConfig;
use crate::error::{Failure, Stage, counted};
use crate::escape::escape;
use crate::report;
use crate::request::MigrationRequest;
use crate::revision::target::RevisionName;
use crate::revision::{Direction, Target};
use crate::signal::Cancel;
use crate::stage::wait::wait;
use crate::transfer::plan::{self, PlanPurpose, TableMapping};

/// The document that `transfer --plan --json` prints. Every key is always present.
#[derive(Serialize)]
struct TransferPlanDocument<'a> {
    /// The tables in the order in which they are copied.
    tables: Vec<TableDocument<'a>>,
}

/// A table of the source and its target.
#[derive(Serialize)]
struct TableDocument<'a> {
    /// The source table's name.
    source: &'a str,
    /// The target table's name with its schema, quoted where necessary.
    target: String,
    /// The approximate number of rows; null if it is not known without counting.
    rows: Option<u64>,
    /// The columns that are copied.
    columns: Vec<ColumnDocument<'a>>,
}

/// A column of the source and its target.
#[derive(Serialize)]
struct ColumnDocument<'a> {
    /// The source column's name.
    source: &'a str,
    /// The declared type, which may be empty.
    source_type: &'a str,
    /// The target column's name.
    target: &'a str,
    /// The target column's type.
    target_type: &'a str,
    /// A description of the values that the cast accepts.
    takes: String,
}

impl<'a> TableDocument<'a> {
    /// Makes the document of one table.
    fn from_mapping(mapping: &'a TableMapping) -> Self {
        let columns = mapping.columns.iter().map(|column_mapping| {
            let (from, to) =
                (&mapping.source.columns[column_mapping.source], &mapping.target.columns[column_mapping.target]);
            ColumnDocument {
                source: &from.name,
                source_type: &from.declared,
                target: &to.name,
                target_type: &to.type_name,
                takes: column_mapping.cast.describe(),
            }
        });
        TableDocument {
            source: &mapping.source.name,
            target: mapping.target.quoted(),
            rows: mapping.source.rows,
            columns: columns.collect(),
        }
    }

    /// Returns one line for the table and one for each of its columns.
    fn lines(&self) -> String {
        let rows = self.rows.map_or(String::new(), |rows| format!(" (about {rows} rows)"));
        let mut lines = vec![format!("{} -> {}{rows}", self.source, self.target)];
        for ColumnDocument { source, source_type, target, target_type, takes } in &self.columns {
            let declared = if source_type.is_empty() { "no type" } else { source_type };
            lines.push(format!("  {source} {declared} -> {target} {target_type}: {takes}"));
        }
        lines.iter().map(|line| escape(line).into_owned() + "\n").collect()
    }
}

/// Shows the plan of a transfer.
///
/// # Errors
/// Fails when one side cannot be read, and when tables or columns have no counterpart.
pub(crate) async fn show(
    config: &DatabaseConfig,
    args: &Transfer,
    format: OutputFormat,
    cancel: &Cancel,
) -> Result<String, Failure> {
    let options = transfer_options(&args.rows.casts, PlanPurpose::Load).map_err(usage)?;
    let path = file(config, &args.rows.from).map_err(|cause| Failure::new(Stage::Configure, cause))?;
    let (_, contents) = read(config, path, cancel).await?;
    plan::check(&contents, &options).map_err(mapping_failure)?;
    let request = MigrationRequest::new(config, &Target::At(RevisionName::Head), Direction::Up)?;
    let (mut database, applied) = wait(&config.database, &config.history, &config.wait_policy, cancel).await?;
    let (_, pending) = request.resolve(&applied)?;
    if !pending.steps.is_empty() {
        let steps = counted(pending.steps.len() as u64, "revision");
        tracing::warn!("{steps} pending: a transfer applies them first, and this is of the tables as they are");
    }
    let targets = database.target_tables().await.map_err(planning_failure)?;
    let plan = planned(&contents, &targets, &options).map_err(|failure| log_advice(failure, args))?;
    let tables: Vec<TableDocument<'_>> = plan.mappings.iter().map(TableDocument::from_mapping).collect();
    let text = match format {
        OutputFormat::Json => report::document(&TransferPlanDocument { tables }),
        OutputFormat::Lines => tables.iter().map(TableDocument::lines).collect(),
    };
    report::answer(&text, cancel).await.map_err(|cause| Failure::new(Stage::Plan, cause))?;
    Ok(format!("{} would be transferred", counted(plan.mappings.len() as u64, "table")))
}
