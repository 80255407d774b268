//! Which rows go where: tables and columns matched by their names, a cast for each column, and everything that stands
//! against it, all at once.

mod matching;

use std::fmt;

use crate::database::postgres::load::TargetTable;
use crate::database::sqlite::source::SourceTable;
use crate::transfer::cast::{Cast, Type, Zone};
pub use matching::plan;

/// What a person wants of a transfer.
#[derive(Clone, Debug, PartialEq)]
pub struct Wish {
    pub purpose: Purpose,
    /// Tables of the source; empty: all of them.
    pub only: Vec<String>,
    pub exclude: Vec<String>,
    pub casts: Vec<Ruled>,
    /// Of times that name none.
    pub zone: Zone,
}

/// What the plan is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Load,
    /// Nothing is written: whoever may read is enough.
    Compare,
}

/// `--cast table.column=rule`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruled {
    /// `table.column`, as it was written: names may have dots in them.
    pub place: String,
    pub rule: String,
}

/// What will be copied, and what will not.
#[derive(Debug)]
pub struct Plan {
    pub pairs: Vec<Pair>,
    /// What of the source is left alone, and why.
    pub left: Vec<(String, String)>,
    /// Tables of the target that get nothing.
    pub untouched: Vec<String>,
}

/// A table and the one that it goes to.
#[derive(Debug)]
pub struct Pair {
    pub source: SourceTable,
    pub target: TargetTable,
    pub columns: Vec<Mapped>,
}

/// A column and the one that it goes to, as places in the two tables.
#[derive(Debug)]
pub struct Mapped {
    pub source: usize,
    pub target: usize,
    pub cast: Cast,
}

impl Pair {
    /// The places of the columns in the source, in the order in which they are copied.
    pub fn read(&self) -> Vec<usize> {
        self.columns.iter().map(|column| column.source).collect()
    }

    /// The names of the columns in the target, in the same order.
    pub fn written(&self) -> Vec<&str> {
        self.columns.iter().map(|column| self.target.columns[column.target].name.as_str()).collect()
    }

    /// The types that the fields have, in the same order.
    pub fn types(&self) -> Vec<Type> {
        self.columns.iter().map(|column| column.cast.ty().clone()).collect()
    }
}

/// Something that stands against a transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objection {
    /// `table` or `table.column`.
    pub place: String,
    pub reason: String,
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.reason)
    }
}
