//! The versions of other tools: their order, and the words in their names.

/// Returns the sort key of a version: its numbers as numbers (9 before 14, 1.9 before 1.10), then the rest of the text.
pub(super) fn order(version: &str) -> (Vec<(usize, String)>, &str) {
    let end = version.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(version.len());
    let (numbers, rest) = version.split_at(end);
    let number = |digits: &str| {
        let digits = digits.trim_start_matches('0');
        (digits.len(), digits.to_owned())
    };
    (numbers.split('.').filter(|part| !part.is_empty()).map(number).collect(), rest)
}

/// The number of a revision, part by part: the count of the digits and the digits, without zeros that do not count. `01.2`
/// and `1.2.0` are one number, and 9 comes before 10.
pub(super) type RevisionNumber = Vec<(usize, String)>;

/// Returns the number with which a version begins, and the text behind it. Returns `None` if there is none, or if a
/// letter follows at once, as in `1975ea83b712`.
pub(super) fn leading_number(version: &str) -> Option<(RevisionNumber, &str)> {
    let (mut parts, mut rest) = (Vec::new(), version);
    loop {
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        if end == 0 {
            return None;
        }
        let digits = rest[..end].trim_start_matches('0');
        parts.push((digits.len(), digits.to_owned()));
        rest = &rest[end..];
        match rest.strip_prefix('.').filter(|next| next.starts_with(|c: char| c.is_ascii_digit())) {
            Some(next) => rest = next,
            None => break,
        }
    }
    while parts.len() > 1 && parts.last().is_some_and(|(count, _)| *count == 0) {
        parts.pop();
    }
    (!rest.starts_with(char::is_alphanumeric)).then_some((parts, rest))
}

/// Returns the words of a name in the form in which they are compared: in lower case, with one space between them.
pub(super) fn description_words(name: &str) -> String {
    let words = name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect::<Vec<_>>().join(" ")
}

/// Returns the words of a file name or directory name that begins with a number: `20260112093000_add_widgets.js`.
pub(super) fn words_behind_number(name: &str) -> String {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    description_words(stem.trim_start_matches(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_ordered_as_numbers() {
        let mut versions = ["14", "9", "1.10", "1.9", "0010", "20260112093000_b", "20260112093000_a", "1"];
        versions.sort_by(|a, b| order(a).cmp(&order(b)));
        let sorted = ["1", "1.9", "1.10", "9", "0010", "14", "20260112093000_a", "20260112093000_b"];
        assert_eq!(versions, sorted);
    }

    #[test]
    fn a_number_is_what_a_version_begins_with() {
        let join = |parts: RevisionNumber| parts.into_iter().map(|(_, digits)| digits).collect::<Vec<_>>().join(".");
        let number = |text| leading_number(text).map(|(parts, rest)| (join(parts), rest));
        assert_eq!(number("0003"), Some(("3".into(), "")));
        assert_eq!(number("0003_x.sql"), Some(("3".into(), "_x.sql")));
        assert_eq!(number("0003.sql"), Some(("3".into(), ".sql")));
        assert_eq!(number("01.10.0"), Some(("1.10".into(), "")));
        assert_eq!(number("0"), Some((String::new(), "")));
        assert_eq!(number("1975ea83b712"), None);
        assert_eq!(number("init.sql"), None);
        assert!(leading_number("9_x") < leading_number("0010_a") && leading_number("1.9") < leading_number("1.10"));
    }

    #[test]
    fn names_are_compared_by_their_words() {
        assert_eq!(description_words("Add-users  table"), "add users table");
        assert_eq!(words_behind_number("20260112093000_add_widgets.js"), "add widgets");
        assert_eq!(words_behind_number("20260112093000_init"), "init");
        assert_eq!(words_behind_number("1_one.sql"), "one");
    }
}
