//! What is to be copied, as far as the source alone can tell.

use super::{Objection, Planning, Ruled, Wish};
use crate::database::sqlite::source::{Contents, SourceTable};

/// The tables to be copied, and the others.
#[derive(Debug)]
pub struct Wanted<'a> {
    pub tables: Vec<&'a SourceTable>,
    /// Names and reasons.
    pub left: Vec<(String, String)>,
}

/// The tables that would be copied, and those that are left alone: before there is a target.
///
/// # Errors
/// Tables that SQL cannot name, flags that name nothing.
pub fn wanted<'a>(contents: &'a Contents, wish: &Wish) -> Result<Wanted<'a>, Vec<Objection>> {
    check(contents, wish)?;
    let mut planning = Planning { wish, objections: Vec::new(), used: Vec::new() };
    planning.left(contents);
    let mut wanted = Wanted { tables: Vec::new(), left: Vec::new() };
    for table in &contents.tables {
        match planning.chosen(table, &[]) {
            Ok(()) => wanted.tables.push(table),
            Err(reason) => wanted.left.push((table.name.clone(), reason)),
        }
    }
    if planning.objections.is_empty() { Ok(wanted) } else { Err(planning.objections) }
}

/// Looks whether the source has what the flags name, before a target is asked.
///
/// # Errors
/// Every name that nothing has.
pub fn check(contents: &Contents, wish: &Wish) -> Result<(), Vec<Objection>> {
    let has = |table: &SourceTable, place: &str| {
        let mut names = table.columns.iter().map(|column| format!("{}.{}", table.name, column.name));
        names.any(|name| name.eq_ignore_ascii_case(place))
    };
    let is_there = |ruled: &Ruled| contents.tables.iter().any(|table| has(table, &ruled.place));
    let used = wish.casts.iter().map(|ruled| usize::from(is_there(ruled))).collect();
    let mut planning = Planning { wish, objections: Vec::new(), used };
    planning.unknown(contents);
    if planning.objections.is_empty() { Ok(()) } else { Err(planning.objections) }
}
