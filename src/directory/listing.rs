//! Reads the names of a directory's entries, and finds those that are migrations.

use std::fs;
use std::io;
use std::path::Path;

use super::read_error;
use crate::error::Cause;
use crate::revision::Id;

/// A file of the directory, with the parts of its name.
pub(super) struct ListedFile {
    /// The number of the revision.
    pub id: Id,
    /// The direction of the script.
    pub way: ScriptKind,
    /// The whole name of the file.
    pub name: Box<str>,
}

/// The parts of a file name.
pub(super) struct FileName<'a> {
    /// The number of the revision.
    pub id: Id,
    /// The text between the number and the ending, with underscores.
    pub description: &'a str,
    /// The direction of the script.
    pub way: ScriptKind,
}

/// The direction of a script.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ScriptKind {
    /// A script that applies the revision.
    Up,
    /// A script that undoes the revision.
    Down,
}

/// Returns the files in the order of their revisions. Hidden files, files left by editors and files without `.sql` are
/// not migrations; every other name that cannot be read is a problem.
pub(super) fn list(path: &Path, problems: &mut Vec<String>) -> Result<Vec<ListedFile>, Cause> {
    let unreadable = |error: io::Error| read_error(path, &error);
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let whole = entry.map_err(unreadable)?.file_name();
        let name = whole.to_string_lossy();
        if name.starts_with('.') || !name.to_ascii_lowercase().ends_with(".sql") {
            continue;
        }
        match read_name(&name).filter(|_| whole.to_str().is_some()) {
            Some(read) => files.push(ListedFile { id: read.id, way: read.way, name: (*name).into() }),
            None => problems.push(format!("{name}: {}", why_no_name(whole.to_str()))),
        }
    }
    files.sort_unstable_by(|one, other| (&one.id, &one.name).cmp(&(&other.id, &other.name)));
    Ok(files)
}

/// Reads `0007_add_index.up.sql`, `0007_add_index.down.sql` or `0007_add_index.sql`. Returns `None` for any other name.
pub(super) fn read_name(name: &str) -> Option<FileName<'_>> {
    let stem = name.strip_suffix(".sql")?;
    let (stem, way) = match (stem.strip_suffix(".up"), stem.strip_suffix(".down")) {
        (Some(stem), _) => (stem, ScriptKind::Up),
        (_, Some(stem)) => (stem, ScriptKind::Down),
        _ => (stem, ScriptKind::Up),
    };
    let (number, description) = stem.split_once('_')?;
    let id = Id::parse(number)?;
    // Without this check, `.DOWN.sql` would be an up migration.
    let lower = description.to_ascii_lowercase();
    let misspelt = lower.ends_with(".up") || lower.ends_with(".down");
    (!description.is_empty() && !misspelt).then_some(FileName { id, description, way })
}

/// Returns the reason why a name is not that of a migration. `None` is a name that is not UTF-8.
fn why_no_name(name: Option<&str>) -> String {
    const FORM: &str = "write NNNN_description.up.sql";
    let Some(name) = name else {
        return "its name is not UTF-8; give it another name".into();
    };
    let number = name.split('_').next().unwrap_or_default();
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    match is_number && Id::parse(number).is_none() {
        true => format!(
            "its version number has {} digits and is larger than {}; {FORM} with a number of at most 19 digits, such as YYYYMMDDhhmmss",
            number.len(),
            u64::MAX
        ),
        false => format!("not a migration's name; {FORM}"),
    }
}

/// Returns a text that names the subdirectories that are migrations of Prisma or Diesel. The text is empty if there are
/// none.
pub(super) fn other_layout(path: &Path) -> String {
    let mut names: Vec<(String, &str)> = fs::read_dir(path)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let has = |file: &str| entry.path().join(file).is_file();
            let tool = match (has("migration.sql"), has("up.sql")) {
                (true, _) => "Prisma",
                (_, true) => "Diesel",
                _ => return None,
            };
            Some((entry.file_name().to_string_lossy().into_owned(), tool))
        })
        .collect();
    names.sort();
    let Some((first, tool)) = names.first() else {
        return String::new();
    };
    let (count, file) = (names.len(), if *tool == "Prisma" { "migration.sql" } else { "up.sql" });
    format!(
        "; it has {count} {} in the layout of {tool}, such as {first}, which Lockkeeper does not read: copy each {file} to a file of that form",
        if count == 1 { "directory" } else { "directories" }
    )
}
