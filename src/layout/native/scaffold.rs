//! The file names and the texts of a revision that is still to be written.

use super::file_name;
use crate::layout::slug::slug;
use crate::layout::{NewContent, NewRevision, NewScript};
use crate::revision::{Direction, Version};

/// Returns the up file and the down file of a revision. Returns `None` if the message has no ASCII letter or digit, and
/// so nothing for a file name.
pub(super) fn files(revision: &NewRevision<'_>) -> Option<Vec<NewScript>> {
    let slug = slug(revision.message)?;
    let (up, down) = match revision.content {
        NewContent::Change => (CHANGE_UP, CHANGE_DOWN),
        NewContent::Join => (JOIN_UP, JOIN_DOWN),
        NewContent::Written { up, down } => (up, down),
    };
    let script = |direction, text: &str| NewScript {
        file: file_name::format(revision.version, &slug, direction),
        text: heading(revision, direction) + text,
    };
    Some(vec![script(Direction::Up, up), script(Direction::Down, down)])
}

/// Returns the first lines of the file for a direction. The message follows fixed words on its line, so that it is
/// never read as a directive.
fn heading(revision: &NewRevision<'_>, direction: Direction) -> String {
    let is_apart = |letter: char| letter.is_whitespace() || letter.is_control();
    let words: Vec<&str> = revision.message.split(is_apart).filter(|word| !word.is_empty()).collect();
    let title = format!("-- Revision {}: {}", revision.version, words.join(" "));
    match direction {
        Direction::Up if revision.parents.is_empty() => format!("{title}\n"),
        Direction::Up => {
            let parents: Vec<&str> = revision.parents.iter().map(Version::as_str).collect();
            format!("-- depends: {}\n{title}\n", parents.join(" "))
        }
        Direction::Down => format!("{title} (down migration)\n"),
    }
}

const CHANGE_UP: &str = "--\n\
     -- Write the SQL below. It runs in one transaction, with its row in the history inside.\n\
     -- Statements that refuse a transaction, such as VACUUM, need a line \"-- no-transaction\" above them all.\n";

const CHANGE_DOWN: &str = "--\n\
     -- Write the SQL below that undoes the up migration. As long as there is none, though the up migration has some,\n\
     -- lockkeeper downgrade refuses. If it cannot be undone, say why in a line \"-- irreversible: reason\".\n";

const JOIN_UP: &str = "-- It joins what it depends on and changes nothing: there is no SQL on purpose.\n";

const JOIN_DOWN: &str = "-- Joining changed nothing, so there is nothing to undo.\n";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::native::directives::Directives;
    use crate::layout::native::number;

    #[test]
    fn a_message_is_never_more_than_a_comment() {
        let number = |text: &str| number::parse(text).unwrap();
        let parents = [number("0004"), number("0005")];
        let stated = Directives { depends: Some(parents.clone().into()), ..Directives::default() };
        for message in [
            "no-transaction",
            "x\n-- no-transaction",
            "x\r-- irreversible: no\r\nDROP TABLE t;",
            "irreversible: because",
            "depends: 0001",
            "depend: 0001",
            "/* x",
            "x */ y",
            "x\u{2028}-- no-transaction",
        ] {
            for content in [NewContent::Change, NewContent::Join] {
                let version = &number("0006");
                let files = files(&NewRevision { version, message, parents: &parents, content }).unwrap();
                let [up, down] = files.try_into().unwrap();
                assert_eq!(Directives::parse(&up.text), Ok(stated.clone()), "{}", up.text);
                assert_eq!(Directives::parse(&down.text), Ok(Directives::default()), "{}", down.text);
                for text in [up.text, down.text] {
                    assert!(text.lines().all(|line| line.starts_with("--")) && !text.contains('\r'), "{text}");
                }
            }
        }
    }
}
