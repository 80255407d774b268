//! The definition of a table beyond the facts that reading its rows needs.

/// The definition of a table, without its columns and foreign keys.
#[derive(Clone, Debug, Default)]
pub(crate) struct TableDefinition {
    /// Text of CREATE TABLE, as it was written, or as ALTER TABLE has changed it.
    pub(crate) sql: String,
    /// Indexes in the order of their creation.
    pub(crate) indexes: Vec<SourceIndex>,
    /// Actions of the foreign keys, in the order of [`SourceTable::foreign_keys`](super::SourceTable::foreign_keys).
    pub(crate) actions: Vec<ReferentialAction>,
}

/// The ON UPDATE and ON DELETE actions of a foreign key; `NO ACTION` is the default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReferentialAction {
    /// Action when the parent's key changes.
    pub(crate) on_update: String,
    /// Action when the parent row is deleted.
    pub(crate) on_delete: String,
}

/// An index of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SourceIndex {
    /// Index name; SQLite makes one up for a constraint.
    pub(crate) name: String,
    /// True for a unique index.
    pub(crate) unique: bool,
    /// Statement or constraint that created the index.
    pub(crate) origin: IndexOrigin,
    /// True for an index with a WHERE clause.
    pub(crate) partial: bool,
    /// Text of CREATE INDEX; `None` for an index of a constraint.
    pub(crate) sql: Option<String>,
    /// Indexed columns and expressions, in their order.
    pub(crate) parts: Vec<IndexPart>,
}

/// The statement or constraint that created an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IndexOrigin {
    /// CREATE INDEX.
    Create,
    /// A UNIQUE constraint.
    Unique,
    /// A PRIMARY KEY constraint.
    Primary,
}

/// A part of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IndexPart {
    /// Column or expression.
    pub(crate) value: IndexedValue,
    /// True for descending order.
    pub(crate) descending: bool,
    /// Name of the collation.
    pub(crate) collation: String,
}

/// The value that a part of an index holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IndexedValue {
    /// A column, by its position in [`SourceTable::columns`](super::SourceTable::columns).
    Column(usize),
    /// The rowid.
    Rowid,
    /// An expression, or a column that [`SourceTable::columns`](super::SourceTable::columns) does not list.
    Expression,
}
