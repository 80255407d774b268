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
    fn names_are_compared_by_their_words() {
        assert_eq!(description_words("Add-users  table"), "add users table");
        assert_eq!(words_behind_number("20260112093000_add_widgets.js"), "add widgets");
        assert_eq!(words_behind_number("20260112093000_init"), "init");
        assert_eq!(words_behind_number("1_one.sql"), "one");
    }
}
