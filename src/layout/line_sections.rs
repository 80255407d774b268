//! Files in which lines divide the script that applies a revision from the one that undoes it.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::TextFiles;
use crate::revision::migration::FilePart;
use crate::revision::{Direction, Fingerprint, Section, SectionOptions};

/// The meaning of a line for the division of a file.
pub(super) enum LineMeaning {
    /// A line of the section in which it stands.
    Text,
    /// The section of a direction begins behind the line.
    Begin(Direction),
}

/// A reader of the lines of a file.
pub(super) trait LineReader {
    /// Returns the meaning of a line, which has no line end; `number` counts from 1.
    ///
    /// # Errors
    /// Fails with a sentence about the line.
    fn line(&mut self, line: &str, section: Option<Direction>) -> Result<LineMeaning, String>;

    /// Returns the options of a section after the whole file was read.
    fn options(&self, direction: Direction) -> SectionOptions;
}

/// The sections of a file.
#[derive(Default)]
pub(super) struct FileSections {
    /// The section that applies the revision.
    pub(super) up: Option<Section>,
    /// The section that undoes it.
    pub(super) down: Option<Section>,
}

/// A section that is being read.
struct OpenPart {
    direction: Direction,
    part: FilePart,
    sum: Sha256,
}

/// The state of a file that is being read line by line.
struct Division<'a, R> {
    reader: &'a mut R,
    /// The beginning of a line whose end is not read yet.
    carried: String,
    offset: u64,
    line: usize,
    open: Option<OpenPart>,
    closed: Vec<OpenPart>,
}

/// Reads the sections of a file.
///
/// # Errors
/// Fails with a line that begins with the name of the file.
pub(super) fn read<R: LineReader>(
    files: &mut dyn TextFiles,
    file: &str,
    reader: &mut R,
) -> Result<FileSections, String> {
    let mut division = Division { reader, carried: String::new(), offset: 0, line: 1, open: None, closed: Vec::new() };
    let read = files.read(file, &mut |_| {}, &mut |piece| division.piece(piece));
    read.and_then(|_| division.end()).map_err(|problem| format!("{file}{problem}"))?;
    let Division { reader, closed, .. } = division;
    let mut sections = FileSections::default();
    for OpenPart { direction, part, sum } in closed {
        let section = match direction {
            Direction::Up => &mut sections.up,
            Direction::Down => &mut sections.down,
        };
        if section.is_some() {
            return Err(format!("{file}:{}: a second section of the same direction", part.line - 1));
        }
        *section = Some(Section {
            file: file.into(),
            options: Arc::new(reader.options(direction)),
            fingerprint: Fingerprint(sum.finalize().into()),
            checksum: None,
            part: Some(Box::new(part)),
        });
    }
    Ok(sections)
}

impl<R: LineReader> Division<'_, R> {
    fn piece(&mut self, piece: &str) -> Result<(), String> {
        let mut rest = piece;
        while let Some((line, behind)) = rest.split_once('\n') {
            let line = std::mem::take(&mut self.carried) + line + "\n";
            self.line(&line)?;
            rest = behind;
        }
        self.carried.push_str(rest);
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        let last = std::mem::take(&mut self.carried);
        if !last.is_empty() {
            self.line(&last)?;
        }
        self.close();
        Ok(())
    }

    /// Reads a line with its line end.
    fn line(&mut self, line: &str) -> Result<(), String> {
        let section = self.open.as_ref().map(|open| open.direction);
        let meaning = self.reader.line(line.trim_end_matches('\n'), section);
        let meaning = meaning.map_err(|problem| format!(":{}: {problem}", self.line))?;
        let behind = self.offset + line.len() as u64;
        match meaning {
            LineMeaning::Text => {
                if let Some(open) = &mut self.open {
                    open.sum.update(line.as_bytes());
                    open.part.end = behind;
                }
            }
            LineMeaning::Begin(direction) => {
                self.close();
                let part = FilePart { start: behind, end: behind, line: self.line + 1 };
                self.open = Some(OpenPart { direction, part, sum: Sha256::new() });
            }
        }
        self.offset = behind;
        self.line += 1;
        Ok(())
    }

    fn close(&mut self) {
        self.closed.extend(self.open.take());
    }
}
