//! The directed graph of revisions: parents, heads, ancestors and a stable topological order.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};

use super::Version;
use super::policy::LateRevisions;

/// The revisions in ascending order of their numbers, each with the positions of its parents in that order.
#[derive(Debug)]
pub(crate) struct Graph {
    parents: Vec<Box<[usize]>>,
    /// The positions with parents before children; where the graph leaves a choice, smaller numbers come first.
    order: Vec<usize>,
    /// The treatment of revisions that come before an applied one and are not applied.
    late: LateRevisions,
}

/// The reason why a set of revisions is not a valid graph. Revisions are given by position.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum GraphError {
    /// A revision names a parent that does not exist.
    UnknownParent {
        /// The position of the revision that names the parent.
        child: usize,
        /// The number that no revision has.
        parent: Version,
    },
    /// Each member depends on the next one, and the last one on the first.
    Cycle {
        /// The positions of the revisions in the cycle, the smallest one first.
        members: Vec<usize>,
    },
}

impl GraphError {
    /// Returns a sentence that describes the problem. `name` returns the name of the revision at a position.
    pub(crate) fn describe<'a>(&self, name: impl Fn(usize) -> &'a str) -> String {
        match self {
            GraphError::UnknownParent { child, parent } => {
                format!("{} depends on {parent}, which is not in the directory", name(*child))
            }
            GraphError::Cycle { members } => {
                let names: Vec<&str> = members.iter().map(|&at| name(at)).collect();
                format!("these revisions depend on each other in a circle: {}", names.join(", "))
            }
        }
    }
}

impl Graph {
    /// Builds the graph from revisions in ascending order, each with its stated parents. `None` for the parents means
    /// the previous revision.
    ///
    /// # Errors
    /// Fails with every unknown parent and every cycle.
    pub(crate) fn new(nodes: &[(&Version, Option<&[Version]>)]) -> Result<Graph, Vec<GraphError>> {
        let mut problems = Vec::new();
        let mut parents: Vec<Box<[usize]>> = Vec::with_capacity(nodes.len());
        let positions = stated_positions(nodes);
        for (child, (_, depends)) in nodes.iter().enumerate() {
            let Some(depends) = depends else {
                parents.push(child.checked_sub(1).into_iter().collect());
                continue;
            };
            let mut found = BTreeSet::new();
            for parent in *depends {
                match positions.get(parent) {
                    Some(&at) => drop(found.insert(at)),
                    None => problems.push(GraphError::UnknownParent { child, parent: parent.clone() }),
                }
            }
            parents.push(found.into_iter().collect());
        }
        let order = topological(&parents);
        if order.len() < nodes.len() {
            problems.extend(cycles(&parents, &order));
        }
        if problems.is_empty() { Ok(Graph { parents, order, late: LateRevisions::Refused }) } else { Err(problems) }
    }

    /// Sets the treatment of revisions that come before an applied one and are not applied.
    pub(crate) fn with_late_revisions(self, late: LateRevisions) -> Graph {
        Graph { late, ..self }
    }

    /// Returns the treatment of revisions that come before an applied one and are not applied.
    pub(crate) fn late_revisions(&self) -> LateRevisions {
        self.late
    }

    /// Returns the positions that are not the parent of any revision, in ascending order.
    pub(crate) fn heads(&self) -> Vec<usize> {
        self.heads_among(&vec![true; self.parents.len()])
    }

    /// Returns those of the marked positions that are not the parent of a marked position, in ascending order.
    pub(crate) fn heads_among(&self, marked: &[bool]) -> Vec<usize> {
        let mut is_head = marked.to_vec();
        for (_, parents) in self.parents.iter().enumerate().filter(|&(child, _)| marked[child]) {
            parents.iter().for_each(|&parent| is_head[parent] = false);
        }
        (0..is_head.len()).filter(|&position| is_head[position]).collect()
    }

    /// Returns the positions of the parents of a revision, in ascending order.
    pub(crate) fn parents(&self, of: usize) -> &[usize] {
        &self.parents[of]
    }

    /// Returns the positions of the revisions that have the given one as a parent. For `None`, returns those that have
    /// no parent.
    pub(crate) fn children(&self, of: Option<usize>) -> Vec<usize> {
        let is_child = |&at: &usize| match of {
            Some(parent) => self.parents[at].contains(&parent),
            None => self.parents[at].is_empty(),
        };
        (0..self.parents.len()).filter(is_child).collect()
    }

    /// Returns whether the first revision has no parent and every other one has only the revision before it as its
    /// parent.
    pub(crate) fn is_line(&self) -> bool {
        self.parents
            .iter()
            .enumerate()
            .all(|(at, parents)| parents[..] == at.checked_sub(1).map_or(vec![], |it| vec![it]))
    }

    /// Marks the given positions and all their ancestors.
    pub(crate) fn with_ancestors(&self, of: &[usize]) -> Vec<bool> {
        let mut marked = vec![false; self.parents.len()];
        let mut open = of.to_vec();
        while let Some(position) = open.pop() {
            if !std::mem::replace(&mut marked[position], true) {
                open.extend(self.parents[position].iter());
            }
        }
        marked
    }

    /// Marks the given positions and all their descendants.
    pub(crate) fn with_descendants(&self, of: &[usize]) -> Vec<bool> {
        let mut marked = vec![false; self.parents.len()];
        of.iter().for_each(|&position| marked[position] = true);
        for &position in &self.order {
            marked[position] |= self.parents[position].iter().any(|&parent| marked[parent]);
        }
        marked
    }

    /// Returns the positions in the order in which the revisions are applied.
    pub(crate) fn order(&self) -> &[usize] {
        &self.order
    }
}

/// Returns the positions by revision. The map is empty when no revision states its parents: such a directory needs no
/// index.
fn stated_positions<'a>(nodes: &[(&'a Version, Option<&[Version]>)]) -> HashMap<&'a Version, usize> {
    if nodes.iter().all(|(_, depends)| depends.is_none()) {
        return HashMap::new();
    }
    nodes.iter().enumerate().map(|(position, (id, _))| (*id, position)).collect()
}

/// Orders the positions by Kahn's algorithm, the smallest free position first. The result is shorter than the input
/// when there is a cycle.
fn topological(parents: &[Box<[usize]>]) -> Vec<usize> {
    let mut missing: Vec<usize> = parents.iter().map(|of| of.len()).collect();
    let edges = parents.iter().enumerate().flat_map(|(child, of)| of.iter().map(move |&parent| (parent, child)));
    let mut edges: Vec<(usize, usize)> = edges.collect();
    edges.sort_unstable();
    let mut free: BinaryHeap<Reverse<usize>> = (0..parents.len()).filter(|&at| missing[at] == 0).map(Reverse).collect();
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

/// Returns the cycles among the revisions that are not in `order`. A revision that only depends on a cycle is not in
/// one.
fn cycles(parents: &[Box<[usize]>], order: &[usize]) -> Vec<GraphError> {
    let ordered: BTreeSet<usize> = order.iter().copied().collect();
    let mut left: BTreeSet<usize> = (0..parents.len()).filter(|at| !ordered.contains(at)).collect();
    let mut found = Vec::new();
    while let Some(&first) = left.first() {
        // Everything left depends on something else that is left, so that a walk along the parents meets a position
        // twice.
        let mut path = vec![first];
        let cycle = loop {
            let last = path[path.len() - 1];
            let Some(&next) = parents[last].iter().find(|parent| left.contains(parent)) else {
                break Vec::new();
            };
            if let Some(met) = path.iter().position(|&at| at == next) {
                break path.split_off(met);
            }
            path.push(next);
        };
        // A walk that ends without a cycle has ended at a revision that only depends on a cycle found before.
        let gone = if cycle.is_empty() { &path[path.len() - 1..] } else { &cycle };
        left.retain(|position| !gone.contains(position));
        if !cycle.is_empty() {
            let smallest = cycle.iter().enumerate().min_by_key(|&(_, at)| at).map_or(0, |(index, _)| index);
            let members = [&cycle[smallest..], &cycle[..smallest]].concat();
            found.push(GraphError::Cycle { members });
        }
    }
    found
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::layout::NATIVE;

    /// Reads "1->2->4, 1->3->4", in which each arrow leads from a stated parent to its child.
    pub(in crate::revision) fn nodes(text: &str) -> Vec<(Version, Vec<Version>)> {
        let mut found: Vec<(Version, Vec<Version>)> = Vec::new();
        for path in text.split(',') {
            let ids: Vec<Version> = path.split("->").map(|word| NATIVE.version(word.trim()).unwrap()).collect();
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

    fn graph(text: &str) -> Result<Graph, Vec<GraphError>> {
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
        for (text, members) in [
            ("1->2->3->2", vec![vec![1, 2]]),
            ("1->1", vec![vec![0]]),
            ("1->2->1, 3->4->5->3, 5->6, 2->3", vec![vec![0, 1], vec![2, 4, 3]]),
            ("1->2->1, 1->3->4, 2->5->6->5", vec![vec![0, 1], vec![4, 5]]),
        ] {
            let cycles: Vec<_> = members.into_iter().map(|members| GraphError::Cycle { members }).collect();
            assert_eq!(graph(text).unwrap_err(), cycles, "{text}");
        }
    }

    #[test]
    fn what_rests_on_a_revision_and_the_heads_of_a_part() {
        let graph = graph("1->2->4, 1->3->4, 3->5").unwrap();
        assert_eq!(graph.with_descendants(&[2]), [false, false, true, true, true]);
        assert_eq!(graph.heads_among(&[true, true, true, false, false]), [1, 2]);
        assert_eq!(graph.heads_among(&[false; 5]), [] as [usize; 0]);
        assert_eq!((graph.children(Some(2)), graph.children(None)), (vec![3, 4], vec![0]));
        assert!(!graph.is_line());
    }

    #[test]
    fn unknown_parents_are_all_reported() {
        let one = NATIVE.version("1").unwrap();
        let two = NATIVE.version("2").unwrap();
        let nine = [NATIVE.version("9").unwrap()];
        let (own, one_parent) = ([one.clone(), nine[0].clone()], nine.clone());
        let problems = Graph::new(&[(&one, Some(&own)), (&two, Some(&one_parent))]).unwrap_err();
        let told: Vec<String> = problems.iter().map(|problem| problem.describe(|at| ["a.sql", "b.sql"][at])).collect();
        let missing = "depends on 9, which is not in the directory";
        let circle = "these revisions depend on each other in a circle: a.sql";
        assert_eq!(told, [format!("a.sql {missing}"), format!("b.sql {missing}"), circle.to_owned()]);
    }

    #[test]
    fn without_a_statement_the_parent_is_the_previous_one() {
        let ids = ["1", "5", "7"].map(|text| NATIVE.version(text).unwrap());
        let graph = Graph::new(&ids.each_ref().map(|id| (id, None))).unwrap();
        assert_eq!(graph.heads(), [2]);
        assert_eq!(graph.with_ancestors(&[1]), [true, true, false]);
    }
}
