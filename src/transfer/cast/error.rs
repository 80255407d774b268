//! The error of a value that does not fit its column.

use std::borrow::Cow;

use super::CastRule;
use crate::transfer::flag;

/// A value that the target cannot store, or not without a guess at its meaning.
#[derive(Clone, Debug, PartialEq)]
pub struct CastError {
    reason: Cow<'static, str>,
    hint: Option<CastHint>,
}

/// The hint of an error.
#[derive(Clone, Debug, PartialEq)]
enum CastHint {
    /// A rule that would accept the value, and what the rule does with it.
    Rule(CastRule, Cow<'static, str>),
    /// Advice in words.
    Advice(&'static str),
}

impl CastError {
    /// Creates an error without a hint. `reason` is a predicate: it continues a sentence that begins with the value.
    pub(super) fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        Self { reason: reason.into(), hint: None }
    }

    /// Adds the rule that would accept such a value, and a note on what the rule does.
    pub(super) fn rule(mut self, rule: CastRule, note: impl Into<Cow<'static, str>>) -> Self {
        self.hint = Some(CastHint::Rule(rule, note.into()));
        self
    }

    /// Adds advice in words.
    pub(super) fn advice(mut self, advice: &'static str) -> Self {
        self.hint = Some(CastHint::Advice(advice));
        self
    }

    /// Returns the reason as a predicate: it continues a sentence that begins with the value.
    pub(crate) fn reason(&self) -> &str {
        &self.reason
    }

    /// Returns the rule that would accept the value, as the option `--cast` expects it: `table.column=rule`. `column`
    /// is `table.column`.
    pub(crate) fn cast(&self, column: &str) -> Option<String> {
        match &self.hint {
            Some(CastHint::Rule(rule, _)) => Some(format!("{column}={rule}")),
            _ => None,
        }
    }

    /// Returns the hint for a message. `column` is the column as the option `--cast` expects it: `table.column`.
    pub(crate) fn hint(&self, column: &str) -> Option<String> {
        self.hint.as_ref().map(|hint| match hint {
            CastHint::Rule(rule, note) => format!("{} {note}", flag("--cast", &format!("{column}={rule}"))),
            CastHint::Advice(advice) => (*advice).to_owned(),
        })
    }
}
