//! Flyway's repeatable migrations: they run after the versioned ones, in the order of their descriptions, and again whenever
//! their checksums change (Flyway, `SqlMigrationResolver`).

use std::sync::Arc;

use super::script::checksum;
use crate::layout::{DirectoryContents, TextFiles};
use crate::revision::{Migration, Section, SectionOptions, TransactionMode, Version};

/// Returns what identifies a repeatable migration, by its description. The name of its file begins so, too.
pub(super) fn id(description: &str) -> Version {
    Version::repeatable(&format!("R__{}", description.replace(' ', "_")))
}

/// Adds the repeatable migrations to the contents of a directory: `found` has their descriptions as in the names of the
/// files, and their scripts. Two of one description are a problem.
pub(super) fn add(
    mut contents: DirectoryContents,
    found: Vec<(&str, Result<Section, String>)>,
    files: &mut dyn TextFiles,
) -> DirectoryContents {
    for (description, section) in found {
        match section.and_then(|section| of_text(section, files)) {
            Ok(up) => contents.repeatables.push(Migration {
                version: id(description),
                description: description.replace('_', " ").into(),
                parents: None,
                up,
                down: None,
            }),
            Err(problem) => contents.problems.push(problem),
        }
    }
    contents
        .repeatables
        .sort_by(|one, other| (&one.description, &one.up.file).cmp(&(&other.description, &other.up.file)));
    for two in contents.repeatables.windows(2).filter(|two| two[0].version == two[1].version) {
        let (description, files) = (&two[0].description, [&two[0].up.file, &two[1].up.file]);
        contents.problems.push(format!(
            "two repeatable migrations have the description \"{description}\": {}, {}",
            files[0], files[1]
        ));
    }
    contents
}

/// Returns a script as a repeatable migration has it: its checksum is that of the text with the values of its placeholders.
fn of_text(section: Section, files: &mut dyn TextFiles) -> Result<Section, String> {
    if section.options.mode == TransactionMode::NoTransaction {
        let reason = "Lockkeeper runs a repeatable migration in a transaction, and it has a statement or a setting that refuses one";
        let options = SectionOptions { unsupported: Some(reason.into()), ..(*section.options).clone() };
        return Ok(Section { options: Arc::new(options), ..section });
    }
    if section.options.variables.is_empty() {
        return Ok(section);
    }
    let mut text = String::new();
    let read = files.read(&section.file, &mut |_| {}, &mut |piece| {
        text.push_str(piece);
        Ok(())
    });
    read.map_err(|problem| format!("{}{problem}", section.file))?;
    let checksum = files.with_values(&section, &text).map(|text| checksum(&text)).or(section.checksum);
    Ok(Section { checksum, ..section })
}
