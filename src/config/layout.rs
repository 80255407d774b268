//! The layout of the migration directory, and the history table that goes with it.

use std::path::Path;
use std::sync::PoisonError;

use super::environment::RawEnvironment;
use super::settings::pick;
use super::{DatabaseConfig, DatabaseNeed};
use crate::cli::Flags;
use crate::database::HistoryName;
use crate::dialect::Dialect;
use crate::directory::{ListedDir, MigrationDir};
use crate::error::Cause;
use crate::layout::{Detected, LayoutChoice, Listing, NATIVE};

/// The name of a table as the settings have it.
#[derive(Clone, Debug)]
pub(super) struct TableName {
    /// The schema, if the name has one.
    schema: Option<String>,
    /// The name without the schema.
    table: String,
}

/// Reads the choice of the layout.
pub(super) fn choice(flags: &Flags, raw: &RawEnvironment) -> Result<LayoutChoice, Cause> {
    match pick(&flags.layout, "--layout", &raw.lockkeeper_layout, "LOCKKEEPER_LAYOUT") {
        None => Ok(LayoutChoice::Auto),
        Some(setting) => LayoutChoice::parse(&setting.value).map_err(|reason| setting.refused(&reason)),
    }
}

/// Lists the migration directory. Returns `None` for one that cannot be read: whoever loads it reports why.
///
/// # Errors
/// Fails if several layouts claim the directory.
pub(super) fn list(
    dir: &Path,
    dialect: Dialect,
    choice: LayoutChoice,
    need: DatabaseNeed,
) -> Result<Option<ListedDir>, Cause> {
    match need {
        DatabaseNeed::Dialect | DatabaseNeed::Nothing => Ok(None),
        DatabaseNeed::Url => match ListedDir::list(dir, dialect, choice) {
            Err(Cause::NoMigrations(_)) => Ok(None),
            listed => listed.map(Some),
        },
    }
}

/// Returns the layout of the migration directory. A directory that is not listed counts as one of the chosen layout, or
/// of Lockkeeper's own.
pub(super) fn detected(listed: Option<&ListedDir>, choice: LayoutChoice) -> Detected {
    match (listed, choice) {
        (Some(listed), _) => listed.detected.clone(),
        (None, LayoutChoice::Named(layout)) => Detected::new(layout, &Listing::default()),
        (None, LayoutChoice::Auto) => Detected::new(NATIVE, &Listing::default()),
    }
}

/// Reads the name of the history table: `table` or `schema.table`.
pub(super) fn table_name(flags: &Flags, raw: &RawEnvironment) -> Result<Option<TableName>, Cause> {
    let (variable, flag) = ("LOCKKEEPER_HISTORY_TABLE", "--history-table");
    let Some(setting) = pick(&flags.history_table, flag, &raw.lockkeeper_history_table, variable) else {
        return Ok(None);
    };
    let (schema, table) = match setting.value.split_once('.') {
        Some((schema, table)) => (Some(schema), table),
        None => (None, setting.value.as_str()),
    };
    // PostgreSQL truncates longer names without an error (manual, 4.1.1).
    let is_valid = |name: &str| (1..=63).contains(&name.len()) && !name.contains(['.', '\0']);
    if !is_valid(table) || !schema.is_none_or(is_valid) {
        return Err(setting.refused("write table or schema.table, each of 1 to 63 bytes"));
    }
    Ok(Some(TableName { schema: schema.map(Into::into), table: table.into() }))
}

/// Returns the history table of a layout.
pub(super) fn history_name(setting: Option<&TableName>, detected: &Detected) -> HistoryName {
    let (schema, table) = match setting {
        Some(TableName { schema, table }) => (schema.clone(), table.clone()),
        None => (None, detected.layout.history_table().to_owned()),
    };
    HistoryName {
        schema,
        table,
        format: detected.history(),
        other_tools: detected.others.iter().map(|layout| layout.name()).collect(),
    }
}

impl DatabaseConfig {
    /// Loads the migrations of the directory. The entries that were listed to find the layout are listed anew only
    /// for a second load.
    ///
    /// # Errors
    /// Fails as [`MigrationDir::load`] does.
    pub(crate) fn load_migrations(&self) -> Result<MigrationDir, Cause> {
        match self.listed.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(listed) => MigrationDir::load_listed(listed),
            None => MigrationDir::load(&self.dir, self.dialect, self.layout_choice),
        }
    }

    /// Returns a line for the log that says which layout the directory has, if that is not Lockkeeper's own.
    pub fn layout_note(&self) -> Option<String> {
        let reason = self.layout_reason.as_ref()?;
        Some(format!("the layout is {}: {reason}", self.layout.name()))
    }

    /// Returns a line for the log of the run that creates the history table: it says which layout the run has taken if the
    /// files fit several, and neither a setting nor a table has decided.
    pub(crate) fn undecided_layout_note(&self) -> Option<String> {
        let others = (!self.history.other_tools.is_empty()).then(|| self.history.other_tools.join(", "))?;
        Some(format!(
            "the layout is {}: the files fit {others} as well, and the database has no table of theirs; LOCKKEEPER_LAYOUT names another one",
            self.layout.name()
        ))
    }
}
