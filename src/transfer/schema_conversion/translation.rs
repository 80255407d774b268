//! A translated expression: its SQL for PostgreSQL, and what decides how it can be a part of another one.

use std::fmt::Write;

/// The kind of the values of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExpressionClass {
    Logical,
    Integer,
    /// An exact number that may have a fraction.
    Decimal,
    Float,
    Text,
    Bytes,
    Date,
    Other,
}

/// A translated expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Translation {
    pub(crate) sql: String,
    pub(crate) class: ExpressionClass,
    /// The integer arithmetic in the expression, as SQL of SQLite: on overflow SQLite uses floating point, PostgreSQL
    /// fails.
    pub(crate) guards: Vec<String>,
    /// The maximum length of a text value in bytes.
    pub(crate) longest: usize,
    /// True for a literal number.
    pub(crate) literal: bool,
    /// True if texts are compared byte by byte.
    pub(crate) binary: bool,
    /// True if the expression needs no parentheses.
    pub(crate) atom: bool,
}

impl Translation {
    /// Creates the translation of an expression that has no parts and needs no parentheses.
    pub(crate) fn new(sql: String, class: ExpressionClass) -> Translation {
        Translation { sql, class, guards: Vec::new(), longest: 0, literal: false, binary: true, atom: true }
    }

    /// Adds the properties of the parts of the expression.
    pub(crate) fn with_parts(mut self, parts: impl IntoIterator<Item = Translation>) -> Translation {
        for part in parts {
            self.guards.extend(part.guards);
            self.binary &= part.binary;
            self.longest += part.longest;
        }
        self
    }

    /// Returns the SQL, in parentheses if it needs them.
    pub(crate) fn wrapped(&self) -> String {
        if self.atom { self.sql.clone() } else { format!("({})", self.sql) }
    }
}

/// Creates a translation that needs parentheses as a part of another expression.
pub(super) fn compound(sql: String, class: ExpressionClass) -> Translation {
    Translation { atom: false, ..Translation::new(sql, class) }
}

/// Creates the translation of a call with these arguments.
pub(super) fn call(sql: String, class: ExpressionClass, parts: impl IntoIterator<Item = Translation>) -> Translation {
    Translation::new(sql, class).with_parts(parts)
}

/// Translates a comparison.
pub(super) fn compare(a: &Translation, operator: &str, b: &Translation) -> Option<Translation> {
    use ExpressionClass as C;
    let is_ordering = !matches!(operator, "=" | "<>" | "IS DISTINCT FROM" | "IS NOT DISTINCT FROM");
    let mut left_sql = a.wrapped();
    let fits = match (a.class, b.class) {
        (C::Integer, C::Integer) | (C::Date, C::Date) => true,
        (C::Decimal | C::Integer, C::Decimal | C::Integer) => true,
        (C::Float, C::Float) => true,
        (C::Float, C::Decimal | C::Integer) | (C::Decimal | C::Integer, C::Float) => {
            // A double cannot represent every integer beyond 2^53.
            (a.literal && a.sql.len() <= 15) || (b.literal && b.sql.len() <= 15)
        }
        (C::Text, C::Text) if a.binary && b.binary => {
            if is_ordering {
                // SQLite compares bytes, whatever the collation of the database is.
                let _ = write!(left_sql, " COLLATE \"C\"");
            }
            true
        }
        (C::Bytes, C::Bytes) | (C::Logical, C::Logical) => !is_ordering,
        _ => false,
    };
    let translation = compound(format!("{left_sql} {operator} {}", b.wrapped()), C::Logical);
    fits.then(|| translation.with_parts([a.clone(), b.clone()]))
}
