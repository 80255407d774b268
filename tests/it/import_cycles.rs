//! The rule that the files of a directory do not import each other in a circle, so that each of them can be read on its
//! own. It holds for every directory of the sources.
//!
//! A directory counts as one with everything below it. A module and the modules inside it may import each other: what a
//! module takes from its parent is followed to the file that defines it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Source, expect_none, sources};

/// The path of a module below the crate.
type Path = Vec<String>;

/// What a module imports.
#[derive(Default)]
struct Module {
    /// The paths that it names, as they are written.
    paths: Vec<String>,
    /// The names that its `use` items bring, each with the path.
    names: BTreeMap<String, String>,
}

/// Splits `a::{b, c::{d as e}}` into single paths.
fn expand(tree: &str) -> Vec<String> {
    let Some((before, rest)) = tree.split_once('{') else { return vec![tree.trim().to_owned()] };
    let inside = rest.rsplit_once('}').map_or(rest, |(inside, _)| inside);
    let mut depth = 0;
    let parts = inside.split(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    let parts = parts.filter(|part| !part.trim().is_empty());
    parts.flat_map(|part| expand(part.trim())).map(|path| before.trim().to_owned() + &path).collect()
}

/// Returns the text behind `use ` if the line begins such an item.
fn use_item(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let line = match line.strip_prefix("pub") {
        Some(rest) => rest.strip_prefix('(').and_then(|rest| rest.split_once(')')).map_or(rest, |(_, rest)| rest),
        None => line,
    };
    line.trim_start().strip_prefix("use ")
}

impl Module {
    fn of_source(source: &Source) -> Module {
        let mut module = Module::default();
        let mut item: Option<String> = None;
        for (_, line) in source.code() {
            let text = match &mut item {
                Some(item) => {
                    *item += line.trim();
                    item
                }
                None => match use_item(line) {
                    Some(begin) => item.insert(begin.to_owned()),
                    None => {
                        module.paths.extend(inline_paths(line));
                        continue;
                    }
                },
            };
            let Some((tree, _)) = text.split_once(';') else { continue };
            for path in expand(tree) {
                let (path, name) = match path.split_once(" as ") {
                    Some((path, name)) => (path.to_owned(), name.to_owned()),
                    None => (path.clone(), path.rsplit("::").next().unwrap_or_default().to_owned()),
                };
                module.names.insert(name, path.clone());
                module.paths.push(path);
            }
            item = None;
        }
        module
    }
}

/// The paths in a line of code that begin with `crate::` or `super::`.
fn inline_paths(line: &str) -> Vec<String> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let words = line.split(|c: char| !is_part(c));
    words.filter(|word| word.starts_with("crate::") || word.starts_with("super::")).map(str::to_owned).collect()
}

/// Finds the module that defines what a path names; `None` for a path of another crate.
fn resolve(modules: &BTreeMap<Path, Module>, from: &Path, path: &str, depth: usize) -> Option<Path> {
    let mut segments = path.split("::").peekable();
    let mut base = from.clone();
    match *segments.peek()? {
        "crate" => {
            base.clear();
            segments.next();
        }
        "self" => drop(segments.next()),
        "super" => {
            while segments.next_if_eq(&"super").is_some() {
                base.pop();
            }
        }
        first => {
            let child = [base.as_slice(), &[first.to_owned()]].concat();
            modules.contains_key(&child).then_some(())?;
        }
    }
    for segment in segments {
        base.push(segment.to_owned());
        if modules.contains_key(&base) {
            continue;
        }
        base.pop();
        let name = modules.get(&base).and_then(|module| module.names.get(segment));
        // Names are passed on a few times at most.
        let passed_on = name.filter(|_| depth < 8).and_then(|path| resolve(modules, &base, path, depth + 1));
        return Some(passed_on.unwrap_or(base));
    }
    Some(base)
}

/// Who imports whom among the members of one directory, each with an example.
type Graph = BTreeMap<String, BTreeMap<String, String>>;

/// The members of a directory that can be reached from one of them.
fn reachable<'g>(graph: &'g Graph, from: &'g str) -> BTreeSet<&'g str> {
    let mut found = BTreeSet::new();
    let mut open: Vec<&str> = vec![from];
    while let Some(member) = open.pop() {
        let next = graph.get(member).into_iter().flat_map(BTreeMap::keys).map(String::as_str);
        open.extend(next.filter(|next| found.insert(*next)));
    }
    found
}

/// The circles of one directory: the members of each, and the imports among them.
fn circles(graph: &Graph) -> Vec<(BTreeSet<&str>, Vec<&str>)> {
    let mut found: Vec<(BTreeSet<&str>, Vec<&str>)> = Vec::new();
    for member in graph.keys() {
        let mut circle = reachable(graph, member);
        circle.retain(|other| reachable(graph, other).contains(member.as_str()));
        if circle.is_empty() || found.iter().any(|(known, _)| *known == circle) {
            continue;
        }
        let imports = circle.iter().flat_map(|from| graph.get(*from).into_iter().flatten());
        let imports = imports.filter(|(to, _)| circle.contains(to.as_str())).map(|(_, example)| example.as_str());
        let imports = imports.collect();
        found.push((circle, imports));
    }
    found
}

/// The graphs of all directories.
fn graphs(modules: &BTreeMap<Path, Module>) -> BTreeMap<Path, Graph> {
    let mut graphs: BTreeMap<Path, Graph> = BTreeMap::new();
    for (from, module) in modules {
        for path in &module.paths {
            let Some(to) = resolve(modules, from, path, 0) else { continue };
            let shared = from.iter().zip(&to).take_while(|(one, other)| one == other).count();
            let (Some(one), Some(other)) = (from.get(shared), to.get(shared)) else { continue };
            let graph = graphs.entry(from[..shared].to_vec()).or_default();
            let example = format!("{} imports {}", from.join("/"), to.join("/"));
            graph.entry(one.clone()).or_default().entry(other.clone()).or_insert(example);
        }
    }
    graphs
}

fn path(name: &str) -> Path {
    let name = name.trim_end_matches(".rs");
    name.trim_end_matches("/mod").split('/').map(str::to_owned).collect()
}

#[test]
fn files_do_not_import_each_other_in_a_circle() {
    let modules: BTreeMap<Path, Module> =
        sources().iter().map(|source| (path(&source.name), Module::of_source(source))).collect();
    let mut broken = Vec::new();
    for (directory, graph) in graphs(&modules) {
        for (circle, imports) in circles(&graph) {
            let members: Vec<&str> = circle.into_iter().collect();
            broken.push(format!("src/{}: {}: {}", directory.join("/"), members.join(", "), imports.join("; ")));
        }
    }
    expect_none("one of two files imports the other", &broken);
}

#[test]
fn a_circle_is_found_through_what_a_parent_passes_on() {
    let source = |name: &str, text: &str| Source { name: name.to_owned(), text: text.to_owned() };
    let sources = [
        source("a/mod.rs", "mod b;\nmod c;\npub use b::{B, Other as Alias};\npub(super) use c::C;\n"),
        source("a/b.rs", "use super::{\n    C,\n};\nuse std::fmt;\n"),
        source("a/c.rs", "fn c() { super::super::a::Alias }\nfn d() { super::d::e::f() }\n"),
        source("a/d.rs", "use crate::a::B;\n"),
        source("e.rs", "use crate::a::B;\n"),
    ];
    let modules = sources.iter().map(|source| (path(&source.name), Module::of_source(source))).collect();
    let graphs = graphs(&modules);
    let circles = circles(&graphs[&path("a")]);
    assert_eq!(circles.len(), 1, "{circles:?}");
    assert_eq!(circles[0].0, BTreeSet::from(["b", "c", "d"]));
    assert_eq!(circles[0].1, ["a/b imports a/c", "a/c imports a/b", "a/c imports a/d", "a/d imports a/b"]);
}
