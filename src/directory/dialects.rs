//! The layout of the directory: one for every database, or one subdirectory for each dialect.

use std::path::{Path, PathBuf};

use crate::dialect::Dialect;
use crate::error::Cause;

/// Returns the name of a dialect, which is also that of its subdirectory.
pub(crate) fn name(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Postgres => "postgres",
        Dialect::Sqlite => "sqlite",
    }
}

/// Returns the subdirectory for the dialect if there is one, else the directory itself.
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
        let message = format!("{} has a directory {other} but none named {ours}", path.display());
        return Err(Cause::NoMigrations(message));
    }
    Ok(path.to_owned())
}

/// Calls `look` for every dialect that has a subdirectory, or for `otherwise` if there is no subdirectory.
///
/// # Errors
/// Fails with the errors of all dialects at once.
pub(crate) fn for_each_dialect<T>(
    path: &Path,
    otherwise: Dialect,
    look: impl Fn(Dialect) -> Result<T, Cause>,
) -> Result<Vec<T>, Cause> {
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

/// Combines several causes into one, with the name of the subdirectory before each line. Causes of different kinds make
/// the directory invalid as a whole.
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
