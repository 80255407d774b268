//! The names, header directives and checksums of migration scripts.

use crate::duration::parse_duration;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{Direction, Id, TransactionMode};

/// The SHA-256 of a script's text, without the byte order mark and with LF as line end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Checksum(pub [u8; 32]);

impl Checksum {
    /// Parses 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Checksum> {
        let mut sum = [0; 32];
        hex::decode_to_slice(text, &mut sum).ok()?;
        Some(Checksum(sum))
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A migration as the directory has it. The text of its files stays on disk until a step runs.
#[derive(Clone, Debug)]
pub struct Script {
    /// The number of the revision.
    pub id: Id,
    /// The words of the file name.
    pub description: Box<str>,
    /// The name of the file with the up script.
    pub up: Box<str>,
    /// The name of the file with the down script; `None` if there is none.
    pub down: Option<Box<str>>,
    /// The checksum of the up script.
    pub checksum: Checksum,
    /// The directives of the up script. All scripts without directives share one value.
    pub header: Arc<Header>,
}

/// The header and checksum of a down script, which are read only when they are needed.
#[derive(Clone, Debug)]
pub struct DownScript {
    /// The directives of the down script.
    pub header: Arc<Header>,
    /// The checksum of the down script.
    pub checksum: Checksum,
}

/// One file of a revision that is about to run.
#[derive(Clone, Copy, Debug)]
pub struct DirectedScript<'a> {
    /// The direction in which the file changes the database.
    pub direction: Direction,
    /// The name of the file.
    pub file: &'a str,
    /// The directives of the file.
    pub header: &'a Header,
    /// The checksum of the file.
    pub checksum: Checksum,
    /// The number of statements in the file.
    pub statements: usize,
    /// For an upgrade: the checksum of the down script, which is recorded in the history row. `None` if there is no
    /// down script.
    pub down: Option<Checksum>,
}

/// The directives in the comment lines before the first statement of a script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The parents in `-- depends: 0003 0004`; `None` means the previous revision.
    pub depends: Option<Vec<Id>>,
    /// Outside of a transaction with `-- no-transaction`, in one without it.
    pub mode: TransactionMode,
    /// The time in `-- lock-timeout: 2s`; `None` means the setting of the run.
    pub lock_timeout: Option<Duration>,
    /// The time in `-- statement-timeout: 10min`; `None` means the setting of the run.
    pub statement_timeout: Option<Duration>,
    /// The text of `-- irreversible: reason`; `None` means that the revision may be undone.
    pub irreversible: Option<String>,
}

/// A directive that cannot be understood.
#[derive(Debug, PartialEq, Eq)]
pub struct BadDirective {
    /// The line in the file, counted from 1.
    pub line: usize,
    /// A sentence that says what is wrong.
    pub reason: String,
}

impl Header {
    /// Reads the directives from the beginning of a script. The header consists of blank lines and of comments of both
    /// kinds; the first other line ends it.
    ///
    /// # Errors
    /// Fails if a known directive has a value that it cannot have, or if a name is nearly that of a directive.
    pub fn parse(text: &str) -> Result<Header, BadDirective> {
        let mut header = Header::default();
        let mut block = false;
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if block || line.starts_with("/*") {
                block = !line.contains("*/");
                if !block && !line.ends_with("*/") {
                    break;
                }
            } else if let Some(comment) = line.strip_prefix("--") {
                header.directive(comment.trim()).map_err(|reason| BadDirective { line: index + 1, reason })?;
            } else if !line.is_empty() {
                break;
            }
        }
        Ok(header)
    }

    fn directive(&mut self, comment: &str) -> Result<(), String> {
        if comment == "no-transaction" {
            self.mode = TransactionMode::NoTransaction;
            return Ok(());
        }
        let Some((name, value)) = comment.split_once(':') else {
            return misspelt(comment, &["no-transaction"]);
        };
        let value = value.trim();
        match name.trim_end() {
            "depends" => self.depends = Some(parents(value)?),
            "lock-timeout" => self.lock_timeout = Some(parse_duration(value)?),
            "statement-timeout" => self.statement_timeout = Some(parse_duration(value)?),
            "irreversible" if value.is_empty() => {
                return Err("irreversible needs a reason: -- irreversible: why".into());
            }
            "irreversible" => self.irreversible = Some(value.into()),
            name => misspelt(name, &["depends", "lock-timeout", "statement-timeout", "irreversible"])?,
        }
        Ok(())
    }
}

/// Fails if a word is nearly a directive: as a comment it would be ignored, and the script would run in another way
/// than its author intended.
fn misspelt(word: &str, known: &[&str]) -> Result<(), String> {
    let plain = word.to_lowercase().replace(['_', ' '], "-");
    let near = known.iter().find(|name| strsim::levenshtein(&plain, name) <= 1);
    match near {
        Some(name) => Err(format!("\"{word}\" is not a directive; did you mean {name}?")),
        None => Ok(()),
    }
}

fn parents(value: &str) -> Result<Vec<Id>, String> {
    value
        .split([' ', ',', '\t'])
        .filter(|word| !word.is_empty())
        .map(|word| Id::parse(word).ok_or_else(|| format!("depends: \"{word}\" is not a revision number")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_directive() {
        let text = "\n-- Adds things.\n-- depends: 0003, 4\n--no-transaction\n-- lock-timeout: 2s\n-- statement-timeout: 10min\n-- irreversible: drops data\nCREATE TABLE t(a);\n-- depends: 9\n";
        let header = Header::parse(text).unwrap();
        assert_eq!(header.depends, Some(vec![Id::parse("3").unwrap(), Id::parse("4").unwrap()]));
        assert_eq!(header.mode, TransactionMode::NoTransaction);
        assert_eq!(header.lock_timeout, Some(Duration::from_secs(2)));
        assert_eq!(header.statement_timeout, Some(Duration::from_secs(600)));
        assert_eq!(header.irreversible.as_deref(), Some("drops data"));
    }

    #[test]
    fn ordinary_comments_are_not_directives() {
        let text = "-- no-transactional thoughts\n-- note: this\n-- see depends\nSELECT 1";
        assert_eq!(Header::parse(text).unwrap(), Header::default());
    }

    #[test]
    fn a_licence_before_the_directives_does_no_harm() {
        let text = "/* Copyright\n * nobody */\n-- no-transaction\nSELECT 1";
        assert_eq!(Header::parse(text).unwrap().mode, TransactionMode::NoTransaction);
        assert_eq!(Header::parse("/* a */ SELECT 1;\n-- no-transaction").unwrap(), Header::default());
    }

    #[test]
    fn nearly_a_directive_is_refused() {
        for text in [
            "-- depend: 3",
            "-- lock_timeout: 2s",
            "-- No-Transaction",
            "-- no transaction",
            "-- statement-timeouts: 1s",
        ] {
            assert!(Header::parse(text).unwrap_err().reason.contains("did you mean"), "{text}");
        }
    }

    #[test]
    fn bad_values_name_the_line() {
        for (text, line) in [
            ("-- depends: 3 x", 1),
            ("\n-- lock-timeout: soon", 2),
            ("--\n--\n-- statement-timeout: 5 parsecs", 3),
            ("-- irreversible:", 1),
        ] {
            assert_eq!(Header::parse(text).unwrap_err().line, line, "{text:?}");
        }
    }

    #[test]
    fn checksums_are_read_as_they_are_written() {
        let sum = Checksum([0xa5; 32]);
        assert_eq!(Checksum::parse(&sum.to_string()), Some(sum));
        for bad in ["", "zz", &"z".repeat(64), &"é".repeat(32), &"+a".repeat(32)] {
            assert_eq!(Checksum::parse(bad), None, "{bad}");
        }
    }
}
