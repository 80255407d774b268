//! How a database with the history of other tools goes on with ours: which `stamp` records exactly what they have done.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use super::tool::{Meaning, Tool};
use super::{Foreign, READ, Recorded, RowState, version};
use crate::revision::{Graph, Id, Script};

/// So many differences are named.
const NAMED: usize = 5;

/// How a database with the history of other tools goes on with ours.
#[derive(Debug)]
pub struct Adoption {
    found: Vec<Foreign>,
    step: Step,
}

/// What is to be done next.
#[derive(Debug)]
enum Step {
    /// This target and what it rests on are exactly what the tools have recorded.
    Stamp(String),
    /// The folder has nothing of what is recorded: its first revision can only be what the other tool has made.
    First { id: Id, file: Box<str> },
    /// The other tools have done nothing.
    Base,
    /// Versions stopped part way, with their tools.
    Mend(Vec<String>),
    /// Several tables of this tool are there, and nobody can say which one is this application's.
    Ambiguous(&'static str),
    /// No target records what the tools have recorded: why.
    Differences(Vec<String>),
}

impl Adoption {
    /// Compares what the other tools have recorded with the folder.
    pub fn new(found: Vec<Foreign>, graph: &Graph, scripts: &[Script]) -> Adoption {
        let step = Comparison { found: &found, graph, scripts }.step();
        Adoption { found, step }
    }

    /// Returns the command to give, or what stands against every one.
    pub fn advice(&self) -> String {
        let or_base = "or lockkeeper stamp base when that history is another application's";
        match &self.step {
            Step::Stamp(target) => format!("lockkeeper stamp {target}; {or_base}"),
            Step::First { id, file } => {
                format!("lockkeeper stamp {id} if {file} holds the schema as it is; {or_base}")
            }
            Step::Base => "lockkeeper stamp base".into(),
            Step::Mend(versions) => {
                format!(
                    "mend {} first, then run again: it names what to stamp; {or_base}",
                    versions.join(" and ")
                )
            }
            Step::Ambiguous(tool) => format!(
                "find out which of the histories of {tool} is this application's, and stamp the revision that it is at; {or_base}"
            ),
            Step::Differences(differences) => {
                let more = match differences.len().saturating_sub(NAMED) {
                    0 => String::new(),
                    more => format!("; and {more} more"),
                };
                let named = differences[..differences.len().min(NAMED)].join("; ");
                format!(
                    "no stamp records exactly that: {named}{more}; make the folder and the history agree, with the other tool, then run again; {or_base}"
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
        f.write_str(" but none of Lockkeeper's")
    }
}

/// What other tools have recorded beside a folder.
struct Comparison<'a> {
    found: &'a [Foreign],
    graph: &'a Graph,
    scripts: &'a [Script],
}

/// What a comparison has found.
#[derive(Default)]
struct Compared {
    /// The revisions that are recorded, by their places among the scripts.
    recorded: BTreeSet<usize>,
    /// The revisions that a baseline stands for.
    covered: BTreeSet<usize>,
    differences: Vec<String>,
}

impl Comparison<'_> {
    fn step(&self) -> Step {
        let mend: Vec<String> = self.found.iter().filter_map(mend).collect();
        if !mend.is_empty() {
            return Step::Mend(mend);
        }
        if let Some(tool) = self.found.iter().enumerate().find_map(|(at, foreign)| {
            let again = self.found[..at].iter().any(|other| other.tool.name == foreign.tool.name);
            again.then_some(foreign.tool.name)
        }) {
            return Step::Ambiguous(tool);
        }
        let is_read = |foreign: &Foreign| matches!(foreign.recorded, Recorded::Rows(_));
        if self.found.iter().all(|foreign| is_read(foreign) && foreign.recorded.rows().is_empty()) {
            return Step::Base;
        }
        let mut compared = Compared::default();
        self.found.iter().for_each(|foreign| self.compare(foreign, &mut compared));
        if compared.recorded.is_empty() || !self.found.iter().all(is_read) {
            return self.first();
        }
        self.target(compared)
    }

    fn first(&self) -> Step {
        match self.graph.order().first().map(|&at| &self.scripts[at]) {
            Some(script) => Step::First { id: script.id.clone(), file: script.up.clone() },
            None => Step::Base,
        }
    }

    /// Looks for the revision of each row.
    fn compare(&self, foreign: &Foreign, compared: &mut Compared) {
        let tool = foreign.tool;
        let places: HashMap<&Id, usize> =
            self.scripts.iter().enumerate().map(|(at, script)| (&script.id, at)).collect();
        let mut unknown = Vec::new();
        for row in foreign.recorded.rows() {
            let number = tool.number(&row.version);
            let at = number.as_ref().and_then(|id| places.get(id).copied());
            if let (RowState::Baseline, Some(number)) = (row.state, &number) {
                let covered = (0..self.scripts.len()).filter(|&at| self.scripts[at].id <= *number);
                compared.covered.extend(covered);
            }
            match (at, tool.meaning) {
                (None, _) if row.state == RowState::Baseline => {}
                (None, _) => unknown.push((number, &row.version)),
                (Some(at), Meaning::UpTo) => {
                    let marked = self.graph.with_ancestors(&[at]);
                    compared.recorded.extend((0..self.scripts.len()).filter(|&at| marked[at]));
                }
                (Some(at), Meaning::EachRow) => {
                    compared.recorded.insert(at);
                    let (here, there) = (version::words(&self.scripts[at].description), tool.words(row));
                    if row.state == RowState::Applied && !there.is_empty() && here != there {
                        let file = &self.scripts[at].up;
                        compared.differences.push(format!(
                            "{} calls its {} \"{there}\", and the file is {file}",
                            tool.name, row.version
                        ));
                    }
                }
            }
        }
        // What is older than the folder's first file, which is recorded as well, went into that.
        let first = compared.recorded.iter().map(|&at| &self.scripts[at].id).min();
        let first = first.filter(|first| self.scripts.iter().all(|script| script.id >= **first));
        for (number, version) in unknown {
            let is_older = number.is_some_and(|number| first.is_some_and(|first| number < *first));
            if !is_older && tool.meaning == Meaning::EachRow && !tool.stands_for_nothing(version) {
                compared.differences.push(format!("no file is {}'s {version}", tool.name));
            }
        }
    }

    /// Finds the target whose revisions are exactly those that are recorded.
    fn target(&self, compared: Compared) -> Step {
        let Compared { recorded, covered, mut differences } = compared;
        let done: Vec<usize> = recorded.iter().chain(&covered).copied().collect();
        let marked = self.graph.with_ancestors(&done);
        let tools: Vec<&str> = self.found.iter().map(|foreign| foreign.tool.name).collect();
        let missing = (0..self.scripts.len()).filter(|at| marked[*at] && !done.contains(at));
        differences.extend(
            missing.map(|at| format!("{} has not run {}", tools.join(" and of "), self.scripts[at].up)),
        );
        let heads = self.graph.heads_among(&marked);
        match heads.as_slice() {
            _ if !differences.is_empty() => Step::Differences(differences),
            [head] => Step::Stamp(self.scripts[*head].id.to_string()),
            heads if heads == self.graph.heads() => Step::Stamp("heads".into()),
            heads => {
                let heads: Vec<&str> = heads.iter().map(|&at| &*self.scripts[at].up).collect();
                Step::Differences(vec![format!("it ends at {} at once", heads.join(", "))])
            }
        }
    }
}

/// Names the versions of a tool that stopped part way.
fn mend(foreign: &Foreign) -> Option<String> {
    let unfinished = foreign.recorded.unfinished();
    let Tool { name, .. } = foreign.tool;
    (!unfinished.is_empty()).then(|| format!("{} with {name}", unfinished.join(", ")))
}
