//! Chooses the history to adopt among those that a database has.

use super::{AdoptionError, ForeignHistory, RecordedVersions, RowState};

/// The words of a user who adopts a history.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SourceChoice<'a> {
    /// The name of the layout that is to have the history.
    pub(crate) layout: &'a str,
    /// The name of the tool whose history is adopted; `None` is the only one.
    pub(crate) tool: Option<&'a str>,
    /// The name of the table that the layout writes, as people write it.
    pub(crate) target_table: &'a str,
}

impl SourceChoice<'_> {
    /// Returns the history to adopt.
    ///
    /// # Errors
    /// Fails if there is none, or more than one, and if the history cannot be adopted whatever the directory has.
    pub(crate) fn find<'a>(&self, found: &'a [ForeignHistory]) -> Result<&'a ForeignHistory, AdoptionError> {
        let others: Vec<&ForeignHistory> =
            found.iter().filter(|history| history.tool.layout != Some(self.layout)).collect();
        let is_named = |history: &&&ForeignHistory| self.tool.is_none_or(|tool| history.tool.is_named(tool));
        let candidates: Vec<&ForeignHistory> = others.iter().filter(is_named).copied().collect();
        let describe = |histories: &[&ForeignHistory]| histories.iter().map(ToString::to_string).collect();
        match candidates[..] {
            [] => Err(AdoptionError::NoSource { tool: self.tool.map(str::to_owned), found: describe(&others) }),
            [history] => self.check(history).map(|()| history),
            [first, ..] if candidates.iter().all(|other| other.tool.name == first.tool.name) => {
                Err(AdoptionError::Ambiguous { found: describe(&candidates) })
            }
            _ => Err(AdoptionError::SeveralSources { found: describe(&candidates) }),
        }
    }

    /// Checks that a history can be adopted, whatever the directory has.
    fn check(&self, history: &ForeignHistory) -> Result<(), AdoptionError> {
        let tool = history.tool;
        let text = history.to_string();
        if history.table.eq_ignore_ascii_case(self.target_table) {
            let (table, layout) = (history.table.clone(), self.layout.to_owned());
            return Err(AdoptionError::SharedTable { tool: tool.name, table, layout });
        }
        if !matches!(history.recorded, RecordedVersions::Rows(_)) {
            return Err(AdoptionError::NotReadable { history: text });
        }
        if !tool.has_revisions() {
            return Err(AdoptionError::NoRevisions { history: text });
        }
        let unfinished = history.recorded.rows().iter().filter(|row| row.state == RowState::Unfinished);
        let remedies: Vec<String> = unfinished.map(|row| tool.remedy(&row.version)).collect();
        match remedies.is_empty() {
            true => Ok(()),
            false => Err(AdoptionError::Unfinished { history: text, remedies }),
        }
    }
}
