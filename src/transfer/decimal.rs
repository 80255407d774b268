//! Exact decimal numbers in the form of text, without floating point arithmetic.

use std::fmt::{self, Write};

/// The notation in which a number may be written.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum DecimalForm {
    /// Digits, with an optional minus sign before them and an optional fraction after them.
    Plain,
    /// The plain notation, with an optional exponent.
    Scientific,
}

/// The parts of a number as it was written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Decimal<'a> {
    /// True if the number begins with a minus sign, even if it is zero.
    pub(crate) negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

/// The significant digits of a number, without zeros at either end. The value is `0.DIGITS` times ten to the power of
/// `point`. Zero has no digits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Digits<'a> {
    head: &'a [u8],
    tail: &'a [u8],
    /// The power of ten with which the fraction `0.DIGITS` is multiplied.
    pub(crate) point: i64,
}

/// Splits a text after its leading digits.
fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len()))
}

/// Reads an exponent of any length. An exponent that is too large for every type is replaced by a large limit.
fn exponent(text: &[u8]) -> Option<i64> {
    let (negative, text) = match text.split_first()? {
        (b'-', remaining) => (true, remaining),
        (b'+', remaining) => (false, remaining),
        _ => (false, text),
    };
    let (all, remaining) = digits(text);
    if all.is_empty() || !remaining.is_empty() {
        return None;
    }
    // The limit leaves room in the range of i64, so that the length of a text can be added to the exponent.
    let value = all.iter().fold(0_i64, |sum, digit| (sum * 10 + i64::from(digit - b'0')).min(i64::MAX / 20));
    Some(if negative { -value } else { value })
}

impl<'a> Decimal<'a> {
    /// Reads a number. Blanks, a plus sign and a decimal point without digits on both sides are refused: the accepted
    /// notation is valid in all languages. Returns `None` when the text is no such number.
    pub(crate) fn parse(text: &'a [u8], form: DecimalForm) -> Option<Self> {
        let (negative, text) = match text.strip_prefix(b"-") {
            Some(remaining) => (true, remaining),
            None => (false, text),
        };
        let (whole, mut remaining) = digits(text);
        let mut fraction: &[u8] = &[];
        if let Some(after) = remaining.strip_prefix(b".") {
            (fraction, remaining) = digits(after);
            if fraction.is_empty() {
                return None;
            }
        }
        let exponent = match remaining.split_first() {
            None => 0,
            Some((b'e' | b'E', remaining)) if form == DecimalForm::Scientific => exponent(remaining)?,
            Some(_) => return None,
        };
        (!whole.is_empty()).then_some(Self { negative, whole, fraction, exponent })
    }

    /// Returns the number of digits after the decimal point as the number was written; `1.50` has two. PostgreSQL keeps
    /// this number as the display scale.
    pub(crate) fn scale(&self) -> i64 {
        (self.fraction.len() as i64 - self.exponent).max(0)
    }

    /// Returns the significant digits of the number.
    pub(crate) fn digits(&self) -> Digits<'a> {
        let head = trim_start(self.whole);
        let mut digits = Digits { head, tail: self.fraction, point: head.len() as i64 + self.exponent };
        if head.is_empty() {
            digits.tail = trim_start(self.fraction);
            digits.point -= (self.fraction.len() - digits.tail.len()) as i64;
        }
        digits.tail = trim_end(digits.tail);
        if digits.tail.is_empty() {
            digits.head = trim_end(digits.head);
        }
        digits
    }
}

fn trim_start(text: &[u8]) -> &[u8] {
    &text[text.iter().take_while(|byte| **byte == b'0').count()..]
}

fn trim_end(text: &[u8]) -> &[u8] {
    &text[..text.len() - text.iter().rev().take_while(|byte| **byte == b'0').count()]
}

impl<'a> Digits<'a> {
    /// Creates the digits from ASCII digits that have no zero at either end.
    pub(crate) fn new(digits: &'a [u8], point: i64) -> Self {
        Self { head: digits, tail: &[], point }
    }

    /// Returns the number of significant digits.
    pub(crate) fn len(&self) -> usize {
        self.head.len() + self.tail.len()
    }

    /// Reports whether the number is zero.
    pub(crate) fn is_zero(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of digits after the decimal point that the value needs. The result is negative when the value
    /// ends in zeros before the decimal point.
    pub(crate) fn scale(&self) -> i64 {
        self.len() as i64 - self.point
    }

    /// Returns the values of the digits (0 to 9), beginning with the most significant one.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u8> {
        self.head.iter().chain(self.tail).map(|digit| digit - b'0')
    }

    /// Reports whether both numbers have the same absolute value.
    pub(crate) fn equals(&self, other: &Digits<'_>) -> bool {
        (self.is_zero() && other.is_zero()) || (self.point == other.point && self.iter().eq(other.iter()))
    }
}

/// The shortest decimal text that is read back as the same floating point number. The text needs no allocation.
pub(crate) struct Shortest {
    text: [u8; 32],
    length: usize,
}

impl Shortest {
    /// Writes the number in scientific notation.
    pub(crate) fn from_float(number: impl fmt::LowerExp) -> Self {
        let mut shortest = Self { text: [0; 32], length: 0 };
        // A double needs at most 24 bytes: sign, 17 digits, decimal point, e-308.
        let _ = write!(shortest, "{number:e}");
        shortest
    }

    /// Returns the text in ASCII.
    pub(crate) fn text(&self) -> &[u8] {
        &self.text[..self.length]
    }
}

impl Write for Shortest {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let end = self.length + part.len();
        self.text.get_mut(self.length..end).ok_or(fmt::Error)?.copy_from_slice(part.as_bytes());
        self.length = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<(bool, String, i64, i64)> {
        let decimal = Decimal::parse(text.as_bytes(), DecimalForm::Scientific)?;
        let digits = decimal.digits();
        let text = digits.iter().map(|digit| char::from(b'0' + digit)).collect();
        Some((decimal.negative, text, digits.point, decimal.scale()))
    }

    #[test]
    fn decimals_are_read_digit_by_digit() {
        for (text, negative, digits, point, scale) in [
            ("0", false, "", 0, 0),
            ("-0.00", true, "", -2, 2),
            ("1", false, "1", 1, 0),
            ("007", false, "7", 1, 0),
            ("-1200", true, "12", 4, 0),
            ("1.50", false, "15", 1, 2),
            ("100.00", false, "1", 3, 2),
            ("0.00120", false, "12", -2, 5),
            ("10.05", false, "1005", 2, 2),
            ("1e3", false, "1", 4, 0),
            ("1.25E-2", false, "125", -1, 4),
            ("12e+1", false, "12", 3, 0),
        ] {
            assert_eq!(read(text), Some((negative, digits.to_owned(), point, scale)), "{text}");
        }
        for text in ["", "-", "+1", ".5", "1.", "1e", "1e+", "0x10", " 1", "1 ", "1_000", "1,5", "NaN", "--1", "1e5.0"]
        {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(Decimal::parse(b"1e5", DecimalForm::Plain), None);
    }

    #[test]
    fn an_exponent_beyond_all_measure_does_not_overflow() {
        let far = read(&format!("1e{}", "9".repeat(400))).expect("a number");
        assert!(far.2 > i64::MAX / 40);
        let near = read(&format!("1e-{}", "9".repeat(400))).expect("a number");
        assert!(near.2 < i64::MIN / 40);
    }

    #[test]
    fn the_shortest_text_reads_back_as_the_same_number() {
        for (number, text) in [(0.1, "1e-1"), (-5e-324, "-5e-324"), (1.7976931348623157e308, "1.7976931348623157e308")]
        {
            let shortest = Shortest::from_float(number);
            assert_eq!(std::str::from_utf8(shortest.text()), Ok(text));
            assert_eq!(text.parse(), Ok(number));
        }
    }
}
