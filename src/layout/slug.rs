//! The words of a message as a part of a file name.

/// The longest description in a file name, in bytes: a longer one does not help a reader.
const SLUG_BYTES: usize = 60;

/// Returns the words of a message as a part of a file name. Returns `None` if the message has no ASCII letter or digit.
pub(super) fn slug(message: &str) -> Option<String> {
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
