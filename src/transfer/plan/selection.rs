//! What is to be copied, as far as the source alone can tell.

use super::{CastOverride, MappingError, PlanBuilder, TransferOptions};
use crate::database::sqlite::source::{SourceContents, SourceTable};

/// The tables to be copied, and the others.
#[derive(Debug)]
pub struct TableSelection<'a> {
    pub tables: Vec<&'a SourceTable>,
    /// Names and reasons.
    pub left: Vec<(String, String)>,
}

/// The tables that would be copied, and those that are left alone: before there is a target.
///
/// # Errors
/// Tables that SQL cannot name, flags that name nothing.
pub fn select_tables<'a>(
    contents: &'a SourceContents,
    wish: &TransferOptions,
) -> Result<TableSelection<'a>, Vec<MappingError>> {
    check(contents, wish)?;
    let mut planning = PlanBuilder { wish, objections: Vec::new(), used: Vec::new() };
    planning.skipped_objects(contents);
    let mut selection = TableSelection { tables: Vec::new(), left: Vec::new() };
    for table in &contents.tables {
        match planning.chosen(table, &[]) {
            Ok(()) => selection.tables.push(table),
            Err(reason) => selection.left.push((table.name.clone(), reason)),
        }
    }
    if planning.objections.is_empty() { Ok(selection) } else { Err(planning.objections) }
}

/// Looks whether the source has what the flags name, before a target is asked.
///
/// # Errors
/// Every name that nothing has.
pub fn check(contents: &SourceContents, wish: &TransferOptions) -> Result<(), Vec<MappingError>> {
    let has = |table: &SourceTable, place: &str| {
        let mut names = table.columns.iter().map(|column| format!("{}.{}", table.name, column.name));
        names.any(|name| name.eq_ignore_ascii_case(place))
    };
    let is_there = |ruled: &CastOverride| contents.tables.iter().any(|table| has(table, &ruled.place));
    let used = wish.casts.iter().map(|ruled| usize::from(is_there(ruled))).collect();
    let mut planning = PlanBuilder { wish, objections: Vec::new(), used };
    planning.unknown(contents);
    if planning.objections.is_empty() { Ok(()) } else { Err(planning.objections) }
}
