//! Reads the files of a directory, and pairs those of one revision.

use std::sync::Arc;

use super::directives::Directives;
use super::file_name::{self, ListedFile};
use crate::layout::{DirectoryContents, TextFiles};
use crate::revision::{Checksum, Direction, Fingerprint, Migration, Section, SectionOptions, TransactionMode, Version};

/// Reads revisions, each from its files. `plain` is what all scripts without directives share.
pub(super) fn read_revisions(
    revisions: &[&[ListedFile<'_>]],
    files: &mut dyn TextFiles,
    plain: &Arc<SectionOptions>,
) -> DirectoryContents {
    let mut contents = DirectoryContents::default();
    let mut reader = MigrationReader { files, plain: Arc::clone(plain), problems: Vec::new() };
    for files in revisions {
        match reader.migration(files) {
            Some(migration) => contents.migrations.push(migration),
            None => contents.unread.push(files[0].version.clone()),
        }
    }
    DirectoryContents { problems: reader.problems, ..contents }
}

/// A reader of migrations, which collects the problems of all files as whole lines.
pub(super) struct MigrationReader<'a> {
    pub(crate) files: &'a mut dyn TextFiles,
    /// The options of all scripts without directives.
    pub(crate) plain: Arc<SectionOptions>,
    pub(crate) problems: Vec<String>,
}

impl MigrationReader<'_> {
    /// Reads one revision from its files. Returns `None` if the parents of the revision are not known.
    pub(crate) fn migration(&mut self, files: &[ListedFile<'_>]) -> Option<Migration> {
        let (ups, mut downs): (Vec<_>, Vec<_>) = files.iter().partition(|file| file.direction == Direction::Up);
        let names = |files: &[&ListedFile<'_>]| files.iter().map(|file| file.name).collect::<Vec<_>>().join(", ");
        let twice = [&ups, &downs].into_iter().find(|files| files.len() > 1 && !ups.is_empty());
        if let Some(files) = twice {
            let (version, names) = (&files[0].version, names(files));
            self.problems.push(format!("two files claim revision {version}: {names}; give one of them another number"));
            downs.clear();
        }
        let Some(ListedFile { version, name: up, description, .. }) = ups.into_iter().next() else {
            self.problems.push(format!("{}: a down migration without its up migration", names(&downs)));
            return None;
        };
        let down = downs.pop();
        if let Some(down) = down
            && down.description != *description
        {
            self.problems.push(format!("{}: its description differs from {up}", down.name));
        }
        let (Directives { depends, options }, fingerprint) =
            read_section(self.files, up).map_err(|problem| self.problems.push(problem)).ok()?;
        let options = if options == *self.plain { Arc::clone(&self.plain) } else { Arc::new(options) };
        let up = Section { file: (*up).into(), options, fingerprint, checksum: checksum(fingerprint), part: None };
        let (version, down) = (version.clone(), down.map(|file| file.name.into()));
        Some(Migration { version, description: with_spaces(description), parents: depends, up, down })
    }

    /// Reads a repeatable script. Returns `None` if it cannot be read.
    pub(crate) fn repeatable(&mut self, file: &str) -> Option<Migration> {
        let (directives, fingerprint) =
            read_section(self.files, file).map_err(|problem| self.problems.push(problem)).ok()?;
        if let Some(name) = refused_directive(&directives) {
            self.problems.push(format!(
                "{file}: a repeatable script runs in a transaction after all revisions, so that `-- {name}` is not possible in it"
            ));
        }
        let description = file_name::repeatable(file)?;
        let options = Arc::new(directives.options);
        let up = Section { file: file.into(), options, fingerprint, checksum: checksum(fingerprint), part: None };
        let version = Version::repeatable(file.strip_suffix(".sql")?);
        Some(Migration { version, description: with_spaces(description), parents: None, up, down: None })
    }
}

/// Returns the words of a description in a name.
fn with_spaces(description: &str) -> Box<str> {
    let mut words = String::with_capacity(description.len());
    words.extend(description.chars().map(|letter| if letter == '_' { ' ' } else { letter }));
    words.into()
}

/// Returns the reason why a repeatable script cannot have its directives. It runs in a transaction, after all revisions.
fn refused_directive(directives: &Directives) -> Option<&'static str> {
    match directives {
        Directives { depends: Some(_), .. } => Some("depends"),
        Directives { options, .. } if options.irreversible.is_some() => Some("irreversible"),
        Directives { options, .. } if options.mode == TransactionMode::NoTransaction => Some("no-transaction"),
        _ => None,
    }
}

/// Reads the directives and the fingerprint of a file in one pass. The error is a line that begins with the file's
/// name.
pub(super) fn read_section(files: &mut dyn TextFiles, file: &str) -> Result<(Directives, Fingerprint), String> {
    let mut directives = None;
    let fingerprint = files.read(file, &mut |_| {}, &mut |piece| {
        if directives.is_none() {
            let read = Directives::parse(piece).map_err(|bad| format!(":{}: {}", bad.line, bad.reason))?;
            directives = Some(read);
        }
        Ok(())
    });
    match fingerprint {
        Ok(fingerprint) => Ok((directives.unwrap_or_default(), fingerprint)),
        Err(problem) => Err(format!("{file}{problem}")),
    }
}

/// Returns the checksum of a file in the history, which is the SHA-256 of its text.
pub(super) fn checksum(fingerprint: Fingerprint) -> Option<Checksum> {
    Some(Checksum::new(fingerprint.0))
}
