//! Numbers and times that are not finite, in the words that PostgreSQL writes for them.

use super::WritableType;

/// The sign words of NaN, infinity and -infinity in `src/backend/utils/adt/numeric.c`.
const NAN: u16 = 0xc000;
const ABOVE: u16 = 0xd000;
const BELOW: u16 = 0xf000;

/// Appends the value of the word, and reports whether the word has a value for this type. The server itself refuses an
/// infinity in a column with a precision.
pub(super) fn word(ty: &WritableType, word: &[u8], out: &mut Vec<u8>) -> bool {
    let is = |known: &str| word.eq_ignore_ascii_case(known.as_bytes());
    let (above, below, nan) = (is("infinity"), is("-infinity"), is("NaN"));
    let is_time = matches!(ty, WritableType::TimestampTz(_) | WritableType::Timestamp(_) | WritableType::Date);
    if !(above || below || nan && !is_time) {
        return false;
    }
    let double = if nan {
        f64::NAN
    } else if above {
        f64::INFINITY
    } else {
        f64::NEG_INFINITY
    };
    match ty {
        WritableType::Real => out.extend_from_slice(&(double as f32).to_be_bytes()),
        WritableType::Double => out.extend_from_slice(&double.to_be_bytes()),
        WritableType::Numeric(_) => {
            let sign = if nan {
                NAN
            } else if above {
                ABOVE
            } else {
                BELOW
            };
            // The number has no groups and no weight. For an infinity, the server sends bits of the header as the
            // scale.
            let scale = if nan { 0 } else { 32 };
            [0, 0, sign, scale].iter().for_each(|part| out.extend_from_slice(&part.to_be_bytes()));
        }
        // The constants are in `src/include/datatype/timestamp.h` and `src/include/utils/date.h`.
        WritableType::Date => out.extend_from_slice(&(if above { i32::MAX } else { i32::MIN }).to_be_bytes()),
        _ => out.extend_from_slice(&(if above { i64::MAX } else { i64::MIN }).to_be_bytes()),
    }
    true
}
