//! The settings of a SQLite session around the scripts, so that the settings of one script do not reach the next. A run
//! opens the database again; a printed script cannot do so, and resets what a file may have set.

use memchr::memchr2_iter;

use super::foreign_keys::NOTES;
use crate::dialect::Dialect;
use crate::revision::Batch;
use crate::revision::lexer::{Lexer, Token};

/// The settings of a connection that change the effect of statements, with the values in a run (SQLite manual, "PRAGMA
/// Statements"). None of these statements prints a row.
const SETTINGS: [(&str, &str); 18] = [
    ("foreign_keys", "OFF"),
    ("defer_foreign_keys", "OFF"),
    ("ignore_check_constraints", "OFF"),
    ("legacy_alter_table", "OFF"),
    ("recursive_triggers", "OFF"),
    ("reverse_unordered_selects", "OFF"),
    ("automatic_index", "ON"),
    ("case_sensitive_like", "OFF"),
    ("full_column_names", "OFF"),
    ("short_column_names", "ON"),
    ("count_changes", "OFF"),
    ("query_only", "OFF"),
    ("read_uncommitted", "OFF"),
    ("synchronous", "FULL"),
    ("trusted_schema", "ON"),
    // RESET reads the schema again as well, as a new connection does.
    ("writable_schema", "RESET"),
    // A change of this setting drops all temporary objects.
    ("temp_store", "FILE"),
    ("temp_store", "MEMORY"),
];

/// The settings whose statement prints a row: they are reset only if a file names them.
const PRINTING: [(&str, &str); 3] =
    [("analysis_limit", "0"), ("locking_mode", "NORMAL"), ("max_page_count", "4294967294")];

/// The settings that newer releases of the sqlite3 program change, with the values of the library. The output is off,
/// and `.bail` comes later, because older programs do not know all of these commands.
const PROGRAM: &str =
    ".output /dev/null\n.dbconfig defensive off\n.dbconfig dqs_ddl on\n.dbconfig dqs_dml on\n.output\n";

/// Returns whether a text may change the session: settings, temporary tables, attached files.
pub(crate) fn leaves_session_state(text: &str) -> bool {
    ["pragma", "temp", "attach"].into_iter().any(|word| mentions(text, word))
}

/// Returns whether a text has a word, in any case, be it a part of a longer one.
pub(crate) fn mentions(text: &str, word: &str) -> bool {
    let (text, word) = (text.as_bytes(), word.as_bytes());
    let Some(first) = word.first() else {
        return true;
    };
    let mut beginnings = memchr2_iter(first.to_ascii_lowercase(), first.to_ascii_uppercase(), text);
    beginnings.any(|at| text[at..].get(..word.len()).is_some_and(|part| part.eq_ignore_ascii_case(word)))
}

/// Returns the first lines of a printed script, which give it the session of a run whatever the program's own settings
/// are.
pub(super) fn opening(busy_ms: u128) -> String {
    format!("{PROGRAM}.bail on\n{}", settings(busy_ms))
}

/// Returns the statements of all settings, several on each line.
fn settings(busy_ms: u128) -> String {
    const A_LINE: usize = 4;
    let statements = SETTINGS.map(|(name, value)| format!("PRAGMA {name} = {value};"));
    let lines: String = statements.chunks(A_LINE).map(|some| some.join(" ") + "\n").collect();
    format!(".timeout {busy_ms}\n{lines}")
}

/// The changes of one file to the session of the printed script.
#[derive(Default)]
pub(super) struct SessionState {
    touched: bool,
    /// The names of attached databases, as the file writes them.
    attached: Vec<String>,
    attaches: bool,
    /// The settings of [`PRINTING`] that the file names.
    printing: Vec<(&'static str, &'static str)>,
    /// True if the file sets a journal mode that ends with its connection.
    journal: bool,
}

impl SessionState {
    /// Records the changes of the statements in a batch.
    pub(super) fn note(&mut self, batch: &Batch) {
        if leaves_session_state(&batch.text) {
            self.touched = true;
        } else if !mentions(&batch.text, "detach") {
            return;
        }
        self.attaches |= mentions(&batch.text, "attach");
        for setting in PRINTING {
            if mentions(&batch.text, setting.0) && !self.printing.contains(&setting) {
                self.printing.push(setting);
            }
        }
        for index in 0..batch.starts.len() {
            self.note_statement(batch.statement(index));
        }
    }

    fn note_statement(&mut self, statement: &str) {
        let mut lexer = Lexer::new(statement, Dialect::Sqlite);
        lexer.next();
        if lexer.is("ATTACH") {
            self.attached.extend(attached_name(lexer));
        } else if lexer.is("DETACH") {
            let tokens = tokens(lexer);
            let name = tokens.iter().rev().find(|token| **token != ";");
            self.attached.retain(|attached| name.is_none_or(|name| bare(attached) != bare(name)));
        } else if mentions(statement, "journal_mode") {
            const OF_THE_CONNECTION: [&str; 4] = ["off", "memory", "truncate", "persist"];
            let tokens = tokens(lexer);
            let sets = |mode: &&str| tokens.iter().any(|token| bare(token) == *mode);
            let persistent = sets(&"wal") || sets(&"delete");
            self.journal = OF_THE_CONNECTION.iter().any(sets) || (self.journal && !persistent);
        }
    }

    /// Returns a statement for before the transaction with the last row of a file: with it, COMMIT waits until
    /// everything that the file has written is on the disk, whatever the file has set.
    pub(super) fn durable(&self) -> &'static str {
        if self.touched { "PRAGMA synchronous = FULL;\n" } else { "" }
    }

    /// Returns the statements that reset the session to its state at the beginning of a file.
    pub(super) fn reset(&self, busy_ms: u128) -> String {
        if !self.touched {
            return String::new();
        }
        let mut text = format!("-- Nothing that this file has set reaches the next.\n{}", settings(busy_ms));
        if self.journal {
            text.push_str("PRAGMA main.journal_mode = DELETE;\n");
        }
        for (name, value) in &self.printing {
            text.push_str(&format!("PRAGMA {name} = {value};\n"));
        }
        for name in &self.attached {
            text.push_str(&format!("DETACH {name};\n"));
        }
        if self.attaches {
            text.push_str(&format!(
                "-- \"malformed JSON\" means that the file has left a database attached.\nSELECT json('attached') WHERE EXISTS (SELECT 1 FROM pragma_database_list WHERE name NOT IN ('main', 'temp', '{NOTES}'));\n"
            ));
        }
        text
    }
}

/// Returns the tokens behind the latest one.
fn tokens<'t>(mut lexer: Lexer<'t>) -> Vec<&'t str> {
    let mut found = Vec::new();
    while !matches!(lexer.next(), Token::End | Token::Unterminated(_)) {
        found.push(lexer.token());
    }
    found
}

/// Returns the name behind the last AS of an ATTACH statement.
fn attached_name(lexer: Lexer<'_>) -> Option<String> {
    let tokens = tokens(lexer);
    let at = tokens.iter().rposition(|token| token.eq_ignore_ascii_case("AS"))?;
    tokens.get(at + 1).map(|name| (*name).to_owned())
}

/// Returns a name without its quotes, in lower case.
fn bare(token: &str) -> String {
    let quotes = ['\'', '"', '`', '[', ']'];
    token.trim_matches(quotes).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revision::Batches;
    use crate::revision::{BatchLimit, TransactionMode};

    fn state(text: &'static str) -> SessionState {
        let mut batches = Batches::new(Box::new(text.as_bytes()), Dialect::Sqlite, TransactionMode::NoTransaction);
        let mut state = SessionState::default();
        while let Some(batch) = batches.next(BatchLimit::Bytes(1 << 16)).unwrap() {
            state.note(&batch);
        }
        state
    }

    #[test]
    fn a_file_without_such_words_leaves_nothing() {
        assert_eq!(state("create table t (a); insert into t values (1);").reset(5000), "");
        assert!(state("create table temp.t (a)").reset(5000).contains("temp_store = MEMORY"));
    }

    #[test]
    fn databases_that_stay_attached_are_detached() {
        let names = |text| state(text).attached;
        assert_eq!(names("attach 'a as b' as c; ATTACH DATABASE 'x' AS \"d e\";"), ["c", "\"d e\""]);
        assert_eq!(names("attach 'x' as a; attach 'y' as [b]; detach database \"A\";"), ["[b]"]);
        assert_eq!(names("attach 'x' as a; detach 'a'; attach 'y' as a"), ["a"]);
    }

    #[test]
    fn only_a_journal_mode_that_ends_with_its_connection_is_reset() {
        for (text, resets) in [
            ("pragma journal_mode = off;", true),
            ("pragma main.journal_mode('memory');", true),
            ("pragma journal_mode = wal;", false),
            ("pragma journal_mode = persist; pragma journal_mode = delete;", false),
            ("pragma journal_mode = truncate; pragma journal_mode;", true),
            ("pragma user_version = 1;", false),
        ] {
            assert_eq!(state(text).reset(5000).contains("journal_mode = DELETE"), resets, "{text}");
        }
    }
}
