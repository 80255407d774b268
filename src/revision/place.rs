//! Where something stands in a file, for messages.

/// A place in a file; both count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourcePosition {
    pub line: usize,
    pub column: usize,
}

impl SourcePosition {
    /// The place after `text` when it begins here.
    pub fn after(self, text: &str) -> SourcePosition {
        match text.rfind('\n') {
            None => SourcePosition { column: self.column + text.chars().count(), ..self },
            Some(last) => SourcePosition {
                line: self.line + text.bytes().filter(|&byte| byte == b'\n').count(),
                column: text[last + 1..].chars().count() + 1,
            },
        }
    }
}
