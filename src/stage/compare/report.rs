//! Describes the rows that differ.

use std::fmt;

use crate::transfer::bucketed::key;
use crate::transfer::cast::WritableType;
use crate::transfer::plan::TableMapping;
use crate::transfer::value::{Value, shown};

/// The largest number of characters that are shown of a value of the target.
pub(crate) const CHARACTERS: usize = 48;
/// The largest number of columns that identify a row without a key.
const MAX_COLUMNS: usize = 4;

/// A row on one side.
#[derive(Clone, Debug)]
pub(crate) struct RowDetail {
    /// The values, described.
    pub(crate) values: Vec<String>,
    /// The hashes of the fields that are compared.
    pub(crate) fields: Vec<u128>,
}

/// The rows of one key that are not equal on both sides.
pub(crate) struct DifferingRows<'a> {
    /// The table.
    pub(crate) mapping: &'a TableMapping,
    /// The number of rows in the source, and the number in the target.
    pub(crate) counts: (u64, u64),
    /// The row of the source, if there is one.
    pub(crate) source: Option<&'a RowDetail>,
    /// The row of the target, if there is one.
    pub(crate) target: Option<&'a RowDetail>,
}

impl DifferingRows<'_> {
    /// Returns the name of the row: `id = 3`, `(a, b) = (1, 'x')`.
    fn describe_key(&self) -> String {
        let columns = match key(self.mapping) {
            empty if empty.is_empty() => (0..self.mapping.columns.len().min(MAX_COLUMNS)).collect(),
            key => key,
        };
        let Some(row) = self.source.or(self.target) else { return "a row".into() };
        let names: Vec<&str> = columns.iter().map(|&index| self.column(index)).collect();
        let values: Vec<&str> =
            columns.iter().map(|&index| row.values.get(index).map_or("?", String::as_str)).collect();
        match names.len() {
            1 => format!("{} = {}", names[0], values[0]),
            _ => format!("({}) = ({})", names.join(", "), values.join(", ")),
        }
    }

    /// Returns the source's name of the column at this position of the mapping.
    fn column(&self, index: usize) -> &str {
        &self.mapping.source.columns[self.mapping.columns[index].source].name
    }

    /// Describes every column that differs.
    fn describe_columns(&self) -> String {
        let (Some(source), Some(target)) = (self.source, self.target) else { return "it differs".into() };
        let differing =
            (0..self.mapping.columns.len()).filter(|&index| source.fields.get(index) != target.fields.get(index));
        let values = differing.map(|index| {
            let value = |row: &RowDetail| row.values.get(index).cloned().unwrap_or_default();
            format!("{} is {} in the source, {} in the target", self.column(index), value(source), value(target))
        });
        values.collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for DifferingRows<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}: ", self.mapping.source.name, self.describe_key())?;
        match self.counts {
            (1, 0) => f.write_str("only in the source"),
            (0, 1) => f.write_str("only in the target"),
            (1, 1) => f.write_str(&self.describe_columns()),
            (source, target) if source == target => write!(f, "{source} rows on each side, and not the same ones"),
            (source, target) => write!(f, "{} in the source, {} in the target", times(source), times(target)),
        }
    }
}

fn times(count: u64) -> String {
    match count {
        0 => "never".into(),
        1 => "once".into(),
        count => format!("{count} times"),
    }
}

/// Describes a value of the target, of which `text` is the beginning as the server has sent it; `None` is NULL.
pub(crate) fn describe_value(ty: &WritableType, text: Option<String>) -> String {
    let Some(text) = text else { return shown(Value::Null) };
    let is_unquoted = matches!(
        ty,
        WritableType::Boolean
            | WritableType::SmallInt
            | WritableType::Integer
            | WritableType::BigInt
            | WritableType::Real
            | WritableType::Double
            | WritableType::Numeric(_)
    );
    let (head, ellipsis) = match text.char_indices().nth(CHARACTERS) {
        Some((end, _)) => (&text[..end], "..."),
        None => (&*text, ""),
    };
    match is_unquoted {
        true => format!("{head}{ellipsis}"),
        false => shown(Value::Text(head.as_bytes())) + ellipsis,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_the_target_are_told_like_those_of_the_source() {
        let long = "é".repeat(CHARACTERS);
        for (ty, text, expected) in [
            (WritableType::Integer, Some("1".to_owned()), "1".to_owned()),
            (WritableType::Boolean, Some("true".to_owned()), "true".to_owned()),
            (WritableType::Text, Some("1".to_owned()), "'1'".to_owned()),
            (WritableType::Text, Some(String::new()), "''".to_owned()),
            (WritableType::Text, Some("a\nb".to_owned()), r"'a\nb'".to_owned()),
            (WritableType::Text, Some(long.clone()), format!("'{long}'")),
            (WritableType::Text, Some(long.clone() + "x"), format!("'{long}'...")),
            (WritableType::Text, None, "NULL".to_owned()),
        ] {
            assert_eq!(describe_value(&ty, text), expected);
        }
    }
}
