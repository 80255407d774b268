//! The question whether anything is pending: which command answers it, and how its answer is read.
//!
//! A check only saves work: where it says that something is pending, the command itself runs and decides. So an answer
//! that looks like a failure (Django ends with 1 for both) counts as pending.

use std::collections::BTreeSet;
use std::ffi::OsString;

use super::{GuardedCommand, file_name};

/// The way to find out whether anything is pending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PendingCheck {
    /// A command that ends with 0 if nothing is pending, and with 1 if something is.
    Command(GuardedCommand),
    /// Two commands of Alembic, which print where the database is and where the directory is.
    AlembicHeads {
        /// `alembic current`.
        current: GuardedCommand,
        /// `alembic heads`.
        heads: GuardedCommand,
    },
}

/// A choice of the pending check by the tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Preset {
    /// By the words of the command; none if they are those of no tool that has a preset.
    Auto,
    /// Alembic.
    Alembic,
    /// Django.
    Django,
    /// No check.
    None,
}

impl PendingCheck {
    /// Returns the check that a preset has for a command; `None` if there is none.
    pub(crate) fn from_preset(preset: Preset, command: &GuardedCommand) -> Option<PendingCheck> {
        let words = command.line();
        match preset {
            Preset::None => None,
            Preset::Auto => alembic(words).or_else(|| django(words)),
            Preset::Alembic => alembic(words).or_else(|| alembic(&["alembic", "upgrade", "head"].map(OsString::from))),
            Preset::Django => django(words).or_else(|| django(&["python", "manage.py", "migrate"].map(OsString::from))),
        }
    }
}

/// Recognises `alembic [OPTION...] upgrade head`, also behind `python -m`, `uv run` and the like. With another target,
/// heads that are not applied may be meant to stay so.
fn alembic(words: &[OsString]) -> Option<PendingCheck> {
    let tool = words.iter().position(|word| file_name(word) == "alembic")?;
    let upgrade = tool + words[tool..].iter().position(|word| word == "upgrade")?;
    let [target] = &words[upgrade + 1..] else { return None };
    (target == "head" || target == "heads").then_some(())?;
    let with = |verb: &str| GuardedCommand { words: [&words[..upgrade], &[verb.into()]].concat() };
    Some(PendingCheck::AlembicHeads { current: with("current"), heads: with("heads") })
}

/// Recognises `manage.py migrate`, `django-admin migrate` and `python -m django migrate`, with whatever follows.
fn django(words: &[OsString]) -> Option<PendingCheck> {
    let is_tool = |word: &OsString| {
        let name = file_name(word);
        name == "manage.py" || name == "django-admin" || name == "django"
    };
    let tool = words.iter().position(is_tool)?;
    (words.get(tool + 1)? == "migrate").then_some(())?;
    let only_looks = |word: &OsString| word == "--check" || word == "--plan" || word == "--prune";
    (!words.iter().any(only_looks)).then_some(())?;
    Some(PendingCheck::Command(GuardedCommand { words: [words, &["--check".into()]].concat() }))
}

/// Returns whether Alembic's two answers name the same revisions. Each line begins with one: `a1b2c3 (head)`.
pub(crate) fn is_at_heads(current: &[String], heads: &[String]) -> bool {
    let revisions = |lines: &[String]| -> BTreeSet<String> {
        lines.iter().filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect()
    };
    revisions(current) == revisions(heads)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the command lines of the check of a command.
    fn check(preset: Preset, text: &str) -> Vec<String> {
        let words: Vec<OsString> = text.split(' ').map(OsString::from).collect();
        let line = |command: &GuardedCommand| {
            command.words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
        };
        match PendingCheck::from_preset(preset, &GuardedCommand { words }) {
            None => Vec::new(),
            Some(PendingCheck::Command(command)) => vec![line(&command)],
            Some(PendingCheck::AlembicHeads { current, heads }) => vec![line(&current), line(&heads)],
        }
    }

    #[test]
    fn a_tool_is_recognised_by_its_words() {
        for (text, expected) in [
            ("alembic upgrade head", vec!["alembic current", "alembic heads"]),
            (
                "venv/bin/alembic -c a.ini upgrade heads",
                vec!["venv/bin/alembic -c a.ini current", "venv/bin/alembic -c a.ini heads"],
            ),
            ("uv run alembic upgrade head", vec!["uv run alembic current", "uv run alembic heads"]),
            ("python -m alembic upgrade head", vec!["python -m alembic current", "python -m alembic heads"]),
            ("alembic upgrade +1", vec![]),
            ("alembic upgrade a1b2c3", vec![]),
            ("alembic downgrade -1", vec![]),
            ("alembic upgrade", vec![]),
            ("python manage.py migrate --noinput", vec!["python manage.py migrate --noinput --check"]),
            ("./manage.py migrate", vec!["./manage.py migrate --check"]),
            ("django-admin migrate app", vec!["django-admin migrate app --check"]),
            ("python manage.py migrate --plan", vec![]),
            ("python manage.py collectstatic", vec![]),
            ("rails db:migrate", vec![]),
        ] {
            assert_eq!(check(Preset::Auto, text), expected, "{text}");
        }
        assert_eq!(check(Preset::None, "alembic upgrade head"), Vec::<String>::new());
        assert_eq!(check(Preset::Alembic, "./migrate.sh"), ["alembic current", "alembic heads"]);
        assert_eq!(check(Preset::Django, "./migrate.sh"), ["python manage.py migrate --check"]);
    }

    #[test]
    fn heads_are_compared_as_sets() {
        let lines = |text: &str| -> Vec<String> { text.lines().map(str::to_owned).collect() };
        assert!(is_at_heads(&lines("a1 (head)\nb2 (head)"), &lines("b2 (branch) (head)\na1 (head)")));
        assert!(is_at_heads(&[], &[]));
        assert!(!is_at_heads(&lines("a1"), &lines("b2 (head)")));
        assert!(!is_at_heads(&[], &lines("b2 (head)")));
        assert!(!is_at_heads(&lines("a1 (head)"), &lines("a1 (head)\nb2 (head)")));
    }
}
