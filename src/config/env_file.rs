//! The file `.env`: variables for a person who runs Lockkeeper by hand. They are read, and never exported to other
//! programs.

use std::cell::Cell;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::error::Cause;
use crate::safe_file;

/// The file that is read by default.
const DEFAULT_PATH: &str = ".env";
/// The size of the largest file that is read, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// The variables of a file, in the file's order.
#[derive(Debug, Default)]
pub struct EnvFile {
    /// The path of the file; empty if none was read.
    pub(super) path: PathBuf,
    /// The names and values.
    pub(super) variables: Vec<(String, String)>,
}

impl EnvFile {
    /// Reads the file that `--env-file` names, or else `.env` in the working directory if it exists. An empty name
    /// reads no file.
    ///
    /// # Errors
    /// Fails when a named file does not exist, and when a file cannot be read, is not a regular file, or has a line
    /// that is not an assignment.
    pub fn read(given_path: Option<&str>) -> Result<EnvFile, Cause> {
        let path = match given_path {
            Some("") => return Ok(EnvFile::default()),
            Some(name) => Path::new(name),
            None => Path::new(DEFAULT_PATH),
        };
        // A directory is skipped, because Python's virtual environments are often directories of this name.
        let is_optional =
            |error: &io::Error| given_path.is_none() && (error.kind() == ErrorKind::NotFound || path.is_dir());
        match safe_file::read(path, MAX_BYTES) {
            Ok(text) => Ok(EnvFile { variables: variables(path, text)?, path: path.to_owned() }),
            Err(error) if is_optional(&error) => Ok(EnvFile::default()),
            Err(error) => Err(read_error(path, &error)),
        }
    }
}

/// Makes the error of a file that cannot be read.
fn read_error(path: &Path, error: &io::Error) -> Cause {
    let uid = rustix::process::geteuid().as_raw();
    match error.kind() {
        ErrorKind::PermissionDenied => {
            Cause::Secret(format!("{} cannot be read by uid {uid}: {error}", path.display()))
        }
        _ => Cause::Config(format!("{} cannot be read: {error}", path.display())),
    }
}

/// Returns the assignments of a text, in order: the name and the value of each.
///
/// # Errors
/// Fails at a line that is not an assignment. The error has the line's number only, because its text may be secret.
fn variables(path: &Path, mut text: Vec<u8>) -> Result<Vec<(String, String)>, Cause> {
    if text.starts_with(b"\xef\xbb\xbf") {
        text.drain(..3);
    }
    // Without a final line feed, the parser takes white space at the end of the file for a line that continues.
    text.push(b'\n');
    let lines_read = Rc::new(Cell::new(0));
    let lines = EnvFileLines { text, offset: 0, lines_read: Rc::clone(&lines_read) };
    dotenvy::from_read_iter(lines).collect::<Result<_, _>>().map_err(|error| malformed(path, lines_read.get(), &error))
}

/// Makes the error of a malformed line. `lines_read` is the number of the last line that was read.
fn malformed(path: &Path, lines_read: usize, error: &dotenvy::Error) -> Cause {
    let (lines, reason) = match error {
        dotenvy::Error::LineParse(text, _) => {
            (text.lines().count().max(1), "it is not NAME=value, or a quotation mark is not closed")
        }
        _ => (1, "it is not UTF-8"),
    };
    Cause::Config(format!("{}:{}: {reason}", path.display(), (lines_read + 1).saturating_sub(lines)))
}

/// A reader that returns at most one line of a text per call, and counts the lines.
struct EnvFileLines {
    /// The whole text.
    text: Vec<u8>,
    /// The position of the next byte.
    offset: usize,
    /// The number of lines read so far.
    lines_read: Rc<Cell<usize>>,
}

impl Read for EnvFileLines {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let remaining = &self.text[self.offset..];
        let line = remaining.iter().position(|&byte| byte == b'\n').map_or(remaining.len(), |end| end + 1);
        let length = line.min(buffer.len());
        buffer[..length].copy_from_slice(&remaining[..length]);
        self.offset += length;
        self.lines_read.set(self.lines_read.get() + usize::from(remaining[..length].ends_with(b"\n")));
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<(String, String)>, String> {
        variables(Path::new("f"), text.into()).map_err(|cause| cause.to_string())
    }

    #[test]
    fn assignments_are_read_as_other_tools_read_them() {
        let text =
            "\u{feff}# comment\r\nA=1\r\n\n export B = \"two # words\" # comment\nC='$A'\nD=\"x\ny\"\nE=\nA=2 \t";
        let expected = [("A", "1"), ("B", "two # words"), ("C", "$A"), ("D", "x\ny"), ("E", ""), ("A", "2")];
        let expected: Vec<_> = expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        assert_eq!(parse(text), Ok(expected));
    }

    #[test]
    fn a_malformed_line_is_named_by_its_number_alone() {
        for (text, line) in [
            ("A=1\nsecret\n", 2),
            ("A=1\n\n# x\nB = secret secret\n", 4),
            ("A='secret\nsecret\n\n", 1),
            ("A=\"x\ny\"\nB=\"secret\n", 3),
            ("A=1\nB=\"x\ny\" secret\n", 2),
            (&format!("A={}\n=secret", "x".repeat(20_000)), 2),
        ] {
            let error = parse(text).expect_err("a refusal");
            assert!(error.starts_with(&format!("f:{line}: ")) && !error.contains("secret"), "{text:.20}: {error}");
        }
        let error = variables(Path::new("f"), b"A=1\nB=\xff\n".to_vec()).expect_err("a refusal");
        assert_eq!(error.to_string(), "f:2: it is not UTF-8");
    }
}
