//! Finds the statements of PostgreSQL that have an effect outside of their database, which a rehearsal must not run.

use super::lexer::{Lexer, Token};
use crate::dialect::Dialect;

/// Returns whether a PostgreSQL statement changes something outside of its database (a file, another server) or
/// connects the database with something outside. A statement in the body of a DO block counts as well. The bodies of
/// functions that are called, and texts that a block concatenates from pieces, are not examined.
pub(crate) fn leads_out(statement: &str) -> bool {
    let mut lexer = Lexer::new(statement, Dialect::Postgres);
    lexer.next();
    if lexer.is("DO") {
        return body_leads_out(statement, NESTED);
    }
    let (is_copy, imports) = (lexer.is("COPY"), lexer.is("IMPORT"));
    if is_copy {
        let (mut writes, mut reads) = (false, false);
        loop {
            match lexer.next() {
                Token::End | Token::Unterminated(_) => return false,
                Token::Literal if writes => return true,
                _ if (writes || reads) && lexer.is("PROGRAM") => return true,
                _ => (writes, reads) = (lexer.is("TO"), lexer.is("FROM")),
            }
        }
    }
    let defines = lexer.is("CREATE") || lexer.is("ALTER");
    lexer.next();
    let (foreign, user) = (lexer.is("FOREIGN"), lexer.is("USER"));
    let subscribes = lexer.is("SUBSCRIPTION");
    lexer.next();
    (imports && foreign) || (defines && (subscribes || user && lexer.is("MAPPING")))
}

/// The depth to which string literals inside of string literals are examined: EXECUTE in a block runs the text of one.
const NESTED: u32 = 4;

/// Returns whether a statement in a text has an effect outside of the database. Reads the tokens of the text once, and
/// once those of each string literal in the text.
fn body_leads_out(text: &str, nested: u32) -> bool {
    let mut lexer = Lexer::new(text, Dialect::Postgres);
    let (mut copies, mut before) = (false, "");
    loop {
        let token = lexer.next();
        let was = |word: &str| before.eq_ignore_ascii_case(word);
        let leads_out = match token {
            Token::End | Token::Unterminated(_) => return false,
            Token::Literal if copies && was("TO") => true,
            Token::Literal => nested > 0 && body_leads_out(&content(lexer.token()), nested - 1),
            Token::Word => {
                copies && (was("TO") || was("FROM")) && lexer.is("PROGRAM")
                    || (was("CREATE") || was("ALTER")) && lexer.is("SUBSCRIPTION")
                    || was("USER") && lexer.is("MAPPING")
                    || was("IMPORT") && lexer.is("FOREIGN")
                    || lexer.token().get(..6).is_some_and(|start| start.eq_ignore_ascii_case("dblink"))
            }
            Token::Name | Token::Symbol(_) => false,
        };
        if leads_out {
            return true;
        }
        copies = token != Token::Symbol(b';') && (copies || lexer.is("COPY"));
        before = lexer.token();
    }
}

/// Returns the text of a string literal: without its quotes, and with one quote for each doubled one.
fn content(literal: &str) -> String {
    if let Some(tagged) = literal.strip_prefix('$') {
        let inside = tagged.split_once('$').map_or("", |(_, rest)| rest);
        return inside.rsplit_once('$').and_then(|(text, _)| text.rsplit_once('$')).map_or("", |(text, _)| text).into();
    }
    // A letter may stand before the quote: E'...'.
    let inside = literal.split_once('\'').map_or("", |(_, rest)| rest);
    inside.strip_suffix('\'').unwrap_or(inside).replace("''", "'")
}

/// Returns whether a PostgreSQL statement changes the settings of the whole server (`ALTER SYSTEM`).
pub(crate) fn alters_system(statement: &str) -> bool {
    let mut lexer = Lexer::new(statement, Dialect::Postgres);
    lexer.next();
    let alters = lexer.is("ALTER");
    lexer.next();
    alters && lexer.is("SYSTEM")
}

#[cfg(test)]
mod tests {
    use super::leads_out;

    #[test]
    fn a_block_leads_out_like_the_statements_in_it() {
        for (statement, expected) in [
            ("do $$ begin copy t to program 'cat'; end $$", true),
            ("DO LANGUAGE plpgsql $a$ BEGIN IF x THEN COPY (SELECT 1) TO '/tmp/f'; END IF; END $a$", true),
            ("do 'begin copy t to program ''cat''; end'", true),
            ("do $$ begin execute 'copy t from program ''cat'' '; end $$", true),
            ("do $$ begin execute format($q$copy %I to program 'cat'$q$, 't'); end $$", true),
            ("do $$ begin create subscription s connection 'x' publication p; end $$", true),
            ("do $$ begin create user mapping for public server s; end $$", true),
            ("do $$ begin import foreign schema a from server s into b; end $$", true),
            ("do $$ begin perform public.dblink_exec('c', 'x'); end $$", true),
            ("do $$ begin copy t to stdout; update t set a = 'program'; end $$", false),
            ("do $$ begin copy t from stdin; raise notice 'to %', 'x'; end $$", false),
            ("do $$ begin create table subscription (a int); end $$", false),
            ("do $$ -- copy t to program 'cat'\nbegin end $$", false),
            ("do $$ begin perform 1; end", false),
            ("do $$$$", false),
            ("do ''", false),
        ] {
            assert_eq!(leads_out(statement), expected, "{statement}");
        }
    }
}
