//! The lines of an export's file: one for each row.

use crate::transfer::json_export::text;

/// A writer of everything between the values.
pub(crate) struct LineFormat {
    /// The number of tables that were begun.
    tables: usize,
    /// The number of rows in the current table.
    rows: u64,
    /// The text `"column": ` for each column, with the bracket or comma before it.
    keys: Vec<Vec<u8>>,
}

impl LineFormat {
    /// Begins the file.
    pub(crate) fn new(out: &mut Vec<u8>) -> LineFormat {
        out.extend_from_slice(b"{");
        LineFormat { tables: 0, rows: 0, keys: Vec::new() }
    }

    /// Begins a table.
    pub(crate) fn begin<'a>(&mut self, table: &str, columns: impl Iterator<Item = &'a str>, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.tables == 0 { b"\n" } else { b",\n" });
        text(table, out);
        out.extend_from_slice(b": [");
        self.tables += 1;
        self.rows = 0;
        self.keys.clear();
        for column in columns {
            let mut key = if self.keys.is_empty() { b"{".to_vec() } else { b", ".to_vec() };
            text(column, &mut key);
            key.extend_from_slice(b": ");
            self.keys.push(key);
        }
    }

    /// Writes a row; `value` appends the value of the column at the given position.
    pub(crate) fn row(&mut self, out: &mut Vec<u8>, mut value: impl FnMut(usize, &mut Vec<u8>)) {
        out.extend_from_slice(if self.rows == 0 { b"\n" } else { b",\n" });
        self.rows += 1;
        if self.keys.is_empty() {
            // A table of PostgreSQL may have no columns, or none but generated ones.
            out.push(b'{');
        }
        for (index, key) in self.keys.iter().enumerate() {
            out.extend_from_slice(key);
            value(index, out);
        }
        out.push(b'}');
    }

    /// Ends the table, and returns the number of its rows.
    pub(crate) fn end(&mut self, out: &mut Vec<u8>) -> u64 {
        out.extend_from_slice(if self.rows == 0 { b"]" } else { b"\n]" });
        self.rows
    }

    /// Ends the file.
    pub(crate) fn finish(out: &mut Vec<u8>) {
        out.extend_from_slice(b"\n}\n");
    }
}
