//! `transfer --plan`: what would go where, and how.

use serde::Serialize;

use super::Form;
use super::transfer::{file, planned, read, told, unmapped, unplanned, usage, wish};
use crate::cli::Transfer;
use crate::config::Config;
use crate::errand::Errand;
use crate::error::{Failure, Stage, counted};
use crate::report::{self, escape};
use crate::revision::target::Name;
use crate::revision::{Direction, Target};
use crate::signal::Cancel;
use crate::stage::wait::wait;
use crate::transfer::plan::{self, Pair, Purpose};

/// The document that `transfer --plan --json` prints. Every key is always there.
#[derive(Serialize)]
struct Document<'a> {
    tables: Vec<Table<'a>>,
}

#[derive(Serialize)]
struct Table<'a> {
    source: &'a str,
    /// With its schema, in quotes where it has to be.
    target: String,
    /// About so many; null where nobody has counted.
    rows: Option<u64>,
    columns: Vec<Column<'a>>,
}

#[derive(Serialize)]
struct Column<'a> {
    source: &'a str,
    /// As it is declared, which may be nothing.
    source_type: &'a str,
    target: &'a str,
    target_type: &'a str,
    /// What it takes, in words.
    takes: String,
}

impl<'a> Table<'a> {
    fn of(pair: &'a Pair) -> Self {
        let columns = pair.columns.iter().map(|mapped| {
            let (from, to) = (&pair.source.columns[mapped.source], &pair.target.columns[mapped.target]);
            Column {
                source: &from.name,
                source_type: &from.declared,
                target: &to.name,
                target_type: &to.type_name,
                takes: mapped.cast.describe(),
            }
        });
        Table {
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
        for Column { source, source_type, target, target_type, takes } in &self.columns {
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
pub async fn show(config: &Config, asked: &Transfer, form: Form, cancel: &Cancel) -> Result<String, Failure> {
    let wish = wish(&asked.rows.meant, Purpose::Load).map_err(usage)?;
    let path = file(config, &asked.rows.from).map_err(|cause| Failure::new(Stage::Configure, cause))?;
    let (_, contents) = read(config, path, cancel).await?;
    plan::check(&contents, &wish).map_err(unmapped)?;
    let errand = Errand::new(config, &Target::At(Name::Head), Direction::Up)?;
    let (mut database, applied) = wait(&config.database, &config.history, &config.patience, cancel).await?;
    let (_, pending) = errand.settle(&applied)?;
    if !pending.steps.is_empty() {
        let steps = counted(pending.steps.len() as u64, "revision");
        tracing::warn!(
            "{steps} pending: a transfer applies them first, and this is of the tables as they are"
        );
    }
    let targets = database.target_tables().await.map_err(unplanned)?;
    let plan = planned(&contents, &targets, &wish).map_err(|failure| told(failure, asked))?;
    let tables: Vec<Table<'_>> = plan.pairs.iter().map(Table::of).collect();
    let text = match form {
        Form::Json => report::document(&Document { tables }),
        Form::Lines => tables.iter().map(Table::lines).collect(),
    };
    report::answer(&text, cancel).await.map_err(|cause| Failure::new(Stage::Plan, cause))?;
    Ok(format!("{} would be transferred", counted(plan.pairs.len() as u64, "table")))
}
