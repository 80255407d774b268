//! Splits a migration script into statements.
//!
//! A script may be larger than memory should hold. So [`scan`] examines a window of the text that begins behind the
//! previous statement, and asks for a longer window when it needs one.

use super::lexer::{Lexer, Token};
use crate::dialect::Dialect;

/// The position of a window in the script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Window {
    /// More text follows after the window.
    Partial,
    /// The script ends with the window.
    Last,
}

/// The first thing in a window.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum WindowScan {
    /// A statement that ends behind the window: more text has to be read, and the window scanned again.
    Incomplete,
    /// Only white space, comments and stray semicolons, so that there is nothing to run.
    Blank,
    /// The next statement to run.
    Statement(Statement),
    /// A construct (`what`) that opens at the offset `at` and does not close before the script ends (`Window::Last`).
    Unterminated {
        /// The part of the text that is not closed.
        what: &'static str,
        /// The byte at which it begins.
        at: usize,
    },
}

/// The place of a statement in its window, in bytes: from its first token to behind its semicolon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Statement {
    /// The first byte of the statement.
    pub(crate) start: usize,
    /// The first byte behind the statement.
    pub(crate) end: usize,
}

/// Finds the first statement of a window.
///
/// PostgreSQL text is read as psql reads it (manual, section 4.1 "Lexical Structure"; psql, section "Entering SQL
/// Commands"): semicolons inside of parentheses or a `BEGIN ATOMIC` body do not end a statement. SQLite text is read as
/// `sqlite3_complete` reads it: every semicolon ends a statement, also inside of parentheses, but a `CREATE TRIGGER`
/// ends at `; END ;`. A meta-command of a client (`\connect`, `.mode`) ends the statement before it and is a statement
/// up to the end of its line, so that [`Classified::problem`](super::classify::Classified::problem) reports it.
pub(crate) fn scan(text: &str, dialect: Dialect, window: Window) -> WindowScan {
    let mut lexer = Lexer::new(text, dialect);
    let mut token = lexer.next();
    while token == Token::Symbol(b';') {
        token = lexer.next();
    }
    let start = lexer.start;
    if token == Token::Symbol(dialect.meta()) {
        lexer.skip_line();
        return match window {
            Window::Partial if lexer.at == text.len() => WindowScan::Incomplete,
            _ => statement(start, lexer.at),
        };
    }
    let mut nesting = Nesting::new(start);
    let mut end = start;
    loop {
        match token {
            Token::Symbol(b';') if nesting.unclosed().is_none() => {
                return statement(start, lexer.at);
            }
            Token::Symbol(b'\\') if dialect == Dialect::Postgres => return statement(start, end),
            Token::End | Token::Unterminated(_) => break,
            _ => nesting.follow(token, &lexer),
        }
        end = lexer.at;
        token = lexer.next();
    }
    match (window, token, nesting.unclosed()) {
        (Window::Partial, ..) => WindowScan::Incomplete,
        (_, Token::Unterminated(what), _) => WindowScan::Unterminated { what, at: lexer.start },
        (_, _, Some(what)) => WindowScan::Unterminated { what, at: nesting.opened },
        _ if end == start => WindowScan::Blank,
        _ => statement(start, end),
    }
}

fn statement(start: usize, end: usize) -> WindowScan {
    WindowScan::Statement(Statement { start, end })
}

/// The open constructs in which a semicolon does not end the statement.
struct Nesting {
    head: StatementHead,
    previous: PreviousToken,
    parentheses: usize,
    /// One for a `BEGIN ATOMIC` body, and one for each open `CASE` inside of it.
    blocks: usize,
    /// The byte at which the outermost open construct begins.
    opened: usize,
}

/// The kind of statement that the words so far begin.
#[derive(Clone, Copy)]
enum StatementHead {
    Start,
    Explain,
    Create,
    Routine,
    Trigger,
    Plain,
}

/// The previous token, in the detail that the meaning of the next one depends on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PreviousToken {
    Other,
    Begin,
    /// `AS` or a period: the next token is a name, even if it is spelled like a keyword.
    NameNext,
    Semicolon,
    /// An `END` directly after a semicolon.
    TriggerEnd,
}

impl Nesting {
    fn new(start: usize) -> Self {
        Nesting { head: StatementHead::Start, previous: PreviousToken::Other, parentheses: 0, blocks: 0, opened: start }
    }

    fn unclosed(&self) -> Option<&'static str> {
        match self.head {
            StatementHead::Trigger if self.previous != PreviousToken::TriggerEnd => Some("trigger body"),
            _ if self.blocks > 0 => Some("BEGIN ATOMIC body"),
            _ if self.parentheses > 0 => Some("parenthesis"),
            _ => None,
        }
    }

    fn follow(&mut self, token: Token, lexer: &Lexer) {
        // For sqlite3_complete, any token that is not a word makes this an ordinary statement.
        if lexer.dialect == Dialect::Sqlite
            && matches!(self.head, StatementHead::Start | StatementHead::Create)
            && !matches!(token, Token::Word | Token::Symbol(b';'))
        {
            self.head = StatementHead::Plain;
        }
        self.previous = match token {
            Token::Word => match self.head {
                StatementHead::Plain => PreviousToken::Other,
                StatementHead::Routine | StatementHead::Trigger => self.body_word(lexer),
                _ => {
                    self.head = self.head.then(lexer);
                    PreviousToken::Other
                }
            },
            Token::Symbol(b'(') if lexer.dialect == Dialect::Postgres => {
                self.open(lexer);
                self.parentheses += 1;
                PreviousToken::Other
            }
            Token::Symbol(b')') => {
                self.parentheses = self.parentheses.saturating_sub(1);
                PreviousToken::Other
            }
            Token::Symbol(b';') => PreviousToken::Semicolon,
            Token::Symbol(b'.') => PreviousToken::NameNext,
            _ => PreviousToken::Other,
        };
    }

    fn is_outermost(&self) -> bool {
        self.parentheses + self.blocks == 0
    }

    fn open(&mut self, lexer: &Lexer) {
        if self.is_outermost() {
            self.opened = lexer.start;
        }
    }

    /// Reads a word of `CREATE FUNCTION` (manual, "CREATE FUNCTION", `sql_body`) or `CREATE TRIGGER`.
    fn body_word(&mut self, lexer: &Lexer) -> PreviousToken {
        let named = self.previous == PreviousToken::NameNext;
        if lexer.is("AS") {
            return PreviousToken::NameNext;
        }
        if lexer.is("BEGIN") {
            return PreviousToken::Begin;
        }
        if lexer.is("ATOMIC") && self.previous == PreviousToken::Begin && self.is_outermost() {
            self.open(lexer);
            self.blocks = 1;
        } else if lexer.is("CASE") && self.blocks > 0 && !named {
            self.blocks += 1;
        } else if lexer.is("END") && !named {
            self.blocks = self.blocks.saturating_sub(1);
            if self.previous == PreviousToken::Semicolon {
                return PreviousToken::TriggerEnd;
            }
        }
        PreviousToken::Other
    }
}

impl StatementHead {
    fn then(self, lexer: &Lexer) -> StatementHead {
        let is_one_of = |words: &[&str]| words.iter().any(|word| lexer.is(word));
        match (self, lexer.dialect) {
            (StatementHead::Start | StatementHead::Explain, _) if lexer.is("CREATE") => StatementHead::Create,
            (StatementHead::Start, Dialect::Sqlite) if lexer.is("EXPLAIN") => StatementHead::Explain,
            (StatementHead::Explain, _) if !is_one_of(&["EXPLAIN", "TEMP", "TEMPORARY", "TRIGGER", "END"]) => {
                StatementHead::Explain
            }
            (StatementHead::Create, Dialect::Postgres) if is_one_of(&["OR", "REPLACE"]) => StatementHead::Create,
            (StatementHead::Create, Dialect::Postgres) if is_one_of(&["FUNCTION", "PROCEDURE"]) => {
                StatementHead::Routine
            }
            (StatementHead::Create, Dialect::Sqlite) if is_one_of(&["TEMP", "TEMPORARY"]) => StatementHead::Create,
            (StatementHead::Create, Dialect::Sqlite) if lexer.is("TRIGGER") => StatementHead::Trigger,
            _ => StatementHead::Plain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Dialect::{Postgres, Sqlite};

    /// Returns the statements of a script and the result of the scan behind the last one. The script is read through a
    /// window that grows by `step` characters.
    fn split(text: &str, dialect: Dialect, step: usize) -> (Vec<&str>, WindowScan) {
        let ends = text.char_indices().map(|(at, _)| at).step_by(step);
        let windows = ends.map(|end| (end, Window::Partial));
        let (mut found, mut from) = (Vec::new(), 0);
        for (end, window) in windows.chain([(text.len(), Window::Last)]) {
            loop {
                match scan(&text[from..end], dialect, window) {
                    WindowScan::Statement(Statement { start, end }) => {
                        found.push(&text[from + start..from + end]);
                        from += end;
                    }
                    WindowScan::Incomplete if window == Window::Partial => break,
                    WindowScan::Unterminated { what, at } if window == Window::Last => {
                        let at = from + at;
                        return (found, WindowScan::Unterminated { what, at });
                    }
                    rest => {
                        assert_eq!((&rest, window), (&WindowScan::Blank, Window::Last), "{text}");
                        return (found, rest);
                    }
                }
            }
        }
        unreachable!("the last window ends the script")
    }

    /// Scripts in which the statements are marked.
    const SCRIPTS: &[(Dialect, &str)] = &[
        (Postgres, ""),
        (Postgres, " \t\r\n ; ;; -- a;\n /* b; /* c; */ ; */ ; "),
        (Postgres, ";;«select 1;» -- c;\r\n;«select 2» -- no end;"),
        (Postgres, "-- a\r\n«select 1;»\r\n-- b\r\n«select 2;»\r\n"),
        (Postgres, r"«select 'a;''b;' , ';''' ;» «select '\';»"),
        (Postgres, r"«select E'a\';', e'b''\\;\';';» «select 1;»"),
        (Postgres, r"«select type'\';» «select '1'»"),
        (Postgres, "«select E'a' \r 'b\\';', 'c' \r'd\\';» «select 1;»"),
        (Postgres, "«select E'a' -- c\r\n 'b\\';', 'c'\n'd\\';» «select 1;»"),
        (Postgres, r"«select E'a' 'b\';» «select 1;»"),
        (Postgres, r"«select U&'\0061;' , B'1;', x'f;', N'a;', U&x'\';» «a»"),
        (Postgres, r#"«select "a;""b;", U&"\;", "'";» «select 1;»"#),
        (Postgres, "«select $$a;'$b$$, $é1$ $$;$e$; $é1$;» «select 1;»"),
        (Postgres, "«select $a$$a$, $$;$a$$, $a$ $$a$;» «select 1;»"),
        (Postgres, "«select a$b$c;» «select $1, $2$$;$$;» «select $$ $ $$;»"),
        (Postgres, "«select 1 --'\n+ 2 /* ' /* ; */ ; */;» «select 1-/*;*/-2;»"),
        (Postgres, "«select 1 -- a;\rfrom b;»«select a->'b' ? 'c' - 1;»"),
        (Postgres, "«create rule r as on insert to t do (a; b);» «select (1));»"),
        (Postgres, "«select a[1], b::text, c @> d, /**/ e /***/ ?- f;»«x»"),
        (Postgres, "«select 'é;ü', ñ;» «select '日本;語'»"),
        (
            Postgres,
            "«create function f(a int) returns int begin atomic select case when a then (1) end;
             select t.end, 2 as case, (';'); end;» «select 1;»",
        ),
        (Postgres, "«Create Or Replace Procedure p() Begin /* x */ Atomic insert; End;»«a»"),
        (Postgres, "«create function f() as $$ begin a; end; $$;» «begin;» «end;»"),
        (Postgres, "«create table begin atomic (a);» «select case 1;»"),
        (Postgres, "«create function f(begin atomic) return 1;» «select 1;»"),
        (Postgres, "«\\connect a;b»\n«select 1»\n«\\g»\n«(select 2;\n)»«\\.»"),
        (Postgres, "«copy t from stdin;»\n«1»\t«\\N;»\n«\\.»\n«select 1;»"),
        (Sqlite, " ; -- a;\n /* b; */ ; /* never closed;"),
        (Sqlite, "«select 1;» «select 2» /* c"),
        (Sqlite, r#"«select 'a;''', "b;""", `c;`, [d;'];» «select '\';»"#),
        (Sqlite, r"«select E'\';» «select $$;» «select 1 /* /* ; */;»«(1;» «2);»"),
        (Sqlite, "«select 1 -- a;\r b;\n;» «select a->>'b';»"),
        (Sqlite, "«create trigger a begin select 1; end;» «select 2;»"),
        (
            Sqlite,
            "«create temp trigger if not exists \"x;\" after update on t begin update t set
             end = case when [end] then 1 end; /* ; */ -- ;\n select 1; end -- ;\n ;» «begin;»",
        ),
        (Sqlite, "«Explain Query Plan Create Temporary Trigger a Begin b; End»"),
        (Sqlite, "«create table trigger begin;» «end;»"),
        (Sqlite, "«create \x0btrigger a begin b; end \x0b;» «c\x0b;»\u{feff}«commit;»"),
        (Sqlite, "«create trigger a begin b; end\x0b; end;»"),
        (Sqlite, "«.mode csv»\n«select 1;» «.tables»"),
    ];

    #[test]
    fn splits_scripts_through_any_window() {
        for (dialect, marked) in SCRIPTS {
            let script = marked.replace(['«', '»'], "");
            let pieces = marked.split('«').skip(1);
            let statements: Vec<_> = pieces.filter_map(|it| it.split('»').next()).collect();
            for step in [1, 2, 7, usize::MAX] {
                let found = split(&script, *dialect, step);
                assert_eq!(found, (statements.clone(), WindowScan::Blank), "{dialect:?} {script}");
            }
        }
    }

    #[test]
    fn names_what_the_text_ends_within() {
        let rows = [
            (Postgres, "a;\n'b;''c", "string", 3),
            (Postgres, r"a; E'b;\'", "string", 3),
            (Postgres, r"E'\", "string", 0),
            (Postgres, "\"b;", "quoted identifier", 0),
            (Postgres, "a $b$;$$", "dollar-quoted string", 2),
            (Postgres, " /* /* ; */", "comment", 1),
            (Postgres, "a; (b, (c);", "parenthesis", 3),
            (Postgres, "create function f() begin atomic a; (b);", "BEGIN ATOMIC body", 26),
            (Sqlite, "a 'b;", "string", 2),
            (Sqlite, "a [b;", "quoted identifier", 2),
            (Sqlite, "a `b``;", "quoted identifier", 2),
            (Sqlite, "a; create trigger b begin c; end d;", "trigger body", 3),
        ];
        for (dialect, script, what, at) in rows {
            for step in [1, usize::MAX] {
                let (_, rest) = split(script, dialect, step);
                assert_eq!(rest, WindowScan::Unterminated { what, at }, "{script}");
            }
        }
    }

    #[test]
    fn reads_a_line_of_ten_megabytes() {
        let script = format!("insert into t values ('{}');", "a;".repeat(5 << 20));
        let end = script.len();
        let whole = WindowScan::Statement(Statement { start: 0, end });
        assert_eq!(scan(&script, Postgres, Window::Partial), whole);
        assert_eq!(scan(&script[..end - 1], Postgres, Window::Partial), WindowScan::Incomplete);
    }
}
