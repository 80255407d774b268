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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::cast::Zone;

    #[test]
    fn defaults_are_said_or_left() {
        let said = |sql: &str| Default::Said(sql.to_owned());
        let numeric = Type::Numeric(Some((5, 2)));
        for (text, ty, expected) in [
            ("NULL", &Type::Text, Default::None),
            ("0", &Type::Boolean, said("false")),
            ("'t'", &Type::Boolean, said("true")),
            ("TRUE", &Type::BigInt, said("1")),
            ("2", &Type::Boolean, Default::Unsaid),
            ("(-5)", &Type::BigInt, said("-5")),
            ("'7'", &Type::BigInt, said("7")),
            ("'x'", &Type::BigInt, Default::Unsaid),
            ("40000", &Type::SmallInt, Default::Unsaid),
            ("1.25", &numeric, said("1.25")),
            ("1.255", &numeric, Default::Unsaid),
            ("1e3", &Type::Double, said("1e3")),
            ("'it''s'", &Type::Text, said("'it''s'")),
            ("\"word\"", &Type::Text, said("'word'")),
            ("5", &Type::Text, said("'5'")),
            ("'long'", &Type::Varchar(Some(3)), Default::Unsaid),
            ("'{}'", &Type::Jsonb, said("'{}'")),
            ("'{'", &Type::Jsonb, Default::Unsaid),
            ("x'0AFF'", &Type::Bytea, said("'\\x0aff'")),
            ("CURRENT_TIMESTAMP", &Type::TimestampTz(6), said("CURRENT_TIMESTAMP")),
            ("(datetime('now'))", &Type::TimestampTz(6), said("CURRENT_TIMESTAMP")),
            ("(datetime('now', 'localtime'))", &Type::TimestampTz(6), Default::Unsaid),
            ("(strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))", &Type::TimestampTz(6), said("CURRENT_TIMESTAMP")),
            ("(strftime('%s', 'now'))", &Type::BigInt, Default::Unsaid),
            ("CURRENT_DATE", &Type::Date, said("((CURRENT_TIMESTAMP AT TIME ZONE 'UTC')::date)")),
            ("CURRENT_TIMESTAMP", &Type::BigInt, Default::Unsaid),
            ("'2024-01-01T00:00:00Z'", &Type::TimestampTz(6), said("'2024-01-01T00:00:00Z'")),
            ("'2024-01-01 00:00:00'", &Type::TimestampTz(6), Default::Unsaid),
            ("(random())", &Type::BigInt, Default::Unsaid),
        ] {
            assert_eq!(default(text, &Cast::new(ty.clone(), Zone::UTC)), expected, "{text} of {ty}");
        }
    }
}
