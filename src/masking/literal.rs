//! Masks the literals of a failed statement in the server's error message, which may repeat them in whole or in part.

use super::known::occurrences;
use super::sql::{TextForm, has_code, literals, mentions_secret};
use super::{HiddenSpan, render};

/// The greatest number of literals that are searched for. If a statement has more, all quotations of the message are
/// masked.
const MAX_LITERALS: usize = 1000;
/// The length of the shortest literal that is masked, in bytes: a shorter one would mask ordinary words.
const MIN_BYTES: usize = 4;
/// The depth to which literals within literals are read: `EXECUTE '... ''...'''` in a DO block.
const MAX_DEPTH: u32 = 3;

/// The literals of a statement that may be secret.
#[derive(Debug)]
pub struct StatementLiterals {
    /// The contents of the literals, without their quotes.
    texts: Vec<String>,
    /// False if the server may use other texts than these, or if there are too many to search for.
    is_complete: bool,
}

impl StatementLiterals {
    /// Returns the literals of a statement, or `None` if none of them may be secret.
    pub fn from_statement(statement: &str) -> Option<StatementLiterals> {
        mentions_secret(statement).then(|| {
            let mut found = StatementLiterals { texts: Vec::new(), is_complete: true };
            found.collect(statement, MAX_DEPTH);
            found
        })
    }

    /// Returns the literals of the SQL that a server's message quotes, or `None` if none of them may be secret.
    pub(crate) fn from_message(message: &str) -> Option<StatementLiterals> {
        StatementLiterals::from_statement(&message.replace('"', " "))
    }

    /// Adds the literals of a SQL text, and the literals within them up to `depth` levels.
    fn collect(&mut self, sql: &str, depth: u32) {
        self.is_complete &= !sql.to_ascii_lowercase().contains("u&'");
        for HiddenSpan { range, .. } in literals(sql, TextForm::Statement) {
            if self.texts.len() >= MAX_LITERALS {
                self.is_complete = false;
                return;
            }
            let token = &sql[range];
            let text = content(token);
            // The server prints the character instead of the code.
            self.is_complete &= !has_code(&text);
            self.add(&text);
            if depth > 0 && text.contains(['\'', '$']) {
                self.collect(&text, depth - 1);
            }
        }
    }

    /// Adds a literal, and the parts of a connection string, because the server names the part that it refuses.
    fn add(&mut self, text: &str) {
        self.texts.extend(Some(text.to_owned()).filter(|text| text.len() >= MIN_BYTES));
        if !text.contains(['=', ':']) || text.contains(['\'', '$']) {
            return;
        }
        let is_end = |c: char| c.is_whitespace() || "=:@/?&;,".contains(c);
        let parts = text.split(is_end).filter(|part| part.len() >= MIN_BYTES && !is_keyword(part));
        self.texts.extend(parts.map(str::to_owned));
    }

    /// Returns the server's message with the literals masked.
    pub fn mask_in(&self, message: &str) -> String {
        let hidden = match self.is_complete {
            true => self.texts.iter().flat_map(|text| occurrences(message, text)).collect(),
            false => quotations(message),
        };
        render(message, hidden, message.len())
    }
}

/// Returns the content of a literal: the outer quotes are removed and doubled or escaped quotes are resolved.
fn content(token: &str) -> String {
    if let Some(after_dollar) = token.strip_prefix('$') {
        let tag = after_dollar.find('$').map_or("", |end| &token[..end + 2]);
        let body = &token[tag.len()..];
        return body.strip_suffix(tag).unwrap_or(body).to_owned();
    }
    let plain = token.trim_start_matches(['E', 'e']);
    match plain.strip_prefix('\'') {
        Some(body) => {
            let body = body.strip_suffix('\'').unwrap_or(body).replace("''", "'");
            if plain.len() == token.len() { body } else { body.replace("\\'", "'").replace("\\\\", "\\") }
        }
        None => token.trim_matches('"').to_owned(),
    }
}

/// Reports whether a part of a connection string is a keyword and not a secret.
fn is_keyword(word: &str) -> bool {
    const WORDS: [&str; 12] = [
        "host",
        "hostaddr",
        "port",
        "user",
        "password",
        "dbname",
        "sslmode",
        "postgres",
        "postgresql",
        "http",
        "https",
        "options",
    ];
    WORDS.iter().any(|it| it.eq_ignore_ascii_case(word))
}

/// Returns the parts of a text between quotation marks or brackets. A mark without its counterpart extends to the end.
fn quotations(message: &str) -> Vec<HiddenSpan> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(start) = message[from..].find(['"', '(', '\'']).map(|at| from + at) {
        let closing_mark = if message[start..].starts_with('(') { ')' } else { char::from(message.as_bytes()[start]) };
        let end = message[start + 1..].find(closing_mark).map_or(message.len(), |length| start + length + 2);
        found.push(HiddenSpan { range: start..end, replacement: super::MASK });
        from = end;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn answer(statement: &str, answer: &str, expected: &str) {
        let literals = StatementLiterals::from_statement(statement).expect("a statement with secrets");
        assert_eq!(literals.mask_in(answer), expected);
    }

    #[test]
    fn an_answer_loses_what_it_repeats_of_the_statement() {
        answer(
            "ALTER ROLE x PASSWORD 'a' 'canary'",
            "syntax error at or near \"'canary'\"",
            "syntax error at or near \"'***'\"",
        );
        answer(
            "ALTER ROLE x PASSWORD canary y",
            "syntax error at or near \"canary\"",
            "syntax error at or near \"***\"",
        );
        answer(
            "CREATE SUBSCRIPTION s CONNECTION 'host=h password=a canary'",
            "missing \"=\" after \"canary\" in connection info string",
            "missing \"=\" after \"***\" in connection info string",
        );
        answer("SELECT dblink('postgres://u:canary#@h')", "invalid port: \"canary#\"", "invalid port: \"***\"");
        answer("INSERT INTO u (id, password) VALUES (1, 'can''ary')", "(1, can'ary)", "(1, ***)");
        answer("DO $$ BEGIN EXECUTE 'x PASSWORD ''canary'''; END $$", "relation \"x\": canary", "relation \"x\": ***");
        assert!(StatementLiterals::from_statement("SELECT 'canary'").is_none());
    }

    #[test]
    fn an_answer_that_cannot_be_compared_loses_all_quotations() {
        let many = format!("INSERT INTO t (password) VALUES {}", "('canary'), ".repeat(2 * MAX_LITERALS));
        for statement in ["SELECT E'c\\x61nary' AS password", &many] {
            answer(statement, "Key (a)=(canary) of \"canary\": 'canary", "Key ***=*** of ***: ***");
        }
    }
}
