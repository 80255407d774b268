//! The file `migration_lock.toml`, which names the kind of database that the migrations are for.

use crate::dialect::Dialect;
use crate::layout::TextFiles;

/// The name of the file.
pub(super) const NAME: &str = "migration_lock.toml";

/// Checks that the migrations are for databases of this dialect. The file is read as Prisma reads it
/// (schema-connector/src/migrations_directory.rs).
///
/// # Errors
/// Fails with a line that begins with the name of the file.
pub(super) fn check(files: &mut dyn TextFiles, dialect: Dialect) -> Result<(), String> {
    let mut text = String::new();
    let read = files.read(NAME, &mut |_| {}, &mut |piece| {
        text.push_str(piece);
        Ok(())
    });
    read.map_err(|problem| format!("{NAME}{problem}"))?;
    let expected = match dialect {
        Dialect::Postgres => "postgresql",
        Dialect::Sqlite => "sqlite",
    };
    let Some((number, line)) = text.lines().enumerate().find(|(_, line)| line.starts_with("provider")) else {
        return Err(format!("{NAME}: the line provider = \"{expected}\" is missing"));
    };
    let provider = line.trim_start_matches("provider = ").trim_matches('"');
    match provider == expected {
        true => Ok(()),
        false => Err(format!(
            "{NAME}:{}: the migrations are for the provider \"{provider}\", and the database is {dialect}, which is \"{expected}\"",
            number + 1
        )),
    }
}
