//! One form for each value, so that equal values give equal bytes on both sides, whoever has written them.
//!
//! Most types have it already. Some have not: json keeps how it was written, and numbers of jsonb and numeric keep how many
//! digits were written behind the point.

use crate::transfer::cast::{JsonbWriter, NumberStyle, WritableType};

/// Brings the rows of one table to their normal form.
pub struct CanonicalForm {
    types: Vec<WritableType>,
    /// Is there a column whose fields change?
    changes: bool,
    writer: JsonbWriter,
    row: Vec<u8>,
}

impl CanonicalForm {
    /// For rows with columns of these types.
    pub fn new(types: Vec<WritableType>) -> Self {
        let changes = types.iter().any(WritableType::has_normal_form);
        Self { types, changes, writer: JsonbWriter::default(), row: Vec::new() }
    }

    /// The bytes to be hashed of a row of binary COPY: its fields, each behind its length, without their number.
    /// Nothing when these are not the fields of such a row.
    pub fn row<'a>(&'a mut self, row: &'a [u8]) -> Option<&'a [u8]> {
        if !self.changes {
            return Some(row);
        }
        self.row.clear();
        let mut rest = row;
        for ty in &self.types {
            let length;
            (length, rest) = rest.split_first_chunk()?;
            self.row.extend_from_slice(length);
            // NULL is -1.
            let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else { continue };
            let field;
            (field, rest) = rest.split_at_checked(length)?;
            let start = self.row.len();
            match ty {
                WritableType::Numeric(_) => numeric(field, &mut self.row),
                WritableType::Json => json(&mut self.writer, field, &mut self.row),
                WritableType::Jsonb => json(&mut self.writer, field.get(1..).unwrap_or_default(), &mut self.row),
                _ => {
                    self.row.extend_from_slice(field);
                    continue;
                }
            }
            let length = u32::try_from(self.row.len() - start).ok()?;
            self.row[start - 4..start].copy_from_slice(&length.to_be_bytes());
        }
        rest.is_empty().then_some(&self.row)
    }
}

/// JSON as jsonb would have it. What is none that jsonb takes (a json column may hold it) stays as it is.
fn json(writer: &mut JsonbWriter, text: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    if writer.append(text, NumberStyle::Worth, out).is_err() {
        out.truncate(start);
        out.push(b'?');
        out.extend_from_slice(text);
    }
}

/// A numeric without its scale and without groups of zeros at either end; what is not one stays as it is.
fn numeric(field: &[u8], out: &mut Vec<u8>) {
    const HEADER: usize = 8;
    let (head, groups) = field.split_at(field.len().min(HEADER));
    let [_, _, weight_high, weight_low, sign_high, sign_low, _, _] = *head else {
        out.extend_from_slice(field);
        return;
    };
    let is_zero = |group: &&[u8]| group.iter().all(|byte| *byte == 0);
    let leading = groups.chunks(2).take_while(is_zero).count();
    let trailing = groups.chunks(2).skip(leading).rev().take_while(is_zero).count();
    let groups = &groups[2 * leading..groups.len() - 2 * trailing];
    // Zero has no weight.
    let weight = match groups.is_empty() {
        true => 0,
        false => i16::from_be_bytes([weight_high, weight_low]).wrapping_sub(leading as i16),
    };
    out.extend_from_slice(&[sign_high, sign_low]);
    out.extend_from_slice(&weight.to_be_bytes());
    out.extend_from_slice(groups);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::cast::{Cast, Zone};
    use crate::transfer::value::Value;

    /// The normal form of a row with one column.
    fn normal(ty: WritableType, text: &str) -> Vec<u8> {
        let mut row = Vec::new();
        let cast = Cast::new(ty.clone(), Zone::UTC);
        cast.encode(Value::Text(text.as_bytes()), &mut row).unwrap_or_else(|bad| panic!("{text}: {bad:?}"));
        CanonicalForm::new(vec![ty]).row(&row).expect("a row").to_vec()
    }

    #[test]
    fn json_is_compared_by_value() {
        for equal in [
            &["{}", " { } "][..],
            &["[]", "[ ]\n"],
            &[r#"{"a":1,"bb":2,"c":3}"#, r#"{"bb": 2, "c": 3, "a": 1}"#, r#"{"c":0,"bb":2,"a":1,"c":3}"#],
            &[r#"[{"x":{"b":1,"a":[2,{"z":1,"y":2}]}},3]"#, r#"[{"x":{"a":[2,{"y":2,"z":1}],"b":1}},3]"#],
            &[r#"{"o":{"q":1,"p":2},"o":{"r":1,"p":2}}"#, r#"{"o":{"p":2,"r":1}}"#],
            &["1", "1.0", "10e-1", "0.1E1", "1.000"],
            &["0", "-0", "0.00", "0e7", "-0.0e-3"],
            &["1e400", &format!("1{}", "0".repeat(400))],
            &["12345678901234567890123", "12345678901234567890123.0"],
            &["-1e-7", "-0.0000001"],
            &[r#""é/\n\"""#, r#""\u00e9\/\u000a\u0022""#],
            &[r#""🚀""#, r#""\ud83d\ude80""#, r#""\uD83D\uDE80""#],
            &[r#"{"é":1}"#, r#"{"\u00e9":1}"#],
        ] {
            for ty in [WritableType::Json, WritableType::Jsonb] {
                for other in &equal[1..] {
                    assert_eq!(normal(ty.clone(), equal[0]), normal(ty.clone(), other), "{} {other}", equal[0]);
                }
            }
        }
    }

    #[test]
    fn json_of_different_values_stays_different() {
        let texts = [
            "null",
            "true",
            "false",
            "0",
            "1",
            "-1",
            "10",
            "0.1",
            "12",
            "21",
            "\"1\"",
            "\"\"",
            "\"null\"",
            "[]",
            "{}",
            "[null]",
            "[[]]",
            "[[],[]]",
            "[1,2]",
            "[2,1]",
            "[12]",
            "[[1],2]",
            "[[1,2]]",
            r#"{"a":1}"#,
            r#"{"a":2}"#,
            r#"{"b":1}"#,
            r#"{"a":{"b":1}}"#,
            r#"{"a":{},"b":1}"#,
            r#"{"a":[{"b":1}]}"#,
            r#"["a",1]"#,
            r#"["a","b"]"#,
            r#"["ab"]"#,
            r#"{"a":1,"b":2}"#,
            r#"{"a":2,"b":1}"#,
            r#"{"A":1}"#,
            r#""A""#,
            r#""a""#,
            r#""a ""#,
            "1e400",
            "1e401",
            "12345678901234567890123",
            "12345678901234567890124",
            "1.00000000000000000001",
        ];
        let mut forms: Vec<Vec<u8>> = texts.iter().map(|text| normal(WritableType::Jsonb, text)).collect();
        forms.sort_unstable();
        forms.dedup();
        assert_eq!(forms.len(), texts.len());
    }

    #[test]
    fn numerics_are_compared_without_their_scale() {
        let plain = WritableType::Numeric(None);
        for equal in
            [&["1", "1.0", "001.000000"][..], &["0", "-0", "0.00"], &["1200", "1200.0"], &["-0.001", "-0.00100"]]
        {
            for other in &equal[1..] {
                assert_eq!(normal(plain.clone(), equal[0]), normal(plain.clone(), other), "{other}");
            }
            // A column with a scale gives every value the same.
            let wide = WritableType::Numeric(Some((30, 9)));
            assert_eq!(normal(plain.clone(), equal[0]), normal(wide, equal[0]));
        }
        let mut forms: Vec<Vec<u8>> =
            ["0", "1", "-1", "10", "10000", "0.1", "0.0001", "0.00000001", "1.0001", "10001", "100000001"]
                .iter()
                .map(|text| normal(plain.clone(), text))
                .collect();
        forms.sort_unstable();
        forms.dedup();
        assert_eq!(forms.len(), 11);
        // Groups of zeros at the ends, which the server never sends.
        let mut canonical = CanonicalForm::new(vec![plain.clone()]);
        let padded = [0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 5, 0, 0, 0, 7, 0, 0];
        assert_eq!(canonical.row(&padded), Some(&normal(plain, "7")[..]));
    }

    #[test]
    fn other_types_stay_as_they_are_and_null_stays_null() {
        let row = [0, 0, 0, 1, 7, 255, 255, 255, 255, 0, 0, 0, 3, 1, b'1', b'0'];
        let mut canonical = CanonicalForm::new(vec![WritableType::Boolean, WritableType::Text, WritableType::Jsonb]);
        let normal = canonical.row(&row).expect("a row").to_vec();
        assert_eq!(normal[..9], row[..9]);
        let nulls = [255; 12];
        assert_eq!(canonical.row(&nulls), Some(&nulls[..]));
        assert_eq!(CanonicalForm::new(vec![WritableType::Boolean]).row(&row), Some(&row[..]));
    }

    #[test]
    fn what_is_no_row_has_no_form() {
        let mut canonical = CanonicalForm::new(vec![WritableType::Jsonb, WritableType::Text]);
        for row in [&[][..], &[0, 0, 0], &[0, 0, 0, 9, 1], &[255; 4], &[255; 9], &[0, 0, 0, 2, 1, b'1', 0, 0, 0, 1]] {
            assert_eq!(canonical.row(row), None, "{row:?}");
        }
    }

    /// A json column may hold what jsonb refuses: it is compared byte by byte.
    #[test]
    fn json_that_cannot_be_read_stays_as_it_is() {
        let mut canonical = CanonicalForm::new(vec![WritableType::Json]);
        let row = |text: &str| [&(text.len() as u32).to_be_bytes()[..], text.as_bytes()].concat();
        let half = canonical.row(&row(r#"{"a": "\ud800"}"#)).expect("a row").to_vec();
        assert_ne!(canonical.row(&row(r#"{"a":"\ud800"}"#)), Some(&half[..]));
        assert_eq!(canonical.row(&row(r#"{"a": "\ud800"}"#)), Some(&half[..]));
    }
}
