//! Flags of the command line in messages that advise them.

/// Returns a command line flag with its value, quoted for a shell. A value that begins with a dash follows an equals
/// sign, because the command line parser would take it for another flag.
pub(crate) fn flag(flag: &str, value: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "._=-/:%".contains(c);
    let value = match value.chars().all(is_plain) && !value.is_empty() {
        true => value.to_owned(),
        false => format!("'{}'", value.replace('\'', "'\\''")),
    };
    let sign = if value.trim_start_matches('\'').starts_with('-') { '=' } else { ' ' };
    format!("{flag}{sign}{value}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_written_so_that_a_shell_and_our_parser_take_them() {
        for (value, expected) in [
            ("t.c=utf8", "--cast t.c=utf8"),
            ("--t.c=utf8", "--cast=--t.c=utf8"),
            ("-a b.c=utf8", "--cast='-a b.c=utf8'"),
            ("it's.c=utf8", "--cast 'it'\\''s.c=utf8'"),
        ] {
            assert_eq!(flag("--cast", value), expected);
        }
    }
}
