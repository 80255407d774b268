//! The directed graph of revisions: parents, heads, ancestors, a stable topological order.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::fmt;

use super::Id;

/// Revisions in ascending order of number, each with the positions of its parents.
#[derive(Debug)]
pub struct Graph {
    parents: Vec<Box<[usize]>>,
    /// Positions, parents before children, smaller numbers first where the graph leaves a choice.
    order: Vec<usize>,
}

/// What makes a set of revisions no graph.
#[derive(Debug, PartialEq, Eq)]
pub enum Problem {
    UnknownParent { child: Id, parent: Id },
    Cycle { members: Vec<Id> },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::UnknownParent { child, parent } => {
                write!(f, "{child} depends on {parent}, which is not in the folder")
            }
            Problem::Cycle { members } => {
                let names: Vec<&str> = members.iter().map(Id::as_str).collect();
                write!(f, "these revisions depend on each other in a circle: {}", names.join(", "))
            }
        }
    }
}

impl Graph {
    /// Builds the graph from revisions in ascending order, each with its stated parents (`None`: the previous one).
    ///
    /// # Errors
    /// Every unknown parent, or the members of a cycle.
    pub fn new(nodes: &[(&Id, Option<&[Id]>)]) -> Result<Graph, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut parents: Vec<Box<[usize]>> = Vec::with_capacity(nodes.len());
        let positions = stated_positions(nodes);
        for (position, (child, depends)) in nodes.iter().enumerate() {
            let Some(depends) = depends else {
                parents.push(position.checked_sub(1).into_iter().collect());
                continue;
            };
            let mut found = BTreeSet::new();
            for parent in *depends {
                match positions.get(parent) {
                    Some(&at) => drop(found.insert(at)),
                    None => problems
                        .push(Problem::UnknownParent { child: (*child).clone(), parent: parent.clone() }),
                }
            }
            parents.push(found.into_iter().collect());
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let order = topological(&parents);
        if order.len() < nodes.len() {
            let sorted: BTreeSet<usize> = order.into_iter().collect();
            let left = (0..nodes.len()).filter(|position| !sorted.contains(position));
            let members = left.map(|position| nodes[position].0.clone()).collect();
            return Err(vec![Problem::Cycle { members }]);
        }
        Ok(Graph { parents, order })
    }

    /// Positions that are nobody's parent, ascending.
    pub fn heads(&self) -> Vec<usize> {
        let mut is_parent = vec![false; self.parents.len()];
        for &parent in self.parents.iter().flatten() {
            is_parent[parent] = true;
        }
        (0..self.parents.len()).filter(|&position| !is_parent[position]).collect()
    }

    /// Marks the given positions and everything they rest on.
    pub fn with_ancestors(&self, of: &[usize]) -> Vec<bool> {
        let mut marked = vec![false; self.parents.len()];
        let mut open = of.to_vec();
        while let Some(position) = open.pop() {
            if !std::mem::replace(&mut marked[position], true) {
                open.extend(self.parents[position].iter());
            }
        }
        marked
    }

    /// Positions in the order in which they are applied.
    pub fn order(&self) -> &[usize] {
        &self.order
    }
}

/// Positions by revision, only when somebody states parents: a plain folder needs no index.
fn stated_positions<'a>(nodes: &[(&'a Id, Option<&[Id]>)]) -> HashMap<&'a Id, usize> {
    if nodes.iter().all(|(_, depends)| depends.is_none()) {
        return HashMap::new();
    }
    nodes.iter().enumerate().map(|(position, (id, _))| (*id, position)).collect()
}

/// Kahn's algorithm with the smallest position first; shorter than its input when there is a cycle.
fn topological(parents: &[Box<[usize]>]) -> Vec<usize> {
    let mut missing: Vec<usize> = parents.iter().map(|of| of.len()).collect();
    let edges =
        parents.iter().enumerate().flat_map(|(child, of)| of.iter().map(move |&parent| (parent, child)));
    let mut edges: Vec<(usize, usize)> = edges.collect();
    edges.sort_unstable();
    let mut free: BinaryHeap<Reverse<usize>> =
        (0..parents.len()).filter(|&at| missing[at] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(parents.len());
    while let Some(Reverse(position)) = free.pop() {
        order.push(position);
        let first = edges.partition_point(|&(parent, _)| parent < position);
        for &(_, child) in edges[first..].iter().take_while(|&&(parent, _)| parent == position) {
            missing[child] -= 1;
            if missing[child] == 0 {
                free.push(Reverse(child));
            }
        }
    }
    order
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Reads "1->2->4, 1->3->4": every revision named, each arrow a stated parent.
    pub(in crate::revision) fn nodes(text: &str) -> Vec<(Id, Vec<Id>)> {
        let mut found: Vec<(Id, Vec<Id>)> = Vec::new();
        for path in text.split(',') {
            let ids: Vec<Id> = path.split("->").map(|word| Id::parse(word.trim()).unwrap()).collect();
            for (position, id) in ids.iter().enumerate() {
                if !found.iter().any(|(known, _)| known == id) {
                    found.push((id.clone(), Vec::new()));
                }
                let parent = position.checked_sub(1).map(|before| ids[before].clone());
                let entry = found.iter_mut().find(|(known, _)| known == id).unwrap();
                entry.1.extend(parent);
            }
        }
        found.sort_by(|left, right| left.0.cmp(&right.0));
        found
    }

    fn graph(text: &str) -> Result<Graph, Vec<Problem>> {
        let nodes = nodes(text);
        let borrowed: Vec<_> = nodes.iter().map(|(id, parents)| (id, Some(parents.as_slice()))).collect();
        Graph::new(&borrowed)
    }

    #[test]
    fn orders_parents_first_and_is_stable() {
        for (text, heads, order) in [
            ("1->2->3", vec![2], vec![0, 1, 2]),
            ("1->2->4, 1->3->4", vec![3], vec![0, 1, 2, 3]),
            ("1->3, 1->2", vec![1, 2], vec![0, 1, 2]),
            ("3->1, 1->2", vec![1], vec![2, 0, 1]),
            ("1, 2", vec![0, 1], vec![0, 1]),
        ] {
            let graph = graph(text).unwrap();
            assert_eq!(graph.heads(), heads, "{text}");
            assert_eq!(graph.order(), order, "{text}");
        }
    }

    #[test]
    fn ancestors_of_one_branch_leave_the_other_out() {
        let graph = graph("1->2->4, 1->3").unwrap();
        assert_eq!(graph.with_ancestors(&[3]), [true, true, false, true]);
    }

    #[test]
    fn cycles_name_their_members() {
        let problems = graph("1->2->3->2").unwrap_err();
        let ids = ["2", "3"].map(|text| Id::parse(text).unwrap());
        assert_eq!(problems, [Problem::Cycle { members: ids.to_vec() }]);
    }

    #[test]
    fn unknown_parents_are_all_reported() {
        let one = Id::parse("1").unwrap();
        let two = Id::parse("2").unwrap();
        let nine = [Id::parse("9").unwrap()];
        let problems = Graph::new(&[(&one, Some(&nine)), (&two, Some(&nine))]).unwrap_err();
        assert_eq!(problems.len(), 2);
        assert!(problems[0].to_string().contains("1 depends on 9"));
    }

    #[test]
    fn without_a_statement_the_parent_is_the_previous_one() {
        let ids = ["1", "5", "7"].map(|text| Id::parse(text).unwrap());
        let graph = Graph::new(&ids.each_ref().map(|id| (id, None))).unwrap();
        assert_eq!(graph.heads(), [2]);
        assert_eq!(graph.with_ancestors(&[1]), [true, true, false]);
    }
}
