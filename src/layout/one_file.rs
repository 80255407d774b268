//! Layouts in which a file has both scripts of a revision.

use super::line_sections::{self, LineReader};
use super::{DirectoryContents, TextFiles};
use crate::revision::{Migration, Section, Version};

/// Reads each file with `migration`. Two files of one version are a problem.
pub(super) fn read(
    mut names: Vec<(Version, &str)>,
    problems: Vec<String>,
    mut migration: impl FnMut(Version, &str) -> Result<Migration, String>,
) -> DirectoryContents {
    let mut contents = DirectoryContents { problems, ..DirectoryContents::default() };
    names.sort();
    for two in names.windows(2).filter(|two| two[0].0 == two[1].0) {
        let [(version, one), (_, other)] = two else { continue };
        contents.problems.push(format!("two files claim version {version}: {one}, {other}"));
    }
    names.dedup_by(|later, earlier| later.0 == earlier.0);
    for (version, name) in names {
        match migration(version.clone(), name) {
            Ok(migration) => contents.migrations.push(migration),
            Err(problem) => {
                contents.problems.push(problem);
                contents.unread.push(version);
            }
        }
    }
    contents
}

/// The sections of a file that has an up section.
pub(super) struct WholeFile {
    /// The section that applies the revision.
    pub(super) up: Section,
    /// The section that undoes it.
    pub(super) down: Option<Section>,
}

/// Reads the sections of a file, of which the up section has to be there: it begins with the line `mark`.
///
/// # Errors
/// Fails with a line that begins with the name of the file.
pub(super) fn sections<R: LineReader>(
    files: &mut dyn TextFiles,
    name: &str,
    reader: &mut R,
    mark: &str,
) -> Result<WholeFile, String> {
    let sections = line_sections::read(files, name, reader)?;
    match sections.up {
        Some(up) => Ok(WholeFile { up, down: sections.down }),
        None => Err(format!("{name}: the line {mark} is missing")),
    }
}
