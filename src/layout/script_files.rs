//! Layouts in which a file is a script as a whole, up or down.

use std::collections::HashMap;

use super::DirectoryContents;
use crate::revision::{Migration, Section, Version};

/// The files of a revision.
pub(super) struct ScriptFiles {
    /// The version of the revision.
    pub(super) version: Version,
    /// The words of the name.
    pub(super) description: Box<str>,
    /// The path of the up script in the directory.
    pub(super) up: Box<str>,
    /// The path of the down script in the directory, if there is one.
    pub(super) down: Option<Box<str>>,
}

/// Gives each revision its down script. Returns a problem for each down script without its up script.
pub(super) fn pair(found: &mut [ScriptFiles], downs: Vec<(Version, &str)>) -> Vec<String> {
    let mut by_version: HashMap<Version, &mut ScriptFiles> =
        found.iter_mut().map(|files| (files.version.clone(), files)).collect();
    let mut problems = Vec::new();
    for (version, name) in downs {
        match by_version.get_mut(&version) {
            Some(files) => files.down = Some(name.into()),
            None => problems.push(format!("{name}: a down script without its up script")),
        }
    }
    problems
}

/// Reads the up scripts with `section`. Two revisions of one version are a problem.
pub(super) fn read(
    mut found: Vec<ScriptFiles>,
    mut problems: Vec<String>,
    mut section: impl FnMut(&str) -> Result<Section, String>,
) -> DirectoryContents {
    found.sort_by(|one, other| (&one.version, &one.up).cmp(&(&other.version, &other.up)));
    for two in found.windows(2).filter(|two| two[0].version == two[1].version) {
        let version = &two[0].version;
        problems.push(format!("two files claim version {version}: {}, {}", two[0].up, two[1].up));
    }
    found.dedup_by(|later, earlier| later.version == earlier.version);
    let mut contents = DirectoryContents { problems, ..DirectoryContents::default() };
    for ScriptFiles { version, description, up, down } in found {
        match section(&up) {
            Ok(up) => contents.migrations.push(Migration { version, description, parents: None, up, down }),
            Err(problem) => {
                contents.problems.push(problem);
                contents.unread.push(version);
            }
        }
    }
    contents
}
