//! The repeatable migrations: they run after all versions, in the order of their descriptions.

use std::sync::Arc;

use super::version;
use crate::revision::{Migration, Section, SectionOptions, TransactionMode};

/// Reads the scripts with `section`. Each file comes with its description, which identifies it.
pub(super) fn read(
    mut found: Vec<(String, &String)>,
    problems: &mut Vec<String>,
    section: &mut impl FnMut(&str) -> Result<Section, String>,
) -> Vec<Migration> {
    found.sort();
    for two in found.windows(2).filter(|two| two[0].0 == two[1].0) {
        problems
            .push(format!("two repeatable migrations have the description {}: {}, {}", two[0].0, two[0].1, two[1].1));
    }
    let mut scripts = Vec::new();
    for (description, file) in found {
        match section(file) {
            Ok(up) => scripts.push(Migration {
                version: version::repeatable(&description),
                description: description.into(),
                parents: None,
                up: runnable(up),
                down: None,
            }),
            Err(problem) => problems.push(problem),
        }
    }
    scripts
}

/// Returns the section with the reason why it cannot run, if there is one.
fn runnable(section: Section) -> Section {
    let options = &section.options;
    let reason = match (options.variables.first(), options.mode) {
        // Flyway's checksum is that of the text with the values.
        (Some(variable), _) => format!(
            "line {}: Lockkeeper does not replace placeholders in a repeatable migration, such as ${{{}}}: make a versioned migration of it",
            variable.line.unwrap_or(0),
            variable.name
        ),
        (None, TransactionMode::NoTransaction) => {
            "Lockkeeper runs a repeatable migration in a transaction: put statements that refuse one into a versioned migration".into()
        }
        (None, TransactionMode::Transaction) => return section,
    };
    let unsupported = options.unsupported.clone().or(Some(reason));
    let options = Arc::new(SectionOptions { unsupported, variables: Box::default(), ..SectionOptions::clone(options) });
    Section { options, ..section }
}
