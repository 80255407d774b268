//! The text that the server returns for a jsonb, as `JsonbToCString` in `src/backend/utils/adt/jsonb.c` writes it. Keys
//! are sorted. Of members with the same key, the last one is kept. Numbers are written as numeric writes them, and
//! strings with as few escapes as possible.

use super::numeric::{SCALE, WHOLE};
use crate::transfer::decimal::{Decimal, DecimalForm};
use crate::transfer::json::{JsonError, JsonScanner, JsonToken, plain, unescape};

/// The maximum length of a string in a jsonb, in bytes: `JENTRY_OFFLENMASK` in `src/include/utils/jsonb.h`.
const MAX_STRING_BYTES: usize = 0x0fff_ffff;

/// The notation of numbers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum NumberStyle {
    /// All digits after the decimal point that were written are kept, as the server does: `1.50`.
    Written,
    /// Zeros at the end of a fraction are removed, so that equal numbers have equal texts: `1.5`.
    Worth,
}

/// A writer with buffers that are used again for each value.
#[derive(Default)]
pub struct JsonbWriter {
    /// The members of all objects that are open.
    members: Vec<Member>,
    /// The index in `members` of the first member of each object that is open; [`LIST_MARKER`] for a list that is open.
    open: Vec<usize>,
    scratch: Vec<u8>,
}

/// The entry in `open` for a list.
const LIST_MARKER: usize = usize::MAX;

/// A member of an object, by its offsets in the output.
#[derive(Clone, Copy)]
struct Member {
    start: usize,
    /// The offset after the closing quote of the key.
    key: usize,
    end: usize,
    /// The length of the key without escapes, in bytes.
    length: usize,
}

impl JsonbWriter {
    /// Appends the text that the server returns for a JSON text. `text` has to be UTF-8.
    ///
    /// # Errors
    /// Fails when jsonb does not accept the text. A part of the output may have been appended.
    pub fn append(&mut self, text: &[u8], numbers: NumberStyle, out: &mut Vec<u8>) -> Result<(), JsonError> {
        self.members.clear();
        self.open.clear();
        let mut scanner = JsonScanner::new(text);
        while let Some(token) = scanner.token()? {
            if let Some(what) = unfit(token) {
                // The error is at the end of the token that is too long.
                return Err(JsonError { at: scanner.at(), reason: what });
            }
            match token {
                JsonToken::Key(raw) => self.key(raw, &scanner, out),
                JsonToken::CloseObject => self.close_object(out),
                JsonToken::CloseList => {
                    self.open.pop();
                    out.push(b']');
                }
                _ => {
                    if self.open.last() == Some(&LIST_MARKER) && out.last() != Some(&b'[') {
                        out.extend_from_slice(b", ");
                    }
                    self.value(token, &scanner, numbers, out);
                }
            }
        }
        Ok(())
    }

    fn value(&mut self, token: JsonToken<'_>, scanner: &JsonScanner<'_>, numbers: NumberStyle, out: &mut Vec<u8>) {
        match token {
            JsonToken::Null => out.extend_from_slice(b"null"),
            JsonToken::True => out.extend_from_slice(b"true"),
            JsonToken::False => out.extend_from_slice(b"false"),
            JsonToken::Number(digits) => number(digits, numbers, out),
            JsonToken::Text(raw) => {
                self.text(b"\"", raw, scanner, b"\"", out);
            }
            JsonToken::OpenList => {
                self.open.push(LIST_MARKER);
                out.push(b'[');
            }
            _ => {
                self.open.push(self.members.len());
                out.push(b'{');
            }
        }
    }

    /// Appends the string that the scanner has read last, between `before` and `after`, which contain the quotes. Returns
    /// its length in bytes without quotes and escapes.
    fn text(&mut self, before: &[u8], raw: &[u8], scanner: &JsonScanner<'_>, after: &[u8], out: &mut Vec<u8>) -> usize {
        out.extend_from_slice(before);
        let mut length = raw.len();
        if scanner.has_escape() {
            self.scratch.clear();
            unescape(raw, &mut self.scratch);
            escape(&self.scratch, out);
            length = self.scratch.len();
        } else {
            out.extend_from_slice(raw);
        }
        out.extend_from_slice(after);
        length
    }

    fn key(&mut self, raw: &[u8], scanner: &JsonScanner<'_>, out: &mut Vec<u8>) {
        const AFTER: &[u8] = b"\": ";
        self.end_member(out.len());
        let before: &[u8] = if out.last() == Some(&b'{') { b"\"" } else { b", \"" };
        let start = out.len() + before.len() - 1;
        let length = self.text(before, raw, scanner, AFTER, out);
        self.members.push(Member { start, key: out.len() - (AFTER.len() - 1), end: 0, length });
    }

    /// Sets the end of the last member of the innermost object, if it has a member.
    fn end_member(&mut self, end: usize) {
        let first = self.open.last().copied().unwrap_or(LIST_MARKER);
        if let Some(member) = self.members.get_mut(first..).and_then(<[Member]>::last_mut) {
            member.end = end;
        }
    }

    /// Closes an object and sorts its members, unless they are sorted already.
    fn close_object(&mut self, out: &mut Vec<u8>) {
        self.end_member(out.len());
        let first = self.open.pop().unwrap_or_default();
        let members = &mut self.members[first..];
        if !members.is_sorted_by(|a, b| compare(a, b, out).is_lt()) {
            let start = members[0].start;
            members.sort_unstable_by(|a, b| compare(a, b, out).then(a.start.cmp(&b.start)));
            self.scratch.clear();
            for (index, member) in members.iter().enumerate() {
                let is_last = members.get(index + 1).is_none_or(|next| compare(next, member, out).is_ne());
                if is_last {
                    if !self.scratch.is_empty() {
                        self.scratch.extend_from_slice(b", ");
                    }
                    self.scratch.extend_from_slice(&out[member.start..member.end]);
                }
            }
            out.truncate(start);
            out.extend_from_slice(&self.scratch);
        }
        self.members.truncate(first);
        out.push(b'}');
    }
}

/// Compares keys by length, then byte by byte, as `lengthCompareJsonbStringValue` in
/// `src/backend/utils/adt/jsonb_util.c` does.
fn compare(a: &Member, b: &Member, out: &[u8]) -> std::cmp::Ordering {
    a.length.cmp(&b.length).then_with(|| {
        let (a_text, b_text) = (&out[a.start + 1..a.key - 1], &out[b.start + 1..b.key - 1]);
        match a_text.len() == a.length && b_text.len() == b.length {
            true => a_text.cmp(b_text),
            // The escape of a character sorts differently from the character.
            false => unescaped(a_text).cmp(&unescaped(b_text)),
        }
    })
}

/// Returns a string without escapes.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    unescape(text, &mut plain);
    plain
}

/// Appends a string with escapes as `escape_json` in `src/backend/utils/adt/json.c` does.
fn escape(text: &[u8], out: &mut Vec<u8>) {
    let mut remaining = text;
    loop {
        let (plain_part, special) = remaining.split_at(plain(remaining));
        out.extend_from_slice(plain_part);
        let Some((&byte, after)) = special.split_first() else { return };
        remaining = after;
        let letter = match byte {
            b'"' | b'\\' => byte,
            8 => b'b',
            b'\t' => b't',
            b'\n' => b'n',
            12 => b'f',
            b'\r' => b'r',
            _ => {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                let [high, low] = [byte >> 4, byte & 15].map(|digit| DIGITS[usize::from(digit)]);
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', letter]);
    }
}

/// Appends a number as `numeric_out` in `src/backend/utils/adt/numeric.c` does: without an exponent, and zero without a
/// sign.
fn number(text: &[u8], numbers: NumberStyle, out: &mut Vec<u8>) {
    // Most numbers are already written in this form.
    let is_plain = |byte: &u8| byte.is_ascii_digit() || *byte == b'.' && numbers == NumberStyle::Written;
    if text.iter().all(is_plain) {
        return out.extend_from_slice(text);
    }
    // The scanner accepts numbers only, so that parsing cannot fail.
    let Some(decimal) = Decimal::parse(text, DecimalForm::Scientific) else { return };
    let digits = decimal.digits();
    let point = if digits.is_zero() { 0 } else { digits.point };
    let scale = match numbers {
        NumberStyle::Written => decimal.scale(),
        NumberStyle::Worth if digits.is_zero() => 0,
        NumberStyle::Worth => digits.scale().max(0),
    };
    if decimal.negative && !digits.is_zero() {
        out.push(b'-');
    }
    let mut remaining = digits.iter().map(|digit| digit + b'0');
    if point <= 0 {
        out.push(b'0');
    }
    for _ in 0..point {
        out.push(remaining.next().unwrap_or(b'0'));
    }
    if scale > 0 {
        out.push(b'.');
    }
    for decimal_place in 0..scale {
        let digit = if decimal_place < -point { None } else { remaining.next() };
        out.push(digit.unwrap_or(b'0'));
    }
}

/// Returns the reason why jsonb does not accept a token, or `None` when jsonb accepts it.
// Inlined, as is the next one: they are called for every token, and would be calls in a binary that is optimized for
// size.
#[inline(always)]
pub(super) fn unfit(token: JsonToken<'_>) -> Option<&'static str> {
    match token {
        JsonToken::Number(number) if !is_numeric(number) => Some("a number has more digits than any numeric"),
        JsonToken::Text(text) | JsonToken::Key(text) if text.len() > MAX_STRING_BYTES => {
            Some("a text is longer than 256 MiB")
        }
        _ => None,
    }
}

/// Reports whether a number fits into numeric, since jsonb stores numbers as numeric.
#[inline(always)]
fn is_numeric(number: &[u8]) -> bool {
    // A number with so few digits and without an exponent always fits.
    if number.len() < 1000 && !number.iter().any(|byte| matches!(byte, b'e' | b'E')) {
        return true;
    }
    Decimal::parse(number, DecimalForm::Scientific).is_some_and(|decimal| {
        let digits = decimal.digits();
        decimal.scale() <= SCALE && (digits.is_zero() || digits.point <= WHOLE)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str, numbers: NumberStyle) -> String {
        let mut out = Vec::new();
        JsonbWriter::default().append(text.as_bytes(), numbers, &mut out).expect("JSON");
        String::from_utf8(out).expect("UTF-8")
    }

    /// The expected texts are the answers of PostgreSQL 15 to `SELECT '...'::jsonb`.
    #[test]
    fn json_is_written_as_the_server_writes_jsonb() {
        for (text, expected) in [
            (" null", "null"),
            ("[ ]", "[]"),
            ("{ }", "{}"),
            ("[1,[],{},[2,\"\"],\"[\"]", "[1, [], {}, [2, \"\"], \"[\"]"),
            (r#"{"bb":1,"a":2,"c":{"z":1,"y":2},"":0}"#, r#"{"": 0, "a": 2, "c": {"y": 2, "z": 1}, "bb": 1}"#),
            (r#"{"a":1,"b":{"x":1},"a":{"y":[1]},"b":2}"#, r#"{"a": {"y": [1]}, "b": 2}"#),
            (r#"{"a":1,"\u0061":2}"#, r#"{"a": 2}"#),
            (r#"{"~":1,"\n":2,"\"":3,"é":4,"aa":5}"#, r#"{"\n": 2, "\"": 3, "~": 1, "aa": 5, "é": 4}"#),
            (r#""\u001f\u007f\u0008\f\r\t\/\\\ud83d\ude80""#, "\"\\u001f\u{7f}\\b\\f\\r\\t/\\\\🚀\""),
            ("[0,-0,-0.00,0e5,0.0e-3,-0E+1]", "[0, 0, 0.00, 0, 0.0000, 0]"),
            ("[1.50,-1.50,1.50e1,1.5e3,-12e-3,1E2]", "[1.50, -1.50, 15.0, 1500, -0.012, 100]"),
            ("12345678901234567890123.10", "12345678901234567890123.10"),
        ] {
            assert_eq!(written(text, NumberStyle::Written), expected, "{text}");
        }
        assert_eq!(written("1e400", NumberStyle::Written), format!("1{}", "0".repeat(400)));
        assert_eq!(written("1e-400", NumberStyle::Written), format!("0.{}1", "0".repeat(399)));
    }

    #[test]
    fn numbers_are_written_by_their_worth_where_that_is_asked() {
        let text = "[0, -0.00, 0e-5, 1.50, 10, 100.0, 1e2, 0.10e-1, -1.0]";
        assert_eq!(written(text, NumberStyle::Worth), "[0, 0, 0, 1.5, 10, 100, 100, 0.01, -1]");
    }
}
