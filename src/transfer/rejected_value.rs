//! A row that is not transferred, as a line of JSON from which it can be had back exactly.

use std::io::{self, Write};

use super::json_export::{write_text, write_value};
use super::value::Value;

/// What stands against a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedValue {
    pub column: String,
    pub reason: String,
    pub hint: Option<String>,
    /// The rule that would take the value, as `--cast` takes it.
    pub cast: Option<String>,
}

/// Writes the line of a row: its table, its name in messages, what stands against it, and all its values. A value may
/// have a GiB: none is held twice.
///
/// Values are written as an export writes them.
///
/// # Errors
/// The writer's.
pub fn write_line<'a>(
    out: &mut dyn Write,
    table: &str,
    key: &str,
    wrong: &[RejectedValue],
    row: &mut dyn Iterator<Item = (&'a str, Value<'a>)>,
) -> io::Result<()> {
    text(out, "{\"table\":", table)?;
    text(out, ",\"key\":", key)?;
    out.write_all(b",\"bad\":[")?;
    for (at, RejectedValue { column, reason, hint, .. }) in wrong.iter().enumerate() {
        text(out, if at == 0 { "{\"column\":" } else { ",{\"column\":" }, column)?;
        text(out, ",\"reason\":", reason)?;
        if let Some(hint) = hint {
            text(out, ",\"hint\":", hint)?;
        }
        out.write_all(b"}")?;
    }
    out.write_all(b"],\"row\":{")?;
    for (at, (name, content)) in row.enumerate() {
        text(out, if at == 0 { "" } else { "," }, name)?;
        out.write_all(b":")?;
        write_value(content, out)?;
    }
    out.write_all(b"}}\n")
}

/// A text in quotes, behind what comes before it.
fn text(out: &mut dyn Write, before: &str, text: &str) -> io::Result<()> {
    out.write_all(before.as_bytes())?;
    write_text(text, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_written_with_all_that_it_holds() {
        let wrong = RejectedValue {
            column: "n".into(),
            reason: "is \"text\"".into(),
            hint: Some("--cast t.n=x".into()),
            cast: None,
        };
        let plain = RejectedValue { column: "m".into(), reason: "is out of range".into(), hint: None, cast: None };
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
        let mut line = Vec::new();
        write_line(&mut line, "t", "rowid 1", &[wrong, plain], &mut row.into_iter()).expect("memory");
        let line = String::from_utf8(line).expect("UTF-8");
        assert_eq!(
            line,
            concat!(
                r#"{"table":"t","key":"rowid 1","bad":[{"column":"n","reason":"is \"text\"","hint":"--cast t.n=x"},"#,
                r#"{"column":"m","reason":"is out of range"}],"row":{"id":-9223372036854775808,"#,
                r#""a \"b\"":"it's\n\u0000","r":1e300,"whole":-0.0,"least":5e-324,"no":null,"#,
                r#""inf":{"$number": "-Infinity"},"blob":{"$base64": "AP8="},"odd":{"$text-base64": "Yf8="}}}"#,
                "\n"
            )
        );
        assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok());
    }
}
