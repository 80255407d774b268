//! What can go wrong with a database, in words that know no driver.

use std::fmt;

/// A class of fault: what a stage decides by. Only the drivers' `fault` files know SQLSTATEs and result codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The host's name does not resolve.
    Unresolved,
    /// Refused, reset, no answer, end of file in the handshake, socket file not there.
    Unreachable,
    /// Starting, shutting down or recovering.
    Starting,
    /// No connection slots, out of memory.
    Exhausted,
    /// The disk of the server is full.
    Full,
    /// A standby, or read-only for another reason.
    ReadOnly,
    /// Password, role or `pg_hba.conf` entry.
    Authentication,
    NoDatabase,
    NoPrivilege,
    /// TLS failed or is missing.
    Tls,
    /// Something else than PostgreSQL answers, or a pooler refuses what we need.
    Protocol,
    /// The pooler hands our session to others.
    TransactionPooler,
    /// A setting cannot work: a table that is not ours, no schema to create in.
    Setting,
    /// The server is too old.
    Unsupported,
    /// SQLite: another connection is writing.
    Busy,
    /// Lock timeout, deadlock, serialization failure.
    Contended,
    /// Ended by a cancel request or an interrupt.
    Cancelled,
    /// The session is gone.
    Lost,
    /// The database file is damaged or no database.
    Corrupt,
    /// The disk failed or is full.
    Io,
    /// Any other answer to a statement.
    Statement,
}

/// One fault.
#[derive(Clone, Debug)]
pub struct Fault {
    pub kind: Kind,
    pub message: String,
    /// SQLSTATE, or SQLite's extended result code.
    pub code: Option<String>,
    pub detail: Option<String>,
    pub hint: Option<String>,
    /// PostgreSQL's context: the function that was running.
    pub context: Option<String>,
    /// Where in the text that was sent: characters from 1.
    pub position: Option<usize>,
}

impl Fault {
    pub fn new(kind: Kind, message: impl Into<String>) -> Fault {
        Fault {
            kind,
            message: message.into(),
            code: None,
            detail: None,
            hint: None,
            context: None,
            position: None,
        }
    }

    /// The same with our own advice instead of the server's.
    pub fn with_hint(self, hint: impl Into<String>) -> Fault {
        Fault { hint: Some(hint.into()), ..self }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&mask_passwords(&self.message))?;
        if let Some(code) = &self.code {
            write!(f, " ({code})")?;
        }
        for (name, text) in [("detail", &self.detail), ("hint", &self.hint), ("context", &self.context)] {
            if let Some(text) = text {
                write!(f, "; {name}: {}", mask_passwords(text).replace('\n', " / "))?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Fault {}

/// The first lines of a statement, fit for a log line; what follows PASSWORD is masked.
pub fn excerpt(statement: &str) -> String {
    const LINES: usize = 3;
    const CHARACTERS: usize = 300;
    let mut lines: Vec<&str> = statement.lines().map(str::trim_end).take(LINES + 1).collect();
    let cut = lines.len() > LINES;
    lines.truncate(LINES);
    let mut text = mask_passwords(&lines.join("\n"));
    if text.chars().count() > CHARACTERS || cut {
        text = text.chars().take(CHARACTERS).collect::<String>() + " ...";
    }
    text
}

/// A text with the literal behind each PASSWORD masked: statements are quoted by errors, contexts and other sessions.
pub fn mask_passwords(text: &str) -> String {
    const WORD: &str = "password";
    let mut masked = String::new();
    let mut rest = text;
    while let Some(at) = rest.to_ascii_lowercase().find(WORD) {
        let (before, after) = rest.split_at(at + WORD.len());
        let value = after.trim_start_matches(|c: char| c.is_whitespace() || "=(".contains(c));
        masked.push_str(before);
        rest = after;
        if let Some(length) = literal_length(value) {
            masked.push_str(&after[..after.len() - value.len()]);
            masked.push_str("'***'");
            rest = &value[length..];
        }
    }
    masked + rest
}

/// The length of the string literal that a text begins with; one that is cut off goes to the end.
fn literal_length(text: &str) -> Option<usize> {
    let plain = text.strip_prefix(['E', 'e']).filter(|rest| rest.starts_with('\''));
    let escapes = plain.is_some();
    let start = text.len() - plain.unwrap_or(text).len();
    let bytes = text.as_bytes();
    if bytes.get(start) == Some(&b'$') {
        let tag = text[1..].find('$').map(|end| &text[..end + 2])?;
        let body = &text[tag.len()..];
        return Some(body.find(tag).map_or(text.len(), |end| end + 2 * tag.len()));
    }
    if bytes.get(start) != Some(&b'\'') {
        return None;
    }
    let mut at = start + 1;
    while let Some(&byte) = bytes.get(at) {
        match (byte, bytes.get(at + 1)) {
            (b'\\', Some(_)) if escapes => at += 2,
            (b'\'', Some(b'\'')) => at += 2,
            (b'\'', _) => return Some(at + 1),
            _ => at += 1,
        }
    }
    Some(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpts_are_short_and_keep_no_password() {
        assert_eq!(excerpt("a\nb\nc"), "a\nb\nc");
        assert_eq!(excerpt("a\nb\nc\nd"), "a\nb\nc ...");
        assert_eq!(excerpt("CREATE ROLE x PASSWORD 'abc' LOGIN"), "CREATE ROLE x PASSWORD '***' LOGIN");
        assert_eq!(excerpt("ALTER ROLE x password\n E'abc"), "ALTER ROLE x password\n '***'");
        assert_eq!(excerpt("PASSWORD 'a''b' PASSWORD E'a\\'b\\'' x"), "PASSWORD '***' PASSWORD '***' x");
        assert_eq!(excerpt("PASSWORD $$a$$ PASSWORD $x$a$$ $x$ y $1"), "PASSWORD '***' PASSWORD '***' y $1");
        assert_eq!(excerpt("password ='é"), "password ='***'");
        assert_eq!(excerpt("SELECT password FROM t WHERE a = 'b'"), "SELECT password FROM t WHERE a = 'b'");
    }
}
