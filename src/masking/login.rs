//! Finds what may be the answer to a server's question for a password, which a hostile server repeats.
//!
//! The md5 answer and the SCRAM proof (RFC 5802) do not hold the password, but a guessed one can be compared with them.

use super::{HiddenSpan, MASK, render};

/// The hexadecimal digits of an md5 answer.
const MD5: usize = 32;
/// The characters of a SCRAM proof or key: 32 bytes in base64.
const SHA256: usize = 44;

/// How sure it has to be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum MatchStrictness {
    /// Only what is marked as such: `md5...`, `p=...`, `SCRAM-SHA-256$...`.
    Marked,
    /// Everything that is as long.
    Any,
}

/// Returns what a server says at the login, or in a notice, without what may be such an answer.
pub fn mask_login_answer(text: &str) -> String {
    render(text, login_answers(text, MatchStrictness::Any), text.len())
}

/// Returns where such answers are in a text.
pub(super) fn login_answers(text: &str, strictness: MatchStrictness) -> Vec<HiddenSpan> {
    let belongs = |c: char| c.is_ascii_alphanumeric() || "+/=$:-".contains(c);
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = text[at..].find(belongs).map(|start| at + start) {
        at = text[start..].find(|c| !belongs(c)).map_or(text.len(), |length| start + length);
        if is_answer(&text[start..at], strictness) {
            found.push(HiddenSpan { range: start..at, by: MASK });
        }
    }
    found
}

fn is_answer(word: &str, strictness: MatchStrictness) -> bool {
    let is_verifier = word.contains("SCRAM-SHA-256$");
    let is_proof = word.split_once("p=").is_some_and(|(_, proof)| proof.len() >= SHA256);
    let is_md5 = word
        .match_indices("md5")
        .any(|(at, _)| word[at + 3..].bytes().take_while(u8::is_ascii_hexdigit).take(MD5).count() == MD5);
    let is_long = || {
        let base64 = word.split(['$', ':', '-']).any(|part| part.len() >= SHA256 && part.ends_with('='));
        base64 || longest_hex(word) >= MD5
    };
    is_verifier || is_proof || is_md5 || (strictness == MatchStrictness::Any && is_long())
}

/// Returns how many hexadecimal digits of a word stand together.
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
