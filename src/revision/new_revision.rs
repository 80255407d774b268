//! The number, the file names and the texts of a revision that is still to be written.

use super::{Direction, Id};

/// The longest description in a file name, in bytes: a longer one does not help a reader.
const SLUG_BYTES: usize = 60;

/// The purpose of a new revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewRevisionKind {
    /// A revision whose SQL somebody is going to write.
    Change,
    /// A revision without SQL that joins several heads.
    Join,
}

/// A revision whose files do not exist yet.
#[derive(Debug)]
pub struct NewRevision {
    id: Id,
    slug: String,
    /// The message as one line.
    title: String,
    purpose: NewRevisionKind,
}

/// Returns the number of the next revision: the time `now` if the newest number is an earlier time stamp, else the
/// number after the newest. Returns `None` if that number does not fit in 64 bits.
pub fn number(newest: Option<&Id>, now: &str) -> Option<Id> {
    let Some(newest) = newest else {
        return Id::parse("0001");
    };
    let time = Id::parse(now).filter(|time| newest.is_time_stamp() && time > newest);
    time.or_else(|| newest.successor())
}

/// Returns the words of a message as a part of a file name. Returns `None` if the message has no ASCII letter or digit.
pub fn slug(message: &str) -> Option<String> {
    let is_apart = |letter: char| {
        letter.is_whitespace() || (letter.is_ascii() && !letter.is_ascii_alphanumeric() && letter != '\'')
    };
    let plain = |word: &str| -> String {
        word.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect()
    };
    let mut slug = String::new();
    for word in message.split(is_apart).map(plain).filter(|word| !word.is_empty()) {
        let link = if slug.is_empty() { "" } else { "_" };
        let room = SLUG_BYTES.saturating_sub(slug.len() + link.len());
        if word.len() > room {
            // Words are not cut, except for a first word that is too long by itself.
            if slug.is_empty() {
                slug.push_str(&word[..room]);
            }
            break;
        }
        slug.push_str(link);
        slug.push_str(&word);
    }
    (!slug.is_empty()).then_some(slug)
}

impl NewRevision {
    /// Creates a revision. Returns `None` if the message has no ASCII letter or digit, and so nothing for a file name.
    pub fn new(id: Id, message: &str, purpose: NewRevisionKind) -> Option<NewRevision> {
        let is_apart = |letter: char| letter.is_whitespace() || letter.is_control();
        let words: Vec<&str> = message.split(is_apart).filter(|word| !word.is_empty()).collect();
        Some(NewRevision { id, slug: slug(message)?, title: words.join(" "), purpose })
    }

    /// Returns the number of the revision.
    pub fn id(&self) -> &Id {
        &self.id
    }

    /// Returns the name of the file for a direction.
    pub fn file(&self, direction: Direction) -> String {
        let way = match direction {
            Direction::Up => "up",
            Direction::Down => "down",
        };
        format!("{}_{}.{way}.sql", self.id, self.slug)
    }

    /// Returns the text of the file for a direction. The message follows fixed words on its line, so that it is never
    /// read as a directive.
    pub fn text(&self, direction: Direction, parents: &[Id]) -> String {
        let help = if direction == Direction::Up { self.help_up() } else { self.help_down() };
        self.heading(direction, parents) + help
    }

    /// Returns the first lines of the file for a direction.
    pub fn heading(&self, direction: Direction, parents: &[Id]) -> String {
        let NewRevision { id, title, .. } = self;
        let what = format!("-- Revision {id}: {title}");
        match direction {
            Direction::Up => {
                let depends = parents.iter().map(|parent| format!(" {parent}")).collect::<String>();
                let depends = if depends.is_empty() { depends } else { format!("-- depends:{depends}\n") };
                format!("{depends}{what}\n")
            }
            Direction::Down => format!("{what} (down migration)\n"),
        }
    }

    fn help_up(&self) -> &'static str {
        match self.purpose {
            NewRevisionKind::Change => {
                "--\n\
                 -- Write the SQL below. It runs in one transaction, with its row in the history inside.\n\
                 -- Statements that refuse a transaction, such as VACUUM, need a line \"-- no-transaction\" above them all.\n"
            }
            NewRevisionKind::Join => {
                "-- It joins what it depends on and changes nothing: there is no SQL on purpose.\n"
            }
        }
    }

    fn help_down(&self) -> &'static str {
        match self.purpose {
            NewRevisionKind::Change => {
                "--\n\
                 -- Write the SQL below that undoes the up migration. As long as there is none, though the up migration has some,\n\
                 -- lockkeeper downgrade refuses. If it cannot be undone, say why in a line \"-- irreversible: reason\".\n"
            }
            NewRevisionKind::Join => "-- Joining changed nothing, so there is nothing to undo.\n",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revision::Header;

    fn id(text: &str) -> Id {
        Id::parse(text).unwrap()
    }

    #[test]
    fn the_number_follows_the_habit_of_the_folder() {
        let now = "20261122193000";
        for (newest, next) in [
            ("0005", "0006"),
            ("0099", "0100"),
            ("9999", "10000"),
            ("7", "8"),
            ("00000007", "00000008"),
            ("20260101000000", now),
            ("20261122193000", "20261122193001"),
            ("20991231235959", "20991231235960"),
            // A number that is larger than every time stamp is no time stamp.
            ("202611221930001", "202611221930002"),
        ] {
            assert_eq!(number(Some(&id(newest)), now).unwrap().as_str(), next, "after {newest}");
        }
        assert_eq!(number(None, now).unwrap().as_str(), "0001");
        assert_eq!(number(Some(&id("18446744073709551615")), now), None);
    }

    #[test]
    fn a_slug_has_lower_case_ascii_words() {
        for (message, expected) in [
            ("add widgets", "add_widgets"),
            ("  Add   Widgets!  ", "add_widgets"),
            ("a/b\\c..d", "a_b_c_d"),
            ("../../etc/passwd", "etc_passwd"),
            ("don't add", "dont_add"),
            ("Größe ändern", "gre_ndern"),
            ("tab\tand\nline", "tab_and_line"),
            ("x.up.sql", "x_up_sql"),
            ("__a__", "a"),
            ("2 go", "2_go"),
        ] {
            assert_eq!(slug(message).as_deref(), Some(expected), "{message:?}");
        }
        for nothing in ["", " ", "!?", "äöü", "表を追加", "'"] {
            assert_eq!(slug(nothing), None, "{nothing:?}");
        }
    }

    #[test]
    fn a_slug_ends_with_a_whole_word() {
        assert_eq!(slug(&"word ".repeat(20)).unwrap(), ["word"; 12].join("_"));
        assert_eq!(slug(&"x".repeat(200)).unwrap(), "x".repeat(60));
        assert_eq!(slug(&format!("short {}", "x".repeat(200))).unwrap(), "short");
    }

    #[test]
    fn a_message_is_never_more_than_a_comment() {
        let parents = [id("0004"), id("0005")];
        let stated = Header { depends: Some(parents.to_vec()), ..Header::default() };
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
            for purpose in [NewRevisionKind::Change, NewRevisionKind::Join] {
                let draft = NewRevision::new(id("0006"), message, purpose).unwrap();
                let (up, down) = (draft.text(Direction::Up, &parents), draft.text(Direction::Down, &parents));
                assert_eq!(Header::parse(&up), Ok(stated.clone()), "{up}");
                assert_eq!(Header::parse(&down), Ok(Header::default()), "{down}");
                for text in [up, down] {
                    assert!(text.lines().all(|line| line.starts_with("--")) && !text.contains('\r'), "{text}");
                }
            }
        }
    }
}
