//! The translation of SQLite's expressions to PostgreSQL, if their meaning is certainly the same.

use super::expression::{Expression, Expression as E};
use super::functions;
use super::membership;
use super::names::quoted;
use super::translation::{ExpressionClass, Translation, compare, compound};
use crate::transfer::cast::WritableType;

/// A column that expressions may contain.
#[derive(Clone, Debug)]
pub(super) struct ColumnInfo<'a> {
    pub(crate) name: &'a str,
    pub(crate) ty: &'a WritableType,
    /// True if texts are compared byte by byte.
    pub(crate) is_binary: bool,
    /// True if a rule of the user changes the values of the column.
    pub(crate) has_cast_rules: bool,
    /// The length of the longest value in bytes.
    pub(crate) longest: usize,
}

/// Translates an expression over these columns, or returns `None` when its meaning in PostgreSQL might differ.
pub(super) fn translate(expression: &Expression, columns: &[ColumnInfo<'_>]) -> Option<Translation> {
    match expression {
        E::Name(name) => translate_name(name, columns),
        E::Integer(digits) => {
            let number: i64 = digits.parse().ok()?;
            Some(Translation { literal: true, ..Translation::new(number.to_string(), ExpressionClass::Integer) })
        }
        E::Real(digits) => real(digits),
        E::Text(text) if text.contains('\0') => None,
        E::Text(text) => {
            Some(Translation { longest: text.len(), ..Translation::new(literal(text), ExpressionClass::Text) })
        }
        E::Negative(inner) if matches!(**inner, E::Integer(_) | E::Real(_)) => {
            let inner = translate(inner, columns)?;
            Some(Translation { sql: format!("-{}", inner.sql), ..inner })
        }
        E::Not(inner) => match &**inner {
            E::Binary("IS", a, b) => translate_is(a, b, "NOT ", columns),
            E::In(value, list) => within(value, list, "NOT ", columns),
            E::Between(value, ends) => between(value, ends, "NOT ", columns),
            _ => {
                let inner = logical(inner, columns)?;
                Some(compound(format!("NOT {}", inner.wrapped()), ExpressionClass::Logical).with_parts([inner]))
            }
        },
        E::Binary("AND", a, b) => translate_binary("AND", a, b, columns),
        E::Binary("OR", a, b) => translate_binary("OR", a, b, columns),
        E::Binary("IS", a, b) => translate_is(a, b, "", columns),
        E::Binary("||", a, b) => {
            let (a, b) = (text(a, columns)?, text(b, columns)?);
            Some(compound(format!("{} || {}", a.wrapped(), b.wrapped()), ExpressionClass::Text).with_parts([a, b]))
        }
        E::Binary(operator @ ("+" | "-" | "*" | "/" | "%"), a, b) => arithmetic(operator, a, b, columns),
        E::Binary(operator, a, b) => {
            let (a, b) = comparable(a, b, columns)?;
            compare(&a, operator, &b)
        }
        E::In(value, list) => within(value, list, "", columns),
        E::Between(value, ends) => between(value, ends, "", columns),
        E::Call(name, arguments) => translate_call(name, arguments, columns),
        E::True | E::False | E::Null | E::Blob(_) | E::Current(_) | E::Negative(_) => None,
    }
}

fn translate_call(name: &str, arguments: &[Expression], columns: &[ColumnInfo<'_>]) -> Option<Translation> {
    let arguments = arguments.iter().map(|one| translate(one, columns)).collect::<Option<_>>()?;
    functions::call(name, arguments)
}

/// Translates `value IN (list)`.
fn within(value: &Expression, list: &[Expression], not: &str, columns: &[ColumnInfo<'_>]) -> Option<Translation> {
    let pairs = list.iter().map(|one| comparable(value, one, columns)).collect::<Option<_>>()?;
    membership::within(pairs, not)
}

/// Translates `value BETWEEN low AND high`.
fn between(
    value: &Expression,
    [low, high]: &[Expression; 2],
    not: &str,
    columns: &[ColumnInfo<'_>],
) -> Option<Translation> {
    let (_, high) = comparable(value, high, columns)?;
    let (value, low) = comparable(value, low, columns)?;
    membership::between(value, low, high, not)
}

/// Returns a string literal of PostgreSQL that has the same value whether `standard_conforming_strings` is on or off.
pub(super) fn literal(text: &str) -> String {
    let quoted = format!("'{}'", text.replace('\'', "''"));
    if text.contains('\\') { format!("E{}", quoted.replace('\\', "\\\\")) } else { quoted }
}

fn translate_name(name: &str, columns: &[ColumnInfo<'_>]) -> Option<Translation> {
    let Some(column) = columns.iter().find(|column| column.name.eq_ignore_ascii_case(name)) else {
        // SQLite takes a name in double quotes for a string when no column has it, and refuses one without quotes.
        return None;
    };
    let class = match column.ty {
        _ if column.has_cast_rules => ExpressionClass::Other,
        WritableType::Boolean => ExpressionClass::Logical,
        WritableType::SmallInt | WritableType::Integer | WritableType::BigInt => ExpressionClass::Integer,
        WritableType::Numeric(_) => ExpressionClass::Decimal,
        WritableType::Double => ExpressionClass::Float,
        WritableType::Text | WritableType::Varchar(_) => ExpressionClass::Text,
        WritableType::Bytea => ExpressionClass::Bytes,
        WritableType::Date => ExpressionClass::Date,
        _ => ExpressionClass::Other,
    };
    Some(Translation {
        binary: column.is_binary,
        longest: column.longest,
        ..Translation::new(quoted(column.name), class)
    })
}

/// Translates a real number, if it is so short that a decimal and the nearest double compare alike.
fn real(digits: &str) -> Option<Translation> {
    let is_short = digits.bytes().filter(u8::is_ascii_digit).count() <= 15 && !digits.contains(['e', 'E']);
    is_short.then(|| Translation { literal: true, ..Translation::new(digits.to_owned(), ExpressionClass::Decimal) })
}

/// Translates a condition. An integer is true when it is not 0.
pub(super) fn logical(expression: &Expression, columns: &[ColumnInfo<'_>]) -> Option<Translation> {
    let translation = translate(expression, columns)?;
    match translation.class {
        ExpressionClass::Logical => Some(translation),
        ExpressionClass::Integer if !translation.literal => Some(
            compound(format!("{} <> 0", translation.wrapped()), ExpressionClass::Logical).with_parts([translation]),
        ),
        _ => None,
    }
}

/// Translates an expression whose value is a text.
fn text(expression: &Expression, columns: &[ColumnInfo<'_>]) -> Option<Translation> {
    translate(expression, columns).filter(|translation| translation.class == ExpressionClass::Text)
}

fn translate_binary(operator: &str, a: &Expression, b: &Expression, columns: &[ColumnInfo<'_>]) -> Option<Translation> {
    let is_same_operator = |inner: &Expression| matches!(inner, E::Binary(other, ..) if *other == operator);
    let operand_sql = |inner: &Expression, translation: &Translation| {
        // AND binds tighter than OR, and comparisons bind tighter than both.
        let needs_parentheses = matches!(inner, E::Binary("OR" | "AND", ..)) && !is_same_operator(inner);
        if needs_parentheses { translation.wrapped() } else { translation.sql.clone() }
    };
    let (left, right) = (logical(a, columns)?, logical(b, columns)?);
    let sql = format!("{} {operator} {}", operand_sql(a, &left), operand_sql(b, &right));
    Some(compound(sql, ExpressionClass::Logical).with_parts([left, right]))
}

/// Translates arithmetic, but only on integers of 64 bits, as SQLite computes it. Dividing by 0 gives NULL in SQLite.
fn arithmetic(operator: &str, a: &Expression, b: &Expression, columns: &[ColumnInfo<'_>]) -> Option<Translation> {
    let (left, right) = (translate(a, columns)?, translate(b, columns)?);
    let is_zero = right.sql.trim_start_matches('-') == "0";
    let is_division = matches!(operator, "/" | "%");
    let are_integers = left.class == ExpressionClass::Integer && right.class == ExpressionClass::Integer;
    if !are_integers || (left.literal && right.literal) || (is_division && (!right.literal || is_zero)) {
        return None;
    }
    let as_bigint =
        |translation: &Translation| match columns.iter().find(|column| quoted(column.name) == translation.sql) {
            Some(column) if *column.ty != WritableType::BigInt => format!("CAST({} AS bigint)", translation.sql),
            _ => translation.wrapped(),
        };
    let sql = format!("{} {operator} {}", as_bigint(&left), as_bigint(&right));
    let mut translation = compound(sql.clone(), ExpressionClass::Integer).with_parts([left, right]);
    translation.guards.push(sql);
    Some(translation)
}

/// Translates two values, if both databases compare them alike.
fn comparable(a: &Expression, b: &Expression, columns: &[ColumnInfo<'_>]) -> Option<(Translation, Translation)> {
    let boolean_word = |expression: &Expression| match expression {
        E::Integer(digits) if digits == "0" => Some("false"),
        E::Integer(digits) if digits == "1" => Some("true"),
        E::True => Some("true"),
        E::False => Some("false"),
        _ => None,
    };
    let is_boolean = |translation: &Translation| translation.class == ExpressionClass::Logical && translation.atom;
    let boolean = |word: &str| Translation::new(word.to_owned(), ExpressionClass::Logical);
    match (boolean_word(a), boolean_word(b)) {
        (None, Some(word)) => {
            if let Some(translation) = translate(a, columns).filter(is_boolean) {
                return Some((translation, boolean(word)));
            }
        }
        (Some(word), None) => {
            if let Some(translation) = translate(b, columns).filter(is_boolean) {
                return Some((boolean(word), translation));
            }
        }
        _ => {}
    }
    let translate_or_quote = |expression: &Expression| match expression {
        E::Name(name) if columns.iter().all(|column| !column.name.eq_ignore_ascii_case(name)) => {
            Some(Translation::new(literal(name), ExpressionClass::Text))
        }
        other => translate(other, columns),
    };
    Some((translate_or_quote(a)?, translate_or_quote(b)?))
}

fn translate_is(a: &Expression, b: &Expression, not: &str, columns: &[ColumnInfo<'_>]) -> Option<Translation> {
    if *b == E::Null {
        let translation = translate(a, columns)?;
        return Some(
            compound(format!("{} IS {not}NULL", translation.wrapped()), ExpressionClass::Logical)
                .with_parts([translation]),
        );
    }
    let (a, b) = comparable(a, b, columns)?;
    let operator = if not.is_empty() { "IS NOT DISTINCT FROM" } else { "IS DISTINCT FROM" };
    compare(&a, operator, &b)
}

#[cfg(test)]
mod tests {
    use super::super::expression::parse;
    use super::*;

    #[track_caller]
    fn expect(text: &str, expected: Option<&str>) {
        let seen = |name, ty| ColumnInfo { name, ty, is_binary: true, has_cast_rules: false, longest: 0 };
        let (numeric, varchar) = (WritableType::Numeric(Some((10, 2))), WritableType::Varchar(Some(20)));
        let columns = [
            seen("flag", &WritableType::Boolean),
            seen("n", &WritableType::BigInt),
            seen("small", &WritableType::SmallInt),
            seen("price", &numeric),
            seen("ratio", &WritableType::Double),
            seen("name", &WritableType::Text),
            seen("Short Name", &varchar),
            ColumnInfo { is_binary: false, ..seen("folded", &WritableType::Text) },
            seen("born", &WritableType::Date),
            seen("died", &WritableType::Date),
            seen("at", &WritableType::TimestampTz(6)),
            seen("raw", &WritableType::Bytea),
            ColumnInfo { has_cast_rules: true, ..seen("ruled", &WritableType::BigInt) },
        ];
        let translation = parse(text).and_then(|it| logical(&it, &columns));
        assert_eq!(translation.as_ref().map(|translation| translation.sql.as_str()), expected, "{text}");
    }

    #[test]
    fn what_means_the_same_is_said() {
        for (text, expected) in [
            ("flag IN (0,1)", "flag IN (false, true)"),
            ("flag = TRUE or 0 != flag", "flag = true OR false <> flag"),
            ("N between 1 and 9", "n BETWEEN 1 AND 9"),
            ("n NOT BETWEEN -1 AND +1", "n NOT BETWEEN -1 AND 1"),
            ("n == 1 OR n > 5 AND NOT n <> 7", "n = 1 OR (n > 5 AND NOT (n <> 7))"),
            ("(n = 1 OR n = 2) AND n", "(n = 1 OR n = 2) AND n <> 0"),
            ("n + small * 2 > 0", "(n + (CAST(small AS bigint) * 2)) > 0"),
            ("n % 2 = 0 AND n / 3 < n", "(n % 2) = 0 AND (n / 3) < n"),
            ("price >= 0.5 and ratio < 1", "price >= 0.5 AND ratio < 1"),
            ("name IN ('a', \"b\")", "name IN ('a', 'b')"),
            ("name <> '' AND \"Short Name\" >= 'it''s'", "name <> '' AND \"Short Name\" COLLATE \"C\" >= 'it''s'"),
            ("name BETWEEN 'a' AND 'c'", "name COLLATE \"C\" BETWEEN 'a' AND 'c'"),
            ("length(name) > 1 AND length(raw) = 16", "length(name) > 1 AND length(raw) = 16"),
            ("lower(name) = name || 'x'", "lower(name COLLATE \"C\") = (name || 'x')"),
            ("ifnull(n, 0) IS NOT NULL", "coalesce(n, 0) IS NOT NULL"),
            ("n IS 5 OR name NOTNULL OR at ISNULL", "n IS NOT DISTINCT FROM 5 OR name IS NOT NULL OR at IS NULL"),
            ("trim(name) != ''", "btrim(name) <> ''"),
            ("born <= died", "born <= died"),
        ] {
            expect(text, Some(expected));
        }
    }

    #[test]
    fn what_might_mean_something_else_is_not_said() {
        for text in [
            "name LIKE 'a%'",
            "name GLOB '[a-z]*'",
            "n = '5'",
            "name = 5",
            "name > n",
            "folded = 'a'",
            "folded IN ('a')",
            "flag > 0",
            "flag + 1 = 2",
            "flag IN (0, 2)",
            "n / small > 0",
            "n / 0 > 0",
            "price * 2 > 1",
            "price = 0.12345678901234567",
            "ratio = n",
            "at > '2024-01-01'",
            "born > '2024-01-01'",
            "ruled > 0",
            "typeof(n) = 'integer'",
            "json_valid(name)",
            "n & 1 = 1",
            "CASE WHEN n THEN 1 END",
            "n IN (SELECT 1)",
            "n > 9223372036854775808",
            "name COLLATE NOCASE = 'a'",
            "name",
            "1",
            "gone > 1",
            "n >",
            "raw > x'00'",
            "length(n) = 1",
            "n = 0x10",
        ] {
            expect(text, None);
        }
    }
}
