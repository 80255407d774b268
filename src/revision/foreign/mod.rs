//! The histories that other migration tools leave in a database: where they say that it is, and how it goes on with ours.

mod tool;

use std::fmt;

pub use tool::{Tool, recognise, tables};

use super::{Graph, Id, Script};

/// So many of the tables found are read and named.
pub const READ: usize = 3;

/// A history table of another tool.
#[derive(Clone, Debug)]
pub struct Foreign {
    pub tool: &'static Tool,
    /// As people write it, with its schema where there are schemas.
    pub table: String,
    pub newest: Newest,
}

/// Where another tool's table says that the database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Newest {
    /// Not allowed, or not worth it.
    Unread,
    /// Somebody who is not trusted with a history owns it, or a trigger's function on it.
    Untrusted,
    /// It records nothing.
    Empty,
    At(Vec<String>),
    /// There, and it stopped part way.
    Unfinished(Vec<String>),
}

impl Newest {
    /// From the answer to [`Tool::question`].
    pub fn of(rows: Vec<(String, String)>) -> Newest {
        let unfinished = rows.iter().any(|(_, unfinished)| unfinished == "1");
        let versions: Vec<String> = rows.into_iter().map(|(version, _)| version).collect();
        match versions.is_empty() {
            true => Newest::Empty,
            false if unfinished => Newest::Unfinished(versions),
            false => Newest::At(versions),
        }
    }

    fn versions(&self) -> &[String] {
        match self {
            Newest::Unread | Newest::Untrusted | Newest::Empty => &[],
            Newest::At(versions) | Newest::Unfinished(versions) => versions,
        }
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.tool.name, self.table)?;
        match &self.newest {
            Newest::Unread => f.write_str(", not readable)"),
            Newest::Untrusted => f.write_str(", not read: it belongs to a role that is not trusted)"),
            Newest::Empty => f.write_str(", empty)"),
            Newest::At(versions) => write!(f, ", at {})", versions.join(", ")),
            Newest::Unfinished(versions) => write!(f, ", stopped within {})", versions.join(", ")),
        }
    }
}

/// How a database with the history of other tools goes on with ours.
#[derive(Debug)]
pub struct Adoption {
    found: Vec<Foreign>,
    way: Way,
}

/// What can be recorded as done.
#[derive(Debug)]
enum Way {
    /// The folder has the revision of that number.
    Revision(Id),
    /// It does not: its first one can only be what the other tool has made.
    First { id: Id, file: Box<str> },
    /// The other tool has done nothing.
    Base,
}

impl Adoption {
    /// Finds the newest revision of the folder that the other tools have recorded.
    pub fn new(found: Vec<Foreign>, graph: &Graph, scripts: &[Script]) -> Adoption {
        let numbers: Vec<Id> = found
            .iter()
            .flat_map(|foreign| foreign.newest.versions().iter().filter_map(|it| foreign.tool.number(it)))
            .collect();
        let known = scripts.iter().rev().find(|script| numbers.contains(&script.id));
        let first = graph.order().first().map(|&at| &scripts[at]);
        let way = match (known, first) {
            (Some(script), _) => Way::Revision(script.id.clone()),
            (None, Some(script)) if found.iter().any(|foreign| foreign.newest != Newest::Empty) => {
                Way::First { id: script.id.clone(), file: script.up.clone() }
            }
            _ => Way::Base,
        };
        Adoption { found, way }
    }

    /// The command to give.
    pub fn advice(&self) -> String {
        let mut advice = String::new();
        for foreign in &self.found {
            if let Newest::Unfinished(versions) = &foreign.newest {
                let versions = versions.join(", ");
                advice += &format!("mend {versions} with {} first, then ", foreign.tool.name);
            }
        }
        let or_base = "or lockkeeper stamp base when that history is another application's";
        match &self.way {
            Way::Revision(id) => format!("{advice}lockkeeper stamp {id}; {or_base}"),
            Way::First { id, file } => {
                format!("{advice}lockkeeper stamp {id} if {file} holds the schema as it is; {or_base}")
            }
            Way::Base => format!("{advice}lockkeeper stamp base"),
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
