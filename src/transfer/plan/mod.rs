//! The plan of a transfer: tables and columns matched by their names, a cast for each column, and all errors of the
//! mapping at once.

mod names;
mod options;
mod selection;
mod target;
mod types;

use crate::transfer::cast::{Cast, WritableType};
use crate::transfer::source::{ColumnVisibility, SkipReason, SourceContents, SourceTable};
use crate::transfer::target::TargetTable;
use names::NameMappingError;
pub(crate) use names::matching;
pub(crate) use options::{CastOverride, ErrorScope, MappingError, PlanPurpose, TransferOptions};
pub(crate) use selection::{TableSelection, check, select_tables};
pub(crate) use target::{CastOf, PlanColumn, PlanTarget};
pub(crate) use types::type_of;

/// The plan of a transfer: what is copied and what is not.
#[derive(Debug)]
pub(crate) struct TransferPlan<T: PlanTarget = TargetTable> {
    /// The tables that are copied.
    pub(crate) mappings: Vec<TableMapping<T>>,
    /// Tables and other objects of the source that are not copied: the name, and the reason.
    pub(crate) skipped: Vec<(String, String)>,
}

/// A table of the source, and the table of the target that receives its rows.
#[derive(Debug)]
pub(crate) struct TableMapping<T: PlanTarget = TargetTable> {
    /// The table of the source.
    pub(crate) source: SourceTable,
    /// The table of the target.
    pub(crate) target: T,
    /// The columns that are copied, in the order of the source.
    pub(crate) columns: Vec<ColumnMapping<CastOf<T>>>,
}

/// A column of the source, and the column of the target that receives its values.
#[derive(Debug)]
pub(crate) struct ColumnMapping<C = Cast> {
    /// The index of the column in the table of the source.
    pub(crate) source: usize,
    /// The index of the column in the table of the target.
    pub(crate) target: usize,
    /// The conversion of the values.
    pub(crate) cast: C,
}

impl<T: PlanTarget> TableMapping<T> {
    /// Returns the indexes of the columns in the source, in the order in which they are copied.
    pub(crate) fn read(&self) -> Vec<usize> {
        self.columns.iter().map(|column| column.source).collect()
    }

    /// Returns the names of the columns in the source, in the order in which they are copied.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| self.source.columns[column.source].name.as_str())
    }

    /// Returns the names of the columns in the target, in the order in which they are copied.
    pub(crate) fn written(&self) -> Vec<&str> {
        self.columns.iter().map(|column| self.target.columns()[column.target].name()).collect()
    }
}

impl TableMapping {
    /// Returns the types of the columns in the target, in the order in which they are copied.
    pub(crate) fn types(&self) -> Vec<WritableType> {
        self.columns.iter().map(|column| column.cast.ty().clone()).collect()
    }
}

/// Matches the tables and columns of the source with those of the target: by the exact name, or else by a name that
/// differs only in case, if there is exactly one.
///
/// # Errors
/// Returns all errors of the mapping, not only the first one.
pub(crate) fn plan<T: PlanTarget>(
    contents: &SourceContents,
    targets: &[T],
    options: &TransferOptions,
) -> Result<TransferPlan<T>, Vec<MappingError>> {
    let mut builder = PlanBuilder { options, errors: Vec::new(), cast_uses: vec![0; options.casts.len()] };
    let mut plan = TransferPlan { mappings: Vec::new(), skipped: builder.skipped_objects(contents) };
    let names: Vec<&str> = targets.iter().map(T::name).collect();
    for source in &contents.tables {
        match builder.check_selected(source, &names) {
            Ok(()) => plan.mappings.extend(builder.map_table(source, targets)),
            Err(reason) => plan.skipped.push((source.name.clone(), reason)),
        }
    }
    builder.check_duplicates(&plan.mappings);
    builder.check_unknown_names(contents);
    plan.skipped.sort();
    if builder.errors.is_empty() { Ok(plan) } else { Err(builder.errors) }
}

struct PlanBuilder<'a> {
    options: &'a TransferOptions,
    errors: Vec<MappingError>,
    /// The number of columns to which each `--cast` option was applied.
    cast_uses: Vec<usize>,
}

impl PlanBuilder<'_> {
    fn add_error(&mut self, object_name: impl Into<String>, reason: impl Into<String>) {
        self.add_scoped_error(ErrorScope::Databases, object_name, reason);
    }

    /// Records an error of the mapping.
    fn add_scoped_error(&mut self, scope: ErrorScope, object_name: impl Into<String>, reason: impl Into<String>) {
        self.errors.push(MappingError { object: object_name.into(), reason: reason.into(), scope });
    }

    /// Returns the objects of the source that have no rows of their own, with the reasons. A table that SQL cannot name
    /// is an error, unless `--exclude` names it.
    fn skipped_objects(&mut self, contents: &SourceContents) -> Vec<(String, String)> {
        let mut skipped = Vec::new();
        for other in &contents.others {
            if other.reason == SkipReason::Unnameable && !self.options.exclude.contains(&other.name) {
                self.add_error(&other.name, format!("{}: --exclude leaves it out", other.reason));
            }
            // SQLite's internal tables are not reported.
            if other.reason != SkipReason::Internal {
                skipped.push((other.name.clone(), other.reason.to_string()));
            }
        }
        skipped
    }

    /// Checks whether a table is to be copied. `targets` are the names of the target's tables. An error is the reason
    /// why not.
    fn check_selected(&self, source: &SourceTable, targets: &[&str]) -> Result<(), String> {
        let contains = |names: &[String]| names.iter().any(|name| name.eq_ignore_ascii_case(&source.name));
        if contains(&self.options.exclude) {
            return Err("--exclude".into());
        }
        if !self.options.only.is_empty() {
            return if contains(&self.options.only) { Ok(()) } else { Err("not among --only".into()) };
        }
        if let Some(tool) = source.bookkeeping {
            return Err(format!("the bookkeeping of {tool}"));
        }
        match &source.possible_owner {
            Some(module) if matching(&source.name, targets.iter().copied()).is_err() => {
                Err(format!("perhaps the data of the virtual table {module}"))
            }
            _ => Ok(()),
        }
    }

    fn map_table<T: PlanTarget>(&mut self, source: &SourceTable, targets: &[T]) -> Option<TableMapping<T>> {
        let target = match matching(&source.name, targets.iter().map(T::name)) {
            Ok(at) => targets[at].clone(),
            Err(NameMappingError::None) => {
                let reason = "the target has no such table: a migration has to make it, or --exclude leaves it out";
                self.add_error(&source.name, reason);
                return None;
            }
            Err(NameMappingError::Several) => {
                self.add_error(&source.name, "the target has several such tables, which differ in case or schema");
                return None;
            }
        };
        let is_load = self.options.purpose != PlanPurpose::Compare;
        if is_load && !target.is_ours() {
            let reason = format!("{} belongs to another role", target.quoted());
            self.add_scoped_error(ErrorScope::Owner, &source.name, reason);
        }
        let columns = self.map_columns(source, &target);
        if is_load {
            self.check_required_columns(source, &target);
        }
        Some(TableMapping { source: source.clone(), target, columns })
    }

    fn map_columns<T: PlanTarget>(&mut self, source: &SourceTable, target: &T) -> Vec<ColumnMapping<CastOf<T>>> {
        let mut mappings: Vec<ColumnMapping<CastOf<T>>> = Vec::new();
        for (at, column) in source.columns.iter().enumerate() {
            let column_name = format!("{}.{}", source.name, column.name);
            let found = matching(&column.name, target.columns().iter().map(T::Column::name));
            let is_generated = column.hidden != ColumnVisibility::No;
            match found {
                // The target generates the column's values itself, or has no such column.
                _ if is_generated && found.is_err() => {}
                Ok(target_index) if target.columns()[target_index].is_generated() => {
                    if !is_generated {
                        self.add_error(
                            column_name,
                            "the target's column is generated: no value can be written into it",
                        );
                    }
                }
                Ok(target_index) if mappings.iter().any(|other| other.target == target_index) => {
                    self.add_error(column_name, "another column of the source goes to the same one of the target");
                }
                Ok(target_index) => {
                    let cast = self.column_cast(&column_name, &target.columns()[target_index]);
                    mappings.extend(cast.map(|cast| ColumnMapping { source: at, target: target_index, cast }));
                }
                Err(NameMappingError::None) => {
                    self.add_error(column_name, format!("{} has no such column", target.quoted()))
                }
                Err(NameMappingError::Several) => {
                    self.add_error(column_name, "the target has several such columns, which differ in case")
                }
            }
        }
        mappings
    }

    fn column_cast<C: PlanColumn>(&mut self, column_name: &str, column: &C) -> Option<C::Cast> {
        let mut cast = match column.cast(self.options) {
            Ok(cast) => cast,
            Err(reason) => {
                self.add_error(column_name, reason);
                return None;
            }
        };
        let casts = &self.options.casts;
        for (at, cast_override) in
            casts.iter().enumerate().filter(|(_, cast_override)| cast_override.column.eq_ignore_ascii_case(column_name))
        {
            self.cast_uses[at] += 1;
            cast = match C::with_rule(cast, &cast_override.rule) {
                Ok(cast) => cast,
                Err(reason) => {
                    self.add_scoped_error(ErrorScope::Flags, column_name, format!("--cast: {reason}"));
                    return None;
                }
            };
        }
        Some(cast)
    }

    /// Records an error for each column of the target that needs a value and receives none.
    fn check_required_columns<T: PlanTarget>(&mut self, source: &SourceTable, target: &T) {
        let names = target.columns().iter().map(T::Column::name);
        let matched: Vec<usize> =
            source.columns.iter().filter_map(|column| matching(&column.name, names.clone()).ok()).collect();
        for (at, column) in target.columns().iter().enumerate() {
            if column.needs_value() && !matched.contains(&at) {
                let reason = "it is NOT NULL without a default, and the source has no such column";
                self.add_error(format!("{} -> {}.{}", source.name, target.quoted(), column.name()), reason);
            }
        }
    }

    /// Records an error for each table of the source whose target another table of the source already has.
    fn check_duplicates<T: PlanTarget>(&mut self, mappings: &[TableMapping<T>]) {
        let targets: Vec<String> = mappings.iter().map(|mapping| mapping.target.quoted()).collect();
        for (at, (mapping, target)) in mappings.iter().zip(&targets).enumerate() {
            if let Some(first) = targets[..at].iter().position(|first| first == target) {
                let reason = format!("it goes to {target}, and so does {}", mappings[first].source.name);
                self.add_error(&mapping.source.name, reason);
            }
        }
    }

    /// Records an error for each name on the command line that does not exist.
    fn check_unknown_names(&mut self, contents: &SourceContents) {
        let exists = |name: &String| {
            let mut all = contents.tables.iter().map(|table| &table.name);
            let mut others = contents.others.iter().map(|other| &other.name);
            all.any(|known| known.eq_ignore_ascii_case(name)) || others.any(|known| known == name)
        };
        let options = self.options;
        for (option, names) in [("--only", &options.only), ("--exclude", &options.exclude)] {
            for name in names.iter().filter(|name| !exists(name)) {
                self.add_scoped_error(
                    ErrorScope::Flags,
                    name,
                    format!("{option} names it, and the source has no such table"),
                );
            }
        }
        for (at, cast_override) in options.casts.iter().enumerate() {
            if self.cast_uses[at] == 0 {
                self.add_scoped_error(
                    ErrorScope::Flags,
                    &cast_override.column,
                    "--cast names it, and no such column is copied",
                );
            }
        }
    }
}
