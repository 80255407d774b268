//! Variables in SQL: `${NAME}`, where the script declares `NAME`.

use std::collections::HashMap;
use std::fmt;

use super::classify::Classified;
use super::script_problem::{ScriptProblem, TransactionMode};
use super::statement_batch::Batch;
use super::statements::{Window, WindowScan, scan};
use crate::dialect::Dialect;

/// The values of the variables that a script declares, by name. They are secrets.
#[derive(Clone, Default)]
pub(crate) struct VariableValues(HashMap<Box<str>, String>);

impl VariableValues {
    /// Creates the values from pairs of a name and a value.
    pub(crate) fn new(values: impl IntoIterator<Item = (Box<str>, String)>) -> VariableValues {
        VariableValues(values.into_iter().collect())
    }

    /// Returns whether there are no variables.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns a text with the values in the places of the variables.
    pub(crate) fn substitute(&self, text: &str) -> String {
        let (mut result, mut rest) = (String::with_capacity(text.len()), text);
        while let Some(at) = rest.find("${") {
            let name = rest[at + 2..].split_once('}').map(|(name, _)| name);
            let value = name.and_then(|name| Some((name, self.0.get(name)?)));
            let (end, text) = value.map_or((at + 2, "${"), |(name, value)| (at + name.len() + 3, value.as_str()));
            result.push_str(&rest[..at]);
            result.push_str(text);
            rest = &rest[end..];
        }
        result.push_str(rest);
        result
    }

    /// Puts the values into a batch, and classifies its statements anew. A value that begins or ends a statement is a
    /// problem of the first statement of the batch: nobody can see that in the file.
    pub(super) fn apply(&self, batch: Batch, dialect: Dialect, mode: TransactionMode) -> Batch {
        let text = self.substitute(&batch.text);
        if text == batch.text {
            return batch;
        }
        let (mut starts, mut classes, mut objections) = (Vec::new(), Vec::new(), batch.objections);
        let mut end = 0;
        let rest = loop {
            let found = match scan(&text[end..], dialect, Window::Last) {
                WindowScan::Statement(found) => found,
                rest => break rest,
            };
            let class = Classified::new(&text[end + found.start..end + found.end], dialect);
            let at = batch.starts.get(starts.len()).copied().unwrap_or(0);
            let place = batch.origin.after(&batch.text[..at]);
            let problem = class.problem(mode).filter(|_| !objections.iter().any(|(known, _)| *known == place));
            objections.extend(problem.map(|problem| (place, problem)));
            starts.push(end + found.start);
            classes.push(class);
            end += found.end;
        };
        if starts.len() != batch.starts.len() || rest != WindowScan::Blank {
            let first = batch.origin.after(&batch.text[..batch.starts.first().copied().unwrap_or(0)]);
            objections.push((first, ScriptProblem::VariableDividesStatement));
        }
        Batch { text, starts, classes, objections, ..batch }
    }
}

impl fmt::Debug for VariableValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_declared_variables_are_replaced() {
        let values = VariableValues::new([("A".into(), "1".to_owned()), ("LONG_2".into(), "${A}".to_owned())]);
        for (text, expected) in [
            ("a ${A}${A} b", "a 11 b"),
            ("${B} ${LONG_2} ${", "${B} ${A} ${"),
            ("$${A}$ ${A", "$1$ ${A"),
            ("${${A}}", "${1}"),
        ] {
            assert_eq!(values.substitute(text), expected);
        }
    }
}
