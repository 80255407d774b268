//! Cuts a script into batches of whole statements, so that memory stays bounded for a file of any size.

use std::io::Read;
use std::ops::Range;

use sha2::{Digest, Sha256};

use super::backslash::Backslash;
use super::classify::Classified;
use super::literals::Literals;
pub use super::statement_batch::Batch;
use crate::dialect::Dialect;

use super::migration::FilePart;
pub(crate) use super::place::SourcePosition;
use super::policy::{BracketPolicy, MarkerPolicy};
use super::script_problem::switches_foreign_keys;
use super::sections::{SectionMarkers, TextPart};
use super::statements::{Statement, Window, WindowScan, scan};
use super::text::{SourceState, Text, TextError};
use super::variables::VariableValues;
use super::{Fingerprint, Policy, TransactionMode};

/// The place where a batch may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchLimit {
    /// After each statement. The text behind the last statement is a batch without statements.
    Statement,
    /// After the first statement that ends at or behind this number of bytes.
    Bytes(usize),
}

/// The space that a batch has for another statement.
#[derive(Clone, Copy, PartialEq, Eq)]
enum BatchSpace {
    Room,
    Full,
}

/// The reason why a script has no further batch.
#[derive(Debug)]
pub enum BatchError {
    /// The file cannot be read, or its bytes are not the text of a script.
    Text(TextError),
    /// A construct opens and does not close.
    Unterminated {
        /// The name of the construct.
        what: &'static str,
        /// The position at which it opens.
        place: SourcePosition,
    },
}

impl From<TextError> for BatchError {
    fn from(error: TextError) -> Self {
        BatchError::Text(error)
    }
}

/// The number of problems that are listed for one script: the text before a problem is counted to find its position.
const MOST_OBJECTIONS: usize = 100;

/// A reader that cuts one script into batches.
pub struct Batches {
    text: Text<Box<dyn Read>>,
    dialect: Dialect,
    mode: TransactionMode,
    buffer: String,
    /// The bytes of the buffer that are in earlier batches.
    handed_out: usize,
    place: SourcePosition,
    supply: SourceState,
    ended: bool,
    consumed: Sha256,
    markers: SectionMarkers,
    literals: Literals,
    brackets: BracketPolicy,
    variables: VariableValues,
    /// The statements of the next batch that are left out, by their bytes in the pending text.
    left_out: Vec<Range<usize>>,
    /// The number of problems that batches have listed so far, and the number of those left out after them.
    objected: usize,
    unlisted: usize,
}

impl Batches {
    /// Creates a reader of the batches of a script.
    pub fn new(source: Box<dyn Read>, dialect: Dialect, mode: TransactionMode) -> Batches {
        Batches {
            text: Text::new(source),
            dialect,
            mode,
            buffer: String::new(),
            handed_out: 0,
            place: SourcePosition { line: 1, column: 1 },
            supply: SourceState::More,
            ended: false,
            consumed: Sha256::new(),
            objected: 0,
            unlisted: 0,
            markers: SectionMarkers::default(),
            literals: Literals::new(Backslash::Ordinary),
            brackets: BracketPolicy::Refused,
            variables: VariableValues::default(),
            left_out: Vec::new(),
        }
    }

    /// Sets the rules of the layout.
    pub(crate) fn with_policy(mut self, policy: &Policy) -> Batches {
        self.brackets = policy.brackets;
        if policy.markers == MarkerPolicy::Comments {
            self.markers = SectionMarkers::ignored();
        }
        self
    }

    /// Limits the reader to a part of the file.
    pub(crate) fn with_part(mut self, part: &FilePart) -> Batches {
        self.text = self.text.with_part(part.start..part.end);
        self.place = SourcePosition { line: part.line, column: 1 };
        self
    }

    /// Sets the values of the variables in the script.
    pub(crate) fn with_variables(self, variables: VariableValues) -> Batches {
        Batches { variables, ..self }
    }

    /// Sets how the server reads the string literals at the beginning of the script.
    pub(crate) fn with_backslash(mut self, at_first: Backslash) -> Batches {
        self.literals = Literals::new(at_first);
        self
    }

    /// Marks the script as a down script.
    pub(crate) fn for_down_script(mut self) -> Batches {
        self.markers = std::mem::take(&mut self.markers).for_down_script();
        self
    }

    /// Returns the number of problems that are in no batch because there are too many.
    pub(crate) fn unlisted(&self) -> usize {
        self.unlisted
    }

    /// Returns how the server reads the literals of later files, if the batches so far have changed that.
    pub(crate) fn for_later_files(&self) -> Option<Backslash> {
        self.literals.for_later_files()
    }

    /// Returns the fingerprint of all batches so far; after the last batch, that is the fingerprint of the script.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        Fingerprint(self.consumed.clone().finalize().into())
    }

    /// Returns the next batch, or `None` after the last one. A script without statements has one batch without
    /// statements.
    ///
    /// # Errors
    /// Fails if the text cannot be read, is not that of a script, or has a string or comment that does not close.
    pub fn next(&mut self, cut: BatchLimit) -> Result<Option<Batch>, BatchError> {
        if self.ended {
            return Ok(None);
        }
        let limit = match cut {
            BatchLimit::Statement => 0,
            BatchLimit::Bytes(bytes) => bytes,
        };
        let mut batch = Batch::beginning_at(self.place);
        let mut end = 0;
        let mut is_full = false;
        batch.window = loop {
            if is_full || (cut == BatchLimit::Statement && !batch.starts.is_empty()) {
                break Window::Partial;
            }
            match scan(&self.pending()[end..], self.dialect, self.window()) {
                WindowScan::Incomplete => self.fill(end)?,
                WindowScan::Blank => break Window::Last,
                // Earlier problems are reported first: data behind COPY looks like strings that do not close.
                WindowScan::Unterminated { .. } if !batch.objections.is_empty() => break Window::Partial,
                WindowScan::Unterminated { what, at } => {
                    let Some((at, objection)) = self.literals.find_doubtful_literal(&self.pending()[end..]) else {
                        let place = self.place.after(&self.pending()[..end + at]);
                        return Err(BatchError::Unterminated { what, place });
                    };
                    batch.objections.push((self.place.after(&self.pending()[..end + at]), objection));
                }
                WindowScan::Statement(_) if !batch.starts.is_empty() && end >= limit => {
                    break Window::Partial;
                }
                WindowScan::Statement(statement) => {
                    is_full = self.add(statement, end, &mut batch) == BatchSpace::Full;
                    end += statement.end;
                }
            }
        };
        if batch.window == Window::Last {
            self.ended = true;
            end = self.pending().len();
        }
        Ok(Some(self.hand_out(end, batch)))
    }

    /// Adds a statement that was found behind the first `end` bytes of the pending text.
    fn add(&mut self, statement: Statement, end: usize, batch: &mut Batch) -> BatchSpace {
        let start = end + statement.start;
        let pending = &self.buffer[self.handed_out..];
        let place = |at: usize| self.place.after(&pending[..at]);
        let text = &pending[start..end + statement.end];
        let class = Classified::new(text, self.dialect);
        if self.is_left_out(&class, text) {
            self.left_out.push(start..end + statement.end);
            return BatchSpace::Room;
        }
        let read = self.literals.follow(&class.literals, || place(start).line);
        let all = class.problem(self.mode).map(|problem| (start, problem));
        let all = all.into_iter().chain(read.objection.map(|(at, problem)| (start + at, problem)));
        let mut all = all.collect::<Vec<_>>();
        let rest = all.split_off(all.len().min(MOST_OBJECTIONS.saturating_sub(self.objected)));
        batch.objections.extend(all.iter().map(|&(at, problem)| (place(at), problem)));
        self.objected += all.len();
        self.unlisted += rest.len();
        batch.has_backslash |= class.literals.backslash.is_some();
        batch.starts.push(start);
        batch.classes.push(class);
        if read.ends_message { BatchSpace::Full } else { BatchSpace::Room }
    }

    /// Returns whether the layout leaves a statement out: the script is one transaction without it.
    fn is_left_out(&self, class: &Classified, text: &str) -> bool {
        let is_switch = || self.dialect == Dialect::Sqlite && switches_foreign_keys(text);
        self.brackets == BracketPolicy::LeftOut
            && self.mode == TransactionMode::Transaction
            && (class.is_bracket() || is_switch())
    }

    /// Reads past the statements that an earlier run has executed. Returns, in their order, those that set up the
    /// session: their effect ended with that session, and later statements may need it. Returns `None` if the text
    /// differs from the executed one.
    ///
    /// # Errors
    /// Fails as [`Batches::next`] does: the text cannot be read, is not that of a script, or does not close a string.
    pub(crate) fn skip(&mut self, done: usize, executed: Fingerprint) -> Result<Option<Vec<Batch>>, BatchError> {
        let mut settings = Vec::new();
        for _ in 0..done {
            if let Some(batch) = self.next(BatchLimit::Statement)?
                && batch.classes.first().is_some_and(|class| class.sets_session)
            {
                settings.push(batch);
            }
        }
        Ok((done == 0 || self.fingerprint() == executed).then_some(settings))
    }

    /// Reads on until the text behind `from` has doubled: a long statement is scanned a few times, not hundreds of
    /// times.
    fn fill(&mut self, from: usize) -> Result<(), TextError> {
        self.buffer.drain(..self.handed_out);
        self.handed_out = 0;
        let enough = from + 2 * (self.buffer.len() - from);
        while self.supply == SourceState::More {
            self.supply = self.text.fill(&mut self.buffer)?;
            if self.buffer.len() > enough {
                break;
            }
        }
        Ok(())
    }

    fn window(&self) -> Window {
        match self.supply {
            SourceState::More => Window::Partial,
            SourceState::End => Window::Last,
        }
    }

    /// Returns the text that is read and in no batch yet.
    fn pending(&self) -> &str {
        &self.buffer[self.handed_out..]
    }

    /// Takes the first `end` bytes of the pending text. Moves at most as many bytes as it takes: a long statement makes
    /// the buffer long, and many short statements may follow.
    fn take(&mut self, end: usize) -> String {
        if self.handed_out == 0 && end > self.buffer.len() / 2 {
            let rest = self.buffer.split_off(end);
            return std::mem::replace(&mut self.buffer, rest);
        }
        let text = self.pending()[..end].to_owned();
        self.handed_out += end;
        text
    }

    fn hand_out(&mut self, end: usize, batch: Batch) -> Batch {
        let mut text = self.take(end);
        let origin = self.place;
        let part = TextPart { text: &text, dialect: self.dialect, column: origin.column, starts: &batch.starts };
        let marker = self.markers.find(&part).map(|(at, marker)| (origin.after(&text[..at]), marker));
        self.consumed.update(text.as_bytes());
        self.place = origin.after(&text);
        for bytes in self.left_out.drain(..) {
            // Blanks of the same width keep the places of what follows.
            let blanks: String =
                text[bytes.clone()].bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect();
            text.replace_range(bytes, &blanks);
        }
        let batch = Batch { text, marker, ..batch };
        match self.variables.is_empty() {
            true => batch,
            false => self.variables.apply(batch, self.dialect, self.mode),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revision::script_problem::ScriptProblem;

    fn batches(text: &str, cut: BatchLimit) -> (Vec<Batch>, Fingerprint) {
        let source = Box::new(std::io::Cursor::new(text.as_bytes().to_vec()));
        let mut batches = Batches::new(source, Dialect::Postgres, TransactionMode::Transaction);
        let mut all = Vec::new();
        while let Some(batch) = batches.next(cut).unwrap() {
            all.push(batch);
        }
        (all, batches.fingerprint())
    }

    #[test]
    fn statements_keep_their_places() {
        let (all, _) = batches("-- one\nSELECT 1;\n  SELECT 'ä'; SELECT 3\n", BatchLimit::Statement);
        let places: Vec<_> = all[..3].iter().map(Batch::first).collect();
        let expected = [(2, 1), (3, 3), (3, 15)].map(|(line, column)| SourcePosition { line, column });
        assert_eq!(places, expected);
        assert_eq!(all[2].statement(0), "SELECT 3");
        let windows: Vec<_> = all.iter().map(|batch| batch.window).collect();
        assert_eq!(windows, [Window::Partial, Window::Partial, Window::Partial, Window::Last]);
        assert_eq!(all[3].text, "\n");
    }

    #[test]
    fn a_statement_keeps_the_white_space_that_belongs_to_a_name() {
        let (all, _) = batches("\u{a0}commit ;\ndrop table \x0b t\u{a0}\u{2003} \n", BatchLimit::Statement);
        assert_eq!(all[0].statement(0), "\u{a0}commit ;");
        assert_eq!(all[1].statement(0), "drop table \x0b t\u{a0}\u{2003}");
    }

    #[test]
    fn statements_behind_a_long_one_are_read_in_a_time_that_grows_with_their_number() {
        let text = format!("SELECT '{}';{}", "x".repeat(5 << 19), "SELECT 1;".repeat(150_000));
        let (all, _) = batches(&text, BatchLimit::Statement);
        assert_eq!(all.iter().map(|batch| batch.starts.len()).sum::<usize>(), 150_001);
        assert_eq!(all.iter().map(|batch| batch.text.len()).sum::<usize>(), text.len());
    }

    #[test]
    fn batches_add_up_to_the_file_and_stay_small() {
        let text = "INSERT INTO t VALUES (1);\n".repeat(10_000);
        let (all, fingerprint) = batches(&text, BatchLimit::Bytes(32 * 1024));
        assert!(all.iter().all(|batch| batch.text.len() < 33 * 1024));
        assert_eq!(all.iter().map(|batch| batch.starts.len()).sum::<usize>(), 10_000);
        assert_eq!(all.iter().map(|batch| batch.text.as_str()).collect::<String>(), text);
        assert_eq!(fingerprint, Fingerprint(Sha256::digest(text.as_bytes()).into()));
        assert_eq!(all.iter().filter(|batch| batch.window == Window::Last).count(), 1);
    }

    #[test]
    fn an_objection_comes_before_what_never_ends() {
        let source = Box::new(std::io::Cursor::new(&b"SELECT 1;\nCOPY t FROM stdin;\n1\tO'Neil\n\\.\n"[..]));
        let mut batches = Batches::new(source, Dialect::Postgres, TransactionMode::Transaction);
        let batch = batches.next(BatchLimit::Bytes(1000)).unwrap().unwrap();
        let place = SourcePosition { line: 2, column: 1 };
        assert_eq!(batch.objections, [(place, ScriptProblem::CopyFromStdin)]);
        assert!(matches!(batches.next(BatchLimit::Bytes(1000)), Err(BatchError::Unterminated { .. })));
    }

    #[test]
    fn an_empty_script_is_one_empty_batch() {
        for text in ["", "-- only a comment", "\n;\n"] {
            let (all, _) = batches(text, BatchLimit::Statement);
            assert_eq!(all.len(), 1, "{text:?}");
            assert!(all[0].starts.is_empty());
        }
    }

    #[test]
    fn a_script_of_many_objections_is_read_in_a_time_that_grows_with_its_length() {
        let (all, _) = batches(&"BEGIN;".repeat(200_000), BatchLimit::Bytes(32 * 1024));
        assert_eq!(all.iter().map(|batch| batch.starts.len()).sum::<usize>(), 200_000);
        assert_eq!(all.iter().map(|batch| batch.objections.len()).sum::<usize>(), MOST_OBJECTIONS);
    }
}
