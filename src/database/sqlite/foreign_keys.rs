//! Foreign keys: rows without their parent row, and references to tables that do not exist.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::touched_tables::{Touched, TouchedTables};
use super::{ForeignKeyViolations, Sqlite, column, error};
use crate::database::{ApplyError, DatabaseError, DatabaseErrorKind, SchemaDefects};
use crate::revision::render::foreign_keys;
use crate::sql::sqlite_literal;

/// The time that a check of all foreign keys may take for every script.
const SHORT_CHECK: Duration = Duration::from_millis(20);

impl Sqlite {
    /// Fails if there are more rows without a parent row than before; the script did not cause the earlier ones.
    pub(super) async fn check_foreign_keys(&mut self) -> Result<(), ApplyError> {
        let previous = self.violations.take().unwrap_or_default();
        let current = match self.touched.as_ref().map(TouchedTables::take) {
            Some(Touched::Tables(tables)) => self.find_violations_near(&tables, &previous).await,
            Some(Touched::All) | None => self.find_violations().await,
        };
        let current = current.map_err(ApplyError::Unchecked)?;
        let increased = new_violations(&previous, &current);
        self.violations = Some(current);
        if increased.is_empty() {
            return Ok(());
        }
        self.violations = Some(previous);
        Err(ApplyError::Violations(increased))
    }

    /// Counts the rows without a parent row before the first script. If that takes long, the scripts are watched from then
    /// on, and only tables that they write are checked behind them.
    pub(super) async fn find_earlier_violations(&mut self) -> Result<(), DatabaseError> {
        let start = Instant::now();
        self.violations = Some(self.find_violations().await?);
        if start.elapsed() > SHORT_CHECK && self.touched.is_none() {
            let touched = TouchedTables::default();
            touched.watch(self.opened()?).map_err(|error| error::from_rusqlite(&error, &self.path))?;
            self.touched = Some(touched);
        }
        Ok(())
    }

    /// Counts the rows without a parent row after `tables` were written; `previous` has the rows of the other tables.
    async fn find_violations_near(
        &mut self,
        tables: &BTreeSet<String>,
        previous: &ForeignKeyViolations,
    ) -> Result<ForeignKeyViolations, DatabaseError> {
        let mut found = previous.clone();
        let names: Vec<String> = tables.iter().map(|table| sqlite_literal(table)).collect();
        for row in self.rows(&foreign_keys::tables_near(&names.join(", "))).await? {
            let table: String = column(&row, 0)?;
            found.retain(|(child, _), _| !child.eq_ignore_ascii_case(&table));
            self.add_violations_of(table, &mut found).await?;
        }
        Ok(found)
    }

    /// Counts the rows without a parent row, by table and parent. A key whose parent columns are not unique gets a
    /// count of 0, and SQLite's message in place of the parent.
    pub(super) async fn find_violations(&mut self) -> Result<ForeignKeyViolations, DatabaseError> {
        match self.violations_of("").await {
            // One such key keeps SQLite from checking all others.
            Err(fault) if fault.kind == DatabaseErrorKind::Statement => {}
            other => return other,
        }
        let mut found = ForeignKeyViolations::new();
        for row in self.rows("SELECT name FROM sqlite_master WHERE type = 'table'").await? {
            self.add_violations_of(column(&row, 0)?, &mut found).await?;
        }
        Ok(found)
    }

    async fn add_violations_of(
        &mut self,
        table: String,
        found: &mut ForeignKeyViolations,
    ) -> Result<(), DatabaseError> {
        match self.violations_of(&table).await {
            Ok(table_violations) => found.extend(table_violations),
            Err(fault) if fault.kind == DatabaseErrorKind::Statement => {
                found.insert((table, fault.message), 0);
            }
            Err(fault) => return Err(fault),
        }
        Ok(())
    }

    /// Counts the violations of one table, or of all tables if the name is empty.
    async fn violations_of(&mut self, table: &str) -> Result<ForeignKeyViolations, DatabaseError> {
        let sql = match table {
            "" => foreign_keys::ORPHANS.to_owned(),
            table => foreign_keys::orphans_of(table),
        };
        self.read_violations(sql).await
    }

    async fn read_violations(&mut self, sql: String) -> Result<ForeignKeyViolations, DatabaseError> {
        let rows = self.rows(&sql).await?;
        rows.iter().map(|row| Ok(((column(row, 0)?, column(row, 1)?), column(row, 2)?))).collect()
    }

    /// Returns the quoted name of the table that keeps the violations from before a script without a transaction.
    pub(super) fn baseline_table(&self) -> String {
        foreign_keys::baseline(&self.history)
    }

    /// Returns SQL that creates that table anew, with these rows.
    pub(super) fn baseline(&self, violations: &ForeignKeyViolations) -> String {
        let table = self.baseline_table();
        let create = foreign_keys::create_baseline(&self.history);
        let rows = violations.iter().map(|((child, parent), rows)| {
            format!("INSERT INTO {table} VALUES ({}, {}, {rows});\n", sqlite_literal(child), sqlite_literal(parent))
        });
        format!("DROP TABLE IF EXISTS {table};\n{create}{}", rows.collect::<String>())
    }

    /// Reads the rows of that table; `None` if the table does not exist.
    pub(super) async fn noted_violations(&mut self) -> Result<Option<ForeignKeyViolations>, DatabaseError> {
        let table = self.baseline_table();
        let found = format!(
            "SELECT 1 FROM pragma_table_info({}, 'main')",
            sqlite_literal(&foreign_keys::baseline_name(&self.history))
        );
        if self.rows(&found).await?.is_empty() {
            return Ok(None);
        }
        self.read_violations(format!("SELECT * FROM {table}")).await.map(Some)
    }

    /// Lists the tables that reference a table that does not exist.
    ///
    /// # Errors
    /// The file is not readable.
    pub(crate) async fn defects(&mut self) -> Result<SchemaDefects, DatabaseError> {
        let rows = self.rows(foreign_keys::MISSING_PARENTS).await?;
        let descriptions = rows.iter().map(|row| {
            let [child, parent]: [String; 2] = [column(row, 0)?, column(row, 1)?];
            Ok(format!("table {child} references {parent}, which does not exist"))
        });
        Ok(SchemaDefects { invalid: descriptions.collect::<Result<_, DatabaseError>>()?, ..SchemaDefects::default() })
    }
}

/// Describes the violations of which there are more now than before, and logs a warning for new keys that SQLite cannot
/// check.
pub(super) fn new_violations(previous: &ForeignKeyViolations, current: &ForeignKeyViolations) -> Vec<String> {
    let increased = current.iter().filter(|(key, rows)| previous.get(*key).is_none_or(|known| known < rows));
    let (keys, rows): (Vec<_>, Vec<_>) = increased.partition(|(_, rows)| **rows == 0);
    for ((table, message), _) in keys {
        tracing::warn!(
            "table {table} has a foreign key that SQLite cannot check ({message}): the columns that it references are \
             neither a primary key nor unique, so that an application with foreign keys on cannot write these tables"
        );
    }
    rows.into_iter().map(|((table, parent), rows)| format!("{table} -> {parent}: {rows}")).collect()
}
