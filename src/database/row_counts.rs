//! Counts of the rows of each table.

use std::collections::BTreeMap;

/// The number of rows by table; the name is qualified by its schema and quoted on PostgreSQL.
pub(crate) type RowCounts = BTreeMap<String, u64>;

/// Describes the differences between the expected and the found row counts, one line each.
pub(crate) fn differences(expected: &RowCounts, found: &RowCounts) -> Vec<String> {
    let missing = expected.iter().filter_map(|(table, rows)| match found.get(table) {
        None => Some(format!("table {table} is missing")),
        Some(found_rows) if found_rows != rows => {
            Some(format!("table {table} has {found_rows} rows instead of {rows}"))
        }
        Some(_) => None,
    });
    let extra = found.keys().filter(|table| !expected.contains_key(*table));
    missing.chain(extra.map(|table| format!("table {table} is not in the backup"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_difference_is_named() {
        let rows = |list: &[(&str, u64)]| list.iter().map(|(name, rows)| ((*name).to_owned(), *rows)).collect();
        let expected: RowCounts = rows(&[("a", 1), ("b", 2), ("c", 3)]);
        assert_eq!(differences(&expected, &expected), [""; 0]);
        assert_eq!(
            differences(&expected, &rows(&[("a", 1), ("b", 3), ("d", 0)])),
            ["table b has 3 rows instead of 2", "table c is missing", "table d is not in the backup"]
        );
    }
}
