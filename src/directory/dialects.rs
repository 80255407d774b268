//! One folder for every database, or one inside it for each dialect.

use std::path::{Path, PathBuf};

use crate::error::Cause;
use crate::revision::Dialect;

/// The dialect's name, and its folder's.
pub fn name(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Postgres => "postgres",
        Dialect::Sqlite => "sqlite",
    }
}

/// The folder itself, or its subfolder for the dialect.
pub(super) fn dialect_dir(path: &Path, dialect: Dialect) -> Result<PathBuf, Cause> {
    let other = match dialect {
        Dialect::Postgres => name(Dialect::Sqlite),
        Dialect::Sqlite => name(Dialect::Postgres),
    };
    let ours = name(dialect);
    if path.join(ours).is_dir() {
        return Ok(path.join(ours));
    }
    if path.join(other).is_dir() {
        let message = format!("{} has a folder {other} but none named {ours}", path.display());
        return Err(Cause::NoMigrations(message));
    }
    Ok(path.to_owned())
}

/// Looks at every dialect that has a folder here, or at the folder itself as one of the dialect `otherwise`.
///
/// # Errors
/// What is wrong with all of them at once.
pub fn each<T>(path: &Path, otherwise: Dialect, look: impl Fn(Dialect) -> Result<T, Cause>) -> Result<Vec<T>, Cause> {
    let mut present = vec![Dialect::Postgres, Dialect::Sqlite];
    present.retain(|&dialect| path.join(name(dialect)).is_dir());
    if present.is_empty() {
        present.push(otherwise);
    }
    let (mut found, mut wrong) = (Vec::new(), Vec::new());
    for &dialect in &present {
        match look(dialect) {
            Ok(one) => found.push(one),
            Err(cause) => wrong.push((dialect, cause)),
        }
    }
    match wrong.pop() {
        None => Ok(found),
        Some((_, only)) if present.len() == 1 => Err(only),
        Some(last) => {
            wrong.push(last);
            Err(together(wrong))
        }
    }
}

/// One cause of several, each line with its folder's name; of different kinds, the folder as a whole is invalid.
fn together(wrong: Vec<(Dialect, Cause)>) -> Cause {
    let all_lack = wrong.iter().all(|(_, cause)| matches!(cause, Cause::NoMigrations(_)));
    let all_miss = wrong.iter().all(|(_, cause)| matches!(cause, Cause::Target(_)));
    let lines = wrong.into_iter().flat_map(|(dialect, cause)| {
        let lines = match cause {
            Cause::Invalid(lines) => lines,
            other => vec![other.to_string()],
        };
        lines.into_iter().map(move |line| format!("{}: {line}", name(dialect)))
    });
    let lines: Vec<String> = lines.collect();
    match (all_lack, all_miss) {
        (true, _) => Cause::NoMigrations(lines.join("; ")),
        (_, true) => Cause::Target(lines.join("; ")),
        _ => Cause::Invalid(lines),
    }
}
