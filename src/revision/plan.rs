//! Graph x applied x target -> the steps that are left, or every reason why none may run.

use std::collections::HashMap;
use std::fmt;

use super::{Checksum, Graph, Id, Mode, Script, Target};

/// One row of the history table.
#[derive(Clone, Debug)]
pub struct Applied {
    pub id: Id,
    /// Of the whole script; of a partial one: of the statements done. `None` when the row holds something else.
    pub checksum: Option<Checksum>,
    pub state: State,
}

/// How far a recorded revision got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Applied,
    /// A `-- no-transaction` script that stopped after so many statements.
    Partial {
        done: usize,
    },
}

/// What is left to do.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    pub steps: Vec<Step>,
    /// The newest revision applied.
    pub current: Option<Id>,
    /// Where the database will be: the heads asked for.
    pub goal: Vec<Id>,
    /// Revisions in the database that are newer than everything in the folder.
    pub ahead: Vec<Id>,
}

/// One script to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Position in the folder.
    pub script: usize,
    /// Statements that an earlier run has done, and their checksum.
    pub resume: Option<Box<(usize, Checksum)>>,
}

/// Why nothing may run.
#[derive(Debug, PartialEq, Eq)]
pub enum Objection {
    /// The file differs from what was applied.
    Edited { file: Box<str>, id: Id, recorded: Option<Checksum>, now: Checksum },
    /// Newer than everything in the folder, and stopped part way.
    PartialAhead { id: Id },
    /// Applied, but not in the folder, though newer revisions are.
    Missing { id: Id },
    /// Not applied, though a revision that rests on it is.
    OutOfOrder { file: Box<str>, id: Id, after: Id },
    /// Begun without a transaction, now asks for one.
    ModeChanged { file: Box<str> },
    /// Begun without a transaction; the row cannot say with which text.
    NoChecksum { file: Box<str>, id: Id },
    /// The target is `head`, but there are several.
    Heads { heads: Vec<Id> },
    /// No revision begins like this.
    UnknownTarget { target: String },
    /// Several revisions begin like this.
    AmbiguousTarget { target: String, candidates: Vec<Id> },
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Objection::Edited { file, id, recorded, now } => {
                let recorded = recorded.map_or("something else".into(), |sum| sum.to_string());
                write!(
                    f,
                    "{file} was edited after revision {id} was applied (recorded {recorded}, now {now}); restore the file and put the change into a new revision"
                )
            }
            Objection::PartialAhead { id } => {
                write!(
                    f,
                    "revision {id} is newer than this folder and stopped part way; finish it with the image that has it"
                )
            }
            Objection::Missing { id } => {
                write!(f, "revision {id} is applied but its file is missing; put the file back")
            }
            Objection::OutOfOrder { file, id, after } => write!(
                f,
                "{file} is out of order: {after} is applied already and comes after {id}; give it a newer number, or state its parents with -- depends:"
            ),
            Objection::ModeChanged { file } => write!(
                f,
                "{file} was begun without a transaction and stopped part way; keep its -- no-transaction line until it is done"
            ),
            Objection::NoChecksum { file, id } => write!(
                f,
                "{file} stopped part way, and the history's checksum of what it has done is no checksum; put the one of revision {id} back"
            ),
            Objection::Heads { heads } => write!(
                f,
                "the folder has {} heads: {}; add a revision that depends on all of them, or give the target heads",
                heads.len(),
                list(heads)
            ),
            Objection::UnknownTarget { target } => {
                write!(f, "no revision in the folder begins with {target}")
            }
            Objection::AmbiguousTarget { target, candidates } => {
                write!(f, "{target} fits several revisions: {}; write more digits", list(candidates))
            }
        }
    }
}

/// Revisions with commas between.
pub fn list(ids: &[Id]) -> String {
    ids.iter().map(Id::as_str).collect::<Vec<_>>().join(", ")
}

/// Plans the way up.
///
/// # Errors
/// Every objection at once, so that one look at the output is enough.
pub fn upgrade(
    graph: &Graph,
    scripts: &[Script],
    applied: &[Applied],
    target: &Target,
) -> Result<Plan, Vec<Objection>> {
    let Recorded { rows, ahead, mut objections } = recorded(scripts, applied);
    let done: Vec<bool> = rows.iter().map(|row| row.is_some_and(|row| row.state == State::Applied)).collect();
    objections.extend(out_of_order(graph, scripts, &done));
    let goal = match resolve(graph, scripts, target) {
        Ok(goal) => goal,
        Err(objection) => {
            objections.push(objection);
            return Err(objections);
        }
    };
    let wanted = graph.with_ancestors(&goal);
    let left: Vec<usize> = graph.order().iter().copied().filter(|&at| wanted[at] && !done[at]).collect();
    objections.extend(ahead.iter().min().into_iter().flat_map(|newer| overtaken(scripts, &left, newer)));
    if !objections.is_empty() {
        return Err(objections);
    }
    Ok(Plan {
        steps: left
            .into_iter()
            .map(|script| Step { script, resume: rows[script].and_then(resume) })
            .collect(),
        current: applied.iter().filter(|row| row.state == State::Applied).map(|row| &row.id).max().cloned(),
        goal: goal.into_iter().map(|at| scripts[at].id.clone()).collect(),
        ahead,
    })
}

/// The history laid over the folder.
struct Recorded<'a> {
    /// By position in the folder.
    rows: Vec<Option<&'a Applied>>,
    ahead: Vec<Id>,
    objections: Vec<Objection>,
}

fn recorded<'a>(scripts: &[Script], applied: &'a [Applied]) -> Recorded<'a> {
    let positions: HashMap<&Id, usize> =
        scripts.iter().enumerate().map(|(at, script)| (&script.id, at)).collect();
    let newest = scripts.last().map(|script| &script.id);
    let mut found = Recorded { rows: vec![None; scripts.len()], ahead: Vec::new(), objections: Vec::new() };
    for row in applied {
        match positions.get(&row.id) {
            Some(&at) => {
                found.objections.extend(changed(&scripts[at], row));
                found.rows[at] = Some(row);
            }
            None if Some(&row.id) > newest && row.state != State::Applied => {
                found.objections.push(Objection::PartialAhead { id: row.id.clone() });
            }
            None if Some(&row.id) > newest => found.ahead.push(row.id.clone()),
            None => found.objections.push(Objection::Missing { id: row.id.clone() }),
        }
    }
    found
}

fn resume(row: &Applied) -> Option<Box<(usize, Checksum)>> {
    match row.state {
        State::Partial { done } => row.checksum.map(|checksum| Box::new((done, checksum))),
        State::Applied => None,
    }
}

/// Compares a script with its row. What a partial one has done is compared when it is resumed.
fn changed(script: &Script, row: &Applied) -> Option<Objection> {
    match row.state {
        State::Applied if row.checksum != Some(script.checksum) => Some(Objection::Edited {
            file: script.up.clone(),
            id: script.id.clone(),
            recorded: row.checksum,
            now: script.checksum,
        }),
        State::Partial { .. } if script.header.mode == Mode::Transaction => {
            Some(Objection::ModeChanged { file: script.up.clone() })
        }
        State::Partial { done } if done > 0 && row.checksum.is_none() => {
            Some(Objection::NoChecksum { file: script.up.clone(), id: script.id.clone() })
        }
        _ => None,
    }
}

/// The applied revisions must hold everything that they rest on.
fn out_of_order(graph: &Graph, scripts: &[Script], done: &[bool]) -> Vec<Objection> {
    let applied: Vec<usize> = (0..done.len()).filter(|&at| done[at]).collect();
    let needed = graph.with_ancestors(&applied);
    let holes = (0..done.len()).filter(|&at| needed[at] && !done[at]);
    holes
        .map(|at| {
            let rests_on_it = |&&later: &&usize| graph.with_ancestors(&[later])[at];
            let after = applied.iter().find(rests_on_it).map_or(at, |&later| later);
            Objection::OutOfOrder {
                file: scripts[at].up.clone(),
                id: scripts[at].id.clone(),
                after: scripts[after].id.clone(),
            }
        })
        .collect()
}

/// What is left may not follow a newer revision of another image, unless it states what it rests on.
fn overtaken(scripts: &[Script], left: &[usize], newer: &Id) -> Vec<Objection> {
    let plain = left.iter().map(|&at| &scripts[at]).filter(|script| script.header.depends.is_none());
    plain
        .map(|script| Objection::OutOfOrder {
            file: script.up.clone(),
            id: script.id.clone(),
            after: newer.clone(),
        })
        .collect()
}

/// Finds the positions that a target names.
fn resolve(graph: &Graph, scripts: &[Script], target: &Target) -> Result<Vec<usize>, Objection> {
    let ids = |positions: &[usize]| positions.iter().map(|&at| scripts[at].id.clone()).collect::<Vec<_>>();
    match target {
        Target::Heads => Ok(graph.heads()),
        Target::Head => {
            let heads = graph.heads();
            if heads.len() > 1 {
                return Err(Objection::Heads { heads: ids(&heads) });
            }
            Ok(heads)
        }
        Target::Revision(text) => {
            let same = Id::parse(text);
            if let Some(at) = scripts.iter().position(|script| Some(&script.id) == same.as_ref()) {
                return Ok(vec![at]);
            }
            let begins = |&at: &usize| scripts[at].id.as_str().starts_with(text.as_str());
            let found: Vec<usize> = (0..scripts.len()).filter(begins).collect();
            match found.len() {
                0 => Err(Objection::UnknownTarget { target: text.clone() }),
                1 => Ok(found),
                _ => Err(Objection::AmbiguousTarget { target: text.clone(), candidates: ids(&found) }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::graph::tests::nodes;
    use super::*;

    fn id(text: &str) -> Id {
        Id::parse(text).unwrap()
    }

    /// Scripts and graph from "1->2->3"; the checksum of revision N is N repeated.
    fn folder(text: &str) -> (Vec<Script>, Graph) {
        let nodes = nodes(text);
        let borrowed: Vec<_> = nodes.iter().map(|(id, parents)| (id, Some(parents.as_slice()))).collect();
        let graph = Graph::new(&borrowed).unwrap();
        let script = |id: &Id| Script {
            id: id.clone(),
            description: "x".into(),
            up: format!("{id}_x.up.sql").into(),
            down: None,
            checksum: sum(id),
            header: Arc::default(),
        };
        (nodes.iter().map(|(id, _)| script(id)).collect(), graph)
    }

    fn sum(id: &Id) -> Checksum {
        Checksum([id.as_str().as_bytes()[0]; 32])
    }

    fn applied(text: &str) -> Vec<Applied> {
        let row =
            |word: &str| Applied { id: id(word), checksum: Some(sum(&id(word))), state: State::Applied };
        text.split_whitespace().map(row).collect()
    }

    fn plan(graph: &str, done: &str, target: &str) -> Result<String, Vec<Objection>> {
        let (scripts, graph) = folder(graph);
        let plan = upgrade(&graph, &scripts, &applied(done), &Target::parse(target).unwrap())?;
        let steps: Vec<&str> = plan.steps.iter().map(|step| scripts[step.script].id.as_str()).collect();
        Ok(steps.join(" "))
    }

    #[test]
    fn what_is_left_in_topological_order() {
        for (graph, done, target, left) in [
            ("1->2->3", "", "head", "1 2 3"),
            ("1->2->3", "1", "head", "2 3"),
            ("1->2->3", "1 2 3", "head", ""),
            ("1->2->3", "", "2", "1 2"),
            ("1->2->3", "1 2 3", "1", ""),
            ("1->2->4, 1->3->4", "1 3", "head", "2 4"),
            ("1->2, 1->3", "1", "heads", "2 3"),
            ("1->2, 1->3", "1 3", "2", "2"),
        ] {
            assert_eq!(plan(graph, done, target).unwrap(), left, "{graph} / {done} / {target}");
        }
    }

    #[test]
    fn objections_come_all_at_once() {
        let (scripts, graph) = folder("1->2->3->5");
        let mut rows = applied("1 3 4");
        rows[0].checksum = None;
        let objections = upgrade(&graph, &scripts, &rows, &Target::Head).unwrap_err();
        assert!(matches!(objections[0], Objection::Edited { .. }));
        assert_eq!(objections[1], Objection::Missing { id: id("4") });
        assert!(
            matches!(&objections[2], Objection::OutOfOrder { id: hole, after, .. } if hole == &id("2") && after == &id("3"))
        );
        assert_eq!(objections.len(), 3);
    }

    #[test]
    fn newer_than_the_folder_is_ahead_not_missing() {
        let (scripts, graph) = folder("1->2");
        let plan = upgrade(&graph, &scripts, &applied("1 2 3"), &Target::Head).unwrap();
        assert_eq!(plan.ahead, [id("3")]);
        assert!(plan.steps.is_empty());
    }

    #[test]
    fn what_is_left_may_not_follow_what_is_ahead() {
        let (mut scripts, graph) = folder("1->2");
        let objections = upgrade(&graph, &scripts, &applied("1 3"), &Target::Head).unwrap_err();
        assert!(
            matches!(&objections[..], [Objection::OutOfOrder { id: left, after, .. }] if left == &id("2") && after == &id("3"))
        );
        Arc::make_mut(&mut scripts[1].header).depends = Some(vec![id("1")]);
        assert_eq!(upgrade(&graph, &scripts, &applied("1 3"), &Target::Head).unwrap().steps.len(), 1);
    }

    #[test]
    fn a_partial_revision_that_is_ahead_is_no_settled_state() {
        let (scripts, graph) = folder("1->2");
        let mut rows = applied("1 2 3");
        rows[2].state = State::Partial { done: 1 };
        let objections = upgrade(&graph, &scripts, &rows, &Target::Head).unwrap_err();
        assert_eq!(objections, [Objection::PartialAhead { id: id("3") }]);
    }

    #[test]
    fn several_heads_are_no_head() {
        let objections = plan("1->2, 1->3", "", "head").unwrap_err();
        assert_eq!(objections, [Objection::Heads { heads: vec![id("2"), id("3")] }]);
    }

    #[test]
    fn prefixes_must_be_unambiguous() {
        assert_eq!(plan("11->12->20", "", "20").unwrap(), "11 12 20");
        assert_eq!(plan("11->12->20", "", "2").unwrap(), "11 12 20");
        assert!(matches!(plan("11->12->20", "", "1").unwrap_err()[0], Objection::AmbiguousTarget { .. }));
        assert!(matches!(plan("11->12", "", "9").unwrap_err()[0], Objection::UnknownTarget { .. }));
    }

    #[test]
    fn a_partial_revision_is_resumed_and_must_keep_its_mode() {
        let (mut scripts, graph) = folder("1->2");
        let mut rows = applied("1 2");
        rows[1].state = State::Partial { done: 2 };
        let objections = upgrade(&graph, &scripts, &rows, &Target::Head).unwrap_err();
        assert!(matches!(objections[0], Objection::ModeChanged { .. }));
        Arc::make_mut(&mut scripts[1].header).mode = Mode::NoTransaction;
        rows[1].checksum = None;
        let objections = upgrade(&graph, &scripts, &rows, &Target::Head).unwrap_err();
        assert!(matches!(objections[0], Objection::NoChecksum { .. }));
        rows[1].checksum = Some(sum(&id("2")));
        let plan = upgrade(&graph, &scripts, &rows, &Target::Head).unwrap();
        assert_eq!(plan.steps, [Step { script: 1, resume: Some(Box::new((2, sum(&id("2"))))) }]);
        assert_eq!(plan.current, Some(id("1")));
    }
}
