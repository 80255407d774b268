//! The text of a URL's parts: percent sequences, the pairs of a query, misspelled names.

use percent_encoding::percent_decode_str;
use strsim::levenshtein;

use super::{UrlError, fail};

/// Percent-decodes one part. Refuses a lone `%` and NUL as libpq does; the crate accepts them.
pub(super) fn decode(text: &str, part: &str) -> Result<String, UrlError> {
    let digits = |text_after: &str| text_after.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    if !text.split('%').skip(1).all(digits) {
        return fail(format!("{part} has an invalid percent sequence (% itself is written %25)"));
    }
    match percent_decode_str(text).decode_utf8() {
        Ok(decoded) if decoded.contains('\0') => fail(format!("{part} holds a NUL")),
        Ok(decoded) => Ok(decoded.into_owned()),
        Err(_) => fail(format!("{part} is not UTF-8 once decoded")),
    }
}

/// Refuses a part that contains a variable which a shell, Compose or Kubernetes should have replaced by its value. A
/// dollar sign that belongs to a name is written `%24`.
pub(super) fn refuse_variable(text: &str, part: &str) -> Result<(), UrlError> {
    let is_variable =
        ["${", "$("].iter().any(|prefix| text.contains(prefix)) || text.split('/').any(|piece| piece.starts_with('$'));
    match is_variable {
        true => fail(format!(
            "{part} has a variable that nothing has replaced, such as ${{NAME}} or $(NAME) (a $ itself is written %24)"
        )),
        false => Ok(()),
    }
}

/// Returns the names of a query with their values, decoded, in the order of the query.
pub(super) fn parse_query(query: &str) -> Result<Vec<(String, String)>, UrlError> {
    let parts = query.split('&').filter(|part| !part.is_empty());
    parts
        .map(|part| match part.split_once('=') {
            Some((key, value)) => Ok((decode(key, "a name in the query")?, decode(value, "a value in the query")?)),
            None => fail("a setting in the query has no value"),
        })
        .collect()
}

/// Returns an error message for a misspelled setting. `None` unless the name is close to a known one: any other text
/// may be the rest of a password, behind an unencoded `?` or `&`, and must not be printed.
pub(super) fn suggest_name<'a>(key: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if key.is_empty() || key.len() > 40 || !key.bytes().all(is_name_byte) {
        return None;
    }
    let lower = key.to_ascii_lowercase();
    let (distance, name) = known.map(|name| (levenshtein(&lower, name), name)).min()?;
    let is_close = distance * 3 <= key.len();
    is_close.then(|| format!("unknown setting \"{key}\" in the query (did you mean {name}?)"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::error;
    use super::*;

    #[test]
    fn refusals() {
        for (url, part) in [
            ("postgres://u:%zz@h", "the password has an invalid percent sequence"),
            ("postgres://u:a%@h", "the password has an invalid percent sequence"),
            ("postgres://u:a%4@h", "the password has an invalid percent sequence"),
            ("postgres://u:%+4@h", "the password has an invalid percent sequence"),
            ("postgres://u:%é@h", "the password has an invalid percent sequence"),
            ("postgres://u:%00@h", "the password holds a NUL"),
            ("postgres://u:%ff@h", "the password is not UTF-8"),
            ("postgres://%ff@h", "the user name is not UTF-8"),
            ("postgres://%ff/d", "the host is not UTF-8"),
            ("postgres://h:%ff/d", "the port is not UTF-8"),
            ("postgres://h/%ff", "the database name is not UTF-8"),
            ("postgres://h?user=%ff", "a value in the query is not UTF-8"),
            ("postgres://h?%ff=1", "a name in the query is not UTF-8"),
            ("postgres://h?sslmode", "has no value"),
        ] {
            let error = error(url, &[]);
            assert!(error.contains(part), "{url}: {error}");
        }
    }

    #[test]
    fn names_only_what_is_close_to_a_known_name() {
        for (key, close) in [
            ("sslmod", Some("sslmode")),
            ("SSLMODE", Some("sslmode")),
            ("hots", None),
            ("prot", None),
            ("sslmode_", Some("sslmode")),
            ("sslmod-", None),
            ("", None),
            ("S3cr3t", None),
        ] {
            let found = suggest_name(key, ["host", "port", "sslmode"].into_iter());
            let wanted = close.map(|name| format!("unknown setting \"{key}\" in the query (did you mean {name}?)"));
            assert_eq!(found, wanted);
        }
    }
}
