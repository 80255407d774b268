//! Reads the directory of migrations. The names of the files decide, never their times.

pub(crate) mod dialects;
mod listing;
mod variables;
pub(crate) mod write;

use std::io::{self, Read};
use std::path::{Path, PathBuf};

pub(crate) use listing::ListedDir;
use sha2::{Digest, Sha256};

use crate::dialect::Dialect;
use crate::error::Cause;
use crate::layout::{Detected, DirectoryContents, Layout, LayoutChoice, Listing, TextFiles};
use crate::revision::batch::{BatchError, Batches};
use crate::revision::other_tools::{DirectoryRevisions, ParseVersion};
use crate::revision::script_problem::ScriptProblem;
use crate::revision::sqlite_functions::unknown_call;
use crate::revision::text::{SourceState, Text};
use crate::revision::{Backslash, Batch, BatchLimit, Direction, Fingerprint, Graph, Migration, Section, Version};
use crate::safe_file::{self, SourceDir, SourceFile};

/// A directory of migration scripts for one dialect.
#[derive(Debug)]
pub(crate) struct MigrationDir {
    /// The directory itself, or its subdirectory for the dialect.
    pub(crate) path: PathBuf,
    /// The dialect of the scripts.
    pub(crate) dialect: Dialect,
    /// The layout of the directory.
    pub(crate) layout: &'static dyn Layout,
    /// The revisions, in ascending order of their versions.
    pub(crate) migrations: Vec<Migration>,
    /// The repeatable scripts, in the order in which they are applied.
    pub(crate) repeatables: Vec<Migration>,
    /// The graph of the revisions, by their positions in `migrations`.
    pub(crate) graph: Graph,
}

impl MigrationDir {
    /// Reads the name, the directives and the fingerprint of every script. The texts stay on disk.
    ///
    /// # Errors
    /// Fails if there is no directory or no migration in it, or with all problems of the directory at once.
    pub(crate) fn load(path: &Path, dialect: Dialect, choice: LayoutChoice) -> Result<MigrationDir, Cause> {
        MigrationDir::from_listed(ListedDir::list(path, dialect, choice)?)?.not_empty()
    }

    /// Reads a directory as [`MigrationDir::load`] does, after its entries were listed.
    ///
    /// # Errors
    /// Fails as [`MigrationDir::load`] does.
    pub(crate) fn load_listed(listed: ListedDir) -> Result<MigrationDir, Cause> {
        MigrationDir::from_listed(listed)?.not_empty()
    }

    fn not_empty(self) -> Result<MigrationDir, Cause> {
        let directory = self;
        if directory.migrations.is_empty() {
            let reason = directory.layout.describe_empty();
            return Err(Cause::NoMigrations(format!("{} {reason}", directory.path.display())));
        }
        Ok(directory)
    }

    /// Reads a directory as [`MigrationDir::load`] does, but accepts one without migrations: the first is about to be
    /// written.
    ///
    /// # Errors
    /// Fails if there is no directory, or with all problems of the directory at once.
    pub(crate) fn load_or_empty(path: &Path, dialect: Dialect, choice: LayoutChoice) -> Result<MigrationDir, Cause> {
        MigrationDir::from_listed(ListedDir::list(path, dialect, choice)?)
    }

    fn from_listed(listed: ListedDir) -> Result<MigrationDir, Cause> {
        let ListedDir { path, dialect, listing, detected } = listed;
        let layout = detected.decided();
        let layout = layout.map_err(|problem| Cause::Invalid(vec![format!("{}: {problem}", path.display())]))?;
        let unreadable_names = listing.unreadable_names();
        let mut contents = layout.read(listing, dialect, &mut FilesOfDir::new(&path));
        contents.problems.splice(0..0, unreadable_names);
        let graph = contents.connect(layout.policy().late).map_err(Cause::Invalid)?;
        let DirectoryContents { migrations, repeatables, .. } = contents;
        Ok(MigrationDir { path, dialect, layout, migrations, repeatables, graph })
    }

    /// Returns the migration at this position of a step: the positions behind the revisions are those of the repeatable
    /// scripts.
    pub(crate) fn migration(&self, position: usize) -> &Migration {
        match position.checked_sub(self.migrations.len()) {
            None => &self.migrations[position],
            Some(position) => &self.repeatables[position],
        }
    }

    /// Returns the revisions as they are compared with the history of another tool. `version` is
    /// [`Layout::version`] of the layout.
    pub(crate) fn revisions<'a>(&'a self, version: &'a ParseVersion) -> DirectoryRevisions<'a> {
        let layout = self.layout.name();
        DirectoryRevisions { layout, graph: &self.graph, migrations: &self.migrations, version }
    }

    /// Returns the version before another one; `None` if it has no earlier one.
    pub(crate) fn previous(&self, version: &Version) -> Option<&Version> {
        let at = self.migrations.partition_point(|migration| migration.version < *version);
        at.checked_sub(1).map(|at| &self.migrations[at].version)
    }

    /// Opens a section that is read in batches.
    ///
    /// # Errors
    /// Fails if the file cannot be opened.
    pub(crate) fn open(&self, section: &Section) -> Result<Batches, BatchError> {
        let file = safe_file::open(&self.path.join(&*section.file))
            .map_err(|error| BatchError::Text(crate::revision::text::TextError::Io(error)))?;
        let batches = Batches::new(Box::new(file), self.dialect, section.options.mode);
        let batches = batches.with_policy(self.layout.policy());
        // A variable without a value was found when the script was inspected.
        let batches = batches.with_variables(variables::values(section).unwrap_or_default());
        Ok(match &section.part {
            Some(part) => batches.with_part(part),
            None => batches,
        })
    }

    /// Reads the down script of a revision. Returns `None` if there is no down script.
    ///
    /// # Errors
    /// Fails with a line that describes the problem of the file.
    pub(crate) fn load_down(&self, migration: &Migration) -> Result<Option<Section>, String> {
        self.layout.read_down(migration, self.dialect, &mut FilesOfDir::new(&self.path))
    }

    /// Returns a line for each statement of a batch that calls a function which SQLite does not have.
    fn function_problems(&self, section: &Section, batch: &Batch) -> Vec<String> {
        if self.dialect == Dialect::Postgres {
            return Vec::new();
        }
        let calls = batch.starts.iter().enumerate().filter_map(|(index, &start)| {
            let (at, name) = unknown_call(batch.statement(index))?;
            Some((batch.place(start + at), name))
        });
        let describe = |(place, name)| {
            format!(
                "{}:{place}: SQLite has no function {name}: if the application registers it, only the application can run this statement (lockkeeper guard)",
                section.file
            )
        };
        calls.map(describe).collect()
    }

    /// Reads a section to its end without running it, and returns the number of its statements. `reading` is how the
    /// server reads string literals at the beginning of the file, and is set to how it reads those of later files.
    ///
    /// # Errors
    /// Fails with a line for each statement that cannot run where it is.
    pub(crate) fn inspect(
        &self,
        section: &Section,
        direction: Direction,
        reading: &mut Backslash,
    ) -> Result<usize, Vec<String>> {
        let file = &section.file;
        section.check_supported()?;
        variables::values(section)?;
        let (mut problems, mut count) = (Vec::new(), 0);
        let describe = |error: &BatchError| vec![format!("{file}{error}")];
        let mut batches = self.open(section).map_err(|error| describe(&error))?.with_backslash(*reading);
        if direction == Direction::Down {
            batches = batches.for_down_script();
        }
        loop {
            let batch = match batches.next(BatchLimit::Bytes(64 * 1024)) {
                Ok(Some(batch)) => batch,
                Ok(None) => break,
                Err(error) => {
                    problems.extend(describe(&error));
                    break;
                }
            };
            count += batch.starts.len();
            problems.extend(self.function_problems(section, &batch));
            if let Some((place, marker)) = &batch.marker {
                problems.push(format!("{file}:{place}: {}", marker.advice()));
            }
            for (place, objection) in &batch.objections {
                let index = batch.starts.iter().position(|&start| batch.place(start) == *place).unwrap_or(0);
                let advice = objection.advice(self.dialect, batch.statement(index), self.layout.policy());
                problems.push(format!("{file}:{place}: {advice}"));
                if matches!(objection, ScriptProblem::CopyFromStdin | ScriptProblem::Backslash(_)) {
                    // The text behind it is data, or was not read as the server would read it.
                    return Err(problems);
                }
            }
        }
        if batches.unlisted() > 0 {
            problems.push(format!("{file}: and {} more", batches.unlisted()));
        }
        *reading = batches.for_later_files().unwrap_or(*reading);
        if problems.is_empty() { Ok(count) } else { Err(problems) }
    }
}

/// Returns the cause for a directory that exists and cannot be read.
fn read_error(path: &Path, error: &io::Error) -> Cause {
    let uid = rustix::process::geteuid().as_raw();
    Cause::NoMigrations(format!("{} cannot be read (uid {uid}): {error}", path.display()))
}

fn layout_of(path: &Path, listing: &Listing, choice: LayoutChoice) -> Result<Detected, Cause> {
    let head = |file: &str| read_head(&path.join(file));
    choice.resolve(listing, head).map_err(|problem| Cause::Config(format!("{}: {problem}", path.display())))
}

/// Returns the beginning of a file, or nothing of a file that cannot be read: whoever reads all of it reports that.
fn read_head(path: &Path) -> String {
    /// The number of bytes in which tools expect their first mark.
    const HEAD: u64 = 4096;
    let mut head = Vec::new();
    let read = safe_file::open(path).and_then(|file| file.take(HEAD).read_to_end(&mut head));
    read.map_or_else(|_| String::new(), |_| String::from_utf8_lossy(&head).into_owned())
}

/// A reader of a file that shows everything that is read to an observer.
struct ObservedFile<'a> {
    file: SourceFile,
    /// The number of bytes that were read.
    read: u64,
    /// True if a read has ended where the file ends.
    is_at_end: bool,
    observer: &'a mut dyn FnMut(&[u8]),
}

impl Read for ObservedFile<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.is_at_end {
            return Ok(0);
        }
        let count = self.file.read(into)?;
        self.read += count as u64;
        // A read that returns less than was asked for, up to the size of the file, needs none after it that returns nothing.
        self.is_at_end = count < into.len() && self.read == self.file.size;
        (self.observer)(&into[..count]);
        Ok(count)
    }
}

/// The files of a directory, which are read one after the other.
struct FilesOfDir<'a> {
    directory: SourceDir<'a>,
    /// The text of one piece.
    text: String,
    /// The memory for the bytes of one piece.
    bytes: Vec<u8>,
}

impl<'a> FilesOfDir<'a> {
    fn new(path: &'a Path) -> Self {
        FilesOfDir { directory: SourceDir::open(path), text: String::new(), bytes: Vec::new() }
    }
}

impl TextFiles for FilesOfDir<'_> {
    fn read(
        &mut self,
        file: &str,
        bytes: &mut dyn FnMut(&[u8]),
        piece: &mut dyn FnMut(&str) -> Result<(), String>,
    ) -> Result<Fingerprint, String> {
        let describe = |error| BatchError::Text(error).to_string();
        let file = SourceFile::open_in(&self.directory, file).map_err(|error| {
            let uid = rustix::process::geteuid().as_raw();
            format!(": cannot be read (uid {uid}): {error}")
        })?;
        let source = ObservedFile { file, read: 0, is_at_end: false, observer: bytes };
        let mut text = Text::new(source).with_buffer(std::mem::take(&mut self.bytes));
        let mut sum = Sha256::new();
        loop {
            self.text.clear();
            let supply = text.fill(&mut self.text).map_err(describe)?;
            piece(&self.text)?;
            sum.update(self.text.as_bytes());
            if supply == SourceState::End {
                self.bytes = text.into_buffer();
                return Ok(Fingerprint(sum.finalize().into()));
            }
        }
    }

    fn fork(&self) -> Box<dyn TextFiles + Send + '_> {
        Box::new(FilesOfDir::new(self.directory.path()))
    }

    fn with_values(&self, section: &Section, text: &str) -> Option<String> {
        variables::values(section).ok().map(|values| values.substitute(text))
    }
}
