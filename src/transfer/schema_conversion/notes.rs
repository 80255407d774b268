//! Notes on the values of a column, for messages about its type.

use super::textual::NumberSpellings;
use crate::transfer::flag;
use crate::transfer::value::{StorageClass, Value};

/// The reason why no type fits a column.
#[derive(Debug, Default)]
pub(crate) struct TypeRefusal {
    /// The message for the user.
    pub(crate) words: String,
    /// Arguments of `--cast` with which one type fits all values of the column.
    pub(crate) casts: Vec<String>,
}

/// Notes on the values of a column.
#[derive(Debug, Default)]
pub(super) struct ColumnNotes {
    /// The reason why the first candidate is not the type.
    pub(crate) first: Option<String>,
    /// The value that no remaining candidate accepted.
    pub(crate) last: Option<String>,
    /// The notation of the numbers and texts, which is recorded only for columns with a rule.
    pub(crate) spelled: NumberSpellings,
    numbers: bool,
    texts: bool,
    blobs: bool,
    /// True if a text contains a NUL or is not UTF-8, so that PostgreSQL cannot store it as text.
    has_invalid_text: bool,
    /// True if a blob is not UTF-8 text.
    has_binary_blob: bool,
}

impl ColumnNotes {
    /// Records the storage class of a value.
    pub(crate) fn class(&mut self, value: Value<'_>) {
        let is_text = |bytes: &[u8]| !bytes.contains(&0) && std::str::from_utf8(bytes).is_ok();
        match value {
            Value::Null => {}
            Value::Integer(_) | Value::Real(_) => self.numbers = true,
            // One broken text is enough: after it no text is examined again.
            Value::Text(bytes) => {
                self.texts = true;
                self.has_invalid_text = self.has_invalid_text || !is_text(bytes);
            }
            Value::Blob(bytes) => {
                self.blobs = true;
                self.has_binary_blob = self.has_binary_blob || !is_text(bytes);
            }
        }
        debug_assert!(value.class() == StorageClass::Null || self.has_values());
    }

    /// Reports whether the column has a value other than NULL.
    pub(crate) fn has_values(&self) -> bool {
        self.numbers || self.texts || self.blobs
    }
}

impl ColumnNotes {
    /// Returns the reason why no type fits: the row after which no candidate was left, the storage classes of all
    /// values, and options that may help.
    pub(crate) fn refusal(&self, column_name: &str, rules: &[String]) -> TypeRefusal {
        let kinds = [(self.numbers, "numbers"), (self.texts, "texts"), (self.blobs, "blobs")];
        let kinds: Vec<&str> = kinds.iter().filter(|(is_present, _)| *is_present).map(|(_, kind)| *kind).collect();
        let invalid_text_note = if self.has_invalid_text { ", and texts that have a NUL or are not UTF-8" } else { "" };
        let contents = format!("the column holds {}{invalid_text_note}", kinds.join(" and "));
        let row = self.last.as_deref().unwrap_or_default();
        let casts = if rules.is_empty() { self.casts(column_name) } else { Vec::new() };
        let table = column_name.split_once('.').map_or(column_name, |(table, _)| table);
        let exclude_hint = format!("{} leaves the table out", flag("--exclude", table));
        let flags: Vec<String> = casts.iter().map(|cast| flag("--cast", cast)).collect();
        let advice =
            if flags.is_empty() { exclude_hint } else { format!("{} makes them one, {exclude_hint}", flags.join(" ")) };
        let words = format!("{column_name}, {row}: no type takes it and all before it exactly ({contents}; {advice})");
        TypeRefusal { words, casts }
    }

    /// Returns the rules with which one type fits the values.
    fn casts(&self, column_name: &str) -> Vec<String> {
        let rules: &[&str] = match (self.numbers, self.texts, self.blobs) {
            (true, _, _) if self.has_invalid_text => &[],
            (true, _, true) if self.has_binary_blob => &["as-text", "hex"],
            (true, _, true) => &["as-text", "utf8"],
            (true, _, false) => &["as-text"],
            (false, ..) => &["utf8"],
        };
        rules.iter().map(|rule| format!("{column_name}={rule}")).collect()
    }
}
