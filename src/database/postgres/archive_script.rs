//! A reader for the script that `pg_restore` makes of an archive: it returns the statements, and the rows of each COPY.

use crate::dialect::Dialect;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::database::{DatabaseError, DatabaseErrorKind};
use crate::revision::statements::{Window, WindowScan, scan};

/// The smallest number of bytes that is read at a time.
const CHUNK: usize = 64 * 1024;
/// The line after the last row of a COPY.
const END_OF_ROWS: &[u8] = b"\\.";

/// A reader for a script of `pg_restore`.
pub(crate) struct ArchiveScript<R> {
    input: R,
    buffer: Vec<u8>,
    /// The number of bytes of the buffer that were returned already.
    at: usize,
    has_ended: bool,
}

impl<R: AsyncRead + Unpin> ArchiveScript<R> {
    pub(crate) fn new(input: R) -> Self {
        ArchiveScript { input, buffer: Vec::new(), at: 0, has_ended: false }
    }

    /// Returns the next statement with its semicolon; `None` at the end of the script. Leaves out the commands of psql
    /// (`\restrict`) that enclose the script of newer tools.
    ///
    /// # Errors
    /// Fails when the script cannot be read, is not UTF-8, or ends within a statement.
    pub(crate) async fn next(&mut self) -> Result<Option<String>, DatabaseError> {
        loop {
            let rest = &self.buffer[self.at..];
            let (text, is_cut) = match std::str::from_utf8(rest) {
                Ok(text) => (text, false),
                Err(error) => {
                    let whole = std::str::from_utf8(&rest[..error.valid_up_to()]);
                    (whole.unwrap_or_default(), error.error_len().is_some())
                }
            };
            let window = if self.has_ended && !is_cut { Window::Last } else { Window::Partial };
            match scan(text, Dialect::Postgres, window) {
                WindowScan::Statement(found) => {
                    let statement = text[found.start..found.end].to_owned();
                    self.at += found.end;
                    if !statement.starts_with('\\') {
                        return Ok(Some(statement));
                    }
                }
                WindowScan::Blank => return Ok(None),
                WindowScan::Incomplete if is_cut => return Err(unreadable("it is not UTF-8")),
                WindowScan::Incomplete => self.read().await?,
                WindowScan::Unterminated { what, .. } => {
                    return Err(unreadable(&format!("it ends within a {what}")));
                }
            }
        }
    }

    /// Appends whole rows of the COPY that was the last statement to `rows`, which must be empty. Returns whether more
    /// rows follow.
    ///
    /// # Errors
    /// Fails when the script cannot be read, or ends before the rows do.
    pub(crate) async fn rows(&mut self, rows: &mut Vec<u8>) -> Result<RowsFollow, DatabaseError> {
        loop {
            let mut lines = self.buffer[self.at..].split_inclusive(|byte| *byte == b'\n');
            while let Some(line) = lines.next().filter(|line| line.ends_with(b"\n")) {
                self.at += line.len();
                if line.strip_suffix(b"\n") == Some(END_OF_ROWS) {
                    return Ok(RowsFollow::No);
                }
                rows.extend_from_slice(line);
            }
            match rows.is_empty() {
                false => return Ok(RowsFollow::Yes),
                true if self.has_ended => return Err(unreadable("it ends within the rows of a table")),
                true => self.read().await?,
            }
        }
    }

    /// Skips the line end after the statement of a COPY.
    ///
    /// # Errors
    /// Fails when the script cannot be read.
    pub(crate) async fn begin_rows(&mut self) -> Result<(), DatabaseError> {
        while self.buffer.len() == self.at && !self.has_ended {
            self.read().await?;
        }
        self.at += usize::from(self.buffer.get(self.at) == Some(&b'\n'));
        Ok(())
    }

    /// Reads more of the script. The text in the buffer is scanned again afterwards, so at least as much again is read.
    async fn read(&mut self) -> Result<(), DatabaseError> {
        self.buffer.drain(..self.at);
        self.at = 0;
        let wanted = self.buffer.len() + self.buffer.len().max(CHUNK);
        while self.buffer.len() < wanted && !self.has_ended {
            let read = self.input.read_buf(&mut self.buffer).await;
            self.has_ended = read.map_err(|error| unreadable(&error.to_string()))? == 0;
        }
        Ok(())
    }
}

/// The answer to the question whether more rows of a COPY follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowsFollow {
    Yes,
    No,
}

fn unreadable(why: &str) -> DatabaseError {
    DatabaseError::new(DatabaseErrorKind::Statement, format!("the script of the archive cannot be read: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = "--\n-- PostgreSQL database dump\n--\n\n\\restrict x;y\n\nSET a = 'b;c';\n\
        CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$\nCOPY t FROM stdin;\n$$;\n\n\
        COPY public.t (a, b) FROM stdin;\n1\tx;'\n\\\\.\t\\N\n\\.\n\n\nCOPY public.e (a) FROM stdin;\n\\.\n\nSELECT 1;\n\n\\unrestrict x\n\n";

    /// Reads a script that arrives in pieces of `piece` bytes.
    async fn read(text: &[u8], piece: usize) -> Result<Vec<String>, DatabaseError> {
        let mut input: Box<dyn AsyncRead + Unpin> = Box::new(std::io::Cursor::new(Vec::new()));
        for part in text.chunks(piece) {
            input = Box::new(AsyncReadExt::chain(input, std::io::Cursor::new(part.to_vec())));
        }
        let (mut script, mut found) = (ArchiveScript::new(input), Vec::new());
        while let Some(statement) = script.next().await? {
            let is_copy = statement.ends_with("FROM stdin;");
            found.push(statement);
            if is_copy {
                script.begin_rows().await?;
                let (mut all, mut rows) = (Vec::new(), Vec::new());
                while script.rows(&mut rows).await? == RowsFollow::Yes {
                    all.append(&mut rows);
                }
                all.append(&mut rows);
                found.push(String::from_utf8(all).expect("UTF-8"));
            }
        }
        Ok(found)
    }

    fn run<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(work)
    }

    #[test]
    fn a_script_is_cut_into_statements_and_rows_however_it_comes() {
        for piece in [7, 64, 1024] {
            let found = run(read(SCRIPT.as_bytes(), piece)).expect("a script");
            let expected = [
                "SET a = 'b;c';",
                "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$\nCOPY t FROM stdin;\n$$;",
                "COPY public.t (a, b) FROM stdin;",
                "1\tx;'\n\\\\.\t\\N\n",
                "COPY public.e (a) FROM stdin;",
                "",
                "SELECT 1;",
            ];
            assert_eq!(found, expected, "{piece}");
        }
    }

    #[test]
    fn a_script_that_is_cut_off_is_not_taken_for_a_whole_one() {
        for end in ["'b;c", "$$\nCOPY", "1\tx;", "\\\\.\t\\N\n"] {
            let end = SCRIPT.find(end).expect("a place") + end.len();
            let fault = run(read(&SCRIPT.as_bytes()[..end], 64)).expect_err("it is cut off");
            assert!(fault.message.contains("it ends within"), "{fault}");
        }
        let fault = run(read(b"SELECT 1;\nSELECT '\xff';\n", 64)).expect_err("not UTF-8");
        assert!(fault.message.contains("UTF-8"), "{fault}");
    }
}
