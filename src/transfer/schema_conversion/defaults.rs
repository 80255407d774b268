//! The translation of column defaults to PostgreSQL.

use super::expression::{Expression as E, parse};
use super::translate::literal;
use crate::transfer::cast::{Cast, WritableType};
use crate::transfer::value::Value;

/// The translation of a default.
#[derive(Debug, PartialEq)]
pub(super) enum DefaultTranslation {
    /// The default is NULL, and PostgreSQL needs none.
    None,
    /// The default as an expression of PostgreSQL.
    Translated(String),
    /// The default has no certain meaning in PostgreSQL.
    NotTranslated,
}

/// Translates the default of a column with this cast.
pub(super) fn default(text: &str, cast: &Cast) -> DefaultTranslation {
    let Some(expression) = parse(text) else { return DefaultTranslation::NotTranslated };
    let sql = match &expression {
        E::Null => return DefaultTranslation::None,
        E::Current(keyword) => current(keyword, cast.ty()),
        E::Call(name, arguments) => translate_call(name, arguments, cast.ty()),
        other => constant(other, cast),
    };
    sql.map_or(DefaultTranslation::NotTranslated, DefaultTranslation::Translated)
}

/// Translates the current date or time, which SQLite writes in UTC.
fn current(keyword: &str, ty: &WritableType) -> Option<String> {
    const NOW: &str = "CURRENT_TIMESTAMP AT TIME ZONE 'UTC'";
    let template = match (keyword, ty) {
        ("CURRENT_TIMESTAMP", WritableType::TimestampTz(_)) => return Some("CURRENT_TIMESTAMP".into()),
        (_, WritableType::Date) if keyword != "CURRENT_TIME" => return Some(format!("(({NOW})::date)")),
        ("CURRENT_TIME", WritableType::Time(_)) => {
            return Some(format!("(date_trunc('second', {NOW})::time)"));
        }
        ("CURRENT_TIMESTAMP", WritableType::Text) => "YYYY-MM-DD HH24:MI:SS",
        ("CURRENT_DATE", WritableType::Text) => "YYYY-MM-DD",
        ("CURRENT_TIME", WritableType::Text) => "HH24:MI:SS",
        _ => return None,
    };
    Some(format!("to_char({NOW}, '{template}')"))
}

/// Translates a call of a date function for the current time, without modifiers.
fn translate_call(name: &str, arguments: &[E], ty: &WritableType) -> Option<String> {
    let is_now = |argument: &E| matches!(argument, E::Text(text) | E::Name(text) if text.eq_ignore_ascii_case("now"));
    match (name, arguments) {
        ("datetime", [now]) if is_now(now) => current("CURRENT_TIMESTAMP", ty),
        ("date", [now]) if is_now(now) => current("CURRENT_DATE", ty),
        ("time", [now]) if is_now(now) => current("CURRENT_TIME", ty),
        // The column keeps the precision of its own type, whichever part of the time the format contains.
        ("strftime", [E::Text(template), now])
            if is_now(now) && matches!(ty, WritableType::TimestampTz(_)) && template.contains(['H', 's', 'T']) =>
        {
            Some("CURRENT_TIMESTAMP".into())
        }
        _ => None,
    }
}

/// Translates a literal, if the column would get the same value from a stored one.
fn constant(expression: &E, cast: &Cast) -> Option<String> {
    let ty = cast.ty();
    let text_constant = |text: &str| match ty {
        WritableType::Text | WritableType::Varchar(_) => Some(literal(text)),
        WritableType::Jsonb | WritableType::Json | WritableType::Uuid => Some(literal(text)),
        WritableType::Date | WritableType::Time(_) => Some(literal(text)),
        WritableType::Boolean => match text.to_ascii_lowercase().as_str() {
            "t" | "true" | "1" => Some("true".to_owned()),
            "f" | "false" | "0" => Some("false".to_owned()),
            _ => None,
        },
        // SQLite's affinity would have converted the text to a number.
        WritableType::SmallInt | WritableType::BigInt => text.parse().ok().map(|number: i64| number.to_string()),
        WritableType::TimestampTz(_) if text.ends_with(['Z', 'z']) => Some(literal(text)),
        _ => None,
    };
    let fits = |value: Value<'_>| cast.encode(value, &mut Vec::new()).is_ok();
    match expression {
        E::Text(text) | E::Name(text) => {
            let is_number = matches!(ty, WritableType::SmallInt | WritableType::BigInt);
            (is_number || fits(Value::Text(text.as_bytes()))).then(|| text_constant(text)).flatten()
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
        E::Blob(digits) if *ty == WritableType::Bytea && digits.len() % 2 == 0 => {
            let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            is_hex.then(|| format!("'\\x{}'", digits.to_ascii_lowercase()))
        }
        _ => None,
    }
}

fn number(number: i64, cast: &Cast) -> Option<String> {
    match cast.ty() {
        WritableType::Boolean if number == 0 => Some("false".into()),
        WritableType::Boolean if number == 1 => Some("true".into()),
        // SQLite stores the digits of the number in a column of text.
        WritableType::Text | WritableType::Varchar(_) => {
            let digits = number.to_string();
            cast.encode(Value::Text(digits.as_bytes()), &mut Vec::new()).is_ok().then(|| literal(&digits))
        }
        WritableType::SmallInt | WritableType::BigInt | WritableType::Double | WritableType::Numeric(_) => {
            cast.encode(Value::Integer(number), &mut Vec::new()).is_ok().then(|| number.to_string())
        }
        _ => None,
    }
}

fn real(digits: &str, cast: &Cast) -> Option<String> {
    let number: f64 = digits.parse().ok()?;
    let fits = cast.encode(Value::Real(number), &mut Vec::new()).is_ok();
    let is_number_type = matches!(cast.ty(), WritableType::Double | WritableType::Numeric(_));
    (fits && is_number_type && number.is_finite()).then(|| digits.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::cast::Zone;

    #[test]
    fn defaults_are_said_or_left() {
        let translated = |sql: &str| DefaultTranslation::Translated(sql.to_owned());
        let numeric = WritableType::Numeric(Some((5, 2)));
        for (text, ty, expected) in [
            ("NULL", &WritableType::Text, DefaultTranslation::None),
            ("0", &WritableType::Boolean, translated("false")),
            ("'t'", &WritableType::Boolean, translated("true")),
            ("TRUE", &WritableType::BigInt, translated("1")),
            ("2", &WritableType::Boolean, DefaultTranslation::NotTranslated),
            ("(-5)", &WritableType::BigInt, translated("-5")),
            ("'7'", &WritableType::BigInt, translated("7")),
            ("'x'", &WritableType::BigInt, DefaultTranslation::NotTranslated),
            ("40000", &WritableType::SmallInt, DefaultTranslation::NotTranslated),
            ("1.25", &numeric, translated("1.25")),
            ("1.255", &numeric, DefaultTranslation::NotTranslated),
            ("1e3", &WritableType::Double, translated("1e3")),
            ("'it''s'", &WritableType::Text, translated("'it''s'")),
            ("\"word\"", &WritableType::Text, translated("'word'")),
            ("5", &WritableType::Text, translated("'5'")),
            ("'long'", &WritableType::Varchar(Some(3)), DefaultTranslation::NotTranslated),
            ("'{}'", &WritableType::Jsonb, translated("'{}'")),
            ("'{'", &WritableType::Jsonb, DefaultTranslation::NotTranslated),
            ("x'0AFF'", &WritableType::Bytea, translated("'\\x0aff'")),
            ("CURRENT_TIMESTAMP", &WritableType::TimestampTz(6), translated("CURRENT_TIMESTAMP")),
            ("(datetime('now'))", &WritableType::TimestampTz(6), translated("CURRENT_TIMESTAMP")),
            ("(datetime('now', 'localtime'))", &WritableType::TimestampTz(6), DefaultTranslation::NotTranslated),
            ("(strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))", &WritableType::TimestampTz(6), translated("CURRENT_TIMESTAMP")),
            ("(strftime('%s', 'now'))", &WritableType::BigInt, DefaultTranslation::NotTranslated),
            ("CURRENT_DATE", &WritableType::Date, translated("((CURRENT_TIMESTAMP AT TIME ZONE 'UTC')::date)")),
            ("CURRENT_TIMESTAMP", &WritableType::BigInt, DefaultTranslation::NotTranslated),
            ("'2024-01-01T00:00:00Z'", &WritableType::TimestampTz(6), translated("'2024-01-01T00:00:00Z'")),
            ("'2024-01-01 00:00:00'", &WritableType::TimestampTz(6), DefaultTranslation::NotTranslated),
            ("(random())", &WritableType::BigInt, DefaultTranslation::NotTranslated),
        ] {
            assert_eq!(default(text, &Cast::new(ty.clone(), Zone::UTC)), expected, "{text} of {ty}");
        }
    }
}
