//! Values that the rule `as-text` makes equal: a number, and a text with the same characters.

use std::collections::HashSet;

use crate::sql::identifier;
use crate::transfer::source::SourceTable;
use crate::transfer::value::Value;

/// The name of the rule.
pub(super) const AS_TEXT: &str = "as-text";

/// The possibility that two different values of a column become equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MergeRule {
    /// No two values become equal.
    Never,
    /// An integer may become equal to a text with its digits: a query has to check the rows.
    Integers,
    /// Two values may become equal, and no query can check it.
    Possible,
}

/// The maximum number of different reals, and of texts of reals, that are compared with each other in a column.
const MAX_REALS: usize = 100_000;

/// The numbers of a column, and its texts that `as-text` would also write for a number.
#[derive(Clone, Debug, Default)]
pub(crate) struct NumberSpellings {
    integers: bool,
    integer_texts: bool,
    reals: Reals,
    real_texts: Reals,
}

/// A set of reals by their bits. It is incomplete when it has reached [`MAX_REALS`].
#[derive(Clone, Debug, Default)]
struct Reals(HashSet<u64>);

impl Reals {
    fn take(&mut self, number: f64) {
        if !self.is_full() {
            self.0.insert(number.to_bits());
        }
    }

    fn is_full(&self) -> bool {
        self.0.len() >= MAX_REALS
    }

    /// Reports whether both sets may contain the same number.
    fn may_intersect(&self, other: &Reals) -> bool {
        match self.is_full() || other.is_full() {
            true => !self.0.is_empty() && !other.0.is_empty(),
            false => !self.0.is_disjoint(&other.0),
        }
    }
}

impl NumberSpellings {
    /// Records another value.
    pub(super) fn take(&mut self, value: Value<'_>) {
        match value {
            Value::Integer(_) => self.integers = true,
            Value::Real(number) => self.reals.take(number),
            Value::Text(bytes) => self.text(bytes),
            Value::Null | Value::Blob(_) => {}
        }
    }

    /// Records a text. The case of letters is ignored, because an index with NOCASE ignores it.
    fn text(&mut self, bytes: &[u8]) {
        // No number is written with more bytes.
        let Some(text) = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= 400) else { return };
        let text = text.to_ascii_lowercase();
        self.integer_texts |= text.parse().is_ok_and(|number: i64| number.to_string() == text);
        if let Ok(number) = text.parse::<f64>()
            && format!("{number:?}") == text
        {
            self.real_texts.take(number);
        }
    }

    /// Returns the possibility that values become equal. Different numbers stay different, and so do different texts.
    pub(super) fn merge_rule(&self) -> MergeRule {
        match (self.reals.may_intersect(&self.real_texts), self.integers && self.integer_texts) {
            (true, _) => MergeRule::Possible,
            (false, true) => MergeRule::Integers,
            (false, false) => MergeRule::Never,
        }
    }
}

/// Returns the condition for rows whose integer in this column is the text of another row with the same values in
/// `others`.
pub(super) fn duplicates_query(table: &SourceTable, at: usize, others: &[usize]) -> String {
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

/// Returns the condition that two columns get the same text: equal values of the same storage class, or an integer and
/// its digits. `child` is compared without its affinity, as in a foreign key, so that the index of the parent is used.
/// `rules` are those of the parent's column, `parent`.
pub(super) fn texts_equal_query(child: &str, parent: &str, rules: &[String]) -> String {
    // Without a rule, all values of the parent are texts.
    let value = if rules.is_empty() { format!("+CAST({child} AS TEXT)") } else { format!("+{child}") };
    format!(
        "{parent} = {value} AND {parent} = {value} COLLATE BINARY AND (typeof({parent}) = typeof({child}) OR \
         (CAST({parent} AS TEXT) = CAST({child} AS TEXT) COLLATE BINARY \
         AND 'real' NOT IN (typeof({parent}), typeof({child}))))"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_text_that_is_written_as_a_number_may_be_equal_to_one() {
        let merge_rule = |values: &[Value<'_>]| {
            let mut spelled = NumberSpellings::default();
            values.iter().for_each(|value| spelled.take(*value));
            spelled.merge_rule()
        };
        let (one, half) = (Value::Integer(1), Value::Real(0.5));
        assert_eq!(merge_rule(&[one, half, Value::Text(b"a"), Value::Text(b"01")]), MergeRule::Never);
        assert_eq!(merge_rule(&[Value::Text(b"1"), Value::Text(b"0.5")]), MergeRule::Never);
        assert_eq!(merge_rule(&[one, Value::Text(b"0.5")]), MergeRule::Never);
        assert_eq!(merge_rule(&[one, Value::Text(b"2")]), MergeRule::Integers);
        assert_eq!(merge_rule(&[half, Value::Text(b"1.0"), Value::Text(b"0.50")]), MergeRule::Never);
        assert_eq!(merge_rule(&[half, one, Value::Text(b"1.0"), Value::Text(b"1")]), MergeRule::Integers);
        assert_eq!(merge_rule(&[half, Value::Text(b"0.5")]), MergeRule::Possible);
        assert_eq!(merge_rule(&[Value::Text(b"1E16"), Value::Real(1e16)]), MergeRule::Possible);
    }
}
