//! Finds the statements of a script that cannot run where they are, and describes the remedy.

use super::backslash::EscapeReason;
use super::lexer::{Lexer, Token};
use super::statements::Statement;
use crate::dialect::Dialect;

/// The reason why a statement cannot run where its file has it. Problems are found before anything runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScriptProblem {
    /// The statement begins or ends a transaction, which the run does itself.
    TransactionControl,
    /// The statement needs a transaction, and the script has none.
    Savepoint,
    /// The statement refuses to run in a transaction.
    NeedsNoTransaction,
    /// The statement is `COPY ... FROM STDIN` or `TO STDOUT`, whose data goes through the client.
    CopyFromStdin,
    /// The line is a command of psql or of the sqlite3 shell.
    MetaCommand,
    /// A string literal has a backslash that may escape what follows it.
    Backslash(EscapeReason),
    /// The statement makes the server read what follows in another encoding.
    ClientEncoding,
}

/// The mode in which the file runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TransactionMode {
    /// All statements and the history row in one transaction.
    #[default]
    Transaction,
    /// Statement by statement (`-- no-transaction`).
    NoTransaction,
}

impl ScriptProblem {
    /// Returns a sentence for the log that describes the problem of a statement and its remedy.
    pub fn advice(self, dialect: Dialect, statement: &str) -> String {
        let advice = match (self, dialect) {
            (ScriptProblem::TransactionControl, _) => {
                "the runner makes the transaction itself: remove BEGIN, COMMIT and ROLLBACK"
            }
            (ScriptProblem::Savepoint, _) => {
                "SAVEPOINT needs a transaction and the file has none: remove it, or the line `-- no-transaction`"
            }
            (ScriptProblem::NeedsNoTransaction, Dialect::Sqlite) if switches_foreign_keys(statement) => {
                "remove it: foreign keys are switched off while a migration runs and are checked before \
                 it commits"
            }
            (ScriptProblem::NeedsNoTransaction, _) => {
                "this statement cannot run inside a transaction: add the line `-- no-transaction` at the \
                 top of the file (best in a file of its own)"
            }
            (ScriptProblem::CopyFromStdin, _) => {
                "COPY data blocks cannot be run: use INSERT statements (pg_dump --inserts)"
            }
            (ScriptProblem::MetaCommand, Dialect::Postgres) => {
                "it is a command of psql, not SQL: remove the line (pg_dump's \\restrict and \\unrestrict \
                 lines may be removed too)"
            }
            (ScriptProblem::MetaCommand, Dialect::Sqlite) => {
                "it is a command of the sqlite3 shell, not SQL: remove the line"
            }
            (ScriptProblem::Backslash(reason), _) => return reason.advice(),
            (ScriptProblem::ClientEncoding, _) => {
                "files are sent as UTF-8, and this statement makes the server read what follows in another \
                 encoding: remove it"
            }
        };
        advice.to_owned()
    }
}

/// Returns the reason why a statement that [`scan`](super::statements::scan) found in `text` cannot run, if there is
/// one.
///
/// The statements that refuse to run in a transaction are those of which the PostgreSQL manual says so in part VI "SQL
/// Commands", and those of SQLite's "PRAGMA Statements" and "VACUUM".
pub fn find_problem(
    statement: &Statement,
    text: &str,
    dialect: Dialect,
    mode: TransactionMode,
) -> Option<ScriptProblem> {
    let text = text.get(statement.start..statement.end)?;
    if text.as_bytes().first() == Some(&dialect.meta()) {
        return Some(ScriptProblem::MetaCommand);
    }
    let mut lexer = Lexer::new(text, dialect);
    lexer.next();
    let verb = lexer.token().to_ascii_uppercase();
    if controls_transaction(&verb, &lexer) {
        return Some(ScriptProblem::TransactionControl);
    }
    // SQLite begins a transaction here, in which all that follows would be lost; PostgreSQL refuses it by itself.
    if (dialect, mode) == (Dialect::Sqlite, TransactionMode::NoTransaction)
        && matches!(verb.as_str(), "SAVEPOINT" | "RELEASE" | "ROLLBACK")
    {
        return Some(ScriptProblem::Savepoint);
    }
    if dialect == Dialect::Postgres && verb == "COPY" && copies_through_client(lexer.clone()) {
        return Some(ScriptProblem::CopyFromStdin);
    }
    let refused = match (mode, dialect) {
        (TransactionMode::NoTransaction, _) => false,
        (TransactionMode::Transaction, Dialect::Postgres) => postgres_refuses(&verb, &lexer),
        (TransactionMode::Transaction, Dialect::Sqlite) => sqlite_refuses(&verb, lexer),
    };
    refused.then_some(ScriptProblem::NeedsNoTransaction)
}

/// Returns the next few words in upper case, with spaces between them; `"` replaces an identifier in quotes.
fn leading_keywords(mut lexer: Lexer) -> String {
    const ENOUGH: usize = 16;
    let mut words = Vec::with_capacity(ENOUGH);
    while words.len() < ENOUGH {
        match lexer.next() {
            Token::Word => words.push(lexer.token()),
            Token::Name => words.push("\""),
            Token::Unterminated(_) | Token::End => break,
            Token::Literal | Token::Symbol(_) => {}
        }
    }
    words.join(" ").to_ascii_uppercase()
}

fn begin_with(words: &str, phrases: &[&str]) -> bool {
    let mut rests = phrases.iter().filter_map(|it| words.strip_prefix(it));
    rests.any(|rest| rest.is_empty() || rest.starts_with(' '))
}

fn controls_transaction(verb: &str, lexer: &Lexer) -> bool {
    let next = |phrases: &[&str]| begin_with(&leading_keywords(lexer.clone()), phrases);
    match verb {
        "ABORT" | "BEGIN" | "COMMIT" | "END" => true,
        "PREPARE" | "START" => next(&["TRANSACTION"]),
        "ROLLBACK" => !next(&["TO", "WORK TO", "TRANSACTION TO"]),
        _ => false,
    }
}

/// Returns whether a COPY is `FROM STDIN` or `TO STDOUT`. psql and the server accept either word in either direction.
fn copies_through_client(mut lexer: Lexer) -> bool {
    let mut depth = 0;
    loop {
        match lexer.next() {
            Token::Symbol(b'(') => depth += 1,
            Token::Symbol(b')') => depth -= 1,
            Token::Word if depth == 0 && (lexer.is("FROM") || lexer.is("TO")) => break,
            Token::Unterminated(_) | Token::End => return false,
            _ => {}
        }
    }
    begin_with(&leading_keywords(lexer), &["STDIN", "STDOUT"])
}

fn postgres_refuses(verb: &str, lexer: &Lexer) -> bool {
    let phrases: &[&str] = match verb {
        "VACUUM" => return true,
        "ALTER" => return alter_refuses(&leading_keywords(lexer.clone()), lexer),
        "CLUSTER" => return matches!(leading_keywords(lexer.clone()).as_str(), "" | "VERBOSE"),
        "REINDEX" => return reindex_refuses(&leading_keywords(lexer.clone())),
        "CREATE" => &["DATABASE", "INDEX CONCURRENTLY", "SUBSCRIPTION", "TABLESPACE", "UNIQUE INDEX CONCURRENTLY"],
        "DISCARD" => &["ALL"],
        "DROP" => &["DATABASE", "INDEX CONCURRENTLY", "SUBSCRIPTION", "TABLESPACE"],
        _ => return false,
    };
    let words = leading_keywords(lexer.clone());
    let subscribes = verb == "CREATE" && begin_with(&words, &["SUBSCRIPTION"]);
    begin_with(&words, phrases) && !(subscribes && is_off(lexer, &["CONNECT", "CREATE_SLOT"]))
}

fn reindex_refuses(words: &str) -> bool {
    let mut kinds =
        words.split(' ').filter(|word| matches!(*word, "INDEX" | "TABLE" | "SCHEMA" | "DATABASE" | "SYSTEM"));
    words.split(' ').any(|word| word == "CONCURRENTLY")
        || matches!(kinds.next(), Some("SCHEMA" | "DATABASE" | "SYSTEM"))
}

fn alter_refuses(words: &str, lexer: &Lexer) -> bool {
    let (what, _) = words.split_once(' ').unwrap_or((words, ""));
    let changes_publications = || {
        let mut verbs = ["ADD", "DROP", "SET"].iter();
        verbs.any(|verb| words.contains(&format!(" {verb} PUBLICATION")))
    };
    match what {
        "SYSTEM" => true,
        "DATABASE" => words.contains(" SET TABLESPACE"),
        "TABLE" => words.contains(" DETACH PARTITION ") && words.ends_with(" CONCURRENTLY"),
        "SUBSCRIPTION" if changes_publications() => !is_off(lexer, &["REFRESH"]),
        "SUBSCRIPTION" => words.contains(" REFRESH PUBLICATION"),
        _ => false,
    }
}

/// Returns whether one of these options of a subscription is given as false.
fn is_off(lexer: &Lexer, options: &[&str]) -> bool {
    let mut lexer = lexer.clone();
    let mut named = false;
    loop {
        let token = lexer.next();
        let is = |word: &&str| lexer.is(word);
        named = match token {
            Token::Unterminated(_) | Token::End => return false,
            Token::Symbol(b'=') => named,
            Token::Word if options.iter().any(is) => true,
            _ if named && ["FALSE", "OFF", "0", "'FALSE'", "'OFF'"].iter().any(is) => return true,
            _ => false,
        };
    }
}

/// Returns whether a SQLite statement must not run in a transaction. `foreign_keys`, `journal_mode`, `synchronous` and
/// `temp_store` cannot be set in one, some of them without an error (SQLite's "PRAGMA Statements"). A checkpoint or a
/// `DETACH` fails there as soon as the transaction has used the database ("database is locked").
fn sqlite_refuses(verb: &str, lexer: Lexer) -> bool {
    if verb != "PRAGMA" {
        return matches!(verb, "DETACH" | "VACUUM");
    }
    let (name, next) = pragma(lexer);
    let is_set = matches!(next, Token::Symbol(b'=' | b'('));
    match name.to_ascii_lowercase().as_str() {
        "foreign_keys" | "journal_mode" | "synchronous" | "temp_store" => is_set,
        "wal_checkpoint" => true,
        _ => false,
    }
}

/// Returns the name of a pragma, without its schema, and the token behind it.
fn pragma(mut lexer: Lexer<'_>) -> (&str, Token) {
    lexer.next();
    let mut name = lexer.token();
    let mut token = lexer.next();
    if token == Token::Symbol(b'.') {
        lexer.next();
        name = lexer.token();
        token = lexer.next();
    }
    (name, token)
}

fn switches_foreign_keys(statement: &str) -> bool {
    let mut lexer = Lexer::new(statement, Dialect::Sqlite);
    lexer.next();
    lexer.is("PRAGMA") && pragma(lexer).0.eq_ignore_ascii_case("foreign_keys")
}

/// Returns whether a statement sets up the session for those behind it: its effect ends with the session, and a
/// repetition changes nothing else.
pub fn sets_session(statement: &str, dialect: Dialect) -> bool {
    let mut lexer = Lexer::new(statement, dialect);
    lexer.next();
    let verb = lexer.token().to_ascii_uppercase();
    match (dialect, verb.as_str()) {
        (Dialect::Postgres, "SELECT") => begin_with(&leading_keywords(lexer), &["SET_CONFIG", "PG_CATALOG SET_CONFIG"]),
        (Dialect::Postgres, verb) => matches!(verb, "LOAD" | "PREPARE" | "RESET" | "SET"),
        (Dialect::Sqlite, verb) => matches!(verb, "ATTACH" | "DETACH" | "PRAGMA"),
    }
}

/// Returns whether a statement of a script without a transaction can share one with its own history row, so that both
/// are committed or neither is. A statement that may end a transaction itself, or call something that does, cannot.
pub fn is_ordinary(statement: &str, dialect: Dialect) -> bool {
    const VERBS: [&str; 12] = [
        "ALTER", "COMMENT", "CREATE", "DELETE", "DROP", "GRANT", "INSERT", "REPLACE", "REVOKE", "TRUNCATE", "UPDATE",
        "WITH",
    ];
    // Only for PostgreSQL: in SQLite, such statements change no data.
    const POSTGRES: [&str; 13] = [
        "ANALYZE", "CLUSTER", "COPY", "EXECUTE", "EXPLAIN", "IMPORT", "MERGE", "NOTIFY", "REFRESH", "REINDEX",
        "SECURITY", "SELECT", "VALUES",
    ];
    let mut lexer = Lexer::new(statement, dialect);
    lexer.next();
    let is_one = |verbs: &[&str]| verbs.iter().any(|verb| lexer.is(verb));
    let may_be = match dialect {
        Dialect::Postgres => is_one(&VERBS) || is_one(&POSTGRES) || is_plain_block(&lexer, statement),
        Dialect::Sqlite => is_one(&VERBS),
    };
    let whole = Statement { start: 0, end: statement.len() };
    may_be
        && !sets_session(statement, dialect)
        && find_problem(&whole, statement, dialect, TransactionMode::Transaction).is_none()
}

/// Returns whether a statement is a DO block without a word that could end a transaction.
fn is_plain_block(lexer: &Lexer, statement: &str) -> bool {
    let text = statement.to_ascii_lowercase();
    lexer.is("DO") && !["commit", "rollback", "call"].iter().any(|word| text.contains(word))
}

/// Returns whether a PostgreSQL statement refuses to run in a transaction. Such a statement waits for locks without a
/// limit: a concurrent build that gives up leaves an invalid index behind, and blocks no other session while it waits.
pub fn runs_alone(text: &str) -> bool {
    let whole = Statement { start: 0, end: text.len() };
    find_problem(&whole, text, Dialect::Postgres, TransactionMode::Transaction)
        == Some(ScriptProblem::NeedsNoTransaction)
}

#[cfg(test)]
mod tests {
    use super::super::statements::{Window, WindowScan, scan};
    use super::*;
    use crate::dialect::Dialect::{Postgres, Sqlite};

    /// Checks the problem of each statement of a script in a transaction, and outside of one.
    fn check(dialect: Dialect, script: &str, expected: [Option<ScriptProblem>; 2]) {
        for line in script.lines().map(str::trim) {
            let WindowScan::Statement(found) = scan(line, dialect, Window::Last) else {
                panic!("{line}");
            };
            let in_mode = |mode| find_problem(&found, line, dialect, mode);
            let said = [TransactionMode::Transaction, TransactionMode::NoTransaction].map(in_mode);
            assert_eq!(said, expected, "{dialect:?} {line}");
        }
    }

    #[test]
    fn objects_in_both_modes() {
        let control = [Some(ScriptProblem::TransactionControl); 2];
        let shared = "begin;
/* c */ commit and chain
END
rollback;
rollback and chain";
        check(Postgres, shared, control);
        check(Sqlite, shared, control);
        check(Sqlite, "\u{feff}commit\n/* c */\u{feff}\u{feff} begin\n \x0bend", control);
        let postgres = "start transaction\nabort\nprepare transaction 'a'\ncommit prepared 'a'\n\
             rollback prepared 'a'\nrollback work";
        check(Postgres, postgres, control);
        let copy = "copy t from stdin;\nCOPY \"from\".t (a, \"to\", c) From /* c */ STDIN with csv\n\
             copy (select a from stdin) to stdout\ncopy binary t from stdin";
        check(Postgres, copy, [Some(ScriptProblem::CopyFromStdin); 2]);
        let meta = [Some(ScriptProblem::MetaCommand); 2];
        check(Postgres, "\\connect a\n  \\.\n /* c */ \\restrict x", meta);
        check(Sqlite, ".mode csv\n  .tables", meta);
    }

    #[test]
    fn objects_within_a_transaction() {
        let alone = [Some(ScriptProblem::NeedsNoTransaction), None];
        let postgres = "create index concurrently on t (a) where connect = false
            create unique index concurrently i on t (a)
            drop index concurrently if exists i
            reindex index concurrently i
            reindex (verbose, concurrently) table t
            reindex (verbose) schema s
            REINDEX DATABASE
            reindex system d
            alter table if exists only \"a\".b detach partition \"c\".d concurrently;
            vacuum (analyze) t
            alter system set a = 1
            create database d
            drop database d
            alter database d set tablespace t
            create tablespace t location 'a'
            drop tablespace t
            cluster
            cluster (verbose)
            discard all
            create subscription s connection '' publication p with (copy_data = false)
            drop subscription s
            alter subscription s refresh publication with (copy_data = false)
            alter subscription s add publication p";
        check(Postgres, postgres, alone);
        let sqlite = "vacuum into 'a'
            detach x
            pragma foreign_keys = off
            PRAGMA main.journal_mode(wal)
            pragma synchronous=1
            pragma temp_store = 2
            pragma wal_checkpoint";
        check(Sqlite, sqlite, alone);
    }

    #[test]
    fn allows_the_rest() {
        let postgres = "savepoint a
            release savepoint a
            rollback to a
            rollback work to savepoint a
            rollback transaction to a
            prepare a as select 1
            \"begin\"
            create index \"concurrently\" on t (concurrently)
            create index concurrently_i on t (a)
            refresh materialized view concurrently v
            reindex table system
            alter table \"concurrently\" detach partition d
            alter database d set a = 1
            cluster t
            cluster \"t\" using i
            create subscription s connection '' publication a, b, c, d, e, f, g, h, i, j, k, l, m with (connect = false)
            create subscription s connection '' publication p with (a, create_slot = 'off')
            alter subscription s set publication p with (refresh = false)
            copy t from 'stdin'
            copy t (\"from\") to program 'stdout'
            insert into copy values ('from stdin')";
        check(Postgres, postgres, [None; 2]);
        check(Sqlite, "savepoint a\nrollback transaction to a\nrelease a", [None, Some(ScriptProblem::Savepoint)]);
        let sqlite = "attach 'a' as b
            pragma foreign_keys
            pragma table_info(journal_mode)
            pragma defer_foreign_keys = on
            pragma main.user_version = 1
            copy t from stdin";
        check(Sqlite, sqlite, [None; 2]);
    }

    #[test]
    fn ordinary_statements_share_a_transaction_with_their_row() {
        for (dialect, statement, ordinary) in [
            (Postgres, "insert into t values (1);", true),
            (Postgres, "/* c */ Create Table t ()", true),
            (Postgres, "create index concurrently i on t (a)", false),
            (Postgres, "alter system set a = 1", false),
            (Postgres, "call p()", false),
            (Postgres, "do $$ begin commit; end $$", false),
            (Postgres, "do $$ begin perform f(); end $$", true),
            (Postgres, "do $$ begin call p(); end $$", false),
            (Postgres, "select f()", true),
            (Postgres, "select set_config('a', '', false)", false),
            (Postgres, "with a as (delete from t returning *) insert into b select * from a", true),
            (Postgres, "reindex table t", true),
            (Postgres, "reindex table concurrently t", false),
            (Postgres, "vacuum", false),
            (Postgres, "set a = 1", false),
            (Sqlite, "replace into t values (1)", true),
            (Sqlite, "with a as (select 1) insert into t select * from a", true),
            (Sqlite, "select 1", false),
            (Sqlite, "vacuum", false),
            (Sqlite, "pragma user_version = 1", false),
        ] {
            assert_eq!(is_ordinary(statement, dialect), ordinary, "{dialect:?} {statement}");
        }
        for (dialect, statement, sets) in [
            (Postgres, "set local a = 1", true),
            (Postgres, "select pg_catalog.set_config('a', '', false)", true),
            (Postgres, "select set_configuration()", false),
            (Postgres, "update t set a = 1", false),
            (Sqlite, "ATTACH 'a' AS b", true),
            (Sqlite, "set a", false),
        ] {
            assert_eq!(sets_session(statement, dialect), sets, "{dialect:?} {statement}");
        }
    }

    #[test]
    fn advises_in_a_sentence() {
        use ScriptProblem::{CopyFromStdin, MetaCommand, NeedsNoTransaction, TransactionControl};
        for (objection, dialect, statement, part) in [
            (TransactionControl, Postgres, "begin;", "remove BEGIN, COMMIT and ROLLBACK"),
            (NeedsNoTransaction, Postgres, "vacuum;", "`-- no-transaction` at the top of the file"),
            (NeedsNoTransaction, Postgres, "pragma foreign_keys = off", "`-- no-transaction`"),
            (NeedsNoTransaction, Sqlite, "pragma journal_mode = wal;", "`-- no-transaction`"),
            (NeedsNoTransaction, Sqlite, "vacuum foreign_keys", "`-- no-transaction`"),
            (NeedsNoTransaction, Sqlite, "pragma foreign_keys = off;", "remove it: foreign keys"),
            (NeedsNoTransaction, Sqlite, "-- a\nPragma /* b */ Main.Foreign_Keys(0)", "remove it: foreign keys"),
            (CopyFromStdin, Postgres, "copy t from stdin;", "pg_dump --inserts"),
            (MetaCommand, Postgres, "\\connect a", "psql, not SQL: remove the line (pg_dump's \\restrict and"),
            (MetaCommand, Sqlite, ".mode csv", "sqlite3 shell, not SQL: remove the line"),
        ] {
            let advice = objection.advice(dialect, statement);
            assert!(advice.contains(part) && !advice.contains("  "), "{statement}: {advice}");
        }
    }
}
