//! Casts: the conversion of a value of SQLite to the binary field that PostgreSQL itself would send for the value.
//!
//! A cast guesses nothing and loses nothing silently: a value that does not fit exactly is an error, until the user
//! states its meaning with a `CastRule`. One file, `table.rs`, contains the table of all conversions.

mod array;
mod enumerated;
mod epoch;
mod error;
mod float;
mod integer;
mod json;
mod jsonb;
mod network;
mod nonfinite;
mod numeric;
mod rule;
mod table;
mod text;
mod time;
mod types;
mod zone;

use crate::transfer::value::Value;
pub(crate) use error::CastError;
pub use jsonb::{JsonbWriter, NumberStyle};
pub(crate) use rule::CastRule;
use rule::ColumnRules;
pub use types::{TypeFacts, WritableType};
pub use zone::Zone;

/// The conversion of the values of one column.
#[derive(Clone, Debug, PartialEq)]
pub struct Cast {
    ty: WritableType,
    rules: ColumnRules,
    zone: Zone,
}

/// The properties of the target column on which a conversion depends.
#[derive(Clone, Copy)]
struct CastTarget<'a> {
    ty: &'a WritableType,
    rules: ColumnRules,
    zone: Zone,
}

/// The result of a conversion: the bytes of a field were appended, or nothing was appended because the value is NULL.
enum CastOutput {
    Field,
    Null,
}

/// The maximum length of a value in the server, in bytes: `MaxAllocSize`, which is 1 GiB less one byte, less the header
/// of four bytes.
const MAX_FIELD_BYTES: usize = 0x3fff_ffff - 4;

impl Cast {
    /// Creates the cast of a column without rules. `zone` is the time zone of times that contain none.
    pub fn new(ty: WritableType, zone: Zone) -> Self {
        Self { ty, rules: ColumnRules::default(), zone }
    }

    /// Adds the rule of that name.
    ///
    /// # Errors
    /// Fails when the rule is not for this type, or contradicts a rule of the column. The error is a message for the
    /// user.
    pub fn with(mut self, name: &str) -> Result<Self, String> {
        let rule = CastRule::parse(name, &self.ty)?;
        if let Some(other) = self.rules.iter().find(|other| other.contradicts(rule)) {
            return Err(format!("{name:?} contradicts {other:?}", other = other.to_string()));
        }
        self.rules = self.rules.with(rule);
        Ok(self)
    }

    /// Accepts the words that PostgreSQL writes for numbers and times that are not finite, if the type has such values.
    #[must_use]
    pub(crate) fn taking_words(mut self) -> Self {
        if CastRule::NonFinite.is_for(&self.ty) {
            self.rules = self.rules.with(CastRule::NonFinite);
        }
        self
    }

    /// Returns the type of the target column.
    pub fn ty(&self) -> &WritableType {
        &self.ty
    }

    /// Describes the conversion for the plan: the values that the type accepts without rules, and the meaning of each
    /// rule.
    pub(crate) fn describe(&self) -> String {
        let description = table::describe_accepted(&self.ty, self.zone);
        let rules = self.rules.iter().map(|rule| format!("; {rule}: {}", rule.meaning()));
        std::iter::once(description).chain(rules).collect()
    }

    /// Appends the field in the format of binary COPY: the length in four bytes and the value, or the length -1 for
    /// NULL. Nothing is appended when the value does not fit.
    ///
    /// # Errors
    /// Fails when the value does not fit; the error contains the reason.
    pub fn encode(&self, value: Value<'_>, out: &mut Vec<u8>) -> Result<(), CastError> {
        encode(CastTarget { ty: &self.ty, rules: self.rules, zone: self.zone }, value, out)
    }

    /// Appends the field as [`Cast::encode`] does, and appends to `canonical` the field that the server will send back.
    /// The two differ only for jsonb.
    ///
    /// # Errors
    /// Fails when the value does not fit; the contents of `canonical` must not be used then.
    pub fn encode_with(
        &self,
        value: Value<'_>,
        out: &mut Vec<u8>,
        canonical: &mut CanonicalRow,
    ) -> Result<(), CastError> {
        let start = out.len();
        let CanonicalRow { row, writer } = canonical;
        match (&self.ty, value) {
            // The text is parsed once for both fields.
            (WritableType::Jsonb, Value::Text(text)) if !text.is_empty() => write_field(row, |row| {
                write_field(out, |out| json::jsonb(text, out, writer, row).map(|()| CastOutput::Field))?;
                Ok(CastOutput::Field)
            }),
            (WritableType::Jsonb, _) => {
                self.encode(value, out)?;
                match out[start..].split_at_checked(5) {
                    Some((_, text)) => write_field(row, |row| {
                        json::jsonb(text, &mut Vec::new(), writer, row).map(|()| CastOutput::Field)
                    }),
                    None => write_field(row, |_| Ok(CastOutput::Null)),
                }
            }
            _ => {
                self.encode(value, out)?;
                row.extend_from_slice(&out[start..]);
                Ok(())
            }
        }
    }
}

/// A row as the server will send it back, built field by field.
#[derive(Default)]
pub struct CanonicalRow {
    row: Vec<u8>,
    writer: JsonbWriter,
}

impl CanonicalRow {
    /// Returns the fields that were appended, each after its length.
    pub fn row(&self) -> &[u8] {
        &self.row
    }

    /// Removes all fields, so that the next row can be built.
    pub(crate) fn clear(&mut self) {
        self.row.clear();
    }
}

fn encode(target: CastTarget<'_>, value: Value<'_>, out: &mut Vec<u8>) -> Result<(), CastError> {
    write_field(out, |out| table::convert(target, value, out))
}

/// Appends the length of the bytes that `write` appends, or -1 for NULL, and then these bytes.
fn write_field(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<CastOutput, CastError>,
) -> Result<(), CastError> {
    let start = out.len();
    out.extend_from_slice(&(-1_i32).to_be_bytes());
    let result = write(out).and_then(|output| {
        let length = out.len() - start - 4;
        match output {
            CastOutput::Null => Ok(()),
            CastOutput::Field if length > MAX_FIELD_BYTES => {
                Err(CastError::new("is longer than the 1 GiB of a PostgreSQL value"))
            }
            CastOutput::Field => {
                out[start..start + 4].copy_from_slice(&(length as u32).to_be_bytes());
                Ok(())
            }
        }
    });
    if result.is_err() {
        out.truncate(start);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::value::Value::{Blob, Integer, Real, Text};

    const TIME: WritableType = WritableType::TimestampTz(6);

    fn cast(ty: WritableType, rules: &[&str]) -> Cast {
        let cast = Cast::new(ty, Zone::UTC);
        rules.iter().fold(cast, |cast, rule| cast.with(rule).expect("a rule for the type"))
    }

    /// Returns the reason why the value does not fit, and the hint.
    #[track_caller]
    fn bad(ty: &WritableType, rules: &[&str], value: Value<'_>) -> (String, String) {
        let mut out = b"before".to_vec();
        let Err(bad) = cast(ty.clone(), rules).encode(value, &mut out) else {
            panic!("{value:?} is taken as {ty}: {out:?}");
        };
        assert_eq!(out, b"before", "a bad value leaves something behind");
        (bad.reason().to_owned(), bad.hint("t.c").unwrap_or_default())
    }

    #[track_caller]
    fn expect_bad(ty: &WritableType, rules: &[&str], value: Value<'_>, reason: &str, hint: &str) {
        let (found_reason, found_hint) = bad(ty, rules, value);
        assert!(found_reason.contains(reason), "{ty} {value:?}: {found_reason}, not {reason}");
        assert!(found_hint.contains(hint), "{ty} {value:?}: {found_hint}, not {hint}");
        if let Some(cast) = found_hint.strip_prefix("--cast t.c=") {
            let rule = cast.split(' ').next().unwrap_or_default();
            assert!(CastRule::parse(rule, ty).is_ok(), "{ty} {value:?}: {found_hint} is not for the column");
        }
        assert!(!hint.is_empty() || found_hint.is_empty(), "{ty} {value:?}: {found_hint}");
    }

    #[test]
    fn a_field_is_its_length_and_its_bytes_and_null_has_the_length_minus_one() {
        let mut out = vec![9];
        let cast = cast(WritableType::SmallInt, &[]);
        cast.encode(Integer(-2), &mut out).expect("a number");
        cast.encode(Value::Null, &mut out).expect("NULL");
        assert_eq!(out, [9, 0, 0, 0, 2, 255, 254, 255, 255, 255, 255]);
    }

    #[test]
    fn numbers_that_would_change_are_bad() {
        let money = WritableType::Numeric(Some((10, 2)));
        let small = WritableType::Numeric(Some((3, -2)));
        for (ty, rules, value, reason, hint) in [
            (&WritableType::Boolean, &[][..], Integer(2), "neither 0 nor 1", ""),
            (&WritableType::Boolean, &[], Real(0.5), "neither 0 nor 1", ""),
            (&WritableType::Boolean, &[], Text(b"yes"), "none of 0, 1, t, f", "t.c=words takes yes"),
            (&WritableType::Boolean, &["words"], Text(b"maybe"), "none of 0, 1, t, f", ""),
            (&WritableType::Boolean, &[], Blob(b"\x01"), "is stored as blob, which has no meaning for boolean", ""),
            (&WritableType::SmallInt, &[], Integer(32_768), "outside of smallint, which goes from -32768 to 32767", ""),
            (&WritableType::Integer, &[], Integer(3_000_000_000), "outside of integer", ""),
            (&WritableType::Integer, &[], Real(1.5), "not a whole number", ""),
            (&WritableType::Integer, &[], Real(-2_147_483_649.0), "outside of integer", ""),
            (&WritableType::BigInt, &[], Real(9_223_372_036_854_775_808.0), "outside of bigint", ""),
            (&WritableType::BigInt, &[], Real(f64::INFINITY), "not a whole number", ""),
            (&WritableType::BigInt, &[], Text(b"12"), "is a text", "t.c=integer-text"),
            (&WritableType::BigInt, &["integer-text"], Text(b"9223372036854775808"), "outside of bigint", ""),
            (&WritableType::BigInt, &["integer-text"], Text(b"1e5"), "no whole number", ""),
            (&WritableType::BigInt, &["integer-text"], Text(b" 12"), "no whole number", ""),
            (&WritableType::BigInt, &["integer-text"], Text(b"+12"), "no whole number", ""),
            (&WritableType::BigInt, &["integer-text"], Text(b"0x1F"), "no whole number", ""),
            (&WritableType::BigInt, &["integer-text"], Text(b"-"), "no whole number", ""),
            (&WritableType::BigInt, &["integer-text"], Text("١٢".as_bytes()), "no whole number", ""),
            (&WritableType::BigInt, &["integer-text"], Text(b""), "empty text", "t.c=empty-as-null"),
            (&WritableType::Real, &[], Real(0.1), "exactly by real", "t.c=round"),
            (&WritableType::Real, &[], Integer(16_777_217), "exactly by real", "t.c=round"),
            (&WritableType::Real, &["round"], Real(1e39), "outside of real", ""),
            (&WritableType::Double, &[], Integer(9_007_199_254_740_993), "exactly by double", "t.c=round"),
            (&WritableType::Double, &[], Integer(i64::MAX), "exactly by double", "t.c=round"),
            (&WritableType::Double, &[], Text(b"0.5"), "is a text", "t.c=decimal-text"),
            (&WritableType::Double, &["decimal-text"], Text(b"Infinity"), "no number", ""),
            (&WritableType::Double, &["decimal-text"], Text(b"1e400"), "outside of double", ""),
            (&WritableType::Double, &["decimal-text", "round"], Text(b"1e-400"), "outside of double", ""),
            (&WritableType::Double, &["decimal-text"], Text(b"0.12345678901234567890"), "exactly", "t.c=round"),
            (&money, &[], Real(1.005), "rounded to scale 2", "t.c=round"),
            (&money, &[], Text(b"1.00005"), "rounded to scale 2", "t.c=round"),
            (&money, &[], Integer(100_000_000), "8 digits before the point", ""),
            (&money, &["round"], Text(b"99999999.995"), "8 digits before the point", ""),
            (&money, &[], Text(b"1e2"), "no plain decimal", ""),
            (&money, &[], Real(f64::INFINITY), "not a finite number", ""),
            (&WritableType::Numeric(None), &[], Real(f64::NEG_INFINITY), "not a finite number", ""),
            (&WritableType::Numeric(None), &[], Text(b"NaN"), "no plain decimal", ""),
            (&small, &[], Integer(12_345), "rounded to scale -2", "t.c=round"),
        ] {
            expect_bad(ty, rules, value, reason, hint);
        }
    }

    #[test]
    fn texts_and_bytes_that_would_change_are_bad() {
        for (ty, rules, value, reason, hint) in [
            (&WritableType::Text, &[][..], Text(b"a\0b"), "a NUL at byte 1", ""),
            (&WritableType::Text, &[], Text(b"ab\xff"), "not UTF-8: byte 2 is 0xff", ""),
            (&WritableType::Text, &[], Text(b"\xed\xa0\x80"), "not UTF-8: byte 0 is 0xed", ""),
            (&WritableType::Text, &[], Integer(5), "a number, not a text", "t.c=as-text writes it as '5'"),
            (&WritableType::Text, &[], Real(2.0), "a number, not a text", "t.c=as-text writes it as '2.0'"),
            (&WritableType::Text, &[], Blob(b"abc"), "a blob, not a text", "t.c=utf8"),
            (&WritableType::Text, &[], Blob(b"\xff"), "a blob, not a text", "t.c=hex"),
            (&WritableType::Text, &["utf8"], Blob(b"a\0"), "a NUL at byte 1", ""),
            (
                &WritableType::Varchar(Some(2)),
                &[],
                Text("🚀🚀🚀".as_bytes()),
                "3 characters, and character varying(2)",
                "",
            ),
            (&WritableType::Varchar(Some(2)), &[], Text(b"a  "), "3 characters", ""),
            (&WritableType::Char(Some(2)), &[], Text(b"abc"), "3 characters", ""),
            (&WritableType::Varchar(Some(2)), &["hex"], Blob(b"ab"), "4 characters", ""),
            (&WritableType::Name, &[], Text(&[b'x'; 100]), "100 bytes, and a name 63", ""),
            (&WritableType::Uuid, &[], Text(b"not-a-uuid"), "not a UUID", ""),
            (&WritableType::Uuid, &[], Text(b"{0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}"), "not a UUID", ""),
            (&WritableType::Uuid, &[], Text(b"a0eebc99+9c0b-4ef8-bb6d-6bb9bd380a11"), "not a UUID", ""),
            (&WritableType::Uuid, &[], Text(b"g0eebc999c0b4ef8bb6d6bb9bd380a11"), "not a UUID", ""),
            (&WritableType::Uuid, &[], Blob(&[0; 15]), "15 bytes, and a UUID has 16", ""),
            (&WritableType::Uuid, &[], Text(b""), "empty text, which is no uuid", "t.c=empty-as-null"),
            (&WritableType::Bytea, &[], Text(b"YWJj"), "a text, not a blob", "t.c=utf8"),
            (&WritableType::Bytea, &["hex"], Text(b"abc"), "hexadecimal", ""),
            (&WritableType::Bytea, &["hex"], Text(b"zz"), "hexadecimal", ""),
            (&WritableType::Bytea, &["base64"], Text(b"YWJ"), "not Base64", ""),
            (&WritableType::Bytea, &[], Integer(1), "stored as integer, which has no meaning for bytea", ""),
            (&WritableType::Inet, &[], Text(b"10.1"), "not an IP address", ""),
            (&WritableType::Inet, &[], Text(b"010.1.1.1"), "not an IP address", ""),
            (&WritableType::Inet, &[], Text(b"10.1.1.1/33"), "not an IP address", ""),
            (&WritableType::Inet, &[], Text(b"10.1.1.1/+8"), "not an IP address", ""),
            (&WritableType::Inet, &[], Text(b"10.1.1.1/"), "not an IP address", ""),
            (&WritableType::Cidr, &[], Text(b"10.1.1.1/8"), "bits set behind the 8", ""),
        ] {
            expect_bad(ty, rules, value, reason, hint);
        }
        let labels = WritableType::Enum(vec!["happy".into(), "sad".into()]);
        expect_bad(&labels, &[], Text(b"Sad"), "none of the enum's labels: happy, sad", "");
        expect_bad(&labels, &[], Text(b""), "none of the enum's labels", "t.c=empty-as-null");
        expect_bad(&labels, &[], Integer(0), "stored as integer", "");
    }

    #[test]
    fn documents_and_lists_that_the_server_refuses_are_bad() {
        let list = WritableType::Array(Box::new(WritableType::Integer), 23);
        let words = WritableType::Array(Box::new(WritableType::Text), 25);
        for (ty, rules, value, reason, hint) in [
            (&WritableType::Jsonb, &[][..], Text(b"{'a': 1}"), "a key in double quotes is missing, at byte 1", ""),
            (&WritableType::Json, &[], Text(br#""\u0000""#), "cannot store \\u0000, at byte 1", ""),
            (&WritableType::Jsonb, &[], Text(br#"["\ud800"]"#), "half of a surrogate pair, at byte 2", ""),
            (&WritableType::Jsonb, &[], Text(b"NaN"), "no value begins so", ""),
            (&WritableType::Jsonb, &[], Text(b""), "empty text, which is no jsonb", "t.c=empty-as-null"),
            (&WritableType::Jsonb, &[], Text(b" "), "it ends early", ""),
            (&WritableType::Jsonb, &[], Text(b"1e200000"), "more digits than any numeric", ""),
            (&WritableType::Jsonb, &[], Text(b"\xff"), "not UTF-8", ""),
            (&WritableType::Jsonb, &[], Integer(5), "a number, not a JSON text", "t.c=as-text writes it as 5"),
            (&WritableType::Jsonb, &["as-text"], Real(f64::INFINITY), "not a finite number", ""),
            (&WritableType::Jsonb, &[], Blob(b"{\"a\":1}"), "a blob", "t.c=utf8"),
            // The bytes are those of SQLite's jsonb() for {"a":1}.
            (&WritableType::Jsonb, &[], Blob(b"\x4c\x17a\x131"), "a blob", "json()"),
            (&list, &[], Text(b"{1,2}"), "not a JSON list", ""),
            (&list, &[], Text(b"5"), "not a JSON list", ""),
            (&list, &[], Text(b"[1,[2]]"), "an element that is no integer", ""),
            (&list, &[], Text(b"[1.5]"), "a number that is no integer", ""),
            (&list, &[], Text(b"[1,3000000000]"), "an element 2 that lies outside of integer", ""),
            (&list, &[], Text(b"[1] x"), "something follows the value", ""),
            (&list, &[], Text(br#"["1"]"#), "an element 1 that is a text", ""),
            (&words, &[], Text(b"[1]"), "an element 1 that is a number", ""),
            (&words, &[], Text(b"[true]"), "an element that is no text", ""),
        ] {
            expect_bad(ty, rules, value, reason, hint);
        }
    }

    #[test]
    fn texts_that_are_no_certain_time_are_bad() {
        let form = "not an ISO 8601 time";
        for (text, reason) in [
            ("now", "a word"),
            ("Tomorrow", "a word"),
            ("epoch", "a word"),
            ("-infinity", "a word"),
            ("20240229", form),
            ("02/29/2024", form),
            ("29.02.2024", form),
            ("2024-060", form),
            ("2024-W09-4", form),
            ("24-02-29", form),
            ("02024-02-29", form),
            ("-2024-02-29", form),
            ("2024-2-29", form),
            ("2024-02-29 ", form),
            (" 2024-02-29", form),
            ("2024-02-29T", form),
            ("2024-02-29T12", form),
            ("2024-02-29T12:00:00.", form),
            ("2024-02-29T12:00:00,5", form),
            ("2024-02-29T12:00:00 +01:00", form),
            ("2024-02-29T12:00:00+16:00", form),
            ("2024-02-29T12:00:00+1", form),
            ("2024-02-29T12:00:00ZZ", form),
            ("2024-02-29T12:00:00 UTC", form),
            ("2024-02-29T12:00:00 PM", form),
            ("2024-02-29T12:00:00[Europe/Paris]", form),
            ("２０２４-02-29", form),
            ("0000-00-00", "year 0"),
            ("0000-00-00 00:00:00", "year 0"),
            ("2023-02-29", "a day that does not exist"),
            ("1900-02-29", "a day that does not exist"),
            ("2024-02-30", "a day that does not exist"),
            ("2024-04-31", "a day that does not exist"),
            ("2024-13-01", "a day that does not exist"),
            ("2024-00-01", "a day that does not exist"),
            ("2024-01-00", "a day that does not exist"),
            ("2024-02-29T24:00:01", "a time of day that does not exist"),
            ("2024-02-29T25:00:00", "a time of day that does not exist"),
            ("2024-02-29T12:60:00", "a time of day that does not exist"),
            ("2024-02-29T12:00:61", "a time of day that does not exist"),
            ("2024-02-29T23:59:60.5", "a time of day that does not exist"),
            ("294277-01-01", "lies outside"),
            ("9999999-01-01", "lies outside"),
            ("2024-02-29\0", form),
        ] {
            expect_bad(&TIME, &[], Text(text.as_bytes()), reason, "");
            expect_bad(&TIME, &["truncate-fraction"], Text(text.as_bytes()), reason, "");
        }
        for (ty, text, reason) in [
            (TIME, "2024-02-29T12:00:00.1234567", "more digits of a second than the 6"),
            (WritableType::Timestamp(3), "2024-02-29T12:00:00.1234", "more digits of a second than the 3"),
            (WritableType::Time(0), "12:00:00.5", "more digits of a second than the 0"),
        ] {
            expect_bad(&ty, &[], Text(text.as_bytes()), reason, "t.c=truncate-fraction");
        }
        expect_bad(&WritableType::Date, &[], Text(b"2024-02-29T12:00:00Z"), "has a time of day", "");
        expect_bad(&WritableType::Time(6), &[], Text(b"12:00:00Z"), "not a time of day such as", "");
        expect_bad(&WritableType::Time(6), &[], Text(b"23:59:60.000001"), "does not exist", "");
        expect_bad(&WritableType::Time(6), &[], Integer(5), "stored as integer", "");
    }

    #[test]
    fn digits_of_a_second_that_are_zero_are_no_loss() {
        let of = |text: &str| {
            let mut out = Vec::new();
            cast(TIME, &[]).encode(Text(text.as_bytes()), &mut out).expect(text);
            out
        };
        assert_eq!(of("2024-02-29T12:00:00.1234560000Z"), of("2024-02-29T12:00:00.123456Z"));
    }

    #[test]
    fn a_number_in_a_column_of_times_is_bad_and_the_likely_unit_is_named() {
        for (value, hint) in [
            (Integer(1_700_000_000), "--cast t.c=unix-s reads it as a time on 2023-11-14"),
            (Integer(1_700_000_000_000), "--cast t.c=unix-ms reads it as a time on 2023-11-14"),
            (Integer(1_700_000_000_000_000), "--cast t.c=unix-us reads it as a time on 2023-11-14"),
            (Integer(1_700_000_000_000_000_000), "--cast t.c=unix-ns reads it as a time on 2023-11-14"),
            (Integer(12_957_891_582_318_795), "--cast t.c=webkit reads it as a time on 2011-08-15"),
            (Integer(132_521_875_559_025_799), "--cast t.c=filetime reads it as a time on 2020-12-11"),
            (Real(635_403_600.5), "--cast t.c=cocoa reads it as a time on 2021-02-19"),
            (Real(2_460_000.5), "--cast t.c=julian reads it as a time on 2023-02-25"),
            (Real(1_700_000_000.25), "--cast t.c=unix-s reads it as a time on 2023-11-14"),
            (Integer(0), ""),
            (Integer(-1), ""),
            (Integer(20_240_229), ""),
            (Integer(i64::MIN), ""),
            (Real(f64::INFINITY), ""),
        ] {
            for ty in [TIME, WritableType::Timestamp(6), WritableType::Date] {
                expect_bad(&ty, &[], value, "nothing says of which unit", hint);
            }
        }
    }

    #[test]
    fn a_unit_takes_no_number_that_it_would_have_to_cut_or_that_is_no_time() {
        let cut = "t.c=truncate-fraction besides";
        for (rule, value, reason, hint) in [
            ("unix-ns", Integer(1), "a part of a microsecond", cut),
            ("filetime", Integer(132_521_875_559_025_799), "a part of a microsecond", cut),
            ("unix-s", Integer(i64::MAX), "lies outside", ""),
            ("unix-ms", Integer(i64::MIN), "lies outside", ""),
            ("julian", Integer(i64::MIN), "lies outside", ""),
            ("cocoa", Real(f64::INFINITY), "no number of a time", ""),
            ("unix-s", Real(1e300), "no number of a time", ""),
            ("unix-s", Text(b"1700000000"), "not an ISO 8601 time", ""),
        ] {
            expect_bad(&TIME, &[rule], value, reason, hint);
        }
        expect_bad(&WritableType::Date, &["unix-s"], Integer(1), "has a time of day", "");
    }

    #[test]
    fn a_cast_says_what_it_does() {
        assert_eq!(cast(WritableType::Boolean, &[]).describe(), "0, 1, t, f, true, false");
        let zone = Zone::parse("+05:30").expect("a zone");
        let times = Cast::new(TIME, zone).with("unix-ms").expect("a rule");
        assert_eq!(
            times.describe(),
            "ISO 8601 texts, as +05:30 when they have no zone; unix-ms: numbers are milliseconds since 1970-01-01 UTC"
        );
    }

    #[test]
    fn rules_that_contradict_each_other_are_refused() {
        assert_eq!(cast(TIME, &["unix-s"]).with("julian"), Err("\"julian\" contradicts \"unix-s\"".to_owned()));
        assert!(cast(TIME, &["unix-s", "empty-as-null"]).with("truncate-fraction").is_ok());
        assert!(cast(WritableType::Text, &[]).with("julian").is_err());
    }
}
