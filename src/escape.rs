//! Escapes control characters of names and messages, so that they are visible and have no effect on a terminal.
//!
//! All output of Lockkeeper is escaped here: log lines, answers, the termination message, the progress display.

use std::borrow::Cow;
use std::fmt::Write;

/// Returns a text on one line without control characters: a line feed becomes `\n`, ESC becomes `\u001b`.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    escape_all_but(text, &[])
}

/// Returns a text of several lines, which consists of escaped parts, with all other control characters escaped. Line
/// feeds and the colours of tables are kept.
pub(crate) fn escape_page(text: &str) -> Cow<'_, str> {
    let mut pieces = COLOURS.iter().fold(vec![text], |pieces, colour| {
        pieces.into_iter().flat_map(|piece| piece.split_inclusive(colour)).collect()
    });
    match pieces.len() {
        0 | 1 => escape_all_but(text, &['\n']),
        _ => pieces.drain(..).map(escape_piece).collect::<String>().into(),
    }
}

/// The escape sequences that tables use for colours.
const COLOURS: [&str; 4] = ["\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[0m"];

/// Escapes a piece of a page. A colour at its end is kept.
fn escape_piece(piece: &str) -> String {
    let colour = COLOURS.into_iter().find(|colour| piece.ends_with(colour)).unwrap_or_default();
    let text = &piece[..piece.len() - colour.len()];
    escape_all_but(text, &['\n']).into_owned() + colour
}

/// Returns JSON in which the control characters are escaped that JSON permits within strings. The meaning does not
/// change.
pub(crate) fn escape_json(text: &str) -> Cow<'_, str> {
    escape_all_but(text, &['\n'])
}

/// Escapes the control characters of a text, except for those in `allowed`.
fn escape_all_but<'t>(text: &'t str, allowed: &[char]) -> Cow<'t, str> {
    let is_escaped = |character: char| is_control(character) && !allowed.contains(&character);
    let Some(first) = text.find(is_escaped) else {
        return text.into();
    };
    let mut safe = text[..first].to_owned();
    for character in text[first..].chars() {
        match character {
            character if !is_escaped(character) => safe.push(character),
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            '\t' => safe.push_str("\\t"),
            // All other control characters have codes of four digits.
            other => drop(write!(safe, "\\u{:04x}", u32::from(other))),
        }
    }
    safe.into()
}

/// Reports whether a character controls a terminal, ends a line or changes the text direction.
fn is_control(character: char) -> bool {
    matches!(
        character,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_control_character_is_seen_and_does_nothing() {
        let text = "a\n\r\t\0\x1b\x7f\u{85}\u{9b}\u{61c}\u{200e}\u{2028}\u{2029}\u{202e}\u{2069}é加";
        let expected = "a\\n\\r\\t\\u0000\\u001b\\u007f\\u0085\\u009b\\u061c\\u200e\\u2028\\u2029\\u202e\\u2069é加";
        assert_eq!(escape(text), expected);
        assert!(matches!(escape("plain é加 \\n"), Cow::Borrowed(_)));
    }

    #[test]
    fn pages_keep_their_lines_and_colours() {
        assert_eq!(escape_page("a\nb\t\x1b[2J"), "a\nb\\t\\u001b[2J");
        let page = "\x1b[31mbad\x1b[0m\n\x1b[1mbold\x1b[32m";
        assert_eq!(escape_page(page), "\x1b[31mbad\x1b[0m\n\\u001b[1mbold\x1b[32m");
    }

    #[test]
    fn json_means_the_same() {
        let text = "a\n\x1b\u{9b}\u{202e}";
        let json = serde_json::to_string(text).expect("a string is JSON");
        let escaped = escape_json(&json);
        assert!(!escaped.contains(is_control), "{escaped}");
        assert_eq!(serde_json::from_str::<String>(&escaped).expect("JSON"), text);
    }
}
