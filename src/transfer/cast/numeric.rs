//! numeric: exact decimal numbers, in the format of `numeric_send` in `src/backend/utils/adt/numeric.c`.

use super::rule::ColumnRules;
use super::{CastError, CastRule};
use crate::transfer::decimal::{Decimal, DecimalForm, Digits, Shortest};

/// The precision and the scale of a column, if it has them.
type NumericLimits = Option<(i32, i32)>;

/// The maximum number of digits of any numeric after the decimal point (`NUMERIC_DSCALE_MASK`), and before it (the
/// weight has 16 bits).
pub(super) const SCALE: i64 = 16_383;
pub(super) const WHOLE: i64 = 131_072;
/// The sign word of a negative number.
const NEGATIVE: u16 = 0x4000;

/// Converts an integer to numeric.
pub(super) fn from_integer(
    limits: NumericLimits,
    rules: ColumnRules,
    number: i64,
    out: &mut Vec<u8>,
) -> Result<(), CastError> {
    // Up to 19 digits are written from the right.
    let mut text = [0; 20];
    let mut at = text.len();
    let mut remaining = number.unsigned_abs();
    while remaining > 0 {
        at -= 1;
        text[at] = b'0' + (remaining % 10) as u8;
        remaining /= 10;
    }
    let point = (text.len() - at) as i64;
    let significant = text[at..].iter().rposition(|digit| *digit != b'0').map_or(at, |last| at + last + 1);
    let digits = Digits::new(&text[at..significant], point);
    write(limits, rules, Number { negative: number < 0, digits, scale: 0 }, out)
}

/// Converts a REAL to numeric, by its shortest decimal.
pub(super) fn from_real(
    limits: NumericLimits,
    rules: ColumnRules,
    number: f64,
    out: &mut Vec<u8>,
) -> Result<(), CastError> {
    // Since PostgreSQL 14 numeric has infinities, but not in a column with a precision, and they cannot be computed
    // with.
    let shortest = Shortest::from_float(number);
    match Decimal::parse(shortest.text(), DecimalForm::Scientific) {
        Some(decimal) => write(limits, rules, Number::from_decimal(&decimal), out),
        None => Err(CastError::new("is not a finite number")),
    }
}

/// Converts the text of a decimal number to numeric.
pub(super) fn from_text(
    limits: NumericLimits,
    rules: ColumnRules,
    text: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), CastError> {
    match Decimal::parse(text, DecimalForm::Plain) {
        Some(decimal) => write(limits, rules, Number::from_decimal(&decimal), out),
        None => Err(CastError::new("is a text that is no plain decimal number such as -12.50")),
    }
}

/// A number that is to be converted.
struct Number<'a> {
    negative: bool,
    digits: Digits<'a>,
    /// The number of digits after the decimal point as it was written. The scale of the column replaces it, if there is
    /// one.
    scale: i64,
}

impl<'a> Number<'a> {
    fn from_decimal(decimal: &Decimal<'a>) -> Self {
        Self { negative: decimal.negative, digits: decimal.digits(), scale: decimal.scale() }
    }
}

/// Appends a number, after checking it against the limits of the column.
fn write(limits: NumericLimits, rules: ColumnRules, number: Number<'_>, out: &mut Vec<u8>) -> Result<(), CastError> {
    let Some((precision, scale)) = limits.map(|(precision, scale)| (i64::from(precision), i64::from(scale))) else {
        if number.scale > SCALE || (number.digits.point > WHOLE && !number.digits.is_zero()) {
            return Err(CastError::new("has more digits than any numeric"));
        }
        append(&number, number.scale, out);
        return Ok(());
    };
    let mut rounded = Vec::new();
    let mut digits = number.digits;
    if !digits.is_zero() && digits.scale() > scale {
        if !rules.has(CastRule::Round) {
            return Err(CastError::new(format!("would be rounded to scale {scale}")).rule(CastRule::Round, "rounds it"));
        }
        digits = round(digits, scale, &mut rounded);
    }
    if !digits.is_zero() && digits.point > precision - scale {
        let whole = (precision - scale).max(0);
        return Err(CastError::new(format!(
            "lies outside of numeric({precision},{scale}), which has {whole} digits before the point"
        )));
    }
    append(&Number { digits, ..number }, scale.max(0), out);
    Ok(())
}

/// Rounds to `scale` digits after the decimal point, halves away from zero, as `round_var` does.
fn round<'a>(digits: Digits<'_>, scale: i64, rounded: &'a mut Vec<u8>) -> Digits<'a> {
    let mut point = digits.point;
    let digit_count = point + scale;
    let rounds_up = digit_count >= 0 && digits.iter().nth(digit_count as usize).is_some_and(|digit| digit >= 5);
    rounded.extend(digits.iter().take(digit_count.max(0) as usize).map(|digit| b'0' + digit));
    if rounds_up {
        while rounded.last() == Some(&b'9') {
            rounded.pop();
        }
        match rounded.last_mut() {
            Some(last) => *last += 1,
            // A number such as 9.99 has become 10.
            None => {
                rounded.push(b'1');
                point += 1;
            }
        }
    }
    while rounded.last() == Some(&b'0') {
        rounded.pop();
    }
    Digits::new(rounded, point)
}

/// Appends the number of groups of four digits, the weight of the first group, the sign, the scale, and the groups.
fn append(number: &Number<'_>, scale: i64, out: &mut Vec<u8>) {
    let Digits { point, .. } = number.digits;
    let weight = if number.digits.is_zero() { 0 } else { (point - 1).div_euclid(4) };
    // The number of zeros that fill up the first group.
    let leading = if number.digits.is_zero() { 0 } else { (4 * (weight + 1) - point) as usize };
    let groups = (leading + number.digits.len()).div_ceil(4);
    let sign = if number.negative && !number.digits.is_zero() { NEGATIVE } else { 0 };
    for word in [groups as u16, weight as i16 as u16, sign, scale as u16] {
        out.extend_from_slice(&word.to_be_bytes());
    }
    let mut group = 0;
    let mut filled = leading;
    for digit in number.digits.iter() {
        group = group * 10 + u16::from(digit);
        filled += 1;
        if filled == 4 {
            out.extend_from_slice(&group.to_be_bytes());
            (group, filled) = (0, 0);
        }
    }
    if filled > 0 && groups > 0 {
        let shift = [1, 1000, 100, 10][filled];
        out.extend_from_slice(&(group * shift).to_be_bytes());
    }
}
