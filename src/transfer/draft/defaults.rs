//! Defaults in PostgreSQL's words.

use super::expression::{Expression as E, parse};
use super::translate::literal;
use crate::transfer::cast::{Cast, Type};
use crate::transfer::value::Value;

/// What becomes of a default.
#[derive(Debug, PartialEq)]
pub(super) enum Default {
    /// NULL: none is needed.
    None,
    Said(String),
    /// It means nothing certain there.
    Unsaid,
}

/// The default of a column that gets this cast.
pub(super) fn default(text: &str, cast: &Cast) -> Default {
    let Some(expression) = parse(text) else { return Default::Unsaid };
    let said = match &expression {
        E::Null => return Default::None,
        E::Current(what) => current(what, cast.ty()),
        E::Call(name, arguments) => called(name, arguments, cast.ty()),
        other => constant(other, cast),
    };
    said.map_or(Default::Unsaid, Default::Said)
}

/// The moment, as SQLite writes it: in UTC.
fn current(what: &str, ty: &Type) -> Option<String> {
    const NOW: &str = "CURRENT_TIMESTAMP AT TIME ZONE 'UTC'";
    let form = match (what, ty) {
        ("CURRENT_TIMESTAMP", Type::TimestampTz(_)) => return Some("CURRENT_TIMESTAMP".into()),
        (_, Type::Date) if what != "CURRENT_TIME" => return Some(format!("(({NOW})::date)")),
        ("CURRENT_TIME", Type::Time(_)) => return Some(format!("(date_trunc('second', {NOW})::time)")),
        ("CURRENT_TIMESTAMP", Type::Text) => "YYYY-MM-DD HH24:MI:SS",
        ("CURRENT_DATE", Type::Text) => "YYYY-MM-DD",
        ("CURRENT_TIME", Type::Text) => "HH24:MI:SS",
        _ => return None,
    };
    Some(format!("to_char({NOW}, '{form}')"))
}

/// Functions for the moment, without modifiers.
fn called(name: &str, arguments: &[E], ty: &Type) -> Option<String> {
    let is_now =
        |argument: &E| matches!(argument, E::Text(text) | E::Name(text) if text.eq_ignore_ascii_case("now"));
    match (name, arguments) {
        ("datetime", [now]) if is_now(now) => current("CURRENT_TIMESTAMP", ty),
        ("date", [now]) if is_now(now) => current("CURRENT_DATE", ty),
        ("time", [now]) if is_now(now) => current("CURRENT_TIME", ty),
        // To the column's own digits: whatever part of the moment the form keeps.
        ("strftime", [E::Text(form), now])
            if is_now(now) && matches!(ty, Type::TimestampTz(_)) && form.contains(['H', 's', 'T']) =>
        {
            Some("CURRENT_TIMESTAMP".into())
        }
        _ => None,
    }
}

/// A literal that goes into the column as a stored value would.
fn constant(expression: &E, cast: &Cast) -> Option<String> {
    let ty = cast.ty();
    let text_of = |text: &str| match ty {
        Type::Text | Type::Varchar(_) => Some(literal(text)),
        Type::Jsonb | Type::Json | Type::Uuid => Some(literal(text)),
        Type::Date | Type::Time(_) => Some(literal(text)),
        Type::Boolean => match text.to_ascii_lowercase().as_str() {
            "t" | "true" | "1" => Some("true".to_owned()),
            "f" | "false" | "0" => Some("false".to_owned()),
            _ => None,
        },
        // As SQLite's affinity would have made it a number.
        Type::SmallInt | Type::BigInt => text.parse().ok().map(|number: i64| number.to_string()),
        Type::TimestampTz(_) if text.ends_with(['Z', 'z']) => Some(literal(text)),
        _ => None,
    };
    let fits = |value: Value<'_>| cast.encode(value, &mut Vec::new()).is_ok();
    match expression {
        E::Text(text) | E::Name(text) => {
            let is_number = matches!(ty, Type::SmallInt | Type::BigInt);
            (is_number || fits(Value::Text(text.as_bytes()))).then(|| text_of(text)).flatten()
        }
        E::True | E::False => {
            let number = i64::from(*expression == E::True);
            constant(&E::Integer(number.to_string()), cast)
        }
        E::Integer(digits) => number(digits.parse().ok()?, cast),
        E::Negative(inner) => match &**inner {
            E::Integer(digits) => number(format!("-{digits}").parse().ok()?, cast),
            E::Real(digits) => real(&format!("-{digits}"), cast),
            _ => None,
        },
        E::Real(digits) => real(digits, cast),
        E::Blob(digits) if *ty == Type::Bytea && digits.len() % 2 == 0 => {
            let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            is_hex.then(|| format!("'\\x{}'", digits.to_ascii_lowercase()))
        }
        _ => None,
    }
}

fn number(number: i64, cast: &Cast) -> Option<String> {
    match cast.ty() {
        Type::Boolean if number == 0 => Some("false".into()),
        Type::Boolean if number == 1 => Some("true".into()),
        // In a column of texts SQLite stores its digits.
        Type::Text | Type::Varchar(_) => {
            let digits = number.to_string();
            cast.encode(Value::Text(digits.as_bytes()), &mut Vec::new()).is_ok().then(|| literal(&digits))
        }
        Type::SmallInt | Type::BigInt | Type::Double | Type::Numeric(_) => {
            cast.encode(Value::Integer(number), &mut Vec::new()).is_ok().then(|| number.to_string())
        }
        _ => None,
    }
}

fn real(digits: &str, cast: &Cast) -> Option<String> {
    let number: f64 = digits.parse().ok()?;
    let fits = cast.encode(Value::Real(number), &mut Vec::new()).is_ok();
    let is_for = matches!(cast.ty(), Type::Double | Type::Numeric(_));
    (fits && is_for && number.is_finite()).then(|| digits.to_owned())
}
