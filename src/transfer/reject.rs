//! A row that is not transferred, as a line of JSON from which it can be had back exactly.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::value::Value;

/// What stands against a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    pub column: String,
    pub reason: String,
    pub hint: Option<String>,
}

/// The line of a row: its table, its name in messages, what stands against it, and all its values.
///
/// Whole numbers and reals are JSON numbers with all their digits (a real always has a point or an exponent), text that
/// is UTF-8 is a string, and what JSON has no word for is an object with one key that begins with a dollar.
pub fn line<'a>(
    table: &str,
    key: &str,
    wrong: &[Wrong],
    row: impl Iterator<Item = (&'a str, Value<'a>)>,
) -> String {
    let mut line = String::from("{\"table\":");
    text(table, &mut line);
    line.push_str(",\"key\":");
    text(key, &mut line);
    line.push_str(",\"bad\":[");
    for (at, Wrong { column, reason, hint }) in wrong.iter().enumerate() {
        line.push_str(if at == 0 { "{\"column\":" } else { ",{\"column\":" });
        text(column, &mut line);
        line.push_str(",\"reason\":");
        text(reason, &mut line);
        if let Some(hint) = hint {
            line.push_str(",\"hint\":");
            text(hint, &mut line);
        }
        line.push('}');
    }
    line.push_str("],\"row\":{");
    for (at, (name, content)) in row.enumerate() {
        if at > 0 {
            line.push(',');
        }
        text(name, &mut line);
        line.push(':');
        value(content, &mut line);
    }
    line.push_str("}}\n");
    line
}

fn text(text: &str, line: &mut String) {
    line.push_str(&serde_json::to_string(text).expect("a text is JSON"));
}

fn value(content: Value<'_>, line: &mut String) {
    // Writing to a String cannot fail.
    let _ = match content {
        Value::Null => line.write_str("null"),
        Value::Integer(number) => write!(line, "{number}"),
        // The shortest digits that read back as the same number. SQLite stores no NaN.
        Value::Real(number) if number.is_finite() => write!(line, "{number:?}"),
        Value::Real(number) => {
            write!(line, "{{\"$real\":\"{}\"}}", if number > 0.0 { "Infinity" } else { "-Infinity" })
        }
        Value::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(known) => {
                text(known, line);
                Ok(())
            }
            Err(_) => write!(line, "{{\"$text-base64\":\"{}\"}}", STANDARD.encode(bytes)),
        },
        Value::Blob(bytes) => write!(line, "{{\"$base64\":\"{}\"}}", STANDARD.encode(bytes)),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_written_with_all_that_it_holds() {
        let wrong =
            Wrong { column: "n".into(), reason: "is \"text\"".into(), hint: Some("--cast t.n=x".into()) };
        let plain = Wrong { column: "m".into(), reason: "is out of range".into(), hint: None };
        let row = [
            ("id", Value::Integer(i64::MIN)),
            ("a \"b\"", Value::Text(b"it's\n\0")),
            ("r", Value::Real(1e300)),
            ("whole", Value::Real(-0.0)),
            ("least", Value::Real(5e-324)),
            ("no", Value::Null),
            ("inf", Value::Real(f64::NEG_INFINITY)),
            ("blob", Value::Blob(b"\x00\xff")),
            ("odd", Value::Text(b"a\xff")),
        ];
        let line = line("t", "rowid 1", &[wrong, plain], row.into_iter());
        assert_eq!(
            line,
            concat!(
                r#"{"table":"t","key":"rowid 1","bad":[{"column":"n","reason":"is \"text\"","hint":"--cast t.n=x"},"#,
                r#"{"column":"m","reason":"is out of range"}],"row":{"id":-9223372036854775808,"#,
                r#""a \"b\"":"it's\n\u0000","r":1e300,"whole":-0.0,"least":5e-324,"no":null,"#,
                r#""inf":{"$real":"-Infinity"},"blob":{"$base64":"AP8="},"odd":{"$text-base64":"Yf8="}}}"#,
                "\n"
            )
        );
        assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok());
    }
}
