//! The literals of a statement that failed: the server's answer may repeat them, or a part of them.

use super::known::occurrences;
use super::sql::{TextForm, has_code, literals, mentions_secret};
use super::{HiddenSpan, render};

/// The texts that are compared at most: beyond them the answer's quotations are left out.
const MOST: usize = 1000;
/// Shorter texts would mask ordinary words.
const SHORTEST: usize = 4;
/// How deep literals within literals are read: `EXECUTE '... ''...'''` in a DO block.
const DEPTH: u32 = 3;

/// The literals of a statement that may be secret.
#[derive(Debug)]
pub struct StatementLiterals {
    texts: Vec<String>,
    /// False when the server may have read other texts than those above, or they are too many to be looked for.
    is_complete: bool,
}

impl StatementLiterals {
    /// Returns the literals of a statement, or nothing if none of them may be secret.
    pub fn from_statement(statement: &str) -> Option<StatementLiterals> {
        mentions_secret(statement).then(|| {
            let mut found = StatementLiterals { texts: Vec::new(), is_complete: true };
            found.collect(statement, DEPTH);
            found
        })
    }

    /// Returns the literals of the SQL that a server's message quotes.
    pub fn from_message(message: &str) -> Option<StatementLiterals> {
        StatementLiterals::from_statement(&message.replace('"', " "))
    }

    fn collect(&mut self, sql: &str, depth: u32) {
        self.is_complete &= !sql.to_ascii_lowercase().contains("u&'");
        for HiddenSpan { range, .. } in literals(sql, TextForm::Statement) {
            if self.texts.len() >= MOST {
                self.is_complete = false;
                return;
            }
            let token = &sql[range];
            let text = content(token);
            // The server shows the character that a code stands for.
            self.is_complete &= !has_code(&text);
            self.add(&text);
            if depth > 0 && text.contains(['\'', '$']) {
                self.collect(&text, depth - 1);
            }
        }
    }

    /// Adds a literal, and the parts of one that is a connection string: the server names the part that it refuses.
    fn add(&mut self, text: &str) {
        self.texts.extend(Some(text.to_owned()).filter(|text| text.len() >= SHORTEST));
        if !text.contains(['=', ':']) || text.contains(['\'', '$']) {
            return;
        }
        let is_end = |c: char| c.is_whitespace() || "=:@/?&;,".contains(c);
        let parts = text.split(is_end).filter(|part| part.len() >= SHORTEST && !is_keyword(part));
        self.texts.extend(parts.map(str::to_owned));
    }

    /// Returns a text of the server's answer without them.
    pub fn mask_in(&self, answer: &str) -> String {
        let hidden = match self.is_complete {
            true => self.texts.iter().flat_map(|text| occurrences(answer, text)).collect(),
            false => quotations(answer),
        };
        render(answer, hidden, answer.len())
    }
}

/// Returns the text that a literal stands for, as far as quotes go.
fn content(token: &str) -> String {
    if let Some(rest) = token.strip_prefix('$') {
        let tag = rest.find('$').map_or("", |end| &token[..end + 2]);
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

/// Words of connection strings that are no secrets.
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

/// Returns what stands between quotation marks or brackets, with the rest of the text behind a mark without its second.
fn quotations(answer: &str) -> Vec<HiddenSpan> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(start) = answer[from..].find(['"', '(', '\'']).map(|at| from + at) {
        let closing = if answer[start..].starts_with('(') { ')' } else { char::from(answer.as_bytes()[start]) };
        let end = answer[start + 1..].find(closing).map_or(answer.len(), |length| start + length + 2);
        found.push(HiddenSpan { range: start..end, by: super::MASK });
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
        let many = format!("INSERT INTO t (password) VALUES {}", "('canary'), ".repeat(2 * MOST));
        for statement in ["SELECT E'c\\x61nary' AS password", &many] {
            answer(statement, "Key (a)=(canary) of \"canary\": 'canary", "Key ***=*** of ***: ***");
        }
    }
}
