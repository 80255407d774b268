//! The line of JSON for a row that is not transferred. The row can be restored exactly from this line.

use std::io::{self, Write};

use super::json_export::{write_text, write_value};
use super::value::Value;

/// A value that prevents the transfer of its row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RejectedValue {
    /// The name of the column in the source.
    pub(crate) column: String,
    /// The reason why the value does not fit, as a predicate for a message that begins with the value.
    pub(crate) reason: String,
    /// The advice for the user, if there is any.
    pub(crate) hint: Option<String>,
    /// The rule that would accept the value, as the option `--cast` expects it: `table.column=rule`.
    pub(crate) cast: Option<String>,
}

/// Writes the line of a row: the name of its table, the key that identifies the row in messages, the rejected values,
/// and all values of the row. A value may have 1 GiB, therefore no value is copied in memory.
///
/// Values are written in the format of an export.
///
/// # Errors
/// Fails when the writer fails.
pub(crate) fn write_line<'a>(
    out: &mut dyn Write,
    table: &str,
    key: &str,
    rejected: &[RejectedValue],
    row: &mut dyn Iterator<Item = (&'a str, Value<'a>)>,
) -> io::Result<()> {
    text(out, "{\"table\":", table)?;
    text(out, ",\"key\":", key)?;
    out.write_all(b",\"bad\":[")?;
    for (at, RejectedValue { column, reason, hint, .. }) in rejected.iter().enumerate() {
        text(out, if at == 0 { "{\"column\":" } else { ",{\"column\":" }, column)?;
        text(out, ",\"reason\":", reason)?;
        if let Some(hint) = hint {
            text(out, ",\"hint\":", hint)?;
        }
        out.write_all(b"}")?;
    }
    out.write_all(b"],\"row\":{")?;
    for (at, (name, value)) in row.enumerate() {
        text(out, if at == 0 { "" } else { "," }, name)?;
        out.write_all(b":")?;
        write_value(value, out)?;
    }
    out.write_all(b"}}\n")
}

/// Writes `before`, and then a text as a JSON string in double quotes.
fn text(out: &mut dyn Write, prefix: &str, text: &str) -> io::Result<()> {
    out.write_all(prefix.as_bytes())?;
    write_text(text, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_written_with_all_that_it_holds() {
        let rejected = RejectedValue {
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
        write_line(&mut line, "t", "rowid 1", &[rejected, plain], &mut row.into_iter()).expect("memory");
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
