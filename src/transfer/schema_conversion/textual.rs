//! What `as-text` makes equal: a number, and a text that is written as that number.

use std::collections::HashSet;

use super::ChosenType;
use crate::database::sqlite::source::SourceTable;
use crate::revision::render::identifier;
use crate::transfer::value::Value;

/// The rule's name.
pub(super) const AS_TEXT: &str = "as-text";

/// Whether two values of a column may become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MergeRule {
    Never,
    /// Whole numbers and texts that are written as such: the rows tell whether two of them are the same.
    Integers,
    Possible,
}

/// So many different reals, and texts of reals, of a column are compared with each other.
const MOST_REALS: usize = 100_000;

/// The numbers of a column, and its texts that are written as `as-text` writes numbers.
#[derive(Clone, Debug, Default)]
pub struct NumberSpellings {
    integers: bool,
    integer_texts: bool,
    reals: Reals,
    real_texts: Reals,
}

/// Different reals, by their bits; no longer all of them when there are too many.
#[derive(Clone, Debug, Default)]
struct Reals(HashSet<u64>);

impl Reals {
    fn take(&mut self, number: f64) {
        if !self.is_full() {
            self.0.insert(number.to_bits());
        }
    }

    fn is_full(&self) -> bool {
        self.0.len() >= MOST_REALS
    }

    /// Returns whether both may have one number.
    fn may_meet(&self, other: &Reals) -> bool {
        match self.is_full() || other.is_full() {
            true => !self.0.is_empty() && !other.0.is_empty(),
            false => !self.0.is_disjoint(&other.0),
        }
    }
}

impl NumberSpellings {
    /// Looks at another value.
    pub(super) fn take(&mut self, value: Value<'_>) {
        match value {
            Value::Integer(_) => self.integers = true,
            Value::Real(number) => self.reals.take(number),
            Value::Text(bytes) => self.text(bytes),
            Value::Null | Value::Blob(_) => {}
        }
    }

    /// Case is passed over, because an index for NOCASE does so.
    fn text(&mut self, bytes: &[u8]) {
        // No number is written with more.
        let Some(text) = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= 400) else { return };
        let text = text.to_ascii_lowercase();
        self.integer_texts |= text.parse().is_ok_and(|number: i64| number.to_string() == text);
        if let Ok(number) = text.parse::<f64>()
            && format!("{number:?}") == text
        {
            self.real_texts.take(number);
        }
    }

    /// Numbers stay apart from each other; so do texts.
    pub(super) fn merging(&self) -> MergeRule {
        match (self.reals.may_meet(&self.real_texts), self.integers && self.integer_texts) {
            (true, _) => MergeRule::Possible,
            (false, true) => MergeRule::Integers,
            (false, false) => MergeRule::Never,
        }
    }
}

/// The rows whose whole number in this column is another row's text, with the same values in `others`.
pub(super) fn twice(table: &SourceTable, at: usize, others: &[usize]) -> String {
    let name = |at: usize| identifier(&table.columns[at].name);
    let column = name(at);
    let mut left = format!("CAST(child.{column} AS TEXT) COLLATE BINARY");
    let mut right = format!("+other.{column}");
    for &other in others {
        left += &format!(", child.{}", name(other));
        right += &format!(", other.{}", name(other));
    }
    let table = identifier(&table.name);
    format!(
        "typeof(child.{column}) = 'integer' AND ({left}) IN \
         (SELECT {right} FROM main.{table} AS other WHERE typeof(other.{column}) = 'text')"
    )
}

/// Whether two columns get the same text: values of one kind that are equal, or a whole number and its digits. `ours` is
/// compared without its affinity, as a foreign key does, so that the parent's index answers.
pub(super) fn texts_equal_query(ours: &str, theirs: &str, parent: &ChosenType) -> String {
    // Without a rule, all values of the parent are texts.
    let value = if parent.rules.is_empty() { format!("+CAST({ours} AS TEXT)") } else { format!("+{ours}") };
    format!(
        "{theirs} = {value} AND {theirs} = {value} COLLATE BINARY AND (typeof({theirs}) = typeof({ours}) OR \
         (CAST({theirs} AS TEXT) = CAST({ours} AS TEXT) COLLATE BINARY \
         AND 'real' NOT IN (typeof({theirs}), typeof({ours}))))"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_text_that_is_written_as_a_number_may_be_equal_to_one() {
        let merging = |values: &[Value<'_>]| {
            let mut spelled = NumberSpellings::default();
            values.iter().for_each(|value| spelled.take(*value));
            spelled.merging()
        };
        let (one, half) = (Value::Integer(1), Value::Real(0.5));
        assert_eq!(merging(&[one, half, Value::Text(b"a"), Value::Text(b"01")]), MergeRule::Never);
        assert_eq!(merging(&[Value::Text(b"1"), Value::Text(b"0.5")]), MergeRule::Never);
        assert_eq!(merging(&[one, Value::Text(b"0.5")]), MergeRule::Never);
        assert_eq!(merging(&[one, Value::Text(b"2")]), MergeRule::Integers);
        assert_eq!(merging(&[half, Value::Text(b"1.0"), Value::Text(b"0.50")]), MergeRule::Never);
        assert_eq!(merging(&[half, one, Value::Text(b"1.0"), Value::Text(b"1")]), MergeRule::Integers);
        assert_eq!(merging(&[half, Value::Text(b"0.5")]), MergeRule::Possible);
        assert_eq!(merging(&[Value::Text(b"1E16"), Value::Real(1e16)]), MergeRule::Possible);
    }
}
