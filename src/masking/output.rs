//! Masks the output of a tool line by line.

use super::login::{MatchStrictness, login_answers};
use super::sql::MaskingScan;
use super::{HiddenSpan, render};

/// A filter for the lines of a tool that quotes SQL over several lines: `Command was: CREATE SUBSCRIPTION ...`.
///
/// Every literal is masked, because the word that marks it as a secret may be in a line that the tool does not print.
#[derive(Debug, Default)]
pub struct ToolOutput {
    /// The state at the beginning of the next line.
    state: LineState,
}

/// The state in which a line begins.
#[derive(Debug, Default)]
enum LineState {
    /// Outside of literals and comments.
    #[default]
    Nothing,
    /// Inside of a literal or comment, which began with this text on an earlier line.
    Open(String),
    /// Not known: the lines before can be read in two ways.
    Unknown,
}

impl ToolOutput {
    /// Returns the next line with its literals masked. `tool` is the name with which each message of the tool begins.
    pub fn mask(&mut self, tool: &str, line: &str) -> String {
        if line.strip_prefix(tool).is_some_and(|remaining| remaining.starts_with(':')) {
            self.state = LineState::Nothing;
        }
        let opening = match &self.state {
            LineState::Nothing => String::new(),
            LineState::Open(opening) => opening.clone(),
            LineState::Unknown => return "'***'".into(),
        };
        // libpq cuts off both ends of the line with the error, so that the beginning of a string is not known.
        if line.starts_with("LINE ") && line.contains(": ...") && line.contains('\'') {
            return line.split(": ...").next().unwrap_or_default().to_owned() + ": ...";
        }
        let text = format!("{opening}{}", line.replace('"', " "));
        let scan = MaskingScan::run(&text);
        let shifted = scan.hidden.into_iter().map(|HiddenSpan { range, replacement }| {
            let end = range.end.saturating_sub(opening.len());
            HiddenSpan { range: range.start.saturating_sub(opening.len())..end, replacement }
        });
        let hidden = shifted.chain(login_answers(line, MatchStrictness::Marked)).collect();
        self.state = match scan.open {
            None => LineState::Nothing,
            Some(at) => open_quote(&text[at..]).map_or(LineState::Unknown, LineState::Open),
        };
        render(line, hidden, line.len())
    }
}

/// Returns the opening delimiter of an unterminated literal or comment; `None` if it is not known.
fn open_quote(text: &str) -> Option<String> {
    if let Some(remaining) = text.strip_prefix('$') {
        return remaining.find('$').map(|end| text[..end + 2].to_owned());
    }
    let known = ["'", "E'", "e'", "/*"].into_iter().find(|opening| text.starts_with(opening));
    known.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn masks(lines: &[(&str, &str)]) {
        let mut output = ToolOutput::default();
        for (line, expected) in lines {
            assert_eq!(output.mask("pg_restore", line), *expected);
        }
    }

    #[test]
    fn a_literal_over_several_lines_is_masked_in_all_of_them() {
        masks(&[
            (
                "pg_restore: error: could not execute query: ERROR:  relation \"t\" does not exist",
                "pg_restore: error: could not execute query: ERROR:  relation \"t\" does not exist",
            ),
            (
                "Command was: CREATE SUBSCRIPTION s CONNECTION 'host=h",
                "Command was: CREATE SUBSCRIPTION s CONNECTION '***'",
            ),
            (" password=canary", "'***'"),
            (" x' PUBLICATION p;", "'***' PUBLICATION p;"),
            ("COMMENT ON x IS $a$ first", "COMMENT ON x IS '***'"),
            ("it's", "'***'"),
            ("$a$; SELECT E'a\\'", "'***'; SELECT '***'"),
            ("b'; c /* d", "'***'; c '***'"),
            ("canary */ e", "/***/ e"),
            ("it's unclear 'x'", "it'***'"),
            ("canary", "'***'"),
            ("pg_restore: warning: errors ignored on restore: 1", "pg_restore: warning: errors ignored on restore: 1"),
        ]);
    }

    #[test]
    fn a_line_that_libpq_has_cut_off_is_not_shown() {
        masks(&[
            ("LINE 1: ...anary' VALID UNTIL '2030", "LINE 1: ..."),
            ("LINE 1: SELECT 'canary' FROM nosuch", "LINE 1: SELECT '***' FROM nosuch"),
            (
                "pg_restore: connected, md5 0 and md50123456789abcdef0123456789abcdef",
                "pg_restore: connected, md5 0 and ***",
            ),
        ]);
    }
}
