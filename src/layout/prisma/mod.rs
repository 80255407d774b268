//! The layout of Prisma: `<name>/migration.sql`, the file `migration_lock.toml`, and the table `_prisma_migrations`
//! (Prisma 6, `prisma/build/index.js`, and prisma-engines, `schema-engine`).

mod checksums;
mod lock_file;
mod name;
mod table;

use std::sync::Arc;

use checksums::Checksums;
use table::PrismaTable;

use super::script_files::{self, ScriptFiles};
use super::slug::slug;
use super::tool_history::ToolHistory;
use super::{
    DirectoryContents, DownSection, Fit, Layout, Listing, NewContent, NewRevision, NewScript, Subdirectory, TextFiles,
};
use crate::dialect::Dialect;
use crate::revision::history::HistoryFormat;
use crate::revision::needed_mode::NeededMode;
use crate::revision::policy::{BracketPolicy, ForeignKeyPolicy, LateRevisions, MarkerPolicy, SessionPolicy};
use crate::revision::{Migration, Policy, Section, SectionOptions, Version};

/// The layout of Prisma.
#[derive(Debug)]
pub(super) struct Prisma;

/// The rules by which Prisma runs scripts.
static POLICY: Policy = Policy {
    session: SessionPolicy::Kept,
    late: LateRevisions::Applied,
    brackets: BracketPolicy::LeftOut,
    markers: MarkerPolicy::Comments,
    foreign_keys: ForeignKeyPolicy::On,
    without_transaction: "put it into a migration of its own",
};

/// The file that applies a migration.
const UP: &str = "migration.sql";

/// The file that undoes a migration. Prisma does not read it: its documentation names the file so.
const DOWN: &str = "down.sql";

impl Layout for Prisma {
    fn name(&self) -> &'static str {
        "prisma"
    }

    fn fit(&self, listing: &Listing, _: &str) -> Fit {
        let has_script = |directory: &Subdirectory| directory.files.iter().any(|file| file == UP);
        // Files beside the folders may be those of another tool, and Prisma would pass over them.
        let is_alone = !listing.plain_names().any(|name| name.ends_with(".sql"));
        match listing.directories.iter().any(has_script) {
            true if is_alone => Fit::Certain(format!("its folders have a file {UP}")),
            true => Fit::Possible,
            false => Fit::No,
        }
    }

    fn history_table(&self) -> &'static str {
        "_prisma_migrations"
    }

    fn policy(&self) -> &'static Policy {
        &POLICY
    }

    fn version(&self, text: &str) -> Option<Version> {
        name::version(text)
    }

    fn read(&self, listing: Listing, dialect: Dialect, files: &mut dyn TextFiles) -> DirectoryContents {
        let (mut found, mut problems) = (Vec::new(), listing.unreadable.clone());
        if listing.plain_names().any(|name| name == lock_file::NAME) {
            problems.extend(lock_file::check(files, dialect).err());
        }
        for Subdirectory { name, files, .. } in listing.directories {
            let file =
                |wanted: &str| files.iter().any(|file| file == wanted).then(|| format!("{name}/{wanted}").into());
            match (name::version(&name), file(UP)) {
                (Some(version), Some(up)) => {
                    found.push(ScriptFiles { version, description: name::describe(&name), up, down: file(DOWN) });
                }
                _ => problems
                    .push(format!("{name}: the folder has no file {UP}: Prisma takes each folder for a migration")),
            }
        }
        script_files::read(found, problems, |file| section(files, file, dialect))
    }

    fn read_down(&self, migration: &Migration, dialect: Dialect, files: &mut dyn TextFiles) -> DownSection {
        let down = migration.down.as_ref().map(|file| section(files, file, dialect)).transpose()?;
        // The table has a checksum of the up script alone.
        Ok(down.map(|down| Section { checksum: None, ..down }))
    }

    fn describe_empty(&self) -> String {
        super::describe_empty("NAME/migration.sql")
    }

    fn next_version(&self, newest: Option<&Version>, now: &str) -> Option<Version> {
        name::next(newest, now)
    }

    fn history(&self) -> &'static dyn HistoryFormat {
        &ToolHistory(PrismaTable)
    }

    fn scaffold(&self, revision: &NewRevision<'_>) -> Option<Vec<NewScript>> {
        let folder = format!("{}_{}", revision.version, slug(revision.message)?);
        let file = |name: &str, text: &str| NewScript { file: format!("{folder}/{name}"), text: text.into() };
        Some(match revision.content {
            NewContent::Change | NewContent::Join => vec![file(UP, "-- This is an empty migration.\n")],
            NewContent::Written { up, down } => vec![file(UP, up), file(DOWN, down)],
        })
    }
}

/// Reads a script. Prisma sends a file to PostgreSQL as one query, which is one transaction unless its only statement
/// refuses transactions, and runs its statements one by one on SQLite.
fn section(files: &mut dyn TextFiles, file: &str, dialect: Dialect) -> Result<Section, String> {
    let (mut needs, mut checksums) = (NeededMode::new(dialect), Checksums::default());
    let Checksums { as_read, with_crlf } = &mut checksums;
    let fingerprint = files.read(file, &mut |bytes| checksums::add(as_read, bytes), &mut |piece| {
        needs.read(piece);
        checksums::add_with_crlf(with_crlf, piece);
        Ok(())
    });
    let fingerprint = fingerprint.map_err(|problem| format!("{file}{problem}"))?;
    let needs = needs.finish();
    let (checksum, other_checksums) = checksums.finish(fingerprint);
    let options = Arc::new(SectionOptions {
        mode: needs.mode,
        switches_foreign_keys_off: needs.switches_foreign_keys,
        other_checksums,
        ..SectionOptions::default()
    });
    Ok(Section { file: file.into(), options, fingerprint, checksum: Some(checksum), part: None })
}
