//! Words without quotes: numbers, constants, and the words that Python's `json` module writes beyond JSON.

use super::read::Datum;
use crate::transfer::decimal::{Decimal, DecimalForm, Shortest};
use crate::transfer::value::Value;

/// Returns the value of a word, or `None` when the word has no value. A number that neither an integer of 64 bits nor a
/// double holds exactly stays a text, because nothing is rounded here.
pub(super) fn word(word: &[u8]) -> Option<Datum> {
    Some(match word {
        b"null" => Datum::Null,
        b"true" => Datum::Integer(1),
        b"false" => Datum::Integer(0),
        b"Infinity" => Datum::Real(f64::INFINITY),
        b"-Infinity" => Datum::Real(f64::NEG_INFINITY),
        // SQLite cannot store a NaN as a number.
        b"NaN" => Datum::Text(word.to_vec()),
        _ => return number(word),
    })
}

fn number(word: &[u8]) -> Option<Datum> {
    let decimal = Decimal::parse(word, DecimalForm::Scientific)?;
    let digits = word.strip_prefix(b"-").unwrap_or(word);
    if matches!(digits, [b'0', b'0'..=b'9', ..]) {
        return None;
    }
    let text = std::str::from_utf8(word).ok()?;
    let value = match digits.iter().all(u8::is_ascii_digit) {
        true => text.parse().ok().map(Datum::Integer),
        false => text.parse().ok().filter(|number| denotes(*number, &decimal)).map(Datum::Real),
    };
    Some(value.unwrap_or_else(|| Datum::Text(word.to_vec())))
}

/// Reports whether a decimal has the same value as the shortest decimal of the floating point number, so that nothing
/// is lost by storing the number.
fn denotes(number: f64, decimal: &Decimal<'_>) -> bool {
    let shortest = Shortest::from_float(number);
    let parsed = Decimal::parse(shortest.text(), DecimalForm::Scientific);
    parsed.is_some_and(|parsed| parsed.digits().equals(&decimal.digits()))
}

/// Reports whether two values are equal, or are the same number in different storage classes. SQLite may convert a
/// value like this because of the column's affinity. A column of REAL affinity stores whole numbers as integers, and
/// therefore has no -0.0 (SQLite manual, "Datatypes", section 2).
pub(crate) fn is_worth(one: Value<'_>, other: Value<'_>) -> bool {
    match (one, other) {
        _ if one.class() == other.class() => one == other,
        _ => match (digits(one), digits(other)) {
            (Some(one), Some(other)) => {
                let parse = |text| Decimal::parse(text, DecimalForm::Scientific);
                let decimals = parse(one.as_bytes()).zip(parse(other.as_bytes()));
                decimals.is_some_and(|(one, other)| {
                    let (one_digits, other_digits) = (one.digits(), other.digits());
                    one_digits.equals(&other_digits) && (one.negative == other.negative || one_digits.is_zero())
                })
            }
            _ => false,
        },
    }
}

/// Returns the text of a number, or a text that may be a number.
fn digits(value: Value<'_>) -> Option<String> {
    match value {
        Value::Integer(number) => Some(number.to_string()),
        Value::Real(number) => Some(format!("{number:e}")),
        Value::Text(text) => String::from_utf8(text.to_vec()).ok(),
        Value::Null | Value::Blob(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_exact_or_stay_texts() {
        for (given, expected) in [
            ("0", Some(Datum::Integer(0))),
            ("-9223372036854775808", Some(Datum::Integer(i64::MIN))),
            ("9223372036854775808", Some(Datum::Text(b"9223372036854775808".to_vec()))),
            ("1.50", Some(Datum::Real(1.5))),
            ("1e2", Some(Datum::Real(100.0))),
            ("5e-324", Some(Datum::Real(5e-324))),
            ("0.1", Some(Datum::Real(0.1))),
            ("0.30000000000000004", Some(Datum::Real(0.1 + 0.2))),
            ("0.12345678901234567890", Some(Datum::Text(b"0.12345678901234567890".to_vec()))),
            ("1e400", Some(Datum::Text(b"1e400".to_vec()))),
            ("1e-400", Some(Datum::Text(b"1e-400".to_vec()))),
            ("NaN", Some(Datum::Text(b"NaN".to_vec()))),
            ("-Infinity", Some(Datum::Real(f64::NEG_INFINITY))),
            ("true", Some(Datum::Integer(1))),
            ("01", None),
            ("-", None),
            ("+1", None),
            (".5", None),
            ("1.", None),
            ("0x1", None),
            ("nul", None),
            ("-NaN", None),
        ] {
            assert_eq!(word(given.as_bytes()), expected, "{given}");
        }
        let Some(Datum::Real(zero)) = word(b"-0.0") else { panic!("no real") };
        assert!(zero.is_sign_negative());
    }

    #[test]
    fn a_number_keeps_its_worth_whatever_its_class_becomes() {
        use Value::{Blob, Integer, Null, Real, Text};
        for (one, other, expected) in [
            (Integer(1), Integer(1), true),
            (Integer(1), Real(1.0), true),
            (Integer(9_007_199_254_740_993), Real(9_007_199_254_740_992.0), false),
            (Real(0.0), Real(-0.0), true),
            (Real(-0.0), Integer(0), true),
            (Text(b"1.50"), Real(1.5), true),
            (Text(b"-1.50"), Real(1.5), false),
            (Text(b"1e400"), Real(f64::INFINITY), false),
            (Real(0.1 + 0.2), Text(b"0.3"), false),
            (Integer(12), Text(b"12"), true),
            (Text(b" 12"), Integer(12), false),
            (Text(b"1.0"), Text(b"1"), false),
            (Text(b"1"), Blob(b"1"), false),
            (Null, Text(b""), false),
        ] {
            assert_eq!(is_worth(one, other), expected, "{one:?} {other:?}");
        }
    }
}
