//! The splitter keeps every byte of a script, divides it in the same way however it arrives, and ends SQLite's
//! statements where SQLite does.

use std::ffi::CString;
use std::io::{Cursor, Read};

use lockkeeper::dialect::Dialect;
use lockkeeper::revision::batch::BatchError;
use lockkeeper::revision::{Batch, BatchLimit, Batches, TransactionMode};

/// A reader that returns a few bytes at a time, as a slow disk or a pipe does.
struct Trickle(Cursor<Vec<u8>>, usize);

impl Read for Trickle {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let room = into.len().min(self.1);
        self.0.read(&mut into[..room])
    }
}

/// Checks the bytes of a script in both dialects.
pub fn check(data: &[u8]) {
    for dialect in [Dialect::Postgres, Dialect::Sqlite] {
        check_dialect(data, dialect);
    }
}

fn check_dialect(data: &[u8], dialect: Dialect) {
    let whole = split(data, usize::MAX, dialect, BatchLimit::Statement);
    for (piece, cut) in [(1, BatchLimit::Statement), (5, BatchLimit::Bytes(64)), (usize::MAX, BatchLimit::Bytes(1))] {
        let other = split(data, piece, dialect, cut);
        assert_eq!(starts(&whole), starts(&other), "{dialect:?}, {piece} bytes, {cut:?}");
    }
    let Ok(batches) = whole else { return };
    let joined: String = batches.iter().map(|batch| batch.text.as_str()).collect();
    let script = std::str::from_utf8(data).expect("a script that was split is UTF-8");
    let script = script.strip_prefix('\u{feff}').unwrap_or(script);
    assert_eq!(joined, script.replace("\r\n", "\n"), "bytes were lost or added");
    if dialect == Dialect::Sqlite {
        batches.iter().for_each(check_sqlite);
    }
}

/// Returns all batches of a script, read in pieces of `piece` bytes.
fn split(data: &[u8], piece: usize, dialect: Dialect, cut: BatchLimit) -> Result<Vec<Batch>, String> {
    let source = Trickle(Cursor::new(data.to_vec()), piece);
    let mut batches = Batches::new(Box::new(source), dialect, TransactionMode::NoTransaction);
    let mut all = Vec::new();
    loop {
        match batches.next(cut) {
            Ok(Some(batch)) => all.push(batch),
            Ok(None) => return Ok(all),
            Err(BatchError::Unterminated { what, place }) => return Err(format!("{what} at {place:?}")),
            // When several bytes are not UTF-8, a longer piece may show a later one first.
            Err(BatchError::Text(_)) => return Err("not a text".into()),
        }
    }
}

/// Returns the place at which each statement of a script begins, whatever its batch.
fn starts(split: &Result<Vec<Batch>, String>) -> Result<Vec<usize>, String> {
    let mut offset = 0;
    let mut starts = Vec::new();
    for batch in split.as_ref().map_err(Clone::clone)? {
        starts.extend(batch.starts.iter().map(|start| offset + start));
        offset += batch.text.len();
    }
    Ok(starts)
}

/// Checks that `sqlite3_complete` returns false before the statement's semicolon, and true after it.
fn check_sqlite(batch: &Batch) {
    let Some(&start) = batch.starts.first() else { return };
    let statement = &batch.text[start..];
    // A command of the sqlite3 shell ends with its line.
    if statement.starts_with('.') {
        return;
    }
    let statement = &with_plain_spaces(statement);
    for (at, _) in statement.match_indices(';') {
        let is_last = at + 1 == statement.len();
        assert_eq!(is_complete(&statement[..=at]), is_last, "{:?}", &statement[..=at]);
    }
}

/// Replaces what SQLite's tokenizer takes for white space by spaces: to `sqlite3_complete`, a vertical tab is none, and
/// a byte order mark is a letter. Inside of a literal or a comment that makes no difference.
fn with_plain_spaces(text: &str) -> String {
    let mut plain = String::new();
    for letter in text.chars() {
        let before = plain.bytes().next_back();
        let is_space = match letter {
            '\x0b' => before.is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\x0c' | b'\r')),
            '\u{feff}' => {
                !before.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80)
            }
            _ => false,
        };
        plain.push(if is_space { ' ' } else { letter });
    }
    plain
}

fn is_complete(text: &str) -> bool {
    let text = CString::new(text).expect("a script has no zero bytes");
    // SAFETY: the text ends with a zero byte and lives until the call returns.
    unsafe { rusqlite::ffi::sqlite3_complete(text.as_ptr()) != 0 }
}
