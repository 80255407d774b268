//! Finds the revision of the directory for each row of another tool's history.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::tool::RowMeaning;
use super::version::{self, RevisionNumber};
use super::{AdoptionError, ForeignHistory, RecordedRow, RowState};
use crate::revision::{Graph, Migration, Version};

/// A function that parses the text of a version in a layout.
pub(crate) type ParseVersion = dyn Fn(&str) -> Option<Version>;

/// The revisions of a directory, and the rules of its layout for versions.
#[derive(Clone, Copy)]
pub(crate) struct DirectoryRevisions<'a> {
    /// The name of the layout.
    pub(crate) layout: &'static str,
    /// The graph of the revisions, by their positions.
    pub(crate) graph: &'a Graph,
    /// The revisions, in ascending order of their versions.
    pub(crate) migrations: &'a [Migration],
    /// Parses the text of a version.
    pub(crate) version: &'a ParseVersion,
}

/// The positions of the revisions that a tool has recorded, each with the version of the row that says so.
pub(super) type RecordedRevisions = BTreeMap<usize, String>;

/// Returns the revisions that a history records.
///
/// # Errors
/// Fails with every row that has no revision in the directory, or is not certainly that of one.
pub(super) fn recorded_revisions(
    history: &ForeignHistory,
    directory: DirectoryRevisions<'_>,
) -> Result<RecordedRevisions, AdoptionError> {
    let mut mapping = HistoryMapping::new(history, directory);
    history.recorded.rows().iter().for_each(|row| mapping.add(row));
    match mapping.unknown.is_empty() && mapping.differences.is_empty() {
        true => Ok(mapping.recorded),
        false => Err(AdoptionError::Unmapped {
            history: history.to_string(),
            unknown: mapping.unknown,
            differences: mapping.differences,
        }),
    }
}

/// A history, and the revisions that were found for its rows.
struct HistoryMapping<'a> {
    history: &'a ForeignHistory,
    directory: DirectoryRevisions<'a>,
    /// The positions of the revisions by the numbers that their versions begin with.
    numbers: HashMap<RevisionNumber, Vec<usize>>,
    recorded: RecordedRevisions,
    /// The versions without a revision.
    unknown: Vec<String>,
    /// The rows that are not certainly those of a revision, a sentence each.
    differences: Vec<String>,
}

impl<'a> HistoryMapping<'a> {
    fn new(history: &'a ForeignHistory, directory: DirectoryRevisions<'a>) -> HistoryMapping<'a> {
        let mut numbers: HashMap<RevisionNumber, Vec<usize>> = HashMap::new();
        for (at, migration) in directory.migrations.iter().enumerate() {
            if let Some((number, _)) = version::leading_number(migration.version.as_str()) {
                numbers.entry(number).or_default().push(at);
            }
        }
        let (recorded, unknown, differences) = (BTreeMap::new(), Vec::new(), Vec::new());
        HistoryMapping { history, directory, numbers, recorded, unknown, differences }
    }

    /// Adds the revisions of a row.
    fn add(&mut self, row: &RecordedRow) {
        let DirectoryRevisions { graph, migrations, .. } = self.directory;
        let tool = self.history.tool;
        if row.state == RowState::Baseline {
            match tool.plain_number(&row.version) {
                Some(baseline) => self.record_up_to(row, &baseline),
                None => self.unknown.push(row.version.clone()),
            }
            return;
        }
        let candidates = self.candidates(row);
        let at = match candidates.as_slice() {
            [at] => *at,
            [] if tool.stands_for_nothing(&row.version) => return,
            [] => return self.unknown.push(row.version.clone()),
            several => {
                let files: Vec<&str> = several.iter().map(|&at| &*migrations[at].up.file).collect();
                let files = files.join(", ");
                return self.differences.push(format!("several files may be {}'s {}: {files}", tool.name, row.version));
            }
        };
        match tool.meaning {
            RowMeaning::UpTo => {
                if let Some(newest) = tool.plain_number(&row.version) {
                    self.record_up_to(row, &newest);
                }
            }
            RowMeaning::Ancestors => {
                let marked = graph.with_ancestors(&[at]);
                self.record(row, |other| marked[other]);
            }
            RowMeaning::EachRow => self.add_one(row, at),
        }
    }

    /// Adds the revision of a row that stands for no other revision.
    fn add_one(&mut self, row: &RecordedRow, at: usize) {
        let (tool, migration) = (self.history.tool, &self.directory.migrations[at]);
        let (here, there) = (version::description_words(&migration.description), tool.describe(row));
        let file = &migration.up.file;
        if !here.is_empty() && !there.is_empty() && here != there {
            let difference = format!("{} calls its {} \"{there}\", and the file is {file}", tool.name, row.version);
            self.differences.push(difference);
        }
        match self.recorded.insert(at, row.version.clone()) {
            Some(other) if other != row.version => self.differences.push(format!(
                "{} has the versions {other} and {}, and {file} is the only file for both",
                tool.name, row.version
            )),
            _ => {}
        }
    }

    /// Adds each revision with this number or a smaller one. A layout may have another order.
    fn record_up_to(&mut self, row: &RecordedRow, newest: &RevisionNumber) {
        let numbers = self.numbers.iter().filter(|(number, _)| *number <= newest);
        let covered: HashSet<usize> = numbers.flat_map(|(_, positions)| positions).copied().collect();
        self.record(row, |at| covered.contains(&at));
    }

    /// Adds each revision whose position fulfils a condition.
    fn record(&mut self, row: &RecordedRow, is_recorded: impl Fn(usize) -> bool) {
        for at in (0..self.directory.migrations.len()).filter(|&at| is_recorded(at)) {
            self.recorded.entry(at).or_insert_with(|| row.version.clone());
        }
    }

    /// Returns the positions of the revisions that a row may be of: that of its version, those of its number, or those of
    /// its words. Of several, those with the words of the row.
    fn candidates(&self, row: &RecordedRow) -> Vec<usize> {
        let DirectoryRevisions { migrations, version, .. } = self.directory;
        let tool = self.history.tool;
        let is_same = |id: &Version| migrations.iter().position(|migration| migration.version == *id);
        if let Some(at) = version(&row.version).as_ref().and_then(is_same) {
            return vec![at];
        }
        let words = tool.describe(row);
        let has_words = |at: &usize| version::description_words(&migrations[*at].description) == words;
        match tool.plain_number(&row.version).map(|number| self.numbers.get(&number).cloned().unwrap_or_default()) {
            Some(several) if several.len() > 1 && !words.is_empty() => several.into_iter().filter(has_words).collect(),
            Some(candidates) => candidates,
            None if words.is_empty() => Vec::new(),
            None => (0..migrations.len()).filter(|&at| self.is_only_words(at)).filter(has_words).collect(),
        }
    }

    /// Returns whether the version of a revision does not begin with a number.
    fn is_only_words(&self, at: usize) -> bool {
        version::leading_number(self.directory.migrations[at].version.as_str()).is_none()
    }
}
