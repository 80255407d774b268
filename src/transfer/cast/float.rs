//! Floating point numbers: converted exactly, or to the nearest number when a rule permits it.

use super::{CastError, CastRule, CastTarget, WritableType};
use crate::transfer::decimal::{Decimal, DecimalForm, Shortest};

/// Returns the error of a number that the type does not store exactly.
fn inexact_error(ty: &WritableType) -> CastError {
    CastError::new(format!("cannot be held exactly by {ty}")).rule(CastRule::Round, "takes the nearest number")
}

/// Converts an integer to a floating point number.
pub(super) fn from_integer(target: CastTarget<'_>, number: i64, out: &mut Vec<u8>) -> Result<(), CastError> {
    // Both are compared as integers of 128 bits: i64::MAX as a double is 2^63, which a cast to i64 would cut to
    // i64::MAX.
    let is_exact = match target.ty {
        WritableType::Real => (number as f32) as i128 == i128::from(number),
        _ => (number as f64) as i128 == i128::from(number),
    };
    if !is_exact && !target.rules.has(CastRule::Round) {
        return Err(inexact_error(target.ty));
    }
    match target.ty {
        WritableType::Real => out.extend_from_slice(&(number as f32).to_be_bytes()),
        _ => out.extend_from_slice(&(number as f64).to_be_bytes()),
    }
    Ok(())
}

/// Converts a REAL to a floating point number of the target type.
pub(super) fn from_real(target: CastTarget<'_>, number: f64, out: &mut Vec<u8>) -> Result<(), CastError> {
    if matches!(target.ty, WritableType::Double) {
        out.extend_from_slice(&number.to_be_bytes());
        return Ok(());
    }
    let single = number as f32;
    if single.is_infinite() && number.is_finite() {
        return Err(CastError::new("lies outside of real"));
    }
    if f64::from(single) != number && !number.is_nan() && !target.rules.has(CastRule::Round) {
        return Err(inexact_error(target.ty));
    }
    out.extend_from_slice(&single.to_be_bytes());
    Ok(())
}

/// Converts the text of a decimal number, if a rule permits texts.
pub(super) fn from_text(target: CastTarget<'_>, text: &[u8], out: &mut Vec<u8>) -> Result<(), CastError> {
    let Some(decimal) = Decimal::parse(text, DecimalForm::Scientific) else {
        return Err(CastError::new("is a text that is no number"));
    };
    if !target.rules.has(CastRule::DecimalText) {
        return Err(CastError::new("is a text, not a number").rule(CastRule::DecimalText, "reads its digits"));
    }
    let text = std::str::from_utf8(text).unwrap_or_default();
    let (is_finite, shortest) = match target.ty {
        WritableType::Real => {
            let number: f32 = text.parse().unwrap_or(f32::NAN);
            out.extend_from_slice(&number.to_be_bytes());
            (number.is_finite(), Shortest::from_float(number))
        }
        _ => {
            let number: f64 = text.parse().unwrap_or(f64::NAN);
            out.extend_from_slice(&number.to_be_bytes());
            (number.is_finite(), Shortest::from_float(number))
        }
    };
    // A number that is not 0 must not become 0.
    let became_zero = !decimal.digits().is_zero() && shortest.text().iter().all(|byte| b"-0e".contains(byte));
    if !is_finite || became_zero {
        return Err(CastError::new(format!("lies outside of {}", target.ty)));
    }
    // 0.1 is the shortest decimal of its double and nothing is lost. A decimal with more digits would lose them.
    let shortest_decimal = Decimal::parse(shortest.text(), DecimalForm::Scientific);
    let is_exact = shortest_decimal.is_some_and(|shortest_decimal| shortest_decimal.digits().equals(&decimal.digits()));
    if is_exact || target.rules.has(CastRule::Round) { Ok(()) } else { Err(inexact_error(target.ty)) }
}
