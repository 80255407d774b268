//! Classifies a statement by its first words: which scripts it can run in, and what it does to the session.
//!
//! Each statement is classified once, when the script is cut into batches; whoever runs or prints it asks the result.

use super::keywords::{Keywords, has_phrase, pragma};
use super::lexer::{Lexer, Token};
use super::literals::LiteralUse;
use super::script_problem::{ScriptProblem, TransactionMode};
use crate::dialect::Dialect;

/// The properties of a statement that decide how it is run.
#[derive(Clone, Debug)]
pub(crate) struct Classified {
    restriction: Restriction,
    /// True if the statement sets up the session for those behind it: its effect ends with the session, and a
    /// repetition changes nothing else.
    pub(crate) sets_session: bool,
    /// True if the statement of a script without a transaction can share one with its own history row, so that both are
    /// committed or neither is. A statement that may end a transaction itself, or call something that does, cannot.
    pub(crate) is_ordinary: bool,
    /// The string literals of the statement, and the settings that decide how they are read.
    pub(super) literals: LiteralUse,
}

/// The scripts in which a statement cannot run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Restriction {
    /// It can run in every script.
    None,
    /// It can run in none, for this reason.
    Always(ScriptProblem),
    /// It is a BEGIN or COMMIT without options: a script that is one transaction does the same without it.
    Bracket,
    /// It needs a transaction.
    NeedsTransaction,
    /// It refuses to run in a transaction.
    RefusesTransactions,
}

impl Classified {
    /// Classifies a statement: its text begins with its first token.
    pub(crate) fn new(statement: &str, dialect: Dialect) -> Classified {
        let mut lexer = Lexer::new(statement, dialect);
        lexer.next();
        let verb = lexer.token().to_ascii_uppercase();
        let literals = match dialect {
            Dialect::Postgres => LiteralUse::new(statement, &verb, &lexer),
            Dialect::Sqlite => LiteralUse::default(),
        };
        let restriction = match statement.as_bytes().first() == Some(&dialect.meta()) {
            true => Restriction::Always(ScriptProblem::MetaCommand),
            false => restriction(&verb, &lexer),
        };
        let sets_session = sets_session(&verb, &lexer);
        let is_free = matches!(restriction, Restriction::None | Restriction::NeedsTransaction);
        let is_ordinary = is_free && !sets_session && may_share_transaction(&verb, dialect, statement);
        Classified { restriction, sets_session, is_ordinary, literals }
    }

    /// Returns the reason why the statement cannot run in a script of this mode, if there is one.
    pub(crate) fn problem(&self, mode: TransactionMode) -> Option<ScriptProblem> {
        match (self.restriction, mode) {
            (Restriction::Always(problem), _) => Some(problem),
            (Restriction::Bracket, _) => Some(ScriptProblem::TransactionControl),
            (Restriction::NeedsTransaction, TransactionMode::NoTransaction) => Some(ScriptProblem::Savepoint),
            (Restriction::RefusesTransactions, TransactionMode::Transaction) => Some(ScriptProblem::NeedsNoTransaction),
            _ => None,
        }
    }

    /// Returns whether the statement is a BEGIN or COMMIT without options.
    pub(super) fn is_bracket(&self) -> bool {
        self.restriction == Restriction::Bracket
    }

    /// Returns whether the statement refuses to run in a transaction. On PostgreSQL such a statement waits for locks
    /// without a limit: a concurrent build that gives up leaves an invalid index behind, and blocks no other session
    /// while it waits.
    pub(crate) fn refuses_transactions(&self) -> bool {
        self.restriction == Restriction::RefusesTransactions
    }
}

/// Returns the restriction of a statement with this verb, in upper case; `lexer` is behind the verb.
///
/// The statements that refuse to run in a transaction are those of which the PostgreSQL manual says so in part VI "SQL
/// Commands", and those of SQLite's "PRAGMA Statements" and "VACUUM".
fn restriction(verb: &str, lexer: &Lexer) -> Restriction {
    if is_bracket(verb, lexer) {
        return Restriction::Bracket;
    }
    if controls_transaction(verb, lexer) {
        return Restriction::Always(ScriptProblem::TransactionControl);
    }
    let refuses = match lexer.dialect {
        // SQLite begins a transaction here, in which all that follows would be lost; PostgreSQL refuses it by itself.
        Dialect::Sqlite if matches!(verb, "SAVEPOINT" | "RELEASE" | "ROLLBACK") => {
            return Restriction::NeedsTransaction;
        }
        Dialect::Sqlite => sqlite_refuses(verb, lexer),
        Dialect::Postgres if verb == "COPY" && copies_through_client(lexer) => {
            return Restriction::Always(ScriptProblem::CopyFromStdin);
        }
        Dialect::Postgres => postgres_refuses(verb, lexer),
    };
    if refuses { Restriction::RefusesTransactions } else { Restriction::None }
}

fn is_bracket(verb: &str, lexer: &Lexer) -> bool {
    let mut words = Keywords::after(lexer);
    let begins = match verb {
        "BEGIN" => true,
        "START" if words.next_is("TRANSACTION") => true,
        "COMMIT" | "END" => false,
        _ => return false,
    };
    let is_option = |word: &&str| match lexer.dialect {
        Dialect::Sqlite if begins => is_one(word, &["TRANSACTION", "DEFERRED", "IMMEDIATE", "EXCLUSIVE"]),
        _ => is_one(word, &["TRANSACTION", "WORK"]),
    };
    loop {
        match words.next() {
            "" => return true,
            word if is_option(&word) => {}
            _ => return false,
        }
    }
}

fn controls_transaction(verb: &str, lexer: &Lexer) -> bool {
    let mut words = Keywords::after(lexer);
    match verb {
        "ABORT" | "BEGIN" | "COMMIT" | "END" => true,
        "PREPARE" | "START" => words.next_is("TRANSACTION"),
        "ROLLBACK" => match words.next() {
            "" => true,
            word if is_one(word, &["WORK", "TRANSACTION"]) => !words.next_is("TO"),
            word => !is_one(word, &["TO"]),
        },
        _ => false,
    }
}

fn is_one(word: &str, words: &[&str]) -> bool {
    words.iter().any(|other| word.eq_ignore_ascii_case(other))
}

/// Returns whether a COPY is `FROM STDIN` or `TO STDOUT`. psql and the server accept either word in either direction.
fn copies_through_client(lexer: &Lexer) -> bool {
    let mut lexer = lexer.clone();
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
    is_one(Keywords::after(&lexer).next(), &["STDIN", "STDOUT"])
}

fn postgres_refuses(verb: &str, lexer: &Lexer) -> bool {
    let mut words = Keywords::after(lexer);
    match verb {
        "VACUUM" => true,
        "ALTER" => alter_refuses(&words.collect(), lexer),
        "CLUSTER" => match words.next() {
            "" => true,
            word => is_one(word, &["VERBOSE"]) && words.next().is_empty(),
        },
        "REINDEX" => reindex_refuses(&words.collect()),
        "CREATE" => creates_or_drops_alone(words) && !makes_no_connection(lexer),
        "DISCARD" => words.next_is("ALL"),
        "DROP" => creates_or_drops_alone(words),
        _ => false,
    }
}

/// Returns whether CREATE or DROP of what these words name refuses to run in a transaction.
fn creates_or_drops_alone(mut words: Keywords) -> bool {
    let kind = match words.next() {
        word if is_one(word, &["UNIQUE"]) => words.next(),
        word => word,
    };
    match is_one(kind, &["INDEX"]) {
        true => words.next_is("CONCURRENTLY"),
        false => is_one(kind, &["DATABASE", "SUBSCRIPTION", "TABLESPACE"]),
    }
}

/// Returns whether a statement behind CREATE makes a subscription without connecting to the publisher.
fn makes_no_connection(lexer: &Lexer) -> bool {
    Keywords::after(lexer).next_is("SUBSCRIPTION") && is_off(lexer, &["CONNECT", "CREATE_SLOT"])
}

fn reindex_refuses(words: &[&str]) -> bool {
    let mut kinds = words.iter().filter(|word| is_one(word, &["INDEX", "TABLE", "SCHEMA", "DATABASE", "SYSTEM"]));
    words.iter().any(|word| is_one(word, &["CONCURRENTLY"]))
        || kinds.next().is_some_and(|kind| is_one(kind, &["SCHEMA", "DATABASE", "SYSTEM"]))
}

fn alter_refuses(words: &[&str], lexer: &Lexer) -> bool {
    let Some((what, rest)) = words.split_first() else {
        return false;
    };
    let has = |first: &str, second: &str| has_phrase(rest, [first, second]);
    if is_one(what, &["TABLE"]) {
        return rest.last().is_some_and(|last| is_one(last, &["CONCURRENTLY"])) && has("DETACH", "PARTITION");
    }
    if is_one(what, &["SUBSCRIPTION"]) {
        let changes_publications = ["ADD", "DROP", "SET"].iter().any(|verb| has(verb, "PUBLICATION"));
        return match changes_publications {
            true => !is_off(lexer, &["REFRESH"]),
            false => has("REFRESH", "PUBLICATION"),
        };
    }
    is_one(what, &["SYSTEM"]) || is_one(what, &["DATABASE"]) && has("SET", "TABLESPACE")
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
fn sqlite_refuses(verb: &str, lexer: &Lexer) -> bool {
    if verb != "PRAGMA" {
        return matches!(verb, "DETACH" | "VACUUM");
    }
    let (name, next) = pragma(lexer.clone());
    let is_set = matches!(next, Token::Symbol(b'=' | b'('));
    match name.to_ascii_lowercase().as_str() {
        "foreign_keys" | "journal_mode" | "synchronous" | "temp_store" => is_set,
        "wal_checkpoint" => true,
        _ => false,
    }
}

fn sets_session(verb: &str, lexer: &Lexer) -> bool {
    match (lexer.dialect, verb) {
        (Dialect::Postgres, "SELECT") => {
            let mut words = Keywords::after(lexer);
            let first = words.next();
            is_one(first, &["SET_CONFIG"]) || is_one(first, &["PG_CATALOG"]) && words.next_is("SET_CONFIG")
        }
        (Dialect::Postgres, verb) => matches!(verb, "LOAD" | "PREPARE" | "RESET" | "SET"),
        (Dialect::Sqlite, verb) => matches!(verb, "ATTACH" | "DETACH" | "PRAGMA"),
    }
}

/// Returns whether a statement with this verb can run in one transaction with its history row.
fn may_share_transaction(verb: &str, dialect: Dialect, statement: &str) -> bool {
    match (verb, dialect) {
        (
            "ALTER" | "COMMENT" | "CREATE" | "DELETE" | "DROP" | "GRANT" | "INSERT" | "REPLACE" | "REVOKE" | "TRUNCATE"
            | "UPDATE" | "WITH",
            _,
        ) => true,
        // In SQLite, such statements change no data.
        (
            "ANALYZE" | "CLUSTER" | "COPY" | "EXECUTE" | "EXPLAIN" | "IMPORT" | "MERGE" | "NOTIFY" | "REFRESH"
            | "REINDEX" | "SECURITY" | "SELECT" | "VALUES",
            Dialect::Postgres,
        ) => true,
        ("DO", Dialect::Postgres) => is_plain_block(statement),
        _ => false,
    }
}

/// Returns whether a DO block has no word that could end a transaction.
fn is_plain_block(statement: &str) -> bool {
    let text = statement.to_ascii_lowercase();
    !["commit", "rollback", "call"].iter().any(|word| text.contains(word))
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
            let found = Classified::new(&line[found.start..found.end], dialect);
            let said = [TransactionMode::Transaction, TransactionMode::NoTransaction].map(|mode| found.problem(mode));
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
            assert_eq!(Classified::new(statement, dialect).is_ordinary, ordinary, "{dialect:?} {statement}");
        }
        for (dialect, statement, sets) in [
            (Postgres, "set local a = 1", true),
            (Postgres, "select pg_catalog.set_config('a', '', false)", true),
            (Postgres, "select set_configuration()", false),
            (Postgres, "update t set a = 1", false),
            (Sqlite, "ATTACH 'a' AS b", true),
            (Sqlite, "set a", false),
        ] {
            assert_eq!(Classified::new(statement, dialect).sets_session, sets, "{dialect:?} {statement}");
        }
    }
}
