//! The target of a run, as the user writes it. The words are those of Alembic.

use std::fmt;

use super::Version;

/// The target of an upgrade, a downgrade or a stamp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// One revision, several, or none.
    At(RevisionName),
    /// `REV+2`, `head-1`: a number of steps from the named revision, up (positive) or down (negative).
    From(RevisionName, i64),
    /// `+2`, `-1`: a number of steps from the revision that the database is at.
    Relative(i64),
}

/// A name for revisions that can be resolved without the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RevisionName {
    /// The only head of the directory.
    Head,
    /// All heads of the directory.
    Heads,
    /// The state before the first revision.
    Base,
    /// A version, or the beginning of one.
    Revision(Version),
}

/// The two ends `FROM:TO` of a script that is printed without asking the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TargetRange {
    /// The state that the script begins with.
    pub(crate) from: RevisionName,
    /// The target of the script.
    pub(crate) to: Target,
}

impl Target {
    /// The only head of the directory.
    pub(crate) const HEAD: Target = Target::At(RevisionName::Head);

    /// Parses a target. `version` parses the text of a version.
    ///
    /// # Errors
    /// Fails with a message that lists the accepted forms.
    pub(crate) fn parse(text: &str, version: impl Fn(&str) -> Option<Version>) -> Result<Target, String> {
        let wrong = || {
            if text.contains(':') {
                return format!("\"{text}\" is a range, which goes with --sql; write a target alone");
            }
            format!(
                "\"{text}\" is not a target; write head, heads, base, a revision or the beginning of one, +N, -N, REV+N or REV-N"
            )
        };
        let is_number = |steps: &str| !steps.is_empty() && steps.bytes().all(|byte| byte.is_ascii_digit());
        // A version may have such a sign, too, where it is the name of a file.
        let Some(at) = text.rfind(['+', '-']).filter(|at| is_number(&text[at + 1..])) else {
            return RevisionName::parse(text, version).map(Target::At).ok_or_else(wrong);
        };
        let (name, steps) = text.split_at(at);
        let steps = steps.parse().ok().filter(|&steps: &i64| steps != 0).ok_or_else(wrong)?;
        match name {
            "" => Ok(Target::Relative(steps)),
            name => RevisionName::parse(name, version).map(|name| Target::From(name, steps)).ok_or_else(wrong),
        }
    }
}

impl RevisionName {
    fn parse(text: &str, version: impl Fn(&str) -> Option<Version>) -> Option<RevisionName> {
        match text {
            "head" => Some(RevisionName::Head),
            "heads" => Some(RevisionName::Heads),
            "base" => Some(RevisionName::Base),
            _ => version(text).map(RevisionName::Revision),
        }
    }
}

impl TargetRange {
    /// Parses `FROM:TO`. Returns `None` if the text has no colon. `version` parses the text of a version.
    ///
    /// # Errors
    /// Fails with a message that lists the accepted forms.
    pub(crate) fn parse(text: &str, version: impl Fn(&str) -> Option<Version>) -> Option<Result<TargetRange, String>> {
        let (from, to) = text.split_once(':')?;
        let wrong = || format!("\"{from}\" is not where a script can begin; write base or a revision");
        if to.contains(':') {
            return Some(Err(format!("\"{text}\" is not a range; write FROM:TO")));
        }
        let from = RevisionName::parse(from, &version).filter(|name| *name != RevisionName::Heads).ok_or_else(wrong);
        Some(from.and_then(|from| Ok(TargetRange { from, to: Target::parse(to, &version)? })))
    }
}

impl fmt::Display for RevisionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RevisionName::Head => "head",
            RevisionName::Heads => "heads",
            RevisionName::Base => "base",
            RevisionName::Revision(version) => version.as_str(),
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::At(name) => name.fmt(f),
            Target::From(name, steps) => write!(f, "{name}{steps:+}"),
            Target::Relative(steps) => write!(f, "{steps:+}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::NATIVE;

    fn target(text: &str) -> Result<Target, String> {
        Target::parse(text, |name| NATIVE.version(name))
    }

    fn range(text: &str) -> Option<Result<TargetRange, String>> {
        TargetRange::parse(text, |name| NATIVE.version(name))
    }

    #[test]
    fn every_form_is_read_and_shown_as_written() {
        for text in ["head", "heads", "base", "0007", "20260112", "+1", "-2", "0007+1", "7-2", "head-1", "base+1"] {
            assert_eq!(target(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "HEAD", "x", "+", "-", "+0", "-0", "--1", "+-1", "1+", "+1+1", "1 ", "x-1", "+x"] {
            assert!(target(text).unwrap_err().contains("is not a target"), "{text:?}");
        }
    }

    #[test]
    fn a_range_is_no_target() {
        for text in ["0003:0004", "base:head", "0003:0004+1", ":"] {
            assert!(target(text).unwrap_err().contains("goes with --sql"), "{text:?}");
        }
    }

    #[test]
    fn ranges_have_both_ends() {
        let parsed = range("base:head").unwrap().unwrap();
        assert_eq!((parsed.from, parsed.to), (RevisionName::Base, Target::HEAD));
        let parsed = range("0003:0004+1").unwrap().unwrap();
        assert_eq!(parsed.to, Target::From(RevisionName::Revision(NATIVE.version("0004").unwrap()), 1));
        assert!(range("0003").is_none());
        for text in [":", "1:", ":1", "x:1", "heads:1", "+1:2", "1:2:3"] {
            assert!(range(text).unwrap().is_err(), "{text}");
        }
    }
}
