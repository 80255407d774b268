//! The canonical form of rows: equal values give equal bytes on both sides of a comparison, whichever program wrote
//! them.
//!
//! The fields of most types are canonical as they are. Three types need a conversion: json keeps the text as it was
//! written, and numbers in jsonb and numeric keep the number of digits that were written after the decimal point.

use crate::transfer::cast::{JsonbWriter, NumberStyle, WritableType};

/// Converts the rows of one table to their canonical form.
pub struct CanonicalForm {
    types: Vec<WritableType>,
    /// True if at least one column has a type whose fields are converted.
    needs_conversion: bool,
    writer: JsonbWriter,
    row: Vec<u8>,
}

impl CanonicalForm {
    /// Creates a converter for rows whose columns have these types.
    pub fn new(types: Vec<WritableType>) -> Self {
        let needs_conversion = types.iter().any(WritableType::has_normal_form);
        Self { types, needs_conversion, writer: JsonbWriter::default(), row: Vec::new() }
    }

    /// Returns the canonical bytes of a row, which are to be hashed. `row` contains the fields of a row of binary COPY,
    /// each after its length of four bytes, without the number of fields. Returns `None` when `row` does not consist of
    /// the fields of these columns.
    pub fn row<'a>(&'a mut self, row: &'a [u8]) -> Option<&'a [u8]> {
        if !self.needs_conversion {
            return Some(row);
        }
        self.row.clear();
        let mut remaining = row;
        for ty in &self.types {
            let length;
            (length, remaining) = remaining.split_first_chunk()?;
            self.row.extend_from_slice(length);
            // The length of NULL is -1.
            let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else { continue };
            let field;
            (field, remaining) = remaining.split_at_checked(length)?;
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
        remaining.is_empty().then_some(&self.row)
    }
}

/// Appends a JSON text in the form of jsonb. A text that jsonb does not accept, which a json column may contain, is
/// appended unchanged after a `?`.
fn json(writer: &mut JsonbWriter, text: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    if writer.append(text, NumberStyle::Worth, out).is_err() {
        out.truncate(start);
        out.push(b'?');
        out.extend_from_slice(text);
    }
}

/// Appends a numeric without its scale and without groups of zeros at either end. A field that is no numeric is
/// appended unchanged.
fn numeric(field: &[u8], out: &mut Vec<u8>) {
    const HEADER_BYTES: usize = 8;
    let (header, groups) = field.split_at(field.len().min(HEADER_BYTES));
    let [_, _, weight_high, weight_low, sign_high, sign_low, _, _] = *header else {
        out.extend_from_slice(field);
        return;
    };
    let is_zero = |group: &&[u8]| group.iter().all(|byte| *byte == 0);
    let leading = groups.chunks(2).take_while(is_zero).count();
    let trailing = groups.chunks(2).skip(leading).rev().take_while(is_zero).count();
    let groups = &groups[2 * leading..groups.len() - 2 * trailing];
    // The weight of zero is 0.
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

    /// Returns the canonical form of a row with one column.
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
            // A column with a scale gives every value that scale.
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
        // The server never sends groups of zeros at the ends.
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

    /// A json column may contain a text that jsonb refuses: such a text is compared byte by byte.
    #[test]
    fn json_that_cannot_be_read_stays_as_it_is() {
        let mut canonical = CanonicalForm::new(vec![WritableType::Json]);
        let row = |text: &str| [&(text.len() as u32).to_be_bytes()[..], text.as_bytes()].concat();
        let half = canonical.row(&row(r#"{"a": "\ud800"}"#)).expect("a row").to_vec();
        assert_ne!(canonical.row(&row(r#"{"a":"\ud800"}"#)), Some(&half[..]));
        assert_eq!(canonical.row(&row(r#"{"a": "\ud800"}"#)), Some(&half[..]));
    }
}
