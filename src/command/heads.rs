//! The `heads` command: prints the heads of the migration directory. It needs no database.

use std::io;

use serde::Serialize;

use super::OutputFormat;
use crate::config::DatabaseConfig;
use crate::directory::MigrationDir;
use crate::error::{Failure, Stage};
use crate::report::{self, Colour};
use crate::signal::Cancel;
use crate::stage::backup::kind;
use crate::table::TextTable;

/// The document that `heads --json` prints. Every key is always present.
#[derive(Serialize)]
struct HeadsDocument<'a> {
    /// The dialect of the directory: `postgresql` or `sqlite`.
    dialect: &'static str,
    /// The path of the directory, with the dialect's subdirectory if there is one.
    directory: String,
    /// The revisions on which no other revision of the directory depends, smallest number first.
    revisions: Vec<Head<'a>>,
}

/// A head of the directory.
#[derive(Serialize)]
struct Head<'a> {
    /// The revision's number as the file name spells it.
    revision: &'a str,
    /// The description from the file name.
    description: &'a str,
    /// The revisions on which the head depends: the stated parents, or else the previous revision.
    parents: Vec<&'a str>,
    /// The name of the up file.
    file: &'a str,
}

/// Prints the heads. Several heads are no error.
///
/// # Errors
/// Fails as [`MigrationDir::load`] does, or when standard output cannot be written.
pub(crate) async fn heads(config: &DatabaseConfig, format: OutputFormat, cancel: &Cancel) -> Result<String, Failure> {
    let directory = config.load_migrations().map_err(|cause| Failure::new(Stage::Load, cause))?;
    let MigrationDir { path, graph, migrations, .. } = &directory;
    let id = |index: &usize| migrations[*index].version.as_str();
    let head = |index: usize| Head {
        revision: id(&index),
        description: &migrations[index].description,
        parents: graph.parents(index).iter().map(id).collect(),
        file: &migrations[index].up.file,
    };
    let revisions: Vec<Head<'_>> = graph.heads().into_iter().map(head).collect();
    let ids: Vec<&str> = revisions.iter().map(|head| head.revision).collect();
    let summary = match &ids[..] {
        [only_head] => format!("the head of {} is {only_head}", path.display()),
        [..] => format!("{} has {} heads: {}", path.display(), ids.len(), ids.join(", ")),
    };
    let text = match format {
        OutputFormat::Json => {
            let directory = path.display().to_string();
            report::document(&HeadsDocument { dialect: kind(config.dialect), directory, revisions })
        }
        OutputFormat::Lines => {
            let mut table = TextTable::new(vec!["REVISION", "DESCRIPTION", "FILE"]);
            for head in &revisions {
                table.add(vec![head.revision.into(), head.description.into(), head.file.into()]);
            }
            table.text(Colour::on(&io::stdout()))
        }
    };
    report::answer(&text, cancel).await.map_err(|cause| Failure::new(Stage::Verify, cause))?;
    Ok(summary)
}
