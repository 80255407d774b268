//! Every reason why the history of another tool cannot be adopted, with its message and its advice.

use std::fmt;

/// The number of versions and files that a message names.
const NAMED: usize = 30;

/// The reason why a history cannot be adopted.
#[derive(Debug)]
pub enum AdoptionError {
    /// The database has no history of the tool, or of any tool.
    NoSource {
        /// The name of the tool, if the user has named one.
        tool: Option<String>,
        /// The histories that the database has.
        found: Vec<String>,
    },
    /// The database has the histories of several tools, and the user has named none of them.
    SeveralSources {
        /// The histories.
        found: Vec<String>,
    },
    /// The database has several histories of one tool.
    Ambiguous {
        /// The histories.
        found: Vec<String>,
    },
    /// The table of the tool is the one that the layout is to write.
    SharedTable {
        /// The name of the tool.
        tool: &'static str,
        /// The name of the table.
        table: String,
        /// The name of the layout.
        layout: String,
    },
    /// The table was not read, or does not tell one revision from another.
    NotReadable {
        /// The history.
        history: String,
    },
    /// The tool records something else than revisions of a directory.
    NoRevisions {
        /// The history.
        history: String,
    },
    /// The tool stopped within these versions.
    Unfinished {
        /// The history.
        history: String,
        /// The ways to correct them, one for each version.
        remedies: Vec<String>,
    },
    /// Rows have no revision in the directory, or are not certainly those of one.
    Unmapped {
        /// The history.
        history: String,
        /// The versions without a revision.
        unknown: Vec<String>,
        /// The differences between rows and revisions, a sentence each.
        differences: Vec<String>,
    },
    /// The layout refuses revisions that come late, and the tool has not applied these.
    Holes {
        /// The name of the tool.
        tool: &'static str,
        /// The name of the layout.
        layout: String,
        /// The files of the revisions.
        files: Vec<String>,
    },
    /// The layout's history exists, and has rows that do not agree with the tool's.
    Disagrees {
        /// The history.
        history: String,
        /// The differences, a sentence each.
        differences: Vec<String>,
    },
}

impl AdoptionError {
    /// Returns whether the directory or a history has to be changed, and not the call or a setting.
    pub(crate) fn is_invalid_input(&self) -> bool {
        match self {
            AdoptionError::NoSource { .. }
            | AdoptionError::SeveralSources { .. }
            | AdoptionError::Ambiguous { .. }
            | AdoptionError::SharedTable { .. }
            | AdoptionError::NotReadable { .. }
            | AdoptionError::NoRevisions { .. } => false,
            AdoptionError::Unfinished { .. }
            | AdoptionError::Unmapped { .. }
            | AdoptionError::Holes { .. }
            | AdoptionError::Disagrees { .. } => true,
        }
    }

    /// Returns the advice.
    pub(crate) fn advice(&self) -> String {
        match self {
            AdoptionError::NoSource { .. } => {
                "see that DATABASE_URL names the database that the other tool has migrated".into()
            }
            AdoptionError::SeveralSources { .. } => "name one of them with --from".into(),
            AdoptionError::Ambiguous { .. } => {
                "find out which one is this application's, and move the other one out of this database".into()
            }
            AdoptionError::SharedTable { .. } => {
                "set LOCKKEEPER_HISTORY_TABLE to another name for the new history, and the same name in the settings of its tool".into()
            }
            AdoptionError::NotReadable { .. } => {
                "let a role that may read the table and is trusted with it run this, when nobody has locked it".into()
            }
            AdoptionError::NoRevisions { .. } => {
                "record with lockkeeper stamp REVISION the revision that holds the schema as it is".into()
            }
            AdoptionError::Unfinished { remedies, .. } => format!("{}; then run again", remedies.join("; ")),
            AdoptionError::Unmapped { .. } => {
                "put the files of these versions into the directory, or give its files these versions and names; if one file holds what they have created, record it with lockkeeper stamp REVISION instead".into()
            }
            AdoptionError::Holes { tool, .. } => format!("apply these files with {tool}, then run again"),
            AdoptionError::Disagrees { .. } => {
                "find out which history is right, correct the other one with its tool, then run again".into()
            }
        }
    }
}

impl fmt::Display for AdoptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AdoptionError::NoSource { tool, found } => {
                write!(f, "this database has no history of {}", tool.as_deref().unwrap_or("another tool"))?;
                if found.is_empty() { Ok(()) } else { write!(f, ", only that of {}", found.join(" and of ")) }
            }
            AdoptionError::SeveralSources { found } | AdoptionError::Ambiguous { found } => {
                write!(f, "this database has the history of {}", found.join(" and of "))
            }
            AdoptionError::SharedTable { tool, table, layout } => {
                write!(f, "the history of {tool} is in {table}, where the history of {layout} is to be")
            }
            AdoptionError::NotReadable { history } => write!(f, "the history of {history} cannot be adopted"),
            AdoptionError::NoRevisions { history } => {
                write!(f, "the rows of the history of {history} are not those of revisions of a directory")
            }
            AdoptionError::Unfinished { history, .. } => write!(f, "the history of {history} cannot be adopted"),
            AdoptionError::Unmapped { history, unknown, differences } => {
                write!(f, "the history of {history} cannot be adopted: ")?;
                if !unknown.is_empty() {
                    let separator = if differences.is_empty() { "" } else { "; " };
                    write!(f, "no file of the directory is the revision of {}{separator}", list(unknown, ", "))?;
                }
                f.write_str(&list(differences, "; "))
            }
            AdoptionError::Holes { tool, layout, files } => {
                write!(
                    f,
                    "{tool} has not run {}, and {layout} refuses a revision before one that is applied",
                    list(files, ", ")
                )
            }
            AdoptionError::Disagrees { history, differences } => {
                write!(f, "the history of {history} does not agree: {}", list(differences, "; "))
            }
        }
    }
}

/// Returns the first of some names, and how many more there are.
fn list(names: &[String], separator: &str) -> String {
    let text = names[..names.len().min(NAMED)].join(separator);
    match names.len().saturating_sub(NAMED) {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}
