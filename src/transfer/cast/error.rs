//! Why a value does not fit its column.

use std::borrow::Cow;

use super::CastRule;
use crate::transfer::schema_conversion::flag;

/// A value that the target cannot hold, or not without a guess.
#[derive(Clone, Debug, PartialEq)]
pub struct CastError {
    reason: Cow<'static, str>,
    hint: Option<CastHint>,
}

#[derive(Clone, Debug, PartialEq)]
enum CastHint {
    /// A rule that would take it, and what it would make of it.
    Rule(CastRule, Cow<'static, str>),
    Advice(&'static str),
}

impl CastError {
    pub(super) fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        Self { reason: reason.into(), hint: None }
    }

    /// The rule that would take such a value, and what it does.
    pub(super) fn rule(mut self, rule: CastRule, note: impl Into<Cow<'static, str>>) -> Self {
        self.hint = Some(CastHint::Rule(rule, note.into()));
        self
    }

    pub(super) fn advice(mut self, advice: &'static str) -> Self {
        self.hint = Some(CastHint::Advice(advice));
        self
    }

    /// In plain words: it goes on a sentence that begins with the value.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The rule that would take the value, as `--cast` takes it: `table.column=rule`.
    pub fn cast(&self, column: &str) -> Option<String> {
        match &self.hint {
            Some(CastHint::Rule(rule, _)) => Some(format!("{column}={rule}")),
            _ => None,
        }
    }

    /// What to try, for a column named as `--cast` takes it: `table.column`.
    pub fn hint(&self, column: &str) -> Option<String> {
        self.hint.as_ref().map(|hint| match hint {
            CastHint::Rule(rule, note) => format!("{} {note}", flag("--cast", &format!("{column}={rule}"))),
            CastHint::Advice(advice) => (*advice).to_owned(),
        })
    }
}
