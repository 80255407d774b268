//! The meaning of a backslash in a string literal of PostgreSQL.

/// The meaning of a backslash for the server in a string literal without a prefix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Backslash {
    /// An ordinary character: `standard_conforming_strings` is on, as it is by default.
    #[default]
    Ordinary,
    /// A character that may escape the next one, for the given reason.
    MayEscape(EscapeReason),
}

/// The reason why a backslash may escape the next character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EscapeReason {
    /// `standard_conforming_strings` is off by default in the sessions of the run.
    Default,
    /// A statement in this line of the file (counted from 1) changes the setting.
    Line(usize),
    /// A file that comes earlier in the plan changes the setting for later sessions.
    EarlierFile,
}

impl EscapeReason {
    /// Returns a sentence that describes the problem of such a literal and its remedy.
    pub(super) fn advice(self) -> String {
        let (why, remedy) = match self {
            EscapeReason::Default => (
                "standard_conforming_strings is off for this role or in this database".to_owned(),
                ", or ALTER ROLE or ALTER DATABASE ... SET standard_conforming_strings = on",
            ),
            EscapeReason::Line(line) => (
                format!("line {line} may switch standard_conforming_strings off"),
                ", and remove the statement in that line",
            ),
            EscapeReason::EarlierFile => {
                ("an earlier file may switch standard_conforming_strings off".to_owned(), ", and run it by itself")
            }
        };
        format!(
            "a backslash in this string literal may escape what follows it, because {why}: write E before the literal if \
             its backslashes are escapes, or E and each of them twice if they are text{remedy}"
        )
    }
}
