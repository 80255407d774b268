//! The values of the variables in scripts, which come from the environment of the process.

use crate::masking;
use crate::revision::Section;
use crate::revision::migration::Variable;
use crate::revision::variables::VariableValues;

/// Returns the values of the variables that a section declares. From then on they are masked in everything that is
/// printed, unless they are too short for that.
///
/// # Errors
/// Fails with a line for each variable that has no value, or one that no script can have.
pub(super) fn values(section: &Section) -> Result<VariableValues, Vec<String>> {
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    for Variable { name, environment, line } in section.options.variables.iter() {
        let line = line.map_or(String::new(), |line| format!(":{line}"));
        match value(environment) {
            Ok(value) => found.push((name.clone(), value)),
            Err(problem) => problems.push(format!("{}{line}: the variable {name} {problem}", section.file)),
        }
    }
    match problems.is_empty() {
        true => Ok(VariableValues::new(found)),
        false => Err(problems),
    }
}

fn value(name: &str) -> Result<String, String> {
    let value = match std::env::var(name) {
        Ok(value) => value,
        Err(std::env::VarError::NotPresent) => {
            return Err(format!("has no value: set the environment variable {name}"));
        }
        Err(std::env::VarError::NotUnicode(_)) => return Err("has a value that is not UTF-8".into()),
    };
    masking::hide(&value, &[]);
    masking::hide(&value.to_lowercase(), &[]);
    // A server's message about a value that ends a string literal has a part of the value.
    value.split('\'').for_each(|part| masking::hide(part, &[]));
    // The lines of the file have to stay those of the script, and string literals have to end where they end there.
    match value.contains(['\n', '\r', '\\', '\0']) {
        true => Err("has a value with a line end or a backslash, which a script cannot take".into()),
        false => Ok(value),
    }
}
