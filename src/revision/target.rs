//! The target of a run, as the user writes it. The words are those of Alembic.

use std::fmt;

use super::Id;

/// The target of an upgrade, a downgrade or a stamp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// One revision, several, or none.
    At(RevisionName),
    /// `REV+2`, `head-1`: a number of steps from the named revision, up (positive) or down (negative).
    From(RevisionName, i64),
    /// `+2`, `-1`: a number of steps from the revision that the database is at.
    Relative(i64),
}

/// A name for revisions that can be resolved without the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RevisionName {
    /// The only head of the directory.
    Head,
    /// All heads of the directory.
    Heads,
    /// The state before the first revision.
    Base,
    /// The number of a revision, or the first digits of one.
    Revision(String),
}

/// The two ends `FROM:TO` of a script that is printed without asking the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetRange {
    /// The state that the script begins with.
    pub from: RevisionName,
    /// The target of the script.
    pub to: Target,
}

impl Target {
    /// The only head of the directory.
    pub const HEAD: Target = Target::At(RevisionName::Head);

    /// Parses a target.
    ///
    /// # Errors
    /// Fails with a message that lists the accepted forms.
    pub fn parse(text: &str) -> Result<Target, String> {
        let wrong = || {
            if text.contains(':') {
                return format!("\"{text}\" is a range, which goes with --sql; write a target alone");
            }
            format!(
                "\"{text}\" is not a target; write head, heads, base, a revision or the beginning of one, +N, -N, REV+N or REV-N"
            )
        };
        let Some(at) = text.find(['+', '-']) else {
            return RevisionName::parse(text).map(Target::At).ok_or_else(wrong);
        };
        let (name, steps) = text.split_at(at);
        let digits = &steps[1..];
        let steps = steps.parse().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()));
        let steps = steps.filter(|&steps: &i64| steps != 0).ok_or_else(wrong)?;
        match name {
            "" => Ok(Target::Relative(steps)),
            name => RevisionName::parse(name).map(|name| Target::From(name, steps)).ok_or_else(wrong),
        }
    }
}

impl RevisionName {
    fn parse(text: &str) -> Option<RevisionName> {
        match text {
            "head" => Some(RevisionName::Head),
            "heads" => Some(RevisionName::Heads),
            "base" => Some(RevisionName::Base),
            _ => Id::parse(text).map(|_| RevisionName::Revision(text.into())),
        }
    }
}

impl TargetRange {
    /// Parses `FROM:TO`. Returns `None` if the text has no colon.
    ///
    /// # Errors
    /// Fails with a message that lists the accepted forms.
    pub fn parse(text: &str) -> Option<Result<TargetRange, String>> {
        let (from, to) = text.split_once(':')?;
        let wrong = || format!("\"{from}\" is not where a script can begin; write base or a revision");
        if to.contains(':') {
            return Some(Err(format!("\"{text}\" is not a range; write FROM:TO")));
        }
        let from = RevisionName::parse(from).filter(|name| *name != RevisionName::Heads).ok_or_else(wrong);
        Some(from.and_then(|from| Ok(TargetRange { from, to: Target::parse(to)? })))
    }
}

impl fmt::Display for RevisionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RevisionName::Head => "head",
            RevisionName::Heads => "heads",
            RevisionName::Base => "base",
            RevisionName::Revision(text) => text,
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

    #[test]
    fn every_form_is_read_and_shown_as_written() {
        for text in ["head", "heads", "base", "0007", "20260112", "+1", "-2", "0007+1", "7-2", "head-1", "base+1"] {
            assert_eq!(Target::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "HEAD", "x", "+", "-", "+0", "-0", "--1", "+-1", "1+", "+1+1", "1 ", "x-1", "+x"] {
            assert!(Target::parse(text).unwrap_err().contains("is not a target"), "{text:?}");
        }
    }

    #[test]
    fn a_range_is_no_target() {
        for text in ["0003:0004", "base:head", "0003:0004+1", ":"] {
            assert!(Target::parse(text).unwrap_err().contains("goes with --sql"), "{text:?}");
        }
    }

    #[test]
    fn ranges_have_both_ends() {
        let range = TargetRange::parse("base:head").unwrap().unwrap();
        assert_eq!((range.from, range.to), (RevisionName::Base, Target::HEAD));
        let range = TargetRange::parse("0003:0004+1").unwrap().unwrap();
        assert_eq!(range.to, Target::From(RevisionName::Revision("0004".into()), 1));
        assert!(TargetRange::parse("0003").is_none());
        for text in [":", "1:", ":1", "x:1", "heads:1", "+1:2", "1:2:3"] {
            assert!(TargetRange::parse(text).unwrap().is_err(), "{text}");
        }
    }
}
