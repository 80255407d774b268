//! The directives in the comment lines before the first statement of a script.

use super::number;
use crate::duration::parse_duration;
use crate::revision::migration::Variable;
use crate::revision::{SectionOptions, TransactionMode, Version};

/// The directives of a script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// The parents in `-- depends: 0003 0004`; `None` means the previous revision.
    pub(crate) depends: Option<Box<[Version]>>,
    /// The directives that decide how the script is run.
    pub(crate) options: SectionOptions,
}

/// A directive that cannot be understood.
#[derive(Debug, PartialEq, Eq)]
pub struct BadDirective {
    /// The line in the file, counted from 1.
    pub line: usize,
    /// A sentence that says what is wrong.
    pub reason: String,
}

impl Directives {
    /// Reads the directives from the beginning of a script. The header consists of blank lines and of comments of both
    /// kinds; the first other line ends it.
    ///
    /// # Errors
    /// Fails if a known directive has a value that it cannot have, or if a name is nearly that of a directive.
    pub fn parse(text: &str) -> Result<Directives, BadDirective> {
        let mut directives = Directives::default();
        let mut block = false;
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if block || line.starts_with("/*") {
                block = !line.contains("*/");
                if !block && !line.ends_with("*/") {
                    break;
                }
            } else if let Some(comment) = line.strip_prefix("--") {
                directives.directive(comment.trim()).map_err(|reason| BadDirective { line: index + 1, reason })?;
            } else if !line.is_empty() {
                break;
            }
        }
        Ok(directives)
    }

    fn directive(&mut self, comment: &str) -> Result<(), String> {
        if comment == "no-transaction" {
            self.options.mode = TransactionMode::NoTransaction;
            return Ok(());
        }
        let Some((name, value)) = comment.split_once(':') else {
            return misspelt(comment, &["no-transaction"]);
        };
        let value = value.trim();
        match name.trim_end() {
            "depends" => self.depends = Some(parents(value)?),
            "lock-timeout" => self.options.lock_timeout = Some(parse_duration(value)?),
            "statement-timeout" => self.options.statement_timeout = Some(parse_duration(value)?),
            "vars" => {
                let declared = std::mem::take(&mut self.options.variables).into_iter();
                self.options.variables = declared.chain(variables(value)?).collect();
            }
            "irreversible" if value.is_empty() => {
                return Err("irreversible needs a reason: -- irreversible: why".into());
            }
            "irreversible" => self.options.irreversible = Some(value.into()),
            name => misspelt(name, &["depends", "lock-timeout", "statement-timeout", "irreversible"])?,
        }
        Ok(())
    }
}

/// Parses the names of variables.
fn variables(names: &str) -> Result<Vec<Variable>, String> {
    let is_name = |name: &&str| {
        let mut letters = name.bytes();
        let is_letter = |letter: u8| letter.is_ascii_alphabetic() || letter == b'_';
        letters.next().is_some_and(is_letter) && letters.all(|letter| is_letter(letter) || letter.is_ascii_digit())
    };
    if names.is_empty() {
        return Err("vars needs names: -- vars: NAME OTHER_NAME".into());
    }
    match names.split_whitespace().find(|name| !is_name(name)) {
        Some(name) => Err(format!("\"{name}\" is no name of a variable; write letters, digits and underscores")),
        None => {
            let variable = |name: &str| Variable { name: name.into(), environment: name.into(), line: None };
            Ok(names.split_whitespace().map(variable).collect())
        }
    }
}

/// Fails if a word is nearly a directive: as a comment it would be ignored, and the script would run in another way
/// than its author intended.
fn misspelt(word: &str, known: &[&str]) -> Result<(), String> {
    if word.is_ascii() && !known.iter().chain(&["var", "vars"]).any(|name| may_be_near(word, name)) {
        return Ok(());
    }
    let plain = word.to_lowercase().replace(['_', ' '], "-");
    let near = known.iter().find(|name| strsim::levenshtein(&plain, name) <= 1);
    // Other words of four letters are too near to this one.
    let near = near.or(["var", "vars"].contains(&&*plain).then_some(&"vars"));
    match near {
        Some(name) => Err(format!("\"{word}\" is not a directive; did you mean {name}?")),
        None => Ok(()),
    }
}

/// Reports whether a word in ASCII may be a directive but for one letter. One letter more, less or other leaves the first
/// letter or the last one. Of most comments this says no.
fn may_be_near(word: &str, directive: &str) -> bool {
    let is_alike = |one: Option<u8>, other: Option<u8>| match (one, other) {
        (Some(b'_' | b' '), Some(b'-')) => true,
        (Some(one), Some(other)) => one.eq_ignore_ascii_case(&other),
        _ => false,
    };
    word.len().abs_diff(directive.len()) <= 1
        && (is_alike(word.bytes().next(), directive.bytes().next())
            || is_alike(word.bytes().last(), directive.bytes().last()))
}

fn parents(value: &str) -> Result<Box<[Version]>, String> {
    value
        .split([' ', ',', '\t'])
        .filter(|word| !word.is_empty())
        .map(|word| number::parse(word).ok_or_else(|| format!("depends: \"{word}\" is not a revision number")))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn reads_every_directive() {
        let text = "\n-- Adds things.\n-- depends: 0003, 4\n--no-transaction\n-- lock-timeout: 2s\n-- statement-timeout: 10min\n-- irreversible: drops data\nCREATE TABLE t(a);\n-- depends: 9\n";
        let Directives { depends, options } = Directives::parse(text).unwrap();
        assert_eq!(depends.as_deref(), Some(&["3", "4"].map(|text| number::parse(text).unwrap())[..]));
        assert_eq!(options.mode, TransactionMode::NoTransaction);
        assert_eq!(options.lock_timeout, Some(Duration::from_secs(2)));
        assert_eq!(options.statement_timeout, Some(Duration::from_secs(600)));
        assert_eq!(options.irreversible.as_deref(), Some("drops data"));
    }

    #[test]
    fn ordinary_comments_are_not_directives() {
        let text = "-- no-transactional thoughts\n-- note: this\n-- cars: that\n-- see depends\nSELECT 1";
        assert_eq!(Directives::parse(text).unwrap(), Directives::default());
    }

    #[test]
    fn a_licence_before_the_directives_does_no_harm() {
        let text = "/* Copyright\n * nobody */\n-- no-transaction\nSELECT 1";
        assert_eq!(Directives::parse(text).unwrap().options.mode, TransactionMode::NoTransaction);
        assert_eq!(Directives::parse("/* a */ SELECT 1;\n-- no-transaction").unwrap(), Directives::default());
    }

    #[test]
    fn nearly_a_directive_is_refused() {
        for text in [
            "-- depend: 3",
            "-- lock_timeout: 2s",
            "-- No-Transaction",
            "-- no transaction",
            "-- statement-timeouts: 1s",
            "-- Vars: A",
            "-- var: A",
        ] {
            assert!(Directives::parse(text).unwrap_err().reason.contains("did you mean"), "{text}");
        }
    }

    #[test]
    fn bad_values_name_the_line() {
        for (text, line) in [
            ("-- depends: 3 x", 1),
            ("\n-- lock-timeout: soon", 2),
            ("--\n--\n-- statement-timeout: 5 parsecs", 3),
            ("-- irreversible:", 1),
        ] {
            assert_eq!(Directives::parse(text).unwrap_err().line, line, "{text:?}");
        }
    }
}
