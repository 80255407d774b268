//! Messages of several statements. The server answers each statement, so the number of answers before an error, or the
//! position that the error names, tells which statement failed. A message is a list of labelled parts, each of which
//! knows by the statements that it contains how many answers it gets; everybody else asks for the label of what failed.
//! A statement that is added to a part shifts nothing.

use std::borrow::Cow;

use super::error;
use crate::database::{DatabaseError, DatabaseErrorKind};
use crate::dialect::Dialect;
use crate::revision::Batch;
use crate::revision::statements::{Window, WindowScan, scan};

/// The purpose of a part of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    /// BEGIN, with the timeouts of a script.
    Begin,
    /// Creates or extends the history table.
    CreateHistory,
    /// Statements of a migration, or of the script of an archive.
    Script,
    /// Makes the transaction of a script writable.
    Writable,
    /// Restores Lockkeeper's own role.
    OwnRole,
    /// Fails when the advisory lock is not ours any more.
    LockIsHeld,
    /// Locks the history table against changes of its definition.
    LockHistory,
    /// Fails when the history table is not trusted.
    HistoryIsTrusted,
    /// Creates the journal.
    CreateJournal,
    /// Fails when the journal is not trusted. It locks the journal, too.
    JournalIsTrusted,
    /// Makes the history refer to the journal.
    ReferToJournal,
    /// Writes rows of the history and of the journal.
    Record,
    /// Fails when string literals are read in another way than when the script was parsed.
    LiteralsAreCertain,
    /// Ends the transaction.
    Commit,
    /// Resets the session for the next script.
    ResetSession,
    /// Asks for the properties of the server and the session.
    Facts,
    /// Opens the cursor with the rows of the history.
    OpenHistory,
    /// Asks for the rows that the message is sent for.
    Question,
    /// The ROLLBACK between two attempts at a message. It is no part of the message.
    Rollback,
}

/// Statements of one purpose.
#[derive(Clone)]
pub(super) struct MessagePart<'m> {
    label: Label,
    content: Content<'m>,
}

/// The statements of a part.
#[derive(Clone)]
enum Content<'m> {
    /// Statements as text; the last one ends with a semicolon unless the message ends with it.
    Text(Cow<'m, str>),
    /// Statements of a script, of which the last one need not end with a semicolon.
    Batch(&'m Batch),
}

/// Ends the last statement of a script. A semicolon without a statement gets no answer.
const END_OF_SCRIPT: &str = "\n;\n";

impl<'m> MessagePart<'m> {
    /// Returns a part with statements as text.
    pub(crate) fn new(label: Label, text: impl Into<Cow<'m, str>>) -> MessagePart<'m> {
        MessagePart { label, content: Content::Text(text.into()) }
    }

    /// Returns a part with the statements of a script.
    pub(crate) fn script(batch: &'m Batch) -> MessagePart<'m> {
        MessagePart { label: Label::Script, content: Content::Batch(batch) }
    }

    /// Returns a part with one statement of a script, which need not end with a semicolon.
    pub(crate) fn statement(text: &str) -> MessagePart<'m> {
        MessagePart::new(Label::Script, [text, END_OF_SCRIPT].concat())
    }

    /// Returns the number of answers that this part gets.
    fn answers(&self) -> usize {
        match &self.content {
            Content::Text(text) => count_statements(text),
            Content::Batch(batch) => batch.starts.len(),
        }
    }

    /// Returns the text in two pieces.
    fn pieces(&self) -> [&str; 2] {
        match &self.content {
            Content::Text(text) => [text, ""],
            Content::Batch(batch) => [&batch.text, END_OF_SCRIPT],
        }
    }

    /// Returns the number of the statement to which a byte of this part belongs; `None` before the first one.
    fn statement_at(&self, byte: usize) -> Option<usize> {
        let after = match &self.content {
            Content::Text(text) => count_statements(text.get(..=byte).unwrap_or(text)),
            Content::Batch(batch) => batch.starts.partition_point(|&start| start <= byte),
        };
        after.checked_sub(1)
    }
}

/// Counts statements as the server does: a text of comments and semicolons has none. A statement that is cut off
/// counts.
fn count_statements(text: &str) -> usize {
    let (mut rest, mut count) = (text, 0);
    loop {
        match scan(rest, Dialect::Postgres, Window::Last) {
            WindowScan::Statement(found) => rest = &rest[found.end..],
            WindowScan::Unterminated { .. } => return count + 1,
            WindowScan::Incomplete | WindowScan::Blank => return count,
        }
        count += 1;
    }
}

/// A text of several statements that is sent at once.
pub(super) struct Message<'m> {
    /// There is at least one part.
    parts: Vec<MessagePart<'m>>,
}

/// The error of a message, and the statement that failed. When the error came after the last answer, that is the last
/// statement.
pub(super) struct MessageError {
    pub(crate) fault: DatabaseError,
    pub(crate) label: Label,
    /// The number of the statement, from 0, among the statements with this label.
    pub(crate) number: usize,
    /// The byte in the text of its part to which the server points.
    pub(crate) byte: Option<usize>,
    /// The number of statements that the server has run before.
    answers: usize,
}

impl MessageError {
    /// Returns the error of the ROLLBACK between two attempts at a message.
    pub(crate) fn from_rollback(fault: DatabaseError) -> MessageError {
        MessageError { fault, label: Label::Rollback, number: 0, byte: None, answers: 1 }
    }

    /// Reports whether statements of the message were run before the one that failed.
    pub(crate) fn has_begun(&self) -> bool {
        self.answers > 0
    }

    /// Reports whether the statement with this label divided by zero, as our checks do when they fail.
    pub(crate) fn is_failed_check(&self, label: Label) -> bool {
        self.label == label && error::is_division_by_zero(&self.fault)
    }

    /// Reports whether the connection was lost while the message was on its way: it may have been carried out.
    pub(crate) fn is_outcome_unknown(&self) -> bool {
        self.fault.kind == DatabaseErrorKind::Lost && self.label != Label::Rollback
    }
}

impl<'m> Message<'m> {
    /// Returns a message of these parts, of which there is at least one.
    pub(crate) fn new(parts: impl IntoIterator<Item = MessagePart<'m>>) -> Message<'m> {
        Message { parts: parts.into_iter().collect() }
    }

    /// Appends parts.
    pub(crate) fn and(mut self, parts: impl IntoIterator<Item = MessagePart<'m>>) -> Message<'m> {
        self.parts.extend(parts);
        self
    }

    /// Returns the text that is sent.
    pub(crate) fn text(&self) -> String {
        self.parts.iter().flat_map(MessagePart::pieces).collect()
    }

    /// Reports whether the message has a part with this label.
    pub(crate) fn has(&self, label: Label) -> bool {
        self.parts.iter().any(|part| part.label == label)
    }

    /// Returns the label of each statement, in their order.
    pub(crate) fn labels(&self) -> impl Iterator<Item = Label> {
        self.parts.iter().flat_map(|part| std::iter::repeat_n(part.label, part.answers()))
    }

    /// Returns the position among the parts of the part whose statement the server runs after this number of answers,
    /// and the number of that statement in it.
    fn part_after(&self, answers: usize) -> Option<(usize, usize)> {
        let mut left = answers;
        self.parts.iter().enumerate().find_map(|(index, part)| {
            let found = (left < part.answers()).then_some((index, left));
            left = left.saturating_sub(part.answers());
            found
        })
    }

    /// Returns the position among the parts of the part to which the server points, and the byte in its text.
    fn part_at(&self, position: usize) -> Option<(usize, usize)> {
        let mut left = position;
        for (index, part) in self.parts.iter().enumerate() {
            let text = part.pieces().concat();
            if let Some(byte) = byte_at(&text, left) {
                return Some((index, byte));
            }
            left = left.checked_sub(text.chars().count())?;
        }
        None
    }

    /// Looks up the statement that failed after this number of answers. The server parses a whole message before it
    /// runs any of it, so a position is more exact than the answers.
    pub(crate) fn error(&self, fault: DatabaseError, answers: usize) -> MessageError {
        let pointed = fault.position.and_then(|position| self.part_at(position));
        let pointed = pointed.and_then(|(part, byte)| Some((part, self.parts[part].statement_at(byte)?, Some(byte))));
        let counted = || self.part_after(answers).map(|(part, number)| (part, number, None));
        let (part, number, byte) = pointed.or_else(counted).unwrap_or_else(|| {
            let last = self.parts.len() - 1;
            (last, self.parts[last].answers().saturating_sub(1), None)
        });
        let label = self.parts[part].label;
        let before = self.parts[..part].iter().filter(|other| other.label == label).map(MessagePart::answers);
        let [text, _] = self.parts[part].pieces();
        let byte = byte.filter(|&byte| byte < text.len());
        MessageError { fault, label, number: before.sum::<usize>() + number, byte, answers }
    }
}

/// Returns the byte offset of a position that the server reports: it counts characters from 1.
pub(super) fn byte_at(text: &str, position: usize) -> Option<usize> {
    text.char_indices().nth(position.checked_sub(1)?).map(|(byte, _)| byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revision::{BatchLimit, Batches, TransactionMode};

    fn batch(text: &'static str) -> Batch {
        let mut batches = Batches::new(Box::new(text.as_bytes()), Dialect::Postgres, TransactionMode::Transaction);
        batches.next(BatchLimit::Bytes(1 << 20)).unwrap().unwrap()
    }

    fn fault(position: Option<usize>) -> DatabaseError {
        DatabaseError { position, ..DatabaseError::new(DatabaseErrorKind::Statement, "no") }
    }

    #[test]
    fn statements_are_counted_as_the_server_answers_them() {
        for (text, count) in [
            ("", 0),
            (" ;\n; -- a; b\n/* c; */", 0),
            ("-- 1_a.sql\nBEGIN;\nSET LOCAL lock_timeout = 1;\n", 2),
            ("SET a = ';'; SELECT 1", 2),
            ("SELECT 1; SELECT 'a", 2),
        ] {
            assert_eq!(count_statements(text), count, "{text}");
        }
    }

    #[test]
    fn the_part_that_failed_is_found_whatever_the_parts_before_it_contain() {
        let script = batch("CREATE TABLE t ();\nSELECT 'é'; SELECT 2");
        for opening in
            ["BEGIN;\n", "BEGIN;\nSET LOCAL a = 1;\n", "-- ; a\nBEGIN; SET LOCAL a = ';'; SET LOCAL b = 2;\n"]
        {
            let parts = || {
                let ours = [(Label::LockIsHeld, "SET x = 1; SELECT 1;\n"), (Label::Record, "INSERT;\n")];
                let ours = ours.into_iter().chain([(Label::Record, "UPDATE;\n"), (Label::Commit, "COMMIT;\n")]);
                ours.map(|(label, text)| MessagePart::new(label, text))
            };
            let message =
                Message::new([MessagePart::new(Label::Begin, opening), MessagePart::script(&script)]).and(parts());
            let before = count_statements(opening);
            for (answers, label, number) in [
                (before - 1, Label::Begin, before - 1),
                (before, Label::Script, 0),
                (before + 2, Label::Script, 2),
                (before + 3, Label::LockIsHeld, 0),
                (before + 4, Label::LockIsHeld, 1),
                (before + 5, Label::Record, 0),
                (before + 6, Label::Record, 1),
                (before + 7, Label::Commit, 0),
                (before + 8, Label::Commit, 0),
            ] {
                let error = message.error(fault(None), answers);
                assert_eq!((error.label, error.number, error.byte), (label, number, None), "{opening} {answers}");
            }
        }
    }

    #[test]
    fn a_position_is_more_exact_than_the_answers() {
        let script = batch("SELECT 'é';\nSELECT nonsense +");
        let message = Message::new([MessagePart::new(Label::Begin, "-- é\nBEGIN;\n"), MessagePart::script(&script)]);
        let text = message.text();
        let position = |part: &str| text[..text.find(part).unwrap()].chars().count() + 1;
        let error = message.error(fault(Some(position("nonsense"))), 0);
        assert_eq!((error.label, error.number, error.byte), (Label::Script, 1, script.text.find("nonsense")));
        // The semicolon that we add belongs to the last statement.
        let error = message.error(fault(Some(text.chars().count() - 1)), 0);
        assert_eq!((error.label, error.number, error.byte), (Label::Script, 1, None));
        let error = message.error(fault(Some(position("BEGIN"))), 0);
        assert_eq!((error.label, error.number), (Label::Begin, 0));
        assert_eq!(message.error(fault(Some(10_000)), 1).label, Label::Script);
    }
}
