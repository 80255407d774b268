//! Integers and booleans.

use super::rule::ColumnRules;
use super::{CastError, CastRule, CastTarget, WritableType};

/// Converts 0 or 1 to a boolean.
pub(super) fn boolean(number: i64, out: &mut Vec<u8>) -> Result<(), CastError> {
    match number {
        0 | 1 => out.push(number as u8),
        _ => return Err(CastError::new("is neither 0 nor 1")),
    }
    Ok(())
}

/// Converts 0.0 or 1.0 to a boolean.
pub(super) fn boolean_from_real(number: f64, out: &mut Vec<u8>) -> Result<(), CastError> {
    match number {
        0.0 => boolean(0, out),
        1.0 => boolean(1, out),
        _ => Err(CastError::new("is neither 0 nor 1")),
    }
}

/// Converts a word to a boolean. A rule permits additional words.
pub(super) fn boolean_from_text(rules: ColumnRules, word: &[u8], out: &mut Vec<u8>) -> Result<(), CastError> {
    let is_one_of = |words: &[&str]| words.iter().any(|accepted| word.eq_ignore_ascii_case(accepted.as_bytes()));
    let extra_words = [is_one_of(&["n", "no", "off"]), is_one_of(&["y", "yes", "on"])];
    let accepts_words = rules.has(CastRule::Words);
    if is_one_of(&["0", "f", "false"]) || (accepts_words && extra_words[0]) {
        return boolean(0, out);
    }
    if is_one_of(&["1", "t", "true"]) || (accepts_words && extra_words[1]) {
        return boolean(1, out);
    }
    let error = CastError::new("is none of 0, 1, t, f, true, false");
    Err(if extra_words.contains(&true) {
        error.rule(CastRule::Words, "takes yes, no, y, n, on and off")
    } else {
        error
    })
}

/// Converts an integer to an integer type, after checking its range.
pub(super) fn integer(ty: &WritableType, number: i64, out: &mut Vec<u8>) -> Result<(), CastError> {
    let (minimum, maximum) = match ty {
        WritableType::SmallInt => (i64::from(i16::MIN), i64::from(i16::MAX)),
        WritableType::Integer => (i64::from(i32::MIN), i64::from(i32::MAX)),
        _ => (i64::MIN, i64::MAX),
    };
    if number < minimum || number > maximum {
        return Err(CastError::new(format!("lies outside of {ty}, which goes from {minimum} to {maximum}")));
    }
    let bytes = number.to_be_bytes();
    out.extend_from_slice(match ty {
        WritableType::SmallInt => &bytes[6..],
        WritableType::Integer => &bytes[4..],
        _ => &bytes,
    });
    Ok(())
}

/// Converts a REAL without a fraction to an integer type.
pub(super) fn from_real(ty: &WritableType, number: f64, out: &mut Vec<u8>) -> Result<(), CastError> {
    // END is 2^63, the first number above the range; -2^63 is in range. The fraction of infinities and NaN is NaN.
    const END: f64 = 9_223_372_036_854_775_808.0;
    if number.fract() != 0.0 {
        return Err(CastError::new("is not a whole number"));
    }
    if !(-END..END).contains(&number) {
        return Err(CastError::new(format!("lies outside of {ty}")));
    }
    integer(ty, number as i64, out)
}

/// Converts a text of digits to an integer type, if a rule permits texts.
pub(super) fn from_text(target: CastTarget<'_>, digits: &[u8], out: &mut Vec<u8>) -> Result<(), CastError> {
    let number = digits.strip_prefix(b"-").unwrap_or(digits);
    if number.is_empty() || !number.iter().all(u8::is_ascii_digit) {
        return Err(CastError::new("is a text that is no whole number"));
    }
    if !target.rules.has(CastRule::IntegerText) {
        return Err(CastError::new("is a text, not a number").rule(CastRule::IntegerText, "reads its digits"));
    }
    let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    let number = number.ok_or_else(|| CastError::new(format!("lies outside of {}", target.ty)))?;
    integer(target.ty, number, out)
}
