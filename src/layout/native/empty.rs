//! The reason why a directory has no migrations of this layout.

use super::super::Subdirectory;

/// Describes a directory without migrations, and names the subdirectories that are migrations of Prisma or Diesel.
pub(super) fn describe(directories: &[Subdirectory]) -> String {
    let has = |directory: &Subdirectory, file: &str| directory.files.iter().any(|name| name == file);
    let tool = |directory: &Subdirectory| match (has(directory, "migration.sql"), has(directory, "up.sql")) {
        (true, _) => Some("Prisma"),
        (_, true) => Some("Diesel"),
        _ => None,
    };
    let mut names: Vec<(&str, &str)> =
        directories.iter().filter_map(|directory| Some((directory.name.as_str(), tool(directory)?))).collect();
    names.sort_unstable();
    const NONE: &str = "holds no migrations (NNNN_description.up.sql)";
    let Some((first, tool)) = names.first() else {
        return NONE.into();
    };
    let (count, file) = (names.len(), if *tool == "Prisma" { "migration.sql" } else { "up.sql" });
    format!(
        "{NONE}; it has {count} {} in the layout of {tool}, such as {first}, which Lockkeeper does not read: copy each {file} to a file of that form",
        if count == 1 { "directory" } else { "directories" }
    )
}
