//! Masks secrets: known ones wherever they occur, and the literals of SQL texts that mention passwords.
//!
//! All functions work on byte ranges of the original text, so that a text can be shortened after its secrets were
//! found: a secret that the cut divides is masked as a whole.

mod known;
mod literal;
mod login;
mod output;
mod sql;

use std::ops::Range;

pub use known::{hide, mask_known};
pub use literal::StatementLiterals;
pub use login::mask_login_answer;
pub use output::ToolOutput;
pub use sql::{mask_message, mask_query};

/// The text that is printed in the place of a secret.
const MASK: &str = "***";

/// A part of a text that must not be printed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct HiddenSpan {
    /// The position of the part, in bytes.
    range: Range<usize>,
    /// The text that is printed instead.
    replacement: &'static str,
}

/// Returns the first `end` bytes of a text with the hidden parts and every known secret replaced. Parts that overlap
/// are replaced once. Known secrets have to be found here, in the original text: if only a part of one is hidden, the
/// rest could not be found later.
fn render(text: &str, mut hidden: Vec<HiddenSpan>, end: usize) -> String {
    hidden.extend(known::find(text));
    hidden.sort_by_key(|part| (part.range.start, std::cmp::Reverse(part.range.end)));
    let mut shown = String::new();
    let mut at = 0;
    for HiddenSpan { range, replacement } in hidden {
        if range.start >= end {
            break;
        }
        if range.start >= at {
            shown.push_str(&text[at..range.start]);
            shown.push_str(replacement);
        }
        at = at.max(range.end);
    }
    shown.push_str(text.get(at..end).unwrap_or_default());
    shown
}

/// Returns the first lines of a statement, short enough for a log line and without its secrets. The run time is linear
/// in the length of the statement.
pub fn excerpt(statement: &str) -> String {
    const MAX_LINES: usize = 3;
    const MAX_CHARACTERS: usize = 300;
    let lines_end = statement.match_indices('\n').nth(MAX_LINES - 1).map_or(statement.len(), |(at, _)| at);
    let characters_end = statement.char_indices().nth(MAX_CHARACTERS).map_or(statement.len(), |(at, _)| at);
    let end = lines_end.min(characters_end);
    // The window is longer than the excerpt, so that a known secret that begins before the cut is found whole.
    let window = &statement[..statement.floor_char_boundary(end.saturating_add(known::longest()))];
    let hidden = match sql::mentions_secret(statement) {
        true => sql::literals(&statement[..end], sql::TextForm::Statement),
        false => Vec::new(),
    };
    let shown = render(window, hidden, end);
    let lines: Vec<&str> = shown.lines().map(str::trim_end).collect();
    let ellipsis = if statement[end..].trim().is_empty() { "" } else { " ..." };
    lines.join("\n").trim_end().to_owned() + ellipsis
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpts_are_short() {
        assert_eq!(excerpt("a\nb\nc"), "a\nb\nc");
        assert_eq!(excerpt("a \nb\nc\n"), "a\nb\nc");
        assert_eq!(excerpt("a\nb\nc\nd"), "a\nb\nc ...");
        assert_eq!(excerpt(&"ü".repeat(300)), "ü".repeat(300));
        assert_eq!(excerpt(&"ü".repeat(301)), "ü".repeat(300) + " ...");
    }

    #[test]
    fn an_excerpt_ends_before_what_makes_its_literals_secret() {
        let late = format!("INSERT INTO t VALUES ('one', 'two')\n\n\n\n{}, 'password')", " ".repeat(1000));
        assert_eq!(excerpt(&late), "INSERT INTO t VALUES ('***', '***') ...");
        let far = format!("SELECT 'one'{} AS password", " + 1".repeat(1000));
        assert!(excerpt(&far).starts_with("SELECT '***' + 1 + 1"), "{}", excerpt(&far));
    }

    #[test]
    fn no_cut_uncovers_a_secret() {
        hide("known-canary-secret", &[]);
        for padding in 250..320 {
            let before = "x".repeat(padding);
            for text in [
                format!("SELECT {before}, 'known-canary-secret' / 0"),
                format!("ALTER ROLE {before} PASSWORD 'canary-secret' LOGIN"),
                format!("ALTER ROLE {before} PASSWORD 'can''ary-secret' LOGIN"),
                format!("ALTER ROLE {before} PASSWORD $x$canary-secret$x$ LOGIN"),
                format!("ALTER ROLE {before} PASSWORD E'\\'canary-secret' LOGIN"),
                format!("ALTER ROLE {before} PASSWORD 'canary-secret'; -- {}", "y".repeat(300)),
            ] {
                let shown = excerpt(&text);
                let is_shown = ["cana", "ary-", "known"].iter().any(|part| shown.contains(part));
                assert!(!is_shown, "{shown}");
            }
        }
    }

    #[test]
    fn a_known_secret_of_which_a_part_is_hidden_leaves_no_rest() {
        hide("part-of-canary", &[]);
        let text = "ALTER ROLE a PASSWORD 0part-of-canary'; b 'x part-of-canary";
        let printed = [
            mask_message(text),
            mask_query(text),
            mask_login_answer(text),
            ToolOutput::default().mask("pg_dump", text),
            StatementLiterals::from_statement("PASSWORD 'x part'").expect("literals").mask_in(text),
            excerpt(text),
        ];
        for shown in printed {
            assert!(!shown.contains("canary") && !shown.contains("-of-"), "{shown}");
        }
    }

    #[test]
    fn a_huge_line_takes_no_longer_than_its_length() {
        let values: Vec<&str> = std::iter::repeat_n("'password x'", 200_000).collect();
        let statement = format!("insert into nosuch values ({});", values.join(","));
        assert!(excerpt(&statement).starts_with("insert into nosuch values ('***','***',"));
        // A server or a tool may write a text of any length.
        assert_eq!(mask_message(&statement).matches("'***'").count(), values.len());
    }
}
