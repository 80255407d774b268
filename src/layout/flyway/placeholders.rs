//! The placeholders in scripts: `${name}`.

use crate::revision::migration::Variable;

/// The longest name of a placeholder in bytes.
const LONGEST: usize = 200;

/// The beginning of the names of environment variables with the values of placeholders.
const PREFIX: &str = "FLYWAY_PLACEHOLDERS_";

/// The placeholders of a script whose text is passed part by part.
#[derive(Default)]
pub(super) struct Placeholders {
    state: State,
    /// The number of line ends so far.
    line_ends: usize,
    /// The first place of each placeholder.
    found: Vec<Variable>,
}

/// The part of a placeholder that was read.
#[derive(Default)]
enum State {
    #[default]
    Outside,
    Dollar,
    Name(String),
}

impl Placeholders {
    /// Reads the next part of the text.
    pub(super) fn read(&mut self, piece: &str) {
        for letter in piece.chars() {
            self.state = match (std::mem::take(&mut self.state), letter) {
                (State::Dollar, '{') => State::Name(String::new()),
                (State::Name(name), '}') => {
                    self.add(name);
                    State::Outside
                }
                (State::Name(mut name), letter) if letter != '\n' && name.len() < LONGEST => {
                    name.push(letter);
                    State::Name(name)
                }
                (_, '$') => State::Dollar,
                _ => State::Outside,
            };
            self.line_ends += usize::from(letter == '\n');
        }
    }

    fn add(&mut self, name: String) {
        if self.found.iter().all(|known| *known.name != *name) {
            let environment = format!("{PREFIX}{}", name.to_uppercase()).into();
            self.found.push(Variable { name: name.into(), environment, line: Some(self.line_ends + 1) });
        }
    }

    /// Returns the placeholders.
    ///
    /// # Errors
    /// Fails with a sentence about a placeholder whose value only Flyway has.
    pub(super) fn finish(self) -> Result<Box<[Variable]>, String> {
        match self.found.iter().find(|variable| variable.name.to_lowercase().starts_with("flyway:")) {
            Some(Variable { name, line, .. }) => Err(format!(
                "line {}: Lockkeeper has no value for Flyway's own placeholder ${{{name}}}",
                line.unwrap_or(0)
            )),
            None => Ok(self.found.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_found_across_parts_with_their_lines() {
        let mut placeholders = Placeholders::default();
        for piece in ["a $", "{one}\n$${Two.x} ${", "one} ${no\nend} $ {x} $a {b} ${three"] {
            placeholders.read(piece);
        }
        let found = placeholders.finish().unwrap();
        let found: Vec<_> = found.iter().map(|it| (&*it.name, &*it.environment, it.line)).collect();
        assert_eq!(
            found,
            [("one", "FLYWAY_PLACEHOLDERS_ONE", Some(1)), ("Two.x", "FLYWAY_PLACEHOLDERS_TWO.X", Some(2))]
        );
    }
}
