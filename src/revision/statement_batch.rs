//! Whole statements of a script, as a reader of batches hands them out.

use super::classify::Classified;
use super::place::SourcePosition;
use super::script_problem::ScriptProblem;
use super::sections::SectionMarker;
use super::statements::Window;

/// Whole statements and the comments between them, as the file has them.
#[derive(Debug)]
pub struct Batch {
    /// The statements and comments.
    pub text: String,
    /// The bytes of `text` at which the statements begin.
    pub starts: Vec<usize>,
    /// The classes of these statements.
    pub(crate) classes: Vec<Classified>,
    /// The position in the file at which `text` begins.
    pub(crate) origin: SourcePosition,
    /// [`Window::Last`] if nothing follows this batch.
    pub(crate) window: Window,
    /// The statements that cannot run where they are, each by its position in the file.
    pub(crate) objections: Vec<(SourcePosition, ScriptProblem)>,
    /// The first directive of another migration tool in the file, if it is in this batch.
    pub(crate) marker: Option<(SourcePosition, SectionMarker)>,
    /// True if PostgreSQL would read a string literal differently with `standard_conforming_strings` off.
    pub(crate) has_backslash: bool,
}

impl Batch {
    /// Returns a batch without text at a position of the file.
    pub(super) fn beginning_at(origin: SourcePosition) -> Batch {
        Batch {
            text: String::new(),
            starts: Vec::new(),
            classes: Vec::new(),
            origin,
            window: Window::Partial,
            objections: Vec::new(),
            marker: None,
            has_backslash: false,
        }
    }

    /// Returns the position in the file of a byte of this batch.
    pub(crate) fn place(&self, byte: usize) -> SourcePosition {
        self.origin.after(&self.text[..byte])
    }

    /// Returns the position of the first statement, or that of the batch if it has none.
    pub(crate) fn first(&self) -> SourcePosition {
        self.place(self.starts.first().copied().unwrap_or(0))
    }

    /// Returns the text of one statement: up to the next one, without the ASCII white space at its end. Other white
    /// space stays: both servers read it as a name.
    pub fn statement(&self, index: usize) -> &str {
        let end = self.starts.get(index + 1).copied().unwrap_or(self.text.len());
        self.starts.get(index).map_or("", |&start| self.text[start..end].trim_ascii())
    }
}
