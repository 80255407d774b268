//! The contents of JSON strings.

/// Returns the number of leading bytes that need no escape in a JSON string. The bytes are examined eight at a time,
/// since most of a document is strings.
pub(crate) fn plain(text: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH_BITS: u64 = ONES << 7;
    // Sets the high bit of every byte that is less than `limit`, and perhaps of bytes after the first of them: Henry S.
    // Warren, "Hacker's Delight", 6-1.
    let bytes_below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word & HIGH_BITS;
    let (words, _) = text.as_chunks();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let bytes_equal = |byte: u8| bytes_below(word ^ (ONES * u64::from(byte)), 1);
        let special = bytes_below(word, 0x20) | bytes_equal(b'"') | bytes_equal(b'\\');
        if special != 0 {
            return index * 8 + special.trailing_zeros() as usize / 8;
        }
    }
    let special = |byte: &u8| matches!(byte, 0..0x20 | b'"' | b'\\');
    let remainder = &text[words.len() * 8..];
    words.len() * 8 + remainder.iter().position(special).unwrap_or(remainder.len())
}

/// Returns the value of the first four bytes as hexadecimal digits, or `None` when they are not four such digits.
pub(crate) fn hexadecimal(text: &[u8]) -> Option<u32> {
    let digits = text.get(..4)?;
    digits.iter().try_fold(0, |value, digit| Some(value << 4 | char::from(*digit).to_digit(16)?))
}

/// Appends the characters of the contents of a JSON string, which [`JsonScanner`](super::JsonScanner) has accepted
/// before.
pub(crate) fn unescape(raw: &[u8], out: &mut Vec<u8>) {
    let mut remaining = raw;
    loop {
        let (plain_part, escape) = remaining.split_at(plain(remaining));
        out.extend_from_slice(plain_part);
        let [_, letter, digits @ ..] = escape else { return };
        let (character, length) = match letter {
            b'u' => decode_unicode_escape(digits),
            b'b' => ('\u{8}', 2),
            b'f' => ('\u{c}', 2),
            b'n' => ('\n', 2),
            b'r' => ('\r', 2),
            b't' => ('\t', 2),
            other => (char::from(*other), 2),
        };
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        remaining = &escape[length..];
    }
}

/// Decodes the escape with `\u`: returns the character, and the length of the whole escape in bytes.
fn decode_unicode_escape(digits: &[u8]) -> (char, usize) {
    let code_unit = hexadecimal(digits).unwrap_or_default();
    if let Some(character) = char::from_u32(code_unit) {
        return (character, 6);
    }
    let low_surrogate = digits.get(6..).and_then(hexadecimal).unwrap_or_default();
    let code = 0x10000 + ((code_unit & 0x3ff) << 10) + (low_surrogate & 0x3ff);
    (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 12)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_special_is_found_wherever_it_stands() {
        for length in 0..40 {
            for special in [b'"', b'\\', 0, 0x1f] {
                for at in 0..length {
                    // The neighbours of special bytes, and bytes that differ from them in the high bit, need no escape.
                    let ordinary = [b' ', b'!', b'#', b'[', b']', 0x7f, 0x80, 0x9f, 0xa2, 0xdc, 0xff];
                    let mut text: Vec<u8> = ordinary.iter().cycle().skip(at).take(length).copied().collect();
                    assert_eq!(plain(&text), length);
                    text[at] = special;
                    text[length - 1] = special;
                    assert_eq!(plain(&text), at);
                }
            }
        }
    }

    #[test]
    fn escapes_become_the_characters_that_they_stand_for() {
        for (raw, expected) in [
            ("", ""),
            ("plain é", "plain é"),
            (r#"a\"\\\/b"#, "a\"\\/b"),
            (r"\b\f\n\r\t", "\u{8}\u{c}\n\r\t"),
            (r"\u0041\u00e9\u20AC", "Aé€"),
            (r"x\ud83d\ude80y\uDBFF\uDFFF", "x🚀y\u{10ffff}"),
        ] {
            let mut out = b">".to_vec();
            unescape(raw.as_bytes(), &mut out);
            assert_eq!(String::from_utf8(out).expect("UTF-8"), format!(">{expected}"), "{raw}");
        }
    }
}
