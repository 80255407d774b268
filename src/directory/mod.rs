//! Reads the directory of migrations. The names of the files decide, never their times.

pub mod dialects;
mod listing;
pub mod write;

use crate::dialect::Dialect;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::error::Cause;
use crate::revision::batch::{BatchError, Batches};
use crate::revision::graph::GraphError;
use crate::revision::script_problem::ScriptProblem;
use crate::revision::text::{SourceState, Text};
use crate::revision::{Backslash, BatchLimit, Checksum, DownScript, Graph, Header, Id, Script, plan};
use crate::safe_file;
use listing::{ListedFile, ScriptKind, list, read_name};

/// A directory of migration scripts for one dialect.
#[derive(Debug)]
pub struct MigrationDir {
    /// The directory itself, or its subdirectory for the dialect.
    pub path: PathBuf,
    /// The dialect of the scripts.
    pub dialect: Dialect,
    /// The revisions, in ascending order of their numbers.
    pub scripts: Vec<Script>,
    /// The graph of the revisions, by their positions in `scripts`.
    pub graph: Graph,
}

impl MigrationDir {
    /// Reads the name, header and checksum of every script. The texts stay on disk.
    ///
    /// # Errors
    /// Fails if there is no directory or no migration in it, or with all problems of the directory at once.
    pub fn load(path: &Path, dialect: Dialect) -> Result<MigrationDir, Cause> {
        let folder = MigrationDir::load_or_empty(path, dialect)?;
        if folder.scripts.is_empty() {
            let message = format!(
                "{} holds no migrations (NNNN_description.up.sql){}",
                folder.path.display(),
                listing::other_layout(&folder.path)
            );
            return Err(Cause::NoMigrations(message));
        }
        Ok(folder)
    }

    /// Reads a directory as [`MigrationDir::load`] does, but accepts one without migrations: the first is about to be
    /// written.
    ///
    /// # Errors
    /// Fails if there is no directory, or with all problems of the directory at once.
    pub fn load_or_empty(path: &Path, dialect: Dialect) -> Result<MigrationDir, Cause> {
        let path = dialects::dialect_dir(path, dialect)?;
        let mut problems = Vec::new();
        let files = list(&path, &mut problems)?;
        let mut scripts = Vec::with_capacity(files.len());
        let mut unread = Vec::new();
        let mut buffer = String::new();
        let plain = Arc::new(Header::default());
        let mut files = files.into_iter().peekable();
        while let Some(file) = files.next() {
            let mut of_one = vec![file];
            while let Some(next) = files.next_if(|next| next.id == of_one[0].id) {
                of_one.push(next);
            }
            let id = of_one[0].id.clone();
            match script(&path, of_one, &plain, &mut buffer, &mut problems) {
                Some(script) => scripts.push(script),
                None => unread.push(id),
            }
        }
        drop(files);
        connected(path, dialect, scripts, &unread, problems)
    }

    /// Opens a file that is read in batches.
    ///
    /// # Errors
    /// Fails if the file cannot be opened.
    pub fn open(&self, file: &str, header: &Header) -> Result<Batches, BatchError> {
        let file = safe_file::open(&self.path.join(file))
            .map_err(|error| BatchError::Text(crate::revision::text::TextError::Io(error)))?;
        Ok(Batches::new(Box::new(file), self.dialect, header.mode))
    }

    /// Reads the header and checksum of the down script of a revision. Returns `None` if there is no down script.
    ///
    /// # Errors
    /// Fails with a line that describes the problem of the file.
    pub fn load_down(&self, script: &Script) -> Result<Option<DownScript>, String> {
        let Some(down) = &script.down else {
            return Ok(None);
        };
        match digest(&self.path.join(&**down), &mut String::new()) {
            Ok((header, checksum)) => Ok(Some(DownScript { header: Arc::new(header), checksum })),
            Err(problem) => Err(format!("{down}{problem}")),
        }
    }

    /// Reads a file to its end without running it, and returns the number of its statements. `reading` is how the
    /// server reads string literals at the beginning of the file, and is set to how it reads those of later files.
    ///
    /// # Errors
    /// Fails with a line for each statement that cannot run where it is.
    pub fn inspect(&self, file: &str, header: &Header, reading: &mut Backslash) -> Result<usize, Vec<String>> {
        let mut problems = Vec::new();
        let mut count = 0;
        let told = |error: &BatchError| vec![format!("{file}{error}")];
        let mut batches = self.open(file, header).map_err(|error| told(&error))?.with_backslash(*reading);
        if read_name(file).is_some_and(|name| matches!(name.way, ScriptKind::Down)) {
            batches = batches.as_down_script();
        }
        loop {
            let batch = match batches.next(BatchLimit::Bytes(64 * 1024)) {
                Ok(Some(batch)) => batch,
                Ok(None) => break,
                Err(error) => {
                    problems.extend(told(&error));
                    break;
                }
            };
            count += batch.starts.len();
            if let Some((place, marker)) = &batch.marker {
                problems.push(format!("{file}:{place}: {}", marker.advice()));
            }
            for (place, objection) in &batch.objections {
                let index = batch.starts.iter().position(|&start| batch.place(start) == *place).unwrap_or(0);
                let advice = objection.advice(self.dialect, batch.statement(index));
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

/// Returns the directory if neither its files nor its graph have a problem. Revisions that could not be read (`unread`)
/// are not reported as missing parents.
fn connected(
    path: PathBuf,
    dialect: Dialect,
    scripts: Vec<Script>,
    unread: &[Id],
    mut problems: Vec<String>,
) -> Result<MigrationDir, Cause> {
    let nodes: Vec<_> = scripts.iter().map(|script| (&script.id, script.header.depends.as_deref())).collect();
    match Graph::new(&nodes) {
        Ok(graph) if problems.is_empty() => return Ok(MigrationDir { path, dialect, scripts, graph }),
        Ok(graph) => {
            let heads = graph.heads();
            if heads.len() > 1 && unread.is_empty() {
                problems.push(plan::PlanError::heads(&scripts, &heads).to_string());
            }
        }
        Err(wrong) => {
            let is_known = |problem: &&GraphError| match problem {
                GraphError::UnknownParent { parent, .. } => !unread.contains(parent),
                GraphError::Cycle { .. } => true,
            };
            let told = wrong.iter().filter(is_known).map(|problem| problem.describe(|at| &*scripts[at].up));
            problems.extend(told);
        }
    }
    Err(Cause::Invalid(problems))
}

/// Returns the cause for a directory that exists and cannot be read.
fn read_error(path: &Path, error: &io::Error) -> Cause {
    let uid = rustix::process::geteuid().as_raw();
    Cause::NoMigrations(format!("{} cannot be read (uid {uid}): {error}", path.display()))
}

/// Reads one revision from its files. Problems are whole lines. Returns `None` if the parents of the revision are not
/// known.
fn script(
    path: &Path,
    files: Vec<ListedFile>,
    plain: &Arc<Header>,
    buffer: &mut String,
    problems: &mut Vec<String>,
) -> Option<Script> {
    let (ups, mut downs): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| file.way == ScriptKind::Up);
    let names = |files: &[ListedFile]| files.iter().map(|file| &*file.name).collect::<Vec<_>>().join(", ");
    let twice = [&ups, &downs].into_iter().find(|files| files.len() > 1 && !ups.is_empty());
    if let Some(files) = twice {
        let (id, names) = (&files[0].id, names(files));
        problems.push(format!("two files claim revision {id}: {names}; give one of them another number"));
        downs.clear();
    }
    let Some(ListedFile { id, name: up, .. }) = ups.into_iter().next() else {
        problems.push(format!("{}: a down migration without its up migration", names(&downs)));
        return None;
    };
    let down = downs.pop().map(|file| file.name);
    let description = read_name(&up).map_or("", |name| name.description);
    if let Some(down) = &down
        && read_name(down).is_none_or(|back| back.description != description)
    {
        problems.push(format!("{down}: its description differs from {up}"));
    }
    let (header, checksum) =
        digest(&path.join(&*up), buffer).map_err(|problem| problems.push(format!("{up}{problem}"))).ok()?;
    let description = description.replace('_', " ").into();
    let header = if header == **plain { Arc::clone(plain) } else { Arc::new(header) };
    Some(Script { id, description, up, down, checksum, header })
}

/// Reads the header and the checksum of a file in one pass. The error is the rest of a line that begins with the file's
/// name.
fn digest(path: &Path, buffer: &mut String) -> Result<(Header, Checksum), String> {
    let told = |error| BatchError::Text(error).to_string();
    let file = safe_file::open(path).map_err(|error| {
        let uid = rustix::process::geteuid().as_raw();
        format!(": cannot be read (uid {uid}): {error}")
    })?;
    let mut text = Text::new(file);
    let mut sum = Sha256::new();
    let mut header = None;
    loop {
        buffer.clear();
        let supply = text.fill(buffer).map_err(told)?;
        if header.is_none() {
            let read = Header::parse(buffer).map_err(|bad| format!(":{}: {}", bad.line, bad.reason))?;
            header = Some(read);
        }
        sum.update(buffer.as_bytes());
        if supply == SourceState::End {
            return Ok((header.unwrap_or_default(), Checksum(sum.finalize().into())));
        }
    }
}
