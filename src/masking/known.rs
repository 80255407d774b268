//! Masks secrets that are known by their value, such as the configured passwords.

use std::sync::{Mutex, PoisonError};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{HiddenSpan, MASK, render};

/// The length of the shortest secret that is masked, in bytes: a shorter one would mask ordinary words.
const MIN_BYTES: usize = 4;

/// The characters that a URL need not encode (RFC 3986, section 2.3).
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// All forms of all known secrets. It only grows.
///
/// This is state of the process, whatever number of databases it works on: a line about one database must hide the
/// passwords of the others, too. It is a static because every error masks itself when it is formatted, also in the hook
/// for panics, where nothing can be passed to it; a registry that somebody could forget to pass would show a password.
static SECRETS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Masks a secret in everything that is printed from now on: in its plain form and in the forms of JSON, SQL and URLs.
/// A secret that is too short or is equal to one of the public `names` is not masked.
pub fn hide(secret: &str, names: &[&str]) {
    if secret.len() < MIN_BYTES || names.contains(&secret) {
        return;
    }
    let json = serde_json::to_string(secret).unwrap_or_default();
    let encoded = utf8_percent_encode(secret, UNRESERVED).to_string();
    let forms = [
        secret.to_owned(),
        json.trim_matches('"').to_owned(),
        secret.replace('\'', "''"),
        utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string(),
        lower_case_codes(&encoded),
        encoded,
    ];
    let mut secrets = SECRETS.lock().unwrap_or_else(PoisonError::into_inner);
    for form in forms {
        if !secrets.contains(&form) {
            secrets.push(form);
        }
    }
}

/// Returns a percent-encoded text with its codes in lower case: `%2f` instead of `%2F`.
fn lower_case_codes(encoded: &str) -> String {
    let mut parts = encoded.split('%');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let (code, remaining) = part.split_at_checked(2).unwrap_or((part, ""));
        text + "%" + &code.to_ascii_lowercase() + remaining
    })
}

/// Returns a text with every known secret masked.
pub fn mask_known(text: &str) -> String {
    render(text, Vec::new(), text.len())
}

/// Returns the positions of known secrets, including secrets within others and overlapping ones.
pub(super) fn find(text: &str) -> Vec<HiddenSpan> {
    let secrets = SECRETS.lock().unwrap_or_else(PoisonError::into_inner);
    secrets.iter().flat_map(|secret| occurrences(text, secret)).collect()
}

/// Returns the positions of all occurrences of a value in a text, including overlapping ones.
pub(super) fn occurrences<'t>(text: &'t str, value: &'t str) -> impl Iterator<Item = HiddenSpan> + 't {
    let step = value.chars().next().map_or(1, char::len_utf8);
    let mut from = 0;
    std::iter::from_fn(move || {
        let start = from + text.get(from..)?.find(value)?;
        from = start + step;
        Some(HiddenSpan { range: start..start + value.len(), replacement: MASK })
    })
}

/// Returns the length of the longest known secret in bytes.
pub(super) fn longest() -> usize {
    let secrets = SECRETS.lock().unwrap_or_else(PoisonError::into_inner);
    secrets.iter().map(String::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_secret_goes_first_and_overlaps_leave_nothing() {
        hide("longcanary", &[]);
        hide("longcanary-and-more", &[]);
        hide("more-of-it", &[]);
        assert_eq!(mask_known("a longcanary-and-more b"), "a *** b");
        assert_eq!(mask_known("a longcanary-and-more-of-it b"), "a *** b");
        assert_eq!(mask_known("a longcanary b"), "a *** b");
        hide("xyxyx", &[]);
        assert_eq!(mask_known("xyxyxyxyx"), "***");
    }

    #[test]
    fn every_form_of_a_secret_is_masked() {
        hide("p/w 'q\"ü", &[]);
        for form in ["p/w 'q\"ü", "p/w 'q\\\"ü", "p/w ''q\"ü", "p%2Fw%20%27q%22%C3%BC", "p%2fw%20%27q%22%c3%bc"] {
            assert_eq!(mask_known(&format!("a {form} b")), "a *** b");
        }
        hide("dash-.secret", &[]);
        assert_eq!(mask_known("dash%2D%2Esecret dash-.secret"), "*** ***");
    }

    #[test]
    fn names_and_short_words_are_not_masked() {
        hide("name-that-is-seen", &["x", "name-that-is-seen"]);
        hide("abc", &[]);
        assert_eq!(mask_known("name-that-is-seen abc"), "name-that-is-seen abc");
    }
}
