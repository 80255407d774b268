//! SQL comments for the person who reviews the file.

/// The maximum length of a comment line, in bytes, unless a single word is longer.
const MAX_WIDTH: usize = 115;

/// Returns a text as comment lines that are broken between words.
pub(super) fn comment(text: &str) -> String {
    let mut lines = String::new();
    let mut line = String::from("--");
    for word in replace_controls(text).split_whitespace() {
        if line.len() > 2 && line.len() + 1 + word.len() > MAX_WIDTH {
            lines += &line;
            lines.push('\n');
            line = String::from("--");
        }
        line.push(' ');
        line += word;
    }
    lines + &line + "\n"
}

/// Returns a text as one comment line.
pub(crate) fn line(text: &str) -> String {
    format!("-- {}\n", replace_controls(text).trim_end())
}

/// Returns SQL of another database as comment lines, and keeps its line breaks.
pub(super) fn indented(sql: &str) -> String {
    let lines = sql.split(['\n', '\r']).map(|line| replace_controls(line.trim_end()));
    let lines = lines.filter(|line| !line.trim().is_empty());
    lines.map(|line| format!("--     {line}\n")).collect()
}

/// Replaces characters that would end a line or rearrange it by blanks.
fn replace_controls(text: &str) -> String {
    let is_replaced =
        |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    text.chars().map(|c| if is_replaced(c) { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_a_comment_is_one() {
        assert_eq!(comment("a\nb\rDROP TABLE t"), "-- a b DROP TABLE t\n");
        assert_eq!(indented("CREATE VIEW v\r\n  AS SELECT 1;\n\n"), "--     CREATE VIEW v\n--       AS SELECT 1;\n");
        let long = comment(&"word ".repeat(40));
        assert!(long.lines().count() == 2 && long.lines().all(|line| line.starts_with("-- word")));
    }
}
