//! A reader for exports that goes table by table and row by row, and keeps only one row in memory.

use std::collections::HashMap;
use std::io::Read;

use super::input::{FilePosition, Input, ReadError};
use crate::transfer::value::Value;

/// The maximum number of columns in a table of SQLite (SQLITE_MAX_COLUMN).
const MAX_COLUMNS: usize = 2000;

/// A value as SQLite will store it.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Datum {
    /// NULL.
    #[default]
    Null,
    /// A signed integer of 64 bits.
    Integer(i64),
    /// A floating point number of 64 bits.
    Real(f64),
    /// The bytes of a text.
    Text(Vec<u8>),
    /// The bytes of a blob.
    Blob(Vec<u8>),
}

impl Datum {
    /// Returns the value by reference.
    pub fn value(&self) -> Value<'_> {
        match self {
            Datum::Null => Value::Null,
            Datum::Integer(number) => Value::Integer(*number),
            Datum::Real(number) => Value::Real(*number),
            Datum::Text(text) => Value::Text(text),
            Datum::Blob(bytes) => Value::Blob(bytes),
        }
    }
}

/// A reader for the file of an export.
pub struct Reader<R> {
    /// The file.
    pub(super) input: Input<R>,
    /// The tables that were read so far: the name in lower case, and the name as it was written.
    tables: HashMap<String, String>,
    table: String,
    columns: Vec<String>,
    row: Vec<Option<Datum>>,
    number: u64,
    /// The bytes of the name or value that is being read.
    pub(super) buffer: Vec<u8>,
}

impl<R: Read> Reader<R> {
    /// Creates a reader at the beginning of a file.
    pub fn new(source: R) -> Self {
        Reader {
            input: Input::new(source),
            tables: HashMap::new(),
            table: String::new(),
            columns: Vec::new(),
            row: Vec::new(),
            number: 0,
            buffer: Vec::new(),
        }
    }

    /// Returns the name of the next table, or `None` at the end of the file. All rows of the previous table must have
    /// been read before.
    ///
    /// # Errors
    /// Fails when the file is not an export (the error names the position), or when the file cannot be read.
    pub fn table(&mut self) -> Result<Option<&str>, ReadError> {
        let is_first = self.tables.is_empty();
        if is_first {
            self.read_start()?;
        }
        match self.input.peek_non_blank()? {
            Some(b'}') => {
                self.input.advance();
                return match self.input.peek_non_blank()? {
                    None => Ok(None),
                    Some(_) => Err(self.input.position.error("something follows the last table")),
                };
            }
            _ if is_first => {}
            Some(b',') => self.input.advance(),
            _ => return Err(self.missing_error("a comma or } is missing")),
        }
        self.input.peek_non_blank()?;
        let position = self.input.position;
        self.table = self.name("a table's name in double quotes is missing")?;
        if let Some(other) = self.tables.insert(self.table.to_ascii_lowercase(), self.table.clone()) {
            let what = format!("the table {:?} is there already, as {other:?}", self.table);
            return Err(position.error(what));
        }
        self.input.expect(b'[', "a table is a list of rows: [ is missing")?;
        self.columns.clear();
        self.number = 0;
        Ok(Some(&self.table))
    }

    /// Reads the next row. Returns `false` when the table has no more rows.
    ///
    /// # Errors
    /// Fails as [`Reader::table`] does, and when the keys of the row are not those of the first row.
    pub fn next_row(&mut self) -> Result<bool, ReadError> {
        match self.input.peek_non_blank()? {
            Some(b']') => {
                self.input.advance();
                return Ok(false);
            }
            Some(b',') if self.number > 0 => self.input.advance(),
            _ if self.number > 0 => return Err(self.missing_error("a comma or ] is missing")),
            _ => {}
        }
        self.number += 1;
        self.input.peek_non_blank()?;
        let position = self.input.position;
        self.input.expect(b'{', "a row is an object: { is missing")?;
        self.row.iter_mut().for_each(|cell| *cell = None);
        let mut at = 0;
        if self.input.peek_non_blank()? == Some(b'}') {
            return Err(self.row_error(position, "has no columns".into()));
        }
        loop {
            let column = self.column(at)?;
            let value = self.value()?;
            self.row[column] = Some(value);
            at = column + 1;
            match self.input.peek_non_blank()? {
                Some(b',') => self.input.advance(),
                Some(b'}') => break,
                _ => return Err(self.missing_error("a comma or } is missing")),
            }
        }
        self.input.advance();
        match self.row.iter().position(Option::is_none) {
            None => Ok(true),
            Some(missing_column) => {
                let what = format!("lacks the key {:?}, which row 1 has", self.columns[missing_column]);
                Err(self.row_error(position, what))
            }
        }
    }

    /// Returns the names of the columns. They are known after the first row was read.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Returns the values of the last row, in the order of the columns.
    pub fn values(&self) -> impl Iterator<Item = Value<'_>> {
        self.row.iter().map(|cell| cell.as_ref().map_or(Value::Null, Datum::value))
    }

    /// Reads the bracket at the beginning of the file.
    fn read_start(&mut self) -> Result<(), ReadError> {
        let what = match self.input.peek()? {
            None => "the file is empty",
            Some(0xef) => "a byte order mark: write the file as UTF-8 without one",
            Some(0xfe | 0xff | 0) => "this is not UTF-8",
            Some(_) => "an object of tables is expected: {\"table\": [{\"column\": value}]}",
        };
        match self.input.peek_non_blank()? {
            Some(b'{') => {
                self.input.advance();
                Ok(())
            }
            _ => Err(self.input.position.error(what)),
        }
    }

    /// Returns the error of a missing character: `what`, or the error of a file that ends too early.
    fn missing_error(&mut self, what: &str) -> ReadError {
        match self.input.peek() {
            Ok(Some(_)) => self.input.position.error(what),
            Ok(None) => self.input.end_error(),
            Err(error) => error,
        }
    }

    /// Returns an error about the current row.
    fn row_error(&self, position: FilePosition, what: String) -> ReadError {
        position.error(format!("{}, row {}: it {what}", self.table, self.number))
    }

    /// Reads a key and its colon.
    fn name(&mut self, what: &str) -> Result<String, ReadError> {
        let position = self.input.position;
        self.input.expect(b'"', what)?;
        self.buffer.clear();
        self.text()?;
        self.input.expect(b':', "a colon is missing")?;
        match String::from_utf8(self.buffer.clone()) {
            Ok(name) if !name.contains('\0') => Ok(name),
            _ => Err(position.error("a name must not have a NUL in it")),
        }
    }

    /// Reads the next key and returns the index of its column. `at` is the most likely index. The keys of the first row
    /// define the columns.
    fn column(&mut self, at: usize) -> Result<usize, ReadError> {
        self.input.peek_non_blank()?;
        let position = self.input.position;
        let name = self.name("a key in double quotes is missing")?;
        let is_expected = self.columns.get(at).is_some_and(|column| *column == name);
        let found = if is_expected { Some(at) } else { self.columns.iter().position(|column| *column == name) };
        match found {
            Some(column) if self.row[column].is_none() => Ok(column),
            Some(_) => Err(self.row_error(position, format!("has the key {name:?} twice"))),
            None if self.number > 1 => {
                Err(self.row_error(position, format!("has the key {name:?}, which row 1 has not")))
            }
            None if self.columns.len() == MAX_COLUMNS => {
                Err(self.row_error(position, format!("has more than {MAX_COLUMNS} columns")))
            }
            None if self.columns.iter().any(|column| column.eq_ignore_ascii_case(&name)) => {
                Err(self.row_error(position, format!("has two keys {name:?} that differ in case alone")))
            }
            None => {
                self.columns.push(name);
                self.row.truncate(self.columns.len() - 1);
                self.row.push(None);
                Ok(self.columns.len() - 1)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that returns one byte at a time, so that values are cut at every place.
    struct Dripping<'a>(&'a [u8]);

    impl Read for Dripping<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let Some((first, rest)) = self.0.split_first() else { return Ok(0) };
            (buffer[0], self.0) = (*first, rest);
            Ok(1)
        }
    }

    /// Returns all contents of a file as lines, one for each row.
    fn all(from: impl Read) -> Result<Vec<String>, String> {
        let describe = |error| match error {
            ReadError::Malformed { place, what } => format!("{place}: {what}"),
            ReadError::Io(error) => error.to_string(),
        };
        let mut reader = Reader::new(from);
        let mut lines = Vec::new();
        while let Some(table) = reader.table().map_err(describe)? {
            lines.push(table.to_owned());
            while reader.next_row().map_err(describe)? {
                let cells = reader.columns().iter().zip(reader.values());
                lines.push(cells.map(|(name, value)| format!("{name}={value:?} ")).collect());
            }
        }
        Ok(lines)
    }

    fn read(text: &str) -> Result<Vec<String>, String> {
        let whole = all(text.as_bytes());
        assert_eq!(whole, all(Dripping(text.as_bytes())), "{text}");
        whole
    }

    #[test]
    fn tables_and_rows_are_read_whatever_the_order_of_the_keys() {
        for (text, lines) in [
            ("{}", &[][..]),
            (" {\n}\n", &[]),
            (r#"{"a": [], "b" : [ ] }"#, &["a", "b"]),
            (
                r#"{"a":[{"x":1,"y":null},{"y":true,"x":-2.50}],"b":[{"é":"x"}]}"#,
                &["a", "x=Integer(1) y=Null ", "x=Real(-2.5) y=Integer(1) ", "b", "é=Text([120]) "],
            ),
        ] {
            assert_eq!(read(text), Ok(lines.iter().map(|line| (*line).to_owned()).collect()), "{text}");
        }
    }

    #[test]
    fn values_become_what_sqlite_stores() {
        let text = |text: &str| Datum::Text(text.as_bytes().to_vec());
        for (json, expected) in [
            (r#""\ud83d\ude00\u0000\u00e9\"\/\b""#, text("😀\0é\"/\u{8}")),
            (r#"{"$base64": "AP8="}"#, Datum::Blob(vec![0, 255])),
            (r#"{"$base64":"\u0041P8="}"#, Datum::Blob(vec![0, 255])),
            (r#"{"$text-base64": "Yf8="}"#, Datum::Text(b"a\xff".to_vec())),
            (r#"{"$number": "-Infinity"}"#, Datum::Real(f64::NEG_INFINITY)),
            ("Infinity", Datum::Real(f64::INFINITY)),
            (r#"{"$base64": "AP8=", "b": 1}"#, text(r#"{"$base64": "AP8=", "b": 1}"#)),
            (r#"{"$other": "x"}"#, text(r#"{"$other": "x"}"#)),
            (r#"[1, {"a": "}\"]"} ]"#, text(r#"[1, {"a": "}\"]"} ]"#)),
            ("[]", text("[]")),
        ] {
            let file = format!("{{\"t\":[{{\"c\":{json}}}]}}");
            let mut reader = Reader::new(Dripping(file.as_bytes()));
            assert_eq!(reader.table().expect("a table"), Some("t"));
            assert!(reader.next_row().expect("a row"), "{json}");
            assert_eq!(reader.row, [Some(expected)], "{json}");
        }
    }

    #[test]
    fn what_is_no_export_is_named_by_line_and_column() {
        for (text, complaint) in [
            ("", "1:1: the file is empty"),
            ("\u{feff}{}", "1:1: a byte order mark"),
            ("[]", "1:1: an object of tables"),
            ("\n x", "2:2: an object of tables"),
            ("{}x", "1:3: something follows"),
            ("{} {}", "1:4: something follows"),
            (r#"{"a":[],}"#, "1:9: a table's name"),
            (r#"{"a":[] "b":[]}"#, "1:9: a comma or } is missing"),
            (r#"{,"a":[]}"#, "1:2: a table's name"),
            (r#"{"a":{}}"#, "1:6: a table is a list of rows"),
            (r#"{"a":[1]}"#, "1:7: a row is an object"),
            (r#"{"a":[{}]}"#, "1:7: a, row 1: it has no columns"),
            (r#"{"a":[],"A":[]}"#, "1:9: the table \"A\" is there already, as \"a\""),
            (r#"{"a":[{"x":1,"x":2}]}"#, "1:14: a, row 1: it has the key \"x\" twice"),
            (r#"{"a":[{"x":1,"X":2}]}"#, "1:14: a, row 1: it has two keys \"X\""),
            ("{\"a\":[\n{\"x\":1},\n{\"y\":1}]}", "3:2: a, row 2: it has the key \"y\", which row 1 has not"),
            ("{\"a\":[\n{\"x\":1,\"é\":2},\n{\"é\":1}]}", "3:1: a, row 2: it lacks the key \"x\", which row 1 has"),
            ("{\"a\":[\n{\"é\":1},\n", "3:1: the file ends early"),
            (r#"{"a":[{"x":1}"#, "1:14: the file ends early"),
            (r#"{"a":[{"x":"ab"#, "1:15: the file ends early"),
            (r#"{"a":[{"x":1}{"x":1}]}"#, "1:14: a comma or ] is missing"),
            (r#"{"a":[{"x":1},]}"#, "1:15: a row is an object"),
            (r#"{"a":[{"x":01}]}"#, "1:12: no value begins so"),
            (r#"{"a":[{"x":}]}"#, "1:12: no value begins so"),
            (r#"{"a":[{"x":nul}]}"#, "1:12: no value begins so"),
            (r#"{"a":[{"é":"\ud83d"}]}"#, "1:13: half of a surrogate pair"),
            (r#"{"a":[{"x":"\ude00"}]}"#, "1:13: half of a surrogate pair"),
            (r#"{"a":[{"x":"\ud83dx"}]}"#, "1:13: half of a surrogate pair"),
            (r#"{"a":[{"x":"\u12g4"}]}"#, "1:13: four hexadecimal digits"),
            (r#"{"a":[{"x":"\x"}]}"#, "1:13: no such escape"),
            ("{\"a\":[{\"x\":\"a\nb\"}]}", "1:14: a control character"),
            (r#"{"a":[{"x":[1,}]}]}"#, "1:15: no value begins so"),
            (r#"{"a":[{"x":[NaN]}]}"#, "1:13: no value begins so"),
            (r#"{"a":[{"x":{"$base64":"?"}}]}"#, "1:12: this is no Base64"),
            (r#"{"a":[{"x":{"$number":"null"}}]}"#, "1:12: this is no number"),
            (r#"{"a":[{"x":{"$number":"true"}}]}"#, "1:12: this is no number"),
            (r#"{"a":[{"x":{"$number":""}}]}"#, "1:12: this is no number"),
            (r#"{"a\u0000":[]}"#, "1:2: a name must not have a NUL"),
        ] {
            let found = read(text).expect_err(text);
            assert!(found.starts_with(complaint), "{text}: {found}, not {complaint}");
        }
        let bomb = format!("{{\"a\":[{{\"x\":{}", "[".repeat(5_000_000));
        let found = all(bomb.as_bytes()).expect_err("a bomb");
        assert_eq!(found, "1:1012: it is nested more than 1000 levels deep");
        let invalid = all(&b"{\"a\":[{\"x\":\"\xc3\xa9\xff\"}]}"[..]).expect_err("no UTF-8");
        assert_eq!(invalid, "1:14: this is not UTF-8");
    }
}
