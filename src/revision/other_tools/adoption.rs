//! Finds the command that records exactly what other tools have applied, so that Lockkeeper can continue their history.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use super::tool::{RowMeaning, Tool};
use super::{
    AdoptionInput, DirectoryRevisions, ForeignHistory, READ, RecordedVersions, RowState, SourceChoice, version,
};
use crate::revision::{Graph, Migration, Version};

/// The number of differences that a message names.
const NAMED: usize = 5;

/// The histories of other tools in a database, and the next step to continue them with Lockkeeper.
#[derive(Debug)]
pub struct Adoption {
    found: Vec<ForeignHistory>,
    /// The name of the layout of the directory.
    layout: &'static str,
    step: AdoptionStep,
}

/// The next step of an adoption.
#[derive(Debug)]
enum AdoptionStep {
    /// Name these tables: they are the layout's own, and the settings name another table or schema.
    Name(Vec<String>),
    /// Adopt the history: each row of it is that of a revision.
    Adopt,
    /// Stamp this target: the target and its ancestors are exactly what the tools have recorded.
    Stamp(String),
    /// Stamp the first revision: the directory has nothing of what is recorded, so only its first revision can be what
    /// the other tool has created.
    First { id: Version, file: Box<str> },
    /// Stamp base: the other tools have applied nothing.
    Base,
    /// Correct these versions, each with its tool: they stopped part way.
    Mend(Vec<String>),
    /// Choose a table: several belong to this tool, and nothing shows which one is that of the application.
    Ambiguous(&'static str),
    /// Remove these differences: because of them, no target records what the tools have recorded.
    Differences(Vec<String>),
}

impl Adoption {
    /// Compares what the other tools have recorded with the directory.
    pub(crate) fn new(found: Vec<ForeignHistory>, directory: DirectoryRevisions<'_>) -> Adoption {
        let DirectoryRevisions { layout, graph, migrations, version } = directory;
        let own: Vec<String> =
            found.iter().filter(|it| it.tool.layout == Some(layout)).map(|it| it.table.clone()).collect();
        let step = match can_be_adopted(&found, directory) {
            _ if !own.is_empty() => AdoptionStep::Name(own),
            true => AdoptionStep::Adopt,
            false => AdoptionComparison { found: &found, graph, migrations, version }.step(),
        };
        Adoption { found, layout, step }
    }

    /// Returns the command to run next, or the reasons against every command.
    pub(crate) fn advice(&self) -> String {
        let or_base = "or lockkeeper stamp base when that history is another application's";
        match &self.step {
            AdoptionStep::Name(tables) => {
                format!("set LOCKKEEPER_HISTORY_TABLE to {}, so that it goes on; {or_base}", tables.join(" or "))
            }
            AdoptionStep::Adopt => format!("lockkeeper adopt --to {}; {or_base}", self.layout),
            AdoptionStep::Stamp(target) => format!("lockkeeper stamp {target}; {or_base}"),
            AdoptionStep::First { id, file } => {
                format!("lockkeeper stamp {id} if {file} holds the schema as it is; {or_base}")
            }
            AdoptionStep::Base => "lockkeeper stamp base".into(),
            AdoptionStep::Mend(versions) => {
                format!("correct {} first, then run again: it names what to stamp; {or_base}", versions.join(" and "))
            }
            AdoptionStep::Ambiguous(tool) => format!(
                "find out which of the histories of {tool} is this application's, and stamp the revision that it is at; {or_base}"
            ),
            AdoptionStep::Differences(differences) => {
                let more = match differences.len().saturating_sub(NAMED) {
                    0 => String::new(),
                    more => format!("; and {more} more"),
                };
                let named = differences[..differences.len().min(NAMED)].join("; ");
                format!(
                    "no stamp records exactly that: {named}{more}; make the directory and the history agree, with the other tool, then run again; {or_base}"
                )
            }
        }
    }
}

impl fmt::Display for Adoption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named: Vec<String> = self.found.iter().take(READ).map(ToString::to_string).collect();
        write!(f, "this database has the history of {}", named.join(" and of "))?;
        match self.found.len().saturating_sub(READ) {
            0 => {}
            more => write!(f, " and {more} more")?,
        }
        match self.layout {
            "native" => f.write_str(" but none of Lockkeeper's"),
            layout => write!(f, " but none in the table of the layout {layout}"),
        }
    }
}

/// Returns whether a database without a history of the layout can adopt the only history that it has.
fn can_be_adopted(found: &[ForeignHistory], directory: DirectoryRevisions<'_>) -> bool {
    let choice = SourceChoice { layout: directory.layout, tool: None, target_table: "" };
    choice.find(found).is_ok_and(|source| {
        let input = AdoptionInput { source, directory, applied: &[], target_table: "" };
        input.plan().is_ok_and(|plan| !plan.rows.is_empty())
    })
}

/// The histories of other tools, and the directory that they are compared with.
struct AdoptionComparison<'a> {
    found: &'a [ForeignHistory],
    graph: &'a Graph,
    migrations: &'a [Migration],
    version: &'a dyn Fn(&str) -> Option<Version>,
}

/// The result of a comparison.
#[derive(Default)]
struct ComparisonResult {
    /// The positions of the revisions that are recorded.
    recorded: BTreeSet<usize>,
    /// The positions of the revisions that a baseline covers.
    covered: BTreeSet<usize>,
    differences: Vec<String>,
}

impl AdoptionComparison<'_> {
    fn step(&self) -> AdoptionStep {
        let correct: Vec<String> = self.found.iter().filter_map(correct).collect();
        if !correct.is_empty() {
            return AdoptionStep::Mend(correct);
        }
        if let Some(tool) = self.found.iter().enumerate().find_map(|(at, foreign)| {
            let again = self.found[..at].iter().any(|other| other.tool.name == foreign.tool.name);
            again.then_some(foreign.tool.name)
        }) {
            return AdoptionStep::Ambiguous(tool);
        }
        let is_read = |foreign: &ForeignHistory| matches!(foreign.recorded, RecordedVersions::Rows(_));
        if self.found.iter().all(|foreign| is_read(foreign) && foreign.recorded.rows().is_empty()) {
            return AdoptionStep::Base;
        }
        let mut compared = ComparisonResult::default();
        self.found.iter().for_each(|foreign| self.compare(foreign, &mut compared));
        if compared.recorded.is_empty() || !self.found.iter().all(is_read) {
            return self.first();
        }
        self.target(compared)
    }

    fn first(&self) -> AdoptionStep {
        match self.graph.order().first().map(|&at| &self.migrations[at]) {
            Some(migration) => AdoptionStep::First { id: migration.version.clone(), file: migration.up.file.clone() },
            None => AdoptionStep::Base,
        }
    }

    /// Finds the revision of each row.
    fn compare(&self, foreign: &ForeignHistory, compared: &mut ComparisonResult) {
        let tool = foreign.tool;
        let places: HashMap<&Version, usize> =
            self.migrations.iter().enumerate().map(|(at, migration)| (&migration.version, at)).collect();
        let mut unknown = Vec::new();
        for row in foreign.recorded.rows() {
            let number = tool.number(&row.version, self.version);
            let at = number.as_ref().and_then(|id| places.get(id).copied());
            if let (RowState::Baseline, Some(number)) = (row.state, &number) {
                let covered = (0..self.migrations.len()).filter(|&at| self.migrations[at].version <= *number);
                compared.covered.extend(covered);
            }
            match (at, tool.meaning) {
                (None, _) if row.state == RowState::Baseline => {}
                (None, _) => unknown.push((number, &row.version)),
                (Some(at), RowMeaning::UpTo | RowMeaning::Ancestors) => {
                    let marked = self.graph.with_ancestors(&[at]);
                    compared.recorded.extend((0..self.migrations.len()).filter(|&at| marked[at]));
                }
                (Some(at), RowMeaning::EachRow) => {
                    compared.recorded.insert(at);
                    let (here, there) =
                        (version::description_words(&self.migrations[at].description), tool.describe(row));
                    if row.state == RowState::Applied && !there.is_empty() && here != there {
                        let file = &self.migrations[at].up.file;
                        compared.differences.push(format!(
                            "{} calls its {} \"{there}\", and the file is {file}",
                            tool.name, row.version
                        ));
                    }
                }
            }
        }
        // A version older than the directory's first file has become a part of that file, if that file is recorded.
        let first = compared.recorded.iter().map(|&at| &self.migrations[at].version).min();
        let first = first.filter(|first| self.migrations.iter().all(|migration| migration.version >= **first));
        for (number, version) in unknown {
            let is_older = number.is_some_and(|number| first.is_some_and(|first| number < *first));
            if !is_older && tool.meaning == RowMeaning::EachRow && !tool.stands_for_nothing(version) {
                compared.differences.push(format!("no file is {}'s {version}", tool.name));
            }
        }
    }

    /// Finds the target whose ancestors are exactly the recorded revisions.
    fn target(&self, compared: ComparisonResult) -> AdoptionStep {
        let ComparisonResult { recorded, covered, mut differences } = compared;
        let done: Vec<usize> = recorded.iter().chain(&covered).copied().collect();
        let marked = self.graph.with_ancestors(&done);
        let tools: Vec<&str> = self.found.iter().map(|foreign| foreign.tool.name).collect();
        let missing = (0..self.migrations.len()).filter(|at| marked[*at] && !done.contains(at));
        differences.extend(
            missing.map(|at| format!("{} has not run {}", tools.join(" and of "), self.migrations[at].up.file)),
        );
        let heads = self.graph.heads_among(&marked);
        match heads.as_slice() {
            _ if !differences.is_empty() => AdoptionStep::Differences(differences),
            [head] => AdoptionStep::Stamp(self.migrations[*head].version.to_string()),
            heads if heads == self.graph.heads() => AdoptionStep::Stamp("heads".into()),
            heads => {
                let heads: Vec<&str> = heads.iter().map(|&at| &*self.migrations[at].up.file).collect();
                AdoptionStep::Differences(vec![format!("it ends at {} at once", heads.join(", "))])
            }
        }
    }
}

/// Returns the versions of a tool that stopped part way, as a text. Returns `None` if there are none.
fn correct(foreign: &ForeignHistory) -> Option<String> {
    let unfinished = foreign.recorded.unfinished();
    let Tool { name, .. } = foreign.tool;
    (!unfinished.is_empty()).then(|| format!("{} with {name}", unfinished.join(", ")))
}
