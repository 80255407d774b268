//! Finds texts that may be our answer to a server's request for a password, because a hostile server can repeat the
//! answer.
//!
//! The md5 answer and the SCRAM proof (RFC 5802) do not contain the password, but a guessed password can be checked
//! against them.

use super::{HiddenSpan, MASK, render};

/// The number of hexadecimal digits of an md5 answer.
const MD5_DIGITS: usize = 32;
/// The number of characters of a SCRAM proof or key: 32 bytes in base64.
const SHA256_CHARACTERS: usize = 44;

/// The certainty with which a text has to be an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum MatchStrictness {
    /// Only texts with a prefix of such an answer: `md5...`, `p=...`, `SCRAM-SHA-256$...`.
    Marked,
    /// Also every text of the same length and alphabet.
    Any,
}

/// Returns a message that a server sends during the login, or a notice, with possible answers masked.
pub fn mask_login_answer(text: &str) -> String {
    render(text, login_answers(text, MatchStrictness::Any), text.len())
}

/// Returns the positions of possible answers in a text.
pub(super) fn login_answers(text: &str, strictness: MatchStrictness) -> Vec<HiddenSpan> {
    let is_answer_character = |c: char| c.is_ascii_alphanumeric() || "+/=$:-".contains(c);
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = text[at..].find(is_answer_character).map(|start| at + start) {
        at = text[start..].find(|c| !is_answer_character(c)).map_or(text.len(), |length| start + length);
        if is_answer(&text[start..at], strictness) {
            found.push(HiddenSpan { range: start..at, replacement: MASK });
        }
    }
    found
}

/// Reports whether a word may be an answer.
fn is_answer(word: &str, strictness: MatchStrictness) -> bool {
    let is_verifier = word.contains("SCRAM-SHA-256$");
    let is_proof = word.split_once("p=").is_some_and(|(_, proof)| proof.len() >= SHA256_CHARACTERS);
    let is_md5 = word
        .match_indices("md5")
        .any(|(at, _)| word[at + 3..].bytes().take_while(u8::is_ascii_hexdigit).take(MD5_DIGITS).count() == MD5_DIGITS);
    let is_long = || {
        let base64 = word.split(['$', ':', '-']).any(|part| part.len() >= SHA256_CHARACTERS && part.ends_with('='));
        base64 || longest_hex(word) >= MD5_DIGITS
    };
    is_verifier || is_proof || is_md5 || (strictness == MatchStrictness::Any && is_long())
}

/// Returns the length of the longest sequence of hexadecimal digits in a word.
fn longest_hex(word: &str) -> usize {
    word.split(|c: char| !c.is_ascii_hexdigit()).map(str::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_to_a_login_are_masked_and_names_are_not() {
        let md5 = "0123456789abcdef0123456789ABCDEF";
        let proof = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        let verifier = format!("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==${proof}:{proof}");
        for (text, marked, any) in [
            (format!("got md5{md5}!"), "got ***!", "got ***!"),
            (format!("got c=biws,r=abc,p={proof}."), "got c=biws,r=abc,***.", "got c=biws,r=abc,***."),
            (format!("is {verifier}"), "is ***", "is ***"),
            (format!("key {md5} proof \"{proof}\""), "", "key *** proof \"***\""),
            ("database \"shop-production\", user app1".into(), "", ""),
        ] {
            let given = |expected: &str| if expected.is_empty() { text.clone() } else { expected.to_owned() };
            let masked = |strictness| render(&text, login_answers(&text, strictness), text.len());
            assert_eq!(masked(MatchStrictness::Marked), given(marked));
            assert_eq!(masked(MatchStrictness::Any), given(any));
            assert_eq!(mask_login_answer(&text), given(any));
        }
    }
}
