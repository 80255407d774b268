//! Follows the settings that decide how PostgreSQL reads the string literals of a script.
//!
//! The server reads a whole message before it runs the first statement of it, and Lockkeeper splits a script before
//! anything runs. Both would read the text behind `\'` as statements where `standard_conforming_strings` is off
//! (manual, section 4.1.2.1), or where the client's encoding has characters that end in the byte of a backslash.

use super::backslash::{Backslash, EscapeReason};
use super::lexer::{Lexer, Token};
use super::script_problem::ScriptProblem;
use crate::dialect::Dialect;

const SETTING: &str = "standard_conforming_strings";
const ENCODING: &str = "client_encoding";

/// The string literals of a statement, and what the statement does to the settings by which they are read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LiteralUse {
    /// The byte of the first literal that would be read differently with the setting off.
    pub(crate) backslash: Option<usize>,
    effect: SettingEffect,
    /// True if the statement makes the server read what follows in another encoding than UTF-8, or may do so.
    changes_encoding: bool,
}

/// The effect of a statement on the setting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum SettingEffect {
    #[default]
    None,
    /// The setting is on for the session.
    On,
    /// The setting has the value that the session began with, or an earlier one.
    Restored,
    /// The setting may be off for the session.
    Changed,
    /// The setting may be off for later sessions.
    ChangedForLater,
}

/// The state of the settings in one script, statement by statement.
#[derive(Debug)]
pub(super) struct Literals {
    now: Backslash,
    /// The latest reason for which a backslash may have been an escape in this script.
    doubt: Option<EscapeReason>,
    later: Option<EscapeReason>,
}

/// The result of one statement for the literals of a script.
pub(super) struct LiteralFinding {
    /// A byte of the statement, and the reason why the statement cannot run there.
    pub(crate) objection: Option<(usize, ScriptProblem)>,
    /// True if the next statement must not be read before this one has run.
    pub(crate) ends_message: bool,
}

impl Literals {
    pub(super) fn new(at_first: Backslash) -> Literals {
        let doubt = match at_first {
            Backslash::Ordinary => None,
            Backslash::MayEscape(reason) => Some(reason),
        };
        Literals { now: at_first, doubt, later: None }
    }

    /// Returns how the server reads the files that come after this one, if this one has changed that.
    pub(super) fn for_later_files(&self) -> Option<Backslash> {
        self.later.map(|_| Backslash::MayEscape(EscapeReason::EarlierFile))
    }

    /// Follows the next statement; `line` returns the line at which it begins.
    pub(super) fn follow(&mut self, used: &LiteralUse, line: impl Fn() -> usize) -> LiteralFinding {
        let objection = self.find_doubtful(used.backslash);
        let ends_message = match used.effect {
            SettingEffect::None | SettingEffect::ChangedForLater => false,
            SettingEffect::On | SettingEffect::Changed => true,
            SettingEffect::Restored => self.doubt.is_some(),
        };
        match used.effect {
            SettingEffect::None => {}
            SettingEffect::On => self.now = Backslash::Ordinary,
            SettingEffect::Restored => self.now = self.doubt.map_or(Backslash::Ordinary, Backslash::MayEscape),
            SettingEffect::Changed => {
                self.doubt = Some(EscapeReason::Line(line()));
                self.now = Backslash::MayEscape(EscapeReason::Line(line()));
            }
            SettingEffect::ChangedForLater => self.later = Some(EscapeReason::EarlierFile),
        }
        let changes_encoding = used.changes_encoding.then_some((0, ScriptProblem::ClientEncoding));
        LiteralFinding { objection: objection.or(changes_encoding), ends_message }
    }

    /// Returns the byte and the problem of the first literal of a text with a backslash, while a backslash may escape
    /// what follows it. The text need not be a whole statement.
    pub(super) fn find_doubtful_literal(&self, text: &str) -> Option<(usize, ScriptProblem)> {
        self.find_doubtful(backslash(text))
    }

    fn find_doubtful(&self, backslash: Option<usize>) -> Option<(usize, ScriptProblem)> {
        let Backslash::MayEscape(reason) = self.now else {
            return None;
        };
        backslash.map(|at| (at, ScriptProblem::Backslash(reason)))
    }
}

impl LiteralUse {
    /// Reads a statement with this verb, in upper case; `lexer` is behind the verb.
    pub(super) fn new(statement: &str, verb: &str, lexer: &Lexer<'_>) -> LiteralUse {
        LiteralUse {
            backslash: backslash(statement),
            effect: effect(statement, verb, lexer),
            changes_encoding: changes_encoding(statement, verb, lexer),
        }
    }
}

/// Returns the byte of the first literal that has no prefix and contains a backslash. `U&'...'` counts as one: where
/// the setting is off, the server refuses it.
fn backslash(statement: &str) -> Option<usize> {
    if !statement.contains('\\') {
        return None;
    }
    let mut lexer = Lexer::new(statement, Dialect::Postgres);
    loop {
        match lexer.next() {
            Token::Literal if lexer.token().starts_with('\'') && lexer.token().contains('\\') => {
                return Some(lexer.start);
            }
            Token::Unterminated(_) | Token::End => return None,
            _ => {}
        }
    }
}

fn effect(statement: &str, verb: &str, lexer: &Lexer<'_>) -> SettingEffect {
    let names_it = || mentions(statement, SETTING);
    match verb {
        "DISCARD" | "ROLLBACK" => SettingEffect::Restored,
        "RESET" => {
            let mut lexer = lexer.clone();
            lexer.next();
            let is_it = lexer.is("ALL") || unquoted(lexer.token()) == SETTING;
            if is_it { SettingEffect::Restored } else { SettingEffect::None }
        }
        "SHOW" => SettingEffect::None,
        "SET" if !names_it() => SettingEffect::None,
        "SET" => match assigned(lexer.clone()) {
            Some((_, value)) if value == "default" => SettingEffect::Restored,
            Some((AssignmentScope::Session, value)) if is_true(&value) => SettingEffect::On,
            // The transaction may end before the script does.
            Some((AssignmentScope::Transaction, value)) if is_true(&value) => SettingEffect::None,
            _ => SettingEffect::Changed,
        },
        _ if !names_it() => SettingEffect::None,
        "ALTER" if assigned_later(lexer.clone()).is_some_and(|value| is_true(&value)) => SettingEffect::None,
        "ALTER" => SettingEffect::ChangedForLater,
        // A function that is created here changes the setting when it is called.
        "CREATE" | "DO" => SettingEffect::Changed,
        _ if mentions(statement, "set_config") => SettingEffect::Changed,
        _ => SettingEffect::None,
    }
}

/// The time for which an assignment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AssignmentScope {
    Session,
    Transaction,
}

/// Reads `[SESSION | LOCAL] name {TO | =} value` behind SET. Returns the scope, and the value without quotes in lower
/// case.
fn assigned(mut lexer: Lexer<'_>) -> Option<(AssignmentScope, String)> {
    lexer.next();
    let scope = if lexer.is("LOCAL") { AssignmentScope::Transaction } else { AssignmentScope::Session };
    if lexer.is("LOCAL") || lexer.is("SESSION") {
        lexer.next();
    }
    value(lexer).map(|value| (scope, value))
}

/// Reads the value that `ALTER ... SET standard_conforming_strings {TO | =} value` gives to later sessions.
fn assigned_later(mut lexer: Lexer<'_>) -> Option<String> {
    loop {
        match lexer.next() {
            Token::Word | Token::Name if unquoted(lexer.token()) == SETTING => return value(lexer),
            Token::Unterminated(_) | Token::End => return None,
            _ => {}
        }
    }
}

/// Reads the single value behind the name of a setting.
fn value(mut lexer: Lexer<'_>) -> Option<String> {
    if lexer.next() != Token::Symbol(b'=') && !lexer.is("TO") {
        return None;
    }
    lexer.next();
    let value = unquoted(lexer.token());
    matches!(lexer.next(), Token::End | Token::Symbol(b';')).then_some(value)
}

fn unquoted(token: &str) -> String {
    token.trim_matches(['\'', '"']).to_ascii_lowercase()
}

fn is_true(value: &str) -> bool {
    matches!(value, "on" | "true" | "yes" | "1")
}

fn changes_encoding(statement: &str, verb: &str, lexer: &Lexer<'_>) -> bool {
    let is_utf8 = |value: &str| {
        let plain: String = value.chars().filter(char::is_ascii_alphanumeric).collect();
        matches!(plain.as_str(), "utf8" | "unicode" | "default")
    };
    if verb == "SET" {
        let mut names = lexer.clone();
        names.next();
        if names.is("NAMES") {
            names.next();
            // Without a value, SET NAMES sets the default.
            return !matches!(names.token(), "" | ";") && !is_utf8(&unquoted(names.token()));
        }
        return mentions(statement, ENCODING) && assigned(lexer.clone()).is_none_or(|(_, value)| !is_utf8(&value));
    }
    let sets = |names: &[&str]| names.iter().any(|name| mentions(statement, name));
    let may_set = match verb == "DO" {
        true => sets(&["set_config", "set client_encoding", "set local client_", "set session client_"]),
        false => verb == "SELECT" && sets(&["set_config"]),
    };
    may_set && mentions(statement, ENCODING) && !mentions(statement, "utf8")
}

/// Returns whether a text contains this lower-case word, in upper or lower case. A word with an underscore is found by
/// that: most statements have none, or few.
fn mentions(source: &str, word: &str) -> bool {
    let (text, length) = (source.as_bytes(), word.len());
    let is_word = |part: &[u8]| part.eq_ignore_ascii_case(word.as_bytes());
    match word.find('_') {
        None => text.windows(length).any(is_word),
        Some(before) => source.match_indices('_').any(|(at, _)| {
            at.checked_sub(before).and_then(|start| text.get(start..start + length)).is_some_and(is_word)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::classify::Classified;
    use super::*;

    fn used(statement: &str) -> LiteralUse {
        Classified::new(statement, Dialect::Postgres).literals
    }

    /// Reads one statement from each line, and returns the lines that have a problem.
    fn objections(at_first: Backslash, script: &str) -> Vec<(usize, ScriptProblem)> {
        let mut literals = Literals::new(at_first);
        let lines = script.lines().enumerate();
        let read = |(index, line): (usize, &str)| {
            let found = literals.follow(&used(line), || index + 1);
            found.objection.map(|(_, objection)| (index + 1, objection))
        };
        lines.filter_map(read).collect()
    }

    #[test]
    fn a_backslash_is_refused_where_it_may_escape() {
        use EscapeReason::{Default, Line};
        let in_doubt = |line, reason| vec![(line, ScriptProblem::Backslash(reason))];
        let off = Backslash::MayEscape(Default);
        for (at_first, script, expected) in [
            (Backslash::Ordinary, "select 'a\\'", vec![]),
            (off, "select 'a\\'", in_doubt(1, Default)),
            (off, "select E'a\\\\', $$a\\$$, \"a\\\" -- '\\'", vec![]),
            (off, "select N'a\\'", in_doubt(1, Default)),
            (off, "set standard_conforming_strings = on;\nselect 'a\\'", vec![]),
            (off, "SET SESSION \"standard_conforming_strings\" TO 'true';\nselect 'a\\'", vec![]),
            (off, "set local standard_conforming_strings = on\nselect 'a\\'", in_doubt(2, Default)),
            (off, "set standard_conforming_strings = on;\nreset all\nselect 'a\\'", in_doubt(3, Default)),
            (off, "set standard_conforming_strings = on;\nreset role\nselect 'a\\'", vec![]),
            (off, "set standard_conforming_strings = on\nrollback to a\nselect 'a\\'", in_doubt(3, Default)),
            (Backslash::Ordinary, "set standard_conforming_strings=off;\nselect 'a\\'", in_doubt(2, Line(1))),
            (
                Backslash::Ordinary,
                "select 1\nset local standard_conforming_strings to f\nselect 'a\\'",
                in_doubt(3, Line(2)),
            ),
            (
                Backslash::Ordinary,
                "select set_config('standard_conforming_strings', 'off', true)\nselect 'a\\'",
                in_doubt(2, Line(1)),
            ),
            (
                Backslash::Ordinary,
                "do $$ begin set STANDARD_conforming_strings = off; end $$\nselect 'a\\'",
                in_doubt(2, Line(1)),
            ),
            (
                Backslash::Ordinary,
                "show standard_conforming_strings\ninsert into t values ('standard_conforming_strings')\nselect 'a\\'",
                vec![],
            ),
            (Backslash::Ordinary, "reset all\ndiscard all\nrollback to a\nselect 'a\\'", vec![]),
            (Backslash::Ordinary, "alter role a set standard_conforming_strings = off\nselect 'a\\'", vec![]),
        ] {
            assert_eq!(objections(at_first, script), expected, "{script}");
        }
    }

    #[test]
    fn a_default_that_is_changed_counts_for_later_files() {
        for (statement, expected) in [
            ("alter database a set standard_conforming_strings to off", true),
            ("alter system set standard_conforming_strings = 'off'", true),
            ("alter role a set standard_conforming_strings = on;", false),
            ("alter role a set search_path = ''", false),
        ] {
            let mut literals = Literals::new(Backslash::Ordinary);
            literals.follow(&used(statement), || 1);
            assert_eq!(literals.for_later_files().is_some(), expected, "{statement}");
        }
    }

    #[test]
    fn an_encoding_other_than_ours_is_refused() {
        for (statement, refused) in [
            ("set client_encoding = 'UTF8';", false),
            ("SET client_encoding TO utf_8", false),
            ("set names 'utf-8'", false),
            ("set names", false),
            ("set client_encoding to default", false),
            ("select pg_catalog.set_config('client_encoding', 'UTF8', false)", false),
            ("select current_setting('client_encoding')", false),
            ("do $$ begin raise notice '%', current_setting('client_encoding'); end $$", false),
            ("set client_encoding = 'GBK';", true),
            ("set local client_encoding to sjis", true),
            ("SET SESSION Client_Encoding = LATIN1", true),
            ("set names 'big5'", true),
            ("select set_config('client_encoding', 'uhc', true)", true),
            ("do $$ begin set client_encoding = 'gbk'; end $$", true),
        ] {
            let found = Literals::new(Backslash::Ordinary).follow(&used(statement), || 1);
            assert_eq!(found.objection, refused.then_some((0, ScriptProblem::ClientEncoding)), "{statement}");
        }
    }
}
