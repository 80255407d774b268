//! `transfer --plan`: what would go where, and how.

use serde::Serialize;

use super::OutputFormat;
use super::transfer::{file, mapping_failure, planned, planning_failure, read, usage, wish, with_advice};
use crate::cli::Transfer;
use crate::config::Config;
use crate::error::{Failure, Stage, counted};
use crate::report::{self, escape};
use crate::request::MigrationRequest;
use crate::revision::target::RevisionName;
use crate::revision::{Direction, Target};
use crate::signal::Cancel;
use crate::stage::wait::wait;
use crate::transfer::plan::{self, PlanPurpose, TableMapping};

/// The document that `transfer --plan --json` prints. Every key is always there.
#[derive(Serialize)]
struct TransferPlanDocument<'a> {
    tables: Vec<TableDocument<'a>>,
}

#[derive(Serialize)]
struct TableDocument<'a> {
    source: &'a str,
    /// With its schema, in quotes where it has to be.
    target: String,
    /// About so many; null where nobody has counted.
    rows: Option<u64>,
    columns: Vec<ColumnDocument<'a>>,
}

#[derive(Serialize)]
struct ColumnDocument<'a> {
    source: &'a str,
    /// As it is declared, which may be nothing.
    source_type: &'a str,
    target: &'a str,
    target_type: &'a str,
    /// What it takes, in words.
    takes: String,
}

impl<'a> TableDocument<'a> {
    fn from_mapping(pair: &'a TableMapping) -> Self {
        let columns = pair.columns.iter().map(|mapped| {
            let (from, to) = (&pair.source.columns[mapped.source], &pair.target.columns[mapped.target]);
            ColumnDocument {
                source: &from.name,
                source_type: &from.declared,
                target: &to.name,
                target_type: &to.type_name,
                takes: mapped.cast.describe(),
            }
        });
        TableDocument {
            source: &pair.source.name,
            target: pair.target.quoted(),
            rows: pair.source.rows,
            columns: columns.collect(),
        }
    }

    /// A line for it, and one for each of its columns.
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

/// Shows what would go where.
///
/// # Errors
/// A side that cannot be read; tables and columns that have no place.
pub async fn show(config: &Config, asked: &Transfer, form: OutputFormat, cancel: &Cancel) -> Result<String, Failure> {
    let wish = wish(&asked.rows.meant, PlanPurpose::Load).map_err(usage)?;
    let path = file(config, &asked.rows.from).map_err(|cause| Failure::new(Stage::Configure, cause))?;
    let (_, contents) = read(config, path, cancel).await?;
    plan::check(&contents, &wish).map_err(mapping_failure)?;
    let request = MigrationRequest::new(config, &Target::At(RevisionName::Head), Direction::Up)?;
    let (mut database, applied) = wait(&config.database, &config.history, &config.patience, cancel).await?;
    let (_, pending) = request.settle(&applied)?;
    if !pending.steps.is_empty() {
        let steps = counted(pending.steps.len() as u64, "revision");
        tracing::warn!("{steps} pending: a transfer applies them first, and this is of the tables as they are");
    }
    let targets = database.target_tables().await.map_err(planning_failure)?;
    let plan = planned(&contents, &targets, &wish).map_err(|failure| with_advice(failure, asked))?;
    let tables: Vec<TableDocument<'_>> = plan.pairs.iter().map(TableDocument::from_mapping).collect();
    let text = match form {
        OutputFormat::Json => report::document(&TransferPlanDocument { tables }),
        OutputFormat::Lines => tables.iter().map(TableDocument::lines).collect(),
    };
    report::answer(&text, cancel).await.map_err(|cause| Failure::new(Stage::Plan, cause))?;
    Ok(format!("{} would be transferred", counted(plan.pairs.len() as u64, "table")))
}
